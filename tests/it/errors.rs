//! Every shape of failure that was recorded or documented, and what the caller sees of it.

mod messages;
mod reasons;

use std::io::Write as _;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use tonic::Code;
use tonic::transport::Channel;
use tonic_types::StatusExt as _;
use zendesk_gateway::config::Config;
use zendesk_gateway::proto::user_service_client::UserServiceClient;
use zendesk_gateway::proto::{GetCurrentUserRequest, GetUserRequest, ListUsersRequest};

use crate::support::{Scripted, TestGateway, basic, refused, serve};

const JSON: &str = "content-type: application/json; charset=utf-8";
const TEXT: &str = "content-type: text/plain; charset=utf-8";
const HTML: &str = "content-type: text/html; charset=utf-8";

struct Row(&'static str, &'static str, &'static str, Code, &'static str, &'static str);

/// Status, content type, body → code, reason, a part of the message.
#[rustfmt::skip]
const TABLE: &[Row] = &[
    Row("404 Not Found", JSON, r#"{"error":"RecordNotFound","description":"Not found"}"#, Code::NotFound, "NOT_FOUND", "Not found"),
    Row("404 Not Found", JSON, r#"{"error":"InvalidEndpoint","description":"Not found"}"#, Code::Internal, "ACCOUNT_NOT_FOUND", "Not found"),
    Row("404 Not Found", TEXT, "There is no help desk configured at this address.", Code::Internal, "ACCOUNT_NOT_FOUND", "no help desk"),
    Row("404 Not Found", HTML, "<html>Help Center Closed</html>", Code::Internal, "ACCOUNT_NOT_FOUND", "an HTML page"),
    Row("404 Not Found", JSON, r#"{"error":"NotFound"}"#, Code::Internal, "ACCOUNT_NOT_FOUND", "NotFound"),
    Row("404 Not Found", JSON, "[]", Code::Internal, "ACCOUNT_NOT_FOUND", "404"),
    Row("404 Not Found", JSON, r#"{"errors":[{"code":"RecordNotFound","title":"Not here"}]}"#, Code::NotFound, "NOT_FOUND", "Not here"),
    Row("404 Not Found", TEXT, " \r\n", Code::NotFound, "NOT_FOUND", "404"),
    Row("404 Not Found", TEXT, "", Code::NotFound, "NOT_FOUND", "404"),
    Row("410 Gone", JSON, r#"{"error":"Gone"}"#, Code::Internal, "ACCOUNT_NOT_FOUND", "Gone"),
    Row("410 Gone", JSON, r#"{"error":"RecordNotFound"}"#, Code::NotFound, "NOT_FOUND", "RecordNotFound"),
    Row("422 Unprocessable Entity", JSON, r#"{"error":"RecordInvalid","description":"Record validation errors","details":{"email":[{"description":"Email: a@b is already being used by another user","error":"DuplicateValue"}]}}"#, Code::AlreadyExists, "DUPLICATE_VALUE", "HTTP 422, Email: a@b is already being used by another user;"),
    Row("422 Unprocessable Entity", JSON, r#"{"error":"RecordInvalid","description":"Erreurs","details":{"base":[{"description":"Le nom est vide","error":"BlankValue"}]}}"#, Code::InvalidArgument, "RECORD_INVALID", "HTTP 422, Le nom est vide;"),
    Row("422 Unprocessable Entity", JSON, r#"{"error":"invalid","description":"Invalid search: Requested response size was greater than Search Response Limits"}"#, Code::OutOfRange, "PAGINATION_DEPTH", "10,000 rows"),
    Row("422 Unprocessable Entity", JSON, r#"{"error":"Search Response Limits","description":"x"}"#, Code::OutOfRange, "PAGINATION_DEPTH", "10,000 rows"),
    Row("422 Unprocessable Entity", JSON, r#"{"error":{"title":"Search Response Limits","message":"x"}}"#, Code::OutOfRange, "PAGINATION_DEPTH", "10,000 rows"),
    Row("400 Bad Request", JSON, "{\n  \"error\": {\n    \"title\": \"Invalid attribute\",\n    \"message\": \"You passed an invalid value for the id attribute. must be an integer\"\n  }\n}\n", Code::InvalidArgument, "RECORD_INVALID", "must be an integer"),
    Row("403 Forbidden", JSON, r#"{"error":{"title":"Forbidden","message":"You do not have access to this page."}}"#, Code::PermissionDenied, "PERMISSION_DENIED", "do not have access"),
    Row("403 Forbidden", JSON, r#"{"error":"Forbidden","description":"You are missing the following required scopes: read"}"#, Code::PermissionDenied, "PERMISSION_DENIED", "scopes: read"),
    Row("400 Bad Request", JSON, r#"{"errors":[{"code":"InvalidPaginationParameter","title":"sort is not valid","detail":"x"}]}"#, Code::InvalidArgument, "RECORD_INVALID", "x"),
    Row("400 Bad Request", JSON, r#"{"errors":[{"code":"InvalidPaginationDepth","title":"Pagination requests using Offset Pagination are limited"}]}"#, Code::OutOfRange, "PAGINATION_DEPTH", "10,000"),
    Row("400 Bad Request", HTML, "Required parameter missing: phone_number", Code::InvalidArgument, "RECORD_INVALID", "phone_number"),
    Row("401 Unauthorized", JSON, r#"{"error":"Couldn't authenticate you"}"#, Code::Internal, "CREDENTIAL_REFUSED", "authenticate"),
    Row("401 Unauthorized", JSON, r#"{"error":"invalid_token","error_description":"The access token provided is expired"}"#, Code::Internal, "CREDENTIAL_REFUSED", "expired"),
    Row("409 Conflict", TEXT, "Requester creation collision - please try again", Code::Aborted, "CONFLICT", "collision"),
    Row("429 Too Many Requests", JSON, r#"{"error":"APIRateLimitExceeded","description":"Number of allowed API requests per minute exceeded"}"#, Code::ResourceExhausted, "RATE_LIMITED", "per minute"),
    Row("429 Too Many Requests", TEXT, "Number of allowed API requests per minute exceeded", Code::ResourceExhausted, "RATE_LIMITED", "per minute"),
    Row("429 Too Many Requests", JSON, r#"{"errors":[{"code":"TooManyRequests","title":"Too many requests"}]}"#, Code::ResourceExhausted, "RATE_LIMITED", "Too many"),
    Row("429 Too Many Requests", JSON, r#"{"error":"TooManyJobs","description":"Too many UserBulkUpdateJobV2 jobs are currently queued or running."}"#, Code::ResourceExhausted, "JOB_LIMIT", "UserBulkUpdateJobV2"),
    Row("400 Bad Request", JSON, r#"{"error":"TooManyValues","description":"Maximum 100 users may be created per call"}"#, Code::InvalidArgument, "RECORD_INVALID", "Maximum 100"),
    Row("500 Internal Server Error", HTML, "<html><body>oops</body></html>", Code::Internal, "UPSTREAM_ERROR", "an HTML page"),
    Row("418 I'm a teapot", TEXT, "short and stout", Code::FailedPrecondition, "UPSTREAM_REFUSED", "stout"),
    Row("402 Payment Required", JSON, r#"{"error":"PaymentRequired","description":"Your account has ended"}"#, Code::FailedPrecondition, "UPSTREAM_REFUSED", "has ended"),
    Row("405 Method Not Allowed", TEXT, "", Code::FailedPrecondition, "UPSTREAM_REFUSED", "405"),
    Row("431 Request Header Fields Too Large", HTML, "<html></html>", Code::FailedPrecondition, "UPSTREAM_REFUSED", "431"),
    Row("451 Unavailable For Legal Reasons", TEXT, "no", Code::FailedPrecondition, "UPSTREAM_REFUSED", "451"),
    Row("404 Not Found", JSON, "\u{feff}{\"error\":\"RecordNotFound\",\"description\":\"a\u{1}b \\ud800\"}", Code::NotFound, "NOT_FOUND", "a b"),
    Row("429 Too Many Requests", JSON, "{\"error\":\"TooManyJobs\",\"description\":\"\\ud83d\",\"n\":1e400}", Code::ResourceExhausted, "JOB_LIMIT", "jobs"),
    Row("408 Request Timeout", TEXT, "", Code::Unavailable, "UPSTREAM_ERROR", "408"),
    Row("499 Client Closed Request", TEXT, "", Code::Unavailable, "UPSTREAM_ERROR", "499"),
    Row("502 Bad Gateway", HTML, "<html>\n<head><title>502 Bad Gateway</title></head><center>nginx</center></html>", Code::Unavailable, "UPSTREAM_UNAVAILABLE", "an HTML page"),
    Row("503 Service Unavailable", JSON, r#"{"error":"ServiceUnavailable","description":"maintenance"}"#, Code::Unavailable, "UPSTREAM_UNAVAILABLE", "maintenance"),
    Row("504 Gateway Timeout", HTML, "<html></html>", Code::DeadlineExceeded, "UPSTREAM_TIMEOUT", "504"),
    Row("520 Unknown", HTML, "<!DOCTYPE html><title>520</title>", Code::Unavailable, "UPSTREAM_UNAVAILABLE", "520"),
    Row("521 Down", HTML, "<!DOCTYPE html><title>521</title>", Code::Unavailable, "UPSTREAM_UNAVAILABLE", "521"),
    Row("524 A Timeout Occurred", HTML, "<!DOCTYPE html><title>524</title>", Code::DeadlineExceeded, "UPSTREAM_TIMEOUT", "524"),
    Row("200 OK", JSON, r#"{"user":{"id":7,"name":"Jo"#, Code::Internal, "UPSTREAM_MALFORMED", "not the documented JSON"),
    Row("200 OK", JSON, r#"{"user":{"id":7}"#, Code::Internal, "UPSTREAM_MALFORMED", "not the documented JSON"),
    Row("200 OK", HTML, "<html>Sign in</html>", Code::Internal, "UPSTREAM_MALFORMED", "content type"),
    Row("200 OK", JSON, "", Code::Internal, "UPSTREAM_MALFORMED", "not the documented JSON"),
    Row("200 OK", JSON, "{}", Code::Internal, "UPSTREAM_MALFORMED", "is missing, or cannot be read"),
    Row("200 OK", JSON, r#"{"group":{"id":7}}"#, Code::Internal, "UPSTREAM_MALFORMED", "something else than was asked for"),
    Row("200 OK", JSON, r#"{"user":null}"#, Code::Internal, "UPSTREAM_MALFORMED", "is missing, or cannot be read"),
    Row("200 OK", JSON, "[1,2]", Code::Internal, "UPSTREAM_MALFORMED", "cannot be read"),
    Row("302 Found", "location: https://example.com/a/secret?x=y", "", Code::FailedPrecondition, "UPSTREAM_REFUSED", "302, to the host example.com"),
    Row("301 Moved Permanently", "location: /elsewhere", "", Code::FailedPrecondition, "UPSTREAM_REFUSED", "another path"),
    Row("303 See Other", TEXT, "", Code::FailedPrecondition, "UPSTREAM_REFUSED", "not given"),
];

async fn client(upstream: &Scripted) -> (UserServiceClient<Channel>, tokio::sync::oneshot::Sender<()>) {
    // A refusal that says nothing about when to come back is not waited for.
    let mut config = Config::default();
    config.server.unary_deadline = Duration::from_secs(2);
    let (_, channel, shutdown, _) = serve(&upstream.url, basic("a@b.example/token:t"), config).await;
    (UserServiceClient::new(channel), shutdown)
}

#[tokio::test]
#[ignore = "slow"]
async fn every_shape_of_failure_has_its_code_reason_and_message() {
    for Row(status, kind, body, code, reason, text) in TABLE {
        let upstream = Scripted::start(&format!("{status}\r\n{kind}\r\nx-request-id: req-1"), *body).await;
        let (mut users, _running) = client(&upstream).await;
        let status_of = users.get_user(GetUserRequest { id: 7, ..Default::default() }).await.expect_err(body);
        let info = status_of.get_error_details().error_info().expect("every error has an ErrorInfo").clone();
        let shown = format!("{status} {body}: {status_of:?}");
        assert_eq!(status_of.code(), *code, "{shown}");
        assert_eq!(info.reason, *reason, "{shown}");
        assert_eq!(info.domain, "zendesk.com", "{shown}");
        assert_eq!(info.metadata["http_status"], status[..3], "{shown}");
        assert_eq!(info.metadata["request_id"], "req-1", "{shown}");
        assert!(status_of.message().contains(text), "{shown}");
        assert!(status_of.message().chars().count() <= 512, "{shown}");
    }
}

#[tokio::test]
async fn field_violations_keep_zendesks_field_names() {
    let row = TABLE.iter().find(|Row(_, _, body, ..)| body.contains("DuplicateValue"));
    let Row(status, kind, body, ..) = row.expect("it is in the table");
    let upstream = Scripted::start(&format!("{status}\r\n{kind}"), *body).await;
    let refused = refused(client(&upstream).await.0.get_user(GetUserRequest { id: 7, ..Default::default() }).await);
    assert_eq!(refused.fields, ["email"]);
    let status =
        client(&upstream).await.0.get_user(GetUserRequest { id: 7, ..Default::default() }).await.expect_err("refused");
    let details = status.get_error_details();
    let violation = &details.bad_request().expect("violations").field_violations[0];
    assert_eq!(violation.reason, "DuplicateValue", "the word that programs decide by");
}

#[tokio::test]
async fn a_wait_that_zendesk_asks_for_is_passed_on_and_a_missing_record_is_named() {
    let upstream = Scripted::start(&format!("429 Too Many Requests\r\n{TEXT}\r\nretry-after: 93"), "slow down").await;
    let status = client(&upstream)
        .await
        .0
        .get_user(GetUserRequest { id: 7, ..Default::default() })
        .await
        .expect_err("throttled");
    let wait = status.get_error_details().retry_info().and_then(|info| info.retry_delay);
    assert_eq!(wait, Some(Duration::from_secs(93)));

    for (head, wanted) in
        [("retry-after: -1", 10), ("ratelimit-limit: 700\r\nratelimit-remaining: 0\r\nratelimit-reset: 41", 41)]
    {
        let upstream = Scripted::start(&format!("429 Too Many Requests\r\n{TEXT}\r\n{head}"), "slow down").await;
        let status = client(&upstream)
            .await
            .0
            .get_user(GetUserRequest { id: 7, ..Default::default() })
            .await
            .expect_err("throttled");
        let wait = status.get_error_details().retry_info().and_then(|info| info.retry_delay).expect("always");
        assert!(wait.as_secs().abs_diff(wanted) <= 1, "{head}: {wait:?}");
    }

    let upstream = Scripted::start(&format!("404 Not Found\r\n{JSON}"), r#"{"error":"RecordNotFound"}"#).await;
    let status = client(&upstream)
        .await
        .0
        .get_user(GetUserRequest { id: 7, ..Default::default() })
        .await
        .expect_err("not found");
    let resource = status.get_error_details().resource_info().expect("the record is named").clone();
    assert_eq!((resource.resource_type.as_str(), resource.resource_name.as_str()), ("users", "users/7"));
}

#[tokio::test]
async fn long_texts_and_many_violations_are_cut() {
    let problems: Vec<String> =
        (0..200).map(|n| format!(r#""f{n}":[{{"description":"{}"}}]"#, "x".repeat(900))).collect();
    let body = format!(
        r#"{{"error":"RecordInvalid","description":"{}","details":{{{}}}}}"#,
        "é".repeat(5000),
        problems.join(",")
    );
    let upstream = Scripted::start(&format!("422 Unprocessable Entity\r\n{JSON}"), body).await;
    let refused = refused(client(&upstream).await.0.get_user(GetUserRequest { id: 7, ..Default::default() }).await);
    assert!(refused.message.chars().count() <= 512);
    assert!((1..=16).contains(&refused.fields.len()), "{}", refused.fields.len());
    for letter in ["x", "é", "漢", "😀"] {
        let problems: Vec<String> =
            (0..16).map(|n| format!(r#""f{n}":[{{"description":"{}"}}]"#, letter.repeat(400))).collect();
        let body = format!(
            r#"{{"error":"RecordInvalid{}","description":"{}","details":{{{}}}}}"#,
            letter.repeat(600),
            letter.repeat(600),
            problems.join(",")
        );
        let upstream = Scripted::start(&format!("422 Unprocessable Entity\r\n{JSON}"), body).await;
        let status = client(&upstream)
            .await
            .0
            .get_user(GetUserRequest { id: 7, ..Default::default() })
            .await
            .expect_err("refused");
        assert_eq!(status.code(), Code::InvalidArgument, "{letter}");
        let message: usize =
            status.message().chars().map(|char| if char.is_ascii() { 1 } else { 3 * char.len_utf8() }).sum();
        let details = status.details().len().div_ceil(3) * 4;
        assert!(message + details <= 6 << 10, "{letter}: {message} and {details} bytes");
        let info = status.get_error_details();
        let info = info.error_info().expect("always");
        let told: usize = info.metadata["violations_left_out"].parse().expect("a number");
        let there = status.get_error_details().bad_request().map_or(0, |bad| bad.field_violations.len());
        assert_eq!((info.reason.as_str(), told + there), ("RECORD_INVALID", 16), "{letter}");
    }
}

#[tokio::test]
async fn an_anonymous_user_is_no_answer() {
    let body = r#"{"user":{"id":null,"url":"https://x.example/api/v2/users/.json","name":"Anonymous user","email":"invalid@example.com","role":"end-user"}}"#;
    let upstream = Scripted::start(&format!("200 OK\r\n{JSON}"), body).await;
    let refused = refused(client(&upstream).await.0.get_current_user(GetCurrentUserRequest::default()).await);
    assert_eq!((refused.code, refused.reason.as_str()), (Code::Internal, "CREDENTIAL_REFUSED"));
}

#[tokio::test]
async fn an_object_without_its_list_is_no_empty_list() {
    let upstream = Scripted::start(&format!("200 OK\r\n{JSON}"), r#"{"count":0,"meta":{}}"#).await;
    let refused = refused(client(&upstream).await.0.list_users(ListUsersRequest::default()).await);
    assert_eq!((refused.code, refused.reason.as_str()), (Code::Internal, "UPSTREAM_MALFORMED"));
}

#[tokio::test]
async fn a_broken_connection_says_where_it_broke() {
    let half = format!("HTTP/1.1 200 OK\r\n{JSON}\r\ncontent-length: 500\r\n\r\n{{\"user\":{{");
    for (answer, text) in [("", "before it answered"), ("HTTP/1.1 20", "before it answered"), (&half, "broke off")] {
        let upstream = Scripted::raw(answer.as_bytes().to_vec()).await;
        let refused = refused(client(&upstream).await.0.get_user(GetUserRequest { id: 7, ..Default::default() }).await);
        assert_eq!((refused.code, refused.reason.as_str()), (Code::Unavailable, "UPSTREAM_UNAVAILABLE"), "{answer}");
        assert!(refused.message.contains(text), "{answer:?}: {}", refused.message);
    }
    let nobody = "http://127.0.0.1:1".parse().expect("a URL");
    let (_, channel, _running, _) = serve(&nobody, basic("a@b.example:p"), Config::default()).await;
    let refused =
        refused(UserServiceClient::new(channel).get_user(GetUserRequest { id: 7, ..Default::default() }).await);
    assert_eq!((refused.code, refused.reason.as_str()), (Code::Unavailable, "UPSTREAM_UNAVAILABLE"));
    assert!(refused.message.contains("cannot be reached"), "{}", refused.message);
}

#[tokio::test]
#[ignore = "slow"]
async fn a_compressed_body_is_read_and_one_that_explodes_is_refused() {
    let gzip = |content: &[u8]| {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(content).and_then(|()| encoder.finish()).expect("writing to memory")
    };
    let head = format!("200 OK\r\n{JSON}\r\ncontent-encoding: gzip");
    let upstream = Scripted::start(&head, gzip(br#"{"user":{"id":7,"name":"Jo"}}"#)).await;
    let reply =
        client(&upstream).await.0.get_user(GetUserRequest { id: 7, ..Default::default() }).await.expect("readable");
    assert_eq!(reply.into_inner().user.and_then(|user| user.name), Some("Jo".to_owned()));

    let bomb = gzip(&vec![b' '; 64 << 20]);
    let upstream = Scripted::start(&head, bomb).await;
    let bombed = refused(client(&upstream).await.0.get_user(GetUserRequest { id: 7, ..Default::default() }).await);
    assert_eq!((bombed.code, bombed.reason.as_str()), (Code::Internal, "BODY_TOO_LARGE"));

    let upstream = Scripted::start(&head, b"not gzip".to_vec()).await;
    let broken = refused(client(&upstream).await.0.get_user(GetUserRequest { id: 7, ..Default::default() }).await);
    assert_eq!((broken.code, broken.reason.as_str()), (Code::Unavailable, "UPSTREAM_UNAVAILABLE"));
}

#[tokio::test]
async fn every_reply_says_what_it_cost() {
    let t = TestGateway::start().await;
    let missing = t
        .users()
        .get_user(GetUserRequest { id: i64::MAX, ..Default::default() })
        .await
        .expect_err("nobody has this id");
    assert_eq!(missing.code(), Code::NotFound);
    assert_eq!(missing.metadata().get("x-upstream-calls").expect("its cost"), "1");
    let bad = t.users().get_user(GetUserRequest { id: 0, ..Default::default() }).await.expect_err("no id");
    assert_eq!(bad.code(), Code::InvalidArgument);
    let list = t.users().list_users(ListUsersRequest::default()).await.expect("a page");
    assert_eq!(list.metadata().get("x-upstream-calls").expect("its cost"), "1");
}
