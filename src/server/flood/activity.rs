//! Tracks whether a connection is in use, and asks it to make room for another. It serves [`open`](super::open).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use crate::rpc::facts::Health;

/// A connection's activity, shared between its task and the accept loop. Clones share it.
#[derive(Clone)]
pub struct Activity(Arc<Inner>);

struct Inner {
    calls: TaskTracker,
    began: Instant,
    /// When the last call ended, in milliseconds since the connection began.
    last: AtomicU64,
    /// True once the connection has its place.
    placed: AtomicBool,
    /// True once the peer has begun to speak HTTP/2.
    spoken: AtomicBool,
    health: Health,
}

impl Activity {
    /// Returns the activity of a connection that begins now.
    pub fn begin() -> Self {
        Self(Arc::new(Inner {
            calls: TaskTracker::new(),
            began: Instant::now(),
            last: AtomicU64::new(0),
            placed: AtomicBool::new(true),
            spoken: AtomicBool::new(false),
            health: Health::default(),
        }))
    }

    /// Returns the activity of a connection that begins now and waits for a place. It has none to give to another.
    pub fn without_a_place() -> Self {
        let activity = Self::begin();
        activity.0.placed.store(false, Ordering::Relaxed);
        activity
    }

    /// Notes that the connection has its place.
    pub fn has_its_place(&self) {
        self.call_ends(); // it is idle from now on, and not since it came
        self.0.placed.store(true, Ordering::Relaxed);
    }

    /// Returns the tracker of the connection's calls.
    pub fn calls(&self) -> &TaskTracker {
        &self.0.calls
    }

    /// Notes that a call ends.
    pub fn call_ends(&self) {
        let now = u64::try_from(self.0.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.0.last.store(now, Ordering::Relaxed);
    }

    /// Returns what the connection has for health checks.
    pub fn health(&self) -> &Health {
        &self.0.health
    }

    /// Notes that the peer has begun to speak HTTP/2.
    pub fn speaks(&self) {
        self.0.spoken.store(true, Ordering::Relaxed);
    }

    /// True until the peer has begun to speak HTTP/2.
    pub fn is_silent(&self) -> bool {
        !self.0.spoken.load(Ordering::Relaxed)
    }

    /// Returns how long the connection has been without a call by `now`; none if it has one, was asked to close, or has no place
    /// yet. Watches of the health are no calls here: otherwise a stranger with one watch on each connection could keep newcomers
    /// out for good.
    pub fn idle(&self, now: Instant) -> Option<Duration> {
        let Health { watching, leave, .. } = &self.0.health;
        let placed = self.0.placed.load(Ordering::Relaxed);
        let unused = placed && self.0.calls.len() <= watching.len() && !leave.is_cancelled();
        let last = Duration::from_millis(self.0.last.load(Ordering::Relaxed));
        unused.then(|| now.saturating_duration_since(self.0.began + last))
    }

    /// Whether both are of one connection.
    #[cfg(test)]
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Asks the connection to close, to make room for another.
    pub fn ask_to_leave(&self) {
        self.0.health.leave.cancel();
    }

    /// Completes when the connection is asked to close.
    pub async fn asked_to_leave(&self) {
        self.0.health.leave.cancelled().await;
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_connection_is_idle_from_the_end_of_its_last_call_until_it_is_to_leave() {
        let (activity, second) = (Activity::begin(), Duration::from_secs(1));
        let idle = || activity.idle(Instant::now());
        advance(second * 3).await;
        assert_eq!(idle(), Some(second * 3), "it never had a call");
        let call = activity.calls().token();
        assert_eq!(idle(), None);
        drop(call);
        activity.call_ends();
        advance(second).await;
        assert_eq!(idle(), Some(second));
        assert!(activity.asked_to_leave().now_or_never().is_none());
        let watch = (activity.calls().token(), activity.health().watching.token());
        assert_eq!(idle(), Some(second), "a watch of the health is no use");
        drop(watch);
        activity.ask_to_leave();
        assert!(activity.asked_to_leave().now_or_never().is_some());
        assert_eq!(idle(), None, "it is not asked twice");

        let waiting = Activity::without_a_place();
        advance(second).await;
        assert_eq!(waiting.idle(Instant::now()), None);
        waiting.has_its_place();
        assert_eq!(waiting.idle(Instant::now()), Some(Duration::ZERO));
    }
}
