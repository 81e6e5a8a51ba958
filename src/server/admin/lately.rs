//! What happened lately, mostly in the last half minute: the counters of now against those of then.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::{Duration, Instant};

use super::figures::span;
use crate::telemetry::State;
use crate::telemetry::errors::Kind;
use crate::telemetry::exchanges::Tally;
use crate::telemetry::logs::writer::Room;
use crate::telemetry::view;

/// How far back it looks.
const WINDOW: Duration = Duration::from_secs(30);
/// How far back it looks where no call has succeeded since: with few calls, half a minute may have none.
const LONG_WINDOW: Duration = Duration::from_mins(5);
/// How long lost lines about changes are told: somebody has to see it, and nothing can be done about them.
const TOLD: Duration = Duration::from_mins(15);
/// Least time between two counters that are kept.
const STEP: Duration = Duration::from_secs(1);

/// Counters that only grow.
#[derive(Debug, Clone, Default)]
struct Totals {
    errors: HashMap<Kind, u64>,
    calls: u64,
    exchanges: BTreeMap<&'static str, Tally>,
    reads: u64,
    free_reads: u64,
    changes_lost: u64,
    other_lines_lost: u64,
    turned_away: u64,
    jobs_ended: u64,
    jobs_failed: u64,
    connections: view::Connections,
}

/// The counters of the last half minute.
#[derive(Debug, Default)]
pub struct Recorder {
    kept: VecDeque<(Instant, Totals)>,
    /// When a line about a change was last found to be lost, and how many there were.
    changes_lost: Option<(Instant, u64)>,
}

/// What happened in the last half minute.
#[derive(Debug, Default)]
pub struct Lately {
    /// Calls that ended with an error, by kind.
    pub errors: HashMap<Kind, u64>,
    /// Calls that ended.
    pub calls: u64,
    /// Exchanges with Zendesk, by endpoint class.
    pub exchanges: BTreeMap<&'static str, Tally>,
    /// Reads that asked the cache.
    pub reads: u64,
    /// Of these, those that cost no request of their own.
    pub free_reads: u64,
    /// Lines about changes that were lost since the start, if any was in the last quarter of an hour.
    pub changes_lost: u64,
    /// Other log lines that were lost.
    pub other_lines: u64,
    /// Connections for which there was no room.
    pub turned_away: u64,
    /// New connections of callers.
    pub connections: u64,
    /// Of these, those whose callers did not take the port's certificate.
    pub port_distrusted: u64,
    /// Of these, those whose callers had none that the port takes.
    pub callers_distrusted: u64,
    /// Background jobs that ended.
    pub jobs_ended: u64,
    /// Of these, those that failed.
    pub jobs_failed: u64,
    /// How far back this looks: half a minute, or if no call has succeeded for longer, as far as that and some minutes at most.
    pub over: Duration,
}

impl Lately {
    /// Says how far back this looks.
    pub fn span(&self) -> String {
        if self.over < 2 * WINDOW { "half a minute".to_owned() } else { span(self.over) }
    }

    /// Returns how many exchanges of all classes were so.
    pub fn exchanges(&self, count: impl Fn(&Tally) -> u64) -> u64 {
        self.exchanges.values().map(count).sum()
    }
}

impl Recorder {
    /// Returns what happened lately. It knows of as much as it was asked often.
    pub fn lately(&mut self, state: &State) -> Lately {
        let (now, totals) = (Instant::now(), Totals::of(state));
        while self.kept.get(1).is_some_and(|(then, _)| now.duration_since(*then) >= LONG_WINDOW) {
            self.kept.pop_front();
        }
        // The newest that is old enough and, before it, those since which no call has succeeded.
        let is_in = |(then, _): &&(Instant, Totals)| now.duration_since(*then) < WINDOW;
        let recent = self.kept.iter().rev().take_while(is_in).count();
        let start = (self.kept.len() - recent).saturating_sub(1);
        let since_success =
            self.kept.iter().take(start).rev().take_while(|(_, then)| then.well() == totals.well()).count();
        let then = self.kept.get(start - since_success);
        let over = then.map_or(WINDOW, |(then, _)| now.duration_since(*then));
        let known = self.changes_lost.map_or(0, |(_, lost)| lost);
        if totals.changes_lost > known {
            self.changes_lost = Some((now, totals.changes_lost));
        }
        let changes_lost = self.changes_lost.filter(|(when, _)| now.duration_since(*when) < TOLD);
        let none = Totals::default();
        let then = then.map_or(&none, |(_, then)| then);
        let lately = Lately {
            errors: totals
                .errors
                .iter()
                .map(|(kind, count)| (*kind, count - then.errors.get(kind).unwrap_or(&0)))
                .filter(|(_, count)| *count > 0)
                .collect(),
            calls: totals.calls - then.calls,
            exchanges: totals
                .exchanges
                .iter()
                .map(|(class, tally)| (*class, tally.since(then.exchanges.get(class).copied().unwrap_or_default())))
                .collect(),
            reads: totals.reads - then.reads,
            free_reads: totals.free_reads - then.free_reads,
            changes_lost: changes_lost.map_or(0, |(_, lost)| lost),
            other_lines: totals.other_lines_lost - then.other_lines_lost,
            turned_away: totals.turned_away - then.turned_away,
            connections: totals.connections.accepted - then.connections.accepted,
            port_distrusted: totals.connections.port_distrusted - then.connections.port_distrusted,
            callers_distrusted: totals.connections.callers_distrusted - then.connections.callers_distrusted,
            jobs_ended: totals.jobs_ended - then.jobs_ended,
            jobs_failed: totals.jobs_failed - then.jobs_failed,
            over,
        };
        if self.kept.back().is_none_or(|(last, _)| now.duration_since(*last) >= STEP) {
            self.kept.push_back((now, totals));
        }
        lately
    }
}

impl Totals {
    /// Returns how many calls were answered without an error.
    fn well(&self) -> u64 {
        self.calls.saturating_sub(self.errors.values().sum())
    }

    fn of(state: &State) -> Self {
        let cache = state.sources.cache.read().unwrap_or_default();
        let jobs = state.sources.jobs.read().unwrap_or_default();
        let connections = state.sources.connections.read().unwrap_or_default();
        let free_reads = cache.hits + cache.stale + cache.coalesced;
        Self {
            errors: state.errors.read().into_iter().map(|one| (one.kind, one.count)).collect(),
            calls: state.calls.ended() + state.streams.ended(),
            exchanges: state.exchanges.read(),
            reads: free_reads + cache.misses,
            free_reads,
            changes_lost: state.lost_lines.read(Room::Changes),
            other_lines_lost: state.lost_lines.read(Room::Others),
            turned_away: connections.turned_away,
            jobs_ended: jobs.completed + jobs.failed,
            jobs_failed: jobs.failed,
            connections,
        }
    }
}
