//! A bounded waiting room: which call goes next, and which is refused when the room is full. Calls wait there for request budget,
//! for permits, and for the slots of background jobs.
//!
//! What somebody waits for goes before streams, bulk jobs and refreshes. Within each of the two, callers take turns, by weight
//! (start-time fair queueing): however many calls one caller has waiting, another caller's first call goes before the greedy
//! one's second. Among the calls of one caller writes go first, then the earliest deadline: of two equal calls the one that
//! can wait less.
//!
//! If the room is full, one of whoever has most calls waiting, by weight, is refused, newcomer or not: the one that would be served
//! last. So a caller's bulk job is not refused because another one has filled the room with reads.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, btree_map};

use tokio::time::Instant;

use super::call::{Call, Priority};
use crate::share::Share;

/// What a newcomer is ordered by.
#[derive(Debug, Clone, Copy)]
pub struct Wish {
    priority: Priority,
    deadline: Instant,
    caller: u64,
    weight: u64,
}

impl Wish {
    /// Returns the wish of somebody of this share. Among those of one share and priority the earliest `deadline` goes first.
    pub fn of(share: &Share, priority: Priority, deadline: Instant) -> Self {
        Self { priority, deadline, caller: share.id(), weight: share.weight().max(1).into() }
    }
}

impl From<&Call> for Wish {
    fn from(call: &Call) -> Self {
        Self::of(&call.share, call.priority, call.wanted_by)
    }
}

/// A call's place in the room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rank {
    /// The call's priority.
    pub priority: Priority,
    /// The call's `wanted_by`; compared among the calls of one caller and priority.
    pub deadline: Instant,
    turn: u64,
    caller: u64,
}

/// How far one served call moves its lane's tag on, divided by the caller's weight.
const STEP: u64 = 1 << 16;

/// The calls that wait, in order.
#[derive(Debug)]
pub struct Room<W> {
    lanes: BTreeMap<(Class, u64), Lane<W>>,
    /// For each class how many turns each caller has had, were all served evenly (virtual time). A caller who comes anew
    /// begins there, so nobody saves up turns by being away.
    clocks: BTreeMap<Class, u64>,
    len: usize,
    places: usize,
    turn: u64,
}

/// The waiting calls of one caller in one class.
#[derive(Debug)]
struct Lane<W> {
    waiting: BTreeMap<Within, W>,
    /// The tag of its first call: of two lanes the one with the smaller tag goes first.
    tag: u64,
    weight: u64,
}

impl<W> Lane<W> {
    /// Returns the tag of its call at an index.
    fn tag_at(&self, index: usize) -> u64 {
        self.tag.saturating_add((STEP / self.weight).saturating_mul(index as u64))
    }
}

/// What became of a newcomer.
#[derive(Debug)]
pub enum Entry<W> {
    /// It waits.
    Placed(Rank),
    /// It waits in place of another one, which has to be refused.
    Displaced(Rank, W),
    /// It is refused itself.
    Full,
}

/// Whether somebody waits for the call; those for which nobody does go last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Class {
    Foreground,
    Background,
}

impl Class {
    fn of(priority: Priority) -> Self {
        if priority == Priority::Background { Self::Background } else { Self::Foreground }
    }
}

/// What the calls of one lane are ordered by; the last number tells equal ones apart.
type Within = (Priority, Instant, u64);
/// What calls are ordered by: class, the tag of their lane, and within it.
type Order = (Class, u64, Priority, Instant);

impl Rank {
    fn class(&self) -> Class {
        Class::of(self.priority)
    }

    fn within(&self) -> Within {
        (self.priority, self.deadline, self.turn)
    }
}

impl<W> Room<W> {
    /// Returns an empty room.
    pub fn new(places: usize) -> Self {
        Self { lanes: BTreeMap::new(), clocks: BTreeMap::new(), len: 0, places, turn: 0 }
    }

    /// Lets a newcomer in, if there is room or somebody else's call is to be refused.
    pub fn enter(&mut self, wish: impl Into<Wish>, waiter: W) -> Entry<W> {
        let rank = self.place(wish.into(), waiter);
        if self.len <= self.places {
            return Entry::Placed(rank);
        }
        let last = self.last().expect("the newcomer waits");
        let waiter = self.leave(&last).expect("it waits");
        if last == rank { Entry::Full } else { Entry::Displaced(rank, waiter) }
    }

