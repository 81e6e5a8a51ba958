//! Epochs: what makes a write visible to every later read without knowing which answers it touches.
//!
//! One clock counts all changes. Each tag remembers when it last *moved*; each answer remembers the clock's reading from before
//! its fetch began. An answer may be served if none of its tags has moved since, which takes a few loads and no lock, and needs
//! no list from tags to keys. A write moves its tags before it is sent, so that nothing older is served or joined while it is
//! under way, and again when it ended, so that nothing read in between outlives it. While a writer is inside a tag no fill is
//! stored under it, because it is unknown whether the fill saw the state before or after the write.
//!
//! A write whose outcome is unknown may land at Zendesk after the gateway gave up on it. Its tags stay *unsettled* for a
//! while: answers are served, but none is stored.
//!
//! The table has a fixed number of slots and tags with an id share them by hash. It takes 400 KB whatever the number of
//! tags, and two tags in one slot can only invalidate each other without need.

use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicU32, AtomicU64};
use std::time::Duration;

use smallvec::SmallVec;
use tokio::time::Instant;

use super::tag::{FIXED_SLOTS, SHARED_SLOTS, Tag};

/// The slots of a few tags. A record has two; a list's page may have more than fit in here.
pub(super) type Slots = SmallVec<[u32; 4]>;

pub(super) struct Epochs {
    clock: AtomicU64,
    /// What was fetched before this reading is void, whatever its tags.
    floor: AtomicU64,
    slots: Box<[Slot]>,
    born: Instant,
}

#[derive(Default)]
struct Slot {
    moved: AtomicU64,
    writers: AtomicU32,
    /// Nanoseconds after `born` until which nothing is stored.
    unsettled: AtomicU64,
}

/// The state of the epochs before a fetch began. An answer is stored with it, and only while it still holds.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// The clock before the fetch began.
    pub(super) before: u64,
    /// The reading that an answer is stored with: later than `before` for the answer of a write, see `mine`.
    pub(super) reading: u64,
    /// When the fetch began: the age of its answer counts from here.
    pub(super) at: Instant,
    /// The slots that the write alone moved between `before` and `reading`.
    pub(super) mine: Slots,
}

impl Epochs {
    pub(super) fn new() -> Self {
        let slots = (0..FIXED_SLOTS + SHARED_SLOTS).map(|_| Slot::default()).collect();
        Self { clock: AtomicU64::new(0), floor: AtomicU64::new(0), slots, born: Instant::now() }
    }

    pub(super) fn snapshot(&self) -> Snapshot {
        let now = self.clock.load(SeqCst);
        Snapshot { before: now, reading: now, at: Instant::now(), mine: Slots::new() }
    }

    /// Returns whether an answer with these tags is still what a read at this reading of the clock would see.
    pub(super) fn unmoved(&self, slots: &[u32], reading: u64) -> bool {
        self.floor.load(SeqCst) <= reading && slots.iter().all(|slot| self.slot(*slot).moved.load(SeqCst) <= reading)
    }

    /// Returns whether an answer fetched under this snapshot may be stored.
    pub(super) fn storable(&self, slots: &[u32], since: &Snapshot) -> bool {
        let settled = self.since_birth(since.at);
        self.floor.load(SeqCst) <= since.before
            && slots.iter().all(|number| {
                let slot = self.slot(*number);
                let limit = if since.mine.contains(number) { since.reading } else { since.before };
                slot.writers.load(SeqCst) == 0
                    && slot.moved.load(SeqCst) <= limit
                    && slot.unsettled.load(SeqCst) <= settled
            })
    }

    pub(super) fn invalidate(&self, tag: Tag) {
        let now = self.tick();
        self.slot(tag.slot()).moved.fetch_max(now, SeqCst);
    }

    pub(super) fn invalidate_all(&self) {
        let now = self.tick();
        self.floor.fetch_max(now, SeqCst);
    }

    /// Enters the tags of a write. The writer is counted before the clock ticks: a snapshot from before the tick is void by the
    /// move, and one from after it meets the writer.
    pub(super) fn enter(&self, slots: &[u32]) -> u64 {
        for slot in slots {
            self.slot(*slot).writers.fetch_add(1, SeqCst);
        }
        self.moved(slots)
    }

    /// Enters one more tag of a write that is under way. Returns the clock's reading, and whether no other write used the tag
    /// since this one began.
    pub(super) fn enter_late(&self, slot: u32, began: u64) -> (u64, bool) {
        let empty = self.slot(slot).writers.fetch_add(1, SeqCst) == 0;
        let now = self.tick();
        let unmoved = self.slot(slot).moved.fetch_max(now, SeqCst) <= began;
        (now, empty && unmoved)
    }

