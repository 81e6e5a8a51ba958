//! What the gateway tells about a call: to a collector, in a scrape, in its log lines, and to the caller.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::http::HeaderMap;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use tokio::net::TcpListener;
use tonic::Request;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use zendesk_gateway::config::{Config, LogFormat, Otlp, Telemetry as Settings};
use zendesk_gateway::proto::{
    BulkUpdateUsersRequest, GetUserRequest, StreamGroupsRequest, StreamUsersRequest, UserInput,
};
use zendesk_gateway::sandbox::faults::{OddRows, get};
use zendesk_gateway::sandbox::{self, Sandbox};

use crate::support::account;
use crate::support::collector::{Collector, attribute};
use crate::support::observed::{Observed, scrape};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const CALLER: &str = "b7ad6b7169203331";

fn settings() -> Settings {
    Settings { log_format: LogFormat::Json, log_filter: "debug,hyper=off,h2=off".to_owned(), ..Settings::default() }
}

fn pushed_to(url: &str) -> Settings {
    let otlp = Otlp { endpoint: Some(url.parse().expect("a URL")), ..Otlp::default() };
    Settings { otlp, ..settings() }
}

/// A request within the caller's own, sampled trace.
fn traced<M>(message: M) -> Request<M> {
    let mut request = Request::new(message);
    let place = format!("00-{TRACE}-{CALLER}-01").parse().expect("ASCII");
    request.metadata_mut().insert("traceparent", place);
    request
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("writing to a string does not fail");
        text
    })
}

#[tokio::test]
async fn one_call_is_told_in_spans_metrics_and_logs_that_share_its_trace() {
    let (collector, url) = Collector::start().await;
    let t = Observed::start(pushed_to(&url)).await;
    let _lines = tracing::dispatcher::set_default(t.telemetry.dispatch());
    let id = t.sandbox.store().user_ids()[3];
    let user = t
        .users()
        .get_user(traced(GetUserRequest { id, ..Default::default() }))
        .await
        .expect("a user")
        .into_inner()
        .user;
    let user = user.expect("a user");
    t.telemetry.flush().await;

    // Spans: the call, below it the operation, below that the attempt.
    let spans = collector.spans();
    let span =
        |name: &str| spans.iter().find(|span| span.name == name).unwrap_or_else(|| panic!("no {name}: {spans:#?}"));
    let call = span("zendesk.gateway.v1.UserService/GetUser");
    let operation = span("zendesk user_reads");
    let attempt = span("GET /api/v2/users/{id}");
    assert!(spans.iter().all(|span| hex(&span.trace_id) == TRACE), "the caller's trace");
    assert_eq!(hex(&call.parent_span_id), CALLER);
    assert_eq!(operation.parent_span_id, call.span_id);
    assert_eq!(attempt.parent_span_id, operation.span_id);
    let kinds = [call.kind(), operation.kind(), attempt.kind()];
    assert_eq!(kinds, [SpanKind::Server, SpanKind::Client, SpanKind::Client]);
    let told = |span: &opentelemetry_proto::tonic::trace::v1::Span, key: &str| attribute(&span.attributes, key);
    assert_eq!(told(call, "rpc.system.name").as_deref(), Some("grpc"));
    assert_eq!(told(call, "rpc.method").as_deref(), Some("zendesk.gateway.v1.UserService/GetUser"));
    assert_eq!(told(call, "rpc.response.status_code").as_deref(), Some("OK"));
    assert_eq!(told(call, "zendesk_gateway.upstream_requests").as_deref(), Some("1"));
    assert_eq!(told(operation, "zendesk_gateway.attempts").as_deref(), Some("1"));
    assert_eq!(told(attempt, "http.request.method").as_deref(), Some("GET"));
    assert_eq!(told(attempt, "http.response.status_code").as_deref(), Some("200"));
    assert_eq!(told(attempt, "url.template").as_deref(), Some("/api/v2/users/{id}"));
    assert_eq!(told(attempt, "server.address").as_deref(), Some("127.0.0.1"));
    assert_eq!(told(attempt, "server.port"), t.sandbox.base_url().port().map(|port| port.to_string()));
    assert_eq!(attribute(&collector.resource(), "service.name").as_deref(), Some("zendesk-gateway"));
    assert!(attribute(&collector.resource(), "service.version").is_some());

    // Metrics, by the same names.
    let names: BTreeSet<String> = collector.metrics().into_iter().map(|metric| metric.name).collect();
    for name in ["rpc.server.call.duration", "http.client.request.duration", "zendesk_gateway.budget.remaining"] {
        assert!(names.contains(name), "{names:?}");
    }

    // Log records: the access line belongs to the call's span.
    let logs = collector.logs();
    let line =
        logs.iter().find(|record| attribute(&record.attributes, "rpc.method").is_some()).expect("an access line");
    assert_eq!((&line.trace_id, &line.span_id), (&call.trace_id, &call.span_id));

    // Nothing personal, nothing secret.
    let (dump, credential) = (collector.dump(), &t.sandbox.config().credential);
    let email = user.email.expect("seeded users have one");
    for secret in [&id.to_string(), &user.name.unwrap_or_default(), &email, &credential.api_token, &credential.email] {
        assert!(!dump.contains(secret.as_str()), "{secret} is told");
    }
    let counted = scrape::read(&t.scrape().await);
    let items = &counted["zendesk_gateway_telemetry_items_total"].samples;
    let pushed = |signal: &str| {
        let of = |(_, labels, _): &&(String, BTreeMap<String, String>, f64)| {
            labels["zendesk_gateway_telemetry_signal"] == signal && labels["zendesk_gateway_outcome"] == "pushed"
        };
        items.iter().find(of).map(|(_, _, value)| *value)
    };
    assert_eq!(pushed("traces"), Some(3.0));
    assert!(pushed("logs") >= Some(1.0) && pushed("metrics") >= Some(1.0), "{items:?}");
}

