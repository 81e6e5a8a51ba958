//! Bounds how many calls are under way, from their message to the end of their reply, and how many wait for a message.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tokio::sync::Semaphore;

use super::refusal;
use super::trace::method;
use crate::config;
use crate::error::Error;
use crate::gateway::{Drain, Place};

mod waiting;

use waiting::{Patience, Waiting};

/// Most calls at a time of health and reflection: apart from the others, so that a full gateway still says how it is, and
/// bounded, because watching costs memory.
const MOST_COMMON: usize = 1024;

/// Refuses calls beyond the limit.
#[derive(Clone)]
pub struct Layer(Arc<Rooms>);

struct Rooms {
    calls: Arc<Semaphore>,
    common: Arc<Semaphore>,
    waiting: Waiting,
}

impl Layer {
    /// Takes the limits from the settings.
    pub fn new(settings: &config::Server, drain: &Drain) -> Self {
        Self(Arc::new(Rooms {
            calls: Arc::new(Semaphore::new(settings.max_calls)),
            common: Arc::new(Semaphore::new(MOST_COMMON)),
            waiting: Waiting::new(settings.message_timeout, drain),
        }))
    }
}

impl<S> tower::Layer<S> for Layer {
    type Service = Service<S>;

    fn layer(&self, inner: S) -> Service<S> {
        Service { inner, rooms: Arc::clone(&self.0) }
    }
}

/// See [`Layer`].
#[derive(Clone)]
pub struct Service<S> {
    inner: S,
    rooms: Arc<Rooms>,
}

impl<S, Q, R> tower::Service<Request<Q>> for Service<S>
where
    S: tower::Service<Request<Q>, Response = Response<R>, Error = Infallible>,
{
    type Response = Response<Counted<R>>;
    type Error = Infallible;
    type Future = Answering<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Q>) -> Self::Future {
        let rooms = Arc::clone(&self.rooms);
        let ours = method::of(request.uri().path()).ours;
        let place = Place::within(if ours { &rooms.calls } else { &rooms.common });
        if ours {
            request.extensions_mut().insert(place.clone());
        } else if let Err(error) = place.take() {
            return Answering { answer: None, call: None, patience: None, refused: Some(error) };
        }
        let answer = Some(self.inner.call(request));
        Answering { answer, call: Some(Call { rooms, place, ours }), patience: None, refused: None }
    }
}

/// What a call holds until it is answered.
struct Call {
    rooms: Arc<Rooms>,
    place: Place,
    ours: bool,
}

impl Call {
    /// Whether it has asked for something. Health and reflection do not say so, but answer at once what they are asked.
    fn has_asked(&self) -> bool {
        self.ours && self.place.is_taken()
    }
}

pin_project! {
    /// The answer to come.
    pub struct Answering<F> {
        #[pin]
        answer: Option<F>,
        call: Option<Call>,
        patience: Option<Patience>,
        refused: Option<Error>,
    }
}

impl<F, R> Future for Answering<F>
where
    F: Future<Output = Result<Response<R>, Infallible>>,
{
    type Output = Result<Response<Counted<R>>, Infallible>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let refused = match (this.answer.as_pin_mut(), &this.call) {
            (Some(answer), Some(call)) => {
                if let Poll::Ready(Ok(response)) = answer.poll(context) {
                    let place = this.call.take().map(|call| call.place);
                    return Poll::Ready(Ok(response.map(|body| Counted { body: Some(body), place })));
                }
                if call.has_asked() {
                    *this.patience = None;
                    return Poll::Pending;
                }
                ready!(call.rooms.waiting.poll(this.patience, context))
            }
            _ => this.refused.take().expect("a future is not polled after it ended"),
        };
        Poll::Ready(Ok(refusal::response(refused).map(|()| Counted { body: None, place: None })))
    }
}

/// A reply that counts until it ends.
pub struct Counted<B> {
    body: Option<B>,
    place: Option<Place>,
}

