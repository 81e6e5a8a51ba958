//! Free-form JSON objects ↔ `google.protobuf.Struct`.

use std::fmt;

use prost_types::value::Kind;
use prost_types::{ListValue, Struct, Value};
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::ser::{SerializeMap, Serializer};
use serde::{Deserialize, Serialize};

use super::lenient::{NO_TEXT, TOLD};
use super::losses::{is_replaced, is_under_way, lost};
use super::room::{self, Field};
use super::tiny;

/// Deepest nesting of a value that is passed on: clients read no message of more than 100 levels, and each level here takes two
/// or three.
const DEEPEST: usize = 24;

/// Doubles hold every integer below this exactly, and it is no rounding of another one.
const EXACT: u64 = 1 << 53;
/// No 64-bit integer is as large as this.
const BEYOND: f64 = 9_223_372_036_854_775_808.0;

/// Reads an object; null is none. A whole number that a double cannot hold exactly becomes a string of its digits, so
/// that no digit is lost.
pub fn structure<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Struct>, D::Error> {
    match (Json { depth: 0 }).deserialize(from)?.kind {
        Some(Kind::StructValue(object)) => Ok(Some(object)),
        Some(Kind::NullValue(_)) | None => Ok(None),
        Some(_) => lost("no object").map(|()| None),
    }
}

/// Writes an object; whole numbers are written without a fraction.
pub fn write_structure<S: Serializer>(object: &Option<Struct>, to: S) -> Result<S::Ok, S::Error> {
    object.as_ref().map(Object).serialize(to)
}

/// Reads a value of any form as the text that it is written as.
pub(super) fn as_text<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    let field = Field::begins();
    let value = (Json { depth: 0 }).deserialize(from)?;
    field.gives_back();
    Ok(serde_json::to_string(&Written(&value)).expect("a struct value has string keys and finite parts only"))
}

/// One value of an object as JSON.
pub fn to_json(value: &Value) -> serde_json::Value {
    serde_json::to_value(Written(value)).expect("a struct value has string keys and finite parts only")
}

/// A value that is nested so deeply within its field.
#[derive(Clone, Copy)]
struct Json {
    depth: usize,
}

impl Json {
    fn within(self) -> Self {
        Self { depth: self.depth + 1 }
    }
}

impl<'de> DeserializeSeed<'de> for Json {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Value, D::Error> {
        if self.depth > DEEPEST {
            IgnoredAny::deserialize(from)?;
            lost("nested too deeply")?;
            return Ok(Value { kind: Some(Kind::NullValue(0)) });
        }
        from.deserialize_any(self).map(|kind| Value { kind: Some(kind) })
    }
}

impl<'de> Visitor<'de> for Json {
    type Value = Kind;

    fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str("any JSON value")
    }
    fn visit_unit<E>(self) -> Result<Kind, E> {
        Ok(Kind::NullValue(0))
    }
    fn visit_bool<E>(self, bool: bool) -> Result<Kind, E> {
        Ok(Kind::BoolValue(bool))
    }
    #[expect(clippy::cast_precision_loss, reason = "only taken where a double is exact")]
    fn visit_i64<E>(self, integer: i64) -> Result<Kind, E> {
        Ok(if integer.unsigned_abs() < EXACT {
            Kind::NumberValue(integer as f64)
        } else {
            Kind::StringValue(integer.to_string())
        })
    }
    #[expect(clippy::cast_precision_loss, reason = "only taken where a double is exact")]
    fn visit_u64<E>(self, integer: u64) -> Result<Kind, E> {
        Ok(if integer < EXACT { Kind::NumberValue(integer as f64) } else { Kind::StringValue(integer.to_string()) })
    }
    #[expect(clippy::cast_precision_loss, reason = "a power of two is exact")]
    fn visit_f64<E: Error>(self, double: f64) -> Result<Kind, E> {
        // This may have been an integer of more digits. The lenient reading has the text of such a number, and says so.
        if double.abs() >= EXACT as f64 && !is_under_way() {
            return Err(E::custom("a number beyond the exact ones"));
        }
        Ok(Kind::NumberValue(tiny::read(double)))
    }
    fn visit_str<E>(self, text: &str) -> Result<Kind, E> {
        Ok(Kind::StringValue(text.to_owned()))
    }
    fn visit_string<E>(self, text: String) -> Result<Kind, E> {
        Ok(Kind::StringValue(text))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<Kind, A::Error> {
        Ok(Kind::ListValue(ListValue { values: room::list(items, &self.within(), Some)? }))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Kind, A::Error> {
        let (mut object, field) = (Struct::default(), Field::begins());
        while let Some(key) = map.next_key::<String>()? {
            if key == TOLD {
                // The record around this field tells what was lost in it.
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            if is_replaced(&key) {
                // Another key may have been the same but for these characters.
                lost(NO_TEXT)?;
            }
            let value = map.next_value_seed(self.within())?;
            if room::room_for_entry::<(String, Value)>(object.fields.len()) {
                object.fields.insert(key, value);
                continue;
            }
            object.fields.clear();
            field.is_lost()?;
            while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
            break;
        }
        Ok(Kind::StructValue(object))
    }
}

struct Object<'a>(&'a Struct);

impl Serialize for Object<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut map = to.serialize_map(Some(self.0.fields.len()))?;
        for (key, value) in &self.0.fields {
            map.serialize_entry(key, &Written(value))?;
        }
        map.end()
    }
}

struct Written<'a>(&'a Value);

impl Serialize for Written<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match &self.0.kind {
            None | Some(Kind::NullValue(_)) => to.serialize_unit(),
            Some(Kind::BoolValue(bool)) => to.serialize_bool(*bool),
            // With all digits of the double: an exponent would say a number of few digits.
            #[expect(clippy::cast_possible_truncation, reason = "whole and inside the range")]
            Some(Kind::NumberValue(number)) if number.fract() == 0.0 && number.abs() < BEYOND => {
                to.serialize_i64(*number as i64)
            }
            Some(Kind::NumberValue(number)) => to.serialize_f64(*number),
            Some(Kind::StringValue(text)) => to.serialize_str(text),
            Some(Kind::ListValue(list)) => to.collect_seq(list.values.iter().map(Written)),
            Some(Kind::StructValue(object)) => Object(object).serialize(to),
        }
    }
}
