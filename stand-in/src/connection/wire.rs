//! The socket as hyper sees it: every read and write asks the orders that [`ConnectionControl`] left.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::channel::Channel;
use super::control::{ConnectionControl, State, lock};
use super::guard::AnswerGuard;
use super::socket::Socket;

/// A socket that obeys its [`ConnectionControl`].
pub(super) struct Wire {
    state: Arc<Mutex<State>>,
}

/// The orders for one connection, which start anew with each response.
#[derive(Clone)]
pub(super) struct Orders(Arc<Mutex<State>>);

impl Orders {
    /// Forgets what was ordered for the response before, and returns the control of the next.
    pub(super) fn begin_response(&self) -> ConnectionControl {
        lock(&self.0).begin_response();
        ConnectionControl::of_connection(Arc::clone(&self.0))
    }
}

/// Wraps `channel` and returns it with the orders that it obeys.
pub(super) fn wrap(channel: Channel, socket: Socket) -> (Wire, Orders) {
    let state = Arc::new(Mutex::new(State::of(channel, socket)));
    (Wire { state: Arc::clone(&state) }, Orders(state))
}

impl AsyncRead for Wire {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        lock(&self.state).channel()?.poll_read(cx, buf)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let mut state = lock(&self.state);
        let granted = ready!(state.grant(cx, buf.len()))?;
        let written = ready!(state.channel()?.poll_write(cx, &buf[..granted]))?;
        state.spend(written);
        Poll::Ready(Ok(written))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        {
            let mut state = lock(&self.state);
            if !state.limits_writes() {
                return state.channel()?.poll_write_vectored(cx, bufs);
            }
        }
        let first = bufs.iter().find(|buf| !buf.is_empty()).map_or(&[][..], |buf| buf);
        self.poll_write(cx, first)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = lock(&self.state);
        ready!(state.flush(cx))?;
        let finished = state.take_unflushed();
        drop(state);
        finished.into_iter().for_each(AnswerGuard::complete);
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match lock(&self.state).channel() {
            Ok(channel) => channel.poll_shutdown(cx),
            Err(_) => Poll::Ready(Ok(())),
        }
    }
}

impl Drop for Wire {
    /// Closes the socket even while clones of the control live on, and drops the guards of unsent answers, which report their
    /// end (they ask the control, so the lock must be free by then).
    fn drop(&mut self) {
        let mut state = lock(&self.state);
        state.hang_up();
        let unsent = state.take_unflushed();
        drop(state);
        drop(unsent);
    }
}
