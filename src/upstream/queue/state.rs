//! Permits and the waiting room before them.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use serde::Serialize;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, timeout};

use super::held::{HANGS, Held, Permits, Tally, Wanted};
use super::pace::Pace;
use crate::config;
use crate::contract::Class;
use crate::deadline::usable;
use crate::error::Error;
use crate::upstream::call::{Call, Ledger};
use crate::upstream::room::{Entry, Rank, Room};
use crate::upstream::transport::{BELIEVED, Occupancy};

/// A call is let into the queue only if it has time for an exchange this many times as long as the mean.
const SLOWER_THAN_MEAN: u32 = 2;

/// After how many periods in which nothing was learnt of the room on connections the attempt at more does not grow any more.
const DOUBLINGS: u32 = 10;

const TOO_LONG: &str = "the queue for zendesk is longer than the deadline";

/// Returns how requests occupy the connections.
type Occupied = dyn Fn() -> Occupancy + Send + Sync;

/// Why a call is refused.
#[derive(Debug, Clone, Copy)]
enum Why {
    /// The room is full.
    Full,
    /// The wait would be longer than its deadline.
    TooLate,
}

/// The permits.
pub struct Queue {
    state: Mutex<State>,
    permits: usize,
    occupied: OnceLock<Box<Occupied>>,
    full: AtomicU64,
    too_late: AtomicU64,
}

#[derive(Debug)]
struct State {
    held: Held,
    /// How many requests the connections have room for, if that is fewer than the permits, and when it was learnt.
    allowed: Option<(usize, Instant)>,
    room: Room<Waiter>,
    pace: Pace,
}

#[derive(Debug)]
struct Waiter {
    wanted: Wanted,
    class: Class,
    ledger: Arc<Ledger>,
    deadline: Instant,
    admit: oneshot::Sender<Result<Permit, Error>>,
}

/// The queue at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Snapshot {
    /// Permits in all, or as many as the connections have room for.
    pub permits: usize,
    /// Permits that calls hold.
    pub in_use: usize,
    /// Calls that wait for one.
    pub waiting: usize,
    /// Calls refused because the room was full.
    pub refused_full: u64,
    /// Calls refused because the queue was longer than their deadline.
    pub refused_too_late: u64,
}

impl fmt::Debug for Queue {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.debug_struct("Queue").field("permits", &self.permits).finish_non_exhaustive()
    }
}

impl Queue {
    /// Makes the permits.
    pub fn new(settings: &config::Queue) -> Self {
        let (room, pace) = (Room::new(settings.waiting), Pace::default());
        let state = State { held: Held::default(), allowed: None, room, pace };
        let (full, too_late) = (AtomicU64::new(0), AtomicU64::new(0));
        Self { state: Mutex::new(state), permits: settings.permits, occupied: OnceLock::new(), full, too_late }
    }

    /// Gives permits by how the connections are occupied.
    pub fn set_occupancy(&self, occupancy: impl Fn() -> Occupancy + Send + Sync + 'static) {
        drop(self.occupied.set(Box::new(occupancy)));
    }

    /// Returns the queue as it is now.
    pub fn snapshot(&self) -> Snapshot {
        let state = self.state();
        Snapshot {
            permits: self.permits_of(&state).usual(),
            in_use: state.held.len(),
            waiting: state.room.waiting(),
            refused_full: self.full.load(Ordering::Relaxed),
            refused_too_late: self.too_late.load(Ordering::Relaxed),
        }
    }

