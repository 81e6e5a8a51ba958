//! What is known of a lane's connection: its phase, its age, why connecting failed and why it ended.

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::task::yield_now;
use tokio::time::Instant;

use super::connections::Counters;
use super::end::End;
use crate::error::ConnectionError;
use crate::upstream::client::IDLE_TIMEOUT;
use crate::upstream::client::received::Received;

const CONNECTING: u8 = 0;
const HTTP1: u8 = 1;
const HTTP2: u8 = 2;
const ENDED: u8 = 3;
const FAILED: u8 = 4;

/// What a lane's connector reports about its connection.
pub struct Link {
    phase: AtomicU8,
    born: Instant,
    /// When a part of an answer was last received, in milliseconds since `born`; 0 for never.
    heard: AtomicU64,
    /// Whether new requests go on other connections.
    retired: AtomicBool,
    /// Why connecting failed, and when.
    failure: Mutex<Option<(Instant, ConnectionError)>>,
    /// Where the connection goes, until somebody has asked: see [`Link::take_peer`].
    peer: Mutex<Option<IpAddr>>,
    /// Where the connection's tasks run: on the thread of the call that it was handed to, whoever sends on it later.
    runtime: OnceLock<Handle>,
    /// When something last came, whatever it was.
    received: Arc<Received>,
    counters: Arc<Counters>,
}

impl Link {
    /// A connection that no request has asked for yet.
    pub fn new(counters: &Arc<Counters>) -> Self {
        Self {
            phase: AtomicU8::new(CONNECTING),
            born: Instant::now(),
            heard: AtomicU64::new(0),
            retired: AtomicBool::new(false),
            failure: Mutex::default(),
            peer: Mutex::default(),
            runtime: OnceLock::new(),
            received: Received::new(),
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

    /// Notes that the connection is handed to the client here.
    pub fn runs_here(&self) {
        let _ = self.runtime.set(Handle::current());
    }

    /// Completes when the tasks of the connection have had so many turns, each after the thread has looked for what has come from
    /// peers. While their thread is busy, as with large answers, what they do not do says nothing of the peer.
    pub async fn has_turns(&self, turns: usize) {
        let Some(runtime) = self.runtime.get() else { return };
        let turns = async move {
            for _ in 0..turns {
                yield_now().await;
            }
        };
        if Handle::current().id() == runtime.id() {
            turns.await;
        } else {
            // It fails if the thread has ended, and the connection with it.
            drop(runtime.spawn(turns).await);
        }
    }

    /// Returns the address that the connection goes to, once: what is wrong with it is to be told once.
    pub fn take_peer(&self) -> Option<IpAddr> {
        self.peer.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Notes that the connection takes no more requests.
    pub fn end(&self, why: End) {
        if self.phase.swap(ENDED, Ordering::SeqCst) == HTTP2 {
            let age = match why {
                // Nobody saw when.
                End::Idle | End::Closed => self.heard_at() - self.born,
                _ => self.age(),
            };
            self.counters.ended(why, age);
        }
    }

    /// Notes that the client has closed the connection since the last request.
    pub fn found_closed(&self) {
        self.end(if self.heard_at().elapsed() >= IDLE_TIMEOUT { End::Idle } else { End::Closed });
    }

    /// Sends new requests to other connections.
    pub fn retire(&self) {
        self.retired.store(true, Ordering::SeqCst);
    }

    /// How long it exists.
    pub fn age(&self) -> Duration {
        self.born.elapsed()
    }

    /// Milliseconds since it was made, from 1.
    pub fn now(&self) -> u64 {
        u64::try_from(self.age().as_millis()).unwrap_or(u64::MAX).saturating_add(1)
    }

    /// Returns what notes when something comes on the connection.
    pub fn received(&self) -> &Arc<Received> {
        &self.received
    }

    /// Notes that a part of an answer was received. Returns whether it is the first.
    pub fn hear(&self, now: u64) -> bool {
        self.heard.swap(now, Ordering::SeqCst) == 0
    }

    /// True if a part of an answer was ever received.
    pub fn has_heard(&self) -> bool {
        self.heard.load(Ordering::SeqCst) > 0
    }

    /// When a part of an answer was last received.
    pub fn heard_at(&self) -> Instant {
        self.born + Duration::from_millis(self.heard.load(Ordering::SeqCst))
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

    /// True if the HTTP/2 connection was there and has ended.
    pub fn has_ended(&self) -> bool {
        self.phase.load(Ordering::SeqCst) == ENDED
    }

    /// Whether it takes no more requests.
    pub fn is_over(&self) -> bool {
        self.retired.load(Ordering::SeqCst) || matches!(self.phase.load(Ordering::SeqCst), ENDED | FAILED)
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.end(End::Replaced);
    }
}
