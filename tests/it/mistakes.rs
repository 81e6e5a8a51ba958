//! Callers' own mistakes: they are answered, and do not count as failures of the service.

use std::collections::BTreeMap;
use std::time::Duration;

use prost::Message as _;
use tonic::{Code, Request};
use tonic_types::StatusExt as _;
use zendesk_gateway::config::Telemetry as Settings;
use zendesk_gateway::proto::{
    CreateUserRequest, GetUserRequest, ListUsersRequest, StreamUsersRequest, UpdateUserRequest, UserInput,
};
use zendesk_gateway::sandbox::faults::{Delay, Respond, get, put};

use crate::support::observed::{Observed, scrape};
use crate::support::raw::{Raw, framed};
use crate::support::{refused, with};

const GET_USER: &str = "/zendesk.gateway.v1.UserService/GetUser";
const REFLECT: &str = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";

/// The calls of a scrape, by code: how many, and how many of them count as failures.
async fn counted(t: &Observed) -> BTreeMap<String, (u64, u64)> {
    let scrape = scrape::read(&t.scrape().await);
    let mut calls = BTreeMap::new();
    for (name, labels, value) in &scrape["rpc_server_call_duration_seconds"].samples {
        if name.ends_with("_count") {
            let of: &mut (u64, u64) = calls.entry(labels["rpc_response_status_code"].clone()).or_default();
            of.0 += scrape::whole(*value);
            of.1 += if labels.contains_key("error_type") { scrape::whole(*value) } else { 0 };
        }
    }
    calls
}

/// The errors of a scrape, by their type.
async fn reasons(t: &Observed) -> BTreeMap<String, u64> {
    let scrape = scrape::read(&t.scrape().await);
    let mut reasons = BTreeMap::new();
    for (_, labels, value) in &scrape["zendesk_gateway_call_errors_total"].samples {
        *reasons.entry(labels["error_type"].clone()).or_default() += scrape::whole(*value);
    }
    reasons
}

/// Whether the status page counts failed calls.
async fn failed(t: &Observed) -> u64 {
    t.status().await["calls"]["failed"].as_u64().expect("a number")
}

