//! How large a reply is.

use prost::Message as _;

use super::*;
use crate::proto::{BulkCreateOrUpdateUsersResponse, BulkJob, BulkOutcome};

#[test]
fn eight_thousand_inputs_fit_into_the_message_that_clients_take() {
    let text = |text: &str, length: usize, number: usize| {
        Some(format!("{text}{number:0>width$}", width = length - text.len()))
    };
    let reply = |failed: bool| {
        let mut reply = BulkCreateOrUpdateUsersResponse::default();
        for first in (0..8_000_usize).step_by(100) {
            let keys: Vec<Key> = (first..first + 100)
                .map(|number| Key {
                    id: None,
                    email: text("address-", 40, number),
                    external_id: text("ext-", 36, number),
                })
                .collect();
            let results = keys.iter().enumerate().map(|(position, key)| {
                let id = if failed { position } else { 9_007_199_254_740_991 - first - position };
                let id = i64::try_from(id).ok();
                let (error, details) = (text("UserUpdateError", 15, position), text("Email: ", 140, position));
                let status = Some(if failed { "Failed" } else { "Updated" }.to_owned());
                let result = JobResult { id, status, ..JobResult::default() };
                if failed {
                    JobResult { error, details, ..result }
                } else {
                    JobResult { email: key.email.clone(), ..result }
                }
            });
            let mut job = Job { id: format!("V3-{first:032x}"), results: results.collect(), ..Job::default() };
            job.set_status(JobState::Completed);
            let told = of_job(Kind::CreateOrUpdate, &job, &job.results, &items(&keys, 0));
            reply.outcomes.extend(told.into_iter().map(|outcome| BulkOutcome {
                index: i32::try_from(outcome.index).expect("few"),
                result: outcome.result,
                id: outcome.id,
                email: outcome.email,
                external_id: outcome.external_id,
                error: outcome.error,
                details: outcome.details,
                job_id: outcome.job_id,
                field: outcome.field,
            }));
            reply.jobs.push(BulkJob { job: Some(job), item_count: 100, ..BulkJob::default() });
        }
        let wanted = if failed { BulkResult::Failed } else { BulkResult::Updated };
        assert!(reply.outcomes.iter().all(|outcome| outcome.result() == wanted));
        reply.encoded_len()
    };
    let (went_well, failed) = (reply(false), reply(true));
    assert!(went_well / 8_000 <= 200, "{} bytes each", went_well / 8_000);
    assert!(failed / 8_000 <= 500 && failed < 4 << 20, "{} bytes each", failed / 8_000);
}
