//! Whole lists: the agents of a group and the groups of an agent, which several callers set at once.
//!
//! Each caller says the whole list. Whatever the calls do to each other, in the end one of them was the last, and the list is
//! its. A call that ended half-way may leave a state between the list before it and its own; as additions come before removals,
//! such a state holds one of the two lists in full and nothing that is in neither. A roster without any caller's whole list is
//! therefore wrong in every case.

use std::collections::{BTreeMap, BTreeSet};

use super::clock::{MILLISECOND, now};
use super::world::Kind;

/// What is set as a whole: the users of a group or the groups of a user.
pub type Subject = (Kind, i64);

/// A call whose caller did not wait for its answer counts as under way for so much longer: what it had sent is then there.
const LINGERS: u64 = 500 * MILLISECOND;

#[derive(Debug, Clone)]
struct Call {
    begun: u64,
    ended: Option<u64>,
    list: BTreeSet<i64>,
    /// Whether it was answered OK, without failures.
    whole: bool,
}

/// The calls on one subject since it was last quiet.
#[derive(Debug, Default)]
struct Window {
    before: BTreeSet<i64>,
    calls: Vec<Call>,
}

#[derive(Default)]
pub struct Rosters(BTreeMap<Subject, Window>);

fn set(list: &[i64]) -> BTreeSet<i64> {
    list.iter().copied().collect()
}

impl Rosters {
    /// Notes the begin of a call; returns its place.
    pub fn begin(&mut self, subject: Subject, list: &[i64]) -> usize {
        let window = self.0.entry(subject).or_default();
        window.calls.push(Call { begun: now(), ended: None, list: set(list), whole: false });
        window.calls.len() - 1
    }

    /// Notes the end of a call. Says what is wrong if the call was alone from begin to end, was answered OK, and its list is not
    /// there.
    pub fn end(&mut self, subject: Subject, place: usize, whole: bool, there: &[i64]) -> Option<String> {
        let window = self.0.get_mut(&subject)?;
        let at = now();
        (window.calls[place].ended, window.calls[place].whole) = (Some(at), whole);
        let mine = window.calls[place].clone();
        let ends = |call: &Call| call.ended.map_or(u64::MAX, |ended| if call.whole { ended } else { ended + LINGERS });
        let others = window.calls.iter().enumerate().filter(|(other, _)| *other != place);
        let alone = others.clone().all(|(_, call)| ends(call) < mine.begun);
        if whole && alone && set(there) != mine.list {
            return Some(format!(
                "{subject:?}: a call that was alone asked for {:?} and was told it is so; there is {there:?}",
                mine.list
            ));
        }
        None
    }

    /// Judges every roster while no call is under way; returns what is wrong and begins anew.
    pub fn quiet(&mut self, there: impl Fn(Subject) -> Vec<i64>) -> Vec<String> {
        let mut wrong = Vec::new();
        for (subject, window) in &mut self.0 {
            let there = set(&there(*subject));
            let calls = std::mem::take(&mut window.calls);
            let before = std::mem::replace(&mut window.before, there.clone());
            let sure = calls.iter().filter(|call| call.whole);
            let last_begin = sure.clone().map(|call| call.begun).max().unwrap_or_default();
            // Whole calls that ended before another whole one began have been overwritten.
            let mut may_be: Vec<&BTreeSet<i64>> = sure
                .filter(|call| call.ended.is_some_and(|ended| ended >= last_begin))
                .map(|call| &call.list)
                .collect();
            if may_be.is_empty() {
                may_be.push(&before);
            }
            // Those that ended half-way, unless a whole one began after all that they did.
            let half = |call: &&Call| !call.whole && call.ended.is_none_or(|ended| ended + LINGERS >= last_begin);
            let halves: Vec<&BTreeSet<i64>> = calls.iter().filter(half).map(|call| &call.list).collect();
            let right = if halves.is_empty() {
                may_be.contains(&&there)
            } else {
                may_be.extend(halves);
                let all: BTreeSet<i64> = may_be.iter().flat_map(|list| list.iter().copied()).collect();
                may_be.iter().any(|list| list.is_subset(&there)) && there.is_subset(&all)
            };
            if !right {
                wrong.push(format!("{subject:?} is {there:?}, which is no caller's list; it may be {may_be:?}"));
            }
        }
        wrong
    }
}
