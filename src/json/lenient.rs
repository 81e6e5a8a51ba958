//! Reads again, value by value, a body that the strict reader refused.
//!
//! The same readers of fields do both. Strictly, a value that a field cannot hold is an error. Leniently it is left out, and
//! noted with its path; the record around it says so in `unreadable_fields`, and the list around a row in `unreadable_rows`.
//! So odd values cost time only where they occur.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt::{self, Write as _};

use serde::de::value::{SeqDeserializer, StrDeserializer};
use serde::de::{DeserializeOwned, DeserializeSeed, Deserializer, IntoDeserializer, MapAccess, SeqAccess, Visitor};
use serde::forward_to_deserialize_any;
use serde_json::Error;
use serde_json::value::RawValue;

use super::fields::EXACT;
use super::mended::mended;
use super::{Malformed, Object};

/// The key under which a record is told what it has lost. No body can hold it: a key of Zendesk's with this name is skipped.
pub const TOLD: &str = "\0unreadable_fields";
/// Deepest nesting that is read: what is deeper is lost. Clients read no message of more than 100 levels.
const DEEPEST: usize = 64;
/// Most paths that one record tells.
const MOST_TOLD: usize = 64;
/// What is met where a text was not UTF-8.
pub const NO_TEXT: &str = "text that is no UTF-8";

/// A value that could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loss {
    /// The path of the field, such as `users.tags`, without positions in lists.
    pub field: String,
    /// The JSON type that was met.
    pub met: &'static str,
}

/// What a lenient reading left out.
#[derive(Debug, Default)]
pub struct Losses {
    /// Each value and each row.
    pub all: Vec<Loss>,
    /// Paths, with positions, that no record within the message could tell.
    pub untold: Vec<String>,
    /// How many rows of lists.
    pub rows: i32,
}

#[derive(Debug, Clone)]
enum Step {
    Key(String),
    Item(usize),
}

#[derive(Default)]
struct Reading {
    /// Where the reader is.
    path: Vec<Step>,
    untold: Vec<Vec<Step>>,
    losses: Losses,
    /// True if characters were replaced because they were no UTF-8.
    is_mended: bool,
}

thread_local! {
    /// The lenient reading under way on this thread; none while a body is read strictly.
    static READING: RefCell<Option<Reading>> = const { RefCell::new(None) };
}

/// Notes that the value at hand cannot be read; in a strict reading, fails it.
pub fn lost<E: serde::de::Error>(met: &'static str) -> Result<(), E> {
    note::<E>(met, |reading| reading.untold.push(reading.path.clone()))
}

/// Notes that the row at hand cannot be read; in a strict reading, fails it.
pub fn row_lost<E: serde::de::Error>(met: &'static str) -> Result<(), E> {
    note::<E>(met, |reading| reading.losses.rows = reading.losses.rows.saturating_add(1))
}

fn note<E: serde::de::Error>(met: &'static str, so: impl FnOnce(&mut Reading)) -> Result<(), E> {
    READING.with_borrow_mut(|reading| {
        let reading = reading.as_mut().ok_or_else(|| E::custom("a value that its field cannot hold"))?;
        reading.losses.all.push(Loss { field: path(&reading.path, false), met });
        so(reading);
        Ok(())
    })
}

/// True if a text may have lost characters that were no UTF-8.
pub fn is_replaced(text: &str) -> bool {
    let is_mended = || READING.with_borrow(|reading| reading.as_ref().is_some_and(|reading| reading.is_mended));
    text.contains(char::REPLACEMENT_CHARACTER) && is_mended()
}

/// True if a lenient reading is under way on this thread.
pub fn is_under_way() -> bool {
    READING.with_borrow(Option::is_some)
}

/// Reads a body, and returns what had to be left out.
pub fn read<T: DeserializeOwned>(body: &[u8]) -> Result<(T, Losses), Malformed> {
    let (text, is_mended) = mended(body);
    let raw = serde_json::from_str::<&RawValue>(&text);
    let raw = raw.map_err(|error| Malformed::Unreadable { line: error.line(), column: error.column() })?;
    READING.set(Some(Reading { is_mended, ..Reading::default() }));
    let read = serde::Deserialize::deserialize(Raw(raw));
    let reading = READING.take().unwrap_or_default();
    let Reading { untold, mut losses, .. } = reading;
    losses.untold = untold.iter().map(|steps| path(steps, true)).collect();
    // It is JSON, so whoever sent it works. But it is of no use.
    let Object(message) = read.map_err(|_| Malformed::Incomplete)?;
    Ok((message, losses))
}

