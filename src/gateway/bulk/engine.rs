//! The engine of bulk calls and bulk streams: it sends one request after the other, follows their jobs, and tells what happens.
//!
//! Of each request it tells, in this order: that it is about to be sent, that Zendesk has made a job of it, and how its rows ended.
//! One request is under way at a time, so if this process is lost, it is unknown of one request at most whether it was sent.

use std::collections::HashMap;
use std::mem;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::event::{Ended, Event, Next, Source, Stop, Tell};
use super::follow::{self, FOLLOW};
use super::items::{Items, Part};
use super::{created, outcome};
use crate::cache::WriteGuard;
use crate::contract;
use crate::deadline::last_moment;
use crate::error::{Blame, Error, Fate, Refusal, Row};
use crate::gateway::audit::Targets;
use crate::gateway::jobs::{Followed, News, Slot, Waiting, Work, has_ended};
use crate::gateway::turns::Turn;
use crate::gateway::write::Change;
use crate::gateway::{Context, Gateway};
use crate::proto::{GetJobResponse, Job};
use crate::rest::Changes;
use crate::rest::bulk::{Kind, accepted};
use crate::share::Charge;
use crate::upstream::call::{Ledger, Priority};

/// A caller that takes an event no sooner than this is slow.
const SLOW: Duration = Duration::from_secs(1);

/// What an engine is to do.
pub struct Order {
    /// What the jobs do with each row.
    pub kind: Kind,
    /// What the jobs change.
    pub changes: Changes,
    /// True if the caller waits for the ends of the jobs.
    pub wait: bool,
    /// True if the caller learns what happens as it happens, and so can go on elsewhere when the gateway shuts down.
    pub is_stream: bool,
    /// Cancelled when the caller has left.
    pub left: CancellationToken,
    /// The memory that it takes beside its message.
    pub _held: Charge,
}

/// A job that has not ended.
pub(super) struct Live {
    pub items: Items,
    /// As last seen.
    pub job: Arc<Job>,
    /// Why nobody knows whose job it is: another request was answered with it, too.
    pub contested: Option<Error>,
}

/// See the module.
pub struct Engine<S: Source, T> {
    pub(super) gateway: Gateway,
    pub(super) context: Context,
    pub(super) order: Order,
    pub(super) source: S,
    pub(super) events: T,
    /// Held from before the first job until the last one has ended: a read in between may show the records before or after
    /// the change, so it must not be cached.
    pub(super) guard: WriteGuard,
    pub(super) followed: Followed,
    pub(super) live: HashMap<String, Live>,
    /// When it must stop, so that what it has to say reaches the caller in time.
    pub(super) until: Instant,
    /// The request that is sent next.
    pub(super) part: Option<Part>,
    /// The place among the calls that wait for a slot.
    pub(super) waiting: Option<Waiting>,
    /// Why the next request was not sent yet.
    pub(super) held_up: Option<Error>,
    pub(super) stop: Option<Stop<S::Error>>,
    /// True once the source has no more.
    pub(super) is_at_end: bool,
    /// True once rows have ended that Zendesk may carry out later.
    pub(super) is_open: bool,
    /// True until Zendesk has accepted a request, be it one of an earlier stream. Until then a request that
    /// fails for good stops the engine.
    pub(super) is_untouched: bool,
}

impl<S: Source, T: Tell> Engine<S, T> {
    /// Returns an engine that has done nothing yet.
    pub fn new(gateway: &Gateway, context: Context, order: Order, source: S, events: T) -> Self {
        let until = last_moment(context.deadline);
        let guard = gateway.begin(&order.changes);
        let followed = if order.wait {
            gateway.jobs.follow(&context, until).with_last_look()
        } else {
            gateway.jobs.follow(&context, Instant::now() + FOLLOW)
        };
        Self {
            gateway: gateway.clone(),
            context,
            order,
            source,
            events,
            guard,
            followed,
            live: HashMap::new(),
            until,
            part: None,
            waiting: None,
            held_up: None,
            stop: None,
            is_at_end: false,
            is_open: false,
            is_untouched: true,
        }
    }

    /// Follows a job that an earlier stream has started. Only the caller says so, so it takes no slot of others.
    pub fn resume(&mut self, job_id: String, items: Items) {
        self.is_untouched = false;
        self.followed.take_over(&job_id);
        let job = Arc::new(Job { id: job_id.clone(), ..Job::default() });
        self.live.insert(job_id, Live { items, job, contested: None });
    }

