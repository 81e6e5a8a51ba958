//! What is known of a family of records: the ways to write and to read one, and what a reply says of it.

use serde_json::Value as Json;

use super::world::{Key, World};

/// The request that writes a number.
type ToWrite = fn(&World, Key, u64) -> Option<Json>;
/// All numbers that a request writes.
type All = fn(&World, Key, u64, &Json) -> Vec<(Key, u64)>;

/// What a way to write can write.
pub enum Writes {
    /// A number that nobody has written before.
    New,
    /// One of so many choices, from 1.
    OneOf(u64),
    /// That the record is there, or is not.
    There(bool),
}

/// A way to write.
pub struct Write {
    pub rpc: &'static str,
    pub writes: Writes,
    /// None if the record that it names is not known, or is not to be written again.
    pub request: ToWrite,
    /// All that a call of several changes writes. Where it fails, some of them may have been done.
    pub all: Option<All>,
}

impl Write {
    const fn of(rpc: &'static str, writes: Writes, request: ToWrite) -> Self {
        Self { rpc, writes, request, all: None }
    }

    /// Writes a new number.
    pub const fn new(rpc: &'static str, request: ToWrite) -> Self {
        Self::of(rpc, Writes::New, request)
    }

    /// Makes the record.
    pub const fn make(rpc: &'static str, request: ToWrite) -> Self {
        Self::of(rpc, Writes::There(true), request)
    }

    /// Removes the record.
    pub const fn remove(rpc: &'static str, request: ToWrite) -> Self {
        Self::of(rpc, Writes::There(false), request)
    }

    /// Takes one of so many choices.
    pub const fn choose(rpc: &'static str, most: u64, request: ToWrite) -> Self {
        Self::of(rpc, Writes::OneOf(most), request)
    }

    pub const fn all(mut self, all: All) -> Self {
        self.all = Some(all);
        self
    }
}

/// A way to read.
pub struct Read {
    pub rpc: &'static str,
    /// None if the record that it names is not known.
    pub request: fn(&World, Key) -> Option<Json>,
    /// Where the reply has its rows, or its only record.
    pub rows: &'static str,
    /// What a row shows to whoever has asked for the key.
    pub shows: fn(&World, Key, &Json) -> Option<(Key, u64)>,
    /// Whether the reply would have this other record of the family, if it were there.
    pub covers: fn(Key, Key) -> bool,
    /// True if the rows are other records, such as a group's users for its memberships, so that their ids say nothing.
    pub is_of_others: bool,
}

impl Read {
    pub const fn new(
        rpc: &'static str,
        request: fn(&World, Key) -> Option<Json>,
        rows: &'static str,
        shows: fn(&World, Key, &Json) -> Option<(Key, u64)>,
    ) -> Self {
        Self { rpc, request, rows, shows, covers: |_, _| false, is_of_others: false }
    }

    pub const fn covers(mut self, covers: fn(Key, Key) -> bool) -> Self {
        self.covers = covers;
        self
    }

    pub const fn of_others(mut self) -> Self {
        self.is_of_others = true;
        self
    }

    /// Returns the rows of the replies.
    pub fn rows<'a>(&self, replies: &'a [Json]) -> Vec<&'a Json> {
        let mut found: Vec<&Json> = replies.iter().collect();
        for name in self.rows.split('.') {
            let inner = found.into_iter().filter_map(|json| json.get(name));
            found = inner
                .flat_map(|json| json.as_array().map_or_else(|| vec![json], |rows| rows.iter().collect()))
                .collect();
        }
        found
    }
}

/// A family.
pub struct Family {
    pub of: &'static str,
    pub keys: fn(&World) -> Vec<Key>,
    pub writes: &'static [Write],
    pub reads: &'static [Read],
}

impl Family {
    /// True if its records come and go.
    pub fn comes_and_goes(&self) -> bool {
        self.writes.iter().any(|write| matches!(write.writes, Writes::There(_)))
    }
}

/// A text that says a number, as names, tags and addresses have it.
pub fn text(number: u64) -> String {
    format!("v-{number}")
}

/// The number that a text says; 0 for what was there at first.
pub fn number(text: &Json) -> u64 {
    let number = text.as_str().and_then(|text| text.strip_prefix("v-")?.split('@').next()?.parse().ok());
    number.unwrap_or_default()
}

/// A text by which a record that comes and goes is known.
pub fn named(part: i64) -> String {
    format!("life_{part}")
}

/// The part of the key in such a text.
pub fn part(text: &Json) -> Option<i64> {
    text.as_str()?.strip_prefix("life_")?.split('@').next()?.parse().ok()
}
