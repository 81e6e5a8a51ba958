//! Replicas that are one gateway: what comes through a follower is what the leader would have answered.

mod check;
#[cfg(feature = "kubernetes")]
mod elections;
mod failures;
#[cfg(feature = "kubernetes")]
mod figures;
mod streams;
mod support;
mod trust;
mod walk;

use std::collections::BTreeMap;
use std::time::Duration;

use http::HeaderMap;
use serde_json::json;
use tonic::Code;
use tonic::codec::CompressionEncoding::Gzip;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_types::StatusExt as _;
use zendesk_gateway::proto::{
    CreateGroupRequest, GetGroupRequest, GetUserRequest, GroupInput, ListUsersRequest, StreamUsersRequest,
    UpdateUserRequest, UserInput,
};
use zendesk_gateway::sandbox;
use zendesk_gateway::sandbox::faults::{Delay, Hang, Respond, Throttle, any, get, post};

use crate::support::raw::Raw;
use crate::support::{account, refused, settings, until, with};
use support::{Fleet, Replica};

fn named(id: i64, name: &str) -> UpdateUserRequest {
    let user = UserInput { name: Some(name.to_owned()), ..UserInput::default() };
    UpdateUserRequest { id, user: Some(user), update_mask: None, ..Default::default() }
}

fn metadata<M>(response: &tonic::Response<M>, key: &str) -> String {
    let value = response.metadata().get(key).and_then(|value| value.to_str().ok());
    value.unwrap_or_default().to_owned()
}

async fn name(replica: &Replica, id: i64) -> (String, String) {
    let response = replica.users().get_user(GetUserRequest { id, ..Default::default() }).await.expect("a read");
    let cache = metadata(&response, "x-cache");
    (response.into_inner().user.expect("a user").name.unwrap_or_default(), cache)
}

#[tokio::test]
async fn one_replica_answers_for_all_and_all_say_which() {
    let fleet = Fleet::start(2).await;
    let id = fleet.user(3);
    let mut seen = Vec::new();
    for replica in fleet.replicas() {
        let response = replica
            .users()
            .get_user(with(GetUserRequest { id, ..Default::default() }, &[("x-request-id", "order-7")]))
            .await;
        let response = response.expect("a read");
        assert_eq!(metadata(&response, "x-served-by"), "leader");
        assert_eq!(metadata(&response, "x-request-id"), "order-7");
        seen.push((metadata(&response, "x-cache"), metadata(&response, "x-upstream-calls")));
    }
    let hit = ("hit".to_owned(), "0".to_owned());
    assert_eq!(seen, [("miss".to_owned(), "1".to_owned()), hit.clone(), hit]);
    assert_eq!(fleet.sandbox.total_hits(), 1, "one cache for all");
    let lines = fleet.leader().calls().await;
    assert!(lines.iter().all(|line| line["request_id"] == "order-7"), "{lines:#?}");

    let mut health = HealthClient::new(fleet.followers[0].channel.clone());
    let answer = health.check(HealthCheckRequest::default()).await.expect("answered where it is asked");
    assert_eq!(metadata(&answer, "x-served-by"), "");
    assert_eq!(answer.into_inner().status(), ServingStatus::Serving);
    fleet.stop().await;
}

#[tokio::test]
#[ignore = "slow"]
async fn a_write_at_one_replica_is_read_at_every_other() {
    let fleet = Fleet::start(2).await;
    let replicas: Vec<&Replica> = fleet.replicas().collect();
    let id = fleet.user(4);
    for round in 0..60 {
        let (at, other) = (replicas[round % 3], replicas[(round + 1 + round / 3 % 2) % 3]);
        let wanted = format!("Name {round}");
        at.users().update_user(named(id, &wanted)).await.expect("a write");
        assert_eq!(name(other, id).await.0, wanted, "round {round}");
    }
    fleet.stop().await;
}

