//! Streams and connections that end under a request.

use std::time::Duration;

use futures_util::future::join_all;
use zendesk_gateway::sandbox;
use zendesk_gateway::sandbox::faults::{Delay, Hang, RefuseStream, Reset, get, post};

use super::{What, call, created, edge, flood, gateway, reason, uncached};
use crate::support::TestGateway;

#[tokio::test]
async fn what_a_reset_stream_leaves_open_depends_on_why_and_when() {
    let gateway = gateway(|_| ()).await;
    let deadline = Duration::from_secs(10);
    let sandbox = &gateway.sandbox;

    // Refused: not processed, so even this write is sent again.
    sandbox.fault(post("/users"), RefuseStream::once());
    call(&gateway, What::Write, 1, deadline).await.expect("sent again");
    sandbox.fault(get("/users/{id}/related"), RefuseStream::times(2));
    call(&gateway, What::Read, 1, deadline).await.expect("sent again, and again");

    // Reset before the response, and inside it: perhaps processed.
    for (number, reset) in [(2, Reset::before_headers()), (3, Reset::within_body())] {
        sandbox.fault(post("/users"), reset.clone().after_applying());
        let status = call(&gateway, What::Write, number, deadline).await.expect_err("nobody knows");
        assert_eq!(reason(&status), "OUTCOME_UNKNOWN", "{reset:?}");
        sandbox.fault(get("/users/{id}/related"), reset);
        call(&gateway, What::Read, number, deadline).await.expect("a read is repeated");
    }
    assert_eq!(created(&gateway), [(1, 1), (2, 1), (3, 1)].into());
    assert_eq!(sandbox.connections().counts().accepted, 1, "streams end, the connection goes on");
    gateway.stop().await;
}

/// What was written before is done, and the write keeps neither its permit nor its caller waiting for the rest.
#[tokio::test]
#[ignore = "slow"]
async fn an_answer_to_a_write_that_stops_is_given_up_and_its_connection_goes_on() {
    let gateway = gateway(|_| ()).await;
    let sandbox = &gateway.sandbox;
    call(&gateway, What::Read, 0, Duration::from_secs(10)).await.expect("all is well");
    sandbox.fault(post("/users"), Hang::within_body().times(4).after_applying());
    let writes = join_all((1..=4).map(|number| call(&gateway, What::Write, number, Duration::from_secs(30))));
    let began = std::time::Instant::now();
    let reads = async {
        for number in 0..30 {
            call(&gateway, What::Read, number, Duration::from_secs(5)).await.expect("others are answered");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let (failed, ()) = tokio::join!(writes, reads);
    assert!(
        failed.iter().all(|told| told.as_ref().is_err_and(|status| reason(status) == "OUTCOME_UNKNOWN")),
        "{failed:?}"
    );
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
    assert_eq!(created(&gateway), (1..=4).map(|number| (number, 1)).collect());
    assert_eq!(gateway.sandbox.connections().counts().accepted, 1, "streams end, the connection goes on");
    gateway.stop().await;
}

/// An edge that is overloaded refuses streams that its settings allow. That says nothing of how many it takes.
#[tokio::test]
#[ignore = "slow"]
async fn a_spell_of_refused_streams_costs_no_call_and_no_room() {
    let gateway = gateway(|_| ()).await;
    call(&gateway, What::Read, 0, Duration::from_secs(10)).await.expect("all is well");
    for what in [What::Read, What::Write] {
        gateway.sandbox.fault(get("*"), RefuseStream::times(40));
        gateway.sandbox.fault(post("*"), RefuseStream::times(40));
        let failed = flood(&gateway, what, 300, 30).await;
        assert!(failed.is_empty(), "{failed:?}");
    }
    // Still so many at a time on the one connection.
    let began = std::time::Instant::now();
    gateway.sandbox.fault(get("*"), Delay::by(Duration::from_millis(500)).forever());
    assert!(flood(&gateway, What::Read, 60, 60).await.is_empty());
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    assert_eq!(gateway.sandbox.connections().counts().accepted, 1);
    assert!(created(&gateway).values().all(|times| *times == 1));
    gateway.stop().await;
}

/// Such a write waits most of the time for its next move, and nothing of it was processed.
#[tokio::test]
#[ignore = "slow"]
async fn a_write_that_is_refused_until_its_deadline_is_told_as_not_carried_out() {
    let gateway = gateway(|_| ()).await;
    call(&gateway, What::Write, 0, Duration::from_secs(10)).await.expect("all is well");
    gateway.sandbox.fault(post("/users"), RefuseStream::forever());
    let reads = async {
        // Otherwise it is a peer that processes nothing.
        for number in 0..60 {
            call(&gateway, What::Read, number, Duration::from_secs(5)).await.expect("reads are answered");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let writes = join_all((1..=20).map(|number| call(&gateway, What::Write, number, Duration::from_secs(1))));
    let (failed, ()) = tokio::join!(writes, reads);
    let reasons: Vec<String> = failed.into_iter().map(|outcome| reason(&outcome.expect_err("refused"))).collect();
    // But for those that a connection had at that very moment.
    let undone = reasons.iter().filter(|reason| ["DEADLINE_EXCEEDED", "OVERLOADED"].contains(&&***reason)).count();
    assert!(undone > reasons.len() / 2, "{reasons:?}");
    assert_eq!(created(&gateway), [(0, 1)].into());
    gateway.stop().await;
}

#[tokio::test]
#[ignore = "slow"]
async fn the_end_of_a_connection_is_one_failure_however_many_calls_it_hits() {
    let mut account = edge(|_| ());
    account.latency = sandbox::Latency::Fixed(Duration::from_millis(300));
    let gateway = TestGateway::configured(account, uncached()).await;
    // So many at a time have been seen to work; a new connection gets no more before its first answer.
    assert!(flood(&gateway, What::Write, 40, 20).await.is_empty());
    // More than open a circuit if each counts.
    for _ in 0..3 {
        let hit = flood(&gateway, What::Write, 20, 20);
        let reset = async {
            tokio::time::sleep(Duration::from_millis(150)).await;
            gateway.sandbox.reset_connections();
        };
        let (failed, ()) = tokio::join!(hit, reset);
        assert!(failed.iter().all(|(_, status)| reason(status) == "OUTCOME_UNKNOWN"), "{failed:?}");
        assert!(failed.len() > 10, "{} were under way", failed.len());
    }
    call(&gateway, What::Write, 100, Duration::from_secs(10)).await.expect("no circuit is open");
    gateway.stop().await;
}
