//! The caller's deadline is the server's, too: seen with a client that has no timer of its own.

use std::time::{Duration, Instant};

use prost::Message as _;
use tonic::Code;
use zendesk_gateway::proto::group_service_client::GroupServiceClient;
use zendesk_gateway::proto::membership_service_client::MembershipServiceClient;
use zendesk_gateway::proto::user_service_client::UserServiceClient;
use zendesk_gateway::proto::{
    CreateGroupRequest, CreateUserRequest, DeleteMembershipRequest, GetUserRequest, GroupInput, LogoutUsersRequest,
    StreamUsersRequest, StreamUsersResponse, UpdateUserRequest, UserInput, WatchJobsRequest,
};
use zendesk_gateway::sandbox::faults::{Delay, Matcher};

use crate::support::raw::{LONG, Raw};
use crate::support::{TestGateway, account, refused, settings};

const GET_USER: &str = "/zendesk.gateway.v1.UserService/GetUser";
const UPDATE_USER: &str = "/zendesk.gateway.v1.UserService/UpdateUser";
const STREAM_USERS: &str = "/zendesk.gateway.v1.UserService/StreamUsers";
const STREAM_BULK: &str = "/zendesk.gateway.v1.UserService/StreamBulkCreateUsers";
/// What the stand-in's answers wait for: longer than any test.
const NEVER: Duration = Duration::from_mins(10);

fn slow(t: &TestGateway, by: Duration) {
    t.sandbox.fault(Matcher::default(), Delay::by(by).forever());
}

#[tokio::test]
async fn a_unary_call_ends_at_the_callers_deadline_with_its_own_code() {
    let t = TestGateway::start().await;
    slow(&t, NEVER);
    let (client, _) = Raw::connect(&t.address).await;
    let started = Instant::now();
    let answer = client
        .call(GET_USER, &[("grpc-timeout", "300m")], &GetUserRequest { id: 7, ..Default::default() })
        .await
        .expect("answered");
    assert_eq!(answer.code(), Code::DeadlineExceeded, "{answer:?}");
    assert!(started.elapsed() >= Duration::from_millis(250), "in time, and no sooner: {:?}", started.elapsed());
    t.stop().await;
}

#[tokio::test]
async fn the_setting_ends_what_no_caller_does() {
    let mut config = settings();
    config.server.unary_deadline = Duration::from_millis(300);
    let t = TestGateway::configured(account(), config).await;
    slow(&t, NEVER);
    let (client, _) = Raw::connect(&t.address).await;
    for headers in [&[][..], &[("grpc-timeout", "1H")]] {
        let answer =
            client.call(GET_USER, headers, &GetUserRequest { id: 7, ..Default::default() }).await.expect("answered");
        assert_eq!(answer.code(), Code::DeadlineExceeded, "{answer:?}");
    }
    t.stop().await;
}

#[tokio::test]
async fn a_wait_for_the_upstream_permit_ends_at_the_deadline() {
    let mut config = settings();
    config.upstream.queue.permits = 1;
    let t = TestGateway::configured(account(), config).await;
    slow(&t, NEVER);
    let (client, _) = Raw::connect(&t.address).await;
    let first = client.start(GET_USER, &[], &GetUserRequest { id: 7, ..Default::default() }).await.expect("sent");
    let group = "/zendesk.gateway.v1.GroupService/GetGroup";
    let request = zendesk_gateway::proto::GetGroupRequest { id: 7, ..Default::default() };
    let second = client.call(group, &[("grpc-timeout", "300m")], &request).await.expect("answered");
    assert_eq!(second.code(), Code::DeadlineExceeded, "{second:?}");
    drop(first);
    t.stop().await;
}

#[tokio::test]
#[ignore = "slow"]
async fn a_stream_ends_at_the_deadline_although_it_has_begun() {
    let t = TestGateway::start().await;
    t.sandbox.fault(Matcher::default(), Delay::by(NEVER).after(1).forever());
    let (client, _) = Raw::connect(&t.address).await;
    let request = StreamUsersRequest { page_size: 5, ..Default::default() };
    let answer = client.call(STREAM_USERS, &[("grpc-timeout", "4S")], &request).await.expect("answered");
    assert_eq!(answer.code(), Code::DeadlineExceeded, "{answer:?}");
    let last = answer.messages.last().expect("pages came before it");
    let last = StreamUsersResponse::decode(last.clone()).expect("a message");
    assert!(!last.next_page_token.is_empty(), "the caller can go on from there");
    t.stop().await;
}

#[tokio::test]
async fn a_request_whose_message_never_comes_ends_at_the_deadline() {
    let mut config = settings();
    config.server.unary_deadline = Duration::from_millis(300);
    let t = TestGateway::configured(account(), config).await;
    let (client, _) = Raw::connect(&t.address).await;
    for path in [GET_USER, STREAM_USERS, STREAM_BULK] {
        let call = client.begin(path, &[]).await.expect("sent");
        let answer = call.answer().await.expect("answered");
        assert_eq!(answer.code(), Code::DeadlineExceeded, "{answer:?}");
        let status = answer.status();
        assert_eq!(refused::<()>(Err(status)).reason, "REQUEST_INCOMPLETE", "Zendesk had no request");
    }
    t.stop().await;
}

#[tokio::test]
#[ignore = "slow"]
async fn a_message_that_does_not_come_is_waited_for_no_longer_than_its_own_limit() {
    let mut config = settings();
    config.server.unary_deadline = NEVER;
    config.server.message_timeout = Duration::from_millis(300);
    let t = TestGateway::configured(account(), config).await;
    let (client, _) = Raw::connect(&t.address).await;
    for path in [GET_USER, STREAM_USERS, STREAM_BULK, "/grpc.health.v1.Health/Check"] {
        let mut call = client.begin(path, &[]).await.expect("sent");
        // A beginning is not a message.
        call.request.send_data(bytes::Bytes::from_static(&[0, 0, 0]), false).expect("sent");
        let answer = call.answer().await.expect("answered");
        assert_eq!(answer.code(), Code::DeadlineExceeded, "{answer:?}");
    }
    t.stop().await;
}

