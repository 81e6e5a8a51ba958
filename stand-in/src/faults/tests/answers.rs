//! Faults that replace an answer.

use std::io::Read;
use std::time::SystemTime;

use flate2::read::GzDecoder;

use super::*;

#[tokio::test]
async fn an_answer_can_be_made_up() {
    let stand = Stand::start().await;
    let maintenance =
        Respond::with(503).json(json!({ "error": "ServiceUnavailable" })).retry_after(2).header("x-request-id", "abc");
    stand.fault(get("/users/7"), maintenance.once());
    let seen = stand.get("/api/v2/users/7").await;
    assert_eq!(seen.status(), 503);
    assert_eq!(seen.json(), json!({ "error": "ServiceUnavailable" }));
    assert_eq!(seen.header("retry-after").as_deref(), Some("2"));
    assert_eq!(seen.header("x-request-id").as_deref(), Some("abc"));
    assert_eq!(seen.header("content-type").as_deref(), Some("application/json; charset=utf-8"));
    assert_eq!(stand.handled(), 0);
}

#[tokio::test]
async fn a_made_up_answer_has_no_content_type_unless_given_one() {
    let stand = Stand::start().await;
    stand.fault(get("/users/7"), Respond::with(404).once());
    let seen = stand.get("/api/v2/users/7").await;
    assert_eq!((seen.status(), seen.promised()), (404, 0));
    assert_eq!(seen.header("content-type"), None);
}

#[tokio::test]
async fn a_throttled_request_says_how_long_to_wait_in_each_way() {
    let stand = Stand::start().await;
    let ways = [
        Throttle::once().retry_after(93),
        Throttle::once().retry_after_text("soon"),
        Throttle::once().without_retry_after(),
        Throttle::once(),
    ];
    for way in ways {
        stand.fault(get("/users/7"), way);
    }
    for wait in [Some("93"), Some("soon"), None, Some("1")] {
        let seen = stand.get("/api/v2/users/7").await;
        assert_eq!(seen.status(), 429);
        assert_eq!(seen.header("retry-after").as_deref(), wait);
    }
}

#[tokio::test]
async fn a_throttled_request_can_name_a_date_that_never_comes_early() {
    let stand = Stand::start().await;
    let ahead = Duration::from_secs(30);
    let asked = SystemTime::now();
    stand.fault(get("/users/7"), Throttle::once().retry_after_date(ahead));
    let seen = stand.get("/api/v2/users/7").await;
    let header = seen.header("retry-after").expect("a date");
    let date = httpdate::parse_http_date(&header).expect("an HTTP date");
    assert!(date >= asked + ahead, "{header}");
    assert!(date <= SystemTime::now() + ahead + Duration::from_secs(1));
}

#[tokio::test]
async fn a_throttled_request_is_refused_in_each_recorded_shape() {
    let stand = Stand::start().await;
    stand.fault(get("/users/7"), Throttle::once());
    stand.fault(get("/users/7"), Throttle::once().shaped(Shape::Errors));
    let bucket = "total=100; remaining=0; resets=43";
    stand.fault(get("/users/7"), Throttle::once().shaped(Shape::Text).header("zendesk-ratelimit-users-index", bucket));
    let error = stand.get("/api/v2/users/7").await.json();
    assert_eq!(error["error"], "APIRateLimitExceeded");
    let errors = stand.get("/api/v2/users/7").await.json();
    assert_eq!(errors["errors"][0]["code"], "TooManyRequests");
    let text = stand.get("/api/v2/users/7").await;
    assert_eq!(text.text(), "Number of allowed API requests per minute exceeded");
    assert_eq!(text.header("zendesk-ratelimit-users-index").as_deref(), Some(bucket));
}

#[tokio::test]
async fn a_page_for_browsers_is_html_whatever_its_status() {
    let stand = Stand::start().await;
    let pages = [
        (Html::ok(), 200, "Sign in"),
        (Html::nginx_502(), 502, "<center>nginx</center>"),
        (Html::cloudflare_520(), 520, "520: Web server"),
        (Html::cloudflare_524(), 524, "524: A timeout"),
    ];
    for (page, status, text) in pages {
        stand.fault(get("/users/7"), page.once());
        let seen = stand.get("/api/v2/users/7").await;
        assert_eq!(seen.status(), status);
        assert_eq!(seen.header("content-type").as_deref(), Some("text/html; charset=UTF-8"));
        assert!(seen.text().contains(text), "{}", seen.text());
    }
}

