//! What happened in the last half minute: the counters of now against those of then.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use crate::telemetry::State;
use crate::telemetry::errors::Kind;

/// How far back it looks.
const WINDOW: Duration = Duration::from_secs(30);
/// Least time between two counters that are kept.
const STEP: Duration = Duration::from_secs(1);

/// Counters that only grow.
#[derive(Debug, Clone, Default)]
struct Totals {
    errors: HashMap<Kind, u64>,
    calls: u64,
    exchanges: u64,
    slow: u64,
    reads: u64,
    free_reads: u64,
}

/// The counters of the last half minute.
#[derive(Debug, Default)]
pub struct Recorder(VecDeque<(Instant, Totals)>);

/// What happened in the last half minute.
#[derive(Debug, Default)]
pub struct Lately {
    /// Calls that ended with an error, by kind.
    pub errors: HashMap<Kind, u64>,
    /// Calls that ended.
    pub calls: u64,
    /// Exchanges with Zendesk, without those that are long by nature.
    pub exchanges: u64,
    /// Of these, the slow ones.
    pub slow: u64,
    /// Reads that asked the cache.
    pub reads: u64,
    /// Of these, those that cost no request of their own.
    pub free_reads: u64,
}

impl Recorder {
    /// Returns what happened lately. It knows of as much as it was asked often.
    pub fn lately(&mut self, state: &State) -> Lately {
        let (now, totals) = (Instant::now(), Totals::of(state));
        while self.0.get(1).is_some_and(|(then, _)| now.duration_since(*then) >= WINDOW) {
            self.0.pop_front();
        }
        let none = Totals::default();
        let then = self.0.front().map_or(&none, |(_, then)| then);
        let lately = Lately {
            errors: totals
                .errors
                .iter()
                .map(|(kind, count)| (*kind, count - then.errors.get(kind).unwrap_or(&0)))
                .filter(|(_, count)| *count > 0)
                .collect(),
            calls: totals.calls - then.calls,
            exchanges: totals.exchanges - then.exchanges,
            slow: totals.slow - then.slow,
            reads: totals.reads - then.reads,
            free_reads: totals.free_reads - then.free_reads,
        };
        if self.0.back().is_none_or(|(last, _)| now.duration_since(*last) >= STEP) {
            self.0.push_back((now, totals));
        }
        lately
    }
}

impl Totals {
    fn of(state: &State) -> Self {
        let cache = state.sources.cache.read().unwrap_or_default();
        let free_reads = cache.hits + cache.stale + cache.coalesced;
        let (exchanges, slow) = state.exchanges.read();
        Self {
            errors: state.errors.read().into_iter().map(|one| (one.kind, one.count)).collect(),
            calls: state.calls.ended() + state.streams.ended(),
            exchanges,
            slow,
            reads: free_reads + cache.misses,
            free_reads,
        }
    }
}
