//! Which failed calls are the caller's own mistake, although their code is one for failures of a service.
//!
//! An alert about failed calls wakes somebody up. No caller may cause it alone, by mistake or on purpose: then the alert would
//! say nothing of the service.

use std::time::Duration;

use tonic::Code;

/// A timeout below this is the caller's own mistake if it passes. Zendesk answers a healthy request in a few hundred
/// milliseconds, a good one in a hundred; and if calls that ask for less are late because the gateway itself is slow, others,
/// with longer timeouts, fail as well.
const LEAST_TIMEOUT: Duration = Duration::from_millis(100);

/// What is known of a failed call.
#[derive(Debug, Clone, Copy)]
pub struct Failed {
    /// How it ended.
    pub code: Code,
    /// The reason, if the gateway gave one.
    pub reason: Option<&'static str>,
    /// The caller's own timeout.
    pub asked: Option<Duration>,
    /// True for a call of the contract, false for health and reflection.
    pub ours: bool,
    /// True for a call that was told all there is, and waits for news.
    pub watches: bool,
}

impl Failed {
    /// Returns the name of the caller's mistake in telemetry; none if the code is that of a refusal anyway, or the service failed.
    pub fn mistake(&self) -> Option<&'static str> {
        let hurried = self.asked.is_some_and(|asked| asked < LEAST_TIMEOUT);
        let reason = self.reason?;
        match (self.code, reason) {
            // The gateway has each method of its contract, so only something else can be missing.
            (Code::Unimplemented, _) => Some(reason),
            (_, "CACHE_MISS" | "MALFORMED_REQUEST" | "REQUEST_INCOMPLETE" | "REPLY_NOT_READ") => Some(reason),
            (Code::DeadlineExceeded, "DEADLINE_EXCEEDED") if self.watches => Some("STILL_RUNNING"),
            // Anybody can make up a token's key.
            (Code::Unavailable, "CALLER_UNAUTHENTICATED") => Some(reason),
            // The queue refuses a call that would be served later than its deadline.
            (Code::DeadlineExceeded, "DEADLINE_EXCEEDED" | "OUTCOME_UNKNOWN")
            | (Code::Unavailable, "OVERLOADED" | "IDENTITY_UNAVAILABLE")
                if hurried =>
            {
                Some("DEADLINE_TOO_SHORT")
            }
            // Watches and sessions last until their peers, their deadlines or a limit end them.
            (Code::DeadlineExceeded | Code::Unavailable, _) if !self.ours => Some(reason),
            _ => None,
        }
    }

    /// True if the gateway or Zendesk failed, and not the caller. The codes are those for which the semantic conventions mark a
    /// server's span as failed.
    pub fn is_failure(&self) -> bool {
        use Code::{DataLoss, DeadlineExceeded, Internal, Unavailable, Unimplemented, Unknown};
        matches!(self.code, Unknown | DeadlineExceeded | Unimplemented | Internal | Unavailable | DataLoss)
            && self.mistake().is_none()
    }
}

#[cfg(test)]
mod tests {
    use Code::{
        Aborted, AlreadyExists, Cancelled, FailedPrecondition, InvalidArgument, NotFound, OutOfRange, PermissionDenied,
        ResourceExhausted, Unauthenticated,
    };

    use super::*;

    #[test]
    fn no_mistake_of_a_caller_is_a_failure_and_no_failure_a_mistake() {
        let with = |code, reason, asked: u64| {
            let asked = (asked > 0).then(|| Duration::from_millis(asked));
            Failed { code, reason, asked, ours: true, watches: false }
        };
        let beside = |code, reason| Failed { ours: false, ..with(code, reason, 0) };
        let late = Some("DEADLINE_EXCEEDED");
        for (failed, mistake) in [
            (with(Code::DeadlineExceeded, late, 99), Some("DEADLINE_TOO_SHORT")),
            (with(Code::DeadlineExceeded, Some("OUTCOME_UNKNOWN"), 1), Some("DEADLINE_TOO_SHORT")),
            (with(Code::Unavailable, Some("OVERLOADED"), 50), Some("DEADLINE_TOO_SHORT")),
            (with(Code::Unimplemented, Some("UNIMPLEMENTED"), 0), Some("UNIMPLEMENTED")),
            (with(Code::Unavailable, Some("CACHE_MISS"), 0), Some("CACHE_MISS")),
            (with(Code::Internal, Some("MALFORMED_REQUEST"), 0), Some("MALFORMED_REQUEST")),
            (with(Code::DeadlineExceeded, Some("REQUEST_INCOMPLETE"), 0), Some("REQUEST_INCOMPLETE")),
            (with(Code::Unavailable, Some("REQUEST_INCOMPLETE"), 500), Some("REQUEST_INCOMPLETE")),
            (with(Code::DeadlineExceeded, Some("REPLY_NOT_READ"), 500), Some("REPLY_NOT_READ")),
            (with(Code::Unavailable, Some("CALLER_UNAUTHENTICATED"), 0), Some("CALLER_UNAUTHENTICATED")),
            (with(Code::Unavailable, Some("IDENTITY_UNAVAILABLE"), 0), None),
            (Failed { watches: true, ..with(Code::DeadlineExceeded, late, 0) }, Some("STILL_RUNNING")),
            (Failed { watches: true, ..with(Code::DeadlineExceeded, Some("UPSTREAM_TIMEOUT"), 0) }, None),
            (beside(Code::DeadlineExceeded, late), late),
            (beside(Code::Unavailable, Some("OVERLOADED")), Some("OVERLOADED")),
            (beside(Code::Internal, Some("INTERNAL")), None),
            (with(Code::DeadlineExceeded, late, 100), None),
            (with(Code::DeadlineExceeded, late, 0), None),
            (with(Code::DeadlineExceeded, Some("UPSTREAM_TIMEOUT"), 50), None),
            (with(Code::Unavailable, Some("OVERLOADED"), 100), None),
            (with(Code::Unavailable, Some("UPSTREAM_UNAVAILABLE"), 50), None),
            (with(Code::Internal, Some("INTERNAL"), 50), None),
            (with(Code::Internal, None, 50), None),
        ] {
            assert_eq!((failed.mistake(), failed.is_failure()), (mistake, mistake.is_none()), "{failed:?}");
        }
        for code in [
            Aborted,
            AlreadyExists,
            Cancelled,
            FailedPrecondition,
            InvalidArgument,
            NotFound,
            OutOfRange,
            PermissionDenied,
            ResourceExhausted,
            Unauthenticated,
        ] {
            assert!(!with(code, None, 0).is_failure(), "{code:?}");
        }
    }
}
