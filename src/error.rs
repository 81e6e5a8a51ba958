//! One vocabulary of failures, one table of what each of them means.
//!
//! A failure is judged once, where the response is read or the request is checked. The status code, the reason, whether the call
//! may be repeated, what the circuit breaker learns, what became of a write, whether another request would fail, too, and whether an
//! older answer may be served: all are read from [`Error::row`].

use std::time::Duration;

use tonic::Code;

use crate::limits::Limit;
use crate::proto::ErrorReason;

mod advice;
mod checks;
mod connection;
mod pushback;
mod refusal;
mod row;
mod status;
mod text;

pub use checks::Checks;
pub use connection::ConnectionError;
pub use pushback::{NOT_LEADER, PUSHBACK};
pub use refusal::{Refusal, Violation};
pub use row::{Blame, Fate, Retry, Row, Verdict};
use row::{again, code_of_server, of_library, of_server, unknown_code};
pub use status::reason_of;
pub use text::{quoted, shortened, snippet};

/// Result with the gateway's own error.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Every way a call can fail. It can be cloned, because one fetch can fail for many callers who wait for it.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// A field of the request was refused before anything was sent, or several.
    #[error("{field} {problem}{}", refusal::and_more(more.len(), ": see the BadRequest"))]
    Invalid {
        /// The first one's path in the request message.
        field: String,
        /// What is wrong, as the end of a sentence that begins with the field.
        problem: String,
        /// The others.
        more: Vec<Violation>,
    },
    /// Zendesk refused the values: 400 or 422.
    #[error("zendesk refused the request: {0}")]
    RecordInvalid(Box<Refusal>),
    /// A 4xx that no variant below stands for, except 408 and 499: Zendesk, or a proxy before it, refused the request and did not
    /// carry it out.
    #[error("zendesk refused to carry out the request: {0}")]
    Refused(Box<Refusal>),
    /// 3xx, except a 303 that answers a write: what was asked for is elsewhere. Redirects are not followed, so nothing was
    /// carried out.
    #[error("zendesk redirected the request instead of answering it: {0}")]
    Redirected(Box<Refusal>),
    /// A value that must be unique is taken.
    #[error("zendesk refused a duplicate: {0}")]
    Duplicate(Box<Refusal>),
    /// The cursor of a page token is not accepted any more.
    #[error("zendesk no longer accepts this page token")]
    CursorExpired(Box<Refusal>),
    /// An offset list was asked past its end of 10,000 rows.
    #[error("zendesk serves only the first 10,000 rows of this list")]
    PaginationDepth(Box<Refusal>),
    /// 401: the credential was not accepted.
    #[error("zendesk did not accept the credential: {refusal}")]
    Credential {
        /// True for the gateway's own credential; false for one that the caller passed through, and when the gateway acts on
        /// behalf of a user.
        own: bool,
        /// What Zendesk said.
        refusal: Box<Refusal>,
    },
    /// The caller's own credential is used at Zendesk, and the caller sent none.
    #[error("the metadata x-zendesk-authorization is missing: calls are made with each caller's own credential")]
    CredentialMissing,
    /// The caller may not act for another user.
    #[error("the caller may not act on behalf of others")]
    ImpersonationForbidden,
    /// 403.
    #[error("zendesk does not permit this: {0}")]
    Forbidden(Box<Refusal>),
    /// 404 or 410 about the record that the request names.
    #[error("zendesk holds no {record}: {0}", record = .0.record())]
    NotFound(Box<Refusal>),
    /// Any other 404 or 410: there is no such account, or no such API at its address.
    #[error("zendesk has no account, or not this API, at the configured address: {0}")]
    AccountNotFound(Box<Refusal>),
    /// 409.
    #[error("zendesk saw a concurrent change: {0}")]
    Conflict(Box<Refusal>),
    /// Other calls change the same thing, and this one's turn did not come before its deadline. It changed nothing.
    #[error("other calls are changing {what}, and the turn of this one did not come in time")]
    TurnMissed {
        /// What is changed.
        what: &'static str,
    },
    /// 429.
    #[error("{limit}: {0}", limit = .0.limit.unwrap_or(Limit::Account))]
    Throttled(Box<Refusal>),
    /// The account's job limit, told apart from 429 by Zendesk's own word.
    #[error("zendesk's limit of bulk jobs is reached: {0}")]
    JobLimit(Box<Refusal>),
    /// All slots for background jobs were taken until the call's deadline, so nothing was sent.
    #[error(
        "all slots for background jobs are taken: {own} by this caller, {others} by others; what other integrations run is not known"
    )]
    SlotsTaken {
        /// Slots that the caller's other calls hold.
        own: usize,
        /// Slots that other callers hold.
        others: usize,
    },
    /// 500, 408, 499, a 303 that answers a write, or any status that no other variant stands for.
    #[error("zendesk failed: {0}")]
    Server(Box<Refusal>),
    /// 502, 503, or Cloudflare's 520 to 523, 525 to 527 or 530.
    #[error("zendesk is unavailable: {0}")]
    Unavailable(Box<Refusal>),
    /// 504 or Cloudflare's 524.
    #[error("zendesk's own gateway timed out: {0}")]
    GatewayTimeout(Box<Refusal>),
    /// A successful status with a body that is not the documented JSON.
    #[error("zendesk answered something that is not the documented JSON: {0}")]
    Malformed(Box<Refusal>),
    /// A successful status with JSON that answers another request: another record, or another kind of answer.
    #[error("zendesk answered something else than was asked for: {0}")]
    Foreign(Box<Refusal>),
    /// A successful status with JSON in which what was asked for is missing, or holds values that cannot be read and on which the
    /// answer depends. It would hold the same if it was asked for again.
    #[error("zendesk's answer cannot be read: {0}")]
    Unreadable(Box<Refusal>),
    /// A list that cannot be read whole, where acting on a part of it would do harm.
    #[error("zendesk's list cannot be read whole: {what}")]
    Incomplete {
        /// Which list it is, and what is missing.
        what: String,
    },
    /// A body larger than the cap, counted after decompression.
    #[error("zendesk's answer exceeds {limit} bytes, the most that upstream.max_body_bytes allows")]
    TooLarge {
        /// The cap in bytes.
        limit: usize,
    },
    /// No connection, so nothing was sent.
    #[error("zendesk cannot be reached")]
    Connect(ConnectionError),
    /// Every allowed connection carries as many requests as the upstream permits, so nothing was sent. The queue holds the call
    /// until there is room; callers never get this error.
    #[error("the connections to zendesk take no more requests at a time")]
    NoStream {
        /// How many requests the connections take at a time.
        allowed: usize,
        /// Whether they take none of this kind for a while, so that it does not help to ask often.
        is_shut: bool,
    },
    /// The connection broke after the request was sent, before the response headers.
    #[error("the connection to zendesk broke before it answered")]
    BrokenBeforeHeaders(ConnectionError),
    /// The connection broke, or its encoding was wrong, inside the body.
    #[error("zendesk's answer broke off")]
    BrokenBody(ConnectionError),
    /// The gateway's own limit for one attempt passed.
    #[error("zendesk did not answer within the attempt's time")]
    AttemptTimeout,
    /// A client stream brought no message for too long, while the gateway waited for one.
    #[error("no further message of the request has come within {after:?}")]
    Idle {
        /// The time that was waited.
        after: Duration,
    },
    /// The caller's deadline passed.
    #[error("the deadline passed{}", if *.sent { " while zendesk may have had the request" } else { " before anything was carried out" })]
    Deadline {
        /// True if the request may have reached Zendesk.
        sent: bool,
    },
    /// The caller's deadline passed while the gateway read an answer of Zendesk's that had come in whole.
    #[error("the deadline passed while the gateway was reading zendesk's answer, which had come in time")]
    DeadlineInReading,
    /// The answer to a write came, and was not read: for long, the caller's messages and answers took all memory that is theirs.
    #[error("zendesk's answer came and was not read, because this caller's messages take too much memory")]
    AnswerUnread,
    /// The answer to a write began, with a success, and did not come whole, for this reason.
    #[error("{cause}, but it began with HTTP {}: the change was probably made", .said.status)]
    Begun {
        /// What the head of the answer said.
        said: Box<Refusal>,
        /// Why it did not come whole.
        cause: Box<Error>,
    },
    /// A write was delivered, or may have been, and its outcome is not known.
    #[error("the outcome of this write is unknown: {0}")]
    OutcomeUnknown(Box<Error>),
    /// The circuit breaker is open.
    #[error("the circuit breaker for {class} is open")]
    BreakerOpen {
        /// The endpoint class.
        class: &'static str,
        /// When it probes next.
        retry_after: Duration,
    },
    /// The request budget does not allow this call in time, so it was not sent.
    #[error("{limit}")]
    BudgetSpent {
        /// Which budget.
        limit: Limit,
        /// When there is budget again.
        retry_after: Duration,
    },
    /// The request's message is larger than any may be, as it is sent or once it is decoded.
    #[error("the request has {bytes} bytes or more, as it is or once decoded; at most {limit} are allowed")]
    RequestTooLarge {
        /// The bytes that were counted.
        bytes: usize,
        /// The bytes that are allowed.
        limit: usize,
    },
    /// The request's metadata is larger than that of any call may be.
    #[error("the metadata has {bytes} bytes, as HTTP/2 counts them; at most {limit} are allowed")]
    MetadataTooLarge {
        /// The bytes that were counted.
        bytes: usize,
        /// The bytes that are allowed.
        limit: usize,
    },
    /// The reply is larger than one may be: as a message before it is compressed, or by the memory that it takes of what one
    /// caller's messages may. So it would never fit.
    #[error("the reply takes {bytes} bytes or more, and {limit} are allowed")]
    ReplyTooLarge {
        /// The bytes that were counted.
        bytes: usize,
        /// The bytes that are allowed.
        limit: usize,
        /// True if it is the reply to a write that was done.
        done: bool,
    },
    /// The server library found that the call cannot be made as it is, or that its reply cannot be sent.
    #[error("{}", text::of_library(.what))]
    Library {
        /// Its code: it decides the reason.
        code: Code,
        /// Its sentence.
        what: String,
    },
    /// The request's message did not come, or not whole, in time.
    #[error("{}", if *.crowded { "too many calls wait for their messages" } else { "the request message did not come in time" })]
    MessageMissing {
        /// True if there was no room to wait for it.
        crowded: bool,
    },
    /// The caller has as much under way as one caller may.
    #[error("the caller has too many {what}")]
    CallerLimit {
        /// What there is too much of.
        what: &'static str,
        /// When there may be room again.
        retry_after: Duration,
    },
    /// The gateway has no room for this call.
    #[error("the gateway is overloaded: {what}")]
    Overloaded {
        /// Which bound was reached.
        what: &'static str,
    },
    /// As many requests are under way as should be, and Zendesk has answered none of them for a while, so this one was not sent.
    #[error("the gateway is overloaded: zendesk does not answer the requests under way")]
    Unanswered,
    /// Zendesk repeated a cursor, or kept claiming rows without sending any.
    #[error("zendesk's pagination of {list} does not end: {what}")]
    PaginationLoop {
        /// Which list it is.
        list: String,
        /// What was seen.
        what: &'static str,
    },
    /// The caller sent `only-if-cached`, and nothing fresh enough is cached.
    #[error("nothing fresh enough is cached")]
    CacheMiss,
    /// The gateway did not accept the caller's own identity.
    #[error("the caller is not authenticated: {why}")]
    Unauthenticated {
        /// What is wrong with what the caller sent.
        why: &'static str,
    },
    /// The caller's token names a key that is not known, and its issuer can be asked for its keys again after this time.
    #[error("the caller is not authenticated: the token is signed with a key that is not known yet")]
    KeyUnknown(Duration),
    /// The caller sent a token, and the keys to verify it with could not be fetched yet.
    #[error("tokens cannot be verified yet: the issuer's keys have not been read")]
    IdentityUnavailable,
    /// The gateway's policy does not let this caller make this call.
    #[error("the caller may not make this call: {why}")]
    CallerForbidden {
        /// Why the policy refuses it.
        why: String,
    },
    /// A defect in the gateway itself.
    #[error("the gateway failed: {what}")]
    Internal {
        /// What happened; the log has the details.
        what: &'static str,
    },
    /// The gateway is draining.
    #[error("the gateway is shutting down")]
    ShuttingDown,
    /// The replica that leads the fleet had the call, and was lost before it answered.
    #[error("the replica that answers for all was lost before it answered")]
    LeaderLost,
    /// This replica led the fleet, and does not any more, so it did not send a change.
    #[error("this replica does not answer for all any more")]
    NotLeader,
}

