//! Bulk calls: cut into jobs of 100, a bounded number of jobs at a time, one outcome per input.
//!
//! Zendesk takes 100 items per request, runs at most 30 jobs per account, and reports results in an order of its own. Here a
//! caller sends many items and gets one outcome for each, by the caller's own index. Once Zendesk has accepted one
//! job, the call succeeds and the outcomes report failures; before that, an error fails the call.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::audit::Targets;
use super::jobs::{has_ended, is_known, poll_every};
use super::write::Change;
use super::{Context, Gateway};
use crate::cache::WriteGuard;
use crate::contract;
use crate::deadline::last_moment;
use crate::error::{Error, Fate, Refusal, Result, Retry};
use crate::proto::{BulkJob, GetJobResponse, Job};
use crate::rest::Changes;
use crate::rest::bulk::{Bulk, Chunk, Kind, Outcome, accepted};
use crate::upstream::call::{Answer, Ledger, Priority};

mod evidence;
mod outcome;
mod slots;
mod unread;

pub(super) use outcome::result_of;
pub use slots::{Counts, Slots};

/// The wait before a submission is tried again while other integrations hold all jobs of the account.
const JOB_LIMIT_PAUSE: Duration = Duration::from_secs(2);
/// How long a job is followed after its call has ended, so that its slot stays taken while the job runs.
const FOLLOW: Duration = Duration::from_hours(1);
/// Shortest wait between polls of jobs whose call has ended.
const FOLLOW_INTERVAL: Duration = Duration::from_secs(5);

/// A job that runs.
struct Live {
    /// Its chunk's position.
    at: usize,
    started: Instant,
    /// None if all slots were taken when the job was found to run.
    _slot: Option<OwnedSemaphorePermit>,
}

/// One bulk call under way.
struct Run {
    chunks: Vec<Chunk>,
    changes: Changes,
    /// Position of each chunk's first input.
    firsts: Vec<usize>,
    /// For each chunk, its job as last seen; none if the chunk has not led to one.
    jobs: Vec<Option<Job>>,
    /// For each chunk that was tried, its error, or that its job is another request's, too.
    errors: Vec<Option<Error>>,
    /// The error because of which the remaining chunks are not sent, or were not sent so far; none if only time runs out.
    stopped: Option<Error>,
    live: Vec<Live>,
    next: usize,
}

impl Gateway {
    /// Answers a bulk request.
    pub async fn bulk<B: Bulk>(&self, context: &Context, request: &B) -> Result<B::Reply> {
        let chunks = request.chunks()?;
        Ok(self.run_bulk(context, chunks, &request.changes(), B::KIND, request.wait()).await?.into())
    }

    /// Sends the chunks of a bulk call and polls their jobs.
    ///
    /// It does so on a task of its own, so that a caller who cancels stops only what was not sent yet. Jobs that were
    /// accepted keep their slots and the call's turn, and keep the records that they change out of the cache, until they
    /// have ended.
    pub(super) async fn run_bulk(
        &self,
        context: &Context,
        chunks: Vec<Chunk>,
        changes: &Changes,
        kind: Kind,
        wait: bool,
    ) -> Result<Outcome> {
        let ledger = Ledger::within(&context.ledger);
        let inner = Context { ledger: Arc::clone(&ledger), ..context.clone() };
        // Held from before the first job until the last one has ended: a read in between may show the records before or after
        // the change, so it must not be cached.
        let (gateway, guard) = (self.clone(), self.begin(changes));
        let run = Run::new(chunks, changes.clone());
        let task = tokio::spawn(async move { gateway.run(&inner, run, guard, kind, wait).await });
        let _closes = CloseOnDrop(&ledger);
        task.await.unwrap_or(Err(Error::Internal { what: "a bulk call panicked" }))
    }

    async fn run(&self, context: &Context, mut run: Run, guard: WriteGuard, kind: Kind, wait: bool) -> Result<Outcome> {
        // Leaves time for the outcomes to reach the caller.
        let until = last_moment(context.deadline);
        // Without `wait`, jobs are polled only to find slots for the chunks that are left.
        while run.next < run.chunks.len() || (wait && run.has_jobs_to_wait_for()) {
            if Instant::now() >= until || context.ledger.is_closed() {
                break;
            }
            let next = match self.submit(context, &mut run, until).await {
                Ok(next) => next,
                Err(error) => {
                    // Nothing was changed, unless the outcome is unknown, which a dropped guard says.
                    if !error.may_have_been_done() {
                        guard.finish();
                    }
                    return Err(error);
                }
            };
            if next == Next::Poll && !run.live.is_empty() {
                self.poll(context, &mut run, until).await;
            }
        }
        let outcome = run.outcome(kind, wait);
        if run.errors.iter().flatten().any(|error| matches!(error, Error::OutcomeUnknown(_))) {
            // Zendesk may have started a job that the gateway does not know of. A guard that is dropped unfinished keeps what
            // that job may change out of the cache for a while.
            drop(self.begin(&run.changes));
        }
        self.follow(context, guard, run.live, &run.jobs);
        Ok(outcome)
    }

