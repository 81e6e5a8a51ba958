//! Custom user fields: what the account defines and what a user has set.
//!
//! Only set values are kept. On the wire every active field appears, the
//! unset ones as null.

use std::borrow::Cow;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};
use serde_json::{Map, Value};

use crate::clock::{FieldDate, Time};

/// What a custom field holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Checkbox,
    Currency,
    Date,
    Decimal,
    Dropdown,
    Integer,
    Lookup,
    Multiselect,
    Regexp,
    Text,
    Textarea,
}

impl Kind {
    const WORDS: [(&'static str, Self); 11] = [
        ("checkbox", Self::Checkbox),
        ("currency", Self::Currency),
        ("date", Self::Date),
        ("decimal", Self::Decimal),
        ("dropdown", Self::Dropdown),
        ("integer", Self::Integer),
        ("lookup", Self::Lookup),
        ("multiselect", Self::Multiselect),
        ("regexp", Self::Regexp),
        ("text", Self::Text),
        ("textarea", Self::Textarea),
    ];

    pub fn of(word: &str) -> Option<Self> {
        Self::WORDS.into_iter().find(|(known, _)| *known == word).map(|(_, kind)| kind)
    }

    pub fn word(self) -> &'static str {
        Self::WORDS.into_iter().find(|(_, kind)| *kind == self).map_or("text", |(word, _)| word)
    }

    pub fn has_options(self) -> bool {
        matches!(self, Self::Dropdown | Self::Multiselect)
    }
}

/// One custom field.
#[derive(Clone, Debug)]
pub struct Definition {
    pub id: i64,
    /// Its place in what users have set; never used again.
    pub slot: u16,
    pub key: String,
    pub kind: Kind,
    pub title: String,
    pub description: Option<String>,
    pub position: i64,
    pub active: bool,
    pub system: bool,
    pub regexp: Option<String>,
    pub tag: Option<String>,
    pub options: Vec<FieldOption>,
    /// Values of options that were removed: no user has them any more.
    pub gone: Vec<String>,
    pub target: Option<String>,
    pub filter: Option<Map<String, Value>>,
    pub created_at: Time,
    pub updated_at: Time,
}

/// One choice of a dropdown or multiselect field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldOption {
    pub id: i64,
    pub name: String,
    pub value: String,
}

/// The fields that every account begins with here, one of most types.
const SEEDED: [(&str, Kind, &[&str]); 10] = [
    ("system::embeddable_last_seen", Kind::Date, &[]),
    ("system::last_active_device", Kind::Text, &[]),
    ("contract_value", Kind::Decimal, &[]),
    ("customer_since", Kind::Date, &[]),
    ("favourite_products", Kind::Multiselect, &["router", "switch", "cable", "tölva"]),
    ("internal_comment", Kind::Text, &[]),
    ("newsletter", Kind::Checkbox, &[]),
    ("plan", Kind::Dropdown, &["free", "silver_plan", "gold_plan", "gold"]),
    ("seats", Kind::Integer, &[]),
    ("vip", Kind::Checkbox, &[]),
];
/// Ids of the seeded fields, and of their options, start here.
const FIELDS_FROM: i64 = 6_094_000_000_000;
const OPTIONS_FROM: i64 = 6_094_500_000_000;
/// 2016-01-01, when the account was opened.
const OPENED: Time = Time(1_451_606_400);

impl Definition {
    /// A field that has nothing but what each must have.
    pub fn new(id: i64, slot: u16, key: &str, kind: Kind, now: Time) -> Self {
        Self {
            id,
            slot,
            key: key.to_owned(),
            kind,
            title: key.to_owned(),
            description: None,
            position: 9999,
            active: true,
            system: false,
            regexp: None,
            tag: None,
            options: Vec::new(),
            gone: Vec::new(),
            target: None,
            filter: None,
            created_at: now,
            updated_at: now,
        }
    }

    fn seeded(slot: u16) -> Self {
        let (key, kind, options) = SEEDED[usize::from(slot)];
        let number = i64::from(slot);
        let option = |(at, value): (i64, &&str)| FieldOption {
            id: OPTIONS_FROM + number * 1_000 + at * 13 + 7,
            name: value.replace('_', " "),
            value: (*value).to_owned(),
        };
        Self {
            position: number,
            system: key.starts_with("system::"),
            options: (0..).zip(options).map(option).collect(),
            ..Self::new(FIELDS_FROM + number * 97 + 13, slot, key, kind, OPENED)
        }
    }

    /// Replaces the options, and takes the values of those left out away from users.
    pub fn set_options(&mut self, options: Vec<FieldOption>) {
        let is_left = |value: &String| options.iter().any(|option| option.value == *value);
        let held = self.options.iter().map(|option| option.value.clone()).chain(std::mem::take(&mut self.gone));
        self.gone = held.filter(|value| !is_left(value)).collect();
        self.options = options;
    }
}

/// The account's fields. What shows users reads them, too.
#[derive(Clone, Debug)]
pub struct Definitions(Arc<Held>);

#[derive(Debug)]
struct Held {
    all: RwLock<Arc<Vec<Definition>>>,
    next_slot: AtomicU16,
}

impl Default for Definitions {
    fn default() -> Self {
        let slots = u16::try_from(SEEDED.len()).expect("there are few");
        let all = RwLock::new(Arc::new((0..slots).map(Definition::seeded).collect()));
        Self(Arc::new(Held { all, next_slot: slots.into() }))
    }
}

