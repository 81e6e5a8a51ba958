//! Threads that serve connections, each with a runtime of its own.
//!
//! A connection stays on one thread with all its calls. Nothing is then handed between threads for a call that the cache
//! answers, and the replies of calls that came together leave in one system call: tokio's multi-threaded runtime takes half as
//! much processor time again for the same calls. What is shared, such as the cache, the breaker and the upstream connections,
//! works across threads anyway.
//!
//! A caller with one single connection has one core. That is tens of thousands of cached calls a second, and more uncached
//! ones than Zendesk lets any account make.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

/// Where connections are served. Dropping it ends the threads, and what still runs on them.
pub struct Workers(Vec<Worker>);

struct Worker {
    runtime: Handle,
    /// As many clones as the worker has connections, and this one.
    busy: Arc<()>,
    _end: Option<oneshot::Sender<()>>,
}

/// One connection's seat at a worker; dropping it makes room.
pub(in crate::server) struct Seat {
    /// The runtime to serve it on.
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

    /// How many there are.
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

/// Time between two beats of a worker: as short as the shortest timer of most calls, by which a message should have come.
const BEAT: Duration = Duration::from_millis(100);

/// Runs until the sender is gone, and always has a timer that is about to end.
///
/// tokio makes a system call for each timer that would end before all that it knew when it last waited. Without the beat these
/// are most of the timers of a call, eight for each that goes upstream.
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
            // A name that is being resolved must not hold up the end.
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
