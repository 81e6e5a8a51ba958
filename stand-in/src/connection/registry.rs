//! All connections of one stand-in: what they are set to, how many there were, and what can be done to those that are open.

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::Version;
use rustls::HandshakeKind;
use serde::Serialize;

use super::http2::Streams;
use super::socket::{Mute, Socket};
use super::tls::Tls;
use crate::config::{GoAway, Wire};

/// The connections of a stand-in.
///
/// An action on connections concerns those that exist at that moment; new ones work as the settings say.
#[derive(Clone)]
pub struct Connections {
    shared: Arc<Shared>,
}

struct Shared {
    wire: Mutex<Wire>,
    tls: Option<Tls>,
    counts: Counts,
    open: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    /// How many were ever registered, which numbers the next.
    registered: u64,
    rows: HashMap<u64, Open>,
}

/// How many connections there were, and what became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ConnectionCounts {
    /// Connections accepted since the last reset of the counts.
    pub accepted: u64,
    /// Connections open now.
    pub open: u64,
    /// TLS handshakes completed, of every kind.
    pub handshakes: u64,
    /// TLS handshakes that took one more round trip, because the server had to ask for another key share (`HelloRetryRequest`).
    pub handshakes_retried: u64,
    /// TLS handshakes that resumed an earlier session.
    pub handshakes_resumed: u64,
    /// HTTP/2 connections that a GOAWAY was sent on.
    pub goaways: u64,
    /// HTTP/2 streams that were refused with `REFUSED_STREAM`.
    pub refused_streams: u64,
}

#[derive(Default)]
pub(super) struct Counts {
    accepted: AtomicU64,
    handshakes: AtomicU64,
    handshakes_retried: AtomicU64,
    handshakes_resumed: AtomicU64,
    goaways: AtomicU64,
    refused_streams: AtomicU64,
}

/// What the registry knows of one open connection.
struct Open {
    socket: Socket,
    /// Set once it is clear that the connection speaks HTTP/2.
    http2: Option<Arc<Streams>>,
}

