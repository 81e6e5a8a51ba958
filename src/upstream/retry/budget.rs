//! The budget that all retries share: a percentage of the calls, plus a few each second.
//!
//! tower's `TpsBudget` does nearly this; it is not used because it rounds the share to a whole number of calls, forgets its
//! debts after ten seconds, and cannot tell an operator how much is left.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

/// Most retries that can be saved up: enough for a short outage at a moderate rate.
const MOST_SAVED: f64 = 30.0;
/// Seconds of the steady part that a fresh budget begins with.
const HEAD_START: f64 = 10.0;

/// Callers of whom something is remembered at which those are forgotten who have what a new one begins with.
const SWEEP_AT: usize = 1024;

/// How many retries may begin.
#[derive(Debug)]
pub struct Budget {
    per_call: f64,
    per_second: f64,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    all: Saved,
    /// What each caller has of it: a part that grows with its own calls, and half as fast otherwise. Beyond that a caller may have
    /// what is more than a fresh budget begins with, which is left for the others.
    own: HashMap<u64, Saved>,
}

#[derive(Debug, Clone, Copy)]
struct Saved {
    retries: f64,
    since: Instant,
}

impl Saved {
    /// Adds what time has brought since.
    fn grow(&mut self, per_second: f64, most: f64) {
        let now = Instant::now();
        let grown = self.retries + now.saturating_duration_since(self.since).as_secs_f64() * per_second;
        *self = Self { retries: grown.min(most), since: now };
    }
}

impl Budget {
    /// Returns a budget of `percent` of the calls and `per_second` besides.
    pub fn new(percent: u32, per_second: u32) -> Self {
        let per_second = f64::from(per_second);
        let all = Saved { retries: (per_second * HEAD_START).min(MOST_SAVED), since: Instant::now() };
        let state = Mutex::new(State { all, own: HashMap::new() });
        Self { per_call: f64::from(percent) / 100.0, per_second, state }
    }

    /// Counts a call of this caller.
    pub fn deposit(&self, caller: u64) {
        let mut state = self.state();
        state.all.retries = (state.all.retries + self.per_call).min(MOST_SAVED);
        let own = self.own(&mut state, caller);
        own.retries = (own.retries + self.per_call).min(MOST_SAVED);
    }

    /// Takes one retry for this caller, if there is one.
    pub fn withdraw(&self, caller: u64) -> bool {
        let mut state = self.state();
        let all = state.all.retries;
        let own = self.own(&mut state, caller);
        let enough = is_enough(all) && (is_enough(own.retries) || is_enough(all - self.head_start()));
        if enough {
            own.retries = (own.retries - 1.0).max(0.0);
            state.all.retries = (all - 1.0).max(0.0);
        }
        enough
    }

    /// Returns how many retries could begin now.
    pub fn left(&self) -> f64 {
        self.state().all.retries
    }

    fn head_start(&self) -> f64 {
        (self.per_second * HEAD_START).min(MOST_SAVED)
    }

    fn own<'a>(&self, state: &'a mut State, caller: u64) -> &'a mut Saved {
        let (begins, per_second) = (self.head_start(), self.per_second / 2.0);
        if state.own.len() >= SWEEP_AT && !state.own.contains_key(&caller) {
            state.own.retain(|_, own| {
                own.grow(per_second, MOST_SAVED);
                own.retries < begins
            });
        }
        let own = state.own.entry(caller).or_insert_with(|| Saved { retries: begins, since: Instant::now() });
        own.grow(per_second, MOST_SAVED);
        own
    }

    fn state(&self) -> MutexGuard<'_, State> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.all.grow(self.per_second, MOST_SAVED);
        state
    }
}

/// Five times a fifth is a little less than one in binary fractions.
fn is_enough(retries: f64) -> bool {
    retries >= 0.9999
}
