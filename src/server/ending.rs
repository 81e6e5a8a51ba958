//! The end of a response body, for layers that end responses or act when they have ended.
//!
//! A response has not ended when its headers are sent: its messages follow, and its resources are held until then. A layer that
//! ends responses, or must know when they have ended, implements [`BodyHook`]. Only this module knows the different ways in which
//! a body can end.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};

use super::refusal;
use crate::error::Error;

/// How a body has ended.
pub enum End<'a> {
    /// With trailers; the hook can add to them.
    Trailers(&'a mut HeaderMap),
    /// With an error of the body.
    Broken,
    /// Without trailers.
    NoTrailers,
}

/// The next frame of a body; none at its end.
pub type Next<E> = Option<Result<Frame<Bytes>, E>>;

/// Acts on the body of a response: can end it with an error, and is told of its end.
///
/// It is dropped right after [`BodyHook::ended`], or without that call: if the caller cancels, or if the body is at its end from
/// the start, as in a Trailers-Only response, which is not polled. What its headers say is to be read when it is made.
pub trait BodyHook {
    /// Polls the body for its next frame. An error ends the response with the error's status, and the body is dropped.
    fn poll_frame<B>(&mut self, body: Pin<&mut B>, context: &mut Context<'_>) -> Poll<Result<Next<B::Error>, Error>>
    where
        B: Body<Data = Bytes>,
    {
        body.poll_frame(context).map(Ok)
    }

    /// Is called when the body has ended.
    fn ended(&mut self, _end: End<'_>) {}
}

/// A response body with its hook.
pub struct HookedBody<B, W>(Option<(B, W)>);

impl<B, W> HookedBody<B, W> {
    /// Returns this body with a hook.
    pub fn new(body: B, hook: W) -> Self {
        Self(Some((body, hook)))
    }

    /// Returns the empty body of a Trailers-Only response.
    pub fn trailers_only() -> Self {
        Self(None)
    }
}

impl<B, W> Body for HookedBody<B, W>
where
    B: Body<Data = Bytes> + Unpin,
    W: BodyHook + Unpin,
{
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let Some((body, hook)) = &mut self.0 else { return Poll::Ready(None) };
        let mut next = ready!(hook.poll_frame(Pin::new(body), context))
            .unwrap_or_else(|error| Some(Ok(Frame::trailers(refusal::trailers(error)))));
        let end = match &mut next {
            Some(Ok(frame)) if frame.is_data() => return Poll::Ready(next),
            // Every frame is data or trailers.
            Some(Ok(frame)) => frame.trailers_mut().map_or(End::NoTrailers, End::Trailers),
            Some(Err(_)) => End::Broken,
            None => End::NoTrailers,
        };
        hook.ended(end);
        self.0 = None;
        Poll::Ready(next)
    }

    fn is_end_stream(&self) -> bool {
        self.0.as_ref().is_none_or(|(body, _)| body.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        self.0.as_ref().map_or_else(|| SizeHint::with_exact(0), |(body, _)| body.size_hint())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use futures_util::stream;
    use http_body_util::{BodyExt as _, StreamBody};

    use super::*;

    /// What a hook sees.
    #[derive(Clone, Default)]
    struct Events(Arc<Mutex<Vec<&'static str>>>);

    struct Recorder(Events, Option<Error>);

    impl Events {
        fn add(&self, what: &'static str) {
            self.0.lock().expect("no panic inside").push(what);
        }

        fn all(&self) -> Vec<&'static str> {
            self.0.lock().expect("no panic inside").clone()
        }
    }

    impl BodyHook for Recorder {
        fn poll_frame<B: Body<Data = Bytes>>(
            &mut self,
            body: Pin<&mut B>,
            context: &mut Context<'_>,
        ) -> Poll<Result<Next<B::Error>, Error>> {
            match self.1.take() {
                Some(error) => Poll::Ready(Err(error)),
                None => body.poll_frame(context).map(Ok),
            }
        }

        fn ended(&mut self, end: End<'_>) {
            self.0.add(match end {
                End::Trailers(trailers) if trailers.contains_key("grpc-status") => "status",
                End::Trailers(_) => "trailers",
                End::Broken => "broken",
                End::NoTrailers => "silent",
            });
        }
    }

    impl Drop for Recorder {
        fn drop(&mut self) {
            self.0.add("dropped");
        }
    }

    type Step = Result<Frame<Bytes>, &'static str>;

    /// Returns a body with these frames.
    fn body(steps: Vec<Step>, error: Option<Error>) -> (impl Body<Data = Bytes, Error = &'static str> + Unpin, Events) {
        let events = Events::default();
        (HookedBody::new(StreamBody::new(stream::iter(steps)), Recorder(events.clone(), error)), events)
    }

    fn data() -> Frame<Bytes> {
        Frame::data(Bytes::from_static(b"a message"))
    }

    #[tokio::test]
    async fn every_end_is_seen_once() {
        let trailers = || Ok(Frame::trailers(HeaderMap::new()));
        for (steps, seen) in [
            (vec![Ok(data()), trailers(), Ok(data())], "trailers"),
            (vec![Ok(data()), Err("reset"), Ok(data())], "broken"),
            (vec![Ok(data())], "silent"),
        ] {
            let (mut body, events) = body(steps, None);
            assert!(body.frame().await.expect("a message").expect("it is there").is_data());
            assert_eq!(events.all(), [] as [&str; 0]);
            let _ = body.frame().await;
            assert_eq!(events.all(), [seen, "dropped"]);
            assert!(body.frame().await.is_none() && body.is_end_stream(), "nothing follows");
        }
    }

    #[tokio::test]
    async fn a_body_that_is_given_up_has_no_end() {
        let (mut body, events) = body(vec![Ok(data()), Ok(data())], None);
        assert!(body.frame().await.is_some());
        drop(body);
        assert_eq!(events.all(), ["dropped"]);
    }

    #[tokio::test]
    async fn an_error_of_the_hook_becomes_the_status() {
        let (mut body, events) = body(vec![Ok(data())], Some(Error::ShuttingDown));
        let end = body.frame().await.expect("an end").expect("it is sent").into_trailers().expect("trailers");
        assert_eq!(end["grpc-status"], "14");
        assert!(body.frame().await.is_none());
        assert_eq!(events.all(), ["status", "dropped"]);
    }

    #[test]
    fn a_trailers_only_body_is_at_its_end() {
        let empty: HookedBody<http_body_util::Empty<Bytes>, Recorder> = HookedBody::trailers_only();
        assert!(empty.is_end_stream() && empty.size_hint().exact() == Some(0));
    }
}
