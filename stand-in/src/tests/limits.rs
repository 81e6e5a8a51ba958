//! The account's budget and endpoint buckets, over HTTP.

use std::time::Duration;

use super::*;
use crate::Bucket;

#[tokio::test]
async fn every_answer_tells_what_is_left_of_the_budget() {
    let t = probe(Config::default()).await;
    let first = t.get("/users/1").await;
    for (name, value) in [
        ("x-rate-limit", "700"),
        ("x-rate-limit-remaining", "699"),
        ("ratelimit-limit", "700"),
        ("ratelimit-remaining", "699"),
    ] {
        assert_eq!(first.header(name), value, "{name}");
    }
    let reset: u64 = first.header("ratelimit-reset").parse().expect("seconds");
    assert!((1..=60).contains(&reset), "{reset}");
    assert_eq!(t.get("/groups").await.header("x-rate-limit-remaining"), "698");
}

#[tokio::test]
async fn a_spent_budget_is_refused_until_the_window_ends() {
    let t = probe(Config { rate_limit: 2, rate_window: Duration::from_millis(300), ..Config::default() }).await;
    let mut refused = t.get("/groups").await;
    while refused.status != 429 {
        refused = t.get("/groups").await;
    }
    let body = r#"{"error":"APIRateLimitExceeded","description":"Number of allowed API requests per minute exceeded"}"#;
    assert_eq!(refused.text, body);
    assert_eq!(refused.header("retry-after"), "1");
    assert_eq!(refused.header("x-rate-limit-remaining"), "0");
    assert!(t.sandbox.stats().throttled >= 1);
    while t.get("/groups").await.status == 429 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn other_integrations_can_use_the_budget_up() {
    let t = probe(Config::default()).await;
    t.sandbox.spend_budget(650);
    assert_eq!(t.get("/groups").await.header("x-rate-limit-remaining"), "49");
    t.sandbox.spend_budget(50);
    assert_eq!(t.get("/groups").await.status, 429);
}

#[tokio::test]
async fn strangers_spend_no_budget() {
    let t = probe(Config::default()).await;
    answer(t.request(Method::GET, "/users")).await;
    assert_eq!(t.get("/groups").await.header("x-rate-limit-remaining"), "699");
}

#[tokio::test]
async fn an_endpoint_bucket_trips_while_the_account_has_plenty() {
    let bucket = Bucket {
        name: "users-index".into(),
        method: "GET".into(),
        path: "/users".into(),
        total: 1,
        interval: Duration::from_mins(1),
    };
    let t = probe(Config { buckets: vec![bucket], ..Config::default() }).await;
    let header = "zendesk-ratelimit-users-index";
    assert_eq!(t.get("/users").await.header(header), "total=1; remaining=0; resets=60");
    let refused = t.get("/users").await;
    assert_eq!(refused.status, 429);
    assert_eq!(refused.header("retry-after"), "60");
    assert_eq!(refused.header("x-rate-limit-remaining"), "698");
    assert!(!t.get("/groups").await.headers.contains_key(header));
}
