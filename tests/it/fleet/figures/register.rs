//! Whether what was seen of a register can have happened one after the other.
//!
//! The calls are gone through in time, with all that can be right at each moment in mind: what the register holds, and which of the
//! calls under way were done already (Wing and Gong, *Testing and Verifying Concurrent Objects*, 1993; Lowe, *Testing for
//! Linearizability*, 2017). A write is done only once a call that ends cannot be explained without it. So it costs little that writes
//! of which nobody knows the outcome are under way for ever.

use std::collections::HashSet;

/// A call that has ended, or whose outcome nobody knows.
#[derive(Debug, Clone, Copy)]
pub struct Call {
    pub value: u64,
    pub is_write: bool,
    pub began: u64,
    /// [`u64::MAX`] if nobody knows.
    pub ended: u64,
}

impl Call {
    fn is_unknown(&self) -> bool {
        self.ended == u64::MAX
    }
}

/// How it can be at a moment.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
struct State {
    held: u64,
    /// The calls under way that were done, by their places; and, of those whose outcome nobody knows, all that were.
    done: Vec<usize>,
    unknown: Vec<usize>,
}

impl State {
    fn add(&mut self, place: usize, is_unknown: bool) {
        let to = if is_unknown { &mut self.unknown } else { &mut self.done };
        to.push(place);
        to.sort_unstable();
    }

    fn has(&self, place: usize) -> bool {
        self.done.contains(&place) || self.unknown.contains(&place)
    }

    /// True if whatever the other one explains, this one does, too.
    fn is_as_good_as(&self, other: &Self) -> bool {
        (self.held, &self.done) == (other.held, &other.done)
            && self.unknown.iter().all(|place| other.unknown.contains(place))
    }
}

/// Notes that the reads under way have seen what the register holds now.
fn look(state: &mut State, calls: &[Call], open: &[usize]) {
    for place in open {
        let call = calls[*place];
        if !call.is_write && call.value == state.held && !state.has(*place) {
            state.add(*place, false);
        }
    }
}

/// Returns what can be right after one more write.
fn after_one_more(state: &State, calls: &[Call], open: &[usize]) -> Vec<State> {
    let wanted =
        |value| open.iter().any(|read| !calls[*read].is_write && calls[*read].value == value && !state.has(*read));
    let mut tried = HashSet::new();
    let mut after = Vec::new();
    for place in open.iter().filter(|place| calls[**place].is_write && !state.has(**place)) {
        let call = calls[*place];
        // One whose outcome nobody knows may as well not be done, unless somebody saw it; and of several with one value each does.
        if call.is_unknown() && (!wanted(call.value) || !tried.insert(call.value)) {
            continue;
        }
        let mut next = state.clone();
        next.held = call.value;
        next.add(*place, call.is_unknown());
        look(&mut next, calls, open);
        after.push(next);
    }
    after
}

/// Returns why the calls cannot have happened one after the other; none if they can. The register begins with 0.
pub fn contradiction(calls: &[Call]) -> Option<String> {
    let begins = calls.iter().enumerate().map(|(place, call)| (call.began, false, place));
    let ends = calls.iter().enumerate().map(|(place, call)| (call.ended, true, place));
    let mut events: Vec<_> = begins.chain(ends.filter(|(at, ..)| *at != u64::MAX)).collect();
    events.sort_unstable();
    let (mut open, mut states) = (Vec::<usize>::new(), vec![State::default()]);
    for (_, is_end, place) in events {
        if !is_end {
            open.push(place);
            for state in &mut states {
                look(state, calls, &open);
            }
            continue;
        }
        let (mut seen, mut left, mut explained) = (HashSet::new(), states, Vec::<State>::new());
        while let Some(mut state) = left.pop() {
            if !seen.insert(state.clone()) {
                continue;
            }
            if state.has(place) {
                state.done.retain(|done| *done != place);
                explained.push(state);
            } else {
                left.extend(after_one_more(&state, calls, &open));
            }
        }
        open.retain(|other| *other != place);
        states = Vec::new();
        explained.sort_by_key(|state| state.unknown.len());
        for state in explained {
            if !states.iter().any(|other| other.is_as_good_as(&state)) {
                states.push(state);
            }
        }
        if states.is_empty() {
            let wrong = calls[place];
            let mut around: Vec<_> = calls.iter().filter(|call| call.began <= wrong.ended).collect();
            around.sort_unstable_by_key(|call| (call.is_unknown(), call.ended));
            let before = around.iter().rev().filter(|call| !call.is_unknown()).take(12).collect::<Vec<_>>();
            let unknown = around.iter().filter(|call| call.is_unknown()).collect::<Vec<_>>();
            return Some(format!("{wrong:?} after {before:#?} with {unknown:#?}"));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tries all orders.
    fn can_be(left: &[Call], held: u64) -> bool {
        let end = left.iter().map(|call| call.ended).min().unwrap_or(u64::MAX);
        // Those whose outcome nobody knows may never be done.
        end == u64::MAX && left.iter().all(|call| call.is_write)
            || (0..left.len()).any(|at| {
                let call = left[at];
                let others: Vec<Call> =
                    left.iter().enumerate().filter(|(other, _)| *other != at).map(|(_, call)| *call).collect();
                call.began <= end
                    && (call.is_write || call.value == held)
                    && can_be(&others, if call.is_write { call.value } else { held })
            })
    }

    #[test]
    fn it_finds_what_no_order_explains_and_nothing_else() {
        let mut random = fastrand::Rng::with_seed(7);
        for values in [2, 9] {
            let mut found = [0; 2];
            for _ in 0..20_000 {
                let writes = random.u64(1..4);
                let calls: Vec<Call> = (1..=random.u64(writes..8))
                    .map(|number| {
                        let is_write = number <= writes;
                        let value = if is_write { number % values } else { random.u64(0..=writes) % values };
                        let began = random.u64(1..30);
                        let is_lost = is_write && random.u8(0..4) == 0;
                        let ended = if is_lost { u64::MAX } else { began + random.u64(1..15) };
                        Call { value, is_write, began: began * 2, ended: if is_lost { ended } else { ended * 2 + 1 } }
                    })
                    .collect();
                let contradiction = contradiction(&calls);
                assert_eq!(contradiction.is_none(), can_be(&calls, 0), "{contradiction:?}: {calls:#?}");
                found[usize::from(contradiction.is_some())] += 1;
            }
            assert!(found.iter().all(|found| *found > 1_000), "both kinds: {found:?}");
        }
    }
}
