//! Bounds what a peer may leave unfinished: a frame whose last bytes do not come, or a block of headers without its end. HTTP/2
//! gives neither a time limit, both take memory, and no caller is known who could be charged.
//!
//! To measure without it: let [`Unfinished::poll`] return `Pending`.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

/// Bytes of a frame before its payload: length, type, flags and stream (RFC 9113, section 4.1).
pub(super) const HEADER: usize = 9;
const HEADERS: u8 = 1;
const PING: u8 = 6;
pub(super) const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
const END_HEADERS: u8 = 4;
const ACK: u8 = 1;
/// What h2 asks with, before its last GOAWAY, whether the peer has seen the first one.
const SHUTDOWN: [u8; 8] = [0x0b, 0x7b, 0xa2, 0xf0, 0x8b, 0x9b, 0xfe, 0x54];

/// What an unfinished block of headers may take once it is decoded: few bytes can stand for many.
const BLOCK: usize = 16 << 10;
/// Bytes of an unfinished frame that are not counted: what a packet holds may be cut anywhere.
const FREE: usize = 2 << 10;
/// Most bytes of all that is unfinished, on all connections, where one without a call of a known caller may leave more unfinished.
const MOST_OF_STRANGERS: usize = 8 << 20;
/// The same for connections of known callers, whose messages may be long.
const MOST: usize = 24 << 20;

/// The bytes of all that is unfinished, on all connections.
#[derive(Clone, Default)]
pub struct Budget(Arc<AtomicUsize>);

/// What is unfinished on one connection.
pub struct Unfinished {
    frames: Frames,
    timeout: Duration,
    /// When it must be finished.
    finish_by: Option<Pin<Box<Sleep>>>,
    since: Instant,
    budget: Budget,
    charged: usize,
}

impl Unfinished {
    /// Nothing is unfinished. What is begun must be finished within `timeout`.
    pub fn new(timeout: Duration, budget: &Budget) -> Self {
        let (frames, since) = (Frames::default(), Instant::now());
        Self { frames, timeout, finish_by: None, since, budget: budget.clone(), charged: 0 }
    }

    /// Follows bytes that have come. Returns how many of them there are until the connection takes no more streams, and the newest
    /// one that it has taken, if they come to that; the others were not followed.
    ///
    /// # Errors
    /// Too much is unfinished on all connections together.
    pub fn read(&mut self, bytes: &[u8], is_known: impl FnOnce() -> bool) -> io::Result<Option<(usize, u32)>> {
        if bytes.is_empty() {
            return Ok(None);
        }
        let (has_finished, followed, is_last) = self.frames.follow(bytes);
        let last = is_last.then_some((followed, self.frames.newest));
        let held = self.frames.held();
        if has_finished {
            self.finish_by = None;
            if held > 0 {
                self.since = Instant::now();
            }
        }
        let (held, before) = (if held > FREE { held } else { 0 }, self.charged);
        if held == before {
            return Ok(last);
        }
        self.charged = held;
        let all = &self.budget.0;
        let now = if held > before {
            all.fetch_add(held - before, Ordering::Relaxed) + (held - before)
        } else {
            all.fetch_sub(before - held, Ordering::Relaxed) - (before - held)
        };
        if held > before && now > if is_known() { MOST } else { MOST_OF_STRANGERS } {
            return Err(io::Error::other("too many unfinished frames"));
        }
        Ok(last)
    }

    /// Completes once what is unfinished should have been finished. To be asked when nothing more has come.
    pub fn poll(&mut self, context: &mut Context<'_>) -> Poll<io::Error> {
        if self.frames.held() == 0 {
            return Poll::Pending;
        }
        let by = self.since + self.timeout;
        ready!(self.finish_by.get_or_insert_with(|| Box::pin(sleep_until(by))).as_mut().poll(context));
        Poll::Ready(io::Error::new(io::ErrorKind::TimedOut, "a frame that does not end"))
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        self.budget.0.fetch_sub(self.charged, Ordering::Relaxed);
    }
}

/// Where in its frames a peer is.
#[derive(Default)]
struct Frames {
    /// The header of the present frame, as far as it has come.
    header: [u8; HEADER],
    came: usize,
    /// Bytes of the present frame's payload that have come, and that are still to come.
    payload: usize,
    left: usize,
    /// Bytes of the whole frames of a block of headers that has not ended.
    block: usize,
    /// The newest stream that the peer has opened.
    newest: u32,
    /// What an answer to a PING says, as far as it has come.
    ping: [u8; SHUTDOWN.len()],
    /// True once the peer has said that it has seen the first GOAWAY.
    is_told: bool,
}

/// Returns the stream of a frame.
pub(super) fn stream_of(header: &[u8; HEADER]) -> u32 {
    let [.., first, second, third, fourth] = *header;
    u32::from_be_bytes([first & 0x7f, second, third, fourth])
}

