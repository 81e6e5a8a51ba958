//! Fault control: makes the stand-in fail the way Zendesk and the network in front of it fail, on purpose and on the wire.
//!
//! A gateway that is only tested against clean answers is only half tested. Each fault here is the real thing as a client sees
//! it: a reset is a TCP RST (on HTTP/2 an `RST_STREAM`), a truncated body has the length of what was sent, a gzip bomb
//! inflates. Faults that concern bytes rather than messages need the stand-in's own accept loop,
//! [`connection::serve`](super::connection::serve).
//!
//! A [`Rule`] joins a [`Matcher`], a [`Fault`] and how often it acts. The first live rule that matches a request acts on it, in
//! the order in which rules were added. Tests add rules in code, other processes over HTTP ([`control_routes`]):
//!
//! ```text
//! sandbox.fault(get("/users/7"), Throttle::once().retry_after(1));
//! sandbox.fault(post("/users"), Reset::before_headers().after_applying());
//! ```
//!
//! Order of the stand-in's layers: the recorder sees a request first, so that faulted requests count as hits; then come the faults; then
//! compression, credentials, limits and routes. Faults sit *outside* compression so that what they write stays as it is. Those
//! that alter the normal answer ask for it uncompressed.

mod apply;
mod control;
mod kinds;
mod matcher;
mod rule;
#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::{Method, Uri, Version};
use serde::{Deserialize, Serialize};

pub use apply::{Faulted, act, wrap};
pub use control::{CONTROL_PATH, control_routes};
pub use kinds::{
    BrokenGzip, Conflict, CursorLoop, Delay, Drip, Empty, EmptyPages, Eof, Fault, GzipBomb, Hang, HeaderText, Headers,
    Html, LastPage, MissingHasMore, OddRows, Page, Point, Refuse, RefuseStream, Reset, Respond, RetryAfter, Shape,
    Throttle, TruncatedJson, WrongLength,
};
pub use matcher::{Matcher, any, delete, get, post, put};
pub use rule::Rule;

/// The rules in force, shared by the middleware, the accept loop, the control routes and the tests.
#[derive(Clone, Default)]
pub struct Faults {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    /// How many rules can still act: while it is 0, requests pass without a lock.
    live: AtomicUsize,
    book: Mutex<Book>,
}

#[derive(Default)]
struct Book {
    added: u64,
    entries: Vec<Entry>,
}

struct Entry {
    id: RuleId,
    rule: Arc<Rule>,
    matched: u64,
    hits: u64,
    rng: fastrand::Rng,
}

/// Names a rule that was added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RuleId(u64);

/// A rule and what it did so far. Rules that are used up stay listed until they are removed.
#[derive(Clone, Debug, Serialize)]
pub struct RuleStatus {
    /// The rule's id.
    pub id: RuleId,
    /// How many requests matched while the rule was live and no earlier rule acted.
    pub matched: u64,
    /// How many times it acted.
    pub hits: u64,
    /// How many times it may still act; absent for a rule without end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub left: Option<u64>,
    /// The rule itself.
    #[serde(flatten)]
    pub rule: Rule,
}

impl Faults {
    /// Adds a rule behind those that are there.
    pub fn add<F: Into<Fault>>(&self, rule: Rule<F>) -> RuleId {
        let mut book = self.book();
        book.added += 1;
        let id = RuleId(book.added);
        let rule = rule.erase();
        book.entries.push(Entry {
            id,
            matched: 0,
            hits: 0,
            rng: fastrand::Rng::with_seed(rule.seed),
            rule: Arc::new(rule),
        });
        self.recount(&book);
        id
    }

    /// Removes one rule and returns whether it was there.
    pub fn remove(&self, id: RuleId) -> bool {
        let mut book = self.book();
        let before = book.entries.len();
        book.entries.retain(|entry| entry.id != id);
        self.recount(&book);
        book.entries.len() < before
    }

    /// Removes all rules. Answers that a fault already acts on are not released.
    pub fn clear(&self) {
        let mut book = self.book();
        book.entries.clear();
        self.recount(&book);
    }

    /// Returns all rules in their order with what they did.
    pub fn list(&self) -> Vec<RuleStatus> {
        self.book()
            .entries
            .iter()
            .map(|entry| RuleStatus {
                id: entry.id,
                matched: entry.matched,
                hits: entry.hits,
                left: entry.rule.left(entry.hits),
                rule: Rule::clone(&entry.rule),
            })
            .collect()
    }

    /// Returns whether the next connection may be accepted, for
    /// [`connection::serve_admitting`](super::connection::serve_admitting). A refusal uses up one time of a [`Refuse`] rule.
    pub fn admits_connection(&self) -> bool {
        self.pick(|rule| matches!(rule.fault, Fault::Refuse(_))).is_none()
    }

    /// Returns the rule that acts on a request, if one does.
    fn pick_for(&self, version: Version, method: &Method, uri: &Uri) -> Option<(RuleId, Arc<Rule>)> {
        self.pick(|rule| {
            let applies = match rule.fault {
                Fault::Refuse(_) => false,
                Fault::RefuseStream(_) => version == Version::HTTP_2,
                _ => true,
            };
            applies && rule.when.matches(method, uri)
        })
    }

    fn pick(&self, matches: impl Fn(&Rule) -> bool) -> Option<(RuleId, Arc<Rule>)> {
        if self.shared.live.load(Ordering::Acquire) == 0 {
            return None;
        }
        let mut book = self.book();
        let chosen = book
            .entries
            .iter_mut()
            .filter(|entry| entry.is_live() && matches(&entry.rule))
            .find_map(|entry| entry.strikes().then(|| (entry.id, Arc::clone(&entry.rule))));
        self.recount(&book);
        chosen
    }

    fn recount(&self, book: &Book) {
        let live = book.entries.iter().filter(|entry| entry.is_live()).count();
        self.shared.live.store(live, Ordering::Release);
    }

    /// The book is consistent after each statement, so a lock that a panicking test poisoned can be used.
    fn book(&self) -> MutexGuard<'_, Book> {
        self.shared.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    fn is_live(&self) -> bool {
        self.rule.left(self.hits) != Some(0)
    }

    /// Counts a matching request and decides whether the rule acts on it.
    fn strikes(&mut self) -> bool {
        self.matched += 1;
        let strikes = self.matched > self.rule.after && self.rule.probability.strikes(&mut self.rng);
        self.hits += u64::from(strikes);
        strikes
    }
}
