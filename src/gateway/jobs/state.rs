//! What the state of a job says.

use crate::proto::{Job, JobState};

/// True if a job will not change any more.
pub fn has_ended(job: &Job) -> bool {
    matches!(job.status(), JobState::Completed | JobState::Failed | JobState::Killed)
}

/// False if the job's state cannot be read, so that nobody can tell whether it has ended.
pub fn is_known(job: &Job) -> bool {
    !job.unreadable_fields.iter().any(|field| field == "status")
}
