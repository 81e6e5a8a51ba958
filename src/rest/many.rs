//! Requests that name many records: checks whole lists, and cuts them into parts that fit one request each.

use std::collections::{HashMap, HashSet};

use serde_json::{Value, json};

use super::bulk::{Chunk, Key};
use crate::error::{Checks, Error, Result};
use crate::upstream::rest::{Rest, encoded};

/// Zendesk's limit of items per request.
pub const MOST_ITEMS: usize = 100;
/// Most items of one call, which takes a hundred requests or jobs for them.
pub const MOST_PER_CALL: usize = 10_000;
/// Most bytes of a list of ids in one request's query; servers refuse request lines of more than 8 KiB.
pub const LONGEST_LIST: usize = 4000;
/// Bytes of a comma between two ids, `%2C`.
const COMMA: usize = 3;
/// Most bytes of an external id.
const LONGEST_EXTERNAL_ID: usize = 255;

/// Refuses an empty list, and one that is too long for one call.
pub fn some<T>(field: &str, items: &[T]) -> Result<()> {
    if items.is_empty() { Err(Error::invalid(field, "must not be empty")) } else { at_most(field, items) }
}

/// Refuses a list that is too long for one call.
pub fn at_most<T>(field: &str, items: &[T]) -> Result<()> {
    match items.len() {
        0..=MOST_PER_CALL => Ok(()),
        _ => Err(Error::invalid(field, "must have at most 10000 items in one call")),
    }
}

/// What an item names a record by, as Zendesk compares it. Two items with the same name are about one record.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Name {
    /// An id.
    Id(i64),
    /// An e-mail address or external id, in lower case: Zendesk ignores its case.
    Text(String),
    /// The user of a membership, and its group or organization.
    Pair(i64, i64),
}

impl Name {
    /// Returns the name that a text is.
    pub fn text(text: &str) -> Self {
        Self::Text(text.trim().to_lowercase())
    }
}

