//! The reader of a field that is one text or a list of them.

use std::fmt;

use serde::de::value::SeqAccessDeserializer;
use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::fields::{Scalar, optional_scalar, scalars};
use super::losses::lost;
use super::tiny;

/// Reads texts as one, with `; ` between them.
pub fn optional_texts<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    from.deserialize_any(Texts)
}

/// Reads the code of a failure. `false` and zero say that there was none.
pub fn optional_code<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    let code: Option<String> = optional_scalar(from)?;
    Ok(code.filter(|code| !matches!(code.as_str(), "false" | "0" | "-0")))
}

struct Texts;

impl<'de> Visitor<'de> for Texts {
    type Value = Option<String>;

    fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str("a text, or a list of texts")
    }
    fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<Self::Value, A::Error> {
        let texts: Vec<String> = scalars(SeqAccessDeserializer::new(items))?;
        Ok((!texts.is_empty()).then(|| texts.join("; ")))
    }
    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Some(text.to_owned()))
    }
    fn visit_string<E>(self, text: String) -> Result<Self::Value, E> {
        Ok(Some(text))
    }
    fn visit_i64<E>(self, integer: i64) -> Result<Self::Value, E> {
        Ok(String::from_integer(integer))
    }
    fn visit_u64<E>(self, integer: u64) -> Result<Self::Value, E> {
        Ok(Some(integer.to_string()))
    }
    fn visit_f64<E: Error>(self, double: f64) -> Result<Self::Value, E> {
        let text = String::from_double(tiny::read(double));
        if text.is_none() {
            lost("number")?;
        }
        Ok(text)
    }
    fn visit_bool<E>(self, bool: bool) -> Result<Self::Value, E> {
        Ok(String::from_bool(bool))
    }
    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }
    lost_otherwise!(None; object);
}