#[tokio::test]
async fn what_callers_do_wrong_is_no_failure_of_the_service() {
    let t = Observed::start(Settings::default()).await;
    let (client, _connection) = Raw::connect(&t.address).await;
    let call = async |path: &str, headers: &[(&'static str, &str)], bytes: Option<&[u8]>| {
        let mut call = client.begin(path, headers).await.expect("sent");
        call.request.send_data(bytes.unwrap_or_default().to_vec().into(), true).expect("sent");
        call.answer().await.expect("answered").code()
    };
    let message = framed(0, &GetUserRequest { id: 7, ..Default::default() }.encode_to_vec());
    for (path, headers, bytes, code) in [
        ("/zendesk.gateway.v1.UserService/NoSuch", &[][..], Some(&message[..]), Code::Unimplemented),
        ("/no.such.Service/Method", &[], Some(&message), Code::Unimplemented),
        (GET_USER, &[("grpc-encoding", "zstd")], Some(&framed(1, b"x")), Code::Unimplemented),
        (GET_USER, &[], None, Code::Unimplemented),
        (GET_USER, &[], Some(&framed(7, b"x")), Code::Internal),
        (GET_USER, &[], Some(&framed(0, b"\x08")), Code::Internal),
        (GET_USER, &[], Some(&message[..6]), Code::Internal),
        (GET_USER, &[("cache-control", "only-if-cached")], Some(&message), Code::Unavailable),
        (GET_USER, &[("cache-control", "max-age=x")], Some(&message), Code::InvalidArgument),
        (GET_USER, &[("grpc-timeout", "1")], Some(&message), Code::InvalidArgument),
        (GET_USER, &[], Some(&framed(0, &[])), Code::InvalidArgument),
        (GET_USER, &[], Some(&message), Code::NotFound),
    ] {
        assert_eq!(call(path, headers, bytes).await, code, "{path} {headers:?} {bytes:?}");
    }
    let id = t.sandbox.store().user_ids()[3];
    t.sandbox.fault(get(&format!("/users/{id}")), Delay::by(Duration::from_millis(300)));
    t.sandbox.fault(put(&format!("/users/{id}")), Delay::by(Duration::from_millis(300)));
    let mut read = Request::new(GetUserRequest { id, ..Default::default() });
    read.set_timeout(Duration::from_millis(60));
    t.users().get_user(read).await.expect_err("too little time");
    let user = Some(UserInput { notes: Some("n".to_owned()), ..UserInput::default() });
    let mut write = Request::new(UpdateUserRequest { id, user, update_mask: None, ..Default::default() });
    write.set_timeout(Duration::from_millis(60));
    t.users().update_user(write).await.expect_err("too little time");
    // The client may have left a moment before the gateway's answer, and then its call was CANCELLED.
    let counted = ended(&t, 14).await;
    assert!(counted.values().all(|(_, failures)| *failures == 0), "{counted:#?}");
    assert_eq!(failed(&t).await, 0);
    let reasons = reasons(&t).await;
    assert_eq!((reasons["UNIMPLEMENTED"], reasons["MALFORMED_REQUEST"], reasons["CACHE_MISS"]), (4, 3, 1));
    assert!(!reasons.contains_key("DEADLINE_EXCEEDED") && !reasons.contains_key("INTERNAL"), "{reasons:#?}");
}

/// Waits until so many calls have ended, and returns them as [`counted`] does.
async fn ended(t: &Observed, calls: u64) -> BTreeMap<String, (u64, u64)> {
    let all = async || counted(t).await.values().map(|(calls, _)| calls).sum::<u64>();
    tokio::time::timeout(Duration::from_mins(1), async {
        while all().await < calls {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await
    .expect("each call is counted");
    counted(t).await
}

#[tokio::test]
#[ignore = "slow"]
async fn messages_that_never_come_and_replies_that_nobody_reads_are_no_failures_of_the_service() {
    let t = Observed::start(Settings::default()).await;
    let mut builder = h2::client::Builder::new();
    builder.initial_window_size(1);
    let (client, _connection) = Raw::with(&t.address, builder).await;
    let half_a_second = [("grpc-timeout", "500m")];
    let message = framed(0, &GetUserRequest { id: 7, ..Default::default() }.encode_to_vec());
    // None of the message, and a part of it.
    for sent in [None, Some(&message[..6])] {
        let mut call = client.begin(GET_USER, &half_a_second).await.expect("sent");
        if let Some(bytes) = sent {
            call.request.send_data(bytes.to_vec().into(), false).expect("sent");
        }
        let status = call.answer().await.expect("answered").status();
        assert_eq!(status.code(), Code::DeadlineExceeded);
        let reason = status.get_error_details().error_info().map(|info| info.reason.clone());
        assert_eq!(reason.as_deref(), Some("REQUEST_INCOMPLETE"), "{status:?}");
    }
    let stream = "/zendesk.gateway.v1.UserService/StreamUsers";
    let longer = [("grpc-timeout", "3S")];
    let unread = client.start(stream, &longer, &StreamUsersRequest::default()).await.expect("sent");
    let response = unread.response.await.expect("headers");
    // A watch and a session, which last until their deadline.
    let (reader, _connection) = Raw::connect(&t.address).await;
    let request = tonic_health::pb::HealthCheckRequest::default();
    let watch = reader.start("/grpc.health.v1.Health/Watch", &half_a_second, &request).await.expect("sent");
    let session = reader.begin(REFLECT, &half_a_second).await.expect("sent");
    let counted = ended(&t, 5).await;
    assert!(counted.values().all(|(_, failures)| *failures == 0), "{counted:#?}");
    assert_eq!(counted["DEADLINE_EXCEEDED"].0, 5, "{counted:#?}");
    assert_eq!(failed(&t).await, 0);
    let reasons = reasons(&t).await;
    assert_eq!((reasons["REQUEST_INCOMPLETE"], reasons["REPLY_NOT_READ"]), (2, 1), "{reasons:#?}");
    drop((response, watch, session, unread.request));
}

/// Requests by which the server library, and not a layer of the gateway, refuses a call.
#[tokio::test]
async fn every_error_has_its_reason_whoever_found_it() {
    let t = Observed::start(Settings::default()).await;
    let (client, _connection) = Raw::connect(&t.address).await;
    let (user, check) =
        (GetUserRequest { id: 7, ..Default::default() }.encode_to_vec(), "/grpc.health.v1.Health/Check");
    let message = framed(0, &user);
    let unpacks_to_rubbish = framed(1, b"no gzip");
    let service = framed(0, &tonic_health::pb::HealthCheckRequest { service: "no.such".to_owned() }.encode_to_vec());
    let too_long = [&[0][..], &(64_u32 << 20).to_be_bytes(), &[0; 100]].concat();
    let twice = [&message[..], &message[..]].concat();
    for (path, headers, bytes, code, reason) in [
        ("/zendesk.gateway.v1.UserService/NoSuch", &[][..], &message[..], Code::Unimplemented, "UNIMPLEMENTED"),
        ("/no.such.Service/Method", &[], &message, Code::Unimplemented, "UNIMPLEMENTED"),
        (GET_USER, &[("grpc-encoding", "zstd")], &framed(1, b"x"), Code::Unimplemented, "UNIMPLEMENTED"),
        (GET_USER, &[], &[], Code::Unimplemented, "UNIMPLEMENTED"),
        (GET_USER, &[], &twice, Code::Unimplemented, "UNIMPLEMENTED"),
        (check, &[], &twice, Code::Unimplemented, "UNIMPLEMENTED"),
        (GET_USER, &[], &framed(7, b"x"), Code::Internal, "MALFORMED_REQUEST"),
        (GET_USER, &[], &framed(1, b"x"), Code::Internal, "MALFORMED_REQUEST"),
        (GET_USER, &[], &framed(0, b"\x08"), Code::Internal, "MALFORMED_REQUEST"),
        (GET_USER, &[], &message[..3], Code::Internal, "MALFORMED_REQUEST"),
        (GET_USER, &[], &message[..6], Code::Internal, "MALFORMED_REQUEST"),
        (GET_USER, &[("grpc-encoding", "gzip")], &unpacks_to_rubbish, Code::Internal, "MALFORMED_REQUEST"),
        (GET_USER, &[], &too_long, Code::ResourceExhausted, "REQUEST_TOO_LARGE"),
        (GET_USER, &[("grpc-timeout", "1")], &message, Code::InvalidArgument, "INVALID_FIELD"),
        (check, &[], &service, Code::NotFound, "NOT_FOUND"),
    ] {
        let mut call = client.begin(path, headers).await.expect("sent");
        call.request.send_data(bytes.to_vec().into(), true).expect("sent");
        let status = call.answer().await.expect("answered").status();
        let details = status.get_error_details();
        let info = details.error_info().unwrap_or_else(|| panic!("{path} {headers:?} {bytes:?}: {status:?}"));
        assert_eq!((status.code(), info.reason.as_str(), info.domain.as_str()), (code, reason, "zendesk-gateway"));
        assert!(!status.message().is_empty(), "{status:?}");
    }
}

#[tokio::test]
async fn a_reply_that_is_larger_than_the_gateway_sends_has_its_reason() {
    let mut config = zendesk_gateway::config::Config::default();
    config.server.max_response_bytes = 1000;
    let t = Observed::configured(config).await;
    let list = ListUsersRequest { page_size: 100, ..ListUsersRequest::default() };
    let refused = refused(t.users().list_users(list).await);
    assert_eq!((refused.code, refused.reason.as_str()), (Code::OutOfRange, "REPLY_TOO_LARGE"), "{}", refused.message);
    assert!(refused.message.contains("ask for less"), "{}", refused.message);
    let notes = Some("n".repeat(2_000));
    let user = Some(UserInput { name: Some("N".to_owned()), notes, ..UserInput::default() });
    let done = crate::support::refused(t.users().create_user(CreateUserRequest { user, ..Default::default() }).await);
    assert_eq!((done.code, done.reason.as_str()), (Code::OutOfRange, "REPLY_TOO_LARGE"), "{}", done.message);
    assert!(done.message.contains("the change was made"), "{}", done.message);
    let mut stream = t.users().stream_users(StreamUsersRequest::default()).await.expect("it begins").into_inner();
    let ended = loop {
        match stream.message().await {
            Ok(message) => assert!(message.is_some(), "it does not end as if all were well"),
            Err(status) => break crate::support::refused::<()>(Err(status)),
        }
    };
    assert_eq!((ended.code, ended.reason.as_str()), (Code::OutOfRange, "REPLY_TOO_LARGE"), "{}", ended.message);
}

#[tokio::test]
async fn deadlines_that_a_healthy_call_meets_and_upstreams_that_fail_are_failures() {
    let t = Observed::start(Settings::default()).await;
    let ids = t.sandbox.store().user_ids();
    t.sandbox.fault(get(&format!("/users/{}", ids[3])), Delay::by(Duration::from_secs(2)));
    let (client, _connection) = Raw::connect(&t.address).await;
    let late =
        client.call(GET_USER, &[("grpc-timeout", "500m")], &GetUserRequest { id: ids[3], ..Default::default() }).await;
    assert_eq!(late.expect("answered").code(), Code::DeadlineExceeded);
    t.sandbox.fault(get(&format!("/users/{}", ids[4])), Respond::with(500).forever());
    let request = with(GetUserRequest { id: ids[4], ..Default::default() }, &[("cache-control", "no-cache")]);
    t.users().get_user(request).await.expect_err("it fails");
    let counted = counted(&t).await;
    assert_eq!((counted["DEADLINE_EXCEEDED"], counted["INTERNAL"]), ((1, 1), (1, 1)), "{counted:#?}");
    assert_eq!(failed(&t).await, 2);
    assert!(reasons(&t).await.contains_key("DEADLINE_EXCEEDED"));
}
