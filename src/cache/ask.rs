//! A read that the store could not answer: it waits for a flight, and for no longer than its caller does.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, timeout_at};

use super::control::Control;
use super::entry::{Entry, Verdict};
use super::epoch::{Slots, Snapshot};
use super::flight::{self, Boarded, Fetch, Flight, FlightResult};
use super::key::Key;
use super::policy::{Kind, Policy};
use super::waiting::WaitsFor;
use super::{CacheStatus, Hit, Inner, Terms, Want};
use crate::deadline::{last_moment, latest};
use crate::error::{Error, Result};

/// The most of its time that a call keeps back for returning the answer (see [`margin`](crate::deadline::margin)). A flight that
/// times out within it before its deadline was ended by the deadline, not by the shorter timeout of one attempt.
const LARGEST_MARGIN: Duration = Duration::from_millis(250);

impl Inner {
    /// Answers a read: see [`Cache::read`](super::Cache::read).
    pub(super) async fn read(
        self: &Arc<Self>,
        key: &Key,
        policy: &Policy,
        control: Control,
        want: Want,
        fetch: Fetch,
    ) -> Result<Hit> {
        let now = Instant::now();
        let mut fallback = None;
        if let Some(entry) = self.valid(key) {
            match entry.judge(now, control) {
                Verdict::Fresh => return self.serve(&entry, CacheStatus::Hit, now),
                Verdict::Stale { refresh } => {
                    if refresh && !control.only_if_cached && entry.claim_refresh(now, self.flight_timeout) {
                        self.refresh(key, policy, fetch);
                    }
                    return self.serve(&entry, CacheStatus::Stale, now);
                }
                Verdict::Old { fallback: usable } => fallback = usable.then_some(entry),
            }
        }
        if control.only_if_cached {
            return Err(Error::CacheMiss);
        }
        if want.by <= now {
            return Err(Error::Deadline { sent: false });
        }
        if policy.kind == Kind::None {
            return self.ask_alone(key, want.by, fetch).await;
        }
        self.ask(key, policy, control, want, fetch, fallback).await
    }

    /// Answers a read by a flight: one under way if the caller may board it, else a new one with `fetch`.
    ///
    /// A caller who brings an older answer as `fallback` gets it if the flight fails, or is not back before the last moment at
    /// which an answer still reaches the caller in time. Without one the caller learns then what the flight waits for: the flight
    /// may go on for others, who have more time. A caller who only joined a flight does not inherit what happened for its
    /// leader's sake: it asks again, as often as its own deadline allows.
    async fn ask(
        self: &Arc<Self>,
        key: &Key,
        policy: &Policy,
        control: Control,
        want: Want,
        fetch: Fetch,
        fallback: Option<Arc<Entry>>,
    ) -> Result<Hit> {
        let (mut fetch, deadline) = (Some(fetch), want.by);
        let last_moment = last_moment(deadline);
        // A flight that has to be given up for its leader's sake is so at the last moment, and says why.
        let give_up = latest(deadline);
        let wait_until = fallback.as_ref().map_or(give_up, |_| last_moment);
        loop {
            let (flight, mut seat, leads) = match self.board(key, policy, control, &want, &mut fetch) {
                Boarded::Stored(entry) => return self.serve(&entry, CacheStatus::Hit, Instant::now()),
                Boarded::Seat { flight, seat, leads } => (flight, seat, leads),
            };
            let mut result = flight::result_by(wait_until, &mut seat).await;
            if result.is_none() {
                if let Some(entry) = self.usable(fallback.as_ref()) {
                    // The flight goes on as a refresh, for whoever asks next.
                    flight.detach();
                    entry.refresh_late(Instant::now());
                    return self.serve(&entry, CacheStatus::Stale, Instant::now());
                }
                // With a fallback, a write or its age has made that unfit in the meantime.
                result = flight::result_by(give_up, &mut seat).await;
            }
            if !leads && joiner_must_retry(&flight, result.as_ref(), deadline) {
                continue;
            }
            let status = if control.no_cache {
                CacheStatus::Bypass
            } else if leads {
                CacheStatus::Miss
            } else {
                CacheStatus::Coalesced
            };
            return match result {
                Some(Ok(entry)) => self.serve(&entry, status, Instant::now()),
                Some(Err(Error::AttemptTimeout)) if deadline <= Instant::now() => Err(Error::Deadline { sent: true }),
                Some(Err(error)) => match self.usable(fallback.as_ref()) {
                    Some(entry) if error.row().stale_if_error => self.serve(&entry, CacheStatus::Stale, Instant::now()),
                    _ => Err(error),
                },
                None => Err(flight.waits_for.get()),
            };
        }
    }

