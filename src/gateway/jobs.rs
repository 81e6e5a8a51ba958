//! Background jobs: read many at a time, and watched until they have ended.

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::Duration;

use futures_util::{Stream, stream};
use tokio::time::{Instant, sleep};

use super::read::Many;
use super::{Context, Gateway};
use crate::codec::Encoded;
use crate::error::{Error, Refusal, Result};
use crate::proto::{
    BatchGetJobsRequest, BatchGetJobsResponse, GetJobRequest, Job, JobState, WatchJobsRequest, WatchJobsResponse,
};
use crate::rest::jobs::show_many;
use crate::rest::many::{lists, some, unique};
use crate::upstream::call::Priority;
use crate::upstream::rest::text_id;

/// How long after a watch has begun a job may be missing without an error: under load, Zendesk accepts a job before all its
/// servers know it.
const NOT_FOUND_YET: Duration = Duration::from_secs(10);

/// True if a job will not change any more.
pub fn has_ended(job: &Job) -> bool {
    matches!(job.status(), JobState::Completed | JobState::Failed | JobState::Killed)
}

/// False if the job's state cannot be read, so that nobody can tell whether it has ended.
pub fn is_known(job: &Job) -> bool {
    !job.unreadable_fields.iter().any(|field| field == "status")
}

/// Returns the wait before jobs are polled again that have been followed for this long: a quarter of it, within 500 ms and 10 s. So the
/// delay in noticing the end of a new job is in proportion to its length, and below the upper bound the number of polls grows
/// only with the logarithm of the time.
pub fn poll_every(age: Duration) -> Duration {
    (age / 4).clamp(Duration::from_millis(500), Duration::from_secs(10))
}

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
        let seen = self.show_jobs(context, ids.clone()).await?;
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

    /// Reads jobs, 100 per request; unknown ones are left out.
    pub(super) async fn show_jobs(&self, context: &Context, ids: Vec<String>) -> Result<Many<Job>> {
        let mut jobs = Many { rows: Vec::with_capacity(ids.len()), all_read: true };
        for ids in lists(&ids) {
            let read = context.read(Priority::Interactive);
            let part = self.reads.many(&read, show_many(ids), ids.to_vec(), |job: &Job| Some(job.id.clone())).await?;
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
        let open = checked(request.ids)?;
        let watch = Watch { gateway: self.clone(), context, open, last: HashMap::new(), began: Instant::now() };
        Ok(stream::try_unfold((watch, VecDeque::new(), true), |(mut watch, mut ready, first)| async move {
            let mut first = first;
            while ready.is_empty() && !watch.open.is_empty() {
                if !first {
                    tokio::select! {
                        () = sleep(poll_every(watch.began.elapsed())) => {}
                        // A stream that ends without an error says that all jobs have ended.
                        () = watch.context.drain.begun() => return Err(Error::ShuttingDown),
                    }
                }
                first = false;
                ready = watch.look().await?;
            }
            let next = ready.pop_front();
            Ok(next.map(|job| (Encoded::new(&WatchJobsResponse { job_status: Some(job) }), (watch, ready, first))))
        }))
    }
}

struct Watch {
    gateway: Gateway,
    context: Context,
    open: Vec<String>,
    last: HashMap<String, Job>,
    began: Instant,
}

impl Watch {
    /// Reads the jobs that have not ended, and returns those that have changed.
    async fn look(&mut self) -> Result<VecDeque<Job>> {
        let mut seen = self.gateway.show_jobs(&self.context, self.open.clone()).await?.rows;
        let known: HashSet<&String> = seen.iter().map(|job| &job.id).collect();
        let missing: Vec<String> = self.open.iter().filter(|id| !known.contains(id)).cloned().collect();
        if self.began.elapsed() >= NOT_FOUND_YET {
            for id in missing {
                seen.push(self.show_one(&id).await?);
            }
        }
        let mut changed = VecDeque::new();
        for job in seen {
            if !is_known(&job) {
                let refusal = Refusal { status: 200, text: "a job's state".to_owned(), ..Refusal::default() };
                return Err(Error::Unreadable(Box::new(refusal)));
            }
            if self.last.get(&job.id) != Some(&job) {
                self.last.insert(job.id.clone(), job.clone());
                if has_ended(&job) {
                    self.open.retain(|id| *id != job.id);
                }
                changed.push_back(job);
            }
        }
        Ok(changed)
    }

    /// Reads one job by its own path, which answers 404 for an unknown job; the list just leaves it out.
    async fn show_one(&self, id: &str) -> Result<Job> {
        let (read, request) = (self.context.read(Priority::Interactive), GetJobRequest { id: id.to_owned() });
        let reply = self.gateway.reads.one(&read, &request).await?;
        Ok(reply.job_status.expect("a reply without the job is refused"))
    }
}

/// Checks ids and removes duplicates.
fn checked(ids: Vec<String>) -> Result<Vec<String>> {
    some("ids", &ids)?;
    ids.iter().try_for_each(|id| text_id("ids", id).map(drop))?;
    Ok(unique(ids))
}
