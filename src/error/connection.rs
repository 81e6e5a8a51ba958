//! Why a connection failed.

use std::iter::successors;
use std::time::Duration;

use super::Verdict;
use crate::tls;

/// What hyper says of a proxy that refuses CONNECT, and what is said of it here.
const NO_TUNNEL: (&str, &str) = ("tunnel error: unsuccessful", "the proxy refuses to connect to it");

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
    pub fn of(error: &(dyn std::error::Error + 'static)) -> Self {
        let causes = successors(Some(error), |error| error.source());
        let words: Vec<String> = causes.map(|error| tls::words(error).unwrap_or_else(|| error.to_string())).collect();
        Self { text: words.join(": ").replace(NO_TUNNEL.0, NO_TUNNEL.1), counted: false, retry_after: None }
    }
}
