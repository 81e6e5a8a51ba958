//! The gRPC port: its connections, and the layers between a call's headers and the services.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::pin;
use std::time::Duration;

use anyhow::Context as _;
use futures_util::future::BoxFuture;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout_at};
use tonic_health::ServingStatus;
use tower::ServiceBuilder;
use tracing::{debug, info, warn};

use crate::config;
use crate::gateway::Drain;
use crate::rpc::Rpc;
use crate::rpc::facts::{Peer, Terms};
use crate::share::Shares;
use crate::telemetry::Telemetry;

mod accept;
pub mod admin;
mod connection;
mod counts;
mod deadline;
pub mod descriptors;
mod ending;
pub mod flood;
mod framing;
pub mod identity;
pub mod inbound;
mod leave;
mod limit;
pub mod panics;
mod protocol;
mod refusal;
mod routes;
pub mod signals;
pub mod sources;
pub mod tls;
pub mod trace;

use admin::Readiness;
use connection::Server;
use counts::Counts;
use flood::activity::Activity;
use flood::workers::Workers;
use identity::Identity;
use tls::Tls;

/// Where connections come from.
pub struct Listener {
    /// The socket.
    pub socket: TcpListener,
    /// TLS; none if the port is plaintext.
    pub tls: Option<Tls>,
}

impl From<TcpListener> for Listener {
    fn from(socket: TcpListener) -> Self {
        Self { socket, tls: None }
    }
}

/// The services, and how their callers are authenticated.
pub struct Served {
    /// The contract's services.
    pub rpc: Rpc,
    /// Authenticates and authorizes callers.
    pub identity: Identity,
    /// Completes when nothing but the callers' authentication is in the way of calls.
    pub able: BoxFuture<'static, ()>,
}

/// Serves connections on `workers`. `readiness` and health checks say that calls should come as soon as callers can be
/// authenticated, which can take a while where tokens are verified (see [`Identity::settle`]), and [`Served::able`] has
/// completed. It goes on until `shutdown` completes, and then until the last call has ended, or `server.drain.timeout` has
/// passed.
///
/// Dropping the future ends every connection at once.
///
/// # Errors
/// The listener does not work, or reflection cannot serve the contract's descriptors.
pub async fn run(
    listener: impl Into<Listener>,
    served: Served,
    settings: &config::Server,
    telemetry: &Telemetry,
    readiness: &Readiness,
    workers: &Workers,
    shutdown: impl Future<Output = ()>,
) -> anyhow::Result<()> {
    let Listener { socket: listener, tls } = listener.into();
    listener.local_addr().context("the gRPC port")?;
    let drain = Drain::default();
    let (routes, health) = routes::routes(served.rpc.until(&drain, settings), settings).await?;
    let stack = ServiceBuilder::new()
        // refuses what is no gRPC call, and collects a call's facts; one span and access line each
        .layer(trace::Layer::new(telemetry, &Terms::of(settings)).trusting(&served.identity))
        .layer(panics::Layer) // a panic below ends one call with INTERNAL, which the layer above still records
        .layer(limit::Layer) // bounds the calls under way, above the layers that spend anything on a call
        .layer(deadline::Layer::new(settings, &drain)) // everything below ends in time, even the wait for the request's message
        .layer(leave::Layer(drain.clone())) // health watches and reflection end when the gateway shuts down
        .layer(identity::Layer::new(&served.identity, telemetry)) // refuses a caller before its message is read
        .service(routes);

    let counts = Counts::default();
    sources::connections(telemetry, &counts);
    sources::messages(telemetry, served.identity.shares());
    let answering = Server::new(stack, settings, &drain, &counts);
    let serve = {
        let (drain, counts, shares) = (drain.clone(), counts.clone(), served.identity.shares().clone());
        let tls = tls.map(|tls| (tls, shares));
        move |socket, address, activity| {
            let accepted = Accepted { socket, address, activity };
            serve(accepted, tls.clone(), answering.clone(), drain.clone(), counts.clone())
        }
    };
    let mut connections = JoinSet::new();
    let signal = async {
        let mut shutdown = pin!(shutdown);
        // Meanwhile the port is served: callers who prove themselves in another way than by a token need not wait.
        tokio::select! {
            () = &mut shutdown => {}
            _ = futures_util::future::join(served.identity.settle(), served.able) => {
                readiness.serving();
                health.say(ServingStatus::Serving).await;
                shutdown.await;
            }
        }
        let signalled = Instant::now();
        info!(drain.announce_s = settings.drain.announce.as_secs_f64(), "draining: calls should go elsewhere");
        readiness.draining();
        health.say(ServingStatus::NotServing).await;
        sleep(settings.drain.announce).await;
        signalled
    };
    let signalled = tokio::select! {
        signalled = signal => signalled,
        () = accept::accept(&listener, &mut connections, settings, &counts, workers, serve) => Instant::now(),
    };
    drain.begin();
    drop(listener);
    let ended = async { while connections.join_next().await.is_some() {} };
    if timeout_at(signalled + settings.drain.timeout, ended).await.is_err() {
        warn!(connections.cut = connections.len(), "the drain took too long; the calls that are left are cut");
        connections.shutdown().await;
        // Gives the calls' own tasks time to see that their connections have ended, and to write their access lines.
        sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

/// An accepted connection, before its first byte is read.
struct Accepted {
    socket: TcpStream,
    address: SocketAddr,
    activity: Activity,
}

/// Serves one connection, after its TLS handshake if there is one.
async fn serve<S: connection::Stack>(
    accepted: Accepted,
    tls: Option<(Tls, Shares)>,
    server: Server<S>,
    drain: Drain,
    counts: Counts,
) {
    let Accepted { socket, address, activity } = accepted;
    let peer = |certificates| Peer::new(address, certificates, activity.connection().clone());
    let Some((tls, shares)) = tls else { return server.serve(socket, peer(None), &activity).await };
    let shaken = tokio::select! {
        shaken = tls.accept(socket, &shares) => shaken,
        // The peer has made no call yet, so nothing is lost.
        () = drain.begun() => return counts.refuse(),
        () = activity.asked_to_leave() => return counts.refuse(),
    };
    match shaken {
        Ok((socket, certificates)) => server.serve(socket, peer(certificates), &activity).await,
        Err(error) => {
            counts.refuse();
            debug!(%error, "no TLS with a peer");
        }
    }
}
