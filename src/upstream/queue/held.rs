//! Who holds the permits, and who may have one more.
//!
//! Requests may hang, for half a minute if they are writes, and whoever has many such requests must keep nobody else from Zendesk.
//! When they begin they look like all others, so a part of the permits is left for whoever holds fewer. Once they have taken longer
//! than [`HANGS`] they count against nobody but their own caller: in their place the others get permits beyond those that are set,
//! up to half as many again. There a caller may have four times as many as it leaves, so that not even several callers whose
//! requests hang take all. With one caller alone there is no more than a sixteenth less than is set.

use std::time::Duration;

use smallvec::SmallVec;
use tokio::time::Instant;

use crate::cache::WaitsFor;
use crate::contract::Idempotency;
use crate::upstream::call::Call;
use crate::upstream::transport::Occupancy;

/// After how long a request without an answer may hang until its time-out. Most are answered in a tenth of this.
pub const HANGS: Duration = Duration::from_millis(750);

/// How many times as many permits a caller may have as it leaves free, of those that are set and of those beyond.
const TIMES_SET: usize = 15;
const TIMES_BEYOND: usize = 4;

/// The permits that are held.
#[derive(Debug, Default)]
pub struct Held {
    holders: Vec<Holder>,
    numbers: u64,
}

#[derive(Debug)]
struct Holder {
    number: u64,
    caller: u64,
    since: Instant,
    writes: bool,
}

/// How many permits there are.
#[derive(Debug, Clone, Copy)]
pub struct Permits {
    /// As set, or as many as the connections have room for.
    set: usize,
    /// In place of exchanges on connections that have fallen silent.
    stuck: usize,
    /// With those in place of requests that hang.
    most: usize,
}

impl Permits {
    /// Returns as many as are set.
    pub fn set(set: usize) -> Self {
        Self { set, stuck: 0, most: set }
    }

    /// Returns so many, and as many as `most` while requests hang, with some for exchanges that are stuck. There are no more than the
    /// connections take, and of those a part is only in place of requests that hang: with permits for all of them, one caller's would
    /// take every stream that the peer allows.
    pub fn of(set: usize, most: usize, occupied: Occupancy) -> Self {
        let set = set.min(occupied.most - occupied.most / (TIMES_BEYOND + 1)).max(1);
        let most = most.saturating_add(occupied.stuck).min(occupied.most).max(set);
        Self { set, stuck: occupied.stuck, most }
    }

    /// Returns how many there are, but for those in place of requests that hang.
    pub fn usual(self) -> usize {
        self.set + self.stuck
    }
}

impl Held {
    /// Returns how many there are.
    pub fn len(&self) -> usize {
        self.holders.len()
    }

    /// Adds one, and returns its number.
    pub fn add(&mut self, caller: u64, writes: bool) -> u64 {
        self.numbers += 1;
        self.holders.push(Holder { number: self.numbers, caller, since: Instant::now(), writes });
        self.numbers
    }

    /// Removes the one with this number.
    pub fn remove(&mut self, number: u64) {
        if let Some(at) = self.holders.iter().position(|holder| holder.number == number) {
            self.holders.swap_remove(at);
        }
    }

    /// True if so few are held that anybody may have one more.
    pub fn is_plenty(&self, permits: Permits) -> bool {
        self.len() < TIMES_SET * permits.set.saturating_sub(self.len())
    }

    /// True if a caller who holds this permit holds more than others do on average: how long its requests hang says nothing of
    /// theirs.
    pub fn is_of_the_greediest(&self, number: u64) -> bool {
        let Some(holder) = self.holders.iter().find(|holder| holder.number == number) else { return false };
        let tally = self.tally();
        tally.own(holder.caller).held * tally.own.len() > self.len()
    }

    /// Counts what each caller holds.
    pub fn tally(&self) -> Tally {
        let now = Instant::now();
        let mut tally = Tally { young: 0, own: SmallVec::new() };
        for holder in &self.holders {
            let at = tally.own.iter().position(|own| own.caller == holder.caller).unwrap_or_else(|| {
                tally.own.push(Own { caller: holder.caller, ..Own::default() });
                tally.own.len() - 1
            });
            let (own, hangs) = (&mut tally.own[at], now.saturating_duration_since(holder.since) >= HANGS);
            own.held += 1;
            own.hanging += usize::from(hangs);
            own.hanging_writes += usize::from(hangs && holder.writes);
            tally.young += usize::from(!hangs);
        }
        tally
    }
}

/// What the callers hold at one moment.
#[derive(Debug)]
pub struct Tally {
    /// How many of them all do not hang.
    young: usize,
    own: SmallVec<[Own; 4]>,
}

/// What one caller holds.
#[derive(Debug, Clone, Copy, Default)]
struct Own {
    caller: u64,
    held: usize,
    hanging: usize,
    hanging_writes: usize,
}

impl Tally {
    fn own(&self, caller: u64) -> Own {
        self.own.iter().copied().find(|own| own.caller == caller).unwrap_or_default()
    }

    /// True if this caller may have one more. Its own reads get as many more as it has writes that hang, up to a quarter of all.
    pub fn may(&self, caller: u64, writes: bool, permits: Permits) -> bool {
        let own = self.own(caller);
        let kept = if writes { 0 } else { own.hanging_writes.min(permits.usual().div_ceil(4)) };
        let free = permits.usual().saturating_sub(self.young + own.hanging - kept);
        // While a connection was silent, one caller may have got more than are set: that leaves the others no less.
        let all: usize = self.own.iter().map(|own| own.held.min(permits.usual())).sum();
        let beyond = permits.most.saturating_sub(all);
        own.held < TIMES_SET * free && (all < permits.set || own.held < TIMES_BEYOND * beyond)
    }

    /// True if a caller with so many more calls waiting has less than its part, where several have permits. It is among the next to
    /// get one, however long the others' requests take.
    pub fn is_owed(&self, caller: u64, waiting: usize, permits: Permits) -> bool {
        let others = self.own.iter().filter(|own| own.caller != caller).count();
        others > 0 && (self.own(caller).held + waiting) * (others + 1) < permits.usual()
    }
}

/// Who wants a call. Where several share it, it is the call of the first of them who may have a permit: of the one who began it, if
/// that one may.
#[derive(Debug)]
pub struct Wanted {
    pub began: u64,
    waits_for: WaitsFor,
    pub writes: bool,
}

impl Wanted {
    pub fn of(call: &Call) -> Self {
        let writes = call.idempotency != Idempotency::NoSideEffects;
        Self { began: call.share.id(), waits_for: call.waits_for.clone(), writes }
    }

    /// Returns the first of them for whom this holds.
    pub fn first(&self, holds: impl Fn(u64) -> bool) -> Option<u64> {
        if holds(self.began) { Some(self.began) } else { self.waits_for.find(|caller| holds(caller.id())) }
    }

    /// Returns whose permit it would be.
    pub fn holder(&self, tally: &Tally, permits: Permits) -> Option<u64> {
        self.first(|caller| tally.may(caller, self.writes, permits))
    }
}
