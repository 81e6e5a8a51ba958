//! Accepts connections: each is served by a task of its own, so that no peer can hold up the next.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tracing::warn;

use super::workers::Workers;
use crate::telemetry::view;

/// How long the loop rests after an error at first, such as no file descriptor left; the rest doubles while it lasts.
const FIRST_REST: Duration = Duration::from_millis(10);
/// Where the doubling ends.
const LONGEST_REST: Duration = Duration::from_secs(1);

/// Counts connections. Cloning shares it.
#[derive(Clone, Default)]
pub struct Counts(Arc<Numbers>);

#[derive(Default)]
struct Numbers {
    accepted: AtomicU64,
    ended: AtomicU64,
    refused: AtomicU64,
}

impl Counts {
    /// Returns the numbers as telemetry shows them.
    pub fn view(&self) -> view::Connections {
        // The later count is read first, so that the difference is never below 0.
        let ended = self.0.ended.load(Ordering::Acquire);
        let accepted = self.0.accepted.load(Ordering::Acquire);
        view::Connections {
            active: accepted.saturating_sub(ended),
            accepted,
            refused: self.0.refused.load(Ordering::Relaxed),
        }
    }

    /// Counts a connection that was given up before its first call.
    pub fn refuse(&self) {
        self.0.refused.fetch_add(1, Ordering::Relaxed);
    }
}

/// Accepts until the future is dropped; the connections go on in `connections` and on `workers`, at most `most` at a time.
pub async fn accept<F>(
    listener: &TcpListener,
    connections: &mut JoinSet<()>,
    most: usize,
    counts: &Counts,
    workers: &Workers,
    serve: impl Fn(TcpStream, SocketAddr) -> F + Clone + Send + 'static,
) where
    F: Future<Output = ()> + Send + 'static,
{
    let room = Arc::new(Semaphore::new(most));
    let mut rest = FIRST_REST;
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = connections.join_next() => continue,
        };
        let (socket, address) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                if !is_of_one_connection(&error) {
                    warn!(%error, "cannot accept connections");
                    sleep(rest).await;
                    rest = (rest * 2).min(LONGEST_REST);
                }
                continue;
            }
        };
        rest = FIRST_REST;
        let Ok(place) = Arc::clone(&room).try_acquire_owned() else {
            counts.refuse();
            continue;
        };
        // Small replies must not wait for the acknowledgement of others.
        if socket.set_nodelay(true).is_err() {
            continue;
        }
        // Its events are to wake the worker that serves it, not this loop.
        let Ok(socket) = socket.into_std() else { continue };
        counts.0.accepted.fetch_add(1, Ordering::Release);
        let (serve, counts, seat) = (serve.clone(), Ended(counts.clone()), workers.seat());
        let worker = seat.runtime.clone();
        let connection = async move {
            if let Ok(socket) = TcpStream::from_std(socket) {
                serve(socket, address).await;
            }
            drop((place, counts, seat));
        };
        connections.spawn_on(connection, &worker);
    }
}

/// Whether an error says only that the next connection was gone before it was accepted.
fn is_of_one_connection(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

/// Counts the end of a connection, however it comes.
struct Ended(Counts);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.0.ended.fetch_add(1, Ordering::Release);
    }
}
