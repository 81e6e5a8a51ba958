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
    /// A compressed message that nobody pays for, as far as it has come, and its length.
    Gathered(BytesMut, usize),
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

impl Pieces {
    fn new(limit: usize) -> Self {
        Self { limit, length: 0, unpacked: VecDeque::new() }
    }
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
                    Some(piece) => {
                        // From here on `intake` charges its bytes, like those of any message.
                        self.payer.iter().for_each(|payer| payer.release_some(piece.len()));
                        return Poll::Ready(Ok(Some(piece)));
                    }
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
                Reading::Gathered(packed, length) => {
                    packed.put(self.input.split_to(self.input.len().min(*length - packed.len())));
                    if packed.len() == *length {
                        let mut unpacker = GzDecoder::new(Pieces::new(self.limit));
                        unpacker.write_all(packed).map_err(|error| failed(&error, self.limit))?;
                        self.reading = Reading::Packed(0, unpacker);
                    }
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
        let Some(payer) = &self.payer else {
            // Whoever sends it need not say who they are. So it takes no more than what has come of it until it is complete, and
            // the limit is so low that it can be unpacked in one go.
            return Ok(Reading::Gathered(BytesMut::new(), length));
        };
        payer.charge(UNPACKER)?;
        Ok(Reading::Packed(length, GzDecoder::new(Pieces::new(self.limit))))
    }

    /// Hands on the message whose last byte was read.
    fn unpacked(&mut self) -> Result<Reading, Status> {
        let Reading::Packed(_, unpacker) = mem::replace(&mut self.reading, Reading::Prefix) else {
            return Ok(Reading::Prefix);
        };
        let before = unpacker.get_ref().length;
        let Pieces { length, unpacked: mut pieces, .. } =
            unpacker.finish().map_err(|error| failed(&error, self.limit))?;
        // The last piece, which the unpacker held back.
        self.payer.as_ref().map_or(Ok(()), |payer| payer.charge(length - before))?;
        let length = u32::try_from(length).map_err(|_| Status::resource_exhausted("a message beyond 4 GiB"))?;
        self.payer.iter().for_each(|payer| payer.release_some(UNPACKER - PREFIX)); // the prefix is handed on, too
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
    if error.kind() == ErrorKind::WriteZero {
        return Status::internal("bytes follow the end of a compressed message");
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
mod tests;
