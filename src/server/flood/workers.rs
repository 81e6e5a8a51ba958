//! Threads that serve connections, each with a runtime of its own.
//!
//! A connection stays on one thread with all its calls. So a call that the cache answers moves nothing between threads, and
//! the replies of calls that came together leave in one system call. tokio's multi-threaded runtime takes half as much
//! processor time again for the same calls. Shared parts, such as the cache, the breaker and the upstream connections, are
//! safe to use from all threads.
//!
//! A caller with a single connection is served by one core. That is enough for tens of thousands of cached calls a second, and
//! for more uncached ones than Zendesk allows any account.
//!
//! A connection goes to the thread with the fewest. One that keeps its thread busy holds up only those on the same thread, and
//! these little, because long work has turns: see the table in [`flood`](super).
//!
//! To measure without it: `server.workers = 1`, or [`Workers::here`].

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

/// The threads that serve connections. Dropping it ends the threads and the tasks that still run on them.
pub struct Workers(Vec<Worker>);

struct Worker {
    runtime: Handle,
    /// Has one clone for each of the worker's connections, besides this one.
    busy: Arc<()>,
    _end: Option<oneshot::Sender<()>>,
}

/// One connection's seat at a worker; dropping it frees the seat.
pub(in crate::server) struct Seat {
    /// The runtime that serves the connection.
    pub(in crate::server) runtime: Handle,
    _busy: Arc<()>,
}

impl Workers {
    /// Starts threads.
    ///
    /// # Errors
    /// The system gives no thread or no event queue.
    pub fn start(threads: usize) -> std::io::Result<Self> {
        (0..threads).map(|_| Worker::start()).collect::<Result<_, _>>().map(Self)
    }

    /// Serves all connections on the runtime that this is called on.
    pub fn here() -> Self {
        Self(vec![Worker { runtime: Handle::current(), busy: Arc::default(), _end: None }])
    }

    /// Returns the number of workers.
    pub(in crate::server) fn number(&self) -> usize {
        self.0.len()
    }

    /// Returns a seat at the worker with the fewest connections.
    pub(in crate::server) fn seat(&self) -> Seat {
        let idlest = self.0.iter().min_by_key(|worker| Arc::strong_count(&worker.busy));
        let Worker { runtime, busy, .. } = idlest.expect("there is at least one worker");
        Seat { runtime: runtime.clone(), _busy: Arc::clone(busy) }
    }
}

/// Period of a worker's timer: no longer than the shortest timer of most calls, which is the wait for their message.
const BEAT: Duration = Duration::from_millis(100);

/// Runs a periodic timer until the sender is dropped.
///
/// It saves system calls. tokio makes one for each new timer that ends before all others that it knew when it last waited; without
/// this one that is nearly every timer of a call, and a call that goes upstream has eight.
async fn beat_until(ended: oneshot::Receiver<()>) {
    let mut beat = tokio::time::interval(BEAT);
    let beating = async {
        loop {
            beat.tick().await;
        }
    };
    tokio::select! {
        _ = ended => {}
        () = beating => {}
    }
}

impl Worker {
    fn start() -> std::io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (end, ended) = oneshot::channel::<()>();
        thread::Builder::new().name("worker".to_owned()).spawn(move || {
            runtime.block_on(beat_until(ended));
            // Does not wait for blocking tasks: a DNS lookup must not hold up the end.
            runtime.shutdown_background();
        })?;
        Ok(Self { runtime: handle, busy: Arc::default(), _end: Some(end) })
    }
}

#[cfg(test)]
mod tests {
    use std::thread::ThreadId;

    use super::*;

    fn thread_of(seat: &Seat) -> ThreadId {
        let task = seat.runtime.spawn(async { thread::current().id() });
        Handle::block_on(&seat.runtime, task).expect("the worker runs")
    }

    #[test]
    fn a_connection_goes_where_the_fewest_are() {
        let workers = Workers::start(2).expect("threads");
        let (one, two) = (workers.seat(), workers.seat());
        let (first, second) = (thread_of(&one), thread_of(&two));
        assert_ne!(first, second);
        let more = [workers.seat(), workers.seat()];
        assert_ne!(thread_of(&more[0]), thread_of(&more[1]));
        drop((two, more));
        assert_eq!(thread_of(&workers.seat()), second);
        drop(one);
    }

    #[test]
    fn the_end_of_the_workers_ends_what_runs_on_them() {
        let workers = Workers::start(1).expect("threads");
        let (kept, gone) = std::sync::mpsc::channel::<()>();
        workers.seat().runtime.spawn(async move {
            std::future::pending::<()>().await;
            drop(kept);
        });
        drop(workers);
        let ended = gone.recv_timeout(Duration::from_secs(30));
        assert_eq!(ended, Err(std::sync::mpsc::RecvTimeoutError::Disconnected));
    }
}
