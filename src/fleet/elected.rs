//! A replica of a fleet that elects its leader: whether it leads at this moment, whom it knows, and how it hands the lead over.
//!
//! Who leads is decided in [`election`](super::election); whoever drives it publishes here what came of it. Whoever is about to
//! answer from memory, or to send a change, asks here at that moment: a process does not know that it was suspended until it looks
//! at the time.

use std::cmp::Reverse;
use std::path::PathBuf;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use http::{HeaderMap, HeaderValue};
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::sleep;
use tracing::{info, warn};

use super::clock::Clock;
use super::election::{Event, GAP, Holder, TIMEOUT};
use super::hop::Way;
use super::wire::{AGE, CONTRACT, CONTRACT_OF, HEARD, HOLDER, SUCCEED, TAKE, TERM, TOKEN, number};
use crate::cache::Cache;
use crate::files;

pub mod access;
pub mod holder;

pub use access::{Access, Accesses};

/// Longest that writes under way hold a hand-over up.
const SETTLE: Duration = Duration::from_secs(5);
/// A replica that has not asked for so long is not chosen as the successor.
const RECENT: Duration = Duration::from_secs(2);
/// Most replicas that are remembered.
const MOST_PEERS: usize = 256;
/// Most of them that are asked whether they would lead.
const MOST_ASKED: usize = 3;
/// Most bytes of a token.
const MOST_TOKEN: u64 = 16 << 10;

/// Whether a token is one of this fleet's service account.
pub type Verify = Box<dyn Fn(String) -> BoxFuture<'static, bool> + Send + Sync>;

/// Finds the way of a replica to another.
pub type FindWay = Box<dyn Fn(&Arc<Elected>, &Holder) -> Way + Send + Sync>;

/// What whoever drives the election is told.
#[derive(Debug)]
pub enum Input {
    /// Something happened.
    Event(Event),
    /// This replica leaves, or has given that up: calls go elsewhere.
    Look,
}

/// What tests change.
#[derive(Debug, Clone, Copy)]
pub struct Trial {
    /// How many times faster the election's clock runs.
    pub rate: u32,
    /// The replica's contract.
    pub contract: u32,
}

impl Default for Trial {
    fn default() -> Self {
        Self { rate: 1, contract: CONTRACT }
    }
}

/// Another replica.
struct Peer {
    holder: Arc<Holder>,
    contract: u32,
    born: Duration,
    seen: Duration,
}

/// What a replica needs to take part in an election.
pub struct Terms {
    /// The replica.
    pub me: Arc<Holder>,
    /// Its contract.
    pub contract: u32,
    /// The file with its token.
    pub token_file: PathBuf,
    /// The election's clock.
    pub clock: Clock,
    /// Its cache.
    pub cache: Cache,
    /// Verifies the tokens of others.
    pub verify: Verify,
    /// Where whoever drives the election listens.
    pub inputs: UnboundedSender<Input>,
    /// Finds the way to another replica.
    pub way: FindWay,
}

/// See the module.
pub struct Elected {
    terms: Terms,
    /// Since when it can answer calls as it should: before, it takes no lead.
    able: OnceLock<Duration>,
    /// [`NEVER`], [`LEADS`] or [`LED`].
    state: AtomicU8,
    term: AtomicU64,
    /// Until when it leads unless it is told again, in nanoseconds.
    until: AtomicU64,
    heard: AtomicU64,
    /// Followers, and the own callers, wait for the successor.
    leaving: AtomicBool,
    /// It shuts down, and takes the lead no more.
    retired: AtomicBool,
    peers: Mutex<Vec<Peer>>,
    handing: tokio::sync::Mutex<()>,
    /// How the Lease was read and written.
    pub lease: Accesses,
    /// How long the last hand-over took, in milliseconds; 0 if there was none.
    handed_over_in: AtomicU64,
}

const NEVER: u8 = 0;
const LEADS: u8 = 1;
const LED: u8 = 2;

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

impl Elected {
    /// Returns a replica that does not lead.
    pub fn new(terms: Terms) -> Self {
        Self {
            terms,
            able: OnceLock::new(),
            state: AtomicU8::new(NEVER),
            term: AtomicU64::new(0),
            until: AtomicU64::new(0),
            heard: AtomicU64::new(0),
            leaving: AtomicBool::new(false),
            retired: AtomicBool::new(false),
            peers: Mutex::default(),
            handing: tokio::sync::Mutex::default(),
            lease: Accesses::default(),
            handed_over_in: AtomicU64::new(0),
        }
    }

