//! What the state of a job says.

use crate::error::{Error, Refusal};
use crate::proto::{Job, JobState};

/// True if a job will not change any more.
pub fn has_ended(job: &Job) -> bool {
    matches!(job.status(), JobState::Completed | JobState::Failed | JobState::Killed)
}

/// False if the job's state cannot be read, so that nobody can tell whether it has ended.
pub fn is_known(job: &Job) -> bool {
    !job.unreadable_fields.iter().any(|field| field == "status")
}

/// Returns why a job is lost whose state stays unreadable.
pub fn unreadable(id: &str) -> Error {
    let text = format!("GET /job_statuses/show_many: the status of {id}");
    Error::Unreadable(Box::new(Refusal { status: 200, text, ..Refusal::default() }))
}
