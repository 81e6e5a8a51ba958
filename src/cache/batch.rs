//! Batches: single reads by id that leave together as one request to Zendesk.
//!
//! The first read leaves at once and alone. While it is under way others gather, and leave together when it returns: the
//! busier the gateway, the larger the batches, and with no load nobody waits. Ids also leave as soon as there are enough
//! to fill a request, or when the request before them takes too long, so that one that hangs holds up nobody else.
//!
//! An id is never added to a batch that has left: what that batch reads may be older than the question.
//!
//! What one caller asks for can fail or hang by itself, and takes those along whose ids are in the same request. So whoever shares a
//! request with other callers, and it fails or takes too long, is asked for once more among that caller's ids alone; and so are all
//! ids of these callers for a while, as long as theirs fail or hang.
//!
//! The fetch is one function, made with the batcher and called with the ids of those who still wait. No member brings a fetch
//! of its own: it would be tied to that member's id, and a batch outlives the member that opened it.

use std::collections::{HashMap, HashSet};
use std::hash::Hash;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until};

use super::Terms;
use super::flight::carried_out;
use super::stats::Stats;
use crate::error::{Error, Result, Verdict};

/// How long an id may take with those of other callers before it is asked for without them, while these are waited for, too.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long the ids of a caller are kept apart from those of others after one of them failed or hung.
const APART: Duration = Duration::from_secs(10);

/// Whose ids share requests: those of one credential, and of one caller if they are kept apart.
type Lane = (u128, Option<u64>);

/// Gathers single reads of one kind into requests for many. Cloning shares it.
///
/// `Context` is what a request needs beside the ids, such as the credential. It is the same for all reads with one credential, so
/// any member's serves.
pub struct Batcher<Context, Id, Value>(Arc<Inner<Context, Id, Value>>);

impl<Context, Id, Value> Clone for Batcher<Context, Id, Value> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

struct Inner<Context, Id, Value> {
    most: usize,
    wait: Duration,
    stats: Arc<Stats>,
    fetch: Fetch<Context, Id, Value>,
    lanes: Mutex<HashMap<Lane, Batches<Context, Id, Value>>>,
    /// The callers whose ids are kept apart, and until when.
    apart: Mutex<HashMap<u64, Instant>>,
    /// Number of the next batch.
    next: AtomicU64,
}

/// The batches of one lane. It is removed once none is under way or gathers.
struct Batches<Context, Id, Value> {
    under_way: usize,
    gathering: Option<Batch<Context, Id, Value>>,
}

impl<Context, Id, Value> Batches<Context, Id, Value> {
    /// Takes what has gathered, to be sent.
    fn take(&mut self) -> Option<Batch<Context, Id, Value>> {
        let batch = self.gathering.take()?;
        self.under_way += 1;
        Some(batch)
    }
}

struct Batch<Context, Id, Value> {
    number: u64,
    members: Vec<Member<Context, Id, Value>>,
    leaves_by: Instant,
    /// True if it has ids of several callers.
    is_mixed: Arc<AtomicBool>,
}

struct Member<Context, Id, Value> {
    caller: u64,
    context: Context,
    id: Id,
    terms: Terms,
    reply: oneshot::Sender<Result<Option<Value>>>,
}

/// Fetches the values of many ids; ids that it leaves out have none.
type Fetch<Context, Id, Value> =
    Box<dyn Fn(Context, Vec<Id>, Terms) -> BoxFuture<'static, Result<HashMap<Id, Value>>> + Send + Sync>;

