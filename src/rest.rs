//! How each request message becomes REST, and nothing else.
//!
//! One block per RPC, in the order of the vendor's reference: what is asked, how it is said, how the answer becomes the
//! reply. Transport, caching, retries and status codes are elsewhere; a field that is wrong is refused here, by its name,
//! before anything is sent.

use serde::de::DeserializeOwned;

use crate::cache::{Policy, Tag};
use crate::contract::{self, Idempotency};
use crate::error::{Error, Result};
use crate::gateway::page::Page;
use crate::gateway::row::{OwnRead, Row};
use crate::json::{self, Malformed, Words, word_of};
use crate::upstream::call::{Answer, Parsed};
use crate::upstream::rest::Rest;

pub mod bulk;
mod groups;
pub mod input;
mod jobs;
pub mod memberships;
mod users;

/// A request that one GET answers, with the reply as the envelope of its JSON.
pub trait Read: contract::Request<Reply: DeserializeOwned> {
    /// Returns the request to send.
    fn rest(&self) -> Result<Rest>;

    /// Whether a reply is about what was asked: the record with the id that the request names, or at least one with an id.
    fn fits(&self, reply: &Self::Reply) -> bool;

    /// Reads the body of a 2xx answer as the envelope that is the reply.
    fn parse(&self, body: &[u8]) -> Result<Parsed, Malformed> {
        envelope(body, |reply| self.fits(reply))
    }

    /// Returns how the answer may be cached, and what it is about.
    fn cache(&self) -> Policy;
}

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

/// Reads an envelope, and checks that it holds what was asked for: `{}`, `{"user": {}}` and another user are no answers.
pub fn envelope<T>(body: &[u8], fits: impl FnOnce(&T) -> bool) -> Result<Parsed, Malformed>
where
    T: DeserializeOwned + Send + 'static,
{
    let message = json::decode::<T>(body)?;
    if fits(&message) { Ok(Box::new(message)) } else { Err(Malformed::Foreign) }
}

/// Reads a body that says nothing: empty or `null`, and whatever Zendesk may add one day, but no error and no record. Those are
/// the answer to another request, or that of a proxy which takes every status for success.
pub fn nothing<R: contract::Request>(body: &[u8]) -> Result<Parsed, Malformed> {
    const OF_OTHERS: [&str; 11] = [
        "error",
        "errors",
        "user",
        "users",
        "deleted_user",
        "group",
        "groups",
        "group_membership",
        "group_memberships",
        "job_status",
        "job_statuses",
    ];
    if !body.trim_ascii().is_empty() {
        let value = serde_json::from_slice::<serde_json::Value>(body);
        let value = value.map_err(|error| Malformed::Unreadable { line: error.line(), column: error.column() })?;
        if OF_OTHERS.iter().any(|key| value.get(key).is_some()) {
            return Err(Malformed::Foreign);
        }
    }
    Ok(Box::new(R::Reply::default()))
}

/// Whether a reply's record has this id.
fn has_id<T>(record: Option<&T>, id: i64, of: impl Fn(&T) -> i64) -> bool {
    record.is_some_and(|record| of(record) == id)
}

/// A request for one page of a list; its stream twin asks for all that follow too.
pub trait List: contract::Request<Reply: From<Part<Self::Row>>> {
    /// What the list holds.
    type Row: Row;

    /// Returns the request without its pagination.
    fn rest(&self) -> Result<Rest>;

    /// Returns how Zendesk paginates this list, and what the caller asked for.
    fn paging(&self) -> Paging<'_>;

    /// Returns how a page may be cached, and what it is about.
    fn cache(&self) -> Policy;
}

/// Where in a list to begin.
#[derive(Debug, Clone, Copy)]
pub struct Paging<'a> {
    /// How Zendesk paginates this list.
    pub style: Style,
    /// `page_size` of the request.
    pub size: i32,
    /// `page_token` of the request.
    pub token: &'a str,
}