#[tokio::test]
#[ignore = "slow"]
async fn a_failed_call_names_its_failure_in_the_conventions_words() {
    let (collector, url) = Collector::start().await;
    let t = Observed::before(
        Sandbox::start(account()).await.expect("a stand-in"),
        &"http://127.0.0.1:1".parse().expect("a URL"),
        pushed_to(&url),
    )
    .await;
    let _lines = tracing::dispatcher::set_default(t.telemetry.dispatch());
    let mut request = traced(GetUserRequest { id: 7, ..Default::default() });
    request.set_timeout(Duration::from_secs(20));
    t.users().get_user(request).await.expect_err("nobody listens there");
    t.telemetry.flush().await;

    let spans = collector.spans();
    let span = |kind: &str| spans.iter().find(|span| span.name.starts_with(kind)).expect(kind);
    let told = |name: &str, key: &str| attribute(&span(name).attributes, key);
    assert_eq!(told("GET", "error.type").as_deref(), Some("connect"));
    assert_eq!(told("zendesk user", "error.type").as_deref(), Some("connect"));
    assert_eq!(told("zendesk.gateway", "rpc.response.status_code").as_deref(), Some("UNAVAILABLE"));
    assert_eq!(told("zendesk.gateway", "error.type").as_deref(), Some("UNAVAILABLE"));
    assert!(spans.iter().all(|span| span.status.as_ref().is_some_and(|status| status.code == 2)), "{spans:#?}");

    let failed = t.lines.of("upstream");
    assert!((1..=3).contains(&failed.len()), "attempts that fail within a moment are one failure: {failed:?}");
    assert_eq!(failed[0]["level"], "WARN");
    assert_eq!(failed[0]["trace_id"], TRACE);
    let cause = failed[0]["error.cause"].as_str().expect("the whole chain");
    assert!(cause.contains("refused") && !cause.contains("/users/7"), "the cause without the path: {cause}");
    let access = t.lines.of("access");
    assert_eq!(access[0]["error.reason"], "UPSTREAM_UNAVAILABLE");
}

