//! What one gateway tells another of a budget that both spend from.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::Budget;
use crate::limits::{LONGEST_WAIT, Window};

/// What is left of a budget; times are milliseconds from now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Left {
    said: Option<Said>,
    closed: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Said {
    limit: u32,
    remaining: u32,
    ends: u64,
    assumed: bool,
}

/// Returns how many milliseconds there are from `now` to a moment, rounded up.
pub fn millis(at: Instant, now: Instant) -> u64 {
    let left = at.saturating_duration_since(now);
    u64::try_from(left.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}

impl Budget {
    /// Returns what whoever spends from it next must know.
    pub fn left_now(&self, now: Instant) -> Left {
        let told = self.told(now).map(|told| Said {
            limit: told.limit,
            remaining: told.remaining.saturating_sub(self.open(&told)),
            ends: millis(told.ends, now),
            assumed: told.assumed,
        });
        Left { said: told, closed: self.closed_until.map(|until| millis(until, now)).unwrap_or_default() }
    }

    /// Goes on from what another one has left.
    pub fn go_on(&mut self, left: &Left, now: Instant) {
        if let Some(Said { limit, remaining, ends, assumed }) = left.said.filter(|said| said.ends > 0) {
            self.hear(&Window { limit, remaining, reset: Some(Duration::from_millis(ends)) }, now);
            self.told.iter_mut().for_each(|told| told.assumed = assumed);
        }
        if left.closed > 0 {
            self.close(now + Duration::from_millis(left.closed).min(LONGEST_WAIT));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::call::Priority;
    use crate::upstream::governor::budget::Opening;

    #[tokio::test(start_paused = true)]
    async fn whoever_goes_on_has_what_is_left_and_no_more() {
        let (now, half) = (Instant::now(), Duration::from_secs(30));
        let mut spent = Budget::new(0, 0);
        spent.hear(&Window { limit: 100, remaining: 1, reset: Some(half) }, now);
        spent.spend(now);
        let mut next = Budget::new(0, 0);
        assert_eq!(next.opening(Priority::Write, now), Opening::Now);
        next.go_on(&spent.left_now(now), now);
        assert_eq!(next.opening(Priority::Write, now), Opening::At(now + half), "the last one is under way");

        let mut documented = [Budget::documented(10), Budget::documented(10)];
        for _ in 0..10 {
            documented[0].spend(now);
            documented[0].ended(now, true);
        }
        let left = documented[0].left_now(now);
        documented[1].go_on(&left, now);
        let [at, later] = [now, now + half * 2].map(|now| documented[1].opening(Priority::Write, now));
        assert_eq!((at, later), (Opening::At(now + half * 2), Opening::Now), "and then a minute's more");

        let mut closed = Budget::new(0, 0);
        closed.close(now + half);
        let mut next = Budget::new(0, 0);
        next.go_on(&closed.left_now(now), now);
        assert_eq!(next.opening(Priority::Write, now), Opening::At(now + half));
    }
}
