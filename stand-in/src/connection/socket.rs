//! The TCP socket of one connection, which can be reset or silenced while others read and write it.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

/// How a connection falls silent without ending.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mute {
    /// The host still acknowledges what arrives; the process behind it is stuck.
    Acknowledged,
    /// Nothing that arrives is acknowledged: the host, or the way to it, is gone. Only on Linux.
    Dropped,
}

/// A handle to a socket that several can hold.
#[derive(Clone)]
pub(super) struct Socket {
    state: Arc<Mutex<State>>,
    gone: CancellationToken,
}

struct State {
    /// Absent once the connection is reset, or its client has left it while it was mute.
    stream: Option<TcpStream>,
    mute: Option<Mute>,
    cut: bool,
}

impl Socket {
    pub(super) fn of(stream: TcpStream) -> Self {
        let state = State { stream: Some(stream), mute: None, cut: false };
        Self { state: Arc::new(Mutex::new(state)), gone: CancellationToken::new() }
    }

    /// Resets the connection now, so that what it serves ends too.
    pub(super) fn reset(&self) {
        let mut state = self.lock();
        if let Some(stream) = state.stream.take() {
            reset_on_close(&stream);
            state.cut = true;
        }
        drop(state);
        self.gone.cancel();
    }

    /// Silences the connection: nothing more is read from it or written to it.
    pub(super) fn mute(&self, kind: Mute) -> io::Result<()> {
        let mut state = self.lock();
        if let (Mute::Dropped, Some(stream)) = (kind, &state.stream) {
            drop_packets(stream)?;
        }
        state.mute = Some(kind);
        Ok(())
    }

    pub(super) fn is_mute(&self) -> bool {
        self.lock().mute.is_some()
    }

    /// Whether this side reset the connection.
    pub(super) fn was_cut(&self) -> bool {
        self.lock().cut
    }

    /// Resolves when the connection is reset, or its client has left while it was mute: reads and writes do not show that.
    pub(super) async fn gone(&self) {
        self.gone.cancelled().await;
    }

    /// Throws away what arrives, until the client has nothing more to send.
    pub(super) async fn exhausted(&self) {
        let (mut socket, mut scratch) = (self.clone(), [0; 4096]);
        while socket.read(&mut scratch).await.is_ok_and(|read| read > 0) {}
    }

    /// Closes the socket, even if handles to it live on.
    pub(super) fn close(&self) {
        self.lock().stream = None;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn stream(&mut self) -> io::Result<Pin<&mut TcpStream>> {
        self.stream.as_mut().map(Pin::new).ok_or_else(closed)
    }

    /// Throws away what arrives, and returns once the client has left.
    fn discard(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut scratch = [0; 4096];
        while let Ok(stream) = self.stream() {
            let mut thrown = ReadBuf::new(&mut scratch);
            if ready!(stream.poll_read(cx, &mut thrown)).is_err() || thrown.filled().is_empty() {
                self.stream = None;
            }
        }
        Poll::Ready(())
    }
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut state = self.lock();
        match state.mute {
            None => state.stream()?.poll_read(cx, buf),
            // The filter drops every packet, so there is nothing to wait for.
            Some(Mute::Dropped) => Poll::Pending,
            Some(Mute::Acknowledged) => {
                ready!(state.discard(cx));
                drop(state);
                self.gone.cancel();
                Poll::Pending
            }
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let mut state = self.lock();
        if state.mute.is_some() { Poll::Pending } else { state.stream()?.poll_write(cx, buf) }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut state = self.lock();
        if state.mute.is_some() { Poll::Pending } else { state.stream()?.poll_write_vectored(cx, bufs) }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = self.lock();
        if state.mute.is_some() { Poll::Pending } else { state.stream()?.poll_flush(cx) }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = self.lock();
        if state.mute.is_some() { Poll::Pending } else { state.stream()?.poll_shutdown(cx) }
    }
}

/// Makes closing `stream` a reset instead of the usual farewell.
pub(super) fn reset_on_close(stream: &TcpStream) {
    if let Err(error) = stream.set_zero_linger() {
        tracing::debug!(%error, "cannot reset the connection, it will just close");
    }
}

/// Has the kernel drop every packet for `stream` before TCP sees it.
#[cfg(target_os = "linux")]
fn drop_packets(stream: &TcpStream) -> io::Result<()> {
    /// `BPF_RET | BPF_K`: return the constant, which is how many bytes of the packet are kept.
    const RETURN: u16 = 0x06;
    socket2::SockRef::from(stream).attach_filter(&[socket2::SockFilter::new(RETURN, 0, 0, 0)])
}

#[cfg(not(target_os = "linux"))]
fn drop_packets(_: &TcpStream) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

fn closed() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionAborted, "closed by a fault")
}
