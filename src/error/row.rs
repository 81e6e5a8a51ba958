//! What a row of the error table says.

use std::time::Duration;

use tonic::Code;

use super::{Error, Refusal, reason_name};
use crate::limits::{Limit, UNSTATED_WAIT};
use crate::proto::ErrorReason;

/// What an error means for each part that acts on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// The canonical gRPC code.
    pub code: Code,
    /// The reason in `ErrorInfo`.
    pub reason: ErrorReason,
    /// Which calls the retry layer may repeat.
    pub retry: Retry,
    /// What the circuit breaker learns.
    pub breaker: Verdict,
    /// What became of a write that failed this way.
    pub fate: Fate,
    /// What it is about, and so whether another request would fail, too.
    pub blame: Blame,
    /// True if an older cached answer may be served instead (stale-if-error, RFC 5861). False where the error is about this
    /// caller or this request, and for writes.
    pub stale_if_error: bool,
    /// Its name in telemetry, where the HTTP status does not say it.
    pub kind: Option<&'static str>,
}

/// What became of a write that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// The breaker, the request budget or the queue refused this attempt inside the gateway. So it says nothing about an earlier
    /// attempt at the same write.
    Held,
    /// Not delivered, or refused for now (429) without being carried out: it can be sent again as it is.
    NotDone,
    /// Zendesk refused it for good, and did not carry it out.
    Refused,
    /// It may have been carried out.
    Unknown,
}

/// What a failure is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blame {
    /// What was asked, its records, or what the answer to it holds: the same request would fail again, and another one may not.
    Request,
    /// What the credential or the caller may do: requests of the same kind would fail, too.
    Rights,
    /// Nothing that was asked: Zendesk, the account, the credential, the way there, the gateway, or what others do at the same
    /// time. Any other request would fail now, too, and this one may go through later.
    Circumstances,
}

/// Which calls may be repeated after a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// No call: the same call would fail the same way.
    Never,
    /// Any call: nothing was delivered.
    Undelivered,
    /// Any call, if the wait that Zendesk asks for fits the deadline: it refused without acting.
    AsAsked,
    /// Calls that are `NO_SIDE_EFFECTS` or `IDEMPOTENT`: it may have been delivered.
    Repeatable,
    /// Calls that are `NO_SIDE_EFFECTS`, one time.
    ReadOnce,
}

/// What an attempt tells the circuit breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The upstream works.
    Success,
    /// The upstream does not work.
    Failure,
    /// The upstream gave no answer in time: it does not work, unless others are answered.
    Timeout,
    /// Says nothing about the upstream.
    Ignore,
}

/// Returns whether a read is worth asking again after a status: not after 408 and 499, where a proxy has given up on this request.
pub(super) fn again(status: u16) -> Retry {
    if status < 500 { Retry::Never } else { Retry::ReadOnce }
}

/// Returns the code of a status: a proxy that has given up on this request, with 408 or 499, is no failure inside Zendesk.
pub(super) fn code_of_server(status: u16) -> Code {
    if status < 500 { Code::Unavailable } else { Code::Internal }
}

/// Returns what a status says of Zendesk's health: 408, 499 and a 303 that answers a write say nothing.
pub(super) fn of_server(status: u16) -> Verdict {
    if status < 500 { Verdict::Ignore } else { Verdict::Failure }
}

/// Returns the reason for a code of the server library, which gives none of its own.
pub(super) fn of_library(code: Code) -> ErrorReason {
    match code {
        Code::Unimplemented => ErrorReason::Unimplemented,
        Code::Internal => ErrorReason::MalformedRequest,
        Code::InvalidArgument => ErrorReason::InvalidField,
        Code::NotFound => ErrorReason::NotFound,
        Code::OutOfRange => ErrorReason::ReplyTooLarge,
        Code::ResourceExhausted => ErrorReason::RequestTooLarge,
        _ => ErrorReason::Internal,
    }
}

/// Returns the code of a write whose outcome is unknown: `DEADLINE_EXCEEDED` if that is the cause's, else UNAVAILABLE. Clients
/// would read INTERNAL as "it failed".
pub(super) fn unknown_code(cause: &Error) -> Code {
    match cause.row().code {
        Code::DeadlineExceeded => Code::DeadlineExceeded,
        _ => Code::Unavailable,
    }
}