#[tokio::test]
async fn a_collision_is_plain_text() {
    let stand = Stand::start().await;
    stand.fault(post("/users"), Conflict::once());
    let seen = stand.send("POST", "/api/v2/users", "{}").await;
    assert_eq!(seen.status(), 409);
    assert_eq!(seen.text(), "Requester creation collision - please try again");
    assert_eq!(seen.header("content-type").as_deref(), Some("text/plain; charset=utf-8"));
}

#[tokio::test]
async fn an_empty_answer_calls_itself_json() {
    let stand = Stand::start().await;
    stand.fault(get("/users/7"), Empty::once());
    let seen = stand.get("/api/v2/users/7").await;
    assert_eq!((seen.status(), seen.promised()), (200, 0));
    assert_eq!(seen.header("content-type").as_deref(), Some("application/json; charset=utf-8"));
}

#[tokio::test]
async fn truncated_json_is_well_formed_http() {
    let stand = Stand::start().await;
    stand.fault(get("/users/7"), TruncatedJson::once());
    let seen = stand.get("/api/v2/users/7").await;
    let whole = user().to_string();
    assert_eq!((seen.status(), seen.ended), (200, Ok(())));
    assert_eq!(seen.promised(), seen.body().len());
    assert_eq!(seen.header("etag"), None, "the tag is that of the whole");
    assert_eq!(seen.text(), &whole[..whole.len() / 2]);
}

#[tokio::test]
async fn a_length_that_is_too_long_ends_with_bytes_missing() {
    let stand = Stand::start().await;
    stand.fault(get("/users/7"), WrongLength::by(10).once());
    let seen = stand.get("/api/v2/users/7").await;
    assert_eq!(seen.ended, Ok(()));
    assert_eq!(seen.json(), user());
    assert_eq!(seen.promised(), seen.body().len() + 10);
}

#[tokio::test]
async fn a_length_that_is_too_short_leaves_bytes_behind_the_answer() {
    let stand = Stand::start().await;
    stand.fault(get("/users/7"), WrongLength::by(-10).once());
    let seen = stand.get("/api/v2/users/7").await;
    assert_eq!(seen.ended, Ok(()));
    assert_eq!(seen.json(), user());
    assert_eq!(seen.promised(), seen.body().len() - 10);
}

#[tokio::test]
async fn a_gzip_bomb_is_small_on_the_wire_and_one_sound_member() {
    let stand = Stand::start().await;
    stand.fault(get("/users/7"), GzipBomb::of(8).once());
    let seen = stand.get("/api/v2/users/7").await;
    assert_eq!(seen.header("content-encoding").as_deref(), Some("gzip"));
    assert!(seen.body().len() < 16 * 1024, "{} bytes", seen.body().len());
    let mut inflated = Vec::new();
    // This decoder reads one member and checks its sum and its length.
    let mut decoder = GzDecoder::new(seen.body());
    decoder.read_to_end(&mut inflated).expect("sound gzip");
    assert_eq!(inflated.len(), 8 * 1024 * 1024);
    assert!(inflated.iter().all(|byte| *byte == b' '));
}

#[tokio::test]
async fn broken_gzip_begins_like_gzip_and_fails_midway() {
    let stand = Stand::start().await;
    stand.fault(get("/users/7"), BrokenGzip::once());
    let seen = stand.get("/api/v2/users/7").await;
    assert_eq!(seen.header("content-encoding").as_deref(), Some("gzip"));
    assert_eq!(seen.promised(), seen.body().len());
    assert!(seen.body().starts_with(&[0x1f, 0x8b]));
    let mut inflated = Vec::new();
    assert!(GzDecoder::new(seen.body()).read_to_end(&mut inflated).is_err());
}

#[tokio::test]
async fn a_foreign_answer_can_hide_a_write_that_took_effect() {
    let stand = Stand::start().await;
    stand.fault(post("/users"), Html::nginx_502().after_applying());
    let seen = stand.send("POST", "/api/v2/users", "{}").await;
    assert_eq!((seen.status(), stand.handled()), (502, 1));
}

#[tokio::test]
async fn only_a_fault_that_alters_the_answer_asks_for_it_uncompressed() {
    let stand = Stand::start().await;
    stand.fault(get("/accepted"), Delay::by(Duration::ZERO).once());
    stand.fault(get("/accepted"), LastPage::once());
    let request = b"GET /api/v2/accepted HTTP/1.1\r\nhost: x\r\naccept-encoding: gzip\r\nconnection: close\r\n\r\n";
    assert_eq!(stand.exchange(request).await.json(), json!("gzip"));
    assert_eq!(stand.exchange(request).await.json(), json!(null));
}
