//! Zendesk's JSON ↔ the contract's messages, without a layer of structs in between.
//!
//! `build.rs` attaches these functions to the generated fields by type. Zendesk omits fields, sends null anywhere, adds
//! fields and words without notice; none of that may fail a call, so readers are lenient and count what they could not
//! represent ([`surprises`]). Writers send exactly what is set; [`patch()`] adds the explicit nulls of an update mask.

use std::fmt;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicU64, Ordering};

use prost_types::Timestamp;
use serde::de::{DeserializeOwned, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize, Serializer};

mod object;
mod patch;
mod structure;
#[cfg(test)]
mod tests;

pub use object::{Object, objects, optional_object};
pub use patch::{EnumFields, Input, patch};
pub use structure::{structure, write_structure};

static SURPRISES: AtomicU64 = AtomicU64::new(0);

/// Returns how many values so far could not be represented: unknown words, unreadable times, wrong types.
pub fn surprises() -> u64 {
    SURPRISES.load(Ordering::Relaxed)
}

fn surprise(what: &'static str) {
    SURPRISES.fetch_add(1, Ordering::Relaxed);
    tracing::debug!(json.kind = what, "a value from zendesk could not be represented");
}

/// Reads a JSON body into a message.
///
/// `sonic-rs` reads in two thirds of the time that `serde_json` takes. But it skips unknown values by recursion without a
/// limit, with which a hostile body could overflow the stack; so it gets only shallow bodies. All others, and those that it
/// refuses, go to `serde_json`, whose limit is 128 levels and whose error positions are exact.
pub fn decode<T: DeserializeOwned>(body: &[u8]) -> Result<T, Malformed> {
    if is_shallow(body)
        && let Ok(Object(value)) = sonic_rs::from_slice(body)
    {
        return Ok(value);
    }
    let read = serde_json::from_slice(body).map(|Object(value)| value);
    read.map_err(|error| Malformed::Unreadable { line: error.line(), column: error.column() })
}

/// True if a body is nested so little that it can be read with recursion.
///
/// Brackets within strings count like others, so closing ones in a string can hide some depth; not much, because a shallow body
/// has at most `MOST` opening brackets in all. A page of 100 users has some six hundred.
fn is_shallow(body: &[u8]) -> bool {
    const MOST: usize = 1024;
    const DEEPEST: usize = 32;
    let mut closing = memchr::memchr2_iter(b']', b'}', body).peekable();
    let mut depth = 0_usize;
    for (before, opening) in memchr::memchr2_iter(b'[', b'{', body).enumerate() {
        while closing.next_if(|closing| *closing < opening).is_some() {
            depth = depth.saturating_sub(1);
        }
        depth += 1;
        if depth > DEEPEST || before >= MOST {
            return false;
        }
    }
    true
}

/// A body that is no answer to what was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// It is not the documented JSON. The error says where, never what: the text may hold personal data.
    #[error("not the documented JSON at line {line}, column {column}")]
    Unreadable {
        /// The line, from 1.
        line: usize,
        /// The column, from 1.
        column: usize,
    },
    /// It does not hold what was asked for: no record, one without its id, or another one.
    #[error("not about the record or the list that was asked for")]
    Foreign,
}

/// The words an enum has on the wire.
pub trait Words {
    /// Each word with its enum number.
    const WORDS: &'static [(&'static str, i32)];
}

fn number_of<E: Words>(word: &str) -> i32 {
    let found = E::WORDS.iter().find(|(known, _)| *known == word);
    found.map_or_else(
        || {
            surprise("word");
            0
        },
        |(_, number)| *number,
    )
}

/// Returns the wire word of an enum number; none for UNSPECIFIED and for numbers this version does not know.
pub fn word_of<E: Words>(number: i32) -> Option<&'static str> {
    E::WORDS.iter().find(|(_, known)| *known == number).map(|(word, _)| *word)
}

