//! What happened lately, mostly in the last half minute: the counters of now against those of then.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::{Duration, Instant};

use super::figures::span;
use crate::telemetry::errors::Kind;
use crate::telemetry::exchanges::Tally;
use crate::telemetry::logs::writer::Room;
use crate::telemetry::{State, view};

#[cfg(test)]
mod tests;

/// How far back it looks.
const WINDOW: Duration = Duration::from_secs(30);
/// How far back it looks where no call has succeeded since: with few calls, half a minute may have none.
const LONG_WINDOW: Duration = Duration::from_mins(5);
/// How far back it looks where none has succeeded for still longer, until it has seen a few calls: callers may be rare, too.
const LONGEST_WINDOW: Duration = Duration::from_mins(30);
/// So many calls are a few: fewer say nothing of a share.
const A_FEW: u64 = 5;
/// How long a refused credential is told if no call has succeeded since: nothing but another one helps, and calls may be rare.
const REFUSED_FOR: Duration = Duration::from_mins(30);
/// Reasons of errors that Zendesk answers with where all is well.
const ANSWERS: [&str; 5] = ["NOT_FOUND", "RECORD_INVALID", "DUPLICATE_VALUE", "CURSOR_EXPIRED", "PAGINATION_DEPTH"];
/// How long lost lines about changes are told: somebody has to see it, and nothing can be done about them.
const TOLD: Duration = Duration::from_mins(15);
/// How long after the end of its cause a call may fail for it.
const AFTER_ITS_CAUSE: Duration = Duration::from_secs(5);
/// Least time between two counters that are kept, and between two that are older than the long window.
const STEP: Duration = Duration::from_secs(1);
const LONG_STEP: Duration = Duration::from_mins(1);

/// Counters that only grow.
#[derive(Debug, Clone, Default)]
struct Totals {
    errors: HashMap<Kind, u64>,
    calls: u64,
    exchanges: BTreeMap<&'static str, Tally>,
    losses: BTreeMap<String, u64>,
    reads: u64,
    free_reads: u64,
    changes_lost: u64,
    other_lines_lost: u64,
    turned_away: u64,
    /// Credentials that were taken after the first one, and whether Zendesk does not refuse the one of the start.
    credentials: u64,
    jobs_ended: u64,
    jobs_failed: u64,
    connections: view::Connections,
}

/// The counters of some time ago, as far back as it looks.
#[derive(Debug, Default)]
pub struct Recorder {
    kept: VecDeque<(Instant, Totals)>,
    /// Those from before the long window.
    older: VecDeque<(Instant, Totals)>,
    /// When a line about a change was last found to be lost, and how many there were.
    changes_lost: Option<(Instant, u64)>,
    refused: Refused,
    /// The errors when it was last asked.
    errors: HashMap<Kind, u64>,
    /// Of these, those that a finding of their time explains, and when it was last there.
    explained: HashMap<Kind, (u64, Instant)>,
}

/// Refusals of the gateway's credential since a call has succeeded, or another one was taken.
#[derive(Debug, Default)]
struct Refused {
    /// How many calls had succeeded and credentials were taken then, and how many calls had been refused.
    good: u64,
    before: u64,
    count: u64,
    /// When the first and the last of them was seen.
    seen: Option<(Instant, Instant)>,
}

impl Refused {
    fn update(&mut self, totals: &Totals, now: Instant) {
        let (good, all) = (totals.good(), totals.refused());
        if good != self.good {
            *self = Self { good, before: all, ..Self::default() };
        }
        if all - self.before > self.count {
            self.count = all - self.before;
            self.seen = Some((self.seen.map_or(now, |(first, _)| first), now));
        }
    }

    /// Returns how many there were and since when, if the last one is not long ago.
    fn read(&self, now: Instant) -> Option<(u64, Duration)> {
        let (first, last) = self.seen?;
        (now.duration_since(last) < REFUSED_FOR).then(|| (self.count, now.duration_since(first)))
    }
}

