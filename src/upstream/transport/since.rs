//! Since when a condition has held, if it does.

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;

/// When the condition began to hold, in milliseconds of [`Link::now`](super::link::Link::now); 0 if it does not hold.
#[derive(Default)]
pub struct Since(AtomicU64);

impl Since {
    /// Notes that it holds, and returns for how long it has.
    pub fn begin(&self, now: u64) -> Duration {
        let since = self.0.compare_exchange(0, now, SeqCst, SeqCst).err().unwrap_or(now);
        Duration::from_millis(now.saturating_sub(since))
    }

    /// Notes that it holds from now on, or does not hold.
    pub fn restart(&self, now: u64, holds: bool) {
        self.0.store(if holds { now } else { 0 }, SeqCst);
    }

    /// Notes that it holds from now on, unless it has begun to less than this ago. Returns whether that is so.
    pub fn begin_again(&self, now: u64, after: Duration) -> bool {
        let is_over = |since| since == 0 || Duration::from_millis(now.saturating_sub(since)) >= after;
        self.0.fetch_update(SeqCst, SeqCst, |since| is_over(since).then_some(now)).is_ok()
    }

    /// Notes that it does not hold.
    pub fn end(&self) {
        self.0.store(0, SeqCst);
    }

    /// Returns for how long it has held, if it does.
    pub fn elapsed(&self, now: u64) -> Option<Duration> {
        let since = self.0.load(SeqCst);
        (since != 0).then(|| Duration::from_millis(now.saturating_sub(since)))
    }
}
