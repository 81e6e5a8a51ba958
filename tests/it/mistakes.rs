//! Callers' own mistakes: they are answered, and do not count as failures of the service.

use std::collections::BTreeMap;
use std::time::Duration;

use prost::Message as _;
use tonic::{Code, Request};
use zendesk_gateway::config::Telemetry as Settings;
use zendesk_gateway::proto::{GetUserRequest, UpdateUserRequest, UserInput};
use zendesk_gateway::sandbox::faults::{Delay, Respond, get, put};

use crate::support::observed::{Observed, scrape};
use crate::support::raw::{Raw, framed};
use crate::support::with;

const GET_USER: &str = "/zendesk.gateway.v1.UserService/GetUser";

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
    let message = framed(0, &GetUserRequest { id: 7 }.encode_to_vec());
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
    let mut read = Request::new(GetUserRequest { id });
    read.set_timeout(Duration::from_millis(60));
    t.users().get_user(read).await.expect_err("too little time");
    let user = Some(UserInput { notes: Some("n".to_owned()), ..UserInput::default() });
    let mut write = Request::new(UpdateUserRequest { id, user, update_mask: None });
    write.set_timeout(Duration::from_millis(60));
    t.users().update_user(write).await.expect_err("too little time");
    // The client may have left a moment before the gateway's answer, and then its call was CANCELLED.
    let ended = async || counted(&t).await.values().map(|(calls, _)| calls).sum::<u64>();
    tokio::time::timeout(Duration::from_mins(1), async {
        while ended().await < 14 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await
    .expect("each call is counted");
    let counted = counted(&t).await;
    assert!(counted.values().all(|(_, failures)| *failures == 0), "{counted:#?}");
    assert_eq!(failed(&t).await, 0);
    let reasons = reasons(&t).await;
    assert_eq!((reasons["UNIMPLEMENTED"], reasons["MALFORMED_REQUEST"], reasons["CACHE_MISS"]), (4, 3, 1));
    assert!(!reasons.contains_key("DEADLINE_EXCEEDED") && !reasons.contains_key("INTERNAL"), "{reasons:#?}");
}

#[tokio::test]
async fn deadlines_that_a_healthy_call_meets_and_upstreams_that_fail_are_failures() {
    let t = Observed::start(Settings::default()).await;
    let ids = t.sandbox.store().user_ids();
    t.sandbox.fault(get(&format!("/users/{}", ids[3])), Delay::by(Duration::from_secs(2)));
    let (client, _connection) = Raw::connect(&t.address).await;
    let late = client.call(GET_USER, &[("grpc-timeout", "500m")], &GetUserRequest { id: ids[3] }).await;
    assert_eq!(late.expect("answered").code(), Code::DeadlineExceeded);
    t.sandbox.fault(get(&format!("/users/{}", ids[4])), Respond::with(500).forever());
    let request = with(GetUserRequest { id: ids[4] }, &[("cache-control", "no-cache")]);
    t.users().get_user(request).await.expect_err("it fails");
    let counted = counted(&t).await;
    assert_eq!((counted["DEADLINE_EXCEEDED"], counted["INTERNAL"]), ((1, 1), (1, 1)), "{counted:#?}");
    assert_eq!(failed(&t).await, 2);
    assert!(reasons(&t).await.contains_key("DEADLINE_EXCEEDED"));
}
