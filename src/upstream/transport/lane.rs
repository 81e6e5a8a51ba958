//! One connection to Zendesk over HTTP/2, or the connections to it over HTTP/1.1.
//!
//! HTTP/2 fails per connection: one dies silently, one may take no more requests, one is full. The client does not expose its
//! connections, so each connection gets a client of its own, by which it can be told apart.

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, SemaphorePermit};
use tokio::time::Instant;

use super::connector::{CONNECT_TIMEOUT, Layer};
use super::end::End;
use super::link::Link;
use super::needs::Purpose;
use super::since::Since;
use crate::error::ConnectionError;
use crate::upstream::client::Origin;

mod seat;
mod silence;

pub use seat::Seat;
pub use silence::{Pings, SILENT_AFTER};

/// How long after its first request a connection counts as settled, even without an answer: how many requests it takes at a
/// time is the first thing that a peer says.
pub const SETTLED_AFTER: Duration = Duration::from_millis(500);

/// Most requests that may be given up on one connection before new ones go on another. What comes later than a second after a
/// stream was reset, over a way that is slower than that, counts against the connection: see [`under_way`](super::under_way).
const MOST_ABANDONED: usize = 500;

/// How often the tasks of a connection must have had their turn before it means something that they did not take a request: they
/// hand it from one to the next, and back.
const TURNS: usize = 8;

/// How long a connection may refuse every request.
const REFUSES_FOR: Duration = Duration::from_secs(1);

/// For how long those that break after one over HTTP/1.1 are no failures by themselves: there is one for each request, and all of
/// them break when what stands before Zendesk restarts.
const AT_ONCE: Duration = Duration::from_millis(250);

/// How many streams of one connection are reset before the client has forgotten the first: fewer than the 50 that it remembers.
const REMEMBERED: usize = 45;

/// A connection, and the requests that use it.
pub struct Lane {
    client: reqwest::Client,
    /// The client of writes over HTTP/1.1, which keeps no connection: see [`Lane::client`].
    of_writes: OnceLock<reqwest::Client>,
    link: Arc<Link>,
    /// What it is for.
    purpose: Purpose,
    /// How the connection is pinged.
    pings: Pings,
    /// Requests that have a seat.
    seats: AtomicUsize,
    /// Requests that the connection has taken.
    taken: AtomicUsize,
    /// Requests that it has ever taken.
    takes: AtomicU64,
    /// Whether the connection has taken a request or a part of one's body, which shows that it is ready for others.
    open: AtomicBool,
    /// Whether a request has the seat that opens the connection.
    opener: AtomicBool,
    /// Requests that were given up before their whole answer was received.
    abandoned: AtomicUsize,
    /// One for each stream that may be reset at present.
    resets: Arc<Semaphore>,
    /// Held by the request that is being offered, where only one may be at a time.
    offering: Semaphore,
    /// Since when bodies have waited for room in the upload window and none was taken.
    bodies_stuck: Since,
    /// Whether a request has reported that the connection broke.
    broken: AtomicBool,
    /// Since when connections over HTTP/1.1 have broken at once.
    failing: Since,
    /// Since when the connection has taken requests.
    first_taken: Since,
    /// Since when an answer is awaited and nothing was received.
    unanswered: Since,
    /// Since when an answer is awaited and none was received whole.
    unended: Since,
    /// Since when requests are refused and none is answered.
    refused: Since,
    changed: Arc<Notify>,
}

impl Lane {
    /// Returns a lane whose connection is not open yet; over HTTP/1.1 connections are opened as requests need them.
    pub fn new(
        client: reqwest::Client,
        link: Arc<Link>,
        purpose: Purpose,
        pings: Pings,
        changed: &Arc<Notify>,
    ) -> Arc<Self> {
        Arc::new(Self {
            client,
            of_writes: OnceLock::new(),
            link,
            purpose,
            pings,
            seats: AtomicUsize::new(0),
            taken: AtomicUsize::new(0),
            takes: AtomicU64::new(0),
            open: AtomicBool::new(false),
            opener: AtomicBool::new(false),
            abandoned: AtomicUsize::new(0),
            resets: Arc::new(Semaphore::new(REMEMBERED)),
            offering: Semaphore::new(1),
            bodies_stuck: Since::default(),
            broken: AtomicBool::new(false),
            failing: Since::default(),
            first_taken: Since::default(),
            unanswered: Since::default(),
            unended: Since::default(),
            refused: Since::default(),
            changed: Arc::clone(changed),
        })
    }