#[tokio::test]
async fn messages_go_compressed_as_they_came() {
    let fleet = Fleet::start(1).await;
    let mut users = fleet.followers[0].users().send_compressed(Gzip).accept_compressed(Gzip);
    let long = "long ".repeat(400);
    let id = fleet.user(5);
    let user = UserInput { notes: Some(long.clone()), ..UserInput::default() };
    let update = UpdateUserRequest { id, user: Some(user), update_mask: None, ..Default::default() };
    let written = users.update_user(update).await.expect("a write");
    assert_eq!(metadata(&written, "grpc-encoding"), "gzip");
    assert_eq!(written.into_inner().user.expect("a user").notes.as_deref(), Some(long.as_str()));
    let listed = users.list_users(ListUsersRequest::default()).await.expect("a list");
    assert_eq!(metadata(&listed, "grpc-encoding"), "gzip");
    fleet.stop().await;
}

#[tokio::test]
async fn errors_come_whole() {
    let fleet = Fleet::start(1).await;
    let (leader, follower) = (fleet.leader(), &fleet.followers[0]);
    let mut same = Vec::new();
    for replica in [leader, follower] {
        let missing =
            replica.users().get_user(GetUserRequest { id: 77, ..Default::default() }).await.expect_err("no such user");
        let wrong = replica.users().get_user(GetUserRequest { id: -1, ..Default::default() }).await.expect_err("no id");
        same.push([missing, wrong].map(|status| {
            let mut metadata: HeaderMap = status.metadata().clone().into_headers();
            for name in ["x-request-id", "x-upstream-calls", "date"] {
                metadata.remove(name);
            }
            let details = status.get_error_details();
            let info = details.error_info().expect("each error has it");
            let more: BTreeMap<_, _> = info.metadata.clone().into_iter().collect();
            let fields = refused(Err::<(), _>(status.clone())).fields;
            (
                status.code(),
                status.message().to_owned(),
                info.reason.clone(),
                info.domain.clone(),
                more,
                fields,
                metadata,
            )
        }));
    }
    assert_eq!(same[0], same[1]);
    fleet.sandbox.fault(any("*"), Throttle::once().retry_after(250).forever());
    let throttled = refused(follower.users().list_users(ListUsersRequest::default()).await);
    assert_eq!((throttled.code, throttled.reason.as_str()), (Code::ResourceExhausted, "RATE_LIMITED"));
    assert!(throttled.retry_after.is_some_and(|wait| wait > Duration::from_mins(4)), "{:?}", throttled.retry_after);
    fleet.stop().await;
}

#[tokio::test]
#[ignore = "slow"]
async fn the_leader_answers_before_the_callers_time_is_over() {
    let fleet = Fleet::start(1).await;
    // A client without a timer of its own.
    let raw = Raw::connect(&fleet.followers[0].address).await.0;
    fleet.sandbox.fault(any("*"), Hang::before_headers().forever());
    let timeout = [("grpc-timeout", "300m")];
    for _ in 0..5 {
        let read = GetUserRequest { id: fleet.user(1), ..Default::default() };
        let late = raw.call("/zendesk.gateway.v1.UserService/GetUser", &timeout, &read).await.expect("an answer");
        let late = refused(Err::<(), _>(late.status()));
        assert_eq!((late.code, late.reason.as_str()), (Code::DeadlineExceeded, "DEADLINE_EXCEEDED"));
    }
    let group = GroupInput { name: Some("G".to_owned()), ..GroupInput::default() };
    let write = CreateGroupRequest { group: Some(group) };
    let late = raw.call("/zendesk.gateway.v1.GroupService/CreateGroup", &timeout, &write).await.expect("an answer");
    let late = refused(Err::<(), _>(late.status()));
    assert_eq!((late.code, late.reason.as_str()), (Code::DeadlineExceeded, "OUTCOME_UNKNOWN"));
    let lines = fleet.leader().calls().await;
    let took = lines.iter().map(|line| line["duration_ms"].as_f64().expect("a number"));
    let least = took.fold(f64::MAX, f64::min);
    assert!(
        least < 262.0,
        "the leader had the time that was left, less 50 ms, and kept some of it for the answer: {least}"
    );
    fleet.stop().await;
}

