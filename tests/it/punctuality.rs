//! Callers' deadlines, as the wire shows them: the code is right each time, and it comes in time.

use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tonic::Code;
use zendesk_gateway::proto::{GetGroupRequest, StreamUsersRequest};
use zendesk_gateway::sandbox;
use zendesk_gateway::sandbox::faults::{Drip, Hang, any, get};

use crate::support::raw::{Answer, Raw};
use crate::support::{TestGateway, account, settings, until};

const DEADLINES: [u64; 4] = [10, 50, 200, 1_000];
/// Calls at the same time for each deadline.
const CALLS: i64 = 25;
/// The best of so many attempts counts: what else the machine does only ever adds.
const ATTEMPTS: usize = 5;

/// Why no call can be answered in time.
#[derive(Debug, Clone, Copy)]
enum Obstacle {
    Hang,
    Drip,
    Queue,
    Stream,
}

/// How late 99 of 100 calls may end. The promise is 20 ms on a machine that does nothing else, asked for by this switch.
fn tolerance() -> Duration {
    let strict = std::env::var_os("ZENDESK_GATEWAY_STRICT_TIMES").is_some();
    Duration::from_millis(if strict { 20 } else { 500 })
}

async fn gateway(obstacle: Obstacle) -> TestGateway {
    let mut config = settings();
    config.upstream.queue.permits = if matches!(obstacle, Obstacle::Queue) { 1 } else { 64 };
    let t = TestGateway::configured(sandbox::Config { users: 500, ..account() }, config).await;
    // The gateway knows the account's budget before anything goes wrong, so that the governor holds nobody back.
    t.groups().get_group(group(0)).await.expect_err("no such group");
    match obstacle {
        Obstacle::Hang | Obstacle::Queue => t.sandbox.fault(any("*"), Hang::before_headers().forever()),
        Obstacle::Drip => t.sandbox.fault(any("*"), Drip::of(1, Duration::from_millis(50)).forever()),
        Obstacle::Stream => t.sandbox.fault(get("/users").with_query("page[after]"), Hang::before_headers().forever()),
    };
    t
}

/// A read that shares its flight with no other.
fn group(number: i64) -> GetGroupRequest {
    GetGroupRequest { id: 10_000 + number, ..Default::default() }
}

/// Makes a call that knows no clock, and returns its answer and how long that took.
async fn call(client: &Raw, obstacle: Obstacle, number: i64, deadline: Duration) -> (Answer, Duration) {
    let timeout = format!("{}u", deadline.as_micros());
    let headers = [("grpc-timeout", timeout.as_str())];
    let began = Instant::now();
    let answer = match obstacle {
        Obstacle::Stream => {
            // Little enough to be taken at once: a peer that leaves a reply lying is reset at its deadline.
            let all = StreamUsersRequest { page_size: 1, ..Default::default() };
            client.call("/zendesk.gateway.v1.UserService/StreamUsers", &headers, &all).await
        }
        _ => client.call("/zendesk.gateway.v1.GroupService/GetGroup", &headers, &group(number)).await,
    };
    (answer.expect("the stream is not reset"), began.elapsed())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow"]
async fn whatever_holds_a_call_up_it_ends_at_its_deadline_with_deadline_exceeded() {
    let mut late = Vec::new();
    for obstacle in [Obstacle::Hang, Obstacle::Drip, Obstacle::Queue, Obstacle::Stream] {
        let t = gateway(obstacle).await;
        let (client, _connection) = Raw::connect(&t.address).await;
        if matches!(obstacle, Obstacle::Queue) {
            let holder = client.clone();
            tokio::spawn(async move { call(&holder, Obstacle::Queue, -1, Duration::from_mins(1)).await });
            until(|| t.sandbox.stats().in_flight == 1).await;
        }
        for deadline in DEADLINES.map(Duration::from_millis) {
            let mut best = Duration::MAX;
            for _ in 0..ATTEMPTS {
                let mut calls = JoinSet::new();
                for number in 0..CALLS {
                    let client = client.clone();
                    calls.spawn(async move { call(&client, obstacle, 1 + number, deadline).await });
                }
                let mut overshoots = Vec::new();
                for (answer, took) in calls.join_all().await {
                    // A queue that is longer than the deadline refuses the call while it can still go elsewhere.
                    let refused = matches!(obstacle, Obstacle::Queue) && answer.code() == Code::Unavailable;
                    assert!(
                        refused || answer.code() == Code::DeadlineExceeded,
                        "{obstacle:?}, {deadline:?}: {answer:?}"
                    );
                    overshoots.push(took.saturating_sub(deadline));
                }
                best = best.min(overshoots.into_iter().max().expect("some calls"));
                if best <= Duration::from_millis(20) {
                    break;
                }
            }
            println!("{obstacle:?}, deadline {deadline:?}: the latest of {CALLS} ended {best:?} after it");
            if best > tolerance() {
                late.push(format!("{obstacle:?} with {deadline:?} ended {best:?} late"));
            }
        }
        assert_eq!(t.sandbox.stats().throttled, 0);
    }
    assert!(late.is_empty(), "{}", late.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow"]
async fn a_stream_whose_deadline_passes_keeps_what_it_has_sent() {
    let t = gateway(Obstacle::Stream).await;
    let (client, _connection) = Raw::connect(&t.address).await;
    let (answer, _) = call(&client, Obstacle::Stream, 0, Duration::from_secs(3)).await;
    assert_eq!(answer.code(), Code::DeadlineExceeded);
    assert!(!answer.messages.is_empty(), "the first page arrived");
}