/// Reads a body of any form; none if it is no JSON.
pub fn value(body: &[u8]) -> Option<serde_json::Value> {
    if let Ok(value) = serde_json::from_slice(body) {
        return Some(value);
    }
    let (text, is_mended) = mended(body);
    let raw = serde_json::from_str::<&RawValue>(&text).ok()?;
    READING.set(Some(Reading { is_mended, ..Reading::default() }));
    let value = serde::Deserialize::deserialize(Raw(raw)).ok();
    READING.set(None);
    value
}

/// Writes a path: `results[1].id`.
fn path(steps: &[Step], with_positions: bool) -> String {
    let mut path = String::new();
    for step in steps {
        match step {
            Step::Key(key) if path.is_empty() => path.push_str(key),
            Step::Key(key) => {
                path.push('.');
                path.push_str(key);
            }
            Step::Item(at) if with_positions => {
                write!(path, "[{at}]").expect("writing to a string does not fail");
            }
            Step::Item(_) => {}
        }
    }
    path
}

/// Goes one step down, and up again when it is dropped.
struct Down;

impl Down {
    /// Returns none if that would be too deep, and notes what is lost.
    fn to(step: Step) -> Result<Option<Self>, Error> {
        let went = READING.with_borrow_mut(|reading| {
            let path = &mut reading.as_mut().expect("a lenient reading is under way").path;
            let goes = path.len() < DEEPEST;
            if goes {
                path.push(step);
            }
            goes
        });
        if !went {
            lost("nested too deeply")?;
        }
        Ok(went.then_some(Self))
    }
}

impl Drop for Down {
    fn drop(&mut self) {
        READING.with_borrow_mut(|reading| {
            if let Some(reading) = reading {
                reading.path.pop();
            }
        });
    }
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
        let down = Down::to(Step::Item(self.at))?;
        self.at += 1;
        seed.deserialize(Raw(if down.is_some() { item } else { RawValue::NULL })).map(Some)
    }
}

/// The fields of an object: of a repeated key the last one, as every other reader has it. After them comes what was lost in them.
struct Fields<'de> {
    pairs: std::vec::IntoIter<(String, &'de RawValue)>,
    value: Option<(String, &'de RawValue)>,
    /// How many paths were untold before, and how deep this object is.
    before: usize,
    depth: usize,
    ended: bool,
}

impl<'de> Fields<'de> {
    fn of(text: &'de str) -> Result<Self, Error> {
        let Pairs(pairs) = serde_json::from_str(text)?;
        let last: HashMap<String, usize> = pairs.iter().enumerate().map(|(at, (key, _))| (key.clone(), at)).collect();
        let kept = pairs.into_iter().enumerate().filter(|(at, (key, _))| last[key] == *at && key != TOLD);
        let kept: Vec<_> = kept.map(|(_, pair)| pair).collect();
        let (before, depth) = READING.with_borrow(|reading| {
            reading.as_ref().map_or((0, 0), |reading| (reading.untold.len(), reading.path.len()))
        });
        Ok(Self { pairs: kept.into_iter(), value: None, before, depth, ended: false })
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
        let untold = READING.with_borrow(|reading| reading.as_ref().map_or(0, |reading| reading.untold.len()));
        if untold == self.before || std::mem::replace(&mut self.ended, true) {
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
    from: usize,
    depth: usize,
}

impl<'de> Deserializer<'de> for Untold {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let told = READING.with_borrow_mut(|reading| {
            let untold = &mut reading.as_mut().expect("a lenient reading is under way").untold;
            untold.split_off(self.from)
        });
        let paths: Vec<String> = told.iter().take(MOST_TOLD).map(|steps| path(&steps[self.depth..], true)).collect();
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