    /// Returns a permit as soon as it is the call's turn. A call that comes `back`, because there was no room on a connection,
    /// has had its turn and is not judged as a newcomer.
    pub(super) async fn enter(self: &Arc<Self>, call: &Call, back: bool) -> Result<Permit, Error> {
        let (mut place, mut admitted) = {
            let mut state = self.state();
            let wanted = Wanted::of(call);
            if state.room.waiting() == 0 && state.held.is_plenty(Permits::set(state.permits(self.permits))) {
                return Ok(self.permit(&mut state, call.class(), wanted.began, wanted.writes, &call.ledger));
            }
            let permits = self.permits_of(&state);
            let mut tally = state.held.tally();
            if wanted.holder(&tally, permits).is_some() {
                // As time passes there may be one for those who wait, who come before it.
                self.admit(&mut state, permits);
                tally = state.held.tally();
            }
            if let Some(holder) = wanted.holder(&tally, permits) {
                return Ok(self.permit(&mut state, call.class(), holder, wanted.writes, &call.ledger));
            }
            if !back
                && !state.is_owed(&wanted, &tally, permits)
                && state.is_hopeless(call, state.usually(permits, self.permits))
            {
                return Err(self.refuse(Why::TooLate));
            }
            let (admit, admitted) = oneshot::channel();
            let wish = state.room.wish(call);
            let (class, deadline, ledger) = (call.class(), call.deadline, Arc::clone(&call.ledger));
            let waiter = Waiter { wanted, class, ledger, deadline, admit };
            let rank = match state.room.enter(wish, waiter) {
                Entry::Placed(rank) => rank,
                Entry::Displaced(rank, last) => {
                    // If that call has left already, the send fails and may.
                    drop(last.admit.send(Err(self.refuse(Why::Full))));
                    rank
                }
                Entry::Full => return Err(self.refuse(Why::Full)),
            };
            (Place { queue: self, rank }, admitted)
        };
        call.waits_for.set(&Error::Overloaded { what: TOO_LONG });
        // No longer than there is time to tell the caller that there was no room.
        let served = async {
            loop {
                tokio::select! {
                    biased;
                    outcome = &mut admitted => return outcome,
                    () = call.waits_for.joined() => {
                        place.improve(call);
                        self.look_again();
                    }
                    () = sleep(HANGS) => self.look_again(),
                }
            }
        };
        let outcome = timeout(usable(call.wanted_by), served).await;
        drop(place);
        match outcome {
            Ok(outcome) => {
                outcome.expect("a waiter is sent its outcome before it is dropped, unless it left by itself")
            }
            Err(_) => Err(self.late(call.deadline)),
        }
    }

    /// Waits before the call tries again to find room, or refuses it if there would be no time for an exchange after that.
    pub(super) async fn pause(&self, call: &Call, pause: Duration) -> Result<(), Error> {
        let needed = pause + self.state().pace.of(call.class());
        if usable(call.wanted_by) <= needed {
            return Err(if call.wanted_by <= Instant::now() {
                self.late(call.deadline)
            } else {
                self.refuse(Why::TooLate)
            });
        }
        call.waits_for.set(&Error::Overloaded { what: TOO_LONG });
        sleep(pause).await;
        Ok(())
    }

    /// Notes how many requests the connections have room for at a time.
    pub(super) fn allow(&self, requests: usize) {
        self.state().allowed = Some((requests, Instant::now()));
    }

    /// Hands out what there is in place of requests that hang, as time passes, and what somebody may have who has joined a call.
    fn look_again(self: &Arc<Self>) {
        let mut state = self.state();
        let permits = self.permits_of(&state);
        self.admit(&mut state, permits);
    }

    /// Hands a permit on to the next, or keeps it.
    fn release(self: &Arc<Self>, permit: &Permit) {
        let Permit { class, since, end, number, .. } = *permit;
        let (sent, mut state) = (permit.ledger.sent_since(since), self.state());
        let took = permit.ledger.took_since(sent.unwrap_or(since));
        match end {
            _ if took >= HANGS && state.held.is_of_the_greediest(number) => {}
            End::Done => state.pace.ended(class, took),
            End::CutOff if sent.is_some() => state.pace.cut_off(class, took),
            End::CutOff | End::Nothing => {}
        }
        state.held.remove(number);
        if state.room.waiting() > 0 {
            let permits = self.permits_of(&state);
            self.admit(&mut state, permits);
        }
    }

    /// Returns how many permits there are now: some for exchanges on connections that have fallen silent, at most as many as are set.
    fn permits_of(&self, state: &State) -> Permits {
        let most = state.permits(self.permits + self.permits.div_ceil(2));
        let occupied = self.occupied.get().map_or(Occupancy { stuck: 0, most: usize::MAX }, |occupied| occupied());
        let occupied = Occupancy { stuck: occupied.stuck.min(self.permits), ..occupied };
        Permits::of(state.permits(self.permits), most, occupied)
    }

    /// Hands out the permits that somebody who waits may have.
    fn admit(self: &Arc<Self>, state: &mut State, permits: Permits) {
        let now = Instant::now();
        while state.room.waiting() > 0 {
            let tally = state.held.tally();
            let mut all = state.room.iter();
            let first = all.find_map(|(rank, waiter)| Some((rank, waiter.wanted.holder(&tally, permits)?)));
            drop(all);
            let Some((rank, holder)) = first else { return };
            let is_owed = state.room.peek(&rank).is_some_and(|waiter| state.is_owed(&waiter.wanted, &tally, permits));
            let Some(waiter) = state.room.serve(&rank) else { return };
            // The earliest deadline goes first, so the next call often has hardly enough time: it needs a quarter more than the
            // mean.
            let needed = state.pace.of(waiter.class) * 5 / 4;
            let outcome = match rank.deadline {
                wanted_by if wanted_by <= now => Err(self.late(waiter.deadline)),
                wanted_by if !is_owed && usable(wanted_by) < needed => Err(self.refuse(Why::TooLate)),
                _ => Ok(self.permit(state, waiter.class, holder, waiter.wanted.writes, &waiter.ledger)),
            };
            // The call may have left at this very moment. The loop gives its permit to the next one, so the permit must not
            // release itself.
            if let Err(Ok(permit)) = waiter.admit.send(outcome) {
                permit.defuse(state);
            }
        }
    }

