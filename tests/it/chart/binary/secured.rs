//! Pods that ask who calls.

use serde_json::json;
use tonic::Code;
use tonic::transport::Channel;
use zendesk_gateway::proto::GetCurrentUserRequest;
use zendesk_gateway::proto::user_service_client::UserServiceClient;
use zendesk_gateway::sandbox::Sandbox;

use super::super::rendered::{has_helm, scenario};
use super::pod::Running;
use crate::support::account;
use crate::support::authority::Authority;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow"]
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
    let mut running = Running::start(&[scenario("tls")], &leaving, &secrets).await;
    running.passes("readinessProbe").await;
    running.passes("livenessProbe").await;
    running.passes_its_test("localhost", &secrets).await;
    running.terminate();
    running.is_no_longer_ready().await;
    running.ends_within_its_grace_period().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_that_wants_keys_is_probed_without_one_and_lets_in_the_callers_of_the_mounted_file() {
    if !has_helm() {
        return;
    }
    let sandbox = Sandbox::start(account()).await.expect("the stand-in starts");
    let token = sandbox.config().credential.oauth_token.clone();
    let callers = "billing 7abe560b405e0d124259a79aa8cf4251d238dfa291d7b6c8d5c2a9ae52746eff\n";
    let secrets = |path: &str| if path.ends_with("/callers") { callers.to_owned() } else { token.clone() };
    let values = json!({
        "config": {
            "upstream": {
                "base_url": sandbox.base_url().as_str().trim_end_matches('/'),
                "credential": {"kind": "oauth_token"},
            },
            "identity": {"methods": ["api_key"], "api_keys": {"file": "/etc/zendesk-gateway/secret/callers"}},
            "authorization": {"rules": [{"callers": ["api_key:*"], "risks": ["read"]}]},
        },
        "secret": {"existingSecret": "zendesk"},
    });
    let running = Running::start(&[], &values, &secrets).await;
    running.passes("readinessProbe").await;
    let address = format!("http://127.0.0.1:{}", running.port("grpc"));
    let channel = Channel::from_shared(address).expect("a URI").connect().await.expect("it listens");
    let mut users = UserServiceClient::new(channel);
    let refused = users.get_current_user(GetCurrentUserRequest::default()).await.expect_err("nobody");
    assert_eq!(refused.code(), Code::Unauthenticated);
    let mut request = tonic::Request::new(GetCurrentUserRequest::default());
    request.metadata_mut().insert("x-api-key", "a-key-that-a-test-may-know".parse().expect("a value"));
    users.get_current_user(request).await.expect("billing may read");
}
