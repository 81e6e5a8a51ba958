//! A write's hold on its tags: from before it is sent until its outcome is known. If the outcome stays unknown, nothing is cached
//! under them for [`UNKNOWN_SETTLES_AFTER`] longer.

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
    /// For each of `slots`, the clock's reading when this write invalidated it. `None` for a tag that was added late, if another
    /// write has held or invalidated it since `began`: the answer may be older than that write, so it is not cached under the tag.
    entered: SmallVec<[Option<u64>; 8]>,
    if_unknown: Slots,
    began: Snapshot,
    finished: bool,
}

impl WriteGuard {
    pub(super) fn begin(cache: Cache, tags: &[Tag]) -> Self {
        let mut slots: Slots = tags.iter().map(|tag| tag.slot()).collect();
        slots.sort_unstable();
        slots.dedup();
        let mut began = cache.epochs().snapshot();
        let now = cache.epochs().enter(&slots);
        // The snapshot is set to after this write's own invalidation, which must not void its own answer.
        (began.before, began.reading) = (now, now);
        let entered = slots.iter().map(|_| Some(now)).collect();
        Self { cache, slots, entered, if_unknown: Slots::new(), began, finished: false }
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

    /// Ends a write whose outcome is known, be it done or refused. Returns the snapshot to store its answer with. An answer is not
    /// stored if another write used one of its tags in the meantime: the two may have been carried out in either order.
    pub fn finish(mut self) -> Snapshot {
        self.finished = true;
        let (reading, mine) = self.cache.epochs().leave_with_outcome(&self.slots, &self.entered);
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
    }
}
