//! Bulk requests: one message becomes many requests, each of which starts a job at Zendesk.

use serde::Deserialize;

use super::answer::envelope;
use super::write::Changes;
use crate::cache::Tag;
use crate::contract;
use crate::error::Result;
use crate::json::{self, Malformed};
use crate::proto::{BulkJob, BulkOutcome, GetJobResponse};
use crate::upstream::call::Parsed;
use crate::upstream::rest::Rest;

mod kind;

pub use kind::{Kind, has_failed};

/// A bulk request.
pub trait Bulk: contract::Request<Reply: From<Outcome>> {
    /// What its jobs do with each input.
    const KIND: Kind;
    /// Returns the requests to send, each for at most 100 inputs, in the order of the inputs.
    fn chunks(&self) -> Result<Vec<Chunk>>;
    /// Whether the caller wants to wait until the jobs have ended.
    fn wait(&self) -> bool;
    /// Returns what the jobs change.
    fn changes(&self) -> Changes;
}

/// One request of a bulk call.
#[derive(Debug, Clone)]
pub struct Chunk {
    /// The request that starts the job.
    pub rest: Rest,
    /// What each of its inputs can be recognised by in the job's results.
    pub keys: Vec<Key>,
    /// What it is about beside that, for the record.
    pub about: Vec<Tag>,
}

/// What an input can be recognised by.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Key {
    /// The record's id.
    pub id: Option<i64>,
    /// The user's e-mail address.
    pub email: Option<String>,
    /// The user's external id.
    pub external_id: Option<String>,
}

/// What became of a bulk call.
#[derive(Debug, Default)]
pub struct Outcome {
    /// The jobs, in the order of their inputs.
    pub jobs: Vec<BulkJob>,
    /// One per input with `wait`; without, one per input that got into no job.
    pub outcomes: Vec<BulkOutcome>,
}

macro_rules! reply {
    ($($reply:ident),+) => {
        $(impl From<Outcome> for crate::proto::$reply {
            fn from(outcome: Outcome) -> Self {
                Self { jobs: outcome.jobs, outcomes: outcome.outcomes }
            }
        })+
    };
}
reply!(
    BulkCreateUsersResponse,
    BulkCreateOrUpdateUsersResponse,
    BulkUpdateUsersResponse,
    BulkDeleteUsersResponse,
    BulkCreateMembershipsResponse,
    BulkDeleteMembershipsResponse
);

/// Reads the answer to a bulk request, which must name the job that it became.
///
/// Zendesk has accepted the inputs then, and their fate can be learnt from the job only: without an id it stays unknown. The
/// reader of messages takes much for a text, so the id is looked at before. Commas separate ids where jobs are asked for.
pub fn accepted(body: &[u8]) -> Result<Parsed, Malformed> {
    #[derive(Deserialize)]
    struct Accepted {
        job_status: Named,
    }
    #[derive(Deserialize)]
    struct Named {
        id: String,
    }
    let Accepted { job_status: Named { id } } = json::decode(body)?;
    if id.trim().is_empty() || id.contains(',') {
        return Err(Malformed::Foreign);
    }
    envelope(body, |reply: &GetJobResponse| reply.job_status.is_some())
}
