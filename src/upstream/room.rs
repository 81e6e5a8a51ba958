//! A bounded waiting room: which call goes next, and which is refused when the room is full.
//!
//! The order is priority first, then the earliest deadline: of two equal calls the one that can wait less goes first. The
//! last in that order is the one to refuse, newcomer or not, because it is the one that would be served last.

use std::collections::BTreeMap;

use tokio::time::Instant;

use super::call::{Call, Priority};

/// A place in the order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rank {
    /// Compared first.
    pub priority: Priority,
    /// The call's `wanted_by`; compared among equal priorities.
    pub deadline: Instant,
    turn: u64,
}

/// The calls that wait, in order.
#[derive(Debug)]
pub struct Room<W> {
    waiting: BTreeMap<Rank, W>,
    places: usize,
    turn: u64,
}

/// What became of a newcomer.
#[derive(Debug)]
pub enum Entry<W> {
    /// It waits.
    Placed(Rank),
    /// It waits in place of the last one, which has to be refused.
    Displaced(Rank, W),
    /// It would be the last in a full room.
    Full,
}

impl<W> Room<W> {
    /// Returns an empty room.
    pub fn new(places: usize) -> Self {
        Self { waiting: BTreeMap::new(), places, turn: 0 }
    }

    /// Lets a newcomer in, if there is room or a waiting call ranks lower.
    pub fn enter(&mut self, call: &Call, waiter: W) -> Entry<W> {
        self.turn += 1;
        let rank = Rank { priority: call.priority, deadline: call.wanted_by, turn: self.turn };
        if self.waiting.len() < self.places {
            self.waiting.insert(rank, waiter);
            return Entry::Placed(rank);
        }
        match self.waiting.last_entry() {
            Some(last) if *last.key() > rank => {
                let displaced = last.remove();
                self.waiting.insert(rank, waiter);
                Entry::Displaced(rank, displaced)
            }
            _ => Entry::Full,
        }
    }

    /// Takes one out, if it still waits.
    pub fn leave(&mut self, rank: &Rank) -> Option<W> {
        self.waiting.remove(rank)
    }

    /// Takes the first out.
    pub fn next(&mut self) -> Option<(Rank, W)> {
        self.waiting.pop_first()
    }

    /// Returns all, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&Rank, &W)> {
        self.waiting.iter()
    }

    /// Returns the waiting calls that would go before this one if it came now.
    pub fn ahead_of(&self, call: &Call) -> impl Iterator<Item = &W> {
        let rank = Rank { priority: call.priority, deadline: call.wanted_by, turn: u64::MAX };
        self.waiting.range(..rank).map(|(_, waiter)| waiter)
    }

    /// Returns how many wait.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }
}