    /// Returns the client to send with. Over HTTP/1.1 only their order ties answers to requests, so a surplus answer is taken
    /// for that of the next request, and the answer to a write often names nothing to compare. So each write over HTTP/1.1 has
    /// a connection to itself, from a client that `origin` makes.
    pub fn client(&self, writes: bool, origin: &Origin) -> &reqwest::Client {
        if !writes || !self.is_http1() {
            return &self.client;
        }
        self.of_writes.get_or_init(|| for_single_use(origin, &self.link).expect("such a client was built before"))
    }

    /// What it is for.
    pub fn purpose(&self) -> Purpose {
        self.purpose
    }

    /// True if the HTTP/2 connection is there, whether it has taken a request or not.
    pub fn is_connected(&self) -> bool {
        self.link.is_http2()
    }

    /// True if the lane uses HTTP/1.1.
    pub fn is_http1(&self) -> bool {
        self.link.is_http1()
    }

    /// Whether the connection has taken a request.
    pub fn is_open(&self) -> bool {
        self.open.load(Ordering::SeqCst)
    }

    /// True if new requests go on other connections.
    pub fn is_over(&self) -> bool {
        self.link.is_over()
    }

    /// True if the HTTP/2 connection was there and has ended.
    pub fn has_ended(&self) -> bool {
        self.link.has_ended()
    }

    /// Returns why there is no connection, if the attempt failed.
    pub fn failure(&self) -> Option<ConnectionError> {
        Some(self.failed()?.1)
    }

    /// Returns when the attempt failed, if it did.
    pub fn failed_at(&self) -> Option<Instant> {
        Some(self.failed()?.0)
    }

    fn failed(&self) -> Option<(Instant, ConnectionError)> {
        self.link.failure()
    }

    /// Sends new requests to other connections.
    pub fn retire(&self) {
        self.link.retire();
    }

    /// Notes that the connection takes no more requests.
    pub fn end(&self, why: End) {
        if !self.is_http1() {
            self.link.end(why);
        }
    }

    /// Notes that the connection has not taken a request because it was closed before.
    pub fn found_closed(&self) {
        if !self.is_http1() {
            self.link.found_closed();
        }
    }

    /// Notes that the connection broke under a request. Returns whether this is the first to notice.
    pub fn broke(&self, why: End) -> bool {
        self.end(why);
        if self.is_http1() { self.fails_anew() } else { !self.broken.swap(true, Ordering::SeqCst) }
    }

    /// Notes that a connection over HTTP/1.1 broke, or could not be opened. Returns whether this is a failure by itself.
    pub fn fails_anew(&self) -> bool {
        self.failing.begin_again(self.link.now(), AT_ONCE)
    }

    /// Notes that a request leaves the connection because it does not answer its ping. Returns whether it is the first to notice.
    pub fn is_first_to_leave(&self) -> bool {
        !self.broken.swap(true, Ordering::SeqCst)
    }

    /// True if it broke under requests, or does not answer its ping.
    pub fn is_broken(&self) -> bool {
        self.broken.load(Ordering::SeqCst)
    }

    /// Notes that nobody waits for the connection any more, which has answered nothing for long.
    pub fn forsake(&self) {
        self.end(if self.is_broken() { End::PingTimeout } else { End::Replaced });
    }

    /// True if the client knows how many requests the connection takes at a time, and so holds back surplus ones. Before that,
    /// a surplus request can make the peer end the connection.
    pub fn is_settled(&self) -> bool {
        self.has_heard() || self.first_taken.elapsed(self.link.now()).is_some_and(|since| since > SETTLED_AFTER)
    }

    /// How many requests have a seat.
    pub fn seats(&self) -> usize {
        self.seats.load(Ordering::SeqCst)
    }

    /// How many requests the connection has taken that have not ended.
    pub fn taken(&self) -> usize {
        self.taken.load(Ordering::SeqCst)
    }

    /// How many requests the connection has ever taken.
    pub fn takes(&self) -> u64 {
        self.takes.load(Ordering::SeqCst)
    }

    /// True if the connection takes nothing, although it could have: since it had taken so many requests, its tasks have had their
    /// turns, and it has taken no other. It takes one after the other, and each may have to wait until much of what the peer sends
    /// was read.
    pub async fn takes_no_more_than(&self, takes: u64) -> bool {
        self.takes() == takes && {
            self.link.has_turns(TURNS).await;
            self.takes() == takes
        }
    }

    /// Completes when the client has had the chance to read what the peer has sent on an HTTP/2 connection. If writing to it fails,
    /// the client reads no more of it, and if a GOAWAY was there, nobody learns which requests were not processed.
    pub async fn is_read_first(&self) {
        if self.is_open() && !self.is_http1() {
            self.link.has_turns(1).await;
        }
    }

