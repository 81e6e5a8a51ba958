//! The start of the process, and what it makes of surroundings that are not as they should be: issuers that say nothing, files
//! of the wrong kind or open to all, proxies in the environment, and signals that are not meant to end it.

mod able;
mod proxies;

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tonic::Code;
use tonic::transport::Endpoint;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use zendesk_gateway::proto::GetCurrentUserRequest;

use crate::support::binary::Binary;
use crate::support::issuer::{self, Key, claims, jwks};
use crate::support::raw::LONG;
use crate::support::{key_file, with};

const RULES: &str = "[[authorization.rules]]\ncallers = [\"*\"]\nrisks = [\"read\"]\n";

/// Writes a file for nobody but its owner.
fn private(path: &Path, text: &str) {
    std::fs::write(path, text).expect("written");
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).expect("changed");
}

fn make_fifo(path: &Path) {
    assert!(std::process::Command::new("mkfifo").arg(path).status().expect("mkfifo exists").success());
}

/// Writes settings under which callers with a key, and those with a token whose issuer is at `jwks_url`, may read.
fn settings(folder: &TempDir, jwks_url: Option<&str>) -> String {
    let (keys, config) = (folder.path().join("keys"), folder.path().join("config.toml"));
    private(&keys, &key_file(&[("billing", "right")]));
    let jwt = jwks_url.map_or_else(String::new, |url| {
        let (issuer, audience) = (issuer::ISSUER, issuer::AUDIENCE);
        format!("[identity.jwt]\nissuer = \"{issuer}\"\naudience = \"{audience}\"\njwks_url = \"{url}\"\n")
    });
    let methods = if jwks_url.is_some() { "\"api_key\", \"jwt\"" } else { "\"api_key\"" };
    let keys = format!("[identity.api_keys]\nfile = \"{}\"\n", keys.display());
    std::fs::write(&config, format!("[identity]\nmethods = [{methods}]\n{jwt}{keys}{RULES}")).expect("written");
    config.to_str().expect("UTF-8").to_owned()
}

async fn started(config: &str, settings: &[(&str, &str)]) -> Binary {
    let change = |command: &mut Command| {
        command.args(["--config", config]);
    };
    Binary::changed(change, settings).await
}

