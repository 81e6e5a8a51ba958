//! Whether a caller's connection is in use.
//!
//! Only calls of the contract count, from their message on: whoever makes one is known and asks for something. A call whose
//! message never comes, a watch of the health or a session of reflection costs its peer nothing, and a stranger can have one on
//! every connection.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// A connection's use.
#[derive(Debug)]
pub struct Usage {
    calls: AtomicUsize,
    /// True once it was in use.
    ever: AtomicBool,
    /// Whose call was the last, as the number of a share.
    caller: AtomicU64,
    since: Instant,
    /// When it was in use last, or became free to be used, in milliseconds after `since`.
    last: AtomicU64,
}

impl Default for Usage {
    fn default() -> Self {
        Self {
            calls: AtomicUsize::new(0),
            ever: AtomicBool::new(false),
            caller: AtomicU64::new(0),
            since: Instant::now(),
            last: AtomicU64::new(0),
        }
    }
}

impl Usage {
    /// Lets the time without use begin now.
    pub fn restart(&self) {
        let now = u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last.store(now, Ordering::Relaxed);
    }

    /// True if it was in use before, or is.
    pub fn was_ever(&self) -> bool {
        self.ever.load(Ordering::Relaxed)
    }

    /// Returns the number of the share of whoever has made a call on it last; none if nobody has.
    pub fn caller(&self) -> Option<u64> {
        self.was_ever().then(|| self.caller.load(Ordering::Relaxed))
    }

    /// Returns how long it has not been in use by `now`; none if it is.
    pub fn idle(&self, now: Instant) -> Option<Duration> {
        let last = self.since + Duration::from_millis(self.last.load(Ordering::Relaxed));
        (self.calls.load(Ordering::Relaxed) == 0).then(|| now.saturating_duration_since(last))
    }
}

/// A call that uses its connection, until it is dropped.
#[derive(Debug)]
pub struct InUse(Arc<Usage>);

impl InUse {
    /// Begins to use a connection, for the caller whose share has this number.
    pub fn begin(usage: &Arc<Usage>, caller: u64) -> Self {
        usage.calls.fetch_add(1, Ordering::Relaxed);
        usage.caller.store(caller, Ordering::Relaxed);
        usage.ever.store(true, Ordering::Relaxed);
        Self(Arc::clone(usage))
    }
}

impl Drop for InUse {
    fn drop(&mut self) {
        self.0.restart();
        self.0.calls.fetch_sub(1, Ordering::Relaxed);
    }
}
