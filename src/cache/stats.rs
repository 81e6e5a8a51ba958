//! What the cache did, in plain numbers.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

/// A counter that many tasks share.
#[derive(Default)]
pub(super) struct Counter(AtomicU64);

impl Counter {
    pub(super) fn add(&self) {
        self.add_many(1);
    }

    pub(super) fn add_many(&self, number: u64) {
        self.0.fetch_add(number, Relaxed);
    }

    pub(super) fn take(&self) {
        self.0.fetch_sub(1, Relaxed);
    }

    pub(super) fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// Upper bounds of the batch sizes that are told apart.
pub const BATCH_SIZES: [usize; 5] = [1, 5, 20, 50, 100];

#[derive(Default)]
pub(super) struct Stats {
    pub(super) hits: Counter,
    pub(super) stale: Counter,
    pub(super) misses: Counter,
    pub(super) coalesced: Counter,
    pub(super) bypassed: Counter,
    pub(super) refreshes: Counter,
    pub(super) failed_refreshes: Counter,
    pub(super) fills: Counter,
    pub(super) dropped_fills: Counter,
    pub(super) evictions: Counter,
    pub(super) invalidations: Counter,
    pub(super) flights: Counter,
    pub(super) cancelled_flights: Counter,
    pub(super) flights_in_progress: Counter,
    pub(super) batched_ids: Counter,
    pub(super) batches: [Counter; BATCH_SIZES.len()],
}

impl Stats {
    pub(super) fn batch(&self, ids: usize) {
        self.batched_ids.add_many(ids as u64);
        let size = BATCH_SIZES.iter().position(|most| ids <= *most).unwrap_or(BATCH_SIZES.len() - 1);
        self.batches[size].add();
    }

    pub(super) fn counts(&self, (entries, bytes): (u64, u64)) -> Counts {
        Counts {
            hits: self.hits.get(),
            stale: self.stale.get(),
            misses: self.misses.get(),
            coalesced: self.coalesced.get(),
            bypassed: self.bypassed.get(),
            refreshes: self.refreshes.get(),
            failed_refreshes: self.failed_refreshes.get(),
            fills: self.fills.get(),
            dropped_fills: self.dropped_fills.get(),
            evictions: self.evictions.get(),
            invalidations: self.invalidations.get(),
            entries,
            bytes,
            flights: self.flights.get(),
            cancelled_flights: self.cancelled_flights.get(),
            flights_in_progress: self.flights_in_progress.get(),
            batched_ids: self.batched_ids.get(),
            batches: std::array::from_fn(|size| self.batches[size].get()),
        }
    }
}

/// The numbers at one moment. All but the gauges only grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// Reads answered from a fresh entry, "no such record" included.
    pub hits: u64,
    /// Reads answered from a stale entry.
    pub stale: u64,
    /// Reads that began a flight and were answered by it.
    pub misses: u64,
    /// Reads answered by a flight that another read began.
    pub coalesced: u64,
    /// Reads that are never cached, or whose caller wanted no cached answer.
    pub bypassed: u64,
    /// Background refreshes begun.
    pub refreshes: u64,
    /// Flights that failed while an older answer was there.
    pub failed_refreshes: u64,
    /// Answers stored.
    pub fills: u64,
    /// Answers not stored because a write may have overtaken them.
    pub dropped_fills: u64,
    /// Answers evicted for lack of room.
    pub evictions: u64,
    /// Times that answers were made void by an operator rather than by a write.
    pub invalidations: u64,
    /// Gauge: answers held.
    pub entries: u64,
    /// Gauge: bytes held.
    pub bytes: u64,
    /// Flights begun.
    pub flights: u64,
    /// Flights cancelled because nobody waited any more.
    pub cancelled_flights: u64,
    /// Gauge: flights under way.
    pub flights_in_progress: u64,
    /// Ids asked for in batches.
    pub batched_ids: u64,
    /// Batches sent, by size: up to each of [`BATCH_SIZES`] and more than the one before.
    pub batches: [u64; BATCH_SIZES.len()],
}
