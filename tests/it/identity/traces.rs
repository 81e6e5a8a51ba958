//! Who decides that a call is traced: callers who are known, and not whoever reaches the port.

use zendesk_gateway::config::{Otlp, Telemetry};

use super::*;
use crate::support::collector::Collector;

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const SAMPLED: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

/// A gateway that knows callers by their keys and traces this share of calls, and the collector that it tells.
async fn told(share: f64, folder: &TempDir) -> (Observed, Collector) {
    let (collector, url) = Collector::start().await;
    let otlp = Otlp { endpoint: Some(url.parse().expect("a URL")), ..Otlp::default() };
    let telemetry = Telemetry { sample_ratio: share, otlp, ..Telemetry::default() };
    (Observed::configured(Config { telemetry, ..with_keys(folder) }).await, collector)
}

/// The ids of the traces of all spans that the collector has.
fn traces(collector: &Collector) -> Vec<String> {
    let hex = |bytes: &[u8]| bytes.iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
    collector.spans().iter().map(|span| hex(&span.trace_id)).collect()
}

#[tokio::test]
async fn a_strangers_wish_to_be_traced_is_not_followed_and_a_callers_is() {
    let folder = TempDir::new().expect("a folder");
    let (t, collector) = told(0.0, &folder).await;
    for metadata in [
        &[("traceparent", SAMPLED)][..],
        &[("traceparent", SAMPLED), ("x-api-key", "wrong")],
        &[("traceparent", SAMPLED), ("x-api-key", "right"), ("x-api-key", "right")],
    ] {
        unauthenticated(
            t.users().get_current_user(with(GetCurrentUserRequest::default(), metadata)).await.map(drop),
            "",
            "stranger",
        );
    }
    let health = with(HealthCheckRequest::default(), &[("traceparent", SAMPLED)]);
    HealthClient::new(t.channel.clone()).check(health).await.expect("health needs no caller");
    t.telemetry.flush().await;
    assert_eq!(traces(&collector), [""; 0], "no stranger is traced");

    let own = with(GetCurrentUserRequest::default(), &[("traceparent", SAMPLED), ("x-api-key", "right")]);
    t.users().get_current_user(own).await.expect("a caller");
    t.telemetry.flush().await;
    let traces = traces(&collector);
    assert!(!traces.is_empty() && traces.iter().all(|trace| trace == TRACE), "{traces:?}");
}

#[tokio::test]
async fn the_gateways_own_sampler_decides_about_strangers_who_keep_their_trace() {
    let folder = TempDir::new().expect("a folder");
    let (t, collector) = told(1.0, &folder).await;
    let refused = t.users().get_current_user(with(GetCurrentUserRequest::default(), &[("traceparent", SAMPLED)])).await;
    let refused = refused.expect_err("no key");
    assert_eq!(refused.metadata().get("x-request-id").expect("an id"), TRACE);
    t.telemetry.flush().await;
    assert_eq!(traces(&collector), [TRACE]);
}
