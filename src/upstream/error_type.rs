//! Short names of failures, for `error.type` in telemetry.

use crate::error::Error;

/// Returns the kind of a failure: one of a few words, or else the HTTP status of the response.
pub fn error_type(error: &Error) -> String {
    let word = match error {
        Error::Connect(_) => "connect",
        Error::NoStream { .. } => "no_stream",
        Error::BrokenBeforeHeaders(_) => "broken_before_headers",
        Error::BrokenBody(_) => "broken_body",
        Error::AttemptTimeout => "timeout",
        Error::Malformed(_) => "malformed",
        Error::Foreign(_) => "foreign",
        other => match status(other) {
            Some(status) => return status.to_string(),
            None => return other.reason().to_lowercase(),
        },
    };
    word.to_owned()
}

/// Returns the HTTP status of a failure, where there was one.
pub fn status(error: &Error) -> Option<u16> {
    error.refusal().map(|refusal| refusal.status).filter(|status| *status > 0)
}
