//! One request about jobs.

use std::time::Duration;

use crate::share::Share;
use crate::upstream::call::Priority;

/// Longest that one request about jobs may take, with its retries and its wait for budget.
pub const LONGEST: Duration = Duration::from_secs(30);

/// What is asked with one request.
pub struct Round {
    /// Tells rounds apart: the later, the larger.
    pub number: u64,
    /// The jobs.
    pub ids: Vec<String>,
    /// True if the only job is asked for by its own path.
    pub alone: bool,
    /// Which calls go first when the budget is short.
    pub priority: Priority,
    /// That of the caller whose jobs they are; none for those of several, which are asked about in nobody's turn.
    pub share: Option<Share>,
}
