//! Which connection a request goes on, and when another one is opened.
//!
//! Over HTTP/1.1 the client's own pool decides. Over HTTP/2 one [`Lane`] serves all as long as it has room. The pool opens
//! another, one at a time, when there is none, or when it is full, ended or silent; the requests that need it wait for that one
//! attempt and share its failure.
//!
//! Zendesk decides how many requests a connection takes at a time, and the client does not expose the number. But a request
//! that the client holds back is not taken. From that the pool learns the number, and forgets it after a while, since it may
//! change.

use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, timeout};

use super::connections::{Counters, Snapshot};
use super::connector;
use super::lane::{Lane, SETTLED_AFTER, Seat};
use super::link::Link;
use super::precedence::{Moved, PRECEDED, Precedence};
use crate::config;
use crate::error::{ConnectionError, Error};
use crate::upstream::client::Origin;

#[cfg(test)]
mod tests;

/// Least time between two replacements of connections that answer something else than was asked: such answers can keep coming.
const LEAST: Duration = Duration::from_secs(1);

/// Requests on one HTTP/2 connection at a time, until it is known to take fewer: RFC 9113 advises peers to allow at least 100.
const STREAMS_ASSUMED: usize = 100;

/// How long the pool goes by what it has learnt, at first and at most: by a smaller number of requests, and by the failure to open
/// a further connection. What turns out to be still so is believed for twice as long.
pub const BELIEVED: Duration = Duration::from_millis(250);
const LONGEST_BELIEVED: Duration = Duration::from_secs(2);

/// Least time between a failed attempt to connect and the next one, when there is no connection. Each attempt counts as one
/// failure in the circuits; at this distance a peer's short restart opens none.
const APART: Duration = Duration::from_millis(100);

/// How long opening a connection may take before another is opened beside it: a peer may accept a connection and never speak.
const SLOW: Duration = Duration::from_secs(1);

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
    /// How many requests a connection takes at a time.
    streams: Option<StreamLimit>,
    /// Most requests that a connection is known to have handled at a time. A new one gets no more until it is settled.
    proven: usize,
    /// When an attempt to open a further connection failed, and how long none is made.
    no_further: Option<(Instant, Duration)>,
    /// When an attempt to open the only connection failed.
    failed: Option<Instant>,
    /// When connections over HTTP/1.1 were last replaced, and whether the present ones are due.
    renewed: Instant,
    distrusted: bool,
}

