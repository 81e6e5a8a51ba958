//! A request that one GET answers.

use serde::de::DeserializeOwned;

use super::answer::envelope;
use crate::cache::Policy;
use crate::contract;
use crate::error::Result;
use crate::json::Malformed;
use crate::upstream::call::Parsed;
use crate::upstream::rest::Rest;

/// A request that one GET answers. The reply is the envelope of the answer's JSON.
pub trait Read: contract::Request<Reply: DeserializeOwned> {
    /// Returns the request to send.
    fn rest(&self) -> Result<Rest>;

    /// True if a reply is about what was asked: it holds the record with the id in the request, or, where the request names no
    /// id, at least what it asked for.
    fn fits(&self, reply: &Self::Reply) -> bool;

    /// Reads the body of a 2xx answer as the envelope that is the reply.
    fn parse(&self, body: &[u8]) -> Result<Parsed, Malformed> {
        envelope(body, |reply| self.fits(reply))
    }

    /// Returns how the answer may be cached, and the tags that invalidate it.
    fn cache(&self) -> Policy;
}
