//! <https://developer.zendesk.com/api-reference/ticketing/ticket-management/job_statuses/>

use super::{Read, Style, list};
use crate::cache::Policy;
use crate::error::Result;
use crate::path;
use crate::proto::{GetJobRequest, Job, ListJobsRequest, StreamJobsRequest};
use crate::upstream::rest::{Rest, text_id};

/// Show Job Status.
/// <https://developer.zendesk.com/api-reference/ticketing/ticket-management/job_statuses/#show-job-status>
impl Read for GetJobRequest {
    fn rest(&self) -> Result<Rest> {
        Ok(Rest::get(path!["job_statuses", text_id("id", &self.id)?]))
    }

    fn fits(&self, reply: &Self::Reply) -> bool {
        reply.job_status.as_ref().is_some_and(|job| job.id == self.id)
    }

    fn cache(&self) -> Policy {
        Policy::none()
    }
}

// List Job Statuses, cursor pagination only.
// <https://developer.zendesk.com/api-reference/ticketing/ticket-management/job_statuses/#list-job-statuses>
list!(ListJobsRequest | StreamJobsRequest => Job, Style::Cursor, |this| Ok(Rest::get(path!["job_statuses"])), Policy::none());

/// Show Many Job Statuses.
/// <https://developer.zendesk.com/api-reference/ticketing/ticket-management/job_statuses/#show-many-job-statuses>
pub fn show_many(ids: &[String]) -> Rest {
    Rest::get(path!["job_statuses", "show_many"]).query("ids", ids.join(","))
}