impl<Context, Id, Value> Batcher<Context, Id, Value>
where
    Context: Clone + Send + 'static,
    Id: Clone + Eq + Hash + Send + 'static,
    Value: Clone + Send + 'static,
{
    pub(super) fn new<F, Fut>(most: usize, wait: Duration, stats: Arc<Stats>, fetch: F) -> Self
    where
        F: Fn(Context, Vec<Id>, Terms) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<HashMap<Id, Value>>> + Send + 'static,
    {
        let fetch: Fetch<Context, Id, Value> =
            Box::new(move |context, ids, terms| Box::pin(fetch(context, ids, terms)));
        let (lanes, apart, next) = (Mutex::default(), Mutex::default(), AtomicU64::new(0));
        Self(Arc::new(Inner { most, wait, stats, fetch, lanes, apart, next }))
    }

    /// Returns the value for an id, which this caller wants, or `None` if the batch that asked for it left it out.
    ///
    /// # Errors
    /// What the batch failed with, and [`Error::Deadline`] when the deadline of these terms passes first.
    pub async fn get(
        &self,
        credential: u128,
        caller: u64,
        context: &Context,
        id: Id,
        terms: &Terms,
    ) -> Result<Option<Value>> {
        let ask = |lane| {
            let (reply, answer) = oneshot::channel();
            let member = Member { caller, context: context.clone(), id: id.clone(), terms: terms.clone(), reply };
            let (number, leaves_by, is_mixed) = self.0.enter(lane, member);
            Asked { lane, number, leaves_by, is_mixed, answer }
        };
        let begun = Instant::now();
        let mut asked = ask((credential, self.0.is_apart(caller).then_some(caller)));
        // A request that takes too long, with ids of others.
        let mut before: Option<Asked<Value>> = None;
        let mut wake = asked.leaves_by;
        loop {
            tokio::select! {
                biased;
                answer = &mut asked.answer => match answer.unwrap_or(Err(Error::ShuttingDown)) {
                    Err(error) if may_be_anothers(&error) => {
                        self.0.keep_apart(caller);
                        if !asked.is_mixed.load(Relaxed) {
                            return Err(error);
                        }
                        asked = ask((credential, Some(caller)));
                        wake = asked.leaves_by;
                    }
                    answer => return answer,
                },
                answer = async { (&mut before.as_mut().expect("asked for").answer).await }, if before.is_some() => {
                    before = None;
                    if let Ok(Ok(value)) = answer {
                        return Ok(value);
                    }
                }
                () = sleep_until(wake.min(terms.deadline)) => {
                    let now = Instant::now();
                    if now >= terms.deadline {
                        let gathers = before.is_none() && self.0.gathers(&asked);
                        return Err(if gathers { Error::Deadline { sent: false } } else { terms.waits_for.get() });
                    }
                    self.0.hurry(&asked);
                    wake = begun + PATIENCE;
                    if now >= wake {
                        self.0.keep_apart(caller);
                        wake = terms.deadline;
                        if asked.is_mixed.load(Relaxed) {
                            before = Some(std::mem::replace(&mut asked, ask((credential, Some(caller)))));
                            wake = asked.leaves_by;
                        }
                    }
                }
            }
        }
    }
}

/// An id that was asked for.
struct Asked<Value> {
    lane: Lane,
    /// The batch it is in.
    number: u64,
    /// When that leaves at the latest.
    leaves_by: Instant,
    is_mixed: Arc<AtomicBool>,
    answer: oneshot::Receiver<Result<Option<Value>>>,
}

/// True if what a request failed with can be due to a part of what it asked for.
fn may_be_anothers(error: &Error) -> bool {
    match error {
        Error::Connect(_) | Error::Throttled(_) => false,
        Error::Incomplete { .. } | Error::TooLarge { .. } => true,
        // Whatever Zendesk refuses, it may be one of the ids.
        _ if error.refusal().is_some() => true,
        _ => matches!(error.row().breaker, Verdict::Failure | Verdict::Timeout),
    }
}

