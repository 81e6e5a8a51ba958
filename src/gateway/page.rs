//! One page of a Zendesk list, read straight from its JSON: rows, sideloads, and where the list goes on.

use std::collections::HashSet;
use std::fmt;
use std::marker::PhantomData;

use bytes::Bytes;
use serde::de::{DeserializeOwned, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::cache::Policy;
use crate::proto::{
    ComplianceDeletionStatus, DeletedUser, GetGroupRequest, GetMembershipRequest, GetUserRequest, Group,
    GroupMembership, Job, User,
};
use crate::rest::Read;

/// A record that Zendesk lists.
pub trait Row: prost::Message + DeserializeOwned + Default + 'static {
    /// The key of the list in Zendesk's JSON.
    const KEY: &'static str;
    /// Whether sideloaded users and groups can come beside it.
    const SIDELOADS: bool = false;

    /// Returns the ids of the user and the group that this row names, for rows with sideloads.
    fn names(&self) -> (Option<i64>, Option<i64>) {
        (None, None)
    }

    /// Returns the read whose answer is this very row; none where no read shows just it.
    fn own_read(&self) -> Option<OwnRead> {
        None
    }

    /// Returns the encoded envelope of this row: every single read's reply has its record as field 1.
    fn in_envelope(&self) -> Bytes {
        let mut bytes = Vec::with_capacity(self.encoded_len() + 6);
        prost::encoding::message::encode(1, self, &mut bytes);
        bytes.into()
    }
}

/// A read, and its answer.
pub struct OwnRead {
    /// The RPC's path.
    pub rpc: &'static str,
    /// The encoded request.
    pub request: Vec<u8>,
    /// How the answer is cached.
    pub policy: Policy,
    /// The encoded reply.
    pub reply: Bytes,
}

impl OwnRead {
    fn of<R: Read>(request: &R, row: &impl Row) -> Self {
        Self { rpc: R::rpc().path, request: request.encode_to_vec(), policy: request.cache(), reply: row.in_envelope() }
    }
}

impl Row for User {
    const KEY: &'static str = "users";

    fn own_read(&self) -> Option<OwnRead> {
        Some(OwnRead::of(&GetUserRequest { id: self.id }, self))
    }
}
impl Row for DeletedUser {
    const KEY: &'static str = "deleted_users";
}
impl Row for ComplianceDeletionStatus {
    const KEY: &'static str = "compliance_deletion_statuses";
}
impl Row for Group {
    const KEY: &'static str = "groups";

    fn own_read(&self) -> Option<OwnRead> {
        Some(OwnRead::of(&GetGroupRequest { id: self.id }, self))
    }
}
impl Row for GroupMembership {
    const KEY: &'static str = "group_memberships";
    const SIDELOADS: bool = true;

    fn names(&self) -> (Option<i64>, Option<i64>) {
        (self.user_id, self.group_id)
    }

    fn own_read(&self) -> Option<OwnRead> {
        Some(OwnRead::of(&GetMembershipRequest { id: self.id, user_id: None }, self))
    }
}
impl Row for Job {
    const KEY: &'static str = "job_statuses";
}

/// One page.
#[derive(Debug)]
pub struct Page<R> {
    /// The rows, in Zendesk's order.
    pub rows: Vec<R>,
    /// Sideloaded users.
    pub users: Vec<User>,
    /// Sideloaded groups.
    pub groups: Vec<Group>,
    /// How many rows the whole list has; offset lists state it.
    pub count: Option<i64>,
    meta: Meta,
    has_link: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Meta {
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

impl<R> Page<R> {
    /// Returns what comes after a page in cursor mode.
    ///
    /// Links are never followed: their host can be another than the account's, and the last page has them too. Where
    /// `has_more` is missing, the list goes on while there is a cursor and the page was not empty.
    pub fn after(&self) -> Next {
        let cursor = self.meta.after_cursor.as_ref().filter(|cursor| !cursor.is_empty());
        match (self.meta.has_more, cursor) {
            (Some(false), _) | (None, None) => Next::End,
            (None, Some(_)) if self.rows.is_empty() => Next::End,
            (Some(true) | None, Some(cursor)) => Next::Cursor(cursor.clone()),
            (Some(true), None) => Next::Nowhere,
        }
    }

    /// Returns what comes after page `number` in offset mode. The count can be a day old, so only the link counts.
    pub fn after_page(&self, number: u32) -> Next {
        if self.has_link { Next::Page(number.saturating_add(1)) } else { Next::End }
    }
}

impl<R: Row> Page<R> {
    /// Returns some of this page's rows with the sideloads that they name.
    #[must_use]
    pub fn part(&self, rows: Vec<R>) -> Self {
        let (users, groups): (HashSet<_>, HashSet<_>) = rows.iter().map(Row::names).unzip();
        let users = self.users.iter().filter(|user| users.contains(&Some(user.id))).cloned().collect();
        let groups = self.groups.iter().filter(|group| groups.contains(&Some(group.id))).cloned().collect();
        Self { rows, users, groups, count: self.count, meta: Meta::default(), has_link: false }
    }
}

impl<'de, R: Row> Deserialize<'de> for Page<R> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_map(Reader(PhantomData))
    }
}

struct Reader<R>(PhantomData<R>);

impl<'de, R: Row> Visitor<'de> for Reader<R> {
    type Value = Page<R>;

    fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "an object with the list \"{}\"", R::KEY)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Page<R>, A::Error> {
        let mut page = Page {
            rows: Vec::new(),
            users: Vec::new(),
            groups: Vec::new(),
            count: None,
            meta: Meta::default(),
            has_link: false,
        };
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
