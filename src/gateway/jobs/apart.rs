//! Whose jobs are asked about apart from those of others: what one caller follows can hang, or have no answer, and takes those along that
//! are in the same request.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use super::round::Round;

/// How long a caller's jobs are kept apart after they were in a request that did not end in time, or was not answered.
const APART: Duration = Duration::from_secs(10);
/// Most requests of one caller that are waited for beside others. Until one of them ends, it is asked about no more of its jobs.
const MOST_LATE: usize = 4;

/// The callers whose jobs are asked about apart, and their rounds that do not end.
#[derive(Default)]
pub struct Apart {
    callers: HashMap<u64, Instant>,
    /// Whose each late round is.
    late: HashMap<u64, u64>,
}

impl Apart {
    /// True if this caller's jobs are asked about apart.
    pub fn is(&self, caller: u64) -> bool {
        self.callers.contains_key(&caller)
    }

    /// Ends what was kept apart for long enough.
    pub fn end(&mut self, now: Instant) {
        self.callers.retain(|_, until| *until > now);
    }

    /// Keeps a caller's jobs apart for a while.
    pub fn keep(&mut self, caller: u64) {
        self.callers.insert(caller, Instant::now() + APART);
    }

    /// Notes that a round is waited for beside others, if it is one caller's. The others' are given up.
    pub fn wait_for(&mut self, round: &Round) -> bool {
        let caller = round.share.as_ref().map(|share| self.late.insert(round.number, share.id()));
        caller.is_some()
    }

    /// Notes that a round has ended. Returns true if it was late.
    pub fn ended(&mut self, round: &Round) -> bool {
        self.late.remove(&round.number).is_some()
    }

    /// True if one more round may begin for this caller.
    pub fn may_begin(&self, caller: u64) -> bool {
        self.late.values().filter(|of| **of == caller).count() < MOST_LATE
    }
}