#[tokio::test]
#[ignore = "slow"]
async fn the_trace_context_goes_to_zendesk_only_if_switched_on() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let keep = seen.clone();
    let upstream = axum::Router::new().fallback(move |headers: HeaderMap| async move {
        keep.lock().expect("no test panics inside").push(headers);
        ([("content-type", "application/json")], r#"{"user":{"id":7}}"#)
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("it is bound")).parse().expect("a URL");
    tokio::spawn(async move { axum::serve(listener, upstream).await });
    for on in [false, true] {
        let sandbox = Sandbox::start(account()).await.expect("a stand-in");
        let t = Observed::before(sandbox, &url, Settings { propagate_upstream: on, ..settings() }).await;
        t.users().get_user(traced(GetUserRequest { id: 7, ..Default::default() })).await.expect("a user");
        let headers = seen.lock().expect("no test panics inside").pop().expect("it was asked");
        let place = headers.get("traceparent").map(|place| place.to_str().expect("ASCII").to_owned());
        assert_eq!(place.is_some(), on, "{headers:?}");
        assert!(place.is_none_or(|place| place.contains(TRACE) && !place.contains(CALLER)));
    }
}

#[tokio::test]
#[ignore = "slow"]
async fn a_dead_collector_is_counted_and_a_mute_one_holds_nothing_up() {
    let mute = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}", mute.local_addr().expect("it is bound"));
    let mut wait = pushed_to(&url);
    wait.otlp.timeout = Duration::from_secs(3);
    let t = Observed::start(wait).await;
    let id = t.sandbox.store().user_ids()[0];
    t.users().get_user(traced(GetUserRequest { id, ..Default::default() })).await.expect("a user");
    let telemetry = t.telemetry.clone();
    let pushing = tokio::spawn(async move { telemetry.flush().await });
    let (_connection, _) = mute.accept().await.expect("the push has begun");
    let started = Instant::now();
    for _ in 0..50 {
        t.users().get_user(traced(GetUserRequest { id, ..Default::default() })).await.expect("a user");
    }
    let took = started.elapsed();
    assert!(!pushing.is_finished() || took < Duration::from_secs(3), "a push was under way all the time");
    assert!(took < Duration::from_secs(30), "50 calls that wait for their push would take 150 s, not {took:?}");

    let t = Observed::start(pushed_to("http://127.0.0.1:1")).await;
    let id = t.sandbox.store().user_ids()[0];
    t.users().get_user(traced(GetUserRequest { id, ..Default::default() })).await.expect("a user");
    t.telemetry.flush().await;
    let metrics = scrape::read(&t.scrape().await);
    let failed = metrics["zendesk_gateway_telemetry_items_total"].samples.iter().find(|(_, labels, _)| {
        labels["zendesk_gateway_telemetry_signal"] == "traces" && labels["zendesk_gateway_outcome"] == "failed"
    });
    assert_eq!(failed.map(|(_, _, count)| *count), Some(3.0), "three spans were lost, and that is known");
    let findings = t.status().await["findings"].to_string();
    assert!(findings.contains("does not take traces"), "{findings}");
}

#[tokio::test]
#[ignore = "slow"]
async fn each_call_has_one_access_line_and_health_checks_only_for_debugging() {
    let t = Observed::start(settings()).await;
    let _lines = tracing::dispatcher::set_default(t.telemetry.dispatch());
    let mut request = traced(GetUserRequest { id: t.sandbox.store().user_ids()[0], ..Default::default() });
    request.metadata_mut().insert("x-request-id", "order-7".parse().expect("ASCII"));
    let response = t.users().get_user(request).await.expect("a user");
    assert_eq!(response.metadata().get("x-request-id").expect("echoed"), "order-7");
    assert_eq!(response.metadata().get("x-upstream-calls").expect("what it cost"), "1");
    let refused = t.users().get_user(GetUserRequest { id: -1, ..Default::default() }).await.expect_err("no such id");
    let generated =
        refused.metadata().get("x-request-id").expect("errors have one, too").to_str().expect("ASCII").to_owned();
    let mut stream = t.users().stream_users(StreamUsersRequest::default()).await.expect("a stream").into_inner();
    while stream.message().await.expect("no break").is_some() {}
    HealthClient::new(t.channel.clone()).check(HealthCheckRequest::default()).await.expect("healthy");
    t.telemetry.flush().await;

    let lines = t.lines.of("access");
    assert_eq!(lines.len(), 4, "{lines:#?}");
    let first = &lines[0];
    assert_eq!(first["level"], "INFO");
    assert_eq!(first["rpc.method"], "zendesk.gateway.v1.UserService/GetUser");
    assert_eq!(first["rpc.status_code"], "OK");
    assert_eq!((first["request_id"].as_str(), first["trace_id"].as_str()), (Some("order-7"), Some(TRACE)));
    assert_eq!((&first["upstream_calls"], &first["cache"]), (&1.into(), &"miss".into()));
    assert!(first["duration_ms"].as_f64() > Some(0.0));
    assert_eq!((&first["caller"], &first["client.address"]), (&"anonymous".into(), &"127.0.0.1".into()));
    assert_eq!(lines[1]["error.reason"], "INVALID_FIELD");
    assert_eq!(
        (&lines[1]["request_id"], &lines[1]["trace_id"]),
        (&generated.as_str().into(), &generated.as_str().into())
    );
    assert_eq!(lines[2]["rpc.method"], "zendesk.gateway.v1.UserService/StreamUsers");
    let pages = t.sandbox.store().user_ids().len().div_ceil(100);
    assert_eq!(lines[2]["upstream_calls"], pages, "{}", lines[2]);
    assert_eq!((&lines[3]["level"], &lines[3]["rpc.method"]), (&"DEBUG".into(), &"grpc.health.v1.Health/Check".into()));
}

