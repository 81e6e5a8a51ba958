//! Which connection a request goes on, and when another one is opened.
//!
//! Over HTTP/1.1 the client's own pool decides. Over HTTP/2 one [`Lane`] serves all as long as it has room. The pool opens
//! another, one at a time, when there is none, or when it is full, ended or silent; the requests that need it wait for that one
//! attempt and share its failure. Uploads have a connection of their own, and so have large answers, as long as there may be one
//! more.
//!
//! Zendesk decides how many requests a connection takes at a time, and the client does not expose the number. But a request
//! that the client holds back is not taken. From that the pool learns the number, and forgets it after a while, since it may
//! change.

use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, timeout};

use super::connections::Counters;
use super::end::End;
use super::lane::{Lane, SETTLED_AFTER, Seat};
use super::needs::{Needs, Purpose};
use super::precedence::{Moved, PRECEDED, Precedence};
use super::sizes;
use crate::config;
use crate::error::{ConnectionError, Error};
use crate::upstream::client::Origin;

mod learnt;
mod opening;
mod reach;
mod refusals;
mod seen;
mod streams;
mod suspects;
#[cfg(test)]
mod tests;
mod unheard;

use reach::Reach;
use refusals::Refusals;
pub use streams::BELIEVED;
use streams::{Streams, longer};
use suspects::Suspects;
use unheard::Unheard;

/// Least time between two replacements of connections that answer something else than was asked: such answers can keep coming.
const LEAST: Duration = Duration::from_secs(1);

/// Least time between a failed attempt to connect and the next one, when there is no connection. Each attempt counts as one
/// failure in the circuits; at this distance a peer's short restart opens none.
const APART: Duration = Duration::from_millis(100);

/// How long an idle connection is kept beside others.
const SPARE: Duration = Duration::from_mins(1);

/// The connections to Zendesk.
pub struct Pool {
    origin: Origin,
    settings: config::Connection,
    state: Mutex<State>,
    changed: Arc<Notify>,
    counters: Arc<Counters>,
    moved: Arc<Moved>,
}

struct State {
    lanes: Vec<Arc<Lane>>,
    streams: Streams,
    refusals: Refusals,
    /// The same for bodies, for which a peer may have no room although it answers.
    bodies: Refusals,
    reach: Reach,
    /// When an attempt to open a further connection failed, and how long none is made.
    no_further: Option<(Instant, Duration)>,
    /// When an attempt to open the only connection failed.
    failed: Option<Instant>,
    unheard: Unheard,
    /// The same for connections of callers that have some of their own.
    unheard_apart: Unheard,
    suspects: Suspects,
    /// When connections over HTTP/1.1 were last replaced, and whether the present ones are due.
    renewed: Instant,
    distrusted: bool,
}

/// What a request is to do.
enum Step {
    Take(Seat),
    /// Wait for this connection, or for room on another one.
    Wait(Arc<Lane>),
    /// Wait so long before another attempt to connect.
    Pause(Duration),
}

impl Pool {
    /// Returns a pool without connections.
    pub fn new(origin: &Origin, settings: &config::Connection) -> anyhow::Result<Self> {
        let (changed, counters) = (Arc::default(), Arc::default());
        let state = State {
            lanes: Vec::new(),
            streams: Streams::default(),
            refusals: Refusals::default(),
            bodies: Refusals::default(),
            reach: Reach::default(),
            no_further: None,
            failed: None,
            unheard: Unheard::default(),
            unheard_apart: Unheard::default(),
            suspects: Suspects::default(),
            renewed: Instant::now(),
            distrusted: false,
        };
        let (origin, settings) = (origin.clone(), settings.clone());
        let moved = Arc::default();
        let pool = Self { origin, settings, state: Mutex::new(state), changed, counters, moved };
        pool.lane(Purpose::Usual)?; // so that an error in building a client shows at the start
        Ok(pool)
    }

    /// Gives a request that was moved so often precedence over all that were moved less often, until a connection takes it.
    pub fn precedence(&self, moves: usize) -> Precedence {
        Precedence::of(moves, &self.moved, &self.changed)
    }

    /// Waits for a place for a request that was moved so often and is wanted by then, and returns it.
    pub async fn seat(&self, moves: usize, needs: Needs, wanted_by: Instant) -> Result<Seat, Error> {
        let mut waited_for: Option<Arc<Lane>> = None;
        let came = Instant::now();
        loop {
            let mut changed = pin!(self.changed.notified());
            changed.as_mut().enable();
            if self.moved.precede(moves) && came.elapsed() < PRECEDED {
                drop(timeout(PRECEDED.saturating_sub(came.elapsed()), changed).await);
                continue;
            }
            let most = match self.step(waited_for.take(), needs, wanted_by)? {
                Step::Take(seat) => return Ok(seat),
                Step::Wait(lane) => {
                    waited_for = Some(lane);
                    // Time alone can make room, too: see [`Lane::is_settled`].
                    SETTLED_AFTER
                }
                Step::Pause(time) => time,
            };
            drop(timeout(most, changed).await);
        }
    }

