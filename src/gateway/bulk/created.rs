//! Which user was made from which input.
//!
//! `create_many` reports the users that it has made in no order, and by nothing but their ids. So they are read, and what they are
//! identified by tells from which input each was made.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use tokio::time::Instant;

use super::evidence;
use super::items::Items;
use super::unread::Unread;
use crate::gateway::{Context, Gateway};
use crate::proto::{BatchGetUsersRequest, BulkItemOutcome, BulkResult, Job, JobResult, JobState, User};
use crate::rest::bulk::{Key, Kind};
use crate::rest::many::{MOST_ITEMS, unique};
use crate::upstream::call::Priority;

/// Longest wait for the users. Meanwhile the call does nothing else.
const LONGEST: Duration = Duration::from_secs(10);

impl Gateway {
    /// Returns the results of a job, with what the users that it has made are identified by where the results do not say it. That
    /// takes a request, which is made only if it can tell something.
    pub(super) async fn identified(
        &self,
        context: &Context,
        until: Instant,
        kind: Kind,
        job: &Job,
        items: &Items,
    ) -> Vec<JobResult> {
        let mut results = job.results.clone();
        let ids = unplaceable(kind, job, items);
        if ids.is_empty() {
            return results;
        }
        let mut read = context.read(Priority::Background);
        let until = until.min(Instant::now() + LONGEST);
        (read.deadline, read.wanted_by) = (until, until);
        let read = self.reads.rows(&read, &BatchGetUsersRequest::default(), &ids).await;
        // Without an answer the outcomes are right, too; they only lack ids.
        let Ok(users) = read else { return results };
        let users: HashMap<i64, User> = users.rows.into_iter().map(|user| (user.id, user)).collect();
        for result in &mut results {
            if let Some(user) = result.id.and_then(|id| users.get(&id)) {
                result.external_id = result.external_id.take().or_else(|| user.external_id.clone());
                result.email = result.email.take().or_else(|| user.email.clone());
            }
        }
        results
    }
}

/// Returns the ids of users that the job has made, if reading them can tell from which input each was made.
fn unplaceable(kind: Kind, job: &Job, items: &Items) -> Vec<i64> {
    let has_name = |key: &Key| key.email.is_some() || key.external_id.is_some();
    let Some(unread) = Unread::of(job).filter(|_| kind == Kind::Create && items.keys.iter().any(has_name)) else {
        return Vec::new();
    };
    let evidence = evidence::of_job(kind, job, &job.results, &items.keys, &unread);
    let is_open = |(evidence, key): (&evidence::Evidence, &Key)| {
        has_name(key) && !matches!(evidence, evidence::Evidence::Result(..))
    };
    if !evidence.iter().zip(&items.keys).any(is_open) {
        return Vec::new();
    }
    let completed = job.status() == JobState::Completed;
    let made = |result: &&JobResult| {
        let is_nameless = result.index.is_none() && result.email.is_none() && result.external_id.is_none();
        is_nameless && kind.end(result, completed) == Some(BulkResult::Created)
    };
    let ids = unique(job.results.iter().filter(made).filter_map(|result| result.id).filter(|id| *id > 0));
    // A job has at most so many inputs, so more ids than that are not all its own.
    if ids.len() <= MOST_ITEMS { ids } else { Vec::new() }
}

/// Returns the ids of records that a job has made, and that no outcome has.
pub fn unplaced(kind: Kind, job: &Job, outcomes: &[BulkItemOutcome]) -> Vec<i64> {
    let told: HashSet<i64> = outcomes.iter().filter_map(|outcome| outcome.id).collect();
    let completed = job.status() == JobState::Completed;
    let made = |result: &&JobResult| kind.end(result, completed) == Some(BulkResult::Created);
    unique(job.results.iter().filter(made).filter_map(|result| result.id).filter(|id| *id > 0 && !told.contains(id)))
}
