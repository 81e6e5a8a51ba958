//! Keys that are exchanged while calls are made with them.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::http::{Request as HttpRequest, Response as HttpResponse};
use tonic::body::Body;
use tower::{Layer as _, ServiceExt as _};
use zendesk_gateway::gateway::origin::Origin;
use zendesk_gateway::rpc::facts::{Connection, Peer, Terms};
use zendesk_gateway::rpc::method;
use zendesk_gateway::server::identity::{Identity, Layer};
use zendesk_gateway::server::inbound::Inbound;
use zendesk_gateway::telemetry::Telemetry;

use super::*;
use crate::support::issuer::Endpoint;
use crate::support::load::{Load, reloads, replace, watcher};
use crate::support::until;

/// What callers prove themselves with at the moment.
#[derive(Clone)]
struct Proof {
    header: &'static str,
    value: Arc<Mutex<String>>,
}

impl Proof {
    fn new(header: &'static str, value: String) -> Self {
        Self { header, value: Arc::new(Mutex::new(value)) }
    }

    fn token(key: &Key) -> Self {
        Self::new("authorization", bearer(key))
    }

    fn set(&self, value: String) {
        *self.value.lock().expect("no panic") = value;
    }

    /// Puts callers to work who read with it.
    fn under_load(&self, t: &TestGateway) -> Load {
        let mut load = Load::default();
        for id in t.sandbox.store().user_ids().into_iter().take(4) {
            let (users, proof) = (t.users(), self.clone());
            load.add(move || {
                let mut users = users.clone();
                let value = proof.value.lock().expect("no panic").clone();
                let request = with(GetUserRequest { id, ..Default::default() }, &[(proof.header, value)]);
                async move { users.get_user(request).await.map(drop) }
            });
        }
        load
    }
}

fn bearer(key: &Key) -> String {
    format!("Bearer {}", key.sign(&claims("billing")))
}

/// Goes on once every caller has made calls since; fails at once if one has failed.
async fn all_called(load: &Load) {
    load.round().await;
    assert!(!load.has_failed(), "a call failed");
}

/// The rounds of four callers who made two after each of fifty exchanges.
const ROUNDS: u64 = 4 * 2 * 50;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "slow"]
async fn fifty_exchanges_of_api_keys_under_load_fail_no_call() {
    let (folder, watcher) = (TempDir::new().expect("a folder"), watcher());
    let config = with_keys(&folder);
    let path = config.identity.api_keys.file.clone().expect("a file");
    let t = TestGateway::watched(config, &watcher).await;
    let mut old = "right".to_owned();
    let proof = Proof::new("x-api-key", old.clone());
    let load = proof.under_load(&t);
    for round in 0..50 {
        // The old key and the new one, then callers take the new one, then the old one is withdrawn.
        let new = format!("key-{round}");
        let lines = line("billing", &old) + &line("billing", &new);
        replace(&path, &lines, &watcher, "api_keys", round).await;
        proof.set(new.clone());
        all_called(&load).await;
        old = new;
    }
    assert!(load.end().await >= ROUNDS);
    let (taken, failed) = reloads(&watcher, "api_keys");
    assert!(taken >= 50 && failed >= 37, "{taken} {failed}");
    unauthenticated(ask(&t, &[("x-api-key", "right")]).await, "the API key is not known", "withdrawn");
    t.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "slow"]
async fn fifty_exchanges_of_signing_keys_in_a_file_under_load_fail_no_call() {
    let (folder, watcher, first) = (TempDir::new().expect("a folder"), watcher(), Key::ec("first"));
    let config = with_tokens(&folder, &[&first]);
    let path = config.identity.jwt.jwks_file.clone().expect("a file");
    let t = TestGateway::watched(config, &watcher).await;
    let (proof, mut old) = (Proof::token(&first), first.clone());
    let load = proof.under_load(&t);
    for round in 0..50 {
        // An issuer publishes a key before it signs with it.
        let new = Key::ec(&format!("key-{round}"));
        replace(&path, &jwks(&[&old, &new]), &watcher, "jwks", round).await;
        proof.set(bearer(&new));
        all_called(&load).await;
        old = new;
    }
    assert!(load.end().await >= ROUNDS);
    let (taken, failed) = reloads(&watcher, "jwks");
    assert!(taken >= 50 && failed >= 37, "{taken} {failed}");
    unauthenticated(ask(&t, &[("authorization", &bearer(&first))]).await, "does not publish", "withdrawn");
    t.stop().await;
}

