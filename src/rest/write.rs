//! A request that one POST, PUT or DELETE carries out.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::answer::envelope;
use super::field_values::Given;
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

    /// Returns whether the request may be repeated once sent: as the contract says, unless its values forbid it.
    fn idempotency(&self) -> Idempotency {
        Self::rpc().idempotency
    }

    /// True if a reply is about the record that the request names, or, for a creation, about a record with an id.
    fn fits(&self, reply: &Self::Reply) -> bool;

    /// Reads the body of a 2xx answer, by default as the envelope that is the reply.
    fn parse(&self, body: &[u8]) -> Result<Parsed, Malformed> {
        envelope(body, |reply| self.fits(reply))
    }

    /// Returns what the write changes.
    fn changes(&self) -> Changes;

    /// Returns further records that the write is about, for the audit log.
    fn about(&self) -> Vec<Tag> {
        Vec::new()
    }

    /// Returns the changed records that only the reply names, such as a new one.
    fn learnt(_reply: &Self::Reply) -> Vec<Tag> {
        Vec::new()
    }

    /// Returns the values of user fields that are to be checked against their definitions before anything is sent.
    fn user_fields(&self) -> Vec<Given<'_>> {
        Vec::new()
    }

    /// Returns what this write changes as a whole: writes to the same take turns.
    fn whole(&self) -> Option<Whole> {
        None
    }

    /// Adds to the reply what only the answer's status and attempts say.
    fn complete(_reply: &mut Self::Reply, _answer: &Answer) {}

    /// Returns the read that this reply answers, too, because it holds the record as it is now.
    fn record(_reply: &Self::Reply) -> Option<OwnRead> {
        None
    }
}

/// What a declarative write sets as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Whole {
    /// The agents of a group.
    AgentsOfGroup(i64),
    /// The groups of an agent, and which of them is the default.
    GroupsOfUser(i64),
    /// The addresses and numbers of a user, and which of them are the primary ones.
    AddressesOfUser(i64),
}

impl Whole {
    /// Returns what callers know it as.
    pub fn name(self) -> &'static str {
        match self {
            Self::AgentsOfGroup(_) => "the agents of this group",
            Self::GroupsOfUser(_) => "the groups of this user",
            Self::AddressesOfUser(_) => "the addresses of this user",
        }
    }
}

/// What a write changes. Cached answers with these tags are invalidated.
#[derive(Debug, Clone, Default)]
pub struct Changes {
    /// What the write changes.
    pub tags: Vec<Tag>,
    /// What may have changed as well if the outcome is unknown.
    pub if_unknown: Vec<Tag>,
}

impl Changes {
    /// Returns changes to these tags.
    pub fn to(tags: impl IntoIterator<Item = Tag>) -> Self {
        Self { tags: tags.into_iter().collect(), if_unknown: Vec::new() }
    }

    /// Adds a tag that may have changed if the outcome is unknown.
    #[must_use]
    pub fn if_unknown(mut self, tag: Tag) -> Self {
        self.if_unknown.push(tag);
        self
    }
}
