//! A reply, and how the cache answered it.

use std::time::Duration;

use crate::cache::{CacheStatus, Hit};
use crate::codec::Encoded;

/// A reply, and how the cache answered it.
pub struct Answered<M> {
    /// The reply.
    pub message: Encoded<M>,
    /// Where the reply came from and how old it may be; none if the cache had no part in it.
    pub cached: Option<(CacheStatus, Duration)>,
}

impl<M> From<Encoded<M>> for Answered<M> {
    fn from(message: Encoded<M>) -> Self {
        Self { message, cached: None }
    }
}

impl<M: prost::Message> Answered<M> {
    /// Wraps an answer that came through the cache.
    pub(super) fn of(hit: Hit) -> Self {
        Self { message: Encoded::from_bytes(hit.bytes), cached: Some((hit.status, hit.age)) }
    }
}
