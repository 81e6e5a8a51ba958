//! How the rows of a page are read, and those that come beside them.

use std::any::TypeId;
use std::fmt;
use std::marker::PhantomData;

use serde::Deserializer;
use serde::de::{SeqAccess, Visitor};

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
