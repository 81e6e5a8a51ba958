//! Connections that end as edges end them, with calls under way that they do not process.

use std::collections::BTreeMap;
use std::time::Duration;

use zendesk_gateway::sandbox::GoAway;

use super::{What, created, flood, flood_within, gateway};

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

/// `WIRE_CALLS=10000 cargo test --profile counted --test it wire::` for the long run.
fn calls() -> usize {
    std::env::var("WIRE_CALLS").map_or(1_000, |calls| calls.parse().expect("a number"))
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_do_not_notice_that_connections_are_rotated() {
    for every in [100, 1_000] {
        rotated(GoAway::Abrupt, What::Read, calls(), every).await;
    }
    rotated(GoAway::Polite, What::Read, calls(), 100).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_do_not_notice_that_connections_are_rotated_and_are_done_once() {
    for every in [100, 1_000] {
        rotated(GoAway::Abrupt, What::Write, calls(), every).await;
    }
    rotated(GoAway::Polite, What::Write, calls(), 100).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_moved_goes_before_those_that_come_later() {
    // Each connection takes ten requests, and 64 want to go.
    let gateway = gateway(|wire| (wire.goaway, wire.goaway_every) = (GoAway::Abrupt, Some(10))).await;
    let failed = flood_within(&gateway, What::Read, 1_000, 64, Duration::from_secs(5)).await;
    assert!(failed.is_empty(), "{failed:?}");
    gateway.stop().await;
}
