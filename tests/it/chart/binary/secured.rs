//! Pods that ask who calls.

use serde_json::json;

use super::super::rendered::{has_helm, scenario};
use super::pod::Running;
use crate::support::authority::Authority;

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_with_a_certificate_is_probed_without_one_and_tested_with_one() {
    if !has_helm() {
        return;
    }
    let authority = Authority::new();
    let (own, trusted) = (authority.sign(), authority.pem());
    let secrets = |path: &str| match path.rsplit('/').next() {
        Some("tls.crt") => own.certificate.clone(),
        Some("tls.key") => own.key.clone(),
        Some("ca.crt") => trusted.clone(),
        _ => "secret".to_owned(),
    };
    let leaving = json!({"config": {"server": {"drain": {"announce": "15s", "timeout": "50s"}}}});
    let mut running = Running::start(&[scenario("tls")], leaving, &secrets).await;
    let probe = &running.rendered.gateway()["readinessProbe"];
    assert_eq!(probe["httpGet"]["path"], "/readyz", "Kubernetes' gRPC probes cannot speak TLS");
    running.passes("readinessProbe").await;
    running.passes("livenessProbe").await;
    running.passes_its_test("localhost", &secrets).await;
    running.terminate();
    running.is_no_longer_ready().await;
    running.ends_within_its_grace_period().await;
}
