//! What a call carries besides its message.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::audit::Trail;
use super::caller::Caller;
use super::drain::Drain;
use super::turns::Turn;
use crate::cache::{Control, Key, Terms};
use crate::contract;
use crate::telemetry::Trace;
use crate::upstream::call::{Ledger, Priority};
use crate::upstream::credential::Credential;

/// What a call carries besides its message: made by the server from the request's metadata, used by the gateway.
#[derive(Debug, Clone)]
pub struct Context {
    /// When the answer is of no use any more.
    pub deadline: Instant,
    /// Who makes the call.
    pub caller: Caller,
    /// Whose authority is used at Zendesk.
    pub credential: Credential,
    /// What the caller accepts from the cache.
    pub control: Control,
    /// What the call has spent upstream.
    pub ledger: Arc<Ledger>,
    /// Where the call stands in its trace.
    pub trace: Trace,
    /// Says when the gateway is leaving.
    pub drain: Drain,
    /// What is put on record about it; only of calls that can change something.
    pub trail: Option<Arc<Trail>>,
    /// The call's turn among those that change the same thing. Whatever goes on for the call holds it, too.
    pub turn: Option<Turn>,
}

impl Context {
    /// Returns the name of the answer to a request.
    pub fn key<R: contract::Request>(&self, request: &R) -> Key {
        Key::new(self.credential.fingerprint(), R::rpc().path, request.encode_to_vec())
    }

    /// Returns a context for work that goes on for at most `time` after the call has been answered.
    #[must_use]
    pub fn detached(&self, time: Duration) -> Self {
        let (deadline, ledger) = (Instant::now() + time, Arc::new(Ledger::default()));
        Self { deadline, ledger, trace: self.trace.detached(), trail: None, ..self.clone() }
    }
}

impl Terms {
    /// Returns the priority that a fetch under these terms has.
    pub fn priority(self) -> Priority {
        if self.background { Priority::Background } else { Priority::Interactive }
    }
}