impl Frames {
    /// Follows bytes that have come. Returns whether they finish anything, or nothing was unfinished before; and how many were
    /// followed: all, unless the peer says with them that it has seen the first GOAWAY, which is returned, too.
    fn follow(&mut self, mut bytes: &[u8]) -> (bool, usize, bool) {
        let all = bytes.len();
        let mut finished = self.held() == 0;
        while !bytes.is_empty() {
            if self.came < HEADER {
                let more = bytes.len().min(HEADER - self.came);
                self.header[self.came..self.came + more].copy_from_slice(&bytes[..more]);
                bytes = &bytes[more..];
                self.came += more;
                if self.came < HEADER {
                    break;
                }
                let [high, middle, low, ..] = self.header;
                self.left = u32::from_be_bytes([0, high, middle, low]) as usize;
                if self.header[3] == HEADERS {
                    self.newest = self.newest.max(stream_of(&self.header));
                }
            }
            let more = bytes.len().min(self.left);
            let is_answer = self.header[3] == PING && self.header[4] & ACK != 0;
            if is_answer && let Some(ping) = self.ping.get_mut(self.payload..self.payload + more) {
                ping.copy_from_slice(&bytes[..more]);
            }
            bytes = &bytes[more..];
            self.left -= more;
            self.payload += more;
            if self.left == 0 {
                let [_, _, _, kind, flags, ..] = self.header;
                let is_of_block = matches!(kind, HEADERS | CONTINUATION);
                let goes_on = is_of_block && flags & END_HEADERS == 0;
                self.block = if goes_on { self.block + HEADER + self.payload } else { 0 };
                finished |= !goes_on;
                let is_told = is_answer && self.payload == SHUTDOWN.len() && self.ping == SHUTDOWN;
                (self.came, self.payload) = (0, 0);
                if is_told && !std::mem::replace(&mut self.is_told, true) {
                    return (finished, all - bytes.len(), true);
                }
            }
        }
        (finished, all, false)
    }

    /// What is held of what is unfinished.
    fn held(&self) -> usize {
        let block = if self.block > 0 { self.block.max(BLOCK) } else { 0 };
        block + self.came + self.payload
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use futures_util::FutureExt as _;
    use proptest::collection::vec;
    use proptest::prelude::*;
    use tokio::time::sleep;

    use super::*;

    const SECONDS: Duration = Duration::from_secs(10);
    const DATA: u8 = 0;

    fn frame(kind: u8, flags: u8, payload: usize) -> Vec<u8> {
        let [_, high, middle, low] = u32::try_from(payload).expect("short").to_be_bytes();
        [&[high, middle, low, kind, flags, 0, 0, 0, 1][..], &vec![7; payload]].concat()
    }

    fn unfinished(budget: &Budget) -> Unfinished {
        Unfinished::new(SECONDS, budget)
    }

    fn bytes(budget: &Budget) -> usize {
        budget.0.load(Ordering::Relaxed)
    }

    async fn late(unfinished: &mut Unfinished) -> io::ErrorKind {
        poll_fn(|context| unfinished.poll(context)).await.kind()
    }

    proptest! {
        #[test]
        fn however_whole_frames_come_nothing_is_unfinished_after_the_last(
            frames in vec((0..20_u8, any::<u8>(), 0..300_usize), 1..20),
            piece in 1..700_usize,
        ) {
            let all: Vec<u8> = frames.iter().flat_map(|(kind, flags, size)| frame(*kind, flags | END_HEADERS, *size)).collect();
            let mut followed = Frames::default();
            let mut held = 0;
            for piece in all.chunks(piece) {
                followed.follow(piece);
                held = followed.held();
            }
            prop_assert_eq!(held, 0);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_does_not_end_is_late_and_what_goes_on_is_not() {
        let budget = Budget::default();
        let whole = frame(DATA, 0, 16 << 10);
        let block = frame(HEADERS, 0, 100);
        for begun in [&whole[..1], &whole[..whole.len() - 1], &block] {
            let (mut peer, began) = (unfinished(&budget), Instant::now());
            assert!(late(&mut peer).now_or_never().is_none(), "nothing is begun");
            sleep(SECONDS * 5).await;
            peer.read(begun, || false).expect("there is room");
            let began = began + SECONDS * 5;
            sleep(SECONDS / 2).await;
            // Another byte finishes nothing.
            peer.read(&[0; 1], || false).expect("there is room");
            if begun.len() + 1 == whole.len() {
                assert!(late(&mut peer).now_or_never().is_none(), "it was the last");
                continue;
            }
            assert_eq!((late(&mut peer).await, began.elapsed()), (io::ErrorKind::TimedOut, SECONDS));
        }
        let mut slow = unfinished(&budget);
        for piece in whole.repeat(5).chunks(whole.len() / 2) {
            slow.read(piece, || true).expect("there is room");
            assert!(late(&mut slow).now_or_never().is_none(), "each frame has its time");
            sleep(SECONDS / 2).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_all_strangers_leave_unfinished_is_bounded_and_leaves_room_for_known_callers() {
        let budget = Budget::default();
        let (whole, block) = (frame(DATA, 0, 16 << 10), frame(HEADERS, 0, 100));
        for begun in [&whole[..whole.len() - 1], &block] {
            let mut held = Vec::new();
            let refused = (0..10_000).find(|_| {
                held.push(unfinished(&budget));
                held.last_mut().expect("it was pushed").read(begun, || false).is_err()
            });
            assert!(refused.is_some_and(|number| number <= MOST_OF_STRANGERS / BLOCK), "{refused:?}");
            unfinished(&budget).read(&whole[..FREE], || false).expect("a little is free");
            unfinished(&budget).read(begun, || true).expect("a known caller's");
            let known = (0..10_000).find(|_| {
                held.push(unfinished(&budget));
                held.last_mut().expect("it was pushed").read(begun, || true).is_err()
            });
            assert!(known.is_some() && bytes(&budget) < MOST + 2 * BLOCK, "{known:?}");
            drop(held);
            assert_eq!(bytes(&budget), 0, "all was given back");
        }
    }
}