#[tokio::test]
#[ignore = "slow"]
async fn a_stream_is_active_until_it_ends_and_cancelled_when_the_caller_leaves() {
    let sandbox = Sandbox::start(sandbox::Config { users: 5000, ..account() }).await.expect("a stand-in");
    let upstream = sandbox.base_url();
    let t = Observed::before(sandbox, &upstream, settings()).await;
    let mut stream = t.users().stream_users(StreamUsersRequest::default()).await.expect("a stream").into_inner();
    stream.message().await.expect("no break").expect("a first message");
    assert_eq!(t.status().await["streams"]["active"], 1);
    drop(stream);
    let cancelled = |text: &str| {
        scrape::read(text)
            .get("zendesk_gateway_call_errors_total")
            .is_some_and(|errors| errors.samples.iter().any(|(_, labels, _)| labels["error_type"] == "CANCELLED"))
    };
    let patience = Instant::now() + Duration::from_secs(20);
    while !cancelled(&t.scrape().await) {
        assert!(Instant::now() < patience, "the caller left, and nobody noticed");
        tokio::task::yield_now().await;
    }
    assert_eq!(t.status().await["streams"]["active"], 0);
}

/// A row of the table in the documentation.
struct Row<'a> {
    name: &'a str,
    kind: &'a str,
    unit: &'a str,
    attributes: BTreeSet<String>,
    meaning: &'a str,
}

fn documented() -> Vec<Row<'static>> {
    let text = include_str!("../../docs/telemetry.md");
    let table = text.split("<!-- instruments -->").nth(1).expect("the table stands between two marks");
    let rows = table.lines().filter(|line| line.starts_with("| `"));
    rows.map(|line| {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [name, kind, unit, attributes, meaning] = cells[..] else { panic!("five cells: {line}") };
        let attributes = attributes.split(',').map(|name| name.trim().trim_matches('`').replace('.', "_"));
        Row {
            name: name.trim_matches('`'),
            kind,
            unit: unit.trim_matches('`'),
            attributes: attributes.filter(|name| !name.is_empty()).collect(),
            meaning,
        }
    })
    .collect()
}

/// The name an instrument has in a scrape.
fn scraped(row: &Row<'_>) -> String {
    let unit = match row.unit {
        "s" => "_seconds",
        "By" => "_bytes",
        "1" if row.kind == "gauge" => "_ratio",
        _ => "",
    };
    let total = if row.kind == "counter" { "_total" } else { "" };
    format!("{}{unit}{total}", row.name.replace('.', "_"))
}

#[tokio::test]
#[ignore = "slow"]
async fn every_instrument_in_the_documentation_is_in_a_live_scrape_and_no_other() {
    let t = Observed::start(settings()).await;
    t.absent_sources();
    t.sandbox.fault(get("/groups"), OddRows::forever());
    let id = t.sandbox.store().user_ids()[0];
    t.users().get_user(GetUserRequest { id, ..Default::default() }).await.expect("a user");
    t.users().get_user(GetUserRequest { id: -1, ..Default::default() }).await.expect_err("a refusal");
    let mut groups = t.groups().stream_groups(StreamGroupsRequest::default()).await.expect("a stream").into_inner();
    while groups.message().await.expect("no break").is_some() {}

    let mut live = scrape::read(&t.scrape().await);
    live.remove("target_info").expect("who tells");
    let rows = documented();
    assert!(rows.len() > 30, "{}", rows.len());
    for row in &rows {
        let family =
            live.remove(&scraped(row)).unwrap_or_else(|| panic!("{} does not appear: {:?}", row.name, live.keys()));
        assert_eq!((family.kind.as_str(), family.help.as_str()), (row.kind, row.meaning), "{}", row.name);
        let unknown: Vec<&String> = family.labels.difference(&row.attributes).collect();
        assert!(unknown.is_empty(), "{} has undocumented attributes {unknown:?}", row.name);
    }
    assert!(live.is_empty(), "not in docs/telemetry.md: {:?}", live.keys());
}

