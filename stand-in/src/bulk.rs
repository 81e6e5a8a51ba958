//! Background jobs: taking bulk requests in, and working them off over time.
//!
//! No task runs in the background. Before each look at the account, the work
//! that is due is done, item by item. So what a caller sees depends on tokio's
//! time alone, and a paused clock pauses jobs, too.

mod task;

pub use task::may_edit;

use std::time::Duration;

use serde_json::{Map, Value};
use tokio::time::Instant;

use super::call::Call;
use super::clock::{Clock, JobDate};
use super::config::Jobs;
use super::errors;
use super::reply::{Envelope, Outcome, Reply};
use super::store::job::{Item, Job, Results, Status, Target, Task, Work};
use super::store::tables::Tables;

/// The header that tells how many more jobs may live.
const IN_FLIGHT: &str = "zendesk-ratelimit-inflight-jobs";

/// Queues a job and answers with its status.
pub fn enqueue(call: &Call, task: Task, items: Vec<Item>) -> Outcome {
    let world = &call.world;
    let limit = world.config.jobs.live_limit;
    let mut tables = world.store.write();
    let live: Vec<String> = tables.live_jobs().map(|job| job.id.clone()).collect();
    let in_flight = |taken: usize| format!("total={limit}; remaining={}; resets=60", limit.saturating_sub(taken));
    if live.len() >= limit {
        let status = world.config.assumptions.too_many_jobs_status;
        let refusal = errors::too_many_jobs(status, task.class(), &live);
        return Err(refusal.header(IN_FLIGHT, in_flight(live.len())));
    }
    let now = Instant::now();
    let job = Job {
        id: format!("V3-{:032x}", fastrand::u128(..)),
        kind: task.job_type().into(),
        total: Some(items.len()),
        progress: None,
        status: Status::Queued,
        message: None,
        results: Results::Pending,
        created_at: world.clock.now(),
        finished_at: None,
        seen_from: now + world.config.jobs.unseen_for,
        left_over: false,
        work: Some(Work { task, items, caller: call.caller, started: now, done: Vec::new(), failed: 0 }),
    };
    let shown = call.links.job(&job);
    tables.put_job(job);
    let reply = Reply::ok(Envelope::new().raw("job_status", &shown).finish());
    Ok(reply.header(IN_FLIGHT, in_flight(live.len() + 1)))
}

/// Items that are made or found by their attributes.
pub fn new_items(objects: Vec<Map<String, Value>>) -> Vec<Item> {
    objects.into_iter().map(|attributes| Item { target: Target::New, attributes }).collect()
}

/// Does the work of background jobs that is due by now.
pub fn settle(tables: &mut Tables, pace: &Jobs, clock: &Clock) {
    let now = Instant::now();
    tables.work_on_jobs(|job, tables| {
        let Some(mut work) = job.work.take() else {
            return;
        };
        let Some(due) = due(pace, now.saturating_duration_since(work.started)) else {
            job.work = Some(work);
            return;
        };
        for index in work.done.len()..due.min(work.items.len()) {
            let moment = clock.at(ended(pace, &work, index + 1));
            let entry = work.task.run(tables, index, work.items[index].clone(), work.caller, moment);
            work.failed += usize::from(entry.error.is_some());
            work.done.push(entry);
        }
        job.progress = Some(work.done.len());
        if work.done.len() < work.items.len() {
            job.status = Status::Working;
            job.message = Some(work.task.message(work.done.len() + 1));
            job.work = Some(work);
            return;
        }
        let moment = clock.at(ended(pace, &work, work.items.len()));
        let failed = work.failed > 0 && work.failed == work.items.len();
        job.status = if failed { Status::Failed } else { Status::Completed };
        let verb = if failed { "Failed" } else { "Completed" };
        job.message = Some(format!("{verb} at {}", JobDate(moment)));
        job.finished_at = Some(moment);
        job.results = Results::Entries(work.task.arrange(work.done));
    });
}

/// How many items are done after some time; nothing while the job is queued.
fn due(jobs: &Jobs, after: Duration) -> Option<usize> {
    let working = after.checked_sub(jobs.queued_for)?;
    if jobs.per_item.is_zero() {
        return Some(usize::MAX);
    }
    Some(usize::try_from(working.as_nanos() / jobs.per_item.as_nanos()).unwrap_or(usize::MAX))
}

/// When a number of items is done.
fn ended(jobs: &Jobs, work: &Work, items: usize) -> Instant {
    let items = u32::try_from(items).unwrap_or(u32::MAX);
    work.started + jobs.queued_for + jobs.per_item * items
}
