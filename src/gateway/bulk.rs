//! Bulk calls: cut into jobs of 100, a bounded number of jobs at a time, one outcome per input.
//!
//! Zendesk takes 100 items per request, runs at most 30 jobs per account, and reports results in an order of its own. Here a
//! caller sends many items and gets one outcome for each, by the caller's own index. Once Zendesk has accepted one
//! job, the call succeeds and the outcomes report failures; before that, an error fails the call.

use std::collections::HashMap;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout_at};

use super::audit::Targets;
use super::jobs::{Followed, News, Slot, Waiting, has_ended, is_known};
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
mod unread;

pub(super) use outcome::result_of;

/// How long a job is followed after its call has ended, so that its slot stays taken while the job runs.
const FOLLOW: Duration = Duration::from_hours(1);

/// One bulk call under way.
struct Run {
    chunks: Vec<Chunk>,
    changes: Changes,
    /// Position of each chunk's first input.
    firsts: Vec<usize>,
    /// For each chunk, its job as last seen; none if the chunk has not led to one.
    jobs: Vec<Option<Job>>,
    /// For each chunk that was tried, its error, or why its job says nothing of it.
    errors: Vec<Option<Error>>,
    /// The error because of which the remaining chunks are not sent, or were not sent so far; none if only time runs out.
    stopped: Option<Error>,
    followed: Followed,
    /// The chunks of the jobs that run, by the jobs' ids.
    live: HashMap<String, usize>,
    /// The call's place among those that wait for a slot.
    waiting: Option<Waiting>,
    next: usize,
}

impl Gateway {
    /// Answers a bulk request.
    pub async fn bulk<B: Bulk>(&self, context: &Context, request: &B) -> Result<B::Reply> {
        let chunks = request.chunks()?;
        Ok(self.run_bulk(context, chunks, &request.changes(), B::KIND, request.wait()).await?.into())
    }