    fn place(&mut self, Wish { priority, deadline, caller, weight }: Wish, waiter: W) -> Rank {
        self.turn += 1;
        let rank = Rank { priority, deadline, turn: self.turn, caller };
        let class = Class::of(priority);
        let clock = self.clock(class);
        let lane =
            self.lanes.entry((class, caller)).or_insert_with(|| Lane { waiting: BTreeMap::new(), tag: clock, weight });
        if lane.waiting.is_empty() {
            lane.tag = lane.tag.max(clock);
        }
        lane.waiting.insert(rank.within(), waiter);
        self.len += 1;
        rank
    }

    /// Returns the wish for a call. Of those who want it, it is that of whoever would get the best place.
    pub fn wish(&self, call: &Call) -> Wish {
        let own = Wish::from(call);
        let of = |share: &Share| Wish::of(share, call.priority, call.wanted_by);
        let others = call.waits_for.callers().iter().map(of).collect::<Vec<_>>();
        others.into_iter().fold(own, |best, other| if self.order(&other) < self.order(&best) { other } else { best })
    }

    /// Moves a waiting call that somebody more wants to a better place, if that has one. Returns its new rank.
    pub fn improve(&mut self, rank: &Rank, call: &Call) -> Option<Rank> {
        let (wish, lane) = (self.wish(call), self.lanes.get(&(rank.class(), rank.caller))?);
        let before = lane.waiting.range(..rank.within()).count();
        let now = (rank.class(), lane.tag_at(before), rank.priority, rank.deadline);
        if wish.caller == rank.caller || self.order(&wish) >= now {
            return None;
        }
        let waiter = self.leave(rank)?;
        match self.enter(wish, waiter) {
            Entry::Placed(rank) | Entry::Displaced(rank, _) => Some(rank),
            Entry::Full => unreachable!("it has just left a place"),
        }
    }

    /// Takes one out that goes away, if it still waits.
    pub fn leave(&mut self, rank: &Rank) -> Option<W> {
        let key = (rank.class(), rank.caller);
        let lane = self.lanes.get_mut(&key)?;
        let waiter = lane.waiting.remove(&rank.within())?;
        self.len -= 1;
        // A lane whose tag is ahead of the clock stays, or its caller would get another turn at once by coming anew.
        if lane.waiting.is_empty() && lane.tag <= self.clock(rank.class()) {
            self.lanes.remove(&key);
        }
        if self.len == 0 {
            self.lanes.clear();
            self.clocks.clear();
        }
        Some(waiter)
    }

    /// Takes one out whose turn has come, or comes since those before it may not go.
    pub fn serve(&mut self, rank: &Rank) -> Option<W> {
        let class = rank.class();
        let active = self.lanes.iter().filter(|((of, _), lane)| *of == class && !lane.waiting.is_empty());
        let weights: u64 = active.map(|(_, lane)| lane.weight).sum();
        let lane = self.lanes.get_mut(&(class, rank.caller))?;
        if !lane.waiting.contains_key(&rank.within()) {
            return None;
        }
        let clock = self.clocks.entry(class).or_default();
        *clock = lane.tag.max(*clock) + STEP / weights.max(1);
        let (turn, now) = (lane.tag, *clock);
        lane.tag = lane.tag_at(1);
        // Whoever was passed over, because none of its calls may go now, does not save up turns meanwhile.
        let passed_over = self.lanes.iter_mut().filter(|((of, _), lane)| *of == class && lane.tag < turn);
        passed_over.for_each(|(_, lane)| lane.tag = turn);
        // Lanes without calls are kept only until the clock has reached them.
        self.lanes.retain(|(of, _), lane| *of != class || !lane.waiting.is_empty() || lane.tag > now);
        self.leave(rank)
    }

    /// Takes the first out.
    pub fn take_first(&mut self) -> Option<(Rank, W)> {
        let rank = self.iter().next().map(|(rank, _)| rank)?;
        self.serve(&rank).map(|waiter| (rank, waiter))
    }

    /// Returns all, in order.
    pub fn iter(&self) -> impl Iterator<Item = (Rank, &W)> {
        self.ordered().map(|(_, rank, waiter)| (rank, waiter))
    }

    /// Returns the waiting calls that would go before this one if it came now.
    pub fn ahead_of(&self, call: &Call) -> impl Iterator<Item = &W> {
        let order = self.order(&self.wish(call));
        self.ordered().take_while(move |(other, ..)| *other <= order).map(|(.., waiter)| waiter)
    }

