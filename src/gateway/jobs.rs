//! Background jobs: read many at a time, followed and watched until they have ended, and the slots for those of bulk calls.

use std::collections::HashMap;

use futures_util::Stream;

use super::read::{Around, Many};
use super::{Context, Gateway};
use crate::codec::Encoded;
use crate::error::{Checks, Error, Result};
use crate::proto::{BatchGetJobsRequest, BatchGetJobsResponse, Job, WatchJobsRequest, WatchJobsResponse};
use crate::rest::jobs::show_many;
use crate::rest::many::{lists, some, unique};
use crate::share::Charge;
use crate::upstream::call::Priority;
use crate::upstream::rest::text_id;

mod apart;
mod board;
mod entry;
mod followed;
mod follower;
mod inbox;
mod pace;
mod poller;
mod round;
mod slots;
mod state;
mod watch;

pub use followed::{Followed, Jobs};
pub use inbox::News;
pub use slots::{Counts, Slot, Slots, Waiting, Work};
pub use state::{has_ended, is_known};

/// Bytes that a caller is charged for each job that it watches: the entries in three tables, and the job as it was last seen.
const FOLLOWED: usize = 512;

impl Gateway {
    /// Show Many Job Statuses, in the order of the request.
    /// <https://developer.zendesk.com/api-reference/ticketing/ticket-management/job_statuses/#show-many-job-statuses>
    pub async fn batch_get_jobs(
        &self,
        context: &Context,
        request: BatchGetJobsRequest,
    ) -> Result<Encoded<BatchGetJobsResponse>> {
        if context.control.only_if_cached {
            return Err(Error::CacheMiss);
        }
        let ids = checked(request.ids)?;
        let mut held = Charge::none(context.caller.share());
        let seen = self.show_jobs(context, &ids, &mut held).await?;
        let mut found: HashMap<String, Job> = seen.rows.into_iter().map(|job| (job.id.clone(), job)).collect();
        let mut reply = BatchGetJobsResponse::default();
        for id in ids {
            match found.remove(&id) {
                Some(job) => reply.job_statuses.push(job),
                None if seen.all_read => reply.missing_ids.push(id),
                None => reply.unreadable_ids.push(id),
            }
        }
        Ok(Encoded::new(&reply))
    }

    /// Reads jobs, at most 100 per request; unknown ones are left out. What they take is charged as they come.
    async fn show_jobs(&self, context: &Context, ids: &[String], held: &mut Charge) -> Result<Many<Job>> {
        let mut jobs = Many { rows: Vec::with_capacity(ids.len()), around: Around::default(), all_read: true };
        for ids in lists(ids) {
            let read = context.read(Priority::Interactive);
            let part = self.reads.many(&read, show_many(ids), ids.to_vec(), |job: &Job| Some(job.id.clone())).await?;
            held.grow(part.weight())?;
            jobs.rows.extend(part.rows);
            jobs.all_read &= part.all_read;
        }
        Ok(jobs)
    }

    /// Streams each job as first seen and after each change, until all have ended.
    pub fn watch_jobs(
        &self,
        context: Context,
        request: WatchJobsRequest,
    ) -> Result<impl Stream<Item = Result<Encoded<WatchJobsResponse>>> + Send + use<>> {
        let ids = checked(request.ids)?;
        context.place.charge(context.caller.share(), ids.len() * FOLLOWED)?;
        Ok(watch::watch(&self.jobs, context, ids))
    }
}

/// Checks ids and removes duplicates.
fn checked(ids: Vec<String>) -> Result<Vec<String>> {
    some("ids", &ids)?;
    let mut checks = Checks::default();
    for (index, id) in ids.iter().enumerate() {
        checks.take(text_id(&format!("ids[{index}]"), id));
    }
    checks.end(Some(()))?;
    Ok(unique(ids))
}
