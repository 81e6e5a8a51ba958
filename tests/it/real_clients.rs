//! Clients built by others that know only the address: Python with server reflection, and grpcurl.

use std::process::Command;

use serde_json::{Value, json};
use zendesk_gateway::contract::RPCS;
use zendesk_gateway::sandbox;

use crate::support::tools::{is_installed, python};
use crate::support::{TestGateway, account};

/// The health protocol's number of SERVING.
const SERVING: u64 = 1;

async fn output(mut command: Command) -> String {
    let run = tokio::task::spawn_blocking(move || command.output());
    let output = run.await.expect("no panic").expect("it starts");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    String::from_utf8(output.stdout).expect("text")
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow"]
async fn a_python_client_reads_every_record_by_reflection_alone() {
    let mut probe = python();
    probe.args(["-c", "import grpc, grpc_reflection, grpc_health"]);
    if !is_installed("Python with grpcio, grpcio-reflection and grpcio-health-checking", probe) {
        return;
    }
    let t = TestGateway::with(sandbox::Config { users: 25_000, groups: 40, ..account() }).await;
    let (users, memberships) = (t.sandbox.store().user_ids(), t.held_memberships());
    let (group, member) = (memberships[0].group_id, memberships[0].user_id);
    let mut client = python();
    client.arg("tests/clients/reflection.py").arg(&t.address);
    client.args([users[5], group, member].map(|id| id.to_string()));
    let saw: Value = serde_json::from_str(&output(client).await).expect("JSON");

    let services = saw["services"].as_array().expect("a list");
    for rpc in RPCS {
        assert!(services.contains(&json!(format!("zendesk.gateway.v1.{}", rpc.service))), "{services:?}");
    }
    assert_eq!(saw["upstream_of_get_user"][0], "/api/v2/users/{id}", "custom options arrive intact");
    assert!(saw["health"].as_object().expect("a map").values().all(|status| *status == SERVING), "{}", saw["health"]);
    assert_eq!(saw["user"], users[5]);
    assert_eq!(saw["refusal"], "INVALID_ARGUMENT");
    assert_eq!(saw["streamed_users"], json!(users), "25,000 distinct ids in the order held");

    let all: Vec<i64> = memberships.iter().map(|row| row.id).collect();
    let of_user: Vec<_> = memberships.iter().filter(|row| row.user_id == member).collect();
    let of_group: Vec<_> = memberships.iter().filter(|row| row.group_id == group).collect();
    assert_eq!(saw["streamed_memberships"], json!(all));
    assert_eq!(saw["memberships_of_user"], json!(of_user.iter().map(|row| row.id).collect::<Vec<_>>()));
    assert_eq!(saw["memberships_of_group"]["ids"], json!(of_group.iter().map(|row| row.id).collect::<Vec<_>>()));
    assert!(saw["memberships_of_group"]["pages"].as_u64() > Some(1));
    let mut members: Vec<i64> = of_group.iter().map(|row| row.user_id).collect();
    members.sort_unstable();
    assert_eq!(saw["listed_users"]["ids"], json!(members));
    assert!(saw["listed_users"]["pages"].as_u64() > Some(1));
    assert_eq!(saw["groups_of_user"].as_array().map(Vec::len), Some(of_user.len()));
    assert_eq!(saw["streamed_groups"].as_array().map(Vec::len), Some(40));
}

#[tokio::test(flavor = "multi_thread")]
async fn grpcurl_needs_no_proto_files() {
    let mut probe = Command::new("grpcurl");
    probe.arg("-version");
    if !is_installed("grpcurl", probe) {
        return;
    }
    let t = TestGateway::start().await;
    let grpcurl = |arguments: &[&str]| {
        let mut command = Command::new("grpcurl");
        command.arg("-plaintext").args(arguments);
        command
    };
    let listed = output(grpcurl(&[&t.address, "list"])).await;
    assert!(listed.contains("zendesk.gateway.v1.UserService"), "{listed}");
    let page =
        output(grpcurl(&["-d", r#"{"page_size": 2}"#, &t.address, "zendesk.gateway.v1.UserService/ListUsers"])).await;
    let page: Value = serde_json::from_str(&page).expect("JSON");
    assert_eq!(page["users"].as_array().map(Vec::len), Some(2));
    let described = output(grpcurl(&[&t.address, "describe", "zendesk.gateway.v1.GroupService"])).await;
    assert!(described.contains("GetGroupWithAgents"), "{described}");
}
