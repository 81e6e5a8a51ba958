//! The facts of a call that are known before its message is read.
//!
//! The server collects them once, where a call comes in ([`Terms::facts`]). The layers, the identity and the handlers all read
//! them from here, so none of them works out for itself the method, the deadline or the caller. A handler that is reached
//! without them assumes nothing: that is a defect of the gateway, answered as an internal error.

use std::net::SocketAddr;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rustls_pki_types::CertificateDer;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::error;

use super::last_key::LastKey;
use super::method::{self, Method};
use crate::config;
use crate::contract;
use crate::deadline::way_home;
use crate::error::Error;
use crate::gateway::caller::Caller;
use crate::gateway::origin::Origin;
use crate::gateway::{Drain, Place, Usage};
use crate::share::Share;

/// How long after a call's deadline the server cuts the call. The gateway's own waits end before the deadline with a better error,
/// such as that a write's outcome is unknown.
const MOMENT: Duration = Duration::from_millis(25);
/// Most health checks, and most health watches, of one connection that compete with nobody: whoever has a connection can check and
/// watch the health, whatever others do.
const OWN: usize = 2;
/// Most health checks at a time beyond those. A check is over at once unless its peer does not read the answer.
const MOST_CHECKS: usize = 1024;
/// Most health watches at a time beyond those of [`OWN`], for proxies that carry many callers. One costs about 8 KiB.
const MOST_WATCHES: usize = 1024;
/// Most calls at a time of reflection, and of what this server does not serve.
const MOST_OTHERS: usize = 1024;

/// The facts of one call: see the module.
#[derive(Debug, Clone)]
pub struct Facts {
    /// The method that is called.
    pub method: &'static Method,
    /// Who is at the other end of the connection.
    pub peer: Arc<Peer>,
    /// When the call's headers came.
    pub began: Instant,
    /// When the call must have been answered. None for calls of health and reflection without a timeout: these may last as long
    /// as the connection.
    pub deadline: Option<Instant>,
    /// The call's request id, trace and ledger.
    pub origin: Origin,
    /// The call's place among the calls under way. Calls of the contract take it once their message is there.
    pub place: Place,
    /// The caller, once authenticated.
    pub caller: Option<Caller>,
}

impl Facts {
    /// Returns when the gateway answers at the latest, so that the answer reaches the caller before its own timer ends the call.
    pub fn wanted_by(&self) -> Option<Instant> {
        let deadline = self.deadline?;
        deadline.checked_sub(way_home(deadline.saturating_duration_since(self.began)))
    }

    /// Returns when the server cuts the call, whatever it waits for.
    pub fn cut_at(&self) -> Option<Instant> {
        self.deadline.map(|deadline| deadline + MOMENT)
    }

    /// Returns when the answer must have begun: `longest` after the call's headers, or at its deadline if that is sooner.
    pub fn answer_by(&self, longest: Duration) -> Instant {
        let latest = self.began + longest;
        self.deadline.map_or(latest, |deadline| deadline.min(latest)) + MOMENT
    }
}

/// Who is at the other end of a connection.
#[derive(Debug)]
pub struct Peer {
    /// Its address.
    pub address: SocketAddr,
    /// The verified certificate chain that the peer presented, its own certificate first.
    pub certificates: Option<Arc<[CertificateDer<'static>]>>,
    /// Its connection.
    pub connection: Connection,
    /// The share of this address, where callers are not authenticated; looked up by the first call.
    pub share: OnceLock<Share>,
    /// The API key of its last call.
    pub last_key: LastKey,
}

impl Peer {
    /// Returns the peer at an address, with the certificates that it presented.
    pub fn new(
        address: SocketAddr,
        certificates: Option<Arc<[CertificateDer<'static>]>>,
        connection: Connection,
    ) -> Self {
        Self { address, certificates, connection, share: OnceLock::new(), last_key: LastKey::default() }
    }
}

/// What the calls of one connection share. Clones are the same connection.
#[derive(Debug, Clone)]
pub struct Connection {
    /// Its own places for checking and for watching the health.
    checks: Arc<Semaphore>,
    watches: Arc<Semaphore>,
    /// Whether it is in use.
    pub usage: Arc<Usage>,
    /// Cancelled when the connection has to make room for another, so that what is no use of it ends.
    pub leave: CancellationToken,
    /// Cancelled when the gateway shuts down and waits no longer for the calls that are left.
    pub over: CancellationToken,
    /// Tells the connection's streams when to end, if another replica forwards them and shuts down by itself.
    pub drain: Option<Drain>,
    /// True once the replica at its other end has proved that it belongs to the fleet.
    pub proved: Arc<AtomicBool>,
}

impl Connection {
    /// Has its calls end when all are to end.
    #[must_use]
    pub fn ending_with(self, drain: &Drain) -> Self {
        // A part of its own: calls that wait for the end take a lock to say so.
        Self { over: drain.over().child_token(), ..self }
    }

