//! Ends every call at its deadline: the caller's `grpc-timeout`, or the setting's if that is sooner.
//!
//! The gateway's own waits all know the deadline and fail with what they know, such as that a write's outcome is unknown. So
//! this layer comes a moment after them. It is for what does not look at the clock: a request whose message never comes, a
//! handler that is stuck, a reply that nobody continues. For a message it waits less long than for the rest.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
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
use crate::gateway::{Drain, Place};
use crate::rpc::timeout;

mod waiting;

use waiting::{Patience, SOON, Waiting};

/// How much later than the gateway's own waits.
const MOMENT: Duration = Duration::from_millis(25);

/// See the module.
#[derive(Clone)]
pub struct Layer {
    unary: Duration,
    stream: Duration,
    waiting: Arc<Waiting>,
}

impl Layer {
    /// Takes the longest durations from the settings.
    pub fn new(settings: &config::Server, drain: &Drain) -> Self {
        let waiting = Arc::new(Waiting::new(settings.message_timeout, drain));
        Self { unary: settings.unary_deadline, stream: settings.stream_deadline, waiting }
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
            Err(error) => return Answering::refused(error),
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
        let first = now + time.map_or(self.layer.unary, |time| time.min(self.layer.unary)) + MOMENT;
        let place = request.extensions().get::<Place>().cloned();
        let message = Message { place, waiting: Arc::clone(&self.layer.waiting), patience: None };
        let answer = Some(self.inner.call(request));
        let sleep = Some(sleep_until(first.min(now + SOON)));
        Answering { refused: None, answer, message: Some(message), sleep, first, deadline }
    }
}

/// What is known of a call's message.
struct Message {
    place: Option<Place>,
    waiting: Arc<Waiting>,
    patience: Option<Patience>,
}

impl Message {
    /// Whether it is there. Health and reflection do not say so, but answer at once what they are asked.
    fn has_come(&self) -> bool {
        self.place.as_ref().is_some_and(Place::is_taken)
    }

    /// Completes when the answer is not waited for any longer: `first` has come, or it was no use to wait for the message.
    /// One timer does for both, because most calls need it for neither.
    fn poll(&mut self, mut sleep: Pin<&mut Sleep>, first: Instant, context: &mut Context<'_>) -> Poll<Error> {
        if self.has_come() {
            self.patience = None;
        } else if let Some(Poll::Ready(error)) = self.patience.as_mut().map(|patience| patience.as_mut().poll(context))
        {
            return Poll::Ready(error);
        }
        ready!(sleep.as_mut().poll(context));
        if sleep.deadline() >= first {
            return Poll::Ready(Error::Deadline { sent: true });
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
        refused: Option<Error>,
        #[pin]
        answer: Option<F>,
        message: Option<Message>,
        #[pin]
        sleep: Option<Sleep>,
        first: Instant,
        deadline: Option<Instant>,
    }
}

impl<F> Answering<F> {
    fn refused(error: Error) -> Self {
        let first = Instant::now();
        Self { refused: Some(error), answer: None, message: None, sleep: None, first, deadline: None }
    }
}

impl<F, R> Future for Answering<F>
where
    F: Future<Output = Result<Response<R>, Infallible>>,
{
    type Output = Result<Response<Ending<R>>, Infallible>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let (Some(answer), Some(sleep), Some(message)) =
            (this.answer.as_pin_mut(), this.sleep.as_pin_mut(), this.message)
        else {
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
        let error = ready!(message.poll(sleep, *this.first, context));
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

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use futures_util::future::BoxFuture;
    use tokio::sync::Semaphore;
    use tokio::time::{sleep, timeout};
    use tower::{Layer as _, ServiceExt as _, service_fn};

    use super::*;

    type Answer = BoxFuture<'static, Result<Response<Ending<String>>, Infallible>>;

    /// Answers as soon as it has a message: at once, after a moment or never; or has it and does not answer.
    async fn answer(request: Request<&'static str>) -> Result<Response<String>, Infallible> {
        match *request.body() {
            "late" => sleep(SOON / 2).await,
            "none" => std::future::pending().await,
            _ => {}
        }
        request.extensions().get::<Place>().expect("it has one").take().expect("there is room");
        if *request.body() == "slow" {
            std::future::pending::<()>().await;
        }
        Ok(Response::new(String::new()))
    }

    /// Makes calls whose message comes as said.
    fn calls(drain: &Drain) -> impl Fn(&'static str) -> Answer + use<> {
        let minutes = Duration::from_mins(10);
        let settings = config::Server { unary_deadline: minutes, ..config::Server::default() };
        let service = Layer::new(&settings, drain).layer(service_fn(answer));
        let room = Arc::new(Semaphore::new(10));
        move |message| {
            let request = Request::post("/zendesk.gateway.v1.UserService/GetUser").extension(Place::within(&room));
            service.clone().oneshot(request.body(message).expect("a request")).boxed()
        }
    }

    /// The status in an answer's headers; the service's own answers have none.
    fn status(answer: Result<Response<Ending<String>>, Infallible>) -> Option<String> {
        let Ok(response) = answer;
        response.headers().get("grpc-status").map(|status| status.to_str().expect("digits").to_owned())
    }

    #[tokio::test(start_paused = true)]
    async fn only_so_many_calls_wait_for_their_messages_and_keep_out_nobody_whose_message_comes_soon() {
        let call = calls(&Drain::default());
        let mut waiting: Vec<_> = (0..waiting::MOST).map(|_| tokio::spawn(call("none"))).collect();
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
        assert!(started.elapsed().abs_diff(longest) < MOMENT, "{:?}", started.elapsed());
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
