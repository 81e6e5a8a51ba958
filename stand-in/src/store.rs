//! Everything the account holds, in memory.
//!
//! Handlers work on [`Tables`] under one lock; tests look at the account and
//! plant odd records through [`Store`].

pub mod fields;
pub mod group;
pub mod history;
pub mod identity;
pub mod job;
pub mod odd;
pub mod organization;
pub mod roles;
pub mod tables;
pub mod user;

use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use serde_json::Value;

use super::bulk;
use super::clock::Clock;
use super::config::{Config, Jobs};
use super::view::Links;
use job::Status;
use tables::Tables;

/// The records of one sandbox, for tests to compare with and to add to.
#[derive(Debug)]
pub struct Store {
    tables: RwLock<Tables>,
    links: Links,
    clock: Clock,
    jobs: Jobs,
}

impl Store {
    /// A store whose own views, apart from any request, link to `links`.
    pub(super) fn new(tables: Tables, config: &Config, clock: Clock, links: Links) -> Self {
        Self { tables: RwLock::new(tables), links, clock, jobs: config.jobs.clone() }
    }

    /// The tables, with everything in them that background jobs have done by
    /// now. Not to be called while a guard is held.
    pub(super) fn read(&self) -> RwLockReadGuard<'_, Tables> {
        self.settle();
        self.tables.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Like [`Store::read`], for changes.
    pub(super) fn write(&self) -> RwLockWriteGuard<'_, Tables> {
        self.settle();
        self.tables.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn settle(&self) {
        let due = self.tables.read().unwrap_or_else(PoisonError::into_inner).has_live_jobs();
        if due {
            let mut tables = self.tables.write().unwrap_or_else(PoisonError::into_inner);
            bulk::settle(&mut tables, &self.jobs, &self.clock);
        }
    }

    pub(super) fn links(&self) -> &Links {
        &self.links
    }

    /// Returns the ids of all live users, ascending.
    pub fn user_ids(&self) -> Vec<i64> {
        self.read().live().to_vec()
    }

    /// Returns the ids of all deleted users, permanently deleted ones included.
    pub fn deleted_user_ids(&self) -> Vec<i64> {
        self.read().deleted().to_vec()
    }

    /// Returns the ids of all live agents and admins, ascending.
    pub fn staff_ids(&self) -> Vec<i64> {
        self.read().staff().collect()
    }

    /// Returns the ids of all organizations.
    pub fn organization_ids(&self) -> Vec<i64> {
        self.read().organizations().map(|organization| organization.id).collect()
    }

    /// Returns an organization as the API shows it.
    pub fn organization(&self, id: i64) -> Option<Value> {
        let tables = self.read();
        let json = self.links.organization(tables.organization(id)?);
        Some(parsed(&json))
    }

    /// Returns a user as the API shows it, deleted or not.
    pub fn user(&self, id: i64) -> Option<Value> {
        let tables = self.read();
        let json = self.links.user(tables.user(id)?);
        Some(parsed(&json))
    }

    /// Returns the id of the live user with this external id.
    pub fn user_by_external_id(&self, external_id: &str) -> Option<i64> {
        self.read().external_id_owner(external_id)
    }

    /// Returns all live groups as the API shows them, by id.
    pub fn groups(&self) -> Vec<Value> {
        let tables = self.read();
        let live = tables.groups().filter(|group| !group.deleted);
        let shown = live.map(|group| parsed(&self.links.group(group, &tables)));
        shown.collect()
    }

    /// Returns all memberships as the API shows them, by id.
    pub fn memberships(&self) -> Vec<Value> {
        let tables = self.read();
        let shown = tables.memberships().map(|membership| parsed(&self.links.membership(membership)));
        shown.collect()
    }

    /// Sets how many open tickets keep a user from being deleted.
    pub fn set_open_tickets(&self, user: i64, count: u32) {
        self.write().set_open_tickets(user, count);
    }

    /// Returns the ids of the job statuses, oldest first.
    pub fn job_ids(&self) -> Vec<String> {
        self.read().jobs().map(|job| job.id.clone()).collect()
    }

    /// Ends a live background job as `killed`; what it has done stays done.
    /// Returns whether there was such a job.
    pub fn kill_job(&self, id: &str) -> bool {
        let mut killed = false;
        self.write().work_on_jobs(|job, _| {
            if job.id == id {
                job.status = Status::Killed;
                job.finished_at = Some(self.clock.now());
                job.work = None;
                killed = true;
            }
        });
        killed
    }

    /// Returns the id of the account's default group.
    pub fn default_group_id(&self) -> i64 {
        self.read().default_group
    }

    /// Adds or replaces a user that is served exactly as given, and returns
    /// its id. What the API needs to know about it (id, role, email,
    /// `external_id`, …) is read from the JSON where it has the usual type.
    ///
    /// # Panics
    /// If the text is not a JSON object with an integer `id`.
    pub fn insert_raw_user(&self, json: &str) -> i64 {
        let user = odd::user(json);
        let id = user.id;
        self.write().put_user(user);
        id
    }

    /// Adds or replaces a group that is served exactly as given.
    ///
    /// # Panics
    /// If the text is not a JSON object with an integer `id`.
    pub fn insert_raw_group(&self, json: &str) -> i64 {
        let group = odd::group(json);
        let id = group.id;
        self.write().put_group(group);
        id
    }

    /// Adds or replaces a membership that is served exactly as given.
    ///
    /// # Panics
    /// If the text is not a JSON object with integer `id`, `user_id` and `group_id`.
    pub fn insert_raw_membership(&self, json: &str) -> i64 {
        let membership = odd::membership(json);
        let id = membership.id;
        self.write().put_membership(membership);
        id
    }
}

fn parsed(json: &[u8]) -> Value {
    serde_json::from_slice(json).expect("the sandbox renders valid JSON")
}
