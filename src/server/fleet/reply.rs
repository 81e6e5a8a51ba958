//! The replies of a follower, which it passes on or, where it was the one who answered, holds until the leader knows.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::Frame;
use tonic::Status;
use tonic::body::Body;

use crate::error::Error;
use crate::fleet::link::Link;
use crate::server::ending::{BodyHook, Next};

/// The reply of the leader on its way to the caller.
pub struct Relay {
    /// True if the leader has told the outcome.
    pub ended: bool,
    /// Writes down that it never will, and returns what the caller is told.
    pub lost: Box<dyn FnMut() -> Error + Send>,
}

impl BodyHook for Relay {
    fn poll_frame<B>(&mut self, body: Pin<&mut B>, context: &mut Context<'_>) -> Poll<Result<Next<B::Error>, Error>>
    where
        B: http_body::Body<Data = Bytes>,
    {
        let next = ready!(body.poll_frame(context));
        Poll::Ready(match next {
            Some(Ok(frame)) => Ok(Some(Ok(frame))),
            None if self.ended => Ok(None),
            // It broke off.
            Some(Err(_)) | None => Err((self.lost)()),
        })
    }
}

type Settled = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The reply to a write that this replica has sent itself. Its messages wait until no answer of the leader is older.
pub struct Settling {
    body: Body,
    link: Link,
    next: Option<(Frame<Bytes>, Settled)>,
}

impl Settling {
    /// Holds the messages of a reply to a write.
    pub fn new(body: Body, link: &Link) -> Self {
        Self { body, link: link.clone(), next: None }
    }
}

impl http_body::Body for Settling {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = &mut *self;
        if this.next.is_none() {
            let frame = match ready!(Pin::new(&mut this.body).poll_frame(context)) {
                Some(Ok(frame)) => frame,
                end => return Poll::Ready(end),
            };
            let link = this.link.clone();
            this.next = Some((frame, Box::pin(async move { link.settled().await })));
        }
        if let Some((_, settled)) = &mut this.next {
            ready!(settled.as_mut().poll(context));
        }
        Poll::Ready(this.next.take().map(|(frame, _)| Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.next.is_none() && self.body.is_end_stream()
    }
}
