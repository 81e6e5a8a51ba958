//! Reads again, value by value, a body that the strict reader refused.
//!
//! The same readers of fields do both. Strictly, a value that a field cannot hold is an error. Leniently it is left out, and
//! noted with its path; the record around it says so in `unreadable_fields`, and the list around a row in `unreadable_rows`.
//! So odd values cost time only where they occur.
//!
//! Whatever the form of a body, this takes time in proportion to its size, and memory for what is made of it, which is bounded: see
//! [`room`](super::room). Beside that it takes up to three times the size for mended characters and, after that, as much for the keys
//! of one object at a time, and next to nothing for each loss. A long body is read beside the threads that serve calls.

use std::borrow::Cow;

use serde::de::value::{BorrowedStrDeserializer, SeqDeserializer, StrDeserializer, UnitDeserializer};
use serde::de::{DeserializeOwned, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::forward_to_deserialize_any;
use serde_json::Error;

use super::fields::EXACT;
use super::losses::{self, Down, Losses, Step, is_replaced, lost};
use super::mended::mended;
use super::place::place;
use super::text::Text;
use super::{Malformed, Object, room, tiny};

/// The key under which a record is told what it has lost. No body can hold it: a key of Zendesk's with this name is skipped.
pub const TOLD: &str = "\0unreadable_fields";
/// What is met where a text was not UTF-8.
pub const NO_TEXT: &str = "text that is no UTF-8";
/// Longest body of any form that is read as a whole, and what an object and a value in it become at most, beside their texts.
const LONGEST_VALUE: usize = 1 << 20;
const OBJECT: usize = 1 << 10;
const VALUE: usize = 128;

/// Reads a body, and returns what had to be left out.
pub fn read<T: DeserializeOwned>(body: &[u8]) -> Result<(T, Losses), Malformed> {
    let (read, fits) = room::within(body.len(), || reading(body));
    let (read, losses) = read?;
    // It is JSON, so its sender works, but not the object that is expected, or more than it may be.
    let too_much = || Malformed::TooMuch { most: room::most(body.len()) };
    let Object(message) = read.map_err(|_| if fits { Malformed::without("the object") } else { too_much() })?;
    Ok((message, losses))
}

/// Returns how many bytes of a text were read until an error.
fn offset(text: &str, error: &Error) -> usize {
    let lines = text.split_inclusive('\n').take(error.line().saturating_sub(1));
    lines.map(str::len).sum::<usize>() + error.column()
}

/// Reads a body of any form; none if it is no JSON, or too much to be about one record.
pub fn value(body: &[u8]) -> Option<serde_json::Value> {
    let takes = |byte: u8, each: usize| memchr::memchr_iter(byte, body).count().saturating_mul(each);
    if body.len() > LONGEST_VALUE || takes(b'{', OBJECT) + takes(b',', VALUE) > room::most(body.len()) {
        return None;
    }
    serde_json::from_slice(body).ok().or_else(|| reading(body).ok()?.0.ok())
}

/// Returns a body as text, and whether characters of it were replaced.
///
/// # Errors
/// It is no JSON, which the readers expect.
#[inline(never)]
fn text(body: &[u8]) -> Result<(Cow<'_, str>, bool), Malformed> {
    let (text, is_mended) = mended(body);
    match serde_json::from_str::<IgnoredAny>(&text) {
        Ok(_) => Ok((text, is_mended)),
        Err(error) => Err(Malformed::Unreadable { place: place(&text, offset(&text, &error)) }),
    }
}

pub(super) fn reading<T: DeserializeOwned>(body: &[u8]) -> Result<(Result<T, Error>, Losses), Malformed> {
    let (text, is_mended) = text(body)?;
    let mut text = Text::new(&text);
    Ok(losses::reading(is_mended, || T::deserialize(Value(&mut text))))
}

/// The value that comes next in a text.
struct Value<'a, 'de>(&'a mut Text<'de>);

impl<'de> Deserializer<'de> for Value<'_, 'de> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let Self(text) = self;
        match text.peek() {
            Some(b'{') => {
                text.take(b'{');
                let (before, depth) = losses::mark();
                visitor.visit_map(Fields { text, key: None, before, depth, is_open: true, is_told: false })
            }
            Some(b'[') => {
                text.take(b'[');
                visitor.visit_seq(Items { text, at: 0, is_open: true })
            }
            Some(b'"') => {
                let string = text.string()?;
                if is_replaced(&string) {
                    lost(NO_TEXT)?;
                }
                match string {
                    Cow::Borrowed(string) => visitor.visit_borrowed_str(string),
                    Cow::Owned(string) => visitor.visit_string(string),
                }
            }
            _ => match text.scalar() {
                "true" => visitor.visit_bool(true),
                "false" => visitor.visit_bool(false),
                "null" => visitor.visit_unit(),
                digits => number(digits, visitor),
            },
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.0.peek() == Some(b'n') {
            self.0.skip();
            return visitor.visit_none();
        }
        visitor.visit_some(self)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.0.skip();
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
        Ok(double) if double.abs() < EXACT && !is_integer && !tiny::is_lost(text, double) => visitor.visit_f64(double),
        _ => visitor.visit_str(text),
    }
}

