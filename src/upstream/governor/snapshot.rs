//! The governor seen from outside.

use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;

use super::budget::Budget;
use super::state::State;
use crate::upstream::seconds::seconds;

/// The budgets at one moment.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Snapshot {
    /// The account's budget; none while no response has stated it.
    pub account: Option<Window>,
    /// Budgets of endpoints, by the name that Zendesk gives them.
    pub buckets: Vec<(String, Window)>,
    /// Calls that wait for budget.
    pub waiting: usize,
    /// Writes let through so far.
    pub writes: u64,
    /// Interactive reads let through so far.
    pub interactive: u64,
    /// Streams, bulk jobs and refreshes let through so far.
    pub background: u64,
    /// Calls that had to wait for budget.
    pub waited: u64,
    /// Calls refused because their turn would have come after their deadline.
    pub refused: u64,
    /// Responses with status 429.
    pub throttled: u64,
    /// How much longer a 429 keeps the account or any endpoint closed, also where its budget is not known; zero if none does.
    #[serde(serialize_with = "seconds")]
    pub closed_for: Duration,
    /// Users whose recent updates are remembered.
    pub updated_users: usize,
}

/// One budget at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Window {
    /// Requests per window.
    pub limit: u32,
    /// Requests left according to Zendesk's last response.
    pub remaining: u32,
    /// Requests under way.
    pub in_flight: u32,
    /// How long until the window ends.
    #[serde(serialize_with = "seconds")]
    pub resets_in: Duration,
    /// How much longer a 429 keeps this budget closed; zero if none does.
    #[serde(serialize_with = "seconds")]
    pub closed_for: Duration,
    /// Requests per second that would use up what is left by the end of the window.
    pub pace: f64,
}

impl Snapshot {
    pub(super) fn of<W>(state: &State<W>) -> Self {
        let now = Instant::now();
        let buckets = state.buckets.iter();
        let closed_until = state.account.closed_until().max(state.buckets.closed_until());
        let [writes, interactive, background] = state.granted;
        Self {
            account: Window::of(&state.account, now),
            buckets: buckets.filter_map(|(name, budget)| Some((name.to_owned(), Window::of(budget, now)?))).collect(),
            waiting: state.room.waiting(),
            writes,
            interactive,
            background,
            waited: state.waited,
            refused: state.refused,
            throttled: state.throttled,
            closed_for: closed_until.map(|until| until.saturating_duration_since(now)).unwrap_or_default(),
            updated_users: state.updates.len(),
        }
    }
}

impl Window {
    fn of(budget: &Budget, now: Instant) -> Option<Self> {
        let view = budget.view(now)?;
        Some(Self {
            limit: view.limit,
            remaining: view.remaining,
            in_flight: view.in_flight,
            resets_in: view.ends.saturating_duration_since(now),
            closed_for: view.closed_until.map(|until| until.saturating_duration_since(now)).unwrap_or_default(),
            pace: view.pace,
        })
    }
}
