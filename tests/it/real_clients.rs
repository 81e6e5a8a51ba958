//! Clients that were not built here: Python through reflection, grpcurl, and the binary itself.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use zendesk_gateway::proto::GetUserRequest;
use zendesk_gateway::proto::user_service_client::UserServiceClient;
use zendesk_gateway::sandbox;

use crate::support::{TestGateway, account};

/// Returns whether a tool can be used. Where it is missing, a laptop's test says so and passes; in CI it fails.
pub fn usable(tool: &str, mut probe: Command) -> bool {
    let works = probe.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success());
    assert!(works || std::env::var_os("CI").is_none(), "{tool} is missing, and CI must have it");
    if !works {
        eprintln!("SKIPPED: {tool} is not installed; this test checked nothing");
    }
    works
}

pub fn python() -> Command {
    Command::new(std::env::var_os("PYTHON").unwrap_or_else(|| "python3".into()))
}

async fn output(mut command: Command) -> String {
    let run = tokio::task::spawn_blocking(move || command.output());
    let output = run.await.expect("no panic").expect("it starts");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    String::from_utf8(output.stdout).expect("text")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_python_client_with_nothing_but_reflection_sees_all_that_is_held() {
    let mut probe = python();
    probe.args(["-c", "import grpc, grpc_reflection, grpc_health"]);
    if !usable("Python with grpcio, grpcio-reflection and grpcio-health-checking", probe) {
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
    for service in ["UserService", "GroupService", "MembershipService", "JobService"] {
        assert!(services.contains(&json!(format!("zendesk.gateway.v1.{service}"))), "{services:?}");
    }
    assert_eq!(saw["upstream_of_get_user"][0], "/api/v2/users/{id}", "custom options arrive intact");
    assert!(saw["health"].as_object().expect("a map").values().all(|status| status == 1), "{}", saw["health"]);
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
async fn grpcurl_calls_without_files() {
    let mut probe = Command::new("grpcurl");
    probe.arg("-version");
    if !usable("grpcurl", probe) {
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

/// The binary, killed when the test ends.
struct Running(std::process::Child);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_binary_serves_its_sandbox_says_where_and_ends_on_sigterm() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_zendesk-gateway"));
    command.args(["serve", "--sandbox", "--listen", "127.0.0.1:0", "--users", "30", "--seed", "7"]);
    command.env("ZENDESK_GATEWAY__ADMIN__LISTEN", "127.0.0.1:0");
    let mut running = Running(command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("it starts"));
    let stdout = running.0.stdout.take().expect("piped");
    let told = tokio::task::spawn_blocking(move || {
        BufReader::new(stdout).lines().take(5).collect::<Result<Vec<_>, _>>().expect("text")
    });
    let told = told.await.expect("no panic");
    let address = told[0].strip_prefix("gRPC on ").and_then(|rest| rest.split(',').next()).expect("its address");
    assert_eq!(
        told.iter().filter(|line| line.contains("grpcurl -plaintext")).count(),
        3,
        "three calls to try: {told:?}"
    );

    let twin = sandbox::Sandbox::start(sandbox::Config { users: 30, seed: 7, ..account() }).await.expect("a twin");
    let id = twin.store().user_ids()[11];
    let mut users = UserServiceClient::connect(format!("http://{address}")).await.expect("it listens");
    let user = users.get_user(GetUserRequest { id }).await.expect("the same seed has the same users").into_inner();
    assert_eq!(user.user.map(|user| user.id), Some(id));
    drop(users);

    let pid = running.0.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().expect("kill runs").success());
    let ended = tokio::task::spawn_blocking(move || running.0.wait().expect("it ends"));
    let ended = tokio::time::timeout(std::time::Duration::from_secs(20), ended).await.expect("within 20 s");
    assert!(ended.expect("no panic").success(), "it exits with 0");
}
