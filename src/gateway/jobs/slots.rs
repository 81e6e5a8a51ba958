//! Slots for background jobs, which Zendesk limits per account, and counts of how the jobs ended.
//!
//! Callers take turns for the slots, and so do the calls of one caller. Each call waits for one slot at a time, so one that
//! needs a single job waits for a turn of the others, and not for all the jobs of a call that needs many.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};

use crate::cache::Tag;
use crate::error::Error;
use crate::proto::{Job, JobState};
use crate::rest::Whole;
use crate::share::Share;
use crate::upstream::call::Priority;
use crate::upstream::room::{Entry, Rank, Room, Wish};

/// Zendesk's limit of queued and running jobs for one account.
pub const MOST_JOBS: usize = 30;

/// How many of them are left for callers who have none: as of permits, a sixteenth. Jobs may run for long, and requests to start
/// them may hang.
const LEFT: usize = MOST_JOBS.div_ceil(16);

/// How long no slot is given out after Zendesk has refused a job, because other integrations hold all that the account may
/// have. The end of a job of ours makes room for one at once.
const REFUSED_PAUSE: Duration = Duration::from_secs(2);
/// Most accepted jobs whose ids are remembered.
const MOST_KNOWN: u64 = 10_000;

/// The slots.
pub struct Slots {
    state: Mutex<State>,
    /// Ids of recently accepted jobs, at most [`MOST_KNOWN`].
    known: moka::sync::Cache<String, ()>,
    started: AtomicU64,
    completed: AtomicU64,
    failed: AtomicU64,
}

struct State {
    /// How many slots each caller holds.
    held: HashMap<u64, usize>,
    in_use: usize,
    room: Room<Waiter>,
    /// When the next call may try, while others fill the account: from the first job that Zendesk refuses until nobody waits when
    /// it accepts one.
    try_at: Option<Instant>,
}

struct Waiter {
    share: Share,
    grant: oneshot::Sender<Slot>,
}

/// Counts of jobs at one moment. All but the gauges only grow.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Gauge: slots taken by jobs that run or are about to start.
    pub active: u64,
    /// Gauge: calls that wait for a slot.
    pub waiting: u64,
    /// Gauge: jobs that somebody follows, of this gateway or not.
    pub followed: u64,
    /// Requests that asked how followed jobs go on.
    pub polls: u64,
    /// Jobs started at Zendesk.
    pub started: u64,
    /// Jobs that ended well.
    pub completed: u64,
    /// Jobs that failed or were killed.
    pub failed: u64,
}

impl Default for Slots {
    fn default() -> Self {
        let (started, completed, failed) = Default::default();
        // Each bulk call has one place at most, and the server bounds the calls.
        let (held, room) = (HashMap::new(), Room::new(usize::MAX));
        let state = Mutex::new(State { held, in_use: 0, room, try_at: None });
        Self { state, known: moka::sync::Cache::new(MOST_KNOWN), started, completed, failed }
    }
}

impl Slots {
    /// Queues a call of this caller for a slot.
    pub fn wait(self: &Arc<Self>, share: &Share) -> Waiting {
        let (grant, granted) = oneshot::channel();
        // The calls of one caller go in the order in which they came. A call that got a slot comes anew for its next one, after
        // all others of its caller.
        let wish = Wish::of(share, Priority::Background, Instant::now());
        let Entry::Placed(rank) = self.state().room.enter(wish, Waiter { share: share.clone(), grant }) else {
            unreachable!("the room has no bound");
        };
        Waiting { slots: Arc::clone(self), rank, granted }
    }

    /// Takes a slot for a job that runs already, even if all are taken.
    pub fn take_over(self: &Arc<Self>, share: &Share) -> Slot {
        self.slot(&mut self.state(), share.clone())
    }

    /// Takes back the slot of a job that Zendesk refused because the account has as many as it may.
    pub fn refused(&self, mut slot: Slot) {
        // It must not free itself, or the next call would try at once.
        slot.slots = None;
        let mut state = self.state();
        state.free(&slot.share);
        state.try_at = Some(Instant::now() + REFUSED_PAUSE);
    }

    /// Returns the error of a call of this caller that got no slot in time.
    pub fn taken(&self, share: &Share) -> Error {
        let state = self.state();
        let own = state.held.get(&share.id()).copied().unwrap_or_default();
        Error::SlotsTaken { own, others: state.in_use.saturating_sub(own) }
    }

    /// Remembers an accepted job. Returns false if another request was answered with the same job: one job cannot belong to
    /// two requests.
    pub fn is_new(&self, id: &str) -> bool {
        self.known.entry_by_ref(id).or_insert(()).is_fresh()
    }

