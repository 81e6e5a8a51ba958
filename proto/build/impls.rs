//! What the generated types know of themselves by the traits of `src/json.rs`, for `contract.rs`: the wire words of enums, the
//! ids of records, the fields of inputs and the check of their enum values.

use prost_reflect::{Cardinality, DescriptorPool, EnumDescriptor, FieldDescriptor, Kind, MessageDescriptor};

use crate::descriptor::{PACKAGE, extension, inputs, is_identified, reachable, replies};

/// Writes the impls of all messages and enums.
pub fn impls(pool: &DescriptorPool) -> String {
    let mut code = String::new();
    for enumeration in pool.all_enums().filter(|enumeration| enumeration.package_name() == PACKAGE) {
        code.push_str(&words(pool, &enumeration));
    }
    for message in reachable(replies(pool)).iter().filter(|message| is_identified(message)) {
        line!(
            code,
            "impl crate::json::Identified for crate::proto::{} {{\n    fn id(&self) -> i64 {{ self.id }}\n}}",
            message.name()
        );
    }
    for message in inputs(pool) {
        code.push_str(&fields(&message));
    }
    for message in reachable(inputs(pool)) {
        code.push_str(&enum_fields(&message));
    }
    code
}

/// Writes the wire words of an enum.
fn words(pool: &DescriptorPool, enumeration: &EnumDescriptor) -> String {
    let (mut words, mut names) = (Vec::new(), Vec::new());
    for value in enumeration.values() {
        if let Some(word) = extension(pool, &value.options(), "wire").as_ref().and_then(|word| word.as_str()) {
            words.push((word.to_owned(), value.number()));
            names.push(value.name().to_owned());
        }
    }
    format!(
        "impl crate::json::Words for crate::proto::{} {{\n    \
         const WORDS: &'static [(&'static str, i32)] = &{words:?};\n    \
         const NAMES: &'static [&'static str] = &{names:?};\n}}\n",
        enumeration.name()
    )
}

/// Writes the names of an input's fields and which are lists.
fn fields(message: &MessageDescriptor) -> String {
    let fields: Vec<(String, bool)> =
        message.fields().map(|field| (field.name().to_owned(), field.cardinality() == Cardinality::Repeated)).collect();
    // Other objects are sent as a whole.
    let is_object = |field: &FieldDescriptor| {
        field.name().ends_with("_fields")
            && field.kind().as_message().is_some_and(|message| message.full_name() == "google.protobuf.Struct")
    };
    let custom_fields = message.fields().find(is_object).map_or_else(String::new, |field| {
        format!(
            "    const CUSTOM: &'static str = {name:?};\n    \
             fn custom_fields(&self) -> Option<&prost_types::Struct> {{ self.{name}.as_ref() }}\n",
            name = field.name()
        )
    });
    format!(
        "impl crate::json::Input for crate::proto::{} {{\n    \
         const FIELDS: &'static [(&'static str, bool)] = &{fields:?};\n{custom_fields}}}\n",
        message.name()
    )
}

/// Writes the check of a message's enum fields, including those of the messages in it.
fn enum_fields(message: &MessageDescriptor) -> String {
    let mut checks = String::new();
    for field in message.fields() {
        let (name, list) = (field.name(), field.cardinality() == Cardinality::Repeated);
        // `type` is a keyword of Rust.
        let place = if name == "type" { "self.r#type".to_owned() } else { format!("self.{name}") };
        // Items of a list are told by their index.
        let path = format!("{{within}}.{name}{}", if list { "[{index}]" } else { "" });
        let path = format!("format!(\"{path}\")");
        let check = match field.kind() {
            Kind::Enum(enumeration) => {
                format!("crate::json::check_word::<crate::proto::{}>(*item, &{path}, checks);", enumeration.name())
            }
            Kind::Message(inner) if inner.package_name() == PACKAGE => {
                format!("crate::json::EnumFields::check_words(item, &{path}, checks);")
            }
            _ => continue,
        };
        if list {
            line!(checks, "        for (index, item) in {place}.iter().enumerate() {{ {check} }}");
        } else if field.supports_presence() {
            line!(checks, "        if let Some(item) = &{place} {{ {check} }}");
        } else {
            line!(checks, "        let item = &{place};\n        {check}");
        }
    }
    let check = if checks.is_empty() {
        String::new()
    } else {
        format!("    fn check_words(&self, within: &str, checks: &mut crate::error::Checks) {{\n{checks}    }}\n")
    };
    format!("impl crate::json::EnumFields for crate::proto::{} {{\n{check}}}\n", message.name())
}
