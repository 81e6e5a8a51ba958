//! The results of jobs. Nothing of them is left out, because they are what proves how things ended.

use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use super::losses::lost;
use super::room;
use super::structure::as_text;
use crate::error::snippet;
use crate::proto::JobResult;

/// Reads the results of a job. Null is none, and a lone object is the only one. What is no object is lost, and kept as it was
/// written.
pub fn results<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<JobResult>, D::Error> {
    from.deserialize_any(List)
}

/// Returns what is no object as it was written.
fn raw(value: &Value) -> JobResult {
    JobResult { raw: Some(snippet(&value.to_string())), ..JobResult::default() }
}

struct List;

impl<'de> Visitor<'de> for List {
    type Value = Vec<JobResult>;

    fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str("a list of results")
    }
    fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<Self::Value, A::Error> {
        room::list(items, &PhantomData, |Entry(result)| Some(result))
    }
    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        let only = JobResult::deserialize(MapAccessDeserializer::new(map))?;
        Ok(vec![JobResult { of_all: Some(true), ..only }])
    }
    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Vec::new())
    }
    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        lost("string").map(|()| vec![raw(&text.into())])
    }
    fn visit_bool<E: Error>(self, value: bool) -> Result<Self::Value, E> {
        lost("boolean").map(|()| vec![raw(&value.into())])
    }
    fn visit_i64<E: Error>(self, number: i64) -> Result<Self::Value, E> {
        lost("number").map(|()| vec![raw(&number.into())])
    }
    fn visit_u64<E: Error>(self, number: u64) -> Result<Self::Value, E> {
        lost("number").map(|()| vec![raw(&number.into())])
    }
    fn visit_f64<E: Error>(self, number: f64) -> Result<Self::Value, E> {
        lost("number").map(|()| vec![raw(&number.into())])
    }
}

/// One result of a list.
struct Entry(JobResult);

impl<'de> Deserialize<'de> for Entry {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Any)
    }
}

struct Any;

impl Any {
    fn lost<E: Error>(value: &Value) -> Result<Entry, E> {
        lost("no object").map(|()| Entry(raw(value)))
    }
}

impl<'de> Visitor<'de> for Any {
    type Value = Entry;

    fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str("a result")
    }
    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Entry, A::Error> {
        JobResult::deserialize(MapAccessDeserializer::new(map)).map(Entry)
    }
    fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<Entry, A::Error> {
        let text = as_text(SeqAccessDeserializer::new(items))?;
        lost("no object").map(|()| Entry(JobResult { raw: Some(snippet(&text)), ..JobResult::default() }))
    }
    fn visit_unit<E: Error>(self) -> Result<Entry, E> {
        Self::lost(&Value::Null)
    }
    fn visit_str<E: Error>(self, text: &str) -> Result<Entry, E> {
        Self::lost(&text.into())
    }
    fn visit_bool<E: Error>(self, value: bool) -> Result<Entry, E> {
        Self::lost(&value.into())
    }
    fn visit_i64<E: Error>(self, number: i64) -> Result<Entry, E> {
        Self::lost(&number.into())
    }
    fn visit_u64<E: Error>(self, number: u64) -> Result<Entry, E> {
        Self::lost(&number.into())
    }
    fn visit_f64<E: Error>(self, number: f64) -> Result<Entry, E> {
        Self::lost(&number.into())
    }
}
