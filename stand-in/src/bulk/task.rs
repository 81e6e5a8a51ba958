//! What each kind of job does to an item, and how it reports it.

use serde_json::{Map, Value};

use crate::clock::Time;
use crate::rules::attributes::Attributes;
use crate::rules::{Refusal, memberships, organization_memberships, organizations, users};
use crate::store::job::{Entry, Item, Target, Task};
use crate::store::tables::Tables;
use crate::store::user::Role;

impl Task {
    /// The `job_type`. `Bulk Update User` is recorded, also for deletions; the
    /// others follow its pattern.
    pub fn job_type(self) -> &'static str {
        match self {
            Self::CreateUsers => "Bulk Create User",
            Self::CreateOrUpdateUsers => "Bulk Create Or Update User",
            Self::UpdateUsers | Self::DeleteUsers => "Bulk Update User",
            Self::CreateMemberships => "Bulk Create Group Membership",
            Self::DeleteMemberships => "Bulk Delete Group Membership",
            Self::CreateOrganizations => "Bulk Create Organization",
            Self::UpdateOrganizations => "Bulk Update Organization",
            Self::DeleteOrganizations => "Bulk Delete Organization",
            Self::CreateOrganizationMemberships => "Bulk Create Organization Membership",
            Self::DeleteOrganizationMemberships => "Bulk Delete Organization Membership",
        }
    }

    /// The class that refusals name; one is recorded.
    pub fn class(self) -> &'static str {
        match self {
            Self::CreateUsers => "UserBulkCreateJob",
            Self::CreateOrUpdateUsers => "UserBulkCreateOrUpdateJob",
            Self::UpdateUsers | Self::DeleteUsers => "UserBulkUpdateJobV2",
            Self::CreateMemberships => "GroupMembershipBulkCreateJob",
            Self::DeleteMemberships => "GroupMembershipBulkDeleteJob",
            Self::CreateOrganizations => "OrganizationBulkCreateJob",
            Self::UpdateOrganizations => "OrganizationBulkUpdateJob",
            Self::DeleteOrganizations => "OrganizationBulkDeleteJob",
            Self::CreateOrganizationMemberships => "OrganizationMembershipBulkCreateJob",
            Self::DeleteOrganizationMemberships => "OrganizationMembershipBulkDeleteJob",
        }
    }

    /// A running job's message about its present item, in the recorded spelling
    /// if there is one.
    pub fn message(self, number: usize) -> String {
        match self {
            Self::CreateUsers | Self::CreateOrUpdateUsers => format!("Creating User #{number}"),
            Self::UpdateUsers | Self::DeleteUsers => format!("Updating user #{number}"),
            Self::CreateMemberships => format!("Creating group membership #{number}"),
            Self::DeleteMemberships => format!("Deleting group membership #{number}"),
            Self::CreateOrganizations => format!("Creating organization #{number}"),
            Self::UpdateOrganizations => format!("Updating organization #{number}"),
            Self::DeleteOrganizations => format!("Deleting organization #{number}"),
            Self::CreateOrganizationMemberships => format!("Creating organization membership #{number}"),
            Self::DeleteOrganizationMemberships => format!("Deleting organization membership #{number}"),
        }
    }

    /// Puts results into the order in which they are shown: that of the
    /// request, except for created users, which come in no recorded order. Two
    /// or more of those are never in the order of the request.
    pub fn arrange(self, entries: Vec<Entry>) -> Vec<Entry> {
        if self != Self::CreateUsers {
            return entries;
        }
        let count = entries.len();
        let mut placed: Vec<(usize, Entry)> = entries.into_iter().enumerate().collect();
        fastrand::Rng::with_seed(count as u64).shuffle(&mut placed);
        if placed.is_sorted_by_key(|(position, _)| *position) {
            placed.rotate_left(count.min(1));
        }
        placed.into_iter().map(|(_, entry)| entry).collect()
    }

    /// Does one item and reports on it.
    pub fn run(self, tables: &mut Tables, index: usize, item: Item, caller: Option<i64>, now: Time) -> Entry {
        match self {
            Self::CreateUsers => match users::create(tables, item.attributes, now) {
                Ok(saved) => Entry { id: Some(saved.id), status: Some("Created"), ..Entry::default() },
                Err(refusal) => failed(index, None, "UserCreateError", &refusal),
            },
            Self::CreateOrUpdateUsers => create_or_update(tables, index, item.attributes, now),
            Self::UpdateUsers => {
                let id = target(tables, &item.target);
                let updated = id.ok_or(Refusal::NotFound).and_then(|id| {
                    may_edit(tables, caller, id)?;
                    users::update(tables, id, item.attributes, now)
                });
                match updated {
                    Ok(saved) => done("update", saved.id, "Updated"),
                    Err(refusal) => failed(index, id, "UserUpdateError", &refusal),
                }
            }
            Self::DeleteUsers => {
                let id = target(tables, &item.target);
                let deleted = id.ok_or(Refusal::NotFound).and_then(|id| users::delete(tables, id, now).map(|()| id));
                match deleted {
                    Ok(id) => done("delete", id, "Deleted"),
                    Err(refusal) => failed(index, id, "UserDeleteError", &refusal),
                }
            }
            Self::CreateMemberships => {
                let mut given = Attributes::new("group_membership", item.attributes);
                let user = given.integer("user_id").value().unwrap_or_default();
                let group = given.integer("group_id").value().unwrap_or_default();
                let default = given.boolean("default").unwrap_or(false);
                match given.check().and_then(|()| memberships::create(tables, user, group, default, now)) {
                    Ok(id) => Entry { index: Some(index), id: Some(id), status: Some("Created"), ..Entry::default() },
                    Err(refusal) => failed(index, None, "GroupMembershipCreateFailed", &refusal),
                }
            }
            Self::DeleteMemberships => {
                let id = target(tables, &item.target).unwrap_or_default();
                match memberships::delete(tables, id, now) {
                    Ok(()) => done("delete", id, "Deleted"),
                    Err(refusal) => failed(index, Some(id), "GroupMembershipDeleteFailed", &refusal),
                }
            }
            Self::CreateOrganizations => match organizations::create(tables, item.attributes, now) {
                Ok((id, _)) => Entry { index: Some(index), ..done("create", id, "Created") },
                Err(refusal) => failed(index, None, "OrganizationCreateFailed", &refusal),
            },
            Self::UpdateOrganizations => {
                let id = organization(tables, &item.target);
                let change = |id| organizations::update(tables, id, item.attributes, now).map(|_| id);
                match id.ok_or(Refusal::NotFound).and_then(change) {
                    Ok(id) => done("update", id, "Updated"),
                    Err(refusal) => failed(index, id, "OrganizationUpdateFailed", &refusal),
                }
            }
            Self::DeleteOrganizations => {
                let id = organization(tables, &item.target);
                match id.ok_or(Refusal::NotFound).and_then(|id| organizations::delete(tables, id, now).map(|()| id)) {
                    Ok(id) => done("delete", id, "Deleted"),
                    Err(refusal) => failed(index, id, "OrganizationDeleteFailed", &refusal),
                }
            }
            Self::CreateOrganizationMemberships => {
                let mut given = Attributes::new("organization_membership", item.attributes);
                let user = given.integer("user_id").value().unwrap_or_default();
                let organization = given.integer("organization_id").value().unwrap_or_default();
                let default = given.boolean("default").unwrap_or(false);
                let place = |()| organization_memberships::create(tables, caller, user, organization, default, now);
                match given.check().and_then(place) {
                    Ok(id) => Entry { index: Some(index), ..done("create", id, "Created") },
                    Err(refusal) => failed(index, None, "OrganizationMembershipCreateFailed", &refusal),
                }
            }
            Self::DeleteOrganizationMemberships => {
                let id = target(tables, &item.target).unwrap_or_default();
                match organization_memberships::delete(tables, caller, id, now) {
                    Ok(()) => done("delete", id, "Deleted"),
                    Err(refusal) => failed(index, Some(id), "OrganizationMembershipDeleteFailed", &refusal),
                }
            }
        }
    }
}