#[tokio::test]
async fn who_leaves_a_follower_leaves_the_leader() {
    let fleet = Fleet::start(1).await;
    fleet.sandbox.fault(get("*"), Delay::by(Duration::from_mins(5)).forever());
    let mut users = fleet.followers[0].users();
    let id = fleet.user(1);
    let call = tokio::spawn(async move { users.get_user(GetUserRequest { id, ..Default::default() }).await });
    until(|| fleet.sandbox.total_hits() > 0).await;
    call.abort();
    fleet.leader().told("access", |line| line["rpc.status_code"] == "CANCELLED").await;
    fleet.stop().await;
}

#[tokio::test]
async fn a_change_is_on_record_once_with_the_replica_that_it_came_by() {
    let fleet = Fleet::start(1).await;
    let follower = &fleet.followers[0];
    follower.users().update_user(named(fleet.user(6), "R")).await.expect("a write");
    let line = fleet.leader().told("audit", |_| true).await;
    for (field, wanted) in [("via", "follower-0"), ("caller", "anonymous"), ("outcome", "done")] {
        assert_eq!(line[field], wanted, "{field}: {line}");
    }
    assert_eq!(follower.lines("audit").await, [] as [serde_json::Value; 0], "one record is enough");
    fleet.leader().users().update_user(named(fleet.user(7), "R")).await.expect("a write of its own");
    let line = fleet.leader().told("audit", |line| line["targets"] == format!("user:{}", fleet.user(7))).await;
    assert!(line.get("via").is_none(), "{line}");
    fleet.stop().await;
}

#[tokio::test]
async fn a_trace_goes_on_at_the_leader() {
    let fleet = Fleet::start(1).await;
    let trace = "0af7651916cd43dd8448eb211c80319c";
    let place = format!("00-{trace}-b7ad6b7169203331-01");
    let request = with(GetUserRequest { id: fleet.user(1), ..Default::default() }, &[("traceparent", place)]);
    fleet.followers[0].users().get_user(request).await.expect("a read");
    let line = fleet.leader().told("access", |line| line["trace_id"] == trace).await;
    assert_ne!(line["span_id"], "b7ad6b7169203331");
    fleet.stop().await;
}

#[tokio::test]
async fn what_an_operator_makes_void_at_a_follower_is_void_at_the_leader() {
    let fleet = Fleet::start(1).await;
    let (leader, follower, id) = (fleet.leader(), &fleet.followers[0], fleet.user(8));
    for (path, told) in
        [(format!("tag=user:{id}"), json!([format!("user:{id}")])), ("all=true".to_owned(), json!(["all"]))]
    {
        name(leader, id).await;
        assert_eq!(name(leader, id).await.1, "hit");
        let (status, said) = follower.post(&format!("/cache/invalidate?{path}")).await;
        assert_eq!(
            (status, serde_json::from_str::<serde_json::Value>(&said).expect("JSON")),
            (200, json!({"invalidated": told}))
        );
        assert_eq!(name(leader, id).await.1, "miss", "{path}");
    }
    fleet.stop().await;
}

#[tokio::test]
#[ignore = "slow"]
async fn a_forwarded_call_is_measured_once_by_the_replica_that_was_called() {
    let fleet = Fleet::start(1).await;
    let follower = &fleet.followers[0];
    for index in 0..3 {
        name(follower, fleet.user(index)).await;
    }
    follower
        .users()
        .get_user(GetUserRequest { id: 999_999_999, ..Default::default() })
        .await
        .expect_err("there is none");
    let mut all = follower.users().stream_users(StreamUsersRequest::default()).await.expect("a stream").into_inner();
    while all.message().await.expect("no error").is_some() {}
    let count = async |replica: &Replica, start: &str| {
        let text = replica.get("/metrics").await.1;
        let of = |line: &str| line.rsplit(' ').next().and_then(|number| number.parse::<f64>().ok());
        text.lines().filter(|line| line.starts_with(start) && line.contains("UserService")).filter_map(of).sum::<f64>()
    };
    for (metric, at_follower) in [
        ("rpc_server_call_duration_seconds_count", 5.0),
        ("zendesk_gateway_call_errors_total", 1.0),
        ("zendesk_gateway_call_upstream_requests_count", 5.0),
    ] {
        let both = (count(follower, metric).await, count(fleet.leader(), metric).await);
        assert_eq!(both, (at_follower, 0.0), "{metric}");
    }
    let sent = count(follower, "zendesk_gateway_call_upstream_requests_sum").await;
    let hits = u32::try_from(fleet.sandbox.total_hits()).expect("few");
    assert!((sent - f64::from(hits)).abs() < 0.5, "{sent} of {hits}");
    fleet.stop().await;
}

