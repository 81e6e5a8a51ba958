//! Definitions of custom user fields.

use serde::Serialize;
use serde_json::{Map, Value};

use crate::clock::Time;
use crate::store::fields::{Definition, FieldOption};

use super::{Links, RecordUrl};

/// A field, with its keys in the order of Zendesk's examples. The account has no dynamic content, so raw texts are the texts.
#[derive(Serialize)]
pub struct FieldView<'a> {
    url: RecordUrl<'a, i64>,
    id: i64,
    #[serde(rename = "type")]
    kind: &'static str,
    key: &'a str,
    title: &'a str,
    description: Option<&'a str>,
    raw_title: &'a str,
    raw_description: Option<&'a str>,
    position: i64,
    active: bool,
    system: bool,
    regexp_for_validation: Option<&'a str>,
    created_at: Time,
    updated_at: Time,
    #[serde(skip_serializing_if = "Option::is_none")]
    tag: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    custom_field_options: Option<Vec<OptionView<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    relationship_target_type: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    relationship_filter: Option<&'a Map<String, Value>>,
}

impl<'a> FieldView<'a> {
    pub fn new(links: &'a Links, field: &'a Definition) -> Self {
        let options = field.options.iter().enumerate();
        let options = options.map(|(position, option)| OptionView::new(links, field.id, position, option));
        Self {
            url: links.url("user_fields", field.id),
            id: field.id,
            kind: field.kind.word(),
            key: &field.key,
            title: &field.title,
            description: field.description.as_deref(),
            raw_title: &field.title,
            raw_description: field.description.as_deref(),
            position: field.position,
            active: field.active,
            system: field.system,
            regexp_for_validation: field.regexp.as_deref(),
            created_at: field.created_at,
            updated_at: field.updated_at,
            tag: field.tag.as_deref(),
            custom_field_options: field.kind.has_options().then(|| options.collect()),
            relationship_target_type: field.target.as_deref(),
            relationship_filter: field.filter.as_ref(),
        }
    }
}

/// A choice of a field, at its place among all of them.
#[derive(Serialize)]
pub struct OptionView<'a> {
    id: i64,
    name: &'a str,
    position: usize,
    raw_name: &'a str,
    url: String,
    value: &'a str,
}

impl<'a> OptionView<'a> {
    pub fn new(links: &Links, field: i64, position: usize, option: &'a FieldOption) -> Self {
        let url = format!("{}/api/v2/user_fields/{field}/options/{}{}", links.origin, option.id, links.suffix);
        Self { id: option.id, name: &option.name, position, raw_name: &option.name, url, value: &option.value }
    }
}
