//! Limits a connection's bytes: how long the peer may take to send the preface or to read, and how much is read at a time.
//!
//! To measure without it: a portion of `usize::MAX`, and `server.preface_timeout` and `server.send_timeout` of hours.

use std::future::Future as _;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

use super::activity::{Activity, Worth};
use super::frames::{Budget, Unfinished};
use super::late::Late;
use crate::server::counts::{Counts, Distrusted};
use crate::server::spoken::{self, Spoken};
use crate::turns::Turns;

const PREFACE: usize = spoken::PREFACE.len();

/// A socket that fails if its peer does not begin, or does not read. A peer that sends without pause is read in turns.
pub struct Socket<T> {
    inner: T,
    /// Bytes of the preface that have come.
    begun: usize,
    /// Ends when the preface must have come.
    begin_by: Pin<Box<Sleep>>,
    counts: Counts,
    /// True if the peer has agreed to HTTP/2 within a TLS handshake.
    agreed: bool,
    activity: Option<Activity>,
    unfinished: Option<Unfinished>,
    /// Set once the connection takes no more streams.
    late: Option<Late>,
    turns: Turns,
    send_timeout: Duration,
    /// Runs while the peer takes nothing.
    stuck: Option<Pin<Box<Sleep>>>,
}

impl<T> Socket<T> {
    /// Wraps a socket. The whole preface must come within `preface_timeout`, else the connection counts as refused; each write
    /// must make progress within `send_timeout`.
    pub fn new(inner: T, preface_timeout: Duration, send_timeout: Duration, counts: Counts) -> Self {
        let begin_by = Box::pin(sleep(preface_timeout));
        let (turns, activity) = (Turns::new(), None);
        let (unfinished, late, stuck, agreed) = (None, None, None, false);
        Self { inner, begun: 0, begin_by, counts, agreed, activity, unfinished, late, turns, send_timeout, stuck }
    }

    /// Bounds how long, and how much, is left unfinished of what the peer sends after the preface.
    #[must_use]
    pub fn finishing_within(self, timeout: Duration, budget: &Budget) -> Self {
        Self { unfinished: Some(Unfinished::new(timeout, budget)), ..self }
    }

    /// Counts a peer that agreed to HTTP/2 within its TLS handshake and then leaves without a byte: so do the clients of gRPC's C
    /// core that were given a certificate without the name that they call. A balancer's probe agrees to nothing.
    #[must_use]
    pub fn agreed(self, agreed: bool) -> Self {
        Self { agreed, ..self }
    }

    /// Tells `activity` when the whole preface has come.
    #[must_use]
    pub fn telling(self, activity: &Activity) -> Self {
        Self { activity: Some(activity.clone()), ..self }
    }

    /// Returns the error for a peer that has not begun in time, and counts it.
    fn late(&self) -> Poll<io::Result<()>> {
        self.counts.refuse();
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "no HTTP/2 preface in time")))
    }

    /// Notes that the peer has ended the connection.
    fn left(&mut self) {
        if std::mem::take(&mut self.agreed) {
            self.counts.distrust(Distrusted::Port);
            self.counts.refuse();
        }
    }

    /// Counts a peer that begins with something else than the preface. What follows is for hyper, which ends it.
    fn look_at(&mut self, came: &[u8]) {
        let rest = &spoken::PREFACE[self.begun..];
        if came.iter().zip(rest).any(|(byte, wanted)| byte != wanted) {
            let first = [&spoken::PREFACE[..self.begun], &came[..came.len().min(spoken::FIRST)]].concat();
            self.counts.stray(Spoken::of(&first));
            self.counts.refuse();
            self.begun = PREFACE;
        }
    }

    /// Ends a write that has made no progress for too long.
    fn written<R>(&mut self, context: &mut Context<'_>, outcome: Poll<io::Result<R>>) -> Poll<io::Result<R>> {
        if outcome.is_ready() {
            self.stuck = None;
            // Who has left is often noticed first by what cannot be written.
            if matches!(outcome, Poll::Ready(Err(_))) {
                self.left();
            }
            return outcome;
        }
        // hyper reads nothing more until this is written, so others may have the turn.
        self.turns.stall();
        let timeout = self.send_timeout;
        let stuck = self.stuck.get_or_insert_with(|| Box::pin(sleep(timeout)));
        ready!(stuck.as_mut().poll(context));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the peer does not read")))
    }
}

