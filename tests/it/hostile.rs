//! Hostile input: no text of a request changes which endpoint is called, and no metadata reaches Zendesk.

use std::collections::BTreeSet;

use prost_reflect::{DynamicMessage, Kind, MessageDescriptor, ReflectMessage as _, Value};
use tonic::Code;
use zendesk_gateway::contract::{RPCS, Risk, Rpc};
use zendesk_gateway::proto::{GetUserRequest, UpdateUserRequest, UserInput};
use zendesk_gateway::sandbox::Recorded;

use crate::contract::{Known, endpoint_of, requests_of};
use crate::support::{Dynamic, TestGateway, refused, with};

/// What has climbed a path, split a header or ended a URL somewhere before.
fn hostile() -> Vec<String> {
    let mut texts: Vec<String> = [
        "..",
        "../users/1",
        "%2e%2e",
        "%2e%2e%2fusers",
        "..%2f..%2f",
        "a/b",
        "a\\..\\b",
        "a?role=admin",
        "a#b",
        "a&per_page=1",
        "a\r\nx-evil: 1",
        "a\nb",
        "a\0b",
        ";jsessionid=1",
        "\u{202e}\u{ff0e}\u{ff0e}",
    ]
    .map(str::to_owned)
    .to_vec();
    texts.push("x".repeat(9000));
    texts
}

/// Text fields that reach a path or a header, beside those that a path's template names.
const REACHING: [(&str, &str); 4] = [
    ("BatchGetJobs", "ids"),
    ("WatchJobs", "ids"),
    ("UploadUserPhoto", "content_type"),
    ("UploadUserPhoto", "file_name"),
];
/// What may stand in a file's name without changing where the header ends: nothing of it reaches a path.
const HARMLESS_IN_A_NAME: [&str; 9] = [
    "..",
    "%2e%2e",
    "%2e%2e%2fusers",
    "..%2f..%2f",
    "a?role=admin",
    "a#b",
    "a&per_page=1",
    ";jsessionid=1",
    "\u{202e}\u{ff0e}\u{ff0e}",
];

/// Every text field below a message, as a path of field names.
fn texts(message: &MessageDescriptor, depth: usize) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    for field in message.fields().filter(|field| !field.is_map()) {
        let name = field.name().to_owned();
        match field.kind() {
            Kind::String => found.push(vec![name]),
            Kind::Message(inner) if depth > 0 && inner.full_name() != "google.protobuf.Struct" => {
                let below = texts(&inner, depth - 1).into_iter();
                found.extend(below.map(|path| [vec![name.clone()], path].concat()));
            }
            _ => {}
        }
    }
    found
}

/// Puts a text at a path of field names; lists get it as an item more.
fn put(message: &mut DynamicMessage, path: &[String], text: &str) {
    let (name, below) = path.split_first().expect("a path has a field");
    let field = message.descriptor().get_field_by_name(name).expect("the descriptor's own field");
    let value = match field.kind() {
        Kind::Message(inner) => {
            let present = message.get_field(&field).into_owned();
            let mut item = match present {
                Value::Message(present) if message.has_field(&field) => present,
                Value::List(items) => match items.last() {
                    Some(Value::Message(last)) => last.clone(),
                    _ => DynamicMessage::new(inner),
                },
                _ => DynamicMessage::new(inner),
            };
            put(&mut item, below, text);
            Value::Message(item)
        }
        _ => Value::String(text.to_owned()),
    };
    let value = if field.is_list() { Value::List(vec![value]) } else { value };
    message.set_field(&field, value);
}

