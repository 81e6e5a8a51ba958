//! What is known of a lane's connection: how far it is, and how it ended.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::time::Instant;

use super::connections::Counters;
use crate::error::Chain;

const CONNECTING: u8 = 0;
const HTTP1: u8 = 1;
const HTTP2: u8 = 2;
const ENDED: u8 = 3;
const FAILED: u8 = 4;

/// What a lane's connector tells of its connection.
pub struct Link {
    phase: AtomicU8,
    /// Why no connection came about, and since when that is known.
    failure: Mutex<Option<(Instant, Chain)>>,
    counters: Arc<Counters>,
}

impl Link {
    /// A connection that nobody has asked for yet.
    pub fn new(counters: &Arc<Counters>) -> Self {
        Self { phase: AtomicU8::new(CONNECTING), failure: Mutex::default(), counters: Arc::clone(counters) }
    }

    /// Notes what was agreed on.
    pub fn connected(&self, http2: bool) {
        self.phase.store(if http2 { HTTP2 } else { HTTP1 }, Ordering::SeqCst);
        if http2 {
            self.counters.began();
        }
    }

    /// Notes that the connection takes no more requests.
    pub fn end(&self) {
        if self.phase.swap(ENDED, Ordering::SeqCst) == HTTP2 {
            self.counters.ended();
        }
    }

    /// Notes that no connection came about.
    pub fn fail(&self, chain: Chain) {
        *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), chain));
        self.phase.store(FAILED, Ordering::SeqCst);
    }

    /// Returns why no connection came about, and since when that is known.
    pub fn failure(&self) -> Option<(Instant, Chain)> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Counts an attempt to connect.
    pub fn count<C, E>(&self, began: Instant, outcome: Result<C, E>) -> Result<C, E> {
        self.counters.connected(began.elapsed(), outcome.is_ok());
        outcome
    }

    /// Whether HTTP/1.1 is spoken, where each request has a connection for itself.
    pub fn is_http1(&self) -> bool {
        self.phase.load(Ordering::SeqCst) == HTTP1
    }

    /// Whether it takes no more requests.
    pub fn is_over(&self) -> bool {
        matches!(self.phase.load(Ordering::SeqCst), ENDED | FAILED)
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.end();
    }
}
