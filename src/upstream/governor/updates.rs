//! Zendesk's limits on updates of single users: 5 a minute for each user, and one a second for the account
//! (<https://developer.zendesk.com/api-reference/ticketing/users/users/#update-user>).
//!
//! They are enforced here, before a request is sent, because a refused update costs budget like any other. The gateway takes
//! the time when requests leave, Zendesk when they arrive, so a user's minute counts as a second longer.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::budget::millis;
use crate::limits::{LONGEST_WAIT, Window};
use crate::upstream::rest::UserKey;

/// A minute on Zendesk's clock, and what the network may add to it.
const MINUTE: Duration = Duration::from_secs(61);
/// Most users that are remembered. With updates a second apart there are never more than a minute's worth.
const MOST: usize = 4096;

/// Updates of one user a minute, as Zendesk documents them.
const DOCUMENTED: usize = 5;

/// True if a bucket has the name of one that limits updates of single users, such as `create-update-user`. It is never an
/// endpoint's own: spent by updates of one user, it says nothing of another's.
pub fn is_of_user_updates(bucket: &str) -> bool {
    bucket.contains("update-user") && !bucket.contains("many")
}

/// The recent updates.
#[derive(Debug)]
pub struct Updates {
    per_user: usize,
    spacing: Duration,
    /// When the account may do the next.
    next: Option<Instant>,
    users: HashMap<UserKey, Recent>,
}

/// Recent updates; times are milliseconds from or before now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecentUpdates {
    /// Until the account may do the next.
    next: u64,
    /// For each user, how long ago the last were sent, and how long it is still closed.
    users: Vec<(UserKey, Vec<u64>, u64)>,
}

#[derive(Debug, Default)]
struct Recent {
    sent: VecDeque<Instant>,
    closed_until: Option<Instant>,
}

impl Updates {
    /// Allows `per_user` updates of one user a minute (0: any number), `spacing` apart.
    pub fn new(per_user: u32, spacing: Duration) -> Self {
        let per_user = usize::try_from(per_user).unwrap_or(usize::MAX);
        Self { per_user, spacing, next: None, users: HashMap::new() }
    }

    /// Returns when an update of this user may go after the waiting ones: `ahead` of any user, `same` of this one.
    pub fn opening(&self, user: &UserKey, ahead: u32, same: usize, now: Instant) -> Instant {
        let account = self.spaced(ahead, now);
        let Some(recent) = self.users.get(user) else { return account };
        let closed = recent.closed_until.unwrap_or(now);
        // The n-th update from now has to wait until the one `per_user` before it is a minute old.
        let before = (recent.sent.len() + same).checked_sub(self.per_user).filter(|_| self.per_user > 0);
        let user = before.map_or(now, |place| {
            let last = recent.sent.back().copied().unwrap_or(now);
            recent.sent.get(place).copied().unwrap_or(last + MINUTE) + MINUTE
        });
        account.max(closed).max(user)
    }

    /// Returns when the account allows an update of any user after `ahead` waiting ones.
    pub fn spaced(&self, ahead: u32, now: Instant) -> Instant {
        self.next.unwrap_or(now).max(now) + self.spacing * ahead
    }

    /// Counts an update that is about to be sent.
    pub fn spend(&mut self, user: &UserKey, now: Instant) {
        self.next = Some(now + self.spacing);
        if self.users.len() >= 64 {
            self.forget_old(now);
        }
        let recent = self.users.entry(user.clone()).or_default();
        while recent.sent.front().is_some_and(|sent| *sent + MINUTE <= now) {
            recent.sent.pop_front();
        }
        recent.sent.push_back(now);
    }

    /// Takes back an update that was not sent after all.
    pub fn unspend(&mut self, user: &UserKey) {
        if let Some(recent) = self.users.get_mut(user) {
            recent.sent.pop_back();
        }
    }

    /// Returns whether a bucket stated for an update is one of these limits, also where they are left to Zendesk. Zendesk states
    /// both under one name, and only the number tells them apart. Assumption: no other bucket of an update is as small.
    pub fn is_theirs(&self, window: &Window) -> bool {
        usize::try_from(window.limit).is_ok_and(|limit| limit <= self.per_user.max(DOCUMENTED))
    }

    /// Learns from the headers of an update's response: others update users, too.
    pub fn hear(&mut self, user: &UserKey, window: &Window, now: Instant) {
        if window.remaining > 0 {
            return;
        }
        let reset = window.reset.unwrap_or(MINUTE);
        if window.limit > 1 {
            self.close(user, now + reset);
        } else {
            self.next = self.next.max(Some(now + reset.min(self.spacing)));
        }
    }

    /// Holds back updates of this user.
    pub fn close(&mut self, user: &UserKey, until: Instant) {
        self.users.entry(user.clone()).or_default().closed_until = Some(until);
    }

    /// Returns what whoever updates users next must know.
    pub fn recent(&self, now: Instant) -> RecentUpdates {
        let next = self.next.map(|next| millis(next, now)).unwrap_or_default();
        let users = self.users.iter().map(|(user, recent)| {
            let sent = recent.sent.iter().map(|sent| millis(now, *sent)).collect();
            (user.clone(), sent, recent.closed_until.map(|until| millis(until, now)).unwrap_or_default())
        });
        RecentUpdates { next, users: users.collect() }
    }

    /// Goes on from another's updates.
    pub fn go_on(&mut self, recent: &RecentUpdates, now: Instant) {
        let next = now + Duration::from_millis(recent.next).min(MINUTE);
        self.next = self.next.max(Some(next));
        for (user, sent, closed) in recent.users.iter().take(MOST) {
            let known = self.users.entry(user.clone()).or_default();
            known.sent.extend(sent.iter().filter_map(|ago| now.checked_sub(Duration::from_millis(*ago))));
            known.sent.make_contiguous().sort_unstable();
            if *closed > 0 {
                known.closed_until =
                    known.closed_until.max(Some(now + Duration::from_millis(*closed).min(LONGEST_WAIT)));
            }
        }
    }

    /// Returns how many users are remembered.
    pub fn len(&self) -> usize {
        self.users.len()
    }

    fn forget_old(&mut self, now: Instant) {
        self.users.retain(|_, recent| {
            recent.closed_until.is_some_and(|until| now < until)
                || recent.sent.back().is_some_and(|sent| now < *sent + MINUTE)
        });
        if self.users.len() >= MOST {
            let oldest = self.users.iter().min_by_key(|(_, recent)| recent.sent.back().copied());
            let oldest = oldest.map(|(user, _)| user.clone());
            oldest.map(|user| self.users.remove(&user));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn whoever_goes_on_remembers_the_updates_before() {
        let (user, second) = (UserKey::Id(7), Duration::from_secs(1));
        let (mut before, mut next) = (Updates::new(2, second), Updates::new(2, second));
        before.spend(&user, Instant::now());
        tokio::time::advance(second * 10).await;
        let now = Instant::now();
        before.spend(&user, now);
        next.go_on(&before.recent(now), now);
        assert_eq!(next.opening(&UserKey::Id(8), 0, 0, now), now + second);
        assert_eq!(next.opening(&user, 0, 0, now), now + MINUTE - second * 10);
    }
}
