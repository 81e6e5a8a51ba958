//! Numbers that are kept here rather than in an instrument, because the status page shows them, too.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use super::budget::Budgets;
use super::errors::Errors;
use super::exchanges::Exchanges;
use super::logs::sample::Samples;
use super::logs::writer::Lost;
use super::push::Pushed;
use super::slowest::Slowest;
use super::trouble::Trouble;
use super::view::Sources;

/// Everything that the metrics observe and the status page shows.
pub struct State {
    /// When the gateway started.
    pub started: Instant,
    /// Unary calls.
    pub calls: Calls,
    /// Streams.
    pub streams: Calls,
    /// The request budgets as Zendesk last stated them.
    pub budgets: Budgets,
    /// The slowest recent upstream exchanges.
    pub slowest: Slowest,
    /// Answers of Zendesk that point to a mistake.
    pub trouble: Trouble,
    /// Calls that ended with an error.
    pub errors: Errors,
    /// Exchanges with Zendesk.
    pub exchanges: Exchanges,
    /// What deserves attention now.
    pub findings: Findings,
    /// The views of the other parts.
    pub sources: Sources,
    /// What became of telemetry that is pushed.
    pub pushed: Pushed,
    /// Log lines that were lost because standard error did not take them.
    pub lost_lines: Arc<Lost>,
    /// Bounds the lines that somebody can cause who is refused.
    pub samples: Arc<Samples>,
}

/// The kinds of findings there are now, each with whether it is a problem. The admin port's judge sets them.
#[derive(Debug, Default)]
pub struct Findings(Mutex<Vec<(&'static str, bool)>>);

impl Findings {
    /// Sets them.
    pub fn set(&self, found: Vec<(&'static str, bool)>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = found;
    }

    /// Returns them.
    pub fn read(&self) -> Vec<(&'static str, bool)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// How a call ended, as far as an operator cares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Answered with a reply, or with an error that is the caller's own.
    Answered,
    /// Refused for lack of request budget.
    Throttled,
    /// Failed by the gateway or by Zendesk.
    Failed,
}

/// Calls of one kind.
#[derive(Debug, Default)]
pub struct Calls {
    begun: AtomicU64,
    ended: AtomicU64,
    failed: AtomicU64,
    throttled: AtomicU64,
}

impl Calls {
    /// Counts a call that begins.
    pub fn begin(&self) {
        self.begun.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a call that ended.
    pub fn end(&self, how: End) {
        self.ended.fetch_add(1, Ordering::Relaxed);
        match how {
            End::Answered => {}
            End::Throttled => drop(self.throttled.fetch_add(1, Ordering::Relaxed)),
            End::Failed => drop(self.failed.fetch_add(1, Ordering::Relaxed)),
        }
    }

    /// Returns how many are under way.
    pub fn active(&self) -> u64 {
        // `ended` is read first, because it is counted later: so the difference is never below 0.
        let ended = self.ended.load(Ordering::Acquire);
        self.begun.load(Ordering::Acquire).saturating_sub(ended)
    }

    /// Returns how many have ended.
    pub fn ended(&self) -> u64 {
        self.ended.load(Ordering::Relaxed)
    }

    /// Returns how many of them were refused for lack of request budget.
    pub fn throttled(&self) -> u64 {
        self.throttled.load(Ordering::Relaxed)
    }

    /// Returns how many of them failed.
    pub fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }
}
