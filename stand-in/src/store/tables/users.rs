//! Users and their identities.

use super::{Tables, insert, remove};
use crate::clock::Time;
use crate::store::identity::Identity;
use crate::store::user::{Life, User};

impl Tables {
    /// The user with this id, live or deleted.
    pub fn user(&self, id: i64) -> Option<&User> {
        let at = self.users.binary_search_by_key(&id, |user| user.id).ok()?;
        Some(&self.users[at])
    }

    /// The user with this id unless deleted.
    pub fn active_user(&self, id: i64) -> Option<&User> {
        self.user(id).filter(|user| user.is_active())
    }

    /// All users by id, live and deleted ones.
    pub fn all_users(&self) -> &[User] {
        &self.users
    }

    /// Live users as search knows them, by id.
    pub fn indexed_users(&self) -> impl Iterator<Item = &User> {
        let seen = self.users.iter().filter_map(|user| self.history.seen(user));
        seen.filter(|user| user.is_active())
    }

    /// Ids of live users, ascending.
    pub fn live(&self) -> &[i64] {
        &self.live
    }

    /// Ids of deleted users, ascending.
    pub fn deleted(&self) -> &[i64] {
        &self.deleted
    }

    /// Ids of live agents and admins, ascending.
    pub fn staff(&self) -> impl Iterator<Item = i64> + '_ {
        self.staff.iter().copied()
    }

    /// The owner of an address, primary or secondary, in any case.
    pub fn email_owner(&self, address: &str) -> Option<i64> {
        self.emails.get(address.to_lowercase().as_str()).copied()
    }

    /// The live user with this external id, in any case.
    pub fn external_id_owner(&self, external_id: &str) -> Option<i64> {
        self.external_ids.get(external_id.to_lowercase().as_str()).copied()
    }

    /// Whether a live user other than `user` has this number.
    pub fn has_phone(&self, number: &str, user: i64) -> bool {
        let mut others = self.users.iter().filter(|other| other.is_active() && other.id != user);
        others.any(|other| other.phone.as_deref() == Some(number))
    }

    /// Identities of a user beyond those that its record tells.
    pub fn identities(&self, user: i64) -> &[Identity] {
        self.secondary.get(&user).map_or(&[], Vec::as_slice)
    }

    /// All identities of a user, by id.
    pub fn all_identities(&self, user: &User) -> Vec<Identity> {
        let known = |row: Identity| match self.told.get(&row.id) {
            Some(told) if told.value == row.value => {
                // The record tells whether the address is verified, and nothing of the number.
                let verified = if row.is_email() { row.verified } else { told.verified };
                Identity { id: told.id, created_at: told.created_at, verified, ..row }
            }
            _ => row,
        };
        let mut all: Vec<Identity> = Identity::of_record(user).into_iter().map(known).collect();
        all.extend_from_slice(self.identities(user.id));
        all.sort_by_key(|identity| identity.id);
        all
    }

    /// Replaces all identities of a user. The first primary address and number
    /// become those of the user's record.
    pub fn put_identities(&mut self, user: i64, rows: Vec<Identity>, now: Time) {
        let Some(mut record) = self.user(user).cloned() else { return };
        self.take_identities(user);
        record.email = None;
        record.verified = false;
        record.otherwise_verified = false;
        if record.shared_phone_number != Some(true) {
            (record.phone, record.shared_phone_number) = (None, None);
        }
        let mut others = Vec::new();
        for mut row in rows {
            if row.id == 0 {
                (row.id, row.created_at) = (self.fresh_id(), now);
            }
            if row.primary && row.is_email() && record.email.is_none() {
                (record.email, record.verified) = (Some(row.value.clone()), row.verified);
                self.told.insert(user + 1, row);
            } else if row.primary && row.is_phone() && record.phone.is_none() {
                (record.phone, record.shared_phone_number) = (Some(row.value.clone()), Some(false));
                record.otherwise_verified |= row.verified;
                self.told.insert(user + 2, row);
            } else {
                record.otherwise_verified |= row.verified;
                others.push(row);
            }
        }
        record.updated_at = now;
        record.verbatim = None;
        self.put_user(record);
        for row in others {
            self.add_identity(user, row, now);
        }
    }

    /// Gives a user another identity; one that is moved here keeps its id.
    pub fn add_identity(&mut self, user: i64, mut identity: Identity, now: Time) {
        if identity.id == 0 {
            (identity.id, identity.created_at) = (self.fresh_id(), now);
        }
        if identity.is_email() {
            self.emails.insert(identity.value.to_lowercase().into(), user);
        }
        self.secondary.entry(user).or_default().push(identity);
    }

    /// Takes those identities away.
    pub fn take_identities(&mut self, user: i64) -> Vec<Identity> {
        let identities = self.secondary.remove(&user).unwrap_or_default();
        for identity in identities.iter().filter(|identity| identity.is_email()) {
            self.emails.remove(identity.value.to_lowercase().as_str());
        }
        identities
    }

    /// Tickets that keep a user from being deleted.
    pub fn open_tickets(&self, user: i64) -> u32 {
        self.open_tickets.get(&user).copied().unwrap_or(0)
    }

    pub fn set_open_tickets(&mut self, user: i64, count: u32) {
        self.open_tickets.insert(user, count);
    }

    /// Adds a user or replaces the one with the same id.
    pub fn put_user(&mut self, user: User) {
        let id = user.id;
        match self.users.binary_search_by_key(&id, |user| user.id) {
            Ok(at) => {
                self.unindex(at);
                self.history.remember(id, Some(&self.users[at]));
                self.users[at] = user;
                self.index(at);
            }
            Err(at) => {
                self.history.remember(id, None);
                self.users.insert(at, user);
                self.index(at);
            }
        }
    }

    fn index(&mut self, at: usize) {
        let user = &self.users[at];
        if user.life != Life::Active {
            insert(&mut self.deleted, user.id);
            let id = user.id;
            self.leave_organizations_but(id, &[]);
            return;
        }
        insert(&mut self.live, user.id);
        if user.is_staff() {
            self.staff.insert(user.id);
        }
        if let Some(email) = &user.email {
            self.emails.insert(email.to_lowercase().into(), user.id);
        }
        if let Some(external_id) = &user.external_id {
            self.external_ids.insert(external_id.to_lowercase().into(), user.id);
        }
        let (id, organization, since) = (user.id, user.organization_id, user.updated_at);
        if let Some(organization) = organization {
            self.join_organization(id, organization, since);
        }
    }

    fn unindex(&mut self, at: usize) {
        let user = &self.users[at];
        remove(&mut self.deleted, user.id);
        remove(&mut self.live, user.id);
        self.staff.remove(&user.id);
        if !user.is_active() {
            // The addresses in a deleted user's record may belong to another
            // user by now.
            return;
        }
        if let Some(email) = &user.email {
            self.emails.remove(email.to_lowercase().as_str());
        }
        if let Some(external_id) = &user.external_id {
            self.external_ids.remove(external_id.to_lowercase().as_str());
        }
    }
}
