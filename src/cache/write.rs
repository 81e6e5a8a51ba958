//! A write's hold on its tags: from before it is sent until its outcome is known. If the outcome stays unknown, nothing is cached
//! under them for [`UNKNOWN_SETTLES_AFTER`] longer.

use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicU64, AtomicUsize};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;
use tokio::time::Instant;

use super::Cache;
use super::epoch::{Epochs, Slots, Snapshot};
use super::tag::Tag;

/// How long nothing is cached under the tags of a write whose outcome is unknown. Zendesk answers writes within half a second.
/// **Assumption**: it carries out no write after this time.
pub const UNKNOWN_SETTLES_AFTER: Duration = Duration::from_secs(10);

/// Under what nothing may be stored yet, because writes may still be carried out: what the next one to answer for the account must
/// know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unsettled {
    /// See [`Tag::layout`].
    layout: u64,
    /// Slots, and for how many milliseconds.
    slots: Vec<(u32, u64)>,
}

impl Unsettled {
    pub(super) fn of(epochs: &Epochs) -> Self {
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX).saturating_add(1);
        let slots = epochs.unsettled(UNKNOWN_SETTLES_AFTER).into_iter().map(|(slot, left)| (slot, millis(left)));
        Self { layout: Tag::layout(), slots: slots.collect() }
    }

    pub(super) fn take(&self, epochs: &Epochs) {
        let bounded = |millis: u64| Duration::from_millis(millis).min(UNKNOWN_SETTLES_AFTER);
        if self.layout == Tag::layout() {
            self.slots.iter().for_each(|(slot, left)| epochs.unsettle(*slot, bounded(*left)));
        } else if let Some(left) = self.slots.iter().map(|(_, left)| *left).max() {
            // Its slots are others; so it may be any.
            (0..epochs.len()).for_each(|slot| epochs.unsettle(slot, bounded(left)));
        }
    }
}

/// The writes of this process so far, for another replica that must be told of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Changes {
    /// Grows when a write begins, and when it ends.
    pub steps: u64,
    /// How many calls have one under way. Jobs go on at Zendesk when their calls have ended.
    pub open: usize,
    /// True if none is under way, and none may be carried out late.
    pub settled: bool,
}

/// Counts writes.
#[derive(Default)]
pub(super) struct Writes {
    steps: AtomicU64,
    open: AtomicUsize,
    /// Those of them whose calls have ended.
    detached: AtomicUsize,
    /// Until when a write whose outcome is unknown may be carried out.
    unsettled: Mutex<Option<Instant>>,
}

impl Writes {
    fn begin(&self) {
        self.open.fetch_add(1, SeqCst);
        self.steps.fetch_add(1, SeqCst);
    }

    fn end(&self, unknown: bool, detached: bool) {
        self.detached.fetch_sub(usize::from(detached), SeqCst);
        if unknown {
            *self.unsettled.lock().unwrap_or_else(PoisonError::into_inner) =
                Some(Instant::now() + UNKNOWN_SETTLES_AFTER);
        }
        self.steps.fetch_add(1, SeqCst);
        self.open.fetch_sub(1, SeqCst);
    }

    pub(super) fn changes(&self) -> Changes {
        let open = self.open.load(SeqCst);
        let settled = open == 0
            && self
                .unsettled
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .is_none_or(|until| until <= Instant::now());
        let open = open.saturating_sub(self.detached.load(SeqCst));
        Changes { steps: self.steps.load(SeqCst), open, settled }
    }
}

/// A write under way. [`WriteGuard::finish`] ends it with a known outcome; dropping it, with an unknown one.
#[must_use = "a write guard that is dropped at once says that the write ended with unknown outcome"]
pub struct WriteGuard {
    cache: Cache,
    slots: Slots,
    /// For each of `slots`, the clock's reading when this write invalidated it. `None` for a tag that was added late, if another
    /// write has held or invalidated it since `began`: the answer may be older than that write, so it is not cached under the tag.
    entered: SmallVec<[Option<u64>; 8]>,
    if_unknown: Slots,
    began: Snapshot,
    detached: bool,
    finished: bool,
}

