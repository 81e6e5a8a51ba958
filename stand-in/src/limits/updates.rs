//! The limits on changing single users: so many per user, so many per account.

use std::collections::HashMap;

use super::window::{State, Window};
use crate::config::UpdateLimits;

/// Windows of users beyond which idle ones are swept out.
const SWEEP_AT: usize = 4_096;

/// The windows behind `zendesk-ratelimit-create-update-user`.
#[derive(Debug)]
pub struct Updates {
    limits: UpdateLimits,
    account: Window,
    users: HashMap<i64, Window>,
}

impl Updates {
    pub fn new(limits: &UpdateLimits) -> Self {
        Self {
            account: Window::new(limits.per_account, limits.account_interval),
            users: HashMap::new(),
            limits: limits.clone(),
        }
    }

    /// Spends a change to `user`, or to a user not known yet, if both limits
    /// allow it. The state is that of the limit that refuses, or else the
    /// user's (which of the two is announced is an assumption).
    pub fn take(&mut self, user: Option<i64>) -> (Option<State>, bool) {
        if self.users.len() > SWEEP_AT {
            self.users.retain(|_, window| !window.is_idle());
        }
        let limits = &self.limits;
        let mut of_user = user.filter(|_| limits.per_user > 0).map(|id| {
            let window = self.users.entry(id);
            window.or_insert_with(|| Window::new(limits.per_user, limits.user_interval))
        });
        let mut of_account = Some(&mut self.account).filter(|_| limits.per_account > 0);
        for window in [&mut of_user, &mut of_account].into_iter().flatten() {
            let state = window.state();
            if state.remaining == 0 {
                return (Some(state), false);
            }
        }
        let mut announced = None;
        for window in [of_account, of_user].into_iter().flatten() {
            window.take();
            announced = Some(window.state());
        }
        (announced, true)
    }
}
