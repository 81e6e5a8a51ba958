//! The body of a successful answer, read as far as there is memory for it.
//!
//! An answer that is being read is charged to the callers who want it, like a message. If there is no memory for it, it is not
//! read on, and flow control (HTTP/2's windows, TCP) keeps Zendesk from sending more. No answer waits for ever: one at a time,
//! the one that has waited longest, is read on without being charged. So beyond the budget there are at most one whole answer,
//! and the first part of each other one.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep, timeout};

use super::end::End;
use super::handover::Handover;
use super::loss::Loss;
use super::packed::Coming;
use crate::contract::Idempotency;
use crate::error::{ConnectionError, Error};
use crate::share::Charge;
use crate::upstream::call::Call;
use crate::upstream::client::{Unread, announced, next_part};

/// Bytes of an answer that are not charged: a usual page has fewer, and there are no more answers at a time than permits.
const FREE: usize = 128 << 10;
/// Bytes beyond these are charged in steps of so many bytes.
const STEP: usize = 64 << 10;
/// How many copies of its bytes there are at a time: as they came, and as what is read from them.
const TIMES: usize = 2;
/// How often a waiting answer looks for memory.
const AGAIN: Duration = Duration::from_millis(10);
/// How long an answer waits in all. It must be shorter than the time limit of an attempt, which would count as a failure of
/// Zendesk.
const PATIENCE: Duration = Duration::from_secs(2);
/// The same for the answer to a write, which says what was done.
const PATIENCE_FOR_A_WRITE: Duration = Duration::from_secs(10);
/// How long nothing more of the answer to a write may come, once its head has. A change was made before that, so nothing is gained
/// by a longer wait, in which the write would keep its permit and its turn.
const STOPS: Duration = Duration::from_secs(3);

/// The one permit to read an answer on without being charged.
#[derive(Clone)]
pub struct Overdraft(Arc<Semaphore>);

impl Default for Overdraft {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(1)))
    }
}

/// The memory that one answer takes, until it has been read and judged.
pub struct Memory {
    charge: Charge,
    /// How large the body may become with what is charged.
    room: usize,
    overdraft: Overdraft,
    /// True for the answer to a write.
    is_of_write: bool,
    permit: Option<OwnedSemaphorePermit>,
    give_up: Option<Instant>,
    came: usize,
}

impl Memory {
    /// Returns the memory for the answer to a call.
    pub fn of(call: &Call, overdraft: &Overdraft) -> Self {
        let is_of_write = call.idempotency != Idempotency::NoSideEffects;
        let charge = Charge::none(&call.share);
        Self { charge, room: FREE, overdraft: overdraft.clone(), is_of_write, permit: None, give_up: None, came: 0 }
    }

    /// Returns how many bytes came over the connection.
    pub fn came(&self) -> usize {
        self.came
    }

    /// Completes when there is memory for a body of so many bytes.
    ///
    /// # Errors
    /// There was none for too long.
    pub async fn hold(&mut self, bytes: usize) -> Result<(), Error> {
        if self.permit.is_some() || self.fits(bytes) {
            return Ok(());
        }
        let patience = if self.is_of_write { PATIENCE_FOR_A_WRITE } else { PATIENCE };
        let give_up = *self.give_up.get_or_insert_with(|| Instant::now() + patience);
        let mut acquiring = pin!(Arc::clone(&self.overdraft.0).acquire_owned());
        while Instant::now() < give_up {
            tokio::select! {
                biased;
                permit = acquiring.as_mut() => {
                    self.permit = permit.ok();
                    return Ok(());
                }
                () = sleep(AGAIN) => {}
            }
            if self.fits(bytes) {
                return Ok(());
            }
        }
        if self.is_of_write {
            return Err(Error::AnswerUnread);
        }
        Err(Error::Overloaded { what: "zendesk's answers take too much memory" })
    }

    fn fits(&mut self, bytes: usize) -> bool {
        if bytes <= self.room {
            return true;
        }
        let room = bytes.next_multiple_of(STEP);
        let fits = self.charge.set(TIMES * (room - FREE)).is_ok();
        if fits {
            self.room = room;
        }
        fits
    }
}

/// Reads a body of at most `most` bytes, counted as it comes and unpacked, as there is memory for it.
pub async fn read(
    response: &mut reqwest::Response,
    headers: &HeaderMap,
    most: usize,
    memory: &mut Memory,
    handover: &Handover,
) -> Result<Vec<u8>, Error> {
    let unread = |why| match why {
        Unread::TooLarge => Error::TooLarge { limit: most },
        Unread::Broken(error) => inside_body(&error, handover),
    };
    let garbled = |error: io::Error| Error::BrokenBody(ConnectionError::of(&error));
    // What is announced need not come, so it is no reason to take memory.
    let mut body = Coming::of(headers, announced(response, most).map_err(unread)?.min(FREE));
    loop {
        let next = next_part(response, memory.came, most);
        let stops = || Error::BrokenBody(ConnectionError::new("nothing more of the answer came"));
        let next = if memory.is_of_write { timeout(STOPS, next).await.map_err(|_| stops())? } else { next.await };
        let Some(part) = next.map_err(unread)? else { break };
        handover.lane().heard(false);
        memory.came += part.len();
        for piece in part.chunks(body.piece()) {
            memory.hold(body.len() + piece.len()).await?;
            body.add(piece).map_err(garbled)?;
            if body.len() > most {
                return Err(Error::TooLarge { limit: most });
            }
        }
    }
    let body = body.end().map_err(garbled)?;
    memory.hold(body.len()).await?;
    if body.len() > most { Err(Error::TooLarge { limit: most }) } else { Ok(body) }
}