    /// Sends the next chunk if a job may start.
    async fn submit(&self, context: &Context, run: &mut Run, until: Instant) -> Result<Next> {
        let at = run.next;
        let Some(chunk) = run.chunks.get(at) else { return Ok(Next::Poll) };
        let slot = if run.live.is_empty() {
            match timeout_at(until, self.jobs.take()).await {
                Ok(slot) => slot,
                Err(_) if run.is_untouched() => return Err(Error::Overloaded { what: "all job slots are taken" }),
                Err(_) => return Ok(Next::Poll),
            }
        } else {
            match self.jobs.try_take() {
                Some(slot) => slot,
                None => return Ok(Next::Poll),
            }
        };
        let change = Change {
            targets: Targets::of_chunk(chunk),
            rest: chunk.rest.clone(),
            idempotency: contract::Idempotency::Unsafe,
            priority: Priority::Background,
            parse: Arc::new(accepted),
            learnt: |_| Vec::new(),
            late: Some({
                let (gateway, context, changes) = (self.clone(), context.clone(), run.changes.clone());
                Box::new(move |answer| gateway.follow_late(&context, &changes, answer))
            }),
        };
        // A submission without an answer by then is reported as UNKNOWN, while there is time to tell the caller.
        let context = &Context { deadline: until, ..context.clone() };
        // The guard of `run` holds the tags of all jobs; this one holds none.
        match self.change(context, change, self.begin(&Changes::default())).await {
            Ok((answer, _)) => {
                let job = answer.body::<GetJobResponse>().job_status.expect("a reply without a job is refused");
                Ok(self.accept(run, job, slot))
            }
            // No time for another try.
            Err(error @ Error::JobLimit(_)) if run.is_untouched() && Instant::now() + JOB_LIMIT_PAUSE >= until => {
                Err(error)
            }
            // Jobs of other integrations fill the account: room comes when a job of ours ends, or with time.
            Err(error @ Error::JobLimit(_)) => {
                drop(slot);
                run.stopped = Some(error);
                if run.live.is_empty() {
                    sleep_until((Instant::now() + JOB_LIMIT_PAUSE).min(until)).await;
                }
                Ok(Next::Poll)
            }
            Err(error) if run.is_untouched() => Err(error),
            Err(error) => {
                run.failed(error);
                Ok(Next::Poll)
            }
        }
    }

    /// Takes in the job that Zendesk made of the next chunk.
    fn accept(&self, run: &mut Run, job: Job, slot: OwnedSemaphorePermit) -> Next {
        let at = run.next;
        run.next += 1;
        run.stopped = None;
        if !self.jobs.is_new(&job.id) {
            // One job cannot belong to two requests, and nothing says whose it is. If the other request is of this call, its
            // outcome is unknown, too.
            let text = "the job of another request".to_owned();
            let refusal = Refusal { status: 200, text, ..Refusal::default() };
            let unknown = Error::Foreign(Box::new(refusal)).as_write_error();
            let same = |known: &Option<Job>| known.as_ref().is_some_and(|known| known.id == job.id);
            if let Some(other) = run.jobs.iter().position(same) {
                run.errors[other] = Some(unknown.clone());
            }
            run.errors[at] = Some(unknown);
            return Next::Poll;
        }
        self.jobs.started();
        if has_ended(&job) {
            self.jobs.ended(&job);
        } else {
            run.live.push(Live { at, started: Instant::now(), _slot: Some(slot) });
        }
        run.jobs[at] = Some(job);
        Next::Submit
    }

    /// Waits for the polling interval, then reads the status of the jobs that run.
    async fn poll(&self, context: &Context, run: &mut Run, until: Instant) {
        let youngest = run.live.iter().map(|live| live.started).max().unwrap_or_else(Instant::now);
        sleep_until((Instant::now() + poll_every(youngest.elapsed())).min(until)).await;
        let ids = run.live.iter().filter_map(|live| Some(run.jobs[live.at].as_ref()?.id.clone())).collect();
        // A poll that fails is repeated by the loop in `run`.
        let Ok(seen) = self.show_jobs(context, ids).await else { return };
        for job in seen.rows {
            let is_asked = |at: &usize| run.jobs[*at].as_ref().is_some_and(|known| known.id == job.id);
            if let Some(at) = run.live.iter().map(|live| live.at).find(is_asked) {
                run.jobs[at] = Some(job);
            }
        }
        let ended = |live: &Live| run.jobs[live.at].as_ref().filter(|job| has_ended(job));
        run.live.iter().filter_map(ended).for_each(|job| self.jobs.ended(job));
        run.live.retain(|live| run.jobs[live.at].as_ref().is_some_and(|job| !has_ended(job)));
    }

