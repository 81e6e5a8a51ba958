//! Bearer tokens, and the keys of their issuer.

use std::sync::atomic::Ordering;
use std::time::Duration;

use jsonwebtoken::Algorithm;
use serde_json::{Value, json};

use super::*;
use crate::support::Scripted;
use crate::support::issuer::{Endpoint, now};

/// The event of a logout token.
const LOGOUT: &str = "http://schemas.openid.net/event/backchannel-logout";

/// So many seconds from now, with a fraction.
fn seconds(from_now: f64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "times of this age are exact")]
    let now = now() as f64;
    now + from_now
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "a table with a line for each way")]
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
        ("an algorithm of another kind than the key's", key.named("two").sign(&good), "algorithm is not accepted"),
        ("a demand that nobody knows", key.sign_critical(&good), "demands an extension"),
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
        ("a logout token", key.sign_typed(Some("logout+jwt"), &good), "not an access token"),
        (
            "a logout token as a media type",
            key.sign_typed(Some("application/LOGOUT+jwt"), &good),
            "not an access token",
        ),
        ("a security event", key.sign_typed(Some("secevent+jwt"), &good), "not an access token"),
        ("a proof of possession", key.sign_typed(Some("dpop+jwt"), &good), "not an access token"),
        ("an encrypted one", key.sign_typed(Some("JWE"), &good), "not an access token"),
        ("an empty type", key.sign_typed(Some(""), &good), "not an access token"),
        ("an event without a type", key.sign(&but("events", json!({ LOGOUT: {} }))), "not an access token"),
        ("an event of no type at all", key.sign_typed(None, &but("events", json!([]))), "not an access token"),
        ("an event that is null", key.sign_typed(None, &but("events", Value::Null)), "not an access token"),
        ("a demand that is null", key.sign_with("crit", Value::Null, &good), "demands an extension"),
        ("a type that is null", key.sign_with("typ", Value::Null, &good), "compact form"),
        ("a type that is a number", key.sign_with("typ", json!(1), &good), "compact form"),
        ("a key's name that is null", key.sign_with("kid", Value::Null, &good), "compact form"),
        ("an issuer in a list", key.sign(&but("iss", json!([ISSUER]))), "must have exp"),
        ("an issuer that is null", key.sign(&but("iss", Value::Null)), "must have exp"),
        ("an audience that is an object", key.sign(&but("aud", json!({ AUDIENCE: 1 }))), "must have exp"),
        ("an audience beside a number", key.sign(&but("aud", json!([AUDIENCE, 7]))), "must have exp"),
        ("a subject that is a number", key.sign(&but("sub", json!(7))), "must have exp"),
        ("a subject that is null", key.sign(&but("sub", Value::Null)), "must have exp"),
        ("an end that is null", key.sign(&but("exp", Value::Null)), "must have exp"),
        ("an end in a text", key.sign(&but("exp", json!((now() + 600).to_string()))), "must have exp"),
        ("a beginning that is null", key.sign(&but("nbf", Value::Null)), "must have exp"),
        ("a beginning in a text", key.sign(&but("nbf", json!((now() - 60).to_string()))), "must have exp"),
        ("expired by a fraction", key.sign(&but("exp", json!(seconds(-31.5)))), "has expired"),
        ("early by a fraction", key.sign(&but("nbf", json!(seconds(120.5)))), "not valid yet"),
        ("ends before time began", key.sign(&but("exp", json!(-1.5))), "must have exp"),
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
        ("ends at a fraction", key.sign(&but("exp", json!(seconds(600.75))))),
        ("begins at a fraction", key.sign(&but("nbf", json!(seconds(-60.25))))),
        ("a fraction within the leeway", key.sign(&but("exp", json!(seconds(-5.5))))),
        ("no type", key.sign_typed(None, &good)),
        ("an access token", key.sign_typed(Some("at+jwt"), &good)),
        ("an access token as a media type", key.sign_typed(Some("application/at+JWT"), &good)),
        ("a plain one in small letters", key.sign_typed(Some("jwt"), &good)),
        ("a plain one as a media type", key.sign_typed(Some("application/jwt"), &good)),
        ("within the leeway", key.sign(&but("exp", json!(now() - 5)))),
        ("early within the leeway", key.sign(&but("nbf", json!(now() + 10)))),
    ] {
        for _ in 0..2 {
            ask(&t, &[("authorization", &format!("bearer {token}"))]).await.expect(row);
        }
    }
}

