//! How many exchanges with Zendesk there were that should be quick, and how many of them were slow.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// An exchange that takes longer is slow.
const SLOW: Duration = Duration::from_millis(2_500);
/// Classes whose exchanges are not counted, because they take long by nature.
const LONG_BY_NATURE: [&str; 2] = ["bulk", "user_search"];

/// The exchanges since the start.
#[derive(Debug, Default)]
pub struct Exchanges {
    all: AtomicU64,
    slow: AtomicU64,
}

impl Exchanges {
    /// Counts an exchange, unless its endpoint class is long by nature.
    pub fn note(&self, class: &str, took: Duration) {
        if LONG_BY_NATURE.contains(&class) {
            return;
        }
        self.all.fetch_add(1, Ordering::Relaxed);
        if took > SLOW {
            self.slow.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Returns how many were counted, and how many of them were slow.
    pub fn read(&self) -> (u64, u64) {
        // The slow ones first: they are counted later, so they are never more than all.
        let slow = self.slow.load(Ordering::Acquire);
        (self.all.load(Ordering::Acquire), slow)
    }
}