impl WriteGuard {
    pub(super) fn begin(cache: Cache, tags: &[Tag]) -> Self {
        let mut slots: Slots = tags.iter().map(|tag| tag.slot()).collect();
        slots.sort_unstable();
        slots.dedup();
        cache.writes().begin();
        let mut began = cache.epochs().snapshot();
        let now = cache.epochs().enter(&slots);
        // The snapshot is set to after this write's own invalidation, which must not void its own answer.
        (began.before, began.reading) = (now, now);
        let entered = slots.iter().map(|_| Some(now)).collect();
        Self { cache, slots, entered, if_unknown: Slots::new(), began, detached: false, finished: false }
    }

    /// Adds a tag that only the answer names, such as that of a created record.
    pub fn add_tag(&mut self, tag: Tag) {
        let slot = tag.slot();
        if self.slots.contains(&slot) {
            return;
        }
        let (now, untouched_by_others) = self.cache.epochs().enter_late(slot, self.began.before);
        self.slots.push(slot);
        self.entered.push(untouched_by_others.then_some(now));
    }

    /// Adds a tag that is invalidated only if the outcome stays unknown. An upsert's answer, say, names the user that it changed;
    /// without an answer it may have been any user.
    pub fn add_tag_if_unknown(&mut self, tag: Tag) {
        self.if_unknown.push(tag.slot());
    }

    /// Notes that its call has ended, and it goes on.
    pub fn detach(&mut self) {
        if !std::mem::replace(&mut self.detached, true) {
            self.cache.writes().detached.fetch_add(1, SeqCst);
        }
    }

    /// Ends a write whose outcome is known, be it done or refused. Returns the snapshot to store its answer with. An answer is not
    /// stored if another write used one of its tags in the meantime: the two may have been carried out in either order.
    pub fn finish(mut self) -> Snapshot {
        self.finished = true;
        let (reading, mine) = self.cache.epochs().leave_with_outcome(&self.slots, &self.entered);
        self.cache.writes().end(false, self.detached);
        Snapshot { reading, mine, ..self.began.clone() }
    }
}

impl Drop for WriteGuard {
    fn drop(&mut self) {
        if self.finished {
            return;
        }
        let epochs = self.cache.epochs();
        // These tags were not held so far, and `leave` expects a writer inside. Once entered, no fill is stored under them until
        // they are unsettled.
        epochs.enter(&self.if_unknown);
        epochs.leave(&self.if_unknown, UNKNOWN_SETTLES_AFTER);
        epochs.leave(&self.slots, UNKNOWN_SETTLES_AFTER);
        self.cache.writes().end(true, self.detached);
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;
    use crate::cache::tag;
    use crate::config;

    #[tokio::test(start_paused = true)]
    async fn a_write_counts_until_it_cannot_be_carried_out_late() {
        let cache = Cache::new(&config::Cache::default());
        let changes = |steps, open, settled| assert_eq!(cache.changes(), Changes { steps, open, settled });
        changes(0, 0, true);
        let mut one = cache.begin_write(&[tag::user(7)]);
        changes(1, 1, false);
        one.detach();
        changes(1, 0, false);
        let _ = one.finish();
        changes(2, 0, true);
        drop(cache.begin_write(&[tag::user(7)]));
        changes(4, 0, false);
        advance(UNKNOWN_SETTLES_AFTER).await;
        changes(4, 0, true);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_unsettled_here_is_so_at_whoever_takes_it_over() {
        let cache = || Cache::new(&config::Cache::default());
        let (one, next, other) = (cache(), cache(), cache());
        let _under_way = one.begin_write(&[tag::user(7)]);
        drop(one.begin_write(&[tag::user(8)]));
        advance(UNKNOWN_SETTLES_AFTER / 2).await;
        let handed = one.unsettled();
        next.unsettle(&handed);
        other.unsettle(&Unsettled { layout: 0, ..handed });
        let stores = |cache: &Cache, id| cache.epochs().storable(&[tag::user(id).slot()], &cache.snapshot());
        assert_eq!([7, 8, 9].map(|id| stores(&next, id)), [false, false, true]);
        assert_eq!([7, 8, 9].map(|id| stores(&other, id)), [false; 3], "nobody knows what other slots are");
        advance(UNKNOWN_SETTLES_AFTER / 2 + Duration::from_millis(2)).await;
        assert_eq!([7, 8, 9].map(|id| stores(&next, id)), [false, true, true]);
        advance(UNKNOWN_SETTLES_AFTER / 2).await;
        assert_eq!([7, 8, 9].map(|id| stores(&next, id) && stores(&other, id)), [true; 3]);
    }
}