/// How Zendesk paginates a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// Cursors that stay right while rows come and go.
    Cursor,
    /// Cursors by the vendor's pages, and perhaps page numbers: where Zendesk refuses cursors with 400, or answers by number,
    /// the list is read by number.
    CursorOrOffset,
    /// Page numbers, for lists that have no cursors; they end at 10,000 rows.
    Offset,
    /// One page, the best matches.
    Single,
}

/// A part of a list on its way into a reply message.
#[derive(Debug)]
pub struct Part<R> {
    /// The rows, and what came beside them.
    pub page: Page<R>,
    /// Token of the page that follows; empty where none does, and within a page.
    pub next_page_token: String,
}

/// Implements [`List`] for a list request and its stream twin, which have the same fields.
macro_rules! list {
    ($($request:ty)|+ => $row:ty, $style:expr, |$this:ident| $rest:expr, $cache:expr) => {
        $(impl $crate::rest::List for $request {
            type Row = $row;
            #[allow(unused_variables, reason = "not every list depends on its request")]
            fn rest(&self) -> $crate::error::Result<$crate::upstream::rest::Rest> {
                let $this = self;
                $rest
            }
            fn paging(&self) -> $crate::rest::Paging<'_> {
                $crate::rest::Paging { style: $style, size: self.page_size, token: &self.page_token }
            }
            #[allow(unused_variables, reason = "not every list depends on its request")]
            fn cache(&self) -> $crate::cache::Policy {
                let $this = self;
                $cache
            }
        })+
    };
}

/// Fills a list reply and its stream twin from a page's rows.
macro_rules! part {
    ($row:ty => $($reply:ident { $rows:ident, next_page_token $(, $side:ident)* $(; $total:ident)? })+) => {
        $(impl From<$crate::rest::Part<$row>> for $crate::proto::$reply {
            fn from(part: $crate::rest::Part<$row>) -> Self {
                Self {
                    $rows: part.page.rows,
                    next_page_token: part.next_page_token,
                    $($side: part.page.$side,)*
                    $($total: part.page.count,)?
                }
            }
        })+
    };
}

use {list, part};

/// Returns an id that must be set.
fn id(field: &str, id: i64) -> Result<crate::upstream::rest::Segment> {
    crate::upstream::rest::id(field, id)
}

/// Returns the number of an optional id filter.
fn optional_id(field: &str, id: Option<i64>) -> Result<Option<String>> {
    match id {
        Some(number) if number <= 0 => Err(Error::invalid(field, "must be a positive id")),
        other => Ok(other.map(|number| number.to_string())),
    }
}

/// Returns a text that must say something where it is set.
fn optional_text<'a>(field: &str, text: Option<&'a str>) -> Result<Option<&'a str>> {
    match text {
        Some(text) if text.trim().is_empty() => Err(Error::invalid(field, "must not be empty")),
        other => Ok(other),
    }
}

/// Returns the name of a sort field, perhaps with `-` before it; none for an empty text.
fn sort(text: &str) -> Result<Option<&str>> {
    let name = text.strip_prefix('-').unwrap_or(text);
    let is_name = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    match text {
        "" => Ok(None),
        _ if is_name => Ok(Some(text)),
        _ => Err(Error::invalid("sort", "must be a field name, with '-' before it for descending order")),
    }
}

/// Returns a brand: an id, `0` for users of no brand, or `all`.
pub fn brand<'a>(field: &str, brand: Option<&'a str>) -> Result<Option<&'a str>> {
    let valid = |text: &str| text == "all" || (!text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()));
    match brand {
        Some(text) if !valid(text) => Err(Error::invalid(field, "must be a brand id, \"0\" or \"all\"")),
        other => Ok(other),
    }
}

/// Returns the wire word of an enum number that must be a value of its enum.
fn known_word<E: Words>(field: &str, number: i32) -> Result<&'static str> {
    word_of::<E>(number).ok_or_else(|| Error::invalid(field, "is not a value of its enum"))
}
