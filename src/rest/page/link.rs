//! Links to the next page. Only the cursor or page number is read from a link; it is never followed, because its host can
//! differ from the account's.

use percent_encoding::percent_decode_str;
use serde::de::{IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::meta::is_cursor;
use crate::json;

/// Most rows of a page.
const MOST_ROWS: u32 = 100;

/// Where a page says that the list goes on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Link {
    /// The page has no link, not even an empty one.
    #[default]
    Missing,
    /// The page says that there is no next page.
    None,
    /// To the rows after a cursor.
    Cursor(String),
    /// To a page number.
    Page {
        /// The number.
        number: u32,
        /// Rows of a page, if the link says so.
        size: Option<u32>,
    },
    /// To a position that cannot be read from the link.
    Unreadable,
}

/// `links` of a page in cursor mode.
pub struct Links {
    /// The link to the next page.
    pub next: Link,
}

impl Link {
    /// Returns this link, or the other one if this one leads nowhere.
    pub fn or(self, other: Self) -> Self {
        match (self, other) {
            (Self::Missing, other) => other,
            (Self::None, Self::Missing) => Self::None,
            (Self::None, other) => other,
            (this, _) => this,
        }
    }

    fn of(text: &str) -> Self {
        if text.is_empty() {
            return Self::None;
        }
        let Some((_, query)) = text.split_once('?') else { return Self::Unreadable };
        let query = query.split('#').next().unwrap_or_default();
        // Of what is no UTF-8, as it is or percent-encoded, characters are lost.
        if json::is_replaced(text) || percent_decode_str(query).decode_utf8().is_err() {
            return Self::Unreadable;
        }
        let value = |wanted: &str| {
            url::form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == wanted).map(|(_, value)| value)
        };
        match value("page[after]") {
            Some(cursor) if !is_cursor(&cursor) => return Self::Unreadable,
            Some(cursor) if !cursor.is_empty() => return Self::Cursor(cursor.into_owned()),
            _ => {}
        }
        let number = value("page").and_then(|number| number.parse().ok()).filter(|number| *number > 1);
        let size = value("per_page").map(|size| size.parse().ok().filter(|size| (1..=MOST_ROWS).contains(size)));
        match (number, size) {
            (Some(number), None) => Self::Page { number, size: None },
            (Some(number), Some(Some(size))) => Self::Page { number, size: Some(size) },
            _ => Self::Unreadable,
        }
    }
}

impl<'de> Deserialize<'de> for Link {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Reader)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Link;

    fn expecting(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        to.write_str("a link")
    }
    fn visit_str<E>(self, text: &str) -> Result<Link, E> {
        Ok(Link::of(text))
    }
    fn visit_unit<E>(self) -> Result<Link, E> {
        Ok(Link::None)
    }
    fn visit_bool<E>(self, is: bool) -> Result<Link, E> {
        Ok(if is { Link::Unreadable } else { Link::None })
    }
    fn visit_i64<E>(self, _: i64) -> Result<Link, E> {
        Ok(Link::Unreadable)
    }
    fn visit_u64<E>(self, _: u64) -> Result<Link, E> {
        Ok(Link::Unreadable)
    }
    fn visit_f64<E>(self, _: f64) -> Result<Link, E> {
        Ok(Link::Unreadable)
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Link, A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Link::Unreadable)
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Link, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Link::Unreadable)
    }
}

impl<'de> Deserialize<'de> for Links {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Both {
            #[serde(default)]
            next: Link,
        }
        let links: Option<Both> = json::object_or_nothing(from)?;
        Ok(Self { next: links.map(|links| links.next).unwrap_or_default() })
    }
}
