//! Room for connections: who gets in when there is none, and what is counted and told of those that do not.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tonic::{Code, Status};
use zendesk_gateway::config::{self, Config, Telemetry};
use zendesk_gateway::proto::{GetUserRequest, GetUserResponse, StreamUsersRequest};
use zendesk_gateway::sandbox::faults::{Delay, get};

use crate::support::authority::Authority;
use crate::support::observed::Observed;
use crate::support::raw::{Call, LONG, Raw, Wire, frame};
use crate::support::{TestGateway, account, refused, settings};

const GET_USER: &str = "/zendesk.gateway.v1.UserService/GetUser";
const STREAM_USERS: &str = "/zendesk.gateway.v1.UserService/StreamUsers";

/// Reads until the server has closed the connection.
async fn closed(mut socket: TcpStream) {
    let mut bytes = Vec::new();
    // An end by a reset is one, too.
    tokio::time::timeout(LONG, socket.read_to_end(&mut bytes)).await.expect("the server closes it").ok();
}

/// Settings under which nobody is closed for doing nothing.
fn patient() -> Config {
    let mut config = settings();
    config.server.preface_timeout = LONG * 10;
    config.server.message_timeout = LONG * 10;
    config.server.unary_deadline = LONG * 10;
    config.upstream.attempt.read_timeout = LONG * 10;
    config
}

async fn with_room_for(connections: usize) -> TestGateway {
    let mut config = patient();
    config.server.max_connections = connections;
    TestGateway::configured(account(), config).await
}

/// A connection with a call under way: Zendesk is slow to answer it.
async fn busy(t: &TestGateway) -> (Raw, Call) {
    let (client, _) = Raw::connect(&t.address).await;
    let id = t.sandbox.store().user_ids()[0];
    t.sandbox.fault(get(&format!("/users/{id}")), Delay::by(LONG * 10));
    let uncached = [("cache-control", "no-cache")];
    let call = client.start(GET_USER, &uncached, &GetUserRequest { id, ..Default::default() }).await.expect("sent");
    assert_refused_before_anything_is_sent(&client).await;
    (client, call)
}

/// Makes a call that costs nothing: its answer shows that the connection is served, and that the calls before have arrived.
async fn assert_refused_before_anything_is_sent(client: &Raw) {
    let answer = client.call(GET_USER, &[], &GetUserRequest { id: -1, ..Default::default() }).await.expect("answered");
    assert_eq!(answer.code(), Code::InvalidArgument, "{answer:?}");
}

#[tokio::test]
#[ignore = "slow"]
async fn connections_beyond_the_limit_are_closed_and_there_is_room_when_others_end() {
    let t = with_room_for(2).await;
    let (_first, second) = (busy(&t).await, busy(&t).await);
    closed(TcpStream::connect(&t.address).await.expect("the system accepts it")).await;
    drop(second);
    Raw::get_in(&t.address).await;
    t.stop().await;
}

#[tokio::test]
#[ignore = "slow"]
async fn a_newcomer_takes_the_place_of_an_idle_connection_and_never_that_of_a_busy_one() {
    let t = with_room_for(3).await;
    let (busy, mut call) = busy(&t).await;
    let (idle, left) = Raw::connect(&t.address).await;
    assert_refused_before_anything_is_sent(&idle).await;
    let mute = TcpStream::connect(&t.address).await.expect("the system accepts it");
    let newcomers = (Raw::get_in(&t.address).await, Raw::get_in(&t.address).await);
    // The one in order, the other without a word.
    tokio::time::timeout(LONG, left).await.expect("it is asked to leave").expect("no panic").expect("in order");
    closed(mute).await;
    assert_refused_before_anything_is_sent(&busy).await;
    assert!(futures_util::FutureExt::now_or_never(&mut call.response).is_none(), "its call goes on");
    drop(newcomers);
    t.stop().await;
}

/// Holds what its peer has not paid for on a connection, and lets a newcomer come. Returns how what was held ends.
async fn displaced(path: &str) -> Status {
    let t = with_room_for(1).await;
    let (client, left) = Raw::connect(&t.address).await;
    let held = client.begin(path, &[]).await.expect("sent");
    let held = tokio::spawn(held.answer());
    tokio::time::timeout(LONG / 2, Raw::get_in(&t.address)).await.expect("it need not wait for the message");
    let answer = held.await.expect("no panic").expect("it ends in order");
    tokio::time::timeout(LONG, left).await.expect("it is asked to leave").expect("no panic").expect("in order");
    t.stop().await;
    answer.status()
}

#[tokio::test]
async fn a_connection_with_nothing_but_a_call_whose_message_does_not_come_makes_room_and_the_call_ends() {
    let status = displaced(GET_USER).await;
    assert_eq!(status.code(), Code::Unavailable, "{status:?}");
    let reason = refused::<()>(Err(status)).reason;
    assert_eq!(reason, "REQUEST_INCOMPLETE");
}