/// How many requests a connection was found to take at a time.
#[derive(Clone, Copy)]
struct StreamLimit {
    streams: usize,
    learnt: Instant,
    believed: Duration,
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
            streams: None,
            proven: 1,
            no_further: None,
            failed: None,
            renewed: Instant::now(),
            distrusted: false,
        };
        let (origin, settings) = (origin.clone(), settings.clone());
        let moved = Arc::default();
        let pool = Self { origin, settings, state: Mutex::new(state), changed, counters, moved };
        pool.lane()?; // so that an error in building a client shows at the start
        Ok(pool)
    }

    /// Puts a request that was moved so often before all that were moved less often, until a connection takes it.
    pub fn precedence(&self, moves: usize) -> Precedence {
        Precedence::of(moves, &self.moved, &self.changed)
    }

    /// Waits for a place for a request that was moved so often, and returns it.
    pub async fn seat(&self, moves: usize) -> Result<Seat, Error> {
        let mut waited_for: Option<Arc<Lane>> = None;
        let came = Instant::now();
        loop {
            let mut changed = pin!(self.changed.notified());
            changed.as_mut().enable();
            if self.moved.precede(moves) && came.elapsed() < PRECEDED {
                drop(timeout(PRECEDED.saturating_sub(came.elapsed()), changed).await);
                continue;
            }
            let most = match self.step(waited_for.take())? {
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

    fn step(&self, waited_for: Option<Arc<Lane>>) -> Result<Step, Error> {
        let mut state = self.state();
        if state.distrusted {
            state.renew();
        }
        // The usual case first: over HTTP/1.1 there is nothing else.
        if let Some(first) = state.lanes.first().filter(|lane| lane.is_http1() && !lane.is_over()) {
            return Ok(Step::Take(Seat::on(first)));
        }
        state.tidy();
        if state.lanes.iter().filter(|lane| lane.is_open()).count() > 1 {
            state.no_further = None;
        }
        let (streams, proven) = (state.streams(), state.proven);
        let has_room = |lane: &&Arc<Lane>| lane.seats() < if lane.is_settled() { streams } else { streams.min(proven) };
        let open = || state.lanes.iter().filter(|lane| lane.is_open());
        let lively = || open().filter(|lane| !lane.is_mute());
        if let Some(lane) = lively().find(has_room).or_else(|| open().filter(|lane| !lane.is_silent()).find(has_room)) {
            return Ok(Step::Take(Seat::on(lane)));
        }
        if let Some((failed, chain)) = waited_for.and_then(|lane| Some((lane.failed_at()?, lane.failure()?))) {
            if state.lanes.is_empty() {
                return Err(Error::Connect(chain.already_counted()));
            }
            // Many may have waited for the same attempt.
            let is_new = state.no_further.is_none_or(|(before, _)| failed > before);
            if is_new && open().next().is_some() {
                let believed = state.no_further.map_or(BELIEVED, |(_, believed)| longer(believed));
                state.no_further = Some((failed, believed));
            }
        }
        let open = || state.lanes.iter().filter(|lane| lane.is_open());
        let opening = || state.lanes.iter().filter(|lane| !lane.is_open());
        let hopeful = |lane: &&Arc<Lane>| lane.age() < SLOW || lane.is_connected();
        if let Some(seat) = opening().filter(hopeful).find_map(Seat::to_open) {
            return Ok(Step::Take(seat));
        }
        let newest = opening().min_by_key(|lane| lane.age());
        if let Some(new) = newest.filter(|lane| lane.age() < SLOW).or_else(|| open().find(|lane| !lane.is_settled())) {
            return Ok(Step::Wait(Arc::clone(new)));
        }
        let may_open = state.may_open(&self.settings);
        if let Some(new) = newest.filter(|_| !may_open) {
            return Ok(opening().find_map(Seat::to_open).map_or_else(|| Step::Wait(Arc::clone(new)), Step::Take));
        }
        if may_open {
            let pause = state.failed.map_or(Duration::ZERO, |failed| APART.saturating_sub(failed.elapsed()));
            if state.lanes.is_empty() && !pause.is_zero() {
                return Ok(Step::Pause(pause));
            }
            let lane = self.lane().map_err(|error| Error::Connect(ConnectionError::of(error.as_ref())))?;
            let seat = Seat::to_open(&lane).expect("nobody else knows it yet");
            state.lanes.push(lane);
            return Ok(Step::Take(seat));
        }
        // All are silent or full: better one that may be dead than none.
        match open().filter(has_room).max_by_key(|lane| lane.heard_at()) {
            Some(lane) => Ok(Step::Take(Seat::on(lane))),
            None => Err(Error::NoStream { allowed: state.allowed() }),
        }
    }

    /// Learns how many requests a connection takes at a time, from one that it does not take. If that one has no body, the client may
    /// hold another one back that counts as taken: see [`Handover`](super::handover).
    pub fn learn(&self, lane: &Lane, has_body: bool) {
        let streams = lane.taken().saturating_sub(usize::from(!has_body)).max(1);
        let mut state = self.state();
        let streams = streams.min(state.streams());
        state.proven = state.proven.min(streams);
        let before = state.streams;
        if before.is_none_or(|before| streams < before.streams) {
            tracing::info!(streams, "zendesk takes fewer requests at a time on one connection");
        }
        // Several requests find it out at once; only a later one confirms it.
        let believed = match before {
            Some(before) if before.streams == streams && before.learnt.elapsed() >= before.believed => {
                longer(before.believed)
            }
            Some(before) if before.streams == streams => before.believed,
            _ => BELIEVED,
        };
        state.streams = Some(StreamLimit { streams, learnt: Instant::now(), believed });
    }

    /// Forgets how many requests a connection takes at a time.
    pub fn forget_limit(&self) {
        self.state().streams = None;
    }

    /// Notes that a connection answered with its present number of requests under way.
    pub fn answered(&self, lane: &Lane) {
        // One may be held back in the client.
        let taken = lane.taken().saturating_sub(1);
        if !lane.is_http1() && taken > 1 {
            let mut state = self.state();
            state.proven = state.proven.max(taken.min(state.streams()));
            state.streams = state.streams.filter(|limit| limit.streams >= taken);
        }
    }

    /// True if the connection has been seen to handle as many requests as it has seats taken.
    pub fn is_proven(&self, lane: &Lane) -> bool {
        lane.seats() <= self.state().proven
    }

    /// True if connections are known to take fewer requests than is assumed.
    pub fn is_limited(&self) -> bool {
        self.state().streams.is_some()
    }

    /// True if the connection is not known to be full with the seats that are taken.
    pub fn has_room(&self, lane: &Lane) -> bool {
        lane.seats() <= self.state().streams()
    }

    /// True if a request that waits for this lane to open has a place on another one: on one that is open, on one that has
    /// connected meanwhile, or, if this lane is slow, on one that may be opened beside it.
    pub fn has_place_besides(&self, lane: &Arc<Lane>) -> bool {
        let state = self.state();
        let others = || state.lanes.iter().filter(|other| !Arc::ptr_eq(other, lane) && !other.is_over());
        let has_room = |other: &Arc<Lane>| other.is_open() && !other.is_silent() && other.seats() < state.streams();
        let waits = |other: &Arc<Lane>| !other.is_open() && other.is_connected() && other.seats() == 0;
        let is_opening = |other: &Arc<Lane>| !other.is_open() && other.age() < SLOW;
        others().any(|other| has_room(other) || waits(other))
            || (lane.age() >= SLOW && !others().any(is_opening) && state.may_open(&self.settings))
    }

    /// Counts a request that is sent again on another connection.
    pub fn moved(&self) {
        self.counters.moved();
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
    pub fn allowed(&self) -> usize {
        self.state().allowed()
    }

    /// Returns how many requests are under way on connections that have fallen silent, if there is another one for others to go on.
    pub fn stuck(&self) -> usize {
        let state = self.state();
        if !state.lanes.iter().any(|lane| lane.is_open() && !lane.is_mute()) && !state.may_open(&self.settings) {
            return 0;
        }
        state.lanes.iter().filter(|lane| lane.is_silent()).map(|lane| lane.taken()).sum()
    }

    /// Returns the connections as they are now.
    pub fn snapshot(&self) -> Snapshot {
        let mut state = self.state();
        state.tidy();
        let shared = || state.lanes.iter().filter(|lane| !lane.is_http1() && lane.is_open());
        let oldest = shared().map(|lane| lane.age()).max().unwrap_or_default();
        let requests = shared().map(|lane| lane.taken()).sum();
        let streams = state.streams.map_or(STREAMS_ASSUMED, |limit| limit.streams);
        Snapshot { http2_oldest: oldest, http2_requests: requests, http2_streams: streams, ..self.counters.snapshot() }
    }

    fn lane(&self) -> anyhow::Result<Arc<Lane>> {
        let config::Connection { ping_interval, ping_timeout, .. } = self.settings;
        let link = Arc::new(Link::new(&self.counters));
        let builder = self
            .origin
            .client()
            .http2_keep_alive_interval(ping_interval)
            .http2_keep_alive_timeout(ping_timeout)
            .http2_keep_alive_while_idle(true);
        let builder = if self.origin.has_tls() {
            builder.connector_layer(connector::Layer::new(&link))
        } else {
            // Without TLS there is nothing to negotiate.
            link.connected(false);
            builder.connect_timeout(connector::CONNECT_TIMEOUT)
        };
        // The time until a ping is sent, its answer is late, and the client has noticed.
        let decided_after = ping_interval + ping_timeout + ping_timeout / 4;
        Ok(Lane::new(builder.build()?, link, decided_after, &self.changed))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns for how long something is believed that has turned out to be still so.
fn longer(believed: Duration) -> Duration {
    (believed * 2).min(LONGEST_BELIEVED)
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
        self.lanes.retain(|lane| !lane.is_over() && !lane.is_forsaken());
        let mut kept = 0;
        self.lanes.retain(|lane| {
            let spare = kept > 0 && lane.is_open() && lane.seats() == 0 && lane.heard_at().elapsed() > SPARE;
            kept += usize::from(!spare);
            !spare
        });
    }

    /// True if one more connection may be opened. Beside one that does not come about, that is also so if only one is set.
    fn may_open(&self, settings: &config::Connection) -> bool {
        let is_open = |lane: &Arc<Lane>| lane.is_open();
        self.lanes.is_empty()
            || (self.lanes.len() < 2 && !self.lanes.iter().any(is_open))
            || (self.lanes.len() < settings.most
                && self.no_further.is_none_or(|(failed, believed)| failed.elapsed() > believed))
    }

    fn allowed(&self) -> usize {
        self.lanes.len().max(1) * self.streams()
    }

    /// Returns how many requests a connection takes at a time, as far as is known. After a while it may be more again; requests
    /// that try it are offered one at a time, so it costs one of them a few milliseconds to find out that it is not.
    fn streams(&self) -> usize {
        let limit = self.streams.filter(|limit| limit.learnt.elapsed() < limit.believed);
        limit.map_or(STREAMS_ASSUMED, |limit| limit.streams)
    }
}
