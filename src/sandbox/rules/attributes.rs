//! Reading the attributes of a change, and noticing what Zendesk ignores.
//!
//! Attributes that are unknown, or of the wrong type, do not fail a change:
//! they are left out and reported in the header `x-zendesk-api-warn`, which is
//! a Ruby hash as text.

use std::fmt::Write;

use serde_json::{Map, Value};

/// Attributes that are taken one by one, so that the rest are known to be
/// unpermitted.
#[derive(Debug)]
pub struct Attributes {
    /// `user`, `group`, `group_membership`.
    kind: &'static str,
    rest: Map<String, Value>,
    unpermitted: Vec<String>,
    invalid: Vec<String>,
}

/// A value that may be given, cleared or left alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change<T> {
    /// Not mentioned.
    Keep,
    /// Null.
    Clear,
    /// A value.
    Set(T),
}

impl<T> Change<T> {
    /// Writes the change into an optional value.
    pub fn write(self, to: &mut Option<T>) {
        match self {
            Self::Keep => {}
            Self::Clear => *to = None,
            Self::Set(value) => *to = Some(value),
        }
    }

    /// The value given, if one was.
    pub fn value(self) -> Option<T> {
        match self {
            Self::Set(value) => Some(value),
            Self::Keep | Self::Clear => None,
        }
    }

    pub fn map<U>(self, to: impl FnOnce(T) -> U) -> Change<U> {
        match self {
            Self::Keep => Change::Keep,
            Self::Clear => Change::Clear,
            Self::Set(value) => Change::Set(to(value)),
        }
    }
}

impl Attributes {
    pub fn new(kind: &'static str, attributes: Map<String, Value>) -> Self {
        Self { kind, rest: attributes, unpermitted: Vec::new(), invalid: Vec::new() }
    }

    /// Takes a value as it is.
    pub fn take(&mut self, key: &str) -> Option<Value> {
        self.rest.remove(key)
    }

    /// Takes a text. Numbers and booleans are taken as text, as Rails does.
    pub fn text(&mut self, key: &str) -> Change<String> {
        match self.rest.remove(key) {
            None => Change::Keep,
            Some(Value::Null) => Change::Clear,
            Some(Value::String(text)) => Change::Set(text),
            Some(value @ (Value::Number(_) | Value::Bool(_))) => Change::Set(value.to_string()),
            Some(Value::Array(_) | Value::Object(_)) => self.wrong(key),
        }
    }

    /// Takes an integer, given as number or text.
    pub fn integer(&mut self, key: &str) -> Change<i64> {
        match self.rest.remove(key) {
            None => Change::Keep,
            Some(Value::Null) => Change::Clear,
            Some(value) => {
                let number = value.as_i64().or_else(|| value.as_str()?.parse().ok());
                number.map_or_else(|| self.wrong(key), Change::Set)
            }
        }
    }

    /// Takes a boolean; null leaves things as they are.
    pub fn boolean(&mut self, key: &str) -> Option<bool> {
        match self.rest.remove(key)? {
            Value::Bool(flag) => Some(flag),
            Value::String(text) if text == "true" || text == "false" => Some(text == "true"),
            Value::Null => None,
            _ => {
                self.invalid.push(self.named(key));
                None
            }
        }
    }

    /// Takes a list of texts.
    pub fn texts(&mut self, key: &str) -> Option<Vec<String>> {
        match self.rest.remove(key)? {
            Value::Array(items) => {
                let texts = items.iter().filter_map(Value::as_str);
                Some(texts.map(str::to_owned).collect())
            }
            Value::String(text) => Some(text.split([' ', ',']).map(str::to_owned).collect()),
            Value::Null => Some(Vec::new()),
            _ => {
                self.invalid.push(self.named(key));
                None
            }
        }
    }

    /// Takes a list of integers.
    pub fn integers(&mut self, key: &str) -> Option<Vec<i64>> {
        let items = self.rest.remove(key)?;
        let items = items.as_array()?.iter().filter_map(Value::as_i64);
        Some(items.collect())
    }

    /// Takes an object.
    pub fn object(&mut self, key: &str) -> Option<Map<String, Value>> {
        match self.rest.remove(key)? {
            Value::Object(object) => Some(object),
            Value::Null => None,
            _ => {
                self.invalid.push(self.named(key));
                None
            }
        }
    }

    /// Ends reading: what was not taken is unpermitted.
    pub fn finish(mut self) -> Warnings {
        let unknown: Vec<String> = self.rest.keys().map(|key| self.named(key)).collect();
        self.unpermitted.extend(unknown);
        Warnings { unpermitted: self.unpermitted, invalid: self.invalid }
    }

    fn wrong<T>(&mut self, key: &str) -> Change<T> {
        self.invalid.push(self.named(key));
        Change::Keep
    }

    fn named(&self, key: &str) -> String {
        format!("{}.{key}", self.kind)
    }
}

/// What was left out of a change.
#[derive(Debug, Default)]
pub struct Warnings {
    pub unpermitted: Vec<String>,
    pub invalid: Vec<String>,
}

impl Warnings {
    /// The header's value, if there is anything to warn of. The keys around
    /// `unpermitted_keys` and `invalid_values` are an assumption.
    pub fn header(&self, controller: &str, action: &str) -> Option<String> {
        if self.unpermitted.is_empty() && self.invalid.is_empty() {
            return None;
        }
        Some(format!(
            "{{:allowed_parameters=>{{:controller=>\"api/v2/{controller}\", :action=>\"{action}\", \
             :unpermitted_keys=>{}, :invalid_values=>{}}}}}",
            ruby(&self.unpermitted),
            ruby(&self.invalid)
        ))
    }
}

/// A list of strings as Ruby's `inspect` shows it.
fn ruby(items: &[String]) -> String {
    let mut text = String::from("[");
    for (at, item) in items.iter().enumerate() {
        let comma = if at > 0 { ", " } else { "" };
        let _ = write!(text, "{comma}{item:?}");
    }
    text.push(']');
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn attributes(value: &Value) -> Attributes {
        Attributes::new("user", value.as_object().expect("an object").clone())
    }

    #[test]
    fn null_clears_and_absence_keeps() {
        let mut given = attributes(&json!({"a": null, "b": "x", "n": "12"}));
        assert_eq!(given.text("a"), Change::Clear);
        assert_eq!(given.text("b"), Change::Set("x".into()));
        assert_eq!(given.text("c"), Change::Keep);
        assert_eq!(given.integer("n"), Change::Set(12));
    }

    #[test]
    fn what_is_ignored_is_told_as_a_ruby_hash() {
        let mut given = attributes(&json!({"id": 1, "name": ["x"], "alias": "y"}));
        assert_eq!(given.text("name"), Change::Keep);
        assert_eq!(given.text("alias"), Change::Set("y".into()));
        let header = given.finish().header("users", "update").expect("a warning");
        assert_eq!(
            header,
            "{:allowed_parameters=>{:controller=>\"api/v2/users\", :action=>\"update\", \
             :unpermitted_keys=>[\"user.id\"], :invalid_values=>[\"user.name\"]}}"
        );
        assert_eq!(attributes(&json!({})).finish().header("users", "update"), None);
    }
}
