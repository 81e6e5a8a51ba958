//! The outbound stack seen from outside: what `/status` shows and the metrics read.

use std::sync::Arc;

use serde::Serialize;

use super::jitter::Jitter;
use super::transport::Occupancy;
use super::{attempt, breaker, deadline, gate, governor, queue, retry};
use crate::config;

/// Handles on the state that the layers of one stack share. Cheap to clone; a snapshot takes each lock for a moment.
#[derive(Debug, Clone)]
pub struct Control {
    /// Calls whose deadline passed.
    pub deadlines: Arc<deadline::Counters>,
    /// The retry budget.
    pub retries: Arc<retry::Retries>,
    /// The request budgets, and the calls that wait for them.
    pub governor: Arc<governor::Governor>,
    /// The permits, and the calls that wait for one.
    pub queue: Arc<queue::Queue>,
    /// The circuits.
    pub breakers: Arc<breaker::Breakers>,
    /// The attempts' time limits.
    pub attempts: Arc<attempt::Attempts>,
    /// Whether changes may be sent.
    pub gate: Arc<gate::Gate>,
}

/// The state of all layers at one moment.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Snapshot {
    /// Calls whose deadline passed.
    pub deadlines: deadline::Snapshot,
    /// The retry budget.
    pub retries: retry::Snapshot,
    /// The request budgets.
    pub governor: governor::Snapshot,
    /// The permits, and how many wait for one.
    pub queue: queue::Snapshot,
    /// The circuits, one per endpoint class.
    pub breakers: Vec<breaker::Snapshot>,
    /// Attempts and how many timed out.
    pub attempts: attempt::Snapshot,
}

impl Control {
    pub(super) fn new(settings: &config::Upstream, jitter: Jitter) -> Self {
        Self {
            deadlines: Arc::default(),
            retries: Arc::new(retry::Retries::new(&settings.retry, jitter)),
            governor: Arc::new(governor::Governor::new(&settings.rate)),
            queue: Arc::new(queue::Queue::new(&settings.queue)),
            breakers: Arc::new(breaker::Breakers::new(&settings.breaker, jitter)),
            attempts: Arc::new(attempt::Attempts::new(&settings.attempt)),
            gate: Arc::default(),
        }
    }

    /// Gives the queue permits by how the connections are occupied.
    pub fn set_occupancy(&self, occupancy: impl Fn() -> Occupancy + Send + Sync + 'static) {
        self.queue.set_occupancy(occupancy);
    }

    /// Returns everything as it is now.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            deadlines: self.deadlines.snapshot(),
            retries: self.retries.snapshot(),
            governor: self.governor.snapshot(),
            queue: self.queue.snapshot(),
            breakers: self.breakers.snapshot(),
            attempts: self.attempts.snapshot(),
        }
    }
}
