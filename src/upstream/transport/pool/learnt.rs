//! What requests tell the pool of how they fared.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::{Lane, Needs, Pool, Purpose};
#[cfg(doc)]
use super::{Reach, Refusals, Suspects};

impl Pool {
    /// Learns how many requests a connection takes at a time, from one that it does not take. If that one has no body, the client
    /// may hold another one back that counts as taken: see [`Handover`](crate::upstream::transport::handover).
    pub fn learn(&self, lane: &Lane, has_body: bool) {
        self.state().streams.learn(lane.taken().saturating_sub(usize::from(!has_body)).max(1));
    }

    /// Forgets how many requests a connection takes at a time.
    pub fn forget_limit(&self) {
        self.state().streams.forget();
    }

    /// Notes that a connection answered with its present number of requests under way.
    pub fn answered(&self, lane: &Lane) {
        let mut state = self.state();
        state.reach.answered();
        if lane.is_http1() {
            return;
        }
        state.refusals.answered();
        let unheard = if lane.purpose().is_apart() { &mut state.unheard_apart } else { &mut state.unheard };
        unheard.answered();
        // One may be held back in the client.
        let taken = lane.taken().saturating_sub(1);
        if taken > 1 {
            state.streams.worked(taken);
        }
    }

    /// Notes that a connection broke under a request of this caller.
    pub fn broke(&self, caller: u64, lane: &Arc<Lane>) {
        self.state().suspects.broke(caller, lane);
    }

    /// Returns what a request of this caller needs now: a connection of the caller's own, if it is suspect. See [`Suspects`].
    pub fn apart(&self, needs: Needs, caller: u64) -> Needs {
        let is_apart = self.state().suspects.is_apart(caller);
        Needs { purpose: if is_apart { Purpose::Apart(caller) } else { needs.purpose }, ..needs }
    }

    /// Waits until a connection has answered that takes requests, but no longer than this.
    pub async fn until_heard(&self, most: Duration) {
        let until = Instant::now() + most;
        loop {
            let mut changed = pin!(self.changed.notified());
            changed.as_mut().enable();
            if self.state().lanes.iter().any(|lane| lane.has_heard() && !lane.is_over()) {
                return;
            }
            if timeout_at(until, changed).await.is_err() {
                return;
            }
        }
    }

    /// Notes that the peer refused a request, or has no room even for one.
    pub fn refused(&self) {
        self.state().refusals.refused();
    }

    /// Notes that a connection has no room for bodies.
    pub fn refused_body(&self) {
        self.state().bodies.refused();
    }

    /// Notes that a connection took a body.
    pub fn took_body(&self) {
        self.state().bodies.answered();
    }

    /// True if no connection has had room for bodies for a while, so that this says nothing of how many requests one takes.
    pub fn is_shut_to_bodies(&self) -> bool {
        self.state().bodies.is_shut()
    }

    /// Whether a request may be offered now: see [`Refusals`].
    pub fn may_offer(&self) -> bool {
        self.state().refusals.may_offer()
    }

    /// Whether a body may be offered now: see [`Refusals`].
    pub fn may_offer_body(&self) -> bool {
        self.state().bodies.may_offer()
    }

    /// Notes that connecting failed. Returns whether a request should wait for another attempt: see [`Reach`].
    pub fn may_come_back(&self, wanted_by: Instant) -> bool {
        self.state().reach.may_come_back(wanted_by)
    }
}
