//! What is known of a lane's connection: its phase, and why connecting failed.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::time::Instant;

use super::connections::Counters;
use crate::error::ConnectionError;

const CONNECTING: u8 = 0;
const HTTP1: u8 = 1;
const HTTP2: u8 = 2;
const ENDED: u8 = 3;
const FAILED: u8 = 4;

/// What a lane's connector reports about its connection.
pub struct Link {
    phase: AtomicU8,
    /// Why connecting failed, and when.
    failure: Mutex<Option<(Instant, ConnectionError)>>,
    /// Where the connection goes, until somebody has asked: see [`Link::take_peer`].
    peer: Mutex<Option<IpAddr>>,
    counters: Arc<Counters>,
}

impl Link {
    /// A connection that no request has asked for yet.
    pub fn new(counters: &Arc<Counters>) -> Self {
        Self {
            phase: AtomicU8::new(CONNECTING),
            failure: Mutex::default(),
            peer: Mutex::default(),
            counters: Arc::clone(counters),
        }
    }

    /// Notes the negotiated protocol.
    pub fn connected(&self, http2: bool) {
        self.phase.store(if http2 { HTTP2 } else { HTTP1 }, Ordering::SeqCst);
        if http2 {
            self.counters.began();
        }
    }

    /// Notes the address that the connection goes to.
    pub fn reached(&self, peer: Option<IpAddr>) {
        *self.peer.lock().unwrap_or_else(PoisonError::into_inner) = peer;
    }

    /// Returns the address that the connection goes to, once: what is wrong with it is to be told once.
    pub fn take_peer(&self) -> Option<IpAddr> {
        self.peer.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Notes that the connection takes no more requests.
    pub fn end(&self) {
        if self.phase.swap(ENDED, Ordering::SeqCst) == HTTP2 {
            self.counters.ended();
        }
    }

    /// Notes that connecting failed.
    pub fn fail(&self, chain: ConnectionError) {
        *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), chain));
        self.phase.store(FAILED, Ordering::SeqCst);
    }

    /// Returns when connecting failed, and why.
    pub fn failure(&self) -> Option<(Instant, ConnectionError)> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Counts an attempt to connect.
    pub fn count<C, E>(&self, began: Instant, outcome: Result<C, E>) -> Result<C, E> {
        self.counters.connected(began.elapsed(), outcome.is_ok());
        outcome
    }

    /// True if the HTTP/2 connection is there, whether it has taken a request or not.
    pub fn is_http2(&self) -> bool {
        self.phase.load(Ordering::SeqCst) == HTTP2
    }

    /// True if the lane uses HTTP/1.1, where each request has a connection to itself.
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