    /// Has its streams end when `drain` begins.
    #[must_use]
    pub fn draining(self, drain: Drain) -> Self {
        Self { drain: Some(drain), ..self }
    }
}

impl Default for Connection {
    fn default() -> Self {
        Self {
            checks: Arc::new(Semaphore::new(OWN)),
            watches: Arc::new(Semaphore::new(OWN)),
            usage: Arc::default(),
            leave: CancellationToken::new(),
            over: CancellationToken::new(),
            drain: None,
            proved: Arc::default(),
        }
    }
}

/// What the server grants every call: a longest duration, and a place among a limited number. Clones share the places.
///
/// Health and reflection are counted apart from the contract's calls, and from each other: a full gateway still answers checks.
#[derive(Debug, Clone)]
pub struct Terms {
    unary_timeout: Duration,
    stream_timeout: Duration,
    calls: Arc<Semaphore>,
    max_calls: usize,
    checks: Arc<Semaphore>,
    watches: Arc<Semaphore>,
    others: Arc<Semaphore>,
}

impl Terms {
    /// Takes the longest durations and the number of places from the settings.
    pub fn of(settings: &config::Server) -> Self {
        Self {
            unary_timeout: settings.unary_deadline,
            stream_timeout: settings.stream_deadline,
            calls: Arc::new(Semaphore::new(settings.max_calls)),
            max_calls: settings.max_calls,
            checks: Arc::new(Semaphore::new(MOST_CHECKS)),
            watches: Arc::new(Semaphore::new(MOST_WATCHES)),
            others: Arc::new(Semaphore::new(MOST_OTHERS)),
        }
    }

    /// Returns the facts of a call that comes now. `asked` is the caller's timeout, if it sent one.
    pub fn facts(&self, method: &'static Method, peer: Arc<Peer>, origin: Origin, asked: Option<Duration>) -> Facts {
        let began = Instant::now();
        let (longest, place) = match (method.is_ours(), method.streaming) {
            (true, false) => (Some(self.unary_timeout), Place::shared_out(&self.calls, self.max_calls)),
            (true, true) => (Some(self.stream_timeout), Place::shared_out(&self.calls, self.max_calls)),
            (false, _) => (None, self.beside_the_contract(method, &peer.connection)),
        };
        let deadline = asked.into_iter().chain(longest).min().map(|time| began + time);
        origin.ledger.changes(method.rpc().is_some_and(contract::Rpc::changes));
        Facts { method, peer, began, deadline, origin, place, caller: None }
    }

    /// Returns the place of a call that is none of the contract's.
    fn beside_the_contract(&self, method: &Method, connection: &Connection) -> Place {
        match (method.quiet, method.streaming) {
            (true, false) => {
                Place::on_connection(&connection.checks, &self.checks, "too many health checks are not read")
            }
            (true, true) => {
                let full = "too many health watches at a time; Health/Check is still answered";
                Place::on_connection(&connection.watches, &self.watches, full)
            }
            (false, _) => Place::within(&self.others),
        }
    }

    /// Returns the facts of a call that this process makes itself, without a connection.
    pub fn local(&self, rpc: &contract::Rpc, caller: Caller) -> Facts {
        let peer = Peer::new(([127, 0, 0, 1], 0).into(), None, Connection::default());
        let facts = self.facts(method::of(rpc.path), Arc::new(peer), Origin::default(), None);
        Facts { caller: Some(caller), ..facts }
    }
}

/// Returns the error for a call without the fact `what`, and logs it: the layer that should have added the fact was skipped.
pub(super) fn absent(what: &'static str) -> Error {
    error!(facts.absent = what, "a defect: a call came to its handler without what the server knows of it");
    Error::Internal { what: "the call came without what the server knows of it" }
}