    /// Sends what comes from the source and, for a caller who waits, follows the jobs to their ends.
    pub async fn run(&mut self) {
        loop {
            let sends = self.stop.is_none() && !(self.is_at_end && self.part.is_none());
            let waits = self.order.wait && !self.live.is_empty();
            if !(sends || waits) {
                return;
            }
            if self.part.is_some() && self.waiting.is_none() {
                self.waiting = Some(self.gateway.jobs.slots().wait(self.context.caller.share()));
            }
            let slot = async {
                match &mut self.waiting {
                    Some(waiting) => waiting.slot().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = self.order.left.cancelled() => return,
                () = sleep_until(self.until) => return self.run_out().await,
                () = self.context.drain.begun(), if self.order.is_stream => {
                    return self.stop = Some(Stop::Failed(Error::ShuttingDown));
                }
                slot = slot, if sends => {
                    self.waiting = None;
                    if let Some(part) = self.part.take() {
                        self.send(part, slot).await;
                    }
                }
                Some(news) = self.followed.next() => self.hear(news).await,
                next = self.source.next(), if sends && self.part.is_none() => match next {
                    Ok(Some(Next::Part(part))) => self.part = Some(*part),
                    Ok(Some(Next::Tell(event))) => drop(self.tell(event).await),
                    Ok(None) => self.is_at_end = true,
                    Err(stop) => self.stop = Some(stop),
                }
            }
        }
    }

    /// Ends because time is up.
    async fn run_out(&mut self) {
        while let Some(news) = self.followed.take() {
            self.hear(news).await;
        }
        let late = self.reason().unwrap_or(Error::Deadline { sent: !self.is_untouched });
        self.stop.get_or_insert(Stop::Failed(late));
    }

    /// Tells an event. Returns false if nobody listens any more. A caller who is slow to read loses its place among those that wait
    /// for a slot, or a slot that it may have got meanwhile would be of use to nobody.
    async fn tell(&mut self, event: Event) -> bool {
        let mut telling = pin!(self.events.tell(event));
        if let Ok(heard) = timeout(SLOW, telling.as_mut()).await {
            heard
        } else {
            self.waiting = None;
            telling.await
        }
    }

    /// Sends a request, after it was announced.
    async fn send(&mut self, mut part: Part, slot: Slot) {
        if !mem::replace(&mut part.is_announced, true) {
            let mut telling = pin!(self.events.tell(Event::Announced(part.items.announcement())));
            match timeout(SLOW, telling.as_mut()).await {
                Ok(true) => {}
                Ok(false) => return,
                // Others can use the slot meanwhile.
                Err(_) => {
                    drop(slot);
                    if telling.await {
                        self.part = Some(part);
                    }
                    return;
                }
            }
        }
        let change = Change {
            targets: Targets::of_chunk(&part.chunk),
            rest: part.chunk.rest.clone(),
            idempotency: contract::Idempotency::Unsafe,
            priority: Priority::Background,
            parse: Arc::new(accepted),
            learnt: |_| Vec::new(),
            late: Some({
                let (gateway, context, changes) =
                    (self.gateway.clone(), self.context.clone(), self.order.changes.clone());
                Box::new(move |answer| gateway.follow_late(&context, &changes, answer))
            }),
        };
        let ledger = Ledger::within(&self.context.ledger);
        // If no answer has come by `until`, the rows are UNKNOWN, and there is still time to tell the caller.
        let context = Context { deadline: self.until, ledger: Arc::clone(&ledger), ..self.context.clone() };
        let gateway = self.gateway.clone();
        // The engine's guard holds the tags of all jobs; this one holds none.
        let mut sending = pin!(gateway.change(&context, change, gateway.begin(&Changes::default())));
        // Meanwhile jobs end, too.
        let sent = loop {
            tokio::select! {
                biased;
                sent = &mut sending => break sent,
                Some(news) = self.followed.next() => {
                    let mut hearing = pin!(self.hear(news));
                    tokio::select! {
                        sent = &mut sending => {
                            hearing.await;
                            break sent;
                        }
                        () = &mut hearing => {}
                    }
                }
            }
        };
        match sent {
            Ok((answer, _)) => {
                let job = answer.body::<GetJobResponse>().job_status.expect("a reply without a job is refused");
                self.accept(part.items, job, slot, ledger.ignored()).await;
            }
            // Jobs of other integrations fill the account: room comes when a job of ours ends, or with time.
            Err(error @ Error::JobLimit(_)) => {
                self.gateway.jobs.slots().refused(slot);
                (self.part, self.held_up) = (Some(part), Some(error));
            }
            Err(error) => {
                drop(slot);
                self.fail(&part.items, error, ledger.ignored()).await;
            }
        }
    }

    /// Takes in the job that Zendesk has made of a request.
    async fn accept(&mut self, items: Items, job: Job, slot: Slot, warnings: Vec<String>) {
        (self.is_untouched, self.held_up) = (false, None);
        let slots = self.gateway.jobs.slots();
        if self.live.contains_key(&job.id) || !slots.is_new(&job.id) {
            // One job cannot belong to two requests, and nothing says whose it is. If the other request is of this call, its
            // outcome is unknown, too.
            let text = "the job of another request".to_owned();
            let refusal = Refusal { status: 200, text, ..Refusal::default() };
            let unknown = Error::Foreign(Box::new(refusal)).as_write_error();
            if let Some(other) = self.live.get_mut(&job.id) {
                other.contested = Some(unknown.clone());
            }
            return self.fail(&items, unknown, warnings).await;
        }
        slots.started();
        let job = Arc::new(job);
        // Before the caller is told, which may take its time.
        if has_ended(&job) {
            slot.ended(&job);
        } else {
            let turn = self.context.turn.as_ref().map(Turn::whole);
            self.followed.hold(&job.id, slot.of(Work { tags: self.order.changes.tags.clone(), turn }));
        }
        self.tell(Event::Accepted { items: items.clone(), job: Arc::clone(&job), warnings }).await;
        let live = Live { items, job, contested: None };
        if has_ended(&live.job) {
            self.end(live).await;
        } else {
            self.live.insert(live.job.id.clone(), live);
        }
    }

    /// Tells how the rows of a failed request ended.
    async fn fail(&mut self, items: &Items, error: Error, warnings: Vec<String>) {
        self.is_open |= matches!(error, Error::OutcomeUnknown(_));
        self.held_up = None;
        let outcomes = outcome::of_error(&error, items);
        self.tell(Event::Ended(Ended::without_job(outcomes, warnings))).await;
        // While answers get lost, each request leaves a hundred rows of which nobody knows. And no rows are sent after some that may
        // be sent again, so that the caller can go on there.
        let Row { fate, blame, .. } = error.row();
        if fate == Fate::Unknown || blame != Blame::Request || self.is_untouched {
            self.stop = Some(Stop::Failed(error));
        }
    }

    /// Takes in how a job goes on.
    async fn hear(&mut self, news: News) {
        match news {
            News::Seen(job) => {
                let Some(mut live) = self.live.remove(&job.id) else { return };
                live.job = job;
                if has_ended(&live.job) {
                    self.end(live).await;
                } else {
                    self.live.insert(live.job.id.clone(), live);
                }
            }
            News::Lost(id, error) => {
                let Some(live) = self.live.remove(&*id) else { return };
                self.is_open = true;
                if self.order.is_stream && !error.is_about_the_request() {
                    // Its receipt stays open: handed back later, the job is asked about anew.
                    self.stop.get_or_insert(Stop::Failed(error));
                    return;
                }
                let mut ended = Ended { job: Some(Arc::clone(&live.job)), ..Ended::default() };
                if self.order.wait {
                    ended.outcomes = outcome::of_lost(&error, &live.job.id, &live.items);
                }
                self.tell(Event::Ended(ended)).await;
            }
            // It is asked again.
            News::Failed(_) => {}
        }
    }

    /// Tells how the rows of a job ended, as far as it was seen.
    async fn end(&mut self, live: Live) {
        let mut ended = Ended { job: Some(Arc::clone(&live.job)), ..Ended::default() };
        let Live { items, job, contested } = live;
        if let Some(error) = contested {
            ended.outcomes = outcome::of_error(&error, &items);
        } else if self.order.wait {
            let kind = self.order.kind;
            let results = self.gateway.identified(&self.context, self.until, kind, &job, &items).await;
            ended.outcomes = outcome::of_job(kind, &job, &results, &items);
            ended.unplaced_ids = created::unplaced(kind, &job, &ended.outcomes);
        }
        self.tell(Event::Ended(ended)).await;
    }

    /// Tells of rows that were announced and then not sent.
    pub async fn tell_what_is_left(&mut self) {
        if let Some(part) = self.part.take().filter(|part| part.is_announced) {
            let outcomes = outcome::not_sent(self.reason().as_ref(), &part.items);
            self.tell(Event::Ended(Ended::without_job(outcomes, Vec::new()))).await;
        }
    }

    /// Returns why the rows that are left were not sent; none if only time ran out, or if the caller's messages have failed.
    pub fn reason(&self) -> Option<Error> {
        let slots = self.gateway.jobs.slots();
        match &self.stop {
            Some(Stop::Source(_) | Stop::Failed(Error::Deadline { .. })) => None,
            Some(Stop::Failed(error)) => Some(error.clone()),
            None if self.held_up.is_some() => self.held_up.clone(),
            // Its turn for a slot has not come, and none of its own jobs holds one.
            None if self.waiting.is_some() && self.live.is_empty() => Some(slots.taken(self.context.caller.share())),
            None => None,
        }
    }

    /// Ends an engine that has started no job. Nothing was changed, unless the outcome is unknown, which a dropped guard says.
    pub fn give_up(self, error: &Error) {
        if !error.may_have_been_done() {
            self.guard.finish();
        }
    }

    /// Goes on with the jobs that have not ended. Returns why it has stopped, and whom to tell.
    pub fn follow(self) -> (Option<Stop<S::Error>>, T) {
        if self.is_open {
            // Zendesk may have started a job that the gateway does not know of, or not how it goes on. A guard that is dropped
            // unfinished keeps what that job may change out of the cache for a while.
            drop(self.gateway.begin(&self.order.changes));
        }
        follow::follow(self.context.turn, self.guard, self.followed, &self.gateway.handed_over);
        (self.stop, self.events)
    }
}
