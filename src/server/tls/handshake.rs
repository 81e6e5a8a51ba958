//! Bounds what a peer sends in its TLS handshake: the library keeps it until it is whole, up to 64 KiB for each connection.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::server::spoken::FIRST;
use crate::share::{Charge, Shares};

/// Most bytes of a handshake: a greeting has some 2 KiB, and a client's certificates some more.
const MOST: usize = 24 << 10;
/// Bytes that are not charged: the greeting of an ordinary client.
const FREE: usize = 4 << 10;

/// A socket whose peer is still shaking hands, or has done so.
pub struct Handshake<T> {
    socket: T,
    /// None once it is over.
    under_way: Option<UnderWay>,
    /// The first bytes, to tell what a peer speaks that does not speak TLS.
    first: Vec<u8>,
}

struct UnderWay {
    shares: Shares,
    came: usize,
    /// Charged to the strangers: nobody knows yet who it is.
    charge: Option<Charge>,
}

impl<T> Handshake<T> {
    /// Begins to count what comes.
    pub fn begin(socket: T, shares: &Shares) -> Self {
        let under_way = UnderWay { shares: shares.clone(), came: 0, charge: None };
        Self { socket, under_way: Some(under_way), first: Vec::with_capacity(FIRST) }
    }

    /// Returns the first bytes that came.
    pub fn first(&self) -> &[u8] {
        &self.first
    }

    /// Notes that the handshake is over.
    pub fn end(&mut self) {
        (self.under_way, self.first) = (None, Vec::new());
    }
}

impl UnderWay {
    /// Returns how many bytes may come now.
    fn room(&self) -> io::Result<usize> {
        match MOST - self.came {
            0 => Err(io::Error::new(io::ErrorKind::InvalidData, "a handshake without end")),
            room => Ok(room),
        }
    }

    fn took(&mut self, bytes: usize) -> io::Result<()> {
        self.came += bytes;
        if self.came <= FREE {
            return Ok(());
        }
        let charge = self.charge.get_or_insert_with(|| Charge::none(&self.shares.strangers()));
        charge.set(self.came).map_err(|_| io::Error::other("the handshakes under way take too much memory"))
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Handshake<T> {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, to: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let Some(under_way) = &mut this.under_way else { return Pin::new(&mut this.socket).poll_read(context, to) };
        let mut part = ReadBuf::new(to.initialize_unfilled_to(under_way.room()?.min(to.remaining())));
        ready!(Pin::new(&mut this.socket).poll_read(context, &mut part))?;
        let (bytes, missing) = (part.filled().len(), FIRST - this.first.len());
        this.first.extend_from_slice(&part.filled()[..bytes.min(missing)]);
        to.advance(bytes);
        Poll::Ready(under_way.took(bytes))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Handshake<T> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().socket).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().socket).poll_write_vectored(context, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt as _;

    use super::*;
    use crate::config;

    #[tokio::test]
    async fn a_handshake_is_charged_as_it_comes_and_has_an_end() {
        let shares = Shares::new(&config::Callers::default(), 1 << 20);
        let mut socket = Handshake::begin(tokio::io::repeat(7), &shares);
        let mut bytes = vec![0; FREE];
        socket.read_exact(&mut bytes).await.expect("an ordinary greeting");
        assert_eq!(shares.bytes(), 0);
        bytes.resize(MOST - FREE, 0);
        socket.read_exact(&mut bytes).await.expect("a long one");
        assert_eq!(shares.bytes(), MOST);
        socket.read(&mut bytes).await.expect_err("it does not end");
        socket.end();
        assert_eq!(shares.bytes(), 0);
        bytes.resize(MOST * 2, 0);
        socket.read_exact(&mut bytes).await.expect("what follows the handshake is counted elsewhere");
        assert_eq!(shares.bytes(), 0);
    }

    #[tokio::test]
    async fn handshakes_of_strangers_together_take_a_callers_share_at_most() {
        let shares = Shares::new(&config::Callers::default(), 1 << 20);
        let mut held = Vec::new();
        let refused = loop {
            let mut socket = Handshake::begin(tokio::io::repeat(7), &shares);
            match socket.read_exact(&mut vec![0; MOST]).await {
                Ok(_) => held.push(socket),
                Err(refused) => break refused,
            }
        };
        assert_eq!(refused.kind(), io::ErrorKind::Other);
        assert_eq!(held.len(), (1 << 19) / MOST);
        let mut ordinary = Handshake::begin(tokio::io::repeat(7), &shares);
        ordinary.read_exact(&mut vec![0; FREE]).await.expect("an ordinary greeting");
    }
}