#[tokio::test]
async fn a_connection_with_nothing_but_a_session_of_reflection_makes_room_and_the_session_ends() {
    let status = displaced("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo").await;
    assert_eq!(status.code(), Code::Unavailable, "{status:?}");
    assert!(status.message().contains("makes room"), "{status:?}");
}

#[tokio::test]
#[ignore = "slow"]
async fn a_newcomer_from_elsewhere_gets_in_while_a_crowd_comes() {
    const ROOM: usize = 16;
    let mut config = patient();
    config.server.max_connections = ROOM;
    let t = TestGateway::configured(account(), config).await;
    let mut crowd = Vec::new();
    let mut newcomers = tokio::task::JoinSet::new();
    // More than may wait for a place, and all of them before the first has been idle for long. Not all are silent.
    for number in 0..ROOM * 4 {
        let mut one = TcpStream::connect(&t.address).await.expect("the system accepts it");
        if number % 2 == 0 {
            one.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.ok();
        }
        crowd.push(one);
        if number % ROOM == 0 {
            let socket = from("127.0.0.2", &t.address).await;
            newcomers.spawn(async move {
                let (client, _) = Raw::over(socket, h2::client::Builder::new()).await.expect("it is not turned away");
                assert_refused_before_anything_is_sent(&client).await;
            });
        }
    }
    tokio::time::timeout(LONG, newcomers.join_all()).await.expect("they get in");
    t.stop().await;
}

/// A connection from this address of the machine.
async fn from(address: &str, to: &str) -> TcpStream {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind(format!("{address}:0").parse().expect("an address")).expect("all of 127.0.0.0/8 is here");
    socket.connect(to.parse().expect("an address")).await.expect("it listens")
}

#[tokio::test]
async fn a_connection_with_nothing_but_a_health_watch_makes_room_and_its_watch_ends() {
    let t = with_room_for(1).await;
    let (watcher, left) = Raw::connect(&t.address).await;
    let request = tonic_health::pb::HealthCheckRequest::default();
    let watch = watcher.start("/grpc.health.v1.Health/Watch", &[], &request).await.expect("sent");
    let watching = tokio::spawn(watch.answer());
    Raw::get_in(&t.address).await;
    let answer = watching.await.expect("no panic").expect("it ends in order");
    assert_eq!((answer.messages.len(), answer.code()), (1, Code::Unavailable), "{answer:?}");
    assert!(answer.status().message().contains("makes room"), "{answer:?}");
    tokio::time::timeout(LONG, left).await.expect("it is asked to leave").expect("no panic").expect("in order");
    t.stop().await;
}

#[tokio::test]
async fn a_connection_that_is_too_old_and_that_its_peer_does_not_close_makes_room_too() {
    let mut config = patient();
    config.server.max_connections = 1;
    config.server.max_connection_age = Duration::from_millis(100);
    config.server.max_connection_age_grace = LONG * 10;
    let t = TestGateway::configured(account(), config).await;
    let old = Wire::begin(&t.address).await;
    Raw::get_in(&t.address).await;
    drop(old);
    t.stop().await;
}

#[tokio::test]
async fn one_peer_may_have_so_many_connections_and_others_still_get_in() {
    let mut config = patient();
    config.server.max_connections_per_peer = 1;
    let t = TestGateway::configured(account(), config).await;
    let (first, _first) = Raw::connect(&t.address).await;
    assert_refused_before_anything_is_sent(&first).await;
    closed(TcpStream::connect(&t.address).await.expect("the system accepts it")).await;
    let other = from("127.0.0.2", &t.address).await;
    let (other, _other) = Raw::over(other, h2::client::Builder::new()).await.expect("it speaks HTTP/2");
    assert_refused_before_anything_is_sent(&other).await;
    t.stop().await;
}

#[tokio::test]
async fn connections_are_counted() {
    let t = Observed::start(Telemetry::default()).await;
    let id = t.sandbox.store().user_ids()[0];
    let answer: GetUserResponse =
        t.users().get_user(GetUserRequest { id, ..Default::default() }).await.expect("a user").into_inner();
    assert_eq!(answer.user.map(|user| user.id), Some(id));
    let status = t.status().await;
    assert_eq!((&status["connections"]["active"], &status["connections"]["accepted"]), (&1.into(), &1.into()));
    let scrape = t.scrape().await;
    assert!(scrape.contains("zendesk_gateway_connections_active 1"), "{scrape}");
}

