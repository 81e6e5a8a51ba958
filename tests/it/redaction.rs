//! Nothing personal and no secret in anything that is told to operators: log lines, spans, metrics, the status page.
//!
//! Everything that callers and Zendesk send in these tests carries a mark: every text, every id, every header. Then all that
//! was told is searched for the mark.

use std::sync::atomic::{AtomicU32, Ordering};

use base64::Engine as _;
use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MapKey, MessageDescriptor, ReflectMessage as _, Value};
use serde_json::json;
use zendesk_gateway::config::{Config, LogFormat, Otlp, Telemetry as Settings};
use zendesk_gateway::contract::RPCS;
use zendesk_gateway::sandbox::{self, Sandbox};
use zendesk_gateway::telemetry::Telemetry;

use crate::support::collector::Collector;
use crate::support::observed::Observed;
use crate::support::{Dynamic, Scripted, account, settings};

/// Each marked text begins so. It is of letters and digits only: no encoding changes it.
const MARK: &str = "leak5eed";
/// Each marked number begins so.
const DIGITS: &str = "987651234";

/// Where ids of records may stand.
const AUDIT: &str = "the audit";

static NUMBER: AtomicU32 = AtomicU32::new(1000);

fn mark() -> String {
    format!("{MARK}{}", NUMBER.fetch_add(1, Ordering::Relaxed))
}

fn email() -> String {
    format!("{}@{}.example", mark(), mark())
}

fn phone() -> String {
    format!("+{DIGITS}{}", NUMBER.fetch_add(1, Ordering::Relaxed))
}

fn id() -> i64 {
    format!("{DIGITS}{}", NUMBER.fetch_add(1, Ordering::Relaxed)).parse().expect("a number")
}

fn base64(text: &str) -> String {
    base64::prelude::BASE64_STANDARD.encode(text)
}

/// A stand-in whose credentials are marked.
fn marked_account() -> sandbox::Config {
    let credential = sandbox::Credentials {
        email: email(),
        api_token: mark(),
        password: mark(),
        oauth_token: mark(),
        client_id: mark(),
        client_secret: mark(),
    };
    sandbox::Config { credential, ..account() }
}

/// Tells everything there is to tell: our own lines down to trace.
fn talkative(collector: &str) -> Config {
    let otlp = Otlp { endpoint: Some(collector.parse().expect("a URL")), ..Otlp::default() };
    let log_filter = "off,zendesk_gateway=trace,access=trace,upstream=trace,audit=trace,panic=trace".to_owned();
    let telemetry = Settings { log_format: LogFormat::Json, log_filter, otlp, ..Settings::default() };
    let mut config = Config { telemetry, ..settings() };
    config.upstream.credential.email = Some(format!("{}@shown.example", mark()));
    config
}

/// Metadata of every kind, all of it marked.
fn metadata() -> Vec<(&'static str, String)> {
    vec![
        ("authorization", format!("Bearer {}", mark())),
        ("x-zendesk-token", mark()),
        ("cookie", format!("session={}", mark())),
        ("x-forwarded-for", mark()),
        ("x-real-ip", mark()),
        ("x-user-email", email()),
        ("user-agent", mark()),
        ("baggage", format!("user={}", mark())),
        // Not the caller's own word for the call, but an address in its place.
        ("x-request-id", email()),
        ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned()),
    ]
}