impl Definitions {
    /// All fields, in the order in which they were made.
    pub fn all(&self) -> Arc<Vec<Definition>> {
        Arc::clone(&self.0.all.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub fn change<T>(&self, change: impl FnOnce(&mut Vec<Definition>) -> T) -> T {
        change(Arc::make_mut(&mut *self.0.all.write().unwrap_or_else(PoisonError::into_inner)))
    }

    /// A slot that no field had before.
    pub fn fresh_slot(&self) -> u16 {
        self.0.next_slot.fetch_add(1, Ordering::Relaxed)
    }
}

/// The value of one field.
#[derive(Clone, Debug, PartialEq)]
pub enum FieldValue {
    Bool(bool),
    Text(Box<str>),
    Decimal(f64),
    Integer(i64),
    Date(Time),
    List(Box<[Box<str>]>),
}

impl FieldValue {
    /// What is left of a choice without the options that are gone.
    fn without(&self, gone: &[String]) -> Option<Cow<'_, Self>> {
        let is_gone = |text: &str| gone.iter().any(|value| value == text);
        match self {
            Self::Text(text) if is_gone(text) => None,
            Self::List(values) if values.iter().any(|value| is_gone(value)) => {
                Some(Cow::Owned(Self::List(values.iter().filter(|value| !is_gone(value)).cloned().collect())))
            }
            _ => Some(Cow::Borrowed(self)),
        }
    }
}

impl Serialize for FieldValue {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Bool(value) => serializer.serialize_bool(*value),
            Self::Text(value) => serializer.serialize_str(value),
            Self::Decimal(value) => serializer.serialize_f64(*value),
            Self::Integer(value) => serializer.serialize_i64(*value),
            Self::Date(value) => serializer.collect_str(&FieldDate(*value)),
            Self::List(values) => serializer.collect_seq(values.iter()),
        }
    }
}

/// The values a user has set, by the slots of their fields.
#[derive(Clone, Debug, Default)]
pub struct Fields(Box<[(u16, FieldValue)]>);

impl Fields {
    /// Collects values that come in the order of their slots.
    pub fn from_sorted(values: Vec<(u16, FieldValue)>) -> Self {
        Self(values.into_boxed_slice())
    }

    /// Changes the fields that `changes` names: null clears, a value of the
    /// wrong type is taken as null, an unknown key and that of an inactive
    /// field are passed over (all assumptions).
    pub fn apply(&mut self, changes: &Map<String, Value>, defined: &[Definition]) {
        let mut values = Vec::with_capacity(defined.len());
        for Definition { slot, key, kind, active, .. } in defined {
            let value = match changes.get(key) {
                Some(change) if *active => read(*kind, change),
                _ => self.get(*slot).cloned(),
            };
            values.extend(value.map(|value| (*slot, value)));
        }
        self.0 = values.into_boxed_slice();
    }

    fn get(&self, slot: u16) -> Option<&FieldValue> {
        let found = self.0.iter().find(|(field, _)| *field == slot)?;
        Some(&found.1)
    }
}

/// A user's values as they are on the wire. That inactive fields are left out is an assumption.
pub struct Shown<'a>(pub &'a Fields, pub Arc<Vec<Definition>>);

impl Serialize for Shown<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(Fields(values), defined) = self;
        let mut map = serializer.serialize_map(None)?;
        let mut set = values.iter().peekable();
        for Definition { slot, key, gone, active, .. } in defined.iter() {
            while set.next_if(|(field, _)| field < slot).is_some() {}
            let value = set.next_if(|(field, _)| field == slot).map(|(_, value)| value);
            if *active {
                map.serialize_entry(key, &value.and_then(|value| value.without(gone)))?;
            }
        }
        map.end()
    }
}

fn read(kind: Kind, value: &Value) -> Option<FieldValue> {
    let text = |value: &Value| value.as_str().map(Box::from);
    match kind {
        Kind::Checkbox => value.as_bool().map(FieldValue::Bool),
        Kind::Text | Kind::Textarea | Kind::Regexp | Kind::Dropdown => text(value).map(FieldValue::Text),
        Kind::Decimal | Kind::Currency => value.as_f64().map(FieldValue::Decimal),
        Kind::Integer => value.as_i64().map(FieldValue::Integer),
        Kind::Lookup => value.as_i64().map(FieldValue::Integer).or_else(|| text(value).map(FieldValue::Text)),
        Kind::Date => value.as_str().and_then(Time::parse).map(FieldValue::Date),
        Kind::Multiselect => {
            let items = value.as_array()?;
            Some(FieldValue::List(items.iter().filter_map(text).collect()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_defined_field_appears_and_null_clears_one() {
        let (mut fields, defined) = (Fields::default(), Definitions::default().all());
        let set = json!({"plan": "gold", "seats": 7, "contract_value": 5.0, "unheard_of": 1,
            "customer_since": "2022-11-30T00:00:00Z", "favourite_products": ["a", "b"]});
        fields.apply(set.as_object().expect("an object"), &defined);
        fields.apply(json!({"plan": null, "vip": false}).as_object().expect("an object"), &defined);
        assert_eq!(
            serde_json::to_string(&Shown(&fields, defined)).expect("plain data"),
            "{\"system::embeddable_last_seen\":null,\"system::last_active_device\":null,\
             \"contract_value\":5.0,\"customer_since\":\"2022-11-30T00:00:00+00:00\",\
             \"favourite_products\":[\"a\",\"b\"],\"internal_comment\":null,\
             \"newsletter\":null,\"plan\":null,\"seats\":7,\"vip\":false}"
        );
    }
}
