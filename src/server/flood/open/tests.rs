//! Which connection makes room for a new one, and when.

use std::sync::atomic::{AtomicU64, Ordering};

use super::*;
use crate::gateway::InUse;

fn add(open: &mut Open, address: &str, activity: &Activity) {
    let task = tokio::spawn(std::future::pending::<()>()).id();
    open.begun(task, address.parse().expect("an address"), activity.clone());
}

/// A call of a known caller, who has no other connection.
fn call(activity: &Activity) -> InUse {
    static CALLERS: AtomicU64 = AtomicU64::new(1 << 32);
    call_of(activity, CALLERS.fetch_add(1, Ordering::Relaxed))
}

fn call_of(activity: &Activity, caller: u64) -> InUse {
    InUse::begin(&activity.connection().usage, caller)
}

/// The connections of a test, oldest first, begun a second apart.
async fn connections(addresses: &[&str]) -> (Open, Vec<Activity>) {
    let (mut open, mut all) = (Open::default(), Vec::new());
    for address in addresses {
        let activity = Activity::begin();
        activity.speaks();
        add(&mut open, address, &activity);
        all.push(activity);
        tokio::time::advance(Duration::from_secs(1)).await;
    }
    (open, all)
}

fn leaving(all: &[Activity]) -> Vec<bool> {
    all.iter().map(|activity| activity.idle(Instant::now()).is_none()).collect()
}

#[tokio::test(start_paused = true)]
async fn the_connection_that_was_idle_longest_makes_room() {
    let (mut open, all) = connections(&["10.0.0.1:1", "10.0.0.1:2", "10.0.0.1:3"]).await;
    for activity in &all {
        drop(call(activity));
    }
    tokio::time::advance(MIN_IDLE).await;
    // The oldest was in use until now.
    drop(call(&all[0]));
    assert_eq!(open.make_room(), Room::Made);
    assert_eq!(leaving(&all).iter().filter(|leaves| **leaves).count(), 1);
    assert!(!leaving(&all)[0]);
    assert_eq!(open.make_room(), Room::Made);
    assert_eq!(leaving(&all), [false, true, true]);
    let Room::Soon(then) = open.make_room() else { panic!("the first will be idle soon") };
    tokio::time::sleep_until(then).await;
    while let Room::Soon(then) = open.make_room() {
        tokio::time::sleep_until(then).await;
    }
    assert_eq!(leaving(&all), [true; 3]);
    assert_ne!(open.make_room(), Room::Made, "nobody is asked twice");
}

