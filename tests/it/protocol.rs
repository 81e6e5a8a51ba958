//! What is a gRPC call, and what is done for a request that is none: nothing.

use bytes::Bytes;
use http::{HeaderMap, Method, Request};
use prost::Message as _;
use tonic::{Code, Status};
use zendesk_gateway::config::{self, LogFormat};
use zendesk_gateway::error::reason_of;
use zendesk_gateway::proto::{CreateUserRequest, GetUserRequest, UserInput};

use crate::support::observed::Observed;
use crate::support::raw::{Raw, framed};
use crate::support::{TestGateway, settings};

const GET_USER: &str = "/zendesk.gateway.v1.UserService/GetUser";
const CREATE_USER: &str = "/zendesk.gateway.v1.UserService/CreateUser";
const CHECK: &str = "/grpc.health.v1.Health/Check";
const REFLECT: &str = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";

/// A request with the body of a call.
fn request(method: &Method, path: &str, content_type: Option<&str>) -> Request<()> {
    let request = Request::builder().method(method).uri(format!("http://gateway{path}")).header("te", "trailers");
    let request = content_type.into_iter().fold(request, |request, one| request.header("content-type", one));
    request.body(()).expect("a request")
}

fn creation() -> Bytes {
    let user = UserInput { name: Some("Page".to_owned()), ..UserInput::default() };
    framed(0, &CreateUserRequest { user: Some(user), ..Default::default() }.encode_to_vec())
}

#[tokio::test]
async fn a_request_that_is_no_grpc_call_is_refused_before_anything_is_done() {
    let mut config = settings();
    config.telemetry.log_format = LogFormat::Json;
    let t = Observed::configured(config).await;
    let _lines = tracing::dispatcher::set_default(t.telemetry.dispatch());
    let (client, _) = Raw::connect(&t.address).await;
    let wrong_types = [
        None,
        Some("text/plain"),
        Some("application/json"),
        Some("application/grpc-web"),
        Some("application/grpc-web+proto"),
        Some("application/grpc-web-text"),
        Some("application/grpc+json"),
    ];
    let mut sent = 0;
    for path in [CREATE_USER, GET_USER, CHECK, REFLECT, "/nobody.Knows/This"] {
        for one in wrong_types {
            let answer = client.send(request(&Method::POST, path, one), creation()).await.expect("answered");
            assert_eq!(answer.status, 415, "{path} {one:?}");
            assert!(!answer.headers.contains_key("grpc-status"), "{path} {one:?}: {answer:?}");
            sent += 1;
        }
        for method in [Method::GET, Method::HEAD, Method::OPTIONS, Method::PUT, Method::DELETE] {
            let wrong = request(&method, path, Some("application/grpc"));
            let answer = client.send(wrong, creation()).await.expect("answered");
            assert_eq!((answer.status.as_u16(), &answer.headers["allow"]), (405, &"POST".parse().expect("a value")));
            sent += 1;
        }
    }
    assert_eq!(t.sandbox.total_hits(), 0, "nothing is carried out");
    // Nobody is known to have sent them, so the lines are a sample; health's are at `debug`.
    crate::support::until(|| !t.lines.of("access").is_empty()).await;
    let lines = t.lines.of("access");
    let told =
        |line: &serde_json::Value| line["error.reason"] == "CONTENT_TYPE" || line["error.reason"] == "HTTP_METHOD";
    assert!(lines.len() <= sent && lines.iter().all(told), "{lines:#?}");
    assert!(lines.iter().all(|line| line["rpc.status_code"] == "INVALID_ARGUMENT"), "{lines:#?}");
    assert_eq!(t.lines.of("audit").len(), 0, "nobody has attempted to change anything");
    let page = t.status().await;
    assert_eq!(page["calls"]["failed"], 0, "the service has not failed: {page}");
}

#[tokio::test]
async fn what_clients_of_all_kinds_send_is_a_call() {
    let t = TestGateway::start().await;
    let (client, _) = Raw::connect(&t.address).await;
    let get = framed(0, &GetUserRequest { id: -1, ..Default::default() }.encode_to_vec());
    for one in ["application/grpc", "application/grpc+proto", "Application/gRPC", "application/grpc; charset=utf-8"] {
        let answer = client.send(request(&Method::POST, GET_USER, Some(one)), get.clone()).await.expect("answered");
        let status = Status::from_header_map(&answer.headers).expect("a status");
        assert_eq!((answer.status.as_u16(), status.code()), (200, Code::InvalidArgument), "{one}");
    }
    t.stop().await;
}

#[tokio::test]
async fn a_method_that_takes_one_message_gets_exactly_one_or_does_nothing() {
    let t = TestGateway::start().await;
    let (client, _) = Raw::connect(&t.address).await;
    let check = framed(0, &tonic_health::pb::HealthCheckRequest::default().encode_to_vec());
    let get = framed(0, &GetUserRequest { id: t.sandbox.store().user_ids()[0], ..Default::default() }.encode_to_vec());
    let stream = framed(0, &zendesk_gateway::proto::StreamUsersRequest::default().encode_to_vec());
    for (path, message) in [
        (CREATE_USER, creation()),
        (GET_USER, get),
        ("/zendesk.gateway.v1.UserService/StreamUsers", stream),
        (CHECK, check),
    ] {
        for (what, bytes) in [("two", [&message[..], &message[..]].concat()), ("none", Vec::new())] {
            let mut call = client.begin(path, &[]).await.expect("sent");
            call.request.send_data(bytes.into(), true).expect("sent");
            let status = call.answer().await.expect("answered").status();
            assert_eq!(status.code(), Code::Unimplemented, "{what} to {path}: {status:?}");
            assert!(status.message().contains("takes exactly one;"), "{status:?}");
        }
        // Also where the second comes later.
        let mut call = client.begin(path, &[]).await.expect("sent");
        call.request.send_data(message.clone(), false).expect("sent");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        call.request.send_data(message, false).expect("sent");
        assert_eq!(call.answer().await.expect("answered").code(), Code::Unimplemented, "{path}");
    }
    assert_eq!(t.sandbox.total_hits(), 0, "nothing is carried out");
    t.stop().await;
}

#[tokio::test]
async fn a_call_with_too_much_metadata_is_refused_as_grpc_clients_understand_it() {
    let t = TestGateway::start().await;
    let (client, _) = Raw::connect(&t.address).await;
    let fields = [
        (":method", "POST"),
        (":scheme", "http"),
        (":authority", "gateway"),
        (":path", GET_USER),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
        ("x-much", ""),
    ];
    let others: usize = fields.iter().map(|(name, value)| name.len() + value.len() + 32).sum();
    let limit = usize::try_from(config::Server::default().max_header_bytes).expect("it fits");
    let call = async |bytes: usize| {
        let much = "v".repeat(bytes - others);
        let call = client
            .start(GET_USER, &[("x-much", &much)], &GetUserRequest { id: -1, ..Default::default() })
            .await
            .expect("it is sent");
        call.answer().await.expect("it is answered").trailers
    };
    let said = |trailers: &HeaderMap| {
        let status = Status::from_header_map(trailers).expect("a status");
        (status.code(), reason_of(&status))
    };
    assert_eq!(said(&call(limit).await), (Code::InvalidArgument, Some("INVALID_FIELD")));
    for bytes in [limit + 1, 2 * limit - 1] {
        assert_eq!(said(&call(bytes).await), (Code::ResourceExhausted, Some("REQUEST_TOO_LARGE")), "{bytes}");
    }
    // What HTTP/2 refuses, with status 431.
    assert!(Status::from_header_map(&call(2 * limit).await).is_none());
}