fn inside_body(error: &reqwest::Error, handover: &Handover) -> Error {
    let chain = ConnectionError::of(error);
    let known = Loss::is_of_connection(error) && !handover.lane().broke(End::of(error));
    Error::BrokenBody(if known { chain.already_counted() } else { chain })
}

#[cfg(test)]
mod tests {
    use std::future::Future;

    use futures_util::future::join_all;
    use futures_util::{FutureExt as _, StreamExt as _, stream};
    use http_body::Frame;
    use http_body_util::StreamBody;

    use super::super::lane::{Lane, Pings, Seat};
    use super::super::link::Link;
    use super::super::needs::Purpose;
    use super::super::precedence::Precedence;
    use super::*;
    use crate::config;
    use crate::share::{Share, Shares};
    use crate::upstream::tests::support;

    const LARGE: usize = 1 << 20;

    fn memory(share: &Share, overdraft: &Overdraft) -> Memory {
        Memory::of(&Call { share: share.clone(), ..support::read() }, overdraft)
    }

    /// Reads an answer in parts, each after `pause`, as far as there is memory for it.
    async fn read(mut memory: Memory, bytes: usize, pause: Duration) -> Result<Instant, Error> {
        for came in (0..=bytes).step_by(16 << 10) {
            sleep(pause).await;
            memory.hold(came).await?;
        }
        Ok(Instant::now())
    }

    fn at_once<T>(future: impl Future<Output = T>) -> bool {
        future.now_or_never().is_some()
    }

    #[tokio::test(start_paused = true)]
    async fn usual_answers_are_free_and_large_ones_are_charged_until_they_were_judged() {
        let shares = Shares::new(&config::Callers::default(), 4 * LARGE);
        let (one, overdraft) = (shares.of("one"), Overdraft::default());
        let mut usual = memory(&one, &overdraft);
        usual.hold(FREE).await.expect("free");
        assert_eq!(shares.bytes(), 0);
        let mut large = memory(&one, &overdraft);
        large.hold(LARGE).await.expect("it fits");
        assert_eq!(shares.bytes(), TIMES * (LARGE - FREE));
        drop(large);
        assert_eq!(shares.bytes(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn what_all_answers_take_is_bounded_and_yet_each_comes_to_its_end() {
        let shares = Shares::new(&config::Callers::default(), 4 * LARGE);
        let (one, overdraft) = (shares.of("one"), Overdraft::default());
        let part = Duration::from_millis(1);
        let all = (0..20).map(|_| read(memory(&one, &overdraft), LARGE, part));
        let seen = async {
            loop {
                // The caller's share, whatever the answers would take.
                assert!(shares.bytes() <= 2 * LARGE, "{}", shares.bytes());
                sleep(part).await;
            }
        };
        let ended = tokio::select! {
            ended = timeout(Duration::from_secs(10), join_all(all)) => ended.expect("nothing waits for ever"),
            () = seen => unreachable!(),
        };
        assert!(ended.iter().all(Result::is_ok), "{ended:?}");
        assert_eq!(shares.bytes(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn the_answer_to_a_write_that_stops_is_given_up_soon() {
        for call in [support::unsafe_write(), support::idempotent_write()] {
            let part = Frame::data(bytes::Bytes::from_static(b"{\"user\":"));
            let parts = stream::iter([Ok::<_, io::Error>(part)]).chain(stream::pending());
            let mut response = http::Response::new(reqwest::Body::wrap(StreamBody::new(parts))).into();
            let link = Arc::new(Link::new(&Arc::default()));
            let lane = Lane::new(reqwest::Client::new(), link, Purpose::Usual, Pings::default(), &Arc::default());
            let handover = Handover::new(&call.ledger, &call.waits_for, Seat::on(&lane), Precedence::default());
            let (began, mut memory) = (Instant::now(), Memory::of(&call, &Overdraft::default()));
            let read = super::read(&mut response, &HeaderMap::new(), LARGE, &mut memory, &handover).await;
            assert!(matches!(read, Err(Error::BrokenBody(_))), "{read:?}");
            assert_eq!(began.elapsed(), STOPS);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_gets_no_memory_says_so_before_zendesk_is_blamed() {
        let shares = Shares::new(&config::Callers::default(), 4 * LARGE);
        let (one, overdraft) = (shares.of("one"), Overdraft::default());
        let _replies = one.charge(one.most_bytes()).expect("replies that nobody reads");
        let mut first = memory(&one, &overdraft);
        assert!(at_once(first.hold(16 * LARGE)), "one goes on without");
        let began = Instant::now();
        let refused = memory(&one, &overdraft).hold(LARGE).await;
        assert!(matches!(refused, Err(Error::Overloaded { .. })), "{refused:?}");
        assert!(began.elapsed() >= PATIENCE && began.elapsed() < PATIENCE + 2 * AGAIN);
        let write = Call { share: one.clone(), ..support::unsafe_write() };
        let (write, began) = (Memory::of(&write, &overdraft).hold(LARGE).await, Instant::now() - began);
        assert!(matches!(write, Err(Error::AnswerUnread)), "{write:?}");
        assert!(began >= PATIENCE + PATIENCE_FOR_A_WRITE, "the answer to a write says what was done");
        drop(first);
        assert!(at_once(memory(&one, &overdraft).hold(LARGE)), "the next one goes on");
        assert!(at_once(memory(&shares.of("other"), &overdraft).hold(LARGE)), "others have their share");
    }
}