/// What happened in the last half minute.
#[derive(Debug, Default)]
pub struct Lately {
    /// Calls that ended with an error, by kind.
    pub errors: HashMap<Kind, u64>,
    /// Of these, those that findings of their time explain, although they may be over.
    pub explained: HashMap<Kind, u64>,
    /// Calls that ended.
    pub calls: u64,
    /// Exchanges with Zendesk, by endpoint class.
    pub exchanges: BTreeMap<&'static str, Tally>,
    /// Values and rows of Zendesk's answers that could not be read, by field.
    pub losses: BTreeMap<String, u64>,
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
    /// Calls that were refused for the gateway's credential since one has succeeded, and since when.
    pub refused: Option<(u64, Duration)>,
    /// New connections of callers.
    pub connections: u64,
    /// Of these, those whose callers did not take the port's certificate.
    pub port_distrusted: u64,
    /// Of these, those whose callers had none that the port takes.
    pub callers_distrusted: u64,
    /// Of these, those whose peers speak something else than the port, by what they speak.
    pub strays: BTreeMap<&'static str, u64>,
    /// Background jobs that ended.
    pub jobs_ended: u64,
    /// Of these, those that failed.
    pub jobs_failed: u64,
    /// How far back this looks: half a minute, or if no call has succeeded for longer, as far as that: some minutes, or half an hour
    /// where calls are rare.
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
    /// Drops what is too old, and of what is older than the long window all that stands too close together.
    fn forget(&mut self, now: Instant) {
        while self.kept.get(1).is_some_and(|(then, _)| now.duration_since(*then) >= LONG_WINDOW) {
            let (then, totals) = self.kept.pop_front().expect("there are two");
            if self.older.back().is_none_or(|(before, _)| then.duration_since(*before) >= LONG_STEP) {
                self.older.push_back((then, totals));
            }
        }
        while self.older.front().is_some_and(|(then, _)| now.duration_since(*then) >= LONGEST_WINDOW) {
            self.older.pop_front();
        }
    }

    /// Returns the counters to compare those of now with.
    fn since(&self, totals: &Totals, now: Instant) -> Option<&(Instant, Totals)> {
        let had_none = |(_, then): &&(Instant, Totals)| then.good() == totals.good();
        // The newest that is old enough and, before it, those since which no call has succeeded.
        let is_in = |(then, _): &&(Instant, Totals)| now.duration_since(*then) < WINDOW;
        let recent = self.kept.iter().rev().take_while(is_in).count();
        let start = (self.kept.len() - recent).saturating_sub(1);
        let since_success = self.kept.iter().take(start).rev().take_while(had_none).count();
        let then = self.kept.get(start - since_success)?;
        let has_a_few = |(_, then): &&(Instant, Totals)| totals.calls - then.calls >= A_FEW;
        if start > since_success || has_a_few(&then) {
            return Some(then);
        }
        // All that is kept is since the last success, and tells of too few calls.
        self.older.iter().rev().take_while(had_none).find(has_a_few).or(Some(then))
    }

