//! JSON objects as messages.

use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::losses::{lacks, lost};
use super::room;

/// A JSON object, read into a message. By itself serde would take a list, too, and put its items into the fields in order.
pub struct Object<T>(pub T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Fields<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Fields<T> {
            type Value = Object<T>;
            fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
                to.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Object<T>, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(Object)
            }
        }
        from.deserialize_map(Fields(PhantomData))
    }
}

/// An item of a list that should be an object; none if it is not. Whoever reads the list says what that costs.
pub struct Item<T>(pub Option<T>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Item<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Any<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Any<T> {
            type Value = Item<T>;
            fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
                to.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Item<T>, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(|object| Item(Some(object)))
            }
            null_or!(Item(None), D::deserialize_map);
            fn visit_str<E>(self, _: &str) -> Result<Item<T>, E> {
                Ok(Item(None))
            }
            fn visit_bool<E>(self, _: bool) -> Result<Item<T>, E> {
                Ok(Item(None))
            }
            fn visit_i64<E>(self, _: i64) -> Result<Item<T>, E> {
                Ok(Item(None))
            }
            fn visit_u64<E>(self, _: u64) -> Result<Item<T>, E> {
                Ok(Item(None))
            }
            fn visit_f64<E>(self, _: f64) -> Result<Item<T>, E> {
                Ok(Item(None))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Item<T>, A::Error> {
                while items.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Item(None))
            }
        }
        from.deserialize_option(Any(PhantomData))
    }
}

/// Reads a message field. Null is absent, and whatever is no object is lost.
pub fn optional_object<'de, T: Deserialize<'de>, D: Deserializer<'de>>(from: D) -> Result<Option<T>, D::Error> {
    from.deserialize_option(Lenient::<T, false>(PhantomData))
}

/// The same for an object beside the rows of a page, such as `meta`. Absent, too, is the empty list that PHP
/// writes for an empty object.
pub fn object_or_nothing<'de, T: Deserialize<'de>, D: Deserializer<'de>>(from: D) -> Result<Option<T>, D::Error> {
    from.deserialize_any(Lenient::<T, true>(PhantomData))
}

struct Lenient<T, const EMPTY_LIST_IS_NONE: bool>(PhantomData<T>);

impl<'de, T: Deserialize<'de>, const EMPTY_LIST_IS_NONE: bool> Visitor<'de> for Lenient<T, EMPTY_LIST_IS_NONE> {
    type Value = Option<T>;

    fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str("an object")
    }
    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Option<T>, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map)).map(Some)
    }
    null_or!(None, D::deserialize_map);
    fn visit_unit<E>(self) -> Result<Option<T>, E> {
        Ok(None)
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Option<T>, A::Error> {
        let is_empty = items.next_element::<IgnoredAny>()?.is_none();
        while items.next_element::<IgnoredAny>()?.is_some() {}
        if !(is_empty && EMPTY_LIST_IS_NONE) {
            lost("list")?;
        }
        Ok(None)
    }
    lost_otherwise!(None; string number boolean);
}

/// Reads a list of messages; null is empty. An item that is no object is left out, and so is all of what is no list.
pub fn objects<'de, T: Deserialize<'de>, D: Deserializer<'de>>(from: D) -> Result<Vec<T>, D::Error> {
    from.deserialize_option(List::<T>(PhantomData))
}

struct List<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for List<T> {
    type Value = Vec<T>;

    fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str("a list of objects")
    }
    fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<Vec<T>, A::Error> {
        room::list(items, &PhantomData, |OrLost(item)| item)
    }
    null_or!(Vec::new(), D::deserialize_seq);
    lost_otherwise!(Vec::new(); string number boolean object);
}

/// An item of a list; lost if it is no object.
struct OrLost<T>(Option<T>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for OrLost<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let Item(item) = Item::deserialize(from)?;
        if item.is_none() {
            lost("no object")?;
        }
        Ok(Self(item))
    }
}

/// A message within a record that always has an id.
pub trait Identified {
    /// Returns the id; 0 if it has none that can be read.
    fn id(&self) -> i64;
}

/// Reads a message field, and notes where the message lacks its id.
pub fn optional_identified<'de, T, D>(from: D) -> Result<Option<T>, D::Error>
where
    T: Deserialize<'de> + Identified,
    D: Deserializer<'de>,
{
    Ok(optional_object::<WithId<T>, D>(from)?.map(|WithId(message)| message))
}

/// Reads a list of messages, and notes where one lacks its id.
pub fn identified<'de, T, D>(from: D) -> Result<Vec<T>, D::Error>
where
    T: Deserialize<'de> + Identified,
    D: Deserializer<'de>,
{
    Ok(objects::<WithId<T>, D>(from)?.into_iter().map(|WithId(message)| message).collect())
}

struct WithId<T>(T);

impl<'de, T: Deserialize<'de> + Identified> Deserialize<'de> for WithId<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let message = T::deserialize(from)?;
        if message.id() <= 0 {
            lacks("id")?;
        }
        Ok(Self(message))
    }
}
