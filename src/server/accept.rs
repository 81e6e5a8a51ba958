//! Accepts connections. Each is served by a task of its own, so that no peer can hold up the next.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout, timeout_at};
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
/// In how long as many connections are turned away at most as may be open, while as many wait as may. The others are left in the
/// listen backlog meanwhile: who is closed comes back at once, and the more do, the fewer of those with a right to it get in. That
/// some are taken out all the same lets newcomers from other addresses, who wait among them, be seen.
const TURN_AWAY: Duration = Duration::from_secs(4);

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
    let mut again: Option<Instant> = None;
    let mut backoff = FIRST_BACKOFF;
    let pause = TURN_AWAY / u32::try_from(settings.max_connections).unwrap_or(u32::MAX);
    // When the next connection is accepted even if nobody else may wait.
    let mut next = Instant::now();
    loop {
        let begins = async {
            let beginning = Arc::clone(&beginnings).acquire_owned().await.expect("it is never closed");
            let newcomer = timeout_at(next, Arc::clone(&newcomers).acquire_owned()).await.ok().and_then(Result::ok);
            listener.accept().await.map(|accepted| (accepted, beginning, newcomer))
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
        let ((socket, address), beginning, newcomer) = match accepted {
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
        next = Instant::now() + pause;
        let most_of_one = settings.max_connections_per_peer;
        let too_many = most_of_one > 0 && open.of(address) >= most_of_one;
        // In the queue from now on: otherwise whoever comes next could take the place that is made for this one.
        let mut acquiring = Box::pin(Arc::clone(&room).acquire_owned());
        let place = (&mut acquiring).now_or_never().and_then(Result::ok);
        let newcomer = if place.is_some() || too_many {
            None
        } else {
            let displaced = if newcomer.is_none() { open.displaced_by(address) } else { None };
            let may_wait = newcomer.is_some() || displaced.is_some();
            match displaced {
                _ if !may_wait || !makes_room(&mut open, &mut again) => None,
                None => newcomer,
                Some(displaced) => {
                    displaced.ask_to_leave();
                    Arc::clone(&newcomers).acquire_owned().await.ok()
                }
            }
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

/// Has a connection make room, if one may: now, or `again` when it is time to look for one.
fn makes_room(open: &mut Open, again: &mut Option<Instant>) -> bool {
    match open.make_room() {
        Room::Made => true,
        Room::Soon(then) => {
            *again = Some(again.map_or(then, |before| before.min(then)));
            true
        }
        Room::Never => false,
    }
}

/// True if an error says only that one connection was gone before it was accepted.
pub fn is_of_one_connection(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}
