//! A job status as JSON.

use serde::Serialize;

use crate::store::job::{Job, Results};

use super::{Links, RecordUrl};

/// A job status, its keys in the order of Zendesk's recorded responses.
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
