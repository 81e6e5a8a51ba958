//! Unpacks compressed requests as their bytes come, in turns.
//!
//! tonic would collect the whole message and then unpack it in one go. That takes milliseconds for a few kilobytes that unpack
//! to thousands of times as much. Here a message is refused at the first byte beyond the limit, and until then its unpacking
//! does not hold up other calls.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Write};
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use flate2::write::GzDecoder;
use http::Request;
use http::header::HeaderValue;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tonic::Status;
use tonic::codegen::StdError;

use super::intake::Payer;
use crate::error::Error;
use crate::turns::Turns;

/// Bytes that the state of unpacking one message takes.
const UNPACKER: usize = 48 << 10;
/// Bytes of a message's prefix: whether it is compressed, and its length.
const PREFIX: usize = 5;

/// Returns the request with gzip messages unpacked, so that tonic reads them as uncompressed. Each may have `limit` bytes,
/// packed and unpacked.
pub fn request<B>(mut request: Request<B>, limit: usize) -> Request<Unpacked<B>> {
    const ENCODING: &str = "grpc-encoding";
    let gzip = request.headers().get(ENCODING).is_some_and(|encoding| encoding == HeaderValue::from_static("gzip"));
    if !gzip {
        return request.map(|body| Unpacked::Plain { body });
    }
    request.headers_mut().remove(ENCODING);
    let payer = Payer::of(&request);
    request.map(|body| Unpacked::Packed { body, messages: Box::new(Messages::new(limit, payer)) })
}

pin_project! {
    /// The body of a request.
    #[project = Projected]
    #[allow(missing_docs, reason = "the macro takes no comments on fields")]
    pub enum Unpacked<B> {
        /// As it is.
        Plain {
            #[pin]
            body: B,
        },
        /// With messages to unpack.
        Packed {
            #[pin]
            body: B,
            messages: Box<Messages>,
        },
    }
}

/// The state of reading a body's messages.
pub struct Messages {
    limit: usize,
    payer: Option<Payer>,
    input: Bytes,
    prefix: BytesMut,
    reading: Reading,
    turns: Turns,
}

#[expect(clippy::large_enum_variant, reason = "a request has one, in a box")]
enum Reading {
    Prefix,
    /// A message that is not compressed, with this many bytes to come.
    Plain(usize),
    /// A compressed message, with this many compressed bytes to come.
    Packed(usize, GzDecoder<Pieces>),
    /// An unpacked message, with the pieces that are still to be handed on.
    Unpacked(VecDeque<Bytes>),
}

