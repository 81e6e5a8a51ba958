//! What Zendesk says when it refuses.

use std::fmt;
use std::time::Duration;

use crate::limits::{Limit, Limits};

/// What a refused response said.
#[derive(Debug, Clone, Default)]
pub struct Refusal {
    /// HTTP status; 0 if the gateway refused by Zendesk's rules without asking it.
    pub status: u16,
    /// Zendesk's `x-request-id`.
    pub request_id: Option<String>,
    /// Zendesk's error code, such as `RecordInvalid`; never localised.
    pub code: Option<String>,
    /// What Zendesk wrote, cut to 512 characters; localised.
    pub text: String,
    /// Refused fields.
    pub violations: Vec<Violation>,
    /// How long Zendesk asks to wait.
    pub retry_after: Option<Duration>,
    /// Which limit a 429 is about, as far as the governor can tell.
    pub limit: Option<Limit>,
    /// The rate-limit headers of the response.
    pub limits: Limits,
    /// The path, below `/api/v2/`, of a request that was answered with an error status, such as `users/7`; else empty.
    pub resource: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "HTTP {}", self.status)?;
        if !self.text.is_empty() {
            write!(to, ", {}", self.text)?;
        }
        Ok(())
    }
}

/// One refused field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The field as Zendesk names it; `base` is the record as a whole.
    pub field: String,
    /// Zendesk's sentence, localised.
    pub description: String,
    /// Zendesk's error code, such as `DuplicateValue`; never localised. Empty where it gave none.
    pub code: String,
}