#[tokio::test]
#[ignore = "slow"]
async fn a_token_that_was_accepted_is_refused_once_it_has_ended() {
    let (folder, key) = (TempDir::new().expect("a folder"), Key::ec("one"));
    let mut config = with_tokens(&folder, &[&key]);
    config.identity.jwt.leeway = Duration::from_secs(5);
    let t = started(config).await;
    let mut claims = claims("billing");
    claims["exp"] = json!(now() + 2);
    let token = format!("Bearer {}", key.sign(&claims));
    ask(&t, &[("authorization", &token)]).await.expect("it lasts for seven seconds");
    let ended = tokio::time::timeout(Duration::from_mins(1), async {
        while ask(&t, &[("authorization", &token)]).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    ended.await.expect("it ends");
    assert!(now() >= claims["exp"].as_u64().expect("a time") + 5, "and not before its time");
    unauthenticated(ask(&t, &[("authorization", &token)]).await, "has expired", "ended");
}

pub fn from_url(endpoint: &Endpoint) -> Config {
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
        // Nobody knows whether the issuer has published it meanwhile.
        let told = refused(ask(&t, &[("authorization", &unknown)]).await);
        assert_eq!((told.code, told.reason.as_str()), (Code::Unavailable, "IDENTITY_UNAVAILABLE"), "{document}");
        let again = format!("Bearer {}", key.sign(&claims("b")));
        ask(&t, &[("authorization", &again)]).await.expect("the last good keys");
    }
}

/// Lets the time pass that must lie between two questions to the issuer.
pub async fn later() {
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
        not_known_yet(ask(&t, &[("authorization", &token)]).await);
    }
    assert_eq!(endpoint.asked(), 2, "made-up keys do not make it ask");
    later().await;
    let token = format!("Bearer {}", key.named("made-up").sign(&claims("a")));
    unauthenticated(ask(&t, &[("authorization", &token)]).await, "does not publish", "made up");
    assert_eq!(endpoint.asked(), 3);
}

/// The answer to a token whose key is unknown, while the issuer cannot be asked again. Returns when it can.
#[track_caller]
fn not_known_yet(outcome: Result<(), Status>) -> Duration {
    let refused = refused(outcome);
    assert_eq!((refused.code, refused.reason.as_str()), (Code::Unavailable, "CALLER_UNAUTHENTICATED"), "{refused:?}");
    assert!(refused.message.contains("not known yet; try again in "), "{}", refused.message);
    refused.retry_after.filter(|wait| *wait <= Duration::from_secs(5)).expect("when to come back")
}

#[tokio::test]
async fn who_has_a_new_key_while_strangers_make_up_keys_is_told_when_to_come_back_and_gets_in_then() {
    let (key, new) = (Key::ec("one"), Key::ec("new"));
    let endpoint = Endpoint::start(jwks(&[&key])).await;
    let t = Observed::configured(from_url(&endpoint)).await;
    let call = async |key: &Key| {
        let token = format!("Bearer {}", key.sign(&claims("a")));
        let request = with(GetCurrentUserRequest::default(), &[("authorization", &*token)]);
        t.users().get_current_user(request).await.map(drop)
    };
    call(&key).await.expect("a known key");
    later().await;
    // A stranger's made-up key has the issuer asked a moment before the new key is published.
    unauthenticated(call(&key.named("made-up")).await, "does not publish", "made up");
    endpoint.publish(&jwks(&[&key, &new]));
    not_known_yet(call(&new).await);
    let failed = async || t.status().await["calls"]["failed"].as_u64();
    assert_eq!(failed().await, Some(0), "whatever strangers make up, the service has not failed");
    later().await;
    call(&new).await.expect("it is known now");
}