#[tokio::test]
async fn whatever_callers_ask_for_makes_no_new_series() {
    let t = Observed::start(settings()).await;
    for number in 0..20 {
        let mut client = tonic::client::Grpc::new(t.channel.clone());
        client.ready().await.expect("ready");
        let path = format!("/made.up.Service/Method{number}").parse().expect("a path");
        let codec = tonic_prost::ProstCodec::<GetUserRequest, GetUserRequest>::default();
        let refused =
            client.unary(Request::new(GetUserRequest::default()), path, codec).await.expect_err("no such method");
        assert_eq!(refused.code(), tonic::Code::Unimplemented);
    }
    let live = scrape::read(&t.scrape().await);
    let methods: BTreeSet<&String> =
        live["rpc_server_call_duration_seconds"].samples.iter().map(|(_, labels, _)| &labels["rpc_method"]).collect();
    assert_eq!(methods.into_iter().collect::<Vec<_>>(), ["_OTHER"]);
}

#[tokio::test]
#[ignore = "slow"]
async fn answers_from_the_cache_are_told_apart_and_cost_no_request() {
    let t = Observed::start(settings()).await;
    let _lines = tracing::dispatcher::set_default(t.telemetry.dispatch());
    let id = t.sandbox.store().user_ids()[0];
    for _ in 0..3 {
        t.users().get_user(GetUserRequest { id, ..Default::default() }).await.expect("a user");
    }
    t.telemetry.flush().await;
    let told: Vec<_> =
        t.lines.of("access").iter().map(|line| (line["cache"].clone(), line["upstream_calls"].clone())).collect();
    assert_eq!(told, [("miss".into(), 1.into()), ("hit".into(), 0.into()), ("hit".into(), 0.into())]);
    let live = scrape::read(&t.scrape().await);
    let hits = live["zendesk_gateway_cache_reads_total"]
        .samples
        .iter()
        .find(|(_, labels, _)| labels["zendesk_gateway_outcome"] == "hit");
    assert_eq!(hits.map(|(_, _, value)| *value), Some(2.0));
}

#[tokio::test]
async fn a_background_refresh_is_a_trace_of_its_own_that_links_to_its_cause() {
    let (collector, url) = Collector::start().await;
    let mut config = Config { telemetry: pushed_to(&url), ..Config::default() };
    config.cache.record.fresh = Some(Duration::ZERO);
    let t = Observed::configured(config).await;
    let id = t.sandbox.store().user_ids()[0];
    t.users().get_user(traced(GetUserRequest { id, ..Default::default() })).await.expect("a user");
    let stale = t.users().get_user(traced(GetUserRequest { id, ..Default::default() })).await.expect("a user");
    assert_eq!(stale.metadata().get("x-cache").expect("where it came from"), "stale");
    let patience = Instant::now() + Duration::from_secs(20);
    while t.status().await["cache"]["fills"] != 2 {
        assert!(Instant::now() < patience, "nobody refreshed");
    }
    t.telemetry.flush().await;

    let spans = collector.spans();
    let cause = spans.iter().rfind(|span| span.kind() == SpanKind::Server).expect("the second call");
    let refresh = spans.iter().find(|span| hex(&span.trace_id) != TRACE && span.parent_span_id.is_empty());
    let refresh = refresh.unwrap_or_else(|| panic!("no trace of its own: {spans:#?}"));
    assert_eq!(refresh.name, "zendesk user_reads");
    let link = &refresh.links[0];
    assert_eq!((&link.trace_id, &link.span_id), (&cause.trace_id, &cause.span_id));
    assert!(spans.iter().any(|span| span.parent_span_id == refresh.span_id), "its attempt is below it");
}

#[tokio::test]
#[ignore = "slow"]
async fn bulk_jobs_are_counted_from_their_start_to_their_end() {
    let t = Observed::start(settings()).await;
    let ids = t.sandbox.store().user_ids().into_iter().rev().take(150).collect();
    let user = Some(UserInput { notes: Some("same for all".to_owned()), ..Default::default() });
    let request = BulkUpdateUsersRequest { ids, user, wait: true, ..Default::default() };
    t.users().bulk_update_users(request).await.expect("two jobs");
    let live = scrape::read(&t.scrape().await);
    let value =
        |name: &str| live[name].samples.iter().map(|(_, labels, value)| (labels.values().next().cloned(), *value));
    assert_eq!(value("zendesk_gateway_jobs_started_total").collect::<Vec<_>>(), [(None, 2.0)]);
    assert_eq!(value("zendesk_gateway_jobs_active").collect::<Vec<_>>(), [(None, 0.0)]);
    let mut ended: Vec<_> = value("zendesk_gateway_jobs_ended_total").collect();
    ended.sort_by(|one, other| one.0.cmp(&other.0));
    assert_eq!(ended, [(Some("completed".to_owned()), 2.0), (Some("failed".to_owned()), 0.0)]);
}
