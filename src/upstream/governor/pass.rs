//! A call's leave to be sent: a guard, so that budget reserved for a call that goes away comes back.

use std::sync::Arc;

use tokio::time::Instant;

use super::state::Need;
use super::waiting::Governor;
use crate::error::Error;
use crate::upstream::call::{Answer, Ledger};

/// A call's leave to be sent.
#[derive(Debug)]
pub struct Pass {
    governor: Option<Arc<Governor>>,
    need: Need,
    /// The buckets that it is counted in.
    places: Vec<usize>,
    asked: Instant,
    ledger: Arc<Ledger>,
    /// What the ledger said when the pass was made: more than that means that the call was sent.
    sent_before: u32,
}

impl Pass {
    /// Returns a pass for a request that `places` count already.
    pub fn new(governor: &Arc<Governor>, need: Need, places: Vec<usize>, asked: Instant, ledger: Arc<Ledger>) -> Self {
        let sent_before = ledger.requests();
        Self { governor: Some(Arc::clone(governor)), need, places, asked, ledger, sent_before }
    }

    /// Learns from how the call ended.
    pub fn settle(mut self, result: &Result<Answer, Error>) {
        self.end(Some(result));
    }

    /// Returns what it stands for, which nobody counts back any more.
    pub fn defuse(mut self) -> (Need, Vec<usize>, Instant) {
        self.governor = None;
        (self.need.clone(), std::mem::take(&mut self.places), self.asked)
    }

    fn end(&mut self, result: Option<&Result<Answer, Error>>) {
        if let Some(governor) = self.governor.take() {
            let sent = self.ledger.requests() > self.sent_before;
            governor.ended(&self.need, &self.places, self.asked, sent, result);
        }
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        self.end(None);
    }
}
