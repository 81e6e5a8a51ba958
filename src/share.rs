//! What one caller takes of what all callers share: calls at a time, streams, bytes of messages, and requests to Zendesk.
//!
//! Callers are told apart by their names, and where nobody is authenticated by their IP addresses. A caller's own excess is
//! refused with a reason of its own ([`Error::CallerLimit`]), before it takes anything from the others.
//!
//! Several who each take all that one may would leave nothing. So of what is limited for all together, a caller gets more only
//! while it has no more than is left ([`leaves_enough`]): one may take half, two a third each, and a part is always left for
//! whoever comes.

use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasher as _, RandomState};
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

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
mod tests {
    use super::*;

    fn shares() -> Shares {
        let limits = config::Callers {
            max_calls: 3,
            max_streams: 1,
            max_requests_per_minute: 60,
            message_memory_percent: 60,
            ..config::Callers::default()
        };
        Shares::new(&limits, 1000)
    }

    #[test]
    fn a_caller_is_the_same_in_each_of_its_calls_and_no_other() {
        let shares = shares();
        let one = shares.of("api_key:a");
        assert_eq!(one.id(), shares.of("api_key:a").id());
        assert_ne!(one.id(), shares.of("api_key:b").id());
        let id = one.id();
        drop(one);
        assert_eq!(id, shares.of("api_key:a").id(), "it has left and come again");
    }

    #[test]
    fn callers_who_have_left_are_forgotten() {
        let shares = shares();
        let stays = shares.of("stays");
        for number in 0..10 * FIRST_SWEEP {
            shares.of(&number.to_string());
        }
        assert!(shares.known().shares.len() <= FIRST_SWEEP + 1);
        assert_eq!(shares.of("stays").id(), stays.id());
    }

    #[test]
    fn a_caller_has_only_so_many_calls_and_streams_and_takes_none_from_others() {
        let shares = shares();
        let (one, other) = (shares.of("one"), shares.of("other"));
        let stream = one.take(true).expect("its only stream");
        let why = |refused: Result<Taken>| refused.expect_err("too many").to_string();
        assert!(why(one.take(true)).contains("streams at a time"));
        let calls = [one.take(false), one.take(false)].map(|call| call.expect("there is room"));
        assert!(why(one.take(false)).contains("calls at a time"));
        other.take(true).expect("others have theirs");
        drop(stream);
        one.take(true).expect("there is room again");
        drop(calls);
    }

    #[test]
    fn calls_whose_message_is_late_are_limited_apart_from_the_others() {
        let shares = shares();
        let (one, other) = (shares.of("one"), shares.of("other"));
        let late = [(); 3].map(|()| one.take_late().expect("as many as calls"));
        assert!(one.take_late().is_none());
        assert!(one.take(false).is_ok() && other.take_late().is_some());
        drop(late);
        assert!(one.take_late().is_some());
    }

    #[test]
    fn bytes_are_limited_for_each_caller_and_for_all_together() {
        let shares = shares();
        let (one, other) = (shares.of("one"), shares.of("other"));
        let charge = one.charge(600).expect("its share");
        assert!(matches!(one.charge(1), Err(Error::CallerLimit { .. })));
        let rest = other.charge(400).expect("what is left");
        assert!(matches!(other.charge(1), Err(Error::CallerLimit { .. })), "it has more than is left");
        assert!(matches!(shares.of("third").charge(1), Err(Error::Overloaded { .. })));
        assert_eq!(shares.bytes(), 1000);
        drop((charge, rest));
        assert_eq!(shares.bytes(), 0);
        one.charge(600).expect("all was given back");
    }

    #[test]
    fn callers_who_take_all_they_may_leave_a_part_however_many_they_are() {
        let limits = config::Callers { max_calls: 50, message_memory_percent: 50, ..config::Callers::default() };
        for greedy in 1..=9 {
            let shares = Shares::new(&limits, 1000);
            let (mut calls, mut charges, mut most) = (Vec::new(), Vec::new(), 0);
            let mut take = |share: &Share| {
                let call = share.take(false).and_then(|call| share.leaves_calls(100 - calls.len(), 100).map(|()| call));
                let charge = share.charge(10);
                let is_refused = call.is_err() && charge.is_err();
                calls.extend(call);
                charges.extend(charge);
                most = most.max(calls.len());
                !is_refused
            };
            for _ in 0..200 {
                for number in 0..greedy {
                    take(&shares.of(&number.to_string()));
                }
            }
            let part = 100 / (greedy + 1);
            assert!(take(&shares.of("modest")), "{greedy}");
            assert!(calls.len() <= 100 - part + greedy, "{greedy} callers have {} of 100 calls", calls.len());
            assert!(shares.bytes() <= 1000 - 10 * part + 10 * greedy, "{greedy} callers have {}", shares.bytes());
        }
    }

    #[test]
    fn what_alone_is_more_than_a_share_is_not_refused_as_if_it_would_fit_later() {
        let one = shares().of("one");
        assert!(matches!(one.charge(601), Err(Error::ReplyTooLarge { bytes: 601, limit: 600, .. })));
        let mut charge = one.charge(400).expect("its share");
        assert!(matches!(charge.grow(201), Err(Error::ReplyTooLarge { .. })));
        charge.set(600).expect("all of its share");
        charge.set(100).expect("less");
        assert!(one.charge(500).is_ok() && one.charge(501).is_err());
        assert!(
            Charge::ahead(&one, 200).is_some() && Charge::ahead(&one, 201).is_none(),
            "half is left for what is needed"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn requests_come_at_an_even_pace_after_a_burst() {
        let share = shares().of("one");
        let now = Instant::now();
        let at_once = (0..60).take_while(|_| share.take_request(now).is_ok()).count();
        assert_eq!(at_once, 7, "a tenth of a minute's, and the one that is due");
        assert_eq!(share.take_request(now), Err(now + Duration::from_secs(1)));
        share.take_request(now + Duration::from_secs(1)).expect("it is due");
        assert!(shares().of("two").take_request(now).is_ok());
        let (own, hour) = (Share::default(), 0..100_000);
        assert!(hour.into_iter().all(|_| own.take_request(now).is_ok()), "no limit");
    }
}
