//! The open connections, and which of them makes room for a new one. Counts those of one peer.
//!
//! First go those whose peers have not begun to speak, then those that have had no call of a known caller yet, then the others; of
//! each kind the one that was idle longest. So whoever opens many connections and does nothing with them displaces these, and
//! not the callers. Of newcomers who wait for a place, if they are too many, goes the one whose address has most connections.
//!
//! A caller that has a call on each of many connections, again and again, would keep all others out. So the connections of
//! whoever has most of them, and more than one in [`PART`], go before those of other callers, and need not have been idle: they
//! go one after the other, each between two calls.
//!
//! To measure without it: [`MIN_IDLE`] and [`MIN_UNPROVEN`] of an hour and a [`PART`] of 1, so that no connection makes room.

use std::cmp::Reverse;
use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::task::Id;
use tokio::time::Instant;

use super::activity::{Activity, Worth};

/// How long a connection must not have been in use before a new one may take its place.
const MIN_IDLE: Duration = Duration::from_secs(2);
/// The same for a connection that was never in use. Most callers connect when they have a call to make.
const MIN_UNPROVEN: Duration = Duration::from_millis(500);

/// Who has more than one in so many of all connections may be the one whose connections need not have been idle.
const PART: usize = 8;
/// Divided by the number of open connections, the time between two of these that make room. A fleet of one caller, whose clients
/// come again when their connections are closed, goes on at that pace.
const GREEDY: Duration = Duration::from_secs(16);

/// Most idle connections that one search finds. Searching thousands for each new connection would delay the others.
const MAX_FOUND: usize = 64;

/// All open connections, by their tasks.
#[derive(Default)]
pub struct Open {
    all: HashMap<Id, (IpAddr, Activity)>,
    /// How many each address has.
    numbers: HashMap<IpAddr, usize>,
    /// Those that came when there was no place, the oldest first. They may have one by now.
    newcomers: VecDeque<Id>,
    /// The connections that go next, the first last, and when they were searched for.
    idle: Vec<Id>,
    looked: Option<Instant>,
    /// Who has most connections, if that is too many, and when the next of them may go that has not been idle for long.
    greedy: Option<u64>,
    next_of_greedy: Option<Instant>,
    /// The earliest time at which a further search can find an idle one, and whether there was any at the last.
    not_before: Option<(Instant, bool)>,
}

/// Whether a connection makes room for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Room {
    /// One was asked to close.
    Made,
    /// One may have been idle for long enough then.
    Soon(Instant),
    /// All are in use.
    Never,
}

impl Open {
    /// Adds a connection.
    pub fn begun(&mut self, task: Id, address: SocketAddr, activity: Activity) {
        let address = address.ip().to_canonical();
        *self.numbers.entry(address).or_default() += 1;
        if activity.waits() {
            self.newcomers.push_back(task);
        }
        self.all.insert(task, (address, activity));
    }

    /// Removes a connection.
    pub fn ended(&mut self, task: Id) {
        let Some((address, _)) = self.all.remove(&task) else { return };
        if let Entry::Occupied(mut number) = self.numbers.entry(address) {
            *number.get_mut() -= 1;
            if *number.get() == 0 {
                number.remove();
            }
        }
    }

    /// Returns how many connections the peer's IP address has.
    pub fn of(&self, peer: SocketAddr) -> usize {
        self.numbers.get(&peer.ip().to_canonical()).copied().unwrap_or(0)
    }

    /// Turns away one who waits for a place, for a newcomer from `peer`: of those whose address has most connections the one who
    /// has waited longest. Returns false if the newcomer's own address has more.
    pub fn displace(&mut self, peer: SocketAddr) -> bool {
        let (all, numbers) = (&self.all, &self.numbers);
        self.newcomers.retain(|one| all.get(one).is_some_and(|(_, activity)| activity.waits_for_a_place()));
        let number = |one: &Id| all.get(one).map_or(0, |(address, _)| numbers[address]);
        // The last of several that are equal is returned: the oldest.
        let Some(one) = self.newcomers.iter().rev().max_by_key(|one| number(one)) else { return false };
        let goes = number(one) >= self.of(peer);
        if goes {
            all[one].1.ask_to_leave();
        }
        goes
    }