/// Agents who are no admins can only change end users, and themselves.
pub fn may_edit(tables: &Tables, caller: Option<i64>, user: i64) -> Result<(), Refusal> {
    let role = |id: i64| tables.user(id).map(|user| user.role);
    let is_admin = caller.and_then(role) == Some(Role::Admin);
    if is_admin || caller == Some(user) || role(user) == Some(Role::EndUser) || role(user).is_none() {
        Ok(())
    } else {
        Err(Refusal::Forbidden)
    }
}

/// Entries as the vendor's article on this endpoint shows them: with the
/// address of the record, if it has one, and with the index as `id` of a
/// failure.
fn create_or_update(tables: &mut Tables, index: usize, attributes: Map<String, Value>, now: Time) -> Entry {
    match users::create_or_update(tables, attributes, now) {
        Ok(saved) => {
            let status = if saved.created { "Created" } else { "Updated" };
            let email = tables.user(saved.id).and_then(|user| user.email.as_deref().map(str::to_owned));
            Entry { id: Some(saved.id), status: Some(status), email, ..Entry::default() }
        }
        Err(refusal) => Entry {
            id: i64::try_from(index).ok(),
            error: Some("UserUpdateError"),
            details: Some(refusal.details()),
            status: Some("Failed"),
            ..Entry::default()
        },
    }
}

fn target(tables: &Tables, target: &Target) -> Option<i64> {
    match target {
        Target::New => None,
        Target::Id(id) => Some(*id),
        Target::ExternalId(id) => tables.external_id_owner(id),
    }
}

fn organization(tables: &Tables, target: &Target) -> Option<i64> {
    match target {
        Target::New => None,
        Target::Id(id) => Some(*id),
        Target::ExternalId(id) => organizations::with_external_id(tables, id),
    }
}

fn done(action: &'static str, id: i64, status: &'static str) -> Entry {
    Entry { action: Some(action), id: Some(id), status: Some(status), success: Some(true), ..Entry::default() }
}

/// A failure by its index, as recorded for other records; the names of the
/// errors follow those that were seen.
fn failed(index: usize, id: Option<i64>, error: &'static str, refusal: &Refusal) -> Entry {
    Entry { index: Some(index), id, error: Some(error), details: Some(refusal.details()), ..Entry::default() }
}
