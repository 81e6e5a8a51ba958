//! A request that one POST, PUT or DELETE carries out.

use serde::de::DeserializeOwned;

use super::answer::envelope;
use super::row::OwnRead;
use crate::cache::Tag;
use crate::contract::{self, Idempotency};
use crate::error::Result;
use crate::json::Malformed;
use crate::upstream::call::{Answer, Parsed};
use crate::upstream::rest::Rest;

/// A request that one POST, PUT or DELETE carries out.
pub trait Write: contract::Request<Reply: DeserializeOwned> {
    /// Returns the request to send.
    fn rest(&self) -> Result<Rest>;

    /// Whether it may be repeated once sent: what the contract says, unless these very values forbid it.
    fn idempotency(&self) -> Idempotency {
        Self::rpc().idempotency
    }

    /// Whether a reply is about the record that the request names. A record that was created has an id.
    fn fits(&self, reply: &Self::Reply) -> bool;

    /// Reads the body of a 2xx answer, by default as the envelope that is the reply.
    fn parse(&self, body: &[u8]) -> Result<Parsed, Malformed> {
        envelope(body, |reply| self.fits(reply))
    }

    /// Returns what it changes.
    fn changes(&self) -> Changes;

    /// Returns what it is about beside what it changes, for the record.
    fn about(&self) -> Vec<Tag> {
        Vec::new()
    }

    /// Returns what only the reply says was changed.
    fn learnt(_reply: &Self::Reply) -> Vec<Tag> {
        Vec::new()
    }

    /// Adds to the reply what the body does not say.
    fn complete(_reply: &mut Self::Reply, _answer: &Answer) {}

    /// Returns the read that the reply answers, too: the record as it is now.
    fn record(_reply: &Self::Reply) -> Option<OwnRead> {
        None
    }
}

/// What a write changes: whatever was cached about it is void.
#[derive(Debug, Clone, Default)]
pub struct Changes {
    /// What is changed for certain.
    pub tags: Vec<Tag>,
    /// What may have been changed if the outcome is not known.
    pub if_unknown: Vec<Tag>,
}

impl Changes {
    /// Something changes.
    pub fn to(tags: impl IntoIterator<Item = Tag>) -> Self {
        Self { tags: tags.into_iter().collect(), if_unknown: Vec::new() }
    }

    /// Something may have changed if the outcome is not known.
    #[must_use]
    pub fn if_unknown(mut self, tag: Tag) -> Self {
        self.if_unknown.push(tag);
        self
    }
}
