//! A response body that obeys the orders left for its stream.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::BoxError;
use axum::body::Body;
use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, SizeHint};

use super::super::control::EndAt;
use super::stream::{Stop, Stream};

/// A body on its way to a stream.
pub struct Ordered {
    body: Body,
    stream: Arc<Stream>,
    /// Bytes that the handler's body has handed over and that orders hold back.
    held: Bytes,
    /// How many bytes were handed on.
    sent: usize,
}

impl Ordered {
    pub fn new(body: Body, stream: Arc<Stream>) -> Self {
        Self { body, stream, held: Bytes::new(), sent: 0 }
    }

    /// Returns how many bytes may still be sent before an order ends the
    /// stream, and how the order ends it.
    fn limit(&self) -> Option<(usize, Stop)> {
        let (at, how) = self.stream.ending()?;
        let left = match at {
            EndAt::AfterBytes(bytes) => bytes.saturating_sub(self.sent),
            EndAt::AfterHead => 0,
            // Ordered while the body hands over its last chunk, part of which may be held.
            EndAt::OnceFlushed => self.held.len(),
        };
        Some((left, how))
    }

    /// Hands on as many of the held bytes as may be sent.
    fn send(&mut self, cx: &mut Context<'_>) -> Poll<Frame<Bytes>> {
        let most = self.limit().map_or(usize::MAX, |(left, _)| left);
        let granted = ready!(self.stream.grant(cx, self.held.len().min(most)));
        self.stream.spend(granted);
        self.sent += granted;
        Poll::Ready(Frame::data(self.held.split_to(granted)))
    }
}

impl HttpBody for Ordered {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if let Some((0, how)) = self.limit() {
            ready!(self.stream.poll_written(cx, self.sent));
            return match how {
                Stop::Reset(reason) => Poll::Ready(Some(Err(self.stream.cut(reason).into()))),
                // hyper wakes the stream's task when the client leaves.
                Stop::Hang => Poll::Pending,
            };
        }
        if self.held.is_empty() {
            match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) if data.is_empty() => return Poll::Ready(Some(Ok(Frame::data(data)))),
                    Ok(data) => self.held = data,
                    Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
                },
                Some(Err(error)) => return Poll::Ready(Some(Err(error.into()))),
                None => return Poll::Ready(None),
            }
        }
        self.send(cx).map(|frame| Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.stream.ending().is_none() && self.held.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
