//! How a [`Lane`](super::lane::Lane) gets its connection.
//!
//! By itself a client opens connections as requests come: ten for a burst of ten, of which HTTP/2 needs one. So the client's
//! connector is wrapped. The first request on a lane starts the attempt to connect, which runs in a task of its own: a caller
//! who leaves does not end it, and later requests wait for the same attempt. Once connected, the negotiated protocol is known.
//! With HTTP/2 this is the only connection that the lane ever has: asked for another one, the connector answers that the first
//! has ended. With HTTP/1.1 each request may open its own.

use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hyper_util::client::legacy::connect::Connection;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};

use super::link::Link;
use crate::error::ConnectionError;
use crate::upstream::client::connector::{Around, Attempt, BoxError, Connector, Inner};
use crate::upstream::client::peer;

/// Longest time that opening a connection may take: name, TCP and TLS.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Why a lane has no connection for a request.
#[derive(Debug, thiserror::Error)]
enum NoConnection {
    #[error("the connection has ended")]
    Ended,
    #[error("{}", .0.text)]
    Failed(ConnectionError),
}

/// Wraps the connector of one lane's client.
#[derive(Clone)]
pub struct Layer {
    link: Arc<Link>,
    /// True if the lane is known to use HTTP/1.1, so that each request opens a connection itself.
    open: bool,
}

impl Layer {
    /// For a lane that has no connection yet.
    pub fn new(link: &Arc<Link>) -> Self {
        Self { link: Arc::clone(link), open: false }
    }

    /// For a lane that uses HTTP/1.1.
    pub fn open(link: &Arc<Link>) -> Self {
        Self { link: Arc::clone(link), open: true }
    }
}

impl<T: 'static, C: Send + 'static> tower::Layer<Inner<T, C>> for Layer {
    type Service = Connector<T, C, Connecting<C>>;

    fn layer(&self, inner: Inner<T, C>) -> Self::Service {
        let state = Mutex::new(if self.open { State::Open } else { State::Idle });
        let lane = Connecting { link: Arc::clone(&self.link), state, ended: Notify::new() };
        Connector::new(inner, Arc::new(lane))
    }
}

/// The connection of one lane, or what becomes of it.
pub struct Connecting<C> {
    link: Arc<Link>,
    state: Mutex<State<C>>,
    /// Wakes the requests that wait for the attempt.
    ended: Notify,
}

enum State<C> {
    /// No request has asked for a connection yet.
    Idle,
    /// The attempt is under way.
    Waiting,
    /// The connection waits for a request.
    Ready(C),
    /// The HTTP/2 connection was handed over.
    Given,
    /// HTTP/1.1: each request may connect.
    Open,
    Failed(ConnectionError),
}

impl<C: Connection + Send + 'static> Around<C> for Connecting<C> {
    fn connect(self: Arc<Self>, attempt: Attempt<C>) -> Attempt<C> {
        Box::pin(self.connection(attempt))
    }
}

/// What a request that asks for a connection has to do.
enum Next {
    Begin,
    Wait,
    ConnectItself,
}

impl<C: Connection + Send + 'static> Connecting<C> {
    /// Returns the lane's connection. `attempt` connects; it is only run if no other attempt was begun.
    async fn connection(self: Arc<Self>, attempt: Attempt<C>) -> Result<C, BoxError> {
        let mut attempt = Some(attempt);
        loop {
            let mut ended = pin!(self.ended.notified());
            ended.as_mut().enable();
            match self.next()? {
                (Some(connection), _) => return Ok(connection),
                (None, Next::Begin) => {
                    let attempt = attempt.take().expect("only the first to ask begins, and it does so once");
                    let lane = Arc::clone(&self);
                    tokio::spawn(async move { lane.attempt(attempt).await });
                }
                (None, Next::Wait) => {}
                (None, Next::ConnectItself) => {
                    // Another request may take the connection that this one's attempt has made. There is no other to give.
                    let Some(attempt) = attempt.take() else { return Err(NoConnection::Ended.into()) };
                    let connection = self.link.count(Instant::now(), timeout(CONNECT_TIMEOUT, attempt).await?)?;
                    if connection.connected().is_negotiated_h2() {
                        // The peer speaks HTTP/2 now: this lane ends, so that later requests go on a new one.
                        self.link.retire();
                    }
                    return Ok(connection);
                }
            }
            ended.await;
        }
    }

    fn next(&self) -> Result<(Option<C>, Next), BoxError> {
        let mut state = self.state();
        Ok(match std::mem::replace(&mut *state, State::Waiting) {
            State::Idle => (None, Next::Begin),
            State::Waiting => (None, Next::Wait),
            State::Ready(connection) => {
                self.link.runs_here();
                *state = if self.link.is_http1() { State::Open } else { State::Given };
                (Some(connection), Next::Wait)
            }
            State::Open => {
                *state = State::Open;
                (None, Next::ConnectItself)
            }
            State::Given => {
                *state = State::Given;
                self.link.found_closed();
                return Err(NoConnection::Ended.into());
            }
            State::Failed(chain) => {
                *state = State::Failed(chain.clone());
                return Err(NoConnection::Failed(chain).into());
            }
        })
    }

    async fn attempt(&self, attempt: Attempt<C>) {
        let began = Instant::now();
        let outcome = timeout(CONNECT_TIMEOUT, self.link.received().open(attempt)).await;
        let outcome = outcome.unwrap_or_else(|late| Err(late.into()));
        let outcome = self.link.count(began, outcome);
        *self.state() = match outcome {
            Ok(connection) => {
                let is_http2 = connection.connected().is_negotiated_h2();
                if is_http2 {
                    self.link.reached(peer(&connection));
                }
                self.link.connected(is_http2);
                State::Ready(connection)
            }
            Err(error) => {
                let chain = ConnectionError::of(error.as_ref());
                self.link.fail(chain.clone());
                State::Failed(chain)
            }
        };
        self.ended.notify_waiters();
    }

    fn state(&self) -> MutexGuard<'_, State<C>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