/// Checks that a request went where the contract says, and that nothing of the text is anywhere but encoded.
fn harmless(rpc: &Rpc, sent: &Recorded, row: &str) {
    if sent.path == "/api/v2/job_statuses/show_many" && sent.method == "GET" {
        return; // a job of an earlier row is being followed
    }
    assert!(endpoint_of(rpc, &sent.method, &sent.path).is_some(), "{row} sent {} {}", sent.method, sent.path);
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/_-".contains(&byte);
    assert!(sent.path.bytes().all(plain), "{row} sent {}", sent.path);
    let encoded = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~%=&".contains(&byte);
    assert!(sent.query.bytes().all(encoded), "{row} sent ?{}", sent.query);
    let names = sent.query.split('&').filter_map(|pair| pair.split('=').next());
    let names: Vec<&str> = names.filter(|name| !name.ends_with("%5B%5D")).collect();
    let distinct: BTreeSet<&str> = names.iter().copied().collect();
    assert_eq!(names.len(), distinct.len(), "{row} sent ?{}", sent.query);
    assert!(!sent.headers.contains_key("x-evil"), "{row}");
    allowed(sent, row);
}

#[tokio::test]
#[ignore = "slow"]
async fn no_text_of_any_request_changes_which_endpoint_is_called() {
    let t = TestGateway::start().await;
    let client = Dynamic::new(t.channel.clone());
    let known = Known::of(&t);
    let mut tried = 0;
    for rpc in RPCS {
        let input = client.method(rpc.method).input();
        let in_a_path = |field: &str| {
            let named = rpc.endpoints.iter().any(|endpoint| endpoint.path.contains(&format!("{{{field}}}")));
            named || REACHING.contains(&(rpc.method, field))
        };
        let rows: Vec<String> = requests_of(rpc.method).into_iter().map(|json| known.fill(json)).collect();
        // A job holds one of few slots for seconds: its inputs are written as those of the single calls are.
        let is_bulk = rpc.method.contains("Bulk");
        let few = hostile().into_iter().step_by(if is_bulk { 4 } else { 1 });
        let few: Vec<String> = few.collect();
        for path in texts(&input, if is_bulk { 0 } else { 2 }) {
            // What is written into a body is put in once; what steers the call, into each form of the request.
            let forms = if rpc.risk == Risk::Read { rows.len() } else { 1 };
            for json in &rows[..forms] {
                for text in &few {
                    let row = format!("{} {json} {} {:?}", rpc.method, path.join("."), &text[..text.len().min(20)]);
                    let mut message = client.message(rpc.method, &json.replace("\"wait\": true", "\"wait\": false"));
                    put(&mut message, &path, text);
                    t.sandbox.reset_stats();
                    let outcome = client.send(rpc.method, &message, &[] as &[(&str, &str)]).await;
                    tried += 1;
                    let excused = path == ["file_name"] && HARMLESS_IN_A_NAME.contains(&text.as_str());
                    if in_a_path(&path[0]) && !excused {
                        let refused = refused(outcome);
                        assert_eq!(refused.code, Code::InvalidArgument, "{row}: {}", refused.message);
                        let fields: Vec<&str> =
                            refused.fields.iter().filter_map(|field| field.split('[').next()).collect();
                        assert_eq!(fields, [path[0].as_str()], "{row}");
                        assert_eq!(t.sandbox.total_hits(), 0, "{row}");
                    } else {
                        if outcome.is_err_and(|status| status.code() == Code::InvalidArgument) {
                            continue;
                        }
                        for sent in t.sandbox.requests() {
                            harmless(rpc, &sent, &row);
                        }
                    }
                }
            }
        }
    }
    assert!(tried > 1000, "{tried}");
}

/// Headers that the gateway sends, and nothing else.
const ALLOWED: [&str; 7] =
    ["accept", "accept-encoding", "authorization", "content-length", "content-type", "host", "user-agent"];

fn allowed(sent: &Recorded, row: &str) {
    for name in sent.headers.keys() {
        assert!(ALLOWED.contains(&name.as_str()), "{row}: {name} reached the upstream");
    }
}