/// The names of an item, each with its field; the field is empty where the item as a whole is the name.
pub type Names = Vec<(&'static str, Name)>;

/// Refuses the items of a list that name the same record: Zendesk would process both, in an unknown order.
pub fn distinct<T>(list: &str, items: &[T], names: impl Fn(&T) -> Names) -> Result<()> {
    let (mut seen, mut checks) = (HashMap::new(), Checks::default());
    let path = |index: usize, field: &str| {
        let dot = if field.is_empty() { "" } else { "." };
        format!("{list}[{index}]{dot}{field}")
    };
    for (index, item) in items.iter().enumerate() {
        for (field, name) in names(item) {
            if let Some(first) = seen.insert((field, name), index) {
                for (one, other) in [(first, index), (index, first)] {
                    checks.refuse(&path(one, field), &format!("names the same record as {}", path(other, field)));
                }
            }
        }
    }
    checks.end(Some(()))
}

/// Returns items without duplicates, in the order of their first occurrence.
pub fn unique<T: std::hash::Hash + Eq + Clone>(items: impl IntoIterator<Item = T>) -> Vec<T> {
    let mut seen = HashSet::new();
    items.into_iter().filter(|item| seen.insert(item.clone())).collect()
}

/// Refuses each item of a list for which `problem` has one, by its index.
pub fn each<T>(field: &str, items: &[T], problem: impl Fn(&T) -> Option<&'static str>) -> Result<()> {
    let mut checks = Checks::default();
    for (index, item) in items.iter().enumerate() {
        if let Some(problem) = problem(item) {
            checks.refuse(&format!("{field}[{index}]"), problem);
        }
    }
    checks.end(Some(()))
}

/// Refuses what is no id, by its index.
pub fn positive(field: &str, ids: &[i64]) -> Result<()> {
    each(field, ids, |id| (*id <= 0).then_some("must be a positive id"))
}

/// Checks a list of record ids.
pub fn ids(field: &str, ids: &[i64]) -> Result<()> {
    some(field, ids)?;
    let mut checks = Checks::default();
    checks.take(positive(field, ids));
    checks.take(distinct(field, ids, |id| name_unless(*id <= 0, Name::Id(*id))));
    checks.end(Some(()))
}

/// Checks a list of external ids, which are sent separated by commas.
pub fn external_ids(field: &str, ids: &[String]) -> Result<()> {
    some(field, ids)?;
    let problem = "must be 1 to 255 bytes, without a comma, which separates such ids upstream";
    let is_wrong = |id: &String| id.trim().is_empty() || id.contains(',') || id.len() > LONGEST_EXTERNAL_ID;
    let mut checks = Checks::default();
    checks.take(each(field, ids, |id| is_wrong(id).then_some(problem)));
    checks.take(distinct(field, ids, |id| name_unless(is_wrong(id), Name::text(id))));
    checks.end(Some(()))
}

/// Returns the name of an item that is its name as a whole; none of a wrong one, which names nothing.
pub fn name_unless(is_wrong: bool, name: Name) -> Names {
    if is_wrong { Vec::new() } else { vec![("", name)] }
}

/// Cuts a list whose items go into a query, separated by commas, into parts that fit one request each.
pub fn lists<T: AsRef<str>>(items: &[T]) -> Vec<&[T]> {
    let mut lists = Vec::new();
    let (mut start, mut length) = (0, 0);
    for (at, item) in items.iter().enumerate() {
        // As it is sent: percent-encoded, which turns a letter outside ASCII into six bytes or more.
        let item = encoded(item.as_ref()).map(str::len).sum::<usize>();
        if at - start == MOST_ITEMS || (at > start && length + item > LONGEST_LIST) {
            lists.push(&items[start..at]);
            (start, length) = (at, 0);
        }
        length += item + COMMA;
    }
    lists.push(&items[start..]);
    lists
}

/// Which records a bulk request names in its query.
pub enum Named<'a> {
    /// By id.
    Ids(&'a [i64]),
    /// By external id.
    ExternalIds(&'a [String]),
}

impl Named<'_> {
    /// Cuts the list into requests made by `rest` with the list in their query.
    pub fn chunks(&self, rest: impl Fn() -> Rest) -> Vec<Chunk> {
        let chunk = |rest: Rest, keys: Vec<Key>| Chunk { rest, keys, about: Vec::new() };
        match self {
            Self::Ids(ids) => {
                let of = |ids: &[i64]| {
                    let keys = ids.iter().map(|id| Key { id: Some(*id), ..Key::default() });
                    chunk(rest().query("ids", joined(ids)), keys.collect())
                };
                ids.chunks(MOST_ITEMS).map(of).collect()
            }
            Self::ExternalIds(ids) => {
                let of = |ids: &[String]| {
                    let keys = ids.iter().map(|id| Key { external_id: Some(id.clone()), ..Key::default() });
                    chunk(rest().query("external_ids", ids.join(",")), keys.collect())
                };
                lists(ids).into_iter().map(of).collect()
            }
        }
    }
}

/// Checks the lists that name records in a query, of which one must be given, and cuts it into requests made by `rest`. `others` is
/// what can be given in their place, with a word before it.
pub fn one_of(by_id: &[i64], by_external_id: &[String], others: &str, rest: impl Fn() -> Rest) -> Result<Vec<Chunk>> {
    let mut checks = Checks::default();
    match (by_id.is_empty(), by_external_id.is_empty()) {
        (true, true) => checks.refuse("ids", &format!("must not be empty, unless external_ids{others} is set")),
        (false, false) => checks.refuse("external_ids", "cannot be combined with ids"),
        _ => {}
    }
    if !by_id.is_empty() {
        checks.take(ids("ids", by_id));
    }
    if !by_external_id.is_empty() {
        checks.take(external_ids("external_ids", by_external_id));
    }
    checks.end(Some(()))?;
    let named = if by_external_id.is_empty() { Named::Ids(by_id) } else { Named::ExternalIds(by_external_id) };
    Ok(named.chunks(rest))
}

/// Cuts a list of objects into requests with the list as their body.
pub fn listed(list: &str, bodies: &[Value], keys: &[Key], rest: impl Fn() -> Rest) -> Vec<Chunk> {
    let chunks = bodies.chunks(MOST_ITEMS).zip(keys.chunks(MOST_ITEMS));
    let chunk = |(bodies, keys): (&[Value], &[Key])| {
        let rest = rest().json(&json!({ list: bodies }));
        Chunk { rest, keys: keys.to_vec(), about: Vec::new() }
    };
    chunks.map(chunk).collect()
}

/// Returns ids as a query lists them.
pub fn joined(ids: &[i64]) -> String {
    ids.iter().map(i64::to_string).collect::<Vec<_>>().join(",")
}
