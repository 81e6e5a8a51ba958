//! Which result of a job belongs to which input.
//!
//! Results come in no order (users created), by index (failures, memberships), by id (updates, deletions), by e-mail
//! (upserts), or as one object for the whole job. An input is only said to have ended some way if that can be known:
//! by what the result names, or because all that is left went well. Everything else is UNKNOWN.

use super::Key;
use crate::error::{Error, snippet};
use crate::proto::{BulkOutcome, BulkResult, Job, JobResult, JobState};

/// The outcomes of the inputs that got into a job.
pub fn of_job(job: &Job, keys: &[Key], first: usize, verb: BulkResult) -> Vec<BulkOutcome> {
    let mut outcomes = base(keys, first);
    for outcome in &mut outcomes {
        outcome.job_id = Some(job.id.clone());
    }
    if !super::has_ended(job) {
        set_all(&mut outcomes, BulkResult::Pending, None, None);
        return outcomes;
    }
    let whole = matches!(job.results.as_slice(), [only] if names_nothing(only) && only.success.is_some());
    if whole && job.results[0].success == Some(true) {
        set_all(&mut outcomes, verb, None, None);
        return outcomes;
    }

    let mut placed: Vec<Option<&JobResult>> = vec![None; keys.len()];
    let mut left: Vec<&JobResult> = Vec::new();
    for result in &job.results {
        match place(result, keys).filter(|index| placed[*index].is_none()) {
            Some(index) => placed[index] = Some(result),
            None => left.push(result),
        }
    }
    let open: Vec<usize> = (0..keys.len()).filter(|index| placed[*index].is_none()).collect();
    let all_left_went_well = left.len() == open.len() && left.iter().all(|result| !has_failed(result));
    for (index, result) in placed.iter().enumerate() {
        if let Some(result) = result {
            fill(&mut outcomes[index], result, verb);
        }
    }
    for index in &open {
        let outcome = &mut outcomes[*index];
        match (all_left_went_well, left.as_slice()) {
            (true, [only]) => fill(outcome, only, verb),
            (true, many) => {
                // Each went well, and which id is whose is not said.
                let same = many.iter().all(|result| result_of(result, verb) == result_of(many[0], verb));
                outcome.result = if same { result_of(many[0], verb) } else { verb }.into();
            }
            (false, _) => {
                outcome.set_result(BulkResult::Unknown);
                outcome.error = Some("JOB_FAILED".to_owned());
                outcome.details = job.message.as_deref().filter(|_| ended_badly(job)).map(snippet);
            }
        }
    }
    outcomes
}

/// The outcomes of inputs that got into no job.
pub fn without_job(why: Option<&Error>, keys: &[Key], first: usize) -> Vec<BulkOutcome> {
    let mut outcomes = base(keys, first);
    let Some(error) = why else {
        set_all(&mut outcomes, BulkResult::NotSent, Some("DEADLINE_EXCEEDED"), Some("the deadline came first"));
        return outcomes;
    };
    let (result, word, details) = unsent(error);
    set_all(&mut outcomes, result, Some(&word), Some(&details));
    outcomes
}

/// What a failed request means for the inputs it held: the result, a word and a sentence.
pub fn unsent(error: &Error) -> (BulkResult, String, String) {
    let result = match error {
        Error::OutcomeUnknown(_) => BulkResult::Unknown,
        _ if error.refusal().is_some_and(|refusal| refusal.status < 429) => BulkResult::Failed,
        _ => BulkResult::NotSent,
    };
    let reason = error.row().reason.as_str_name().trim_start_matches("ERROR_REASON_").to_owned();
    let word = error.refusal().and_then(|refusal| refusal.word.clone()).unwrap_or(reason);
    (result, word, snippet(&error.to_string()))
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

fn names_nothing(result: &JobResult) -> bool {
    result.id.is_none() && result.index.is_none() && result.email.is_none() && result.external_id.is_none()
}

fn ended_badly(job: &Job) -> bool {
    matches!(job.status(), JobState::Failed | JobState::Killed)
}

fn has_failed(result: &JobResult) -> bool {
    result.error.is_some() || result.success == Some(false) || result.status.as_deref() == Some("Failed")
}

/// Finds the input that a result names.
fn place(result: &JobResult, keys: &[Key]) -> Option<usize> {
    let one = |fits: &dyn Fn(&Key) -> bool| {
        let mut found = keys.iter().enumerate().filter(|(_, key)| fits(key)).map(|(index, _)| index);
        found.next().filter(|_| found.next().is_none())
    };
    let same = |mine: &Option<String>, theirs: &Option<String>| match (mine, theirs) {
        (Some(mine), Some(theirs)) => mine.to_lowercase() == theirs.to_lowercase(),
        _ => false,
    };
    let index = |number: Option<i64>| usize::try_from(number?).ok().filter(|index| *index < keys.len());
    one(&|key| key.id.is_some() && key.id == result.id)
        .or_else(|| index(result.index))
        .or_else(|| one(&|key| same(&key.email, &result.email)))
        .or_else(|| one(&|key| same(&key.external_id, &result.external_id)))
        // Failed upserts give the position as "id"; no record's id is that small.
        .or_else(|| index(result.id).filter(|_| has_failed(result)))
}

fn result_of(result: &JobResult, verb: BulkResult) -> BulkResult {
    match result.status.as_deref() {
        _ if has_failed(result) => BulkResult::Failed,
        Some("Created") => BulkResult::Created,
        Some("Updated") => BulkResult::Updated,
        Some("Deleted") => BulkResult::Deleted,
        _ => verb,
    }
}

fn fill(outcome: &mut BulkOutcome, result: &JobResult, verb: BulkResult) {
    outcome.set_result(result_of(result, verb));
    if !has_failed(result) {
        outcome.id = result.id.or(outcome.id);
    }
    outcome.email = result.email.clone().or(outcome.email.take());
    outcome.external_id = result.external_id.clone().or(outcome.external_id.take());
    outcome.error = result.error.as_deref().map(snippet);
    outcome.details = result.details.as_deref().map(snippet);
}
