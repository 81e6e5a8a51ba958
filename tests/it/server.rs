//! Connections: what a peer may hold open, and what it gets.

use std::io::Write as _;
use std::time::Duration;

use flate2::write::GzEncoder;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tonic::Code;
use tonic::codec::CompressionEncoding::Gzip;
use tonic_health::pb::health_client::HealthClient;
use zendesk_gateway::proto::user_service_client::UserServiceClient;
use zendesk_gateway::proto::{
    BatchGetUsersRequest, CreateGroupRequest, GetUserRequest, GroupInput, ListUsersRequest, StreamUsersRequest,
};
use zendesk_gateway::sandbox::faults::{Delay, Matcher};

use crate::support::raw::{LONG, Raw, Wire, framed};
use crate::support::{TestGateway, account, refused, settings};

const GET_USER: &str = "/zendesk.gateway.v1.UserService/GetUser";
const CREATE_GROUP: &str = "/zendesk.gateway.v1.GroupService/CreateGroup";
const STREAM_USERS: &str = "/zendesk.gateway.v1.UserService/StreamUsers";

/// Reads until the server has closed the connection.
async fn closed(mut socket: TcpStream) {
    let mut bytes = Vec::new();
    // An end by a reset is one, too.
    tokio::time::timeout(LONG, socket.read_to_end(&mut bytes)).await.expect("the server closes it").ok();
}

#[tokio::test]
async fn a_peer_that_does_not_begin_is_closed_and_holds_up_nobody() {
    let mut config = settings();
    config.server.preface_timeout = Duration::from_millis(300);
    let t = TestGateway::configured(account(), config).await;
    let mute = TcpStream::connect(&t.address).await.expect("it listens");
    let mut dripping = TcpStream::connect(&t.address).await.expect("it listens");
    dripping.write_all(b"PRI * HTTP").await.expect("taken");
    t.users()
        .get_user(GetUserRequest { id: t.sandbox.store().user_ids()[0], ..Default::default() })
        .await
        .expect("others are answered");
    closed(mute).await;
    closed(dripping).await;
    t.stop().await;
}

