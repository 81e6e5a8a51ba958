//! One request about jobs.

use crate::share::Share;
use crate::upstream::call::Priority;

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
