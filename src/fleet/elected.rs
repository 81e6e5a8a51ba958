//! A replica of a fleet that elects its leader: whether it leads at this moment, whom it knows, and how it hands the lead over.
//!
//! Who leads is decided in [`election`](super::election); whoever drives it publishes here what came of it. Whoever is about to
//! answer from memory, or to send a change, asks here at that moment: a process does not know that it was suspended until it looks
//! at the time.

use std::path::PathBuf;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use futures_util::future::BoxFuture;
use http::{HeaderMap, HeaderValue};
use tokio::sync::mpsc::UnboundedSender;

use super::clock::Clock;
use super::election::{Event, GAP, Holder, is_made_up};
use super::hop::Way;
use super::wire::{AGE, CONTRACT, CONTRACT_OF, HEARD, HOLDER, TERM, TOKEN, number};
use crate::files;
use crate::gateway::Gateway;
use crate::upstream::credential::Source;

pub mod access;
mod hand_over;
pub mod holder;

pub use access::{Access, Accesses};

/// A replica that has not asked for so long is not chosen as the successor.
const RECENT: Duration = Duration::from_secs(2);
/// Most replicas that are remembered, and for how long: those who may know of another leader.
const MOST_PEERS: usize = 256;
const REMEMBERED: Duration = Duration::from_hours(1);
/// Most of them that are asked.
const MOST_AROUND: usize = 8;
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
    /// By what it knows itself.
    pub secret: HeaderValue,
    /// The election's clock.
    pub clock: Clock,
    /// What answers its calls.
    pub gateway: Gateway,
    /// Credentials for jobs that another one has started.
    pub credentials: Source,
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
    /// Nothing is begun any more: the successor was told of all there is.
    sealed: AtomicBool,
    /// The last term in which the Lease was written with a successor.
    given: AtomicU64,
    /// It shuts down, and takes the lead no more.
    retired: AtomicBool,
    peers: Mutex<Vec<Peer>>,
    handing: tokio::sync::Mutex<()>,
    /// How the Lease was read and written.
    pub lease: Accesses,
    /// How long the last hand-over took, in milliseconds; 0 if there was none.
    handed_over_in: AtomicU64,
    /// The other replica that the Lease names.
    named: Mutex<Option<Arc<Holder>>>,
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
            sealed: AtomicBool::new(false),
            given: AtomicU64::new(0),
            retired: AtomicBool::new(false),
            peers: Mutex::default(),
            handing: tokio::sync::Mutex::default(),
            lease: Accesses::default(),
            handed_over_in: AtomicU64::new(0),
            named: Mutex::default(),
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

    /// True if no other replica has led after this one's term began, as far as can be known at this moment.
    pub fn is_the_last(&self) -> bool {
        self.holds() && self.given.load(SeqCst) != self.term.load(SeqCst)
    }

    /// True unless it led, and somebody else may lead by now or was told of all there is.
    pub fn may_write(&self) -> bool {
        self.state.load(SeqCst) == NEVER || self.holds() && !self.sealed.load(SeqCst)
    }

    /// The same, and it is not about to leave: what is begun then might be cut in two.
    pub fn may_begin(&self) -> bool {
        self.may_write() && !self.is_leaving()
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
        self.sealed.store(false, SeqCst);
    }

    /// Begins a term with an empty cache.
    pub fn begin_term(&self) {
        self.terms.gateway.cache().invalidate_all();
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
        if is_made_up(term, self.heard()) {
            return;
        }
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

    /// Returns by what it knows itself.
    pub fn secret(&self) -> &HeaderValue {
        &self.terms.secret
    }

    /// True if what a replica says holds a token of this fleet, or is said by this one.
    pub async fn verify(&self, said: &HeaderMap) -> bool {
        let mut tokens = said.get_all(TOKEN).iter();
        let (Some(token), None) = (tokens.next().and_then(|token| token.to_str().ok()), tokens.next()) else {
            return false;
        };
        let is_its_own = verify_slices_are_equal(token.as_bytes(), self.terms.secret.as_bytes()).is_ok();
        is_its_own || (self.terms.verify)(token.to_owned()).await
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
        peers.retain(|peer| now.saturating_sub(peer.seen) < REMEMBERED && peer.holder.process != holder.process);
        if peers.len() >= MOST_PEERS {
            peers.remove(0);
        }
        peers.push(Peer { holder: Arc::new(holder), contract, born, seen: now });
        drop(peers);
        if contract > self.contract() && self.term().is_some() && self.handing.try_lock().is_ok() {
            let this = Arc::clone(self);
            tokio::spawn(async move { this.hand_over_to(contract).await });
        }
    }

    /// Returns the replicas that were heard of last.
    pub fn acquaintances(&self) -> Vec<Arc<Holder>> {
        let peers = self.peers.lock().unwrap_or_else(PoisonError::into_inner);
        peers.iter().rev().take(MOST_AROUND).map(|peer| Arc::clone(&peer.holder)).collect()
    }

    /// Notes which other replica the Lease names.
    pub fn note(&self, named: Option<&Arc<Holder>>) {
        *self.named.lock().unwrap_or_else(PoisonError::into_inner) = named.cloned();
    }

    /// Returns which other replica the Lease names.
    pub fn named(&self) -> Option<Arc<Holder>> {
        self.named.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns how long the last hand-over took.
    pub fn handed_over_in(&self) -> Option<Duration> {
        Some(self.handed_over_in.load(SeqCst)).filter(|millis| *millis > 0).map(Duration::from_millis)
    }
}

fn text(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).expect("addresses, names of pods and digits")
}
