//! Ready means able: a replica that Zendesk would refuse does not take the place of one that works, and an outage keeps none back.

use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tokio::net::TcpListener;
use zendesk_gateway::sandbox::Sandbox;

use super::private;
use crate::support::binary::Binary;
use crate::support::{Scripted, account, until};

/// Settings for an upstream, with a token file in the folder.
fn before<'a>(url: &'a str, email: &'a str, token: &'a str) -> [(&'a str, &'a str); 5] {
    [
        ("UPSTREAM__BASE_URL", url),
        ("UPSTREAM__CREDENTIAL__KIND", "api_token"),
        ("UPSTREAM__CREDENTIAL__EMAIL", email),
        ("UPSTREAM__CREDENTIAL__TOKEN_FILE", token),
        ("IDENTITY__METHODS", "none"),
    ]
}

async fn until_ready(gateway: &Binary, within: u64) -> bool {
    let ready = tokio::time::timeout(Duration::from_secs(within), async {
        while !gateway.is_ready().await {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    ready.await.is_ok()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow"]
async fn it_is_not_ready_while_zendesk_refuses_its_credential_and_is_once_the_right_one_is_there() {
    let sandbox = Sandbox::start(account()).await.expect("the stand-in starts");
    let credential = sandbox.config().credential.clone();
    let folder = TempDir::new().expect("a folder");
    let token = folder.path().join("token");
    private(&token, "wrong");
    let url = sandbox.base_url().to_string();
    let url = url.trim_end_matches('/');
    let gateway = Binary::before_another(&before(url, &credential.email, token.to_str().expect("UTF-8"))).await;
    assert!(!until_ready(&gateway, 3).await);
    assert!(
        gateway.log().contains("Zendesk refuses the gateway's credential (HTTP 401), so this replica is not ready"),
        "{}",
        gateway.log()
    );
    private(&token, &credential.api_token);
    assert!(until_ready(&gateway, 60).await, "{}", gateway.log());
    let told = async {
        while !gateway.log().contains("Zendesk accepts the credential") {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), told).await.expect("the log says so");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow"]
async fn an_upstream_that_does_not_answer_keeps_nobody_back() {
    let folder = TempDir::new().expect("a folder");
    let token = folder.path().join("token");
    private(&token, "any");
    let token = token.to_str().expect("UTF-8");
    let gone = before("http://127.0.0.1:1", "agent@example.com", token);
    assert!(until_ready(&Binary::before_another(&gone).await, 60).await, "nobody answers");
    let silent = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}", silent.local_addr().expect("it is bound"));
    let gateway = Binary::before_another(&before(&url, "agent@example.com", token)).await;
    assert!(!until_ready(&gateway, 5).await, "it is given ten seconds");
    assert!(until_ready(&gateway, 60).await, "{}", gateway.log());
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow"]
async fn what_answers_as_if_there_were_no_such_account_takes_nobodys_place() {
    let folder = TempDir::new().expect("a folder");
    let token = folder.path().join("token");
    private(&token, "any");
    let token = token.to_str().expect("UTF-8");
    let page = "<html>Help Center Closed</html>";
    for (head, body, kind) in [
        ("404 Not Found\r\ncontent-type: text/html", page, Some("account_not_found")),
        ("302 Found\r\nlocation: https://other.example/", "", Some("redirected")),
        ("402 Payment Required\r\ncontent-type: application/json", "{}", Some("access_refused")),
        ("423 Locked\r\ncontent-type: application/json", "{}", Some("access_refused")),
        ("200 OK\r\ncontent-type: text/html", page, Some("upstream_malformed")),
        ("200 OK\r\ncontent-type: application/json", "[{}]", Some("upstream_malformed")),
        ("200 OK\r\ncontent-type: application/json", "\"Unauthorized\"", Some("upstream_malformed")),
        ("500 Internal Server Error\r\ncontent-type: application/json", "[]", None),
        ("503 Service Unavailable\r\ncontent-type: text/html", page, None),
        ("429 Too Many Requests\r\nretry-after: 30", "", None),
    ] {
        let upstream = Scripted::start(head, body).await;
        let url = upstream.url.to_string();
        let settings = before(url.trim_end_matches('/'), "agent@example.com", token);
        let gateway = Binary::before_another(&settings).await;
        let Some(kind) = kind else {
            assert!(until_ready(&gateway, 60).await, "{head}: that may pass: {}", gateway.log());
            continue;
        };
        until(|| gateway.log().contains("so this replica is not ready")).await;
        assert!(!gateway.is_ready().await, "{head}");
        let status = reqwest::get(format!("{}/status?format=json", gateway.admin)).await.expect("an answer");
        let status: Value = serde_json::from_slice(&status.bytes().await.expect("a body")).expect("JSON");
        let finding = &status["findings"][0];
        assert_eq!((&finding["kind"], &finding["level"]), (&kind.into(), &"problem".into()), "{head}: {status}");
        let text = finding["text"].as_str().expect("text");
        assert!(text.contains(&head[..3]) && text.contains("so this replica is not ready"), "{text}");
        let (well, said) = check_online(&settings).await;
        assert!(!well && said.contains(text.split(',').next().expect("words")) && said.contains(kind), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_oauth_client_whose_account_is_not_there_takes_nobodys_place() {
    let folder = TempDir::new().expect("a folder");
    let secret = folder.path().join("secret");
    private(&secret, "any");
    let upstream = Scripted::start("404 Not Found\r\ncontent-type: text/html", "<html>no such account</html>").await;
    let url = upstream.url.to_string();
    let gateway = Binary::before_another(&[
        ("UPSTREAM__BASE_URL", url.trim_end_matches('/')),
        ("UPSTREAM__CREDENTIAL__KIND", "oauth_client"),
        ("UPSTREAM__CREDENTIAL__CLIENT_ID", "gateway"),
        ("UPSTREAM__CREDENTIAL__CLIENT_SECRET_FILE", secret.to_str().expect("UTF-8")),
        ("IDENTITY__METHODS", "none"),
    ])
    .await;
    until(|| gateway.log().contains("Zendesk has no such account")).await;
    assert!(!gateway.is_ready().await);
}

/// Runs `check --online` with settings, and returns whether all is well and what it prints.
async fn check_online(settings: &[(&str, &str)]) -> (bool, String) {
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_zendesk-gateway"));
    command.args(["check", "--online"]).env_clear();
    for (key, value) in settings {
        command.env(format!("ZENDESK_GATEWAY__{key}"), value);
    }
    let output = command.output().await.expect("the binary runs");
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    (output.status.success(), text)
}

#[tokio::test(flavor = "multi_thread")]
async fn check_online_asks_whether_all_that_the_settings_name_answers() {
    let sandbox = Sandbox::start(account()).await.expect("the stand-in starts");
    let credential = sandbox.config().credential.clone();
    let folder = TempDir::new().expect("a folder");
    let token = folder.path().join("token");
    let url = sandbox.base_url().to_string();
    let check = async |secret: &str, more: &[(&str, &str)]| {
        private(&token, secret);
        let settings = before(url.trim_end_matches('/'), &credential.email, token.to_str().expect("UTF-8"));
        check_online(&[&settings[..], more].concat()).await
    };
    let (well, text) = check(&credential.api_token, &[]).await;
    assert!(well && text.contains("takes the credential; its user's role is admin"), "{text}");
    let (well, text) = check("wrong", &[("TELEMETRY__OTLP__ENDPOINT", "http://127.0.0.1:1")]).await;
    assert!(
        !well && text.contains("zendesk: FAILED: ") && text.contains("refuses the gateway's credential (HTTP 401): "),
        "{text}"
    );
    assert!(text.contains("collector: FAILED: ") && text.contains("2 of these did not answer"), "{text}");
    let (well, text) = check(&credential.api_token, &[("CACHE__MAX_BYTES", "lots")]).await;
    assert!(!well && text.contains("cache.max_bytes: ") && !text.contains("zendesk: "), "mistakes come first: {text}");
}

#[test]
fn a_start_that_fails_says_so_in_the_form_of_the_log() {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_zendesk-gateway"));
    command.args(["serve"]).env_clear().env("ZENDESK_GATEWAY__TELEMETRY__LOG_FORMAT", "json");
    let output = command.env("ZENDESK_GATEWAY__CACHE__MAX_BYTES", "lots").output().expect("the binary runs");
    let line: Value = serde_json::from_slice(&output.stderr).expect("one line of JSON");
    assert_eq!((&line["level"], &line["message"]), (&"ERROR".into(), &"cannot serve".into()), "{line}");
    assert!(line["error"].as_str().is_some_and(|error| error.contains("cache.max_bytes: is \"lots\"")), "{line}");
    assert!(!output.status.success());
}
