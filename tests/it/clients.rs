//! What `docs/clients.md` and the pages below it tell callers to do, done.

use std::collections::BTreeSet;
use std::process::Command;

use serde_json::{Value, json};
use zendesk_gateway::contract::{Idempotency, RPCS, Rpc};
use zendesk_gateway::proto::CountUsersRequest;
use zendesk_gateway::proto::user_service_client::UserServiceClient;

use crate::support::TestGateway;
use crate::support::tools::{is_installed, python};

mod balanced;
mod pages;
mod retries;
mod scripts;

const SERVICE_CONFIG: &str = include_str!("../../docs/service-config.json");

/// The block that shows a channel for production, on the page of a language.
fn production(page: &'static str) -> &'static str {
    let (_, after) = page.split_once("## A channel for production\n").expect("its heading");
    let (_, block) = after.split_once("```").and_then(|(_, block)| block.split_once('\n')).expect("a block");
    block.split("```").next().expect("an end")
}

#[test]
fn the_service_config_repeats_reads_and_nothing_else() {
    let set_of = |wanted: &Value| -> BTreeSet<String> {
        wanted.as_array().expect("a list").iter().map(Value::to_string).collect()
    };
    let names = |wanted: fn(&Rpc) -> bool| {
        let rpcs = RPCS.iter().filter(|rpc| wanted(rpc));
        let names =
            rpcs.map(|rpc| json!({"service": format!("zendesk.gateway.v1.{}", rpc.service), "method": rpc.method}));
        Value::Array(names.collect())
    };
    let config: Value = serde_json::from_str(SERVICE_CONFIG).expect("JSON");
    let methods = config["methodConfig"].as_array().expect("a list");
    assert_eq!(methods.len(), 4);
    let unary_reads = names(|rpc| rpc.idempotency == Idempotency::NoSideEffects && !rpc.streaming);
    assert_eq!(set_of(&methods[0]["name"]), set_of(&unary_reads));
    let streamed_reads = names(|rpc| rpc.idempotency == Idempotency::NoSideEffects && rpc.streaming);
    assert_eq!(set_of(&methods[1]["name"]), set_of(&streamed_reads));
    assert!(methods[1]["timeout"].is_null(), "a stream takes as long as its rows");
    assert_eq!(set_of(&methods[2]["name"]), set_of(&names(|rpc| rpc.client_streaming)));
    assert!(methods[2]["timeout"].is_null() && methods[2]["retryPolicy"].is_null(), "as long as its rows, and once");
    let mut services: Vec<&str> = RPCS.iter().map(|rpc| rpc.service).collect();
    services.dedup();
    let services = services.iter().map(|service| json!({"service": format!("zendesk.gateway.v1.{service}")}));
    assert_eq!(set_of(&methods[3]["name"]), set_of(&Value::Array(services.collect())), "everything else");
    assert!(methods[3]["retryPolicy"].is_null(), "a write may have been done");
    // Clients on the C core do not send it, and the gateway's own deadline must pass first: only its answer says what became of a write.
    let timeout = methods[3]["timeout"].as_str().and_then(|timeout| timeout.strip_suffix('s')).expect("in seconds");
    let own = zendesk_gateway::config::Server::default().unary_deadline.as_secs();
    assert!(timeout.parse::<u64>().expect("a number") >= own + 5, "{timeout} s is no more than the gateway's {own} s");
    assert_eq!(config["loadBalancingConfig"], json!([{"round_robin": {}}]));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow"]
async fn the_python_of_the_guide_spreads_its_calls_over_all_replicas() {
    let mut probe = python();
    probe.args(["-c", "import grpc"]);
    if !is_installed("Python with grpcio", probe) {
        return;
    }
    let (one, other) = (TestGateway::start().await, TestGateway::start().await);
    let target = "dns:///zendesk-gateway-headless.support:50051";
    let shown = production(include_str!("../../docs/clients/python.md"));
    assert!(shown.contains(target));
    // No name here resolves to two addresses, so both are written down, and the name that a call carries besides.
    let own = shown.replace(target, &format!("ipv4:{},{}", one.address, other.address));
    let own = own.replace("options=[", "options=[('grpc.default_authority', 'zendesk-gateway'),");
    let script = format!(
        "{own}
grpc.channel_ready_future(channel).result(timeout=60)
count = channel.unary_unary('/zendesk.gateway.v1.UserService/GetCurrentUser')
for _ in range(400):
    count(b'', timeout=60, wait_for_ready=True, metadata=[('cache-control', 'no-cache')])
"
    );
    let mut client: Command = python();
    client.args(["-c", &script]).current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/docs"));
    let output = tokio::task::spawn_blocking(move || client.output()).await.expect("no panic").expect("it starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let hits = [&one, &other].map(|gateway| gateway.sandbox.hits("/users/me"));
    assert!(hits.iter().sum::<u64>() >= 400 && hits.iter().all(|hits| *hits > 0), "{hits:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rust_of_the_guide_is_compiled_here_and_follows_a_name() {
    let source = include_str!("clients/balanced.rs");
    let shown = source.split_once("\n\n").expect("a module doc").1;
    let page = production(include_str!("../../docs/clients/rust.md"));
    assert_eq!(page, shown, "docs/clients/rust.md shows tests/it/clients/balanced.rs");
    let t = TestGateway::start().await;
    let port = t.address.rsplit(':').next().and_then(|port| port.parse().ok()).expect("a port");
    let channel = balanced::balanced("127.0.0.1".to_owned(), port);
    let counted = UserServiceClient::new(channel).count_users(CountUsersRequest::default()).await;
    counted.expect("it finds the gateway");
}
