//! The phase of a gateway's life, which decides whether new calls should come to it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

/// Whether new calls should come here.
#[derive(Clone, Debug, Default)]
pub struct Readiness(Arc<AtomicU8>);

/// The phases of a gateway's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Not serving yet.
    Starting,
    /// Serving.
    Serving,
    /// Finishing the calls under way.
    Draining,
}

impl Readiness {
    /// Says that calls are answered from now on.
    pub fn serving(&self) {
        self.0.store(1, Ordering::Relaxed);
    }

    /// Says that calls are not answered as they should be, until [`serving`](Self::serving) is said again.
    pub fn waiting(&self) {
        self.0.store(0, Ordering::Relaxed);
    }

    /// Says that no new calls should come.
    pub fn draining(&self) {
        self.0.store(2, Ordering::Relaxed);
    }

    /// Returns the phase.
    pub fn phase(&self) -> Phase {
        match self.0.load(Ordering::Relaxed) {
            0 => Phase::Starting,
            1 => Phase::Serving,
            _ => Phase::Draining,
        }
    }
}
