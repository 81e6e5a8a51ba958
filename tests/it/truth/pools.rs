//! Records that one call at a time may act on, so that a request which names only such a record is that call's.

use std::collections::VecDeque;

use super::clock::{SECOND, now};
use super::world::{GROUPS, SET_GROUPS, SET_USERS, USERS};

/// How long a created record may be used; the upstream removes it a little later.
const USABLE: u64 = 25 * SECOND;
/// How long a pair rests of which nobody knows whether it is a membership.
const RESTS: u64 = 5 * SECOND;

/// Ids with the time at which they were put in.
#[derive(Default)]
pub struct Pool(VecDeque<(u64, i64)>);

impl Pool {
    pub fn put(&mut self, id: i64) {
        self.0.push_back((now(), id));
        if self.0.len() > 64 {
            self.0.pop_front();
        }
    }

    /// One of them, which stays.
    pub fn some(&self) -> Option<i64> {
        self.0.back().filter(|(at, _)| at + USABLE > now()).map(|(_, id)| *id)
    }

    pub fn take(&mut self) -> Option<i64> {
        loop {
            let (at, id) = self.0.pop_front()?;
            if at + USABLE > now() {
                return Some(id);
            }
        }
    }
}

pub struct Pools {
    /// Users to be deleted or merged.
    pub users: Pool,
    /// Deleted users, to be erased.
    pub deleted: Pool,
    pub groups: Pool,
    /// Memberships with the pair that each is of.
    pub memberships: VecDeque<(i64, i64, i64)>,
    /// Users and groups of which no membership is there.
    pairs: VecDeque<(i64, i64)>,
    resting: VecDeque<(u64, i64, i64)>,
}

impl Default for Pools {
    fn default() -> Self {
        let groups = || GROUPS.filter(|group| !SET_GROUPS.contains(group));
        let users = USERS.filter(|user| !SET_USERS.contains(user));
        Self {
            users: Pool::default(),
            deleted: Pool::default(),
            groups: Pool::default(),
            memberships: VecDeque::new(),
            pairs: users.flat_map(|user| groups().map(move |group| (user, group))).collect(),
            resting: VecDeque::new(),
        }
    }
}

impl Pools {
    pub fn pair(&mut self) -> Option<(i64, i64)> {
        self.pairs.pop_front()
    }

    /// Lets a pair rest until it can be known whether it is a membership.
    pub fn rest(&mut self, (user, group): (i64, i64)) {
        self.resting.push_back((now(), user, group));
    }

    /// Takes out the pairs that have rested long enough.
    pub fn expired(&mut self) -> Vec<(i64, i64)> {
        let mut expired = Vec::new();
        while let Some((_, user, group)) = self.resting.pop_front_if(|(at, ..)| *at + RESTS < now()) {
            expired.push((user, group));
        }
        expired
    }

    /// Puts a pair back, as what it is.
    pub fn free(&mut self, membership: Option<i64>, user: i64, group: i64) {
        match membership {
            Some(id) => self.memberships.push_back((id, user, group)),
            None => self.pairs.push_back((user, group)),
        }
    }
}
