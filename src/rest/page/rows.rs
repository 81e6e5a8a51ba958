//! How the rows of a page are read, and those that come beside them.

use std::any::TypeId;
use std::fmt;
use std::marker::PhantomData;

use serde::Deserializer;
use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::json::{self, Item};
use crate::rest::row::Row;
use crate::upstream::rest::Owner;

/// A container that the rows of a page are read into, in Zendesk's order.
pub trait Rows: Default {
    /// Reads the list of rows.
    fn read<'de, D: Deserializer<'de>>(from: D) -> Result<Self, D::Error>;

    /// Returns the number of rows.
    fn count(&self) -> usize;

    /// True if every row can belong to `owner`.
    fn belong_to(&self, owner: Owner) -> bool;
}

impl<R: Row> Rows for Vec<R> {
    fn read<'de, D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct List<R>(PhantomData<R>);
        impl<'de, R: Row> Visitor<'de> for List<R> {
            type Value = Vec<R>;
            fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(to, "a list of {}", R::KEY)
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut rows: A) -> Result<Vec<R>, A::Error> {
                let mut list = Vec::new();
                while let Some(row) = next_row::<R, R, A>(&mut rows)? {
                    list.extend(row);
                }
                Ok(list)
            }
        }
        from.deserialize_seq(List(PhantomData))
    }

    fn count(&self) -> usize {
        self.len()
    }

    fn belong_to(&self, owner: Owner) -> bool {
        self.iter().map(Row::names).all(|names| owner.has(names))
    }
}

/// Reads the next row of a list. Returns `None` at the end of the list, and `Some(None)` for a row that is lost: it cannot be
/// read, or has no id. A row with an id is kept, and says which of its fields are lost; where there is no room for the `K` that is
/// kept of it, the page is refused.
pub fn next_row<'de, R: Row, K: 'static, A: SeqAccess<'de>>(rows: &mut A) -> Result<Option<Option<R>>, A::Error> {
    json::row_begins();
    let Some(Item(row)) = rows.next_element::<Item<R>>()? else {
        json::row_ends(true);
        return Ok(None);
    };
    let row = row.filter(Row::is_usable);
    // Of a row that is encoded at once, its values take no room any more.
    json::row_ends(row.is_some() && TypeId::of::<K>() == TypeId::of::<R>());
    match row {
        Some(_) => json::room_for_row::<K, A::Error>()?,
        None => json::row_lost("no object with an id")?,
    }
    Ok(Some(row))
}

/// Reads sideloaded rows. The list's own rows can be used without them: null counts as no rows, and what is neither null nor a list
/// as one row that cannot be read.
pub(super) struct Beside<R>(pub PhantomData<R>);

impl<'de, R: Row> DeserializeSeed<'de> for Beside<R> {
    type Value = Vec<R>;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Vec<R>, D::Error> {
        from.deserialize_option(self)
    }
}

impl<'de, R: Row> Visitor<'de> for Beside<R> {
    type Value = Vec<R>;

    fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "a list of {}", R::KEY)
    }
    fn visit_seq<A: SeqAccess<'de>>(self, rows: A) -> Result<Vec<R>, A::Error> {
        Rows::read(serde::de::value::SeqAccessDeserializer::new(rows))
    }
    fn visit_none<E>(self) -> Result<Vec<R>, E> {
        Ok(Vec::new())
    }
    fn visit_some<D: Deserializer<'de>>(self, from: D) -> Result<Vec<R>, D::Error> {
        from.deserialize_seq(self)
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Vec<R>, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        json::rows_lost("object").map(|()| Vec::new())
    }
    fn visit_str<E: serde::de::Error>(self, _: &str) -> Result<Vec<R>, E> {
        json::rows_lost("string").map(|()| Vec::new())
    }
    fn visit_bool<E: serde::de::Error>(self, _: bool) -> Result<Vec<R>, E> {
        json::rows_lost("boolean").map(|()| Vec::new())
    }
    fn visit_i64<E: serde::de::Error>(self, _: i64) -> Result<Vec<R>, E> {
        json::rows_lost("number").map(|()| Vec::new())
    }
    fn visit_u64<E: serde::de::Error>(self, _: u64) -> Result<Vec<R>, E> {
        json::rows_lost("number").map(|()| Vec::new())
    }
    fn visit_f64<E: serde::de::Error>(self, _: f64) -> Result<Vec<R>, E> {
        json::rows_lost("number").map(|()| Vec::new())
    }
}
