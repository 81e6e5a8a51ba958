//! The stand-in's own accept loop: HTTP on connections that a fault can reach.
//!
//! A framework's server hides the socket, and with it half of what goes wrong in production: a reset in the middle of a body, a
//! status line that never ends, a peer that sends ten bytes a second. Here every socket is wrapped, and its handle, a
//! [`ConnectionControl`], travels in the extensions of each request, so a middleware can decide what the socket does to *its*
//! answer.
//!
//! ```text
//! socket ─► distance ─► TLS ─► Wire   ─► hyper, HTTP/1.1 ─► router
//!                          └─► Frames ─► hyper, HTTP/2   ─┘
//! ```
//!
//! A client that leaves is noticed at once: hyper reads the socket while the handler runs and drops the handler's future at end of file
//! or reset. It can do so only when it has nothing else to read, so the request's body is read whole before the router sees the
//! request. [`AnswerGuard`] turns the dropped future, or a body that was not sent to its end, into a callback.

mod channel;
mod control;
mod distance;
mod guard;
mod http2;
mod quiet;
mod registry;
mod socket;
#[cfg(test)]
mod tests;
mod tls;
mod wire;

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::{Request, StatusCode, Version};
use http_body_util::{BodyExt, Limited};
use hyper::body::{Body as _, Incoming};
use hyper::server::conn::{http1, http2 as hyper_http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use super::config::{GoAway, Wire as Settings};
use channel::{Channel, Link};
use http2::{Frames, Streams};
use quiet::Requests;
use registry::Entry;
use socket::Socket;

pub use control::{ConnectionControl, Ending};
pub use guard::{AnswerGuard, Ended};
pub use registry::{ConnectionCounts, Connections};
pub use socket::Mute;

/// The largest request body that is read, in bytes; a larger one is answered 413.
const MAX_REQUEST_BODY: usize = 32 * 1024 * 1024;

/// How long answers in progress may take once the server was asked to stop. Short, because a hanging fault never ends by itself.
const GRACE: Duration = Duration::from_secs(1);

/// How long a connection that got a GOAWAY is still read after its last byte is written. A client may be about to send
/// something, and a closed socket answers it with a reset, which can overtake the answers. nginx and Envoy linger like that,
/// too.
const LINGER: Duration = Duration::from_secs(1);

/// How long the loop pauses when the system cannot hand out a connection (no file descriptors left, say).
const ACCEPT_PAUSE: Duration = Duration::from_millis(10);

/// Serves `app` on `listener` until `shutdown` resolves.
///
/// Then it accepts no more connections, idle ones close, and answers in progress have one second to end. Dropping the future
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
    serve_registered(listener, app, Connections::plain(), admit, shutdown).await;
}

/// Serves like [`serve_admitting`], but speaks as `registry` says, and lets it know of every connection.
pub async fn serve_registered(
    listener: TcpListener,
    app: Router,
    registry: Connections,
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
                    connections.spawn(converse(stream, app.clone(), registry.clone(), leaving.clone()));
                }
                Ok((stream, _)) => socket::reset_on_close(&stream),
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
async fn converse(stream: TcpStream, app: Router, registry: Connections, leaving: CancellationToken) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "cannot switch off Nagle's algorithm");
    }
    let socket = Socket::of(stream);
    let conversation =
        Conversation { entry: registry.enter(socket.clone()), settings: registry.wire(), registry, app, leaving };
    let served = async {
        let round_trip = conversation.settings.round_trip;
        if round_trip.is_zero() {
            return conversation.serve(Link::Near(socket.clone())).await;
        }
        let (far, carried) = distance::move_away(socket.clone(), round_trip);
        let (served, ()) = tokio::join!(conversation.serve(Link::Far(far)), carried);
        served
    };
    let ended = tokio::select! {
        ended = served => ended,
        () = socket.gone() => Ok(After::Close),
    };
    match ended {
        Ok(After::Close) => {}
        Ok(After::Linger) => tokio::select! {
            () = tokio::time::sleep(LINGER) => {}
            () = socket.exhausted() => {}
            () = conversation.leaving.cancelled() => {}
        },
        Err(error) => tracing::debug!(%error, "connection ended early"),
    }
}

/// What is left to do for a connection that has ended.
enum After {
    Close,
    Linger,
}

