//! Ends every call a moment after its deadline, which is the caller's `grpc-timeout` or the setting's limit, whichever is sooner; and
//! when the gateway shuts down and can wait no longer.
//!
//! The gateway's own waits end before that, with the better error, such as that a write's outcome is unknown, and with time for it to
//! reach the caller. This layer comes after them, for what does not watch the deadline: a request whose message never comes, a handler
//! that is stuck, a reply that does not continue. The wait for the message has a shorter limit of its own: see
//! [`waiting`](super::flood::waiting).

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
use tokio_util::sync::WaitForCancellationFutureOwned;

use super::ending::{BodyHook, HookedBody, Next};
use super::flood::waiting::{MESSAGE_GRACE, MessageWait, Waiting};
use super::inbound::Inbound;
use super::refusal;
use crate::config;
use crate::error::Error;
use crate::gateway::{Drain, Place};
use crate::rpc::facts::Peer;
use crate::upstream::call::Ledger;

/// Ends calls a moment after their deadline: see the module.
#[derive(Clone)]
pub struct Layer {
    longest_until_answer: Duration,
    waiting: Arc<Waiting>,
}

impl Layer {
    /// Takes the longest waits from the settings.
    pub fn new(settings: &config::Server, drain: &Drain) -> Self {
        let waiting = Arc::new(Waiting::new(settings.message_timeout, drain));
        Self { longest_until_answer: settings.unary_deadline, waiting }
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
    type Response = Response<HookedBody<R, EndAtDeadline>>;
    type Error = Infallible;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, call: Inbound<Q>) -> Self::Future {
        let facts = call.facts();
        // The time limit for unary calls also bounds how long a stream may take until its headers.
        let answer_by = facts.answer_by(self.layer.longest_until_answer);
        let timer = sleep_until(answer_by.min(facts.began + MESSAGE_GRACE));
        let cut_at = facts.cut_at();
        // Calls of the contract take their place when their message comes. Health and reflection take it before, so it says nothing
        // of their message.
        let place = facts.method.is_ours().then(|| facts.place.clone());
        let (waiting, peer) = (Arc::clone(&self.layer.waiting), Arc::clone(&facts.peer));
        let ledger = Arc::clone(&facts.origin.ledger);
        let limits = Limits { place, ledger, waiting, peer, message_wait: None, answer_by, cut: Cut::default() };
        ResponseFuture { answer: self.inner.call(call), limits, timer, cut_at }
    }
}

/// The limits of a call until its answer begins: one for its message, one for the answer.
struct Limits {
    /// None for health and reflection: they count as waiting for their message until their answer begins.
    place: Option<Place>,
    /// Tells what may have been carried out.
    ledger: Arc<Ledger>,
    waiting: Arc<Waiting>,
    /// Whose connection may have to make room for another.
    peer: Arc<Peer>,
    /// The wait for the message, once it has not come within [`MESSAGE_GRACE`].
    message_wait: Option<MessageWait>,
    answer_by: Instant,
    cut: Cut,
}

/// The end of all calls that are left when the gateway shuts down. Most calls are answered at once, and need not wait for it.
#[derive(Default)]
struct Cut(Option<Pin<Box<WaitForCancellationFutureOwned>>>);

impl Cut {
    /// Completes with the error for a call that has to end.
    fn poll(&mut self, peer: &Peer, ledger: &Ledger, context: &mut Context<'_>) -> Poll<Error> {
        let over = || Box::pin(peer.connection.over.clone().cancelled_owned());
        ready!(self.0.get_or_insert_with(over).as_mut().poll(context));
        Poll::Ready(ledger.cut_short())
    }
}

impl Limits {
    /// True if the message is known to have come. Never known of health and reflection.
    fn message_has_come(&self) -> bool {
        self.place.as_ref().is_some_and(Place::is_taken)
    }

