//! Flights: one upstream read for all who want the same answer at the same time.
//!
//! A flight is a task of its own with its own deadline, so no caller's deadline or departure decides another caller's answer.
//! Callers board and leave; when the last has left, the flight is cancelled. It hands out what upstream answered, never a caller's
//! own error. It can be boarded only while none of its tags has moved: a flight from before a write serves only callers who asked
//! before the write.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};
use tracing::Instrument as _;

use super::control::Control;
use super::entry::{Entry, Verdict};
use super::epoch::{Slots, Snapshot, slots_of};
use super::key::{BuildKeyHasher, Key};
use super::policy::Policy;
use super::waiting::WaitsFor;
use super::{Inner, Terms, Want};
use crate::error::{ConnectionError, Error, Result};

/// A flight gets at least this long, even if the caller who starts it has less: others with more time may board.
const SHORTEST_FLIGHT: Duration = Duration::from_secs(5);

/// The flights that can be boarded.
#[derive(Default)]
pub(super) struct Flights(Mutex<HashMap<Key, Arc<Flight>, BuildKeyHasher>>);

type Board<'a> = MutexGuard<'a, HashMap<Key, Arc<Flight>, BuildKeyHasher>>;

pub(super) struct Flight {
    pub(super) since: Snapshot,
    pub(super) deadline: Instant,
    /// By when the caller who started it wants the answer.
    pub(super) wanted_by: Instant,
    /// Where the result appears; its receivers are the callers who wait.
    result: watch::Sender<Option<FlightResult>>,
    /// Whether the flight goes on with nobody waiting.
    detached: AtomicBool,
    /// What the flight waits for.
    pub(super) waits_for: WaitsFor,
}

/// A fetch that has not begun. It makes the futures of the whole outbound stack, which are not copied each time that a task is moved.
pub(super) type Fetch = Box<dyn FnOnce(Terms) -> BoxFuture<'static, Result<Bytes>> + Send>;

/// What a flight brings: an answer, stored or not, or the upstream's failure.
pub(super) type FlightResult = Result<Arc<Entry>>;

/// What a caller who wants to board gets.
pub(super) enum Boarded {
    /// No seat: the flight has just ended, and its answer is in the store.
    Stored(Arc<Entry>),
    /// A seat on a flight.
    Seat {
        flight: Arc<Flight>,
        seat: watch::Receiver<Option<FlightResult>>,
        /// Whether this caller started it.
        leads: bool,
    },
}

impl Flight {
    /// Lets the flight go on when everybody has left.
    pub(super) fn detach(&self) {
        self.detached.store(true, SeqCst);
    }
}

/// Waits for the result; `None` if it is not there by then.
pub(super) async fn result_by(
    until: Instant,
    seat: &mut watch::Receiver<Option<FlightResult>>,
) -> Option<FlightResult> {
    let result = timeout_at(until, seat.wait_for(Option::is_some)).await.ok()?;
    Some(result.map_or(Err(Error::ShuttingDown), |result| result.clone().expect("waited for")))
}

impl Flights {
    fn board(&self) -> Board<'_> {
        // Nothing in here can be left half done by a panic: each change is one call to the map.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.board().is_empty()
    }
}

impl Inner {
    /// Boards the flight for a key, or starts it. Takes the fetch only if it starts one.
    pub(super) fn board(
        self: &Arc<Self>,
        key: &Key,
        policy: &Policy,
        control: Control,
        want: &Want,
        fetch: &mut Option<Fetch>,
    ) -> Boarded {
        let now = Instant::now();
        let slots = slots_of(&policy.tags);
        let board = self.flights.board();
        // A caller who sets `no-cache` boards no earlier flight, one who sets `max-age` none that began longer ago than that.
        let boardable = |flight: &&Arc<Flight>| {
            let old = control.max_age.is_some_and(|most| now.saturating_duration_since(flight.since.at) > most);
            !control.no_cache && !old && self.epochs.unmoved(&slots, flight.since.reading)
        };
        if let Some(flight) = board.get(key).filter(boardable) {
            flight.waits_for.serve(&want.share);
            return Boarded::Seat { flight: flight.clone(), seat: flight.result.subscribe(), leads: false };
        }
        // A flight stores its answer before it leaves the board, so this check cannot miss both the flight and its answer.
        if let Some(entry) = self.valid(key).filter(|entry| entry.judge(now, control) == Verdict::Fresh) {
            return Boarded::Stored(entry);
        }
        let fetch = fetch.take().expect("a caller who started a flight does not board again");
        let until = want.by.max(now + SHORTEST_FLIGHT).min(now + self.flight_timeout);
        let (task, seat) = self.prepare(board, key, policy, slots, (until, want.by.min(until)));
        task.flight.waits_for.serve(&want.share);
        let flight = task.flight.clone();
        tokio::spawn(task.run(fetch, false).in_current_span());
        Boarded::Seat { flight, seat, leads: true }
    }