#[tokio::test]
async fn calls_beyond_the_limit_are_refused_but_health_is_not() {
    let mut config = settings();
    config.server.max_calls = 2;
    let t = TestGateway::configured(account(), config).await;
    let (client, _) = Raw::connect(&t.address).await;
    let ids = t.sandbox.store().user_ids();
    // Calls that are not answered, and more whose message does not come.
    let slow = t.sandbox.fault(Matcher::default(), Delay::by(Duration::from_mins(10)).forever());
    let mut held = Vec::new();
    for id in [ids[1], ids[2]] {
        held.push(client.start(GET_USER, &[], &GetUserRequest { id, ..Default::default() }).await.expect("sent"));
    }
    let mut idle = Vec::new();
    for _ in 0..10 {
        idle.push(client.begin(GET_USER, &[]).await.expect("sent"));
    }
    let id = ids[0];
    let refusal = tokio::time::timeout(LONG, async {
        loop {
            let answer =
                client.call(GET_USER, &[("grpc-timeout", "200m")], &GetUserRequest { id, ..Default::default() }).await;
            let refusal = refused(Err::<(), _>(answer.expect("answered").status()));
            // Until both of the others have their places it may have one.
            if refusal.code != Code::DeadlineExceeded {
                return refusal;
            }
        }
    });
    let refusal = refusal.await.expect("it is refused");
    assert_eq!((refusal.code, refusal.reason.as_str()), (Code::Unavailable, "OVERLOADED"));
    HealthClient::new(t.channel.clone()).check(tonic_health::pb::HealthCheckRequest::default()).await.expect("healthy");
    drop(held);
    t.sandbox.faults().remove(slow);
    let again = tokio::time::timeout(LONG, async {
        while client.call(GET_USER, &[], &GetUserRequest { id, ..Default::default() }).await.expect("answered").code()
            != Code::Ok
        {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    again.await.expect("there is room once they are given up");
    drop(idle);
    t.stop().await;
}

#[tokio::test]
async fn calls_without_a_message_keep_nobody_out() {
    let mut config = settings();
    config.server.max_calls = 2;
    let t = TestGateway::configured(account(), config).await;
    let (client, _) = Raw::connect(&t.address).await;
    let mut idle = Vec::new();
    for _ in 0..20 {
        idle.push(client.begin(GET_USER, &[]).await.expect("sent"));
    }
    let id = t.sandbox.store().user_ids()[0];
    let answer = client.call(GET_USER, &[], &GetUserRequest { id, ..Default::default() }).await.expect("answered");
    assert_eq!(answer.code(), Code::Ok, "{answer:?}");
    drop(idle);
    t.stop().await;
}

#[tokio::test]
async fn a_stream_counts_until_it_ends() {
    let mut config = settings();
    config.server.max_calls = 1;
    let t = TestGateway::configured(zendesk_gateway::sandbox::Config { users: 500, ..account() }, config).await;
    let mut builder = h2::client::Builder::new();
    builder.initial_window_size(1);
    let (client, _) = Raw::with(&t.address, builder).await;
    let call = client.start(STREAM_USERS, &[], &StreamUsersRequest::default()).await.expect("sent");
    let response = call.response.await.expect("headers");
    let answer = client.call(GET_USER, &[], &GetUserRequest { id: 1, ..Default::default() }).await;
    // Its own answer does not fit into the window of one byte, but a refusal has no body.
    assert_eq!(answer.expect("answered").code(), Code::Unavailable);
    drop((response, call.request));
    t.stop().await;
}

#[tokio::test]
#[ignore = "slow"]
async fn one_connection_may_have_so_many_calls_and_no_more() {
    let mut config = settings();
    config.server.max_streams_per_connection = 3;
    let t = TestGateway::configured(account(), config).await;
    let mut wire = Wire::begin(&t.address).await;
    // The settings that the server sends: identifier 3 is the limit of streams.
    let mut head = [0; 9];
    let found = tokio::time::timeout(LONG, async {
        loop {
            wire.socket.read_exact(&mut head).await.expect("frames");
            let mut payload = vec![0; usize::from(head[1]) << 8 | usize::from(head[2])];
            wire.socket.read_exact(&mut payload).await.expect("a payload");
            if let Some(limit) = payload.chunks(6).find(|entry| head[3] == 4 && entry[1] == 3) {
                return limit[5];
            }
        }
    });
    assert_eq!(found.await.expect("settings come"), 3);
    t.stop().await;
}

#[tokio::test]
#[ignore = "slow"]
async fn an_old_connection_is_asked_to_end_and_its_calls_are_answered() {
    let mut config = settings();
    config.server.max_connection_age = Duration::from_millis(300);
    let t = TestGateway::configured(account(), config).await;
    t.sandbox.fault(Matcher::default(), Delay::by(Duration::from_secs(2)).forever());
    let (client, ended) = Raw::connect(&t.address).await;
    let id = t.sandbox.store().user_ids()[0];
    let answer = client.call(GET_USER, &[], &GetUserRequest { id, ..Default::default() }).await.expect("answered");
    assert_eq!(answer.code(), Code::Ok, "a call that outlives the age is answered");
    tokio::time::timeout(LONG, ended).await.expect("then the connection ends").expect("no panic").expect("in order");
    t.stop().await;
}

#[tokio::test]
async fn an_old_connection_whose_calls_do_not_end_is_cut_after_the_grace_and_says_why() {
    let mut config = settings();
    config.server.max_connection_age = Duration::from_millis(200);
    config.server.max_connection_age_grace = Duration::from_millis(600);
    let t = TestGateway::configured(account(), config).await;
    t.sandbox.fault(Matcher::default(), Delay::by(LONG * 10).forever());
    let (client, ended) = Raw::connect(&t.address).await;
    let group = Some(GroupInput { name: Some("A".to_owned()), ..GroupInput::default() });
    let (read, write) = (GetUserRequest { id: 7, ..Default::default() }, CreateGroupRequest { group });
    let (read, write) = tokio::join!(client.call(GET_USER, &[], &read), client.call(CREATE_GROUP, &[], &write));
    for (answer, reason) in [(read, "SHUTTING_DOWN"), (write, "OUTCOME_UNKNOWN")] {
        let refusal = refused(Err::<(), _>(answer.expect("it is told").status()));
        assert_eq!((refusal.code, refusal.reason.as_str()), (Code::Unavailable, reason));
    }
    tokio::time::timeout(LONG, ended).await.expect("the connection is cut").expect("no panic").ok();
    t.stop().await;
}

#[tokio::test]
async fn a_peer_that_stops_reading_loses_its_call_and_keeps_its_connection() {
    let mut config = settings();
    config.server.send_timeout = Duration::from_millis(400);
    let t = TestGateway::configured(zendesk_gateway::sandbox::Config { users: 500, ..account() }, config).await;
    let mut builder = h2::client::Builder::new();
    builder.initial_window_size(1000);
    let (client, _) = Raw::with(&t.address, builder).await;
    let call = client.start(STREAM_USERS, &[], &StreamUsersRequest::default()).await.expect("sent");
    let mut body = call.response.await.expect("headers").into_body();
    let lost = tokio::time::timeout(LONG, async {
        loop {
            match body.data().await {
                Some(Ok(_)) => {}
                Some(Err(error)) => return error,
                None => panic!("the stream ended although nobody read it"),
            }
        }
    });
    assert_eq!(lost.await.expect("it is reset").reason(), Some(h2::Reason::CANCEL));
    let answer = client
        .call(GET_USER, &[], &GetUserRequest { id: -1, ..Default::default() })
        .await
        .expect("the connection is there");
    assert_eq!(answer.code(), Code::InvalidArgument);
    t.stop().await;
}

#[tokio::test]
#[ignore = "slow"]
async fn a_long_reply_that_nobody_reads_is_reset() {
    let mut config = settings();
    config.server.send_timeout = Duration::from_millis(400);
    let t = TestGateway::configured(zendesk_gateway::sandbox::Config { users: 500, ..account() }, config).await;
    let mut builder = h2::client::Builder::new();
    builder.initial_window_size(1000);
    let (client, _) = Raw::with(&t.address, builder).await;
    let request = BatchGetUsersRequest { ids: t.sandbox.store().user_ids(), ..BatchGetUsersRequest::default() };
    let call = client.start("/zendesk.gateway.v1.UserService/BatchGetUsers", &[], &request).await.expect("sent");
    let mut body = call.response.await.expect("headers").into_body();
    let lost = tokio::time::timeout(LONG, async {
        loop {
            if let Err(error) = body.data().await.expect("it does not end in order") {
                return error;
            }
        }
    });
    assert_eq!(lost.await.expect("it is reset").reason(), Some(h2::Reason::CANCEL));
    t.stop().await;
}

#[tokio::test]
#[ignore = "slow"]
async fn a_slow_reader_keeps_its_call() {
    let mut config = settings();
    config.server.send_timeout = Duration::from_secs(3);
    let t = TestGateway::configured(zendesk_gateway::sandbox::Config { users: 300, ..account() }, config).await;
    let mut builder = h2::client::Builder::new();
    builder.initial_window_size(16_000);
    let (client, _) = Raw::with(&t.address, builder).await;
    let call = client.start(STREAM_USERS, &[], &StreamUsersRequest::default()).await.expect("sent");
    let mut body = call.response.await.expect("headers").into_body();
    let mut pauses = 0;
    while let Some(data) = body.data().await {
        let data = data.expect("not reset");
        if pauses < 20 {
            pauses += 1;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        body.flow_control().release_capacity(data.len()).expect("a stream");
    }
    let trailers = body.trailers().await.expect("ended in order").expect("trailers");
    assert_eq!(trailers["grpc-status"], "0");
    t.stop().await;
}

#[tokio::test]
async fn metadata_beyond_the_limit_is_refused_without_a_call() {
    let t = TestGateway::start().await;
    let (client, _) = Raw::connect(&t.address).await;
    // Up to twice the limit the refusal is gRPC's, beyond it HTTP's: see protocol::.
    let long = "x".repeat(40_000);
    let call = client
        .start(GET_USER, &[("x-long", &long)], &GetUserRequest { id: 7, ..Default::default() })
        .await
        .expect("sent");
    match call.response.await {
        Ok(response) => assert_eq!(response.status(), http::StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE),
        Err(error) => assert!(error.is_reset() || error.is_go_away(), "{error:?}"),
    }
    assert_eq!(t.sandbox.total_hits(), 0);
    t.users()
        .get_user(GetUserRequest { id: t.sandbox.store().user_ids()[0], ..Default::default() })
        .await
        .expect("others are answered");
    t.stop().await;
}

#[tokio::test]
async fn gzip_works_both_ways() {
    let t = TestGateway::start().await;
    let mut users = UserServiceClient::new(t.channel.clone()).send_compressed(Gzip).accept_compressed(Gzip);
    let list = users.list_users(ListUsersRequest::default()).await.expect("a page");
    assert_eq!(list.metadata().get("grpc-encoding").expect("it is compressed"), "gzip");
    let plain = t.users().list_users(ListUsersRequest::default()).await.expect("a page");
    assert_eq!(plain.metadata().get("grpc-encoding"), None, "only for who accepts it");
    assert_eq!(plain.into_inner(), list.into_inner(), "from the cache, too");
    t.stop().await;
}

#[tokio::test]
#[ignore = "slow"]
async fn a_request_that_inflates_beyond_the_limit_is_refused() {
    let mut config = settings();
    config.server.max_request_bytes = 100_000;
    let t = TestGateway::configured(account(), config).await;
    let mut bomb = GzEncoder::new(Vec::new(), flate2::Compression::best());
    bomb.write_all(&vec![0; 50 << 20]).expect("memory");
    let bomb = bomb.finish().expect("memory");
    assert!(bomb.len() < 100_000, "the limit on the wire does not stop it: {}", bomb.len());
    let (client, _) = Raw::connect(&t.address).await;
    let mut call = client.begin(GET_USER, &[("grpc-encoding", "gzip")]).await.expect("sent");
    call.request.send_data(framed(1, &bomb), true).expect("sent");
    assert_eq!(call.answer().await.expect("answered").code(), Code::ResourceExhausted);
    // And one that says its size.
    let mut call = client.begin(GET_USER, &[]).await.expect("sent");
    call.request.send_data(bytes::Bytes::from_static(&[0, 0x40, 0, 0, 0]), false).expect("sent");
    let status = call.answer().await.expect("answered").status();
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert!(status.message().contains("at most 100000 are allowed"), "it says the limit: {status:?}");
    // And one that says it, compressed.
    let mut call = client.begin(GET_USER, &[("grpc-encoding", "gzip")]).await.expect("sent");
    call.request.send_data(bytes::Bytes::from_static(&[1, 0, 2, 0, 0]), false).expect("sent");
    assert_eq!(call.answer().await.expect("answered").code(), Code::ResourceExhausted);
    t.stop().await;
}

#[tokio::test]
async fn a_peer_that_breaks_the_protocol_is_told_why_and_closed() {
    let t = TestGateway::start().await;
    let mut wire = Wire::begin(&t.address).await;
    // DATA on a stream that was never opened.
    wire.frame(0, 0, 1, b"data").await.expect("taken");
    assert_eq!(wire.closed().await, Some(1), "PROTOCOL_ERROR");
    t.stop().await;
}
