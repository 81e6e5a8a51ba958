//! Bulk requests: one message becomes many requests, each of which starts a job at Zendesk.

use serde::Deserialize;

use super::answer::envelope;
use super::field_values::Given;
use super::write::Changes;
use crate::cache::Tag;
use crate::contract;
use crate::error::Result;
use crate::json::{self, Malformed, Scalar};
use crate::proto::{BulkJob, BulkOutcome, GetJobResponse};
use crate::upstream::call::Parsed;
use crate::upstream::rest::{Rest, is_text_id};

mod kind;
mod named;
mod stream;

pub use kind::{Kind, has_failed};
pub use named::{NamedRow, Update};
pub use stream::{BulkStream, within_row};

/// A bulk request.
pub trait Bulk: contract::Request<Reply: From<Outcome>> {
    /// What the jobs do with each input.
    const KIND: Kind;
    /// Returns the requests to send, each for at most 100 inputs, in the order of the inputs.
    fn chunks(&self) -> Result<Vec<Chunk>>;
    /// True if the caller waits until the jobs have ended.
    fn wait(&self) -> bool;
    /// Returns the values of user fields that are to be checked against their definitions before anything is sent.
    fn user_fields(&self) -> Vec<Given<'_>> {
        Vec::new()
    }
    /// Returns what the jobs change.
    fn changes(&self) -> Changes;
}

/// One request of a bulk call.
#[derive(Debug, Clone)]
pub struct Chunk {
    /// The request that starts the job.
    pub rest: Rest,
    /// For each input, what identifies it in the job's results.
    pub keys: Vec<Key>,
    /// Further records that the request is about, for the audit log.
    pub about: Vec<Tag>,
}

/// What identifies an input in a job's results.
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
    /// With `wait`, one per input; without, one per input whose request led to no job.
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
    BulkDeleteMembershipsResponse,
    BulkCreateOrganizationsResponse,
    BulkUpdateOrganizationsResponse,
    BulkDeleteOrganizationsResponse,
    BulkCreateOrganizationMembershipsResponse,
    BulkDeleteOrganizationMembershipsResponse
);

/// The id of a job: a text, or a number's digits.
#[derive(Default)]
struct JobId(String);

impl Scalar for JobId {
    fn from_text(text: &str) -> Option<Self> {
        Some(Self(text.to_owned()))
    }
    fn from_integer(integer: i64) -> Option<Self> {
        Some(Self(integer.to_string()))
    }
    fn from_double(_: f64) -> Option<Self> {
        None
    }
    fn from_bool(_: bool) -> Option<Self> {
        None
    }
}

/// Reads the answer to a bulk request, which must name the job that it started.
///
/// Only the job tells what became of the inputs, so an answer leaves them unknown without an id by which it can be asked for. The
/// id is a text or a number; the reader of messages accepts other scalars, too.
pub fn accepted(body: &[u8]) -> Result<Parsed, Malformed> {
    #[derive(Deserialize)]
    struct Accepted {
        job_status: Named,
    }
    #[derive(Deserialize)]
    struct Named {
        #[serde(deserialize_with = "json::scalar")]
        id: JobId,
    }
    let (Accepted { job_status: Named { id: JobId(id) } }, _) = json::decode(body)?;
    if !is_text_id(&id) {
        return Err(Malformed::without("job_status.id"));
    }
    envelope(body, |reply: &GetJobResponse| reply.job_status.is_some())
}
