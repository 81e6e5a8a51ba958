//! The leader's reply to a call. Of a reply to a read the first part is kept back, so that a read whose reply breaks off there can be
//! asked for again.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::Response;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;

use crate::error::Result;
use crate::share::FREE_MESSAGE;

/// Most bytes that are kept back; a page of a hundred users has fewer.
const MOST: usize = 256 << 10;

/// What was read of a reply, and the rest.
pub struct Gathered {
    first: VecDeque<Frame<Bytes>>,
    rest: Option<Incoming>,
}

impl Gathered {
    /// Returns a reply of which nothing is kept back.
    pub fn nothing(reply: Incoming) -> Self {
        Self { first: VecDeque::new(), rest: Some(reply) }
    }

    /// Reads a reply to its end, or as much of it as may be kept. None if it breaks off before.
    pub async fn reply(response: Response<Incoming>, charge: impl Fn(usize) -> Result<()>) -> Option<Response<Self>> {
        if response.headers().contains_key("grpc-status") {
            return Some(response.map(Self::nothing));
        }
        let (parts, reply) = response.into_parts();
        Some(Response::from_parts(parts, Self::read(reply, charge).await?))
    }

    async fn read(mut reply: Incoming, charge: impl Fn(usize) -> Result<()>) -> Option<Self> {
        let (mut first, mut bytes) = (VecDeque::new(), 0);
        loop {
            let frame = reply.frame().await?.ok()?;
            let (is_last, more) = (frame.is_trailers(), frame.data_ref().map_or(0, Bytes::len));
            first.push_back(frame);
            if is_last {
                return Some(Self { first, rest: None });
            }
            bytes += more;
            if bytes > MOST || more > FREE_MESSAGE && charge(more).is_err() {
                return Some(Self { first, rest: Some(reply) });
            }
        }
    }
}

impl Body for Gathered {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        if let Some(frame) = self.first.pop_front() {
            return Poll::Ready(Some(Ok(frame)));
        }
        match &mut self.rest {
            Some(rest) => Pin::new(rest).poll_frame(context),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.first.is_empty() && self.rest.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        match &self.rest {
            Some(rest) if self.first.is_empty() => rest.size_hint(),
            _ => SizeHint::default(),
        }
    }
}