impl<Context, Id, Value> Inner<Context, Id, Value>
where
    Context: Clone + Send + 'static,
    Id: Clone + Eq + Hash + Send + 'static,
    Value: Clone + Send + 'static,
{
    fn lanes(&self) -> MutexGuard<'_, HashMap<Lane, Batches<Context, Id, Value>>> {
        // Nothing in here can be left half done by a panic: no caller's code runs under the lock.
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn apart(&self) -> MutexGuard<'_, HashMap<u64, Instant>> {
        self.apart.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_apart(&self, caller: u64) -> bool {
        self.apart().get(&caller).is_some_and(|until| *until > Instant::now())
    }

    fn keep_apart(&self, caller: u64) {
        let now = Instant::now();
        let mut apart = self.apart();
        apart.retain(|_, until| *until > now);
        apart.insert(caller, now + APART);
    }

    /// Adds a member to the batch that gathers in its lane. Returns the batch's number, when it leaves at the latest, and whether it
    /// has ids of several callers.
    fn enter(self: &Arc<Self>, lane: Lane, member: Member<Context, Id, Value>) -> (u64, Instant, Arc<AtomicBool>) {
        let mut lanes = self.lanes();
        let batches = lanes.entry(lane).or_insert(Batches { under_way: 0, gathering: None });
        let batch = batches.gathering.get_or_insert_with(|| Batch {
            number: self.next.fetch_add(1, Relaxed),
            members: Vec::new(),
            leaves_by: Instant::now() + self.wait,
            is_mixed: Arc::default(),
        });
        if batch.members.first().is_some_and(|first| first.caller != member.caller) {
            batch.is_mixed.store(true, Relaxed);
        }
        batch.members.push(member);
        let entered = (batch.number, batch.leaves_by, Arc::clone(&batch.is_mixed));
        let full = batch.members.len() >= self.most;
        let leaving = if full || batches.under_way == 0 { batches.take() } else { None };
        drop(lanes);
        self.send(lane, leaving);
        entered
    }

    /// Sends the batch that an id is in, if it has not left.
    fn hurry(self: &Arc<Self>, asked: &Asked<Value>) {
        let is_it = |batches: &&mut Batches<Context, Id, Value>| {
            batches.gathering.as_ref().is_some_and(|batch| batch.number == asked.number)
        };
        let leaving = self.lanes().get_mut(&asked.lane).filter(is_it).and_then(Batches::take);
        self.send(asked.lane, leaving);
    }

    /// True if the batch that an id is in has not left.
    fn gathers(&self, asked: &Asked<Value>) -> bool {
        let lanes = self.lanes();
        let gathering = lanes.get(&asked.lane).and_then(|batches| batches.gathering.as_ref());
        gathering.is_some_and(|batch| batch.number == asked.number)
    }

    /// Sends a batch. Never call it under the lock: a runtime that shuts down drops the task at once, and with it the [`UnderWay`],
    /// which takes the lock.
    fn send(self: &Arc<Self>, lane: Lane, batch: Option<Batch<Context, Id, Value>>) {
        if let Some(batch) = batch {
            let runtime = Handle::current();
            let under_way = UnderWay { batcher: self.clone(), lane, runtime: runtime.clone() };
            runtime.spawn(under_way.carry_out(batch));
        }
    }
}

/// A batch under way. Dropping it, however it ended, sends what has gathered meanwhile.
struct UnderWay<Context: Clone + Send + 'static, Id: Clone + Eq + Hash + Send + 'static, Value: Clone + Send + 'static>
{
    batcher: Arc<Inner<Context, Id, Value>>,
    lane: Lane,
    runtime: Handle,
}

impl<Context, Id, Value> UnderWay<Context, Id, Value>
where
    Context: Clone + Send + 'static,
    Id: Clone + Eq + Hash + Send + 'static,
    Value: Clone + Send + 'static,
{
    async fn carry_out(self, batch: Batch<Context, Id, Value>) {
        let mut members = batch.members;
        members.retain(|member| !member.reply.is_closed());
        let Some(context) = members.first().map(|member| member.context.clone()) else { return };
        let mut seen = HashSet::new();
        let ids: Vec<Id> =
            members.iter().map(|member| member.id.clone()).filter(|id| seen.insert(id.clone())).collect();
        let Some(terms) = members.iter().map(|member| member.terms.clone()).reduce(Terms::and) else { return };
        self.batcher.stats.batch(ids.len());
        let deadline = terms.deadline;
        let outcome = tokio::select! {
            biased;
            outcome = carried_out(deadline, "batch", async { (self.batcher.fetch)(context, ids, terms).await }) => outcome,
            () = deserted(&mut members) => return,
        };
        drop(self);
        for Member { id, reply, .. } in members {
            // A member that has left meanwhile needs no answer.
            let _ = reply.send(outcome.as_ref().map(|values| values.get(&id).cloned()).map_err(Clone::clone));
        }
    }
}

impl<Context, Id, Value> Drop for UnderWay<Context, Id, Value>
where
    Context: Clone + Send + 'static,
    Id: Clone + Eq + Hash + Send + 'static,
    Value: Clone + Send + 'static,
{
    fn drop(&mut self) {
        let mut lanes = self.batcher.lanes();
        let batches = lanes.get_mut(&self.lane).expect("they stay while one of them is under way");
        batches.under_way -= 1;
        let leaving = batches.take();
        if batches.under_way == 0 {
            lanes.remove(&self.lane);
        }
        drop(lanes);
        let _inside = self.runtime.enter();
        self.batcher.send(self.lane, leaving);
    }
}

/// Waits until every member has left.
async fn deserted<Context, Id, Value>(members: &mut [Member<Context, Id, Value>]) {
    for member in members {
        member.reply.closed().await;
    }
}
