//! Ends every call at its deadline: the caller's `grpc-timeout`, or the setting's if that is sooner.
//!
//! The gateway's own waits end at the deadline with the better error, such as that a write's outcome is unknown. So this layer
//! ends a call a moment after its deadline. It is for what does not watch the deadline itself: a request whose message never
//! comes, a handler that is stuck, a reply that does not continue. The wait for the message has a shorter limit of its own.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::Response;
use http_body::Body;
use pin_project_lite::pin_project;
use tokio::time::{Instant, Sleep, sleep_until};

use super::ending::{BodyHook, HookedBody, Next};
use super::flood::waiting::{Patience, SOON, Waiting};
use super::inbound::Inbound;
use super::refusal;
use crate::config;
use crate::error::Error;
use crate::gateway::{Drain, Place};

/// Ends calls at their deadline: see the module.
#[derive(Clone)]
pub struct Layer {
    unary: Duration,
    waiting: Arc<Waiting>,
}

impl Layer {
    /// Takes the longest waits from the settings.
    pub fn new(settings: &config::Server, drain: &Drain) -> Self {
        let waiting = Arc::new(Waiting::new(settings.message_timeout, drain));
        Self { unary: settings.unary_deadline, waiting }
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

impl<S, Q, R> tower::Service<Inbound<Q>> for Service<S>
where
    S: tower::Service<Inbound<Q>, Response = Response<R>, Error = Infallible>,
{
    type Response = Response<HookedBody<R, Cut>>;
    type Error = Infallible;
    type Future = Answering<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, call: Inbound<Q>) -> Self::Future {
        let facts = call.facts();
        // The time limit for unary calls also bounds how long a stream may take until its headers.
        let first = facts.answer_by(self.layer.unary);
        let (soon, cut) = (first.min(facts.began + SOON), facts.cut());
        // Only calls of the contract take their place when their message comes; health and reflection take it before.
        let place = facts.method.is_ours().then(|| facts.place.clone());
        let message = Message { place, waiting: Arc::clone(&self.layer.waiting), patience: None };
        Answering { answer: self.inner.call(call), message, sleep: sleep_until(soon), first, cut }
    }
}

/// The wait for a call's message.
struct Message {
    place: Option<Place>,
    waiting: Arc<Waiting>,
    patience: Option<Patience>,
}

impl Message {
    /// True if the message is there.
    fn has_come(&self) -> bool {
        self.place.as_ref().is_some_and(Place::is_taken)
    }

    /// Completes with the error when the wait for the answer ends: at `first`, or when the message has not come in time. Both
    /// share one timer, because most calls need it for neither.
    fn poll(&mut self, mut sleep: Pin<&mut Sleep>, first: Instant, context: &mut Context<'_>) -> Poll<Error> {
        if self.has_come() {
            self.patience = None;
        } else if let Some(Poll::Ready(error)) = self.patience.as_mut().map(|patience| patience.as_mut().poll(context))
        {
            return Poll::Ready(error);
        }
        ready!(sleep.as_mut().poll(context));
        if sleep.deadline() >= first {
            // Zendesk cannot have had what the gateway itself has not.
            return Poll::Ready(Error::Deadline { sent: self.has_come() });
        }
        sleep.as_mut().reset(first);
        if !self.has_come() {
            self.patience = Some(self.waiting.begin());
        }
        self.poll(sleep, first, context)
    }
}

pin_project! {
    /// The answer to come.
    pub struct Answering<F> {
        #[pin]
        answer: F,
        message: Message,
        #[pin]
        sleep: Sleep,
        first: Instant,
        cut: Option<Instant>,
    }
}

impl<F, R> Future for Answering<F>
where
    F: Future<Output = Result<Response<R>, Infallible>>,
{
    type Output = Result<Response<HookedBody<R, Cut>>, Infallible>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        if let Poll::Ready(Ok(response)) = this.answer.poll(context) {
            let cut = Cut { at: *this.cut, sleep: None, sent: this.message.has_come() };
            return Poll::Ready(Ok(response.map(|body| HookedBody::new(body, cut))));
        }
        let error = ready!(this.message.poll(this.sleep, *this.first, context));
        Poll::Ready(Ok(refusal::response(error).map(|()| HookedBody::trailers_only())))
    }
}

/// Ends a reply at the deadline.
pub struct Cut {
    at: Option<Instant>,
    sleep: Option<Pin<Box<Sleep>>>,
    /// True if Zendesk may have had the request: never of health and reflection.
    sent: bool,
}