#[tokio::test]
#[ignore = "slow"]
async fn what_the_leader_finds_about_zendesk_is_told_by_a_follower() {
    let fleet = Fleet::start(1).await;
    let follower = &fleet.followers[0];
    fleet.sandbox.fault(get("/groups/*"), Respond::with(302).header("location", "https://elsewhere.example/").times(1));
    follower.groups().get_group(GetGroupRequest { id: 1, ..Default::default() }).await.expect_err("redirected");
    follower.finds(&["redirected"]).await;
    follower.groups().get_group(GetGroupRequest { id: 1, ..Default::default() }).await.ok();
    follower.users().get_user(GetUserRequest { id: fleet.user(1), ..Default::default() }).await.expect("a user");
    follower.finds(&[]).await;
    fleet.stop().await;
}

/// Eight callers at once, over three replicas, against the limits that Zendesk has, in a smaller interval.
#[tokio::test]
#[ignore = "slow"]
async fn updates_of_all_replicas_are_paced_as_those_of_one() {
    let mut account = account();
    let interval = Duration::from_millis(50);
    account.update_limits = sandbox::UpdateLimits {
        per_user: 0,
        per_account: 1,
        account_interval: interval,
        ..sandbox::UpdateLimits::default()
    };
    let mut config = settings();
    config.upstream.rate.update_spacing = Duration::from_millis(100);
    let fleet = Fleet::of(account, config, 2).await;
    let replicas: Vec<&Replica> = fleet.replicas().collect();
    let updates = (0..24).map(|number| {
        let (mut users, id) = (replicas[number % 3].users(), fleet.user(number % 8 + 10));
        async move { users.update_user(named(id, &format!("N {number}"))).await }
    });
    for outcome in futures_util::future::join_all(updates).await {
        outcome.expect("none is refused");
    }
    let refused = fleet.sandbox.requests().iter().filter(|sent| sent.status == Some(429)).count();
    assert_eq!(refused, 0, "no 429 of the fleet's own making");
    fleet.stop().await;
}

#[tokio::test]
async fn a_caller_takes_its_limits_at_each_replica() {
    let mut config = settings();
    config.callers.max_calls = 2;
    let fleet = Fleet::of(account(), config, 1).await;
    fleet.sandbox.fault(post("*"), Delay::by(Duration::from_mins(5)).forever());
    let group = |number: i32| CreateGroupRequest {
        group: Some(GroupInput { name: Some(format!("G{number}")), ..GroupInput::default() }),
    };
    let calls: Vec<_> = (0..2)
        .map(|number| {
            let mut groups = fleet.followers[0].groups();
            tokio::spawn(async move { groups.create_group(group(number)).await })
        })
        .collect();
    until(|| fleet.sandbox.total_hits() == 2).await;
    let third = refused(fleet.followers[0].groups().create_group(group(3)).await);
    assert_eq!((third.code, third.reason.as_str()), (Code::ResourceExhausted, "CALLER_LIMIT"));
    assert_eq!(fleet.leader().calls().await.len(), 0, "the leader was not asked");
    let line = fleet.followers[0].told("audit", |_| true).await;
    assert_eq!(line["error.reason"], "CALLER_LIMIT", "who was refused here is on record here");
    calls.iter().for_each(tokio::task::JoinHandle::abort);
    fleet.stop().await;
}
