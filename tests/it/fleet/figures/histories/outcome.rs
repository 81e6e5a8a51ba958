//! What became of a write.

use std::time::Duration;

use serde_json::{Value as Json, json};
use tokio::time::{Instant, sleep};
use tonic::{Code, Status};

use super::families::Write;
use crate::support::{Dynamic, refused};

/// Longest that a call may take.
pub const TIMEOUT: (&str, &str) = ("grpc-timeout", "15S");
/// Longest that a job is followed.
const PATIENCE: Duration = Duration::from_secs(40);

/// What became of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Done,
    /// It was refused, and nothing was done.
    Refused,
    /// It may have been done, or may yet be.
    Unknown,
}

/// Makes the call of a write.
pub async fn of(client: &Dynamic, write: &Write, request: &Json) -> Outcome {
    match client.call_with(write.rpc, &request.to_string(), &[TIMEOUT]).await {
        Ok(replies) => of_replies(client, &replies).await,
        // Of several changes some may have been done.
        Err(status) if write.all.is_none() && is_refusal(&status) => Outcome::Refused,
        Err(_) => Outcome::Unknown,
    }
}

/// True if the gateway says what became of the call. What the client says itself has no details.
fn is_refusal(status: &Status) -> bool {
    let told = refused(Err::<(), _>(status.clone()));
    !told.reason.is_empty() && told.reason != "OUTCOME_UNKNOWN" && told.code != Code::Ok
}

/// All that is called so, wherever it stands.
fn named<'a>(name: &str, json: &'a Json, found: &mut Vec<&'a Json>) {
    match json {
        Json::Array(items) => items.iter().for_each(|item| named(name, item, found)),
        Json::Object(fields) => {
            for (key, value) in fields {
                if key == name {
                    found.push(value);
                }
                named(name, value, found);
            }
        }
        _ => {}
    }
}

fn all_named<'a>(name: &str, replies: &'a [Json]) -> Vec<&'a Json> {
    let mut found = Vec::new();
    for reply in replies {
        named(name, reply, &mut found);
    }
    found
}

/// What the replies say: those of single writes nothing, those of bulk calls the result of their only row.
async fn of_replies(client: &Dynamic, replies: &[Json]) -> Outcome {
    let failures = all_named("failures", replies);
    if failures.iter().any(|failures| failures.as_array().is_some_and(|rows| !rows.is_empty())) {
        return Outcome::Unknown;
    }
    let jobs = all_named("job", replies);
    let results: Vec<&str> = all_named("result", replies).into_iter().filter_map(Json::as_str).collect();
    match results.last() {
        None if jobs.is_empty() => Outcome::Done,
        None | Some(&"BULK_RESULT_PENDING") => match jobs.iter().find_map(|job| job["id"].as_str()) {
            Some(job) => followed(client, job).await,
            None => Outcome::Unknown,
        },
        Some(&"BULK_RESULT_FAILED" | &"BULK_RESULT_NOT_SENT") => Outcome::Refused,
        Some(&"BULK_RESULT_UNKNOWN") => Outcome::Unknown,
        Some(_) => Outcome::Done,
    }
}

/// Follows a job to its end, in one way or the other.
async fn followed(client: &Dynamic, job: &str) -> Outcome {
    let end = Instant::now() + PATIENCE;
    let watches = fastrand::bool();
    while Instant::now() < end {
        let asked = if watches {
            client.call_with("WatchJobs", &json!({"ids": [job]}).to_string(), &[TIMEOUT]).await
        } else {
            client.call_with("GetJob", &json!({"id": job}).to_string(), &[TIMEOUT]).await
        };
        let last = asked.ok().and_then(|replies| Some(replies.last()?["job_status"].clone())).unwrap_or_default();
        match last["status"].as_str() {
            Some("JOB_STATE_COMPLETED") => {
                let row = &last["results"][0];
                let is_done = row["success"] != false && row["status"] != "Failed" && row["error"].is_null();
                return if is_done { Outcome::Done } else { Outcome::Refused };
            }
            Some("JOB_STATE_FAILED" | "JOB_STATE_KILLED") => return Outcome::Unknown,
            _ => sleep(Duration::from_millis(100)).await,
        }
    }
    Outcome::Unknown
}
