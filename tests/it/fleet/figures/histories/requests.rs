//! What many ways to write and to read have in common.

use serde_json::{Value as Json, json};

use super::world::{Key, World};

pub const fn key(of: &'static str, id: i64, part: i64) -> Key {
    Key { of, id, part }
}

pub fn keys(of: &'static str, ids: &[i64]) -> Vec<Key> {
    ids.iter().map(|id| key(of, *id, 0)).collect()
}

pub fn pairs(of: &'static str, ids: &[i64], parts: &[i64]) -> Vec<Key> {
    ids.iter().flat_map(|id| parts.iter().map(|part| key(of, *id, *part))).collect()
}

pub fn int(json: &Json) -> Option<i64> {
    json.as_i64()
}

/// All records of a short list.
pub fn all() -> Option<Json> {
    Some(json!({"page_size": 100}))
}

/// Those of a user.
pub fn of_user(_: &World, key: Key) -> Option<Json> {
    Some(json!({"filter": {"user_id": key.id}, "page_size": 100}))
}

/// The record that is asked for.
pub fn by_id(_: &World, key: Key) -> Option<Json> {
    Some(json!({"id": key.id}))
}

/// The record that was seen last under this key.
pub fn by_known_id(world: &World, key: Key) -> Option<Json> {
    Some(json!({"id": world.id(key)?}))
}

/// Some of these, at random, and at least one.
pub fn some(of: &[i64]) -> Vec<i64> {
    let chosen: Vec<i64> = of.iter().copied().filter(|_| fastrand::bool()).collect();
    if chosen.is_empty() { of[..1].to_vec() } else { chosen }
}

/// What a list as a whole says of each that it could name.
pub fn whole(of: impl Iterator<Item = (Key, i64)>, list: &Json) -> Vec<(Key, u64)> {
    let names = |id: i64| list.as_array().is_some_and(|list| list.iter().any(|one| int(one) == Some(id)));
    of.map(|(key, id)| (key, u64::from(names(id)))).collect()
}

/// The number of a choice, from 1; 0 for what is none.
pub fn choice(choices: &[i64], id: &Json) -> u64 {
    let place = choices.iter().position(|choice| int(id) == Some(*choice));
    place.map_or(0, |place| u64::try_from(place).expect("few") + 1)
}

pub fn chosen(choices: &[i64], number: u64) -> i64 {
    choices[usize::try_from(number).expect("few") - 1]
}

pub const ANY: fn(Key, Key) -> bool = |_, _| true;
pub const OF_SAME_ID: fn(Key, Key) -> bool = |asked, other| asked.id == other.id;
pub const OF_SAME_PART: fn(Key, Key) -> bool = |asked, other| asked.part == other.part;
pub const ITSELF: fn(Key, Key) -> bool = |asked, other| asked == other;