impl<T: AsyncRead + Unpin> Socket<T> {
    fn poll_inner(&mut self, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match &mut self.late {
            None => Pin::new(&mut self.inner).poll_read(context, buffer),
            Some(late) => late.poll_read(&mut self.inner, context, buffer),
        }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Socket<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let portion = ready!(this.turns.poll(context));
        let before = buffer.filled().len();
        let outcome = if buffer.remaining() > portion {
            let mut part = ReadBuf::new(buffer.initialize_unfilled_to(portion));
            let outcome = this.poll_inner(context, &mut part);
            let read = part.filled().len();
            buffer.advance(read);
            outcome
        } else {
            this.poll_inner(context, buffer)
        };
        if outcome.is_pending() {
            this.turns.pause();
        } else {
            this.turns.did(buffer.filled().len() - before);
        }
        let came = buffer.filled().len() - before;
        if came > 0 {
            this.agreed = false;
        } else if outcome.is_ready() {
            this.left();
        }
        this.look_at(&buffer.filled()[before..]);
        let preface = (PREFACE - this.begun).min(buffer.filled().len() - before);
        if let Some(unfinished) = this.unfinished.as_mut().filter(|_| this.begun + preface >= PREFACE) {
            let is_known = || this.activity.as_ref().is_some_and(|activity| activity.worth() == Worth::Proven);
            let from = before + preface;
            if let Some((followed, newest)) = unfinished.read(&buffer.filled()[from..], is_known)? {
                this.late = Some(Late::new(newest, &buffer.filled()[from + followed..]));
                buffer.set_filled(from + followed);
            }
            if outcome.is_pending()
                && let Poll::Ready(late) = unfinished.poll(context)
            {
                return Poll::Ready(Err(late));
            }
        }
        if this.begun < PREFACE {
            this.begun += preface;
            if this.begun >= PREFACE
                && let Some(activity) = &this.activity
            {
                activity.speaks();
            }
            if this.begun < PREFACE && outcome.is_pending() {
                ready!(this.begin_by.as_mut().poll(context));
                return this.late();
            }
            // A peer that sends the preface byte by byte gets no more time than one that sends nothing.
            if this.begun < PREFACE && Instant::now() >= this.begin_by.deadline() {
                return this.late();
            }
        }
        outcome
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Socket<T> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.inner).poll_write(context, bytes);
        self.written(context, outcome)
    }

    /// Returns false, so that h2 copies small replies together and sends them in one system call. With true, h2 would write
    /// each reply by itself, which costs a third more for messages below 1 KiB.
    fn is_write_vectored(&self) -> bool {
        false
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.inner).poll_flush(context);
        self.written(context, outcome)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.inner).poll_shutdown(context);
        self.written(context, outcome)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::task::unconstrained;

    use super::*;
    use crate::turns;

    #[tokio::test]
    async fn a_peer_that_sends_without_a_pause_lets_others_have_their_turn() {
        let minute = Duration::from_mins(1);
        let mut socket = Socket::new(tokio::io::repeat(7), minute, minute, Counts::default());
        let mut bytes = [0; 100];
        let until_pause = async {
            let turn = Instant::now();
            // Unconstrained, because tokio's own budget would also pause it, but by the number of reads and not by their cost.
            while let Some(read) = unconstrained(socket.read(&mut bytes)).now_or_never() {
                assert_eq!(read.expect("it never ends"), bytes.len());
                assert!(turn.elapsed() < Duration::from_secs(10), "no pause");
            }
        };
        until_pause.await;
        // After the pause, the reader is woken and goes on.
        let mut more = vec![0; 1 << 20];
        tokio::time::timeout(minute, socket.read_exact(&mut more)).await.expect("woken").expect("read");
        assert!(more.iter().all(|byte| *byte == 7));
    }

    #[tokio::test]
    async fn a_peer_that_floods_and_does_not_read_holds_up_nobody_else_who_begins() {
        let minute = Duration::from_mins(1);
        let (writer, _unread) = tokio::io::duplex(1);
        let peer = tokio::io::join(tokio::io::repeat(7), writer);
        let mut socket = Socket::new(peer, minute, minute, Counts::default());
        let mut bytes = [0; 100];
        while unconstrained(socket.read(&mut bytes)).now_or_never().is_some() {}
        while unconstrained(socket.write(&bytes)).now_or_never().is_some() {}
        // A peer that does not take its answers does not get a turn, so it does not block the others.
        let begun = tokio::time::timeout(Duration::from_secs(10), turns::after_the_others()).await;
        begun.expect("it is not in the way");
        let more = tokio::time::timeout(Duration::from_secs(10), socket.read_exact(&mut bytes)).await;
        more.expect("it goes on in the end").expect("read");
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_does_not_begin_in_time_is_given_up_and_counted() {
        let (seconds, hour) = (Duration::from_secs(10), Duration::from_hours(1));
        for sent in [&b""[..], b"PRI * HTTP/2.0"] {
            let (mut peer, inner) = tokio::io::duplex(64);
            peer.write_all(sent).await.expect("there is room");
            let (began, counts) = (Instant::now(), Counts::default());
            let mut socket = Socket::new(inner, seconds, hour, counts.clone());
            let late = socket.read_to_end(&mut Vec::new()).await.expect_err("it has not begun");
            assert_eq!((late.kind(), counts.view().refused), (io::ErrorKind::TimedOut, 1));
            assert!(began.elapsed().abs_diff(seconds) < Duration::from_millis(10));
        }
    }

    #[tokio::test]
    async fn a_peer_that_leaves_after_its_handshake_without_a_byte_has_not_taken_the_certificate() {
        let minute = Duration::from_mins(1);
        for (agreed, sent, distrusted) in [(true, &b""[..], 1), (true, b"PRI * HTTP/2.0", 0), (false, b"", 0)] {
            let (mut peer, inner) = tokio::io::duplex(64);
            peer.write_all(sent).await.expect("there is room");
            drop(peer);
            let counts = Counts::default();
            let mut socket = Socket::new(inner, minute, minute, counts.clone()).agreed(agreed);
            socket.read_to_end(&mut Vec::new()).await.expect("it has left");
            assert_eq!((counts.view().port_distrusted, counts.view().refused), (distrusted, distrusted), "{sent:?}");
        }
        // What cannot be written may be noticed first, and what is read then is not counted again.
        let (peer, inner) = tokio::io::duplex(64);
        drop(peer);
        let counts = Counts::default();
        let mut socket = Socket::new(inner, minute, minute, counts.clone()).agreed(true);
        socket.write_all(b"SETTINGS").await.expect_err("nobody is there");
        socket.read_to_end(&mut Vec::new()).await.expect("it has left");
        assert_eq!(counts.view().port_distrusted, 1);
    }

    #[tokio::test]
    async fn a_peer_that_speaks_something_else_is_counted_by_what_it_speaks() {
        let minute = Duration::from_mins(1);
        for (parts, spoken) in [
            (&[&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0"[..]][..], None),
            (&[b"PRI * HTTP/2.0", b"\r\n\r\nSM\r\n\r\n"], None),
            (&[b"\x16\x03\x01\x02\x00\x01\x00\x01"], Some("tls")),
            (&[b"PR", b"OXY TCP4 10.0.0.1 10.0.0.2 1234 50051\r\nPRI * HTTP/2.0"], Some("proxy_header")),
            (&[b"P", b"OST / HTTP/1.1\r\nhost: localhost\r\n\r\n"], Some("http1")),
        ] {
            let (mut peer, inner) = tokio::io::duplex(64);
            let counts = Counts::default();
            let mut socket = Socket::new(inner, minute, minute, counts.clone());
            for part in parts {
                peer.write_all(part).await.expect("there is room");
                socket.read_exact(&mut vec![0; part.len()]).await.expect("hyper has the last word");
            }
            let view = counts.view();
            let strays: Vec<_> = view.strays.iter().filter(|(_, count)| **count > 0).collect();
            assert_eq!(strays, spoken.iter().map(|spoken| (spoken, &1)).collect::<Vec<_>>());
            assert_eq!(view.refused, spoken.iter().count() as u64);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_takes_nothing_is_given_up_and_a_slow_one_is_not() {
        let (seconds, hour) = (Duration::from_secs(10), Duration::from_hours(1));
        let (mut peer, inner) = tokio::io::duplex(8);
        let mut socket = Socket::new(inner, hour, seconds, Counts::default());
        let slow = async {
            for _ in 0..4 {
                sleep(seconds / 2).await;
                peer.read_exact(&mut [0; 8]).await.expect("it is sent");
            }
        };
        let (sent, ()) = tokio::join!(socket.write_all(&[7; 40]), slow);
        sent.expect("a bit at a time is enough");
        let stuck = socket.write_all(&[7; 40]).await.expect_err("nothing is taken any more");
        assert_eq!(stuck.kind(), io::ErrorKind::TimedOut);
    }
}
