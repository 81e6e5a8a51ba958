//! A page of a stream, fetched and encoded.

use std::collections::{HashSet, VecDeque};
use std::hash::{BuildHasher as _, RandomState};

use bytes::Bytes;

use super::message::Message;
use crate::gateway::walk::Added;
use crate::rest::page::Next;
use crate::share::Charge;

/// A page, encoded as messages.
pub struct Leaf {
    /// The messages.
    pub messages: Vec<Message>,
    /// What comes after it.
    pub next: Next,
    /// How many rows the whole list has, if the page states it.
    pub count: Option<i64>,
    /// How many of its rows cannot be read.
    pub unreadable: i32,
}

impl Leaf {
    /// Returns how many bytes its messages have.
    pub fn bytes(&self) -> usize {
        self.messages.iter().map(|message| message.bytes.len()).sum()
    }

    /// Returns what the page adds, if it has no row that can be read.
    pub fn without_rows(&self) -> Option<Added> {
        let has_rows = |message: &Message| {
            let (ids, others) = message.identity();
            !ids.is_empty() || !others.is_empty()
        };
        let unreadable = || match u32::try_from(self.unreadable) {
            Ok(0) | Err(_) => Added::Nothing,
            Ok(rows) => Added::Unreadable(rows),
        };
        (!self.messages.iter().any(has_rows)).then(unreadable)
    }
}

/// The pages of a list so far, each by what tells its rows from others: eight bytes a page. Some lists repeat their rows under ever
/// new cursors or page numbers, and would never end.
#[derive(Default)]
pub struct Seen {
    pages: HashSet<u64>,
    hasher: RandomState,
}

impl Seen {
    /// Returns what a page adds: nothing if it has only what an earlier page had.
    pub fn added(&mut self, leaf: &Leaf) -> Added {
        leaf.without_rows().unwrap_or_else(|| {
            let rows: Vec<_> = leaf.messages.iter().map(Message::identity).collect();
            Added::rows_unless(!self.pages.insert(self.hasher.hash_one(rows)))
        })
    }
}

/// The messages of a page that the caller has not taken yet, which its caller is charged for.
pub struct Ready {
    /// The messages.
    pub messages: VecDeque<Bytes>,
    /// Held until the last message was taken.
    pub _charge: Charge,
}
