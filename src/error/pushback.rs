//! Whether clients that repeat failed calls by themselves should repeat this one: `grpc-retry-pushback-ms`.
//!
//! Clients with a retry policy know nothing but codes. Where the gateway has repeated what failed, each repetition of theirs
//! would be as many requests to Zendesk again. <https://github.com/grpc/proposal/blob/master/A6-client-retries.md#pushback>

use http::{HeaderName, HeaderValue};

use super::{Error, Retry};

/// The trailer: milliseconds to wait before the next attempt, or -1 for no further attempt. Without it the client's own policy
/// applies.
pub const PUSHBACK: HeaderName = HeaderName::from_static("grpc-retry-pushback-ms");
/// In a response from one replica of a fleet to another: the call was not carried out, because the replica does not lead. The
/// highest term that it has heard of, or 0.
pub const NOT_LEADER: HeaderName = HeaderName::from_static("x-fleet-not-leader");

impl Error {
    /// Returns the trailer's value.
    ///
    /// There is none for what no policy repeats, such as a wrong field: some clients count each -1 as a failure of the server, and
    /// after a few of them repeat nothing.
    pub(super) fn pushback(&self) -> Option<HeaderValue> {
        const NEVER: HeaderValue = HeaderValue::from_static("-1");
        match self {
            // The write may have been done; and whoever asks for cached answers only wants no wait.
            Self::OutcomeUnknown(_)
            | Self::Deadline { sent: true }
            | Self::DeadlineInReading
            | Self::AnswerUnread
            | Self::CacheMiss => Some(NEVER),
            _ if self.row().retry != Retry::Never => Some(NEVER),
            // A proxy has given up on this request.
            Self::Server(_) => Some(NEVER),
            _ => {
                let wait = self.retry_after()?.as_millis();
                Some(HeaderValue::from(u64::try_from(wait).unwrap_or(u64::MAX)))
            }
        }
    }
}