type Ends = Result<After, Box<dyn std::error::Error + Send + Sync>>;

/// What serving one connection takes.
struct Conversation {
    entry: Entry,
    settings: Settings,
    registry: Connections,
    app: Router,
    leaving: CancellationToken,
}

impl Conversation {
    async fn serve(&self, link: Link) -> Ends {
        let socket = link.socket().clone();
        let (channel, version) = self.shake_hands(link).await?;
        match version {
            Version::HTTP_2 => self.http2(channel, socket).await,
            _ => self.http1(channel, socket).await,
        }
    }

    /// Encrypts the connection if the settings say so, and negotiates the version of HTTP.
    async fn shake_hands(&self, link: Link) -> io::Result<(Channel, Version)> {
        let Some(tls) = self.registry.tls() else {
            return Ok((Channel::Plain(link), registry::version(&self.settings, None)));
        };
        if self.settings.silent_handshakes {
            return std::future::pending().await;
        }
        let stream = tls.accept(link, registry::protocols(&self.settings)).await?;
        let session = stream.get_ref().1;
        self.registry.count_handshake(session.handshake_kind());
        let version = registry::version(&self.settings, session.alpn_protocol());
        Ok((Channel::Encrypted(stream), version))
    }

    async fn http1(&self, channel: Channel, socket: Socket) -> Ends {
        let (wire, orders) = wire::wrap(channel, socket);
        let requests = Requests::default();
        let service = service_fn(|request| {
            let (app, control, request_in_progress) = (self.app.clone(), orders.begin_response(), requests.begin());
            async move { Ok::<_, Infallible>(request_in_progress.until_sent(answer(request, app, control).await)) }
        });
        let connection = http1::Builder::new()
            // This default makes a leaving client visible; it is spelled out because cancellation depends on it.
            .half_close(false)
            // An idle connection stays open like Zendesk's, so that no test races with a server that hangs up. If it is to end, it
            // does so below.
            .header_read_timeout(None)
            .serve_connection(TokioIo::new(wire), service);
        let mut connection = pin!(connection);
        tokio::select! {
            ended = &mut connection => return Ok(ended.map(|()| After::Close)?),
            () = self.leaving.cancelled() => {}
            () = quiet::lasts(self.settings.idle_timeout, || requests.quiet_for()) => {}
        }
        connection.as_mut().graceful_shutdown();
        Ok(connection.await.map(|()| After::Close)?)
    }

    async fn http2(&self, channel: Channel, socket: Socket) -> Ends {
        let streams = Arc::new(Streams::new(socket, self.registry.clone(), &self.settings));
        self.entry.speaks_http2(Arc::clone(&streams));
        let frames = Frames::new(channel, Arc::clone(&streams));
        let service = service_fn(|request| http2::answer(request, self.app.clone(), Arc::clone(&streams)));
        let mut builder = hyper_http2::Builder::new(TokioExecutor::new());
        if let Some(most) = self.settings.max_concurrent_streams {
            builder.max_concurrent_streams(most);
        }
        let mut connection = pin!(builder.serve_connection(TokioIo::new(frames), service));
        let ended = tokio::select! {
            ended = &mut connection => Some(ended),
            () = self.leaving.cancelled() => None,
            () = streams.told_politely() => None,
            () = quiet::lasts(self.settings.idle_timeout, || streams.quiet_for()) => {
                streams.go_away(GoAway::Abrupt);
                Some((&mut connection).await)
            }
        };
        if let Some(ended) = ended {
            ended?;
        } else {
            connection.as_mut().graceful_shutdown();
            connection.await?;
        }
        Ok(if streams.told_to_go() { After::Linger } else { After::Close })
    }
}

/// Reads the request whole, hands it to the router with its connection's control, and returns the router's answer.
async fn answer(request: Request<Incoming>, app: Router, control: ConnectionControl) -> Response {
    let (mut parts, body) = request.into_parts();
    let body = if body.is_end_stream() {
        Body::empty()
    } else {
        match Limited::new(body, MAX_REQUEST_BODY).collect().await {
            Ok(body) => Body::from(body.to_bytes()),
            Err(_) => return StatusCode::PAYLOAD_TOO_LARGE.into_response(),
        }
    };
    parts.extensions.insert(control);
    let Ok(response) = app.oneshot(Request::from_parts(parts, body)).await;
    response
}
