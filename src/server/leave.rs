//! Ends what would never end by itself once the gateway leaves: watches of the health, sessions of reflection.
//!
//! The contract's own streams know better where to stop, and are left alone.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::Response;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use super::inbound::Inbound;
use super::refusal;
use crate::error::Error;
use crate::gateway::Drain;

/// See the module.
#[derive(Clone)]
pub struct Layer(pub Drain);

impl<S> tower::Layer<S> for Layer {
    type Service = Service<S>;

    fn layer(&self, inner: S) -> Service<S> {
        Service { inner, drain: self.0.clone() }
    }
}

/// See [`Layer`].
#[derive(Clone)]
pub struct Service<S> {
    inner: S,
    drain: Drain,
}

impl<S, Q, R> tower::Service<Inbound<Q>> for Service<S>
where
    S: tower::Service<Inbound<Q>, Response = Response<R>, Error = Infallible>,
{
    type Response = Response<Leaving<R>>;
    type Error = Infallible;
    type Future = Answering<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, call: Inbound<Q>) -> Self::Future {
        let drain = (!call.facts.method.is_ours()).then(|| self.drain.clone());
        Answering { answer: self.inner.call(call), drain }
    }
}

pin_project! {
    /// The answer to come.
    pub struct Answering<F> {
        #[pin]
        answer: F,
        drain: Option<Drain>,
    }
}

impl<F, R> Future for Answering<F>
where
    F: Future<Output = Result<Response<R>, Infallible>>,
{
    type Output = Result<Response<Leaving<R>>, Infallible>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let Ok(response) = ready!(this.answer.poll(context));
        let begun: Option<Begun> = this.drain.take().map(|drain| {
            let begun = async move { drain.begun().await };
            Box::pin(begun) as Begun
        });
        Poll::Ready(Ok(response.map(|body| Leaving { body: Some(body), begun })))
    }
}

type Begun = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A reply that ends when the gateway leaves.
pub struct Leaving<B> {
    body: Option<B>,
    begun: Option<Begun>,
}

impl<B: Body<Data = Bytes> + Unpin> Body for Leaving<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let this = &mut *self;
        let Some(body) = &mut this.body else { return Poll::Ready(None) };
        if let Poll::Ready(frame) = Pin::new(body).poll_frame(context) {
            return Poll::Ready(frame);
        }
        let Some(begun) = &mut this.begun else { return Poll::Pending };
        ready!(begun.as_mut().poll(context));
        this.body = None;
        Poll::Ready(Some(Ok(Frame::trailers(refusal::trailers(Error::ShuttingDown)))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}
