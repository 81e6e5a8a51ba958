//! What the pool learns, and for how long it believes it.

use super::super::lane::Pings;
use super::super::link::Link;
use super::streams::{Limit, STREAMS_ASSUMED};
use super::*;
use crate::upstream::client::IDLE_TIMEOUT;

const READ: Needs = Needs { has_body: false, tries: true, purpose: Purpose::Usual };

fn pool(url: &str) -> Pool {
    let origin = Origin::new(&url.parse().expect("a URL"), None).expect("nothing is read");
    Pool::new(&origin, &config::Connection::default()).expect("a client")
}

#[tokio::test(start_paused = true)]
async fn a_smaller_number_of_requests_is_believed_for_longer_each_time_that_it_is_found_again() {
    let pool = pool("https://127.0.0.1:1");
    let lane = pool.lane(Purpose::Usual).expect("a client");
    for _ in 0..2 {
        let _ = lane.take();
    }
    let streams = || pool.state().streams.most();
    assert_eq!(streams(), STREAMS_ASSUMED);
    for believed in [250, 500, 1_000, 2_000, 2_000] {
        pool.learn(&lane, true);
        pool.learn(&lane, true); // by another request, at the same time
        assert_eq!(streams(), 2);
        tokio::time::sleep(Duration::from_millis(believed - 1)).await;
        assert_eq!(streams(), 2);
        tokio::time::sleep(Duration::from_millis(1)).await;
        assert_eq!(streams(), STREAMS_ASSUMED, "it may be more again");
        assert_eq!(pool.allowed(false), 2, "a request that cannot be withdrawn does not try it");
        assert_eq!(pool.snapshot().http2_streams, 2, "what is known is told");
    }
    let _ = lane.take();
    pool.learn(&lane, true);
    let known = pool.state().streams.limit();
    assert_eq!(known.map(|limit| (limit.streams, limit.believed)), Some((3, BELIEVED)), "a new number");
    pool.learn(&lane, false);
    assert_eq!(streams(), 2, "one that has no body may be held back");
    for _ in 0..5 {
        let _ = lane.take();
    }
    pool.answered(&lane);
    assert_eq!(streams(), STREAMS_ASSUMED, "more were answered");
}