fn borrowed<'a>(metadata: &'a [(&'static str, String)]) -> Vec<(&'static str, &'a str)> {
    metadata.iter().map(|(name, value)| (*name, value.as_str())).collect()
}

struct Told {
    t: Observed,
    collector: Collector,
    _lines: tracing::dispatcher::DefaultGuard,
}

impl Told {
    async fn with(upstream: Option<&url::Url>) -> Self {
        let (collector, url) = Collector::start().await;
        let sandbox = Sandbox::start(marked_account()).await.expect("the stand-in starts on a free port");
        let upstream = upstream.cloned().unwrap_or_else(|| sandbox.base_url());
        let t = Observed::with(sandbox, &upstream, talkative(&url)).await;
        let lines = tracing::dispatcher::set_default(t.telemetry.dispatch());
        Self { t, collector, _lines: lines }
    }

    /// Everything that was told so far, by where.
    async fn everything(&self) -> Vec<(&'static str, String)> {
        self.t.telemetry.flush().await;
        let stats = reqwest::get(format!("{}__sandbox/stats", self.t.sandbox.base_url())).await.expect("it answers");
        // The audit names the records that were changed, by their ids and nothing else.
        let (audit, log): (Vec<String>, Vec<String>) =
            self.t.lines.text().lines().map(str::to_owned).partition(|line| line.contains(r#""target":"audit""#));
        let (changes, logs): (Vec<String>, Vec<String>) = self
            .collector
            .logs()
            .iter()
            .map(|record| format!("{record:?}"))
            .partition(|record| record.contains(r#"key: "risk""#));
        let pushed = format!("{:?}{:?}{}", self.collector.spans(), self.collector.metrics(), logs.join("\n"));
        vec![
            ("the log", log.join("\n")),
            ("the collector", pushed),
            (AUDIT, audit.join("\n")),
            (AUDIT, changes.join("\n")),
            ("/metrics", self.t.scrape().await),
            ("/status as JSON", self.t.get("/status?format=json", "*/*").await.1),
            ("/status as a page", self.t.get("/status?format=html", "*/*").await.1),
            ("the stand-in's counts", stats.text().await.expect("text")),
        ]
    }

    #[track_caller]
    fn assert_clean(told: &[(&'static str, String)], secrets: &[String]) {
        for (place, text) in told {
            let ids = (*place != AUDIT).then_some(DIGITS);
            for mark in [MARK].into_iter().chain(ids).chain(secrets.iter().map(String::as_str)) {
                if let Some(at) = text.find(mark) {
                    let from = text.floor_char_boundary(at.saturating_sub(300));
                    let to = text.ceil_char_boundary((at + 100).min(text.len()));
                    panic!("{place} tells {mark}: …{}…", &text[from..to]);
                }
            }
        }
    }
}

/// A message whose every field is set and marked.
fn filled(message: &MessageDescriptor, depth: u32) -> DynamicMessage {
    let mut filled = DynamicMessage::new(message.clone());
    for field in message.fields() {
        let Some(value) = value(&field, depth) else { continue };
        let value = if field.is_list() { Value::List(vec![value]) } else { value };
        filled.set_field(&field, value);
    }
    filled
}

fn value(field: &FieldDescriptor, depth: u32) -> Option<Value> {
    let name = field.name();
    Some(match field.kind() {
        _ if field.is_map() => return None,
        Kind::String if name.contains("email") || name == "value" => Value::String(email()),
        Kind::String if name.contains("phone") => Value::String(phone()),
        Kind::String => Value::String(mark()),
        Kind::Bytes => Value::Bytes(mark().into_bytes().into()),
        Kind::Int64 => Value::I64(id()),
        Kind::Int32 => Value::I32(10),
        Kind::Bool => Value::Bool(name != "wait"),
        Kind::Enum(_) => Value::EnumNumber(1),
        Kind::Message(of) if of.full_name() == "google.protobuf.Struct" => {
            let mut text = DynamicMessage::new(
                of.get_field_by_name("fields")?
                    .kind()
                    .as_message()?
                    .get_field_by_name("value")?
                    .kind()
                    .as_message()?
                    .clone(),
            );
            text.set_field_by_name("string_value", Value::String(mark()));
            let entries = [(MapKey::String(mark()), Value::Message(text))].into_iter().collect();
            let mut object = DynamicMessage::new(of);
            object.set_field_by_name("fields", Value::Map(entries));
            Value::Message(object)
        }
        Kind::Message(of) if of.full_name().starts_with("google.protobuf.") || depth == 0 => return None,
        Kind::Message(of) => Value::Message(filled(&of, depth - 1)),
        _ => return None,
    })
}

#[tokio::test]
#[ignore = "slow"]
async fn calls_that_succeed_and_calls_that_fail_tell_nothing_of_what_they_carry() {
    let told = Told::with(None).await;
    let t = &told.t;
    let client = Dynamic::new(t.channel.clone());
    let (address, external, name, group) = (email(), mark(), mark(), mark());
    let user = json!({"user": {
        "name": name, "email": address, "phone": phone(), "external_id": external, "alias": mark(), "notes": mark(),
        "details": mark(), "signature": mark(), "tags": [mark()], "user_fields": {"secret": mark()},
    }});
    let ask = async |rpc: &str, request: serde_json::Value| {
        client.call_with(rpc, &request.to_string(), &borrowed(&metadata())).await
    };
    let made = ask("CreateUser", user.clone()).await.expect("a user");
    let id = made[0]["user"]["id"].as_i64().expect("an id");
    let taken = ask("CreateUser", user.clone()).await.expect_err("the address is taken");
    assert!(taken.message().contains(MARK) || format!("{taken:?}").contains(MARK), "the caller is told: {taken:?}");
    for (rpc, request) in [
        ("GetUser", json!({"id": id})),
        ("ListUsers", json!({"filter": {"external_id": external}})),
        ("SearchUsers", json!({"filter": {"query": address}})),
        ("StreamSearchUsers", json!({"filter": {"external_id": external}})),
        ("ExportUsers", json!({"query": address})),
        ("AutocompleteUsers", json!({"name": name})),
        ("BatchGetUsers", json!({"external_ids": [external, mark()]})),
        ("CreateOrUpdateUser", user),
        ("UpdateUser", json!({"id": id, "user": {"phone": phone(), "notes": mark()}})),
        ("RequestUserCreate", json!({"user": {"name": mark(), "email": email()}})),
        ("BulkCreateUsers", json!({"users": [{"name": mark(), "email": address}, {"name": mark()}], "wait": true})),
        ("BulkUpdateUsers", json!({"external_ids": [external], "user": {"notes": mark()}, "wait": true})),
        ("BulkDeleteUsers", json!({"external_ids": [mark()], "wait": true})),
        (
            "UploadUserPhoto",
            json!({"id": id, "content": "R0lGODlh", "content_type": "image/gif", "file_name": format!("{}.gif", mark())}),
        ),
        ("CreateGroup", json!({"group": {"name": group, "description": mark()}})),
        ("ListGroups", json!({})),
    ] {
        ask(rpc, request).await.unwrap_or_else(|status| panic!("{rpc}: {status:?}"));
    }
    for (rpc, request) in [
        ("GetUser", json!({"id": super::redaction::id()})),
        ("GetJob", json!({"id": mark()})),
        ("ListUsers", json!({"page_token": mark()})),
        ("ListDeletedUsers", json!({"sort": mark()})),
        ("UpdateUser", json!({"id": id, "user": {"name": mark()}, "update_mask": mark()})),
        (
            "CreateMembership",
            json!({"group_membership": {"user_id": super::redaction::id(), "group_id": super::redaction::id()}}),
        ),
        ("BatchGetUsers", json!({"external_ids": [format!("{},{}", mark(), mark())]})),
    ] {
        ask(rpc, request).await.expect_err(rpc);
    }
    for (name, text) in [
        ("cache-control", "max-age="),
        ("grpc-timeout", ""),
        ("x-zendesk-authorization", "Bearer "),
        ("x-on-behalf-of", ""),
    ] {
        let marked = [(name, format!("{text}{}", mark()))];
        client.call_with("GetUser", &json!({"id": id}).to_string(), &borrowed(&marked)).await.expect_err(name);
    }
    client.call_with("GetUser", "{}", &[("x-unknown", &mark())]).await.expect_err("no id");
    let acting = [("x-on-behalf-of", email())];
    client.call_with("UpdateUser", &json!({"id": id}).to_string(), &acting).await.expect_err("nobody may");

    let seen = t.sandbox.requests();
    let sent = format!("{seen:?}");
    assert!(seen.len() > 15 && sent.contains(&external) && sent.contains(MARK), "the marks went through");
    let everything = told.everything().await;
    assert!(everything[0].1.lines().count() > 25, "{}", everything[0].1);
    assert!(everything[1].1.contains("UserService/CreateUser") && everything[1].1.len() > 50_000);
    let known = &t.sandbox.config().credential;
    let secrets = [base64(&format!("{}/token:{}", known.email, known.api_token)), base64(&known.email)];
    Told::assert_clean(&everything, &secrets);
}

#[tokio::test]
#[ignore = "slow"]
async fn a_request_with_a_mark_in_every_field_of_every_rpc_tells_nothing() {
    let told = Told::with(None).await;
    let client = Dynamic::new(told.t.channel.clone());
    for rpc in RPCS {
        let message = filled(&client.method(rpc.method).input(), 4);
        assert!(message.descriptor().fields().len() == 0 || message.fields().count() > 0, "{}", rpc.method);
        let mut metadata = metadata();
        // To watch jobs that nobody has started takes as long as one waits.
        metadata.push(("grpc-timeout", "10S".to_owned()));
        client.send(rpc.method, &message, &borrowed(&metadata)).await.ok();
    }
    let everything = told.everything().await;
    for rpc in RPCS {
        assert!(everything[0].1.contains(rpc.method), "{} was called", rpc.method);
    }
    assert!(everything[2].1.contains(DIGITS), "the audit names what was to be changed");
    Told::assert_clean(&everything, &[]);
}

#[tokio::test]
#[ignore = "slow"]
async fn whatever_zendesk_answers_is_told_to_the_caller_and_to_nobody_else() {
    let json = "content-type: application/json";
    let details = json!({"error": "RecordInvalid", "description": mark(), "details": {"email": [{"description": format!("Email: {} is taken", email()), "error": "InvalidValue"}], mark(): [{"description": mark()}]}});
    let answers = [
        (format!("422 Unprocessable\r\n{json}"), details.to_string()),
        (format!("400 Bad Request\r\n{json}"), json!({"error": {"title": mark(), "message": email()}}).to_string()),
        ("400 Bad Request\r\ncontent-type: text/plain".to_owned(), format!("{} is wrong", email())),
        (format!("401 Unauthorized\r\n{json}"), json!({"error": mark(), "error_description": mark()}).to_string()),
        (format!("403 Forbidden\r\n{json}"), json!({"error": mark(), "description": email()}).to_string()),
        (format!("404 Not Found\r\n{json}"), json!({"error": mark(), "description": mark()}).to_string()),
        ("409 Conflict\r\ncontent-type: text/plain".to_owned(), mark()),
        (
            format!("429 Too Many Requests\r\nretry-after: 600\r\n{json}"),
            json!({"error": mark(), "description": mark()}).to_string(),
        ),
        (format!("500 Internal Server Error\r\n{json}"), json!({"error": mark(), "description": mark()}).to_string()),
        ("503 Service Unavailable\r\ncontent-type: text/html".to_owned(), format!("<html>{}</html>", email())),
        (format!("200 OK\r\n{json}"), format!("{{\"user\":{{\"name\":\"{}\"", mark())),
        (
            format!("200 OK\r\n{json}"),
            format!("{{\"user\":{{\"id\":\"{}\",\"role\":\"{}\",\"created_at\":\"{}\"}}}}", mark(), mark(), mark()),
        ),
        ("200 OK\r\ncontent-type: text/html".to_owned(), format!("<html>{}</html>", mark())),
        (
            format!(
                "200 OK\r\n{json}\r\nx-zendesk-api-warn: {}\r\nserver: {}\r\nset-cookie: a={}",
                mark(),
                mark(),
                mark()
            ),
            json!({"user": {"id": id(), "name": mark()}}).to_string(),
        ),
        (format!("302 Found\r\nlocation: http://{}.example/", mark()), String::new()),
        (format!("{} {}", "418", mark()), mark()),
    ];
    for (head, body) in answers {
        let upstream = Scripted::start(&head, body).await;
        let told = Told::with(Some(&upstream.url)).await;
        let client = Dynamic::new(told.t.channel.clone());
        let user = json!({"id": id(), "user": {"name": mark(), "email": email()}}).to_string();
        let requests =
            [("GetUser", json!({"id": id()}).to_string()), ("UpdateUser", user), ("ListUsers", "{}".to_owned())];
        for (rpc, request) in requests {
            client.call_with(rpc, &request, &borrowed(&metadata())).await.ok();
        }
        let everything = told.everything().await;
        assert!(everything[0].1.contains("UpdateUser"), "{}", everything[0].1);
        Told::assert_clean(&everything, &[]);
    }
}

#[tokio::test]
#[ignore = "slow"]
async fn a_mark_that_is_told_would_be_found() {
    let told = Told::with(None).await;
    tracing::info!(target: "access", leaked = mark(), "on purpose");
    let everything = told.everything().await;
    for place in [0, 1] {
        assert!(everything[place].1.contains(MARK), "{} is not searched", everything[place].0);
    }
}

/// Set for the process that is to panic.
const ALONE: &str = "PANICS_ALONE";

/// Panics with a text in it, as a slice that cuts a character does.
#[test]
#[ignore = "run by the test below, in a process of its own"]
fn panics_with_what_a_caller_sent() {
    // It takes over how the whole process tells of panics.
    if std::env::var_os(ALONE).is_none() {
        return;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let _inside = runtime.enter();
    let telemetry = Telemetry::start(&Settings::default(), std::io::stderr()).expect("telemetry");
    tracing::dispatcher::set_global_default(telemetry.dispatch().clone()).expect("the first");
    std::panic::set_hook(Box::new(zendesk_gateway::server::panics::log));
    let text = format!("{MARK}ü@example.com");
    let cut = std::panic::catch_unwind(|| text[..=MARK.len()].len());
    assert!(cut.is_err());
    runtime.block_on(telemetry.shutdown());
}

#[test]
fn a_panic_is_logged_by_its_place_and_not_by_its_text() {
    let test = std::env::current_exe().expect("this very program");
    let arguments = ["redaction::panics_with_what_a_caller_sent", "--exact", "--ignored", "--nocapture"];
    let output = std::process::Command::new(test).args(arguments).env(ALONE, "1").output().expect("it runs");
    let told = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
    assert!(told.contains("tests/it/redaction.rs:") && told.contains("the gateway panicked"), "{told}");
    assert!(!told.contains(MARK), "{told}");
}

#[tokio::test]
async fn nothing_that_can_be_printed_shows_a_credential() {
    use zendesk_gateway::upstream::credential::{Credential, impersonated, passed_through};
    let own = Credential::new(&format!("Bearer {}", mark()), true).expect("a header");
    let passed = passed_through(format!("Bearer {}", mark()).as_bytes()).expect("a credential");
    let user = impersonated(email().as_bytes()).expect("an address");
    let printed = format!("{own:?} {:?} {passed:?} {:?} {user:?}", own.header(), passed.header());
    assert!(!printed.contains(MARK), "{printed}");
    let of = zendesk_gateway::config::Credential::OauthToken { token_file: "/t".into() };
    let secret = of.secret(mark().as_bytes()).expect("a secret");
    assert!(!format!("{secret:?}").contains(MARK));
}
