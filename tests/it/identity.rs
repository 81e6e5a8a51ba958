//! Who calls: what proves it, what does not, and what goes on while keys are exchanged.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::http::{Request as HttpRequest, Response as HttpResponse};
use jsonwebtoken::Algorithm;
use rcgen::{CertificateParams, DnType, KeyPair, SanType};
use serde_json::{Value, json};
use tempfile::TempDir;
use tonic::body::Body;
use tonic::{Code, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tower::{Layer as _, ServiceExt as _};
use zendesk_gateway::config::Config;
use zendesk_gateway::config::identity::{Method, Rule};
use zendesk_gateway::contract::Risk;
use zendesk_gateway::gateway::caller::Caller;
use zendesk_gateway::proto::{GetCurrentUserRequest, GetUserRequest};
use zendesk_gateway::server::connection::Peer;
use zendesk_gateway::server::identity::{Identity, Layer};
use zendesk_gateway::telemetry::Telemetry;
use zendesk_gateway::watch::Watcher;

use crate::support::issuer::{AUDIENCE, Endpoint, ISSUER, Key, claims, jwks, now};
use crate::support::{Dynamic, TestGateway, account, key_file, refused, settings, with};

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
    t.users().get_current_user(with(GetCurrentUserRequest {}, metadata)).await.map(|_| ())
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
async fn every_way_to_forge_or_misuse_a_token_is_refused() {
    let folder = TempDir::new().expect("a folder");
    let (key, rsa, stranger) = (Key::ec("one"), Key::rsa("two"), Key::ec("one"));
    let unpublished = Key::ec("three");
    let t = started(with_tokens(&folder, &[&key, &rsa])).await;
    let good = claims("billing");
    let but = |name: &str, value: Value| {
        let mut claims = good.clone();
        claims[name] = value;
        claims
    };
    let without = |name: &str| {
        let mut claims = good.clone();
        claims.as_object_mut().expect("claims").remove(name);
        claims
    };
    let public = key.jwk();
    let modulus = rsa.jwk()["n"].as_str().expect("a modulus").to_owned();
    let (head, rest) = key.sign(&good).split_once('.').map(|(a, b)| (a.to_owned(), b.to_owned())).expect("a token");
    let other = key.sign(&claims("somebody-else"));
    let swapped =
        format!("{head}.{}.{}", other.split('.').nth(1).expect("claims"), rest.split_once('.').expect("two").1);
    let rows = [
        ("none", key.unsigned("none", &good), "compact form"),
        ("NONE", key.unsigned("NONE", &good), "compact form"),
        ("no algorithm", key.unsigned("", &good), "compact form"),
        ("no signature", format!("{head}.{}.", rest.split_once('.').expect("two").0), "signature is wrong"),
        ("HMAC with the public key", key.confuse(public.to_string().as_bytes(), &good), "algorithm is not accepted"),
        ("HMAC with its coordinate", key.confuse(public["x"].as_str().expect("x").as_bytes(), &good), "algorithm"),
        ("HMAC with the modulus", rsa.confuse(modulus.as_bytes(), &good), "algorithm is not accepted"),
        ("HMAC with nothing", key.confuse(b"", &good), "algorithm is not accepted"),
        ("an algorithm that is not allowed", rsa.sign_as(Algorithm::PS256, &good), "algorithm is not accepted"),
        ("another's key under the same name", stranger.sign(&good), "signature is wrong"),
        ("another's claims", swapped, "signature is wrong"),
        ("unknown key", unpublished.sign(&good), "does not publish"),
        ("expired", key.sign(&but("exp", json!(now() - 31))), "has expired"),
        ("not yet valid", key.sign(&but("nbf", json!(now() + 120))), "not valid yet"),
        ("never ends", key.sign(&without("exp")), "must have exp"),
        ("ends with a word", key.sign(&but("exp", json!("later"))), "must have exp"),
        ("wrong issuer", key.sign(&but("iss", json!("https://issuer.example"))), "another issuer"),
        ("no issuer", key.sign(&without("iss")), "must have exp"),
        ("wrong audience", key.sign(&but("aud", json!("another-service"))), "another audience"),
        ("wrong audiences", key.sign(&but("aud", json!(["a", "b"]))), "another audience"),
        ("no audience", key.sign(&without("aud")), "must have exp"),
        ("no subject", key.sign(&without("sub")), "must have exp"),
        ("empty subject", key.sign(&but("sub", json!(""))), "not a name"),
        ("a pattern for a subject", key.sign(&but("sub", json!("*"))), "not a name"),
        ("a line break in the subject", key.sign(&but("sub", json!("a\nb"))), "not a name"),
        ("no token", String::new(), "bearer token"),
        ("two parts", "a.b".to_owned(), "compact form"),
        ("four parts", format!("{}.x", key.sign(&good)), "compact form"),
        ("too long", key.sign(&but("sub", json!("x".repeat(7000)))), "compact form"),
    ];
    for (row, token, what) in &rows {
        unauthenticated(ask(&t, &[("authorization", &format!("Bearer {token}"))]).await, what, row);
    }
    unauthenticated(ask(&t, &[("authorization", "Basic YTpi")]).await, "bearer token", "another scheme");
    unauthenticated(ask(&t, &[]).await, "nothing was sent", "nothing");
    unauthenticated(ask(&t, &[("x-api-key", "right")]).await, "nothing was sent", "a way that is not switched on");
    let twice = [("authorization", &*format!("Bearer {}", key.sign(&good))), ("authorization", "Bearer a.b.c")];
    unauthenticated(ask(&t, &twice).await, "more than one credential", "two tokens");
    assert_eq!(t.sandbox.total_hits(), 0, "nothing may reach the upstream");

    for (row, token) in [
        ("EC", key.sign(&good)),
        ("RSA", rsa.sign(&good)),
        ("several audiences", key.sign(&but("aud", json!(["a", AUDIENCE])))),
        ("within the leeway", key.sign(&but("exp", json!(now() - 5)))),
        ("early within the leeway", key.sign(&but("nbf", json!(now() + 10)))),
    ] {
        for _ in 0..2 {
            ask(&t, &[("authorization", &format!("bearer {token}"))]).await.expect(row);
        }
    }
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

/// Calls the layer as if a connection had these certificates; returns the caller that it lets through.
async fn caller_of(identity: &Identity, peer: Option<Peer>) -> Result<String, Status> {
    let telemetry = Telemetry::start(&Config::default().telemetry, std::io::sink()).expect("telemetry");
    let service = tower::service_fn(|request: HttpRequest<Body>| async move {
        let caller = request.extensions().get::<Caller>().expect("a caller").name().to_owned();
        let response = HttpResponse::builder().header("caller", caller).body(Body::empty());
        Ok::<_, std::convert::Infallible>(response.expect("a response"))
    });
    let service = Layer::new(identity, &telemetry).layer(service);
    let mut request =
        HttpRequest::post("/zendesk.gateway.v1.UserService/GetUser").body(Body::empty()).expect("a request");
    if let Some(peer) = peer {
        request.extensions_mut().insert(peer);
    }
    let response = service.clone().oneshot(request).await.expect("an answer");
    match Status::from_header_map(response.headers()) {
        Some(status) => Err(status),
        None => Ok(response.headers()["caller"].to_str().expect("ASCII").to_owned()),
    }
}

fn peer(name: Option<&str>, uris: &[&str]) -> Peer {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    if let Some(name) = name {
        params.distinguished_name.push(DnType::CommonName, name);
    }
    params.subject_alt_names = uris.iter().map(|uri| SanType::URI((*uri).try_into().expect("ASCII"))).collect();
    let certificate = params.self_signed(&KeyPair::generate().expect("a key")).expect("a certificate");
    let certificates = Some(vec![certificate.der().clone()].into());
    Peer { address: "127.0.0.1:1".parse().expect("an address"), certificates }
}

#[tokio::test]
async fn a_certificate_names_its_caller_and_a_connection_without_one_names_nobody() {
    let identity = Identity::start(&readers(&[Method::Certificate]), &Watcher::default()).await.expect("settings");
    let spiffe = "spiffe://prod.example/ns/billing/sa/api";
    for (peer, wanted) in [(peer(Some("web"), &[]), "certificate:web"), (peer(Some("web"), &[spiffe]), spiffe)] {
        for _ in 0..2 {
            assert_eq!(caller_of(&identity, Some(peer.clone())).await.expect("a caller"), wanted);
        }
    }
    let refused = |outcome: Result<String, Status>, what: &str| unauthenticated(outcome.map(|_| ()), what, what);
    refused(caller_of(&identity, Some(peer(None, &[]))).await, "names no caller");
    refused(caller_of(&identity, Some(peer(None, &[spiffe, "spiffe://b/c"]))).await, "more than one caller");
    refused(caller_of(&identity, Some(Peer { certificates: None, ..peer(None, &[]) })).await, "nothing was sent");
    refused(caller_of(&identity, None).await, "nothing was sent");
}

fn from_url(endpoint: &Endpoint) -> Config {
    let folder = TempDir::new().expect("a folder");
    let mut config = with_tokens(&folder, &[&Key::ec("unused")]);
    config.identity.jwt.jwks_file = None;
    config.identity.jwt.jwks_url = Some(endpoint.url.clone());
    config
}

#[tokio::test]
async fn while_the_issuer_is_down_its_last_keys_are_used() {
    let (key, other) = (Key::ec("one"), Key::ec("two"));
    let endpoint = Endpoint::start(jwks(&[&key])).await;
    let t = started(from_url(&endpoint)).await;
    let token = format!("Bearer {}", key.sign(&claims("a")));
    ask(&t, &[("authorization", &token)]).await.expect("a known key");
    for (status, document) in [(503, "down"), (200, "<html>"), (200, "{\"keys\": []}"), (302, "")] {
        endpoint.status.store(status, Ordering::SeqCst);
        document.clone_into(&mut endpoint.document.lock().expect("no panic"));
        later().await;
        let unknown = format!("Bearer {}", other.sign(&claims("a")));
        unauthenticated(ask(&t, &[("authorization", &unknown)]).await, "does not publish", document);
        let again = format!("Bearer {}", key.sign(&claims("b")));
        ask(&t, &[("authorization", &again)]).await.expect("the last good keys");
    }
}

/// Lets the time pass that must lie between two questions to the issuer.
async fn later() {
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(6)).await;
    tokio::time::resume();
}

#[tokio::test]
async fn an_unknown_key_makes_the_gateway_ask_its_issuer_but_not_all_the_time() {
    let (key, new) = (Key::ec("one"), Key::ec("two"));
    let endpoint = Endpoint::start(jwks(&[&key])).await;
    let t = started(from_url(&endpoint)).await;
    ask(&t, &[("authorization", &format!("Bearer {}", key.sign(&claims("a"))))]).await.expect("a known key");
    assert_eq!(endpoint.asked(), 1);
    later().await;
    *endpoint.document.lock().expect("no panic") = jwks(&[&key, &new]);
    let token = format!("Bearer {}", new.sign(&claims("a")));
    let authorization = [("authorization", &*token)];
    let calls = (0..20).map(|_| ask(&t, &authorization));
    for outcome in futures_util::future::join_all(calls).await {
        outcome.expect("those that come meanwhile wait for the same answer");
    }
    assert_eq!(endpoint.asked(), 2);
    for number in 0..50 {
        let made_up = key.named(&format!("made-up-{number}"));
        let token = format!("Bearer {}", made_up.sign(&claims("a")));
        unauthenticated(ask(&t, &[("authorization", &token)]).await, "does not publish", "made up");
    }
    assert_eq!(endpoint.asked(), 2, "made-up keys do not make it ask");
}

#[tokio::test]
async fn without_any_keys_yet_a_token_is_neither_right_nor_wrong() {
    let key = Key::ec("one");
    let endpoint = Endpoint::start(jwks(&[&key])).await;
    endpoint.status.store(503, Ordering::SeqCst);
    let t = started(from_url(&endpoint)).await;
    let token = format!("Bearer {}", key.sign(&claims("a")));
    let refused = refused(ask(&t, &[("authorization", &token)]).await);
    assert_eq!((refused.code, refused.reason.as_str()), (Code::Unavailable, "IDENTITY_UNAVAILABLE"));
    assert_eq!(t.sandbox.total_hits(), 0);
    endpoint.status.store(200, Ordering::SeqCst);
    later().await;
    ask(&t, &[("authorization", &token)]).await.expect("the keys are there now");
}

/// Callers who call all the time, on a clock that passes by itself when nobody works.
struct Load {
    calls: Arc<AtomicU32>,
    failed: Arc<Mutex<Vec<String>>>,
    stop: Arc<AtomicBool>,
}

impl Load {
    fn start(identity: &Identity, header: &'static str, credential: &Arc<Mutex<String>>) -> Self {
        let load = Self { calls: Arc::default(), failed: Arc::default(), stop: Arc::default() };
        for caller in 0..4 {
            let telemetry = Telemetry::start(&Config::default().telemetry, std::io::sink()).expect("telemetry");
            let service = tower::service_fn(|_: HttpRequest<Body>| async {
                Ok::<_, std::convert::Infallible>(HttpResponse::new(Body::empty()))
            });
            let service = Layer::new(identity, &telemetry).layer(service);
            let (calls, failed, stop) = (Arc::clone(&load.calls), Arc::clone(&load.failed), Arc::clone(&load.stop));
            let credential = Arc::clone(credential);
            tokio::spawn(async move {
                while !stop.load(Ordering::SeqCst) {
                    let value = credential.lock().expect("no panic").clone();
                    let request = HttpRequest::post("/zendesk.gateway.v1.UserService/GetUser").header(header, value);
                    let request = request.body(Body::empty()).expect("a request");
                    let answer = service.clone().oneshot(request).await.expect("an answer");
                    calls.fetch_add(1, Ordering::SeqCst);
                    if let Some(status) = Status::from_header_map(answer.headers()) {
                        failed.lock().expect("no panic").push(status.message().to_owned());
                    }
                    tokio::time::sleep(Duration::from_millis(11 + caller)).await;
                }
            });
        }
        load
    }

    fn end(&self) {
        self.stop.store(true, Ordering::SeqCst);
        let failed = self.failed.lock().expect("no panic");
        assert!(failed.is_empty(), "{} of {:?} calls failed: {failed:?}", failed.len(), self.calls);
        assert!(self.calls.load(Ordering::SeqCst) > 1000, "there was load: {:?}", self.calls);
    }
}

/// Writes a file as careless tools do: emptied, cut, and whole after a while. Returns once it is in use.
async fn replace(path: &Path, text: &str, watcher: &Watcher, round: usize) {
    let taken = || watcher.reloads()[0].taken;
    let before = taken();
    match round % 3 {
        0 => {
            let next = path.with_extension("next");
            std::fs::write(&next, text).expect("written");
            std::fs::rename(&next, path).expect("renamed");
        }
        1 => {
            std::fs::write(path, &text[..text.len() / 2 + 5]).expect("written");
            // Longer than two looks: it is not the timing that saves the calls.
            tokio::time::sleep(Duration::from_millis(1700)).await;
            std::fs::write(path, text).expect("written");
        }
        _ => {
            std::fs::write(path, "").expect("written");
            tokio::time::sleep(Duration::from_millis(1700)).await;
            std::fs::write(path, &text[..text.len() - 7]).expect("written");
            tokio::time::sleep(Duration::from_millis(100)).await;
            std::fs::write(path, text).expect("written");
        }
    }
    while taken() == before {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn fifty_exchanges_of_api_keys_under_load_fail_no_call() {
    let folder = TempDir::new().expect("a folder");
    let config = with_keys(&folder);
    let path = config.identity.api_keys.file.clone().expect("a file");
    let watcher = Watcher::default();
    let identity = Identity::start(&config, &watcher).await.expect("keys");
    let current = Arc::new(Mutex::new("right".to_owned()));
    let load = Load::start(&identity, "x-api-key", &current);
    for round in 0..50 {
        // The old key and the new one, then callers take the new one.
        let (old, new) = (current.lock().expect("no panic").clone(), format!("key-{round}"));
        replace(&path, &(line("billing", &old) + &line("billing", &new)), &watcher, round).await;
        *current.lock().expect("no panic") = new;
    }
    load.end();
    let reloads = &watcher.reloads()[0];
    assert_eq!((reloads.what, reloads.taken), ("api_keys", 50));
    assert!(reloads.failed > 10, "half-written files were seen and refused: {reloads:?}");
}

#[tokio::test(start_paused = true)]
async fn fifty_exchanges_of_signing_keys_under_load_fail_no_call() {
    let folder = TempDir::new().expect("a folder");
    let mut old = Key::ec("start");
    let config = with_tokens(&folder, &[&old]);
    let path = config.identity.jwt.jwks_file.clone().expect("a file");
    let watcher = Watcher::default();
    let identity = Identity::start(&config, &watcher).await.expect("keys");
    let current = Arc::new(Mutex::new(format!("Bearer {}", old.sign(&claims("billing")))));
    let load = Load::start(&identity, "authorization", &current);
    for round in 0..50 {
        // An issuer publishes a key before it signs with it.
        let new = Key::ec(&format!("key-{round}"));
        replace(&path, &jwks(&[&old, &new]), &watcher, round).await;
        *current.lock().expect("no panic") = format!("Bearer {}", new.sign(&claims("billing")));
        old = new;
    }
    load.end();
    let reloads = &watcher.reloads()[0];
    assert_eq!((reloads.what, reloads.taken), ("jwks", 50));
    assert!(reloads.failed > 10, "half-written files were seen and refused: {reloads:?}");
}

#[tokio::test(start_paused = true)]
async fn a_key_that_is_taken_out_of_its_file_is_refused_from_then_on() {
    let folder = TempDir::new().expect("a folder");
    let (old, new) = (Key::ec("old"), Key::ec("new"));
    let config = with_tokens(&folder, &[&old]);
    let watcher = Watcher::default();
    let identity = Identity::start(&config, &watcher).await.expect("keys");
    let telemetry = Telemetry::start(&config.telemetry, std::io::sink()).expect("telemetry");
    let service = tower::service_fn(|request: HttpRequest<Body>| async move {
        assert!(!request.headers().contains_key("authorization"), "what proved the caller goes no further");
        Ok::<_, std::convert::Infallible>(HttpResponse::new(Body::empty()))
    });
    let service = Layer::new(&identity, &telemetry).layer(service);
    let token = format!("Bearer {}", old.sign(&claims("billing")));
    let call = async || {
        let request = HttpRequest::post("/zendesk.gateway.v1.UserService/GetUser").header("authorization", &token);
        let request = request.body(Body::empty()).expect("a request");
        let answer = service.clone().oneshot(request).await.expect("an answer");
        Status::from_header_map(answer.headers()).map(|status| status.code())
    };
    assert_eq!(call().await, None);
    let path = config.identity.jwt.jwks_file.clone().expect("a file");
    replace(&path, &jwks(&[&new]), &watcher, 0).await;
    assert_eq!(call().await, Some(Code::Unauthenticated), "also a token that was remembered");
}

#[tokio::test]
async fn refused_callers_are_counted_by_what_was_wrong() {
    let folder = TempDir::new().expect("a folder");
    let config = with_keys(&folder);
    let t = crate::support::observed::Observed::configured(config).await;
    for key in ["wrong", "right", "wrong"] {
        t.users().get_user(with(GetUserRequest { id: 7 }, &[("x-api-key", key)])).await.ok();
    }
    let live = crate::support::observed::scrape::read(&t.scrape().await);
    let family = &live["zendesk_gateway_identity_refused_total"];
    let told = family.samples.iter().map(|(_, labels, count)| (labels["error_type"].as_str(), *count));
    let told: Vec<_> = told.filter(|(_, count)| *count > 0.0).collect();
    assert_eq!(told, [("unknown_key", 2.0)]);
    let errors = &live["zendesk_gateway_call_errors_total"];
    let reasons: Vec<_> = errors.samples.iter().map(|(_, labels, _)| labels["error_type"].as_str()).collect();
    assert!(reasons.contains(&"CALLER_UNAUTHENTICATED"), "{reasons:?}");
}