    /// Starts a flight that nobody waits for, unless one is under way.
    pub(super) fn refresh(self: &Arc<Self>, key: &Key, policy: &Policy, fetch: Fetch) {
        let slots = slots_of(&policy.tags);
        let board = self.flights.board();
        if let Some(flight) = board.get(key).filter(|flight| self.epochs.unmoved(&slots, flight.since.reading)) {
            return flight.detach();
        }
        self.stats.refreshes.add();
        let until = Instant::now() + self.flight_timeout;
        let (task, seat) = self.prepare(board, key, policy, slots, (until, until));
        task.flight.detach();
        drop(seat);
        tokio::spawn(task.run(fetch, true));
    }

    /// Puts a new flight on the board, in place of an older one, which goes on for the callers that it already has.
    fn prepare(
        self: &Arc<Self>,
        mut board: Board<'_>,
        key: &Key,
        policy: &Policy,
        slots: Slots,
        (deadline, wanted_by): (Instant, Instant),
    ) -> (FlightTask, watch::Receiver<Option<FlightResult>>) {
        let (result, seat) = watch::channel(None);
        let since = self.epochs.snapshot();
        let (detached, waits_for) = (AtomicBool::new(false), WaitsFor::noted());
        let flight = Arc::new(Flight { since, deadline, wanted_by, result, detached, waits_for });
        board.insert(key.clone(), flight.clone());
        self.stats.flights.add();
        self.stats.flights_in_progress.add();
        let task = FlightTask { cache: self.clone(), key: key.clone(), policy: policy.clone(), slots, flight };
        (task, seat)
    }
}

/// A flight under way. Dropping it takes it off the board, however it ends.
struct FlightTask {
    cache: Arc<Inner>,
    key: Key,
    policy: Policy,
    slots: Slots,
    flight: Arc<Flight>,
}

impl FlightTask {
    async fn run(self, fetch: Fetch, background: bool) {
        let Flight { deadline, wanted_by, ref waits_for, .. } = *self.flight;
        let terms = Terms { deadline, wanted_by, background, waits_for: waits_for.clone() };
        let fetched = tokio::select! {
            biased;
            fetched = carried_out(deadline, self.key.rpc(), fetch(terms)) => fetched,
            () = self.deserted() => return self.cache.stats.cancelled_flights.add(),
        };
        let result = self.cache.take_in(&self.key, &self.policy, self.slots.clone(), &self.flight.since, fetched);
        // The flight leaves the board before the callers wake: a caller who comes now finds the answer in the store.
        self.leave_board(&mut self.cache.flights.board());
        self.flight.result.send_replace(Some(result));
    }

    /// Waits until no caller waits for the flight, and takes it off the board; never returns if the flight is detached.
    async fn deserted(&self) {
        loop {
            self.flight.result.closed().await;
            // Boarding takes the same lock, so nobody can board a flight that is about to be cancelled.
            let mut board = self.cache.flights.board();
            if self.flight.result.receiver_count() > 0 {
                continue;
            }
            if !self.flight.detached.load(SeqCst) {
                return self.leave_board(&mut board);
            }
            drop(board);
            return std::future::pending().await;
        }
    }

    fn leave_board(&self, board: &mut Board<'_>) {
        if board.get(&self.key).is_some_and(|there| Arc::ptr_eq(there, &self.flight)) {
            board.remove(&self.key);
        }
    }
}

impl Drop for FlightTask {
    fn drop(&mut self) {
        self.leave_board(&mut self.cache.flights.board());
        self.cache.stats.flights_in_progress.take();
        // Only a runtime that shuts down ends a flight without a result while somebody waits.
        self.flight.result.send_if_modified(|result| {
            let open = result.is_none();
            result.get_or_insert(Err(Error::ShuttingDown));
            open
        });
    }
}

/// Why a fetch failed whose deadline passed before anything was sent.
const UNSENT: &str = "no connection took the request in time";

/// Runs a fetch to its end, its deadline or its panic, and returns what callers may share: a deadline that passed inside
/// becomes [`Error::AttemptTimeout`], or [`Error::Connect`] if nothing was sent, because it is no caller's own.
pub async fn carried_out<T>(
    deadline: Instant,
    what: &'static str,
    fetch: impl Future<Output = Result<T>>,
) -> Result<T> {
    match timeout_at(deadline, without_panic(what, fetch)).await {
        // Nothing was sent: it is no answer of Zendesk that is missing, but a connection.
        Ok(Err(Error::Deadline { sent: false })) => Err(Error::Connect(ConnectionError::new(UNSENT))),
        Ok(Err(Error::Deadline { sent: true })) | Err(_) => Err(Error::AttemptTimeout),
        Ok(result) => result,
    }
}

/// Runs a fetch to its end or its panic.
pub(super) async fn without_panic<T>(what: &'static str, fetch: impl Future<Output = Result<T>>) -> Result<T> {
    AssertUnwindSafe(fetch).catch_unwind().await.unwrap_or_else(|_panic| {
        tracing::error!(rpc.method = what, "a fetch panicked");
        Err(Error::Internal { what: "a fetch panicked" })
    })
}
