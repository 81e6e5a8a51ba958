//! Asks Zendesk about the jobs that are followed: one task for each credential, as long as somebody follows a job with it.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use super::board::Board;
use super::pace::Pace;
use super::round::Round;
use crate::cache::WaitsFor;
use crate::error::{Error, Result};
use crate::gateway::read::{ReadContext, Reads};
use crate::proto::{GetJobRequest, Job};
use crate::rest::jobs::show_many;
use crate::share::Share;
use crate::upstream::call::{Ledger, Priority};

/// Longest that one request about jobs may take, with its retries and its wait for budget.
const LONGEST: Duration = Duration::from_secs(30);

/// The boards of all credentials, by their fingerprints.
pub type Boards = Mutex<HashMap<u128, Board>>;

/// Locks the boards.
pub fn locked(boards: &Boards) -> MutexGuard<'_, HashMap<u128, Board>> {
    boards.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What all pollers share.
pub struct Polling {
    pub reads: Reads,
    pub pace: Pace,
    pub boards: Boards,
    /// Requests sent.
    pub polls: AtomicU64,
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
        // When the next request may be sent, once there is something to ask.
        let mut reserved: Option<Instant> = None;
        while let Some((due, look)) = self.next() {
            let now = Instant::now();
            if due <= now && reserved.is_none() {
                reserved = Some(self.polling.pace.reserve(now));
            }
            let paced = reserved.map_or(due, |at| at.max(due));
            let at = look.map_or(paced, |look| look.min(paced));
            if at > now {
                tokio::select! {
                    () = sleep_until(at) => {}
                    () = self.wake.notified() => {}
                }
                continue;
            }
            let Some(round) = self.with(Board::begin).flatten() else { continue };
            // A last look waits for no pace, but counts.
            let counted = reserved.take().unwrap_or_else(|| self.polling.pace.reserve(now));
            let outcome = self.ask(&round).await;
            if outcome.is_none() {
                // Nothing was sent, so the next round need not be counted anew.
                reserved = Some(counted);
            }
            self.with(|board| match outcome {
                Some(Ok(jobs)) => board.answered(&round, jobs),
                Some(Err(error)) => board.failed(&round, &error),
                None => board.withdraw(&round),
            });
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

    /// Sends one request. Returns none if it has been taken back before it was sent.
    async fn ask(&self, round: &Round) -> Option<Result<Vec<Job>>> {
        let (credential, trace) = self.with(|board| (board.credential.clone(), board.trace.clone()))?;
        let ledger = Arc::<Ledger>::default();
        let deadline = Instant::now() + LONGEST;
        let read = ReadContext {
            credential,
            deadline,
            wanted_by: deadline,
            priority: round.priority,
            // Nobody's own: it is for all who follow.
            share: Share::default(),
            ledger: Arc::clone(&ledger),
            waits_for: WaitsFor::default(),
            trace,
        };
        let mut asking = pin!(self.send(&read, round));
        let outcome = loop {
            // Somebody who cannot wait must not wait for the turn of a request that can.
            let can_wait = round.priority == Priority::Background && ledger.requests() == 0;
            let urgent = self.with(|board| board.next_urgent()).flatten().filter(|_| can_wait);
            tokio::select! {
                biased;
                outcome = &mut asking => break Some(outcome),
                () = self.wake.notified(), if can_wait => {}
                () = sleep_until(urgent.unwrap_or(deadline)), if urgent.is_some() => {
                    if ledger.requests() == 0 {
                        break None;
                    }
                }
            }
        };
        let sent = ledger.requests();
        self.polling.polls.fetch_add(sent.into(), Relaxed);
        for _ in 1..sent {
            // Repetitions count, too.
            self.polling.pace.reserve(Instant::now());
        }
        outcome
    }

    async fn send(&self, read: &ReadContext, round: &Round) -> Result<Vec<Job>> {
        let reads = &self.polling.reads;
        if let ([id], true) = (round.ids.as_slice(), round.alone) {
            let reply = reads.one(read, &GetJobRequest { id: id.clone() }).await?;
            return Ok(reply.job_status.into_iter().collect());
        }
        let rest = show_many(&round.ids);
        let seen = reads.many(read, rest, round.ids.clone(), |job: &Job| Some(job.id.clone())).await?;
        Ok(seen.rows)
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