    /// Returns the replica itself.
    pub fn me(&self) -> &Arc<Holder> {
        &self.terms.me
    }

    /// Returns its contract.
    pub fn contract(&self) -> u32 {
        self.terms.contract
    }

    /// Returns the election's clock.
    pub fn clock(&self) -> Clock {
        self.terms.clock
    }

    /// Returns the way to another replica.
    pub fn way(self: &Arc<Self>, to: &Holder) -> Way {
        (self.terms.way)(self, to)
    }

    /// Returns the term in which it leads, if it does at this moment.
    pub fn term(&self) -> Option<u64> {
        (self.holds() && !self.leaving.load(SeqCst)).then(|| self.term.load(SeqCst))
    }

    /// True while nobody else leads, although it may be about to leave.
    pub fn holds(&self) -> bool {
        self.state.load(SeqCst) == LEADS && nanos(self.clock().now()) <= self.until.load(SeqCst)
    }

    /// True unless it led, and somebody else may lead by now.
    pub fn may_write(&self) -> bool {
        self.state.load(SeqCst) == NEVER || self.holds()
    }

    /// Notes in which term it leads, if it does, as of a moment.
    pub fn publish(&self, leads: Option<u64>, at: Duration) {
        match leads {
            Some(term) => {
                self.term.store(term, SeqCst);
                self.until.store(nanos(at + GAP), SeqCst);
                self.state.store(LEADS, SeqCst);
            }
            None => drop(self.state.compare_exchange(LEADS, LED, SeqCst, SeqCst)),
        }
    }

    /// Notes that another replica holds the Lease.
    pub fn follows(&self) {
        self.leaving.store(false, SeqCst);
    }

    /// Begins a term with an empty cache.
    pub fn begin_term(&self) {
        self.terms.cache.invalidate_all();
    }

    /// True while it waits for what is under way, to hand over.
    pub fn is_leaving(&self) -> bool {
        self.leaving.load(SeqCst)
    }

    /// Says that it can answer calls as it should.
    pub fn be_able(&self) {
        self.able.set(self.clock().now()).ok();
    }

    /// Returns since when it could lead, if it can and does not shut down.
    fn candidate_since(&self) -> Option<Duration> {
        self.able.get().copied().filter(|_| !self.retired.load(SeqCst))
    }

    /// True if it takes the lead where nobody has it, or where it is asked to.
    pub fn would_lead(&self) -> bool {
        self.candidate_since().is_some()
    }

    /// Has it take the lead no more.
    pub fn retire(&self) {
        self.retired.store(true, SeqCst);
    }

    /// Returns the highest term that it has heard of.
    pub fn heard(&self) -> u64 {
        self.heard.load(SeqCst)
    }

    /// Hears of a term.
    pub fn hear(&self, term: u64) {
        if self.heard.fetch_max(term, SeqCst) < term {
            self.tell(Input::Event(Event::Heard(term)));
        }
    }

    /// Tells whoever drives the election.
    pub fn tell(&self, input: Input) {
        self.terms.inputs.send(input).ok(); // it has ended, and so does this replica
    }

    /// Returns what it says of itself to another replica, but for its token.
    pub fn said(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(HOLDER, text(&holder::written(&self.terms.me)));
        headers.insert(HEARD, self.heard().into());
        headers.insert(CONTRACT_OF, self.contract().into());
        let age = self.candidate_since().map(|since| self.clock().now().saturating_sub(since).as_secs());
        headers.extend(age.map(|age| (AGE, HeaderValue::from(age))));
        headers.extend(self.term().map(|term| (TERM, HeaderValue::from(term))));
        headers
    }

    /// Returns its token, if the file can be read.
    pub fn token(&self) -> Option<HeaderValue> {
        let token = files::read(&self.terms.token_file, MOST_TOKEN).ok()?;
        let mut token = HeaderValue::from_bytes(token.trim_ascii()).ok()?;
        token.set_sensitive(true);
        Some(token)
    }

    /// True if what another replica says holds a token of this fleet.
    pub async fn verify(&self, said: &HeaderMap) -> bool {
        let Some(token) = said.get(TOKEN).and_then(|token| token.to_str().ok()) else { return false };
        (self.terms.verify)(token.to_owned()).await
    }

