//! Connections that end as edges end them, with calls under way that they do not process.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::{join, join_all};
use futures_util::stream::FuturesUnordered;
use tokio::net::TcpListener;
use zendesk_gateway::proto::GetUserRelatedRequest;
use zendesk_gateway::proto::user_service_client::UserServiceClient;
use zendesk_gateway::sandbox::GoAway;

use super::{What, created, flood, flood_within, gateway, make, uncached, within};
use crate::support::{basic, serve};
use crate::truth::http2::acceptor;

/// Rotations of connections as edges make them, with calls under way that they do not process.
async fn rotated(kind: GoAway, what: What, calls: usize, every: u32) {
    let gateway = gateway(|wire| (wire.goaway, wire.goaway_every) = (kind, Some(every))).await;
    let failed = flood(&gateway, what, calls, 64).await;
    assert!(failed.is_empty(), "{kind:?} {what:?}: {failed:?}");
    if what == What::Write {
        let all: BTreeMap<usize, usize> = (0..calls).map(|number| (number, 1)).collect();
        assert_eq!(created(&gateway), all, "each is done once");
    }
    let counts = gateway.sandbox.connections().counts();
    let rotations = calls as u64 / u64::from(every);
    // What was under way when the GOAWAY was written may be processed beside.
    assert!(counts.goaways >= rotations / 2, "{counts:?}");
    assert!(counts.accepted <= 2 * rotations + 2, "{rotations} rotations: {counts:?}");
    gateway.stop().await;
}

/// `WIRE_CALLS=10000 cargo test --release --test it wire:: -- --include-ignored` for the long run.
fn calls() -> usize {
    std::env::var("WIRE_CALLS").map_or(1_000, |calls| calls.parse().expect("a number"))
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow"]
async fn reads_do_not_notice_that_connections_are_rotated() {
    for every in [100, 1_000] {
        rotated(GoAway::Abrupt, What::Read, calls(), every).await;
    }
    rotated(GoAway::Polite, What::Read, calls(), 100).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow"]
async fn writes_do_not_notice_that_connections_are_rotated_and_are_done_once() {
    for every in [100, 1_000] {
        rotated(GoAway::Abrupt, What::Write, calls(), every).await;
    }
    rotated(GoAway::Polite, What::Write, calls(), 100).await;
}

/// Calls that come at an even pace, so many a second.
async fn paced(what: What, calls: usize, every: u32, per_second: u32) {
    let gateway = gateway(|wire| (wire.goaway, wire.goaway_every) = (GoAway::Abrupt, Some(every))).await;
    let (mut ticks, asked) = (tokio::time::interval(Duration::from_secs(1) / per_second), FuturesUnordered::new());
    for number in 0..calls {
        ticks.tick().await;
        let (users, ids) = (gateway.users(), gateway.sandbox.store().user_ids());
        asked.push(tokio::spawn(async move { make(users, &ids, what, number, Duration::from_secs(30)).await }));
    }
    let outcomes: Vec<_> = asked.map(|outcome| outcome.expect("no panic")).collect().await;
    let failed: Vec<_> = outcomes.into_iter().filter_map(Result::err).collect();
    assert!(failed.is_empty(), "{what:?} at {per_second}/s: {failed:?}");
    if what == What::Write {
        assert_eq!(created(&gateway), (0..calls).map(|number| (number, 1)).collect(), "each is done once");
    }
    let counts = gateway.sandbox.connections().counts();
    println!("{calls} of {what:?} at {per_second}/s, GOAWAY every {every}: none failed, {counts:?}");
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow"]
async fn calls_at_an_even_pace_do_not_notice_that_connections_are_rotated() {
    let short: &[(usize, u32, u32)] = &[(200, 20, 83)];
    let long = [(100, 42), (1_000, 42), (100, 83), (1_000, 83)].map(|(every, pace)| (calls(), every, pace));
    for &(calls, every, pace) in if calls() > 1_000 { &long[..] } else { short } {
        Box::pin(join(paced(What::Read, calls, every, pace), paced(What::Write, calls, every, pace))).await;
    }
}

/// An edge that restarts ends each connection with GOAWAY, before anything was processed on it. Returns its address and
/// certificate.
async fn restarting_edge(restarts: &Arc<AtomicBool>, connections: &Arc<AtomicUsize>) -> (url::Url, String) {
    let (acceptor, certificate) = acceptor();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("https://{}", listener.local_addr().expect("it is bound")).parse().expect("a URL");
    let (restarts, connections) = (Arc::clone(restarts), Arc::clone(connections));
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            connections.fetch_add(1, SeqCst);
            let (acceptor, restarts) = (acceptor.clone(), Arc::clone(&restarts));
            tokio::spawn(async move {
                let socket = acceptor.accept(socket).await.expect("the gateway trusts it");
                let mut connection = h2::server::handshake(socket).await.expect("HTTP/2");
                if restarts.load(SeqCst) {
                    connection.abrupt_shutdown(h2::Reason::NO_ERROR);
                }
                while let Some(Ok((_, mut respond))) = connection.accept().await {
                    let head = http::Response::builder().header("content-type", "application/json");
                    let related = bytes::Bytes::from_static(br#"{"user_related":{"assigned_tickets":0}}"#);
                    let stream = respond.send_response(head.body(()).expect("a head"), false);
                    drop(stream.and_then(|mut stream| stream.send_data(related, true)));
                }
            });
        }
    });
    (url, certificate)
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow"]
async fn an_edge_that_restarts_costs_no_storm_of_handshakes_and_no_call() {
    let (restarts, connections) = (Arc::new(AtomicBool::new(true)), Arc::<AtomicUsize>::default());
    let (url, certificate) = restarting_edge(&restarts, &connections).await;
    let folder = tempfile::tempdir().expect("a folder");
    let mut config = uncached();
    config.upstream.ca_file = Some(folder.path().join("ca.pem"));
    std::fs::write(folder.path().join("ca.pem"), certificate).expect("it is written");
    let (_, channel, shutdown, served) = Box::pin(serve(&url, basic("a:b"), config)).await;
    let users = UserServiceClient::new(channel);
    let calls = join_all((1..=40).map(|id| {
        let mut users = users.clone();
        async move {
            tokio::time::sleep(Duration::from_millis(25) * u32::try_from(id).expect("few")).await;
            users.get_user_related(within(GetUserRelatedRequest { id }, Duration::from_secs(5))).await
        }
    }));
    let over = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        restarts.store(false, SeqCst);
        connections.load(SeqCst)
    };
    let (calls, opened) = join(calls, over).await;
    assert!(calls.iter().all(Result::is_ok), "{calls:?}");
    assert!((2..=25).contains(&opened), "{opened} connections in a second");
    drop(users);
    shutdown.send(()).expect("it listens");
    served.await.expect("no panic").expect("it ends well");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow"]
async fn a_request_that_is_moved_goes_before_those_that_come_later() {
    // Each connection takes ten requests, and 64 want to go.
    let gateway = gateway(|wire| (wire.goaway, wire.goaway_every) = (GoAway::Abrupt, Some(10))).await;
    let failed = flood_within(&gateway, What::Read, 1_000, 64, Duration::from_secs(5)).await;
    assert!(failed.is_empty(), "{failed:?}");
    gateway.stop().await;
}