    /// Takes in which errors are explained by what is found now.
    pub fn explain(&mut self, is_explained: impl Fn(&'static str) -> bool, now: Instant) {
        let explained = self.errors.iter().filter(|(kind, _)| is_explained(kind.reason));
        self.explained.extend(explained.map(|(kind, count)| (*kind, (*count, now))));
    }

    /// Takes in all errors so far. Those that follow soon after their cause is over are explained by it, too.
    fn note_errors(&mut self, errors: &HashMap<Kind, u64>, now: Instant) {
        self.errors.clone_from(errors);
        for (kind, (known, last)) in &mut self.explained {
            if now.duration_since(*last) < AFTER_ITS_CAUSE {
                *known = errors.get(kind).copied().unwrap_or_default();
            }
        }
    }

    /// Returns what happened lately. It knows of as much as it was asked often.
    pub fn lately(&mut self, state: &State) -> Lately {
        let (now, totals) = (Instant::now(), Totals::of(state));
        self.forget(now);
        self.refused.update(&totals, now);
        self.note_errors(&totals.errors, now);
        let known = self.changes_lost.map_or(0, |(_, lost)| lost);
        if totals.changes_lost > known {
            self.changes_lost = Some((now, totals.changes_lost));
        }
        let then = self.since(&totals, now);
        let over = then.map_or(WINDOW, |(then, _)| now.duration_since(*then));
        let changes_lost = self.changes_lost.filter(|(when, _)| now.duration_since(*when) < TOLD);
        let none = Totals::default();
        let then = then.map_or(&none, |(_, then)| then);
        let explained = |kind: &Kind| {
            let known = self.explained.get(kind).map_or(0, |(count, _)| *count);
            known.saturating_sub(then.errors.get(kind).copied().unwrap_or_default())
        };
        let lately = Lately {
            explained: totals.errors.keys().map(|kind| (*kind, explained(kind))).collect(),
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
            losses: totals
                .losses
                .iter()
                .map(|(field, count)| (field.clone(), count - then.losses.get(field).unwrap_or(&0)))
                .filter(|(_, count)| *count > 0)
                .collect(),
            reads: totals.reads - then.reads,
            free_reads: totals.free_reads - then.free_reads,
            changes_lost: changes_lost.map_or(0, |(_, lost)| lost),
            other_lines: totals.other_lines_lost - then.other_lines_lost,
            turned_away: totals.turned_away - then.turned_away,
            refused: self.refused.read(now),
            connections: totals.connections.accepted - then.connections.accepted,
            port_distrusted: totals.connections.port_distrusted - then.connections.port_distrusted,
            callers_distrusted: totals.connections.callers_distrusted - then.connections.callers_distrusted,
            strays: totals
                .connections
                .strays
                .iter()
                .map(|(spoken, count)| (*spoken, count - then.connections.strays.get(spoken).unwrap_or(&0)))
                .filter(|(_, count)| *count > 0)
                .collect(),
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

fn is_credential(reload: &view::Reload) -> bool {
    ["credential", "client_secret"].contains(&reload.what)
}

impl Totals {
    /// Returns how many calls were answered without an error, or with one that is an answer of Zendesk's.
    fn well(&self) -> u64 {
        self.calls.saturating_sub(self.sum(|kind| !ANSWERS.contains(&kind.reason)))
    }

    /// Changes when a call has succeeded, or another credential was taken or accepted: what was before says nothing of now.
    fn good(&self) -> u64 {
        self.well() + self.credentials
    }

    /// Returns how many calls were refused for the gateway's own credential. UNAUTHENTICATED with the same reason is a caller's.
    fn refused(&self) -> u64 {
        self.sum(|kind| kind.reason == "CREDENTIAL_REFUSED" && kind.code != "UNAUTHENTICATED")
    }

    fn sum(&self, of: impl Fn(&Kind) -> bool) -> u64 {
        self.errors.iter().filter(|(kind, _)| of(kind)).map(|(_, count)| count).sum()
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
            losses: state.exchanges.losses(),
            reads: free_reads + cache.misses,
            free_reads,
            changes_lost: state.lost_lines.read(Room::Changes),
            other_lines_lost: state.lost_lines.read(Room::Others),
            turned_away: connections.turned_away,
            jobs_ended: jobs.completed + jobs.failed,
            jobs_failed: jobs.failed,
            connections,
            credentials: u64::from(state.trouble.kept_out().is_none())
                + state
                    .sources
                    .reloads
                    .read()
                    .iter()
                    .flatten()
                    .filter(|one| is_credential(one))
                    .map(|one| one.taken)
                    .sum::<u64>(),
        }
    }
}