#[tokio::test(start_paused = true)]
async fn the_failure_of_a_further_connection_counts_once_however_many_waited_for_it() {
    let pool = pool("https://127.0.0.1:1");
    let open = pool.lane(Purpose::Usual).expect("a client");
    let _ = open.take();
    open.heard(true);
    pool.state().lanes.push(open);
    let full = Limit { streams: 0, learnt: Instant::now(), believed: Duration::from_hours(1) };
    pool.state().streams = Streams::limited(full);
    for believed in [250, 500, 1_000] {
        let link = Arc::new(Link::new(&pool.counters));
        let client = pool.origin.client().build().expect("a client");
        let failed = Lane::new(client, Arc::clone(&link), Purpose::Usual, Pings::default(), &pool.changed);
        link.fail(ConnectionError::new("refused"));
        for _ in 0..40 {
            drop(pool.step(Some(Arc::clone(&failed)), READ, Instant::now()));
        }
        let known = pool.state().no_further.map(|(_, believed)| believed.as_millis());
        assert_eq!(known, Some(believed));
        tokio::time::sleep(Duration::from_secs(5)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn connections_that_answer_nothing_take_the_place_of_no_other_also_once_pings_have_decided() {
    let pool = pool("https://127.0.0.1:1");
    for _ in 0..4 {
        let lane = pool.lane(Purpose::Usual).expect("a client");
        let _ = lane.take();
        pool.state().lanes.push(lane);
    }
    let may_open = || pool.may_open(&pool.state(), Purpose::Usual);
    assert!(!may_open());
    for _ in 0..5 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(may_open());
    }
    for _ in 0..4 {
        let lane = pool.lane(Purpose::Usual).expect("a client");
        pool.state().lanes.push(lane);
    }
    assert!(!may_open(), "they are as many as may answer");
}

#[tokio::test]
async fn connections_are_replaced_at_most_once_a_second() {
    let pool = pool("http://127.0.0.1:1");
    let lane =
        async || Arc::clone(pool.seat(0, READ, Instant::now()).await.expect("without TLS there is always room").lane());
    let first = lane().await;
    pool.renew(&first);
    assert!(Arc::ptr_eq(&first, &lane().await), "too soon");
    pool.state().renewed -= LEAST;
    let second = lane().await;
    assert!(!Arc::ptr_eq(&first, &second), "what was asked for too soon is done at the next request");
    pool.state().renewed -= LEAST;
    assert!(Arc::ptr_eq(&second, &lane().await), "once");
}

#[tokio::test(start_paused = true)]
async fn each_connection_is_told_once_with_the_reason_of_its_end_and_its_age() {
    let pool = pool("https://127.0.0.1:1");
    let told = Arc::new(Mutex::new(Vec::new()));
    let to = Arc::clone(&told);
    pool.on_end(move |why, age| to.lock().expect("no panic").push((why, age.as_secs())));
    let connected = || {
        let link = Arc::new(Link::new(&pool.counters));
        link.connected(true);
        let lane = Lane::new(
            pool.origin.client().build().expect("a client"),
            link,
            Purpose::Usual,
            Pings::default(),
            &pool.changed,
        );
        let _ = lane.take();
        lane.heard(true);
        pool.state().lanes.push(Arc::clone(&lane));
        lane
    };
    let ends = [
        (End::Goaway, &(|lane: &Lane| lane.end(End::Goaway)) as &dyn Fn(&Lane)),
        (End::Error, &|lane| {
            let _ = lane.broke(End::Error);
        }),
        (End::Replaced, &|lane| lane.retire()),
        (End::Closed, &|lane| lane.found_closed()),
    ];
    for (why, end) in ends {
        let lane = connected();
        tokio::time::sleep(Duration::from_secs(9)).await;
        end(&lane);
        end(&lane);
        drop(lane);
        let _ = pool.snapshot();
        let age = if why == End::Closed { 0 } else { 9 };
        assert_eq!(told.lock().expect("no panic").drain(..).collect::<Vec<_>>(), [(why, age)]);
    }
    drop(connected());
    tokio::time::sleep(IDLE_TIMEOUT + SPARE).await;
    let lane = Arc::clone(&pool.state().lanes[0]);
    lane.found_closed();
    drop((connected(), connected()));
    tokio::time::sleep(SPARE * 2).await;
    let _ = pool.snapshot();
    pool.close();
    let told: Vec<End> = told.lock().expect("no panic").drain(..).map(|(why, _)| why).collect();
    assert_eq!(told, [End::Idle, End::Idle, End::Drained]);
    assert_eq!(pool.snapshot().http2_open, 0);
}

#[tokio::test(start_paused = true)]
async fn uploads_have_a_connection_of_their_own_if_there_may_be_one_more() {
    const UPLOAD: Needs = Needs { has_body: true, tries: true, purpose: Purpose::Uploads };
    let lane = |pool: &Pool, needs| match pool.step(None, needs, Instant::now()) {
        Ok(Step::Take(seat)) => Arc::clone(seat.lane()),
        _ => panic!("there is a place"),
    };
    for most in [1, 2] {
        let mut pool = pool("https://127.0.0.1:1");
        pool.settings.most = most;
        let open = pool.lane(Purpose::Usual).expect("a client");
        let _ = open.take();
        open.heard(true);
        pool.state().lanes.push(Arc::clone(&open));
        let of_upload = lane(&pool, UPLOAD);
        assert_eq!(Arc::ptr_eq(&of_upload, &open), most == 1);
        assert!(Arc::ptr_eq(&lane(&pool, UPLOAD), &of_upload) && Arc::ptr_eq(&lane(&pool, READ), &open));
    }
}

/// All that may come on their connection and is not read fits its window, whatever waits for memory.
#[tokio::test(start_paused = true)]
async fn few_large_answers_at_a_time_have_a_connection_of_their_own() {
    const LARGE: Needs = Needs { purpose: Purpose::LargeAnswers, ..READ };
    let pool = pool("https://127.0.0.1:1");
    let [usual, large] = [Purpose::Usual, Purpose::LargeAnswers].map(|purpose| {
        let lane = pool.lane(purpose).expect("a client");
        for _ in 0..2 * sizes::MOST_LARGE {
            let _ = lane.take();
        }
        lane.heard(true);
        pool.state().lanes.push(Arc::clone(&lane));
        lane
    });
    pool.answered(&large);
    let seat = |needs| match pool.step(None, needs, Instant::now()) {
        Ok(Step::Take(seat)) => seat,
        _ => panic!("there is a place"),
    };
    let seats: Vec<Seat> = (0..=sizes::MOST_LARGE).map(|_| seat(LARGE)).collect();
    let (last, first) = seats.split_last().expect("many");
    assert!(first.iter().all(|seat| Arc::ptr_eq(seat.lane(), &large)) && Arc::ptr_eq(last.lane(), &usual));
    assert!(Arc::ptr_eq(seat(READ).lane(), &usual));
}

#[tokio::test(start_paused = true)]
async fn silent_connections_take_the_place_of_no_other_up_to_as_many_again() {
    let most = config::Connection::default().most;
    for (silent, opens) in [(most - 1, true), (most, true), (2 * most - 1, true), (2 * most, false)] {
        let pool = pool("https://127.0.0.1:1");
        for _ in 0..silent {
            let lane = pool.lane(Purpose::Usual).expect("a client");
            let _ = lane.take();
            pool.state().lanes.push(lane);
        }
        tokio::time::sleep(Duration::from_millis(760)).await;
        assert!(pool.state().lanes.iter().all(|lane| lane.is_silent()));
        drop(pool.step(None, READ, Instant::now()));
        assert_eq!(pool.state().lanes.len(), silent + usize::from(opens), "{silent} are silent");
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_refuses_all_or_ends_no_answer_is_left_although_it_answers_pings() {
    let pool = pool("https://127.0.0.1:1");
    let lane = || {
        let lane = pool.lane(Purpose::Usual).expect("a client");
        let _ = lane.take();
        lane
    };
    let refusing = lane();
    for (accepts, is_left) in [(true, false), (false, true)] {
        refusing.refuse();
        tokio::time::sleep(Duration::from_millis(900)).await;
        refusing.refuse();
        assert!(!refusing.is_over());
        if accepts {
            refusing.accepted();
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
        refusing.refuse();
        assert_eq!(refusing.is_over(), is_left, "accepts one in between: {accepts}");
    }
    for (ends, is_left) in [(true, false), (false, true)] {
        let lane = lane();
        let _ = lane.take();
        for _ in 0..20 {
            tokio::time::sleep(Duration::from_millis(500)).await;
            lane.heard(ends);
        }
        lane.give_up();
        assert_eq!(lane.is_over(), is_left, "answers end: {ends}");
    }
}
