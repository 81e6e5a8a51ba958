//! Organizations and who is in them.

use std::collections::BTreeMap;

use super::Tables;
use crate::clock::Time;
use crate::store::organization::{Organization, OrganizationMembership};
use crate::store::roles::OPENED;

impl Tables {
    /// The account's organizations, by id.
    pub fn organizations(&self) -> impl Iterator<Item = &Organization> {
        self.organizations.values()
    }

    pub fn organization(&self, id: i64) -> Option<&Organization> {
        self.organizations.get(&id)
    }

    /// Adds an organization or replaces the one with the same id.
    pub fn put_organization(&mut self, organization: Organization) {
        self.organizations.insert(organization.id, organization);
    }

    pub fn remove_organization(&mut self, id: i64) {
        self.organizations.remove(&id);
    }

    /// The organization with this name, in any case.
    pub fn organization_named(&self, name: &str) -> Option<i64> {
        let wanted = name.to_lowercase();
        self.organizations().find(|organization| organization.name.to_lowercase() == wanted).map(|found| found.id)
    }

    /// Ids of an organization's live users, ascending.
    pub fn members_of(&self, organization: i64) -> impl Iterator<Item = i64> + '_ {
        self.by_organization.get(&organization).into_iter().flat_map(BTreeMap::keys).copied()
    }

    /// All memberships of users in organizations, by id.
    pub fn organization_memberships(&self) -> impl Iterator<Item = &OrganizationMembership> {
        self.organization_memberships.values()
    }

    pub fn organization_membership(&self, id: i64) -> Option<&OrganizationMembership> {
        self.organization_memberships.get(&id)
    }

    /// A user's memberships in organizations, by id.
    pub fn organizations_of(&self, user: i64) -> impl Iterator<Item = &OrganizationMembership> {
        let ids = self.organizations_of.get(&user);
        ids.into_iter().flatten().filter_map(|id| self.organization_memberships.get(id))
    }

    /// The memberships in an organization, by user.
    pub fn memberships_in_organization(&self, organization: i64) -> impl Iterator<Item = &OrganizationMembership> {
        let ids = self.by_organization.get(&organization);
        ids.into_iter().flat_map(BTreeMap::values).filter_map(|id| self.organization_memberships.get(id))
    }

    /// Makes a user a member of an organization, and returns the membership's id, unless the user is one already.
    pub fn join_organization(&mut self, user: i64, organization: i64, now: Time) -> Option<i64> {
        let opened = Time::parse(OPENED).expect("a date");
        self.organizations.entry(organization).or_insert_with(|| Organization::seeded(organization, opened));
        if self.by_organization.get(&organization).is_some_and(|members| members.contains_key(&user)) {
            return None;
        }
        let id = self.fresh_id();
        self.by_organization.entry(organization).or_default().insert(user, id);
        self.organizations_of.entry(user).or_default().insert(id);
        let membership = OrganizationMembership {
            id,
            user_id: user,
            organization_id: organization,
            created_at: now,
            updated_at: now,
        };
        self.organization_memberships.insert(id, membership);
        Some(id)
    }

    /// Takes a membership out; which organization is then the user's default is left to the caller.
    pub fn remove_organization_membership(&mut self, id: i64) -> Option<OrganizationMembership> {
        let gone = self.organization_memberships.remove(&id)?;
        if let Some(members) = self.by_organization.get_mut(&gone.organization_id) {
            members.remove(&gone.user_id);
        }
        if let Some(ids) = self.organizations_of.get_mut(&gone.user_id) {
            ids.remove(&id);
        }
        Some(gone)
    }

    /// Takes a user out of all organizations but these.
    pub fn leave_organizations_but(&mut self, user: i64, kept: &[i64]) {
        let others = self.organizations_of(user).filter(|membership| !kept.contains(&membership.organization_id));
        for id in others.map(|membership| membership.id).collect::<Vec<_>>() {
            self.remove_organization_membership(id);
        }
    }
}