/// Metadata that would mean something to Zendesk, to a proxy before it, or to an HTTP library.
const SMUGGLED: [&str; 32] = [
    "host",
    "cookie",
    "authorization",
    "proxy-authorization",
    "x-api-key",
    "x-zendesk-marketplace-name",
    "x-zendesk-app-id",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-real-ip",
    "forwarded",
    "via",
    "x-http-method-override",
    "x-method-override",
    "x-original-url",
    "x-rewrite-url",
    "accept",
    "accept-language",
    "content-language",
    "content-encoding",
    "range",
    "expect",
    "if-none-match",
    "idempotency-key",
    "origin",
    "referer",
    "baggage",
    "tracestate",
    "x-b3-traceid",
    "x-request-id",
    "x-evil-bin",
];

/// Metadata by which a caller asks for another authority, which it must not get without a setting that allows it.
const REFUSED: [&str; 2] = ["x-zendesk-authorization", "x-on-behalf-of"];

#[tokio::test]
async fn no_metadata_of_a_caller_reaches_the_upstream() {
    let t = TestGateway::start().await;
    let id = t.sandbox.store().user_ids()[3];
    let note = UserInput { notes: Some("n".to_owned()), ..UserInput::default() };
    let update = UpdateUserRequest { id, user: Some(note), update_mask: None, ..Default::default() };
    // One by one, for a name can be refused on the way; and the tracing headers in a form that is taken.
    for name in SMUGGLED {
        t.sandbox.reset_stats();
        if name.ends_with("-bin") {
            let mut request = tonic::Request::new(GetUserRequest { id, ..Default::default() });
            request.metadata_mut().insert_bin(name, tonic::metadata::MetadataValue::from_bytes(b"smuggled"));
            request.metadata_mut().insert("cache-control", "no-cache".parse().expect("ASCII"));
            t.users().get_user(request).await.expect("it is ignored");
        } else {
            let metadata = [(name, "smuggled"), ("cache-control", "no-cache")];
            t.users().get_user(with(GetUserRequest { id, ..Default::default() }, &metadata)).await.expect(name);
            t.users().update_user(with(update.clone(), &metadata)).await.expect(name);
        }
        unseen(&t, name);
    }
    // These two would change whose authority is used, and here they must not.
    for name in ["x-zendesk-authorization", "x-on-behalf-of"] {
        t.sandbox.reset_stats();
        t.users()
            .get_user(with(GetUserRequest { id, ..Default::default() }, &[(name, "smuggled")]))
            .await
            .expect_err(name);
        assert_eq!(t.sandbox.total_hits(), 0, "{name}");
    }
    t.sandbox.reset_stats();
    for name in REFUSED {
        let metadata = [(name, "7"), ("cache-control", "no-cache")];
        t.users().get_user(with(GetUserRequest { id, ..Default::default() }, &metadata)).await.expect_err(name);
        t.users().update_user(with(update.clone(), &metadata)).await.expect_err(name);
    }
    assert_eq!(t.sandbox.total_hits(), 0, "nothing may reach the upstream");
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let metadata = [("traceparent", trace), ("tracestate", "a=smuggled"), ("cache-control", "no-cache")];
    t.users().get_user(with(GetUserRequest { id, ..Default::default() }, &metadata)).await.expect("traced");
    unseen(&t, "traceparent");
}

fn unseen(t: &TestGateway, row: &str) {
    let requests = t.sandbox.requests();
    assert!(!requests.is_empty(), "{row}");
    let host = t.sandbox.base_url();
    let host = format!("{}:{}", host.host_str().expect("a host"), host.port().expect("a port"));
    for sent in requests {
        allowed(&sent, row);
        for (name, value) in &sent.headers {
            let text = String::from_utf8_lossy(value.as_bytes());
            assert!(!text.contains("smuggled") && !text.contains("0af7651916cd43dd"), "{row}: {name}: {text}");
        }
        assert_eq!(sent.headers["host"], host.as_str(), "{row}");
        assert!(!sent.query.contains("smuggled"), "{row}");
    }
}
