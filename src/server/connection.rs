//! One connection of a caller, from its first byte to its last.

use std::cell::RefCell;
use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;

use futures_util::TryFutureExt as _;
use futures_util::future::MapOk;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tracing::debug;

use super::counts::Counts;
use super::flood::activity::{Activity, Worth};
use super::flood::frames::Budget;
use super::flood::socket::Socket;
use super::flood::stall::{Calls, Reply};
use super::inbound::{Answer, Arrival};
use crate::config;
use crate::gateway::Drain;
use crate::rpc::facts::{Connection, Peer};

/// How long the calls that are left at the end of a drain, or of a connection, have to tell their callers that they end.
pub const LAST_WORDS: Duration = Duration::from_millis(250);
/// Most bytes that a connection buffers for one call's reply.
const SEND_BUFFER: usize = 32 << 10;
/// Bytes of a request that a peer may send before they are read, which nobody does until its caller is known.
const STREAM_WINDOW: u32 = 64 << 10;
/// The same for all requests of a connection together.
const CONNECTION_WINDOW: u32 = 128 << 10;
/// How long a connection without calls stays open after GOAWAY: a call that the peer sent before it read GOAWAY is still
/// answered, and a peer that never reads it does not delay the shutdown.
const LINGER: Duration = Duration::from_secs(1);
/// The same for a connection that makes room: somebody waits for its place.
const LINGER_IN_THE_WAY: Duration = Duration::from_millis(250);

/// The inbound stack, as a connection sees it.
pub trait Stack:
    tower::Service<Arrival<Incoming>, Response = Answer, Error = Infallible, Future: Send> + Clone + Send + 'static
{
}

impl<S> Stack for S where
    S: tower::Service<Arrival<Incoming>, Response = Answer, Error = Infallible, Future: Send> + Clone + Send + 'static
{
}

/// Serves connections.
#[derive(Clone)]
pub struct Server<S> {
    stack: S,
    settings: Arc<config::Server>,
    drain: Drain,
    counts: Counts,
    unfinished: Budget,
    connection_window: u32,
    of_replicas: bool,
}

impl<S: Stack> Server<S> {
    /// Answers calls with `stack` until `drain` begins.
    pub fn new(stack: S, settings: &config::Server, drain: &Drain, counts: &Counts) -> Self {
        let (settings, drain, counts) = (Arc::new(settings.clone()), drain.clone(), counts.clone());
        let (unfinished, connection_window) = (Budget::default(), CONNECTION_WINDOW);
        Self { stack, settings, drain, counts, unfinished, connection_window, of_replicas: false }
    }

    /// Serves other replicas, which carry many callers: no request that is not read on is in the way of another of its
    /// connection, and each connection's streams can be told to end.
    #[must_use]
    pub fn of_replicas(self) -> Self {
        Self { connection_window: (1 << 31) - 1, of_replicas: true, ..self }
    }

    /// Returns what the calls of a connection share.
    pub fn connection(&self, connection: &Connection) -> Connection {
        let connection = connection.clone().ending_with(&self.drain);
        if self.of_replicas { connection.draining(self.drain.part()) } else { connection }
    }

    /// Serves one connection until either side ends it. `agreed` is true if a TLS handshake has agreed on HTTP/2.
    pub async fn serve(
        self,
        socket: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        agreed: bool,
        peer: Peer,
        activity: &Activity,
    ) {
        let settings = &*self.settings;
        let over = peer.connection.over.clone();
        let calls = Calls::new(activity.clone(), settings.send_timeout, &self.drain);
        let socket = Socket::new(socket, settings.preface_timeout, settings.send_timeout, self.counts)
            .agreed(agreed)
            .telling(activity)
            .finishing_within(settings.message_timeout, &self.unfinished);
        let answering = Answering { stack: RefCell::new(self.stack), peer: Arc::new(peer) };
        let mut connection = pin!(
            http2::Builder::new(calls.clone())
                .timer(TokioTimer::new())
                .auto_date_header(false) // no gRPC client looks at it
                .max_concurrent_streams(settings.max_streams_per_connection)
                // A caller may give up all its calls at once. With hyper's 20, a proxy that carries many callers would lose
                // its connection, and with it everybody's calls, whenever the gateway is slow to take calls up.
                .max_pending_accept_reset_streams(settings.max_streams_per_connection as usize)
                // Twice as much as may be, so that who sends somewhat too much is answered as gRPC clients understand it.
                .max_header_list_size(settings.max_header_bytes.saturating_mul(2))
                .max_send_buf_size(SEND_BUFFER)
                .initial_stream_window_size(STREAM_WINDOW)
                .initial_connection_window_size(self.connection_window)
                .keep_alive_interval(settings.keepalive_interval)
                .keep_alive_timeout(settings.keepalive_timeout)
                .serve_connection(TokioIo::new(socket), answering)
        );
        let unwanted = || async {
            tokio::select! {
                () = self.drain.begun() => {}
                () = activity.asked_to_leave() => {}
            }
        };
        let leaving = tokio::select! {
            ended = connection.as_mut() => return note(ended),
            () = sleep(settings.max_connection_age.mul_f64(0.9 + 0.2 * fastrand::f64())) => false,
            () = unwanted() => true,
        };
        let in_the_way = || activity.connection().leave.is_cancelled();
        if in_the_way() && activity.worth() == Worth::Silent {
            return; // who has not begun to speak reads no GOAWAY
        }
        connection.as_mut().graceful_shutdown();
        let cut = Instant::now() + settings.max_connection_age_grace;
        let idle = async {
            if !leaving {
                unwanted().await;
            }
            loop {
                calls.done().await;
                sleep(if in_the_way() { LINGER_IN_THE_WAY } else { LINGER }).await;
                if calls.is_empty() {
                    return;
                }
            }
        };
        tokio::select! {
            ended = connection.as_mut() => note(ended),
            () = sleep_until(cut) => {
                debug!("a connection's calls outlived its age and grace");
                over.cancel();
                // They end at once, and say why.
                if let Ok(ended) = timeout(LAST_WORDS, connection).await {
                    note(ended);
                }
            }
            () = idle => debug!("a peer did not close its connection"),
        }
    }
}

fn note(ended: hyper::Result<()>) {
    if let Err(error) = ended {
        debug!(error = &error as &dyn std::error::Error, "a connection broke");
    }
}

/// Hands a connection's calls to the stack.
struct Answering<S> {
    /// One for all calls of the connection: to copy it for each call takes longer than most layers do.
    stack: RefCell<S>,
    peer: Arc<Peer>,
}

impl<S: Stack> hyper::service::Service<Request<Incoming>> for Answering<S> {
    type Response = Response<Reply>;
    type Error = Infallible;
    type Future = MapOk<S::Future, fn(Answer) -> Response<Reply>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let arrival = Arrival { peer: Arc::clone(&self.peer), request };
        let reply = |Answer { response, deadline }: Answer| response.map(|body| Reply::new(body, deadline));
        let mut stack = self.stack.borrow_mut();
        // No layer keeps a call waiting before it has it.
        let ready = stack.poll_ready(&mut Context::from_waker(Waker::noop()));
        debug_assert!(ready.is_ready(), "a layer of the inbound stack is always ready");
        stack.call(arrival).map_ok(reply)
    }
}
