//! What the state of a job says.

use crate::error::{Error, Fate};
use crate::proto::{Job, JobState};

/// True if a job will not change any more.
pub fn has_ended(job: &Job) -> bool {
    matches!(job.status(), JobState::Completed | JobState::Failed | JobState::Killed)
}

/// False if the job's state cannot be read, so that nobody can tell whether it has ended.
pub fn is_known(job: &Job) -> bool {
    !job.unreadable_fields.iter().any(|field| field == "status")
}

/// True if a job that was asked for by its own path will not be seen any more. One that cannot be read is asked for again only if
/// it has a slot, which is taken until it has ended.
pub fn is_final(error: &Error, has_slot: bool) -> bool {
    error.row().fate == Fate::Refused || (matches!(error, Error::Unreadable(_)) && !has_slot)
}
