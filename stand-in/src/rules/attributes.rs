//! Reading the attributes of a change, and noticing what Zendesk ignores and
//! what it refuses.
//!
//! Attributes that are unknown do not fail a change: they are left out and
//! reported in the header `x-zendesk-api-warn`, which is a Ruby hash as text.
//! Values that the specification does not allow do fail it, with 422 and a
//! finding each. That Zendesk refuses every one of them is an assumption, made
//! so that a client that sends them fails its tests.

use std::fmt::Write;

use serde_json::{Map, Value};

use super::Refusal;
use crate::errors::ValidationError;

/// Attributes that are taken one by one; those left at the end are unpermitted.
#[derive(Debug)]
pub struct Attributes {
    /// `user`, `group`, `group_membership`.
    kind: &'static str,
    rest: Map<String, Value>,
    unpermitted: Vec<String>,
    problems: Vec<ValidationError>,
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
        Self { kind, rest: attributes, unpermitted: Vec::new(), problems: Vec::new() }
    }

    /// Whether there is such an attribute that was not taken yet.
    pub fn has(&self, key: &str) -> bool {
        self.rest.contains_key(key)
    }

    /// Takes a value as it is.
    pub fn take(&mut self, key: &str) -> Option<Value> {
        self.rest.remove(key)
    }

    /// Leaves out an attribute that is known and has no effect here.
    pub fn ignore(&mut self, key: &str) {
        let named = self.named(key);
        self.unpermitted.push(named);
    }

    /// Refuses null for attributes that cannot be cleared.
    pub fn not_null(&mut self, keys: &[&'static str]) {
        for key in keys {
            if self.rest.get(*key).is_some_and(Value::is_null) {
                self.rest.remove(*key);
                self.wrong(key, "is invalid");
            }
        }
    }

    /// Takes a text. Numbers and booleans are taken as text, as Rails does.
    pub fn text(&mut self, key: &'static str) -> Change<String> {
        match self.rest.remove(key) {
            None => Change::Keep,
            Some(Value::Null) => Change::Clear,
            Some(value) => as_text(&value).map_or_else(|| self.invalid(key), Change::Set),
        }
    }

    /// Takes an integer, given as number or text.
    pub fn integer(&mut self, key: &'static str) -> Change<i64> {
        match self.rest.remove(key) {
            None => Change::Keep,
            Some(Value::Null) => Change::Clear,
            Some(value) => as_integer(&value).map_or_else(|| self.invalid(key), Change::Set),
        }
    }

    /// Takes a boolean; null leaves things as they are.
    pub fn boolean(&mut self, key: &'static str) -> Option<bool> {
        let value = self.rest.remove(key).filter(|value| !value.is_null())?;
        as_boolean(&value).or_else(|| self.invalid(key).value())
    }

    /// Takes a list of texts; null is an empty one.
    pub fn texts(&mut self, key: &'static str) -> Option<Vec<String>> {
        self.list(key, as_text)
    }

    /// Takes a list of integers; null is an empty one.
    pub fn integers(&mut self, key: &'static str) -> Option<Vec<i64>> {
        self.list(key, as_integer)
    }

    fn list<T>(&mut self, key: &'static str, read: impl Fn(&Value) -> Option<T>) -> Option<Vec<T>> {
        let items = match self.rest.remove(key)? {
            Value::Array(items) => items.iter().map(read).collect(),
            Value::Null => Some(Vec::new()),
            _ => None,
        };
        items.or_else(|| self.invalid(key).value())
    }

    /// Takes an object.
    pub fn object(&mut self, key: &'static str) -> Option<Map<String, Value>> {
        match self.rest.remove(key)? {
            Value::Object(object) => Some(object),
            Value::Null => None,
            _ => self.invalid(key).value(),
        }
    }

    /// Notes that a value is not what it has to be.
    pub fn wrong(&mut self, key: &'static str, why: &str) {
        let mut name = key.replace('_', " ");
        if let Some(first) = name.get_mut(..1) {
            first.make_ascii_uppercase();
        }
        self.problems.push(ValidationError::new(key, "InvalidValue", format!("{name}: {why}")));
    }

    fn invalid<T>(&mut self, key: &'static str) -> Change<T> {
        self.wrong(key, "is invalid");
        Change::Keep
    }

    /// Returns what was wrong so far.
    pub fn problems(&mut self) -> Vec<ValidationError> {
        std::mem::take(&mut self.problems)
    }

    /// Refuses the change if anything was wrong so far.
    pub fn check(&mut self) -> Result<(), Refusal> {
        let problems = self.problems();
        if problems.is_empty() { Ok(()) } else { Err(Refusal::Invalid(problems)) }
    }

    /// Ends reading: what was not taken is unpermitted.
    pub fn finish(mut self) -> Warnings {
        let unknown: Vec<String> = self.rest.keys().map(|key| self.named(key)).collect();
        self.unpermitted.extend(unknown);
        Warnings { unpermitted: self.unpermitted }
    }

    fn named(&self, key: &str) -> String {
        format!("{}.{key}", self.kind)
    }
}

