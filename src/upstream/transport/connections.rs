//! The connections to Zendesk, counted.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde::Serialize;

use crate::upstream::seconds::seconds;

/// What happened to connections.
#[derive(Debug, Default)]
pub struct Counters {
    opened: AtomicU64,
    failed: AtomicU64,
    connecting_micros: AtomicU64,
    ended: AtomicU64,
    moved: AtomicU64,
    shared: AtomicU64,
}

/// The connections at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Snapshot {
    /// Connections that were opened, over either protocol.
    pub opened: u64,
    /// Attempts to connect that failed.
    pub failed: u64,
    /// How long successful attempts took in all: name, TCP and TLS.
    #[serde(serialize_with = "seconds")]
    pub connecting: Duration,
    /// HTTP/2 connections in use.
    pub http2_open: u64,
    /// HTTP/2 connections that ended, or were given up.
    pub http2_ended: u64,
    /// Age of the oldest HTTP/2 connection in use.
    #[serde(serialize_with = "seconds")]
    pub http2_oldest: Duration,
    /// Requests under way on HTTP/2 connections.
    pub http2_requests: usize,
    /// Requests that an HTTP/2 connection takes at a time: the number learnt, or else assumed.
    pub http2_streams: usize,
    /// Requests that were sent again on another connection, because the one before had provably not processed them.
    pub moved: u64,
}

impl Counters {
    pub(super) fn connected(&self, took: Duration, well: bool) {
        if well {
            self.opened.fetch_add(1, Ordering::Relaxed);
            let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
            self.connecting_micros.fetch_add(micros, Ordering::Relaxed);
        } else {
            self.failed.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn began(&self) {
        self.shared.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn ended(&self) {
        self.ended.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn moved(&self) {
        self.moved.fetch_add(1, Ordering::Relaxed);
    }

    /// Returns the counts; what only the pool knows is added there.
    pub(super) fn snapshot(&self) -> Snapshot {
        let ended = self.ended.load(Ordering::Relaxed);
        Snapshot {
            opened: self.opened.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
            connecting: Duration::from_micros(self.connecting_micros.load(Ordering::Relaxed)),
            http2_open: self.shared.load(Ordering::Relaxed).saturating_sub(ended),
            http2_ended: ended,
            http2_oldest: Duration::ZERO,
            http2_requests: 0,
            http2_streams: 0,
            moved: self.moved.load(Ordering::Relaxed),
        }
    }
}
