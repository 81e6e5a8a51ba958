//! The readers of ids. Zendesk's are positive, so any other number names nothing and cannot be acted on.

use serde::de::{Deserializer, Visitor};

use super::fields::{Scalar, optional_scalar, scalars};

/// A whole number of at least so much; any other cannot be read.
#[derive(Default)]
pub struct AtLeast<const LEAST: i64>(pub i64);

/// A record's id.
type Id = AtLeast<1>;

impl<const LEAST: i64> AtLeast<LEAST> {
    fn of(number: Option<i64>) -> Option<Self> {
        number.filter(|number| *number >= LEAST).map(Self)
    }
}

impl<const LEAST: i64> Scalar for AtLeast<LEAST> {
    fn ask<'de, D: Deserializer<'de>, V: Visitor<'de>>(from: D, visitor: V) -> Result<V::Value, D::Error> {
        from.deserialize_i64(visitor)
    }
    fn from_text(text: &str) -> Option<Self> {
        Self::of(i64::from_text(text))
    }
    fn from_integer(integer: i64) -> Option<Self> {
        Self::of(Some(integer))
    }
    fn from_double(double: f64) -> Option<Self> {
        Self::of(i64::from_double(double))
    }
    fn from_bool(_: bool) -> Option<Self> {
        None
    }
}

/// Reads an id with presence.
pub fn optional_id<'de, D: Deserializer<'de>>(from: D) -> Result<Option<i64>, D::Error> {
    Ok(optional_scalar::<Id, D>(from)?.map(|AtLeast(id)| id))
}

/// Reads an id without presence; 0 is none.
pub fn id<'de, D: Deserializer<'de>>(from: D) -> Result<i64, D::Error> {
    Ok(optional_id(from)?.unwrap_or_default())
}

/// Reads a list of ids.
pub fn ids<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<i64>, D::Error> {
    Ok(scalars::<Id, D>(from)?.into_iter().map(|AtLeast(id)| id).collect())
}
