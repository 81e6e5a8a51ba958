//! The handle that tells a connection how to misbehave, and the orders it leaves.
//!
//! Handle and socket share one state behind a mutex: hyper polls the [`Wire`](super::wire::Wire), the middleware calls
//! [`ConnectionControl`], and both take turns, so the lock is hardly ever contended. Orders hold for the current response only: hyper takes the
//! next request when the response is flushed, and that request starts clean.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use tokio::io::AsyncWrite;
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep};

use super::guard::AnswerGuard;

/// How a response stops before its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The connection is reset: the client's next read fails with "connection reset by peer".
    Reset,
    /// The connection is closed in good order: the client reads end of file.
    Eof,
    /// Nothing more is sent, and the connection stays open until the client leaves.
    Hang,
}

/// Decides what the socket of one connection does to the response in progress.
///
/// Found in the extensions of every request that [`serve`](super::serve) hands to its router.
#[derive(Clone)]
pub struct ConnectionControl {
    state: Arc<Mutex<State>>,
}

impl ConnectionControl {
    pub(super) fn over(state: Arc<Mutex<State>>) -> Self {
        Self { state }
    }

    /// Ends the connection once `bytes` more bytes are written, counted from the status line when called before the response is
    /// returned. With 0 the client sees nothing of the response.
    pub fn close_after(&self, bytes: usize, ending: Ending) {
        self.lock().ending = Some((Moment::AfterBytes(bytes), ending));
    }

    /// Ends the connection as soon as everything that hyper holds for it is written.
    ///
    /// To be called while a response body hands over its last chunk; called earlier, it may come before the status line.
    pub fn close_once_flushed(&self, ending: Ending) {
        self.lock().ending = Some((Moment::OnceFlushed, ending));
    }

    /// Sends the response in pieces of `bytes` bytes, one per `every`, from its status line on. Timers have a granularity of 1 ms.
    pub fn drip(&self, bytes: usize, every: Duration) {
        self.lock().drip = Some(Drip { bytes, every, left: bytes, pause: Box::pin(tokio::time::sleep(every)) });
    }

    /// Writes `surplus` right after the response, as a server does that miscounted its body.
    ///
    /// To be called while a response body hands over its last chunk; called earlier, it may come before the status line.
    pub fn append(&self, surplus: Bytes) {
        self.lock().surplus = surplus;
    }

    /// Whether this side closed the connection on purpose, so that nobody blames the client.
    pub fn was_cut(&self) -> bool {
        self.lock().cut
    }

    /// Forgets what was ordered for the response before.
    pub(super) fn begin_response(&self) {
        let mut state = self.lock();
        state.ending = None;
        state.drip = None;
        state.surplus = Bytes::new();
    }

    /// Keeps `guard` until everything written so far has reached the socket.
    pub(super) fn complete_once_flushed(&self, guard: AnswerGuard) {
        self.lock().unflushed.push(guard);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

/// The socket and what was ordered for it.
pub(super) struct State {
    /// Gone once a fault has closed the connection.
    socket: Option<TcpStream>,
    ending: Option<(Moment, Ending)>,
    drip: Option<Drip>,
    /// Bytes that follow the response although its length does not account for them.
    surplus: Bytes,
    /// Guards of answers which hyper has taken over but not yet written to the socket.
    unflushed: Vec<AnswerGuard>,
    /// Whether this side closed the connection on purpose.
    cut: bool,
}

#[derive(Clone, Copy)]
enum Moment {
    AfterBytes(usize),
    OnceFlushed,
}

struct Drip {
    bytes: usize,
    every: Duration,
    left: usize,
    pause: Pin<Box<Sleep>>,
}

impl State {
    pub(super) fn of(socket: TcpStream) -> Self {
        Self {
            socket: Some(socket),
            ending: None,
            drip: None,
            surplus: Bytes::new(),
            unflushed: Vec::new(),
            cut: false,
        }
    }

    pub(super) fn socket(&mut self) -> io::Result<Pin<&mut TcpStream>> {
        self.socket.as_mut().map(Pin::new).ok_or_else(closed)
    }

    /// Returns how many of `wanted` bytes may be written now.
    pub(super) fn grant(&mut self, cx: &mut Context<'_>, wanted: usize) -> Poll<io::Result<usize>> {
        let mut granted = wanted;
        match self.ending {
            Some((Moment::AfterBytes(0), ending)) => return self.end(ending),
            Some((Moment::AfterBytes(left), _)) => granted = granted.min(left),
            Some((Moment::OnceFlushed, _)) | None => {}
        }
        if let Some(drip) = &mut self.drip {
            granted = granted.min(ready!(drip.grant(cx)));
        }
        Poll::Ready(Ok(granted))
    }

    pub(super) fn spend(&mut self, written: usize) {
        if let Some((Moment::AfterBytes(left), _)) = &mut self.ending {
            *left = left.saturating_sub(written);
        }
        if let Some(drip) = &mut self.drip {
            drip.left = drip.left.saturating_sub(written);
        }
    }

    pub(super) fn hang_up(&mut self) {
        self.socket = None;
    }

    pub(super) fn take_unflushed(&mut self) -> Vec<AnswerGuard> {
        std::mem::take(&mut self.unflushed)
    }

    fn end<T>(&mut self, ending: Ending) -> Poll<io::Result<T>> {
        match ending {
            Ending::Hang => return Poll::Pending,
            Ending::Reset => {
                if let Some(socket) = self.socket.take() {
                    reset_on_close(&socket);
                }
            }
            Ending::Eof => drop(self.socket.take()),
        }
        self.cut = true;
        Poll::Ready(Err(closed()))
    }

    /// Whether writes are anything but normal.
    pub(super) fn has_orders(&self) -> bool {
        self.ending.is_some() || self.drip.is_some()
    }

    pub(super) fn flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.surplus.has_remaining() {
            let surplus = self.surplus.clone();
            let written = ready!(self.socket()?.poll_write(cx, &surplus))?;
            self.surplus.advance(written);
        }
        ready!(self.socket()?.poll_flush(cx))?;
        match self.ending {
            Some((Moment::OnceFlushed, ending)) => self.end(ending),
            _ => Poll::Ready(Ok(())),
        }
    }
}

impl Drip {
    fn grant(&mut self, cx: &mut Context<'_>) -> Poll<usize> {
        if self.left == 0 {
            ready!(self.pause.as_mut().poll(cx));
            self.left = self.bytes;
            self.pause.as_mut().reset(Instant::now() + self.every);
        }
        Poll::Ready(self.left)
    }
}

/// Makes closing `socket` a reset instead of the usual farewell.
pub(super) fn reset_on_close(socket: &TcpStream) {
    if let Err(error) = socket.set_zero_linger() {
        tracing::debug!(%error, "cannot reset the connection, it will just close");
    }
}

/// A panic elsewhere leaves nothing half-done in the state, so a poisoned lock is as good as any.
pub(super) fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn closed() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionAborted, "closed by a fault")
}
