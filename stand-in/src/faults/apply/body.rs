//! Bodies that say less, or more, than their content-length.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::HeaderValue;
use http::header::CONTENT_LENGTH;
use http::response::Parts;
use hyper::body::{Body as HttpBody, Frame};

use crate::connection::{ConnectionControl, Ending};

/// Promises all of `body`, sends half, and ends with `ending`.
pub(super) fn halved(parts: Parts, body: &Bytes, ending: Ending, control: ConnectionControl) -> Response {
    let promised = body.len();
    let half = body.slice(..promised / 2);
    broken_off(parts, half, promised, ending, control)
}

/// Sends `body` with a content-length that is wrong by `by` bytes.
pub(super) fn miscounted(parts: Parts, mut body: Bytes, by: i32, control: ConnectionControl) -> Response {
    let distance = by.unsigned_abs() as usize;
    if by > 0 {
        let promised = body.len() + distance;
        return broken_off(parts, body, promised, Ending::Eof, control);
    }
    let promised = body.len().saturating_sub(distance);
    if control.is_stream() {
        // On HTTP/2 the surplus is part of the stream; the client has to notice that the length is wrong.
        return response(parts, promised, LastWords::new(body, Box::new(|| ()), false));
    }
    let surplus = body.split_off(promised);
    let last_words = Box::new(move || control.append(surplus));
    response(parts, promised, LastWords::new(body, last_words, false))
}

fn broken_off(parts: Parts, sent: Bytes, promised: usize, ending: Ending, control: ConnectionControl) -> Response {
    let last_words = Box::new(move || control.close_once_flushed(ending));
    response(parts, promised, LastWords::new(sent, last_words, true))
}

fn response(mut parts: Parts, promised: usize, body: LastWords) -> Response {
    parts.headers.insert(CONTENT_LENGTH, HeaderValue::from(promised));
    Response::from_parts(parts, Body::new(body))
}

/// A body of one chunk that gives the connection an order while handing the chunk over, which is when hyper has written the
/// headers and will flush next. hyper does not know its size, and so believes the content-length header.
struct LastWords {
    chunk: Option<Bytes>,
    order: Option<Box<dyn FnOnce() + Send>>,
    /// Whether the body claims to go on after its chunk.
    endless: bool,
}

impl LastWords {
    fn new(chunk: Bytes, order: Box<dyn FnOnce() + Send>, endless: bool) -> Self {
        Self { chunk: Some(chunk), order: Some(order), endless }
    }
}

impl HttpBody for LastWords {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if let Some(order) = self.order.take() {
            order();
        }
        match self.chunk.take() {
            Some(chunk) => Poll::Ready(Some(Ok(Frame::data(chunk)))),
            // Nothing wakes this body: the connection ends, or the client does.
            None if self.endless => Poll::Pending,
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.chunk.is_none() && !self.endless
    }
}