#[tokio::test]
async fn a_stream_that_nobody_reads_is_reset_at_the_deadline() {
    let t = TestGateway::with(zendesk_gateway::sandbox::Config { users: 2_000, ..account() }).await;
    let mut builder = h2::client::Builder::new();
    builder.initial_window_size(1);
    let (client, _) = Raw::with(&t.address, builder).await;
    let headers = [("grpc-timeout", "500m")];
    let call = client.start(STREAM_USERS, &headers, &StreamUsersRequest::default()).await.expect("sent");
    let response = call.response.await.expect("headers");
    let mut body = response.into_body();
    let ended = tokio::time::timeout(LONG, async {
        while let Some(data) = body.data().await {
            data?;
        }
        Ok::<_, h2::Error>(())
    });
    let error = ended.await.expect("it ends").expect_err("it is reset");
    assert_eq!(error.reason(), Some(h2::Reason::CANCEL), "{error:?}");
    t.stop().await;
}

#[tokio::test]
async fn a_deadline_that_makes_no_sense_is_named() {
    let t = TestGateway::start().await;
    let (client, _) = Raw::connect(&t.address).await;
    let answer = client
        .call(GET_USER, &[("grpc-timeout", "soon")], &GetUserRequest { id: 7, ..Default::default() })
        .await
        .expect("answered");
    assert_eq!(answer.code(), Code::InvalidArgument, "{answer:?}");
    assert!(answer.status().message().contains("grpc-timeout"), "{answer:?}");
    assert_eq!(t.sandbox.total_hits(), 0, "and nothing is sent");
    t.stop().await;
}

#[tokio::test]
async fn a_write_that_was_sent_says_that_its_outcome_is_unknown() {
    use tonic_types::StatusExt as _;
    let t = TestGateway::start().await;
    let id = t.sandbox.store().user_ids()[3];
    slow(&t, Duration::from_secs(2));
    let (client, _) = Raw::connect(&t.address).await;
    let user = Some(UserInput { name: Some("New Name".to_owned()), ..Default::default() });
    let request = UpdateUserRequest { id, user, ..Default::default() };
    let answer = client.call(UPDATE_USER, &[("grpc-timeout", "400m")], &request).await.expect("answered");
    let status = answer.status();
    let reason = status.get_error_details().error_info().map(|info| info.reason.clone());
    assert_eq!((status.code(), reason.as_deref()), (Code::DeadlineExceeded, Some("OUTCOME_UNKNOWN")), "{status:?}");
    t.stop().await;
}

/// A client ends the call by itself at its deadline, with nothing but a code. So the gateway's answer has to be there before.
#[tokio::test]
async fn a_client_with_a_timer_of_its_own_learns_that_the_outcome_is_unknown() {
    let t = TestGateway::start().await;
    let held = t.held_memberships()[0].clone();
    slow(&t, NEVER);
    let timed = |mut request: tonic::Request<()>| {
        request.set_timeout(Duration::from_secs(1));
        Ok(request)
    };
    let mut users = UserServiceClient::with_interceptor(t.channel.clone(), timed);
    let mut memberships = MembershipServiceClient::with_interceptor(t.channel.clone(), timed);
    let mut groups = GroupServiceClient::with_interceptor(t.channel.clone(), timed);
    let (mut others, mut more) = (users.clone(), users.clone());
    let user = Some(UserInput { name: Some("New Name".to_owned()), ..Default::default() });
    let group = Some(GroupInput { name: Some("G".to_owned()), ..Default::default() });
    let (created, updated, logged_out, made, deleted) = tokio::join!(
        users.create_user(CreateUserRequest { user: user.clone(), ..Default::default() }),
        others.update_user(UpdateUserRequest { id: held.user_id, user, ..Default::default() }),
        more.logout_users(LogoutUsersRequest { ids: vec![held.user_id] }),
        groups.create_group(CreateGroupRequest { group }),
        memberships.delete_membership(DeleteMembershipRequest { id: held.id, user_id: None }),
    );
    let outcomes = [
        ("CreateUser", refused(created)),
        ("UpdateUser", refused(updated)),
        ("LogoutUsers", refused(logged_out)),
        ("CreateGroup", refused(made)),
        ("DeleteMembership", refused(deleted)),
    ];
    for (rpc, seen) in outcomes {
        let told = (seen.code, seen.reason.as_str());
        assert_eq!(told, (Code::DeadlineExceeded, "OUTCOME_UNKNOWN"), "{rpc}: {}", seen.message);
    }
    t.stop().await;
}

#[tokio::test]
async fn a_client_with_a_timer_of_its_own_learns_why_a_watch_ends() {
    let t = TestGateway::start().await;
    let id = t.sandbox.store().job_ids()[0].clone();
    slow(&t, NEVER);
    let mut request = tonic::Request::new(WatchJobsRequest { ids: vec![id] });
    request.set_timeout(Duration::from_secs(1));
    let watch = t.jobs().watch_jobs(request).await;
    let seen = match watch {
        Ok(reply) => refused(reply.into_inner().message().await),
        Err(status) => refused::<()>(Err(status)),
    };
    assert_eq!((seen.code, seen.reason.as_str()), (Code::DeadlineExceeded, "DEADLINE_EXCEEDED"), "{}", seen.message);
    t.stop().await;
}
