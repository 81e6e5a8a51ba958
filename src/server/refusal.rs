//! Endings that the layers of the inbound stack put in place of an answer.

use http::HeaderMap;
use tonic::Status;

use crate::error::Error;

/// Returns a response that says nothing but the error.
pub fn response(error: Error) -> http::Response<()> {
    Status::from(error).into_http()
}

/// Returns the trailers that end an answer with an error.
pub fn trailers(error: Error) -> HeaderMap {
    let mut trailers = HeaderMap::new();
    if Status::from(error).add_header(&mut trailers).is_err() {
        trailers.insert("grpc-status", http::HeaderValue::from_static("13"));
    }
    trailers
}
