//! What a call carries besides its message.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::audit::Trail;
use super::caller::Caller;
use super::drain::Drain;
use super::place::PlaceRef;
use super::turns::Turn;
use crate::cache::{Control, Key, Terms, Want};
use crate::contract;
use crate::telemetry::Trace;
use crate::upstream::call::{Ledger, Priority};
use crate::upstream::credential::Credential;

/// What a call carries besides its message. Made from the request's metadata and from what the server knows of the call.
#[derive(Debug, Clone)]
pub struct Context {
    /// When the call must have been answered.
    pub deadline: Instant,
    /// Who makes the call.
    pub caller: Caller,
    /// The credential for the calls to Zendesk.
    pub credential: Credential,
    /// The call's place, which its reply is charged to.
    pub place: PlaceRef,
    /// What the caller accepts from the cache.
    pub control: Control,
    /// Counts the call's upstream requests.
    pub ledger: Arc<Ledger>,
    /// Where the call stands in its trace.
    pub trace: Trace,
    /// Says when the gateway shuts down.
    pub drain: Drain,
    /// The audit trail; none for calls that only read.
    pub trail: Option<Arc<Trail>>,
    /// The call's turn among calls that change the same thing. Work that goes on after the call holds a clone, too.
    pub turn: Option<Turn>,
}

impl Context {
    /// Returns the cache key of the answer to a request.
    pub fn key<R: contract::Request>(&self, request: &R) -> Key {
        Key::new(self.credential.fingerprint(), R::rpc().path, request.encode_to_vec())
    }

    /// Returns who wants the answer to a read, and by when.
    pub fn want(&self) -> Want {
        Want { by: self.deadline, share: self.caller.share().clone() }
    }

    /// Returns a context for work that goes on for at most `time` after the call has been answered. It has a ledger of its
    /// own and no audit trail.
    #[must_use]
    pub fn detached(&self, time: Duration) -> Self {
        let (deadline, ledger) = (Instant::now() + time, Arc::new(Ledger::default()));
        Self { deadline, ledger, trace: self.trace.detached(), trail: None, ..self.clone() }
    }
}

impl Terms {
    /// Returns the priority of a fetch under these terms.
    pub fn priority(&self) -> Priority {
        if self.background { Priority::Background } else { Priority::Interactive }
    }
}
