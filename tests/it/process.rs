//! The process's own life: signals while calls are under way.

use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::task::JoinSet;
use zendesk_gateway::proto::{CreateUserRequest, GetUserRequest, ListUsersRequest, StreamUsersRequest, UserInput};
use zendesk_gateway::sandbox;

use crate::support::binary::Binary;
use crate::support::collector::Collector;
use crate::support::raw::{LONG, Wire};
use crate::support::{account, narrow};

/// `ROUNDS=20 cargo test --test it process:: -- --include-ignored` does it that often.
fn rounds() -> u32 {
    std::env::var("ROUNDS").ok().map_or(2, |rounds| rounds.parse().expect("a number"))
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow"]
async fn the_binary_serves_its_sandbox_says_where_and_ends_on_sigterm() {
    let running = Binary::start(&[("SANDBOX__SEED", "7")]).await;
    let calls = running.greeting.iter().filter(|line| line.contains("grpcurl -plaintext")).count();
    assert_eq!(calls, 3, "three calls to try: {:?}", running.greeting);

    let like_it = sandbox::Config { users: 3000, seed: 7, ..account() };
    let twin = sandbox::Sandbox::start(like_it).await.expect("a twin");
    let id = twin.store().user_ids()[11];
    let user = running
        .users()
        .await
        .get_user(GetUserRequest { id, ..Default::default() })
        .await
        .expect("the same seed has the same users");
    assert_eq!(user.into_inner().user.map(|user| user.id), Some(id));

    running.signal("TERM").await;
    let (status, log) = running.ended(Duration::from_secs(20)).await;
    assert!(status.success(), "it exits with 0: {log}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow"]
async fn a_signal_under_load_fails_no_call_and_every_stream_ends_with_its_token() {
    let (calls, streams) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let mut longest = Duration::ZERO;
    for _ in 0..rounds() {
        longest = longest.max(round(&calls, &streams).await);
    }
    let (calls, streams) = (calls.load(Ordering::Relaxed), streams.load(Ordering::Relaxed));
    println!("{} rounds: {calls} calls, 0 failed; {streams} streams; longest exit {longest:?}", rounds());
}

/// One start and one SIGTERM; returns how long the exit took.
async fn round(calls: &Arc<AtomicU64>, streams: &Arc<AtomicU64>) -> Duration {
    let settings = [
        ("SERVER__DRAIN__ANNOUNCE", "5s"),
        ("SERVER__DRAIN__TIMEOUT", "60s"),
        ("SANDBOX__LATENCY", "20ms"),
        ("TELEMETRY__LOG_FILTER", "info,access=off"),
    ];
    let gateway = Binary::start(&settings).await;
    let ids = Arc::new(gateway.ids().await);
    let leaving = Arc::new(AtomicBool::new(false));
    let mut load = JoinSet::new();
    for worker in 0..4_usize {
        let (mut users, leaving, calls) = (gateway.users().await, Arc::clone(&leaving), Arc::clone(calls));
        let ids = Arc::clone(&ids);
        load.spawn(async move {
            let mut made = 0;
            while !leaving.load(Ordering::Relaxed) {
                users
                    .get_user(GetUserRequest { id: ids[(worker * 25 + made) % ids.len()], ..Default::default() })
                    .await
                    .expect("no call fails");
                let mut list = tonic::Request::new(ListUsersRequest { page_size: 10, ..Default::default() });
                list.metadata_mut().insert("cache-control", "no-cache".parse().expect("a value"));
                users.list_users(list).await.expect("no call fails");
                made += 1;
                calls.fetch_add(2, Ordering::Relaxed);
            }
        });
    }
    let begun = Arc::new(AtomicU64::new(0));
    for _ in 0..4 {
        let (mut users, begun, streams) = (narrow(&gateway.address), Arc::clone(&begun), Arc::clone(streams));
        load.spawn(async move {
            let request = StreamUsersRequest { page_size: 20, ..Default::default() };
            let mut stream = users.stream_users(request).await.expect("a stream").into_inner();
            let mut token = String::new();
            let mut rows = 0;
            while let Some(message) = stream.message().await.expect("a stream ends in order") {
                if rows == 0 {
                    begun.fetch_add(1, Ordering::Relaxed);
                }
                rows += message.users.len();
                token = message.next_page_token;
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            assert!(!token.is_empty(), "{rows} rows, and no token");
            streams.fetch_add(1, Ordering::Relaxed);
        });
    }
    let mute = TcpStream::connect(&gateway.address).await.expect("it listens");
    let silent = Wire::begin(&gateway.address).await;
    crate::support::until(|| begun.load(Ordering::Relaxed) == 4).await;
    let answered = calls.load(Ordering::Relaxed);
    crate::support::until(|| calls.load(Ordering::Relaxed) >= answered + 50).await;
    gateway.signal("TERM").await;
    let signalled = Instant::now();
    // What a balancer does: it sends calls elsewhere a moment after it is told to.
    tokio::time::timeout(LONG, async { while !gateway.is_draining().await {} }).await.expect("it says so");
    tokio::time::sleep(Duration::from_secs(1)).await;
    leaving.store(true, Ordering::Relaxed);
    while let Some(ended) = load.join_next().await {
        ended.expect("no call failed");
    }
    let (status, log) = gateway.ended(LONG).await;
    assert!(status.success(), "{status}: {log}");
    assert!(!log.contains("calls that are left are cut"), "{log}");
    drop((mute, silent));
    signalled.elapsed()
}

#[tokio::test]
async fn callers_that_come_back_all_at_once_need_not_try_twice() {
    let gateway = Binary::start(&[]).await;
    gateway.signal("STOP").await;
    let mut waiting = Vec::new();
    for number in 0..500 {
        // Who finds no room is not told so, but tries again after a second.
        let connecting = tokio::time::timeout(Duration::from_millis(900), TcpStream::connect(&gateway.address));
        let connected = connecting.await.unwrap_or_else(|_| panic!("no room for caller {number}"));
        waiting.push(connected.expect("the system accepts it"));
    }
    gateway.signal("CONT").await;
    gateway.ids().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_ends_it_at_once() {
    let gateway = Binary::start(&[("SERVER__DRAIN__ANNOUNCE", "10m"), ("SERVER__DRAIN__TIMEOUT", "20m")]).await;
    gateway.signal("INT").await;
    tokio::time::timeout(LONG, async { while !gateway.is_draining().await {} }).await.expect("it drains");
    gateway.signal("TERM").await;
    let (status, _) = gateway.ended(LONG).await;
    assert!(!status.success(), "it did not do what it had promised");
}

#[tokio::test]
async fn the_stand_in_alone_speaks_tls_and_hands_out_its_authority() {
    let folder = tempfile::tempdir().expect("a folder");
    let ca_file = folder.path().join("ca.pem");
    let mut command = Command::new(env!("CARGO_BIN_EXE_zendesk-gateway"));
    command
        .args(["sandbox", "--listen", "127.0.0.1:0", "--users", "30"])
        .env("ZENDESK_GATEWAY__SANDBOX__WIRE__TLS", "true");
    command.env("ZENDESK_GATEWAY__SANDBOX__WIRE__CA_FILE", &ca_file).stdout(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().expect("the binary starts");
    let mut told = BufReader::new(child.stdout.take().expect("piped")).lines();
    let mut line = async || tokio::time::timeout(LONG, told.next_line()).await.expect("in time").expect("text");
    let greeting = line().await.expect("a greeting");
    let url = greeting.strip_prefix("Zendesk stand-in on ").expect("where it is");
    assert!(url.starts_with("https://127.0.0.1:"), "{url}");
    let trust = format!("--cacert {}", ca_file.display());
    assert!(line().await.expect("an example").contains(&trust));
    let ca = std::fs::read(&ca_file).expect("written before the greeting");
    let ca = reqwest::Certificate::from_pem(&ca).expect("a certificate");
    let client = reqwest::Client::builder().tls_certs_only([ca]).build().expect("a client");
    let answer = client.get(format!("{url}api/v2/users/me")).send().await.expect("a trusted answer");
    assert_eq!((answer.status().as_u16(), answer.version()), (200, reqwest::Version::HTTP_2));
}

/// Starts the binary with standard output and error on a pipe that is full already, and that nobody reads.
fn unread(address: &str, settings: &[(&str, &str)]) -> (Child, std::io::PipeReader) {
    let (reader, mut writer) = std::io::pipe().expect("a pipe");
    std::io::Write::write_all(&mut writer, &vec![b'x'; 64 << 10]).expect("as much as it holds");
    let mut command = Command::new(env!("CARGO_BIN_EXE_zendesk-gateway"));
    command.args(["serve", "--sandbox", "--users", "30", "--listen", address]);
    command.envs(settings.iter().map(|(key, value)| (format!("ZENDESK_GATEWAY__{key}"), value))).kill_on_drop(true);
    command.stdout(writer.try_clone().expect("a pipe")).stderr(writer);
    (command.spawn().expect("the binary starts"), reader)
}

#[tokio::test]
#[ignore = "slow"]
async fn what_it_prints_and_logs_need_not_be_read_for_it_to_start_serve_and_end() {
    const CHANGES: i64 = 20;
    let free = async || {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        listener.local_addr().expect("it is bound").to_string()
    };
    let (address, admin) = (free().await, free().await);
    let (collector, url) = Collector::start().await;
    let settings = [("ADMIN__LISTEN", admin.as_str()), ("TELEMETRY__OTLP__ENDPOINT", &url)];
    let (mut child, _unread) = unread(&address, &settings);
    let ready = tokio::time::timeout(LONG, async {
        while !reqwest::get(format!("http://{admin}/readyz")).await.is_ok_and(|answer| answer.status() == 200) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    ready.await.expect("it serves");
    // More lines than a pipe holds.
    let mut users = narrow(&address);
    for _ in 0..500 {
        users.get_user(GetUserRequest { id: 1, ..Default::default() }).await.expect_err("no such user");
    }
    for _ in 0..CHANGES {
        let user = Some(UserInput { name: Some("N".to_owned()), ..UserInput::default() });
        users.create_user(CreateUserRequest { user, ..Default::default() }).await.expect("a change");
    }
    let id = child.id().expect("it runs").to_string();
    assert!(Command::new("kill").args(["-s", "TERM", &id]).status().await.expect("kill exists").success());
    let ended = tokio::time::timeout(LONG, child.wait()).await.expect("it ends in time");
    assert!(ended.expect("its status").success());
    // What nobody has read by then is told to the collector.
    assert_eq!(collector.counter("zendesk_gateway.audit.lost"), Some(CHANGES));
    // So is what was not written, because it was one refusal of many.
    let counted = |name| collector.counter(name).unwrap_or_default();
    let (lost, left_out) = (counted("zendesk_gateway.log.lost"), counted("zendesk_gateway.log.left_out"));
    assert!(lost > 0 && lost + left_out >= 500, "{lost} and {left_out}");

    // Nor must its last words be read.
    let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let (mut child, _unread) =
        unread(&taken.local_addr().expect("it is bound").to_string(), &[("ADMIN__LISTEN", "127.0.0.1:0")]);
    let ended = tokio::time::timeout(LONG, child.wait()).await.expect("it ends in time");
    assert!(!ended.expect("its status").success());
}
