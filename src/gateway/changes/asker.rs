//! Asks for the changes that a call wants.

use std::sync::Arc;

use tokio::sync::Notify;

use super::feed::{Page, Shared, Want};
use super::poller::Poller;
use crate::error::{Error, Result};
use crate::gateway::context::Context;
use crate::gateway::read::Reads;
use crate::rest::changes::From;
use crate::telemetry::Trace;
use crate::upstream::credential::Credential;

/// The feeds of all credentials, by their fingerprints. Clones share them.
#[derive(Clone)]
pub struct Feeds(Arc<Shared>);

impl Feeds {
    pub(in crate::gateway) fn new(reads: Reads) -> Self {
        Self(Arc::new(Shared::new(reads)))
    }

    /// Returns what asks for the changes that a call wants.
    pub fn asker(&self, context: &Context) -> Asker {
        Asker {
            shared: Arc::clone(&self.0),
            credential: context.credential.clone(),
            trace: context.trace.detached(),
            caller: context.caller.share().id(),
        }
    }
}

/// Asks for the changes that one call wants.
pub struct Asker {
    shared: Arc<Shared>,
    credential: Credential,
    trace: Trace,
    caller: u64,
}

impl Asker {
    /// Returns the page from a place, once there is one after the last.
    pub async fn next(&self, from: &From, last: Option<&Page>) -> Result<Arc<Page>> {
        let Self { shared, credential, trace, caller } = self;
        let begin = |wake: Arc<Notify>| {
            tokio::spawn(Poller::new(shared, credential.fingerprint(), &wake).run());
        };
        let (receiver, wake) = shared.want(&Want { credential, trace, caller: *caller, from, last }, begin);
        let _leaving = Leaving(wake);
        receiver.await.unwrap_or(Err(Error::ShuttingDown))
    }
}

/// Tells the poller, when dropped, that somebody may have left.
struct Leaving(Arc<Notify>);

impl Drop for Leaving {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}
