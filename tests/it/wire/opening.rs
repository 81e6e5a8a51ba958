//! How connections come about: one attempt for all who wait, whoever leaves, and what is spoken on them.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use http::Version;
use tonic::Code;
use zendesk_gateway::proto::GetUserRequest;
use zendesk_gateway::sandbox::faults::{Refuse, any};

use super::{What, call, created, flood, gateway, reason, uncached};

#[tokio::test]
async fn a_burst_on_a_cold_gateway_opens_one_connection_and_asks_for_its_keys_once() {
    let gateway = gateway(|_| ()).await;
    assert!(flood(&gateway, What::Read, 64, 64).await.is_empty());
    let counts = gateway.sandbox.connections().counts();
    assert_eq!((counts.accepted, counts.handshakes, counts.handshakes_retried), (1, 1, 0));
    assert!(gateway.sandbox.requests().iter().all(|request| request.version == Version::HTTP_2));
    gateway.stop().await;
}

#[tokio::test]
async fn http_1_is_spoken_where_http_2_is_not() {
    let gateway = gateway(|wire| wire.http2 = false).await;
    assert!(flood(&gateway, What::Read, 64, 8).await.is_empty());
    assert!(flood(&gateway, What::Write, 8, 8).await.is_empty());
    assert!(gateway.sandbox.requests().iter().all(|request| request.version == Version::HTTP_11));
    assert!(
        gateway.sandbox.connections().counts().accepted <= 24,
        "reads use connections again, and each write has its own"
    );
    gateway.stop().await;
}

#[tokio::test]
async fn no_read_follows_a_write_on_a_connection_that_turned_out_to_speak_http_1() {
    let gateway = gateway(|wire| wire.http2 = false).await;
    call(&gateway, What::Write, 1, Duration::from_secs(10)).await.expect("over HTTP/1.1");
    call(&gateway, What::Read, 1, Duration::from_secs(10)).await.expect("over HTTP/1.1");
    assert_eq!(gateway.sandbox.connections().counts().accepted, 2);
    gateway.stop().await;
}

#[tokio::test]
async fn http_2_is_spoken_again_after_a_time_without() {
    let gateway = gateway(|wire| wire.http2 = false).await;
    for what in [What::Read, What::Write] {
        call(&gateway, what, 1, Duration::from_secs(10)).await.expect("over HTTP/1.1");
    }
    gateway.sandbox.connections().change(|wire| (wire.http1, wire.http2) = (false, true));
    gateway.sandbox.reset_connections();
    for number in 2..6 {
        call(&gateway, What::Write, number, Duration::from_secs(10)).await.expect("over HTTP/2");
        call(&gateway, What::Read, number, Duration::from_secs(10)).await.expect("over HTTP/2");
    }
    let last = gateway.sandbox.requests().pop().expect("a request");
    assert_eq!(last.version, Version::HTTP_2);
    assert!(gateway.sandbox.connections().counts().accepted <= 6, "the new connection is used again");
    gateway.stop().await;
}

#[tokio::test]
async fn a_caller_who_leaves_does_not_end_the_attempt_to_connect() {
    let gateway = gateway(|wire| wire.round_trip = Duration::from_millis(200)).await;
    for number in 0..3 {
        let hurried = call(&gateway, What::Write, number, Duration::from_millis(100)).await.expect_err("too early");
        assert!(matches!(hurried.code(), Code::DeadlineExceeded | Code::Cancelled), "{hurried:?}");
    }
    call(&gateway, What::Write, 3, Duration::from_secs(10)).await.expect("it waits for the same connection");
    assert_eq!(gateway.sandbox.connections().counts().accepted, 1);
    assert_eq!(created(&gateway), [(3, 1)].into());
    gateway.stop().await;
}

#[tokio::test]
async fn calls_that_wait_for_a_connection_share_its_failure_which_counts_once() {
    // It accepts and says nothing for a while, then hangs up.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    let accepted = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counter = accepted.clone();
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            counter.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_millis(300)).await;
                drop(socket);
            });
        }
    });
    let mut config = uncached();
    config.upstream.retry.attempts = 1;
    let url = format!("https://{address}").parse().expect("a URL");
    let (_, channel, shutdown, served) =
        Box::pin(crate::support::serve(&url, crate::support::basic("a:b"), config)).await;
    let users = zendesk_gateway::proto::user_service_client::UserServiceClient::new(channel);
    let read = |id| {
        let mut users = users.clone();
        async move { users.get_user(GetUserRequest { id, ..Default::default() }).await.expect_err("no connection") }
    };
    let refused = join_all((1..=20).map(read)).await;
    assert!(refused.iter().all(|status| reason(status) == "UPSTREAM_UNAVAILABLE"), "{refused:?}");
    assert_eq!(accepted.load(std::sync::atomic::Ordering::SeqCst), 1, "one attempt for all");
    let next = read(21).await;
    assert_eq!(reason(&next), "UPSTREAM_UNAVAILABLE", "the circuit is closed after one failure: {next:?}");
    drop(users);
    shutdown.send(()).expect("it listens");
    served.await.expect("no panic").expect("it ends well");
}

/// A balancer that restarts refuses connections for a moment. Each attempt that fails is one failure to the circuits.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow"]
async fn an_edge_that_refuses_connections_for_a_moment_opens_no_circuit() {
    for what in [What::Read, What::Write] {
        let gateway = gateway(|_| ()).await;
        let refusal = gateway.sandbox.fault(any("/*"), Refuse::forever());
        let open = async {
            tokio::time::sleep(Duration::from_millis(150)).await;
            gateway.sandbox.faults().remove(refusal);
        };
        let (failed, ()) = tokio::join!(flood(&gateway, what, 64, 64), open);
        let opened = failed.iter().find(|(_, status)| reason(status) == "BREAKER_OPEN");
        assert!(opened.is_none(), "{what:?}: {opened:?} of {}", failed.len());
        call(&gateway, what, 100, Duration::from_secs(5)).await.expect("all is well again");
        assert!(created(&gateway).values().all(|times| *times == 1));
        gateway.stop().await;
    }
}

/// Something accepts connections and does not shake hands on them. Others may go on: another connection is opened beside.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow"]
async fn a_handshake_that_hangs_costs_a_second() {
    for (what, calls) in [(What::Read, 20), (What::Write, 20), (What::Read, 1), (What::Write, 1)] {
        let gateway = gateway(|wire| wire.silent_handshakes = true).await;
        let heal = async {
            tokio::time::sleep(Duration::from_millis(300)).await;
            gateway.sandbox.connections().change(|wire| wire.silent_handshakes = false);
        };
        let began = Instant::now();
        let flooded = async {
            let failed = flood(&gateway, what, calls, calls).await;
            (failed, began.elapsed())
        };
        let ((failed, took), ()) = tokio::join!(flooded, heal);
        assert!(failed.is_empty(), "{calls} {what:?}: {failed:?}");
        assert!(took < Duration::from_secs(3), "{calls} {what:?}: {took:?}");
        // On a busy machine the second one can be slow, too.
        let accepted = gateway.sandbox.connections().counts().accepted;
        assert!((2..=3).contains(&accepted), "{accepted}: one beside the first, for all");
        if what == What::Write {
            assert_eq!(created(&gateway), (0..calls).map(|number| (number, 1)).collect());
        }
        gateway.stop().await;
    }
}
