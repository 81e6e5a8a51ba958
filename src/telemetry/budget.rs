//! What Zendesk last said about the request budget, as the response headers state it.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;

/// Most budgets that are remembered: their names come from outside.
const MAX_BUDGETS: usize = 32;

/// The account's budget and those of single endpoints.
#[derive(Debug, Default)]
pub struct Budgets(Mutex<BTreeMap<String, (Window, Instant)>>);

/// One budget as a response stated it.
#[derive(Debug, Clone, Copy)]
pub struct Window {
    /// Requests per window.
    pub limit: u32,
    /// Requests left in it.
    pub remaining: u32,
    /// When it starts anew.
    pub reset: Option<Duration>,
}

/// One budget as it stands now.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Budget {
    /// `account`, or the endpoint bucket's name.
    pub name: String,
    /// Requests per window.
    pub limit: u32,
    /// Requests left in it, as last stated.
    pub remaining: u32,
    /// When it starts anew.
    #[serde(serialize_with = "super::view::seconds")]
    pub reset_in: Option<Duration>,
    /// How old the statement is.
    pub stated_seconds_ago: u64,
}

impl Budgets {
    /// Remembers what a response stated.
    pub fn state(&self, name: &str, window: Window) {
        let mut budgets = self.lock();
        if let Some(known) = budgets.get_mut(name) {
            *known = (window, Instant::now());
        } else if budgets.len() < MAX_BUDGETS {
            budgets.insert(name.to_owned(), (window, Instant::now()));
        }
    }

    /// Returns every budget, the account's first.
    pub fn read(&self) -> Vec<Budget> {
        let read = |(name, (window, stated)): (&String, &(Window, Instant))| Budget {
            name: name.clone(),
            limit: window.limit,
            remaining: window.remaining,
            reset_in: window.reset.map(|reset| reset.saturating_sub(stated.elapsed())),
            stated_seconds_ago: stated.elapsed().as_secs(),
        };
        let mut budgets: Vec<Budget> = self.lock().iter().map(read).collect();
        budgets.sort_by_key(|budget| budget.name != "account");
        budgets
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, (Window, Instant)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
