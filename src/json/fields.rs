//! The readers and writers of fields that are no messages. Each kind has one, because serde's own refuses a null.

use std::fmt;
use std::marker::PhantomData;

use prost_types::Timestamp;
use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Serialize, Serializer};

use super::losses::{is_under_way, lost};
use super::{room, tiny};
use crate::error::Checks;

/// Whole doubles below this are exact.
pub(super) const EXACT: f64 = 9_007_199_254_740_992.0;
/// The times that a `Timestamp` can be, in seconds: the years 1 to 9999.
const TIMES: std::ops::RangeInclusive<i64> = -62_135_596_800..=253_402_300_799;

/// The words an enum has on the wire.
pub trait Words {
    /// Each word with its enum number.
    const WORDS: &'static [(&'static str, i32)];
    /// The names of the same values in the proto file.
    const NAMES: &'static [&'static str];
}

/// Refuses a number that has no word.
pub fn check_word<E: Words>(number: i32, field: &str, checks: &mut Checks) {
    if word_of::<E>(number).is_none() {
        checks.refuse(field, &no_word::<E>(number));
    }
}

/// Says of a number that has no word what is wrong with it, as the end of a sentence that begins with the field.
pub fn no_word<E: Words>(number: i32) -> String {
    let choices = E::NAMES.iter().zip(E::WORDS).map(|(name, (_, number))| format!("{name} ({number})"));
    format!("is {number}, and must be one of {}", choices.collect::<Vec<_>>().join(", "))
}

/// Returns the number of a word; UNSPECIFIED for one that this version does not know, which counts as unreadable.
fn number_of<W: Words, E: Error>(word: &str) -> Result<i32, E> {
    match W::WORDS.iter().find(|(known, _)| *known == word) {
        Some((_, number)) => Ok(*number),
        None => lost("an unknown word").map(|()| 0),
    }
}

/// Returns the wire word of an enum number; none for UNSPECIFIED and for numbers this version does not know.
pub fn word_of<E: Words>(number: i32) -> Option<&'static str> {
    E::WORDS.iter().find(|(_, known)| *known == number).map(|(word, _)| *word)
}

/// Reads an enum field with presence.
pub fn optional_word<'de, E: Words, D: Deserializer<'de>>(from: D) -> Result<Option<i32>, D::Error> {
    // Some words are numbers, such as those of `role_type`.
    from.deserialize_any(Text)?.map(|word| number_of::<E, D::Error>(&word)).transpose()
}

/// Reads an enum field without presence; null is UNSPECIFIED.
pub fn word<'de, E: Words, D: Deserializer<'de>>(from: D) -> Result<i32, D::Error> {
    Ok(optional_word::<E, D>(from)?.unwrap_or_default())
}

/// Reads a list of enum words; null is empty, and a null in it is nothing.
pub fn words<'de, E: Words, D: Deserializer<'de>>(from: D) -> Result<Vec<i32>, D::Error> {
    let words: Vec<Word<E>> = list(from)?;
    Ok(words.into_iter().filter_map(|word| word.number).collect())
}

/// Writes an enum field as its word. A number without a word is an error: [`patch()`](super::patch()) refuses it by its field
/// before.
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

/// An enum word in a list.
struct Word<W> {
    number: Option<i32>,
    of: PhantomData<W>,
}

impl<'de, W: Words> Deserialize<'de> for Word<W> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        optional_word::<W, D>(from).map(|number| Self { number, of: PhantomData })
    }
}

/// Reads a list of scalars; null is empty, and so is a null in it. An item that cannot be read is left out.
pub fn scalars<'de, T: Scalar, D: Deserializer<'de>>(from: D) -> Result<Vec<T>, D::Error> {
    let items: Vec<Value<T>> = list(from)?;
    Ok(items.into_iter().filter_map(|Value(item)| item).collect())
}

struct Value<T>(Option<T>);

impl<'de, T: Scalar> Deserialize<'de> for Value<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let value = from.deserialize_option(Lenient(PhantomData))?;
        Ok(Self(value))
    }
}

/// Reads a list; null is empty, and whatever is no list is lost.
pub(super) fn list<'de, T: Deserialize<'de>, D: Deserializer<'de>>(from: D) -> Result<Vec<T>, D::Error> {
    struct List<T>(PhantomData<T>);
    impl<'de, T: Deserialize<'de>> Visitor<'de> for List<T> {
        type Value = Vec<T>;
        fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
            to.write_str("a list")
        }
        fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<Vec<T>, A::Error> {
            room::list(items, &PhantomData, Some)
        }
        null_or!(Vec::new(), D::deserialize_seq);
        lost_otherwise!(Vec::new(); string number boolean object);
    }
    from.deserialize_option(List(PhantomData))
}

