//! Creating, changing and deleting organizations.

use serde_json::{Map, Value};

use super::Refusal;
use super::attributes::{Attributes, Change, Warnings};
use super::organization_memberships;
use super::users::tags_of;
use crate::clock::Time;
use crate::store::organization::Organization;
use crate::store::tables::Tables;

/// Creates an organization.
pub fn create(tables: &mut Tables, given: Map<String, Value>, now: Time) -> Result<(i64, Warnings), Refusal> {
    let mut organization = Organization::new(0, "", now);
    let warnings = change(tables, &mut organization, given)?;
    organization.id = tables.fresh_id();
    let id = organization.id;
    tables.put_organization(organization);
    Ok((id, warnings))
}

/// Changes an organization.
pub fn update(tables: &mut Tables, id: i64, given: Map<String, Value>, now: Time) -> Result<Warnings, Refusal> {
    let mut organization = tables.organization(id).ok_or(Refusal::NotFound)?.clone();
    let warnings = change(tables, &mut organization, given)?;
    organization.updated_at = now;
    tables.put_organization(organization);
    Ok(warnings)
}

/// Finds the organization that an upsert means, by `id` or `external_id`.
pub fn meant(tables: &Tables, given: &mut Map<String, Value>) -> Result<Option<i64>, Refusal> {
    if let Some(id) = given.remove("id").as_ref().and_then(super::attributes::as_integer) {
        return tables.organization(id).map(|found| Some(found.id)).ok_or(Refusal::NotFound);
    }
    let external_id = given.get("external_id").and_then(Value::as_str);
    Ok(external_id.and_then(|external_id| with_external_id(tables, external_id)))
}

/// Deletes an organization; its users stay.
pub fn delete(tables: &mut Tables, id: i64, now: Time) -> Result<(), Refusal> {
    tables.organization(id).ok_or(Refusal::NotFound)?;
    organization_memberships::leave(tables, id, now);
    tables.remove_organization(id);
    Ok(())
}

/// Finds the organization with an external id.
pub fn with_external_id(tables: &Tables, external_id: &str) -> Option<i64> {
    let wanted = external_id.to_lowercase();
    let has = |one: &&Organization| one.external_id.as_ref().is_some_and(|held| held.to_lowercase() == wanted);
    tables.organizations().find(has).map(|found| found.id)
}

fn change(tables: &Tables, organization: &mut Organization, given: Map<String, Value>) -> Result<Warnings, Refusal> {
    let mut given = Attributes::new("organization", given);
    given.not_null(&["name", "shared_tickets", "shared_comments"]);
    if let Change::Set(name) = given.text("name") {
        organization.name = name.trim().into();
    }
    given.text("external_id").map(Box::from).write(&mut organization.external_id);
    given.text("details").map(Box::from).write(&mut organization.details);
    given.text("notes").map(Box::from).write(&mut organization.notes);
    match given.integer("group_id") {
        Change::Set(group) if tables.live_group(group).is_none() => given.wrong("group_id", "is invalid"),
        change => change.write(&mut organization.group_id),
    }
    organization.shared_tickets = given.boolean("shared_tickets").unwrap_or(organization.shared_tickets);
    organization.shared_comments = given.boolean("shared_comments").unwrap_or(organization.shared_comments);
    if let Some(domains) = given.texts("domain_names") {
        organization.domain_names = domains;
    }
    if let Some(tags) = given.texts("tags") {
        organization.tags = tags_of(tags.iter().map(String::as_str)).into_iter().collect();
    }
    // The account defines no fields, so any is kept (an assumption).
    organization.fields.extend(given.object("organization_fields").into_iter().flatten());
    given.check()?;
    if organization.name.is_empty() {
        return Err(Refusal::invalid("name", "BlankValue", "Name: cannot be blank"));
    }
    let is_other = |found: i64| found != organization.id;
    if tables.organization_named(&organization.name).is_some_and(is_other) {
        return Err(Refusal::invalid("name", "DuplicateValue", "Name: has already been taken"));
    }
    let owner = organization.external_id.as_deref().and_then(|external_id| with_external_id(tables, external_id));
    if owner.is_some_and(is_other) {
        return Err(Refusal::invalid("external_id", "DuplicateValue", "External: has already been taken"));
    }
    Ok(given.finish())
}
