//! Since when something has been so, if it is.

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;

/// When it began, in milliseconds of [`Link::now`](super::link::Link::now); 0 if it is not so.
#[derive(Default)]
pub struct Since(AtomicU64);

impl Since {
    /// Notes that it is so, and returns for how long it has been.
    pub fn begin(&self, now: u64) -> Duration {
        let since = self.0.compare_exchange(0, now, SeqCst, SeqCst).err().unwrap_or(now);
        Duration::from_millis(now.saturating_sub(since))
    }

    /// Notes that it is so from now on, or is not.
    pub fn restart(&self, now: u64, is_so: bool) {
        self.0.store(if is_so { now } else { 0 }, SeqCst);
    }

    /// Notes that it is not so.
    pub fn end(&self) {
        self.0.store(0, SeqCst);
    }

    /// For how long it has been so.
    pub fn elapsed(&self, now: u64) -> Option<Duration> {
        let since = self.0.load(SeqCst);
        (since != 0).then(|| Duration::from_millis(now.saturating_sub(since)))
    }
}
