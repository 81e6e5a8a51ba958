//! Headers, compression, entity tags, and the sandbox's own record of it all.

use std::io::Read;

use super::*;
use crate::{Latency, Outcome, Wire};

#[tokio::test]
async fn reads_are_gzipped_and_chunked_for_who_accepts_it() {
    let t = probe(Config::default()).await;
    let request = t.authorized(Method::GET, "/users");
    let response = request.header("accept-encoding", "br, gzip").send().await.expect("an answer");
    assert_eq!(response.headers()["content-encoding"], "gzip");
    assert_eq!(response.headers()["transfer-encoding"], "chunked");
    let bytes = response.bytes().await.expect("a body");
    let mut text = String::new();
    flate2::read::GzDecoder::new(&bytes[..]).read_to_string(&mut text).expect("gzip");
    assert_eq!(text, t.get("/users").await.text);
}

#[tokio::test]
async fn absence_is_gzipped_but_small_refusals_are_not() {
    let t = probe(Config::default()).await;
    for (path, encoding) in [("/users/1", Some("gzip")), ("/users/seven", None)] {
        let request = t.authorized(Method::GET, path).header("accept-encoding", "gzip");
        let response = request.send().await.expect("an answer");
        let found = response.headers().get("content-encoding");
        assert_eq!(found.and_then(|value| value.to_str().ok()), encoding, "{path}");
    }
}

#[tokio::test]
async fn a_known_tag_is_answered_with_304() {
    let t = probe(Config::default()).await;
    let path = format!("/users/{}", t.sandbox.store().user_ids()[0]);
    let first = t.get(&path).await;
    assert_eq!(first.header("cache-control"), "max-age=5, private");
    let tag = first.header("etag");
    assert!(tag.starts_with("W/\"") && tag.len() == 36, "{tag}");
    let again = t.authorized(Method::GET, &path).header("if-none-match", tag);
    let again = answer(again).await;
    assert_eq!((again.status, again.text.as_str()), (304, ""));
}

#[tokio::test]
async fn every_answer_names_itself_and_errors_are_not_cached() {
    let t = probe(Config::default()).await;
    let list = t.get("/groups").await;
    assert_eq!(list.header("cache-control"), "max-age=0, private, must-revalidate");
    let missing = t.get("/users/1").await;
    assert_eq!(missing.header("cache-control"), "no-cache");
    assert!(!missing.headers.contains_key("etag"));
    let stranger = answer(t.request(Method::GET, "/users")).await;
    for answer in [list, missing, stranger] {
        assert_eq!(answer.header("x-zendesk-api-version"), "v2");
        assert!(!answer.header("x-request-id").is_empty());
        assert!(!answer.header("x-zendesk-origin-server").is_empty());
        assert!(answer.header("x-runtime").parse::<f64>().is_ok());
    }
}

#[tokio::test]
async fn requests_are_remembered_as_they_came() {
    let t = probe(Config::default()).await;
    let request = t.authorized(Method::GET, "/users.json?page%5Bsize%5D=1").header("x-test", "7");
    answer(request.body("hello")).await;
    let seen = &t.sandbox.requests()[0];
    assert_eq!((seen.method.as_str(), seen.path.as_str()), ("GET", "/api/v2/users.json"));
    assert_eq!((seen.query.as_str(), &seen.body[..]), ("page%5Bsize%5D=1", &b"hello"[..]));
    assert_eq!((seen.headers["x-test"].as_bytes(), seen.status), (&b"7"[..], Some(200)));
    assert_eq!(t.sandbox.hits("/users"), 1);
    t.sandbox.reset_stats();
    assert_eq!((t.sandbox.hits("/users"), t.sandbox.total_hits()), (0, 0));
}

#[tokio::test]
async fn a_client_that_goes_away_is_noticed() {
    let t = probe(Config { latency: Latency::Fixed(std::time::Duration::from_mins(1)), ..Config::default() }).await;
    let request = t.authorized(Method::GET, "/users").send();
    let task = tokio::spawn(request);
    while t.sandbox.stats().in_flight == 0 {
        tokio::task::yield_now().await;
    }
    task.abort();
    while t.sandbox.stats().in_flight > 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(t.sandbox.requests()[0].outcome, Outcome::Cancelled);
    assert_eq!(t.sandbox.stats().cancelled, 1);
}

#[tokio::test]
async fn the_statistics_can_be_read_and_reset_over_http() {
    let t = probe(Config::default()).await;
    t.get("/users/1").await;
    t.get("/users/2").await;
    let stats = answer(t.request(Method::GET, "!/__sandbox/stats")).await.json();
    assert_eq!(stats["hits"]["GET /api/v2/users/{user_id}"], 2);
    for (key, value) in [("total", 2), ("cancelled", 0), ("throttled", 0), ("live_jobs", 0), ("in_flight", 0)] {
        assert_eq!(stats[key], value, "{key}");
    }
    answer(t.request(Method::POST, "!/__sandbox/stats/reset")).await;
    assert_eq!(t.sandbox.total_hits(), 0);
}

#[tokio::test]
async fn the_statistics_tell_the_version_of_http_and_what_was_packed() {
    let sandbox = probe(Config { wire: Wire { http1: false, ..Wire::default() }, ..Config::default() }).await.sandbox;
    let client = reqwest::Client::builder().no_gzip().http2_prior_knowledge().build().expect("a plain client");
    let t = Probe { sandbox, client };
    let counted = || (t.sandbox.stats().total, t.sandbox.stats().http2, t.sandbox.stats().gzipped);
    t.get("/users").await;
    assert_eq!(counted(), (1, 1, 0));
    t.authorized(Method::GET, "/users").header("accept-encoding", "gzip").send().await.expect("an answer");
    assert_eq!(counted(), (2, 2, 1));
    t.sandbox.reset_stats();
    assert_eq!(counted(), (0, 0, 0));
}

#[tokio::test]
async fn requests_over_http_1_are_none_over_http_2() {
    let t = probe(Config::default()).await;
    t.get("/users").await;
    assert_eq!((t.sandbox.stats().total, t.sandbox.stats().http2), (1, 0));
}

#[tokio::test]
async fn a_dropped_sandbox_takes_no_more_connections() {
    let t = probe(Config::default()).await;
    let url = t.sandbox.base_url();
    drop(t);
    let address = format!("{}:{}", url.host_str().expect("a host"), url.port().expect("a port"));
    while tokio::net::TcpStream::connect(&address).await.is_ok() {
        tokio::task::yield_now().await;
    }
}