async fn ask(gateway: &Binary, metadata: (&'static str, &str)) -> Result<(), tonic::Status> {
    let request = with(GetCurrentUserRequest::default(), &[metadata]);
    gateway.users().await.get_current_user(request).await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow"]
async fn a_silent_issuer_keeps_neither_keys_nor_the_port_waiting_only_the_readiness() {
    let folder = TempDir::new().expect("a folder");
    let silent = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = silent.local_addr().expect("it is bound");
    let config = settings(&folder, Some(&format!("http://{address}/jwks")));
    let gateway = started(&config, &[]).await;
    let served = tokio::time::timeout(Duration::from_secs(10), ask(&gateway, ("x-api-key", "right"))).await;
    served.expect("the port is served").expect("whoever has a key needs no issuer");
    let endpoint = Endpoint::from_shared(format!("http://{}", gateway.address)).expect("a URI").connect_lazy();
    let mut health = HealthClient::new(endpoint);
    let mut status =
        async || health.check(HealthCheckRequest::default()).await.expect("an answer").into_inner().status();
    assert_eq!(status().await, ServingStatus::NotServing, "balancers wait");
    assert!(!gateway.is_ready().await);

    // The issuer speaks at last.
    drop(silent);
    let key = Key::ec("one");
    let document = jwks(&[&key]);
    let routes = axum::Router::new().route("/jwks", axum::routing::get(move || async move { document }));
    let listener = TcpListener::bind(address).await.expect("the same port");
    tokio::spawn(async move { axum::serve(listener, routes).await });
    let ready = tokio::time::timeout(Duration::from_secs(25), async {
        while !gateway.is_ready().await {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    ready.await.expect("it is ready once it has the keys");
    assert_eq!(status().await, ServingStatus::Serving);
    let token = format!("Bearer {}", key.sign(&claims("billing")));
    ask(&gateway, ("authorization", &token)).await.expect("its tokens can be verified");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow"]
async fn sighup_has_the_files_read_again_and_ends_nothing() {
    let folder = TempDir::new().expect("a folder");
    let config = settings(&folder, None);
    let gateway = started(&config, &[]).await;
    for round in 0..3 {
        let key = format!("key-{round}");
        private(&folder.path().join("keys"), &key_file(&[("billing", &key)]));
        gateway.signal("HUP").await;
        let taken = tokio::time::timeout(Duration::from_secs(10), async {
            while ask(&gateway, ("x-api-key", &key)).await.is_err() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        taken.await.expect("the new key is let in");
    }
    let told = gateway.log().matches("SIGHUP").count();
    assert_eq!(told, 3, "{}", gateway.log());
    gateway.signal("TERM").await;
    let (status, log) = gateway.ended(Duration::from_mins(1)).await;
    assert!(status.success(), "{log}");
}

/// Starts a process whose settings come through a pipe, and waits until it reads them: then it has only just started. Also returns
/// the end of the pipe that is written to; until that is closed, the settings may go on.
async fn starting(folder: &TempDir) -> (Child, std::fs::File) {
    let pipe = folder.path().join("pipe");
    make_fifo(&pipe);
    let mut command = Command::new(env!("CARGO_BIN_EXE_zendesk-gateway"));
    command.args(["serve", "--sandbox", "--listen", "127.0.0.1:0", "--config"]).arg(&pipe);
    command.env("ZENDESK_GATEWAY__ADMIN__LISTEN", "127.0.0.1:0").kill_on_drop(true);
    let process = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("it starts");
    let opened = tokio::task::spawn_blocking(move || std::fs::File::options().write(true).open(pipe));
    let writer = tokio::time::timeout(LONG, opened).await.expect("it reads its settings").expect("no panic");
    (process, writer.expect("opened"))
}

async fn signal(process: &Child, name: &str) {
    let id = process.id().expect("it runs").to_string();
    let told = Command::new("kill").args(["-s", name, &id]).status().await.expect("kill exists");
    assert!(told.success());
}

#[tokio::test]
async fn sighup_does_not_end_a_process_that_has_only_just_started() {
    let folder = TempDir::new().expect("a folder");
    let (mut process, settings) = starting(&folder).await;
    signal(&process, "HUP").await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    drop(settings);
    let mut lines = BufReader::new(process.stdout.take().expect("piped")).lines();
    let greeting = tokio::time::timeout(LONG, lines.next_line()).await.expect("it goes on").expect("text");
    assert!(greeting.is_some_and(|line| line.starts_with("gRPC on")), "it serves");
}

#[tokio::test]
async fn a_process_that_has_only_just_started_ends_in_order() {
    for name in ["TERM", "INT"] {
        let folder = TempDir::new().expect("a folder");
        let (mut process, settings) = starting(&folder).await;
        signal(&process, name).await;
        let status =
            tokio::time::timeout(LONG, process.wait()).await.expect("it waits for nothing").expect("its status");
        assert!(status.success(), "{name}: {status}");
        drop(settings);
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow"]
async fn a_secret_file_that_everybody_can_read_is_told_once_at_start() {
    let folder = TempDir::new().expect("a folder");
    let config = settings(&folder, None);
    let (keys, headers) = (folder.path().join("keys"), folder.path().join("headers"));
    private(&headers, "authorization: token\n");
    let endpoint = [
        ("TELEMETRY__OTLP__ENDPOINT", "http://127.0.0.1:1"),
        ("TELEMETRY__OTLP__HEADERS_FILE", headers.to_str().expect("UTF-8")),
    ];
    for (mode, told) in [(0o600, 0), (0o640, 0), (0o644, 2)] {
        for path in [&keys, &headers] {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("changed");
        }
        let gateway = started(&config, &endpoint).await;
        ask(&gateway, ("x-api-key", "right")).await.expect("it is served all the same");
        gateway.signal("TERM").await;
        let (_, log) = gateway.ended(Duration::from_mins(1)).await;
        let lines: Vec<_> = log.lines().filter(|line| line.contains("can read a secret file")).collect();
        assert_eq!(lines.len(), told, "{mode:o}: {lines:#?}");
        for (key, path) in [("identity.api_keys.file", &keys), ("telemetry.otlp.headers_file", &headers)] {
            let path = path.to_str().expect("UTF-8");
            let names = lines.iter().filter(|line| line.contains(key) && line.contains(path) && line.contains("WARN"));
            assert_eq!(names.count(), told / 2, "{lines:#?}");
        }
        assert!(lines.iter().all(|line| line.contains("0600") && line.contains("defaultMode")), "{lines:#?}");
    }
}

#[tokio::test]
async fn a_fifo_in_place_of_a_file_is_a_mistake_and_nothing_to_wait_for() {
    let folder = TempDir::new().expect("a folder");
    let config = settings(&folder, None);
    let keys = folder.path().join("keys");
    std::fs::remove_file(&keys).expect("removed");
    make_fifo(&keys);
    for command in ["check", "serve"] {
        let mut gateway = Command::new(env!("CARGO_BIN_EXE_zendesk-gateway"));
        gateway.args([command, "--sandbox", "--config", &config]).stdin(Stdio::null()).kill_on_drop(true);
        let ended = tokio::time::timeout(Duration::from_secs(20), gateway.output()).await;
        let output = ended.expect("it does not wait for a writer").expect("it runs");
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success(), "{command}: {text}");
        assert!(
            text.contains("identity.api_keys.file: ") && text.contains("is not a regular file"),
            "{command}: {text}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow"]
async fn a_file_that_becomes_a_fifo_leaves_what_was_read_before_in_use() {
    let folder = TempDir::new().expect("a folder");
    let config = settings(&folder, None);
    let keys = folder.path().join("keys");
    let gateway = started(&config, &[]).await;
    std::fs::remove_file(&keys).expect("removed");
    make_fifo(&keys);
    crate::support::until(|| gateway.log().contains("is not a regular file")).await;
    ask(&gateway, ("x-api-key", "right")).await.expect("the keys that were read before");
    std::fs::remove_file(&keys).expect("removed");
    private(&keys, &key_file(&[("billing", "next")]));
    let taken = tokio::time::timeout(Duration::from_secs(20), async {
        while ask(&gateway, ("x-api-key", "next")).await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    taken.await.expect("the watch goes on");
    assert_eq!(ask(&gateway, ("x-api-key", "right")).await.expect_err("withdrawn").code(), Code::Unauthenticated);
}

#[tokio::test]
async fn the_stand_in_alone_listens_where_the_settings_say() {
    let address = {
        let free = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        free.local_addr().expect("it is bound").to_string()
    };
    let folder = TempDir::new().expect("a folder");
    let config = folder.path().join("config.toml");
    std::fs::write(&config, format!("[sandbox]\nlisten = \"{address}\"\n")).expect("written");
    let mut sandbox = Command::new(env!("CARGO_BIN_EXE_zendesk-gateway"));
    sandbox.arg("sandbox").arg("--config").arg(&config).stdout(Stdio::piped()).kill_on_drop(true);
    let mut running = sandbox.spawn().expect("it runs");
    let said = running.stdout.take().expect("it is piped");
    let mut lines = BufReader::new(said).lines();
    let first = tokio::time::timeout(Duration::from_secs(20), lines.next_line()).await.expect("it starts");
    let first = first.expect("readable").unwrap_or_default();
    assert!(first.contains(&address), "{first}");
}
