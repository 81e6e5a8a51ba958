//! Checks a request's messages by their prefixes, as the bytes come: how many there are, and how long each says it is.
//!
//! tonic reads past further messages of a unary call, and answers one beyond the limit with `OUT_OF_RANGE`. What the protocol wants
//! is UNIMPLEMENTED for a number of messages that the method does not take, and `RESOURCE_EXHAUSTED` for one that is too large.
//! <https://github.com/grpc/grpc/blob/master/doc/statuscodes.md>

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::Request;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tonic::Status;
use tonic::codegen::StdError;

use crate::error::Error;

/// Bytes of a message's prefix: whether it is compressed, and its length.
const PREFIX: usize = 5;

/// Returns the request with its messages checked: each may say that it has `limit` bytes, compressed or not. If `single`, there
/// must be exactly one.
pub fn request<B>(request: Request<B>, limit: usize, single: bool) -> Request<Framed<B>> {
    request.map(|body| self::body(body, limit, single))
}

/// Returns a body with its messages checked.
pub fn body<B>(body: B, limit: usize, single: bool) -> Framed<B> {
    Framed { body, prefixes: Prefixes { limit, single, begun: 0, prefix: [0; PREFIX], read: 0, left: 0 } }
}

/// Returns why a request's body could not be read. What nobody here has said comes of a peer that has left, or whose connection is
/// gone: it is no mistake of the gateway, for which tonic would take it.
pub fn unread(error: StdError) -> Status {
    error.downcast::<Status>().map_or_else(|_| Error::MessageMissing { crowded: false }.into(), |status| *status)
}

pin_project! {
    /// The body of a request.
    pub struct Framed<B> {
        #[pin]
        body: B,
        prefixes: Prefixes,
    }
}

/// The prefixes read so far.
struct Prefixes {
    limit: usize,
    single: bool,
    /// How many messages have begun.
    begun: usize,
    /// The prefix that is being read, and how much of it was.
    prefix: [u8; PREFIX],
    read: usize,
    /// Bytes that are still to come of the message under way.
    left: usize,
}

impl Prefixes {
    /// Follows the next bytes.
    fn follow(&mut self, mut bytes: &[u8]) -> Result<(), Status> {
        while !bytes.is_empty() {
            let within = self.left.min(bytes.len());
            self.left -= within;
            bytes = &bytes[within..];
            let Some(byte) = bytes.first() else { break };
            if self.read == 0 {
                self.begun += 1;
                if self.single && self.begun > 1 {
                    return Err(Status::unimplemented("more than one request message: the method takes exactly one"));
                }
            }
            self.prefix[self.read] = *byte;
            self.read += 1;
            bytes = &bytes[1..];
            if self.read == PREFIX {
                let [_, length @ ..] = self.prefix;
                (self.read, self.left) = (0, u32::from_be_bytes(length) as usize);
                if self.left > self.limit {
                    let (length, limit) = (self.left, self.limit);
                    return Err(Error::RequestTooLarge { bytes: length, limit }.into());
                }
            }
        }
        Ok(())
    }
}

impl<B> Body for Framed<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<StdError>,
{
    type Data = Bytes;
    type Error = StdError;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, StdError>>> {
        let this = self.project();
        let next = ready!(this.body.poll_frame(context)).transpose().map_err(|error| unread(error.into()))?;
        let checked = match &next {
            Some(frame) => frame.data_ref().map_or(Ok(()), |data| this.prefixes.follow(data)),
            None if this.prefixes.single && this.prefixes.begun == 0 => {
                this.prefixes.single = false; // said once
                Err(Status::unimplemented("no request message: the method takes exactly one"))
            }
            None => Ok(()),
        };
        Poll::Ready(checked.map(|()| next).map_err(Into::into).transpose())
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream() && self.prefixes.begun > 0
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::{BodyExt as _, StreamBody};
    use tonic::Code;

    use super::*;

    const LIMIT: usize = 300;

    fn message(compressed: u8, length: usize) -> Vec<u8> {
        let prefix = u32::try_from(length).expect("short").to_be_bytes();
        [&[compressed][..], &prefix, &vec![7; length]].concat()
    }

    #[tokio::test]
    async fn a_peer_that_leaves_within_its_message_has_not_sent_it() {
        let gone = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
        let frames = [Ok(Frame::data(Bytes::from_static(&[0, 0, 0]))), Err(gone)];
        let body = StreamBody::new(futures_util::stream::iter(frames));
        let error = request(Request::new(body), LIMIT, true).into_body().collect().await.expect_err("it broke off");
        assert_eq!(unread(error).code(), Code::DeadlineExceeded, "and no UNKNOWN, which would be a defect");
        assert_eq!(unread(Status::not_found("said here").into()).code(), Code::NotFound);
    }

    /// Reads a request whose bytes come in pieces.
    async fn code(bytes: &[u8], piece: usize, single: bool) -> Code {
        let pieces: Vec<_> =
            bytes.chunks(piece).map(|piece| Ok::<_, Status>(Frame::data(Bytes::copy_from_slice(piece)))).collect();
        let body = StreamBody::new(futures_util::stream::iter(pieces));
        let request = request(Request::new(body), LIMIT, single);
        match request.into_body().collect().await {
            Ok(read) => {
                assert_eq!(read.to_bytes(), bytes, "nothing is changed");
                Code::Ok
            }
            Err(error) => Status::from_error(error).code(),
        }
    }

    #[tokio::test]
    async fn messages_are_counted_and_measured_however_their_bytes_come() {
        let (largest, two) = (message(1, LIMIT), [message(0, 10), message(0, 0)].concat());
        for piece in [1, 2, 4, 5, 6, 7, 299, 1_000] {
            for (bytes, single, wanted) in [
                (&largest, true, Code::Ok),
                (&message(0, 0), true, Code::Ok),
                (&two, false, Code::Ok),
                (&two, true, Code::Unimplemented),
                (&[message(0, 10), vec![0]].concat(), true, Code::Unimplemented),
                (&Vec::new(), true, Code::Unimplemented),
                (&Vec::new(), false, Code::Ok),
                (&message(0, LIMIT + 1), true, Code::ResourceExhausted),
                (&message(1, LIMIT + 1), false, Code::ResourceExhausted),
                (&[message(0, 3), vec![0, 0xff, 0xff, 0xff, 0xff]].concat(), false, Code::ResourceExhausted),
            ] {
                assert_eq!(code(bytes, piece, single).await, wanted, "{} bytes by {piece}", bytes.len());
            }
        }
    }
}
