//! A read that the store could not answer: it waits for a flight, and for no longer than its caller does.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::control::Control;
use super::entry::Entry;
use super::epoch::{Slots, Snapshot};
use super::flight::{self, Boarded, Flight, Landed};
use super::key::Key;
use super::policy::Policy;
use super::{Hit, Inner, Outcome, Terms};
use crate::deadline::last_moment;
use crate::error::{Error, Result};
use crate::limits::LONGEST_WAIT;

/// A flight that runs out of time this near to its deadline was ended by the deadline: calls keep back some of their time for
/// returning the answer.
const NEAR: Duration = Duration::from_millis(250);

impl Inner {
    pub(super) async fn ask<F, Fut>(
        self: &Arc<Self>,
        key: &Key,
        policy: &Policy,
        control: Control,
        deadline: Instant,
        fetch: F,
        fallback: Option<Arc<Entry>>,
    ) -> Result<Hit>
    where
        F: FnOnce(Terms) -> Fut + Send + 'static,
        Fut: Future<Output = Result<Bytes>> + Send + 'static,
    {
        let mut fetch = Some(fetch);
        let patience = fallback.as_ref().map_or(deadline, |_| last_moment(deadline));
        loop {
            let (flight, mut seat, leads) = match self.board(key, policy, control, deadline, &mut fetch) {
                Boarded::Landed(entry) => return self.serve(&entry, Outcome::Hit, Instant::now()),
                Boarded::Seat { flight, seat, leads } => (flight, seat, leads),
            };
            let mut landed = flight::outcome(&mut seat, patience).await;
            if landed.is_none() {
                if let Some(entry) = self.stand_in(fallback.as_ref()) {
                    // The caller gets the older answer; the flight that was begun for it becomes the refresh.
                    flight.keep();
                    entry.refresh_late(Instant::now());
                    return self.serve(&entry, Outcome::Stale, Instant::now());
                }
                landed = flight::outcome(&mut seat, deadline).await;
            }
            if !leads && is_for_others(&flight, landed.as_ref(), deadline) {
                continue;
            }
            let outcome = match leads {
                _ if control.no_cache => Outcome::Bypass,
                true => Outcome::Miss,
                false => Outcome::Coalesced,
            };
            return match landed {
                Some(Ok(entry)) => self.serve(&entry, outcome, Instant::now()),
                Some(Err(Error::AttemptTimeout)) if deadline <= Instant::now() => Err(Error::Deadline { sent: true }),
                Some(Err(error)) => match self.stand_in(fallback.as_ref()) {
                    Some(entry) if error.row().stale_if_error => self.serve(&entry, Outcome::Stale, Instant::now()),
                    _ => Err(error),
                },
                None => Err(Error::Deadline { sent: true }),
            };
        }
    }

    /// Fetches an answer that is not to be cached, in the caller's own task and within its deadline.
    pub(super) async fn ask_alone<F, Fut>(&self, key: &Key, deadline: Instant, fetch: F) -> Result<Hit>
    where
        F: FnOnce(Terms) -> Fut,
        Fut: Future<Output = Result<Bytes>>,
    {
        self.stats.bypassed.add();
        let terms = Terms { deadline, wanted_by: deadline, background: false };
        match flight::carried_out(deadline, key.rpc(), async { fetch(terms).await }).await {
            Ok(bytes) => Ok(Hit { bytes, outcome: Outcome::Bypass, age: Duration::ZERO }),
            Err(Error::AttemptTimeout) if deadline <= Instant::now() => Err(Error::Deadline { sent: true }),
            Err(error) => Err(error),
        }
    }

    /// Returns the older answer if it may still stand in for an error.
    fn stand_in(&self, fallback: Option<&Arc<Entry>>) -> Option<Arc<Entry>> {
        let entry = fallback?;
        let usable = entry.outlasts_error(Instant::now()) && self.epochs.unmoved(&entry.slots, entry.reading);
        usable.then(|| entry.clone())
    }

    /// Takes in what a flight brought: stores it, or notes the failure.
    pub(super) fn landed(
        &self,
        key: &Key,
        policy: &Policy,
        slots: Slots,
        since: &Snapshot,
        outcome: Result<Bytes>,
    ) -> Landed {
        let (answer, windows) = match outcome {
            Ok(bytes) => (Ok(bytes), self.lifetimes.of(policy.kind)),
            Err(error @ Error::NotFound(_)) => (Err(error), self.lifetimes.of_not_found()),
            Err(error) => {
                match self.valid(key) {
                    Some(entry) if error.row().stale_if_error => {
                        self.stats.failed_refreshes.add();
                        let pause = error.retry_after().map(|wait| wait.min(LONGEST_WAIT));
                        entry.refresh_failed(Instant::now(), pause);
                    }
                    // A caller who is refused now must not see old data either.
                    Some(_) => self.store.remove(key),
                    None => {}
                }
                return Err(error);
            }
        };
        Ok(self.keep(key, Entry::new(answer, slots, since, windows), since))
    }

    /// Stores an answer if nothing it is about was written to since.
    pub(super) fn keep(&self, key: &Key, entry: Entry, since: &Snapshot) -> Arc<Entry> {
        let entry = Arc::new(entry);
        if self.epochs.storable(&entry.slots, since) {
            self.stats.fills.add();
            self.store.insert(key, entry.clone(), |other| self.epochs.unmoved(&other.slots, other.reading));
        } else {
            self.stats.dropped_fills.add();
        }
        entry
    }

    /// Returns what is stored for a key unless a write has made it void.
    pub(super) fn valid(&self, key: &Key) -> Option<Arc<Entry>> {
        self.store.get(key).filter(|entry| self.epochs.unmoved(&entry.slots, entry.reading))
    }

    pub(super) fn serve(&self, entry: &Entry, outcome: Outcome, now: Instant) -> Result<Hit> {
        match outcome {
            Outcome::Hit => self.stats.hits.add(),
            Outcome::Stale => self.stats.stale.add(),
            Outcome::Miss => self.stats.misses.add(),
            Outcome::Coalesced => self.stats.coalesced.add(),
            Outcome::Bypass => self.stats.bypassed.add(),
        }
        entry.answer.clone().map(|bytes| Hit { bytes, outcome, age: entry.age(now) })
    }
}

/// Returns whether a caller who boarded later has to ask again: the flight ended by a deadline earlier than the caller's, or
/// was refused because the caller who started it could not wait long enough.
fn is_for_others(flight: &Flight, landed: Option<&Landed>, deadline: Instant) -> bool {
    match landed {
        Some(Err(Error::AttemptTimeout | Error::Connect(_))) => {
            flight.deadline < deadline && flight.deadline <= Instant::now() + NEAR && Instant::now() < deadline
        }
        Some(Err(Error::Overloaded { .. } | Error::BudgetSpent { .. })) => {
            flight.wanted_by < deadline && Instant::now() < deadline
        }
        _ => false,
    }
}
