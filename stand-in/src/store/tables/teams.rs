//! Groups and who is in them.

use super::{Tables, insert, remove};
use crate::store::group::{Group, Membership};

impl Tables {
    /// All groups by id, deleted ones included.
    pub fn groups(&self) -> impl Iterator<Item = &Group> {
        self.groups.values()
    }

    /// The group with this id, deleted or not.
    pub fn group(&self, id: i64) -> Option<&Group> {
        self.groups.get(&id)
    }

    /// The group with this id unless deleted.
    pub fn live_group(&self, id: i64) -> Option<&Group> {
        self.group(id).filter(|group| !group.deleted)
    }

    /// Adds a group or replaces the one with the same id.
    pub fn put_group(&mut self, group: Group) {
        self.groups.insert(group.id, group);
    }

    /// All memberships by id.
    pub fn memberships(&self) -> impl Iterator<Item = &Membership> {
        self.memberships.values()
    }

    pub fn membership(&self, id: i64) -> Option<&Membership> {
        self.memberships.get(&id)
    }

    /// A user's memberships by id.
    pub fn memberships_of(&self, user: i64) -> impl Iterator<Item = &Membership> {
        let ids = self.by_user.get(&user).map_or(&[][..], Vec::as_slice);
        ids.iter().filter_map(|id| self.memberships.get(id))
    }

    /// The memberships in a group by id.
    pub fn memberships_in(&self, group: i64) -> impl Iterator<Item = &Membership> {
        let ids = self.by_group.get(&group).map_or(&[][..], Vec::as_slice);
        ids.iter().filter_map(|id| self.memberships.get(id))
    }

    /// Adds a membership or replaces the one with the same id.
    pub fn put_membership(&mut self, membership: Membership) {
        self.remove_membership(membership.id);
        insert(self.by_user.entry(membership.user_id).or_default(), membership.id);
        insert(self.by_group.entry(membership.group_id).or_default(), membership.id);
        self.memberships.insert(membership.id, membership);
    }

    /// Takes a membership out.
    pub fn remove_membership(&mut self, id: i64) -> Option<Membership> {
        let membership = self.memberships.remove(&id)?;
        if let Some(ids) = self.by_user.get_mut(&membership.user_id) {
            remove(ids, id);
        }
        if let Some(ids) = self.by_group.get_mut(&membership.group_id) {
            remove(ids, id);
        }
        Some(membership)
    }
}
