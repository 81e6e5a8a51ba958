//! An OAuth client that gets its access tokens for itself.

use std::time::SystemTime;

use serde_json::json;
use tonic::Request;
use zendesk_gateway::sandbox::faults::{Html, Matcher, Respond};

use super::rotation::under_load;
use super::*;
use crate::support::{Scripted, plain, until};

async fn client(lifetime: Duration) -> (TestGateway, Source, TempDir) {
    let folder = TempDir::new().expect("a temporary folder");
    let (t, source) = signed(|sandbox| {
        let client = OauthClient { token_lifetime: lifetime, ..oauth_client(sandbox, &folder) };
        config::Credential::OauthClient(client)
    })
    .await;
    (t, source, folder)
}

fn exchanges(sandbox: &Sandbox) -> usize {
    sandbox.requests().iter().filter(|request| request.path == "/oauth/tokens").count()
}

fn endpoint() -> Matcher {
    serde_json::from_value(json!({"method": "POST", "path": "/oauth/tokens"})).expect("a matcher")
}

async fn ask(t: &TestGateway) -> Result<String, tonic::Status> {
    let mut request = Request::new(GetUserRequest { id: t.sandbox.store().user_ids()[0], ..Default::default() });
    request.metadata_mut().insert("cache-control", "no-cache".parse().expect("ASCII"));
    let user = t.users().get_user(request).await?;
    Ok(user.metadata().get("x-upstream-calls").expect("a count").to_str().expect("ASCII").to_owned())
}

