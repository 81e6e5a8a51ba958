//! How sideloads are read. What the answer is about can be used without them: null counts as nothing, and what cannot be one as one
//! row that cannot be read.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{DeserializeSeed, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::rows::Rows;
use crate::json;
use crate::proto::OpenTicketCount;
use crate::rest::row::Row;

/// The methods of a visitor for null, which is nothing, and for what is no sideload.
macro_rules! nothing_or_lost {
    ($ask:path) => {
        fn visit_none<E>(self) -> Result<Self::Value, E> {
            Ok(Vec::new())
        }
        fn visit_some<D: Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
            $ask(from, self)
        }
        fn visit_str<E: Error>(self, _: &str) -> Result<Self::Value, E> {
            json::rows_lost("string").map(|()| Vec::new())
        }
        fn visit_bool<E: Error>(self, _: bool) -> Result<Self::Value, E> {
            json::rows_lost("boolean").map(|()| Vec::new())
        }
        fn visit_i64<E: Error>(self, _: i64) -> Result<Self::Value, E> {
            json::rows_lost("number").map(|()| Vec::new())
        }
        fn visit_u64<E: Error>(self, _: u64) -> Result<Self::Value, E> {
            json::rows_lost("number").map(|()| Vec::new())
        }
        fn visit_f64<E: Error>(self, _: f64) -> Result<Self::Value, E> {
            json::rows_lost("number").map(|()| Vec::new())
        }
    };
}

/// Reads a list of records.
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
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Vec<R>, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        json::rows_lost("object").map(|()| Vec::new())
    }
    nothing_or_lost!(D::deserialize_seq);
}

/// Reads how many open tickets users have: an object with the numbers by the ids of the users. What is no number, or by no id, is one
/// row that cannot be read.
pub(super) struct Counts;

impl<'de> DeserializeSeed<'de> for Counts {
    type Value = Vec<OpenTicketCount>;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
        from.deserialize_option(self)
    }
}

impl<'de> Visitor<'de> for Counts {
    type Value = Vec<OpenTicketCount>;

    fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str("an object of numbers")
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut counts = Vec::new();
        while let Some((id, Number(count))) = map.next_entry::<String, Number>()? {
            match id.parse().ok().filter(|id| *id > 0).zip(count) {
                Some((user_id, count)) => {
                    json::room_for_row::<OpenTicketCount, A::Error>()?;
                    counts.push(OpenTicketCount { user_id, count });
                }
                None => json::rows_lost("no number of a user")?,
            }
        }
        Ok(counts)
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        let is_empty = items.next_element::<IgnoredAny>()?.is_none();
        while items.next_element::<IgnoredAny>()?.is_some() {}
        if !is_empty {
            json::rows_lost("list")?;
        }
        Ok(Vec::new())
    }
    nothing_or_lost!(D::deserialize_map);
}

/// A number that is not negative, also as its digits; none of anything else.
struct Number(Option<i64>);

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Number;
            fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
                to.write_str("a number")
            }
            fn visit_u64<E>(self, number: u64) -> Result<Number, E> {
                Ok(Number(number.try_into().ok()))
            }
            fn visit_i64<E>(self, number: i64) -> Result<Number, E> {
                Ok(Number(Some(number).filter(|number| *number >= 0)))
            }
            fn visit_str<E>(self, text: &str) -> Result<Number, E> {
                Ok(Number(text.parse().ok().filter(|number| *number >= 0)))
            }
            fn visit_f64<E>(self, _: f64) -> Result<Number, E> {
                Ok(Number(None))
            }
            fn visit_bool<E>(self, _: bool) -> Result<Number, E> {
                Ok(Number(None))
            }
            fn visit_unit<E>(self) -> Result<Number, E> {
                Ok(Number(None))
            }
            fn visit_none<E>(self) -> Result<Number, E> {
                Ok(Number(None))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Number, A::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Number(None))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Number, A::Error> {
                while items.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Number(None))
            }
        }
        from.deserialize_any(Any)
    }
}
