//! Distance: what either side sends arrives half a round trip later.
//!
//! A real network delays bytes without holding up those behind them, so each direction is a queue of chunks that know when they
//! arrive. [`carry`] reads the socket at all times, because a chunk's time starts when it was sent, not when it is read.

use std::collections::VecDeque;
use std::future::pending;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::time::{Instant, Sleep};

use super::socket::Socket;

/// Most bytes under way in one direction, as much as Linux lets a TCP connection have by default.
const UNDER_WAY: usize = 4 * 1024 * 1024;

/// The far end of a connection.
pub(super) struct Far {
    pub(super) socket: Socket,
    arriving: Exit,
    leaving: Entrance,
}

/// Moves `socket` away, and returns its far end with the work that keeps bytes moving.
pub(super) fn move_away(socket: Socket, round_trip: Duration) -> (Far, impl Future<Output = ()>) {
    let half = round_trip / 2;
    // A client far away would still be shaking hands: nothing that it sends leaves it within the first round trip.
    let (entrance, arriving) = way(half, Instant::now() + round_trip + half);
    let (leaving, exit) = way(half, Instant::now());
    (Far { socket: socket.clone(), arriving, leaving }, carry(socket, entrance, exit))
}

/// Copies in both directions until this side has sent everything.
async fn carry(socket: Socket, mut arriving: Entrance, mut leaving: Exit) {
    let (mut from, mut to) = (socket.clone(), socket.clone());
    let inwards = async {
        match tokio::io::copy(&mut from, &mut arriving).await {
            Ok(_) => arriving.end(End::Eof),
            Err(_) => arriving.end(End::Reset),
        }
        pending::<()>().await;
    };
    let outwards = async {
        match tokio::io::copy(&mut leaving, &mut to).await {
            Ok(_) => drop(to.shutdown().await),
            Err(_) if leaving.was_reset() => socket.reset(),
            Err(error) => tracing::debug!(%error, "the client is gone"),
        }
    };
    tokio::select! {
        () = inwards => {}
        () = outwards => {}
    }
}

impl Far {
    /// Lets the client see a reset once everything sent before has arrived.
    pub(super) fn reset(&mut self) {
        self.leaving.end(End::Reset);
    }
}

impl AsyncRead for Far {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        // What was under way when the connection fell silent is lost.
        if self.socket.is_mute() { Poll::Pending } else { Pin::new(&mut self.arriving).poll_read(cx, buf) }
    }
}

impl AsyncWrite for Far {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.leaving).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.leaving).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.leaving).poll_shutdown(cx)
    }
}

/// One direction: what enters leaves `delay` later, and not before `opens`.
fn way(delay: Duration, opens: Instant) -> (Entrance, Exit) {
    let chunks = Arc::new(Mutex::new(Way::default()));
    let entrance = Entrance { way: Arc::clone(&chunks), delay, opens };
    (entrance, Exit { way: chunks, wait: Box::pin(tokio::time::sleep(Duration::ZERO)) })
}

#[derive(Default)]
struct Way {
    chunks: VecDeque<(Instant, Bytes)>,
    /// How many bytes the chunks hold together.
    queued: usize,
    end: Option<(Instant, End)>,
    /// Whether the reader is gone.
    closed: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Eof,
    Reset,
}

struct Entrance {
    way: Arc<Mutex<Way>>,
    delay: Duration,
    opens: Instant,
}

struct Exit {
    way: Arc<Mutex<Way>>,
    wait: Pin<Box<Sleep>>,
}

impl Entrance {
    fn arrival(&self) -> Instant {
        (Instant::now() + self.delay).max(self.opens)
    }

    fn end(&self, end: End) {
        let mut way = lock(&self.way);
        if way.end.is_none() {
            way.end = Some((self.arrival(), end));
            wake(&mut way.reader);
        }
    }
}

impl AsyncWrite for Entrance {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let mut way = lock(&self.way);
        if way.closed || way.end.is_some() {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let taken = buf.len().min(UNDER_WAY - way.queued);
        if taken == 0 && !buf.is_empty() {
            way.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        way.chunks.push_back((self.arrival(), Bytes::copy_from_slice(&buf[..taken])));
        way.queued += taken;
        wake(&mut way.reader);
        Poll::Ready(Ok(taken))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.end(End::Eof);
        Poll::Ready(Ok(()))
    }
}

impl Drop for Entrance {
    fn drop(&mut self) {
        self.end(End::Eof);
    }
}

impl Exit {
    fn was_reset(&self) -> bool {
        matches!(lock(&self.way).end, Some((_, End::Reset)))
    }
}

impl AsyncRead for Exit {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let Self { way, wait } = self.get_mut();
        let mut way = lock(way);
        let next = way.chunks.front().map(|(arrival, _)| *arrival).or(way.end.map(|(arrival, _)| arrival));
        let Some(arrival) = next else {
            way.reader = Some(cx.waker().clone());
            return Poll::Pending;
        };
        if arrival > Instant::now() {
            wait.as_mut().reset(arrival);
            ready!(wait.as_mut().poll(cx));
        }
        let way = &mut *way;
        let Some((_, chunk)) = way.chunks.front_mut() else {
            return Poll::Ready(match way.end {
                Some((_, End::Reset)) => Err(io::ErrorKind::ConnectionReset.into()),
                _ => Ok(()),
            });
        };
        let taken = chunk.len().min(buf.remaining());
        buf.put_slice(&chunk[..taken]);
        chunk.advance(taken);
        if chunk.is_empty() {
            way.chunks.pop_front();
        }
        way.queued -= taken;
        wake(&mut way.writer);
        Poll::Ready(Ok(()))
    }
}

impl Drop for Exit {
    fn drop(&mut self) {
        let mut way = lock(&self.way);
        way.closed = true;
        wake(&mut way.writer);
    }
}

fn lock(way: &Mutex<Way>) -> MutexGuard<'_, Way> {
    way.lock().unwrap_or_else(PoisonError::into_inner)
}

fn wake(waiting: &mut Option<Waker>) {
    if let Some(waker) = waiting.take() {
        waker.wake();
    }
}
