//! One connection to Zendesk over HTTP/2, or the connections to it over HTTP/1.1.
//!
//! What goes wrong on HTTP/2 goes wrong per connection: it dies without a word, it is told to take no more requests, it has
//! room for only so many. The client does not show its connections, so each gets a client of its own, and with it a name.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::connector::{CONNECT_TIMEOUT, Layer};
use super::link::Link;
use crate::error::Chain;
use crate::upstream::client::Origin;

/// After this long without a word in answer to a request, or without taking one, a connection is passed over.
pub const SILENT_AFTER: Duration = Duration::from_millis(750);

/// How long after its first request a connection has said how many it takes at a time, if it has not answered before: it says so
/// first of all.
pub const SETTLED_AFTER: Duration = Duration::from_millis(500);

/// Most requests that may be given up on one connection before others go on a new one. The client remembers few of the streams
/// that it has reset, takes what still comes for the others for errors, and ends the connection, with all that is under way
/// on it, at the 1,024th.
const MOST_ABANDONED: usize = 500;

/// A connection, and who uses it.
pub struct Lane {
    client: reqwest::Client,
    /// The client of writes over HTTP/1.1, which keeps no connection: see [`Lane::client`].
    of_writes: OnceLock<reqwest::Client>,
    link: Arc<Link>,
    /// When pings have decided whether the connection lives.
    decided_after: Duration,
    born: Instant,
    /// Requests that have a seat.
    seats: AtomicUsize,
    /// Requests that the connection has taken.
    taken: AtomicUsize,
    /// Whether the connection has taken a request, which shows that it is ready for others.
    open: AtomicBool,
    /// Whether the request that the connection is opened for is on its way.
    opener: AtomicBool,
    /// Whether new requests are to go elsewhere.
    retired: AtomicBool,
    /// Requests that were given up before their answer was whole.
    abandoned: AtomicUsize,
    /// Whether somebody was told that the connection broke.
    broken: AtomicBool,
    /// When the connection took its first request, in milliseconds since `born`; 0 if it has not.
    first_taken: AtomicU64,
    /// Since when nothing was heard although something is awaited, in milliseconds since `born`; 0 for nothing.
    unanswered: AtomicU64,
    /// When something was heard last, likewise.
    heard: AtomicU64,
    changed: Arc<Notify>,
}

impl Lane {
    /// Returns a lane whose connection does not exist yet, or, where HTTP/1.1 is known to be spoken, exists as it is needed.
    pub fn new(client: reqwest::Client, link: Arc<Link>, decided_after: Duration, changed: &Arc<Notify>) -> Arc<Self> {
        Arc::new(Self {
            client,
            of_writes: OnceLock::new(),
            link,
            decided_after,
            born: Instant::now(),
            seats: AtomicUsize::new(0),
            taken: AtomicUsize::new(0),
            open: AtomicBool::new(false),
            opener: AtomicBool::new(false),
            retired: AtomicBool::new(false),
            abandoned: AtomicUsize::new(0),
            broken: AtomicBool::new(false),
            first_taken: AtomicU64::new(0),
            unanswered: AtomicU64::new(0),
            heard: AtomicU64::new(0),
            changed: Arc::clone(changed),
        })
    }

    /// Returns the client whose connection this is. Over HTTP/1.1 nothing but their order ties answers to requests, so that
    /// one answer too many becomes that of the next request, and the answer to a write often names nothing to compare: a write
    /// has a connection for itself there, from a client that `origin` makes.
    pub fn client(&self, writes: bool, origin: &Origin) -> &reqwest::Client {
        if !writes || !self.is_http1() {
            return &self.client;
        }
        self.of_writes.get_or_init(|| for_single_use(origin, &self.link).expect("such a client was built before"))
    }

    /// Whether HTTP/1.1 is spoken.
    pub fn is_http1(&self) -> bool {
        self.link.is_http1()
    }

    /// Whether the connection has taken a request.
    pub fn is_open(&self) -> bool {
        self.open.load(Ordering::SeqCst)
    }

    /// Whether new requests go elsewhere.
    pub fn is_over(&self) -> bool {
        self.retired.load(Ordering::SeqCst) || self.link.is_over()
    }

    /// Returns why there is no connection, if the attempt failed.
    pub fn failure(&self) -> Option<Chain> {
        Some(self.failed()?.1)
    }

    /// Returns when the attempt failed, if it did.
    pub fn failed_at(&self) -> Option<Instant> {
        Some(self.failed()?.0)
    }

    fn failed(&self) -> Option<(Instant, Chain)> {
        self.link.failure()
    }

    /// Lets new requests go elsewhere.
    pub fn retire(&self) {
        self.retired.store(true, Ordering::SeqCst);
    }

    /// Notes that the connection takes no more requests.
    pub fn end(&self) {
        if !self.is_http1() {
            self.link.end();
        }
    }

    /// Notes that the connection broke under a request. Returns whether this is the first to notice.
    pub fn broke(&self) -> bool {
        self.end();
        self.is_http1() || !self.broken.swap(true, Ordering::SeqCst)
    }

