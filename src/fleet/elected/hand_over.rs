//! How the lead goes from one replica to another that is there.

use std::cmp::Reverse;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use tokio::time::{sleep, timeout};
use tracing::{info, warn};

use super::{Access, Elected, Input, RECENT};
use crate::fleet::election::{Event, Holder, TIMEOUT};
use crate::fleet::wire::{SUCCEED, TAKE, TAKE_OVER, TERM};

/// Longest that writes under way hold a hand-over up.
const SETTLE: Duration = Duration::from_secs(5);
/// Most replicas that are asked whether they would lead.
const MOST_ASKED: usize = 3;
/// Time between two looks whether something has come about.
const LOOK: Duration = Duration::from_millis(10);

impl Elected {
    /// Returns who may lead next, first the one that should: of those who were heard of just now, one with the newest contract; of
    /// these, the youngest.
    fn successors(&self, least: u32) -> Vec<Arc<Holder>> {
        let now = self.clock().now();
        let peers = self.peers.lock().unwrap_or_else(PoisonError::into_inner);
        let there = peers.iter().filter(|peer| now.saturating_sub(peer.seen) < RECENT && peer.contract >= least);
        let mut there: Vec<_> = there.map(|peer| (peer.contract, peer.born, Arc::clone(&peer.holder))).collect();
        there.sort_by_key(|(contract, born, _)| Reverse((*contract, *born)));
        there.into_iter().map(|(_, _, holder)| holder).collect()
    }

    /// Hands the lead over, if this replica has it and another one is there: calls wait, writes under way end or are refused as
    /// not sent, the successor is told what it must know, and the Lease names it. Returns once another leads, or cannot be had.
    pub async fn hand_over(self: &Arc<Self>) {
        self.hand_over_to(self.contract()).await;
    }

    /// The same, to one that has at least this contract.
    pub(super) async fn hand_over_to(self: &Arc<Self>, least: u32) {
        let _one = self.handing.lock().await;
        let began = self.clock().now();
        if self.term().is_none() || self.lease.last() != Access::Good {
            return;
        }
        for to in self.successors(least).into_iter().take(MOST_ASKED) {
            if !self.ask(&to, SUCCEED, HeaderMap::new()).await {
                warn!(fleet.successor = to.pod, "the replica that is to lead does not say that it will");
                continue;
            }
            self.pause().await;
            if self.inform(&to).await {
                return self.give(to, began).await;
            }
            warn!(fleet.successor = to.pod, "the replica that is to lead does not say that it has taken over");
        }
        self.sealed.store(false, SeqCst);
        self.leaving.store(false, SeqCst);
    }

    /// Has calls wait, until what is under way has ended or was refused as not sent.
    async fn pause(&self) {
        self.leaving.store(true, SeqCst);
        self.tell(Input::Look);
        let settle = self.clock().now() + SETTLE;
        while self.holds() && self.terms.gateway.cache().changes().open > 0 && self.clock().now() < settle {
            sleep(LOOK).await;
        }
        // What was sent after the successor was told of everything, it would not know of.
        self.sealed.store(true, SeqCst);
    }

    /// Tells the successor what it must know.
    async fn inform(self: &Arc<Self>, to: &Holder) -> bool {
        let way = self.way(to);
        let Ok(known) = serde_json::to_vec(&self.terms.gateway.hand_over()) else { return false };
        let told = async { way.greet().await?.tell(TAKE_OVER, known.into()).await.then_some(()) };
        timeout(TIMEOUT, told).await.is_ok_and(|done| done.is_some())
    }

    /// Takes over from a leader that is about to leave; false if this replica does not, or cannot read what it is told.
    pub fn take_over(&self, known: &Bytes) -> bool {
        if !self.would_lead() || self.holds() {
            return false;
        }
        let Ok(known) = serde_json::from_slice(known) else { return false };
        self.terms.gateway.take_over(known, &self.terms.credentials);
        true
    }

    /// Has the Lease name the successor, which knows what it must.
    async fn give(&self, to: Arc<Holder>, began: Duration) {
        self.given.store(self.term.load(SeqCst), SeqCst);
        self.tell(Input::Event(Event::HandOver(Arc::clone(&to))));
        let late = self.clock().now() + SETTLE;
        while self.is_leaving() && self.clock().now() < late {
            sleep(LOOK).await;
        }
        let took = self.clock().now().saturating_sub(began);
        self.sealed.store(false, SeqCst);
        if self.leaving.swap(false, SeqCst) {
            self.given.store(0, SeqCst);
            return warn!(
                fleet.successor = to.pod,
                "the lead could not be handed over: the Lease could not be written"
            );
        }
        self.terms.gateway.leave_the_rest();
        self.handed_over_in.store(u64::try_from(took.as_millis()).unwrap_or(u64::MAX).max(1), SeqCst);
        info!(fleet.successor = to.pod, duration_ms = took.as_secs_f64() * 1e3, "the lead was handed over");
    }

    /// Tells a replica that it holds the Lease.
    pub async fn hand(self: &Arc<Self>, to: &Holder, term: u64) -> bool {
        self.ask(to, TAKE, HeaderMap::from_iter([(TERM, HeaderValue::from(term))])).await
    }

    async fn ask(self: &Arc<Self>, to: &Holder, path: &'static str, headers: HeaderMap) -> bool {
        let way = self.way(to);
        let asked = async { way.greet().await?.ask(path, headers).await.then_some(()) };
        timeout(TIMEOUT, asked).await.is_ok_and(|done| done.is_some())
    }
}
