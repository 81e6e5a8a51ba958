//! Bounds how many calls are under way, from their message to the end of their reply.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::Response;
use pin_project_lite::pin_project;

use super::ending::{BodyHook, HookedBody};
use super::inbound::Inbound;
use super::refusal;
use crate::error::Error;
use crate::gateway::Place;

/// Refuses calls beyond the limit.
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

impl<S, Q, R> tower::Service<Inbound<Q>> for Service<S>
where
    S: tower::Service<Inbound<Q>, Response = Response<R>, Error = Infallible>,
{
    type Response = Response<HookedBody<R, Place>>;
    type Error = Infallible;
    type Future = Answering<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, call: Inbound<Q>) -> Self::Future {
        let place = call.facts().place.clone();
        // Calls of the contract take their place later, once their message is there.
        if !call.facts().method.is_ours()
            && let Err(refused) = place.take()
        {
            return Answering { answer: None, place: None, refused: Some(refused) };
        }
        Answering { answer: Some(self.inner.call(call)), place: Some(place), refused: None }
    }
}

pin_project! {
    /// The answer to come.
    pub struct Answering<F> {
        #[pin]
        answer: Option<F>,
        place: Option<Place>,
        refused: Option<Error>,
    }
}

impl<F, R> Future for Answering<F>
where
    F: Future<Output = Result<Response<R>, Infallible>>,
{
    type Output = Result<Response<HookedBody<R, Place>>, Infallible>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let Some(answer) = this.answer.as_pin_mut() else {
            let refused = this.refused.take().expect("a future is not polled after it ended");
            return Poll::Ready(Ok(refusal::response(refused).map(|()| HookedBody::trailers_only())));
        };
        let Ok(response) = ready!(answer.poll(context));
        let place = this.place.take().expect("a future is not polled after it ended");
        Poll::Ready(Ok(response.map(|body| HookedBody::new(body, place))))
    }
}

/// The reply holds the place: dropping the witness at the reply's end returns it.
impl BodyHook for Place {}
