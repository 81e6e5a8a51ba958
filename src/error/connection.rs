//! Why a connection failed.

use std::time::Duration;

use super::Verdict;

/// Why a connection failed, for the log and the circuit breaker.
#[derive(Debug, Clone)]
pub struct ConnectionError {
    /// The error and its causes, in one line.
    pub text: String,
    /// True if another call has told the circuit breaker: the end of a connection is one failure, however many calls it hits.
    pub counted: bool,
    /// When to come back, where the gateway knows that it asks for nothing before.
    pub retry_after: Option<Duration>,
}

impl ConnectionError {
    /// Returns a failure that the circuit breaker has not been told of.
    pub fn new(text: &str) -> Self {
        Self { text: text.to_owned(), counted: false, retry_after: None }
    }

    /// Returns the failure as one that the circuit breaker has been told of.
    #[must_use]
    pub fn already_counted(self) -> Self {
        Self { counted: true, ..self }
    }

    /// Returns what the circuit breaker learns from it.
    pub(super) fn verdict(&self) -> Verdict {
        if self.counted { Verdict::Ignore } else { Verdict::Failure }
    }

    /// Writes an error and all its causes in one line.
    pub fn of(error: &dyn std::error::Error) -> Self {
        let mut text = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            text.push_str(": ");
            text.push_str(&error.to_string());
            cause = error.source();
        }
        Self { text, counted: false, retry_after: None }
    }
}