impl Error {
    /// Returns what the failure means.
    pub fn row(&self) -> Row {
        self.entry().0
    }

    /// Returns what the response said, where there was one.
    pub fn refusal(&self) -> Option<&Refusal> {
        self.entry().1
    }

    /// Returns its name in telemetry, `error.type`: one of a few words, else the HTTP status of the response, else the reason.
    pub fn kind(&self) -> String {
        match self.row().kind {
            Some(kind) => kind.to_owned(),
            None => self.http_status().map_or_else(|| self.reason().to_lowercase(), |status| status.to_string()),
        }
    }

    /// Returns the HTTP status of the response, where there was one.
    pub fn http_status(&self) -> Option<u16> {
        self.refusal().map(|refusal| refusal.status).filter(|status| *status > 0)
    }

    /// Returns the reason as callers read it: `NOT_FOUND`.
    pub fn reason(&self) -> &'static str {
        reason_name(self.row().reason)
    }

    /// Returns [`Error::OutcomeUnknown`] if a write that failed this way may have been carried out, else the error itself.
    #[must_use]
    pub fn as_write_error(self) -> Self {
        match self {
            Self::OutcomeUnknown(_) => self,
            open if open.may_have_been_done() => Self::OutcomeUnknown(Box::new(open)),
            other => other,
        }
    }

    /// True if a write that failed this way may have been carried out.
    pub fn may_have_been_done(&self) -> bool {
        self.row().fate == Fate::Unknown
    }

    /// True if it is what Zendesk answers where all is well: what was asked for, or written, is the matter.
    pub fn is_answer(&self) -> bool {
        use ErrorReason as R;
        let reason = self.row().reason;
        self.refusal().is_some()
            && matches!(
                reason,
                R::NotFound | R::RecordInvalid | R::DuplicateValue | R::CursorExpired | R::PaginationDepth
            )
    }

    /// True if the same request would fail again, however often it is sent.
    pub fn is_about_the_request(&self) -> bool {
        self.row().blame != Blame::Circumstances
    }

    /// Returns which of Zendesk's limits the call met, if it met one and it is known which.
    pub fn limit(&self) -> Option<Limit> {
        match self {
            Self::BudgetSpent { limit, .. } => Some(*limit),
            Self::JobLimit(_) | Self::SlotsTaken { .. } => Some(Limit::Jobs),
            Self::Throttled(refusal) => refusal.limit,
            _ => None,
        }
    }

    /// True if it is the failure of a connection that another call has reported.
    pub fn is_already_counted(&self) -> bool {
        matches!(self, Self::Connect(end) | Self::BrokenBeforeHeaders(end) | Self::BrokenBody(end) if end.counted)
    }

    /// Returns how long the caller should wait before a repetition can succeed, where that is known.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::BreakerOpen { retry_after, .. }
            | Self::BudgetSpent { retry_after, .. }
            | Self::CallerLimit { retry_after, .. }
            | Self::KeyUnknown(retry_after) => Some(*retry_after),
            Self::SlotsTaken { .. } => Some(UNSTATED_WAIT),
            // By then some of those under way may have been answered, and a few others have gone to find out.
            Self::Unanswered => Some(Duration::from_secs(1)),
            // Zendesk says nothing of when a job of others will have ended.
            Self::JobLimit(refusal) => Some(refusal.retry_after.unwrap_or(UNSTATED_WAIT)),
            Self::Connect(end) | Self::BrokenBody(end) => end.retry_after,
            other => other.refusal().and_then(|refusal| refusal.retry_after),
        }
    }

    /// Returns this failure to get an access token, which says when the next one is asked for.
    #[must_use]
    pub fn come_back_after(mut self, wait: Duration) -> Self {
        match &mut self {
            Self::Connect(end) | Self::BrokenBody(end) => end.retry_after = Some(wait),
            Self::Credential { refusal, .. }
            | Self::Throttled(refusal)
            | Self::Server(refusal)
            | Self::Unavailable(refusal)
            | Self::GatewayTimeout(refusal)
            | Self::Malformed(refusal)
            | Self::Redirected(refusal) => refusal.retry_after = Some(wait),
            _ => {}
        }
        self
    }
}
