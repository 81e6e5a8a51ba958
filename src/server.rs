//! The gRPC port: its connections, and the layers between a call's headers and the services.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::pin;
use std::time::Duration;

use anyhow::Context as _;
use futures_util::future::BoxFuture;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tonic_health::ServingStatus;
use tower::ServiceBuilder;
use tracing::{debug, info, warn};

use crate::config;
use crate::fleet::hop::Refused;
use crate::fleet::link::{Course, Link};
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
pub mod fleet;
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
mod spoken;
pub mod tls;
pub mod trace;

use admin::Readiness;
use connection::{LAST_WORDS, Server};
use counts::Counts;
use fleet::{Member, Port, forward, internal};
use flood::activity::Activity;
use flood::workers::Workers;
use identity::Identity;
use routes::Health;
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
    /// What this replica is in its fleet; none without one.
    pub member: Option<Member>,
    /// The internal port, if it leads.
    pub port: Option<Port>,
}

/// Serves connections on `workers`. `readiness` and health checks say that calls should come as soon as callers can be
/// authenticated, which can take a while where tokens are verified (see [`Identity::settle`]), [`Served::able`] has
/// completed, and a follower has found its leader, or acts alone. It goes on until `shutdown` completes, and then until the last
/// call has ended, or `server.drain.timeout` has passed.
///
/// Dropping the future ends every connection at once.
///
/// # Errors
/// The listener does not work, or reflection cannot serve the contract's descriptors.
pub async fn run(
    listener: impl Into<Listener>,
    mut served: Served,
    settings: &config::Server,
    telemetry: &Telemetry,
    readiness: &Readiness,
    workers: &Workers,
    shutdown: impl Future<Output = ()>,
) -> anyhow::Result<()> {
    let driver = served.port.as_mut().and_then(|port| port.driver.take());
    let serving = Box::pin(serve_until(listener.into(), served, settings, telemetry, readiness, workers, shutdown));
    let Some(driver) = driver else { return serving.await };
    // To the end: who shuts down forwards the calls that still come.
    tokio::select! {
        outcome = serving => outcome,
        () = driver => Ok(()),
    }
}

