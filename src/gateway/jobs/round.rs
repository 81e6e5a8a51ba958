//! One request about jobs.

use crate::error::Error;
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
}

/// True if Zendesk answered, so that one of the jobs may be what is wrong with the request. Then fewer are asked about at a time.
pub fn is_about_the_request(error: &Error) -> bool {
    let status = error.refusal().map(|refusal| refusal.status);
    matches!(error, Error::TooLarge { .. })
        || status.is_some_and(|status| (200..500).contains(&status) && ![401, 429].contains(&status))
}
