//! Many callers at once for few answers.

use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tonic::Code;
use zendesk_gateway::config::Config;
use zendesk_gateway::proto::group_service_server::GroupService as _;
use zendesk_gateway::proto::user_service_server::UserService as _;
use zendesk_gateway::proto::{GetGroupRequest, GetUserRequest};

use crate::support::seam::{Seam, records, within};

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
                    rpc.get_user(within(deadline, GetUserRequest { id: 7 })).await.map(drop)
                } else {
                    rpc.get_group(within(deadline, GetGroupRequest { id: 7 })).await.map(drop)
                };
                (deadline, began.elapsed(), code.map_or_else(|status| status.code(), |()| Code::Ok))
            });
        }
        let (mut answered, mut late) = (0, 0);
        for (deadline, took, code) in callers.join_all().await {
            // Timers go by the millisecond.
            let expected = match deadline.checked_sub(LATENCY) {
                None => Code::DeadlineExceeded,
                Some(spare) if spare > Duration::from_millis(3) => Code::Ok,
                Some(_) => code,
            };
            assert_eq!(code, expected, "with a deadline of {deadline:?}, after {took:?}");
            let limit = deadline.min(LATENCY) + Duration::from_millis(3);
            assert!(took <= limit, "a deadline of {deadline:?} took {took:?}");
            *(if code == Code::Ok { &mut answered } else { &mut late }) += 1;
        }
        assert_eq!(t.hits(), 1, "{answered} answered, {late} too late");
        assert!(answered > 800 && late > 150, "{answered} answered, {late} too late");
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
        callers.spawn(async move { rpc.get_group(within(LATENCY / 3, GetGroupRequest { id: 7 })).await.map(drop) });
    }
    assert!(callers.join_all().await.iter().all(|outcome| outcome.is_err()));
    sleep(Duration::from_millis(100)).await;
    let (counts, queue) = (t.cache.counts(), t.control.snapshot().queue);
    assert_eq!((t.hits(), counts.cancelled_flights, counts.flights_in_progress), (1, 1, 0));
    assert_eq!((queue.in_use, queue.waiting), (0, 0));
}