impl Connections {
    /// Prepares to serve connections as `wire` says, which includes making a certificate if it asks for one.
    ///
    /// # Errors
    /// If neither HTTP version is on, or no certificate can be made.
    pub fn new(wire: Wire) -> io::Result<Self> {
        if !wire.http1 && !wire.http2 {
            let problem = "wire: http1 and http2 are both off";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, problem));
        }
        let tls = if wire.tls { Some(Tls::new()?) } else { None };
        let shared = Shared { wire: Mutex::new(wire), tls, counts: Counts::default(), open: Mutex::default() };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Connections that are plain HTTP/1.1.
    pub(super) fn plain() -> Self {
        Self::new(Wire::default()).expect("HTTP/1.1 is on, and no certificate is needed")
    }

    /// Changes the settings of connections accepted from now on. Whether they are encrypted was settled at the start.
    pub fn change(&self, change: impl FnOnce(&mut Wire)) {
        change(&mut lock(&self.shared.wire));
    }

    /// Resets all open connections (TCP RST), with every stream on them.
    pub fn reset(&self) {
        lock(&self.shared.open).rows.values().for_each(|open| open.socket.reset());
    }

    /// Makes all open connections fall silent in both directions, without ending them.
    ///
    /// # Errors
    /// If the system cannot do it: [`Mute::Dropped`] needs Linux.
    pub fn mute(&self, kind: Mute) -> io::Result<()> {
        lock(&self.shared.open).rows.values().try_for_each(|open| open.socket.mute(kind))
    }

    /// Sends GOAWAY on all open HTTP/2 connections.
    pub fn go_away(&self, kind: GoAway) {
        let table = lock(&self.shared.open);
        table.rows.values().filter_map(|open| open.http2.as_ref()).for_each(|streams| streams.go_away(kind));
    }

    /// Returns how many connections there were, and what became of them.
    pub fn counts(&self) -> ConnectionCounts {
        let counts = &self.shared.counts;
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        ConnectionCounts {
            accepted: read(&counts.accepted),
            open: lock(&self.shared.open).rows.len() as u64,
            handshakes: read(&counts.handshakes),
            handshakes_retried: read(&counts.handshakes_retried),
            handshakes_resumed: read(&counts.handshakes_resumed),
            goaways: read(&counts.goaways),
            refused_streams: read(&counts.refused_streams),
        }
    }

    /// Starts counting anew; open connections stay counted as open.
    pub fn reset_counts(&self) {
        let Counts { accepted, handshakes, handshakes_retried, handshakes_resumed, goaways, refused_streams } =
            &self.shared.counts;
        for count in [accepted, handshakes, handshakes_retried, handshakes_resumed, goaways, refused_streams] {
            count.store(0, Ordering::Relaxed);
        }
    }

    /// Returns the certificate of the authority that signed the stand-in's, in PEM, if it speaks TLS.
    pub fn ca_pem(&self) -> Option<&str> {
        self.shared.tls.as_ref().map(|tls| tls.ca.as_str())
    }

    pub(super) fn wire(&self) -> Wire {
        lock(&self.shared.wire).clone()
    }

    pub(super) fn tls(&self) -> Option<&Tls> {
        self.shared.tls.as_ref()
    }

    pub(super) fn count_handshake(&self, kind: Option<HandshakeKind>) {
        let counts = &self.shared.counts;
        counts.handshakes.fetch_add(1, Ordering::Relaxed);
        match kind {
            Some(HandshakeKind::FullWithHelloRetryRequest) => {
                counts.handshakes_retried.fetch_add(1, Ordering::Relaxed);
            }
            Some(HandshakeKind::Resumed) => {
                counts.handshakes_resumed.fetch_add(1, Ordering::Relaxed);
            }
            Some(HandshakeKind::Full) | None => {}
        }
    }

    pub(super) fn count_goaway(&self) {
        self.shared.counts.goaways.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count_refused_stream(&self) {
        self.shared.counts.refused_streams.fetch_add(1, Ordering::Relaxed);
    }

    /// Registers a connection until the entry is dropped.
    pub(super) fn enter(&self, socket: Socket) -> Entry {
        self.shared.counts.accepted.fetch_add(1, Ordering::Relaxed);
        let mut table = lock(&self.shared.open);
        table.registered += 1;
        let number = table.registered;
        table.rows.insert(number, Open { socket, http2: None });
        drop(table);
        Entry { connections: self.clone(), number }
    }
}

/// The place of one connection among the others.
pub(super) struct Entry {
    connections: Connections,
    number: u64,
}

impl Entry {
    /// Says that the connection speaks HTTP/2.
    pub(super) fn speaks_http2(&self, streams: Arc<Streams>) {
        if let Some(open) = lock(&self.connections.shared.open).rows.get_mut(&self.number) {
            open.http2 = Some(streams);
        }
    }
}

impl Drop for Entry {
    /// Closes the connection, even if handlers that go on without their client hold handles to it.
    fn drop(&mut self) {
        let left = lock(&self.connections.shared.open).rows.remove(&self.number);
        if let Some(open) = left {
            open.socket.close();
        }
    }
}

/// Returns the protocols that `wire` offers by ALPN, preferred first.
pub(super) fn protocols(wire: &Wire) -> Vec<Vec<u8>> {
    let offered = [(wire.http2, &b"h2"[..]), (wire.http1, b"http/1.1")];
    offered.into_iter().filter(|(on, _)| *on).map(|(_, name)| name.to_vec()).collect()
}

/// Returns the HTTP version to speak once ALPN has chosen `protocol`, or none if the client did not offer any.
pub(super) fn version(wire: &Wire, protocol: Option<&[u8]>) -> Version {
    match protocol {
        Some(b"h2") => Version::HTTP_2,
        None if !wire.http1 => Version::HTTP_2,
        _ => Version::HTTP_11,
    }
}

/// Every change under these locks is a single step, so a poisoned lock can be used.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
