//! Tracks whether a connection is in use, and asks it to make room for another. It serves [`open`](super::open).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use crate::rpc::facts::Connection;

/// A connection's activity, shared between its task and the accept loop. Clones share it.
#[derive(Clone)]
pub struct Activity(Arc<Inner>);

struct Inner {
    calls: TaskTracker,
    /// True once the connection has its place.
    placed: AtomicBool,
    /// True once the peer has begun to speak HTTP/2.
    spoken: AtomicBool,
    connection: Connection,
}

/// How much a connection is worth to its peer, the least first: that is the order in which connections make room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Worth {
    /// Its peer has not begun to speak HTTP/2.
    Silent,
    /// It has had no call of a known caller yet, and is not of a replica that has proved itself.
    Unproven,
    /// It was in use, or is a replica's.
    Proven,
}

impl Activity {
    /// Returns the activity of a connection that begins now.
    pub fn begin() -> Self {
        Self(Arc::new(Inner {
            calls: TaskTracker::new(),
            placed: AtomicBool::new(true),
            spoken: AtomicBool::new(false),
            connection: Connection::default(),
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
        self.0.connection.usage.restart(); // it is idle from now on, and not since it came
        self.0.placed.store(true, Ordering::Relaxed);
    }

    /// True while the connection waits for a place.
    pub fn waits(&self) -> bool {
        !self.0.placed.load(Ordering::Relaxed)
    }

    /// Returns the tracker of the connection's calls.
    pub fn calls(&self) -> &TaskTracker {
        &self.0.calls
    }

    /// Returns what the connection's calls share.
    pub fn connection(&self) -> &Connection {
        &self.0.connection
    }

    /// Notes that the peer has begun to speak HTTP/2.
    pub fn speaks(&self) {
        self.0.spoken.store(true, Ordering::Relaxed);
    }

    /// Returns how much the connection is worth.
    pub fn worth(&self) -> Worth {
        let connection = &self.0.connection;
        let proven = connection.usage.was_ever() || connection.proved.load(Ordering::Relaxed);
        match (self.0.spoken.load(Ordering::Relaxed), proven) {
            (false, _) => Worth::Silent,
            (true, false) => Worth::Unproven,
            (true, true) => Worth::Proven,
        }
    }

    /// Returns whose connection it is: the number of the share of its last caller. None if it has had no call of a known caller, or
    /// carries the calls of many for another replica.
    pub fn owner(&self) -> Option<u64> {
        let connection = &self.0.connection;
        connection.usage.caller().filter(|_| !connection.proved.load(Ordering::Relaxed))
    }

    /// Returns how long the connection has not been in use by `now`; none if it is, was asked to close, or has no place yet.
    pub fn idle(&self, now: Instant) -> Option<Duration> {
        self.0.connection.usage.idle(now).filter(|_| !self.waits() && !self.is_to_leave())
    }

    /// Whether both are of one connection.
    #[cfg(test)]
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Asks the connection to close, to make room for another.
    pub fn ask_to_leave(&self) {
        self.0.connection.leave.cancel();
    }

    /// True once the connection was asked to close.
    pub fn is_to_leave(&self) -> bool {
        self.0.connection.leave.is_cancelled()
    }

    /// True while the connection waits for a place and was not turned away.
    pub fn waits_for_a_place(&self) -> bool {
        self.waits() && !self.is_to_leave()
    }

    /// True while the connection has a place that somebody else gets.
    pub fn gives_up_its_place(&self) -> bool {
        !self.waits() && self.is_to_leave()
    }

    /// Completes when the connection is asked to close.
    pub async fn asked_to_leave(&self) {
        self.0.connection.leave.cancelled().await;
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use tokio::time::advance;

    use super::*;
    use crate::gateway::InUse;

    #[tokio::test(start_paused = true)]
    async fn a_connection_is_idle_from_the_end_of_its_last_call_until_it_is_to_leave() {
        let (activity, second) = (Activity::begin(), Duration::from_secs(1));
        let idle = || activity.idle(Instant::now());
        activity.speaks();
        advance(second * 3).await;
        assert_eq!((idle(), activity.worth()), (Some(second * 3), Worth::Unproven), "it never had a call");
        let without_a_message = activity.calls().token();
        assert_eq!(idle(), Some(second * 3), "a call whose message has not come is no use");
        let calls = [(); 2].map(|()| InUse::begin(&activity.connection().usage, 1));
        assert_eq!(idle(), None);
        let [one, other] = calls;
        drop(one);
        assert_eq!(idle(), None);
        drop(other);
        advance(second).await;
        assert_eq!((idle(), activity.worth()), (Some(second), Worth::Proven));
        assert!(activity.asked_to_leave().now_or_never().is_none());
        activity.ask_to_leave();
        assert!(activity.asked_to_leave().now_or_never().is_some());
        assert_eq!(idle(), None, "it is not asked twice");
        drop(without_a_message);

        let waiting = Activity::without_a_place();
        advance(second).await;
        assert_eq!(waiting.idle(Instant::now()), None);
        waiting.has_its_place();
        assert_eq!(waiting.idle(Instant::now()), Some(Duration::ZERO));
    }
}
