//! The connections to Zendesk, counted.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde::Serialize;

use super::end::End;
use crate::upstream::seconds::seconds;

/// Is told of each HTTP/2 connection that is used no more: why, and how old it was.
type Ended = dyn Fn(End, Duration) + Send + Sync;

/// What happened to connections.
#[derive(Default)]
pub struct Counters {
    opened: AtomicU64,
    failed: AtomicU64,
    connecting_micros: AtomicU64,
    ended: [AtomicU64; End::ALL.len()],
    on_end: OnceLock<Box<Ended>>,
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
    /// HTTP/2 connections that are used no more, by [`End`] in the order of [`End::ALL`].
    pub http2_ended: [u64; End::ALL.len()],
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

    pub(super) fn ended(&self, why: End, age: Duration) {
        self.ended[why as usize].fetch_add(1, Ordering::Relaxed);
        if let Some(tell) = self.on_end.get() {
            tell(why, age);
        }
    }

    pub(super) fn on_end(&self, tell: impl Fn(End, Duration) + Send + Sync + 'static) {
        drop(self.on_end.set(Box::new(tell)));
    }

    pub(super) fn moved(&self) {
        self.moved.fetch_add(1, Ordering::Relaxed);
    }

    /// Returns the counts; what only the pool knows is added there.
    pub(super) fn snapshot(&self) -> Snapshot {
        let ended = self.ended.each_ref().map(|ended| ended.load(Ordering::Relaxed));
        Snapshot {
            opened: self.opened.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
            connecting: Duration::from_micros(self.connecting_micros.load(Ordering::Relaxed)),
            http2_open: self.shared.load(Ordering::Relaxed).saturating_sub(ended.iter().sum()),
            http2_ended: ended,
            http2_oldest: Duration::ZERO,
            http2_requests: 0,
            http2_streams: 0,
            moved: self.moved.load(Ordering::Relaxed),
        }
    }
}
