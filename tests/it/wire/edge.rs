//! An edge of other make: its first connection works for two requests, and after that it only answers pings, or takes no bodies. Or
//! no connection takes bodies.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::net::TcpListener;
use tonic::Code;
use zendesk_gateway::proto::user_service_client::UserServiceClient;
use zendesk_gateway::proto::{CreateUserRequest, GetUserRelatedRequest, UserInput};

use super::{What, reason, uncached, within};
use crate::support::{basic, serve};
use crate::truth::http2::acceptor;

/// What becomes of the first connection after its first requests.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Then {
    /// It has no room for bodies.
    NoWindow,
    /// No connection has.
    NoWindowAnywhere,
    /// It answers no request.
    Stuck,
}

/// An edge, and how many requests came whole.
struct Edge {
    url: url::Url,
    ca_file: PathBuf,
    whole: Arc<AtomicUsize>,
    _folder: tempfile::TempDir,
}

impl Edge {
    async fn start(then: Then) -> Self {
        let (acceptor, certificate) = acceptor();
        let folder = tempfile::tempdir().expect("a folder");
        let ca_file = folder.path().join("ca.pem");
        std::fs::write(&ca_file, certificate).expect("it is written");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("https://{}", listener.local_addr().expect("it is bound")).parse().expect("a URL");
        let whole = Arc::<AtomicUsize>::default();
        let came = Arc::clone(&whole);
        tokio::spawn(async move {
            let mut is_first = true;
            while let Ok((socket, _)) = listener.accept().await {
                let (acceptor, came, bad) = (acceptor.clone(), Arc::clone(&came), std::mem::take(&mut is_first));
                tokio::spawn(async move {
                    let socket = acceptor.accept(socket).await.expect("the gateway trusts it");
                    let mut http2 = h2::server::Builder::new();
                    if then == Then::NoWindowAnywhere {
                        http2.initial_window_size(0);
                    }
                    let mut connection = http2.handshake(socket).await.expect("HTTP/2");
                    let mut requests = 0;
                    while let Some(Ok((request, mut respond))) = connection.accept().await {
                        requests += 1;
                        if bad && requests == 2 && then == Then::NoWindow {
                            // The handshake's settings are acknowledged by now.
                            connection.set_initial_window_size(0).expect("a good size");
                        }
                        let (stuck, came) = (bad && requests > 2 && then == Then::Stuck, Arc::clone(&came));
                        tokio::spawn(async move {
                            let is_write = request.method() == http::Method::POST;
                            let mut body = request.into_body();
                            while let Some(part) = body.data().await {
                                let Ok(part) = part else { return };
                                body.flow_control().release_capacity(part.len()).expect("it was received");
                            }
                            came.fetch_add(1, Ordering::SeqCst);
                            if stuck {
                                return std::future::pending().await;
                            }
                            let (status, body) = if is_write {
                                (201, r#"{"user":{"id":7,"name":"N"}}"#)
                            } else {
                                (200, r#"{"user_related":{"assigned_tickets":0}}"#)
                            };
                            let head =
                                http::Response::builder().status(status).header("content-type", "application/json");
                            // A caller who has left needs no answer.
                            if let Ok(mut stream) = respond.send_response(head.body(()).expect("a head"), false) {
                                stream.send_data(Bytes::from_static(body.as_bytes()), true).ok();
                            }
                        });
                    }
                });
            }
        });
        Self { url, ca_file, whole, _folder: folder }
    }
}

/// How a call ended.
#[derive(Debug)]
struct Ended {
    /// How long after the first ones it began.
    at: Duration,
    is_write: bool,
    took: Duration,
    outcome: Result<(), tonic::Status>,
}

/// Makes calls at the edge, one each 300 ms and kind, after the first ones; returns how each ended, and how many came whole.
async fn calls(then: Then, kinds: &[What], deadline: Duration, time: Duration) -> (Vec<Ended>, usize) {
    let edge = Edge::start(then).await;
    let mut config = uncached();
    config.upstream.ca_file = Some(edge.ca_file.clone());
    let (_, channel, shutdown, served) = Box::pin(serve(&edge.url, basic("a:b"), config)).await;
    let users = UserServiceClient::new(channel);
    let id = AtomicI64::new(0);
    let call = |what, deadline| {
        // Reads of the same would share one answer.
        let (mut users, id) = (users.clone(), id.fetch_add(1, Ordering::SeqCst) + 1);
        async move {
            if what == What::Write {
                let user = Some(UserInput { name: Some("N".to_owned()), ..UserInput::default() });
                users.create_user(within(CreateUserRequest { user, ..Default::default() }, deadline)).await.map(drop)
            } else {
                users.get_user_related(within(GetUserRelatedRequest { id }, deadline)).await.map(drop)
            }
        }
    };
    for _ in 0..2 {
        call(kinds[0], Duration::from_secs(10)).await.expect("the first are answered");
    }
    let began = Instant::now();
    let mut running = tokio::task::JoinSet::new();
    while began.elapsed() < time {
        for what in kinds {
            let (at, began, call) = (began.elapsed(), Instant::now(), call(*what, deadline));
            let is_write = *what == What::Write;
            running.spawn(async move { Ended { at, is_write, outcome: call.await, took: began.elapsed() } });
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    let ended = running.join_all().await;
    drop(users);
    shutdown.send(()).expect("it listens");
    served.await.expect("no panic").expect("it ends well");
    (ended, edge.whole.load(Ordering::SeqCst))
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow"]
async fn writes_leave_a_connection_that_has_no_room_for_bodies() {
    let (ended, whole) = calls(Then::NoWindow, &[What::Write], Duration::from_secs(5), Duration::from_secs(3)).await;
    let failed: Vec<_> = ended.iter().filter(|call| call.outcome.is_err()).collect();
    assert!(failed.is_empty(), "nothing had left, so each is sent on the next connection: {failed:?}");
    assert_eq!(whole, ended.len() + 2, "and none twice");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow"]
async fn reads_go_on_where_no_connection_has_room_for_bodies() {
    let kinds = [What::Read, What::Write, What::Read, What::Write];
    let deadline = Duration::from_secs(3);
    let (ended, _) = calls(Then::NoWindowAnywhere, &kinds, deadline, Duration::from_secs(8)).await;
    let reads: Vec<_> = ended.iter().filter(|call| !call.is_write).collect();
    assert!(reads.iter().all(|call| call.outcome.is_ok()), "{reads:?}");
    // It is known when the first writes have ended, whose deadlines are over after three seconds and some hundred milliseconds.
    let (late, slow) = (Duration::from_secs(5), Duration::from_secs(1));
    let slow = reads.iter().filter(|call| call.at > late && call.took > slow).count();
    assert_eq!(slow, 0, "once it is known, nobody waits for those with bodies: {reads:?}");
    let refused: Vec<_> = ended.iter().filter_map(|call| Some((call.took, call.outcome.as_ref().err()?))).collect();
    assert!(!refused.is_empty(), "{ended:?}");
    let mut unknown = 0;
    for (took, status) in refused {
        assert!(took < deadline + Duration::from_millis(500), "{status:?}");
        // At the deadline the client does not wait for the reason.
        let is_told = ["OVERLOADED", "DEADLINE_EXCEEDED"].contains(&&*reason(status));
        unknown += usize::from(reason(status) == "OUTCOME_UNKNOWN");
        assert!(is_told || took >= deadline || reason(status) == "OUTCOME_UNKNOWN", "nothing was sent: {status:?}");
    }
    // Until a new connection hears that there is no room, it takes bodies as if there were some, and cannot tell afterwards.
    assert!(unknown <= 3, "{unknown} were told that they may have been done, and none was: {ended:?}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow"]
async fn a_connection_that_answers_nothing_but_pings_is_left_even_when_callers_have_little_time() {
    let (ended, _) = calls(Then::Stuck, &[What::Read], Duration::from_secs(2), Duration::from_secs(8)).await;
    let late: Vec<_> = ended.iter().filter(|call| call.at > Duration::from_secs(5) && call.outcome.is_err()).collect();
    assert!(late.is_empty(), "{late:?}");
    let failed = ended.iter().filter(|call| call.outcome.is_err()).count();
    assert!(failed <= 8, "those of the first 750 ms, and those that come when pings have decided: {ended:?}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow"]
async fn nothing_is_known_of_the_budget_until_zendesk_answers() {
    // It accepts connections and never speaks.
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("https://{}", listener.local_addr().expect("it is bound")).parse().expect("a URL");
    let (_, channel, shutdown, served) = Box::pin(serve(&url, basic("a:b"), uncached())).await;
    let users = UserServiceClient::new(channel);
    let reads = (1..=30).map(|id| {
        let mut users = users.clone();
        async move { users.get_user_related(within(GetUserRelatedRequest { id }, Duration::from_secs(2))).await }
    });
    for outcome in futures_util::future::join_all(reads).await {
        let status = outcome.expect_err("nobody answers");
        assert_ne!(status.code(), Code::ResourceExhausted, "{}: {status:?}", reason(&status));
        assert!(!status.message().contains("may have had"), "nothing was sent: {status:?}");
    }
    drop(users);
    shutdown.send(()).expect("it listens");
    served.await.expect("no panic").expect("it ends well");
}