#[tokio::test]
async fn the_token_is_asked_for_as_documented_and_shown_without_its_text() {
    let (t, source, _folder) = client(Duration::from_hours(2)).await;
    ask(&t).await.expect("a user");
    let asked = t.sandbox.requests().into_iter().find(|request| request.path == "/oauth/tokens").expect("an exchange");
    let known = &t.sandbox.config().credential;
    let body: serde_json::Value = serde_json::from_slice(&asked.body).expect("JSON");
    let wanted = json!({
        "grant_type": "client_credentials", "client_id": known.client_id, "client_secret": known.client_secret,
        "scope": "read write", "expires_in": 7200,
    });
    assert_eq!((asked.method.as_str(), body), ("POST", wanted));
    assert!(asked.headers.get("authorization").is_none());
    let shown = source.view();
    let left = shown.expires.expect("an end").duration_since(SystemTime::now()).expect("ahead").as_secs();
    assert_eq!((shown.kind.as_str(), shown.renewed, shown.failing), ("oauth_client", true, None));
    assert!((7000..=7200).contains(&left), "{left}");
    let issued = source.reload().expect("it gets tokens");
    assert_eq!((issued.what, issued.taken, issued.failed), ("access_token", 1, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "slow"]
async fn no_call_fails_while_tokens_are_renewed_ahead_of_their_end() {
    let (t, source, _folder) = client(Duration::from_secs(5)).await;
    let load = under_load(&t);
    until(|| load.has_failed() || source.reload().expect("it gets tokens").taken >= 2).await;
    load.round().await;
    assert!(load.end().await >= 10);
    t.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "slow"]
async fn tokens_that_are_revoked_fifty_times_under_load_are_renewed_within_the_calls_that_meet_it() {
    let (t, source, _folder) = client(Duration::from_hours(1)).await;
    let load = under_load(&t);
    for _ in 0..50 {
        load.round().await;
        t.sandbox.revoke_issued_tokens();
    }
    load.round().await;
    let rounds = load.end().await;
    assert_eq!(source.reload().expect("it gets tokens").taken, 51, "one exchange for each, however many calls met it");
    assert!(rounds >= 5 * 2 * 50, "{rounds} rounds");
    t.stop().await;
}

#[tokio::test]
#[ignore = "slow"]
async fn while_the_token_endpoint_is_down_the_last_token_serves() {
    let (t, source, _folder) = client(Duration::from_hours(1)).await;
    ask(&t).await.expect("the first token");
    t.sandbox.fault(endpoint(), Html::nginx_502().forever());
    for _ in 0..20 {
        ask(&t).await.expect("the token is good");
    }
    t.sandbox.revoke_issued_tokens();
    let status = ask(&t).await.expect_err("no token, and none to be had");
    assert_eq!(status.code(), Code::Unavailable, "the caller may come back: {status}");
    assert_eq!(source.view().failing.as_deref(), Some("502"));
    let tried = exchanges(&t.sandbox);
    for _ in 0..20 {
        ask(&t).await.expect_err("none yet");
    }
    assert!(exchanges(&t.sandbox) <= tried + 2, "calls do not hammer the endpoint");
    t.sandbox.faults().clear();
    until(|| source.view().failing.is_none()).await;
    ask(&t).await.expect("a new token");
}

#[tokio::test]
async fn a_wrong_secret_is_the_operators_to_solve_and_a_right_one_in_the_file_solves_it() {
    let folder = TempDir::new().expect("a temporary folder");
    let (t, source) = signed(|sandbox| {
        let client = oauth_client(sandbox, &folder);
        secret(&folder, "wrong");
        config::Credential::OauthClient(client)
    })
    .await;
    let refused = refused(ask(&t).await);
    assert_eq!((refused.code, refused.reason.as_str()), (Code::Internal, "CREDENTIAL_REFUSED"));
    assert!(!refused.message.contains("wrong") && source.view().expires.is_none());
    secret(&folder, &t.sandbox.config().credential.client_secret);
    until(|| source.view().failing.is_none()).await;
    ask(&t).await.expect("a user");
}

#[tokio::test]
async fn a_new_secret_is_tried_at_once_and_a_wrong_one_leaves_the_one_before_in_use() {
    let folder = TempDir::new().expect("a temporary folder");
    let watcher = watcher();
    let (t, source) =
        signed_and_watched(&watcher, |sandbox| config::Credential::OauthClient(oauth_client(sandbox, &folder))).await;
    ask(&t).await.expect("the first token");
    let state = || {
        let all = watcher.reloads();
        let one = all.iter().find(|one| one.what == "client_secret").expect("it is watched");
        (one.taken, one.failed, one.failing)
    };
    assert_eq!(state(), (0, 0, false));
    secret(&folder, "wrong");
    until(|| state() == (0, 1, true)).await;
    t.sandbox.revoke_issued_tokens();
    ask(&t).await.expect("the secret before is still good");
    assert!(source.view().failing.is_none());

    let mut keys = t.sandbox.config().credential.clone();
    keys.client_secret = "the-next-secret-0123456789".to_owned();
    t.sandbox.admit_credential(keys.clone());
    secret(&folder, &keys.client_secret);
    until(|| state().0 == 1 && !state().2).await;
    ask(&t).await.expect("a token of the new secret");
    t.stop().await;
}

#[tokio::test]
async fn whatever_the_endpoint_answers_is_a_failure_unless_it_is_a_token() {
    let json = "content-type: application/json";
    let long = format!(r#"{{"access_token":"{}"}}"#, "x".repeat(100_000));
    for (head, body) in [
        (format!("200 OK\r\n{json}"), "{"),
        (format!("200 OK\r\n{json}"), "{}"),
        (format!("200 OK\r\n{json}"), r#"{"access_token":""}"#),
        (format!("200 OK\r\n{json}"), r#"{"access_token":"a b"}"#),
        (format!("200 OK\r\n{json}"), "{\"access_token\":\"a\\r\\nx: y\"}"),
        (format!("200 OK\r\n{json}"), r#"{"access_token":"a","token_type":"mac"}"#),
        (format!("200 OK\r\n{json}"), long.as_str()),
        ("302 Found\r\nlocation: http://127.0.0.1:1/".to_owned(), ""),
        (format!("429 Too Many Requests\r\nretry-after: 7\r\n{json}"), "{}"),
        ("503 Service Unavailable".to_owned(), "<html>"),
    ] {
        let upstream = Scripted::start(&head, body).await;
        let folder = TempDir::new().expect("a temporary folder");
        let settings_of = OauthClient {
            client_id: "c".to_owned(),
            client_secret_file: secret(&folder, "s"),
            scope: "read".to_owned(),
            token_lifetime: Duration::from_hours(1),
        };
        let settings_of = config::Credential::OauthClient(settings_of);
        let source = Source::start(&settings_of, &plain(&upstream.url), &watcher()).await.expect("a secret");
        until(|| source.view().failing.is_some()).await;
        assert_eq!(source.reload().expect("it gets tokens").taken, 0, "{head} {body:.40}");
    }
}

#[tokio::test]
async fn a_write_for_which_no_token_could_be_had_was_never_sent() {
    for (head, body) in [
        ("500 Internal Server Error", "<html>"),
        ("503 Service Unavailable", "<html>"),
        ("504 Gateway Timeout", "<html>"),
        ("200 OK", "<html>"),
        ("200 OK\r\ncontent-type: application/json", "{}"),
    ] {
        let upstream = Scripted::start(head, body).await;
        let folder = TempDir::new().expect("a temporary folder");
        let settings_of = config::Credential::OauthClient(OauthClient {
            client_id: "c".to_owned(),
            client_secret_file: secret(&folder, "s"),
            scope: "read write".to_owned(),
            token_lifetime: Duration::from_hours(1),
        });
        let source = Source::start(&settings_of, &plain(&upstream.url), &watcher()).await.expect("a secret");
        let (_, channel, _running, _) = crate::support::serve(&upstream.url, source, settings()).await;
        let mut users = zendesk_gateway::proto::user_service_client::UserServiceClient::new(channel);
        let user = Some(UserInput { name: Some("N".to_owned()), ..UserInput::default() });
        let refused = refused(users.create_user(CreateUserRequest { user, ..Default::default() }).await);
        assert_eq!(refused.reason, "UPSTREAM_UNAVAILABLE", "{head} {body}: {}", refused.message);
        assert!(refused.retry_after.is_some(), "{head} {body}: {}", refused.message);
    }
}

#[tokio::test]
async fn a_redirect_of_the_endpoint_is_told_with_its_host() {
    let upstream = Scripted::start("302 Found\r\nlocation: //login.a.example/x", "").await;
    let folder = TempDir::new().expect("a temporary folder");
    let settings_of = config::Credential::OauthClient(OauthClient {
        client_id: "c".to_owned(),
        client_secret_file: secret(&folder, "s"),
        scope: "read".to_owned(),
        token_lifetime: Duration::from_hours(1),
    });
    let source = Source::start(&settings_of, &plain(&upstream.url), &watcher()).await.expect("a secret");
    let (_, channel, _running, _) = crate::support::serve(&upstream.url, source, settings()).await;
    let mut users = zendesk_gateway::proto::user_service_client::UserServiceClient::new(channel);
    let refused = refused(users.get_user(GetUserRequest { id: 1, ..Default::default() }).await);
    assert_eq!(refused.reason, "UPSTREAM_REFUSED");
    assert!(refused.message.contains("login.a.example"), "{}", refused.message);
}

#[tokio::test]
async fn a_slow_first_exchange_holds_up_calls_only_until_it_ends() {
    let folder = TempDir::new().expect("a temporary folder");
    let sandbox = Sandbox::start(account()).await.expect("the stand-in starts on a free port");
    sandbox.fault(endpoint(), Respond::with(503).times(1));
    let settings_of = config::Credential::OauthClient(oauth_client(&sandbox, &folder));
    let source = Source::start(&settings_of, &plain(&sandbox.base_url()), &watcher()).await.expect("a secret");
    let t = TestGateway::using(sandbox, settings(), source.clone()).await;
    until(|| source.view().failing.is_some()).await;
    until(|| source.view().failing.is_none()).await;
    ask(&t).await.expect("a user");
}

#[tokio::test]
async fn a_read_that_waits_for_a_token_says_that_nothing_was_sent() {
    let mute = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}", mute.local_addr().expect("it is bound")).parse().expect("a URL");
    let folder = TempDir::new().expect("a temporary folder");
    let settings_of = config::Credential::OauthClient(OauthClient {
        client_id: "c".to_owned(),
        client_secret_file: secret(&folder, "s"),
        scope: "read".to_owned(),
        token_lifetime: Duration::from_hours(1),
    });
    let source = Source::start(&settings_of, &plain(&url), &watcher()).await.expect("a secret");
    let (_, channel, _running, _) = crate::support::serve(&url, source, settings()).await;
    let client = crate::support::Dynamic::new(channel);
    let calls = [
        ("GetUser", r#"{"id": 7}"#),
        ("ListUsers", "{}"),
        ("ListJobs", "{}"),
        ("StreamUsers", "{}"),
        ("CreateGroup", r#"{"group": {"name": "G"}}"#),
    ];
    let calls = calls.map(async |(method, request)| {
        (method, refused(client.call_with(method, request, &[("grpc-timeout", "1000m")]).await))
    });
    for (method, refused) in futures_util::future::join_all(calls).await {
        assert_eq!((refused.code, refused.reason.as_str()), (Code::DeadlineExceeded, "DEADLINE_EXCEEDED"), "{method}");
        assert!(refused.message.contains("before anything was carried out"), "{method}: {}", refused.message);
    }
}

#[tokio::test]
async fn a_limit_on_access_tokens_is_told_as_that_and_not_as_the_accounts_budget() {
    let upstream = Scripted::start("429 Too Many Requests\r\nretry-after: 7", "").await;
    let folder = TempDir::new().expect("a temporary folder");
    let settings_of = config::Credential::OauthClient(OauthClient {
        client_id: "c".to_owned(),
        client_secret_file: secret(&folder, "s"),
        scope: "read".to_owned(),
        token_lifetime: Duration::from_hours(1),
    });
    let source = Source::start(&settings_of, &plain(&upstream.url), &watcher()).await.expect("a secret");
    let (_, channel, _running, _) = crate::support::serve(&upstream.url, source, settings()).await;
    let mut users = zendesk_gateway::proto::user_service_client::UserServiceClient::new(channel);
    let refused = refused(users.get_user(GetUserRequest { id: 1, ..Default::default() }).await);
    assert_eq!((refused.reason.as_str(), refused.retry_after.is_some()), ("RATE_LIMITED", true));
    assert!(refused.message.starts_with("zendesk issues no further access token"), "{}", refused.message);
}
