//! Who calls: what proves it, what does not, and what goes on while keys are exchanged.

mod certificates;
mod early;
mod rotation;
mod tokens;
mod traces;

use std::path::PathBuf;

use tempfile::TempDir;
use tonic::{Code, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use zendesk_gateway::config::Config;
use zendesk_gateway::config::identity::{Method, Rule};
use zendesk_gateway::contract::Risk;
use zendesk_gateway::proto::{GetCurrentUserRequest, GetUserRequest};

use crate::support::issuer::{AUDIENCE, ISSUER, Key, claims, jwks};
use crate::support::observed::{Observed, scrape};
use crate::support::{Dynamic, Refused, TestGateway, account, key_file, refused, settings, with};

/// Settings under which known callers may read.
fn readers(methods: &[Method]) -> Config {
    let mut config = settings();
    config.identity.methods = methods.to_vec();
    let rule = Rule { callers: vec!["*".to_owned()], risks: vec![Risk::Read], ..Rule::default() };
    config.authorization.rules = vec![rule];
    config
}

/// A file's line for a key.
fn line(caller: &str, key: &str) -> String {
    key_file(&[(caller, key)])
}

fn file(folder: &TempDir, name: &str, text: &str) -> PathBuf {
    let path = folder.path().join(name);
    std::fs::write(&path, text).expect("a temporary file");
    path
}

fn with_keys(folder: &TempDir) -> Config {
    let mut config = readers(&[Method::ApiKey]);
    config.identity.api_keys.file = Some(file(folder, "keys", &(line("billing", "right") + &line("hr", "other"))));
    config
}

fn with_tokens(folder: &TempDir, keys: &[&Key]) -> Config {
    let mut config = readers(&[Method::Jwt]);
    config.identity.jwt.issuer = Some(ISSUER.to_owned());
    config.identity.jwt.audience = Some(AUDIENCE.to_owned());
    config.identity.jwt.jwks_file = Some(file(folder, "jwks", &jwks(keys)));
    config
}

async fn started(config: Config) -> TestGateway {
    TestGateway::configured(account(), config).await
}

/// Asks who the gateway is at Zendesk, with some metadata.
async fn ask(t: &TestGateway, metadata: &[(&'static str, &str)]) -> Result<(), Status> {
    t.users().get_current_user(with(GetCurrentUserRequest::default(), metadata)).await.map(|_| ())
}

#[track_caller]
fn unauthenticated(outcome: Result<(), Status>, what: &str, row: &str) {
    let refused = refused(outcome);
    assert_eq!((refused.code, refused.reason.as_str()), (Code::Unauthenticated, "CALLER_UNAUTHENTICATED"), "{row}");
    assert!(refused.message.contains(what), "{row}: {}", refused.message);
}

#[tokio::test]
async fn a_key_that_is_missing_wrong_or_sent_twice_proves_nothing() {
    let folder = TempDir::new().expect("a folder");
    let t = started(with_keys(&folder)).await;
    for (row, metadata, what) in [
        ("nothing", &[][..], "nothing was sent"),
        ("wrong", &[("x-api-key", "wrong")], "the API key is not known"),
        ("empty", &[("x-api-key", "")], "the API key is not known"),
        ("cut", &[("x-api-key", "righ")], "the API key is not known"),
        ("longer", &[("x-api-key", "rightly")], "the API key is not known"),
        ("twice", &[("x-api-key", "right"), ("x-api-key", "wrong")], "more than one credential"),
        ("its hash", &[("x-api-key", line("", "right").trim())], "the API key is not known"),
        ("as a bearer", &[("authorization", "Bearer right")], "nothing was sent"),
    ] {
        unauthenticated(ask(&t, metadata).await, what, row);
        assert_eq!(t.sandbox.total_hits(), 0, "{row}");
    }
    ask(&t, &[("x-api-key", "right")]).await.expect("the right key");
    ask(&t, &[("x-api-key", "other")]).await.expect("another right key");
}

#[tokio::test]
async fn a_token_and_a_key_together_are_ambiguous() {
    let folder = TempDir::new().expect("a folder");
    let key = Key::ec("one");
    let mut config = with_tokens(&folder, &[&key]);
    config.identity.methods.push(Method::ApiKey);
    config.identity.api_keys.file = Some(file(&folder, "keys", &line("billing", "right")));
    let t = started(config).await;
    let token = format!("Bearer {}", key.sign(&claims("billing")));
    ask(&t, &[("authorization", &token)]).await.expect("the token alone");
    ask(&t, &[("x-api-key", "right")]).await.expect("the key alone");
    let both = ask(&t, &[("authorization", &token), ("x-api-key", "right")]).await;
    unauthenticated(both, "more than one credential", "both");
    let wrong_token = ask(&t, &[("authorization", "Bearer a.b.c"), ("x-api-key", "right")]).await;
    unauthenticated(wrong_token, "more than one credential", "a wrong token is no reason to try the key");
}

#[tokio::test]
async fn health_is_open_to_everybody_and_reflection_to_callers() {
    let folder = TempDir::new().expect("a folder");
    let t = started(with_keys(&folder)).await;
    HealthClient::new(t.channel.clone()).check(HealthCheckRequest::default()).await.expect("health needs no caller");
    let reflect = |key: Option<&'static str>| {
        let mut client =
            tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient::new(t.channel.clone());
        let question = tonic_reflection::pb::v1::ServerReflectionRequest {
            message_request: Some(tonic_reflection::pb::v1::server_reflection_request::MessageRequest::ListServices(
                String::new(),
            )),
            ..Default::default()
        };
        let metadata: Vec<(&'static str, &str)> = key.map(|key| ("x-api-key", key)).into_iter().collect();
        let request = with(tokio_stream::once(question), &metadata);
        async move { client.server_reflection_info(request).await.map(|_| ()) }
    };
    unauthenticated(reflect(None).await, "nothing was sent", "reflection");
    reflect(Some("right")).await.expect("any caller may look at the contract");
    let refused = Dynamic::new(t.channel.clone()).call("GetUser", "{\"id\": 7}").await;
    assert_eq!(refused.expect_err("no key").code(), Code::Unauthenticated);
}

#[tokio::test]
async fn refused_callers_are_counted_by_what_was_wrong() {
    let folder = TempDir::new().expect("a folder");
    let config = with_keys(&folder);
    let t = Observed::configured(config).await;
    for key in ["wrong", "right", "wrong"] {
        t.users().get_user(with(GetUserRequest { id: 7, ..Default::default() }, &[("x-api-key", key)])).await.ok();
    }
    let live = scrape::read(&t.scrape().await);
    let family = &live["zendesk_gateway_identity_refused_total"];
    let told = family.samples.iter().map(|(_, labels, count)| (labels["error_type"].as_str(), *count));
    let told: Vec<_> = told.filter(|(_, count)| *count > 0.0).collect();
    assert_eq!(told, [("unknown_key", 2.0)]);
    let errors = &live["zendesk_gateway_call_errors_total"];
    let reasons: Vec<_> = errors.samples.iter().map(|(_, labels, _)| labels["error_type"].as_str()).collect();
    assert!(reasons.contains(&"CALLER_UNAUTHENTICATED"), "{reasons:?}");
}