    /// Whether the client knows how many requests the connection takes at a time, and holds back what is beyond. Before that
    /// a peer may end the connection because of one too many.
    pub fn is_settled(&self) -> bool {
        let first = self.first_taken.load(Ordering::SeqCst);
        let since = Duration::from_millis(self.now().saturating_sub(first));
        self.heard.load(Ordering::SeqCst) > 0 || (first > 0 && since > SETTLED_AFTER)
    }

    /// How many requests have a seat.
    pub fn seats(&self) -> usize {
        self.seats.load(Ordering::SeqCst)
    }

    /// How many requests the connection has taken that did not end.
    pub fn taken(&self) -> usize {
        self.taken.load(Ordering::SeqCst)
    }

    /// Whether a request waits for a word from the connection so long that others should not wait, too, and so short that
    /// pings have not decided yet whether it lives. After that a dead one has been closed, which the next request notices
    /// before it is sent, and a live one is merely slow.
    pub fn is_silent(&self) -> bool {
        let since = self.unanswered.load(Ordering::SeqCst);
        let waited = Duration::from_millis(self.now().saturating_sub(since));
        since != 0 && waited >= SILENT_AFTER && waited < self.decided_after
    }

    /// How long it exists.
    pub fn age(&self) -> Duration {
        self.born.elapsed()
    }

    /// When something was heard last, for a comparison of lanes.
    pub fn heard_at(&self) -> Instant {
        self.born + Duration::from_millis(self.heard.load(Ordering::SeqCst))
    }

    /// Notes that an answer began, went on, or ended.
    pub fn heard(&self, ended: bool) {
        if self.is_http1() {
            return;
        }
        let now = self.now();
        if self.heard.swap(now, Ordering::SeqCst) == 0 {
            self.changed.notify_waiters();
        }
        let awaited = !ended || self.taken() > 1;
        self.unanswered.store(if awaited { now } else { 0 }, Ordering::SeqCst);
    }

    /// Notes that the connection took a request. Returns when, for [`Lane::leave`]; 0 over HTTP/1.1.
    pub fn take(&self) -> u64 {
        if !self.is_open() && !self.open.swap(true, Ordering::SeqCst) {
            self.changed.notify_waiters();
        }
        if self.is_http1() {
            return 0;
        }
        self.taken.fetch_add(1, Ordering::SeqCst);
        let now = self.now();
        let _ = self.first_taken.compare_exchange(0, now, Ordering::SeqCst, Ordering::SeqCst);
        let _ = self.unanswered.compare_exchange(0, now, Ordering::SeqCst, Ordering::SeqCst);
        now
    }

    /// Takes back that a request was taken.
    pub fn untake(&self, taken_at: u64) {
        if taken_at > 0 {
            self.taken.fetch_sub(1, Ordering::SeqCst);
        }
    }

    /// Notes that a request which was taken at that time is over. One that waited longer than pings take to decide, while
    /// nothing at all was heard, ends the connection's use: pings may come through where nothing else does.
    pub fn leave(&self, taken_at: u64, answered: bool) {
        if taken_at == 0 {
            return;
        }
        self.taken.fetch_sub(1, Ordering::SeqCst);
        if !answered && self.abandoned.fetch_add(1, Ordering::SeqCst) >= MOST_ABANDONED {
            self.retire();
        }
        let waited = Duration::from_millis(self.now().saturating_sub(taken_at));
        if waited > self.decided_after && self.heard.load(Ordering::SeqCst) < taken_at {
            self.retire();
        }
    }

    /// Milliseconds since the lane was made, from 1.
    fn now(&self) -> u64 {
        u64::try_from(self.born.elapsed().as_millis()).unwrap_or(u64::MAX).saturating_add(1)
    }
}

/// Returns a client whose connections carry one request each, for a lane on which HTTP/1.1 is spoken. It offers HTTP/2, too, so
/// that the lane hears of it when that is spoken again.
fn for_single_use(origin: &Origin, link: &Arc<Link>) -> reqwest::Result<reqwest::Client> {
    let client = origin.client().pool_max_idle_per_host(0);
    if origin.has_tls() { client.connector_layer(Layer::open(link)) } else { client.connect_timeout(CONNECT_TIMEOUT) }
        .build()
}

/// A request's place on a lane.
pub struct Seat {
    lane: Arc<Lane>,
    /// Whether the connection is opened for this request.
    opens: bool,
}

impl Seat {
    /// Takes a place on a lane.
    pub fn on(lane: &Arc<Lane>) -> Self {
        lane.seats.fetch_add(1, Ordering::SeqCst);
        Self { lane: Arc::clone(lane), opens: false }
    }

    /// Takes the place of the request that a connection is opened for, if no other has it.
    pub fn to_open(lane: &Arc<Lane>) -> Option<Self> {
        if lane.opener.swap(true, Ordering::SeqCst) {
            return None;
        }
        let mut seat = Self::on(lane);
        seat.opens = true;
        Some(seat)
    }

    /// Returns the lane.
    pub fn lane(&self) -> &Arc<Lane> {
        &self.lane
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.lane.seats.fetch_sub(1, Ordering::SeqCst);
        if self.opens {
            self.lane.opener.store(false, Ordering::SeqCst);
        }
        if !self.lane.is_http1() || self.opens {
            self.lane.changed.notify_waiters();
        }
    }
}
