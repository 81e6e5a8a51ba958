//! What a caller can do about an error, as the end of its message.

use std::time::Duration;

use super::Error;
use crate::proto::ErrorReason as R;

impl Error {
    /// Returns what to do; none where the message says it by naming what is wrong. `wait` is how long to wait before, where that
    /// is known.
    #[rustfmt::skip]
    pub(super) fn advice(&self, wait: Option<Duration>) -> Option<String> {
        let later = match wait {
            None => "try again later".to_owned(),
            // Zendesk has said so.
            Some(Duration::ZERO) => "try again at once".to_owned(),
            Some(wait) => format!("try again in {} s", wait.as_secs_f64().ceil()),
        };
        let text = match self.row().reason {
            R::Unspecified | R::InvalidField | R::CredentialMissing | R::JobFailed => return None,
            R::RecordInvalid if self.refusal().is_some_and(|said| said.violations.is_empty() && said.code.is_none())
                                   => "which values it means is not known: check those that were sent",
            R::RecordInvalid       => "correct what it names",
            R::DuplicateValue      => "use another value, or change the record that has it",
            R::NotFound            => "check what was asked for; it may have been deleted",
            R::Conflict            => "read the record again, and repeat the call",
            R::PermissionDenied    => "use a Zendesk credential whose role and scopes allow this",
            R::CredentialRefused if matches!(self, Self::Credential { own: false, .. })
                                   => "send a valid credential in x-zendesk-authorization",
            R::CredentialRefused   => "an operator must renew the gateway's credential",
            R::RateLimited         => &later,
            R::JobLimit            => &later,
            R::UpstreamError       => "try again; if it stays, ask Zendesk about its request id",
            R::UpstreamUnavailable => &later,
            R::UpstreamTimeout     => &later,
            R::UpstreamMalformed   => "try again; if it stays, tell the operators the x-request-id",
            R::BodyTooLarge        => "ask for less at a time",
            R::OutcomeUnknown      => "look whether it was done before you repeat it",
            R::DeadlineExceeded    => "allow it more time",
            R::BreakerOpen         => &later,
            R::Overloaded if wait.is_some() => &later,
            R::Overloaded          => "try again in a moment",
            R::CursorExpired       => "begin the list anew, without a page token",
            R::PaginationLoop      => "try again; if it stays, tell the operators the x-request-id",
            R::PaginationDepth     => "narrow the query",
            R::Unimplemented if self.to_string().contains("compress")
                                   => "compress with gzip, or not at all",
            R::Unimplemented       => "call a method of this version as its proto file says",
            R::CallerUnauthenticated if wait.is_some() => &later,
            R::CallerUnauthenticated => "send a certificate, token or key that the operators have given you",
            R::CallerForbidden     => "ask the operators to allow it",
            R::CacheMiss           => "call without only-if-cached",
            R::ShuttingDown        => "call again: another replica answers",
            R::Internal            => "tell the operators the x-request-id",
            R::IdentityUnavailable => "try again in a moment",
            R::AccountNotFound     => "an operator must check the account's address",
            R::UpstreamRefused     => "nothing was carried out; ask an operator what refuses it",
            R::CallerLimit         => &later,
            R::RequestTooLarge if matches!(self, Self::MetadataTooLarge { .. })
                                   => "send less of it",
            R::RequestTooLarge     => "cut it into several",
            R::MalformedRequest    => "send what a gRPC library makes of the proto files",
            R::RequestIncomplete   => "send the whole message at once",
            R::ReplyTooLarge if matches!(self, Self::ReplyTooLarge { done: true, .. })
                                   => "the change was made; read what it is about in parts",
            R::ReplyTooLarge       => "ask for less at a time, such as fewer ids",
        };
        Some(text.to_owned())
    }
}
