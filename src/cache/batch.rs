//! Batches: single reads by id that leave together as one request to Zendesk.
//!
//! The first read leaves at once and alone. While it is under way others gather, and leave together when it returns: the
//! busier the gateway, the larger the batches, and with no load nobody waits. Ids also leave as soon as there are enough
//! to fill a request, or when the request before them takes too long, so that one that hangs holds up nobody else.
//!
//! An id is never added to a batch that has left: what that batch reads may be older than the question.
//!
//! The fetch is one function, made with the batcher and called with the ids of those who still wait. No member brings a fetch
//! of its own: it would be tied to that member's id, and a batch outlives the member that opened it.

use std::collections::{HashMap, HashSet};
use std::hash::Hash;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until};

use super::Terms;
use super::flight::carried_out;
use super::stats::Stats;
use crate::error::{Error, Result};

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
    /// Ids asked for with different credentials never share a request.
    by_credential: Mutex<HashMap<u128, Batches<Context, Id, Value>>>,
    /// Number of the next batch.
    next: AtomicU64,
}

/// The batches of one credential. It is removed once none is under way or gathers.
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
}

struct Member<Context, Id, Value> {
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
        Self(Arc::new(Inner { most, wait, stats, fetch, by_credential: Mutex::default(), next: AtomicU64::new(0) }))
    }

    /// Returns the value for an id, or `None` if the batch that asked for it left it out.
    ///
    /// # Errors
    /// What the batch failed with, and [`Error::Deadline`] when the deadline of these terms passes first.
    pub async fn get(&self, credential: u128, context: Context, id: Id, terms: Terms) -> Result<Option<Value>> {
        let (reply, mut answer) = oneshot::channel();
        let (deadline, waits_for) = (terms.deadline, terms.waits_for.clone());
        let (number, leaves_by) = self.0.enter(credential, Member { context, id, terms, reply });
        let mut hurried = false;
        loop {
            tokio::select! {
                biased;
                answer = &mut answer => return answer.unwrap_or(Err(Error::ShuttingDown)),
                () = sleep_until(deadline) => {
                    let gathers = self.0.gathers(credential, number);
                    return Err(if gathers { Error::Deadline { sent: false } } else { waits_for.get() });
                }
                () = sleep_until(leaves_by), if !hurried => {
                    hurried = true;
                    self.0.hurry(credential, number);
                }
            }
        }
    }
}

impl<Context, Id, Value> Inner<Context, Id, Value>
where
    Context: Clone + Send + 'static,
    Id: Clone + Eq + Hash + Send + 'static,
    Value: Clone + Send + 'static,
{
    fn by_credential(&self) -> MutexGuard<'_, HashMap<u128, Batches<Context, Id, Value>>> {
        // Nothing in here can be left half done by a panic: no caller's code runs under the lock.
        self.by_credential.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a member to the batch that gathers for its credential. Returns the batch it is in, and when that leaves at the latest.
    fn enter(self: &Arc<Self>, credential: u128, member: Member<Context, Id, Value>) -> (u64, Instant) {
        let mut by_credential = self.by_credential();
        let batches = by_credential.entry(credential).or_insert(Batches { under_way: 0, gathering: None });
        let batch = batches.gathering.get_or_insert_with(|| Batch {
            number: self.next.fetch_add(1, Relaxed),
            members: Vec::new(),
            leaves_by: Instant::now() + self.wait,
        });
        batch.members.push(member);
        let (number, leaves_by) = (batch.number, batch.leaves_by);
        let full = batch.members.len() >= self.most;
        let leaving = if full || batches.under_way == 0 { batches.take() } else { None };
        drop(by_credential);
        self.send(credential, leaving);
        (number, leaves_by)
    }

    /// Sends a batch that has waited long enough, if it has not left.
    fn hurry(self: &Arc<Self>, credential: u128, number: u64) {
        let is_it = |batches: &&mut Batches<Context, Id, Value>| {
            batches.gathering.as_ref().is_some_and(|batch| batch.number == number)
        };
        let leaving = self.by_credential().get_mut(&credential).filter(is_it).and_then(Batches::take);
        self.send(credential, leaving);
    }

    /// True if the batch has not left.
    fn gathers(&self, credential: u128, number: u64) -> bool {
        let by_credential = self.by_credential();
        let gathering = by_credential.get(&credential).and_then(|batches| batches.gathering.as_ref());
        gathering.is_some_and(|batch| batch.number == number)
    }

    /// Sends a batch. Never call it under the lock: a runtime that shuts down drops the task at once, and with it the [`UnderWay`],
    /// which takes the lock.
    fn send(self: &Arc<Self>, credential: u128, batch: Option<Batch<Context, Id, Value>>) {
        if let Some(batch) = batch {
            let runtime = Handle::current();
            let under_way = UnderWay { batcher: self.clone(), credential, runtime: runtime.clone() };
            runtime.spawn(under_way.carry_out(batch));
        }
    }
}

/// A batch under way. Dropping it, however it ended, sends what has gathered meanwhile.
struct UnderWay<Context: Clone + Send + 'static, Id: Clone + Eq + Hash + Send + 'static, Value: Clone + Send + 'static>
{
    batcher: Arc<Inner<Context, Id, Value>>,
    credential: u128,
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
        let mut by_credential = self.batcher.by_credential();
        let batches = by_credential.get_mut(&self.credential).expect("they stay while one of them is under way");
        batches.under_way -= 1;
        let leaving = batches.take();
        if batches.under_way == 0 {
            by_credential.remove(&self.credential);
        }
        drop(by_credential);
        let _inside = self.runtime.enter();
        self.batcher.send(self.credential, leaving);
    }
}

/// Waits until every member has left.
async fn deserted<Context, Id, Value>(members: &mut [Member<Context, Id, Value>]) {
    for member in members {
        member.reply.closed().await;
    }
}