    /// Asks connections to close until there is one for each that waits for a place. Returns when to try again, if it was too
    /// early.
    pub fn make_all_room(&mut self) -> Option<Instant> {
        let number = |is: fn(&Activity) -> bool| self.all.values().filter(|(_, activity)| is(activity)).count();
        let missing = number(Activity::waits_for_a_place).saturating_sub(number(Activity::gives_up_its_place));
        for _ in 0..missing {
            match self.make_room() {
                Room::Made => {}
                Room::Soon(then) => return Some(then),
                // One may end by itself.
                Room::Never => return Instant::now().checked_add(MIN_UNPROVEN),
            }
        }
        None
    }

    /// Asks the connection that goes next to close, if one has been idle for long enough.
    pub fn make_room(&mut self) -> Room {
        let now = Instant::now();
        loop {
            while let Some(one) = self.idle.last() {
                // The connection may have ended or been used since the search.
                let found = self.all.get(one).and_then(|(_, activity)| Some((activity, activity.idle(now)?)));
                let missing = found.map(|(activity, idle)| (activity, self.missing(activity, idle, now)));
                match missing {
                    Some((activity, Duration::ZERO)) => {
                        activity.ask_to_leave();
                        if self.is_greedy(activity) {
                            self.next_of_greedy =
                                Some(now + GREEDY / u32::try_from(self.all.len()).unwrap_or(u32::MAX));
                        }
                        self.idle.pop();
                        return Room::Made;
                    }
                    Some((activity, missing)) if self.is_greedy(activity) => {
                        // Others may have become idle for long enough meanwhile, who go first.
                        if self.looked.is_some_and(|then| now < then + MIN_UNPROVEN) {
                            return Room::Soon(now + missing);
                        }
                        self.look(now);
                    }
                    _ => drop(self.idle.pop()),
                }
            }
            match self.not_before {
                Some((then, true)) if now < then => return Room::Soon(then),
                Some((then, false)) if now < then => return Room::Never,
                _ => self.look(now),
            }
            if let (true, Some((then, will))) = (self.idle.is_empty(), self.not_before) {
                return if will { Room::Soon(then) } else { Room::Never };
            }
        }
    }

    /// Searches for connections that have been idle for long enough.
    fn look(&mut self, now: Instant) {
        self.looked = Some(now);
        self.greedy = self.greediest();
        let idle = self.all.iter().filter_map(|(one, (_, activity))| {
            let idle = activity.idle(now)?;
            let (missing, greedy) = (self.missing(activity, idle, now), self.is_greedy(activity));
            Some((missing, activity.worth(), greedy, idle, *one))
        });
        let (mut enough, soon): (Vec<_>, Vec<_>) =
            idle.partition(|(missing, _, greedy, ..)| *greedy || missing.is_zero());
        // One that begins now can be idle for long enough after that time.
        let soonest = soon.iter().map(|(missing, ..)| *missing).min().unwrap_or(MIN_UNPROVEN).min(MIN_UNPROVEN);
        let (more, any) = (enough.len() > MAX_FOUND, !(enough.is_empty() && soon.is_empty()));
        self.not_before = now.checked_add(soonest).filter(|_| !more).map(|then| (then, any));
        enough.sort_unstable_by_key(|(_, worth, greedy, idle, _)| (Reverse(*worth), *greedy, *idle));
        let surplus = enough.len().saturating_sub(MAX_FOUND);
        self.idle = enough[surplus..].iter().map(|(.., one)| *one).collect();
    }

    /// Returns who has most connections, if that is more than one in [`PART`].
    fn greediest(&self) -> Option<u64> {
        let mut numbers: HashMap<u64, usize> = HashMap::new();
        for owner in self.all.values().filter_map(|(_, activity)| activity.owner()) {
            *numbers.entry(owner).or_default() += 1;
        }
        let (owner, number) = numbers.into_iter().max_by_key(|(_, number)| *number)?;
        (number > (self.all.len() / PART).max(1)).then_some(owner)
    }

    /// True if the connection is of the caller who has most, which is too many.
    fn is_greedy(&self, activity: &Activity) -> bool {
        self.greedy.is_some() && activity.owner() == self.greedy
    }

    /// Returns in how long a connection that has been `idle` for so long may make room.
    fn missing(&self, activity: &Activity, idle: Duration, now: Instant) -> Duration {
        let least = if activity.worth() == Worth::Proven { MIN_IDLE } else { MIN_UNPROVEN };
        let missing = least.saturating_sub(idle);
        if !self.is_greedy(activity) {
            return missing;
        }
        let next = self.next_of_greedy.map_or(Duration::ZERO, |next| next.saturating_duration_since(now));
        missing.min(next)
    }
}

#[cfg(test)]
mod tests;
