//! A reply, and what is worth knowing beside it.

use std::time::Duration;

use crate::cache::{Hit, Outcome};
use crate::codec::Encoded;

/// A reply, and what is worth knowing beside it.
pub struct Answered<M> {
    /// The reply.
    pub message: Encoded<M>,
    /// Where it came from and how old it may be.
    pub cached: Option<(Outcome, Duration)>,
}

impl<M> From<Encoded<M>> for Answered<M> {
    fn from(message: Encoded<M>) -> Self {
        Self { message, cached: None }
    }
}

impl<M: prost::Message> Answered<M> {
    /// An answer that the cache gave or kept.
    pub(super) fn of(hit: Hit) -> Self {
        Self { message: Encoded::from_bytes(hit.bytes), cached: Some((hit.outcome, hit.age)) }
    }
}
