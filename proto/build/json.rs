//! The mapping to JSON, as attributes of serde on the generated messages: `Deserialize` for Zendesk's answers, `Serialize` for what
//! is sent to Zendesk.

use std::collections::BTreeSet;

use prost_reflect::{Cardinality, DescriptorPool, FieldDescriptor, Kind};

use crate::descriptor::{
    OF_ALL, RAW, UNREADABLE_FIELDS, UNREADABLE_ROWS, inputs, is_identified, is_sideload, names_records, reachable,
    replies,
};

/// The type of fields that hold any JSON object.
const STRUCT: &str = "google.protobuf.Struct";

/// Writes the list of fields in replies whose keys are content and no names of the contract.
pub fn free_form(pool: &DescriptorPool) -> String {
    let is_free = |field: &FieldDescriptor| field.kind().as_message().is_some_and(|kind| kind.full_name() == STRUCT);
    let replies = reachable(replies(pool));
    let fields = replies.iter().flat_map(|message| message.fields().collect::<Vec<_>>()).filter(is_free);
    let names: BTreeSet<String> = fields.map(|field| field.name().to_owned()).collect();
    let names = Vec::from_iter(names);
    format!(
        "/// Fields of replies whose keys are content: custom fields.\npub const FREE_FORM: &[&str] = &{names:?};\n"
    )
}

/// Adds the attributes of all fields.
pub fn derive(pool: &DescriptorPool, config: &mut prost_build::Config) {
    for message in reachable(replies(pool)) {
        let name = message.full_name().to_owned();
        config.message_attribute(&name, "#[derive(serde::Deserialize)]\n#[serde(default)]");
        let has_rows = message.get_field_by_name(UNREADABLE_ROWS).is_some();
        for field in message.fields() {
            let attribute = match field.name() {
                // What the record is told at its end; not a field of Zendesk's.
                UNREADABLE_FIELDS => {
                    "#[serde(rename = \"\\0unreadable_fields\", deserialize_with = \"crate::json::unreadable\")]"
                        .to_owned()
                }
                UNREADABLE_ROWS | RAW | OF_ALL => "#[serde(skip)]".to_owned(),
                // Read apart, as what comes beside the rows of a page.
                _ if has_rows && is_sideload(&field) => "#[serde(skip)]".to_owned(),
                _ => format!("#[serde(deserialize_with = \"crate::json::{}\")]", reader(&field)),
            };
            config.field_attribute(format!("{name}.{}", field.name()), attribute);
        }
    }
    for message in reachable(inputs(pool)) {
        let name = message.full_name().to_owned();
        config.message_attribute(&name, "#[derive(serde::Serialize)]");
        for field in message.fields() {
            config.field_attribute(format!("{name}.{}", field.name()), writer(&field));
        }
    }
}

/// The function of `src/json.rs` that reads this field. Each kind has one, because serde's own refuses a null.
fn reader(field: &FieldDescriptor) -> String {
    let kind = field.kind();
    if field.cardinality() == Cardinality::Repeated {
        return match kind {
            Kind::Enum(enumeration) => format!("words::<crate::proto::{}, _>", enumeration.name()),
            Kind::Message(_) if field.name() == "results" => "results".to_owned(),
            Kind::Message(message) if is_identified(&message) => "identified".to_owned(),
            Kind::Message(_) => "objects".to_owned(),
            Kind::Int64 if names_records(field) => "ids".to_owned(),
            _ => "scalars".to_owned(),
        };
    }
    let optional = field.supports_presence();
    match kind {
        Kind::Enum(enumeration) if optional => format!("optional_word::<crate::proto::{}, _>", enumeration.name()),
        Kind::Enum(enumeration) => format!("word::<crate::proto::{}, _>", enumeration.name()),
        Kind::Message(message) => match message.full_name() {
            "google.protobuf.Timestamp" => "timestamp".to_owned(),
            STRUCT => "structure".to_owned(),
            _ if is_identified(&message) => "optional_identified".to_owned(),
            _ => "optional_object".to_owned(),
        },
        Kind::Int64 if names_records(field) && optional => "optional_id".to_owned(),
        Kind::Int64 if names_records(field) => "id".to_owned(),
        Kind::String if field.full_name().ends_with(".JobResult.error") => "optional_code".to_owned(),
        Kind::String if field.full_name().ends_with(".JobResult.details") => "optional_texts".to_owned(),
        _ if optional => "optional_scalar".to_owned(),
        _ => "scalar".to_owned(),
    }
}

/// The serde attribute that writes this field: only what is set is sent.
fn writer(field: &FieldDescriptor) -> String {
    if field.cardinality() == Cardinality::Repeated {
        return match field.kind() {
            Kind::Enum(enumeration) => format!(
                "#[serde(skip_serializing_if = \"Vec::is_empty\", \
                 serialize_with = \"crate::json::write_words::<crate::proto::{}, _>\")]",
                enumeration.name()
            ),
            _ => "#[serde(skip_serializing_if = \"Vec::is_empty\")]".to_owned(),
        };
    }
    let optional = field.supports_presence();
    let mut how = Vec::new();
    if optional {
        how.push("skip_serializing_if = \"Option::is_none\"".to_owned());
    }
    match field.kind() {
        Kind::Enum(enumeration) => {
            let writer = if optional { "write_optional_word" } else { "write_word" };
            how.push(format!("serialize_with = \"crate::json::{writer}::<crate::proto::{}, _>\"", enumeration.name()));
        }
        Kind::Message(message) if message.full_name() == STRUCT => {
            how.push("serialize_with = \"crate::json::write_structure\"".to_owned());
        }
        _ => {}
    }
    if how.is_empty() { String::new() } else { format!("#[serde({})]", how.join(", ")) }
}
