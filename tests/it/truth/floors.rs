//! How old an answer may be: at least as new as every change that somebody had been told of before the question.

use std::collections::{HashMap, VecDeque};

use super::world::Kind;

/// How many steps of a floor are remembered; before the first of them it is taken to be nothing, which accuses nobody.
const REMEMBERED: usize = 64;

/// In the place of an id: how many records of a kind there are,
pub const COUNT: i64 = 0;
/// and how many deleted ones.
pub const COUNT_OF_DELETED: i64 = -1;

/// For each record and count the versions that callers were told of, and when.
#[derive(Default)]
pub struct Floors(HashMap<(Kind, i64), VecDeque<(u64, u64)>>);

impl Floors {
    /// Notes that a caller was told of a version at this time.
    pub fn raise(&mut self, kind: Kind, id: i64, version: u64, at: u64) {
        let steps = self.0.entry((kind, id)).or_default();
        if steps.back().is_some_and(|(_, highest)| *highest >= version) {
            return;
        }
        steps.push_back((at, version));
        if steps.len() > REMEMBERED {
            steps.pop_front();
        }
    }

    /// The version that an answer to a question of this time must have at least.
    pub fn at(&self, kind: Kind, id: i64, begun: u64) -> u64 {
        let steps = self.0.get(&(kind, id));
        steps.and_then(|steps| steps.iter().rev().find(|(at, _)| *at < begun)).map_or(0, |(_, version)| *version)
    }

    /// Forgets records that are not there any more.
    pub fn retain(&mut self, known: impl Fn(Kind, i64) -> bool) {
        self.0.retain(|(kind, id), _| *id <= 0 || known(*kind, *id));
    }
}
