//! What each caller has spent of the account's window, so that one caller's writes do not spend the whole of it.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

/// Most by which two responses may differ about the end of the same window.
const TOLERANCE: Duration = Duration::from_secs(5);

/// The callers who have spent something in this window, and in the last one before it in which anybody did.
#[derive(Debug, Default)]
pub struct Spenders {
    /// The end of this window.
    ends: Option<Instant>,
    now: HashMap<u64, u32>,
    before: HashMap<u64, u32>,
}

impl Spenders {
    /// Counts a request of a caller, in the window that ends at `ends`.
    pub fn spend(&mut self, caller: u64, ends: Instant) {
        let is_new = self.ends.is_none_or(|known| ends > known + TOLERANCE);
        if is_new {
            self.before = std::mem::take(&mut self.now);
            self.ends = Some(ends);
        }
        *self.now.entry(caller).or_default() += 1;
    }

    /// True if no other caller has spent anything, or if this one has spent at most an equal share of `limit` in the window that
    /// ends at `ends`. There is one share more than there are callers, for one who may still come.
    pub fn is_fair(&self, caller: u64, limit: u32, ends: Instant) -> bool {
        if self.ends.is_none_or(|known| ends > known + TOLERANCE) {
            return true;
        }
        let others = self.now.keys().chain(self.before.keys().filter(|id| !self.now.contains_key(id)));
        let others = u32::try_from(others.filter(|id| **id != caller).count()).unwrap_or(u32::MAX);
        let spent = self.now.get(&caller).copied().unwrap_or_default();
        others == 0 || spent <= limit / others.saturating_add(2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_caller_has_a_fair_part_of_each_window_and_one_alone_has_all() {
        let (mut spenders, minute) = (Spenders::default(), Duration::from_mins(1));
        let first = Instant::now() + minute;
        for _ in 0..600 {
            assert!(spenders.is_fair(1, 600, first));
            spenders.spend(1, first);
        }
        spenders.spend(2, first);
        assert!(!spenders.is_fair(1, 600, first) && spenders.is_fair(2, 600, first));
        for _ in 0..200 {
            assert!(spenders.is_fair(2, 600, first), "a third");
            spenders.spend(2, first);
        }
        assert!(!spenders.is_fair(2, 600, first + Duration::from_secs(1)), "the same window");
        let second = first + minute;
        assert!(spenders.is_fair(1, 600, second));
        for _ in 0..201 {
            spenders.spend(1, second);
        }
        assert!(!spenders.is_fair(1, 600, second), "the other one was there a window ago");
        let third = second + minute;
        for _ in 0..400 {
            spenders.spend(1, third);
        }
        assert!(spenders.is_fair(1, 600, third), "alone again");
    }
}
