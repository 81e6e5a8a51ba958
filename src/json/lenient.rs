//! Reads again, value by value, a body that the strict reader refused.
//!
//! The same readers of fields do both. Strictly, a value that a field cannot hold is an error. Leniently it is left out, and
//! noted with its path; the record around it says so in `unreadable_fields`, and the list around a row in `unreadable_rows`.
//! So odd values cost time only where they occur.

use std::collections::HashMap;
use std::fmt;

use serde::de::value::{SeqDeserializer, StrDeserializer};
use serde::de::{DeserializeOwned, DeserializeSeed, Deserializer, IntoDeserializer, MapAccess, SeqAccess, Visitor};
use serde::forward_to_deserialize_any;
use serde_json::Error;
use serde_json::value::RawValue;

use super::fields::EXACT;
use super::losses::{self, Down, Losses, Mark, Step, is_replaced, lost};
use super::mended::mended;
use super::place::place;
use super::{Malformed, Object};

/// The key under which a record is told what it has lost. No body can hold it: a key of Zendesk's with this name is skipped.
pub const TOLD: &str = "\0unreadable_fields";
/// What is met where a text was not UTF-8.
pub const NO_TEXT: &str = "text that is no UTF-8";

/// Reads a body, and returns what had to be left out.
pub fn read<T: DeserializeOwned>(body: &[u8]) -> Result<(T, Losses), Malformed> {
    let (text, is_mended) = mended(body);
    let raw = serde_json::from_str::<&RawValue>(&text);
    let raw = raw.map_err(|error| Malformed::Unreadable { place: place(&text, offset(&text, &error)) })?;
    let (read, losses) = losses::reading(is_mended, || serde::Deserialize::deserialize(Raw(raw)));
    // It is JSON, so whoever sent it works. But it is of no use.
    let Object(message) = read.map_err(|_| Malformed::without("the object"))?;
    Ok((message, losses))
}

/// Returns how many bytes of a text were read until an error.
fn offset(text: &str, error: &Error) -> usize {
    let lines = text.split_inclusive('\n').take(error.line().saturating_sub(1));
    lines.map(str::len).sum::<usize>() + error.column()
}

/// Reads a body of any form; none if it is no JSON.
pub fn value(body: &[u8]) -> Option<serde_json::Value> {
    if let Ok(value) = serde_json::from_slice(body) {
        return Some(value);
    }
    let (text, is_mended) = mended(body);
    let raw = serde_json::from_str::<&RawValue>(&text).ok()?;
    losses::reading(is_mended, || serde::Deserialize::deserialize(Raw(raw))).0.ok()
}

/// One JSON value as its text.
struct Raw<'de>(&'de RawValue);

impl<'de> Deserializer<'de> for Raw<'de> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let text = self.0.get();
        match text.as_bytes().first() {
            Some(b'{') => visitor.visit_map(Fields::of(text)?),
            Some(b'[') => {
                let items: Vec<&RawValue> = serde_json::from_str(text)?;
                visitor.visit_seq(Items { items: items.into_iter(), at: 0 })
            }
            Some(b'"') => {
                let text: String = serde_json::from_str(text)?;
                if is_replaced(&text) {
                    lost(NO_TEXT)?;
                }
                visitor.visit_string(text)
            }
            Some(b't') => visitor.visit_bool(true),
            Some(b'f') => visitor.visit_bool(false),
            Some(b'n') => visitor.visit_unit(),
            _ => number(text, visitor),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.0.get() == "null" { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct newtype_struct seq
        tuple tuple_struct map struct enum identifier
    }
}

/// Reads a number. One that no integer and no double can hold is its text, so that no digit is lost.
fn number<'de, V: Visitor<'de>>(text: &str, visitor: V) -> Result<V::Value, Error> {
    if let Ok(integer) = text.parse() {
        return visitor.visit_i64(integer);
    }
    if let Ok(integer) = text.parse() {
        return visitor.visit_u64(integer);
    }
    let is_integer = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
    match text.parse::<f64>() {
        // Beyond this a double does not hold all digits.
        Ok(double) if double.abs() < EXACT && !is_integer => visitor.visit_f64(double),
        _ => visitor.visit_str(text),
    }
}

struct Items<'de> {
    items: std::vec::IntoIter<&'de RawValue>,
    at: usize,
}

impl<'de> SeqAccess<'de> for Items<'de> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Error> {
        let Some(item) = self.items.next() else { return Ok(None) };
        let before = losses::mark();
        let down = Down::to(Step::Item(self.at))?;
        self.at += 1;
        let read = seed.deserialize(Raw(if down.is_some() { item } else { RawValue::NULL }));
        losses::item_read(before);
        read.map(Some)
    }
}

/// The fields of an object: of a repeated key the last one, as every other reader has it. After them comes what was lost in them.
struct Fields<'de> {
    pairs: std::vec::IntoIter<(String, &'de RawValue)>,
    value: Option<(String, &'de RawValue)>,
    /// What was lost before, and how deep this object is.
    before: Mark,
    depth: usize,
    ended: bool,
}

impl<'de> Fields<'de> {
    fn of(text: &'de str) -> Result<Self, Error> {
        let Pairs(pairs) = serde_json::from_str(text)?;
        let last: HashMap<String, usize> = pairs.iter().enumerate().map(|(at, (key, _))| (key.clone(), at)).collect();
        let kept = pairs.into_iter().enumerate().filter(|(at, (key, _))| last[key] == *at && key != TOLD);
        let kept: Vec<_> = kept.map(|(_, pair)| pair).collect();
        Ok(Self { pairs: kept.into_iter(), value: None, before: losses::mark(), depth: losses::depth(), ended: false })
    }
}

impl<'de> MapAccess<'de> for Fields<'de> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        let named = |key: &str, seed: K| -> Result<K::Value, Error> {
            let key: StrDeserializer<'_, Error> = key.into_deserializer();
            seed.deserialize(key)
        };
        if let Some((key, value)) = self.pairs.next() {
            let read = named(&key, seed)?;
            self.value = Some((key, value));
            return Ok(Some(read));
        }
        if !losses::is_untold_since(self.before) || std::mem::replace(&mut self.ended, true) {
            return Ok(None);
        }
        named(TOLD, seed).map(Some)
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, Error> {
        let Some((key, value)) = self.value.take() else {
            return seed.deserialize(Untold { from: self.before, depth: self.depth });
        };
        let down = Down::to(Step::Key(key))?;
        seed.deserialize(Raw(if down.is_some() { value } else { RawValue::NULL }))
    }
}

/// The keys and values of an object, in order.
struct Pairs<'de>(Vec<(String, &'de RawValue)>);

impl<'de> serde::Deserialize<'de> for Pairs<'de> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct All;
        impl<'de> Visitor<'de> for All {
            type Value = Pairs<'de>;
            fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
                to.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs<'de>, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Pairs(pairs))
            }
        }
        from.deserialize_map(All)
    }
}

/// What a record is told at its end: the paths within it that were lost. One that has no field for them leaves them to the
/// record around it.
struct Untold {
    from: Mark,
    depth: usize,
}

impl<'de> Deserializer<'de> for Untold {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let paths = losses::told(self.from, self.depth);
        visitor.visit_seq(SeqDeserializer::new(paths.into_iter()))
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map struct enum identifier
    }
}
