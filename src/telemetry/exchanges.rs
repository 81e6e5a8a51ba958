//! Exchanges with Zendesk by endpoint class: how many there were, and how many of them were slow, refused or given up.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// An exchange that takes longer is slow.
const SLOW: Duration = Duration::from_millis(2_500);
/// An exchange that was given up sooner says nothing of Zendesk.
const PATIENT: Duration = Duration::from_millis(500);
/// Classes whose exchanges take long by nature.
const LONG_BY_NATURE: [&str; 2] = ["bulk", "user_search"];

/// How an exchange ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// With an answer to what was asked, be it that there is no such record or that what a caller wrote cannot be.
    Well,
    /// Zendesk refused it with this status for what the gateway's own credential, or anybody, may do there.
    Refused(u16),
    /// Nobody waited for its answer any more.
    GivenUp,
    /// In another way.
    Other,
}

/// The exchanges of one class since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// All of them.
    pub all: u64,
    /// Those that were answered as Zendesk does where all is well.
    pub well: u64,
    /// Those that Zendesk refused.
    pub refused: u64,
    /// The status of the last one that was refused.
    pub refused_with: u16,
    /// Those that should be quick.
    pub timed: u64,
    /// Of these, those that were slow.
    pub slow: u64,
    /// Of these, those that were given up after a while.
    pub given_up: u64,
}

/// The exchanges since the start, by class.
#[derive(Debug, Default)]
pub struct Exchanges {
    tallies: Mutex<BTreeMap<&'static str, Tally>>,
    failures: Mutex<Failures>,
    losses: Mutex<BTreeMap<String, u64>>,
}

/// With what exchanges failed last that count against Zendesk.
#[derive(Debug, Default)]
struct Failures {
    by_class: BTreeMap<&'static str, String>,
    /// In words, of all classes.
    last: String,
}

impl Exchanges {
    /// Counts an exchange.
    pub fn note(&self, class: &'static str, took: Duration, end: End) {
        let mut all = self.tallies.lock().unwrap_or_else(PoisonError::into_inner);
        let tally = all.entry(class).or_default();
        tally.all += 1;
        match end {
            End::Well => tally.well += 1,
            End::Refused(status) => {
                tally.refused += 1;
                tally.refused_with = status;
            }
            End::GivenUp | End::Other => {}
        }
        if !LONG_BY_NATURE.contains(&class) {
            tally.timed += 1;
            tally.slow += u64::from(took > SLOW);
            tally.given_up += u64::from(end == End::GivenUp && took >= PATIENT);
        }
    }

    /// Remembers with what the last exchange of a class failed that counts against Zendesk; `cause` says it of a connection.
    pub fn failed(&self, class: &'static str, kind: &str, cause: Option<&str>) {
        let mut failures = self.failures();
        kind.clone_into(failures.by_class.entry(class).or_default());
        cause.unwrap_or(kind).clone_into(&mut failures.last);
    }

    /// Returns it.
    pub fn last_failure(&self, class: &str) -> Option<String> {
        self.failures().by_class.get(class).cloned()
    }

    /// Returns with what the last exchange of any class failed; empty if none has.
    pub fn last_cause(&self) -> String {
        self.failures().last.clone()
    }

    fn failures(&self) -> MutexGuard<'_, Failures> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns how many were answered as Zendesk does where all is well.
    pub fn well(&self) -> u64 {
        self.tallies.lock().unwrap_or_else(PoisonError::into_inner).values().map(|tally| tally.well).sum()
    }

    /// Counts values of a field, or rows of a list, that could not be read.
    pub fn lose(&self, field: &str, count: u64) {
        let mut losses = self.losses.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = losses.get_mut(field) {
            *known += count;
        } else {
            losses.insert(field.to_owned(), count);
        }
    }

    /// Returns how many there were of each field.
    pub fn losses(&self) -> BTreeMap<String, u64> {
        self.losses.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns them.
    pub fn read(&self) -> BTreeMap<&'static str, Tally> {
        self.tallies.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Tally {
    /// Returns what came after `before`.
    #[must_use]
    pub fn since(self, before: Self) -> Self {
        Self {
            all: self.all - before.all,
            well: self.well - before.well,
            refused: self.refused - before.refused,
            refused_with: self.refused_with,
            timed: self.timed - before.timed,
            slow: self.slow - before.slow,
            given_up: self.given_up - before.given_up,
        }
    }
}
