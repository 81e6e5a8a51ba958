//! One stream: what was ordered for it, and how far its response has come.

use std::future::pending;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use h2::{Error, Reason};

use super::super::control::{Drip, EndAt, Ending};
use super::super::guard::AnswerGuard;
use super::super::socket::Socket;

/// One stream of a connection.
pub struct Stream {
    /// Tells whether the whole connection was cut.
    socket: Socket,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    ending: Option<(EndAt, Stop)>,
    drip: Option<Drip>,
    /// Whether an order has ended the stream.
    cut: bool,
    /// Whether the response's header block is written.
    head_written: bool,
    /// How many bytes of the response's body are written.
    body_written: usize,
    end: Option<End>,
    /// The task that waits for the response to get further.
    waiting: Option<Waker>,
    /// The guards of an answer that is complete for the handler, but not yet written.
    unwritten: Vec<AnswerGuard>,
}

/// How a stream stops before its response is complete.
#[derive(Clone, Copy)]
pub enum Stop {
    Reset(Reason),
    Hang,
}

impl From<Ending> for Stop {
    fn from(ending: Ending) -> Self {
        match ending {
            Ending::Reset => Self::Reset(Reason::INTERNAL_ERROR),
            Ending::Eof => Self::Reset(Reason::CANCEL),
            Ending::Hang => Self::Hang,
        }
    }
}

/// How a stream ended.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// With the last byte of its response.
    Complete,
    /// Before that.
    Broken,
}

impl Stream {
    pub fn new(socket: Socket) -> Arc<Self> {
        Arc::new(Self { socket, state: Mutex::default() })
    }

    pub fn stop(&self, at: EndAt, how: Stop) {
        self.lock().ending = Some((at, how));
    }

    pub fn drip(&self, drip: Drip) {
        self.lock().drip = Some(drip);
    }

    pub fn was_cut(&self) -> bool {
        self.lock().cut || self.socket.was_cut()
    }

    /// Keeps `guard` until the response is written to its end.
    pub fn complete_once_written(&self, guard: AnswerGuard) {
        let mut state = self.lock();
        match state.end {
            None => state.unwritten.push(guard),
            Some(end) => {
                drop(state);
                settle(vec![guard], end);
            }
        }
    }

    /// Ends the stream before anything of its response is sent, if that was ordered.
    pub async fn before_head(&self) -> Result<(), Error> {
        let ordered = self.lock().ending;
        match ordered {
            Some((EndAt::AfterBytes(0), Stop::Reset(reason))) => Err(self.cut(reason)),
            Some((EndAt::AfterBytes(0), Stop::Hang)) => pending().await,
            _ => Ok(()),
        }
    }

    /// Notes that an order ends the stream, and returns the error that makes hyper reset it.
    pub fn cut(&self, reason: Reason) -> Error {
        self.lock().cut = true;
        reason.into()
    }

    pub fn ending(&self) -> Option<(EndAt, Stop)> {
        self.lock().ending
    }

    /// Returns how many of `wanted` body bytes may be sent now.
    pub fn grant(&self, cx: &mut Context<'_>, wanted: usize) -> Poll<usize> {
        match &mut self.lock().drip {
            Some(drip) => drip.grant(cx).map(|granted| granted.min(wanted)),
            None => Poll::Ready(wanted),
        }
    }

    pub fn spend(&self, sent: usize) {
        if let Some(drip) = &mut self.lock().drip {
            drip.spend(sent);
        }
    }

    /// Waits until the response's header block and `bytes` bytes of its body are written: a reset would overtake them.
    pub fn poll_written(&self, cx: &mut Context<'_>, bytes: usize) -> Poll<()> {
        let mut state = self.lock();
        if state.end.is_some() || (state.head_written && state.body_written >= bytes) {
            return Poll::Ready(());
        }
        state.waiting = Some(cx.waker().clone());
        Poll::Pending
    }

    pub(super) fn wrote_head(&self) {
        self.lock().head_written = true;
        self.wake();
    }

    pub(super) fn wrote_body(&self, bytes: usize) {
        self.lock().body_written += bytes;
        self.wake();
    }

    pub(super) fn end(&self, end: End) {
        let mut state = self.lock();
        let end = *state.end.get_or_insert(end);
        let guards = std::mem::take(&mut state.unwritten);
        drop(state);
        settle(guards, end);
        self.wake();
    }

    fn wake(&self) {
        let waiting = self.lock().waiting.take();
        if let Some(waker) = waiting {
            waker.wake();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Lets guards report how their answer ended. They ask their stream, so its lock must be free by now.
fn settle(guards: Vec<AnswerGuard>, end: End) {
    match end {
        End::Complete => guards.into_iter().for_each(AnswerGuard::complete),
        End::Broken => drop(guards),
    }
}
