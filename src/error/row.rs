//! What a row of the error table says.

use tonic::Code;

use crate::proto::ErrorReason;

/// What an error means for each part that acts on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// The canonical gRPC code.
    pub code: Code,
    /// The reason in `ErrorInfo`.
    pub reason: ErrorReason,
    /// Whether and when the call may be repeated.
    pub retry: Retry,
    /// What the circuit breaker learns.
    pub breaker: Verdict,
    /// What became of a write that failed this way.
    pub fate: Fate,
    /// True if Zendesk, or the way to it, does not work right now: then an older answer is better than none. A refusal is an
    /// answer: a caller who is refused gets no older one.
    pub outage: bool,
}

/// What became of a write that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// The gateway's own limits held it back. Nothing was tried.
    Held,
    /// It was not delivered, or Zendesk refused it for now without carrying it out.
    Unsent,
    /// Zendesk refused it, and did not carry it out.
    Refused,
    /// It may have been carried out.
    Open,
}

/// Which calls may be repeated after a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// None: the same call would fail the same way.
    Never,
    /// Any: nothing was delivered.
    Undelivered,
    /// Any, if the wait that Zendesk asks for fits the deadline: it refused without acting.
    AsAsked,
    /// `NO_SIDE_EFFECTS` and `IDEMPOTENT`: it may have been delivered.
    Repeatable,
    /// `NO_SIDE_EFFECTS`, once.
    ReadOnce,
}

/// What an attempt tells the circuit breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The upstream works.
    Success,
    /// The upstream does not work.
    Failure,
    /// Says nothing about the upstream.
    Ignore,
}