/// Lets an issuer fail in another way each round, until the gateway has met it, and then publish a document; returns once
/// that is in use.
async fn publish(endpoint: &Endpoint, document: &str, taken_and_failed: impl Fn() -> (u64, u64), round: usize) {
    let (taken, failed) = taken_and_failed();
    match round % 4 {
        0 => {}
        1 => endpoint.status.store(500, Ordering::SeqCst),
        2 => endpoint.breaks.store(true, Ordering::SeqCst),
        _ => endpoint.publish(&document[..document.len() / 2]),
    }
    if !round.is_multiple_of(4) {
        until(|| taken_and_failed().1 > failed).await;
    }
    endpoint.publish(document);
    endpoint.status.store(200, Ordering::SeqCst);
    endpoint.breaks.store(false, Ordering::SeqCst);
    until(|| taken_and_failed().0 > taken).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "slow"]
async fn fifty_exchanges_of_signing_keys_at_a_url_under_load_fail_no_call() {
    let (watcher, first) = (watcher(), Key::ec("first"));
    let endpoint = Endpoint::start(jwks(&[&first])).await;
    let mut config = tokens::from_url(&endpoint);
    config.identity.jwt.refresh = Duration::from_millis(20);
    let t = TestGateway::watched(config, &watcher).await;
    let counts = || reloads(&watcher, "jwks");
    until(|| counts().0 == 1).await;
    let (proof, mut old) = (Proof::token(&first), first.clone());
    let load = proof.under_load(&t);
    for round in 0..50 {
        let new = Key::ec(&format!("key-{round}"));
        publish(&endpoint, &jwks(&[&old, &new]), counts, round).await;
        proof.set(bearer(&new));
        all_called(&load).await;
        old = new;
    }
    assert!(load.end().await >= ROUNDS);
    let (taken, failed) = counts();
    assert!(taken == 51 && failed >= 37, "{taken} {failed}");
    let withdrawn = refused(ask(&t, &[("authorization", &bearer(&first))]).await);
    assert_eq!(withdrawn.reason, "CALLER_UNAUTHENTICATED", "{withdrawn:?}");
    t.stop().await;
}

#[tokio::test]
async fn a_key_that_is_taken_out_of_its_file_is_refused_from_then_on() {
    let folder = TempDir::new().expect("a folder");
    let (old, new) = (Key::ec("old"), Key::ec("new"));
    let config = with_tokens(&folder, &[&old]);
    let watcher = watcher();
    let identity = Identity::start(&config, &watcher).await.expect("keys");
    let telemetry = Telemetry::start(&config.telemetry, std::io::sink()).expect("telemetry");
    let service = tower::service_fn(|call: Inbound<Body>| async move {
        assert!(!call.headers().contains_key("authorization"), "what proved the caller goes no further");
        Ok::<_, std::convert::Infallible>(HttpResponse::new(Body::empty()))
    });
    let service = Layer::new(&identity, &telemetry).layer(service);
    let (token, terms) = (bearer(&old), Terms::of(&config.server));
    let call = async || {
        let path = "/zendesk.gateway.v1.UserService/GetUser";
        let request = HttpRequest::post(path).header("authorization", &token);
        let request = request.body(Body::empty()).expect("a request");
        let peer = Peer::new(([127, 0, 0, 1], 7).into(), None, Connection::default());
        let facts = terms.facts(method::of(path), Arc::new(peer), Origin::default(), None);
        let answer = service.clone().oneshot(Inbound::new(facts, request)).await.expect("an answer");
        Status::from_header_map(answer.headers()).map(|status| status.code())
    };
    assert_eq!(call().await, None);
    let path = config.identity.jwt.jwks_file.clone().expect("a file");
    replace(&path, &jwks(&[&new]), &watcher, "jwks", 0).await;
    assert_eq!(call().await, Some(Code::Unauthenticated), "also a token that was remembered");
}
