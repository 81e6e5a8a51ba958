//! What a request asks of a connection.

use super::sizes::Sizes;
use crate::upstream::rest::{Body, Rest};

/// Longest body that goes beside other requests: as much as a peer gives a connection room for at first (RFC 9113, section 6.9.2).
const LONGEST_BESIDE_OTHERS: usize = 65_535;

/// How many times as long a request waits before a connection counts as full that has one request under way: so much follows
/// from it.
pub const FULL_WITH_ONE: u32 = 4;

/// What a request asks of a connection.
#[derive(Debug, Clone, Copy)]
pub struct Needs {
    /// Whether it has a body, whose last byte shows when the connection takes it.
    pub has_body: bool,
    /// Whether it may try whether a connection takes more requests than was learnt. Not a write without a body: the client may
    /// hold it back, and it would leave when nobody expects it to.
    pub tries: bool,
    /// For what the connection should be.
    pub purpose: Purpose,
}

/// What a connection is for. If there may be no further connection, requests share those that there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// All that follows needs no other.
    Usual,
    /// Requests whose bodies are so long that those of others would wait for them: all on a connection share the room that the peer
    /// gives to upload, and what the system has to send.
    Uploads,
    /// Reads whose answers are large: see [`Sizes`](super::sizes::Sizes).
    LargeAnswers,
    /// All requests of this caller, and no others: they may be what breaks connections.
    Apart(u64),
}

impl Purpose {
    /// True if a connection for this purpose may serve requests of another one.
    pub fn goes_with(self, other: Self) -> bool {
        self == other || !self.is_apart() && !other.is_apart()
    }

    /// True if it is one caller's.
    pub fn is_apart(self) -> bool {
        matches!(self, Self::Apart(_))
    }
}

impl Needs {
    /// True if a connection with so many requests has no room for one that it has not taken for so many times
    /// [`TAKEN_WITHIN`](super::TAKEN_WITHIN).
    ///
    /// The client takes a request without a body even if the connection has no room for it: so of two that were taken, one may be
    /// held back, and one alone says nothing. A request with a body is taken once its stream is open, and one alone may be all that
    /// the connection takes.
    pub fn is_full(self, taken: usize, waited: u32) -> bool {
        taken > 1 || (taken == 1 && self.has_body && waited >= FULL_WITH_ONE)
    }

    /// Returns the needs of this request.
    pub fn of(rest: &Rest, sizes: &Sizes) -> Self {
        let length = match &rest.body {
            Body::Empty => 0,
            Body::Json(document) => document.len(),
            Body::File { content, .. } => content.len(),
        };
        let has_body = !matches!(rest.body, Body::Empty);
        let tries = has_body || rest.method == http::Method::GET;
        let is_large = || rest.method == http::Method::GET && sizes.is_large(rest.endpoint);
        let purpose = match () {
            () if length > LONGEST_BESIDE_OTHERS => Purpose::Uploads,
            () if is_large() => Purpose::LargeAnswers,
            () => Purpose::Usual,
        };
        Self { has_body, tries, purpose }
    }
}
