//! The readers of ids. Zendesk's are positive, so any other number names nothing and cannot be acted on.

use serde::de::Deserializer;

use super::fields::{Scalar, optional_scalar, scalars};

/// A record's id.
#[derive(Default)]
struct Id(i64);

impl Id {
    fn of(id: Option<i64>) -> Option<Self> {
        id.filter(|id| *id > 0).map(Self)
    }
}

impl Scalar for Id {
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
    Ok(optional_scalar::<Id, D>(from)?.map(|Id(id)| id))
}

/// Reads an id without presence; 0 is none.
pub fn id<'de, D: Deserializer<'de>>(from: D) -> Result<i64, D::Error> {
    Ok(optional_id(from)?.unwrap_or_default())
}

/// Reads a list of ids.
pub fn ids<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<i64>, D::Error> {
    Ok(scalars::<Id, D>(from)?.into_iter().map(|Id(id)| id).collect())
}
