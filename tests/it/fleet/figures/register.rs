//! Whether what was seen of a register can have happened one after the other.
//!
//! Each write writes what no other does, so two looks at each value are enough (Gibbons and Korach, *Testing Shared Memories*,
//! 1997): from the first end of a call about it to the last begin of one. If the end comes first, the register must have held the
//! value for all of that time, and no other; else it must have held it for a moment in between.

use std::collections::HashMap;

/// A call that has ended, or whose outcome nobody knows.
#[derive(Debug, Clone, Copy)]
pub struct Call {
    pub value: u64,
    pub is_write: bool,
    pub began: u64,
    /// [`u64::MAX`] if nobody knows.
    pub ended: u64,
}

/// Returns why the calls cannot have happened one after the other; none if they can. The register begins with 0.
pub fn contradiction(calls: &[Call]) -> Option<String> {
    let first = Call { value: 0, is_write: true, began: 0, ended: 0 };
    let mut values = HashMap::<u64, Vec<Call>>::new();
    for call in calls.iter().chain([&first]) {
        values.entry(call.value).or_default().push(*call);
    }
    let (mut held, mut moments) = (Vec::new(), Vec::new());
    for (value, calls) in values {
        let Some(write) = calls.iter().find(|call| call.is_write) else {
            return Some(format!("{value} was read and never written"));
        };
        if let Some(early) = calls.iter().find(|call| call.ended < write.began) {
            return Some(format!("{early:?} before {write:?}"));
        }
        // It may never have been done.
        if calls.len() == 1 && write.ended == u64::MAX {
            continue;
        }
        let end = calls.iter().map(|call| call.ended).min().unwrap_or_default();
        let begin = calls.iter().map(|call| call.began).max().unwrap_or_default();
        if end < begin { held.push((end, begin, value)) } else { moments.push((begin, end, value)) }
    }
    held.sort_unstable();
    if let Some(pair) = held.windows(2).find(|pair| pair[1].0 < pair[0].1) {
        return Some(format!("{} and {} at the same time: {pair:?}", pair[0].2, pair[1].2));
    }
    let within = |moment: &&(u64, u64, u64)| held.iter().any(|(from, to, _)| *from < moment.0 && moment.1 < *to);
    moments.iter().find(within).map(|moment| format!("{} while there was another: {moment:?}", moment.2))
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
        let mut found = [0; 2];
        for _ in 0..20_000 {
            let writes = random.u64(1..4);
            let calls: Vec<Call> = (1..=random.u64(writes..8))
                .map(|number| {
                    let is_write = number <= writes;
                    let value = if is_write { number } else { random.u64(0..=writes) };
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
