//! JSON objects as messages.

use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::{list, surprise};

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
                T::deserialize(serde::de::value::MapAccessDeserializer::new(map)).map(Object)
            }
        }
        from.deserialize_map(Fields(PhantomData))
    }
}

/// Reads a message field. Null, and whatever is no object, is absent: the empty list that PHP writes for an empty object
/// must not read as a message that is there.
pub fn optional_object<'de, T: Deserialize<'de>, D: Deserializer<'de>>(from: D) -> Result<Option<T>, D::Error> {
    struct Lenient<T>(PhantomData<T>);
    impl<'de, T: Deserialize<'de>> Visitor<'de> for Lenient<T> {
        type Value = Option<T>;
        fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
            to.write_str("an object")
        }
        fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Option<T>, A::Error> {
            T::deserialize(serde::de::value::MapAccessDeserializer::new(map)).map(Some)
        }
        fn visit_unit<E>(self) -> Result<Option<T>, E> {
            Ok(None)
        }
        fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Option<T>, A::Error> {
            while items.next_element::<IgnoredAny>()?.is_some() {}
            Ok(no_object())
        }
        fn visit_str<E>(self, _: &str) -> Result<Option<T>, E> {
            Ok(no_object())
        }
        fn visit_bool<E>(self, _: bool) -> Result<Option<T>, E> {
            Ok(no_object())
        }
        fn visit_i64<E>(self, _: i64) -> Result<Option<T>, E> {
            Ok(no_object())
        }
        fn visit_u64<E>(self, _: u64) -> Result<Option<T>, E> {
            Ok(no_object())
        }
        fn visit_f64<E>(self, _: f64) -> Result<Option<T>, E> {
            Ok(no_object())
        }
    }
    fn no_object<T>() -> Option<T> {
        surprise("object");
        None
    }
    from.deserialize_any(Lenient(PhantomData))
}

/// Reads a list of messages; null is empty, and a lone object is a list of one (job results come so).
pub fn objects<'de, T: Deserialize<'de>, D: Deserializer<'de>>(from: D) -> Result<Vec<T>, D::Error> {
    Ok(list::<Object<T>, D>(from)?.into_iter().map(|Object(item)| item).collect())
}
