//! The outcome of each input, as the caller gets it: how it ended if that is proven, UNKNOWN otherwise.

use super::evidence::{self, Evidence};
use super::items::Items;
use super::unread::Unread;
use crate::error::{Blame, Error, Fate, Row, reason_name, snippet};
use crate::gateway::jobs::{has_ended, is_known};
use crate::proto::{BulkItemOutcome, BulkResult, ErrorReason, Job, JobResult, JobState};
use crate::rest::bulk::{Key, Kind};

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;

const TOO_LATE: &str = "the deadline came before the request could be sent";

/// Returns the outcomes of inputs whose request led to a job. `results` are those of the job, perhaps with more of what identifies
/// their records.
pub fn of_job(kind: Kind, job: &Job, results: &[JobResult], items: &Items) -> Vec<BulkItemOutcome> {
    let mut outcomes = in_job(&job.id, items);
    let reason = reason_name(ErrorReason::UpstreamMalformed);
    let details = "zendesk's answer about the job cannot be read";
    let unread = if has_ended(job) { Unread::of(job) } else { Some(Unread::default()) };
    let Some(unread) = unread.filter(|_| is_known(job)) else {
        set_all(&mut outcomes, BulkResult::Unknown, Some(reason), Some(details));
        return outcomes;
    };
    if !has_ended(job) {
        set_all(&mut outcomes, BulkResult::Pending, None, None);
        return outcomes;
    }
    for (outcome, evidence) in outcomes.iter_mut().zip(evidence::of_job(kind, job, results, &items.keys, &unread)) {
        match evidence {
            Evidence::Result(end, result) => fill(outcome, end, result),
            Evidence::End(end) => outcome.set_result(end),
            // The result that cannot be read may have been about this one.
            Evidence::None if !unread.is_none() => {
                set_all(std::slice::from_mut(outcome), BulkResult::Unknown, Some(reason), Some(details));
            }
            Evidence::None => {
                outcome.set_result(BulkResult::Unknown);
                outcome.error = Some(reason_name(ErrorReason::JobFailed).to_owned());
                // The message of a job that completed says nothing about a failure.
                outcome.details = job.message.as_deref().filter(|_| ended_badly(job)).map(snippet);
            }
        }
    }
    outcomes
}

/// Returns the outcomes of inputs whose job was lost: nobody can learn how it went on.
pub fn of_lost(error: &Error, job_id: &str, items: &Items) -> Vec<BulkItemOutcome> {
    let mut outcomes = in_job(job_id, items);
    set_all(&mut outcomes, BulkResult::Unknown, Some(error.reason()), Some(&snippet(&error.to_string())));
    outcomes
}

/// Returns the outcomes of inputs whose request failed, or was answered with the job of another request.
pub fn of_error(error: &Error, items: &Items) -> Vec<BulkItemOutcome> {
    let (result, code, details) = result_of(error);
    let mut outcomes = base(items);
    set_all(&mut outcomes, result, Some(&code), Some(&details));
    let violation = error.refusal().and_then(|refusal| refusal.violations.first());
    if let Some(violation) = violation.filter(|_| result == BulkResult::Failed) {
        for outcome in &mut outcomes {
            outcome.field = Some(violation.field.clone());
        }
    }
    outcomes
}

/// Returns the outcomes of inputs whose request was not sent because of an error, or because the deadline came.
pub fn not_sent(stopped_by: Option<&Error>, items: &Items) -> Vec<BulkItemOutcome> {
    // An answer that was lost leaves other inputs unknown, and not these.
    let stopped_by = stopped_by.map(|error| if let Error::OutcomeUnknown(cause) = error { &**cause } else { error });
    let too_late = || (reason_name(ErrorReason::DeadlineExceeded).to_owned(), TOO_LATE.to_owned());
    let (code, details) =
        stopped_by.map_or_else(too_late, |error| (error.reason().to_owned(), snippet(&error.to_string())));
    let mut outcomes = base(items);
    set_all(&mut outcomes, BulkResult::NotSent, Some(&code), Some(&details));
    outcomes
}

/// Returns what a failed request means for its inputs: the result, the error code and a message.
pub fn result_of(error: &Error) -> (BulkResult, String, String) {
    let Row { fate, blame, .. } = error.row();
    let result = match (fate, blame) {
        (Fate::Unknown, _) => BulkResult::Unknown,
        (Fate::Refused, Blame::Request | Blame::Rights) => BulkResult::Failed,
        // What is refused whatever the inputs are is done to none of them, and may be sent again.
        (Fate::Refused, Blame::Circumstances) | (Fate::Held | Fate::NotDone, _) => BulkResult::NotSent,
    };
    // For refused inputs, Zendesk's own error code; for any other failure, the gateway's reason.
    let code = error.refusal().and_then(|refusal| refusal.code.clone()).filter(|_| result == BulkResult::Failed);
    (result, code.unwrap_or_else(|| error.reason().to_owned()), snippet(&error.to_string()))
}

fn base(items: &Items) -> Vec<BulkItemOutcome> {
    let outcome = |(index, key): (&i64, &Key)| BulkItemOutcome {
        index: *index,
        id: key.id,
        email: key.email.clone(),
        external_id: key.external_id.clone(),
        ..BulkItemOutcome::default()
    };
    items.indices.iter().zip(&items.keys).map(outcome).collect()
}

fn in_job(job_id: &str, items: &Items) -> Vec<BulkItemOutcome> {
    let mut outcomes = base(items);
    for outcome in &mut outcomes {
        outcome.job_id = Some(job_id.to_owned());
    }
    outcomes
}

fn set_all(outcomes: &mut [BulkItemOutcome], result: BulkResult, error: Option<&str>, details: Option<&str>) {
    for outcome in outcomes {
        outcome.set_result(result);
        outcome.error = error.map(str::to_owned);
        outcome.details = details.map(str::to_owned);
    }
}

fn ended_badly(job: &Job) -> bool {
    matches!(job.status(), JobState::Failed | JobState::Killed)
}

fn fill(outcome: &mut BulkItemOutcome, end: BulkResult, result: &JobResult) {
    outcome.set_result(end);
    // In a failed result, Zendesk may put the input's position into "id".
    if end != BulkResult::Failed {
        outcome.id = result.id.filter(|id| *id > 0).or(outcome.id);
    }
    outcome.email = result.email.clone().or(outcome.email.take());
    outcome.external_id = result.external_id.clone().or(outcome.external_id.take());
    outcome.error = result.error.as_deref().filter(|error| !error.is_empty()).map(snippet);
    outcome.details = result.details.as_deref().map(snippet);
}
