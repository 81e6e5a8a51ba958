//! Calls that ended with an error, by reason and method: how often, and when last. Nothing of what was asked or answered.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use serde::Serialize;

use super::view;

/// The errors since the start.
#[derive(Debug, Default)]
pub struct Errors(Mutex<BTreeMap<Kind, Seen>>);

/// What kind of error it is. All three come from fixed lists, so there are only so many.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Kind {
    /// The reason, as in `google.rpc.ErrorInfo`.
    pub reason: &'static str,
    /// The status.
    pub code: &'static str,
    /// The method.
    pub method: &'static str,
}

#[derive(Debug, Clone, Copy)]
struct Seen {
    count: u64,
    last: SystemTime,
}

/// One kind of error.
#[derive(Debug, Clone, Serialize)]
pub struct Counted {
    /// What it is.
    #[serde(flatten)]
    pub kind: Kind,
    /// How often it came since the start.
    pub count: u64,
    /// When it came last.
    #[serde(serialize_with = "view::date")]
    pub last: Option<SystemTime>,
}

impl Errors {
    /// Counts a call that ended so.
    pub fn note(&self, kind: Kind) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = all.entry(kind).or_insert(Seen { count: 0, last: SystemTime::UNIX_EPOCH });
        *seen = Seen { count: seen.count + 1, last: SystemTime::now() };
    }

    /// Returns all kinds, the most recent first.
    pub fn read(&self) -> Vec<Counted> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let counted = |(kind, seen): (&Kind, &Seen)| Counted { kind: *kind, count: seen.count, last: Some(seen.last) };
        let mut read: Vec<Counted> = all.iter().map(counted).collect();
        read.sort_by_key(|one| std::cmp::Reverse(one.last));
        read
    }
}
