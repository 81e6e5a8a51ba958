//! What one caller takes of what all callers share: calls at a time, streams, bytes of messages, and requests to Zendesk.
//!
//! Callers are told apart by their names, and where nobody is authenticated by their IP addresses. A caller's own excess is
//! refused with a reason of its own ([`Error::CallerLimit`]), before it takes anything from the others.
//!
//! Several who each take all that one may would leave nothing. So of what is limited for all together, a caller gets more only
//! while it has no more than is left (`leaves_enough`): one may take half, two a third each, and a part is always left for
//! whoever comes.

use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasher as _, RandomState};
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use crate::config;
use crate::error::{Error, Result};

mod memory;

use memory::Bytes;

pub use memory::{Charge, of_request};

/// Largest message, as it is sent, that is not charged. Decoded, the worst of them take a hundred kilobytes.
pub const FREE_MESSAGE: usize = 256;
/// After how long a caller whose calls, streams or messages are too many may try again: most calls are shorter.
pub const TRY_AGAIN: Duration = Duration::from_secs(1);
/// Registered callers at which those who have left are forgotten for the first time.
const FIRST_SWEEP: usize = 1024;

/// The shares of all callers. Clones share them.
#[derive(Clone)]
pub struct Shares(Arc<Registry>);

struct Registry {
    limits: config::Callers,
    /// Bytes of messages under way, of all callers together.
    bytes: Arc<Bytes>,
    ids: RandomState,
    known: Mutex<Known>,
}

struct Known {
    shares: HashMap<Box<str>, Weak<Inner>>,
    sweep_at: usize,
}

impl Shares {
    /// Returns the shares of a gateway with these settings.
    pub fn new(limits: &config::Callers, message_memory: usize) -> Self {
        let bytes = Arc::new(Bytes::new(message_memory));
        let known = Mutex::new(Known { shares: HashMap::new(), sweep_at: FIRST_SWEEP });
        Self(Arc::new(Registry { limits: limits.clone(), bytes, ids: RandomState::new(), known }))
    }

    /// Returns the share of the caller of this name: the same for each of its calls.
    pub fn of(&self, name: &str) -> Share {
        let mut known = self.known();
        if let Some(inner) = known.shares.get(name).and_then(Weak::upgrade) {
            return Share(inner);
        }
        if known.shares.len() >= known.sweep_at {
            known.shares.retain(|_, share| share.strong_count() > 0);
            known.sweep_at = FIRST_SWEEP.max(known.shares.len() * 2);
        }
        // What is remembered of a caller, such as its failures, is still known when it comes again.
        let id = self.0.ids.hash_one(name);
        let inner = Arc::new(Inner::new(id, &self.0.limits, self.0.limits.weight(name), Arc::clone(&self.0.bytes)));
        known.shares.insert(name.into(), Arc::downgrade(&inner));
        Share(inner)
    }

    /// Returns the share of one of those who are called `name` because nobody is told apart by a name: that of its address.
    pub fn of_address(&self, name: &str, address: IpAddr) -> Share {
        self.of(&format!("{name} {}", address.to_canonical()))
    }

    /// Returns how many bytes of messages are under way.
    pub fn bytes(&self) -> usize {
        self.0.bytes.used()
    }

    /// Returns the share of all who have not said who they are: a name that no caller has.
    pub fn strangers(&self) -> Share {
        self.of("")
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The share of one caller. Clones are the same share.
#[derive(Clone)]
pub struct Share(Arc<Inner>);

struct Inner {
    id: u64,
    weight: u32,
    calls: Count,
    /// Calls whose message is late; apart, so that they keep out no call of the same caller whose message comes.
    late: Count,
    streams: Count,
    bytes: Bytes,
    all_bytes: Arc<Bytes>,
    requests: Requests,
    long_work: Arc<Semaphore>,
}

/// The share of calls that this process makes itself.
static OWN: LazyLock<Share> = LazyLock::new(|| {
    let (limits, bytes) = (config::Callers::unlimited(), Bytes::new(usize::MAX));
    Share(Arc::new(Inner::new(0, &limits, 1, Arc::new(bytes))))
});

impl Default for Share {
    /// Returns the share, without limits, of calls that this process makes itself.
    fn default() -> Self {
        OWN.clone()
    }
}

impl fmt::Debug for Share {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "Share({})", self.0.id)
    }
}

impl Inner {
    fn new(id: u64, limits: &config::Callers, weight: u32, all_bytes: Arc<Bytes>) -> Self {
        let most = all_bytes.most() / 100 * usize::from(limits.message_memory_percent);
        Self {
            id,
            weight,
            calls: Count { now: AtomicUsize::new(0), most: limits.max_calls },
            late: Count { now: AtomicUsize::new(0), most: limits.max_calls },
            streams: Count { now: AtomicUsize::new(0), most: limits.max_streams },
            bytes: Bytes::new(most),
            all_bytes,
            requests: Requests::new(limits.max_requests_per_minute),
            long_work: Arc::new(Semaphore::new(1)),
        }
    }
}

impl Share {
    /// Returns the caller's number, which no other has.
    pub fn id(&self) -> u64 {
        self.0.id
    }

