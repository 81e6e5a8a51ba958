//! Job statuses.

use std::borrow::Cow;
use std::cmp::Reverse;

use tokio::time::Instant;

use super::World;
use super::call::Call;
use super::errors;
use super::pagination::{self, HasMore, Listing, Modes, Order, Part};
use super::reply::{Envelope, Outcome, Reply};
use super::store::job::Job;

/// Most jobs that a list shows.
const KEPT: usize = 100;

impl World {
    /// Jobs that are queued or running.
    pub fn live_jobs(&self) -> usize {
        self.store.read().live_jobs().count()
    }
}

/// `GET /job_statuses`: the newest 100 by completion, then creation,
/// descending; pages by cursor only, also when nothing asks for it (the latter
/// an assumption).
pub fn list(call: &Call) -> Outcome {
    let tables = call.world.store.read();
    let mut jobs: Vec<&Job> = tables.jobs().rev().take(KEPT).collect();
    jobs.sort_by_key(|job| Reverse((job.finished_at, job.created_at)));
    let place = |job: &&Job| {
        let seconds = |time: u32| Part::Int(time.into());
        vec![seconds(job.finished_at.map_or(0, |time| time.0)), seconds(job.created_at.0), Part::Text(job.id.clone())]
    };
    let order = Order { name: "-completed_at,created_at,id".into(), key: Box::new(place) };
    let listing = Listing {
        name: "job_statuses",
        rows: Cow::Owned(order.sort(jobs)),
        order,
        has_more: HasMore::Always,
        modes: Modes::CursorOnly,
    };
    let links = &call.links;
    pagination::page(call, &listing, |job| links.job(job), pagination::alone)
}

/// `GET /job_statuses/{job_status_id}`: a job that was just created may not be
/// found yet, although the list has it.
pub fn show(call: &Call) -> Outcome {
    let id = call.param("job_status_id");
    let tables = call.world.store.read();
    let job = tables.job(id).filter(|job| job.seen_from <= Instant::now());
    let job = job.ok_or_else(errors::not_found)?;
    let shown = call.links.job(job);
    Ok(Reply::ok(Envelope::new().raw("job_status", &shown).finish()))
}

/// `GET /job_statuses/show_many`: unknown ids are left out.
pub fn many(call: &Call) -> Outcome {
    let ids = call.texts("ids")?;
    let ids = ids.ok_or_else(|| errors::parameter_missing("ids"))?;
    let tables = call.world.store.read();
    let jobs = ids.iter().filter_map(|id| tables.job(id));
    let jobs = jobs.filter(|job| job.seen_from <= Instant::now());
    let links = &call.links;
    let rows: Vec<Vec<u8>> = jobs.map(|job| links.job(job)).collect();
    let count = rows.len();
    let envelope = Envelope::new()
        .rows("job_statuses", rows)
        .raw("next_page", b"null")
        .raw("previous_page", b"null")
        .value("count", &count);
    Ok(Reply::ok(envelope.finish()))
}
