//! One page of a Zendesk list, read straight from its JSON: rows, sideloads, and where the list goes on.

use std::collections::HashSet;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{DeserializeOwned, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::row::Row;
use crate::proto::{Group, User};

/// What the rows of a page are read into, in Zendesk's order.
pub trait Rows: DeserializeOwned + Default {
    /// Whether there are none.
    fn is_empty(&self) -> bool;
}

impl<R: Row> Rows for Vec<R> {
    fn is_empty(&self) -> bool {
        self.as_slice().is_empty()
    }
}

/// One page.
#[derive(Debug)]
pub struct Page<R, C = Vec<R>> {
    /// The rows.
    pub rows: C,
    /// Sideloaded users.
    pub users: Vec<User>,
    /// Sideloaded groups.
    pub groups: Vec<Group>,
    /// How many rows the whole list has; offset lists state it.
    pub count: Option<i64>,
    meta: Meta,
    has_link: bool,
    row: PhantomData<fn() -> R>,
}

/// Where a list goes on, as a page in cursor mode says it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Meta {
    #[serde(deserialize_with = "crate::json::optional_scalar")]
    has_more: Option<bool>,
    #[serde(deserialize_with = "crate::json::optional_scalar")]
    after_cursor: Option<String>,
}

/// What comes after a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// The list has ended.
    End,
    /// The list goes on after this cursor.
    Cursor(String),
    /// The list goes on with this page number.
    Page(u32),
    /// Zendesk claims more without saying where.
    Nowhere,
}

impl Meta {
    /// Returns what comes after a page that says this.
    ///
    /// Links are never followed: their host can be another than the account's, and the last page has them too. Where
    /// `has_more` is missing, the list goes on while there is a cursor and the page was not empty.
    pub fn next(&self, is_empty: bool) -> Next {
        let cursor = self.after_cursor.as_ref().filter(|cursor| !cursor.is_empty());
        match (self.has_more, cursor) {
            (Some(false), _) | (None, None) => Next::End,
            (None, Some(_)) if is_empty => Next::End,
            (Some(true) | None, Some(cursor)) => Next::Cursor(cursor.clone()),
            (Some(true), None) => Next::Nowhere,
        }
    }
}

impl<R, C: Rows> Page<R, C> {
    /// Returns what comes after a page in cursor mode.
    pub fn after(&self) -> Next {
        self.meta.next(self.rows.is_empty())
    }

    /// Returns what comes after page `number` in offset mode. The count can be a day old, so only the link counts.
    pub fn after_page(&self, number: u32) -> Next {
        if self.has_link { Next::Page(number.saturating_add(1)) } else { Next::End }
    }

    /// Returns a page with no rows and the sideloads that some rows name.
    #[must_use]
    pub fn beside(&self, names: &[(Option<i64>, Option<i64>)]) -> Page<R> {
        let (users, groups): (HashSet<_>, HashSet<_>) = names.iter().copied().unzip();
        let users = self.users.iter().filter(|user| users.contains(&Some(user.id))).cloned().collect();
        let groups = self.groups.iter().filter(|group| groups.contains(&Some(group.id))).cloned().collect();
        Page { users, groups, count: self.count, ..Page::new(Vec::new()) }
    }
}

impl<R, C> Page<R, C> {
    fn new(rows: C) -> Self {
        Self {
            rows,
            users: Vec::new(),
            groups: Vec::new(),
            count: None,
            meta: Meta::default(),
            has_link: false,
            row: PhantomData,
        }
    }
}

impl<'de, R: Row, C: Rows> Deserialize<'de> for Page<R, C> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_map(Reader(PhantomData))
    }
}

struct Reader<R, C>(PhantomData<(R, C)>);

impl<'de, R: Row, C: Rows> Visitor<'de> for Reader<R, C> {
    type Value = Page<R, C>;

    fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "an object with the list \"{}\"", R::KEY)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Page<R, C>, A::Error> {
        let mut page = Page::new(C::default());
        let mut listed = false;
        while let Some(key) = map.next_key::<Key<R>>()? {
            match key {
                Key::Rows(_) => {
                    page.rows = map.next_value()?;
                    listed = true;
                }
                Key::Users => page.users = map.next_value()?,
                Key::Groups => page.groups = map.next_value()?,
                Key::Meta => page.meta = map.next_value::<Option<Meta>>()?.unwrap_or_default(),
                Key::Count => page.count = map.next_value::<Count>()?.0,
                Key::NextPage => page.has_link = map.next_value::<Option<IgnoredAny>>()?.is_some(),
                Key::Other => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        // An object without the list is an error page or another endpoint's answer, not an empty list.
        if listed { Ok(page) } else { Err(serde::de::Error::missing_field(R::KEY)) }
    }
}

struct Count(Option<i64>);

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        crate::json::optional_scalar(from).map(Self)
    }
}

enum Key<R> {
    Rows(PhantomData<R>),
    Users,
    Groups,
    Meta,
    Count,
    NextPage,
    Other,
}

impl<'de, R: Row> Deserialize<'de> for Key<R> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Name<R>(PhantomData<R>);
        impl<R: Row> Visitor<'_> for Name<R> {
            type Value = Key<R>;
            fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
                to.write_str("a key")
            }
            fn visit_str<E>(self, name: &str) -> Result<Key<R>, E> {
                Ok(match name {
                    _ if name == R::KEY => Key::Rows(PhantomData),
                    "users" if R::SIDELOADS => Key::Users,
                    "groups" if R::SIDELOADS => Key::Groups,
                    "meta" => Key::Meta,
                    "count" => Key::Count,
                    "next_page" => Key::NextPage,
                    _ => Key::Other,
                })
            }
        }
        from.deserialize_identifier(Name(PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(json: &str) -> Page<Group> {
        serde_json::from_str(json).expect("a page")
    }

    #[test]
    fn a_last_page_ends_although_its_cursors_and_links_are_set() {
        let last = page(
            r#"{"groups":[{"id":1}],"meta":{"has_more":false,"after_cursor":"a","before_cursor":"b"},
                "links":{"next":"https://other.example/api/v2/groups.json?page%5Bafter%5D=a","prev":null}}"#,
        );
        assert_eq!((last.rows.len(), last.after()), (1, Next::End));
    }

    #[test]
    fn without_has_more_a_list_goes_on_until_a_page_is_empty() {
        let cursor = Next::Cursor("a".to_owned());
        assert_eq!(page(r#"{"groups":[{"id":1}],"meta":{"after_cursor":"a"}}"#).after(), cursor);
        assert_eq!(page(r#"{"groups":[],"meta":{"after_cursor":"a"}}"#).after(), Next::End);
        assert_eq!(page(r#"{"groups":[{"id":1}],"meta":{"after_cursor":null}}"#).after(), Next::End);
        assert_eq!(page(r#"{"groups":[{"id":1}]}"#).after(), Next::End);
        assert_eq!(page(r#"{"groups":[],"meta":null}"#).after(), Next::End);
    }

    #[test]
    fn a_page_that_claims_more_without_a_cursor_leads_nowhere() {
        assert_eq!(page(r#"{"groups":[{"id":1}],"meta":{"has_more":true}}"#).after(), Next::Nowhere);
    }

    #[test]
    fn an_offset_list_goes_on_by_its_link_and_not_by_its_count() {
        let more = page(r#"{"groups":[],"next_page":"https://x.example/?page=3","count":5}"#);
        assert_eq!((more.after_page(2), more.count), (Next::Page(3), Some(5)));
        assert_eq!(page(r#"{"groups":[],"next_page":null,"count":5000}"#).after_page(2), Next::End);
    }

    #[test]
    fn an_object_without_the_list_is_no_empty_page() {
        assert!(serde_json::from_str::<Page<Group>>(r#"{"error":"x"}"#).is_err());
        assert!(serde_json::from_str::<Page<Group>>("[]").is_err());
    }
}
