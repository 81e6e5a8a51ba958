//! What search still sees: users as they were before recent changes.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use super::user::User;

/// Past versions of users, kept until the index has caught up with the change.
#[derive(Debug, Default)]
pub struct History {
    lag: Duration,
    /// Per user, oldest first: when a change becomes visible, and the version
    /// before it; none for a new user.
    past: HashMap<i64, Vec<(Instant, Option<User>)>>,
}

impl History {
    pub fn new(lag: Duration) -> Self {
        Self { lag, past: HashMap::new() }
    }

    /// Notes a change that is about to be made.
    pub fn remember(&mut self, id: i64, before: Option<&User>) {
        if self.lag.is_zero() {
            return;
        }
        let now = Instant::now();
        self.past.retain(|_, changes| {
            changes.retain(|(visible, _)| now < *visible);
            !changes.is_empty()
        });
        self.past.entry(id).or_default().push((now + self.lag, before.cloned()));
    }

    /// The version of a user that search knows, if it knows any.
    pub fn seen<'a>(&'a self, current: &'a User) -> Option<&'a User> {
        let Some(changes) = self.past.get(&current.id) else {
            return Some(current);
        };
        let now = Instant::now();
        match changes.iter().find(|(visible, _)| now < *visible) {
            Some((_, before)) => before.as_ref(),
            None => Some(current),
        }
    }
}
