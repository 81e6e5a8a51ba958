//! Slots for background jobs, which Zendesk limits per account, and counts of how the jobs ended.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::proto::{Job, JobState};

/// Zendesk's limit of queued and running jobs for one account.
pub const MOST_JOBS: usize = 30;

/// Most accepted jobs whose ids are remembered.
const MOST_KNOWN: u64 = 10_000;

/// The slots.
pub struct Slots {
    free: Arc<Semaphore>,
    /// Ids of recently accepted jobs, at most [`MOST_KNOWN`].
    known: moka::sync::Cache<String, ()>,
    started: AtomicU64,
    completed: AtomicU64,
    failed: AtomicU64,
}

/// Counts of jobs at one moment. All but the gauge `active` only grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// Gauge: slots taken by jobs that run or are about to start.
    pub active: u64,
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
        let known = moka::sync::Cache::new(MOST_KNOWN);
        Self { free: Arc::new(Semaphore::new(MOST_JOBS)), known, started, completed, failed }
    }
}

impl Slots {
    /// Waits for a slot.
    pub(super) async fn take(&self) -> OwnedSemaphorePermit {
        self.free.clone().acquire_owned().await.expect("the semaphore is never closed")
    }

    /// Returns a slot if one is free.
    pub(super) fn try_take(&self) -> Option<OwnedSemaphorePermit> {
        self.free.clone().try_acquire_owned().ok()
    }

    /// Remembers an accepted job. Returns false if another request was answered with the same job: one job cannot belong to
    /// two requests.
    pub(super) fn is_new(&self, id: &str) -> bool {
        self.known.entry_by_ref(id).or_insert(()).is_fresh()
    }

    /// Counts a job that Zendesk accepted.
    pub(super) fn started(&self) {
        self.started.fetch_add(1, Relaxed);
    }

    /// Counts a job that was seen to have ended.
    pub(super) fn ended(&self, job: &Job) {
        let count = if job.status() == JobState::Completed { &self.completed } else { &self.failed };
        count.fetch_add(1, Relaxed);
    }

    /// Returns what was counted so far.
    pub fn counts(&self) -> Counts {
        Counts {
            active: (MOST_JOBS - self.free.available_permits().min(MOST_JOBS)) as u64,
            started: self.started.load(Relaxed),
            completed: self.completed.load(Relaxed),
            failed: self.failed.load(Relaxed),
        }
    }
}
