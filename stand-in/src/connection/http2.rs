//! HTTP/2 with the manners of an edge.
//!
//! hyper speaks the protocol too well for a test of failures: its GOAWAY loses nothing, and its streams cannot be made to end
//! in the middle. So [`Frames`] sits between it and the channel, reads the nine bytes that each frame starts with, and can add
//! a frame or leave frames out. [`Streams`] is what both know about the streams of one connection, and [`Ordered`] is a
//! response body that obeys the orders left for its stream.

mod body;
mod frames;
mod parser;
mod stream;
mod streams;

use std::sync::Arc;

use axum::Router;
use h2::Error;
use http::{Request, Response};
use hyper::body::Incoming;

use super::ConnectionControl;
pub(super) use body::Ordered;
pub(super) use frames::Frames;
pub(super) use stream::{Stop, Stream};
pub(super) use streams::Streams;

/// Answers a request as its stream is ordered to: perhaps with an error, which resets the stream, and perhaps never.
pub(super) async fn answer(
    mut request: Request<Incoming>,
    app: Router,
    streams: Arc<Streams>,
) -> Result<Response<Ordered>, Error> {
    let stream = streams.claim(request.headers_mut());
    let response = super::answer(request, app, ConnectionControl::of_stream(Arc::clone(&stream))).await;
    stream.before_head().await?;
    Ok(response.map(|body| Ordered::new(body, stream)))
}
