//! The end of a reply, for layers that end replies or act when they have ended.
//!
//! A reply has not ended when its headers are sent: its messages follow, and the reply's resources are held until then. A layer
//! that ends replies, or must know when they have ended, implements [`Witness`]. Only this module knows the different ways in
//! which a reply can end.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};

use super::refusal;
use crate::error::Error;

/// How a reply has ended.
pub enum End<'a> {
    /// With a status in trailers, to which the witness can add.
    Status(&'a mut HeaderMap),
    /// With an error of the body, before its end.
    Broken,
    /// Without trailers: the status was in the headers.
    Silent,
}

/// The next frame of a body; none at its end.
pub type Next<E> = Option<Result<Frame<Bytes>, E>>;

/// Watches a reply until it has ended.
///
/// It is dropped right after [`Witness::ended`], or without that call if the caller cancels before the end.
pub trait Witness {
    /// Polls the body for its next frame. An error ends the reply with the error's status, and the body is dropped.
    fn poll<B>(&mut self, body: Pin<&mut B>, context: &mut Context<'_>) -> Poll<Result<Next<B::Error>, Error>>
    where
        B: Body<Data = Bytes>,
    {
        body.poll_frame(context).map(Ok)
    }

    /// Is called when the reply has ended.
    fn ended(&mut self, end: End<'_>) {
        let _ = end;
    }
}

/// A reply with its witness.
pub struct Witnessed<B, W>(Option<(B, W)>);

impl<B, W> Witnessed<B, W> {
    /// Returns a reply with this body.
    pub fn new(body: B, witness: W) -> Self {
        Self(Some((body, witness)))
    }

    /// Returns a reply without a body: its headers have the status.
    pub fn nothing() -> Self {
        Self(None)
    }
}

impl<B, W> Body for Witnessed<B, W>
where
    B: Body<Data = Bytes> + Unpin,
    W: Witness + Unpin,
{
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let Some((body, witness)) = &mut self.0 else { return Poll::Ready(None) };
        let mut next = ready!(witness.poll(Pin::new(body), context))
            .unwrap_or_else(|error| Some(Ok(Frame::trailers(refusal::trailers(error)))));
        let end = match &mut next {
            Some(Ok(frame)) if frame.is_data() => return Poll::Ready(next),
            Some(Ok(frame)) => frame.trailers_mut().map_or(End::Silent, End::Status),
            Some(Err(_)) => End::Broken,
            None => End::Silent,
        };
        witness.ended(end);
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
    use std::convert::Infallible;
    use std::sync::{Arc, Mutex};

    use futures_util::stream;
    use http_body_util::{BodyExt as _, StreamBody};

    use super::*;

    /// Notes of what a witness sees.
    #[derive(Clone, Default)]
    struct Notes(Arc<Mutex<Vec<&'static str>>>);

    struct Notary(Notes, Option<Error>);

    impl Notes {
        fn add(&self, what: &'static str) {
            self.0.lock().expect("no panic inside").push(what);
        }

        fn all(&self) -> Vec<&'static str> {
            self.0.lock().expect("no panic inside").clone()
        }
    }

    impl Witness for Notary {
        fn poll<B: Body<Data = Bytes>>(
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
                End::Status(trailers) if trailers.contains_key("grpc-status") => "status",
                End::Status(_) => "trailers",
                End::Broken => "broken",
                End::Silent => "silent",
            });
        }
    }

    impl Drop for Notary {
        fn drop(&mut self) {
            self.0.add("dropped");
        }
    }

    type Step = Result<Frame<Bytes>, &'static str>;

    /// Returns a reply with these frames.
    fn reply(steps: Vec<Step>, error: Option<Error>) -> (impl Body<Data = Bytes, Error = &'static str> + Unpin, Notes) {
        let notes = Notes::default();
        (Witnessed::new(StreamBody::new(stream::iter(steps)), Notary(notes.clone(), error)), notes)
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
            let (mut reply, notes) = reply(steps, None);
            assert!(reply.frame().await.expect("a message").expect("it is there").is_data());
            assert_eq!(notes.all(), [] as [&str; 0]);
            let _ = reply.frame().await;
            assert_eq!(notes.all(), [seen, "dropped"]);
            assert!(reply.frame().await.is_none() && reply.is_end_stream(), "nothing follows");
        }
    }

    #[tokio::test]
    async fn a_reply_that_is_given_up_has_no_end() {
        let (mut reply, notes) = reply(vec![Ok(data()), Ok(data())], None);
        assert!(reply.frame().await.is_some());
        drop(reply);
        assert_eq!(notes.all(), ["dropped"]);
    }

    #[tokio::test]
    async fn whoever_sees_a_reply_to_its_end_may_end_it() {
        let (mut reply, notes) = reply(vec![Ok(data())], Some(Error::ShuttingDown));
        let end = reply.frame().await.expect("an end").expect("it is sent").into_trailers().expect("trailers");
        assert_eq!(end["grpc-status"], "14");
        assert!(reply.frame().await.is_none());
        assert_eq!(notes.all(), ["status", "dropped"]);
        let nothing: Witnessed<http_body_util::Empty<Bytes>, Notary> = Witnessed::nothing();
        assert!(nothing.is_end_stream() && nothing.size_hint().exact() == Some(0));
        let _: Result<_, Infallible> = nothing.collect().await;
    }
}
