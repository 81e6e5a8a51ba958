//! A write's hold on its tags, from before it is sent until its outcome is known or given up.

use std::time::Duration;

use smallvec::SmallVec;

use super::Cache;
use super::epoch::{Slots, Snapshot};
use super::tag::Tag;

/// How long nothing is cached under the tags of a write whose outcome is unknown. Zendesk answers writes within half a second.
/// **Assumption**: it carries out no write after this time.
pub const UNKNOWN_SETTLES_AFTER: Duration = Duration::from_secs(10);

/// A write under way. [`WriteGuard::finish`] ends it with a known outcome; dropping it, with an unknown one.
#[must_use = "a write guard that is dropped at once says that the write ended with unknown outcome"]
pub struct WriteGuard {
    cache: Cache,
    slots: Slots,
    /// For each slot, the clock when this write invalidated it; none if another write has used the slot since this one began, so
    /// that the answer cannot be cached under it.
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
        // Counts from after this write's own invalidation, which must not void its own answer.
        (began.before, began.reading) = (now, now);
        let entered = slots.iter().map(|_| Some(now)).collect();
        Self { cache, slots, entered, if_unknown: Slots::new(), began, ended: false }
    }

    /// Adds a tag that only the answer names, such as that of a created record.
    pub fn add_tag(&mut self, tag: Tag) {
        let slot = tag.slot();
        if self.slots.contains(&slot) {
            return;
        }
        let (now, alone) = self.cache.epochs().enter_late(slot, self.began.before);
        self.slots.push(slot);
        self.entered.push(alone.then_some(now));
    }

    /// Adds a tag that is invalidated only if the outcome stays unknown. An upsert's answer, say, names the user that it changed;
    /// without an answer it may have been any user.
    pub fn add_tag_if_unknown(&mut self, tag: Tag) {
        self.if_unknown.push(tag.slot());
    }

    /// Ends a write whose outcome is known, be it done or refused. Its answer may be stored under the snapshot, but not under a
    /// tag that another write used in the meantime: the two may have been carried out in either order.
    pub fn finish(mut self) -> Snapshot {
        self.ended = true;
        let (reading, mine) = self.cache.epochs().leave_with_outcome(&self.slots, &self.entered);
        Snapshot { reading, mine, ..self.began.clone() }
    }
}

impl Drop for WriteGuard {
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        let epochs = self.cache.epochs();
        epochs.enter(&self.if_unknown);
        epochs.leave(&self.if_unknown, UNKNOWN_SETTLES_AFTER);
        epochs.leave(&self.slots, UNKNOWN_SETTLES_AFTER);
    }
}