    /// Follows a job whose acceptance came after its call had been answered.
    fn follow_late(&self, context: &Context, changes: &Changes, answer: &Answer) {
        let job = answer.parsed.downcast_ref::<GetJobResponse>().and_then(|reply| reply.job_status.clone());
        if let Some(job) = job.filter(|job| !has_ended(job)) {
            self.jobs.started();
            let live = Live { at: 0, started: Instant::now(), _slot: self.jobs.try_take() };
            self.follow(context, self.begin(changes), vec![live], &[Some(job)]);
        }
    }

    /// Follows jobs after their call: until they have ended, their slots stay taken and what they change stays out of the
    /// cache.
    fn follow(&self, context: &Context, guard: WriteGuard, mut live: Vec<Live>, jobs: &[Option<Job>]) {
        if live.is_empty() {
            guard.finish();
            return;
        }
        let mut ids: Vec<String> = live.iter().filter_map(|live| Some(jobs[live.at].as_ref()?.id.clone())).collect();
        let (gateway, context) = (self.clone(), context.detached(FOLLOW));
        tokio::spawn(async move {
            let started = Instant::now();
            while !live.is_empty() && Instant::now() < context.deadline {
                sleep_until(Instant::now() + poll_every(started.elapsed()).max(FOLLOW_INTERVAL)).await;
                let Ok(seen) = gateway.show_jobs(&context, ids.clone()).await else { continue };
                let ended: Vec<String> = seen
                    .rows
                    .into_iter()
                    .filter(has_ended)
                    .inspect(|job| gateway.jobs.ended(job))
                    .map(|job| job.id)
                    .collect();
                let keep: Vec<bool> = ids.iter().map(|id| !ended.contains(id)).collect();
                let (mut of_live, mut of_ids) = (keep.iter(), keep.iter());
                live.retain(|_| *of_live.next().expect("as many flags as jobs"));
                ids.retain(|_| *of_ids.next().expect("as many flags as jobs"));
            }
            // Else the guard is dropped unfinished: nobody knows how the jobs went on.
            if live.is_empty() {
                guard.finish();
            }
        });
    }
}

/// When dropped, closes the ledger, so that nothing more is sent once the caller has left.
struct CloseOnDrop<'a>(&'a Ledger);

impl Drop for CloseOnDrop<'_> {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// What to do next.
#[derive(PartialEq, Eq)]
enum Next {
    Submit,
    Poll,
}

impl Run {
    /// True while a job runs whose state can be read. One whose state cannot be read keeps its slot, but is not waited for.
    fn has_jobs_to_wait_for(&self) -> bool {
        self.live.iter().filter_map(|live| self.jobs[live.at].as_ref()).any(is_known)
    }

    fn new(chunks: Vec<Chunk>, changes: Changes) -> Self {
        let sizes = chunks.iter().map(|chunk| chunk.keys.len());
        let firsts = sizes.scan(0, |first, size| Some(std::mem::replace(first, *first + size))).collect();
        let count = chunks.len();
        Self {
            chunks,
            changes,
            firsts,
            jobs: vec![None; count],
            errors: vec![None; count],
            stopped: None,
            live: Vec::new(),
            next: 0,
        }
    }

    /// Notes that the next chunk failed.
    fn failed(&mut self, error: Error) {
        let row = error.row();
        // The next chunk would fail, too, if Zendesk throttles, cannot be reached or refuses the credential, or if the gateway
        // refuses to send. After any other error it may go through.
        let stops = row.retry != Retry::Never
            || row.fate == Fate::Held
            || matches!(error, Error::Credential { .. } | Error::ShuttingDown);
        self.errors[self.next] = Some(error.clone());
        if stops {
            self.next = self.chunks.len();
            self.stopped = Some(error);
        } else {
            self.next += 1;
        }
    }

    /// True while Zendesk has accepted no job, of whichever request.
    fn is_untouched(&self) -> bool {
        self.jobs.iter().all(Option::is_none) && self.errors.iter().all(Option::is_none)
    }

    fn outcome(&self, kind: Kind, wait: bool) -> Outcome {
        let mut outcome = Outcome::default();
        let count = |number: usize| i32::try_from(number).unwrap_or(i32::MAX);
        for (at, chunk) in self.chunks.iter().enumerate() {
            let first = self.firsts[at];
            match (&self.jobs[at], &self.errors[at]) {
                (Some(job), contested) => {
                    match contested {
                        Some(error) => outcome.outcomes.extend(outcome::of_error(error, &chunk.keys, first)),
                        None if wait => outcome.outcomes.extend(outcome::of_job(kind, job, &chunk.keys, first)),
                        None => {}
                    }
                    let item_count = count(chunk.keys.len());
                    outcome.jobs.push(BulkJob { job: Some(job.clone()), first_index: count(first), item_count });
                }
                (None, Some(error)) => outcome.outcomes.extend(outcome::of_error(error, &chunk.keys, first)),
                (None, None) => {
                    outcome.outcomes.extend(outcome::not_sent(self.stopped.as_ref(), &chunk.keys, first));
                }
            }
        }
        outcome
    }
}
