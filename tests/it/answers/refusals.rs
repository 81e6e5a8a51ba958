//! A refusal stands, whatever becomes of the body that explains it.

use std::time::{Duration, Instant};

use super::*;

/// Answers every user but the first with this, in which the body is not what the head announces.
async fn unexplained(head: &str, body: &[u8]) -> Scripted {
    let mut broken = format!("HTTP/1.1 {head}\r\n\r\n").into_bytes();
    broken.extend(body);
    Scripted::by(move |asked| {
        let healthy = answer("200 OK\r\ncontent-type: application/json", br#"{"user":{"id":1}}"#);
        if asked.contains("/users/1 ") { healthy } else { broken.clone() }
    })
    .await
}

#[tokio::test]
#[ignore = "slow"]
async fn a_refused_read_is_told_by_its_status_and_says_nothing_of_health() {
    let said = br#"{"error":"RecordNotFound","description":"Not found"}"#;
    let packed = "content-encoding: gzip\r\ncontent-length: 52";
    for (head, body, reason) in [
        ("404 Not Found\r\ncontent-type: application/json\r\ncontent-length: 500", &said[..], "NOT_FOUND"),
        // Without an explanation, nobody can tell that it is about the record.
        ("404 Not Found\r\ncontent-length: 500", b"", "UPSTREAM_REFUSED"),
        ("410 Gone\r\ncontent-length: 500", br#"{"error":"Rec"#, "UPSTREAM_REFUSED"),
        ("422 Unprocessable Content\r\ncontent-length: 500", b"{", "RECORD_INVALID"),
        ("401 Unauthorized\r\ncontent-length: 500", b"{}", "CREDENTIAL_REFUSED"),
        ("302 Found\r\nlocation: https://a.example/\r\ncontent-length: 500", b"<html>", "UPSTREAM_REFUSED"),
        (&format!("403 Forbidden\r\n{packed}"), said, "PERMISSION_DENIED"),
        (&format!("402 Payment Required\r\n{packed}"), said, "UPSTREAM_REFUSED"),
        (&format!("418 Teapot\r\n{}", packed.replace("gzip", "x-gzip")), said, "UPSTREAM_REFUSED"),
        ("409 Conflict\r\ncontent-length: 999999999", b"x", "CONFLICT"),
        (&format!("429 Too Many Requests\r\nretry-after: 60\r\n{packed}"), said, "RATE_LIMITED"),
    ] {
        let upstream = unexplained(head, body).await;
        let (client, _running) = before(&upstream).await;
        let seen = refused(client.call("GetUser", r#"{"id": 2}"#).await);
        assert_eq!((seen.reason.as_str(), upstream.asked().len()), (reason, 1), "{head}");
        if reason == "RATE_LIMITED" {
            assert_eq!(seen.retry_after, Some(Duration::from_mins(1)), "{head}");
            continue;
        }
        for id in 3..12 {
            let seen = refused(client.call("GetUser", &format!(r#"{{"id": {id}}}"#)).await);
            assert_eq!(seen.reason, reason, "{head}");
        }
        client.call("GetUser", r#"{"id": 1}"#).await.unwrap_or_else(|status| panic!("{head}: {status}"));
    }
}

#[tokio::test]
#[ignore = "slow"]
async fn a_refusal_that_drips_or_hangs_is_told_soon() {
    let head = "HTTP/1.1 422 Unprocessable Content\r\ncontent-length: 500\r\n\r\n{";
    let upstream = Scripted::hanging(head.as_bytes().to_vec()).await;
    let began = Instant::now();
    let seen = refused(ask(&upstream, "GetUser", r#"{"id": 2}"#).await);
    assert_eq!((seen.reason.as_str(), upstream.asked().len()), ("RECORD_INVALID", 1));
    assert!(began.elapsed() < Duration::from_secs(4));
}

#[tokio::test]
async fn an_outage_keeps_its_status_and_how_long_to_wait_without_its_body() {
    let upstream = unexplained("503 Service Unavailable\r\nretry-after: 120\r\ncontent-length: 500", b"<").await;
    let seen = refused(ask(&upstream, "GetUser", r#"{"id": 2}"#).await);
    assert_eq!((seen.reason.as_str(), seen.retry_after), ("UPSTREAM_UNAVAILABLE", Some(Duration::from_mins(2))));
}

#[tokio::test]
#[ignore = "slow"]
async fn what_a_proxy_gave_up_on_and_odd_json_are_not_asked_for_again() {
    for (rpc, request, body) in [
        ("GetUser", r#"{"id": 1}"#, r#"{"user":{"id":"q"}}"#),
        ("GetUser", r#"{"id": 1}"#, r#"{"user":{"id":null}}"#),
        ("GetUser", r#"{"id": 1}"#, r#"{"user":[{"id":1}]}"#),
        ("GetUser", r#"{"id": 1}"#, r#"{"user":null}"#),
        ("GetUser", r#"{"id": 1}"#, "{}"),
        ("GetUser", r#"{"id": 1}"#, "[]"),
        ("ListUsers", "{}", r#"{"users":"x"}"#),
        ("ListUsers", "{}", r#"{"users":[],"meta":{"has_more":7}}"#),
        ("BatchGetUsers", r#"{"ids": [1, 2]}"#, r#"{"users":{}}"#),
    ] {
        let upstream = Scripted::in_turn(&[body]).await;
        let seen = refused(ask(&upstream, rpc, request).await);
        assert_eq!((seen.reason.as_str(), upstream.asked().len()), ("UPSTREAM_MALFORMED", 1), "{rpc} {body}");
    }
    for status in ["408 Request Timeout", "499 Closed", "425 Too Early"] {
        let upstream = Scripted::start(status, "").await;
        refused(ask(&upstream, "GetUser", r#"{"id": 1}"#).await);
        assert_eq!(upstream.asked().len(), 1, "{status}");
    }
}

#[tokio::test]
async fn a_redirect_names_its_host_however_it_is_written() {
    for (location, said) in [
        ("https://login.a.example/x", "to the host login.a.example"),
        ("//login.a.example/x", "to the host login.a.example"),
        ("/x", "to another path of the same host"),
        ("x?y", "to another path of the same host"),
        ("https://", "to an address that cannot be read"),
    ] {
        let upstream = Scripted::start(&format!("302 Found\r\nlocation: {location}"), "").await;
        let seen = refused(ask(&upstream, "GetUser", r#"{"id": 1}"#).await);
        assert_eq!(seen.reason, "UPSTREAM_REFUSED", "{location}");
        assert!(seen.message.contains(said), "{location}: {}", seen.message);
    }
}

#[tokio::test]
async fn the_first_violation_stands_in_the_message() {
    for details in [
        r#"{"email":[{"description":"Email: it is taken","error":"DuplicateValue"}]}"#,
        r#"{"base":[{"description":"Email: it is taken"}],"z":[{"description":"another"}]}"#,
        r#"["Email: it is taken"]"#,
        r#""Email: it is taken""#,
    ] {
        let body =
            format!(r#"{{"error":"RecordInvalid","description":"Record validation errors","details":{details}}}"#);
        let upstream = Scripted::start("422 Unprocessable Content\r\ncontent-type: application/json", body).await;
        let seen = refused(ask(&upstream, "UpdateUser", r#"{"id": 1, "user": {"name": "n"}}"#).await);
        assert!(seen.message.contains("HTTP 422, Email: it is taken"), "{}", seen.message);
    }
}

#[tokio::test]
#[ignore = "slow"]
async fn a_job_that_is_shown_can_be_read() {
    for (id, is_shown) in [
        ("V3-0a", true),
        ("a b", true),
        ("é", true),
        ("a=+:~", true),
        ("a/b", false),
        ("a/..", false),
        ("..", false),
        ("a,b", false),
    ] {
        let upstream = Scripted::by(move |head| {
            let job = format!(r#"{{"id":"{id}","status":"completed"}}"#);
            let body = if head.contains("/job_statuses/") {
                format!(r#"{{"job_status":{job}}}"#)
            } else {
                format!(r#"{{"job_statuses":[{job}],"meta":{{"has_more":false}}}}"#)
            };
            answer("200 OK\r\ncontent-type: application/json", body.as_bytes())
        })
        .await;
        let (client, _running) = before(&upstream).await;
        let list = client.call("ListJobs", "{}").await.expect("a list");
        let request = json!({"id": id}).to_string();
        if is_shown {
            assert_eq!(list[0]["job_statuses"][0]["id"], id);
            let job = client.call("GetJob", &request).await.unwrap_or_else(|status| panic!("{id}: {status}"));
            assert_eq!(job[0]["job_status"]["id"], id);
        } else {
            assert_eq!(list[0], json!({"unreadable_rows": 1}), "{id}");
            assert_eq!(refused(client.call("GetJob", &request).await).code, Code::InvalidArgument, "{id}");
        }
    }
}

#[tokio::test]
async fn a_long_warning_is_told_whole_or_says_that_it_is_cut() {
    for (length, is_whole) in [(1_035, true), (3_900, true), (7_000, false)] {
        let warning = "w".repeat(length);
        let head = format!("200 OK\r\ncontent-type: application/json\r\nx-zendesk-api-warn: {warning}");
        let upstream = Scripted::start(&head, r#"{"user":{"id":1}}"#).await;
        let (_, channel, _running, _) = serve(&upstream.url, basic("a@b.example/token:t"), settings()).await;
        let mut users = zendesk_gateway::proto::user_service_client::UserServiceClient::new(channel);
        let user = Some(zendesk_gateway::proto::UserInput { name: Some("n".to_owned()), ..Default::default() });
        let request =
            zendesk_gateway::proto::UpdateUserRequest { id: 1, user, update_mask: None, ..Default::default() };
        let reply = users.update_user(request).await.expect("updated");
        let told = reply.metadata().get("x-zendesk-api-warn").expect("told").to_str().expect("ASCII");
        assert!(if is_whole { told == warning } else { told.ends_with("... (cut)") }, "{length}: {} bytes", told.len());
    }
}

#[tokio::test]
async fn a_wait_that_does_not_fit_the_deadline_is_told_at_once() {
    let upstream = Scripted::start("429 Too Many Requests\r\nretry-after: 3", "").await;
    let (_, channel, _running, _) = serve(&upstream.url, basic("a@b.example/token:t"), settings()).await;
    let mut users = zendesk_gateway::proto::user_service_client::UserServiceClient::new(channel);
    let began = Instant::now();
    let mut request = tonic::Request::new(zendesk_gateway::proto::GetUserRequest { id: 1, ..Default::default() });
    request.set_timeout(Duration::from_secs(2));
    let seen = refused(users.get_user(request).await);
    let mut request = tonic::Request::new(zendesk_gateway::proto::ListUsersRequest::default());
    request.set_timeout(Duration::from_secs(2));
    let next = refused(users.list_users(request).await);
    assert!(began.elapsed() < Duration::from_millis(1_500), "{:?}", began.elapsed());
    assert_eq!((seen.reason.as_str(), seen.retry_after), ("RATE_LIMITED", Some(Duration::from_secs(3))));
    assert_eq!((next.reason.as_str(), next.limit.as_deref()), ("RATE_LIMITED", Some("account")));
    assert!(next.retry_after.is_some());
}
