//! How large answers get, and what a client with default settings makes of them.

use tonic::Code;
use tonic::codec::CompressionEncoding::Gzip;
use tonic_types::StatusExt as _;
use zendesk_gateway::proto::user_service_client::UserServiceClient;
use zendesk_gateway::proto::{ListUsersRequest, StreamUsersRequest};
use zendesk_gateway::sandbox;

use super::*;
use crate::support::{TestGateway, account, settings};

/// What most clients take by default, and tonic as well.
const DEFAULT: usize = 4 << 20;

/// Makes each text of a record as long as it gets. **Assumption**: Zendesk's specification states no lengths. A line has 255 characters,
/// what is written in several lines has 4,000, and of custom fields there are fifty.
fn grown(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let grown = |(key, value): (&String, &Value)| match key.as_str() {
                "notes" | "details" | "description" => (key.clone(), json!("é".repeat(2_000))),
                "user_fields" => {
                    let fields = (0..50).map(|n| (format!("a_custom_field_{n}"), json!("x".repeat(255))));
                    (key.clone(), Value::Object(fields.collect()))
                }
                // Words, times and addresses that are checked for being such.
                "role" | "ticket_restriction" | "scope" | "channels" | "status" | "created_at" | "updated_at"
                | "last_login_at" => (key.clone(), value.clone()),
                _ => (key.clone(), grown(value)),
            };
            Value::Object(fields.iter().map(grown).collect())
        }
        Value::Array(items) => Value::Array(items.iter().map(grown).collect()),
        Value::String(text) => json!(format!("{text}{}", "x".repeat(255_usize.saturating_sub(text.len())))),
        other => other.clone(),
    }
}

/// A list of a hundred such rows, each with an id of its own.
fn rows(record: &Value) -> Value {
    let numbered = |n: u64| {
        let mut row = grown(record);
        row["id"] = if record["id"].is_string() { json!(format!("V3-{n}")) } else { json!(n) };
        row
    };
    (1..=100).map(numbered).collect()
}

#[tokio::test]
#[ignore = "slow"]
async fn the_largest_pages_fit_into_what_clients_take_by_default() {
    let pool = DescriptorPool::decode(zendesk_gateway::proto::DESCRIPTORS).expect("the contract's descriptors");
    let methods = pool.services().flat_map(|service| service.methods().collect::<Vec<_>>());
    for method in methods.filter(|method| is_paged(&method.input())) {
        let (rpc, reply) = (method.name(), method.output());
        let request = if rpc == "ListMemberships" {
            r#"{"include_users": true, "include_groups": true}"#
        } else {
            crate::contract::requests_of(rpc)[0]
        };
        let field = reply.get_field(1).expect("rows");
        let row = field.kind().as_message().expect("a record").name().to_owned();
        let mut body = json!({field.name(): rows(&record(&row)), "meta": {"has_more": false}});
        for (beside, row) in [("users", "User"), ("groups", "Group")] {
            if beside != field.name() && reply.get_field_by_name(beside).is_some() {
                body[beside] = rows(&record(row));
            }
        }
        // A client that takes no more fails here.
        let answered = through(&body, rpc, request).await;
        assert!(!answered[field.name()].as_array().expect("rows").is_empty(), "{rpc}");
    }
}

#[tokio::test]
async fn a_reply_is_measured_before_it_is_compressed() {
    let mut config = settings();
    config.server.max_response_bytes = 20_000;
    let t = TestGateway::configured(sandbox::Config { users: 200, ..account() }, config).await;
    // Compressed it has a few thousand bytes, but its reader has to hold all of it.
    let mut users = UserServiceClient::new(t.channel.clone()).accept_compressed(Gzip);
    let list = ListUsersRequest { page_size: 100, ..Default::default() };
    let refused = users.list_users(list).await.expect_err("too large");
    let reason = refused.get_error_details().error_info().map(|info| info.reason.clone());
    assert_eq!((refused.code(), reason.as_deref()), (Code::OutOfRange, Some("REPLY_TOO_LARGE")), "{refused:?}");
    assert!(refused.message().contains("20000"), "{refused:?}");
    let less = ListUsersRequest { page_size: 5, ..Default::default() };
    users.list_users(less).await.expect("it fits");
    let mut stream = users.stream_users(StreamUsersRequest::default()).await.expect("it begins").into_inner();
    let mut seen = 0;
    while let Some(message) = stream.message().await.expect("its messages are small") {
        seen += message.users.len();
    }
    assert_eq!(seen, t.sandbox.store().user_ids().len());
    assert!(DEFAULT < zendesk_gateway::config::Server::default().max_response_bytes, "docs/clients.md says so");
}
