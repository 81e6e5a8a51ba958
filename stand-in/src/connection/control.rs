//! The handle that tells a connection how to misbehave. An *order* is one such instruction for the current response: end it, drip
//! it, append to it.
//!
//! Handle and socket share one state behind a mutex: hyper polls the [`Wire`](super::wire::Wire), the middleware calls
//! [`ConnectionControl`], and they take turns, so the lock is hardly ever contended. Orders hold for the current response only:
//! hyper takes the next request when the response is flushed, and that request starts without orders.
//!
//! On HTTP/2 a response has a stream to itself: its orders are stored in that [`Stream`], and ending it leaves the connection
//! open.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use h2::Reason;
use tokio::io::AsyncWrite;
use tokio::time::{Instant, Sleep};

use super::channel::Channel;
use super::guard::AnswerGuard;
use super::http2::{Stop, Stream};
use super::socket::Socket;

/// How a response stops before its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The connection is reset: the client's next read fails with "connection reset by peer". On HTTP/2 only the stream is, with
    /// `INTERNAL_ERROR`.
    Reset,
    /// The connection is closed in good order: the client reads end of file. On HTTP/2 a stream that ends in good order is
    /// complete, so it is reset with `CANCEL`, as a proxy does that gets no more of the response itself.
    Eof,
    /// Nothing more is sent, and the connection stays open until the client leaves. On HTTP/2 other streams are served.
    Hang,
}

/// Decides what the socket of one connection does to the response in progress, or what its stream does on HTTP/2.
///
/// Found in the extensions of every request that [`serve`](super::serve) hands to its router.
#[derive(Clone)]
pub struct ConnectionControl {
    target: Target,
}

#[derive(Clone)]
enum Target {
    Connection(Arc<Mutex<State>>),
    Stream(Arc<Stream>),
}

impl ConnectionControl {
    pub(super) fn of_connection(state: Arc<Mutex<State>>) -> Self {
        Self { target: Target::Connection(state) }
    }

    pub(super) fn of_stream(stream: Arc<Stream>) -> Self {
        Self { target: Target::Stream(stream) }
    }

    /// Ends the connection once `bytes` more bytes are written, counted from the status line when called before the response is
    /// returned. With 0 the client sees nothing of the response.
    ///
    /// On HTTP/2 the bytes are those of the body, except that with 0 there are no headers either.
    pub fn close_after(&self, bytes: usize, ending: Ending) {
        self.order_ending(EndAt::AfterBytes(bytes), ending);
    }

    /// Ends the connection within the headers of the response, to be called before it is returned. On HTTP/2, where a block of headers
    /// cannot be cut, the stream ends right behind them.
    pub fn close_within_headers(&self, ending: Ending) {
        match &self.target {
            Target::Connection(_) => self.order_ending(EndAt::AfterBytes(WITHIN_HEADERS), ending),
            Target::Stream(_) => self.order_ending(EndAt::AfterHead, ending),
        }
    }

    /// Ends the connection as soon as everything that hyper holds for it is written.
    ///
    /// To be called while a response body hands over its last chunk; called earlier, it may come before the status line.
    pub fn close_once_flushed(&self, ending: Ending) {
        self.order_ending(EndAt::OnceFlushed, ending);
    }

    fn order_ending(&self, at: EndAt, ending: Ending) {
        match &self.target {
            Target::Connection(state) => lock(state).ending = Some((at, ending)),
            Target::Stream(stream) => stream.stop(at, ending.into()),
        }
    }

    /// Refuses the stream with `REFUSED_STREAM`, which promises that its request was not processed. Does nothing on HTTP/1.1.
    pub fn refuse_stream(&self) {
        if let Target::Stream(stream) = &self.target {
            stream.stop(EndAt::AfterBytes(0), Stop::Reset(Reason::REFUSED_STREAM));
        }
    }

    /// Sends the response in pieces of `bytes` bytes, one per `interval`, from its status line on; on HTTP/2 from its body on.
    /// Timers have a granularity of 1 ms.
    pub fn drip(&self, bytes: usize, interval: Duration) {
        let drip = Drip { bytes, interval, left_in_piece: bytes, pause: Box::pin(tokio::time::sleep(interval)) };
        match &self.target {
            Target::Connection(state) => lock(state).drip = Some(drip),
            Target::Stream(stream) => stream.drip(drip),
        }
    }

    /// Writes `surplus` right after the response, as a server does that miscounted its body.
    ///
    /// To be called while a response body hands over its last chunk; called earlier, it may come before the status line. Does nothing on
    /// HTTP/2, where no byte can follow the last of a stream.
    pub fn append(&self, surplus: Bytes) {
        if let Target::Connection(state) = &self.target {
            lock(state).surplus = surplus;
        }
    }

    /// Whether the response has a stream to itself, as on HTTP/2.
    pub fn is_stream(&self) -> bool {
        matches!(self.target, Target::Stream(_))
    }

    /// True if this side ended the response on purpose, so that the client does not count as having left. False while
    /// an [`Ending::Hang`] lasts: there the client does leave.
    pub fn was_cut(&self) -> bool {
        match &self.target {
            Target::Connection(state) => lock(state).was_cut(),
            Target::Stream(stream) => stream.was_cut(),
        }
    }

    /// Keeps `guard` until everything written so far has reached the socket.
    pub(super) fn complete_once_flushed(&self, guard: AnswerGuard) {
        match &self.target {
            Target::Connection(state) => lock(state).unflushed.push(guard),
            Target::Stream(stream) => stream.complete_once_written(guard),
        }
    }
}

