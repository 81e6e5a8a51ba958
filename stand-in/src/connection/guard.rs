//! Tells how an answer ended, above all whether its client stayed for all of it.
//!
//! hyper drops the handler's future when the connection ends under it, and drops the response body when it ends later; an answer that
//! was handed over whole may still wait for a slow socket. An [`AnswerGuard`] covers all three: created before the handler runs, it
//! moves into the response body and from there to the connection, which releases it when the last byte is written.
//!
//! On HTTP/2 the connection releases it when the frame that ends the stream is written; a client that resets the stream has left, and
//! one that loses the connection has left all of its streams.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::{Method, Request};
use hyper::body::{Body as HttpBody, Frame, SizeHint};

use super::ConnectionControl;

/// How an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Its last byte was written.
    Complete,
    /// The client went away before that.
    ClientLeft,
    /// A fault closed the connection, or on HTTP/2 the stream, before that.
    Cut,
}

/// Calls back once, when the answer to a request has ended.
///
/// ```text
/// let guard = AnswerGuard::new(&request, move |ended| recorder.end(number, ended));
/// guard.follow(next.run(request).await)
/// ```
pub struct AnswerGuard {
    on_end: Option<Box<dyn FnOnce(Ended) + Send>>,
    control: Option<ConnectionControl>,
    /// A HEAD request's answer is complete with its headers, whatever body it carries.
    bodiless: bool,
}

impl AnswerGuard {
    /// Starts to watch the answer to `request`.
    pub fn new<B>(request: &Request<B>, on_end: impl FnOnce(Ended) + Send + 'static) -> Self {
        Self {
            on_end: Some(Box::new(on_end)),
            control: request.extensions().get().cloned(),
            bodiless: request.method() == Method::HEAD,
        }
    }

    /// Follows the answer until its last byte is written.
    #[must_use]
    pub fn follow(self, response: Response) -> Response {
        response.map(|body| {
            let complete = self.bodiless || body.is_end_stream();
            Body::new(Followed { body, guard: Some(self), complete })
        })
    }

    pub(super) fn complete(mut self) {
        if let Some(on_end) = self.on_end.take() {
            on_end(Ended::Complete);
        }
    }
}

impl Drop for AnswerGuard {
    fn drop(&mut self) {
        if let Some(on_end) = self.on_end.take() {
            let cut = self.control.as_ref().is_some_and(ConnectionControl::was_cut);
            on_end(if cut { Ended::Cut } else { Ended::ClientLeft });
        }
    }
}

/// A body that carries the guard.
struct Followed {
    body: Body,
    guard: Option<AnswerGuard>,
    complete: bool,
}

impl HttpBody for Followed {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        if matches!(polled, Poll::Ready(None)) || self.body.is_end_stream() {
            self.complete = true;
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Followed {
    /// hyper drops a body once it has taken all of it, before it flushes, so what counts from here on is the flush.
    fn drop(&mut self) {
        let Some(guard) = self.guard.take().filter(|_| self.complete) else {
            return;
        };
        match guard.control.clone() {
            Some(control) => control.complete_once_flushed(guard),
            None => guard.complete(),
        }
    }
}
