//! Asks Zendesk about the jobs that are followed: one task for each credential, as long as somebody follows a job with it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt as _, StreamExt as _};
use tokio::sync::Notify;
use tokio::time::{Instant, interval, sleep_until};

use super::board::Board;
use super::pace::{Pace, Turn};
use super::round::{LONGEST, Round};
use crate::cache::{WaitsFor, carried_out};
use crate::error::{Error, Result};
use crate::gateway::read::{ReadContext, Reads};
use crate::proto::{GetJobRequest, Job};
use crate::rest::jobs::show_many;
use crate::upstream::call::{Ledger, Priority, Progress};

/// How long others wait for a request.
const PATIENCE: Duration = Duration::from_secs(1);
/// How often it is looked how far it is.
const GLANCE: Duration = Duration::from_millis(250);

/// The boards of all credentials, by their fingerprints.
pub type Boards = Mutex<HashMap<u128, Board>>;

/// Locks the boards.
pub fn locked(boards: &Boards) -> MutexGuard<'_, HashMap<u128, Board>> {
    boards.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What all pollers share.
pub struct Polling {
    pub reads: Reads,
    pub pace: Arc<Pace>,
    pub boards: Boards,
    /// Requests sent.
    pub polls: AtomicU64,
}

/// A round under way.
type Asking = BoxFuture<'static, Ended>;

/// A round that has ended.
struct Ended {
    round: Arc<Round>,
    ledger: Arc<Ledger>,
    outcome: Result<Vec<Job>>,
}

enum Waited {
    Ended(Ended),
    /// It has to be taken back before it is sent.
    Withdrawn,
    /// It takes so long that others go on.
    Late {
        hangs: bool,
    },
}

/// Asks with one credential. Dropping it, however it ends, tells those who still follow that nobody asks any more.
pub struct Poller {
    polling: Arc<Polling>,
    key: u128,
    wake: Arc<Notify>,
    over: bool,
}

impl Poller {
    /// Returns the poller of the board with this key.
    pub fn new(polling: &Arc<Polling>, key: u128, wake: &Arc<Notify>) -> Self {
        Self { polling: Arc::clone(polling), key, wake: Arc::clone(wake), over: false }
    }

    /// Asks until nobody follows anything.
    pub async fn run(mut self) {
        // The wait for the next request, once there is something to ask, and whether that is counted.
        let (mut turn, mut is_counted): (Option<Turn>, bool) = (None, false);
        let mut late = FuturesUnordered::new();
        while let Some((due, look)) = self.next() {
            let now = Instant::now();
            if due <= now && !is_counted && turn.is_none() {
                let callers = self.with(|board| board.due_of(now)).unwrap_or_default();
                turn = Some(self.polling.pace.wait(&callers));
            }
            is_counted |= turn.take_if(Turn::has_come).is_some();
            let is_due = due <= now && is_counted;
            if !is_due && look.is_none_or(|look| look > now) {
                let due = if due > now { due } else { now + LONGEST };
                tokio::select! {
                    () = sleep_until(look.map_or(due, |look| look.min(due))) => {}
                    () = come(turn.as_mut()) => (turn, is_counted) = (None, true),
                    () = self.wake.notified() => {}
                    Some(ended) = late.next() => self.end(ended),
                }
                continue;
            }
            let Some(round) = self.with(Board::begin).flatten().map(Arc::new) else { continue };
            // A last look waits for no turn, but counts.
            if !std::mem::take(&mut is_counted) {
                self.polling.pace.count();
            }
            let Some((mut asking, ledger)) = self.ask(&round) else { continue };
            match self.wait(&round, &mut asking, &ledger, &mut late).await {
                Waited::Ended(ended) => self.end(ended),
                // Nothing was sent, so the next round need not be counted anew.
                Waited::Withdrawn => {
                    is_counted = true;
                    self.with(|board| board.withdraw(&round));
                }
                Waited::Late { hangs } => {
                    if self.with(|board| board.late(&round, hangs)) == Some(true) {
                        late.push(asking);
                    } else {
                        self.count(&ledger);
                    }
                }
            }
        }
    }

    /// Returns when to ask next, or takes the board away if nothing is followed any more.
    fn next(&mut self) -> Option<(Instant, Option<Instant>)> {
        let mut boards = locked(&self.polling.boards);
        let next = boards.get(&self.key).and_then(Board::next);
        if next.is_none() {
            boards.remove(&self.key);
            self.over = true;
        }
        next
    }

