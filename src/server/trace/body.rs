//! A response body that tells when and how it ended.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::call::Call;

/// Watches a body for its trailers, which carry the call's status.
pub struct Traced<B> {
    body: B,
    call: Option<Call>,
}

impl<B> Traced<B> {
    /// Ends `call` when `body` ends, or is dropped before.
    pub fn new(body: B, call: Call) -> Self {
        Self { body, call: Some(call) }
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Traced<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let this = &mut *self;
        let mut frame = {
            // A stream's messages are made while its body is polled.
            let call = this.call.as_ref().filter(|call| call.is_stream());
            let _attached = call.map(|call| call.context().clone().attach());
            ready!(Pin::new(&mut this.body).poll_frame(context))
        };
        if let Some(call) = &mut this.call {
            match &mut frame {
                Some(Ok(frame)) => {
                    if let Some(trailers) = frame.trailers_mut() {
                        call.ended(trailers);
                        this.call = None;
                    }
                }
                Some(Err(_)) => {
                    call.broke();
                    this.call = None;
                }
                None => this.call = None,
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
