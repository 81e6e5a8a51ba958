//! The body of a request that the forwarding layer has begun to read, and may hand on all the same.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tonic::body;
use tonic::codegen::StdError;

pin_project! {
    /// A request's body: what was read of it, and the rest.
    pub struct Kept<B> {
        first: Option<Bytes>,
        #[pin]
        rest: Rest<B>,
    }
}

pin_project! {
    /// What is still to be read.
    #[project = Projected]
    enum Rest<B> {
        Live { #[pin] body: B },
        Begun { body: Pin<Box<B>> },
        Boxed { body: body::Body },
        Nothing,
    }
}

impl<B> Kept<B> {
    /// Returns a body of which nothing was read.
    pub fn live(body: B) -> Self {
        Self { first: None, rest: Rest::Live { body } }
    }

    /// Returns a body that begins with what was read.
    pub fn begun(first: Bytes, body: Pin<Box<B>>) -> Self {
        Self { first: Some(first), rest: Rest::Begun { body } }
    }

    /// Returns a body that was read whole.
    pub fn whole(first: Bytes) -> Self {
        Self { first: Some(first), rest: Rest::Nothing }
    }

    /// Returns a body that comes back from where it was to be sent.
    pub fn back(body: body::Body) -> Self {
        Self { first: None, rest: Rest::Boxed { body } }
    }
}

impl<B> Body for Kept<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<StdError>,
{
    type Data = Bytes;
    type Error = StdError;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, StdError>>> {
        let this = self.project();
        if let Some(first) = this.first.take() {
            return Poll::Ready(Some(Ok(Frame::data(first))));
        }
        Poll::Ready(match this.rest.project() {
            Projected::Live { body } => ready!(body.poll_frame(context)).map(|frame| frame.map_err(Into::into)),
            Projected::Begun { body } => {
                ready!(body.as_mut().poll_frame(context)).map(|frame| frame.map_err(Into::into))
            }
            Projected::Boxed { body } => {
                ready!(Pin::new(body).poll_frame(context)).map(|frame| frame.map_err(Into::into))
            }
            Projected::Nothing => None,
        })
    }

    fn is_end_stream(&self) -> bool {
        self.first.is_none()
            && match &self.rest {
                Rest::Live { body } => body.is_end_stream(),
                Rest::Begun { body } => body.is_end_stream(),
                Rest::Boxed { body } => body.is_end_stream(),
                Rest::Nothing => true,
            }
    }

    fn size_hint(&self) -> SizeHint {
        match (&self.first, &self.rest) {
            (None, Rest::Live { body }) => body.size_hint(),
            (Some(first), Rest::Nothing) => SizeHint::with_exact(first.len() as u64),
            _ => SizeHint::default(),
        }
    }
}