    /// Takes note of what a replica of this fleet says of itself. One with a newer contract gets the lead, if this replica has it and
    /// the other one would take it.
    pub fn meet(self: &Arc<Self>, said: &HeaderMap) {
        if let Some(term) = said.get(HEARD).and_then(number) {
            self.hear(term);
        }
        let contract = said.get(CONTRACT_OF).and_then(number).and_then(|contract| u32::try_from(contract).ok());
        let (Some(holder), Some(contract)) = (said.get(HOLDER).and_then(holder::of_header), contract) else { return };
        if holder.process == self.terms.me.process {
            return;
        }
        let now = self.clock().now();
        let Some(age) = said.get(AGE).and_then(number) else {
            let mut peers = self.peers.lock().unwrap_or_else(PoisonError::into_inner);
            return peers.retain(|peer| peer.holder.process != holder.process);
        };
        let born = now.saturating_sub(Duration::from_secs(age));
        let mut peers = self.peers.lock().unwrap_or_else(PoisonError::into_inner);
        peers.retain(|peer| now.saturating_sub(peer.seen) < RECENT && peer.holder.process != holder.process);
        if peers.len() < MOST_PEERS {
            peers.push(Peer { holder: Arc::new(holder), contract, born, seen: now });
        }
        drop(peers);
        if contract > self.contract() && self.term().is_some() && self.handing.try_lock().is_ok() {
            let this = Arc::clone(self);
            tokio::spawn(async move { this.hand_over_to(contract).await });
        }
    }

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
    /// not sent, and the Lease names the successor. Returns once another leads, or cannot be had.
    pub async fn hand_over(self: &Arc<Self>) {
        self.hand_over_to(self.contract()).await;
    }

    /// The same, to one that has at least this contract.
    async fn hand_over_to(self: &Arc<Self>, least: u32) {
        let _one = self.handing.lock().await;
        let began = self.clock().now();
        if self.term().is_none() || self.lease.last() != Access::Good {
            return;
        }
        let Some(to) = self.willing(least).await else { return };
        self.leaving.store(true, SeqCst);
        self.tell(Input::Look);
        let settle = self.clock().now() + SETTLE;
        while self.holds() && !self.terms.cache.changes().settled && self.clock().now() < settle {
            sleep(Duration::from_millis(10)).await;
        }
        self.tell(Input::Event(Event::HandOver(Arc::clone(&to))));
        let late = self.clock().now() + SETTLE;
        while self.is_leaving() && self.clock().now() < late {
            sleep(Duration::from_millis(10)).await;
        }
        let took = self.clock().now().saturating_sub(began);
        if self.leaving.swap(false, SeqCst) {
            return warn!(
                fleet.successor = to.pod,
                "the lead could not be handed over: the Lease could not be written"
            );
        }
        self.handed_over_in.store(u64::try_from(took.as_millis()).unwrap_or(u64::MAX).max(1), SeqCst);
        info!(fleet.successor = to.pod, duration_ms = took.as_secs_f64() * 1e3, "the lead was handed over");
    }

    /// Returns the first of those who may lead next that says it will.
    async fn willing(self: &Arc<Self>, least: u32) -> Option<Arc<Holder>> {
        for to in self.successors(least).into_iter().take(MOST_ASKED) {
            if self.ask(&to, SUCCEED, HeaderMap::new()).await {
                return Some(to);
            }
            warn!(fleet.successor = to.pod, "the replica that is to lead does not say that it will");
        }
        None
    }

    /// Tells a replica that it holds the Lease.
    pub async fn hand(self: &Arc<Self>, to: &Holder, term: u64) -> bool {
        self.ask(to, TAKE, HeaderMap::from_iter([(TERM, HeaderValue::from(term))])).await
    }

    async fn ask(self: &Arc<Self>, to: &Holder, path: &'static str, headers: HeaderMap) -> bool {
        let way = self.way(to);
        let asked = async { way.greet().await?.ask(path, headers).await.then_some(()) };
        tokio::time::timeout(TIMEOUT, asked).await.is_ok_and(|done| done.is_some())
    }

    /// Returns how long the last hand-over took.
    pub fn handed_over_in(&self) -> Option<Duration> {
        Some(self.handed_over_in.load(SeqCst)).filter(|millis| *millis > 0).map(Duration::from_millis)
    }
}

fn text(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).expect("addresses, names of pods and digits")
}
