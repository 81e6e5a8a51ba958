//! Tracks whether a connection is in use, and asks it to make room for another.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// A connection's activity, shared between its task and the accept loop. Clones share it.
#[derive(Clone)]
pub struct Activity(Arc<Inner>);

struct Inner {
    calls: TaskTracker,
    began: Instant,
    /// When the last call ended, in milliseconds since the connection began.
    last: AtomicU64,
    leave: CancellationToken,
}

impl Activity {
    /// Returns the activity of a connection that begins now.
    pub fn begin() -> Self {
        Self(Arc::new(Inner {
            calls: TaskTracker::new(),
            began: Instant::now(),
            last: AtomicU64::new(0),
            leave: CancellationToken::new(),
        }))
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

    /// Returns how long the connection has been without a call by `now`; none if it has one, or was asked to close.
    pub fn idle(&self, now: Instant) -> Option<Duration> {
        let unused = self.0.calls.is_empty() && !self.0.leave.is_cancelled();
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
        self.0.leave.cancel();
    }

    /// Completes when the connection is asked to close.
    pub async fn asked_to_leave(&self) {
        self.0.leave.cancelled().await;
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
        activity.ask_to_leave();
        assert!(activity.asked_to_leave().now_or_never().is_some());
        assert_eq!(idle(), None, "it is not asked twice");
    }
}
