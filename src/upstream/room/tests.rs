//! Who goes next, and who is refused.

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::cache::WaitsFor;
use crate::config::{Callers, Weight};
use crate::share::{Share, Shares};
use crate::upstream::tests::support::{read, within};

/// A read of one caller that must be answered within so many seconds.
fn call(share: &Share, seconds: u64) -> Call {
    Call { share: share.clone(), ..within(Duration::from_secs(seconds), read()) }
}

fn share(weights: &[(&str, u32)]) -> impl Fn(&str) -> Share {
    let weights =
        weights.iter().map(|(name, weight)| Weight { callers: vec![(*name).to_owned()], weight: *weight }).collect();
    let shares = Shares::new(&Callers { weights, ..Callers::default() }, 0);
    move |name| shares.of(name)
}

/// Takes note that a call waits.
fn waits(entry: &Entry<&'static str>) {
    assert!(matches!(entry, Entry::Placed(_)));
}

fn order(room: &Room<&'static str>) -> String {
    room.iter().map(|(_, waiter)| *waiter).collect()
}

#[tokio::test(start_paused = true)]
async fn callers_take_turns_and_each_ones_earliest_deadline_goes_first() {
    let share = share(&[]);
    let (greedy, small) = (share("greedy"), share("small"));
    let mut room = Room::new(10);
    for (seconds, name) in [(3, "c"), (1, "a"), (2, "b"), (4, "d")] {
        assert!(matches!(room.enter(&call(&greedy, seconds), name), Entry::Placed(_)));
    }
    assert_eq!(order(&room), "abcd");
    room.enter(&call(&small, 9), "X");
    room.enter(&call(&small, 8), "W");
    assert_eq!(order(&room), "aWbXcd");
    let served: Vec<_> = std::iter::from_fn(|| room.take_first()).map(|(_, waiter)| waiter).collect();
    assert_eq!(served.concat(), "aWbXcd", "as it was told");
    assert_eq!(room.waiting(), 0);
}

#[tokio::test(start_paused = true)]
async fn nobody_saves_up_turns_or_gets_more_by_coming_anew() {
    let share = share(&[]);
    let (greedy, small) = (share("greedy"), share("small"));
    let mut room = Room::new(100);
    (0..20).for_each(|_| waits(&room.enter(&call(&greedy, 5), "g")));
    (0..10).for_each(|_| assert!(room.take_first().is_some()));
    (0..5).for_each(|_| waits(&room.enter(&call(&small, 5), "s")));
    assert_eq!(order(&room)[..10].matches('s').count(), 5, "they alternate from now on: {}", order(&room));
    // One who always has a single call waiting gets every second turn, too, and no more.
    let (mut room, mut turns) = (Room::new(100), String::new());
    (0..20).for_each(|_| waits(&room.enter(&call(&greedy, 5), "g")));
    room.enter(&call(&small, 1), "s");
    for _ in 0..10 {
        let (_, next) = room.take_first().expect("some wait");
        turns.push_str(next);
        if next == "s" {
            room.enter(&call(&small, 1), "s");
        }
    }
    assert_eq!(turns.matches('s').count(), 5, "{turns}");
}

#[tokio::test(start_paused = true)]
async fn one_callers_writes_do_not_starve_anothers_reads_but_go_before_its_own() {
    let share = share(&[]);
    let (writer, reader) = (share("writer"), share("reader"));
    let mut room = Room::new(10);
    let write = |seconds| Call { priority: Priority::Write, ..call(&writer, seconds) };
    room.enter(&call(&writer, 1), "r");
    (1..4).for_each(|seconds| waits(&room.enter(&write(seconds), "w")));
    room.enter(&call(&reader, 9), "X");
    room.enter(&Call { priority: Priority::Background, ..call(&share("stream"), 1) }, "b");
    assert_eq!(order(&room), "wXwwrb");
}