impl Error {
    /// Refuses a field of the request.
    pub fn invalid(field: &str, problem: &str) -> Self {
        Self::Invalid { field: field.to_owned(), problem: problem.to_owned(), more: Vec::new() }
    }

    /// The table: what each failure means, and what the response said where there was one. A new variant does not compile until all
    /// questions are answered.
    #[rustfmt::skip]
    fn entry(&self) -> (Row, Option<&Refusal>) {
        use {Blame as W, Code as C, ErrorReason as R, Fate as F, Retry as T, Verdict as B};
        let row = |code, reason, retry, breaker, fate, blame, stale_if_error, kind, refusal| {
            (Row { code, reason, retry, breaker, fate, blame, stale_if_error, kind }, refusal)
        };
        match self {                                     // code                   reason                    retry           breaker              fate        blame             stale_if_error  kind                           refusal
            Self::Invalid { .. }                     => row(C::InvalidArgument,    R::InvalidField,          T::Never,       B::Ignore,           F::NotDone, W::Request,       false,          None,                          None),
            Self::RecordInvalid(said)                => row(C::InvalidArgument,    R::RecordInvalid,         T::Never,       B::Success,          F::Refused, W::Request,       false,          None,                          Some(said)),
            Self::Refused(said)                      => row(C::FailedPrecondition, R::UpstreamRefused,       T::Never,       B::Success,          F::Refused, W::Request,       false,          None,                          Some(said)),
            Self::Redirected(said)                   => row(C::FailedPrecondition, R::UpstreamRefused,       T::Never,       B::Success,          F::Refused, W::Circumstances, false,          None,                          Some(said)),
            Self::Duplicate(said)                    => row(C::AlreadyExists,      R::DuplicateValue,        T::Never,       B::Success,          F::Refused, W::Request,       false,          None,                          Some(said)),
            Self::CursorExpired(said)                => row(C::FailedPrecondition, R::CursorExpired,         T::Never,       B::Success,          F::Refused, W::Request,       false,          None,                          Some(said)),
            Self::PaginationDepth(said)              => row(C::OutOfRange,         R::PaginationDepth,       T::Never,       B::Success,          F::Refused, W::Request,       false,          None,                          Some(said)),
            Self::Credential { own: true, refusal }  => row(C::Internal,           R::CredentialRefused,     T::Never,       B::Success,          F::Refused, W::Circumstances, false,          None,                          Some(refusal)),
            Self::Credential { own: false, refusal } => row(C::Unauthenticated,    R::CredentialRefused,     T::Never,       B::Success,          F::Refused, W::Circumstances, false,          None,                          Some(refusal)),
            Self::CredentialMissing                  => row(C::Unauthenticated,    R::CredentialMissing,     T::Never,       B::Ignore,           F::NotDone, W::Circumstances, false,          None,                          None),
            Self::ImpersonationForbidden             => row(C::PermissionDenied,   R::CallerForbidden,       T::Never,       B::Ignore,           F::NotDone, W::Rights,        false,          None,                          None),
            Self::Forbidden(said)                    => row(C::PermissionDenied,   R::PermissionDenied,      T::Never,       B::Success,          F::Refused, W::Rights,        false,          None,                          Some(said)),
            Self::NotFound(said)                     => row(C::NotFound,           R::NotFound,              T::Never,       B::Success,          F::Refused, W::Request,       false,          None,                          Some(said)),
            Self::AccountNotFound(said)              => row(C::Internal,           R::AccountNotFound,       T::Never,       B::Success,          F::Refused, W::Circumstances, false,          None,                          Some(said)),
            Self::Conflict(said)                     => row(C::Aborted,            R::Conflict,              T::Never,       B::Success,          F::Refused, W::Circumstances, false,          None,                          Some(said)),
            Self::TurnMissed { .. }                  => row(C::Aborted,            R::Conflict,              T::Never,       B::Ignore,           F::NotDone, W::Circumstances, false,          None,                          None),
            Self::Throttled(said)                    => row(C::ResourceExhausted,  R::RateLimited,           T::AsAsked,     B::Ignore,           F::NotDone, W::Circumstances, true,           None,                          Some(said)),
            Self::JobLimit(said)                     => row(C::ResourceExhausted,  R::JobLimit,              T::Never,       B::Ignore,           F::NotDone, W::Circumstances, false,          None,                          Some(said)),
            Self::SlotsTaken { .. }                  => row(C::ResourceExhausted,  R::JobLimit,              T::Never,       B::Ignore,           F::Held,    W::Circumstances, false,          None,                          None),
            Self::Server(said)                       => row(code_of_server(said.status), R::UpstreamError,         again(said.status), of_server(said.status), F::Unknown, W::Circumstances, true,           None,                          Some(said)),
            Self::Unavailable(said)                  => row(C::Unavailable,        R::UpstreamUnavailable,   T::Repeatable,  B::Failure,          F::Unknown, W::Circumstances, true,           None,                          Some(said)),
            Self::GatewayTimeout(said)               => row(C::DeadlineExceeded,   R::UpstreamTimeout,       T::Repeatable,  B::Failure,          F::Unknown, W::Circumstances, true,           None,                          Some(said)),
            Self::Malformed(said)                    => row(C::Internal,           R::UpstreamMalformed,     T::ReadOnce,    B::Failure,          F::Unknown, W::Circumstances, true,           Some("malformed"),             Some(said)),
            Self::Foreign(said)                      => row(C::Internal,           R::UpstreamMalformed,     T::ReadOnce,    B::Ignore,           F::Unknown, W::Circumstances, true,           Some("foreign"),               Some(said)),
            Self::Unreadable(said)                   => row(C::Internal,           R::UpstreamMalformed,     T::Never,       B::Ignore,           F::Unknown, W::Request,       true,           Some("unreadable"),            Some(said)),
            Self::Incomplete { .. }                  => row(C::Internal,           R::UpstreamMalformed,     T::Never,       B::Ignore,           F::NotDone, W::Request,       false,          None,                          None),
            Self::TooLarge { .. }                    => row(C::Internal,           R::BodyTooLarge,          T::Never,       B::Success,          F::Unknown, W::Request,       false,          None,                          None),
            Self::Connect(event)                     => row(C::Unavailable,        R::UpstreamUnavailable,   T::Undelivered, event.verdict(),     F::NotDone, W::Circumstances, true,           Some("connect"),               None),
            Self::BrokenBeforeHeaders(event)         => row(C::Unavailable,        R::UpstreamUnavailable,   T::Repeatable,  event.verdict(),     F::Unknown, W::Circumstances, true,           Some("broken_before_headers"), None),
            Self::BrokenBody(event)                  => row(C::Unavailable,        R::UpstreamUnavailable,   T::ReadOnce,    event.verdict(),     F::Unknown, W::Circumstances, true,           Some("broken_body"),           None),
            Self::NoStream { .. }                    => row(C::Unavailable,        R::Overloaded,            T::Undelivered, B::Ignore,           F::NotDone, W::Circumstances, true,           Some("no_stream"),             None),
            Self::AttemptTimeout                     => row(C::DeadlineExceeded,   R::UpstreamTimeout,       T::Repeatable,  B::Timeout,          F::Unknown, W::Circumstances, true,           Some("timeout"),               None),
            Self::Deadline { sent: true }            => row(C::DeadlineExceeded,   R::DeadlineExceeded,      T::Never,       B::Ignore,           F::Unknown, W::Circumstances, true,           None,                          None),
            Self::Deadline { sent: false }           => row(C::DeadlineExceeded,   R::DeadlineExceeded,      T::Never,       B::Ignore,           F::NotDone, W::Circumstances, true,           None,                          None),
            Self::DeadlineInReading                  => row(C::DeadlineExceeded,   R::DeadlineExceeded,      T::Never,       B::Ignore,           F::Unknown, W::Circumstances, true,           None,                          None),
            Self::Idle { .. }                        => row(C::DeadlineExceeded,   R::DeadlineExceeded,      T::Never,       B::Ignore,           F::NotDone, W::Circumstances, false,          None,                          None),
            Self::AnswerUnread                       => row(C::Unavailable,        R::Overloaded,            T::Never,       B::Ignore,           F::Unknown, W::Circumstances, true,           None,                          None),
            Self::Begun { said, cause }              => (cause.row(), Some(said)),
            Self::OutcomeUnknown(cause)              => row(unknown_code(cause),   R::OutcomeUnknown,        T::Never,       cause.row().breaker, F::Unknown, cause.row().blame,false,          None,                          cause.refusal()),
            Self::BreakerOpen { .. }                 => row(C::Unavailable,        R::BreakerOpen,           T::Never,       B::Ignore,           F::Held,    W::Circumstances, true,           None,                          None),
            Self::BudgetSpent { .. }                 => row(C::ResourceExhausted,  R::RateLimited,           T::Never,       B::Ignore,           F::Held,    W::Circumstances, true,           None,                          None),
            Self::Library { code, .. }               => row(*code,                 of_library(*code),        T::Never,       B::Ignore,           F::NotDone, W::Request,       false,          None,                          None),
            Self::MessageMissing { crowded }         => row(if *crowded { C::Unavailable } else { C::DeadlineExceeded }, R::RequestIncomplete, T::Never, B::Ignore, F::NotDone, W::Circumstances, false, None,               None),
            Self::RequestTooLarge { .. }             => row(C::ResourceExhausted,  R::RequestTooLarge,       T::Never,       B::Ignore,           F::NotDone, W::Request,       false,          None,                          None),
            Self::MetadataTooLarge { .. }            => row(C::ResourceExhausted,  R::RequestTooLarge,       T::Never,       B::Ignore,           F::NotDone, W::Request,       false,          None,                          None),
            Self::ReplyTooLarge { .. }               => row(C::OutOfRange,         R::ReplyTooLarge,         T::Never,       B::Ignore,           F::NotDone, W::Request,       false,          None,                          None),
            Self::CallerLimit { .. }                 => row(C::ResourceExhausted,  R::CallerLimit,           T::Never,       B::Ignore,           F::Held,    W::Circumstances, true,           None,                          None),
            Self::Overloaded { .. }                  => row(C::Unavailable,        R::Overloaded,            T::Never,       B::Ignore,           F::Held,    W::Circumstances, true,           None,                          None),
            Self::Unanswered                         => row(C::Unavailable,        R::Overloaded,            T::Never,       B::Ignore,           F::Held,    W::Circumstances, true,           None,                          None),
            Self::PaginationLoop { .. }              => row(C::Internal,           R::PaginationLoop,        T::Never,       B::Ignore,           F::NotDone, W::Request,       false,          None,                          None),
            Self::CacheMiss                          => row(C::Unavailable,        R::CacheMiss,             T::Never,       B::Ignore,           F::NotDone, W::Circumstances, false,          None,                          None),
            Self::Unauthenticated { .. }             => row(C::Unauthenticated,    R::CallerUnauthenticated, T::Never,       B::Ignore,           F::NotDone, W::Rights,        false,          None,                          None),
            Self::KeyUnknown(_)                      => row(C::Unavailable,        R::CallerUnauthenticated, T::Never,       B::Ignore,           F::NotDone, W::Circumstances, false,          None,                          None),
            Self::IdentityUnavailable                => row(C::Unavailable,        R::IdentityUnavailable,   T::Never,       B::Ignore,           F::NotDone, W::Circumstances, false,          None,                          None),
            Self::CallerForbidden { .. }             => row(C::PermissionDenied,   R::CallerForbidden,       T::Never,       B::Ignore,           F::NotDone, W::Rights,        false,          None,                          None),
            Self::Internal { .. }                    => row(C::Internal,           R::Internal,              T::Never,       B::Ignore,           F::NotDone, W::Circumstances, true,           None,                          None),
            Self::ShuttingDown                       => row(C::Unavailable,        R::ShuttingDown,          T::Never,       B::Ignore,           F::NotDone, W::Circumstances, true,           None,                          None),
            Self::LeaderLost                         => row(C::Unavailable,        R::ShuttingDown,          T::Never,       B::Ignore,           F::Unknown, W::Circumstances, true,           None,                          None),
            Self::NotLeader                          => row(C::Unavailable,        R::ShuttingDown,          T::Never,       B::Ignore,           F::Held,    W::Circumstances, true,           None,                          None),
        }
    }
}

/// Returns a reason as callers read it, without the prefix that enums have in the contract.
pub fn reason_name(reason: ErrorReason) -> &'static str {
    reason.as_str_name().trim_start_matches("ERROR_REASON_")
}
