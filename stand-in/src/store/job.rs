//! A background job's status as pollers see it.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::{Map, Value};
use tokio::time::Instant;

use crate::clock::Time;

/// One background job.
#[derive(Clone, Debug)]
pub struct Job {
    pub id: String,
    /// The `job_type`, free text such as `Bulk Update User`.
    pub kind: Cow<'static, str>,
    pub total: Option<usize>,
    pub progress: Option<usize>,
    pub status: Status,
    pub message: Option<String>,
    pub results: Results,
    pub created_at: Time,
    pub finished_at: Option<Time>,
    /// Not found by id before this moment.
    pub seen_from: Instant,
    /// Left by the seed: it never changes and counts against no limit.
    pub left_over: bool,
    /// What is to be done and was done; nothing for jobs of the seed.
    pub work: Option<Work>,
}

/// The work of a job.
#[derive(Clone, Debug)]
pub struct Work {
    pub task: Task,
    pub items: Vec<Item>,
    /// The member of staff who asked for it.
    pub caller: Option<i64>,
    pub started: Instant,
    /// Entries of the items done so far, in their order.
    pub done: Vec<Entry>,
    pub failed: usize,
}

/// What is done to each item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    CreateUsers,
    CreateOrUpdateUsers,
    UpdateUsers,
    DeleteUsers,
    CreateMemberships,
    DeleteMemberships,
    CreateOrganizations,
    UpdateOrganizations,
    DeleteOrganizations,
    CreateOrganizationMemberships,
    DeleteOrganizationMemberships,
}

/// One record of a bulk request.
#[derive(Clone, Debug)]
pub struct Item {
    pub target: Target,
    pub attributes: Map<String, Value>,
}

/// Which record an item is about.
#[derive(Clone, Debug)]
pub enum Target {
    /// One that is to be made, or found by its attributes.
    New,
    Id(i64),
    ExternalId(String),
}

impl Job {
    /// Whether the job takes one of the places for live jobs.
    pub fn is_live(&self) -> bool {
        !self.left_over && matches!(self.status, Status::Queued | Status::Working)
    }
}

/// The states of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    Queued,
    Working,
    Completed,
    Failed,
    Killed,
}

impl Status {
    pub fn name(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Working => "working",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Killed => "killed",
        }
    }
}

/// The results of a job, as JSON writes them: null, a list, or one object for all items.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub enum Results {
    /// Null, until the job has ended.
    Pending,
    /// One entry per item.
    Entries(Vec<Entry>),
    /// `{"success":…}`, as permanent deletion of tickets answers.
    Success { success: bool },
}

/// One entry of a job's results, in the order of Zendesk's keys. Every job type fills other keys, and leaves out the rest.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Entry {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub index: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub action: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub details: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub success: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
}
