//! Organizations and the memberships in them, as answers show them.

use serde::Serialize;
use serde_json::{Map, Value};

use crate::clock::Time;
use crate::store::organization::{Organization, OrganizationMembership};
use crate::store::tables::Tables;

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

/// An organization membership, with its keys in the order of Zendesk's examples. `default` is null unless the organization is the
/// user's default.
#[derive(Serialize)]
pub struct MembershipView<'a> {
    url: RecordUrl<'a, i64>,
    id: i64,
    user_id: i64,
    organization_id: i64,
    default: Option<bool>,
    created_at: Time,
    organization_name: Option<&'a str>,
    updated_at: Time,
    view_tickets: bool,
}

impl<'a> MembershipView<'a> {
    pub fn new(links: &'a Links, membership: &OrganizationMembership, tables: &'a Tables) -> Self {
        let default = tables.user(membership.user_id).and_then(|user| user.organization_id);
        Self {
            url: links.url("organization_memberships", membership.id),
            id: membership.id,
            user_id: membership.user_id,
            organization_id: membership.organization_id,
            default: (default == Some(membership.organization_id)).then_some(true),
            created_at: membership.created_at,
            organization_name: tables.organization(membership.organization_id).map(|organization| &*organization.name),
            updated_at: membership.updated_at,
            view_tickets: true,
        }
    }
}
