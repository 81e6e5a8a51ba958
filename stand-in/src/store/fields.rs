//! Custom user fields: what the account defines and what a user has set.
//!
//! Only set values are kept. On the wire every defined field appears, the
//! unset ones as null.

use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};
use serde_json::Value;

use crate::clock::{FieldDate, Time};

/// What a custom field holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Checkbox,
    Text,
    Dropdown,
    Decimal,
    Integer,
    Date,
    Multiselect,
}

/// The fields of this account in wire order, one of every type at least.
pub const DEFINED: [(&str, Kind); 10] = [
    ("system::embeddable_last_seen", Kind::Date),
    ("system::last_active_device", Kind::Text),
    ("contract_value", Kind::Decimal),
    ("customer_since", Kind::Date),
    ("favourite_products", Kind::Multiselect),
    ("internal_comment", Kind::Text),
    ("newsletter", Kind::Checkbox),
    ("plan", Kind::Dropdown),
    ("seats", Kind::Integer),
    ("vip", Kind::Checkbox),
];

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

/// The values a user has set, in the order of [`DEFINED`].
#[derive(Clone, Debug, Default)]
pub struct Fields(Box<[(u8, FieldValue)]>);

impl Fields {
    /// Collects values that come in the order of [`DEFINED`].
    pub fn from_sorted(values: Vec<(u8, FieldValue)>) -> Self {
        Self(values.into_boxed_slice())
    }

    /// Changes the fields that `changes` names: null clears, a value of the
    /// wrong type is taken as null, an unknown key is passed over (both
    /// assumptions).
    pub fn apply(&mut self, changes: &serde_json::Map<String, Value>) {
        let mut values = Vec::with_capacity(DEFINED.len());
        for (at, (key, kind)) in (0_u8..).zip(DEFINED) {
            let value = match changes.get(key) {
                Some(change) => read(kind, change),
                None => self.get(at).cloned(),
            };
            values.extend(value.map(|value| (at, value)));
        }
        self.0 = values.into_boxed_slice();
    }

    fn get(&self, at: u8) -> Option<&FieldValue> {
        let found = self.0.iter().find(|(field, _)| *field == at)?;
        Some(&found.1)
    }
}

impl Serialize for Fields {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(DEFINED.len()))?;
        let mut set = self.0.iter().peekable();
        for (at, (key, _)) in (0_u8..).zip(DEFINED) {
            let value = set.next_if(|(field, _)| *field == at);
            map.serialize_entry(key, &value.map(|(_, value)| value))?;
        }
        map.end()
    }
}

fn read(kind: Kind, value: &Value) -> Option<FieldValue> {
    let text = |value: &Value| value.as_str().map(Box::from);
    match kind {
        Kind::Checkbox => value.as_bool().map(FieldValue::Bool),
        Kind::Text | Kind::Dropdown => text(value).map(FieldValue::Text),
        Kind::Decimal => value.as_f64().map(FieldValue::Decimal),
        Kind::Integer => value.as_i64().map(FieldValue::Integer),
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
        let mut fields = Fields::default();
        let set = json!({"plan": "gold", "seats": 7, "contract_value": 5.0, "unheard_of": 1,
            "customer_since": "2022-11-30T00:00:00Z", "favourite_products": ["a", "b"]});
        fields.apply(set.as_object().expect("an object"));
        fields.apply(json!({"plan": null, "vip": false}).as_object().expect("an object"));
        assert_eq!(
            serde_json::to_string(&fields).expect("plain data"),
            "{\"system::embeddable_last_seen\":null,\"system::last_active_device\":null,\
             \"contract_value\":5.0,\"customer_since\":\"2022-11-30T00:00:00+00:00\",\
             \"favourite_products\":[\"a\",\"b\"],\"internal_comment\":null,\
             \"newsletter\":null,\"plan\":null,\"seats\":7,\"vip\":false}"
        );
    }
}