/// Waits until as many connections were counted as refused.
async fn until_refused(t: &Observed, wanted: u64) {
    let counted = tokio::time::timeout(LONG, async {
        while t.status().await["connections"]["refused"] != wanted {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    counted.await.expect("they are counted");
}

#[tokio::test]
async fn peers_that_begin_too_late_are_counted_as_refused() {
    let mut config = Config::default();
    config.server.preface_timeout = Duration::from_millis(100);
    let t = Observed::configured(config).await;
    // Who goes away by itself is not refused.
    drop(TcpStream::connect(&t.address).await.expect("it listens"));
    closed(TcpStream::connect(&t.address).await.expect("it listens")).await;
    until_refused(&t, 1).await;
}

#[tokio::test]
#[ignore = "slow"]
async fn a_frame_that_does_not_end_and_headers_without_their_end_are_not_waited_for() {
    let mut config = patient();
    config.server.message_timeout = Duration::from_millis(300);
    let t = TestGateway::configured(account(), config).await;
    let data = frame(0, 0, 1, &[7; 16 << 10]);
    let unknown = frame(0x55, 0, 0, &[7; 16 << 10]);
    let header = [&[0x00, 0x03, b'x', b'-', b'y', 0x64][..], &[b'z'; 100]].concat();
    let headers = frame(1, 0, 1, &header);
    let continued = [frame(1, 0, 1, &header), frame(9, 0, 1, &header)].concat();
    for begun in [&data[..5], &unknown[..unknown.len() - 1], &headers, &continued] {
        let mut wire = Wire::begin(&t.address).await;
        wire.socket.write_all(begun).await.expect("taken");
        wire.closed().await;
    }
    t.stop().await;
}

#[tokio::test]
#[ignore = "slow"]
async fn what_a_caller_leaves_without_a_message_is_limited_by_its_calls() {
    let mut config = patient();
    config.callers.max_calls = 20;
    let t = TestGateway::configured(account(), config).await;
    let (client, _) = Raw::connect(&t.address).await;
    let mut held = tokio::task::JoinSet::new();
    for _ in 0..50 {
        held.spawn(client.begin(GET_USER, &[]).await.expect("begun").answer());
    }
    for _ in 0..30 {
        let refused = tokio::time::timeout(LONG, held.join_next()).await.expect("more than it may have");
        let answer = refused.expect("some are left").expect("no panic").expect("answered");
        assert_eq!(answer.code(), Code::Unavailable, "{answer:?}");
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(held.try_join_next().map(drop), None, "the others wait");
    assert_refused_before_anything_is_sent(&client).await;
    t.stop().await;
}

#[tokio::test]
async fn peers_that_do_not_shake_hands_are_counted_as_refused() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut config = Config::default();
    config.server.tls = Authority::new().sign().write(directory.path());
    config.server.tls.handshake_timeout = Duration::from_millis(100);
    let t = Observed::configured(config).await;
    let late = TcpStream::connect(&t.address).await.expect("it listens");
    let mut plain = TcpStream::connect(&t.address).await.expect("it listens");
    plain.write_all(b"GET / HTTP/1.1\r\n\r\n").await.expect("taken");
    closed(late).await;
    closed(plain).await;
    until_refused(&t, 2).await;
}

/// How the only call of a stream is told in the access log once it has ended.
async fn told(t: &Observed) -> (String, String) {
    crate::support::until(|| !t.lines.of("access").is_empty()).await;
    let line = t.lines.of("access").remove(0);
    let text = |key: &str| line[key].as_str().unwrap_or_default().to_owned();
    (text("rpc.status_code"), text("error.reason"))
}

#[tokio::test]
#[ignore = "slow"]
async fn a_call_that_the_gateway_resets_is_not_told_as_one_that_its_caller_gave_up() {
    let stalled = |timeout| {
        let mut config = Config { telemetry: json(), ..Config::default() };
        config.server.send_timeout = timeout;
        config
    };
    for (timeout, headers, wanted) in [
        (Duration::from_millis(300), &[][..], ("ABORTED", "REPLY_NOT_READ")),
        (LONG * 10, &[("grpc-timeout", "500m")][..], ("DEADLINE_EXCEEDED", "REPLY_NOT_READ")),
        (LONG * 10, &[][..], ("CANCELLED", "")),
    ] {
        let t = Observed::configured(stalled(timeout)).await;
        let _lines = tracing::dispatcher::set_default(t.telemetry.dispatch());
        let mut builder = h2::client::Builder::new();
        builder.initial_window_size(1);
        let (client, _) = Raw::with(&t.address, builder).await;
        let call = client.start(STREAM_USERS, headers, &StreamUsersRequest::default()).await.expect("sent");
        let response = call.response.await.expect("headers");
        let kept = (wanted.0 != "CANCELLED").then_some((response, call.request));
        let (code, reason) = told(&t).await;
        assert_eq!((code.as_str(), reason.as_str()), wanted);
        drop(kept);
    }
}

fn json() -> Telemetry {
    Telemetry { log_format: config::LogFormat::Json, ..Telemetry::default() }
}
