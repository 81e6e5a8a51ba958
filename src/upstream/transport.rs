//! The bottom of the outbound stack: one HTTP exchange, and what a failure means by how far the exchange got.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::time::{Instant, sleep, timeout};
use tower::Service;

use super::call::{Answer, Call};
use super::client::Origin;
use super::jitter::Jitter;
use super::judge::header;
use crate::config;
use crate::error::{ConnectionError, Error};
use crate::turns;

mod body;
pub mod connections;
mod connector;
pub mod end;
mod explanation;
mod handover;
mod lane;
mod link;
pub mod loss;
mod lost;
mod needs;
mod outside;
mod packed;
mod pool;
mod precedence;
mod reading;
mod request;
mod since;
mod sizes;
mod under_way;

use explanation::{explanation, judge_in_part};
use handover::Handover;
use lane::{Lane, SILENT_AFTER, Seat};
use needs::{FULL_WITH_ONE, Needs};
use pool::Pool;
use precedence::{MOST_MOVES, Precedence};
use reading::Readers;
use request::request;
use sizes::Sizes;
use under_way::UnderWay;

pub use outside::{Connections, Occupancy};
pub(super) use pool::BELIEVED;

/// How long it waits before that, at first and at most, where a connection has processed nothing at all.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_millis(250);

/// How often a request that waits for its connection to open looks for another one.
const OPEN_CHECK: Duration = Duration::from_millis(50);

/// How soon an HTTP/2 connection with room takes a request. The client hands it over at once; it waits only if the connection
/// has no room.
const TAKEN_WITHIN: Duration = Duration::from_millis(5);

/// How soon the client's connection opens a stream that it has taken.
const OPENED_WITHIN: Duration = Duration::from_millis(1);

/// Sends calls to Zendesk.
#[derive(Clone)]
pub struct Transport(Arc<Parts>);

/// What exchanges share.
struct Parts {
    pool: Arc<Pool>,
    origin: Origin,
    readers: Readers,
    max_body: usize,
    overdraft: body::Overdraft,
    sizes: Sizes,
}

/// Why an exchange did not end with an answer.
enum Failed {
    /// The request was provably not processed: it may go on another connection.
    Move {
        /// Whether it was sent.
        sent: bool,
        /// Whether nothing else was processed either, so that it should wait a little.
        waits: bool,
    },
    /// The request was withdrawn, because the connection has no room for it or does not come about.
    Withdrawn,
    /// Anything else.
    Error(Error),
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

impl Transport {
    /// Sends calls to `origin`, and reads bodies of up to `upstream.max_body_bytes`, counted after decompression.
    pub fn new(origin: &Origin, settings: &config::Upstream) -> anyhow::Result<Self> {
        let pool = Arc::new(Pool::new(origin, &settings.connection)?);
        let max_body = settings.max_body_bytes;
        let (origin, readers) = (origin.clone(), Readers::new(max_body));
        let (overdraft, sizes) = (body::Overdraft::default(), Sizes::default());
        Ok(Self(Arc::new(Parts { pool, origin, readers, max_body, overdraft, sizes })))
    }