/// Reads what a record has lost, which only the lenient reading tells it.
pub fn unreadable<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    // A body that has this key itself fails here, and is read leniently, where the key is skipped.
    if is_under_way() { Vec::deserialize(from) } else { Err(D::Error::custom("a key that no body has")) }
}

/// Reads a time as Zendesk writes it, `2009-07-20T22:55:29Z`, or any other RFC 3339 form.
pub fn timestamp<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Timestamp>, D::Error> {
    let Some(text) = from.deserialize_option(Text)? else { return Ok(None) };
    let time = text.parse().ok().filter(|time: &Timestamp| TIMES.contains(&time.seconds));
    if time.is_none() {
        lost("no time")?;
    }
    Ok(time)
}

/// A scalar that reads itself from whatever JSON value stands in its place.
pub trait Scalar: Sized + Default {
    /// Asks for the JSON type that Zendesk writes it as, if that is one.
    fn ask<'de, D: Deserializer<'de>, V: Visitor<'de>>(from: D, visitor: V) -> Result<V::Value, D::Error> {
        from.deserialize_any(visitor)
    }
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
    fn ask<'de, D: Deserializer<'de>, V: Visitor<'de>>(from: D, visitor: V) -> Result<V::Value, D::Error> {
        from.deserialize_str(visitor)
    }
    fn from_text(text: &str) -> Option<Self> {
        Some(text.to_owned())
    }
    fn from_integer(integer: i64) -> Option<Self> {
        Some(integer.to_string())
    }
    fn from_double(double: f64) -> Option<Self> {
        // A larger one may have lost digits.
        (double.abs() < EXACT).then(|| double.to_string())
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
            fn ask<'de, D: Deserializer<'de>, V: Visitor<'de>>(from: D, visitor: V) -> Result<V::Value, D::Error> {
                from.deserialize_i64(visitor)
            }
            fn from_text(text: &str) -> Option<Self> {
                text.parse().ok()
            }
            fn from_integer(integer: i64) -> Option<Self> {
                integer.try_into().ok()
            }
            fn from_double(double: f64) -> Option<Self> {
                // A larger one may have been another integer. Display writes a whole double without a fraction, so only whole
                // numbers are taken.
                if double.abs() < EXACT { double.to_string().parse().ok() } else { None }
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
    fn ask<'de, D: Deserializer<'de>, V: Visitor<'de>>(from: D, visitor: V) -> Result<V::Value, D::Error> {
        from.deserialize_bool(visitor)
    }
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
    from.deserialize_option(Lenient(PhantomData))
}

/// Reads a scalar without presence; null is its default.
pub fn scalar<'de, T: Scalar, D: Deserializer<'de>>(from: D) -> Result<T, D::Error> {
    Ok(optional_scalar(from)?.unwrap_or_default())
}

struct Lenient<T>(PhantomData<T>);

fn readable<T, E: Error>(value: Option<T>, met: &'static str) -> Result<Option<T>, E> {
    if value.is_none() {
        lost(met)?;
    }
    Ok(value)
}

impl<'de, T: Scalar> Visitor<'de> for Lenient<T> {
    type Value = Option<T>;

    fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str("a scalar")
    }
    fn visit_str<E: Error>(self, text: &str) -> Result<Option<T>, E> {
        readable(T::from_text(text), "string")
    }
    fn visit_string<E: Error>(self, text: String) -> Result<Option<T>, E> {
        readable(T::from_string(text), "string")
    }
    fn visit_i64<E: Error>(self, integer: i64) -> Result<Option<T>, E> {
        readable(T::from_integer(integer), "number")
    }
    fn visit_u64<E: Error>(self, integer: u64) -> Result<Option<T>, E> {
        readable(i64::try_from(integer).map_or_else(|_| T::from_text(&integer.to_string()), T::from_integer), "number")
    }
    fn visit_f64<E: Error>(self, double: f64) -> Result<Option<T>, E> {
        readable(T::from_double(tiny::read(double)), "number")
    }
    fn visit_bool<E: Error>(self, bool: bool) -> Result<Option<T>, E> {
        readable(T::from_bool(bool), "boolean")
    }
    null_or!(None, T::ask);
    lost_otherwise!(None; object list);
}

/// The text of a string or number, without a copy where the body allows it; none for null, and for what is no text.
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
    null_or!(None, D::deserialize_str);
    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }
    fn visit_f64<E: Error>(self, _: f64) -> Result<Self::Value, E> {
        lost("number").map(|()| None)
    }
    lost_otherwise!(None; object list);
}