/// Reads a text, a number or a boolean as a text.
pub fn as_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// Reads an integer, also from a text.
pub fn as_integer(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| value.as_str()?.parse().ok())
}

/// Reads a boolean, also from a text, as forms send it.
pub fn as_boolean(value: &Value) -> Option<bool> {
    value.as_bool().or_else(|| value.as_str()?.parse().ok())
}

/// What was left out of a change.
#[derive(Debug, Default)]
pub struct Warnings {
    pub unpermitted: Vec<String>,
}

impl Warnings {
    /// The header's value, if there is anything to warn of.
    pub fn header(&self, controller: &str, action: &str) -> Option<String> {
        if self.unpermitted.is_empty() {
            return None;
        }
        Some(format!(
            "{{:allowed_parameters=>{{:controller=>\"{controller}\", :action=>\"{action}\", \
             :unpermitted_keys=>{}, :invalid_values=>[]}}}}",
            ruby(&self.unpermitted),
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
        let mut given = attributes(&json!({"id": 1, "alias": "y"}));
        assert_eq!(given.text("alias"), Change::Set("y".into()));
        let header = given.finish().header("users", "update").expect("a warning");
        assert_eq!(
            header,
            "{:allowed_parameters=>{:controller=>\"users\", :action=>\"update\", \
             :unpermitted_keys=>[\"user.id\"], :invalid_values=>[]}}"
        );
        assert_eq!(attributes(&json!({})).finish().header("users", "update"), None);
    }

    #[test]
    fn a_value_of_a_wrong_type_is_a_finding_about_its_attribute() {
        let mut given = attributes(&json!({
            "name": ["x"], "organization_id": "seven", "moderator": 1, "tags": "a b", "group_ids": [1, "x"],
            "user_fields": [], "email": null, "locale_id": 1.5,
        }));
        given.not_null(&["email", "role"]);
        assert_eq!((given.text("name"), given.text("email")), (Change::Keep, Change::Keep));
        assert_eq!((given.integer("organization_id"), given.integer("locale_id")), (Change::Keep, Change::Keep));
        assert_eq!((given.boolean("moderator"), given.object("user_fields")), (None, None));
        assert_eq!((given.texts("tags"), given.integers("group_ids")), (None, None));
        let problems = given.problems();
        let mut fields: Vec<&str> = problems.iter().map(|finding| finding.field).collect();
        fields.sort_unstable();
        let wanted = ["email", "group_ids", "locale_id", "moderator", "name", "organization_id", "tags", "user_fields"];
        assert_eq!(fields, wanted);
        assert!(problems.iter().all(|finding| finding.error == "InvalidValue"));
        let of = |field: &str| problems.iter().find(|finding| finding.field == field).map(|found| &*found.description);
        assert_eq!(of("organization_id"), Some("Organization id: is invalid"));
    }

    #[test]
    fn numbers_and_booleans_are_taken_as_text_and_ids_as_either() {
        let mut given = attributes(&json!({"name": 7, "notes": true, "organization_id": "12", "tags": ["a", 5],
            "group_ids": [1, "2"], "verified": "true", "locale": null, "organization_ids": null}));
        assert_eq!((given.text("name"), given.text("notes")), (Change::Set("7".into()), Change::Set("true".into())));
        assert_eq!((given.integer("organization_id"), given.text("locale")), (Change::Set(12), Change::Clear));
        assert_eq!(given.texts("tags"), Some(vec!["a".into(), "5".into()]));
        assert_eq!(given.integers("group_ids"), Some(vec![1, 2]));
        assert_eq!((given.boolean("verified"), given.integers("organization_ids")), (Some(true), Some(vec![])));
        given.check().expect("nothing is wrong");
    }
}
