//! A defect in one call stays in that call: its caller gets INTERNAL, and the log says where it was.

use std::convert::Infallible;
use std::future::Future;
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tracing::error;

use super::refusal;
use crate::error::Error;

/// Logs a panic by its place. What it says can hold what a caller sent, so that is left out.
pub fn log(panic: &PanicHookInfo<'_>) {
    let place = panic.location().map(ToString::to_string).unwrap_or_default();
    let thread = std::thread::current();
    let thread = thread.name().unwrap_or_default();
    error!(target: "panic", { code.place = place, code.thread = thread }, "a defect: the gateway panicked");
}

fn defect() -> Error {
    Error::Internal { what: "a defect ended this call" }
}

/// Turns panics into INTERNAL.
#[derive(Clone)]
pub struct Layer;

impl<S> tower::Layer<S> for Layer {
    type Service = Service<S>;

    fn layer(&self, inner: S) -> Service<S> {
        Service { inner }
    }
}

/// See [`Layer`].
#[derive(Clone)]
pub struct Service<S> {
    inner: S,
}

impl<S, Q, R> tower::Service<Request<Q>> for Service<S>
where
    S: tower::Service<Request<Q>, Response = Response<R>, Error = Infallible>,
{
    type Response = Response<Caught<R>>;
    type Error = Infallible;
    type Future = Answering<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Q>) -> Self::Future {
        // Whatever the call leaves half-done is dropped with it.
        Answering { answer: catch_unwind(AssertUnwindSafe(|| self.inner.call(request))).ok() }
    }
}

pin_project! {
    /// The answer to come.
    pub struct Answering<F> {
        #[pin]
        answer: Option<F>,
    }
}

impl<F, R> Future for Answering<F>
where
    F: Future<Output = Result<Response<R>, Infallible>>,
{
    type Output = Result<Response<Caught<R>>, Infallible>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        if let Some(answer) = this.answer.as_mut().as_pin_mut() {
            if let Ok(polled) = catch_unwind(AssertUnwindSafe(|| answer.poll(context))) {
                let Ok(response) = ready!(polled);
                return Poll::Ready(Ok(response.map(|body| Caught { body: Some(body) })));
            }
            this.answer.set(None);
        }
        Poll::Ready(Ok(refusal::response(defect()).map(|()| Caught { body: None })))
    }
}

/// A reply that ends with INTERNAL where making it panics.
pub struct Caught<B> {
    body: Option<B>,
}

impl<B: Body<Data = Bytes> + Unpin> Body for Caught<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        if let Ok(polled) = catch_unwind(AssertUnwindSafe(|| Pin::new(body).poll_frame(context))) {
            return polled;
        }
        self.body = None;
        Poll::Ready(Some(Ok(Frame::trailers(refusal::trailers(defect())))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}