    /// Waits until no other request is being offered one at a time.
    pub async fn turn(&self) -> SemaphorePermit<'_> {
        self.offering.acquire().await.expect("it is never closed")
    }

    /// True if a part of an answer was ever received.
    pub fn has_heard(&self) -> bool {
        self.link.has_heard()
    }

    /// True if requests on it were answered, or may still be.
    pub fn processes(&self) -> bool {
        self.has_heard() || self.taken() > 0
    }

    /// Returns the address of a connection that was opened and has never said anything to its requests, once.
    pub fn take_speechless_peer(&self) -> Option<IpAddr> {
        let is_speechless = !self.has_heard() && (self.is_mute() || self.is_over());
        is_speechless.then(|| self.link.take_peer()).flatten()
    }

    /// How long it exists.
    pub fn age(&self) -> Duration {
        self.link.age()
    }

    /// When a part of an answer was last received, to compare lanes by.
    pub fn heard_at(&self) -> Instant {
        self.link.heard_at()
    }

    /// Notes that a part of an answer was received, or its end.
    pub fn heard(&self, ended: bool) {
        if self.is_http1() {
            return;
        }
        let now = self.link.now();
        if self.link.hear(now) {
            self.changed.notify_waiters();
        }
        let awaited = !ended || self.taken() > 1;
        self.unanswered.restart(now, awaited);
        if ended {
            self.unended.restart(now, awaited);
        }
    }

    /// Notes that the connection is ready for requests: it took one, or a part of one's body.
    pub fn opened(&self) {
        if !self.is_open() && !self.open.swap(true, Ordering::SeqCst) {
            self.changed.notify_waiters();
        }
    }

    /// Notes that the connection took a request. Returns when, for [`Lane::leave`]; 0 over HTTP/1.1.
    pub fn take(&self) -> u64 {
        self.opened();
        if self.is_http1() {
            return 0;
        }
        self.taken.fetch_add(1, Ordering::SeqCst);
        self.takes.fetch_add(1, Ordering::SeqCst);
        let now = self.link.now();
        self.first_taken.begin(now);
        self.unanswered.begin(now);
        self.unended.begin(now);
        now
    }

    /// Notes that a request's body was taken.
    pub fn body_taken(&self) {
        self.bodies_stuck.end();
    }

    /// Notes that a request was withdrawn because its body was not taken. A connection that takes no body for
    /// [`SILENT_AFTER`] is retired: it may answer pings and reads, and have no upload window. Returns whether it is now.
    pub fn body_stuck(&self) -> bool {
        let is_stuck = self.bodies_stuck.begin(self.link.now()) >= SILENT_AFTER;
        if is_stuck {
            self.retire();
        }
        is_stuck
    }

    /// Notes that the request taken at `taken_at` has ended, or was not taken after all.
    pub fn leave(&self, taken_at: u64) {
        if taken_at > 0 {
            self.taken.fetch_sub(1, Ordering::SeqCst);
        }
    }

    /// Notes that a request ends without its whole answer. If for longer than pings take to decide answers have been awaited and
    /// none was received whole, the lane is retired: pings, and beginnings of answers, may get through where nothing else does.
    pub fn give_up(&self) {
        let is_over = self.abandoned.fetch_add(1, Ordering::SeqCst) >= MOST_ABANDONED;
        if is_over || self.unended.elapsed(self.link.now()).is_some_and(|waited| waited > self.pings.decided_after()) {
            self.retire();
        }
    }

    /// Notes that the connection refused a request. One that has refused all for a while is retired: another one may not.
    pub fn refuse(&self) {
        if self.refused.begin(self.link.now()) > REFUSES_FOR {
            self.retire();
        }
    }

    /// Notes that the head of an answer was received.
    pub fn accepted(&self) {
        self.refused.end();
    }

    /// Returns the right to reset a stream now, or where to wait for it. It is given back when the client has forgotten the stream.
    pub fn may_reset(&self) -> Result<OwnedSemaphorePermit, Arc<Semaphore>> {
        Arc::clone(&self.resets).try_acquire_owned().map_err(|_| Arc::clone(&self.resets))
    }
}

/// Returns a client whose connections carry one request each, for a lane that uses HTTP/1.1. It offers HTTP/2, too, so that the
/// lane notices when the peer speaks it again.
fn for_single_use(origin: &Origin, link: &Arc<Link>) -> reqwest::Result<reqwest::Client> {
    let client = origin.client().no_gzip().pool_max_idle_per_host(0);
    if origin.has_tls() { client.connector_layer(Layer::open(link)) } else { client.connect_timeout(CONNECT_TIMEOUT) }
        .build()
}