impl<B: Body<Data = Bytes> + Unpin> Body for Counted<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let this = &mut *self;
        let Some(body) = &mut this.body else { return Poll::Ready(None) };
        let frame = ready!(Pin::new(body).poll_frame(context));
        let last = frame.as_ref().is_none_or(|frame| frame.as_ref().map_or(true, Frame::is_trailers));
        if last {
            this.body = None;
            this.place = None;
        }
        Poll::Ready(frame)
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
    use std::time::Duration;

    use futures_util::FutureExt as _;
    use tower::{Layer as _, ServiceExt as _, service_fn};

    use super::*;

    const PATH: &str = "/zendesk.gateway.v1.UserService/GetUser";

    type Answer = Pin<Box<dyn Future<Output = Result<Response<Counted<String>>, Infallible>>>>;

    /// A service that answers as soon as the call has its message, and never if there is nothing to wait for.
    fn layer(settings: &config::Server, drain: &Drain) -> impl Fn(&'static str) -> Answer + use<> {
        let service = Layer::new(settings, drain).layer(service_fn(|request: Request<&'static str>| async move {
            let place = request.extensions().get::<Place>().expect("the layer gives it").clone();
            match *request.body() {
                "none" => std::future::pending().await,
                "slow" => {
                    place.take().expect("there is room");
                    std::future::pending().await
                }
                _ => Ok::<_, Infallible>(Response::new(String::new())),
            }
        }));
        move |message| {
            let request = Request::post(PATH).body(message).expect("a request");
            Box::pin(service.clone().oneshot(request))
        }
    }

    /// The status in an answer's headers; the service's own answers have none.
    fn status(answer: Result<Response<Counted<String>>, Infallible>) -> Option<String> {
        let Ok(response) = answer;
        response.headers().get("grpc-status").map(|status| status.to_str().expect("digits").to_owned())
    }

    #[tokio::test]
    async fn only_so_many_calls_wait_for_their_messages() {
        let call = layer(&config::Server::default(), &Drain::default());
        let mut waiting: Vec<Answer> = (0..waiting::MOST).map(|_| call("none")).collect();
        assert!(waiting.iter_mut().all(|answer| answer.now_or_never().is_none()));
        assert_eq!(status(call("none").await).as_deref(), Some("14"), "UNAVAILABLE");
        assert_eq!(status(call("here").await), None, "a call that brings its message does not wait");
        assert!(call("slow").now_or_never().is_none(), "nor does one whose answer takes long");
        waiting.pop();
        assert!(call("none").now_or_never().is_none(), "there is room again");
    }

    #[tokio::test(start_paused = true)]
    async fn a_message_is_not_waited_for_longer_than_the_setting_says() {
        let settings = config::Server::default();
        let call = layer(&settings, &Drain::default());
        let started = tokio::time::Instant::now();
        assert_eq!(status(call("none").await).as_deref(), Some("4"), "DEADLINE_EXCEEDED");
        assert_eq!(started.elapsed(), settings.message_timeout);
        let slow = tokio::time::timeout(settings.message_timeout * 100, call("slow")).await;
        assert!(slow.is_err(), "what takes long afterwards is up to others");
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_has_asked_for_nothing_does_not_hold_up_the_end() {
        let drain = Drain::default();
        let call = layer(&config::Server::default(), &drain);
        let (mut idle, mut slow) = (call("none"), call("slow"));
        assert!((&mut idle).now_or_never().is_none() && (&mut slow).now_or_never().is_none());
        drain.begin();
        let started = tokio::time::Instant::now();
        assert_eq!(status(idle.await).as_deref(), Some("14"), "UNAVAILABLE");
        assert!(started.elapsed() <= Duration::from_secs(1), "{:?}", started.elapsed());
        assert!(tokio::time::timeout(Duration::from_mins(10), slow).await.is_err(), "what was asked is answered");
    }
}
