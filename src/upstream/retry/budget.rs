//! The budget that all retries share: a percentage of the calls, plus a few each second.
//!
//! tower's `TpsBudget` does nearly this; it is not used because it rounds the share to a whole number of calls, forgets its
//! debts after ten seconds, and cannot tell an operator how much is left.

use std::sync::{Mutex, PoisonError};

use tokio::time::Instant;

/// Most retries that can be saved up: enough for a short outage at a moderate rate.
const MOST_SAVED: f64 = 30.0;
/// Seconds of the steady part that a fresh budget begins with.
const HEAD_START: f64 = 10.0;

/// How many retries may begin.
#[derive(Debug)]
pub struct Budget {
    per_call: f64,
    per_second: f64,
    saved: Mutex<(f64, Instant)>,
}

impl Budget {
    /// Returns a budget of `percent` of the calls and `per_second` besides.
    pub fn new(percent: u32, per_second: u32) -> Self {
        let per_second = f64::from(per_second);
        let saved = (per_second * HEAD_START).min(MOST_SAVED);
        Self { per_call: f64::from(percent) / 100.0, per_second, saved: Mutex::new((saved, Instant::now())) }
    }

    /// Counts a call.
    pub fn deposit(&self) {
        self.change(|saved| *saved += self.per_call);
    }

    /// Takes one retry, if there is one.
    pub fn withdraw(&self) -> bool {
        self.change(|saved| {
            // Five times a fifth is a little less than one in binary fractions.
            let enough = *saved >= 0.9999;
            *saved -= f64::from(u8::from(enough));
            enough
        })
    }

    /// Returns how many retries could begin now.
    pub fn left(&self) -> f64 {
        self.change(|saved| *saved)
    }

    fn change<T>(&self, change: impl FnOnce(&mut f64) -> T) -> T {
        let mut guard = self.saved.lock().unwrap_or_else(PoisonError::into_inner);
        let (saved, since) = &mut *guard;
        let now = Instant::now();
        *saved += now.saturating_duration_since(*since).as_secs_f64() * self.per_second;
        *since = now;
        let outcome = change(saved);
        *saved = saved.clamp(0.0, MOST_SAVED);
        outcome
    }
}
