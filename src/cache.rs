//! The cache that never lies.
//!
//! A request to Zendesk is the scarcest thing this service has, so an answer is used for all who ask and for as long as it is
//! good. A cache that does this badly is worse than none: it shows a caller the value from before its own write, hands one
//! caller's timeout to a hundred others, or forgets everything in the minute that Zendesk is down. A stock cache fails in each
//! of these ways: a fill that is under way during a write stores the old value after it; a leader whose deadline passes fails
//! its followers, too; an expired entry is not served in place of an error. So only the bounded store is moka's, and these are
//! ours:
//!
//! - [`Key`]: answers are shared among callers with the same credential, never across.
//! - [`Policy`]: how long an answer is fresh, how long it may be served stale while it is refreshed, or while Zendesk fails.
//! - [`Control`]: what the caller accepts.
//! - *flights*: one upstream read for all who wait, cancelled when nobody does.
//! - *epochs* and [`WriteGuard`]: after a write through this replica no read sees what was there before.
//! - [`Batcher`]: single reads that leave together as one.
//!
//! Values are encoded replies; nothing here knows what is in them. All times are tokio's, so that a test can move them.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use crate::config;
use crate::error::Result;
use crate::share::Share;

mod ask;
mod batch;
mod control;
mod entry;
mod epoch;
mod flight;
mod key;
mod policy;
mod stats;
mod store;
pub mod tag;
#[cfg(test)]
mod tests;
mod waiting;
mod write;

use entry::{Entry, Verdict};
use epoch::{Epochs, slots_of};
use flight::{Fetch, Flights};
use policy::Lifetimes;
use stats::Stats;
use store::Store;

pub use batch::Batcher;
pub use control::Control;
pub use epoch::Snapshot;
pub use flight::carried_out;
pub use key::Key;
pub use policy::{Kind, Policy, Windows};
pub use stats::{BATCH_SIZES, Counts};
pub use tag::Tag;
pub use waiting::WaitsFor;
use write::Writes;
pub use write::{Changes, UNKNOWN_SETTLES_AFTER, Unsettled, WriteGuard};

/// The cache of one account. Cloning shares it.
#[derive(Clone)]
pub struct Cache(Arc<Inner>);

struct Inner {
    store: Store,
    epochs: Epochs,
    writes: Writes,
    flights: Flights,
    lifetimes: Lifetimes,
    flight_timeout: Duration,
    batch_wait: Duration,
    stats: Arc<Stats>,
}

/// The time limits and the priority of a fetch.
#[derive(Debug, Clone)]
pub struct Terms {
    /// When the fetch is given up. It can be later than the deadline of the caller who started it, because others may wait,
    /// too.
    pub deadline: Instant,
    /// By when the caller who started it wants the answer: never later than the deadline.
    pub wanted_by: Instant,
    /// True if no caller waits for it: reads that callers wait for go first.
    pub background: bool,
    /// Where the fetch notes what it waits for.
    pub waits_for: WaitsFor,
}

impl Terms {
    /// Returns the terms of a fetch that serves both: it lasts until the later one gives up.
    fn and(self, other: Self) -> Self {
        Self {
            deadline: self.deadline.max(other.deadline),
            wanted_by: self.wanted_by.max(other.wanted_by),
            background: self.background && other.background,
            waits_for: self.waits_for.and(other.waits_for),
        }
    }
}

/// Who wants an answer, and by when.
#[derive(Debug, Clone)]
pub struct Want {
    /// By when the caller wants it.
    pub by: Instant,
    /// The caller's share: a read that several share takes the turn of whoever of them has the best.
    pub share: Share,
}

impl From<Instant> for Want {
    /// Returns what this process itself wants.
    fn from(by: Instant) -> Self {
        Self { by, share: Share::default() }
    }
}

/// An answer.
#[derive(Debug, Clone)]
pub struct Hit {
    /// The encoded reply.
    pub bytes: Bytes,
    /// Where it came from.
    pub status: CacheStatus,
    /// How old it may be: the time since its fetch began.
    pub age: Duration,
}

/// What the cache alone can answer.
#[derive(Debug)]
pub enum Look {
    /// An answer that may be served without asking Zendesk.
    Good(Held),
    /// An answer that may be served only if Zendesk is asked and fails: see [`stale_if_error`](crate::error::Row::stale_if_error).
    IfZendeskFails(Held),
    /// No answer.
    Nothing,
}

/// An answer that is held.
#[derive(Debug)]
pub struct Held {
    /// The encoded reply, or "no such record".
    pub answer: Result<Bytes>,
    /// [`CacheStatus::Hit`] within its fresh time, [`CacheStatus::Stale`] past it.
    pub status: CacheStatus,
    /// How old it may be.
    pub age: Duration,
}

/// Where an answer came from: what the response metadata `x-cache` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CacheStatus {
    /// The cache, within its fresh time.
    Hit,
    /// The cache, past its fresh time.
    Stale,
    /// Zendesk.
    Miss,
    /// Zendesk, by a read that another caller had begun.
    Coalesced,
    /// Zendesk, because the caller or the policy wanted no cached answer.
    Bypass,
}

impl CacheStatus {
    /// Returns the value of the response metadata `x-cache`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Stale => "stale",
            Self::Miss => "miss",
            Self::Coalesced => "coalesced",
            Self::Bypass => "bypass",
        }
    }
}

