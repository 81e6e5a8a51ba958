//! A write's hold on its tags, from before it is sent until its outcome is known or given up.

use std::time::Duration;

use smallvec::SmallVec;

use super::Cache;
use super::epoch::{Slots, Snapshot};
use super::tag::Tag;

/// How long the tags of a write with unknown outcome stay unsettled. Zendesk answers writes within half a second, and a
/// request that it still holds after this long is not expected to be carried out any more; the time is an assumption.
pub const UNKNOWN_SETTLES_AFTER: Duration = Duration::from_secs(10);

/// A write under way. Dropping it says that the outcome is not known, [`WriteGuard::finish`] that it is.
#[must_use = "a write guard that is dropped at once says that the write ended with unknown outcome"]
pub struct WriteGuard {
    cache: Cache,
    slots: Slots,
    /// The clock's reading when each slot moved for this write; none if another write moved or held the slot since this one
    /// began.
    entered: SmallVec<[Option<u64>; 8]>,
    if_unknown: Slots,
    began: Snapshot,
    ended: bool,
}

impl WriteGuard {
    pub(super) fn begin(cache: Cache, tags: &[Tag]) -> Self {
        let mut slots: Slots = tags.iter().map(|tag| tag.slot()).collect();
        slots.sort_unstable();
        slots.dedup();
        let mut began = cache.epochs().snapshot();
        let now = cache.epochs().enter(&slots);
        (began.before, began.reading) = (now, now);
        let entered = slots.iter().map(|_| Some(now)).collect();
        Self { cache, slots, entered, if_unknown: Slots::new(), began, ended: false }
    }

    /// Adds a tag that only the answer names, such as that of a created record.
    pub fn also(&mut self, tag: Tag) {
        let slot = tag.slot();
        if self.slots.contains(&slot) {
            return;
        }
        let (now, alone) = self.cache.epochs().enter_late(slot, self.began.before);
        self.slots.push(slot);
        self.entered.push(alone.then_some(now));
    }

    /// Adds a tag that moves only if the outcome stays unknown: for a write whose answer names the record that it changed,
    /// the tag of every record that it may have changed.
    pub fn if_unknown(&mut self, tag: Tag) {
        self.if_unknown.push(tag.slot());
    }

    /// Ends a write whose outcome is known, be it done or refused. Its answer may be stored under the snapshot, but not under a
    /// tag that another write held meanwhile: then it is unknown which of the two came last.
    pub fn finish(mut self) -> Snapshot {
        self.ended = true;
        let epochs = self.cache.epochs();
        let entered = self.slots.iter().zip(&self.entered);
        let alone = entered.filter(|(slot, entered)| entered.is_some_and(|entered| epochs.alone(**slot, entered)));
        let mine = alone.map(|(slot, _)| *slot).collect();
        let reading = epochs.leave(&self.slots, None);
        Snapshot { reading, mine, ..self.began.clone() }
    }

    /// Ends a write that goes on at Zendesk, such as a bulk job that nobody watches: for `time` nothing is stored under its
    /// tags.
    pub fn unsettled_for(mut self, time: Duration) {
        self.ended = true;
        self.cache.epochs().leave(&self.slots, Some(time));
    }
}

impl Drop for WriteGuard {
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        let epochs = self.cache.epochs();
        epochs.enter(&self.if_unknown);
        epochs.leave(&self.if_unknown, Some(UNKNOWN_SETTLES_AFTER));
        epochs.leave(&self.slots, Some(UNKNOWN_SETTLES_AFTER));
    }
}