async fn serve_until(
    listener: Listener,
    served: Served,
    settings: &config::Server,
    telemetry: &Telemetry,
    readiness: &Readiness,
    workers: &Workers,
    shutdown: impl Future<Output = ()>,
) -> anyhow::Result<()> {
    let Listener { socket: listener, tls } = listener;
    listener.local_addr().context("the gRPC port")?;
    let drain = Drain::default();
    let Served { rpc, identity, able, member, port } = served;
    let (routes, health) = routes::routes(rpc.until(&drain, settings), settings).await?;
    let terms = Terms::of(settings);
    let layers = |trace: trace::Layer| {
        ServiceBuilder::new()
            .layer(trace) // refuses what is no gRPC call, and collects a call's facts; one span and access line each
            .layer(panics::Layer) // a panic below ends one call with INTERNAL, which the layer above still records
            .layer(limit::Layer) // bounds the calls under way, above the layers that spend anything on a call
            .layer(deadline::Layer::new(settings, &drain)) // all below ends in time, even the wait for the request's message
            .layer(leave::Layer(drain.clone())) // health watches and reflection end when the gateway shuts down
    };
    let trace = trace::Layer::new(telemetry, &terms);
    let stack = layers(trace.clone().trusting(&identity))
        .layer(identity::Layer::new(&identity, telemetry)) // refuses a caller before its message is read
        .layer(forward::Layer::new(member.as_ref(), settings.max_request_bytes)) // to the leader, if another replica leads
        .service(routes.clone());

    let counts = Counts::default();
    sources::connections(telemetry, &counts);
    sources::messages(telemetry, identity.shares());
    let shares = identity.shares().clone();
    let answering = Server::new(stack, settings, &drain, &counts);
    let serve = serve(tls, answering, shares.clone(), drain.clone(), counts.clone());
    let mut connections = JoinSet::new();
    let link = member.as_ref().and_then(Member::link);
    if let Some(link) = link {
        link.until(&drain);
    }
    let elected = member.as_ref().and_then(Member::elected);
    let signal = async {
        let mut shutdown = pin!(shutdown);
        // Meanwhile the port is served: callers who prove themselves in another way than by a token need not wait.
        tokio::select! {
            () = &mut shutdown => {}
            () = async {
                futures_util::future::join(identity.settle(), able).await;
                if let Some(elected) = elected {
                    elected.be_able();
                }
                say_whether_ready(link, readiness, &health).await;
            } => shutdown.await,
        }
        let signalled = Instant::now();
        info!(drain.announce_s = settings.drain.announce.as_secs_f64(), "draining: calls should go elsewhere");
        readiness.draining();
        health.say(ServingStatus::NotServing).await;
        let leave = async {
            if let Some(elected) = elected {
                elected.retire();
                elected.hand_over().await;
            }
        };
        futures_util::future::join(sleep(settings.drain.announce), leave).await;
        signalled
    };
    let mut followers = JoinSet::new();
    let internal = async {
        let Some(Port { socket, tls, mut answers, .. }) = port else { return std::future::pending().await };
        answers.readiness = readiness.clone();
        let settings = fleet::settings(settings);
        let pings = internal::Pings(answers.clone());
        let stack = layers(trace.trusting_everybody()).layer(internal::Layer(answers)).service(routes);
        let stack = ServiceBuilder::new().layer(pings).service(stack);
        let counts = Counts::default();
        let answering = Server::new(stack, &settings, &drain, &counts).of_replicas();
        let serve = self::serve(Some(tls), answering, shares.clone(), drain.clone(), counts.clone());
        accept::accept(&socket, &mut followers, &settings, &counts, workers, serve).await;
    };
    let signalled = tokio::select! {
        signalled = signal => signalled,
        () = accept::accept(&listener, &mut connections, settings, &counts, workers, serve) => Instant::now(),
        () = internal => Instant::now(),
    };
    drain.begin();
    drop(listener);
    let mut ended = async || {
        while connections.join_next().await.is_some() {}
        while followers.join_next().await.is_some() {}
    };
    let cut = (signalled + settings.drain.timeout).checked_sub(LAST_WORDS).unwrap_or(signalled);
    if timeout_at(cut, ended()).await.is_err() {
        drain.end();
        // The calls end at once, and say why; their connections end once that was sent.
        timeout(LAST_WORDS, ended()).await.ok();
        let left = connections.len() + followers.len();
        warn!(connections.cut = left, "the drain took too long; the calls that are left are cut");
        connections.shutdown().await;
        followers.shutdown().await;
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

/// Says that calls should come, as soon and as long as they are answered as they should be; for ever only if this replica follows.
async fn say_whether_ready(link: Option<&Link>, readiness: &Readiness, health: &Health) {
    let Some(link) = link else {
        readiness.serving();
        return health.say(ServingStatus::Serving).await;
    };
    let mut courses = link.courses();
    let is_foreign = |course: &Course| *course == Course::Alone(Refused::OtherAccount);
    loop {
        // While calls are held for a leader that was there, more may come.
        if courses.wait_for(|course| *course != Course::Held && !is_foreign(course)).await.is_err() {
            return;
        }
        readiness.serving();
        health.say(ServingStatus::Serving).await;
        if courses.wait_for(is_foreign).await.is_err() {
            return;
        }
        readiness.waiting();
        health.say(ServingStatus::NotServing).await;
    }
}

/// Returns what serves a connection, after its TLS handshake if there is one.
fn serve<S: connection::Stack>(
    tls: Option<Tls>,
    answering: Server<S>,
    shares: Shares,
    drain: Drain,
    counts: Counts,
) -> impl Fn(TcpStream, SocketAddr, Activity) -> BoxFuture<'static, ()> + Clone + Send + 'static {
    let tls = tls.map(|tls| (tls, shares));
    move |socket, address, activity| {
        let accepted = Accepted { socket, address, activity };
        Box::pin(serve_one(accepted, tls.clone(), answering.clone(), drain.clone(), counts.clone()))
    }
}

/// Serves one connection, after its TLS handshake if there is one.
async fn serve_one<S: connection::Stack>(
    accepted: Accepted,
    tls: Option<(Tls, Shares)>,
    server: Server<S>,
    drain: Drain,
    counts: Counts,
) {
    let Accepted { socket, address, activity } = accepted;
    let connection = server.connection(activity.connection());
    let peer = |certificates| Peer::new(address, certificates, connection.clone());
    let Some((tls, shares)) = tls else { return server.serve(socket, false, peer(None), &activity).await };
    let shaken = tokio::select! {
        shaken = tls.accept(socket, &shares) => shaken,
        // The peer has made no call yet, so nothing is lost.
        () = drain.begun() => return counts.refuse(),
        () = activity.asked_to_leave() => return counts.refuse(),
    };
    match shaken {
        Ok((socket, certificates)) => {
            let agreed = socket.get_ref().1.alpn_protocol().is_some();
            server.serve(socket, agreed, peer(certificates), &activity).await;
        }
        Err(error) => {
            counts.refuse();
            if let Some(whose) = tls::distrusted(&error) {
                counts.distrust(whose);
            }
            if let Some(spoken) = tls::spoken(&error) {
                counts.stray(spoken);
            }
            debug!(%error, "no TLS with a peer");
        }
    }
}
