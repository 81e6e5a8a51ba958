//! Drops the window updates of calls that came too late. A client that opens streams until it has seen the last GOAWAY may send
//! frames on them, which are to be ignored (RFC 9113, section 6.8). h2 0.4 ignores all but `WINDOW_UPDATE`: for that it ends the
//! connection, with all calls under way. gRPC's C core sends one with each call.
//!
//! To measure without it: let [`Late::new`] take `u32::MAX` for the newest stream.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, BytesMut};
use tokio::io::{AsyncRead, ReadBuf};

use super::frames::{HEADER, WINDOW_UPDATE, stream_of};

/// Most bytes that are read at a time.
const PIECE: usize = 4 << 10;

/// Reads for a connection that takes no more streams.
pub struct Late {
    /// The newest stream that it has taken.
    newest: u32,
    /// What goes on to h2.
    out: BytesMut,
    /// The header of the present frame, as far as it has come.
    header: BytesMut,
    /// Bytes of its payload that are still to come, and whether they are dropped.
    left: usize,
    drops: bool,
}

impl Late {
    /// Reads on from the end of a frame, after which these bytes have come.
    pub fn new(newest: u32, came: &[u8]) -> Self {
        let mut late = Self { newest, out: BytesMut::new(), header: BytesMut::new(), left: 0, drops: false };
        late.take(came);
        late
    }

    fn take(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.left == 0 {
                let more = bytes.len().min(HEADER - self.header.len());
                self.header.extend_from_slice(&bytes[..more]);
                bytes.advance(more);
                let Some(header) = self.header.first_chunk::<HEADER>() else { return };
                let [high, middle, low, kind, ..] = *header;
                self.left = u32::from_be_bytes([0, high, middle, low]) as usize;
                self.drops = kind == WINDOW_UPDATE && stream_of(header) > self.newest;
                if !self.drops {
                    self.out.extend_from_slice(header);
                }
                self.header.clear();
            }
            let more = bytes.len().min(self.left);
            if !self.drops {
                self.out.extend_from_slice(&bytes[..more]);
            }
            bytes.advance(more);
            self.left -= more;
        }
    }

    /// Reads as the socket would.
    pub fn poll_read<T: AsyncRead + Unpin>(
        &mut self,
        inner: &mut T,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.out.is_empty() {
            let mut piece = [0; PIECE];
            let mut piece = ReadBuf::new(&mut piece);
            ready!(Pin::new(inner).poll_read(context, &mut piece))?;
            self.take(piece.filled());
            if self.out.is_empty() && !piece.filled().is_empty() {
                // All of it was dropped: others have their turn before the next.
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
        }
        let ready = self.out.split_to(self.out.len().min(buffer.remaining()));
        buffer.put_slice(&ready);
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use tokio::io::AsyncReadExt as _;

    use super::*;

    /// What comes in pieces.
    struct Pieces(VecDeque<Vec<u8>>);

    impl AsyncRead for Pieces {
        fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
            buffer.put_slice(&self.0.pop_front().unwrap_or_default());
            Poll::Ready(Ok(()))
        }
    }

    struct Filtered(Late, Pieces);

    impl AsyncRead for Filtered {
        fn poll_read(
            mut self: Pin<&mut Self>,
            context: &mut Context<'_>,
            buffer: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            let Self(late, inner) = &mut *self;
            late.poll_read(inner, context, buffer)
        }
    }

    #[tokio::test]
    async fn only_window_updates_of_late_streams_are_dropped_however_the_bytes_come() {
        let frame = |kind: u8, stream: u8, payload: &[u8]| {
            let [.., length] = payload.len().to_be_bytes();
            [&[0, 0, length, kind, 0, 0, 0, 0, stream], payload].concat()
        };
        let kept = [
            frame(WINDOW_UPDATE, 0, &[7; 4]),
            frame(WINDOW_UPDATE, 3, &[7; 4]),
            frame(1, 7, b"late"),
            frame(4, 0, b""),
        ];
        let dropped = [frame(WINDOW_UPDATE, 5, &[7; 4]), frame(WINDOW_UPDATE, 7, &[7; 4])];
        let all = [&kept[0], &dropped[0], &kept[1], &kept[2], &dropped[1], &kept[3]].map(Vec::as_slice).concat();
        for piece in 1..=all.len() {
            for begun in [0, 1, all.len() / 2] {
                let pieces = all[begun..].chunks(piece).map(Vec::from).collect();
                let mut filtered = Filtered(Late::new(3, &all[..begun]), Pieces(pieces));
                let mut read = Vec::new();
                filtered.read_to_end(&mut read).await.expect("it ends");
                assert_eq!(read, kept.concat(), "pieces of {piece} after {begun}");
            }
        }
    }
}