    /// Fetches an answer that is not to be cached, in the caller's own task and within its deadline.
    async fn ask_alone(&self, key: &Key, deadline: Instant, fetch: Fetch) -> Result<Hit> {
        self.stats.bypassed.add();
        let waits_for = WaitsFor::noted();
        let terms = Terms { deadline, wanted_by: deadline, background: false, waits_for: waits_for.clone() };
        let fetch = flight::without_panic(key.rpc(), fetch(terms));
        let bytes = timeout_at(latest(deadline), fetch).await.unwrap_or_else(|_| Err(waits_for.get()))?;
        Ok(Hit { bytes, status: CacheStatus::Bypass, age: Duration::ZERO })
    }

    /// Returns the older answer if it may still be served in place of an error (stale-if-error).
    fn usable(&self, fallback: Option<&Arc<Entry>>) -> Option<Arc<Entry>> {
        let entry = fallback?;
        let usable = entry.outlasts_error(Instant::now()) && self.epochs.unmoved(&entry.slots, entry.reading);
        usable.then(|| entry.clone())
    }

    /// Takes in what a flight's fetch brought: stores the answer, or notes the failure.
    pub(super) fn take_in(
        &self,
        key: &Key,
        policy: &Policy,
        slots: Slots,
        since: &Snapshot,
        fetched: Result<Bytes>,
    ) -> FlightResult {
        let (answer, windows) = match fetched {
            Ok(bytes) => (Ok(bytes), self.lifetimes.of(policy.kind)),
            Err(error @ Error::NotFound(_)) => (Err(error), self.lifetimes.of_not_found()),
            Err(error) => {
                match self.valid(key) {
                    Some(entry) if error.row().stale_if_error => {
                        self.stats.failed_refreshes.add();
                        entry.refresh_failed(Instant::now(), error.retry_after());
                    }
                    // A caller who is refused now must not see old data either.
                    Some(_) => self.store.remove(key),
                    None => {}
                }
                return Err(error);
            }
        };
        Ok(self.store_unless_written(key, Entry::new(answer, slots, since, windows), since))
    }

    /// Stores an answer if nothing it is about was written to since. Returns it in any case: callers who asked before the write
    /// may have it.
    pub(super) fn store_unless_written(&self, key: &Key, entry: Entry, since: &Snapshot) -> Arc<Entry> {
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

    pub(super) fn serve(&self, entry: &Entry, status: CacheStatus, now: Instant) -> Result<Hit> {
        match status {
            CacheStatus::Hit => self.stats.hits.add(),
            CacheStatus::Stale => self.stats.stale.add(),
            CacheStatus::Miss => self.stats.misses.add(),
            CacheStatus::Coalesced => self.stats.coalesced.add(),
            CacheStatus::Bypass => self.stats.bypassed.add(),
        }
        entry.answer.clone().map(|bytes| Hit { bytes, status, age: entry.age(now) })
    }
}

/// Returns whether a caller who joined the flight later has to ask again: the flight ended by a deadline earlier than the
/// caller's, or was refused because the caller who started it could not wait long enough.
fn joiner_must_retry(flight: &Flight, result: Option<&FlightResult>, deadline: Instant) -> bool {
    match result {
        Some(Err(Error::AttemptTimeout | Error::DeadlineInReading | Error::Connect(_))) => {
            flight.deadline < deadline
                && flight.deadline <= Instant::now() + LARGEST_MARGIN
                && Instant::now() < deadline
        }
        Some(Err(Error::Overloaded { .. } | Error::Unanswered | Error::BudgetSpent { .. })) => {
            flight.wanted_by < deadline && Instant::now() < deadline
        }
        // That was the other's own limit.
        Some(Err(Error::CallerLimit { .. })) => Instant::now() < deadline,
        // Zendesk asked to wait, and only the caller who started it could not.
        Some(Err(Error::Throttled(refusal) | Error::Unavailable(refusal) | Error::Server(refusal))) => {
            let fits = |wait| flight.wanted_by < deadline && Instant::now() + wait < deadline;
            refusal.retry_after.is_some_and(fits)
        }
        _ => false,
    }
}
