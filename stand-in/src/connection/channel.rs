//! The layers between a socket and HTTP: distance and encryption, each there or not.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::server::TlsStream;

use super::distance::Far;
use super::socket::Socket;

/// A socket, near or far.
pub(super) enum Link {
    Near(Socket),
    Far(Far),
}

/// What HTTP is spoken on.
pub(super) enum Channel {
    Plain(Link),
    Encrypted(Box<TlsStream<Link>>),
}

impl Link {
    pub(super) fn socket(&self) -> &Socket {
        match self {
            Self::Near(socket) => socket,
            Self::Far(far) => &far.socket,
        }
    }
}

impl Channel {
    fn link(&mut self) -> &mut Link {
        match self {
            Self::Plain(link) => link,
            Self::Encrypted(stream) => stream.get_mut().0,
        }
    }

    /// Resets the connection behind everything that was written.
    pub(super) fn reset(&mut self) {
        match self.link() {
            Link::Near(socket) => socket.reset(),
            Link::Far(far) => far.reset(),
        }
    }
}

/// Both enums only forward to their variant.
macro_rules! asks_its_variant {
    ($kind:ident: $($variant:ident),*) => {
        impl AsyncRead for $kind {
            fn poll_read(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buf: &mut ReadBuf<'_>,
            ) -> Poll<io::Result<()>> {
                match self.get_mut() { $(Self::$variant(inner) => Pin::new(inner).poll_read(cx, buf)),* }
            }
        }

        impl AsyncWrite for $kind {
            fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
                match self.get_mut() { $(Self::$variant(inner) => Pin::new(inner).poll_write(cx, buf)),* }
            }

            fn poll_write_vectored(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                bufs: &[IoSlice<'_>],
            ) -> Poll<io::Result<usize>> {
                match self.get_mut() { $(Self::$variant(inner) => Pin::new(inner).poll_write_vectored(cx, bufs)),* }
            }

            fn is_write_vectored(&self) -> bool {
                match self { $(Self::$variant(inner) => inner.is_write_vectored()),* }
            }

            fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                match self.get_mut() { $(Self::$variant(inner) => Pin::new(inner).poll_flush(cx)),* }
            }

            fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                match self.get_mut() { $(Self::$variant(inner) => Pin::new(inner).poll_shutdown(cx)),* }
            }
        }
    };
}

asks_its_variant!(Link: Near, Far);
asks_its_variant!(Channel: Plain, Encrypted);