    /// Completes with the error when the answer has not begun by `answer_by`, or the message has not come in time. The timer, which
    /// most calls never need, serves twice: it runs to the end of the message's grace, then to `answer_by`.
    fn poll(&mut self, mut timer: Pin<&mut Sleep>, context: &mut Context<'_>) -> Poll<Error> {
        loop {
            if self.message_has_come() {
                self.message_wait = None;
            } else if let Some(wait) = &mut self.message_wait
                && let Poll::Ready(error) = wait.as_mut().poll(context)
            {
                return Poll::Ready(error);
            }
            if let Poll::Ready(error) = self.cut.poll(&self.peer, &self.ledger, context) {
                return Poll::Ready(error);
            }
            ready!(timer.as_mut().poll(context));
            if timer.deadline() >= self.answer_by {
                let has_come = self.message_has_come();
                return Poll::Ready(if has_come {
                    self.ledger.too_late()
                } else {
                    Error::MessageMissing { crowded: false }
                });
            }
            timer.as_mut().reset(self.answer_by);
            if !self.message_has_come() {
                let share = self.place.as_ref().and_then(Place::share);
                self.message_wait = Some(self.waiting.begin(share, self.peer.connection.leave.clone()));
            }
        }
    }
}

pin_project! {
    /// The answer to come.
    pub struct ResponseFuture<F> {
        #[pin]
        answer: F,
        limits: Limits,
        #[pin]
        timer: Sleep,
        cut_at: Option<Instant>,
    }
}

impl<F, R> Future for ResponseFuture<F>
where
    F: Future<Output = Result<Response<R>, Infallible>>,
{
    type Output = Result<Response<HookedBody<R, EndAtDeadline>>, Infallible>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        if let Poll::Ready(Ok(response)) = this.answer.poll(context) {
            let Limits { ledger, peer, cut, .. } = this.limits;
            let (ledger, peer, cut) = (Arc::clone(ledger), Arc::clone(peer), std::mem::take(cut));
            let hook = EndAtDeadline { at: *this.cut_at, timer: None, ledger, peer, cut };
            return Poll::Ready(Ok(response.map(|body| HookedBody::new(body, hook))));
        }
        let error = ready!(this.limits.poll(this.timer, context));
        Poll::Ready(Ok(refusal::response(error).map(|()| HookedBody::trailers_only())))
    }
}

/// Ends a reply that goes on after the deadline.
pub struct EndAtDeadline {
    /// A moment after the deadline; none if the call has none.
    at: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
    /// Tells what may have been carried out.
    ledger: Arc<Ledger>,
    peer: Arc<Peer>,
    cut: Cut,
}

impl BodyHook for EndAtDeadline {
    fn poll_frame<B>(&mut self, body: Pin<&mut B>, context: &mut Context<'_>) -> Poll<Result<Next<B::Error>, Error>>
    where
        B: Body<Data = Bytes>,
    {
        if let Poll::Ready(next) = body.poll_frame(context) {
            return Poll::Ready(Ok(next));
        }
        if let Poll::Ready(error) = self.cut.poll(&self.peer, &self.ledger, context) {
            return Poll::Ready(Err(error));
        }
        let Some(at) = self.at else { return Poll::Pending };
        // Most replies are ready at once, and need no timer.
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(at)));
        ready!(timer.as_mut().poll(context));
        Poll::Ready(Err(self.ledger.too_late()))
    }
}

#[cfg(test)]
mod tests {
    use futures_util::future::BoxFuture;
    use futures_util::{FutureExt as _, stream};
    use http::{HeaderMap, Request};
    use http_body::Frame;
    use http_body_util::{BodyExt as _, StreamBody};
    use tokio::time::{sleep, timeout};
    use tonic::Status;
    use tower::{Layer as _, ServiceExt as _, service_fn};

    use super::*;
    use crate::contract::RPCS;
    use crate::error::reason_of;
    use crate::gateway::caller::Caller;
    use crate::rpc::facts::Terms;
    use crate::server::flood::waiting::MAX_WAITING;

    type Answer = BoxFuture<'static, Result<Response<HookedBody<String, EndAtDeadline>>, Infallible>>;