/// Reads the value that comes next, one step down; null in place of one that is nested too deeply.
fn step<'de, T: DeserializeSeed<'de>>(text: &mut Text<'de>, step: Step, seed: T) -> Result<T::Value, Error> {
    let down = Down::to(step)?;
    if down.is_some() {
        return seed.deserialize(Value(text));
    }
    text.skip();
    seed.deserialize(UnitDeserializer::new())
}

struct Items<'a, 'de> {
    text: &'a mut Text<'de>,
    at: usize,
    is_open: bool,
}

impl<'de> SeqAccess<'de> for Items<'_, 'de> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Error> {
        self.is_open = self.is_open && self.text.goes_on(b']');
        if !self.is_open {
            return Ok(None);
        }
        losses::item_begins();
        let at = self.at;
        self.at += 1;
        step(self.text, Step::Item(at), seed).map(Some)
    }
}

/// The fields of an object: of a repeated key the last one. After them comes what was lost in them.
struct Fields<'a, 'de> {
    text: &'a mut Text<'de>,
    key: Option<Cow<'de, str>>,
    /// How many paths were untold before, and how deep this object is.
    before: usize,
    depth: usize,
    is_open: bool,
    is_told: bool,
}

impl<'de> Fields<'_, 'de> {
    /// Goes to the next field that counts, and returns its key.
    fn next(&mut self) -> Result<Option<Cow<'de, str>>, Error> {
        while self.is_open && self.text.goes_on(b'}') {
            let (key, is_overridden) = self.text.key()?;
            if !is_overridden && key != TOLD {
                return Ok(Some(key));
            }
            self.text.skip();
        }
        self.is_open = false;
        Ok(None)
    }
}

impl<'de> MapAccess<'de> for Fields<'_, 'de> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        if let Some(key) = self.next()? {
            let read = match &key {
                Cow::Borrowed(key) => {
                    let key: &'de str = key;
                    seed.deserialize(BorrowedStrDeserializer::new(key))
                }
                Cow::Owned(key) => seed.deserialize(StrDeserializer::new(key)),
            };
            self.key = Some(key);
            return read.map(Some);
        }
        if !losses::is_untold_since(self.before) || std::mem::replace(&mut self.is_told, true) {
            return Ok(None);
        }
        seed.deserialize(StrDeserializer::new(TOLD)).map(Some)
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, Error> {
        match self.key.take() {
            Some(key) => step(self.text, Step::Key((*key).into()), seed),
            None => seed.deserialize(Untold { from: self.before, depth: self.depth }),
        }
    }
}

/// A visitor may leave before the end of what it reads.
impl Drop for Items<'_, '_> {
    fn drop(&mut self) {
        if self.is_open {
            self.text.skip_to_close();
        }
    }
}

impl Drop for Fields<'_, '_> {
    fn drop(&mut self) {
        if self.is_open {
            self.text.skip_to_close();
        }
    }
}

/// What a record is told at its end: the paths within it that were lost. One that has no field for them leaves them to the
/// record around it.
struct Untold {
    from: usize,
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
