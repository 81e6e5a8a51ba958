//! Organizations.

use serde::Serialize;
use serde_json::{Map, Value};

use crate::clock::Time;
use crate::store::organization::Organization;

use super::{Links, RecordUrl};

/// An organization, with its keys in the order of Zendesk's examples.
#[derive(Serialize)]
pub struct OrganizationView<'a> {
    url: RecordUrl<'a, i64>,
    id: i64,
    name: &'a str,
    shared_tickets: bool,
    shared_comments: bool,
    external_id: Option<&'a str>,
    created_at: Time,
    updated_at: Time,
    domain_names: &'a [String],
    details: Option<&'a str>,
    notes: Option<&'a str>,
    group_id: Option<i64>,
    tags: &'a [String],
    organization_fields: &'a Map<String, Value>,
}

impl<'a> OrganizationView<'a> {
    pub fn new(links: &'a Links, organization: &'a Organization) -> Self {
        Self {
            url: links.url("organizations", organization.id),
            id: organization.id,
            name: &organization.name,
            shared_tickets: organization.shared_tickets,
            shared_comments: organization.shared_comments,
            external_id: organization.external_id.as_deref(),
            created_at: organization.created_at,
            updated_at: organization.updated_at,
            domain_names: &organization.domain_names,
            details: organization.details.as_deref(),
            notes: organization.notes.as_deref(),
            group_id: organization.group_id,
            tags: &organization.tags,
            organization_fields: &organization.fields,
        }
    }
}
