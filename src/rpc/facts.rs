//! What is known of a call before its message is read.
//!
//! The server says it once, where a call comes in ([`Terms::facts`]); the layers, the identity and the handlers all read it from
//! here, so that none of them finds out for itself which method is called, by when, or by whom. A handler that is reached without
//! it does not go on with something assumed: that is a defect of the gateway, and is answered as one.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls_pki_types::CertificateDer;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tracing::error;

use super::method::{self, Method};
use crate::config;
use crate::contract;
use crate::error::Error;
use crate::gateway::Place;
use crate::gateway::caller::Caller;
use crate::gateway::origin::Origin;

/// How much later than the gateway's own waits the server ends what does not look at the clock. The waits fail with what they
/// know, such as that a write's outcome is unknown, and that is to reach the caller.
const MOMENT: Duration = Duration::from_millis(25);
/// Most calls at a time of health and reflection: apart from the others, so that a full gateway still says how it is, and
/// bounded, because watching costs memory.
const MOST_COMMON: usize = 1024;

/// See the module.
#[derive(Debug, Clone)]
pub struct Facts {
    /// Which method is called.
    pub method: &'static Method,
    /// Who is at the other end of the connection.
    pub peer: Arc<Peer>,
    /// When the call's headers came.
    pub began: Instant,
    /// When its answer is of no use any more. Whoever watches the health does so as long as the connection lasts.
    pub deadline: Option<Instant>,
    /// What it is called by, where it stands in its trace, and where is counted what it spends.
    pub origin: Origin,
    /// Its place among the calls that are under way. Calls of the contract take it once their message is there.
    pub place: Place,
    /// Who makes it, once that is established.
    pub caller: Option<Caller>,
}

impl Facts {
    /// Returns when the call ends, whatever it waits for.
    pub fn cut(&self) -> Option<Instant> {
        self.deadline.map(|deadline| deadline + MOMENT)
    }

    /// Returns when its answer must have begun if that may take at most `longest`.
    pub fn answer_by(&self, longest: Duration) -> Instant {
        let latest = self.began + longest;
        self.deadline.map_or(latest, |deadline| deadline.min(latest)) + MOMENT
    }
}

/// Who is at the other end of a connection.
#[derive(Debug, Clone)]
pub struct Peer {
    /// Its address.
    pub address: SocketAddr,
    /// The certificates that it proved to own, its own first; they are verified.
    pub certificates: Option<Arc<[CertificateDer<'static>]>>,
}

/// What the server grants every call: so much time, and a place among so many. Cloning shares the places.
#[derive(Debug, Clone)]
pub struct Terms {
    unary: Duration,
    stream: Duration,
    calls: Arc<Semaphore>,
    common: Arc<Semaphore>,
}

impl Terms {
    /// Takes the longest durations and the number of places from the settings.
    pub fn of(settings: &config::Server) -> Self {
        Self {
            unary: settings.unary_deadline,
            stream: settings.stream_deadline,
            calls: Arc::new(Semaphore::new(settings.max_calls)),
            common: Arc::new(Semaphore::new(MOST_COMMON)),
        }
    }

    /// Puts down what is known of a call that comes now and is to be answered within `asked`.
    pub fn facts(&self, method: &'static Method, peer: Arc<Peer>, origin: Origin, asked: Option<Duration>) -> Facts {
        let began = Instant::now();
        let (longest, room) = match (method.is_ours(), method.streaming) {
            (true, false) => (Some(self.unary), &self.calls),
            (true, true) => (Some(self.stream), &self.calls),
            (false, _) => (None, &self.common),
        };
        let deadline = asked.into_iter().chain(longest).min().map(|time| began + time);
        Facts { method, peer, began, deadline, origin, place: Place::within(room), caller: None }
    }

    /// Puts down the same of a call of this process, which no connection brought.
    pub fn local(&self, rpc: &contract::Rpc, caller: Caller) -> Facts {
        let peer = Peer { address: ([127, 0, 0, 1], 0).into(), certificates: None };
        let facts = self.facts(method::of(rpc.path), Arc::new(peer), Origin::default(), None);
        Facts { caller: Some(caller), ..facts }
    }
}

/// Refuses a call that came past whoever had to say `what` of it, and puts the defect into the log.
pub(super) fn absent(what: &'static str) -> Error {
    error!(facts.absent = what, "a defect: a call came to its handler without what the server knows of it");
    Error::Internal { what: "the call came without what the server knows of it" }
}
