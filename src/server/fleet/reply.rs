//! The replies of a follower, which it passes on or, where it was the one who answered, holds until the leader knows.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::Frame;
use tokio::time::{Instant, timeout_at};
use tonic::Status;
use tonic::body::Body;

use crate::error::Error;
use crate::fleet::link::Link;
use crate::rpc::facts::Facts;
use crate::server::ending::{BodyHook, Next};
use crate::server::refusal;
use crate::upstream::call::Ledger;

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

type Settled = Pin<Box<dyn Future<Output = bool> + Send>>;

/// What the reply to a write waits for, and how long.
pub struct Hold {
    link: Link,
    /// When its caller is told at the latest.
    until: Option<Instant>,
    ledger: Arc<Ledger>,
}

impl Hold {
    /// Returns that of one call.
    pub fn of(link: &Link, facts: &Facts) -> Self {
        Self { link: link.clone(), until: facts.wanted_by(), ledger: Arc::clone(&facts.origin.ledger) }
    }

    /// Completes once the reply may be given; with false if that is too late.
    fn settled(&self) -> Settled {
        let (link, until) = (self.link.clone(), self.until);
        Box::pin(async move {
            if let Some(until) = until {
                return timeout_at(until, link.settled()).await.is_ok();
            }
            link.settled().await;
            true
        })
    }
}

/// The reply to a write that this replica has sent itself. Its messages wait until no answer of the leader is older. If that takes
/// until the deadline, its caller is told that the outcome is unknown: an answer would promise more.
pub struct Settling {
    /// None once it was ended early.
    body: Option<Body>,
    hold: Hold,
    next: Option<(Frame<Bytes>, Settled)>,
}

impl Settling {
    /// Holds the messages of a reply to a write.
    pub fn new(body: Body, hold: Hold) -> Self {
        Self { body: Some(body), hold, next: None }
    }
}

impl http_body::Body for Settling {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = &mut *self;
        if this.next.is_none() {
            let Some(body) = &mut this.body else { return Poll::Ready(None) };
            match ready!(Pin::new(body).poll_frame(context)) {
                Some(Ok(message)) if message.is_data() => this.next = Some((message, this.hold.settled())),
                end => return Poll::Ready(end),
            }
        }
        let in_time = match &mut this.next {
            Some((_, settled)) => ready!(settled.as_mut().poll(context)),
            None => true,
        };
        let message = this.next.take().map(|(message, _)| message);
        if in_time {
            return Poll::Ready(message.map(Ok));
        }
        this.body = None;
        Poll::Ready(Some(Ok(Frame::trailers(refusal::trailers(this.hold.ledger.too_late())))))
    }

    fn is_end_stream(&self) -> bool {
        self.next.is_none() && self.body.as_ref().is_none_or(Body::is_end_stream)
    }
}
