//! What stands around the rows of a page: sideloads, how many rows the list has, and where it goes on.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::beside::{Beside, Counts};
use super::link::{Link, Links};
use super::meta::{Count, Cursor, Flag, Meta};
use super::sideloads::Sideloads;
use crate::json;
use crate::rest::row::Row;

/// What stands around the rows, whatever rows they are.
#[derive(Default)]
pub(super) struct Around {
    pub beside: Sideloads,
    pub count: Option<i64>,
    pub others: bool,
    pub meta: Meta,
    /// Some endpoints put at the top level what others put into `meta`.
    pub top: Meta,
    pub link: Link,
}

impl Around {
    /// Reads the value of a key. One copy of it serves all kinds of rows.
    #[inline(never)]
    pub fn read<'de, A: MapAccess<'de>>(&mut self, key: Aside, map: &mut A) -> Result<(), A::Error> {
        let beside = &mut self.beside;
        // Where the list itself is missing, they say that it is the answer to another question.
        self.others |= key.is_sideload();
        match key {
            Aside::Users => beside.users = map.next_value_seed(Beside(PhantomData))?,
            Aside::Groups => beside.groups = map.next_value_seed(Beside(PhantomData))?,
            Aside::Organizations => beside.organizations = map.next_value_seed(Beside(PhantomData))?,
            Aside::Roles => beside.roles = map.next_value_seed(Beside(PhantomData))?,
            Aside::Identities => beside.identities = map.next_value_seed(Beside(PhantomData))?,
            Aside::Abilities => beside.abilities = map.next_value_seed(Beside(PhantomData))?,
            Aside::OpenTicketCount => beside.open_ticket_counts = map.next_value_seed(Counts)?,
            Aside::Meta => self.meta = map.next_value::<Paging>()?.0.unwrap_or_default(),
            Aside::HasMore => self.top.has_more = map.next_value::<Value<Flag>>()?.0.map(|Flag(is)| is),
            Aside::EndOfStream => self.top.has_more = map.next_value::<Value<Flag>>()?.0.map(|Flag(is)| !is),
            Aside::AfterCursor => self.top.after_cursor = map.next_value::<Value<Cursor>>()?.0.and_then(Cursor::text),
            Aside::Count => self.count = map.next_value::<Value<Count>>()?.0.map(|count| count.0),
            Aside::NextPage => self.link = std::mem::take(&mut self.link).or(map.next_value()?),
            Aside::Links => self.link = std::mem::take(&mut self.link).or(map.next_value::<Links>()?.next),
            Aside::Other => {
                self.others = true;
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }
}

struct Paging(Option<Meta>);

impl<'de> Deserialize<'de> for Paging {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        json::object_or_nothing(from).map(Self)
    }
}

struct Value<T>(Option<T>);

impl<'de, T: json::Scalar> Deserialize<'de> for Value<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        json::optional_scalar(from).map(Self)
    }
}

/// A key of a page.
pub(super) enum Key<R> {
    Rows(PhantomData<R>),
    Around(Aside),
}

/// A key of what stands around the rows.
#[derive(Clone, Copy)]
pub(super) enum Aside {
    Users,
    Groups,
    Organizations,
    Roles,
    Identities,
    Abilities,
    OpenTicketCount,
    Meta,
    HasMore,
    EndOfStream,
    AfterCursor,
    Count,
    NextPage,
    Links,
    Other,
}

impl Aside {
    fn is_sideload(self) -> bool {
        use Aside::{Abilities, Groups, Identities, OpenTicketCount, Organizations, Roles, Users};
        matches!(self, Users | Groups | Organizations | Roles | Identities | Abilities | OpenTicketCount)
    }
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
                Ok(Key::Around(match name {
                    _ if name == R::KEY => return Ok(Key::Rows(PhantomData)),
                    "results" if R::EXPORTED => return Ok(Key::Rows(PhantomData)),
                    "users" if R::SIDELOADS => Aside::Users,
                    "groups" if R::SIDELOADS => Aside::Groups,
                    "organizations" if R::SIDELOADS => Aside::Organizations,
                    "roles" if R::SIDELOADS => Aside::Roles,
                    "identities" if R::SIDELOADS => Aside::Identities,
                    "abilities" if R::SIDELOADS => Aside::Abilities,
                    "open_ticket_count" if R::SIDELOADS => Aside::OpenTicketCount,
                    "meta" => Aside::Meta,
                    "has_more" => Aside::HasMore,
                    "end_of_stream" => Aside::EndOfStream,
                    "after_cursor" => Aside::AfterCursor,
                    "count" => Aside::Count,
                    "next_page" => Aside::NextPage,
                    "links" => Aside::Links,
                    _ => Aside::Other,
                }))
            }
        }
        from.deserialize_identifier(Name(PhantomData))
    }
}