    fn permit(
        self: &Arc<Self>,
        state: &mut State,
        class: Class,
        holder: u64,
        writes: bool,
        ledger: &Arc<Ledger>,
    ) -> Permit {
        let number = state.held.add(holder, writes);
        let (queue, since, ledger) = (Some(Arc::clone(self)), Instant::now(), Arc::clone(ledger));
        Permit { queue, class, since, ledger, number, end: End::CutOff }
    }

    /// Returns the error of a call that waited past its `wanted_by`. It is a deadline only if the call's own deadline has
    /// passed, too: others may want the answer later.
    fn late(&self, deadline: Instant) -> Error {
        if deadline <= Instant::now() { Error::Deadline { sent: false } } else { self.refuse(Why::TooLate) }
    }

    fn refuse(&self, why: Why) -> Error {
        let (counter, what) = match why {
            Why::Full => (&self.full, "the queue for zendesk is full"),
            Why::TooLate => (&self.too_late, TOO_LONG),
        };
        counter.fetch_add(1, Ordering::Relaxed);
        Error::Overloaded { what }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Returns how many of the `set` permits the connections have room for. After a while it may be more again. That is tried
    /// little by little: those for whom there is still no room have waited in vain, and are the ones whose turn had come.
    fn permits(&self, set: usize) -> usize {
        let Some((allowed, at)) = self.allowed else { return set };
        let periods = u32::try_from(at.elapsed().as_millis() / BELIEVED.as_millis()).unwrap_or(u32::MAX);
        match periods {
            0 => allowed.clamp(1, set),
            // Nothing at all was processed, which says nothing of how many it may be.
            _ if allowed == 0 => set,
            _ => (allowed + (allowed.div_ceil(8) << (periods - 1).min(DOUBLINGS))).min(set),
        }
    }

    /// Returns how many permits there are as a rule: as many as are `set`, too, while nothing at all is processed.
    fn usually(&self, permits: Permits, set: usize) -> usize {
        if matches!(self.allowed, Some((0, _))) { set } else { permits.usual() }
    }

    /// True if one of those who want a call has less than its part.
    fn is_owed(&self, wanted: &Wanted, tally: &Tally, permits: Permits) -> bool {
        wanted.first(|caller| tally.is_owed(caller, self.room.waiting_of(caller), permits)).is_some()
    }

    /// True if the call would be served too late at the present pace of exchanges.
    fn is_hopeless(&self, call: &Call, permits: usize) -> bool {
        let ahead = self.room.ahead_of(call).count() + 1;
        let count = |number| u32::try_from(number).unwrap_or(u32::MAX);
        let wait = self.pace.overall() * count(ahead) / count(permits);
        let needed = wait + self.pace.of(call.class()) * SLOWER_THAN_MEAN;
        Instant::now() + needed > call.wanted_by
    }
}

/// A call's right to one exchange. Dropping it, for whatever reason, lets the next call through.
#[derive(Debug)]
pub struct Permit {
    queue: Option<Arc<Queue>>,
    class: Class,
    since: Instant,
    /// Knows when the request was sent, and when the answer came.
    ledger: Arc<Ledger>,
    /// Tells permits apart.
    number: u64,
    end: End,
}

/// What the end of an exchange says of how long exchanges take.
#[derive(Debug, Clone, Copy)]
enum End {
    /// It ended by itself.
    Done,
    /// It would have taken longer.
    CutOff,
    Nothing,
}

impl Permit {
    /// Says that the exchange ended by itself, so its duration means something.
    pub(super) fn done(mut self) {
        self.end = End::Done;
    }

    /// Says that the exchange's duration means nothing.
    pub(super) fn forget(mut self) {
        self.end = End::Nothing;
    }

    /// Gives the permit back to a queue whose state is locked already.
    fn defuse(mut self, state: &mut State) {
        self.queue = None;
        state.held.remove(self.number);
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some(queue) = self.queue.take() {
            queue.release(self);
        }
    }
}

/// A call's place in the room, freed when the call is dropped.
struct Place<'a> {
    queue: &'a Arc<Queue>,
    rank: Rank,
}

impl Place<'_> {
    /// Takes a better place if somebody who wants the call has one.
    fn improve(&mut self, call: &Call) {
        if let Some(rank) = self.queue.state().room.improve(&self.rank, call) {
            self.rank = rank;
        }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.queue.state().room.leave(&self.rank);
    }
}
