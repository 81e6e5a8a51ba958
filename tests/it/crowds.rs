//! Many callers at once for few answers.

use std::time::Duration;

use prost::Message as _;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tonic::{Code, Request};
use zendesk_gateway::config::Config;
use zendesk_gateway::proto::{GetGroupRequest, GetUserRequest, GetUserResponse};

use crate::support::basic;
use crate::support::seam::{Seam, ids, records, said, within};

const LATENCY: Duration = Duration::from_millis(450);

#[tokio::test(start_paused = true)]
async fn a_thousand_callers_with_mixed_deadlines_cost_one_request_and_all_with_time_are_answered() {
    for user in [true, false] {
        let t = Seam::new(&Config::default(), |call| async move {
            sleep(LATENCY).await;
            records(&call)
        });
        let mut callers = JoinSet::new();
        for number in 0..1_000 {
            let deadline = Duration::from_micros(100_000 + number * 1_901); // to 2 s
            let rpc = t.rpc.clone();
            callers.spawn(async move {
                let began = Instant::now();
                let code = if user {
                    rpc.get_user(within(deadline, GetUserRequest { id: 7, ..Default::default() })).await.map(drop)
                } else {
                    rpc.get_group(within(deadline, GetGroupRequest { id: 7, ..Default::default() })).await.map(drop)
                };
                (deadline, began.elapsed(), code.map_or_else(|status| status.code(), |()| Code::Ok))
            });
        }
        let (mut answered, mut late) = (0, 0);
        for (deadline, took, code) in callers.join_all().await {
            // Timers go by the millisecond, and some time is kept back for the answer and its way home.
            let expected = match deadline.checked_sub(LATENCY) {
                None => Code::DeadlineExceeded,
                Some(spare) if spare > Duration::from_millis(75) => Code::Ok,
                Some(_) => code,
            };
            assert_eq!(code, expected, "with a deadline of {deadline:?}, after {took:?}");
            let limit = deadline.min(LATENCY) + Duration::from_millis(3);
            assert!(took <= limit, "a deadline of {deadline:?} took {took:?}");
            *(if code == Code::Ok { &mut answered } else { &mut late }) += 1;
        }
        assert_eq!(t.hits(), 1, "{answered} answered, {late} too late");
        assert!(answered > 750 && late > 150, "{answered} answered, {late} too late");
        assert_eq!(t.cache.counts().flights_in_progress, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_crowd_whose_deadlines_are_all_too_short_costs_one_request_and_leaves_nothing_behind() {
    let t = Seam::new(&Config::default(), |call| async move {
        sleep(LATENCY).await;
        records(&call)
    });
    let mut callers = JoinSet::new();
    for _ in 0..1_000 {
        let rpc = t.rpc.clone();
        callers.spawn(async move {
            rpc.get_group(within(LATENCY / 3, GetGroupRequest { id: 7, ..Default::default() })).await.map(drop)
        });
    }
    assert!(callers.join_all().await.iter().all(Result::is_err));
    sleep(Duration::from_millis(100)).await;
    let (counts, queue) = (t.cache.counts(), t.control.snapshot().queue);
    assert_eq!((t.hits(), counts.cancelled_flights, counts.flights_in_progress), (1, 1, 0));
    assert_eq!((queue.in_use, queue.waiting), (0, 0));
}

#[tokio::test(start_paused = true)]
#[ignore = "slow"]
async fn in_ten_thousand_interleaved_calls_no_credential_sees_what_another_may_read() {
    const CALLERS: [&str; 2] = ["one@acme.example/token:1", "two@acme.example/token:2"];
    let headers = CALLERS.map(|pair| basic(pair).header());
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let t = Seam::new(&Config::default(), move |call| {
        let whose = headers.iter().position(|header| *header == call.credential.header()).expect("one of the two");
        async move {
            sleep(Duration::from_millis(ids(&call).iter().sum::<i64>().unsigned_abs() % 90)).await;
            let row = |id: &i64| format!(r#"{{"id":{id},"name":"{whose}"}}"#);
            let rows: Vec<String> = ids(&call).iter().map(row).collect();
            let many = call.rest.path.ends_with("show_many");
            said(
                &call,
                &if many {
                    format!(r#"{{"users":[{}]}}"#, rows.join(","))
                } else {
                    format!(r#"{{"user":{}}}"#, rows[0])
                },
            )
        }
    });
    let rpcs = CALLERS.map(|pair| t.signed(pair));
    let mut calls = JoinSet::new();
    for _ in 0..10_000 {
        let (whose, id) = (random.usize(0..2), random.i64(1..60));
        let (rpc, begins) = (rpcs[whose].clone(), Duration::from_millis(random.u64(0..120_000)));
        calls.spawn(async move {
            sleep(begins).await;
            let answer = rpc
                .get_user(Request::new(GetUserRequest { id, ..Default::default() }))
                .await
                .expect("alive")
                .into_inner();
            let user = GetUserResponse::decode(answer.bytes().clone()).expect("it is one").user.expect("set");
            (user.id == id && user.name == Some(whose.to_string()), whose, id)
        });
    }
    let wrong: Vec<_> = calls.join_all().await.into_iter().filter(|(right, ..)| !right).collect();
    assert!(wrong.is_empty(), "seed {seed}: {wrong:?}");
    let counts = t.cache.counts();
    assert!(counts.hits > 5_000 && counts.batched_ids > 100, "the cache and its batches took part: {counts:?}");
}
