//! Background jobs.

use super::Tables;
use crate::store::job::Job;

/// Jobs that are remembered; the oldest that have ended go first.
const REMEMBERED: usize = 2_000;

impl Tables {
    /// All jobs, oldest first.
    pub fn jobs(&self) -> impl DoubleEndedIterator<Item = &Job> {
        self.jobs.iter()
    }

    /// Jobs that are queued or running, apart from the seed's.
    pub fn live_jobs(&self) -> impl Iterator<Item = &Job> {
        self.jobs.iter().filter(|job| job.is_live())
    }

    pub fn job(&self, id: &str) -> Option<&Job> {
        self.jobs.iter().rev().find(|job| job.id == id)
    }

    /// Whether there may be live jobs: a quick answer for every request.
    pub fn has_live_jobs(&self) -> bool {
        self.has_live_jobs
    }

    pub fn put_job(&mut self, job: Job) {
        self.has_live_jobs |= job.is_live();
        if self.jobs.len() >= REMEMBERED
            && let Some(at) = self.jobs.iter().position(|job| job.finished_at.is_some())
        {
            self.jobs.remove(at);
        }
        self.jobs.push(job);
    }

    /// Lets `step` work on every live job, oldest first.
    pub fn work_on_jobs(&mut self, mut step: impl FnMut(&mut Job, &mut Self)) {
        let mut jobs = std::mem::take(&mut self.jobs);
        for job in jobs.iter_mut().filter(|job| job.is_live()) {
            step(job, self);
        }
        self.has_live_jobs = jobs.iter().any(Job::is_live);
        self.jobs = jobs;
    }
}