/// Reads an enum field with presence.
pub fn optional_word<'de, E: Words, D: Deserializer<'de>>(from: D) -> Result<Option<i32>, D::Error> {
    Ok(from.deserialize_any(Text)?.map(|word| number_of::<E>(&word)))
}

/// Reads an enum field without presence; null is UNSPECIFIED.
pub fn word<'de, E: Words, D: Deserializer<'de>>(from: D) -> Result<i32, D::Error> {
    Ok(optional_word::<E, D>(from)?.unwrap_or_default())
}

/// Reads a list of enum words.
pub fn words<'de, E: Words, D: Deserializer<'de>>(from: D) -> Result<Vec<i32>, D::Error> {
    let words: Vec<String> = list(from)?;
    Ok(words.iter().map(|word| number_of::<E>(word)).collect())
}

/// Writes an enum field as its word. A number without a word is an error: [`patch()`] refuses it by its field before.
pub fn write_word<E: Words, S: Serializer>(number: &i32, to: S) -> Result<S::Ok, S::Error> {
    let word = word_of::<E>(*number).ok_or_else(|| serde::ser::Error::custom("an enum number has no word"))?;
    to.serialize_str(word)
}

/// Writes an enum field with presence; none is null.
pub fn write_optional_word<E: Words, S: Serializer>(number: &Option<i32>, to: S) -> Result<S::Ok, S::Error> {
    match number {
        Some(number) => write_word::<E, S>(number, to),
        None => to.serialize_none(),
    }
}

/// Writes a list of enum words.
pub fn write_words<E: Words, S: Serializer>(numbers: &[i32], to: S) -> Result<S::Ok, S::Error> {
    let words: Option<Vec<&str>> = numbers.iter().map(|number| word_of::<E>(*number)).collect();
    words.ok_or_else(|| serde::ser::Error::custom("an enum number has no word"))?.serialize(to)
}

/// Reads a list; null is empty, and a lone object is a list of one.
pub fn list<'de, T: Deserialize<'de>, D: Deserializer<'de>>(from: D) -> Result<Vec<T>, D::Error> {
    struct List<T>(PhantomData<T>);
    impl<'de, T: Deserialize<'de>> Visitor<'de> for List<T> {
        type Value = Vec<T>;
        fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
            to.write_str("a list")
        }
        fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Vec<T>, A::Error> {
            let mut list = Vec::with_capacity(items.size_hint().unwrap_or_default());
            while let Some(item) = items.next_element()? {
                list.push(item);
            }
            Ok(list)
        }
        fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Vec<T>, A::Error> {
            T::deserialize(serde::de::value::MapAccessDeserializer::new(map)).map(|only| vec![only])
        }
        fn visit_unit<E>(self) -> Result<Vec<T>, E> {
            Ok(Vec::new())
        }
    }
    from.deserialize_any(List(PhantomData))
}

/// Reads a time as Zendesk writes it, `2009-07-20T22:55:29Z`, or any other RFC 3339 form.
pub fn timestamp<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Timestamp>, D::Error> {
    let Some(text) = from.deserialize_any(Text)? else { return Ok(None) };
    let time = text.parse().ok();
    if time.is_none() {
        surprise("time");
    }
    Ok(time)
}

/// A scalar that reads itself from whatever JSON value stands in its place.
pub trait Scalar: Sized + Default {
    /// Reads from the text of a string.
    fn from_text(text: &str) -> Option<Self>;
    /// Reads from an integer.
    fn from_integer(integer: i64) -> Option<Self>;
    /// Reads from a number with a fraction.
    fn from_double(double: f64) -> Option<Self>;
    /// Reads from a boolean.
    fn from_bool(bool: bool) -> Option<Self>;
    /// Takes a string that was allocated already.
    fn from_string(text: String) -> Option<Self> {
        Self::from_text(&text)
    }
}