    /// Decides what a request does next. `waited_for` is the connection that it has waited for.
    fn step(&self, waited_for: Option<Arc<Lane>>, needs: Needs, wanted_by: Instant) -> Result<Step, Error> {
        let mut state = self.state();
        if state.distrusted {
            state.renew();
        }
        // The usual case first: over HTTP/1.1 there is nothing else.
        if let Some(first) = state.lanes.first().filter(|lane| lane.is_http1() && !lane.is_over()) {
            return Ok(Step::Take(Seat::on(first)));
        }
        self.tidy(&mut state);
        if state.lanes.iter().filter(|lane| lane.is_open()).count() > 1 {
            state.no_further = None;
        }
        let purpose = state.purpose(needs.purpose);
        let (streams, proven) = (state.streams.of(needs.tries), state.streams.proven());
        let has_room = |lane: &&Arc<Lane>| lane.seats() < if lane.is_settled() { streams } else { streams.min(proven) };
        let open = || state.kin(purpose).filter(|lane| lane.is_open() && lane.purpose() == purpose);
        let lively = || open().filter(|lane| !lane.is_mute());
        // A place on an open connection: first on one that answers, then on one that is merely slow.
        if let Some(lane) = lively().find(has_room).or_else(|| open().filter(|lane| !lane.is_silent()).find(has_room)) {
            return Ok(Step::Take(Seat::on(lane)));
        }
        // The connection that it waited for could not be opened. If there is no other, and none may come soon, the request fails
        // with it.
        if let Some((failed, chain)) = waited_for.and_then(|lane| Some((lane.failed_at()?, lane.failure()?))) {
            let is_only = state.kin(purpose).next().is_none();
            if is_only && !state.reach.may_come_back(wanted_by) {
                return Err(Error::Connect(chain.already_counted()));
            }
            // Many may have waited for the same attempt.
            let is_new = state.no_further.is_none_or(|(before, _)| failed > before);
            if is_new && state.kin(purpose).any(|lane| lane.is_open()) {
                let believed = state.no_further.map_or(BELIEVED, |(_, believed)| longer(believed));
                state.no_further = Some((failed, believed));
            }
        }
        let fit = || state.lanes.iter().filter(|lane| lane.purpose() == purpose);
        let open = || fit().filter(|lane| lane.is_open());
        let opening = || fit().filter(|lane| !lane.is_open());
        let hopeful = |lane: &&Arc<Lane>| !self.is_slow(lane) || lane.is_connected();
        // The first place on a connection that is being opened; if others have those, it waits for the newest, unless that is slow.
        if let Some(seat) = opening().filter(hopeful).find_map(Seat::to_open) {
            return Ok(Step::Take(seat));
        }
        let newest = opening().min_by_key(|lane| lane.age());
        if let Some(new) = newest.filter(|lane| !self.is_slow(lane)).or_else(|| open().find(|lane| !lane.is_settled()))
        {
            return Ok(Step::Wait(Arc::clone(new)));
        }
        let may_open = self.may_open(&state, purpose);
        let others = || state.kin(purpose).filter(|lane| lane.is_open() && lane.purpose() != purpose);
        // If no further connection may be opened, uploads and other requests share what there is.
        if let Some(lane) = others().filter(|lane| !may_open && !lane.is_silent()).find(has_room) {
            return Ok(Step::Take(Seat::on(lane)));
        }
        if let Some(new) = newest.filter(|_| !may_open) {
            return Ok(opening().find_map(Seat::to_open).map_or_else(|| Step::Wait(Arc::clone(new)), Step::Take));
        }
        if may_open {
            let pause = state.failed.map_or(Duration::ZERO, |failed| APART.saturating_sub(failed.elapsed()));
            let unheard = if purpose.is_apart() { &state.unheard_apart } else { &state.unheard };
            let pause = pause.max(unheard.pause());
            if state.kin(purpose).next().is_none() && !pause.is_zero() {
                return Ok(Step::Pause(pause));
            }
            let lane = self.lane(purpose).map_err(|error| Error::Connect(ConnectionError::of(error.as_ref())))?;
            let seat = Seat::to_open(&lane).expect("nobody else knows it yet");
            state.lanes.push(lane);
            return Ok(Step::Take(seat));
        }
        // All are silent or full: better one that may be dead than none.
        let open = state.kin(purpose).filter(|lane| lane.is_open());
        match open.filter(has_room).max_by_key(|lane| lane.heard_at()) {
            Some(lane) => Ok(Step::Take(Seat::on(lane))),
            None => Err(Error::NoStream { allowed: state.allowed(needs.tries), is_shut: false }),
        }
    }

    /// True if the connection has been seen to handle as many requests as it has seats taken.
    pub fn is_proven(&self, lane: &Lane) -> bool {
        lane.seats() <= self.state().streams.proven()
    }

