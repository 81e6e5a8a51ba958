//! One span, one measurement and one access line per call, from its headers to its last message.
//!
//! It stands at the top of the inbound stack, so that it also sees what the layers below refuse. A call ends where its
//! response body ends: a stream that breaks after its headers is not a success, and what the caller gave up on is
//! CANCELLED.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::{Request, Response};
use pin_project_lite::pin_project;
use tonic::body::Body;

use crate::telemetry::Telemetry;

mod body;
mod bound;
mod call;
pub(super) mod method;
mod request_id;
pub(super) mod reset;

use body::Traced;
use bound::Bound;
use call::Call;

/// Traces, measures and logs every call.
#[derive(Clone)]
pub struct Layer(Telemetry, Bound);

impl Layer {
    /// Tells `telemetry`.
    pub fn new(telemetry: &Telemetry) -> Self {
        Self(telemetry.clone(), Bound::new(telemetry.instruments()))
    }
}

impl<S> tower::Layer<S> for Layer {
    type Service = Service<S>;

    fn layer(&self, inner: S) -> Service<S> {
        Service { inner, telemetry: self.0.clone(), bound: self.1.clone() }
    }
}

/// See [`Layer`].
#[derive(Clone)]
pub struct Service<S> {
    inner: S,
    telemetry: Telemetry,
    bound: Bound,
}

impl<S, Q, R> tower::Service<Request<Q>> for Service<S>
where
    S: tower::Service<Request<Q>, Response = Response<R>>,
    R: http_body::Body<Data = bytes::Bytes> + Send + Unpin + 'static,
    R::Error: Into<tonic::codegen::StdError>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Answering<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Q>) -> Self::Future {
        let call = Call::begin(&self.telemetry, &self.bound, &mut request);
        let attached = call.context().clone().attach();
        let answer = self.inner.call(request);
        drop(attached);
        Answering { answer, call: Some(call) }
    }
}

pin_project! {
    /// The answer to come.
    pub struct Answering<F> {
        #[pin]
        answer: F,
        call: Option<Call>,
    }
}

impl<F, R, E> Future for Answering<F>
where
    F: Future<Output = Result<Response<R>, E>>,
    R: http_body::Body<Data = bytes::Bytes> + Send + Unpin + 'static,
    R::Error: Into<tonic::codegen::StdError>,
{
    type Output = Result<Response<Body>, E>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let answer = {
            let _attached = this.call.as_ref().map(|call| call.context().clone().attach());
            ready!(this.answer.poll(context))
        };
        let mut call = this.call.take().expect("a future is not polled after it ended");
        Poll::Ready(answer.map(|mut response| {
            call.answered(response.headers_mut());
            response.map(|body| Body::new(Traced::new(body, call)))
        }))
    }
}
