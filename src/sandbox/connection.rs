//! The stand-in's own accept loop: HTTP/1.1 on connections that a fault can reach.
//!
//! A framework's server hides the socket, and with it half of what goes wrong in production: a reset in the middle of a body, a status
//! line that never ends, a peer that sends ten bytes a second. Here every stream is wrapped, and a handle to it, a
//! [`ConnectionControl`], travels in the extensions of each request, so a middleware can decide what the socket does to *its* answer.
//!
//! A client that leaves is noticed at once: hyper reads the socket while the handler runs and drops the handler's future at end of file
//! or reset. It can do so only when it has nothing else to read, so the request's body is read whole before the router sees the
//! request. [`AnswerGuard`] turns the dropped future, or a body that was not sent to its end, into a callback.

mod control;
mod guard;
#[cfg(test)]
mod tests;
mod wire;

use std::convert::Infallible;
use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Limited};
use hyper::body::{Body as _, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

pub use control::{ConnectionControl, Ending};
pub use guard::{AnswerGuard, Ended};

/// The largest request body that is read, in bytes; a larger one is answered 413.
const MAX_REQUEST_BODY: usize = 32 * 1024 * 1024;

/// How long answers in progress may take once the server was asked to stop. Short, because a hanging fault never ends by itself.
const GRACE: Duration = Duration::from_secs(1);

/// How long the loop rests when the system cannot hand out a connection (no file descriptors left, say).
const ACCEPT_PAUSE: Duration = Duration::from_millis(10);

/// Serves `app` on `listener` until `shutdown` resolves.
///
/// Then no connection is taken any more, idle ones close, and answers in progress have one second to end. Dropping the future
/// instead closes every connection at once.
pub async fn serve(listener: TcpListener, app: Router, shutdown: impl Future<Output = ()>) {
    serve_admitting(listener, app, || true, shutdown).await;
}

/// Serves like [`serve`], but asks `admit` about every new connection and resets the ones it refuses before a byte is read.
pub async fn serve_admitting(
    listener: TcpListener,
    app: Router,
    admit: impl Fn() -> bool,
    shutdown: impl Future<Output = ()>,
) {
    let mut connections = JoinSet::new();
    let leaving = CancellationToken::new();
    let mut shutdown = pin!(shutdown);
    loop {
        tokio::select! {
            () = &mut shutdown => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) if admit() => {
                    connections.spawn(converse(stream, app.clone(), leaving.clone()));
                }
                Ok((stream, _)) => control::reset_on_close(&stream),
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
    drop(listener);
    leaving.cancel();
    let drained = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(GRACE, drained).await.is_err() {
        tracing::debug!("closing connections whose answers did not end in time");
    }
}

/// Serves one connection until either side ends it.
async fn converse(stream: TcpStream, app: Router, leaving: CancellationToken) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "cannot switch off Nagle's algorithm");
    }
    let (wire, control) = wire::wrap(stream);
    let service = service_fn(|request| answer(request, app.clone(), control.clone()));
    let mut connection = pin!(
        http1::Builder::new()
            // The default is what makes a leaving client visible; it is spelled out because cancellation depends on it.
            .half_close(false)
            // An idle connection stays open like Zendesk's, so that no test races with a server that hangs up.
            .header_read_timeout(None)
            .serve_connection(TokioIo::new(wire), service)
    );
    let ended = tokio::select! {
        ended = &mut connection => ended,
        () = leaving.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "connection ended early");
    }
}

/// Reads the request whole, hands it to the router with its connection's control, and returns the router's answer.
async fn answer(request: Request<Incoming>, app: Router, control: ConnectionControl) -> Result<Response, Infallible> {
    control.begin_response();
    let (mut parts, body) = request.into_parts();
    let body = if body.is_end_stream() {
        Body::empty()
    } else {
        match Limited::new(body, MAX_REQUEST_BODY).collect().await {
            Ok(body) => Body::from(body.to_bytes()),
            Err(_) => return Ok(StatusCode::PAYLOAD_TOO_LARGE.into_response()),
        }
    };
    parts.extensions.insert(control);
    app.oneshot(Request::from_parts(parts, body)).await
}
