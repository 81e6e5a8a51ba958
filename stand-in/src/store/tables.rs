//! The account's tables and the indexes that keep them quick to read.
//!
//! Users sit in one vector by id, because ids only grow; a list without a
//! filter is a slice of `live` and costs nothing to page through.

mod jobs;
mod organizations;
mod teams;
mod users;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use super::fields::Definitions;
use super::group::{Group, Membership};
use super::history::History;
use super::identity::Identity;
use super::job::Job;
use super::organization::{Organization, OrganizationMembership};
use super::user::User;

/// All records. Everything here is reached under the store's lock.
#[derive(Debug, Default)]
pub struct Tables {
    users: Vec<User>,
    live: Vec<i64>,
    deleted: Vec<i64>,
    staff: BTreeSet<i64>,
    organizations: BTreeMap<i64, Organization>,
    organization_memberships: BTreeMap<i64, OrganizationMembership>,
    /// Ids of the memberships of a user.
    organizations_of: HashMap<i64, BTreeSet<i64>>,
    /// Ids of the memberships in an organization, by their users.
    by_organization: HashMap<i64, BTreeMap<i64, i64>>,
    /// Primary and secondary addresses in lower case.
    emails: HashMap<Box<str>, i64>,
    external_ids: HashMap<Box<str>, i64>,
    /// Identities beyond those that a user's record tells.
    secondary: HashMap<i64, Vec<Identity>>,
    /// Identities that a user's record tells and that were secondary ones, or
    /// were changed, by the ids that they would have otherwise.
    told: HashMap<i64, Identity>,
    open_tickets: HashMap<i64, u32>,
    history: History,
    groups: BTreeMap<i64, Group>,
    memberships: BTreeMap<i64, Membership>,
    by_user: HashMap<i64, Vec<i64>>,
    by_group: HashMap<i64, Vec<i64>>,
    jobs: Vec<Job>,
    has_live_jobs: bool,
    pub default_group: i64,
    pub user_fields: Definitions,
    next_id: i64,
}

impl Tables {
    /// Empty tables that hand out ids from `next_id` on.
    pub fn new(next_id: i64) -> Self {
        Self { next_id, ..Self::default() }
    }

    /// A fresh id; like Zendesk's, not the successor of the last one.
    pub fn fresh_id(&mut self) -> i64 {
        self.next_id += 61 + self.next_id % 37;
        self.next_id
    }

    /// Makes search lag behind every change from now on.
    pub fn lag_search(&mut self, lag: Duration) {
        self.history = History::new(lag);
    }
}

/// Inserts into a sorted list; at the end, where new ids go, it costs nothing.
fn insert(ids: &mut Vec<i64>, id: i64) {
    if ids.last().is_none_or(|last| *last < id) {
        ids.push(id);
    } else if let Err(at) = ids.binary_search(&id) {
        ids.insert(at, id);
    }
}

fn remove(ids: &mut Vec<i64>, id: i64) {
    if let Ok(at) = ids.binary_search(&id) {
        ids.remove(at);
    }
}
