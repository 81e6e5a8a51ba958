//! Chart and binary agree: what is rendered is laid out in a folder, and the real binary is started from it.

use std::time::Duration;

use serde_json::json;
use tonic::transport::Channel;
use zendesk_gateway::proto::GetCurrentUserRequest;
use zendesk_gateway::proto::user_service_client::UserServiceClient;
use zendesk_gateway::sandbox::Sandbox;

use super::rendered::{container, has_helm, list, render, scenario, scenarios};
use crate::support::account;
use crate::support::authority::Authority;
use pod::{Laid, Running};

mod pod;
mod secured;

/// What is in a file that nobody reads.
fn any(_path: &str) -> String {
    "secret".to_owned()
}

#[test]
#[ignore = "slow"]
fn the_binary_finds_no_mistake_in_what_any_scenario_renders() {
    if !has_helm() {
        return;
    }
    let authority = Authority::new();
    let (own, trusted) = (authority.sign(), authority.pem());
    let secrets = |path: &str| match path.rsplit('/').next() {
        Some("tls.crt") => own.certificate.clone(),
        Some("tls.key") => own.key.clone(),
        Some("ca.crt") => trusted.clone(),
        Some("callers") => format!("one {}", "0".repeat(64)),
        Some("otlp-headers") => "authorization: Bearer one".to_owned(),
        _ => any(path),
    };
    for (name, files) in scenarios() {
        let rendered = render(&files, &json!({}));
        for pod in rendered.pods() {
            let gateway = list(&pod["spec"]["containers"]).find(|container| container["name"] != "renew-secrets");
            let laid = Laid::out(&rendered, pod, gateway.expect("a container"), &secrets);
            let mut check = laid.command();
            // What it names is in a ConfigMap of the cluster's.
            check.env_remove("SSL_CERT_FILE");
            let flags = laid.args.iter().filter(|arg| arg.starts_with("--config") || *arg == "--sandbox");
            let output = check.arg("check").args(flags).output().expect("it starts");
            assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
            let told = String::from_utf8_lossy(&output.stdout);
            let port = list(&rendered.gateway()["ports"]).find(|port| port["name"] == "grpc").expect("a port");
            let wanted = format!(":{}", port["containerPort"]);
            assert!(told.trim_end().ends_with(&wanted), "{name}: {told}");
        }
    }
}

#[test]
fn the_settings_of_a_pod_that_would_not_start_are_found_by_its_test() {
    if !has_helm() {
        return;
    }
    let credential = json!({"kind": "oauth_token"});
    let upstream = json!({"base_url": "http://zendesk.example", "credential": credential});
    let settings = json!({"upstream": upstream, "identity": {"methods": ["none"]}});
    let values = json!({"config": settings, "secret": {"existingSecret": "zendesk"}});
    let rendered = render(&[], &values);
    let pod = rendered.of("Pod").next().expect("the test's pod");
    let laid = Laid::out(&rendered, pod, container(pod, "settings"), &any);
    let output = laid.command().args(&laid.args).output().expect("it starts");
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && told.contains("upstream.base_url: must be https"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow"]
async fn a_demo_pod_answers_its_probes_and_its_test_and_ends_within_its_grace_period() {
    if !has_helm() {
        return;
    }
    let leaving = json!({"announce": "15s", "timeout": "50s"});
    let mut running =
        Running::start(&[scenario("sandbox")], &json!({"config": {"server": {"drain": leaving}}}), &any).await;
    running.passes("readinessProbe").await;
    running.passes("livenessProbe").await;

    running.passes_its_test("127.0.0.1", &any).await;
    // A client that stays connected, and one that never said a word.
    let idle = Channel::from_shared(format!("http://127.0.0.1:{}", running.port("grpc"))).expect("a URI");
    let idle = idle.connect().await.expect("it listens");
    let mute = tokio::net::TcpStream::connect(format!("127.0.0.1:{}", running.port("grpc"))).await.expect("it listens");
    running.terminate();
    running.is_no_longer_ready().await;
    running.passes("livenessProbe").await;
    running.ends_within_its_grace_period().await;
    drop((idle, mute));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow"]
async fn a_pod_signs_in_with_the_mounted_secret_and_stays_ready_while_zendesk_is_gone() {
    if !has_helm() {
        return;
    }
    let sandbox = Sandbox::start(account()).await.expect("the stand-in starts");
    let url = sandbox.base_url().to_string();
    let credential = sandbox.config().credential.clone();
    let upstream = json!({
        "base_url": url.trim_end_matches('/'),
        "credential": {"kind": "api_token", "email": credential.email},
        "retry": {"attempts": 1},
    });
    let identity = json!({"methods": ["none"]});
    let settings = json!({"upstream": upstream, "identity": identity, "cache": {"max_bytes": 0}});
    let values = json!({"config": settings, "secret": {"existingSecret": "zendesk"}});
    let mut running = Running::start(&[], &values, &|_| credential.api_token.clone()).await;
    let address = format!("http://127.0.0.1:{}", running.port("grpc"));
    let mut users = UserServiceClient::connect(address).await.expect("it listens");
    let me =
        users.get_current_user(GetCurrentUserRequest::default()).await.expect("the secret is the stand-in's token");
    assert_eq!(me.into_inner().user.and_then(|user| user.email), Some(credential.email));

    drop(sandbox);
    let gone = tokio::time::timeout(Duration::from_mins(1), async {
        while users.get_current_user(GetCurrentUserRequest::default()).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    gone.await.expect("the stand-in ends");
    for probe in ["startupProbe", "readinessProbe", "livenessProbe"] {
        running.passes(probe).await;
    }
    drop(users);
    running.terminate();
    running.ends_within_its_grace_period().await;
}