    fn with<T>(&self, act: impl FnOnce(&mut Board) -> T) -> Option<T> {
        locked(&self.polling.boards).get_mut(&self.key).map(act)
    }

    /// Begins to send one request.
    fn ask(&self, round: &Arc<Round>) -> Option<(Asking, Arc<Ledger>)> {
        let (credential, trace) = self.with(|board| (board.credential.clone(), board.trace.clone()))?;
        let ledger = Arc::<Ledger>::default();
        let deadline = Instant::now() + LONGEST;
        let read = ReadContext {
            credential,
            deadline,
            wanted_by: deadline,
            priority: round.priority,
            share: round.share.clone().unwrap_or_default(),
            ledger: Arc::clone(&ledger),
            waits_for: WaitsFor::default(),
            trace,
        };
        let (polling, round, sent) = (Arc::clone(&self.polling), Arc::clone(round), Arc::clone(&ledger));
        let asking = async move {
            // Whoever follows has a deadline of its own.
            let outcome = carried_out(deadline, "jobs", send(&polling.reads, &read, &round)).await;
            Ended { round, ledger: sent, outcome }
        };
        Some((asking.boxed(), ledger))
    }

    /// Waits until a round has ended, or is waited for no longer.
    async fn wait(
        &self,
        round: &Round,
        asking: &mut Asking,
        ledger: &Ledger,
        late: &mut FuturesUnordered<Asking>,
    ) -> Waited {
        let begun = Instant::now();
        let mut look = interval(GLANCE);
        // Nothing else can be asked instead of a job by its own path, so others need not wait to learn that it hangs.
        let patience = if round.alone { GLANCE } else { PATIENCE };
        loop {
            // Somebody who cannot wait must not wait for the turn of a request that can.
            let can_wait = round.priority == Priority::Background && ledger.requests() == 0;
            let urgent = self.with(|board| board.next_urgent()).flatten().filter(|_| can_wait);
            tokio::select! {
                biased;
                ended = &mut *asking => return Waited::Ended(ended),
                Some(ended) = late.next() => self.end(ended),
                () = self.wake.notified(), if can_wait => {}
                () = sleep_until(urgent.unwrap_or(begun)), if urgent.is_some() => {
                    if ledger.requests() == 0 {
                        return Waited::Withdrawn;
                    }
                }
                _ = look.tick() => match ledger.progress() {
                    Progress::UnderWay(since) if since.elapsed() >= patience => return Waited::Late { hangs: true },
                    // One caller's may wait for others of that caller.
                    Progress::Waits if round.share.is_some() && begun.elapsed() >= patience => {
                        return Waited::Late { hangs: false };
                    }
                    _ => {}
                },
            }
        }
    }

    /// Takes in how a round has ended.
    fn end(&self, Ended { round, ledger, outcome }: Ended) {
        self.count(&ledger);
        self.with(|board| match outcome {
            Ok(jobs) => board.answered(&round, jobs),
            Err(error) => board.failed(&round, &error),
        });
    }

    fn count(&self, ledger: &Ledger) {
        let sent = ledger.requests();
        self.polling.polls.fetch_add(sent.into(), Relaxed);
        for _ in 1..sent {
            // Repetitions count, too.
            self.polling.pace.count();
        }
    }
}

/// Completes when the turn comes, if somebody waits for one.
async fn come(turn: Option<&mut Turn>) {
    match turn {
        Some(turn) => turn.come().await,
        None => std::future::pending().await,
    }
}

async fn send(reads: &Reads, read: &ReadContext, round: &Round) -> Result<Vec<Job>> {
    if let ([id], true) = (round.ids.as_slice(), round.alone) {
        let reply = reads.one(read, &GetJobRequest { id: id.clone() }).await?;
        return Ok(reply.job_status.into_iter().collect());
    }
    let rest = show_many(&round.ids);
    match reads.many(read, rest, round.ids.clone(), |job: &Job| Some(job.id.clone())).await {
        Ok(seen) => Ok(seen.rows),
        // Nothing in it is about these jobs, as if it were empty: each is asked for by its own path if that goes on.
        Err(Error::Foreign(_)) => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

impl Drop for Poller {
    fn drop(&mut self) {
        // Only a panic, or a runtime that shuts down, ends it while somebody follows.
        if !self.over
            && let Some(mut board) = locked(&self.polling.boards).remove(&self.key)
        {
            board.lose_all(&Error::ShuttingDown);
        }
    }
}
