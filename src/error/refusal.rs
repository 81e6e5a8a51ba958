//! What Zendesk says when it refuses.

use std::fmt;
use std::time::Duration;

use crate::limits::{Limit, Limits};

/// Most characters of Zendesk's sentence before the first violation, so that both fit into a message.
const LONGEST_BEFORE_VIOLATION: usize = 256;

/// What a refused response said.
#[derive(Debug, Clone, Default)]
pub struct Refusal {
    /// HTTP status; 0 if the gateway refused by Zendesk's rules without asking it.
    pub status: u16,
    /// Zendesk's `x-request-id`.
    pub request_id: Option<String>,
    /// Zendesk's error code, such as `RecordInvalid`; never localised.
    pub code: Option<String>,
    /// What Zendesk wrote, cut to 512 characters; localised. Shown with the first of the violations.
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
            let most = if self.violations.is_empty() { usize::MAX } else { LONGEST_BEFORE_VIOLATION };
            let end = self.text.char_indices().nth(most).map_or(self.text.len(), |(at, _)| at);
            write!(to, ", {}", &self.text[..end])?;
        }
        // What it is about: the sentence before is often the same for all values.
        match self.violations.first() {
            Some(Violation { description, .. }) if self.text.contains(description) && !description.is_empty() => Ok(()),
            Some(Violation { description, .. }) if !description.is_empty() => write!(to, ": {description}"),
            Some(Violation { code, .. }) if !code.is_empty() => write!(to, ": {code}"),
            _ => Ok(()),
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_violation_is_shown_with_the_sentence_before_it() {
        let violation = |description: &str, code: &str| Violation {
            field: "email".to_owned(),
            description: description.to_owned(),
            code: code.to_owned(),
        };
        let shown = |text: &str, violations: Vec<Violation>| {
            Refusal { status: 422, text: text.to_owned(), violations, ..Refusal::default() }.to_string()
        };
        let taken = "Email: a@b.example is already being used by another user";
        let two = vec![violation(taken, "DuplicateValue"), violation("Name: is too short", "")];
        assert_eq!(shown("Record validation errors", two), format!("HTTP 422, Record validation errors: {taken}"));
        assert_eq!(
            shown("RecordInvalid", vec![violation("", "UserSuspended")]),
            "HTTP 422, RecordInvalid: UserSuspended"
        );
        assert_eq!(shown("", vec![violation("bad", "")]), "HTTP 422: bad");
        assert_eq!(shown("Name: bad", vec![violation("bad", "")]), "HTTP 422, Name: bad", "it is said already");
        assert_eq!(shown("Not found", Vec::new()), "HTTP 422, Not found");
        let long = shown(&"é".repeat(512), vec![violation(taken, "")]);
        assert!(long.ends_with(taken) && long.chars().count() < 512, "{long}");
    }
}