impl BodyHook for Cut {
    fn poll_frame<B>(&mut self, body: Pin<&mut B>, context: &mut Context<'_>) -> Poll<Result<Next<B::Error>, Error>>
    where
        B: Body<Data = Bytes>,
    {
        if let Poll::Ready(next) = body.poll_frame(context) {
            return Poll::Ready(Ok(next));
        }
        let Some(at) = self.at else { return Poll::Pending };
        // Most replies are ready at once, and need no timer.
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep_until(at)));
        ready!(sleep.as_mut().poll(context));
        Poll::Ready(Err(Error::Deadline { sent: self.sent }))
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use futures_util::future::BoxFuture;
    use http::Request;
    use tokio::time::{sleep, timeout};
    use tower::{Layer as _, ServiceExt as _, service_fn};

    use super::*;
    use crate::contract::RPCS;
    use crate::gateway::caller::Caller;
    use crate::rpc::facts::Terms;
    use crate::server::flood::waiting::MOST;

    type Answer = BoxFuture<'static, Result<Response<HookedBody<String, Cut>>, Infallible>>;

    /// Answers when the message comes, which is at once, late ("late") or never ("none"); with "slow", the answer never comes.
    async fn answer(call: Inbound<&'static str>) -> Result<Response<String>, Infallible> {
        let place = call.facts().place.clone();
        let message = call.into_request().into_body();
        match message {
            "late" => sleep(SOON / 2).await,
            "none" => std::future::pending().await,
            _ => {}
        }
        place.take().expect("there is room");
        if message == "slow" {
            std::future::pending::<()>().await;
        }
        Ok(Response::new(String::new()))
    }

    /// Returns a function that makes a call with the given message: see [`answer`].
    fn calls(drain: &Drain) -> impl Fn(&'static str) -> Answer + use<> {
        let minutes = Duration::from_mins(10);
        let settings = config::Server { unary_deadline: minutes, ..config::Server::default() };
        let service = Layer::new(&settings, drain).layer(service_fn(answer));
        let terms = Terms::of(&settings);
        move |message| {
            let facts = terms.local(&RPCS[0], Caller::local());
            service.clone().oneshot(Inbound::new(facts, Request::new(message))).boxed()
        }
    }

    /// The status in an answer's headers; the service's own answers have none.
    fn status(answer: Result<Response<HookedBody<String, Cut>>, Infallible>) -> Option<String> {
        let Ok(response) = answer;
        response.headers().get("grpc-status").map(|status| status.to_str().expect("digits").to_owned())
    }

    #[tokio::test(start_paused = true)]
    async fn only_so_many_calls_wait_for_their_messages_and_keep_out_nobody_whose_message_comes_soon() {
        let call = calls(&Drain::default());
        let mut waiting: Vec<_> = (0..MOST).map(|_| tokio::spawn(call("none"))).collect();
        sleep(SOON * 2).await;
        assert_eq!(status(call("none").await).as_deref(), Some("14"), "UNAVAILABLE");
        assert_eq!(status(call("here").await), None);
        assert_eq!(status(call("late").await), None);
        let one = waiting.pop().expect("there are many");
        one.abort();
        assert!(one.await.is_err(), "it is given up");
        assert!(timeout(SOON * 4, call("none")).await.is_err(), "there is room again");
    }

    #[tokio::test(start_paused = true)]
    async fn a_message_is_not_waited_for_longer_than_the_setting_says() {
        let (call, longest) = (calls(&Drain::default()), config::Server::default().message_timeout);
        let started = Instant::now();
        assert_eq!(status(call("none").await).as_deref(), Some("4"), "DEADLINE_EXCEEDED");
        assert!(started.elapsed().abs_diff(longest) < Duration::from_millis(25), "{:?}", started.elapsed());
        let slow = timeout(longest * 10, call("slow")).await;
        assert!(slow.is_err(), "whose message is there has its whole time");
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_has_asked_for_nothing_does_not_hold_up_the_end() {
        let drain = Drain::default();
        let call = calls(&drain);
        let (mut slow, mut early) = (call("slow"), call("none"));
        assert!((&mut slow).now_or_never().is_none() && (&mut early).now_or_never().is_none());
        sleep(SOON * 2).await;
        assert!((&mut early).now_or_never().is_none());
        drain.begin();
        let started = Instant::now();
        for idle in [early, call("none")] {
            assert_eq!(status(idle.await).as_deref(), Some("14"), "UNAVAILABLE");
        }
        assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
        assert!(timeout(Duration::from_mins(9), slow).await.is_err(), "what was asked is answered");
    }
}
