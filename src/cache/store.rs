//! The bounded store: moka, which knows nothing of freshness. It counts bytes and decides what is worth keeping.
//!
//! Its `TinyLFU` admission keeps what is read often against the rows of lists that nobody asks for one by one.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use moka::sync::Cache as Moka;

use super::entry::Entry;
use super::key::{BuildKeyHasher, Key};
use super::stats::Stats;

/// What an entry costs beside its key and its answer: the structs here, moka's nodes, and what the allocator adds. Measured
/// as resident memory over 100,000 entries.
const BOOKKEEPING: usize = 640;

/// An error's text is cut to 512 characters where it is made; with its words and ids it stays below this.
const ERROR_BYTES: usize = 1024;

/// Number of locks for storing: keys with different locks can be stored at the same time.
const LOCKS: usize = 64;

pub(super) struct Store {
    entries: Moka<Key, Arc<Entry>, BuildKeyHasher>,
    /// A lock for each shard of the keys: only its holder stores under them. moka's own way to look and store in one step takes
    /// longer than the two steps under a lock.
    locks: [Mutex<()>; LOCKS],
    /// Bytes stored since moka last ran its pending tasks.
    unsettled: AtomicU64,
    /// After so many of them, its pending tasks are run.
    settle_at: u64,
}

impl Store {
    pub(super) fn new(max_bytes: u64, stats: Arc<Stats>) -> Self {
        let entries = Moka::builder()
            .max_capacity(max_bytes)
            .weigher(|key: &Key, entry: &Arc<Entry>| weight(key, entry))
            .eviction_listener(move |_, _, cause| {
                if cause.was_evicted() {
                    stats.evictions.add();
                }
            })
            .build_with_hasher(BuildKeyHasher::default());
        let locks = std::array::from_fn(|_| Mutex::default());
        Self { entries, locks, unsettled: AtomicU64::new(0), settle_at: max_bytes / 64 }
    }

    pub(super) fn get(&self, key: &Key) -> Option<Arc<Entry>> {
        self.entries.get(key)
    }

    /// Stores an entry, unless one is there that is both valid and younger: fetches do not end in the order they began.
    pub(super) fn insert(&self, key: &Key, entry: Arc<Entry>, is_valid: impl Fn(&Entry) -> bool) {
        let bytes = u64::from(weight(key, &entry));
        let lock = self.locks[key.shard_of(LOCKS)].lock().unwrap_or_else(PoisonError::into_inner);
        // Only what is there is read with `get`, which moka counts: by such counts it decides what is worth keeping.
        let old = self.entries.contains_key(key).then(|| self.get(key)).flatten();
        if old.is_some_and(|old| old.at > entry.at && is_valid(&old)) {
            return;
        }
        self.entries.insert(key.detached(), entry);
        drop(lock);
        // moka applies writes in batches of 64, which may be 64 large pages. Its bound holds once it has run its pending tasks.
        if self.unsettled.fetch_add(bytes, Relaxed) + bytes > self.settle_at {
            self.unsettled.store(0, Relaxed);
            self.entries.run_pending_tasks();
        }
    }

    pub(super) fn remove(&self, key: &Key) {
        self.entries.invalidate(key);
    }

    pub(super) fn clear(&self) {
        self.entries.invalidate_all();
    }

    /// Returns how many entries there are, and their bytes; both may lag a moment behind.
    pub(super) fn size(&self) -> (u64, u64) {
        (self.entries.entry_count(), self.entries.weighted_size())
    }
}

fn weight(key: &Key, entry: &Entry) -> u32 {
    let answer = entry.answer.as_ref().map_or(ERROR_BYTES, Bytes::len);
    u32::try_from(BOOKKEEPING + key.request_len() + answer).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::super::epoch::{Epochs, Slots};
    use super::super::policy::{Kind, Lifetimes};
    use super::*;
    use crate::config;

    const BOUND: u64 = 4 << 20;

    fn entry(bytes: usize) -> Arc<Entry> {
        let windows = Lifetimes::new(&config::Cache::default()).of(Kind::Record);
        let answer = Ok(Bytes::from(vec![0; bytes]));
        Arc::new(Entry::new(answer, Slots::new(), &Epochs::new().snapshot(), windows))
    }

    fn key(number: u64) -> Key {
        Key::new(1, "/Get", number.to_be_bytes().to_vec())
    }

    fn held(store: &Store) -> u64 {
        store.entries.iter().map(|(key, entry)| u64::from(weight(&key, &entry))).sum()
    }

    #[tokio::test(start_paused = true)]
    #[ignore = "slow"]
    async fn memory_stays_under_its_bound_with_entries_of_very_different_sizes() {
        let stats = Arc::new(Stats::default());
        let store = Store::new(BOUND, stats.clone());
        let mut random = fastrand::Rng::with_seed(7);
        let mut most = 0;
        for number in 0..5_000 {
            let size = 1 << random.u32(0..19);
            store.insert(&key(number % 900), entry(size), |_| true);
            // Asked for often enough to be let in.
            store.get(&key(number % 900));
            most = most.max(held(&store));
        }
        let one_entry = 1 << 18;
        assert!(most <= BOUND + BOUND / 64 + one_entry, "{most} bytes were held under a bound of {BOUND}");
        assert!(most > BOUND / 2, "the test must fill the store; it held {most}");
        assert!(stats.evictions.get() > 100, "{} evictions", stats.evictions.get());
    }

    #[tokio::test(start_paused = true)]
    async fn an_entry_larger_than_the_bound_is_not_kept_and_a_bound_of_zero_keeps_none() {
        let store = Store::new(BOUND, Arc::new(Stats::default()));
        store.insert(&key(1), entry(1 << 23), |_| true);
        assert_eq!(held(&store), 0);
        let store = Store::new(0, Arc::new(Stats::default()));
        store.insert(&key(1), entry(1), |_| true);
        assert_eq!(held(&store), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn an_older_answer_does_not_replace_a_younger_one_that_is_valid() {
        let store = Store::new(BOUND, Arc::new(Stats::default()));
        let older = entry(1);
        tokio::time::advance(std::time::Duration::from_secs(1)).await;
        let younger = entry(2);
        store.insert(&key(1), younger.clone(), |_| true);
        store.insert(&key(1), older.clone(), |_| true);
        let kept = |store: &Store, entry: &Instant| store.get(&key(1)).is_some_and(|held| held.at == *entry);
        assert!(kept(&store, &younger.at));
        store.insert(&key(1), older.clone(), |_| false);
        assert!(kept(&store, &older.at), "a void answer is replaced by any");
    }
}
