//! How the gateway leaves: announced first, nothing lost, and in time whoever is still connected.

use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use zendesk_gateway::error::reason_of;
use zendesk_gateway::proto::{
    BulkDeleteUsersRequest, CreateGroupRequest, GetUserRequest, GroupInput, StreamUsersRequest, WatchJobsRequest,
};
use zendesk_gateway::sandbox::faults::{Delay, Matcher};
use zendesk_gateway::sandbox::{self, Sandbox};

use crate::support::raw::{LONG, Raw, Wire, block, frame, framed};
use crate::support::{TestGateway, account, narrow, settings};

const GET_USER: &str = "/zendesk.gateway.v1.UserService/GetUser";
/// Longer than any test.
const NEVER: Duration = Duration::from_mins(10);

fn many_users() -> sandbox::Config {
    sandbox::Config { users: 1_000, ..account() }
}

/// Waits until the stand-in has been asked `hits` times.
async fn asked(sandbox: &Sandbox, hits: u64) {
    let waited = tokio::time::timeout(LONG, async {
        while sandbox.total_hits() < hits {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    waited.await.expect("the stand-in is asked");
}

#[tokio::test]
async fn a_call_that_is_under_way_is_answered() {
    let mut t = TestGateway::start().await;
    let id = t.sandbox.store().user_ids()[0];
    t.sandbox.fault(Matcher::default(), Delay::by(Duration::from_secs(1)).forever());
    let mut users = t.users();
    let call = tokio::spawn(async move { users.get_user(GetUserRequest { id, ..Default::default() }).await });
    asked(&t.sandbox, 1).await;
    t.shut_down();
    call.await.expect("no panic").expect("answered after the signal");
    t.stop().await;
}

/// A client that has not seen the last GOAWAY sends calls after it, each with a window update as gRPC's C core does.
#[tokio::test]
#[ignore = "slow"]
async fn calls_that_come_after_the_last_goaway_end_none_that_came_before() {
    const SHORT_OF_END: u8 = 4;
    let mut t = TestGateway::start().await;
    t.sandbox.fault(Matcher::default(), Delay::by(Duration::from_secs(1)).forever());
    let fields = [(":method", "POST"), (":scheme", "http"), (":path", GET_USER), ("content-type", "application/grpc")];
    let (headers, message) = (block(&[&fields[..], &[("te", "trailers")]].concat()), framed(0, &[8, 7]));
    let mut wire = Wire::begin(&t.address).await;
    wire.frame(1, SHORT_OF_END, 1, &headers).await.expect("taken");
    wire.frame(0, 1, 1, &message).await.expect("taken");
    asked(&t.sandbox, 1).await;
    t.shut_down();
    let (mut announced, mut has_answer) = (0, false);
    while let Some((kind, flags, stream, payload)) = wire.read().await {
        match kind {
            6 if flags == 0 => wire.frame(6, 1, 0, &payload).await.expect("taken"),
            7 => {
                announced += 1;
                assert_eq!(payload[4..8], [0; 4], "no error");
                if announced == 2 {
                    assert_eq!(payload[..4], [0, 0, 0, 1]);
                    let late = [
                        frame(1, SHORT_OF_END, 3, &headers),
                        frame(8, 0, 3, &[0, 0, 1, 0]),
                        frame(0, 1, 3, &message),
                        frame(8, 0, 3, &[0, 0, 1, 0]),
                    ];
                    wire.socket.write_all(&late.concat()).await.expect("taken");
                }
            }
            1 if flags & 1 != 0 => has_answer |= stream == 1,
            _ => {}
        }
    }
    assert!(announced == 2 && has_answer, "the connection ended with a call under way");
    t.stop().await;
}

#[tokio::test]
#[ignore = "slow"]
async fn it_says_not_serving_at_once_and_still_accepts_for_a_while() {
    let mut config = settings();
    config.server.drain.announce = Duration::from_secs(2);
    let mut t = TestGateway::configured(account(), config).await;
    let mut health = HealthClient::new(t.channel.clone());
    let service = "zendesk.gateway.v1.UserService".to_owned();
    let mut watch = health.watch(HealthCheckRequest { service }).await.expect("a watch").into_inner();
    let serving = watch.message().await.expect("no error").expect("the first state");
    assert_eq!(serving.status(), ServingStatus::Serving);
    t.shut_down();
    let told = tokio::time::timeout(LONG, watch.message()).await.expect("told").expect("no error").expect("a change");
    assert_eq!(told.status(), ServingStatus::NotServing);
    let whole = health.check(HealthCheckRequest::default()).await.expect("answered").into_inner();
    assert_eq!(whole.status(), ServingStatus::NotServing);
    let fresh = tonic::transport::Endpoint::from_shared(format!("http://{}", t.address)).expect("a URI");
    let fresh = fresh.connect().await.expect("a new connection is accepted");
    let mut users = zendesk_gateway::proto::user_service_client::UserServiceClient::new(fresh);
    users
        .get_user(GetUserRequest { id: t.sandbox.store().user_ids()[0], ..Default::default() })
        .await
        .expect("and its call answered");
    drop((users, health, watch));
    t.stop().await;
}

#[tokio::test]
async fn a_stream_ends_at_a_page_and_its_token_leads_on_without_loss() {
    let mut t = TestGateway::with(many_users()).await;
    let all = t.sandbox.store().user_ids();
    let request = StreamUsersRequest { page_size: 100, ..Default::default() };
    let mut stream = narrow(&t.address).stream_users(request.clone()).await.expect("a stream").into_inner();
    let mut seen: Vec<i64> = Vec::new();
    let mut token = String::new();
    let mut told = false;
    while let Some(message) = stream.message().await.expect("an end in order") {
        seen.extend(message.users.iter().map(|user| user.id));
        token = message.next_page_token;
        if !told {
            told = true;
            t.shut_down();
            // The rest is read only once the gateway drains.
            t.not_accepting().await;
        }
    }
    assert!(!token.is_empty(), "the last message says where to go on");
    assert!(seen.len() < all.len(), "it ended early: {} of {}", seen.len(), all.len());
    drop(stream);
    let sandbox = t.leave().await;
    let t = TestGateway::before(sandbox, settings()).await;
    let request = StreamUsersRequest { page_token: token, ..request };
    let mut stream = t.users().stream_users(request).await.expect("a stream").into_inner();
    while let Some(message) = stream.message().await.expect("the rest") {
        seen.extend(message.users.iter().map(|user| user.id));
    }
    assert_eq!(seen, all, "nothing lost and nothing twice");
    t.stop().await;
}

#[tokio::test]
async fn a_stream_whose_next_page_is_slow_does_not_wait_for_it() {
    let mut t = TestGateway::with(many_users()).await;
    t.sandbox.fault(Matcher::default(), Delay::by(Duration::from_mins(10)).after(1).forever());
    let mut stream = t.users().stream_users(StreamUsersRequest::default()).await.expect("a stream").into_inner();
    let mut token = String::new();
    while token.is_empty() {
        token = stream.message().await.expect("no error").expect("the first page").next_page_token;
    }
    t.shut_down();
    let rest = tokio::time::timeout(LONG, stream.message()).await.expect("it ends").expect("in order");
    assert_eq!(rest, None);
    t.stop().await;
}

#[tokio::test]
async fn a_watch_of_jobs_is_told_to_go_elsewhere() {
    let jobs = sandbox::Jobs { per_item: Duration::from_mins(10), ..sandbox::Jobs::default() };
    let mut t = TestGateway::with(sandbox::Config { jobs, ..account() }).await;
    let request = BulkDeleteUsersRequest { ids: t.sandbox.store().user_ids()[1..3].to_vec(), ..Default::default() };
    let reply = t.users().bulk_delete_users(request).await.expect("a job").into_inner();
    let ids = vec![reply.jobs[0].job.clone().expect("set").id];
    let mut watch = t.jobs().watch_jobs(WatchJobsRequest { ids }).await.expect("a watch").into_inner();
    watch.message().await.expect("no error").expect("the first look");
    t.shut_down();
    let ended = tokio::time::timeout(LONG, async {
        loop {
            match watch.message().await {
                Ok(Some(_)) => {}
                other => return other,
            }
        }
    });
    let refusal = crate::support::refused(ended.await.expect("it ends"));
    assert_eq!((refusal.code, refusal.reason.as_str()), (Code::Unavailable, "SHUTTING_DOWN"), "not an end of the jobs");
    t.stop().await;
}

#[tokio::test]
async fn mute_peers_do_not_hold_up_the_end() {
    let t = TestGateway::start().await;
    let mute = TcpStream::connect(&t.address).await.expect("it listens");
    let mut half = TcpStream::connect(&t.address).await.expect("it listens");
    half.write_all(b"PRI * HTTP/2.0").await.expect("taken");
    let silent = Wire::begin(&t.address).await;
    let watching = {
        let mut health = HealthClient::new(t.channel.clone());
        health.watch(HealthCheckRequest::default()).await.expect("a watch")
    };
    t.users()
        .get_user(GetUserRequest { id: t.sandbox.store().user_ids()[0], ..Default::default() })
        .await
        .expect("answered");
    let started = Instant::now();
    // Within 10 s, while the settings allow 45.
    t.stop().await;
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
    drop((mute, half, silent, watching));
}

#[tokio::test]
#[ignore = "slow"]
async fn a_call_whose_message_never_comes_does_not_hold_up_the_end() {
    let mut config = settings();
    config.server.message_timeout = NEVER;
    config.server.unary_deadline = NEVER;
    config.server.drain.timeout = NEVER;
    let mut t = TestGateway::configured(account(), config).await;
    let (client, _) = Raw::connect(&t.address).await;
    let mut mute = Vec::new();
    for path in [GET_USER, "/grpc.health.v1.Health/Check", "/grpc.health.v1.Health/Watch"] {
        mute.push(client.begin(path, &[]).await.expect("sent"));
    }
    // An answer on the same connection shows that they have arrived.
    client.call(GET_USER, &[], &GetUserRequest { id: 7, ..Default::default() }).await.expect("answered");
    t.shut_down();
    for call in mute {
        let refusal = crate::support::refused(Err::<(), _>(call.answer().await.expect("answered").status()));
        assert_eq!((refusal.code, refusal.reason.as_str()), (Code::Unavailable, "SHUTTING_DOWN"));
    }
    t.stop().await;
}

#[tokio::test]
#[ignore = "slow"]
async fn a_peer_that_has_stopped_reading_does_not_hold_up_the_end() {
    let t = TestGateway::with(many_users()).await;
    let mut builder = h2::client::Builder::new();
    builder.initial_window_size(1);
    let (client, _) = Raw::with(&t.address, builder).await;
    let stream = "/zendesk.gateway.v1.UserService/StreamUsers";
    let call = client.start(stream, &[], &StreamUsersRequest::default()).await.expect("sent");
    let response = call.response.await.expect("headers");
    // Within 10 s, while the settings allow it 30 to read on.
    t.stop().await;
    drop((response, call.request, client));
}

#[tokio::test]
async fn what_does_not_end_is_cut_and_says_why() {
    let mut config = settings();
    config.server.drain.timeout = Duration::from_secs(1);
    let mut t = TestGateway::configured(account(), config).await;
    t.sandbox.fault(Matcher::default(), Delay::by(Duration::from_mins(10)).forever());
    let (mut users, mut groups) = (t.users(), t.groups());
    let read =
        tokio::spawn(
            async move { users.get_user(GetUserRequest { id: 7, ..Default::default() }).await.expect_err("cut") },
        );
    let group = Some(GroupInput { name: Some("A".to_owned()), ..GroupInput::default() });
    let write = tokio::spawn(async move { groups.create_group(CreateGroupRequest { group }).await.expect_err("cut") });
    asked(&t.sandbox, 2).await;
    t.shut_down();
    for (call, reason) in [(read, "SHUTTING_DOWN"), (write, "OUTCOME_UNKNOWN")] {
        let status = call.await.expect("no panic");
        assert_eq!((status.code(), reason_of(&status)), (Code::Unavailable, Some(reason)), "{status:?}");
    }
    t.stop().await;
}