#[tokio::test(start_paused = true)]
async fn ever_new_callers_do_not_starve_one_who_has_several_calls() {
    let share = share(&[]);
    let mut room = Room::new(100);
    (0..3).for_each(|_| waits(&room.enter(&call(&share("busy"), 5), "b")));
    let mut turns = String::new();
    for newcomer in 0..12 {
        room.enter(&call(&share(&newcomer.to_string()), 1), "n");
        turns.push_str(room.take_first().expect("some wait").1);
    }
    assert_eq!(turns.matches('b').count(), 3, "{turns}");
}

#[tokio::test(start_paused = true)]
async fn a_caller_whose_calls_may_not_go_saves_up_no_turns_and_does_not_crowd_out_one_whose_calls_may() {
    let share = share(&[]);
    let (stuck, modest) = (share("stuck"), share("modest"));
    let mut room = Room::new(20);
    (0..20).for_each(|_| waits(&room.enter(&call(&stuck, 5), "s")));
    for _ in 0..50 {
        assert!(matches!(room.enter(&call(&modest, 9), "m"), Entry::Displaced(..) | Entry::Placed(_)));
        let first = room.iter().find(|(_, waiter)| **waiter == "m").map(|(rank, _)| rank).expect("it waits");
        room.serve(&first).expect("it is there");
    }
    (0..5).for_each(|_| assert!(!matches!(room.enter(&call(&modest, 9), "m"), Entry::Full)));
    assert!(order(&room).starts_with("ssmsmsmsmsm"), "{}", order(&room));
}

#[tokio::test(start_paused = true)]
async fn turns_are_by_weight() {
    let share = share(&[("important", 3)]);
    let (important, other) = (share("important"), share("other"));
    let mut room = Room::new(100);
    (0..40).for_each(|_| waits(&room.enter(&call(&other, 5), "o")));
    (0..40).for_each(|_| waits(&room.enter(&call(&important, 5), "i")));
    assert_eq!(order(&room)[..40].matches('i').count(), 30);
}

#[tokio::test(start_paused = true)]
async fn in_a_full_room_the_last_call_of_whoever_has_most_is_refused() {
    let share = share(&[]);
    let (greedy, small) = (share("greedy"), share("small"));
    let mut room = Room::new(4);
    for (seconds, name) in [(1, "a"), (2, "b"), (3, "c"), (4, "d")] {
        room.enter(&call(&greedy, seconds), name);
    }
    assert!(matches!(room.enter(&call(&greedy, 5), "e"), Entry::Full));
    assert!(matches!(room.enter(&call(&small, 9), "X"), Entry::Displaced(_, "d")));
    assert!(matches!(room.enter(&call(&small, 9), "Y"), Entry::Displaced(_, "c")));
    assert_eq!(order(&room), "aXbY");
    assert!(matches!(room.enter(&call(&greedy, 5), "f"), Entry::Full), "both have their part");
}

#[tokio::test(start_paused = true)]
async fn a_bulk_job_is_not_refused_for_the_reads_of_another_caller_who_has_filled_the_room() {
    let share = share(&[("heavy", 4)]);
    let (greedy, modest, heavy) = (share("greedy"), share("modest"), share("heavy"));
    let background = |share, seconds| Call { priority: Priority::Background, ..call(share, seconds) };
    let mut room = Room::new(4);
    for (seconds, name) in [(1, "a"), (2, "b"), (3, "c"), (4, "d")] {
        room.enter(&call(&greedy, seconds), name);
    }
    assert!(matches!(room.enter(&background(&modest, 9), "X"), Entry::Displaced(_, "d")));
    assert!(matches!(room.enter(&call(&greedy, 4), "e"), Entry::Full));
    assert!(matches!(room.enter(&background(&greedy, 1), "f"), Entry::Full), "its own reads go before it");
    assert_eq!(order(&room), "abcX");
    assert!(matches!(room.enter(&call(&modest, 9), "Y"), Entry::Displaced(_, "c")));
    assert!(matches!(room.enter(&call(&modest, 9), "Z"), Entry::Displaced(_, "X")), "of its own the last");
    // Who weighs four times as much may have four times as many waiting.
    (0..3).for_each(|_| assert!(!matches!(room.enter(&background(&heavy, 9), "h"), Entry::Full)));
    assert!(order(&room).ends_with("hhh"), "{}", order(&room));
}

