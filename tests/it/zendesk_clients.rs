//! Clients of Zendesk's API that others have built, with their default settings, each before the stand-in alone: what they
//! expect of Zendesk, the stand-in must do.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;
use zendesk_gateway::sandbox::{self, Sandbox};

use crate::support::account;
use crate::support::tools::{is_installed, python};

const CLIENTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients");

/// Lets a client list all users and all groups, and compares with what the account holds.
async fn walks_everything(mut client: Command) {
    // More than one page of each; no page of users is the last one and full, of groups it is.
    let account =
        sandbox::Config { users: 1_234, groups: 300, link_host: None, wire: sandbox::Wire::default(), ..account() };
    let stand_in = Sandbox::start(account).await.expect("a free port");
    let credential = &stand_in.config().credential;
    client.env("ZENDESK_URL", stand_in.base_url().as_str().trim_end_matches('/'));
    client.env("ZENDESK_EMAIL", &credential.email).env("ZENDESK_TOKEN", &credential.api_token);
    let run = tokio::task::spawn_blocking(move || client.output());
    let output = run.await.expect("no panic").expect("it starts");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let saw: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("no JSON; {errors}"));

    assert_eq!(saw["users"], json!(stand_in.store().user_ids()), "every user once, in order");
    let ids = |rows: &[Value]| {
        let mut ids: Vec<Option<i64>> = rows.iter().map(|row| row.as_i64().or(row["id"].as_i64())).collect();
        ids.sort_unstable();
        ids
    };
    assert_eq!(ids(saw["groups"].as_array().expect("a list")), ids(&stand_in.store().groups()), "every group once");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow"]
async fn zenpy_walks_all_users_and_groups() {
    let mut probe = python();
    probe.args(["-c", "import zenpy"]);
    if !is_installed("zenpy, for Python", probe) {
        return;
    }
    let mut client = python();
    client.arg(format!("{CLIENTS}/zenpy_walk.py"));
    walks_everything(client).await;
}

/// `NODE_PATH` says where the package is.
#[tokio::test(flavor = "multi_thread")]
async fn node_zendesk_walks_all_users_and_groups() {
    let mut probe = Command::new("node");
    probe.args(["-e", "require('node-zendesk')"]);
    if !is_installed("node-zendesk, for Node.js", probe) {
        return;
    }
    let mut client = Command::new("node");
    client.arg(format!("{CLIENTS}/node_walk.js"));
    walks_everything(client).await;
}

/// `CLASSPATH` says where the package and what it needs are.
#[tokio::test(flavor = "multi_thread")]
async fn the_java_client_walks_all_users_and_groups() {
    let mut probe = Command::new("javap");
    probe.arg("org.zendesk.client.v2.Zendesk");
    if !is_installed("zendesk-java-client", probe) {
        return;
    }
    let mut client = Command::new("java");
    client.arg(format!("{CLIENTS}/java/Walk.java"));
    walks_everything(client).await;
}

/// Go fetches the package by itself, where it can.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow"]
async fn go_zendesk_walks_all_users_and_groups() {
    let target = TempDir::new().expect("a folder");
    let program = target.path().join("walk");
    let mut build = Command::new("go");
    build.args(["build", "-o"]).arg(&program).arg(".").current_dir(Path::new(CLIENTS).join("go"));
    if !is_installed("go-zendesk", build) {
        return;
    }
    walks_everything(Command::new(program)).await;
}