    /// Counts a job that Zendesk accepted.
    pub fn started(self: &Arc<Self>) {
        self.started.fetch_add(1, Relaxed);
        let mut state = self.state();
        // While others fill the account, there may be room for one more, and not for all who wait.
        state.try_at = state.try_at.filter(|_| state.room.waiting() > 0).map(|_| Instant::now());
        drop(state);
        self.grant();
    }

    /// Returns what was counted so far.
    pub fn counts(&self) -> Counts {
        let state = self.state();
        Counts {
            active: state.in_use as u64,
            waiting: state.room.waiting() as u64,
            started: self.started.load(Relaxed),
            completed: self.completed.load(Relaxed),
            failed: self.failed.load(Relaxed),
            ..Counts::default()
        }
    }

    /// Gives out the slots that are free, in turn.
    fn grant(self: &Arc<Self>) {
        let mut state = self.state();
        let now = Instant::now();
        while state.in_use < MOST_JOBS && state.try_at.is_none_or(|at| at <= now) {
            let is_left = state.in_use + LEFT >= MOST_JOBS;
            let may = |waiter: &Waiter| !is_left || !state.held.contains_key(&waiter.share.id());
            let first = state.room.iter().find(|(_, waiter)| may(waiter)).map(|(rank, _)| rank);
            let Some(waiter) = first.and_then(|rank| state.room.serve(&rank)) else { return };
            // One call tries for all; the others wait for what it learns.
            state.try_at = state.try_at.map(|_| now + REFUSED_PAUSE);
            let slot = self.slot(&mut state, waiter.share);
            // If the call left at this very moment, its slot goes to the next one. The lock is held, so it must not free itself.
            if let Err(mut slot) = waiter.grant.send(slot) {
                slot.slots = None;
                state.free(&slot.share);
            }
        }
    }

    fn slot(self: &Arc<Self>, state: &mut State, share: Share) -> Slot {
        state.in_use += 1;
        *state.held.entry(share.id()).or_default() += 1;
        Slot { slots: Some(Arc::clone(self)), share, work: Work::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn free(&mut self, share: &Share) {
        self.in_use -= 1;
        if let Some(held) = self.held.get_mut(&share.id()) {
            *held -= 1;
            if *held == 0 {
                self.held.remove(&share.id());
            }
        }
    }
}

/// The right to one job. Dropping it lets the next call have it.
pub struct Slot {
    /// None only if it was given back already.
    slots: Option<Arc<Slots>>,
    /// Held as long as the slot, so that the caller is still the same when it comes with another call.
    share: Share,
    /// What its job changes, and in whose turn.
    work: Work,
}

/// What a job changes, and in whose turn.
#[derive(Debug, Clone, Default)]
pub struct Work {
    /// What is kept out of the cache until it has ended.
    pub tags: Vec<Tag>,
    /// Whose turn lasts until then.
    pub turn: Option<Whole>,
}

impl Slot {
    /// Notes what its job changes.
    #[must_use]
    pub fn of(mut self, work: Work) -> Self {
        self.work = work;
        self
    }

    /// Returns what its job changes.
    pub fn work(&self) -> &Work {
        &self.work
    }

    /// Counts how its job ended, and gives it back.
    pub fn ended(self, job: &Job) {
        if let Some(slots) = &self.slots {
            let count = if job.status() == JobState::Completed { &slots.completed } else { &slots.failed };
            count.fetch_add(1, Relaxed);
            let mut state = slots.state();
            state.try_at = state.try_at.map(|_| Instant::now());
        }
    }
}

impl fmt::Debug for Slot {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.debug_struct("Slot").field("share", &self.share).finish_non_exhaustive()
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if let Some(slots) = self.slots.take() {
            slots.state().free(&self.share);
            slots.grant();
        }
    }
}

/// A call's place among those that wait for a slot; dropping it leaves.
pub struct Waiting {
    slots: Arc<Slots>,
    rank: Rank,
    granted: oneshot::Receiver<Slot>,
}

impl Waiting {
    /// Returns the slot when it is this call's turn. It may be dropped and called again, but not after it has returned.
    pub async fn slot(&mut self) -> Slot {
        loop {
            // Nobody else looks when a pause is over.
            self.slots.grant();
            if let Ok(slot) = timeout(REFUSED_PAUSE, &mut self.granted).await {
                return slot.expect("a waiter is sent its slot before it is dropped, unless it left by itself");
            }
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.slots.state().room.leave(&self.rank);
    }
}

#[cfg(test)]
mod tests;