    /// Sends the chunks of a bulk call and follows their jobs.
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
        // Leaves time for the outcomes to reach the caller.
        let until = last_moment(context.deadline);
        let followed = if wait {
            self.jobs.follow(context, until).with_last_look()
        } else {
            self.jobs.follow(context, Instant::now() + FOLLOW)
        };
        let run = Run::new(chunks, changes.clone(), followed);
        let task = tokio::spawn(async move { gateway.run(&inner, run, until, guard, kind, wait).await });
        let _closes = CloseOnDrop(&ledger);
        task.await.unwrap_or(Err(Error::Internal { what: "a bulk call panicked" }))
    }

    async fn run(
        &self,
        context: &Context,
        mut run: Run,
        until: Instant,
        guard: WriteGuard,
        kind: Kind,
        wait: bool,
    ) -> Result<Outcome> {
        while run.has_more() || (wait && run.has_jobs_to_wait_for()) {
            if Instant::now() >= until || context.ledger.is_closed() {
                break;
            }
            if run.has_more() && run.waiting.is_none() {
                run.waiting = Some(self.jobs.slots().wait(context.caller.share()));
            }
            let follows = run.followed.is_open();
            tokio::select! {
                biased;
                Some(news) = run.followed.next(), if follows => run.take_in(news),
                () = sleep_until(until) => {}
                slot = granted(&mut run.waiting) => {
                    run.waiting = None;
                    if let Err(error) = self.submit(context, &mut run, slot, until).await {
                        // Nothing was changed, unless the outcome is unknown, which a dropped guard says.
                        if !error.may_have_been_done() {
                            guard.finish();
                        }
                        return Err(error);
                    }
                }
            }
        }
        while let Some(news) = run.followed.take() {
            run.take_in(news);
        }
        if run.waiting.take().is_some() && run.live.is_empty() {
            let stopped = run.stopped.take().unwrap_or_else(|| self.jobs.slots().taken(context.caller.share()));
            if run.is_untouched() {
                guard.finish();
                return Err(stopped);
            }
            run.stopped = Some(stopped);
        }
        let outcome = run.outcome(kind, wait);
        if run.errors.iter().flatten().any(|error| matches!(error, Error::OutcomeUnknown(_))) {
            // A job of which the gateway does not know, or not how it goes on, may still change records. A guard that is dropped
            // unfinished keeps them out of the cache for a while.
            drop(self.begin(&run.changes));
        }
        self.follow(context, guard, run.followed);
        Ok(outcome)
    }

    /// Sends the next chunk.
    async fn submit(&self, context: &Context, run: &mut Run, slot: Slot, until: Instant) -> Result<()> {
        let chunk = &run.chunks[run.next];
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
                self.accept(run, job, slot);
            }
            // Jobs of other integrations fill the account: room comes when a job of ours ends, or with time.
            Err(error @ Error::JobLimit(_)) => {
                self.jobs.slots().refused(slot);
                run.stopped = Some(error);
            }
            Err(error) if run.is_untouched() => return Err(error),
            Err(error) => run.failed(error),
        }
        Ok(())
    }

    /// Takes in the job that Zendesk made of the next chunk.
    fn accept(&self, run: &mut Run, job: Job, slot: Slot) {
        let at = run.next;
        run.next += 1;
        run.stopped = None;
        if !self.jobs.slots().is_new(&job.id) {
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
            return;
        }
        self.jobs.slots().started();
        if has_ended(&job) {
            slot.ended(&job);
        } else {
            run.followed.hold(&job.id, slot);
            run.live.insert(job.id.clone(), at);
        }
        run.jobs[at] = Some(job);
    }

    /// Follows a job whose acceptance came after its call had been answered.
    fn follow_late(&self, context: &Context, changes: &Changes, answer: &Answer) {
        let job = answer.parsed.downcast_ref::<GetJobResponse>().and_then(|reply| reply.job_status.clone());
        if let Some(job) = job.filter(|job| !has_ended(job)) {
            self.jobs.slots().started();
            let mut followed = self.jobs.follow(context, Instant::now() + FOLLOW);
            followed.hold(&job.id, self.jobs.slots().take_over(context.caller.share()));
            self.follow(context, self.begin(changes), followed);
        }
    }

    /// Follows jobs after their call: until they have ended, their slots stay taken and what they change stays out of the
    /// cache.
    fn follow(&self, context: &Context, guard: WriteGuard, mut followed: Followed) {
        if !followed.is_open() {
            guard.finish();
            return;
        }
        let until = Instant::now() + FOLLOW;
        followed.go_on(until);
        // The next call's turn comes after the last job.
        let turn = context.turn.clone();
        tokio::spawn(async move {
            let mut all_ended = true;
            while let Ok(Some(news)) = timeout_at(until, followed.next()).await {
                all_ended &= !matches!(news, News::Lost(..));
            }
            // Else the guard is dropped unfinished: nobody knows how the jobs went on.
            if all_ended && !followed.is_open() {
                guard.finish();
            }
            drop(turn);
        });
    }
}

/// Waits for the slot of a call that waits for one.
async fn granted(waiting: &mut Option<Waiting>) -> Slot {
    match waiting {
        Some(waiting) => waiting.slot().await,
        None => pending().await,
    }
}

/// When dropped, closes the ledger, so that nothing more is sent once the caller has left.
struct CloseOnDrop<'a>(&'a Ledger);

impl Drop for CloseOnDrop<'_> {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl Run {
    fn new(chunks: Vec<Chunk>, changes: Changes, followed: Followed) -> Self {
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
            followed,
            live: HashMap::new(),
            waiting: None,
            next: 0,
        }
    }

    fn has_more(&self) -> bool {
        self.next < self.chunks.len()
    }

    /// True while a job runs whose state can be read. One whose state cannot be read keeps its slot, but is not waited for.
    fn has_jobs_to_wait_for(&self) -> bool {
        self.live.values().filter_map(|at| self.jobs[*at].as_ref()).any(is_known)
    }

    /// Takes in what became of a job.
    fn take_in(&mut self, news: News) {
        match news {
            News::Seen(job) => {
                let Some(at) = self.live.get(&job.id).copied() else { return };
                if has_ended(&job) {
                    self.live.remove(&job.id);
                }
                self.jobs[at] = Some((*job).clone());
            }
            News::Lost(id, error) => {
                if let Some(at) = self.live.remove(&*id) {
                    self.errors[at] = Some(Error::OutcomeUnknown(Box::new(error)));
                }
            }
            // Zendesk is asked again.
            News::Failed(_) => {}
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
