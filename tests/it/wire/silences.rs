//! Connections that die without a word.

use std::time::Duration;

use futures_util::future::join_all;
use tonic::Status;
use zendesk_gateway::sandbox::Mute;
use zendesk_gateway::sandbox::faults::{Hang, get};

use super::{What, call, created, edge, gateway, reason, uncached};
use crate::support::TestGateway;

/// One call a second while the connection falls silent; returns how the calls ended that were made after that.
async fn silenced(gateway: &TestGateway, kind: Mute, what: What, deadline: Duration) -> Vec<Result<(), Status>> {
    call(gateway, what, 0, deadline).await.expect("all is well");
    gateway.sandbox.connections().mute(kind).expect("a Linux socket takes a filter");
    let calls = (1..=6_usize).map(async |number| {
        tokio::time::sleep(Duration::from_secs(number as u64 - 1)).await;
        call(gateway, what, number, deadline).await
    });
    join_all(calls).await
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow"]
async fn a_connection_that_falls_silent_is_given_up_before_callers_of_reads_notice() {
    let (acknowledged, dropped) = tokio::join!(gateway(|_| ()), gateway(|_| ()));
    let (seconds_5, seconds_30) = (Duration::from_secs(5), Duration::from_secs(30));
    let (one, other) = tokio::join!(
        silenced(&acknowledged, Mute::Acknowledged, What::Read, seconds_5),
        silenced(&dropped, Mute::Dropped, What::Read, seconds_30),
    );
    for (number, outcome) in one.into_iter().chain(other).enumerate() {
        assert!(outcome.is_ok(), "{number}: {outcome:?}");
    }
    acknowledged.stop().await;
    dropped.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow"]
async fn of_a_connection_that_falls_silent_only_the_writes_it_took_have_an_unknown_outcome() {
    let (acknowledged, dropped) = tokio::join!(gateway(|_| ()), gateway(|_| ()));
    let (seconds_5, seconds_30) = (Duration::from_secs(5), Duration::from_secs(30));
    let (one, other) = tokio::join!(
        silenced(&acknowledged, Mute::Acknowledged, What::Write, seconds_5),
        silenced(&dropped, Mute::Dropped, What::Write, seconds_30),
    );
    for (gateway, outcomes) in [(&acknowledged, one), (&dropped, other)] {
        let failed: Vec<&Status> = outcomes.iter().filter_map(|outcome| outcome.as_ref().err()).collect();
        assert!(failed.len() <= 2 && failed.iter().all(|status| reason(status) == "OUTCOME_UNKNOWN"), "{failed:?}");
        let created = created(gateway);
        assert!(created.values().all(|times| *times == 1), "{created:?}");
        for (number, outcome) in (1..).zip(&outcomes) {
            assert!(outcome.is_err() || created.contains_key(&number), "{number} was said to be done");
        }
    }
    acknowledged.stop().await;
    dropped.stop().await;
}

/// Nothing is under way that could be without an answer: only its ping is.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow"]
async fn a_connection_that_dies_while_idle_takes_no_call_once_the_answer_to_its_ping_is_late() {
    let idle = async |kind| {
        let mut config = uncached();
        config.upstream.connection.ping_interval = Duration::from_millis(200);
        let gateway = TestGateway::configured(edge(|_| ()), config).await;
        call(&gateway, What::Read, 0, Duration::from_secs(5)).await.expect("all is well");
        gateway.sandbox.connections().mute(kind).expect("a Linux socket takes a filter");
        // A ping after 200 ms, and 750 ms for its answer; it is given up at 2.2 s.
        tokio::time::sleep(Duration::from_millis(1_100)).await;
        for (number, what) in [What::Write, What::Read].into_iter().enumerate() {
            call(&gateway, what, number, Duration::from_secs(1)).await.expect("on another connection");
        }
        gateway.stop().await;
    };
    tokio::join!(idle(Mute::Acknowledged), idle(Mute::Dropped));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow"]
async fn a_read_leaves_a_connection_that_does_not_answer_its_ping_before_that_is_given_up() {
    let mut config = uncached();
    config.upstream.connection.ping_interval = Duration::from_millis(200);
    let gateway = TestGateway::configured(edge(|_| ()), config).await;
    call(&gateway, What::Read, 0, Duration::from_secs(5)).await.expect("all is well");
    gateway.sandbox.connections().mute(Mute::Acknowledged).expect("a Linux socket takes a filter");
    call(&gateway, What::Read, 1, Duration::from_millis(1_900)).await.expect("it is repeated");
    gateway.stop().await;
}

/// It takes one request at a time, and does not answer the one that it has. Its pings are answered.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow"]
async fn a_connection_that_takes_nothing_is_left() {
    let gateway = gateway(|wire| wire.max_concurrent_streams = Some(1)).await;
    call(&gateway, What::Read, 0, Duration::from_secs(5)).await.expect("all is well");
    gateway.sandbox.fault(get("/users/{id}/related"), Hang::before_headers().once());
    let hung = call(&gateway, What::Read, 1, Duration::from_secs(4));
    let others = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        // The client has taken it before it finds that there is no room.
        let _held_back = call(&gateway, What::Read, 2, Duration::from_secs(2)).await;
        for number in 3..6 {
            call(&gateway, What::Write, number, Duration::from_secs(2)).await.expect("on another connection");
            call(&gateway, What::Read, number, Duration::from_secs(2)).await.expect("on another connection");
        }
    };
    let (hung, ()) = tokio::join!(hung, others);
    hung.expect_err("it is not answered");
    assert_eq!(created(&gateway), (3..6).map(|number| (number, 1)).collect());
    gateway.stop().await;
}