#[tokio::test(start_paused = true)]
async fn the_silent_make_room_first_and_sooner_and_then_those_that_never_had_a_call() {
    let (mut open, mut all) = connections(&["10.0.0.1:1", "10.0.0.1:2", "10.0.0.1:3"]).await;
    drop(call(&all[0]));
    tokio::time::advance(MIN_IDLE).await;
    let silent = Activity::begin();
    add(&mut open, "10.0.0.1:4", &silent);
    all.push(silent);
    tokio::time::advance(MIN_UNPROVEN).await;
    for wanted in [[false, false, false, true], [false, true, false, true], [false, true, true, true], [true; 4]] {
        assert_eq!(open.make_room(), Room::Made);
        assert_eq!(leaving(&all), wanted);
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_with_a_call_keeps_its_place() {
    let (mut open, all) = connections(&["10.0.0.1:1"]).await;
    let call = call(&all[0]);
    tokio::time::advance(MIN_IDLE * 10).await;
    assert_eq!(open.make_room(), Room::Never);
    drop(call);
    tokio::time::advance(MIN_UNPROVEN).await;
    assert!(matches!(open.make_room(), Room::Soon(_)));
    tokio::time::advance(MIN_IDLE).await;
    assert_eq!(open.make_room(), Room::Made);
}

#[tokio::test(start_paused = true)]
async fn who_has_most_connections_keeps_them_by_calling_again_and_again_no_longer_than_others_wait() {
    let (mut open, mut all) = (Open::default(), Vec::new());
    for caller in [7, 7, 7, 7, 7, 7, 8, 9] {
        let activity = Activity::begin();
        activity.speaks();
        add(&mut open, "10.0.0.1:1", &activity);
        drop(call_of(&activity, caller));
        all.push((caller, activity));
    }
    let leave = |all: &[(u64, Activity)]| -> Vec<u64> {
        all.iter().filter(|(_, activity)| activity.is_to_leave()).map(|(caller, _)| *caller).collect()
    };
    let again = |all: &[(u64, Activity)]| all.iter().for_each(|(caller, activity)| drop(call_of(activity, *caller)));
    assert_eq!(open.make_room(), Room::Made, "it was in use just now, but not only it is the caller's");
    assert_eq!(leave(&all), [7]);
    let pace = GREEDY / 8;
    assert_eq!(open.make_room(), Room::Soon(Instant::now() + pace), "the next not at once");
    tokio::time::advance(pace / 2).await;
    again(&all);
    assert!(matches!(open.make_room(), Room::Soon(_)));
    tokio::time::advance(pace / 2).await;
    again(&all);
    assert_eq!(open.make_room(), Room::Made);
    assert_eq!(leave(&all), [7, 7]);
    // Of those who have never been in use, one goes first, and at once.
    add(&mut open, "10.0.0.1:1", &Activity::begin());
    tokio::time::advance(MIN_UNPROVEN).await;
    assert_eq!(open.make_room(), Room::Made);
    assert_eq!(leave(&all), [7, 7]);
    // A connection with a call stays, whoever it belongs to.
    let calls: Vec<InUse> = all.iter().map(|(caller, activity)| call_of(activity, *caller)).collect();
    tokio::time::advance(pace).await;
    assert_eq!(leave(&all), [7, 7]);
    while open.make_room() != Room::Never {
        tokio::time::advance(MIN_UNPROVEN).await;
    }
    assert_eq!(leave(&all), [7, 7]);
    drop(calls);
    tokio::time::advance(MIN_IDLE).await;
    for left in [3, 2, 1, 0] {
        assert_eq!(open.make_room(), Room::Made);
        let sevens = all.iter().filter(|(caller, activity)| *caller == 7 && !activity.is_to_leave()).count();
        assert_eq!(sevens, left, "who has most goes before others who were idle as long");
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_was_idle_and_is_not_any_more_makes_no_room() {
    let (mut open, all) = connections(&["10.0.0.1:1", "10.0.0.1:2", "10.0.0.1:3", "10.0.0.1:4"]).await;
    tokio::time::advance(MIN_IDLE).await;
    assert_eq!(open.make_room(), Room::Made);
    assert_eq!(leaving(&all), [true, false, false, false]);
    // The next one calls, and the one after it ends.
    drop(call(&all[1]));
    let third = open.all.iter().find(|(_, (_, activity))| activity.is(&all[2])).map(|(one, _)| *one);
    open.ended(third.expect("it is open"));
    assert_eq!(open.make_room(), Room::Made);
    assert_eq!(leaving(&all), [true, false, false, true]);
    assert_ne!(open.make_room(), Room::Made);
}

#[tokio::test(start_paused = true)]
async fn for_each_that_waits_one_makes_room_as_soon_as_it_may() {
    let (mut open, all) = connections(&["10.0.0.1:1", "10.0.0.1:2", "10.0.0.1:3"]).await;
    drop(call(&all[2]));
    assert_eq!(open.make_all_room(), None, "nobody waits");
    for number in 5..8 {
        add(&mut open, &format!("10.0.0.1:{number}"), &Activity::without_a_place());
    }
    let then = open.make_all_room().expect("two have been idle for long enough, and three wait");
    assert_eq!(leaving(&all), [true, true, false]);
    assert!(then > Instant::now());
    tokio::time::advance(MIN_IDLE).await;
    assert_eq!(open.make_all_room(), None, "they have not closed yet, and there is one for each");
    assert_eq!(leaving(&all), [true; 3]);
}

#[tokio::test(start_paused = true)]
async fn of_those_who_wait_goes_the_oldest_whose_address_has_most_connections() {
    let (mut open, _) = connections(&["10.0.0.1:1", "10.0.0.1:2", "10.0.0.2:1"]).await;
    (1..6).for_each(|port| add(&mut open, &format!("10.0.0.5:{port}"), &Activity::begin()));
    let waiting = ["10.0.0.3:1", "10.0.0.1:3", "10.0.0.1:4", "10.0.0.2:2"].map(|address| {
        let activity = Activity::without_a_place();
        add(&mut open, address, &activity);
        activity
    });
    let displaced = || waiting.iter().map(Activity::is_to_leave).collect::<Vec<_>>();
    let other = "10.0.0.9:1".parse().expect("an address");
    assert!(!open.displace("10.0.0.5:9".parse().expect("an address")), "nobody who waits has as many as it");
    assert!(open.displace(other));
    assert_eq!(displaced(), [false, true, false, false]);
    waiting[2].has_its_place();
    assert!(open.displace(other));
    assert_eq!(displaced(), [false, true, false, true], "who has a place is left alone");
    assert!(open.displace(other), "of equals the one who came first goes");
    assert!(!open.displace(other), "nobody waits");
}

#[tokio::test(start_paused = true)]
async fn a_peer_is_its_address_however_it_is_written() {
    let (open, _all) = connections(&["10.0.0.1:1", "[::ffff:10.0.0.1]:2", "10.0.0.2:1"]).await;
    assert_eq!(open.of("10.0.0.1:9".parse().expect("an address")), 2);
}
