//! Accepts connections. Each is served by a task of its own, so that no peer can hold up the next.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tracing::warn;

use super::counts::Counts;
use super::flood::activity::Activity;
use super::flood::open::{Open, Room};
use super::flood::workers::Workers;
use crate::config;
use crate::turns;

/// First backoff of the loop after an error of `accept`, such as no file descriptor left; it doubles while the error lasts.
const FIRST_BACKOFF: Duration = Duration::from_millis(10);
/// Longest backoff.
const LONGEST_BACKOFF: Duration = Duration::from_secs(1);
/// How long a new connection waits for the place of an idle one that was asked to close.
const PATIENCE: Duration = Duration::from_secs(10);

/// Most accepted connections per worker that wait for their first turn; others wait in the listen backlog of the system.
pub const BEGINNINGS: usize = 8;

/// Returns how many new connections may wait at a time for the places of idle ones, where `most` may be open.
pub fn newcomers(most: usize) -> usize {
    (most / 16).clamp(8, 256)
}

/// Accepts connections until the future is dropped. Their tasks go into `connections` and run on `workers`, at most
/// `max_connections` at a time.
pub async fn accept<F>(
    listener: &TcpListener,
    connections: &mut JoinSet<()>,
    settings: &config::Server,
    counts: &Counts,
    workers: &Workers,
    serve: impl Fn(TcpStream, SocketAddr, Activity) -> F + Clone + Send + 'static,
) where
    F: Future<Output = ()> + Send + 'static,
{
    let room = Arc::new(Semaphore::new(settings.max_connections));
    // Bounds how many begin at a time, so that this thread does not take the processor from the threads that serve.
    let beginnings = Arc::new(Semaphore::new(BEGINNINGS * workers.number()));
    // Each newcomer holds a file descriptor, besides those of the open connections.
    let newcomers = Arc::new(Semaphore::new(newcomers(settings.max_connections)));
    let mut open = Open::default();
    // When to look again for connections that make room for those who wait.
    let mut again = None;
    let mut backoff = FIRST_BACKOFF;
    loop {
        let begins = async {
            let beginning = Arc::clone(&beginnings).acquire_owned().await.expect("it is never closed");
            listener.accept().await.map(|accepted| (accepted, beginning))
        };
        let accepted = tokio::select! {
            biased; // connections that have ended are removed before new ones are accepted
            Some(ended) = connections.join_next_with_id() => {
                open.ended(ended.map_or_else(|panicked| panicked.id(), |(id, ())| id));
                continue;
            }
            () = sleep_until(again.unwrap_or_else(Instant::now)), if again.is_some() => {
                again = open.make_all_room();
                continue;
            }
            accepted = begins => accepted,
        };
        let ((socket, address), beginning) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                if !is_of_one_connection(&error) {
                    warn!(%error, "cannot accept connections");
                    sleep(backoff).await;
                    backoff = (backoff * 2).min(LONGEST_BACKOFF);
                }
                continue;
            }
        };
        backoff = FIRST_BACKOFF;
        let most_of_one = settings.max_connections_per_peer;
        let too_many = most_of_one > 0 && open.of(address) >= most_of_one;
        // In the queue from now on: otherwise whoever comes next could take the place that is made for this one.
        let mut acquiring = Box::pin(Arc::clone(&room).acquire_owned());
        let place = (&mut acquiring).now_or_never().and_then(Result::ok);
        let may_wait = place.is_none()
            && !too_many
            && match open.make_room() {
                Room::Made => true,
                Room::Soon(then) => {
                    again = Some(again.map_or(then, |before: Instant| before.min(then)));
                    true
                }
                Room::Never => false,
            };
        let newcomer = match Arc::clone(&newcomers).try_acquire_owned() {
            _ if !may_wait => None,
            Ok(newcomer) => Some(newcomer),
            Err(_) if open.displace(address) => Arc::clone(&newcomers).acquire_owned().await.ok(),
            Err(_) => None,
        };
        if too_many || place.is_none() && newcomer.is_none() {
            counts.turn_away();
            workers.seat().runtime.spawn(async move {
                turns::to_begin().await;
                drop((socket, beginning));
            });
            continue;
        }
        // Without Nagle's algorithm: a small reply must not wait for the acknowledgement of an earlier one.
        if socket.set_nodelay(true).is_err() {
            continue;
        }
        // Registered anew on the worker's runtime, so that its events wake the worker and not this loop.
        let Ok(socket) = socket.into_std() else { continue };
        let (serve, counted, seat) = (serve.clone(), counts.begin(), workers.seat());
        let worker = seat.runtime.clone();
        let activity = if place.is_some() { Activity::begin() } else { Activity::without_a_place() };
        let (counts, begun) = (counts.clone(), activity.clone());
        let connection = async move {
            // The worker's established connections go first.
            turns::to_begin().await;
            drop(beginning);
            let place = if place.is_some() {
                place
            } else {
                let place = tokio::select! {
                    place = timeout(PATIENCE, acquiring) => place.ok().and_then(Result::ok),
                    () = activity.asked_to_leave() => None,
                };
                activity.has_its_place();
                place
            };
            drop(newcomer);
            match (&place, TcpStream::from_std(socket)) {
                (Some(_), Ok(socket)) => serve(socket, address, activity).await,
                _ => counts.turn_away(),
            }
            drop((place, counted, seat));
        };
        let task = connections.spawn_on(connection, &worker).id();
        open.begun(task, address, begun);
    }
}

/// True if an error says only that one connection was gone before it was accepted.
pub fn is_of_one_connection(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}
