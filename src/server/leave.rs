//! Ends calls that would not end by themselves: health watches and reflection sessions, when the gateway shuts down, and when their
//! connection has to make room for another.
//!
//! The contract's streams are left alone: they end by themselves, at a point from which their callers can continue.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::Response;
use http_body::Body;
use pin_project_lite::pin_project;
use tokio_util::sync::CancellationToken;

use super::ending::{BodyHook, HookedBody, Next};
use super::inbound::Inbound;
use crate::error::Error;
use crate::gateway::Drain;

/// Ends calls: see the module.
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
    type Response = Response<HookedBody<R, Leaving>>;
    type Error = Infallible;
    type Future = Answering<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, call: Inbound<Q>) -> Self::Future {
        let facts = call.facts();
        let until = (!facts.method.is_ours()).then(|| (self.drain.clone(), facts.peer.connection.leave.clone()));
        Answering { answer: self.inner.call(call), until }
    }
}

pin_project! {
    /// The answer to come.
    pub struct Answering<F> {
        #[pin]
        answer: F,
        until: Option<(Drain, CancellationToken)>,
    }
}

impl<F, R> Future for Answering<F>
where
    F: Future<Output = Result<Response<R>, Infallible>>,
{
    type Output = Result<Response<HookedBody<R, Leaving>>, Infallible>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let Ok(response) = ready!(this.answer.poll(context));
        let end: Option<Ended> = this.until.take().map(|(drain, leave)| {
            let end = async move {
                tokio::select! {
                    () = drain.begun() => Error::ShuttingDown,
                    () = leave.cancelled() => Error::Overloaded { what: "the connection makes room for another" },
                }
            };
            Box::pin(end) as Ended
        });
        Poll::Ready(Ok(response.map(|body| HookedBody::new(body, Leaving(end)))))
    }
}

type Ended = Pin<Box<dyn Future<Output = Error> + Send>>;

/// Ends a reply that would not end by itself.
pub struct Leaving(Option<Ended>);

impl BodyHook for Leaving {
    fn poll_frame<B>(&mut self, body: Pin<&mut B>, context: &mut Context<'_>) -> Poll<Result<Next<B::Error>, Error>>
    where
        B: Body<Data = Bytes>,
    {
        if let Poll::Ready(next) = body.poll_frame(context) {
            return Poll::Ready(Ok(next));
        }
        let Some(end) = &mut self.0 else { return Poll::Pending };
        Poll::Ready(Err(ready!(end.as_mut().poll(context))))
    }
}
