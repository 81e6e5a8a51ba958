//! Asks Zendesk for changes: one task for each credential, as long as somebody wants them.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use super::feed::{Feed, Shared};
use crate::cache::{WaitsFor, carried_out};
use crate::error::Result;
use crate::gateway::read::ReadContext;
use crate::rest::changes::{Changed, From, page, read};
use crate::share::Share;
use crate::upstream::call::{Ledger, Priority};

/// Longest that one request may take, with its retries and its wait for budget.
const LONGEST: Duration = Duration::from_secs(30);

/// Asks with one credential. Dropping it, however it ends, tells those who still wait that nobody asks any more.
pub struct Poller {
    shared: Arc<Shared>,
    key: u128,
    wake: Arc<Notify>,
    over: bool,
}

impl Poller {
    /// Returns the poller of the feed with this key.
    pub fn new(shared: &Arc<Shared>, key: u128, wake: &Arc<Notify>) -> Self {
        Self { shared: Arc::clone(shared), key, wake: Arc::clone(wake), over: false }
    }

    /// Asks until nobody wants anything.
    pub async fn run(mut self) {
        while let Some(due) = self.shared.next(self.key) {
            if due > Instant::now() {
                tokio::select! {
                    () = sleep_until(due) => {}
                    () = self.wake.notified() => {}
                }
                continue;
            }
            let Some(from) = self.shared.begin(self.key) else { continue };
            let outcome = self.ask(&from).await;
            self.shared.with(self.key, |feed| feed.end(outcome));
        }
        self.over = true;
    }

    /// Sends one request. Returns none if everybody who wanted it has left.
    async fn ask(&self, from: &From) -> Option<Result<Changed>> {
        let (credential, trace) = self.shared.with(self.key, |feed| (feed.credential.clone(), feed.trace.clone()))?;
        let deadline = Instant::now() + LONGEST;
        let context = ReadContext {
            credential,
            deadline,
            wanted_by: deadline,
            priority: Priority::Background,
            // Nobody's own: it is for all who wait.
            share: Share::default(),
            ledger: Arc::<Ledger>::default(),
            waits_for: WaitsFor::default(),
            trace,
        };
        // Whoever waits has a deadline of its own.
        let asking = self.shared.reads.parsed(&context, page(from), Arc::new(read));
        let mut asking = pin!(carried_out(deadline, "changes", asking));
        loop {
            tokio::select! {
                biased;
                outcome = &mut asking => return Some(outcome),
                () = self.wake.notified() => {
                    if !self.shared.with(self.key, Feed::is_wanted).unwrap_or_default() {
                        return None;
                    }
                }
            }
        }
    }
}

impl Drop for Poller {
    fn drop(&mut self) {
        // Only a panic, or a runtime that shuts down, ends it while somebody waits.
        if !self.over {
            self.shared.remove(self.key);
        }
    }
}