    /// Returns one that waits.
    pub fn peek(&self, rank: &Rank) -> Option<&W> {
        self.lanes.get(&(rank.class(), rank.caller))?.waiting.get(&rank.within())
    }

    /// Returns how many of this caller wait.
    pub fn waiting_of(&self, caller: u64) -> usize {
        let lanes = [Class::Foreground, Class::Background].map(|class| self.lanes.get(&(class, caller)));
        lanes.into_iter().flatten().map(|lane| lane.waiting.len()).sum()
    }

    /// Returns how many wait.
    pub fn waiting(&self) -> usize {
        self.len
    }

    /// Returns the place in the order that somebody would get who came now.
    fn order(&self, wish: &Wish) -> Order {
        let class = Class::of(wish.priority);
        let clock = self.clock(class);
        let tag = self.lanes.get(&(class, wish.caller)).map_or(clock, |lane| {
            let before = lane.waiting.range(..=(wish.priority, wish.deadline, u64::MAX)).count();
            if lane.waiting.is_empty() { lane.tag.max(clock) } else { lane.tag_at(before) }
        });
        (class, tag, wish.priority, wish.deadline)
    }

    /// Returns the last in the order of those of the caller who has most waiting, by weight.
    fn last(&self) -> Option<Rank> {
        let lasts = self.lanes.iter().filter_map(|((class, caller), lane)| {
            let (priority, deadline, turn) = *lane.waiting.last_key_value()?.0;
            let rank = Rank { priority, deadline, turn, caller: *caller };
            let waiting = STEP.saturating_mul(self.waiting_of(*caller) as u64) / lane.weight;
            Some(((waiting, *class, lane.tag_at(lane.waiting.len() - 1), rank.within()), rank))
        });
        lasts.max_by_key(|(order, _)| *order).map(|(_, rank)| rank)
    }

    fn clock(&self, class: Class) -> u64 {
        self.clocks.get(&class).copied().unwrap_or_default()
    }

    fn ordered(&self) -> Ordered<'_, W> {
        let lanes = self.lanes.iter();
        Ordered { lanes: lanes.peekable(), cursors: Vec::new(), next: BinaryHeap::new() }
    }
}

/// Goes through a room in order: the lanes of one class after those of the other, and among them always the one whose first call
/// is due first.
struct Ordered<'a, W> {
    lanes: std::iter::Peekable<btree_map::Iter<'a, (Class, u64), Lane<W>>>,
    cursors: Vec<Cursor<'a, W>>,
    /// The first calls of the lanes: tag, order within the lane, and the index of the cursor.
    next: BinaryHeap<Reverse<(u64, Within, usize)>>,
}

struct Cursor<'a, W> {
    class: Class,
    caller: u64,
    lane: &'a Lane<W>,
    remaining: std::iter::Peekable<btree_map::Iter<'a, Within, W>>,
    index: usize,
}

impl<W> Ordered<'_, W> {
    /// Takes up the lanes of the next class.
    fn take_up(&mut self) {
        let Some((first, _)) = self.lanes.peek() else { return };
        let class = first.0;
        self.cursors.clear();
        while let Some(((_, caller), lane)) = self.lanes.next_if(|((of, _), _)| *of == class) {
            let remaining = lane.waiting.iter().peekable();
            self.cursors.push(Cursor { class, caller: *caller, lane, remaining, index: 0 });
            self.offer(self.cursors.len() - 1);
        }
    }

    /// Puts a lane's next call up.
    fn offer(&mut self, at: usize) {
        let cursor = &mut self.cursors[at];
        if let Some((within, _)) = cursor.remaining.peek() {
            self.next.push(Reverse((cursor.lane.tag_at(cursor.index), **within, at)));
        }
    }
}

impl<'a, W> Iterator for Ordered<'a, W> {
    type Item = (Order, Rank, &'a W);

    fn next(&mut self) -> Option<Self::Item> {
        while self.next.is_empty() && self.lanes.peek().is_some() {
            self.take_up();
        }
        let Reverse((tag, (priority, deadline, turn), at)) = self.next.pop()?;
        let cursor = &mut self.cursors[at];
        let (_, waiter) = cursor.remaining.next().expect("it was offered");
        cursor.index += 1;
        let (class, caller) = (cursor.class, cursor.caller);
        self.offer(at);
        Some(((class, tag, priority, deadline), Rank { priority, deadline, turn, caller }, waiter))
    }
}

#[cfg(test)]
mod tests;
