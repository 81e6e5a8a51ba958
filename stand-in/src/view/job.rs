//! Job statuses with their many shapes of results.

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use crate::store::job::{Entry, Job, Results};

use super::{Links, RecordUrl};

/// A job status in the recorded key order.
#[derive(Serialize)]
pub struct JobView<'a> {
    id: &'a str,
    job_type: &'a str,
    url: RecordUrl<'a, &'a str>,
    total: Option<usize>,
    progress: Option<usize>,
    status: &'static str,
    message: Option<&'a str>,
    results: &'a Results,
}

impl<'a> JobView<'a> {
    pub fn new(links: &'a Links, job: &'a Job) -> Self {
        Self {
            id: &job.id,
            job_type: &job.kind,
            url: links.url("job_statuses", &job.id),
            total: job.total,
            progress: job.progress,
            status: job.status.name(),
            message: job.message.as_deref(),
            results: &job.results,
        }
    }
}

impl Serialize for Results {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Pending => serializer.serialize_none(),
            Self::Entries(entries) => serializer.collect_seq(entries),
            Self::Success(success) => {
                let mut map = serializer.serialize_map(Some(1))?;
                map.serialize_entry("success", success)?;
                map.end()
            }
        }
    }
}

impl Serialize for Entry {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct View<'a> {
            #[serde(skip_serializing_if = "Option::is_none")]
            index: Option<usize>,
            #[serde(skip_serializing_if = "Option::is_none")]
            action: Option<&'a str>,
            #[serde(skip_serializing_if = "Option::is_none")]
            error: Option<&'a str>,
            #[serde(skip_serializing_if = "Option::is_none")]
            id: Option<i64>,
            #[serde(skip_serializing_if = "Option::is_none")]
            details: Option<&'a str>,
            #[serde(skip_serializing_if = "Option::is_none")]
            status: Option<&'a str>,
            #[serde(skip_serializing_if = "Option::is_none")]
            success: Option<bool>,
            #[serde(skip_serializing_if = "Option::is_none")]
            email: Option<&'a str>,
        }
        View {
            index: self.index,
            action: self.action,
            error: self.error,
            id: self.id,
            details: self.details.as_deref(),
            status: self.status,
            success: self.success,
            email: self.email.as_deref(),
        }
        .serialize(serializer)
    }
}