    /// Leaves the tags of a write that entered them at these readings of the clock. Returns the clock's reading, and the slots that
    /// no other write has used since. Another one that has ended before the look at the counter has moved the slot to a later
    /// reading, which the move finds. One that ends between the look and the move was counted: it may have taken an earlier reading
    /// than this one, and move the slot to no avail. One that begins after the look takes a later reading.
    pub(super) fn leave_with_outcome(&self, slots: &[u32], entered: &[Option<u64>]) -> (u64, Slots) {
        let now = self.tick();
        let mut mine = Slots::new();
        for (number, entered) in slots.iter().zip(entered) {
            let slot = self.slot(*number);
            let is_alone = slot.writers.load(SeqCst) == 1;
            let before = slot.moved.fetch_max(now, SeqCst);
            if *entered == Some(before) && is_alone {
                mine.push(*number);
            }
            slot.writers.fetch_sub(1, SeqCst);
        }
        (now, mine)
    }

    /// Leaves the tags of a write whose outcome is unknown. They move before the writer is gone: a reader who sees no writer also
    /// sees the move.
    pub(super) fn leave(&self, slots: &[u32], unsettled_for: Duration) {
        self.moved(slots);
        let until = self.since_birth(Instant::now() + unsettled_for);
        for slot in slots {
            self.slot(*slot).unsettled.fetch_max(until, SeqCst);
        }
        for slot in slots {
            self.slot(*slot).writers.fetch_sub(1, SeqCst);
        }
    }

    /// Returns each slot under which nothing is stored yet, and for how long: `open` where a writer is inside.
    pub(super) fn unsettled(&self, open: Duration) -> Vec<(u32, Duration)> {
        let now = self.since_birth(Instant::now());
        let left = |slot: &Slot| {
            let open = if slot.writers.load(SeqCst) > 0 { open } else { Duration::ZERO };
            open.max(Duration::from_nanos(slot.unsettled.load(SeqCst).saturating_sub(now)))
        };
        let slots = (0..).zip(&*self.slots).map(|(number, slot)| (number, left(slot)));
        slots.filter(|(_, left)| !left.is_zero()).collect()
    }

    /// Stores nothing under a slot for a while; there may be no such slot.
    pub(super) fn unsettle(&self, slot: u32, time: Duration) {
        let until = self.since_birth(Instant::now() + time);
        if let Some(slot) = self.slots.get(slot as usize) {
            slot.unsettled.fetch_max(until, SeqCst);
        }
    }

    /// Returns how many slots there are.
    pub(super) fn len(&self) -> u32 {
        u32::try_from(self.slots.len()).unwrap_or(u32::MAX)
    }

    fn moved(&self, slots: &[u32]) -> u64 {
        let now = self.tick();
        for slot in slots {
            self.slot(*slot).moved.fetch_max(now, SeqCst);
        }
        now
    }

    fn tick(&self) -> u64 {
        self.clock.fetch_add(1, SeqCst) + 1
    }

    fn slot(&self, number: u32) -> &Slot {
        &self.slots[number as usize]
    }

    fn since_birth(&self, time: Instant) -> u64 {
        u64::try_from(time.saturating_duration_since(self.born).as_nanos()).unwrap_or(u64::MAX)
    }
}

/// Returns the slots that an answer with these tags depends on: those of its tags and of their families.
pub(super) fn slots_of(tags: &[Tag]) -> Slots {
    let mut slots = Slots::new();
    for tag in tags {
        for slot in [tag.slot(), tag.family_slot()] {
            if !slots.contains(&slot) {
                slots.push(slot);
            }
        }
    }
    slots
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three writers of one record, each of which keeps its own answer if it may.
    #[test]
    #[ignore = "slow"]
    fn a_write_keeps_no_answer_that_is_older_than_a_write_that_has_ended() {
        let (epochs, slots) = (Epochs::new(), [7]);
        let (version, ended) = (AtomicU64::new(0), AtomicU64::new(0));
        let write = || {
            for round in 0..1_000_000_u32 {
                let entered = epochs.enter(&slots);
                let written = version.fetch_add(1, SeqCst) + 1;
                if round % 64 == 0 {
                    std::thread::yield_now();
                }
                let (reading, mine) = epochs.leave_with_outcome(&slots, &[Some(entered)]);
                let since = Snapshot { before: entered, reading, at: Instant::now(), mine };
                ended.fetch_max(written, SeqCst);
                let least = ended.load(SeqCst);
                if epochs.storable(&slots, &since) && epochs.unmoved(&slots, reading) {
                    assert!(written >= least, "{written} is kept after {least}");
                }
            }
        };
        std::thread::scope(|threads| {
            for _ in 0..3 {
                threads.spawn(write);
            }
        });
    }
}