    /// Returns what is known of the connections.
    pub fn connections(&self) -> Connections {
        Connections::of(&self.0.pool)
    }
}

impl Parts {
    async fn exchange(self: Arc<Self>, call: Call) -> Result<Answer, Error> {
        let mut pause = FIRST_PAUSE;
        let (mut moves, mut is_withdrawn) = (0, false);
        // The connection on which it was sent and not processed.
        let mut left: Option<Arc<Lane>> = None;
        let caller = call.share.id();
        let needs = Needs::of(&call.rest, &self.sizes);
        for _ in 0..MOST_MOVES {
            if !self.pool.may_offer() {
                return Err(Error::NoStream { allowed: 0, is_shut: true });
            }
            if needs.has_body && !self.pool.may_offer_body() {
                // There is room for those without a body.
                return Err(Error::NoStream { allowed: self.pool.allowed(needs.tries), is_shut: true });
            }
            let needs = self.pool.apart(needs, caller);
            // A moved request goes before newcomers, which would fill each new connection first.
            let precedence = self.pool.precedence(moves);
            let seat = self.pool.seat(moves, needs, call.wanted_by).await?;
            let lane = Arc::clone(seat.lane());
            if left.take_if(|left| !Arc::ptr_eq(left, &lane)).is_some() {
                self.pool.moved();
            }
            let exchange = self.exchange_on(seat, precedence, &call, needs);
            let (sent, waits) = match Self::unless_silent(&lane, &call, exchange).await {
                Ok(answer) => return Ok(answer),
                Err(Failed::Error(error)) => {
                    if lane.is_broken() {
                        self.pool.broke(caller, &lane);
                    }
                    return Err(error);
                }
                Err(_) if call.ledger.is_closed() => return Err(Error::Deadline { sent: false }),
                // There may be room elsewhere; if not, the call goes back into the queue.
                Err(Failed::Withdrawn) => {
                    is_withdrawn = true;
                    call.waits_for.set(&call.ledger.too_late());
                    // Many may be withdrawn at once, and would only take the room from each other.
                    sleep(Jitter::RANDOM.slight(TAKEN_WITHIN)).await;
                    continue;
                }
                Err(Failed::Move { sent, waits }) => {
                    // It is not under way while it waits for the next one, although a connection had it.
                    call.waits_for.set(&call.ledger.too_late());
                    left = left.or_else(|| sent.then(|| Arc::clone(&lane)));
                    (sent, waits)
                }
            };
            is_withdrawn = false;
            // Where nothing beside it was processed either, it may be what ends the connections: it goes before nobody, and lets
            // others find out whether one answers.
            let is_alone = sent && waits && !lane.processes();
            moves = if is_alone { 0 } else { moves + 1 };
            if is_alone {
                self.pool.until_heard(Jitter::RANDOM.slight(4 * pause)).await;
            } else if waits {
                sleep(Jitter::RANDOM.slight(pause)).await;
            }
            if waits {
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
        if is_withdrawn {
            // There is no room, which says nothing of whether Zendesk works. The call waits in the queue.
            return Err(Error::NoStream { allowed: self.pool.allowed(needs.tries), is_shut: false });
        }
        Err(Error::Connect(ConnectionError::new("no connection processed the request")))
    }

    async fn exchange_on(
        &self,
        seat: Seat,
        precedence: Precedence,
        call: &Call,
        needs: Needs,
    ) -> Result<Answer, Failed> {
        let lane = Arc::clone(seat.lane());
        lane.is_read_first().await;
        let handover = Arc::new(Handover::new(&call.ledger, &call.waits_for, seat, precedence));
        let write = call.rest.method != http::Method::GET;
        let was_http1 = lane.is_http1();
        let client = lane.client(write, &self.origin).clone();
        let request = request(&self.origin, call, &client, &handover)?;
        let mut under_way = UnderWay::new(&handover, async move { client.execute(request).await });
        match self.head(&mut under_way, needs, &handover).await {
            Ok(()) => {}
            Err(_) if call.ledger.is_closed() && !handover.is_taken() => {
                return Err(Error::Deadline { sent: false }.into());
            }
            Err(Some(error)) => return Err(self.before_headers(&error.without_url(), &handover, call)),
            Err(None) => return Err(Failed::Withdrawn),
        }
        let response = under_way.response().expect("its head has come");
        if write && !was_http1 && lane.is_http1() {
            // The write went out before it was known that HTTP/1.1 is spoken. No other request may follow it on its connection.
            lane.retire();
        }
        lane.heard(false);
        lane.accepted();
        self.pool.answered(&lane);
        let (status, headers) = (response.status(), std::mem::take(response.headers_mut()));
        if status == http::StatusCode::MISDIRECTED_REQUEST {
            // The connection leads to a server that is not responsible, and another one may lead to one that is.
            self.pool.renew(&lane);
        }
        if write {
            call.ledger.answered(status.as_u16(), header(&headers, "x-request-id"));
        }
        let mut memory = body::Memory::of(call, &self.overdraft);
        let body = if status.is_success() {
            let body = body::read(response, &headers, self.max_body, &mut memory, &handover).await?;
            self.sizes.note(call.rest.endpoint, memory.came());
            body
        } else {
            match explanation(response, &headers, self.max_body, || lane.heard(false)).await {
                Ok(body) => body,
                Err(part) => return Err(Failed::Error(judge_in_part(call, status, &headers, &part))),
            }
        };
        lane.heard(true);
        under_way.answered();
        call.ledger.came();
        if let Some(peek) = call.peek.as_ref().filter(|_| status.is_success()) {
            peek(&body);
            // Work that the peek started goes first: parsing a page takes longer than sending a request.
            tokio::task::yield_now().await;
        }
        let judged = self.readers.judge(call, status, &headers, body).await;
        if matches!(judged, Err(Error::Foreign(_))) {
            // This may be the answer to an earlier request; then all later answers on that connection are off by one, too.
            self.pool.renew(&lane);
        }
        judged.map_err(Failed::Error)
    }

    /// Waits for the head of the answer. `Err(None)` means that the request was withdrawn: the connection has no room for it, or is
    /// still not open while another one has room.
    async fn head(
        &self,
        under_way: &mut UnderWay,
        needs: Needs,
        handover: &Handover,
    ) -> Result<(), Option<reqwest::Error>> {
        let (lane, has_body) = (handover.lane(), needs.has_body);
        // What is sent first leaves before the peer has said how much it has room for.
        let was_open = lane.is_open();
        let took_body = || {
            if has_body && was_open && handover.is_taken() {
                lane.body_taken();
                self.pool.took_body();
            }
        };
        let mut turn = None;
        if lane.is_open() && !lane.is_http1() && !self.pool.is_proven(lane) {
            // The client takes any number of requests that are offered at once, and holds back those for which there is no room.
            // So what is more than has been seen to work is offered one at a time.
            turn = Some(lane.turn().await);
            if lane.is_over() || !self.pool.has_room(lane, needs.tries) {
                return Err(None);
            }
        }
        while !lane.is_open() && !lane.is_http1() {
            if let Ok(head) = timeout(OPEN_CHECK, under_way.head()).await {
                return head.map_err(Some);
            }
            // The attempt to connect goes on without this request, and may serve others.
            if !lane.is_open() && self.pool.has_place_besides(lane) && handover.withdraw() {
                return Err(None);
            }
        }
        let (offered, mut in_time) = (Instant::now(), 0);
        if lane.is_open() && !lane.is_http1() && turn.is_none() {
            // Where there is room, a request is taken as soon as the connection's task has its turn. A timer that is sooner than any
            // other would wake this thread once more.
            tokio::select! {
                biased;
                head = under_way.head() => {
                    took_body();
                    return head.map_err(Some);
                }
                () = handover.taken() => {}
                () = turns::of_others() => {}
            }
        }
        while lane.is_open() && !lane.is_http1() && !handover.is_taken() {
            let (began, takes) = (Instant::now(), lane.takes());
            tokio::select! {
                head = under_way.head() => {
                    took_body();
                    return head.map_err(Some);
                }
                () = handover.taken() => break,
                () = sleep(TAKEN_WITHIN) => {}
            }
            let late = began.elapsed() > 2 * TAKEN_WITHIN;
            if handover.is_taken() {
                break;
            }
            if lane.is_over() && handover.withdraw() {
                return Err(None);
            }
            in_time += u32::from(!late);
            let passed_on = handover.passed_on();
            if passed_on.is_some() {
                // Its stream is open, so the client counts it; the rest of an upload can take long.
                turn = None;
            }
            if has_body && lane.taken() == 0 && in_time >= FULL_WITH_ONE {
                // Nothing else is under way, so that this one is not taken says nothing about others.
                turn = None;
            }
            let full = passed_on.is_none() && needs.is_full(lane.taken(), in_time);
            let is_stuck = passed_on.unwrap_or(offered).elapsed() > SILENT_AFTER;
            // If this process itself was late, the delay says nothing about the connection. One that is not known to be full is
            // given up only if nothing goes on for `SILENT_AFTER`.
            if late || !(full || is_stuck) {
                continue;
            }
            let full = full && lane.takes_no_more_than(takes).await;
            if !(full || is_stuck) || !handover.withdraw() {
                continue;
            }
            let no_bodies = has_body && (lane.body_stuck() || self.pool.is_shut_to_bodies());
            if has_body && (no_bodies || !full) {
                self.pool.refused_body();
            }
            if no_bodies {
                // What was learnt from this connection was not about how many requests one takes.
                self.pool.forget_limit();
            } else if full {
                self.pool.learn(lane, has_body);
            } else {
                if lane.taken() == 0 {
                    self.pool.refused();
                }
                lane.retire();
            }
            return Err(None);
        }
        took_body();
        if turn.is_some() && self.pool.is_limited() {
            // Until the connection has opened the stream, the client does not count it.
            sleep(OPENED_WITHIN).await;
        }
        drop(turn);
        under_way.head().await.map_err(Some)
    }
}

impl Service<Call> for Transport {
    type Response = Answer;
    type Error = Error;
    type Future = BoxFuture<'static, Result<Answer, Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, call: Call) -> Self::Future {
        Box::pin(Arc::clone(&self.0).exchange(call))
    }
}
