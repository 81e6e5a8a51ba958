//! The circuits of all classes, the tickets they hand out, and their snapshots.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;

use super::circuit::{Change, Circuit, Pass, Rules, State};
use crate::config;
use crate::contract::Class;
use crate::error::{Error, Verdict};
use crate::upstream::jitter::Jitter;
use crate::upstream::seconds::seconds;

/// One circuit for each class.
#[derive(Debug)]
pub struct Breakers(Vec<Arc<Breaker>>);

#[derive(Debug)]
struct Breaker {
    class: Class,
    rules: Rules,
    circuit: Mutex<Circuit>,
    opened: AtomicU64,
    probes: AtomicU64,
    refused: AtomicU64,
}

/// One class's circuit at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Snapshot {
    /// The endpoint class.
    pub class: &'static str,
    /// The circuit's state.
    pub state: State,
    /// How long it has been in that state.
    #[serde(serialize_with = "seconds")]
    pub since: Duration,
    /// How long until the next safe call may probe; zero when it may.
    #[serde(serialize_with = "seconds")]
    pub probes_in: Duration,
    /// Failures since the last success.
    pub consecutive_failures: u32,
    /// Successes in the window.
    pub successes: u32,
    /// Failures in the window.
    pub failures: u32,
    /// How often it opened.
    pub opened: u64,
    /// How many probes it let through.
    pub probes: u64,
    /// How many calls it refused.
    pub refused: u64,
}

impl Breakers {
    /// Returns closed circuits.
    pub fn new(settings: &config::Breaker, jitter: Jitter) -> Self {
        let breaker = |class: Class| Breaker {
            class,
            rules: Rules { settings: settings.clone(), jitter, has_reads: class.has_reads() },
            circuit: Mutex::new(Circuit::new(settings)),
            opened: AtomicU64::new(0),
            probes: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        };
        Self(Class::ALL.into_iter().map(breaker).map(Arc::new).collect())
    }

    /// Returns the circuits as they are now.
    pub fn snapshot(&self) -> Vec<Snapshot> {
        self.0.iter().map(|breaker| breaker.snapshot()).collect()
    }

    pub(super) fn admit(&self, class: Class, caller: u64, safe: bool) -> Result<Ticket, Error> {
        let breaker = &self.0[class.index()];
        let (admitted, change) = breaker.circuit().admit(caller, safe);
        breaker.changed(change);
        match admitted {
            Ok(pass) => {
                breaker.probes.fetch_add(u64::from(pass.probe), Ordering::Relaxed);
                Ok(Ticket { breaker: Arc::clone(breaker), pass, settled: false })
            }
            Err(retry_after) => {
                breaker.refused.fetch_add(1, Ordering::Relaxed);
                Err(Error::BreakerOpen { class: class.0, retry_after })
            }
        }
    }
}

impl Breaker {
    fn circuit(&self) -> MutexGuard<'_, Circuit> {
        self.circuit.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn settle(&self, pass: Pass, verdict: Verdict) {
        let change = self.circuit().settle(pass, verdict, &self.rules);
        self.changed(change);
    }

    fn changed(&self, change: Change) {
        let breaker = self.class.0;
        match change {
            Some(State::Open) => {
                self.opened.fetch_add(1, Ordering::Relaxed);
                tracing::warn!(breaker.class = breaker, "circuit breaker opened");
            }
            Some(State::HalfOpen) => tracing::debug!(breaker.class = breaker, "circuit breaker half-open"),
            Some(State::Closed) => tracing::info!(breaker.class = breaker, "circuit breaker closed"),
            None => {}
        }
    }

    fn snapshot(&self) -> Snapshot {
        let circuit = self.circuit();
        let (state, since) = circuit.state();
        let (successes, failures) = circuit.totals();
        Snapshot {
            class: self.class.0,
            state,
            since: since.elapsed(),
            probes_in: circuit.probes_in(),
            consecutive_failures: circuit.consecutive(),
            successes,
            failures,
            opened: self.opened.load(Ordering::Relaxed),
            probes: self.probes.load(Ordering::Relaxed),
            refused: self.refused.load(Ordering::Relaxed),
        }
    }
}

/// A call's permission to go through. Dropped without a verdict it counts as no outcome, but frees a probe's slot.
#[derive(Debug)]
pub struct Ticket {
    breaker: Arc<Breaker>,
    pass: Pass,
    settled: bool,
}

impl Ticket {
    /// Says how the call ended.
    pub(super) fn settle(mut self, verdict: Verdict) {
        self.settled = true;
        self.breaker.settle(self.pass, verdict);
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if !self.settled {
            self.breaker.settle(self.pass, Verdict::Ignore);
        }
    }
}
