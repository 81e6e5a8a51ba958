//! Requests with a value in every field, made from the descriptors, so that no field of the contract is left out.

use std::collections::BTreeSet;

use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, ReflectMessage as _, Value};
use serde_json::json;

/// Most nested messages that are made to show every value of each of their fields.
const MOST_NESTED: usize = 60;

/// Whether a message is of the contract, not one of protobuf's own.
pub fn is_ours(message: &MessageDescriptor) -> bool {
    message.package_name() == "zendesk.gateway.v1"
}

/// A message in which one field has a value of interest.
pub struct Variant {
    pub field: String,
    pub message: DynamicMessage,
}

/// A message with every field set, but for those left out.
pub fn full(message: &MessageDescriptor, left_out: &[&str]) -> DynamicMessage {
    let mut filled = DynamicMessage::new(message.clone());
    for field in message.fields().filter(|field| !left_out.contains(&field.name())) {
        let value = values(&field).swap_remove(0);
        filled.set_field(&field, value);
    }
    filled
}

/// Full messages in which one field after the other takes each of its values, and is left out.
pub fn variants(message: &MessageDescriptor, left_out: &[&str]) -> Vec<Variant> {
    let full = full(message, left_out);
    let mut variants = Vec::new();
    for field in message.fields().filter(|field| !left_out.contains(&field.name())) {
        let mut changed = |change: &dyn Fn(&mut DynamicMessage)| {
            let mut message = full.clone();
            change(&mut message);
            variants.push(Variant { field: field.name().to_owned(), message });
        };
        for value in values(&field) {
            changed(&|message| message.set_field(&field, value.clone()));
        }
        changed(&|message| message.clear_field(&field));
    }
    variants
}

/// Values of a field: small and large, of any script, each word of an enum, lists of one and of many. The first one suits
/// every request that takes the field.
fn values(field: &FieldDescriptor) -> Vec<Value> {
    let singles = singles(field);
    if field.is_list() { vec![Value::List(singles[..1].to_vec()), Value::List(singles)] } else { singles }
}

fn singles(field: &FieldDescriptor) -> Vec<Value> {
    let texts = |texts: &[&str]| texts.iter().map(|text| Value::String((*text).to_owned())).collect();
    match (field.kind(), field.name()) {
        (Kind::Bool, _) => vec![Value::Bool(true), Value::Bool(false)],
        (Kind::Int64, _) => [1, (1 << 53) + 1, i64::MAX].map(Value::I64).to_vec(),
        (Kind::String, "email") => texts(&["a@b.example", "zoë+x@bücher.example", "Mixed@Case.Example"]),
        (Kind::String, _) => {
            texts(&["plain", "Zoë 🦀 名 \u{202e}", "\"\\\u{1}\n\t/\u{7f}", "7", &"long".repeat(100), ""])
        }
        (Kind::Enum(words), _) => {
            // The largest number first, as a brand is the scope that goes with a brand's id.
            // One kind of identity is for filters only.
            let values = words.values().filter(|value| value.name() != "IDENTITY_TYPE_MICROSOFT");
            let numbers = values.map(|value| value.number()).filter(|number| *number != 0);
            let mut numbers: Vec<i32> = numbers.collect();
            numbers.sort_unstable_by(|one, other| other.cmp(one));
            numbers.into_iter().map(Value::EnumNumber).collect()
        }
        (Kind::Message(inner), _) if is_ours(&inner) => nested(&inner).into_iter().map(Value::Message).collect(),
        (Kind::Message(inner), _) if inner.full_name() == "google.protobuf.Struct" => {
            let objects = [
                json!({"text": "Zoë", "number": 7, "decimal": 5.5, "flag": true, "nothing": null, "list": ["a", 1, null]}),
                json!({"system::key": {"deep": [{"x": "y"}]}, "largest": 9_007_199_254_740_991_i64, "tiny": 5e-324}),
                json!({}),
            ];
            let read = |object| DynamicMessage::deserialize(inner.clone(), object).expect("an object is a struct");
            objects.map(|object| Value::Message(read(object))).to_vec()
        }
        (kind, name) => panic!("no values for {name}, {kind:?}"),
    }
}

/// Messages that show every value of each field, and each optional field left out; all fields change at once.
fn nested(message: &MessageDescriptor) -> Vec<DynamicMessage> {
    let fields: Vec<(FieldDescriptor, Vec<Option<Value>>)> = message
        .fields()
        .map(|field| {
            let mut choices: Vec<Option<Value>> = values(&field).into_iter().map(Some).collect();
            if field.supports_presence() {
                choices.push(None);
            }
            (field, choices)
        })
        .collect();
    let rounds = fields.iter().map(|(_, choices)| choices.len()).product::<usize>().min(MOST_NESTED);
    let round = |round: usize| {
        let mut filled = DynamicMessage::new(message.clone());
        for (field, choices) in &fields {
            if let Some(value) = &choices[round % choices.len()] {
                filled.set_field(field, value.clone());
            }
        }
        filled
    };
    (0..rounds).map(round).collect()
}

/// Sets a field to a message, or to a list of nothing but that message.
pub fn put(request: &mut DynamicMessage, name: &str, message: DynamicMessage) {
    let field = request.descriptor().get_field_by_name(name).unwrap_or_else(|| panic!("no field {name}"));
    let value = Value::Message(message);
    request.set_field(&field, if field.is_list() { Value::List(vec![value]) } else { value });
}

/// Names the fields to write.
pub fn mask(request: &mut DynamicMessage, paths: &[&str]) {
    let field = request.descriptor().get_field_by_name("update_mask").expect("it has a mask");
    let mut mask = DynamicMessage::new(field.kind().as_message().expect("a mask").clone());
    let paths = paths.iter().map(|path| Value::String((*path).to_owned())).collect();
    mask.set_field_by_name("paths", Value::List(paths));
    request.set_field(&field, Value::Message(mask));
}

/// The paths of all fields of a message and of the messages in it.
pub fn every_path(message: &MessageDescriptor) -> BTreeSet<String> {
    let below = |field: FieldDescriptor| match field.kind() {
        Kind::Message(inner) if is_ours(&inner) => under(field.name(), every_path(&inner)),
        _ => BTreeSet::from([field.name().to_owned()]),
    };
    message.fields().flat_map(below).collect()
}

/// The paths of the fields that are set.
pub fn set_paths(message: &DynamicMessage) -> BTreeSet<String> {
    let inner = |value: &Value| match value {
        Value::Message(inner) if is_ours(&inner.descriptor()) => set_paths(inner),
        _ => BTreeSet::new(),
    };
    let below = |(field, value): (FieldDescriptor, &Value)| {
        let inside: BTreeSet<String> = match value {
            Value::List(items) => items.iter().flat_map(inner).collect(),
            single => inner(single),
        };
        if inside.is_empty() { BTreeSet::from([field.name().to_owned()]) } else { under(field.name(), inside) }
    };
    message.fields().flat_map(below).collect()
}

fn under(name: &str, paths: BTreeSet<String>) -> BTreeSet<String> {
    paths.into_iter().map(|path| format!("{name}.{path}")).collect()
}
