//! The admin port's connections: few, with time limits, and none that keeps a probe out.
//!
//! A newcomer is always let in. If all places are taken, it gets that of the connection that has asked for nothing for longest;
//! those that never asked for anything go first, once they have had time to.

use std::collections::HashMap;
use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::http::{Request, StatusCode};
use axum::response::{IntoResponse as _, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::{AbortHandle, Id, JoinSet};
use tokio::time::{Instant, sleep, timeout};
use tower::ServiceExt as _;
use tracing::{debug, warn};

use crate::server::accept::is_of_one_connection;

/// Most connections at a time.
pub const MAX_CONNECTIONS: usize = 64;
/// Most connections beyond those that are about to be closed.
pub const SPARE: usize = 16;
/// How long a connection may be without a whole request: after it was opened, and after each answer.
const SILENCE: Duration = Duration::from_secs(10);
/// How long the answer to a request may take.
const ANSWER: Duration = Duration::from_secs(30);
/// How long a connection that was opened has for its first request until it counts as silent.
const YOUNG: Duration = Duration::from_millis(100);
/// Pause after an error of `accept`.
const PAUSE: Duration = Duration::from_millis(50);
/// Most bytes of a request's head.
const HEAD: usize = 32 << 10;

/// What a connection is doing.
#[derive(Clone)]
struct Doing(Arc<Inner>);

struct Inner {
    began: Instant,
    /// How worthy the connection is of its place: see [`Doing::worth`].
    what: AtomicU8,
    /// Since when, in milliseconds since it began.
    since: AtomicU64,
}

/// It has sent no whole request yet.
const SILENT: u8 = 0;
/// Its requests are answered, or wait for those of others.
const IDLE: u8 = 1;
/// A request of it is being answered.
const BUSY: u8 = 2;

impl Doing {
    fn nothing() -> Self {
        Self(Arc::new(Inner { began: Instant::now(), what: AtomicU8::new(SILENT), since: AtomicU64::new(0) }))
    }

    fn is(&self, what: u8) {
        let since = u64::try_from(self.0.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.0.since.store(since, Ordering::Relaxed);
        self.0.what.store(what, Ordering::Relaxed);
    }

    /// Orders connections: the least worthy makes room first.
    fn worth(&self) -> (u8, Instant) {
        let since = Duration::from_millis(self.0.since.load(Ordering::Relaxed));
        let what = match self.0.what.load(Ordering::Relaxed) {
            SILENT if self.0.began.elapsed() < YOUNG => IDLE,
            what => what,
        };
        (what, self.0.began + since)
    }
}

/// What probes ask for. All else is answered one at a time, because it takes milliseconds: a crowd that asks for metrics is not
/// to keep every thread busy.
const PROBES: [&str; 2] = ["/livez", "/readyz"];

/// What answers requests.
#[derive(Clone)]
struct Answering {
    routes: Router,
    others: Arc<Semaphore>,
}

impl Answering {
    async fn answer(self, request: Request<Incoming>, doing: &Doing) -> Response {
        let probe = PROBES.contains(&request.uri().path());
        let answer = async move {
            doing.is(if probe { BUSY } else { IDLE });
            let _turn = if probe { None } else { self.others.acquire_owned().await.ok() };
            doing.is(BUSY);
            let Ok(answer) = self.routes.oneshot(request).await;
            answer
        };
        timeout(ANSWER, answer).await.unwrap_or_else(|_| StatusCode::GATEWAY_TIMEOUT.into_response())
    }
}

/// Serves until the future is dropped, which ends every connection.
pub async fn serve(routes: Router, listener: TcpListener) {
    let answering = Answering { routes, others: Arc::new(Semaphore::new(1)) };
    let mut connections = JoinSet::new();
    let mut open: HashMap<Id, (Doing, AbortHandle)> = HashMap::new();
    loop {
        let full = connections.len() >= MAX_CONNECTIONS + SPARE;
        let accepted = tokio::select! {
            biased; // connections that have ended are removed before new ones are accepted
            Some(ended) = connections.join_next_with_id() => {
                open.remove(&ended.map_or_else(|error| error.id(), |(id, ())| id));
                continue;
            }
            accepted = listener.accept(), if !full => accepted,
        };
        let socket = match accepted {
            Ok((socket, _)) => socket,
            Err(error) => {
                if !is_of_one_connection(&error) {
                    warn!(%error, "cannot accept connections on the admin port");
                    sleep(PAUSE).await;
                }
                continue;
            }
        };
        if open.len() >= MAX_CONNECTIONS
            && let Some(id) = open.iter().min_by_key(|(_, (doing, _))| doing.worth()).map(|(id, _)| *id)
            && let Some((_, connection)) = open.remove(&id)
        {
            connection.abort();
        }
        let doing = Doing::nothing();
        let task = connections.spawn(connection(socket, answering.clone(), doing.clone()));
        open.insert(task.id(), (doing, task));
    }
}

/// Answers the requests of one connection.
async fn connection(socket: TcpStream, answering: Answering, doing: Doing) {
    socket.set_nodelay(true).ok();
    let answer = |request: Request<Incoming>| {
        let (answering, doing) = (answering.clone(), doing.clone());
        async move {
            let answer = answering.answer(request, &doing).await;
            doing.is(IDLE);
            Ok::<_, Infallible>(answer)
        }
    };
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(SILENCE).max_buf_size(HEAD);
    let serving = pin!(http.serve_connection(TokioIo::new(socket), service_fn(answer)));
    if let Err(error) = serving.await {
        debug!(error = &error as &dyn std::error::Error, "a connection to the admin port broke");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_newcomer_has_time_for_its_first_request_before_it_makes_room() {
        let (silent, idle) = (Doing::nothing(), Doing::nothing());
        idle.is(IDLE);
        tokio::time::advance(YOUNG).await;
        let newcomer = Doing::nothing();
        let busy = Doing::nothing();
        busy.is(BUSY);
        let mut all = [&busy, &newcomer, &idle, &silent];
        all.sort_by_key(|doing| doing.worth());
        let order = all.map(|doing| Arc::as_ptr(&doing.0));
        assert_eq!(order, [&silent, &idle, &newcomer, &busy].map(|doing| Arc::as_ptr(&doing.0)));
        tokio::time::advance(YOUNG).await;
        assert!(newcomer.worth() < idle.worth());
    }
}
