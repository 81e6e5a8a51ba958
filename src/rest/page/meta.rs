//! What a page says of its list around the rows, beside its links.

use serde::{Deserialize, Deserializer};

use super::next::Next;
use crate::json::{self, AtLeast, Scalar};
use crate::upstream::rest::encoded;

/// Where the next page begins, as a page in cursor mode says it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Meta {
    /// Whether there is a next page.
    #[serde(deserialize_with = "flag")]
    pub(super) has_more: Option<bool>,
    /// The cursor after which it begins; never empty.
    #[serde(deserialize_with = "cursor")]
    pub(super) after_cursor: Option<String>,
}

impl Meta {
    /// Returns what comes after the page; none if this says nothing about it.
    ///
    /// Without `has_more`, the list goes on while there is a cursor and the page is not empty.
    pub fn next(&self, is_empty: bool) -> Option<Next> {
        match (self.has_more, &self.after_cursor) {
            (Some(false), _) => Some(Next::End),
            (None, Some(_)) if is_empty => Some(Next::End),
            (_, Some(cursor)) => Some(Next::Cursor(cursor.clone())),
            (Some(true), None) => Some(Next::Nowhere),
            (None, None) => None,
        }
    }
}

fn flag<'de, D: Deserializer<'de>>(from: D) -> Result<Option<bool>, D::Error> {
    Ok(json::optional_scalar::<Flag, D>(from)?.map(|Flag(is)| is))
}

/// Whether there is more, also as 0 or 1.
#[derive(Default)]
pub(super) struct Flag(pub bool);

impl Scalar for Flag {
    fn from_text(text: &str) -> Option<Self> {
        text.parse().ok().map(Self)
    }
    fn from_integer(integer: i64) -> Option<Self> {
        [0, 1].contains(&integer).then_some(Self(integer == 1))
    }
    fn from_double(_: f64) -> Option<Self> {
        None
    }
    fn from_bool(is: bool) -> Option<Self> {
        Some(Self(is))
    }
}

fn cursor<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    Ok(json::optional_scalar::<Cursor, D>(from)?.and_then(Cursor::text))
}

/// Most bytes of a cursor, percent-encoded, so that it fits into a request line. Zendesk's are below 100 characters, but a group's
/// contains the group's name.
const LONGEST_CURSOR: usize = 6 << 10;

/// True if a text can be sent as a cursor.
pub fn is_cursor(text: &str) -> bool {
    encoded(text).map(str::len).sum::<usize>() <= LONGEST_CURSOR
}

/// A cursor: a text. Nothing but one was ever seen, and where there is none, an empty text, `false` or 0 may stand for it.
#[derive(Default)]
pub(super) struct Cursor(String);

impl Cursor {
    pub(super) fn text(self) -> Option<String> {
        Some(self.0).filter(|text| !text.is_empty())
    }

    fn none_if(is_nothing: bool) -> Option<Self> {
        is_nothing.then(Self::default)
    }
}

impl Scalar for Cursor {
    fn from_text(text: &str) -> Option<Self> {
        // One of which characters are lost leads nowhere.
        (is_cursor(text) && !json::is_replaced(text)).then(|| Self(text.to_owned()))
    }
    fn from_integer(integer: i64) -> Option<Self> {
        Self::none_if(integer == 0)
    }
    fn from_double(double: f64) -> Option<Self> {
        Self::none_if(double == 0.0)
    }
    fn from_bool(bool: bool) -> Option<Self> {
        Self::none_if(!bool)
    }
}

/// How many rows a list has: a number that is not negative.
pub(super) type Count = AtLeast<0>;

/// What a page has around its rows and cannot be read.
#[expect(clippy::struct_excessive_bools, reason = "each is a value of its own")]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Unread {
    pub has_more: bool,
    pub after_cursor: bool,
    pub link: bool,
    pub count: bool,
}

impl Unread {
    /// Returns which of the paths that were lost are these.
    ///
    /// # Errors
    /// Another path, which is that of the list itself.
    pub fn of(untold: &[String]) -> Result<Self, String> {
        let mut unread = Self::default();
        for path in untold {
            match path.as_str() {
                "meta" => (unread.has_more, unread.after_cursor) = (true, true),
                "has_more" | "meta.has_more" | "end_of_stream" => unread.has_more = true,
                "after_cursor" | "meta.after_cursor" => unread.after_cursor = true,
                "next_page" | "links" | "links.next" => unread.link = true,
                "count" => unread.count = true,
                _ => return Err(path.clone()),
            }
        }
        Ok(unread)
    }
}