    /// Answers when the message comes, which is at once, late ("late") or never ("none"); with "slow", the answer never comes.
    async fn answer(call: Inbound<&'static str>) -> Result<Response<String>, Infallible> {
        let place = call.facts().place.clone();
        let message = call.into_request().into_body();
        match message {
            "late" => sleep(MESSAGE_GRACE / 2).await,
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
    fn status(answer: Result<Response<HookedBody<String, EndAtDeadline>>, Infallible>) -> Option<String> {
        let Ok(response) = answer;
        response.headers().get("grpc-status").map(|status| status.to_str().expect("digits").to_owned())
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_waiting_room_refuses_only_calls_whose_messages_are_late() {
        let call = calls(&Drain::default());
        let mut waiting: Vec<_> = (0..MAX_WAITING).map(|_| tokio::spawn(call("none"))).collect();
        sleep(MESSAGE_GRACE * 2).await;
        assert_eq!(status(call("none").await).as_deref(), Some("14"), "UNAVAILABLE");
        assert_eq!(status(call("here").await), None);
        assert_eq!(status(call("late").await), None);
        let one = waiting.pop().expect("there are many");
        one.abort();
        assert!(one.await.is_err(), "its task is cancelled");
        assert!(timeout(MESSAGE_GRACE * 4, call("none")).await.is_err(), "there is room again");
    }

    #[tokio::test(start_paused = true)]
    async fn the_message_timeout_ends_a_call_without_a_message_and_no_other() {
        let (call, longest) = (calls(&Drain::default()), config::Server::default().message_timeout);
        let started = Instant::now();
        assert_eq!(status(call("none").await).as_deref(), Some("4"), "DEADLINE_EXCEEDED");
        assert!(started.elapsed().abs_diff(longest) < Duration::from_millis(25), "{:?}", started.elapsed());
        let slow = timeout(longest * 10, call("slow")).await;
        assert!(slow.is_err(), "a call whose message has come has until its deadline");
    }

    #[tokio::test(start_paused = true)]
    async fn calls_without_a_message_do_not_delay_shutdown() {
        let drain = Drain::default();
        let call = calls(&drain);
        let (mut slow, mut early) = (call("slow"), call("none"));
        assert!((&mut slow).now_or_never().is_none() && (&mut early).now_or_never().is_none());
        sleep(MESSAGE_GRACE * 2).await;
        assert!((&mut early).now_or_never().is_none());
        drain.begin();
        let started = Instant::now();
        for idle in [early, call("none")] {
            assert_eq!(status(idle.await).as_deref(), Some("14"), "UNAVAILABLE");
        }
        assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
        assert!(
            timeout(Duration::from_mins(9), slow).await.is_err(),
            "a call whose message has come is not ended by the shutdown"
        );
    }

    /// Ends one call of each RPC that never ends by itself, before its answer or within it; it may have `sent` something. Returns
    /// whether the RPC changes something, and the reason that the caller is told.
    async fn ends(sent: Option<fn(&Ledger)>, answers: bool, shutdown: bool) -> Vec<(bool, &'static str)> {
        let settings = config::Server::default();
        let (layer, terms) = (Layer::new(&settings, &Drain::default()), Terms::of(&settings));
        let service = layer.layer(service_fn(move |call: Inbound<()>| async move {
            call.facts().place.take().expect("there is room");
            if !answers {
                std::future::pending::<()>().await;
            }
            Ok(Response::new(StreamBody::new(stream::pending::<Result<Frame<Bytes>, Infallible>>())))
        }));
        let mut all = Vec::new();
        for rpc in RPCS {
            let facts = terms.local(rpc, Caller::local());
            sent.inspect(|sent| sent(&facts.origin.ledger));
            if shutdown {
                facts.peer.connection.over.cancel();
            }
            let response = service.clone().oneshot(Inbound::new(facts, Request::new(()))).await.expect("an answer");
            let (head, body) = response.into_parts();
            let end: Option<HeaderMap> = body.collect().await.expect("its end").trailers().cloned();
            let status = Status::from_header_map(end.as_ref().unwrap_or(&head.headers)).expect("a status");
            all.push((rpc.changes(), reason_of(&status).expect("one of the contract's")));
        }
        all
    }

    #[tokio::test(start_paused = true)]
    async fn whatever_ends_a_write_that_may_have_been_sent_says_that_its_outcome_is_unknown() {
        let harmless: fn(&Ledger) = |ledger| {
            ledger.sent();
            ledger.harmless(1);
        };
        for (answers, shutdown) in [(false, false), (true, false), (false, true), (true, true)] {
            let usual = if shutdown { "SHUTTING_DOWN" } else { "DEADLINE_EXCEEDED" };
            for sent in [Ledger::sent, |ledger: &Ledger| ledger.is_elsewhere(true)] {
                for (changes, reason) in ends(Some(sent), answers, shutdown).await {
                    assert_eq!(reason, if changes { "OUTCOME_UNKNOWN" } else { usual });
                }
            }
            for sent in [None, Some(harmless)] {
                assert!(ends(sent, answers, shutdown).await.iter().all(|(_, reason)| *reason == usual));
            }
        }
    }
}
