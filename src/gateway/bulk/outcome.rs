//! The outcome of each input, as the caller gets it: how it ended if that is proven, UNKNOWN otherwise.

use super::evidence::{self, Evidence};
use crate::error::{Error, Fate, snippet, word};
use crate::gateway::jobs::{has_ended, is_known};
use crate::proto::{BulkOutcome, BulkResult, ErrorReason, Job, JobResult, JobState};
use crate::rest::bulk::{Key, Kind};

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;

/// Returns the outcomes of inputs whose request led to a job.
pub fn of_job(kind: Kind, job: &Job, keys: &[Key], first: usize) -> Vec<BulkOutcome> {
    let mut outcomes = base(keys, first);
    for outcome in &mut outcomes {
        outcome.job_id = Some(job.id.clone());
    }
    // Results are told apart by their places, too, so one that cannot be read leaves all of them in doubt.
    if !is_known(job) || job.unreadable_fields.iter().any(|field| field.starts_with("results")) {
        let word = word(ErrorReason::UpstreamMalformed);
        set_all(&mut outcomes, BulkResult::Unknown, Some(word), Some("what zendesk says of the job cannot be read"));
        return outcomes;
    }
    if !has_ended(job) {
        set_all(&mut outcomes, BulkResult::Pending, None, None);
        return outcomes;
    }
    for (outcome, evidence) in outcomes.iter_mut().zip(evidence::of_job(kind, job, keys)) {
        match evidence {
            Evidence::Result(end, result) => fill(outcome, end, result),
            Evidence::End(end) => outcome.set_result(end),
            Evidence::None => {
                outcome.set_result(BulkResult::Unknown);
                outcome.error = Some("JOB_FAILED".to_owned());
                outcome.details = job.message.as_deref().filter(|_| ended_badly(job)).map(snippet);
            }
        }
    }
    outcomes
}

/// Returns the outcomes of inputs whose request did not lead to a job.
pub fn refused(error: &Error, keys: &[Key], first: usize) -> Vec<BulkOutcome> {
    let (result, word, details) = unsent(error);
    let mut outcomes = base(keys, first);
    set_all(&mut outcomes, result, Some(&word), Some(&details));
    outcomes
}

/// Returns the outcomes of inputs whose request was never sent: because an earlier one failed, or for lack of time.
pub fn not_sent(stopped_by: Option<&Error>, keys: &[Key], first: usize) -> Vec<BulkOutcome> {
    let (word, details) = match stopped_by {
        // Unknown is only the outcome of the earlier request. These inputs were certainly not sent, for the same cause.
        Some(Error::OutcomeUnknown(cause)) => (cause.reason().to_owned(), snippet(&cause.to_string())),
        Some(error) => (error.reason().to_owned(), snippet(&error.to_string())),
        None => ("DEADLINE_EXCEEDED".to_owned(), "the deadline came first".to_owned()),
    };
    let mut outcomes = base(keys, first);
    set_all(&mut outcomes, BulkResult::NotSent, Some(&word), Some(&details));
    outcomes
}

/// Returns what a failed request means for its inputs: the result, an error word and a sentence.
pub fn unsent(error: &Error) -> (BulkResult, String, String) {
    let result = match error.row().fate {
        Fate::Open => BulkResult::Unknown,
        Fate::Refused => BulkResult::Failed,
        Fate::Held | Fate::Unsent => BulkResult::NotSent,
    };
    // For refused inputs, Zendesk's own error word; for any other failure, the gateway's reason.
    let word = error.refusal().and_then(|refusal| refusal.word.clone()).filter(|_| result == BulkResult::Failed);
    (result, word.unwrap_or_else(|| error.reason().to_owned()), snippet(&error.to_string()))
}

fn base(keys: &[Key], first: usize) -> Vec<BulkOutcome> {
    let outcome = |(index, key): (usize, &Key)| BulkOutcome {
        index: i32::try_from(first + index).unwrap_or(i32::MAX),
        id: key.id,
        email: key.email.clone(),
        external_id: key.external_id.clone(),
        ..BulkOutcome::default()
    };
    keys.iter().enumerate().map(outcome).collect()
}

fn set_all(outcomes: &mut [BulkOutcome], result: BulkResult, error: Option<&str>, details: Option<&str>) {
    for outcome in outcomes {
        outcome.set_result(result);
        outcome.error = error.map(str::to_owned);
        outcome.details = details.map(str::to_owned);
    }
}

fn ended_badly(job: &Job) -> bool {
    matches!(job.status(), JobState::Failed | JobState::Killed)
}

fn fill(outcome: &mut BulkOutcome, end: BulkResult, result: &JobResult) {
    outcome.set_result(end);
    // The "id" of a failure may be its position.
    if end != BulkResult::Failed {
        outcome.id = result.id.or(outcome.id);
    }
    outcome.email = result.email.clone().or(outcome.email.take());
    outcome.external_id = result.external_id.clone().or(outcome.external_id.take());
    outcome.error = result.error.as_deref().filter(|error| !error.is_empty()).map(snippet);
    outcome.details = result.details.as_deref().map(snippet);
}