    /// Returns how much it gets of what is short, compared with other callers.
    pub fn weight(&self) -> u32 {
        self.0.weight
    }

    /// Takes a place among the caller's calls, and among its streams if the call is one.
    ///
    /// # Errors
    /// [`Error::CallerLimit`] if the caller has as many as it may.
    pub fn take(&self, streaming: bool) -> Result<Taken> {
        let refused = |what| Error::CallerLimit { what, retry_after: TRY_AGAIN };
        let Inner { calls, streams, .. } = &*self.0;
        if !calls.begin() {
            return Err(refused("calls at a time"));
        }
        if streaming && !streams.begin() {
            calls.end();
            return Err(refused("streams at a time"));
        }
        Ok(Taken { share: self.clone(), streaming })
    }

    /// Checks a place that was taken among the caller's calls, in a room with `most` places for all callers of which so many are
    /// `free`.
    ///
    /// # Errors
    /// [`Error::CallerLimit`] if the caller has so many calls already that too few are left for others.
    pub fn leaves_calls(&self, free: usize, most: usize) -> Result<()> {
        let Count { now, most: own_most } = &self.0.calls;
        let before = now.load(Ordering::Relaxed).saturating_sub(1);
        let refused = Error::CallerLimit { what: "calls at a time", retry_after: TRY_AGAIN };
        if leaves_enough((before, *own_most), (free, most)) { Ok(()) } else { Err(refused) }
    }

    /// Takes a place among the caller's calls whose message is late: it may have as many of these as calls. None if it has.
    pub fn take_late(&self) -> Option<Late> {
        self.0.late.begin().then(|| Late(self.clone()))
    }

    /// Charges bytes of a message under way.
    ///
    /// # Errors
    /// See [`Charge::grow`].
    pub fn charge(&self, bytes: usize) -> Result<Charge> {
        let mut charge = Charge::none(self);
        charge.grow(bytes)?;
        Ok(charge)
    }

    /// Charges bytes that a request takes.
    ///
    /// # Errors
    /// See [`Charge::grow`]; [`Error::RequestTooLarge`] if they would never fit.
    pub fn charge_request(&self, bytes: usize) -> Result<Charge> {
        self.charge(bytes).map_err(of_request)
    }

    /// Returns how many bytes its messages may have together.
    pub fn most_bytes(&self) -> usize {
        self.0.bytes.most()
    }

    /// Waits until none of the caller's other calls computes for long.
    pub async fn begin_long_work(&self) -> OwnedSemaphorePermit {
        Arc::clone(&self.0.long_work).acquire_owned().await.expect("it is never closed")
    }

    /// Takes one request to Zendesk from what the caller may send in a minute, or returns when it may send the next.
    pub fn take_request(&self, now: Instant) -> std::result::Result<(), Instant> {
        self.0.requests.take(now)
    }
}

/// Whether a caller may have more of what all callers share: it has `own` of at most `most_own` (0 does not limit), and of `most` for
/// all together so many are `free`. Beside others it may have the same part of what it has and what is free as it may have of all.
fn leaves_enough((own, most_own): (usize, usize), (free, most): (usize, usize)) -> bool {
    let others = most.saturating_sub(most_own);
    most_own == 0 || own as u128 * others as u128 <= free as u128 * most_own as u128
}

/// A call's place among its caller's calls. Dropping it gives it back.
#[derive(Debug)]
pub struct Taken {
    share: Share,
    streaming: bool,
}

impl Drop for Taken {
    fn drop(&mut self) {
        let Inner { calls, streams, .. } = &*self.share.0;
        calls.end();
        if self.streaming {
            streams.end();
        }
    }
}

/// The place of a call whose message is late. Dropping it gives it back.
#[derive(Debug)]
pub struct Late(Share);

impl Drop for Late {
    fn drop(&mut self) {
        self.0.0.late.end();
    }
}

/// How many there are, and how many there may be.
struct Count {
    now: AtomicUsize,
    /// 0 does not limit.
    most: usize,
}

impl Count {
    /// Counts one more, if there may be one more.
    fn begin(&self) -> bool {
        let before = self.now.fetch_add(1, Ordering::Relaxed);
        let fits = self.most == 0 || before < self.most;
        if !fits {
            self.end();
        }
        fits
    }

    fn end(&self) {
        self.now.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The requests that a caller may send in a minute: at an even pace, after a burst of a tenth of them.
struct Requests {
    /// Time from one request to the next at an even pace; zero does not limit.
    interval: Duration,
    burst: Duration,
    /// When the next request would be due if all had come at the even pace.
    due: Mutex<Option<Instant>>,
}

impl Requests {
    fn new(per_minute: u32) -> Self {
        let interval = Duration::from_mins(1).checked_div(per_minute).unwrap_or_default();
        Self { interval, burst: interval * (per_minute / 10), due: Mutex::new(None) }
    }

    fn take(&self, now: Instant) -> std::result::Result<(), Instant> {
        if self.interval.is_zero() {
            return Ok(());
        }
        let mut due = self.due.lock().unwrap_or_else(PoisonError::into_inner);
        let next = due.unwrap_or(now).max(now);
        if let Some(open) = next.checked_sub(self.burst).filter(|open| *open > now) {
            return Err(open);
        }
        *due = Some(next + self.interval);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
