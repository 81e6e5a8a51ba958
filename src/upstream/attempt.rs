//! The time limit of one attempt.
//!
//! It sits below the breaker and the retries, so that they see an attempt without an answer as a failure like any other. It
//! must not blame Zendesk for a short deadline: an attempt that the caller's deadline cut short ends with [`Error::Deadline`],
//! which is neither retried nor counted by the breaker; only the gateway's own limit makes an [`Error::AttemptTimeout`].
//! Nor for what the gateway itself takes to read an answer that has come in whole: only the caller's deadline ends that.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::future::BoxFuture;
use serde::Serialize;
use tokio::time::timeout;

use super::call::{Answer, Call};
use crate::config;
use crate::contract::Idempotency;
use crate::deadline::usable;
use crate::error::{ConnectionError, Error};

/// The time limits of attempts, and counts of attempts started and timed out.
#[derive(Debug)]
pub struct Attempts {
    read_timeout: Duration,
    write_timeout: Duration,
    started: AtomicU64,
    timed_out: AtomicU64,
    warned: AtomicU64,
}

/// What [`Attempts`] counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Snapshot {
    /// Attempts begun.
    pub started: u64,
    /// Attempts that the gateway's own limit ended.
    pub timed_out: u64,
    /// Answers that said that Zendesk ignored a part of the request: `x-zendesk-api-warn`.
    pub warned: u64,
}

impl Attempts {
    /// Takes the limits from the settings.
    pub fn new(settings: &config::Attempt) -> Self {
        let config::Attempt { read_timeout, write_timeout } = *settings;
        Self {
            read_timeout,
            write_timeout,
            started: AtomicU64::new(0),
            timed_out: AtomicU64::new(0),
            warned: AtomicU64::new(0),
        }
    }

    /// Returns what was counted so far.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            started: self.started.load(Ordering::Relaxed),
            timed_out: self.timed_out.load(Ordering::Relaxed),
            warned: self.warned.load(Ordering::Relaxed),
        }
    }

    /// Returns how long an attempt may take, and whether that is our own limit rather than the caller's.
    fn limit(&self, call: &Call) -> (Duration, bool) {
        if call.idempotency != Idempotency::NoSideEffects {
            return (self.write_timeout, true);
        }
        let usable = usable(call.deadline);
        if self.read_timeout <= usable { (self.read_timeout, true) } else { (usable, false) }
    }
}

/// Wraps a service in [`Service`].
#[derive(Debug, Clone)]
pub struct Layer(Arc<Attempts>);

impl Layer {
    /// Uses the limits of `attempts`, and counts there.
    pub fn new(attempts: &Arc<Attempts>) -> Self {
        Self(Arc::clone(attempts))
    }
}

impl<S> tower::Layer<S> for Layer {
    type Service = Service<S>;

    fn layer(&self, inner: S) -> Service<S> {
        Service { inner, attempts: Arc::clone(&self.0) }
    }
}

/// Ends attempts that take too long.
#[derive(Debug, Clone)]
pub struct Service<S> {
    inner: S,
    attempts: Arc<Attempts>,
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

    fn call(&mut self, call: Call) -> Self::Future {
        let attempts = Arc::clone(&self.attempts);
        attempts.started.fetch_add(1, Ordering::Relaxed);
        let (limit, mut ours) = attempts.limit(&call);
        let (write, deadline) = (call.idempotency != Idempotency::NoSideEffects, call.deadline);
        let ledger = Arc::clone(&call.ledger);
        let before = ledger.requests();
        ledger.begins();
        call.waits_for.set(&ledger.too_late());
        let exchange = self.inner.call(call);
        Box::pin(async move {
            let mut exchange = pin!(exchange);
            let mut outcome = timeout(limit, exchange.as_mut()).await;
            if outcome.is_err() && ours && ledger.has_come() {
                ours = false;
                // What a write has done is told, however late.
                outcome = if write { Ok(exchange.await) } else { timeout(usable(deadline), exchange).await };
            }
            ledger.ends();
            // The timeout has dropped the exchange: a request that no connection has taken yet will never be sent.
            let sent = ledger.requests() > before;
            match outcome {
                Ok(result) => {
                    if result.as_ref().is_ok_and(|answer| answer.warning.is_some()) {
                        attempts.warned.fetch_add(1, Ordering::Relaxed);
                    }
                    result
                }
                Err(_) if ours => {
                    attempts.timed_out.fetch_add(1, Ordering::Relaxed);
                    let unsent = || Error::Connect(ConnectionError::new("no connection took the request in time"));
                    Err(if sent { Error::AttemptTimeout } else { unsent() })
                }
                // Zendesk has answered in time.
                Err(_) if !write && ledger.has_come() => Err(Error::DeadlineInReading),
                Err(_) => Err(Error::Deadline { sent }),
            }
        })
    }
}
