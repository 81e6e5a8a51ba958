//! How often Zendesk is asked about jobs: by the age of each job, and within a share of the account's requests.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::upstream::governor::Governor;

const MINUTE: Duration = Duration::from_mins(1);
/// Shortest time from one request about a job until it is due for the next.
pub const SHORTEST: Duration = Duration::from_millis(250);
/// Longest time from one request about a job until it is due for the next.
const LONGEST: Duration = Duration::from_secs(10);
/// Most that requests about jobs take of the account's requests per minute, in percent.
const PERCENT: u32 = 5;

/// Returns the wait before a job of this age is asked about again: a quarter of the age, within bounds. So the delay in noticing
/// the end is in proportion to the job's length, and until the longest wait is reached the number of requests grows only with the
/// logarithm of the age.
pub fn interval(age: Duration) -> Duration {
    (age / 4).clamp(SHORTEST, LONGEST)
}

/// The requests about jobs, of all credentials together.
pub struct Pace {
    governor: Option<Arc<Governor>>,
    /// When the next request would be due if all came at an even pace.
    due: Mutex<Option<Instant>>,
}

impl Pace {
    /// Returns a pace by the budget that `governor` has learnt. Without one, nothing but the age of the jobs counts.
    pub fn new(governor: Option<Arc<Governor>>) -> Self {
        Self { governor, due: Mutex::new(None) }
    }

    /// Counts one request, and returns when it may be sent. Requests are sent in the order in which they were counted.
    pub fn reserve(&self, now: Instant) -> Instant {
        let limit = self.governor.as_ref().and_then(|governor| governor.limit());
        // Nothing is known of a limit, or Zendesk states none.
        let Some(limit) = limit else { return now };
        let most = (limit / 100 * PERCENT + limit % 100 * PERCENT / 100).max(1);
        // A third of them may go at once and the others at an even pace, so that no minute has more than `most`.
        let burst = (most / 3).max(1);
        let even = MINUTE / (most - burst).max(1);
        let mut due = self.due.lock().unwrap_or_else(PoisonError::into_inner);
        let next = due.unwrap_or(now).max(now);
        *due = Some(next + even);
        next.checked_sub(even * (burst - 1)).unwrap_or(now).max(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_young_job_is_asked_about_often_and_an_old_one_seldom() {
        let mut at = Duration::ZERO;
        let mut asked = Vec::new();
        while at < Duration::from_mins(2) {
            at += interval(at);
            asked.push(at);
        }
        let within = |from: u64, to: u64| asked.iter().filter(|at| (from..to).contains(&at.as_secs())).count();
        assert_eq!((asked[0], within(0, 1)), (SHORTEST, 3));
        assert!(within(0, 60) <= 24, "{asked:?}");
        assert_eq!(within(60, 120), 6);
    }
}
