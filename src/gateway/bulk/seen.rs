//! What the last rows of a stream have named, to find two rows that name the same record.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};

use crate::rest::many::Name;

/// Most names in one of the two tables. This many fill a table of 32,768 places.
const MOST: usize = 28_672;
/// The same where nothing but the names is kept.
const MOST_OF_DRY_RUN: usize = 16 * MOST;
/// Bytes that one place of a table takes.
const PLACE: usize = size_of::<(u64, i64)>() + 1;

/// The names of the last rows: so many as fill one table at least, and at most twice as many. A name is kept as its hash: in a
/// million rows, the chance that any name is taken for another is below one in a hundred million.
pub struct Seen {
    most: usize,
    hasher: RandomState,
    now: HashMap<u64, i64>,
    before: HashMap<u64, i64>,
}

impl Seen {
    /// Remembers nothing yet.
    pub fn new(dry_run: bool) -> Self {
        let (hasher, now, before) = Default::default();
        Self { most: if dry_run { MOST_OF_DRY_RUN } else { MOST }, hasher, now, before }
    }

    /// Returns the index of the row that has this name in this field.
    pub fn row(&self, field: &str, name: &Name) -> Option<i64> {
        let hash = self.hasher.hash_one((field, name));
        self.now.get(&hash).or_else(|| self.before.get(&hash)).copied()
    }

    /// Remembers a name of a row.
    pub fn add(&mut self, field: &str, name: &Name, row: i64) {
        if self.now.len() == self.most {
            self.before = std::mem::take(&mut self.now);
        }
        self.now.insert(self.hasher.hash_one((field, name)), row);
    }

    /// Returns about how many bytes it takes.
    pub fn bytes(&self) -> usize {
        (self.now.capacity() + self.before.capacity()) * PLACE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[ignore = "slow"]
    fn the_last_names_are_remembered_and_no_more_than_fit() {
        let (mut seen, text) = (Seen::new(false), |text: &str| Name::text(text));
        seen.add("email", &text("A@b.example"), 7);
        assert_eq!(seen.row("email", &text("a@b.example ")), Some(7));
        assert_eq!(seen.row("external_id", &text("a@b.example")), None, "another field");
        for row in 0..i64::try_from(MOST).expect("few") {
            seen.add("", &Name::Id(row), row);
        }
        assert_eq!(seen.row("email", &text("a@b.example")), Some(7));
        for row in 0..1_000_000 {
            seen.add("", &Name::Id(row), row);
        }
        assert_eq!(seen.row("email", &text("a@b.example")), None, "it was long ago");
        assert_eq!(seen.row("", &Name::Id(999_999 - 28_000)), Some(999_999 - 28_000));
        assert!(seen.bytes() < 2 << 20, "{}", seen.bytes());
        let mut seen = Seen::new(true);
        for row in 0..2_000_000 {
            seen.add("", &Name::Id(row), row);
        }
        assert_eq!(seen.row("", &Name::Id(1_999_999 - 458_000)), Some(1_999_999 - 458_000));
        assert!(seen.bytes() < 18 << 20, "{}", seen.bytes());
    }
}