/// How many bytes of a response are sent when it breaks within its headers. Enough for `HTTP/1.1 200 OK` and some of the next
/// header; a longer status line is itself cut. Any head is longer than 24 bytes: with nothing but a date it has more than 50.
const WITHIN_HEADERS: usize = 24;

/// The socket and what was ordered for it.
pub(super) struct State {
    /// Gone once a fault has closed the connection.
    channel: Option<Channel>,
    /// The socket at the bottom of the channel, which may be reset from elsewhere.
    socket: Socket,
    ending: Option<(EndAt, Ending)>,
    drip: Option<Drip>,
    /// Bytes that follow the response although its length does not account for them.
    surplus: Bytes,
    /// Guards of answers which hyper has taken over but not yet written to the socket.
    unflushed: Vec<AnswerGuard>,
    /// Whether this side closed the connection on purpose.
    cut: bool,
}

/// Where in a response an ordered ending takes effect.
#[derive(Clone, Copy)]
pub(super) enum EndAt {
    AfterBytes(usize),
    /// Right after the header block; only on HTTP/2.
    AfterHead,
    OnceFlushed,
}

pub(super) struct Drip {
    bytes: usize,
    interval: Duration,
    left_in_piece: usize,
    pause: Pin<Box<Sleep>>,
}

impl State {
    pub(super) fn of(channel: Channel, socket: Socket) -> Self {
        Self {
            channel: Some(channel),
            socket,
            ending: None,
            drip: None,
            surplus: Bytes::new(),
            unflushed: Vec::new(),
            cut: false,
        }
    }

    pub(super) fn channel(&mut self) -> io::Result<Pin<&mut Channel>> {
        self.channel.as_mut().map(Pin::new).ok_or_else(closed)
    }

    fn was_cut(&self) -> bool {
        self.cut || self.socket.was_cut()
    }

    /// Forgets what was ordered for the response before.
    pub(super) fn begin_response(&mut self) {
        self.ending = None;
        self.drip = None;
        self.surplus = Bytes::new();
    }

    /// Returns how many of `wanted` bytes may be written now.
    pub(super) fn grant(&mut self, cx: &mut Context<'_>, wanted: usize) -> Poll<io::Result<usize>> {
        let mut granted = wanted;
        match self.ending {
            Some((EndAt::AfterBytes(0), ending)) => return self.carry_out_ending(cx, ending),
            Some((EndAt::AfterBytes(left), _)) => granted = granted.min(left),
            Some((EndAt::AfterHead | EndAt::OnceFlushed, _)) | None => {}
        }
        if let Some(drip) = &mut self.drip {
            granted = granted.min(ready!(drip.grant(cx)));
        }
        Poll::Ready(Ok(granted))
    }

    /// Counts `written` bytes against the limits that `grant` applied.
    pub(super) fn spend(&mut self, written: usize) {
        if let Some((EndAt::AfterBytes(left), _)) = &mut self.ending {
            *left = left.saturating_sub(written);
        }
        if let Some(drip) = &mut self.drip {
            drip.spend(written);
        }
    }

    pub(super) fn hang_up(&mut self) {
        self.channel = None;
    }

    pub(super) fn take_unflushed(&mut self) -> Vec<AnswerGuard> {
        std::mem::take(&mut self.unflushed)
    }

    fn carry_out_ending<T>(&mut self, cx: &mut Context<'_>, ending: Ending) -> Poll<io::Result<T>> {
        // Bytes already accepted may still sit in the TLS buffer; they count as sent.
        ready!(self.channel()?.poll_flush(cx))?;
        match ending {
            Ending::Hang => return Poll::Pending,
            Ending::Reset => self.channel()?.reset(),
            // TLS is ended in good order, too: without that the client could not tell the end from an attack.
            // One try: if the socket is full, the close_notify is lost.
            Ending::Eof => drop(self.channel()?.poll_shutdown(cx)),
        }
        self.channel = None;
        self.cut = true;
        Poll::Ready(Err(closed()))
    }

    /// Whether writes are limited, so that they must pass through `grant`.
    pub(super) fn limits_writes(&self) -> bool {
        self.ending.is_some() || self.drip.is_some()
    }

    pub(super) fn flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.surplus.has_remaining() {
            let surplus = self.surplus.clone();
            let written = ready!(self.channel()?.poll_write(cx, &surplus))?;
            self.surplus.advance(written);
        }
        ready!(self.channel()?.poll_flush(cx))?;
        match self.ending {
            Some((EndAt::OnceFlushed, ending)) => self.carry_out_ending(cx, ending),
            _ => Poll::Ready(Ok(())),
        }
    }
}

impl Drip {
    pub(super) fn spend(&mut self, sent: usize) {
        self.left_in_piece = self.left_in_piece.saturating_sub(sent);
    }

    pub(super) fn grant(&mut self, cx: &mut Context<'_>) -> Poll<usize> {
        if self.left_in_piece == 0 {
            ready!(self.pause.as_mut().poll(cx));
            self.left_in_piece = self.bytes;
            self.pause.as_mut().reset(Instant::now() + self.interval);
        }
        Poll::Ready(self.left_in_piece)
    }
}

/// A panic elsewhere leaves nothing half-done in the state, so a poisoned lock can be used.
pub(super) fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn closed() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionAborted, "closed by a fault")
}