impl Scalar for String {
    fn from_text(text: &str) -> Option<Self> {
        Some(text.to_owned())
    }
    fn from_integer(integer: i64) -> Option<Self> {
        Some(integer.to_string())
    }
    fn from_double(double: f64) -> Option<Self> {
        Some(double.to_string())
    }
    fn from_bool(bool: bool) -> Option<Self> {
        Some(bool.to_string())
    }
    fn from_string(text: String) -> Option<Self> {
        Some(text)
    }
}

macro_rules! integer {
    ($type:ty) => {
        impl Scalar for $type {
            fn from_text(text: &str) -> Option<Self> {
                text.parse().ok()
            }
            fn from_integer(integer: i64) -> Option<Self> {
                integer.try_into().ok()
            }
            fn from_double(double: f64) -> Option<Self> {
                // Display writes a whole double without a fraction, so only whole numbers in range are taken.
                double.to_string().parse().ok()
            }
            fn from_bool(_: bool) -> Option<Self> {
                None
            }
        }
    };
}
integer!(i64);
integer!(i32);

impl Scalar for bool {
    fn from_text(text: &str) -> Option<Self> {
        text.parse().ok()
    }
    fn from_integer(_: i64) -> Option<Self> {
        None
    }
    fn from_double(_: f64) -> Option<Self> {
        None
    }
    fn from_bool(bool: bool) -> Option<Self> {
        Some(bool)
    }
}

/// Reads a scalar with presence: null and absent are none, and so is a value of a wrong type, which is counted.
pub fn optional_scalar<'de, T: Scalar, D: Deserializer<'de>>(from: D) -> Result<Option<T>, D::Error> {
    from.deserialize_any(Lenient(PhantomData))
}

/// Reads a scalar without presence; null is its default.
pub fn scalar<'de, T: Scalar, D: Deserializer<'de>>(from: D) -> Result<T, D::Error> {
    Ok(optional_scalar(from)?.unwrap_or_default())
}

struct Lenient<T>(PhantomData<T>);

fn counted<T>(value: Option<T>) -> Option<T> {
    if value.is_none() {
        surprise("type");
    }
    value
}

impl<'de, T: Scalar> Visitor<'de> for Lenient<T> {
    type Value = Option<T>;

    fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str("a scalar")
    }
    fn visit_str<E>(self, text: &str) -> Result<Option<T>, E> {
        Ok(counted(T::from_text(text)))
    }
    fn visit_string<E>(self, text: String) -> Result<Option<T>, E> {
        Ok(counted(T::from_string(text)))
    }
    fn visit_i64<E>(self, integer: i64) -> Result<Option<T>, E> {
        Ok(counted(T::from_integer(integer)))
    }
    fn visit_u64<E>(self, integer: u64) -> Result<Option<T>, E> {
        Ok(counted(i64::try_from(integer).ok().and_then(T::from_integer)))
    }
    fn visit_f64<E>(self, double: f64) -> Result<Option<T>, E> {
        Ok(counted(T::from_double(double)))
    }
    fn visit_bool<E>(self, bool: bool) -> Result<Option<T>, E> {
        Ok(counted(T::from_bool(bool)))
    }
    fn visit_unit<E>(self) -> Result<Option<T>, E> {
        Ok(None)
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Option<T>, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(counted(None))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Option<T>, A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(counted(None))
    }
}

/// The text of a string or number, without a copy where the body allows it; none for null.
struct Text;

impl<'de> Visitor<'de> for Text {
    type Value = Option<std::borrow::Cow<'de, str>>;

    fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str("a word")
    }
    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Some(text.into()))
    }
    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Some(text.to_owned().into()))
    }
    fn visit_i64<E>(self, number: i64) -> Result<Self::Value, E> {
        Ok(Some(number.to_string().into()))
    }
    fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
        Ok(Some(number.to_string().into()))
    }
    fn visit_bool<E>(self, bool: bool) -> Result<Self::Value, E> {
        Ok(Some(bool.to_string().into()))
    }
    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }
    fn visit_f64<E: serde::de::Error>(self, _: f64) -> Result<Self::Value, E> {
        Err(E::custom("a number with a fraction is no word"))
    }
}