impl Cache {
    /// Makes an empty cache.
    pub fn new(settings: &config::Cache) -> Self {
        let stats = Arc::new(Stats::default());
        Self(Arc::new(Inner {
            store: Store::new(settings.max_bytes, stats.clone()),
            epochs: Epochs::new(),
            writes: Writes::default(),
            flights: Flights::default(),
            lifetimes: Lifetimes::new(settings),
            flight_timeout: settings.flight_deadline,
            batch_wait: settings.batch_wait,
            stats,
        }))
    }

    /// Returns the answer to a key if it is there and fresh: the short way, for callers who state no [`Control`]. It takes
    /// no lock and allocates nothing.
    pub fn get_fresh(&self, key: &Key) -> Option<Result<Hit>> {
        let entry = self.0.valid(key)?;
        let now = Instant::now();
        entry.is_fresh(now).then(|| self.0.serve(&entry, CacheStatus::Hit, now))
    }

    /// Returns what the cache alone can answer to a caller with this control, for calls that ask for many records at once. It
    /// begins no refresh.
    pub fn look(&self, key: &Key, control: Control) -> Look {
        let now = Instant::now();
        let Some(entry) = self.0.valid(key) else { return Look::Nothing };
        let held = |status| Held { answer: entry.answer.clone(), status, age: entry.age(now) };
        match entry.judge(now, control) {
            Verdict::Fresh => {
                self.0.stats.hits.add();
                Look::Good(held(CacheStatus::Hit))
            }
            // A caller who sets `max-age` accepts any answer up to that age.
            Verdict::Stale { .. } if control.max_age.is_some() => {
                self.0.stats.stale.add();
                Look::Good(held(CacheStatus::Stale))
            }
            Verdict::Stale { .. } | Verdict::Old { fallback: true } => Look::IfZendeskFails(held(CacheStatus::Stale)),
            Verdict::Old { fallback: false } => Look::Nothing,
        }
    }

    /// Returns the answer to a key from the cache, from a flight under way, or by a fetch.
    ///
    /// The fetch runs in a task of its own under its own [`Terms`]; it is dropped when nobody waits for it any more.
    ///
    /// # Errors
    /// What the fetch failed with, unless an older answer may be served instead. `Error::Deadline` when the caller's deadline
    /// passes first, `Error::CacheMiss` for `only-if-cached`, `Error::NotFound` also from the cache.
    pub async fn read<F, Fut>(
        &self,
        key: &Key,
        policy: &Policy,
        control: Control,
        want: impl Into<Want>,
        fetch: F,
    ) -> Result<Hit>
    where
        F: FnOnce(Terms) -> Fut + Send + 'static,
        Fut: Future<Output = Result<Bytes>> + Send + 'static,
    {
        // Boxed, as what comes after it is the same for all kinds of reads, and is compiled once.
        let fetch: Fetch = Box::new(move |terms| Box::pin(async move { fetch(terms).await }));
        self.0.read(key, policy, control, want.into(), fetch).await
    }

    /// Returns the state of the epochs. A fetch whose rows are to be stored takes it before it begins.
    pub fn snapshot(&self) -> Snapshot {
        self.0.epochs.snapshot()
    }

    /// Stores an answer that came by another way: a row of a list page, or the answer of a write. It is dropped if a write
    /// to anything it is about began, ended or was under way since the snapshot.
    pub fn fill(&self, key: &Key, policy: &Policy, bytes: &Bytes, since: &Snapshot) {
        if policy.kind != Kind::None {
            let slots = slots_of(&policy.tags);
            let windows = self.0.lifetimes.of(policy.kind);
            self.0.store_unless_written(key, Entry::new(Ok(bytes.clone()), slots, since, windows), since);
        }
    }

    /// Begins a write: call it before the write is sent, and end the guard when its outcome is known.
    pub fn begin_write(&self, tags: &[Tag]) -> WriteGuard {
        WriteGuard::begin(self.clone(), tags)
    }

    /// Returns the writes of this process so far.
    pub fn changes(&self) -> Changes {
        self.0.writes.changes()
    }

    /// Returns under what nothing may be stored yet.
    pub fn unsettled(&self) -> Unsettled {
        Unsettled::of(&self.0.epochs)
    }

    /// Stores nothing where another cache of the account may not yet.
    pub fn unsettle(&self, there: &Unsettled) {
        there.take(&self.0.epochs);
    }

    /// Makes every answer with this tag void, for changes that were not made through this replica.
    pub fn invalidate(&self, tag: Tag) {
        self.0.stats.invalidations.add();
        self.0.epochs.invalidate(tag);
    }

    /// Makes every answer void.
    pub fn invalidate_all(&self) {
        self.0.stats.invalidations.add();
        self.0.epochs.invalidate_all();
        self.0.store.clear();
    }

    /// Makes a batcher for one kind of id, which sends at most `most` ids at once. `fetch` makes the calls, each for the ids
    /// that it is given.
    pub fn batcher<Way, Id, Value, F, Fut>(&self, most: usize, fetch: F) -> Batcher<Way, Id, Value>
    where
        Way: Clone + Send + 'static,
        Id: Clone + Eq + Hash + Send + 'static,
        Value: Clone + Send + 'static,
        F: Fn(Way, Vec<Id>, Terms) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<HashMap<Id, Value>>> + Send + 'static,
    {
        Batcher::new(most, self.0.batch_wait, self.0.stats.clone(), fetch)
    }

    /// Returns what the cache did so far.
    pub fn counts(&self) -> Counts {
        self.0.stats.counts(self.0.store.size())
    }

    fn epochs(&self) -> &Epochs {
        &self.0.epochs
    }

    fn writes(&self) -> &Writes {
        &self.0.writes
    }
}
