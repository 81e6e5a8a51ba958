use super::*;

fn shares() -> Shares {
    let limits = config::Callers {
        max_calls: 3,
        max_streams: 1,
        max_requests_per_minute: 60,
        message_memory_percent: 60,
        ..config::Callers::default()
    };
    Shares::new(&limits, 1000)
}

#[test]
fn a_caller_is_the_same_in_each_of_its_calls_and_no_other() {
    let shares = shares();
    let one = shares.of("api_key:a");
    assert_eq!(one.id(), shares.of("api_key:a").id());
    assert_ne!(one.id(), shares.of("api_key:b").id());
    let id = one.id();
    drop(one);
    assert_eq!(id, shares.of("api_key:a").id(), "it has left and come again");
}

#[test]
fn callers_who_have_left_are_forgotten() {
    let shares = shares();
    let stays = shares.of("stays");
    for number in 0..10 * FIRST_SWEEP {
        shares.of(&number.to_string());
    }
    assert!(shares.known().shares.len() <= FIRST_SWEEP + 1);
    assert_eq!(shares.of("stays").id(), stays.id());
}

#[test]
fn a_caller_has_only_so_many_calls_and_streams_and_takes_none_from_others() {
    let shares = shares();
    let (one, other) = (shares.of("one"), shares.of("other"));
    let stream = one.take(true).expect("its only stream");
    let why = |refused: Result<Taken>| refused.expect_err("too many").to_string();
    assert!(why(one.take(true)).contains("streams at a time"));
    let calls = [one.take(false), one.take(false)].map(|call| call.expect("there is room"));
    assert!(why(one.take(false)).contains("calls at a time"));
    other.take(true).expect("others have theirs");
    drop(stream);
    one.take(true).expect("there is room again");
    drop(calls);
}

#[test]
fn calls_whose_message_is_late_are_limited_apart_from_the_others() {
    let shares = shares();
    let (one, other) = (shares.of("one"), shares.of("other"));
    let late = [(); 3].map(|()| one.take_late().expect("as many as calls"));
    assert!(one.take_late().is_none());
    assert!(one.take(false).is_ok() && other.take_late().is_some());
    drop(late);
    assert!(one.take_late().is_some());
}

#[test]
fn bytes_are_limited_for_each_caller_and_for_all_together() {
    let shares = shares();
    let (one, other) = (shares.of("one"), shares.of("other"));
    let charge = one.charge(600).expect("its share");
    assert!(matches!(one.charge(1), Err(Error::CallerLimit { .. })));
    let rest = other.charge(400).expect("what is left");
    assert!(matches!(other.charge(1), Err(Error::CallerLimit { .. })), "it has more than is left");
    assert!(matches!(shares.of("third").charge(1), Err(Error::Overloaded { .. })));
    assert_eq!(shares.bytes(), 1000);
    drop((charge, rest));
    assert_eq!(shares.bytes(), 0);
    one.charge(600).expect("all was given back");
}

#[test]
fn callers_who_take_all_they_may_leave_a_part_however_many_they_are() {
    let limits = config::Callers { max_calls: 50, message_memory_percent: 50, ..config::Callers::default() };
    for greedy in 1..=9 {
        let shares = Shares::new(&limits, 1000);
        let (mut calls, mut charges, mut most) = (Vec::new(), Vec::new(), 0);
        let mut take = |share: &Share| {
            let call = share.take(false).and_then(|call| share.leaves_calls(100 - calls.len(), 100).map(|()| call));
            let charge = share.charge(10);
            let is_refused = call.is_err() && charge.is_err();
            calls.extend(call);
            charges.extend(charge);
            most = most.max(calls.len());
            !is_refused
        };
        for _ in 0..200 {
            for number in 0..greedy {
                take(&shares.of(&number.to_string()));
            }
        }
        let part = 100 / (greedy + 1);
        assert!(take(&shares.of("modest")), "{greedy}");
        assert!(calls.len() <= 100 - part + greedy, "{greedy} callers have {} of 100 calls", calls.len());
        assert!(shares.bytes() <= 1000 - 10 * part + 10 * greedy, "{greedy} callers have {}", shares.bytes());
    }
}

#[test]
fn what_alone_is_more_than_a_share_is_not_refused_as_if_it_would_fit_later() {
    let one = shares().of("one");
    assert!(matches!(one.charge(601), Err(Error::ReplyTooLarge { bytes: 601, limit: 600, .. })));
    let mut charge = one.charge(400).expect("its share");
    assert!(matches!(charge.grow(201), Err(Error::ReplyTooLarge { .. })));
    charge.set(600).expect("all of its share");
    charge.set(100).expect("less");
    assert!(one.charge(500).is_ok() && one.charge(501).is_err());
    assert!(
        Charge::ahead(&one, 200).is_some() && Charge::ahead(&one, 201).is_none(),
        "half is left for what is needed"
    );
}

#[tokio::test(start_paused = true)]
async fn requests_come_at_an_even_pace_after_a_burst() {
    let share = shares().of("one");
    let now = Instant::now();
    let at_once = (0..60).take_while(|_| share.take_request(now).is_ok()).count();
    assert_eq!(at_once, 7, "a tenth of a minute's, and the one that is due");
    assert_eq!(share.take_request(now), Err(now + Duration::from_secs(1)));
    share.take_request(now + Duration::from_secs(1)).expect("it is due");
    assert!(shares().of("two").take_request(now).is_ok());
    let (own, hour) = (Share::default(), 0..100_000);
    assert!(hour.into_iter().all(|_| own.take_request(now).is_ok()), "no limit");
}