/// The unpacked part of a message. It is kept in pieces, because one buffer would be copied whenever it grows.
struct Pieces {
    limit: usize,
    length: usize,
    unpacked: VecDeque<Bytes>,
}

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.length += bytes.len();
        if self.length > self.limit {
            return Err(ErrorKind::FileTooLarge.into());
        }
        self.unpacked.push_back(Bytes::copy_from_slice(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Messages {
    fn new(limit: usize, payer: Option<Payer>) -> Self {
        let (input, prefix) = (Bytes::new(), BytesMut::with_capacity(PREFIX));
        Self { limit, payer, input, prefix, reading: Reading::Prefix, turns: Turns::new() }
    }

    /// Completes with the next bytes for tonic, or with none if more input must come first.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<Bytes>, Status>> {
        loop {
            match &mut self.reading {
                Reading::Plain(0) => self.reading = Reading::Prefix,
                Reading::Packed(0, _) => self.reading = self.unpacked()?,
                Reading::Unpacked(pieces) => match pieces.pop_front() {
                    Some(piece) => return Poll::Ready(Ok(Some(piece))),
                    None => self.reading = Reading::Prefix,
                },
                _ if self.input.is_empty() => return Poll::Ready(Ok(None)),
                Reading::Prefix => {
                    let missing = PREFIX - self.prefix.len();
                    self.prefix.put(self.input.split_to(missing.min(self.input.len())));
                    if self.prefix.len() == PREFIX {
                        self.reading = self.begun()?;
                    }
                }
                Reading::Plain(left) => {
                    let piece = self.input.split_to(self.input.len().min(*left));
                    *left -= piece.len();
                    return Poll::Ready(Ok(Some(piece)));
                }
                Reading::Packed(left, unpacker) => {
                    let portion = ready!(self.turns.poll(context)).min(*left).min(self.input.len());
                    let before = unpacker.get_ref().length;
                    let did = unpacker.write(&self.input[..portion]).map_err(|error| failed(&error, self.limit))?;
                    if did == 0 {
                        return Poll::Ready(Err(Status::internal("bytes follow the end of a compressed message")));
                    }
                    let more = unpacker.get_ref().length - before;
                    self.payer.as_ref().map_or(Ok(()), |payer| payer.charge(more))?;
                    self.turns.did(did);
                    self.input.advance(did);
                    *left -= did;
                }
            }
        }
    }

    /// Begins the message whose prefix was read.
    fn begun(&mut self) -> Result<Reading, Status> {
        let prefix = self.prefix.split().freeze();
        let length = u32::from_be_bytes(prefix[1..].try_into().expect("four bytes")) as usize;
        if prefix[0] != 1 {
            self.input = [prefix, mem::take(&mut self.input)].concat().into();
            return Ok(Reading::Plain(PREFIX + length));
        }
        if length > self.limit {
            let limit = self.limit;
            return Err(Error::RequestTooLarge { bytes: length, limit }.into());
        }
        self.payer.as_ref().map_or(Ok(()), |payer| payer.charge(UNPACKER))?;
        let pieces = Pieces { limit: self.limit, length: 0, unpacked: VecDeque::new() };
        Ok(Reading::Packed(length, GzDecoder::new(pieces)))
    }

    /// Hands on the message whose last byte was read.
    fn unpacked(&mut self) -> Result<Reading, Status> {
        let Reading::Packed(_, unpacker) = mem::replace(&mut self.reading, Reading::Prefix) else {
            return Ok(Reading::Prefix);
        };
        let Pieces { length, unpacked: mut pieces, .. } =
            unpacker.finish().map_err(|error| failed(&error, self.limit))?;
        let length = u32::try_from(length).map_err(|_| Status::resource_exhausted("a message beyond 4 GiB"))?;
        // From here on the bytes are charged as those of any message.
        self.payer.iter().for_each(Payer::release);
        let mut prefix = BytesMut::with_capacity(PREFIX);
        prefix.put_u8(0);
        prefix.put_u32(length);
        pieces.push_front(prefix.freeze());
        Ok(Reading::Unpacked(pieces))
    }

    /// True if no message is incomplete: the body may end here.
    fn is_between(&self) -> bool {
        matches!(self.reading, Reading::Prefix | Reading::Plain(0)) && self.prefix.is_empty()
    }
}

fn failed(error: &io::Error, limit: usize) -> Status {
    if error.kind() == ErrorKind::FileTooLarge {
        return Error::RequestTooLarge { bytes: limit + 1, limit }.into();
    }
    Status::internal(format!("a message is not what gzip makes: {error}"))
}

impl<B> Body for Unpacked<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<StdError>,
{
    type Data = Bytes;
    type Error = StdError;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, StdError>>> {
        let (mut body, messages) = match self.project() {
            Projected::Plain { body } => return body.poll_frame(context).map_err(Into::into),
            Projected::Packed { body, messages } => (body, messages),
        };
        loop {
            match ready!(messages.poll(context)) {
                Ok(Some(bytes)) => {
                    messages.turns.pause();
                    return Poll::Ready(Some(Ok(Frame::data(bytes))));
                }
                Ok(None) => messages.turns.pause(),
                Err(status) => return Poll::Ready(Some(Err(status.into()))),
            }
            match ready!(body.as_mut().poll_frame(context)).transpose().map_err(Into::into)?.map(Frame::into_data) {
                Some(Ok(data)) => messages.input = data,
                Some(Err(other)) => return Poll::Ready(Some(Ok(other))),
                None if messages.is_between() => return Poll::Ready(None),
                None => return Poll::Ready(Some(Err(Status::internal("the request ends within a message").into()))),
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Plain { body } => body.is_end_stream(),
            Self::Packed { .. } => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Plain { body } => body.size_hint(),
            Self::Packed { .. } => SizeHint::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use flate2::Compression;
    use flate2::write::GzEncoder;
    use http_body_util::{BodyExt as _, StreamBody};
    use proptest::collection::vec;
    use proptest::prelude::*;
    use tonic::Code;

    use super::*;

    const LIMIT: usize = 1 << 20;

    fn prefixed(compressed: u8, message: &[u8]) -> Vec<u8> {
        let length = u32::try_from(message.len()).expect("short").to_be_bytes();
        [&[compressed][..], &length, message].concat()
    }

    fn gzip(message: &[u8]) -> Vec<u8> {
        let mut packer = GzEncoder::new(Vec::new(), Compression::default());
        packer.write_all(message).expect("memory");
        packer.finish().expect("memory")
    }

    /// Reads a compressed request that comes in pieces of `piece` bytes; also returns how many bytes were read.
    async fn read(body: Vec<u8>, piece: usize) -> (Result<Bytes, Status>, usize) {
        let read = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&read);
        let pieces: Vec<Bytes> = body.chunks(piece).map(Bytes::copy_from_slice).collect();
        let pieces = pieces.into_iter().map(move |piece| {
            count.fetch_add(piece.len(), Ordering::Relaxed);
            Ok::<_, Status>(Frame::data(piece))
        });
        let body = StreamBody::new(futures_util::stream::iter(pieces));
        let request = Request::post("/").header("grpc-encoding", "gzip").body(body).expect("a request");
        let request = super::request(request, LIMIT);
        assert!(request.headers().is_empty(), "nobody unpacks it twice");
        let all = request.into_body().collect().await;
        let all = all.map(http_body_util::Collected::to_bytes).map_err(Status::from_error);
        (all, read.load(Ordering::Relaxed))
    }

    fn block_on<F: Future>(future: F) -> F::Output {
        tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a thread").block_on(future)
    }

    proptest! {
        #[test]
        fn messages_are_the_same_however_they_were_sent(
            messages in vec((vec(any::<u8>(), 0..2_000), any::<bool>()), 0..4),
            piece in 1..600_usize,
        ) {
            let sent = messages.iter().map(|(message, packed)| {
                if *packed { prefixed(1, &gzip(message)) } else { prefixed(0, message) }
            });
            let plain = messages.iter().map(|(message, _)| prefixed(0, message));
            let (read, _) = block_on(read(sent.collect::<Vec<_>>().concat(), piece));
            prop_assert_eq!(read.expect("all right"), plain.collect::<Vec<_>>().concat());
        }

        #[test]
        fn nothing_that_anybody_sends_makes_it_fall_over(bytes in vec(any::<u8>(), 0..300), piece in 1..300_usize) {
            let _ = block_on(read(prefixed(1, &bytes), piece));
            let _ = block_on(read(bytes, piece));
        }
    }

    #[tokio::test]
    async fn a_message_may_have_as_many_bytes_as_the_limit_says_and_not_one_more() {
        for (length, fits) in [(LIMIT, true), (LIMIT + 1, false)] {
            let (read, _) = read(prefixed(1, &gzip(&vec![1; length])), 100).await;
            match read {
                Ok(read) => assert!(fits && read.len() == PREFIX + length),
                Err(status) => assert!(!fits && status.code() == Code::ResourceExhausted, "{status:?}"),
            }
        }
        let (read, _) = read(prefixed(1, &vec![0; LIMIT + 1]), 1 << 10).await;
        assert_eq!(read.expect_err("it is too long").code(), Code::ResourceExhausted);
    }

    #[tokio::test]
    async fn what_unpacks_to_too_much_is_not_read_to_its_end() {
        let bomb = prefixed(1, &gzip(&vec![0; 64 << 20]));
        assert!(bomb.len() > 60_000);
        let (refused, read) = read(bomb, 500).await;
        assert_eq!(refused.expect_err("it is too large").code(), Code::ResourceExhausted);
        assert!(read < 4_000, "{read} bytes were read");
    }

    #[tokio::test]
    async fn what_is_broken_is_refused() {
        let packed = gzip(b"a message");
        let mut wrong_sum = packed.clone();
        let sum = packed.len() - 8;
        wrong_sum[sum] ^= 1;
        let rows = [
            prefixed(1, b"not gzip at all"),
            prefixed(1, &wrong_sum),
            prefixed(1, &[&packed[..], b"more"].concat()),
            prefixed(1, &packed[..packed.len() - 3]),
            prefixed(1, &packed)[..20].to_vec(),
            vec![1, 0],
        ];
        for row in rows {
            let (refused, _) = read(row.clone(), 7).await;
            assert_eq!(refused.expect_err("it is broken").code(), Code::Internal, "{row:?}");
        }
    }

    #[tokio::test]
    async fn others_work_while_much_is_unpacked() {
        let packed = prefixed(1, &gzip(&vec![5; LIMIT]));
        let mut many = tokio::task::JoinSet::new();
        for _ in 0..20 {
            let packed = packed.clone();
            many.spawn(async move { read(packed, 1 << 20).await.0.expect("it fits").len() });
        }
        let mut turns = 0;
        while many.try_join_next().is_none() {
            turns += 1;
            tokio::task::yield_now().await;
        }
        assert!(turns > 10, "{turns} turns");
        assert!(many.join_all().await.into_iter().all(|length| length == PREFIX + LIMIT));
    }
}