    /// True if connections are known to take fewer requests than is assumed.
    pub fn is_limited(&self) -> bool {
        self.state().streams.is_limited()
    }

    /// True if the connection is not known to be full with the seats that are taken.
    pub fn has_room(&self, lane: &Lane, tries: bool) -> bool {
        lane.seats() <= self.state().streams.of(tries)
    }

    /// True if a request that waits for this lane to open has a place on another one: on one that is open, on one that has
    /// connected meanwhile, or, if this lane is slow, on one that may be opened beside it.
    pub fn has_place_besides(&self, lane: &Arc<Lane>) -> bool {
        let state = self.state();
        let is_slow = self.is_slow(lane);
        let is_fit = |other: &Arc<Lane>| {
            other.purpose() == lane.purpose() || is_slow && other.purpose().goes_with(lane.purpose())
        };
        let is_other = |other: &&Arc<Lane>| !Arc::ptr_eq(other, lane) && !other.is_over() && is_fit(other);
        let others = || state.lanes.iter().filter(is_other);
        let has_room =
            |other: &Arc<Lane>| other.is_open() && !other.is_silent() && other.seats() < state.streams.most();
        let waits = |other: &Arc<Lane>| !other.is_open() && other.is_connected() && other.seats() == 0;
        let is_opening = |other: &Arc<Lane>| !other.is_open() && !self.is_slow(other);
        others().any(|other| has_room(other) || waits(other))
            || (is_slow && !others().any(is_opening) && self.may_open(&state, lane.purpose()))
    }

    /// Sends new requests on other connections than this one; over HTTP/1.1 on new ones, at most once a second. Requests under
    /// way end where they are.
    pub fn renew(&self, lane: &Arc<Lane>) {
        let mut state = self.state();
        if lane.is_http1() {
            state.distrusted = true;
            state.renew();
        } else {
            lane.retire();
        }
    }

    /// Returns how many requests the connections take at a time, as far as is known.
    pub fn allowed(&self, tries: bool) -> usize {
        self.state().allowed(tries)
    }

    /// Remembers what is wrong with addresses, and drops lanes that are of no more use.
    fn tidy(&self, state: &mut State) {
        let speechless = state.lanes.iter().filter_map(|lane| lane.take_speechless_peer());
        speechless.for_each(|address| self.origin.addresses().failed(address));
        state.tidy();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Retires the connections over HTTP/1.1, unless they were replaced less than `LEAST` ago.
    fn renew(&mut self) {
        if self.renewed.elapsed() >= LEAST {
            (self.renewed, self.distrusted) = (Instant::now(), false);
            self.lanes.iter().filter(|lane| lane.is_http1()).for_each(|lane| lane.retire());
        }
    }

    /// Drops lanes that take no more requests, and idle ones beside another.
    fn tidy(&mut self) {
        if let Some(at) = self.lanes.iter().filter_map(|lane| lane.failed_at()).max() {
            self.failed = self.failed.max(Some(at));
        }
        let (apart, others): (Vec<_>, Vec<_>) =
            self.lanes.iter().filter(|lane| lane.has_ended()).partition(|lane| lane.purpose().is_apart());
        self.unheard.note(others.into_iter());
        self.unheard_apart.note(apart.into_iter());
        self.lanes.iter().filter(|lane| lane.is_forsaken()).for_each(|lane| lane.forsake());
        self.lanes.retain(|lane| !lane.is_over());
        let mut kept = 0;
        self.lanes.retain(|lane| {
            let spare = (kept > 0 || lane.purpose() != Purpose::Usual)
                && lane.is_open()
                && lane.seats() == 0
                && lane.heard_at().elapsed() > SPARE;
            if spare {
                lane.end(End::Idle);
            }
            kept += usize::from(!spare && lane.purpose() == Purpose::Usual);
            !spare
        });
    }

    /// Returns the connections that requests of this purpose may go on.
    fn kin(&self, purpose: Purpose) -> impl Iterator<Item = &Arc<Lane>> {
        self.lanes.iter().filter(move |lane| lane.purpose().goes_with(purpose))
    }

    /// Returns for what the connection of a request should be. Large answers go beside each other as far as there is room for all.
    fn purpose(&self, wanted: Purpose) -> Purpose {
        let lanes = self.lanes.iter().filter(|lane| lane.purpose() == Purpose::LargeAnswers);
        let is_full = || lanes.map(|lane| lane.seats()).sum::<usize>() >= sizes::MOST_LARGE;
        if wanted == Purpose::LargeAnswers && is_full() { Purpose::Usual } else { wanted }
    }

    /// How many requests the connections take that are open.
    fn allowed(&self, tries: bool) -> usize {
        let open = self.lanes.iter().filter(|lane| lane.is_open()).count();
        open.max(1) * self.streams.of(tries)
    }
}
