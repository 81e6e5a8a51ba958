//! The caller's deadline over everything below: waiting, back-off and every attempt.
//!
//! It sits outermost, so nothing in the stack can outlive the caller, with one exception. A write that was sent is not cut:
//! dropping its connection would not undo it, but would hide its outcome from the audit log and from cache invalidation. After
//! that only the attempt's own time limit ends it.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use futures_util::future::BoxFuture;
use serde::Serialize;
use tokio::time::{Instant, timeout_at};

use super::call::{Answer, Call, Ledger};
use crate::contract::Idempotency;
use crate::error::Error;

/// Calls whose deadline passed.
#[derive(Debug, Default)]
pub struct Counters {
    sent: AtomicU64,
    unsent: AtomicU64,
}

/// What [`Counters`] hold at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Snapshot {
    /// Calls whose deadline passed when Zendesk may have had the request.
    pub passed_after_sending: u64,
    /// Calls whose deadline passed before anything was sent.
    pub passed_before_sending: u64,
}

impl Counters {
    /// Returns what they hold now.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            passed_after_sending: self.sent.load(Ordering::Relaxed),
            passed_before_sending: self.unsent.load(Ordering::Relaxed),
        }
    }

    fn passed(&self, sent: bool) -> Error {
        let counter = if sent { &self.sent } else { &self.unsent };
        counter.fetch_add(1, Ordering::Relaxed);
        Error::Deadline { sent }
    }
}

/// Wraps a service in [`Service`].
#[derive(Debug, Clone)]
pub struct Layer(Arc<Counters>);

impl Layer {
    /// Counts into `counters`.
    pub fn new(counters: &Arc<Counters>) -> Self {
        Self(Arc::clone(counters))
    }
}

impl<S> tower::Layer<S> for Layer {
    type Service = Service<S>;

    fn layer(&self, inner: S) -> Service<S> {
        Service { inner, counters: Arc::clone(&self.0) }
    }
}

/// Ends calls at their deadline.
#[derive(Debug, Clone)]
pub struct Service<S> {
    inner: S,
    counters: Arc<Counters>,
}

impl<S> tower::Service<Call> for Service<S>
where
    S: tower::Service<Call, Response = Answer, Error = Error>,
    S::Future: Send + 'static,
{
    type Response = Answer;
    type Error = Error;
    type Future = BoxFuture<'static, Result<Answer, Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut call: Call) -> Self::Future {
        let counters = Arc::clone(&self.counters);
        let deadline = call.deadline;
        if deadline <= Instant::now() {
            return Box::pin(async move { Err(counters.passed(false)) });
        }
        // The inbound call may make several calls at a time; a ledger of its own tells whether this one was sent.
        let write = call.idempotency != Idempotency::NoSideEffects;
        let ledger = Ledger::of_request(&call.ledger, !write);
        call.ledger = Arc::clone(&ledger);
        ledger.begin();
        let answer = self.inner.call(call);
        Box::pin(async move {
            let mut answer = pin!(answer);
            let result = if let Ok(result) = timeout_at(deadline, answer.as_mut()).await {
                result
            } else {
                // A closed ledger refuses a request that no connection has taken yet, and every further attempt.
                ledger.close();
                if write && ledger.may_have_acted() { answer.await } else { Err(Error::Deadline { sent: false }) }
            };
            result.map_err(|error| match error {
                Error::Deadline { sent } => counters.passed(sent || ledger.may_have_acted()),
                other => other,
            })
        })
    }
}
