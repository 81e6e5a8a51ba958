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
    /// The record, below `/api/v2/`, of a request that was answered with an error status, such as `users/7`; else empty.
    pub resource: String,
    /// What the request was to do, if the refusal can be about one of several records.
    pub doing: Option<String>,
}

impl fmt::Display for Refusal {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "HTTP {}", self.status)?;
        if let Some(doing) = &self.doing {
            write!(to, " while {doing}")?;
        }
        let Some(first) = self.violations.first() else {
            return if self.text.is_empty() { Ok(()) } else { write!(to, ", {}", self.text) };
        };
        // The sentence around the violations is the same for all values, so it is told only where a violation has none.
        let Violation { field, description, code } = first;
        let (sentence, what) = match (description.as_str(), code.as_str()) {
            ("", "") => ("", self.text.as_str()),
            ("", code) => (self.text.as_str(), code),
            (description, _) => ("", description),
        };
        let shortened = |text: &str| text.chars().take(256).collect::<String>();
        // Many sentences begin with the field, and `base` is the record as a whole.
        let is_named = field == "base" || what.to_lowercase().starts_with(&field.to_lowercase());
        for part in [sentence, if is_named { "" } else { field }].into_iter().filter(|part| !part.is_empty()) {
            write!(to, ", {}", shortened(part))?;
        }
        let colon = if is_named && sentence.is_empty() { ", " } else { ": " };
        write!(to, "{colon}{}{}", shortened(what), and_more(self.violations.len() - 1, ""))
    }
}

impl Refusal {
    /// Returns the record that the request named, as a message names it.
    pub(super) fn record(&self) -> &str {
        if self.resource.is_empty() { "such record" } else { &self.resource }
    }
}

/// Says how many violations there are beside the one that was told.
pub(super) fn and_more(count: usize, where_to: &str) -> String {
    if count == 0 { String::new() } else { format!(", and {count} more{where_to}") }
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

impl Violation {
    /// A field that the gateway refuses.
    pub fn of(field: String, description: String) -> Self {
        Self { field, description, code: String::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_violation_is_shown_with_its_field_and_how_many_follow() {
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
        assert_eq!(shown("Record validation errors", two), format!("HTTP 422, {taken}, and 1 more"));
        let suspended = shown("RecordInvalid", vec![violation("", "UserSuspended")]);
        assert_eq!(suspended, "HTTP 422, RecordInvalid, email: UserSuspended");
        assert_eq!(shown("Errors", vec![violation("bad", "")]), "HTTP 422, email: bad");
        let whole = vec![Violation::of("base".to_owned(), "The name is empty".to_owned())];
        assert_eq!(shown("Errors", whole), "HTTP 422, The name is empty");
        assert_eq!(shown("Errors", vec![violation("", "")]), "HTTP 422, email: Errors");
        assert_eq!(shown("Not found", Vec::new()), "HTTP 422, Not found");
        let long = shown(&"é".repeat(512), vec![violation(taken, "")]);
        assert!(long.ends_with(taken) && long.chars().count() < 512, "{long}");
    }
}
