//! Who gets the next slot.

use futures_util::FutureExt as _;

use super::*;
use crate::config::Callers;
use crate::share::Shares;

/// Slots of which a caller holds all, and callers by name.
fn all_taken() -> (Arc<Slots>, Vec<Slot>, impl Fn(&str) -> Share) {
    let slots = Arc::<Slots>::default();
    let shares = Shares::new(&Callers::unlimited(), 0);
    let of = move |name: &str| shares.of(name);
    let held = (0..MOST_JOBS).map(|_| slots.take_over(&of("greedy"))).collect();
    (slots, held, of)
}

fn got(waiting: &mut Waiting) -> Option<Slot> {
    waiting.slot().now_or_never()
}

#[tokio::test(start_paused = true)]
async fn callers_take_turns_and_so_do_the_calls_of_one() {
    let (slots, mut held, of) = all_taken();
    held.truncate(MOST_JOBS - LEFT - 1);
    let _own = slots.take_over(&of("small"));
    let mut greedy: Vec<Waiting> = (0..3).map(|_| slots.wait(&of("greedy"))).collect();
    let mut small = slots.wait(&of("small"));
    assert_eq!((slots.counts().active, slots.counts().waiting), (28, 4));
    // The greedy one's first call was there before.
    held.pop();
    let first = got(&mut greedy[0]).expect("its turn");
    assert!(got(&mut small).is_none());
    greedy[0] = slots.wait(&of("greedy"));
    held.pop();
    let second = got(&mut small).expect("before the second of the other");
    held.pop();
    let third = got(&mut greedy[1]).expect("its turn");
    held.pop();
    let fourth = got(&mut greedy[2]).expect("before the call that had one");
    assert!(got(&mut greedy[0]).is_none());
    assert_eq!(slots.counts().active, 28);
    drop((first, second, third, fourth));
    assert!(got(&mut greedy[0]).is_some());
}

#[tokio::test(start_paused = true)]
async fn two_slots_are_left_for_callers_who_have_none() {
    let (slots, held, of) = all_taken();
    drop(held);
    let mut greedy: Vec<Waiting> = (0..40).map(|_| slots.wait(&of("greedy"))).collect();
    let held: Vec<Slot> = greedy.iter_mut().filter_map(got).collect();
    assert_eq!(held.len(), 28);
    let (mut small, mut other) = ([slots.wait(&of("small")), slots.wait(&of("small"))], slots.wait(&of("other")));
    let slot = got(&mut small[0]).expect("it is left for such");
    assert!(got(&mut small[1]).is_none());
    let last = got(&mut other).expect("the other one");
    drop((slot, last));
    assert!(got(&mut small[1]).is_some());
}

#[tokio::test(start_paused = true)]
async fn who_leaves_takes_no_slot_along() {
    let (slots, mut held, of) = all_taken();
    let (waits, mut stays) = (slots.wait(&of("one")), slots.wait(&of("two")));
    // It was given the slot, and did not look any more.
    held.pop();
    drop(waits);
    assert!(got(&mut stays).is_some());
    let (left, mut next) = (slots.wait(&of("one")), slots.wait(&of("two")));
    drop(left);
    assert!(got(&mut next).is_some());
    drop((held, next));
    assert_eq!((slots.counts().active, slots.counts().waiting), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_call_without_a_slot_learns_who_holds_them() {
    let (slots, mut held, of) = all_taken();
    let told = |name: &str| match slots.taken(&of(name)) {
        Error::SlotsTaken { own, others } => (own, others),
        other => panic!("{other:?}"),
    };
    held.truncate(20);
    held.extend((0..10).map(|_| slots.take_over(&of("small"))));
    assert_eq!((told("greedy"), told("small"), told("new")), ((20, 10), (10, 20), (0, 30)));
    let error = slots.taken(&of("new"));
    assert!(error.retry_after().is_some() && error.reason() == "JOB_LIMIT", "{error:?}");
    // A job that runs already takes a slot, whether there is one or not.
    let more = slots.take_over(&of("small"));
    held.pop();
    assert!(got(&mut slots.wait(&of("new"))).is_none(), "there were 31");
    drop(more);
    assert!(got(&mut slots.wait(&of("new"))).is_some());
}

#[tokio::test(start_paused = true)]
async fn while_others_fill_the_account_one_tries_for_all_from_time_to_time() {
    let (slots, mut held, of) = all_taken();
    held.truncate(5);
    slots.refused(held.pop().expect("one"));
    let (mut one, mut two) = (slots.wait(&of("one")), slots.wait(&of("two")));
    assert!(got(&mut one).is_none());
    let began = Instant::now();
    let slot = one.slot().await;
    assert_eq!(began.elapsed(), REFUSED_PAUSE);
    assert!(got(&mut two).is_none(), "nobody knows yet");
    slots.refused(slot);
    let slot = two.slot().await;
    assert_eq!(began.elapsed(), REFUSED_PAUSE * 2);
    let mut one = slots.wait(&of("one"));
    assert!(got(&mut one).is_none());
    slots.started();
    let other = got(&mut one).expect("there is room");
    slots.refused(other);
    let (mut one, mut two) = (slots.wait(&of("one")), slots.wait(&of("two")));
    assert!(got(&mut one).is_none());
    slot.ended(&Job::default());
    let slot = got(&mut one).expect("one of ours has ended");
    assert!(got(&mut two).is_none(), "that makes room for one");
    assert_eq!(slots.counts().failed, 1);
    slots.started();
    let (other, mut three) = (got(&mut two).expect("it was accepted, so the next one tries"), slots.wait(&of("three")));
    assert!(got(&mut three).is_none());
    drop(three);
    slots.started();
    let mut all: Vec<Waiting> = (0..3).map(|_| slots.wait(&of("one"))).collect();
    assert!(all.iter_mut().all(|waiting| got(waiting).is_some()), "nobody waited when the last one was accepted");
    drop((slot, other));
}
