//! The book of writes: for each write that a caller makes, when its requests arrived and what they did.
//!
//! A write carries a number, its nonce, in a value that it writes. One that writes no value, such as a deletion, acts on a
//! record that no other call acts on, and the book knows whose turn it is. So each request that arrives is some call's.

use std::collections::{HashMap, VecDeque};

use super::clock::{SECOND, now};
use super::http::Request;
use super::world::Kind;

/// How long after its end a write is watched.
pub const GRACE: u64 = 4 * SECOND;

/// A write that says no number of its own, by what it acts on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Key {
    DeleteUser(i64),
    EraseUser(i64),
    Merge(i64),
    DeleteGroup(i64),
    AddMembership(i64, i64),
    Default(i64),
    DeleteMembership(i64),
}

/// What a caller was told about a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claim {
    Done,
    /// Zendesk was not asked, or not with effect: nothing was sent.
    NotSent,
    /// Zendesk refused it.
    Refused,
    /// It may have been done.
    Unknown,
    /// The caller did not wait for an answer.
    Left,
}

#[derive(Debug, Clone, Default)]
pub struct Entry {
    pub rpc: &'static str,
    pub begun: u64,
    /// Whether it must not be done twice.
    pub once: bool,
    pub arrived: u32,
    /// How many of them Zendesk asked to come again later.
    pub throttled: u32,
    /// How many came after the call had ended.
    pub late: u32,
    pub last: u64,
    pub done: u32,
    /// The records that it changed, with the version it made of each.
    pub made: Vec<(Kind, i64, u64)>,
    pub end: Option<(u64, Claim, String)>,
}

#[derive(Default)]
pub struct Book {
    next: u64,
    keys: HashMap<Key, u64>,
    entries: HashMap<u64, Entry>,
    ended: VecDeque<(u64, u64, Option<Key>)>,
    /// Requests of writes that are not in the book any more.
    pub strays: Vec<String>,
}

impl Book {
    /// Enters a write.
    pub fn begin(&mut self, rpc: &'static str, once: bool, key: Option<Key>) -> u64 {
        self.next += 1;
        self.entries.insert(self.next, Entry { rpc, once, begun: now(), ..Entry::default() });
        if let Some(key) = key {
            self.keys.insert(key, self.next);
        }
        self.next
    }

    pub fn of(&self, key: Key) -> u64 {
        self.keys.get(&key).copied().unwrap_or_default()
    }

    pub fn get(&self, nonce: u64) -> Option<&Entry> {
        self.entries.get(&nonce)
    }

    /// Notes a request; 0 is the number of what no single write accounts for.
    ///
    /// One that comes after its call has ended left before, if it is read within `slack` or may have lain in a queue.
    pub fn arrived(&mut self, nonce: u64, request: &Request, throttled: bool, slack: u64) {
        if nonce == 0 {
            return;
        }
        let Some(entry) = self.entries.get_mut(&nonce) else {
            self.strays.push(format!("{} of write n{nonce}, which was over long before", request.line()));
            return;
        };
        entry.arrived += 1;
        entry.throttled += u32::from(throttled);
        entry.last = request.at;
        let late = entry.end.as_ref().is_some_and(|(ended, ..)| request.at > ended + slack);
        entry.late += u32::from(late && !request.lay);
    }

    pub fn done(&mut self, nonce: u64, made: &[(Kind, i64, u64)]) {
        if let Some(entry) = self.entries.get_mut(&nonce) {
            entry.done += 1;
            entry.made.extend(made);
        }
    }

    /// Notes what the job of a write has changed after it was accepted.
    pub fn made(&mut self, nonce: u64, made: &[(Kind, i64, u64)]) {
        if let Some(entry) = self.entries.get_mut(&nonce) {
            entry.made.extend(made);
        }
    }

    pub fn end(&mut self, nonce: u64, key: Option<Key>, claim: Claim, told: String) {
        let at = now();
        if let Some(entry) = self.entries.get_mut(&nonce) {
            entry.end = Some((at, claim, told));
            self.ended.push_back((at, nonce, key));
        }
    }

    /// Takes out the writes that ended longer ago than the time of grace.
    pub fn over(&mut self, grace: u64) -> Vec<(u64, Entry)> {
        let mut over = Vec::new();
        while let Some((_, nonce, key)) = self.ended.pop_front_if(|(at, ..)| *at + grace <= now()) {
            if let Some(key) = key
                && self.keys.get(&key) == Some(&nonce)
            {
                self.keys.remove(&key);
            }
            over.extend(self.entries.remove(&nonce).map(|entry| (nonce, entry)));
        }
        over
    }
}
