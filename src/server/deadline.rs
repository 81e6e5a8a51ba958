//! Ends every call at its deadline: the caller's `grpc-timeout`, or the setting's if that is sooner.
//!
//! The gateway's own waits all know the deadline and fail with what they know, such as that a write's outcome is unknown. So
//! this layer comes a moment after them. It is for what does not look at the clock: a request whose message never comes, a
//! handler that is stuck, a reply that nobody continues.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tokio::time::{Instant, Sleep, sleep_until};

use super::refusal;
use super::trace::method;
use crate::config;
use crate::error::Error;
use crate::gateway::context::Deadline;
use crate::rpc::timeout;

/// How much later than the gateway's own waits.
const MOMENT: Duration = Duration::from_millis(25);

/// See the module.
#[derive(Clone)]
pub struct Layer {
    unary: Duration,
    stream: Duration,
}

impl Layer {
    /// Takes the longest durations from the settings.
    pub fn new(settings: &config::Server) -> Self {
        Self { unary: settings.unary_deadline, stream: settings.stream_deadline }
    }
}

impl<S> tower::Layer<S> for Layer {
    type Service = Service<S>;

    fn layer(&self, inner: S) -> Service<S> {
        Service { inner, layer: self.clone() }
    }
}

/// See [`Layer`].
#[derive(Clone)]
pub struct Service<S> {
    inner: S,
    layer: Layer,
}

impl<S, Q, R> tower::Service<Request<Q>> for Service<S>
where
    S: tower::Service<Request<Q>, Response = Response<R>, Error = Infallible>,
{
    type Response = Response<Ending<R>>;
    type Error = Infallible;
    type Future = Answering<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Q>) -> Self::Future {
        let now = Instant::now();
        let asked = match timeout::read(request.headers()) {
            Ok(asked) => asked,
            Err(error) => return Answering { refused: Some(error), answer: None, sleep: None, deadline: None },
        };
        let method = method::of(request.uri().path());
        let longest = match (method.ours, method.streaming) {
            (true, false) => Some(self.layer.unary),
            (true, true) => Some(self.layer.stream),
            // Whoever watches the health does so as long as the connection lasts.
            (false, _) => None,
        };
        let time = asked.into_iter().chain(longest).min();
        let deadline = time.map(|time| now + time);
        if let Some(deadline) = deadline {
            request.extensions_mut().insert(Deadline(deadline));
        }
        // A stream, too, has its message soon and answers with its headers then.
        let first = now + time.map_or(self.layer.unary, |time| time.min(self.layer.unary));
        let answer = Some(self.inner.call(request));
        Answering { refused: None, answer, sleep: Some(sleep_until(first + MOMENT)), deadline }
    }
}

pin_project! {
    /// The answer to come.
    pub struct Answering<F> {
        refused: Option<Error>,
        #[pin]
        answer: Option<F>,
        #[pin]
        sleep: Option<Sleep>,
        deadline: Option<Instant>,
    }
}

impl<F, R> Future for Answering<F>
where
    F: Future<Output = Result<Response<R>, Infallible>>,
{
    type Output = Result<Response<Ending<R>>, Infallible>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let (Some(answer), Some(sleep)) = (this.answer.as_pin_mut(), this.sleep.as_pin_mut()) else {
            let error = this.refused.take().expect("a future is not polled after it ended");
            return Poll::Ready(Ok(refusal::response(error).map(|()| Ending::NOTHING)));
        };
        if let Poll::Ready(Ok(mut response)) = answer.poll(context) {
            if let Some(deadline) = *this.deadline {
                // The connection wants to know how long a peer may leave the reply lying.
                response.extensions_mut().insert(Deadline(deadline + MOMENT));
            }
            let deadline = *this.deadline;
            return Poll::Ready(Ok(response.map(|body| Ending { body: Some(body), deadline, sleep: None })));
        }
        ready!(sleep.poll(context));
        let error = Error::Deadline { sent: true };
        Poll::Ready(Ok(refusal::response(error).map(|()| Ending::NOTHING)))
    }
}

/// A reply that ends at the deadline.
pub struct Ending<B> {
    body: Option<B>,
    deadline: Option<Instant>,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl<B> Ending<B> {
    const NOTHING: Self = Self { body: None, deadline: None, sleep: None };
}

impl<B: Body<Data = Bytes> + Unpin> Body for Ending<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let this = &mut *self;
        let Some(body) = &mut this.body else { return Poll::Ready(None) };
        if let Poll::Ready(frame) = Pin::new(body).poll_frame(context) {
            return Poll::Ready(frame);
        }
        let Some(deadline) = this.deadline else { return Poll::Pending };
        // Most replies are ready at once, and need no timer.
        let sleep = this.sleep.get_or_insert_with(|| Box::pin(sleep_until(deadline + MOMENT)));
        ready!(sleep.as_mut().poll(context));
        this.body = None;
        Poll::Ready(Some(Ok(Frame::trailers(refusal::trailers(Error::Deadline { sent: true })))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}