#[tokio::test]
#[ignore = "slow"]
async fn callers_who_leave_do_not_make_the_gateway_ask_its_issuer_again() {
    let key = Key::ec("one");
    let endpoint = Endpoint::start(jwks(&[&key])).await;
    let t = started(from_url(&endpoint)).await;
    ask(&t, &[("authorization", &format!("Bearer {}", key.sign(&claims("a"))))]).await.expect("a known key");
    later().await;
    // The issuer takes longer to answer than any of these callers waits.
    endpoint.delay_ms.store(100, Ordering::SeqCst);
    let before = endpoint.asked();
    let begun = std::time::Instant::now();
    let mut calls = 0;
    while begun.elapsed() < Duration::from_secs(10) {
        let made_up = key.named(&format!("made-up-{calls}"));
        let token = format!("Bearer {}", made_up.sign(&claims("a")));
        let outcome = tokio::time::timeout(Duration::from_millis(25), ask(&t, &[("authorization", &token)])).await;
        if let Ok(outcome) = outcome {
            assert_eq!(refused(outcome).reason, "CALLER_UNAUTHENTICATED", "made up");
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        calls += 1;
    }
    let reads = endpoint.asked() - before;
    assert!((1..=3).contains(&reads), "{calls} calls that were cancelled caused {reads} reads");
}

#[tokio::test]
async fn a_read_that_its_first_caller_does_not_wait_for_serves_those_who_come_meanwhile() {
    let (key, new) = (Key::ec("one"), Key::ec("two"));
    let endpoint = Endpoint::start(jwks(&[&key])).await;
    let t = started(from_url(&endpoint)).await;
    ask(&t, &[("authorization", &format!("Bearer {}", key.sign(&claims("a"))))]).await.expect("a known key");
    later().await;
    endpoint.publish(&jwks(&[&key, &new]));
    endpoint.delay_ms.store(500, Ordering::SeqCst);
    let before = endpoint.asked();
    let token = format!("Bearer {}", new.sign(&claims("a")));
    let authorization = [("authorization", &*token)];
    let left = tokio::time::timeout(Duration::from_millis(50), ask(&t, &authorization)).await;
    assert!(left.is_err(), "the issuer takes half a second");
    ask(&t, &authorization).await.expect("the same read has brought the key");
    assert_eq!(endpoint.asked() - before, 1);
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

#[tokio::test]
async fn a_broken_or_doubled_key_of_an_issuer_leaves_its_other_keys_in_use() {
    let (key, doubled, twin) = (Key::ec("good"), Key::ec("twice"), Key::rsa("twice"));
    let mut broken = Key::rsa("broken").jwk();
    broken["n"] = json!("not base64!");
    let document = json!({ "keys": [broken, doubled.jwk(), key.jwk(), twin.jwk()] }).to_string();
    let folder = TempDir::new().expect("a folder");
    let mut in_file = with_tokens(&folder, &[&key]);
    in_file.identity.jwt.jwks_file = Some(file(&folder, "odd", &document));
    let endpoint = Endpoint::start(document).await;
    for config in [in_file, from_url(&endpoint)] {
        let t = started(config).await;
        ask(&t, &[("authorization", &format!("Bearer {}", key.sign(&claims("a"))))]).await.expect("the good key");
        for key in [&doubled, &twin] {
            later().await;
            let token = format!("Bearer {}", key.sign(&claims("a")));
            unauthenticated(ask(&t, &[("authorization", &token)]).await, "does not publish", "doubled");
        }
    }
}

#[tokio::test]
async fn a_key_that_is_left_out_is_told_once_by_its_name_and_again_only_after_it_was_mended() {
    let (key, new) = (Key::ec("good"), Key::ec("new"));
    let mut broken = Key::ec("broken").jwk();
    broken["y"] = broken["x"].clone();
    let with_broken = |keys: &[&Key]| {
        let keys = keys.iter().map(|key| key.jwk()).chain([broken.clone()]);
        json!({ "keys": keys.collect::<Vec<_>>() }).to_string()
    };
    let endpoint = Endpoint::start(jwks(&[&key])).await;
    let mut config = from_url(&endpoint);
    config.identity.jwt.refresh = Duration::from_millis(50);
    config.telemetry.log_format = zendesk_gateway::config::LogFormat::Json;
    let t = Observed::configured(config).await;
    let _lines = tracing::dispatcher::set_default(t.telemetry.dispatch());
    let told = || {
        let lines = t.lines.of("zendesk_gateway::server::identity::jwks");
        lines.into_iter().filter(|line| line["jwk.kid"] == "broken").collect::<Vec<_>>()
    };
    let in_use = async |key: &Key| {
        let token = format!("Bearer {}", key.sign(&claims("a")));
        let taken = async || {
            let request = with(GetCurrentUserRequest::default(), &[("authorization", &*token)]);
            t.users().get_current_user(request).await.is_ok()
        };
        while !taken().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    endpoint.publish(&with_broken(&[&key]));
    crate::support::until(|| !told().is_empty()).await;
    let line = told().remove(0);
    assert_eq!(line["level"], "WARN");
    assert!(line["reason"].as_str().is_some_and(|reason| reason.contains("verify")), "{line}");
    endpoint.publish(&with_broken(&[&key, &new]));
    in_use(&new).await;
    assert_eq!(told().len(), 1, "another document, and the same key");
    endpoint.publish(&jwks(&[&key, &Key::ec("mended")]));
    let asked = endpoint.asked();
    crate::support::until(|| endpoint.asked() > asked + 1).await;
    endpoint.publish(&with_broken(&[&key]));
    crate::support::until(|| told().len() == 2).await;
}

#[tokio::test]
#[ignore = "slow"]
async fn keys_are_taken_from_the_url_that_is_set_only_and_not_without_end() {
    let key = Key::ec("one");
    let endpoint = Endpoint::start(jwks(&[&key])).await;
    let mut config = from_url(&endpoint);
    let elsewhere = format!("302 Found\r\nlocation: {}", endpoint.url);
    let long = jwks(&[&key]) + &" ".repeat(1 << 20);
    let token = format!("Bearer {}", key.sign(&claims("billing")));
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let silent_url = format!("http://{}/jwks", silent.local_addr().expect("it is bound")).parse().expect("a URL");
    for (row, url) in [
        ("leads elsewhere", Scripted::start(&elsewhere, "").await.url),
        ("too long", Scripted::start("200 OK", long).await.url),
        ("never answers", silent_url),
    ] {
        config.identity.jwt.jwks_url = Some(url);
        let t = started(config.clone()).await;
        let refused = refused(ask(&t, &[("authorization", &token)]).await);
        assert_eq!((refused.code, refused.reason.as_str()), (Code::Unavailable, "IDENTITY_UNAVAILABLE"), "{row}");
    }
    assert_eq!(endpoint.asked(), 0);
}
