//! Which failures are tried again, when, and for whom.
//!
//! Whether a repetition can help and whether it can harm are two questions. The error's row answers the first together with
//! what may have been delivered; the call's idempotency answers the second. On top of both stands one budget for all calls, of
//! which each caller has a share: when Zendesk is down, everybody's retries at once would keep it there.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde::Serialize;
use tokio::time::{Sleep, sleep};
use tower::retry::Policy;

use super::call::{Answer, Call};
use super::jitter::Jitter;
use crate::config;
use crate::contract::Idempotency;
use crate::deadline::usable;
use crate::error::{Error, Fate, Retry as Rule};

mod budget;

use budget::Budget;

/// The settings, the retry budget and the counters that all calls share.
#[derive(Debug)]
pub struct Retries {
    settings: config::Retry,
    jitter: Jitter,
    budget: Budget,
    retried: AtomicU64,
    out_of_budget: AtomicU64,
    out_of_time: AtomicU64,
    out_of_share: AtomicU64,
}

/// The retries at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Snapshot {
    /// Retries that could begin now.
    pub budget: f64,
    /// Attempts after a first one.
    pub retried: u64,
    /// Failures that were not repeated for lack of budget.
    pub out_of_budget: u64,
    /// Failures that were not repeated because the wait did not fit the deadline.
    pub out_of_time: u64,
    /// Failures that were not repeated because the other requests of their call had used its attempts up.
    pub out_of_share: u64,
}

impl Retries {
    /// Returns a full budget.
    pub fn new(settings: &config::Retry, jitter: Jitter) -> Self {
        let budget = Budget::new(settings.budget_percent, settings.budget_per_second);
        let zero = || AtomicU64::new(0);
        let (out_of_budget, out_of_time, out_of_share) = (zero(), zero(), zero());
        Self { settings: settings.clone(), jitter, budget, retried: zero(), out_of_budget, out_of_time, out_of_share }
    }

    /// Returns the retries as they are now.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            budget: self.budget.left(),
            retried: self.retried.load(Ordering::Relaxed),
            out_of_budget: self.out_of_budget.load(Ordering::Relaxed),
            out_of_time: self.out_of_time.load(Ordering::Relaxed),
            out_of_share: self.out_of_share.load(Ordering::Relaxed),
        }
    }
}

/// The retries of one call.
#[derive(Debug, Clone)]
pub struct Retry {
    shared: Arc<Retries>,
    /// Attempts that ended.
    made: u32,
    /// Whether the one retry of [`Rule::ReadOnce`] is used up.
    read_again: bool,
    /// Requests sent by the attempts that ended.
    sent: u32,
    /// Why the call was repeated: of several failures, one that leaves open whether a write was done.
    cause: Option<Error>,
}

impl Retry {
    /// Returns the policy that the retry layer clones for each call.
    pub fn new(shared: &Arc<Retries>) -> Self {
        Self { shared: Arc::clone(shared), made: 0, read_again: false, sent: 0, cause: None }
    }

    /// True if the call may be repeated after a failure with this rule.
    fn is_allowed(&mut self, call: &Call, rule: Rule) -> bool {
        let read = call.idempotency == Idempotency::NoSideEffects;
        match rule {
            _ if self.made >= self.shared.settings.attempts => false,
            Rule::Never => false,
            Rule::Undelivered | Rule::AsAsked => true,
            Rule::Repeatable => call.idempotency != Idempotency::Unsafe,
            Rule::ReadOnce => read && !std::mem::replace(&mut self.read_again, true),
        }
    }

    /// Returns the backoff: what Zendesk asks for, or else a random time up to a limit that doubles with each attempt.
    fn wait(&self, error: &Error) -> Duration {
        let config::Retry { first_backoff, longest_backoff, .. } = self.shared.settings;
        let doubled = first_backoff.saturating_mul(2_u32.saturating_pow(self.made - 1));
        error.retry_after().unwrap_or_else(|| self.shared.jitter.full(doubled.min(longest_backoff)))
    }
}

impl Policy<Call, Answer, Error> for Retry {
    type Future = Sleep;

    fn clone_request(&mut self, call: &Call) -> Option<Call> {
        Some(call.clone())
    }

    fn retry(&mut self, call: &mut Call, result: &mut Result<Answer, Error>) -> Option<Sleep> {
        self.made += 1;
        if self.made == 1 {
            self.shared.budget.deposit(call.share.id());
        }
        let error = match result {
            Ok(answer) => {
                answer.attempts = self.made;
                call.ledger.has_answer();
                return None;
            }
            Err(error) => error,
        };
        let earlier = self.cause.take();
        let rule = error.row().retry;
        let sent = call.ledger.requests();
        if matches!(rule, Rule::Undelivered | Rule::AsAsked) {
            call.ledger.harmless(sent - self.sent);
        }
        self.sent = sent;
        let write = call.idempotency != Idempotency::NoSideEffects;
        let open = earlier.filter(|earlier| write && earlier.may_have_been_done() || refused_here(call, error));
        let Some(wait) = self.wait_for_another(call, rule, error) else {
            match open {
                // The caller gets the earlier error: the last one alone would say that nothing was done, but the earlier
                // attempt may still be carried out. A DELETE that ends with "not found" is the exception: the record is gone
                // either way.
                Some(earlier) if !(matches!(error, Error::NotFound(_)) && call.rest.method == http::Method::DELETE) => {
                    *error = earlier;
                }
                _ => {}
            }
            return None;
        };
        self.shared.retried.fetch_add(1, Ordering::Relaxed);
        call.waits_for.set(error);
        self.cause = Some(open.unwrap_or_else(|| error.clone()));
        Some(sleep(wait))
    }
}

impl Retry {
    /// Returns how long to wait before another attempt, if there may be one.
    fn wait_for_another(&mut self, call: &Call, rule: Rule, error: &Error) -> Option<Duration> {
        if !self.is_allowed(call, rule) {
            return None;
        }
        let wait = self.wait(error);
        // Whoever waits gets a wait that Zendesk has asked for at once, if it does not fit: a read may have more time, for others.
        let until = if error.retry_after().is_some() { call.wanted_by.min(call.deadline) } else { call.deadline };
        if wait >= usable(until) {
            self.shared.out_of_time.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        if !call.ledger.begin_again(self.shared.settings.attempts) {
            self.shared.out_of_share.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        // The end of a connection is one failure, however many calls it hits, so only the first repetition is charged for.
        if !error.is_already_counted() && !self.shared.budget.withdraw(call.share.id()) {
            self.shared.out_of_budget.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        Some(wait)
    }
}

/// True if the attempt ended inside this process, before anything was sent. A read past its deadline is not counted here: its
/// caller should get the deadline as the reason, not the earlier failure.
fn refused_here(call: &Call, error: &Error) -> bool {
    let write = call.idempotency != Idempotency::NoSideEffects;
    error.row().fate == Fate::Held || write && matches!(error, Error::Deadline { sent: false })
}