proptest! {
    #[test]
    fn whatever_comes_and_goes_the_order_is_kept_and_nobody_is_lost(
        steps in proptest::collection::vec((0..4_u8, 0..4_usize, 1..20_u64, 0..3_usize), 1..80),
    ) {
        let share = share(&[("1", 3)]);
        let shares: Vec<Share> = (0..4).map(|name: usize| share(&name.to_string())).collect();
        let priorities = [Priority::Write, Priority::Interactive, Priority::Background];
        let mut room = Room::new(12);
        let mut here: Vec<Rank> = Vec::new();
        for (step, caller, seconds, which) in steps {
            let call = Call { priority: priorities[which], ..call(&shares[caller], seconds) };
            let ahead = room.ahead_of(&call).count();
            match step {
                0 | 1 => match room.enter(&call, ()) {
                    Entry::Placed(rank) => {
                        prop_assert_eq!(room.iter().position(|(one, ())| one == rank), Some(ahead));
                        here.push(rank);
                    }
                    Entry::Displaced(rank, ()) => {
                        let left: Vec<Rank> = room.iter().map(|(rank, ())| rank).collect();
                        here.retain(|rank| left.contains(rank));
                        here.push(rank);
                    }
                    Entry::Full => prop_assert_eq!(here.len(), 12),
                },
                2 => {
                    let first = room.iter().next().map(|(rank, ())| rank);
                    let next = room.take_first().map(|(rank, ())| rank);
                    prop_assert_eq!(first, next);
                    here.retain(|rank| Some(*rank) != next);
                }
                _ if here.is_empty() => {}
                _ => {
                    let rank = here.remove(caller % here.len());
                    prop_assert!(room.leave(&rank).is_some());
                    prop_assert!(room.leave(&rank).is_none() && room.serve(&rank).is_none());
                }
            }
            let order: Vec<Rank> = room.iter().map(|(rank, ())| rank).collect();
            prop_assert_eq!(order.len(), here.len());
            prop_assert_eq!(room.waiting(), here.len());
            prop_assert!(order.iter().all(|rank| here.contains(rank)));
            prop_assert!(order.is_sorted_by_key(Rank::class));
            for (index, one) in order.iter().enumerate() {
                let of_one = |other: &&Rank| (other.priority, other.caller) == (one.priority, one.caller);
                prop_assert!(order[index..].iter().filter(of_one).all(|later| later.deadline >= one.deadline));
            }
        }
        while room.take_first().is_some() {}
        prop_assert!(room.lanes.is_empty(), "lanes of those who have left are removed");
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_somebody_joins_moves_to_the_best_place_of_those_who_want_it_and_never_to_a_worse() {
    let share = share(&[]);
    let (greedy, small) = (share("greedy"), share("small"));
    let mut room = Room::new(5);
    let shared = Call { waits_for: WaitsFor::noted(), ..call(&greedy, 9) };
    shared.waits_for.serve(&greedy);
    for name in ["a", "b", "c"] {
        waits(&room.enter(&call(&greedy, 1), name));
    }
    let Entry::Placed(rank) = room.enter(room.wish(&shared), "F") else { panic!("there is room") };
    waits(&room.enter(&call(&greedy, 10), "d"));
    assert_eq!(room.improve(&rank, &shared), None, "nobody else wants it");
    assert_eq!(order(&room), "abcFd");
    shared.waits_for.serve(&small);
    let better = room.improve(&rank, &shared).expect("small has had no turn");
    assert!(order(&room).find('F') <= Some(1), "{}", order(&room));
    assert_eq!((room.improve(&better, &shared), room.leave(&rank)), (None, None));
    // One whose own calls wait already has no better place to give.
    let busy = share("busy");
    let mut room = Room::new(9);
    let Entry::Placed(rank) = room.enter(&call(&greedy, 1), "F") else { panic!("there is room") };
    (0..4).for_each(|_| waits(&room.enter(&call(&busy, 1), "b")));
    let shared = Call { waits_for: WaitsFor::noted(), ..call(&greedy, 1) };
    shared.waits_for.serve(&busy);
    assert_eq!(room.improve(&rank, &shared), None);
    assert_eq!(room.waiting(), 5);
}
