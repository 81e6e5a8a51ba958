//! Errors that layers of the inbound stack answer with in place of the services.

use http::HeaderMap;
use tonic::Status;

use crate::error::Error;

/// Returns a response that consists of the error alone.
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
