//! The admin port: health for machines, status for people.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::json;
use zendesk_gateway::config::{Config, LogFormat, Telemetry as Settings};
use zendesk_gateway::proto::{GetGroupRequest, GetUserRelatedRequest, GetUserRequest};
use zendesk_gateway::sandbox::Sandbox;
use zendesk_gateway::sandbox::faults::{Delay, Respond, any, get};
use zendesk_gateway::telemetry::budget::Window;
use zendesk_gateway::telemetry::findings::FINDINGS;
use zendesk_gateway::telemetry::state::End;
use zendesk_gateway::telemetry::view::{self, BreakerState};
use zendesk_gateway::telemetry::{errors, exchanges};

use crate::support::observed::{Observed, breaker, scrape};
use crate::support::{Scripted, account};

#[tokio::test]
async fn readiness_follows_the_phase_and_never_the_upstream() {
    let t = Observed::bare(Settings::default()).await;
    let ready = async || t.get("/readyz", "*/*").await;
    assert_eq!(ready().await, (503, "starting\n".to_owned()));
    t.readiness.serving();
    t.telemetry.state().sources.breakers.set(|| vec![breaker("user_reads", BreakerState::Open)]);
    assert_eq!(ready().await, (200, "ready\n".to_owned()), "an open breaker is no reason to take the replica away");
    t.readiness.draining();
    assert_eq!(ready().await, (503, "draining\n".to_owned()));
    assert_eq!(t.get("/livez", "*/*").await, (200, "live\n".to_owned()), "a draining process is alive");
}

#[tokio::test]
async fn a_page_whose_name_leads_to_the_port_gets_nothing() {
    let mut config = Config { telemetry: Settings::default(), ..Config::default() };
    config.admin.allowed_hosts = vec!["gateway-headless.support.svc".to_owned()];
    let t = Observed::configured(config).await;
    t.readiness.serving();
    let port = t.admin.rsplit_once(':').expect("a port").1.to_owned();
    let client = reqwest::Client::new();
    for (host, status) in [
        (format!("127.0.0.1:{port}"), 200),
        (format!("localhost:{port}"), 200),
        ("10.7.1.9:9090".to_owned(), 200),
        ("[::1]".to_owned(), 200),
        ("Gateway-headless.support.svc:9090".to_owned(), 200),
        (format!("rebound.example:{port}"), 421),
        ("127.0.0.1.rebound.example".to_owned(), 421),
        ("gateway-headless".to_owned(), 421),
    ] {
        for path in ["/livez", "/readyz", "/metrics", "/status", "/absent"] {
            let response =
                client.get(format!("{}{path}", t.admin)).header("host", &host).send().await.expect("an answer");
            let wanted = if path == "/absent" && status == 200 { 404 } else { status };
            assert_eq!(response.status().as_u16(), wanted, "{host} {path}");
            let text = response.text().await.expect("text");
            assert!(status == 200 || text.contains("admin.allowed_hosts"), "{text}");
            assert!(!text.contains("rebound.example"), "{text}");
        }
        let url = format!("{}/cache/invalidate?all=true", t.admin);
        let response = client.post(url).header("host", &host).send().await.expect("an answer");
        assert_eq!(response.status().as_u16(), status, "{host}");
    }
}

#[tokio::test]
async fn status_is_html_for_a_browser_and_json_for_everyone_else() {
    let t = Observed::start(Settings::default()).await;
    t.readiness.serving();
    t.absent_sources();
    let id = t.sandbox.store().user_ids()[1];
    for _ in 0..3 {
        t.users().get_user(GetUserRequest { id, ..Default::default() }).await.expect("a user");
    }
    t.users()
        .get_user(GetUserRequest { id: t.sandbox.store().user_ids()[0], ..Default::default() })
        .await
        .expect("a user");
    let (_, page) = t.get("/status", "text/html,application/xhtml+xml,*/*;q=0.8").await;
    assert!(page.starts_with("<!doctype html>") && page.contains("all is well"), "{page}");
    assert!(!page.contains("<script") && !page.contains("http-equiv=refresh content=0"), "nothing runs in it");
    assert!(page.contains("50.0 %") && page.contains("GET /api/v2/users/{id}"), "{page}");

    let json: serde_json::Value = serde_json::from_str(&t.get("/status", "*/*").await.1).expect("JSON");
    assert_eq!(json["phase"], "serving");
    assert_eq!(json["findings"], serde_json::json!([]));
    assert_eq!(json["calls"]["ended"], 4);
    assert_eq!(json["cache"]["hits"], 2);
    assert_eq!(json["slowest"][0]["class"], "user_reads");
    assert_eq!(json["budgets"][0]["name"], "account", "taken from the response headers: {json}");
    assert!(json["budgets"][0]["remaining"].as_u64() > Some(0));
}

#[tokio::test]
async fn status_says_what_deserves_attention_the_gravest_first() {
    let t = Observed::bare(Settings::default()).await;
    t.readiness.serving();
    let state = t.telemetry.state();
    state
        .sources
        .breakers
        .set(|| vec![breaker("user_reads", BreakerState::Open), breaker("jobs", BreakerState::HalfOpen)]);
    state.sources.governor.set(|| view::Governor { waiting: 1, ..view::Governor::default() });
    state.sources.queue.set(|| view::Queue { permits: 64, in_use: 64, waiting: 12, ..view::Queue::default() });
    let window = |remaining, reset| Window { limit: 700, remaining, reset: Some(Duration::from_secs(reset)) };
    state.budgets.state("account", window(0, 41));
    state.budgets.state("users-search", window(30, 41));
    state.budgets.state("<b>foreign</b>", window(0, 0));
    let status = t.status().await;
    let findings: Vec<(&str, &str)> = status["findings"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|finding| (finding["level"].as_str().expect("text"), finding["text"].as_str().expect("text")))
        .collect();
    let begins = |index: usize, level: &str, text: &str| {
        assert!(findings[index].0 == level && findings[index].1.starts_with(text), "{findings:#?}");
    };
    begins(0, "problem", "The circuit for user_reads is open");
    begins(
        1,
        "problem",
        "The circuit for jobs is open: Zendesk fails there, the last time with unknown; it is probed by a call",
    );
    begins(2, "problem", "The request budget of the account is used up: 0 of 700 left, and 4");
    begins(3, "warning", "The request budget of the endpoint users-search is short: 30 of 700");
    begins(4, "warning", "The request budget is shared out: 1 call waits for a turn");
    begins(5, "warning", "All 64 upstream permits are in use, and 12 calls wait");
    assert_eq!(findings.len(), 6, "a window that has begun anew is no finding: {findings:#?}");
    let (_, page) = t.get("/status?format=html", "*/*").await;
    assert!(page.contains("needs attention"), "{page}");
    assert!(page.contains("&lt;b&gt;foreign") && !page.contains("<b>foreign"), "names from outside are text");
}

#[tokio::test]
async fn status_shows_the_settings_without_addresses() {
    let t = Observed::start(Settings::default()).await;
    let settings = t.status().await["settings"].to_string();
    assert!(settings.contains(r#"["server.unary_deadline","30s"]"#), "{settings}");
    assert!(settings.contains(r#"["telemetry.log_filter","info"]"#), "{settings}");
    assert!(!settings.contains("sandbox."), "{settings}");
}

#[tokio::test]
async fn an_operator_makes_answers_void_by_tag_or_all_of_them() {
    let t = Observed::start(Settings::default()).await;
    let ids = &t.sandbox.store().user_ids()[..2];
    let group = t.sandbox.store().memberships()[0]["group_id"].as_i64().expect("an id");
    let read_all = async || {
        t.sandbox.reset_stats();
        for id in ids {
            t.users().get_user(GetUserRequest { id: *id, ..Default::default() }).await.expect("a user");
        }
        t.groups().get_group(GetGroupRequest { id: group, ..Default::default() }).await.expect("a group");
        t.sandbox.total_hits()
    };
    assert_eq!((read_all().await, read_all().await), (3, 0));

    let (status, text) = t.post(&format!("/cache/invalidate?tag=user:{}", ids[0]), &[]).await;
    assert_eq!((status, text), (200, format!("{{\"invalidated\":[\"user:{}\"]}}", ids[0])));
    assert_eq!(read_all().await, 1, "the one that was named");
    assert_eq!(t.post("/cache/invalidate?tag=groups&tag=user_lists", &[]).await.0, 200);
    assert_eq!(read_all().await, 1, "the group, and no user");
    assert_eq!(t.post("/cache/invalidate?all=true", &[]).await.0, 200);
    assert_eq!(read_all().await, 3);

    let counted = scrape::read(&t.scrape().await)["zendesk_gateway_cache_invalidations_total"].samples[0].2;
    assert!((counted - 4.0).abs() < 0.1, "three tags and once all: {counted}");
}

#[tokio::test]
async fn what_is_no_invalidation_is_refused_by_name_and_voids_nothing() {
    let t = Observed::start(Settings::default()).await;
    let id = t.sandbox.store().user_ids()[0];
    t.users().get_user(GetUserRequest { id, ..Default::default() }).await.expect("a user");
    for (query, wrong) in [
        ("", "tag: is missing"),
        ("?tag=user:x", "tag: `user` needs a positive id"),
        ("?tag=users&tag=ticket:7", "tag: `ticket` is not a tag"),
        ("?all=yes", "all: must be `true`"),
        ("?all=true&tag=users", "all: leaves nothing"),
        ("?tags=users", "tags: unknown"),
    ] {
        let (status, text) = t.post(&format!("/cache/invalidate{query}"), &[]).await;
        assert!(status == 400 && text.starts_with(wrong), "{query}: {status} {text}");
    }
    let (status, text) = t.post("/cache/invalidate?all=true", &[("origin", "https://elsewhere.example")]).await;
    assert!(status == 403 && text.contains("origin"), "{text}");
    assert_eq!(t.get("/cache/invalidate?all=true", "*/*").await.0, 405, "a link must not change anything");
    t.users().get_user(GetUserRequest { id, ..Default::default() }).await.expect("a user");
    assert_eq!(t.sandbox.total_hits(), 1, "the answer is still there");
}

#[tokio::test]
async fn status_says_when_the_address_or_the_way_to_it_is_wrong() {
    for (head, body, begins) in [
        ("404 Not Found\r\ncontent-type: text/html", "<html>Help Center Closed</html>", "Zendesk has no such account"),
        ("302 Found\r\nlocation: https://other.example/", "", "Requests are redirected"),
        ("200 OK\r\ncontent-type: application/json", r#"{"user":{"id":1003}}"#, "Zendesk answers something else"),
    ] {
        let upstream = Scripted::start(head, body).await;
        let sandbox = Sandbox::start(account()).await.expect("a stand-in");
        let t = Observed::before(sandbox, &upstream.url, Settings::default()).await;
        t.readiness.serving();
        t.users().get_user(GetUserRequest { id: 7, ..Default::default() }).await.expect_err(begins);
        let findings = t.status().await["findings"].clone();
        let text = findings[0]["text"].as_str().unwrap_or_else(|| panic!("{begins}: {findings}"));
        assert!(findings[0]["level"] == "problem" && text.starts_with(begins), "{findings}");
    }
}

#[tokio::test]
async fn a_finding_says_why_zendesk_cannot_be_reached() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("its address");
    let sandbox = Sandbox::start(account()).await.expect("a stand-in");
    let t = Observed::before(sandbox, &format!("http://{closed}").parse().expect("a URL"), Settings::default()).await;
    t.readiness.serving();
    for _ in 0..2 {
        t.users().get_user(GetUserRequest { id: 7, ..Default::default() }).await.expect_err("nobody listens");
    }
    let findings = t.status().await["findings"].clone();
    let of = |finding: &&serde_json::Value| finding["kind"] == "upstream_down";
    let text = findings.as_array().expect("a list").iter().find(of).expect("it is one")["text"].to_string();
    assert!(text.contains("2 calls in half a minute; the last time: ") && text.contains("refused"), "{text}");
}

#[tokio::test]
async fn a_request_on_which_a_proxy_gave_up_is_no_sign_that_zendesk_is_down() {
    let upstream = Scripted::start("408 Request Timeout", "").await;
    let sandbox = Sandbox::start(account()).await.expect("a stand-in");
    let t = Observed::before(sandbox, &upstream.url, Settings::default()).await;
    t.readiness.serving();
    for _ in 0..3 {
        t.users().get_user(GetUserRequest { id: 7, ..Default::default() }).await.expect_err("given up");
    }
    assert_eq!(kinds(&t.status().await), [("calls_fail".to_owned(), String::new())], "but calls fail");
}

#[tokio::test]
async fn calls_that_fail_are_a_finding_where_no_other_one_says_why() {
    let of = |reason, code, bad: u64, all: u64| {
        let kind = errors::Kind { reason, code, method: "zendesk.gateway.v1.GroupService/ListGroups" };
        async move {
            let t = Observed::bare(Settings::default()).await;
            t.readiness.serving();
            let state = t.telemetry.state();
            for number in 0..all {
                state.calls.begin();
                state.calls.end(if number < bad { End::Failed } else { End::Answered });
            }
            (0..bad).for_each(|_| state.errors.note(kind));
            t.status().await["findings"].clone()
        }
    };
    let one = |findings: &serde_json::Value| {
        assert_eq!(findings.as_array().map(Vec::len), Some(1), "{findings}");
        let finding = &findings[0];
        assert_eq!(finding["kind"], "calls_fail", "{finding}");
        ["level", "text", "next"].map(|key| finding[key].as_str().expect("text").to_owned())
    };
    let [level, text, next] = one(&of("DEADLINE_EXCEEDED", "DEADLINE_EXCEEDED", 24, 30).await);
    assert_eq!(
        (&*level, &*text),
        (
            "problem",
            "24 of 30 calls in half a minute fail, most of them GroupService/ListGroups with DEADLINE_EXCEEDED."
        )
    );
    assert!(next.contains("server.unary_deadline"), "{next}");
    let [level, _, next] = one(&of("BODY_TOO_LARGE", "INTERNAL", 2, 200).await);
    assert!(level == "warning" && next.contains("upstream.max_body_bytes"), "{next}");
    for (reason, code, bad, all) in [
        ("BODY_TOO_LARGE", "INTERNAL", 1, 30),
        ("BODY_TOO_LARGE", "INTERNAL", 2, 201),
        ("DEADLINE_TOO_SHORT", "DEADLINE_EXCEEDED", 30, 30),
        ("RECORD_INVALID", "INVALID_ARGUMENT", 30, 30),
    ] {
        assert_eq!(of(reason, code, bad, all).await, json!([]), "{reason}");
    }
    let findings = of("UPSTREAM_TIMEOUT", "DEADLINE_EXCEEDED", 30, 30).await;
    assert_eq!((findings.as_array().map(Vec::len), &findings[0]["kind"]), (Some(1), &json!("upstream_down")));
}

#[tokio::test]
#[ignore = "slow"]
async fn what_was_explained_at_its_time_begins_nothing_once_its_cause_is_over() {
    let t = Observed::bare(Settings::default()).await;
    t.readiness.serving();
    let state = t.telemetry.state();
    let fail = |count| (0..count).for_each(|_| state.errors.note(error("BREAKER_OPEN", "UNAVAILABLE")));
    let is_open = Arc::new(AtomicBool::new(true));
    let known = Arc::clone(&is_open);
    state.sources.breakers.set(move || {
        let is_open = known.load(Ordering::Relaxed);
        vec![breaker("users", if is_open { BreakerState::Open } else { BreakerState::Closed })]
    });
    fail(60);
    assert_eq!(kinds(&t.status().await), [("circuit_open".to_owned(), "users".to_owned())]);
    fail(3);
    is_open.store(false, Ordering::Relaxed);
    assert_eq!(kinds(&t.status().await), [], "the last calls failed for it, too");
    tokio::time::sleep(Duration::from_secs(5)).await;
    fail(3);
    assert_eq!(kinds(&t.status().await), [("calls_fail".to_owned(), String::new())], "but these have no cause");
}

#[tokio::test]
#[ignore = "slow"]
async fn each_way_of_failing_is_a_finding_that_says_what_to_do_and_that_begins_and_ends_in_the_log() {
    let upstream = Scripted::start(
        "401 Unauthorized\r\ncontent-type: application/json",
        r#"{"error":"Couldn't authenticate you"}"#,
    )
    .await;
    let sandbox = Sandbox::start(account()).await.expect("a stand-in");
    let settings = Settings { log_format: LogFormat::Json, ..Settings::default() };
    let t = Observed::before(sandbox, &upstream.url, settings).await;
    let _lines = tracing::dispatcher::set_default(t.telemetry.dispatch());
    t.readiness.serving();
    assert_eq!(t.status().await["findings"], serde_json::json!([]));
    t.users().get_user(GetUserRequest { id: 7, ..Default::default() }).await.expect_err("refused");
    let status = t.status().await;
    let finding = &status["findings"][0];
    assert_eq!((&finding["kind"], &finding["level"]), (&json!("credential_refused"), &json!("problem")), "{status}");
    assert_eq!(finding["text"], "Zendesk refuses the gateway's credential (1 call in half a minute).");
    assert!(finding["next"].as_str().is_some_and(|next| next.contains("upstream.credential")), "{finding}");
    let error = &status["errors"][0];
    assert_eq!(
        (&error["reason"], &error["code"], &error["count"]),
        (&json!("CREDENTIAL_REFUSED"), &json!("INTERNAL"), &json!(1))
    );
    assert_eq!(error["method"], "zendesk.gateway.v1.UserService/GetUser");
    assert!(!status["errors"].to_string().contains("authenticate"), "nothing of what was answered");
    let (_, page) = t.get("/status?format=html", "*/*").await;
    assert!(page.contains("<b>Do:</b> put a valid one") && page.contains("CREDENTIAL_REFUSED"), "{page}");

    let shown = || async {
        let metrics = scrape::read(&t.scrape().await);
        let of = metrics["zendesk_gateway_findings"].samples.iter();
        of.filter(|(_, labels, count)| labels["zendesk_gateway_finding"] == "credential_refused" && *count > 0.0)
            .count()
    };
    assert_eq!(shown().await, 1);
    let told = |word: &str| {
        t.lines.of("finding").iter().any(|line| line["message"].as_str().is_some_and(|text| text.starts_with(word)))
    };
    until(|| told("begins: Zendesk refuses")).await;
    // With few calls it lasts until one succeeds.
    t.telemetry.state().calls.begin();
    t.telemetry.state().calls.end(End::Answered);
    until(|| told("is over: Zendesk refuses")).await;
    assert_eq!(shown().await, 0);
    assert_eq!(t.lines.of("finding").len(), 2, "once when it begins, and once when it is over");
    assert_eq!(t.status().await["findings"], serde_json::json!([]));
}

fn kinds(status: &serde_json::Value) -> Vec<(String, String)> {
    let findings = status["findings"].as_array().expect("a list");
    let text = |value: &serde_json::Value| value.as_str().expect("text").to_owned();
    findings.iter().map(|one| (text(&one["kind"]), text(&one["about"]))).collect()
}

#[tokio::test]
async fn zendesk_that_refuses_whoever_asks_is_a_finding() {
    for head in ["403 Forbidden\r\ncontent-type: text/html", "402 Payment Required\r\ncontent-type: application/json"] {
        let upstream = Scripted::start(head, "{}").await;
        let sandbox = Sandbox::start(account()).await.expect("a stand-in");
        let t = Observed::before(sandbox, &upstream.url, Settings::default()).await;
        t.readiness.serving();
        for id in 1..=5 {
            t.users().get_user(GetUserRequest { id, ..Default::default() }).await.expect_err("refused");
        }
        let status = t.status().await;
        assert_eq!(kinds(&status), [("access_refused".to_owned(), String::new())]);
        let text = format!("Zendesk refuses 5 of 5 requests in half a minute, the last with {}.", &head[..3]);
        assert_eq!(status["findings"][0]["text"], text);
    }
}

#[tokio::test]
#[ignore = "slow"]
async fn a_class_that_zendesk_refuses_or_does_not_have_is_named() {
    let refused = Respond::with(403).json(json!({"error": "Forbidden"}));
    let missing = Respond::with(404).json(json!({"error": "InvalidEndpoint", "description": "Not found"}));
    for (fault, kind) in [(refused, "access_refused_partly"), (missing, "endpoint_not_found")] {
        let t = Observed::start(Settings::default()).await;
        t.readiness.serving();
        t.sandbox.fault(get("/groups/*"), fault.forever());
        let users = t.sandbox.store().user_ids();
        for (id, some) in (1..=6).zip(users.chunks(4)) {
            t.groups().get_group(GetGroupRequest { id, ..Default::default() }).await.expect_err("refused");
            for id in some {
                t.users().get_user(GetUserRequest { id: *id, ..Default::default() }).await.expect("a user");
            }
        }
        if kind == "endpoint_not_found" {
            // Until then the others could have been under way before the account was closed.
            tokio::time::sleep(Duration::from_millis(1_100)).await;
            t.groups().get_group(GetGroupRequest { id: 7, ..Default::default() }).await.expect_err("refused");
            t.users().get_user(GetUserRequest { id: users[30], ..Default::default() }).await.expect("a user");
            t.users().get_user(GetUserRequest { id: users[31], ..Default::default() }).await.expect("a user");
            t.groups().get_group(GetGroupRequest { id: 8, ..Default::default() }).await.expect_err("refused");
        }
        assert_eq!(kinds(&t.status().await), [(kind.to_owned(), "group_reads".to_owned())]);
    }
}

#[tokio::test]
async fn a_part_that_zendesk_refuses_is_a_finding_and_a_share_that_goes_up_and_down_is_one() {
    let t = Observed::bare(Settings::default()).await;
    t.readiness.serving();
    let note = |well: usize, refused: usize| {
        let exchanges = &t.telemetry.state().exchanges;
        (0..well).for_each(|_| exchanges.note("user_reads", Duration::ZERO, exchanges::End::Well));
        (0..refused).for_each(|_| exchanges.note("user_reads", Duration::ZERO, exchanges::End::Refused(403)));
    };
    t.status().await;
    for (well, refused, found) in [
        (45, 4, None),
        (0, 1, Some("access_refused_partly")),
        (0, 15, Some("access_refused")),
        (25, 0, Some("access_refused")),
        (50, 0, Some("access_refused_partly")),
    ] {
        note(well, refused);
        let found: Vec<_> = found.into_iter().map(|kind| (kind.to_owned(), String::new())).collect();
        assert_eq!(kinds(&t.status().await), found);
    }
}

#[tokio::test]
async fn a_class_that_is_slow_is_found_beside_many_quick_requests() {
    let t = Observed::bare(Settings::default()).await;
    t.readiness.serving();
    t.status().await;
    let note = |class, count: u64, seconds| {
        let exchanges = &t.telemetry.state().exchanges;
        (0..count).for_each(|_| exchanges.note(class, Duration::from_secs(seconds), exchanges::End::Well));
    };
    note("user_reads", 600, 0);
    note("group_reads", 14, 4);
    let found = |about: &str| [("upstream_slow".to_owned(), about.to_owned())];
    assert_eq!(kinds(&t.status().await), found("group_reads"));
    note("user_reads", 100, 4);
    assert_eq!(kinds(&t.status().await), found(""), "then all of it is");
}

#[tokio::test]
async fn rows_and_many_values_that_callers_do_not_get_are_a_finding() {
    let t = Observed::bare(Settings::default()).await;
    t.readiness.serving();
    t.status().await;
    let exchanges = &t.telemetry.state().exchanges;
    for (field, count, found) in [
        ("users.email", 19, vec![]),
        ("groups", 1, vec![("groups", "warning")]),
        ("users.email", 1, vec![("groups", "warning"), ("users.email", "warning")]),
        ("groups", 19, vec![("groups", "problem"), ("users.email", "warning")]),
    ] {
        exchanges.lose(field, count);
        let status = t.status().await;
        let told: Vec<_> = kinds(&status).into_iter().collect();
        let levels = status["findings"].as_array().expect("a list").iter().map(|one| one["level"].as_str());
        let told: Vec<_> = told.iter().map(|(_, about)| about.as_str()).zip(levels.flatten()).collect();
        assert_eq!(told, found, "{status}");
    }
}

fn error(reason: &'static str, code: &'static str) -> errors::Kind {
    errors::Kind { reason, code, method: "zendesk.gateway.v1.UserService/GetUser" }
}

#[tokio::test]
async fn one_failure_of_a_kind_that_must_not_be_is_a_finding_however_many_other_calls_there_are() {
    for (reason, code, kind) in
        [("INTERNAL", "INTERNAL", "defect"), ("OUTCOME_UNKNOWN", "UNAVAILABLE", "outcomes_unknown")]
    {
        let t = Observed::bare(Settings::default()).await;
        t.readiness.serving();
        let state = t.telemetry.state();
        for _ in 0..1_000 {
            state.calls.begin();
            state.calls.end(End::Answered);
        }
        state.errors.note(error(reason, code));
        assert_eq!(kinds(&t.status().await), [(kind.to_owned(), String::new())]);
    }
}

#[tokio::test]
async fn calls_that_fail_for_want_of_an_access_token_are_told_as_that_and_when_it_is_asked_for_again() {
    for (reason, code) in [("UPSTREAM_UNAVAILABLE", "UNAVAILABLE"), ("RATE_LIMITED", "RESOURCE_EXHAUSTED")] {
        let t = Observed::bare(Settings::default()).await;
        t.readiness.serving();
        let state = t.telemetry.state();
        (0..5).for_each(|_| state.errors.note(error(reason, code)));
        state.sources.credential.set(|| view::Credential {
            renewed: true,
            failing: Some("503".to_owned()),
            again_in: Some(Duration::from_secs(40)),
            lacked_ago: Some(Duration::from_secs(2)),
            ..view::Credential::default()
        });
        let status = t.status().await;
        assert_eq!(kinds(&status), [("token_renewal_failed".to_owned(), String::new())]);
        let text = status["findings"][0]["text"].as_str().expect("text");
        assert!(text.ends_with("(503); no call can be sent; it is tried again in 40 s."), "{text}");
    }
}

#[tokio::test]
async fn callers_whom_the_rules_or_zendesk_refuse_are_a_finding() {
    for (reason, code, kind) in [
        ("CALLER_FORBIDDEN", "PERMISSION_DENIED", "callers_forbidden"),
        ("CREDENTIAL_REFUSED", "UNAUTHENTICATED", "callers_unknown"),
    ] {
        let t = Observed::bare(Settings::default()).await;
        t.readiness.serving();
        let state = t.telemetry.state();
        for refused in [false, false, false, false, true].repeat(5) {
            state.calls.begin();
            state.calls.end(End::Answered);
            if refused {
                state.errors.note(error(reason, code));
            }
        }
        assert_eq!(kinds(&t.status().await), [(kind.to_owned(), String::new())]);
    }
}

#[tokio::test]
async fn certificates_that_the_other_side_does_not_take_are_a_finding() {
    for (port_distrusted, callers_distrusted, about) in [(5, 0, "port"), (0, 5, "callers")] {
        let t = Observed::bare(Settings::default()).await;
        t.readiness.serving();
        t.telemetry.state().sources.connections.set(move || view::Connections {
            accepted: 25,
            port_distrusted,
            callers_distrusted,
            ..view::Connections::default()
        });
        assert_eq!(kinds(&t.status().await), [("handshakes_fail".to_owned(), about.to_owned())]);
    }
}

#[tokio::test]
async fn peers_that_speak_something_else_than_the_port_are_a_finding() {
    for (strays, told) in [
        (&[("plaintext", 5)][..], Some("without TLS")),
        (&[("tls", 4), ("unknown", 1)], Some("server.tls has no certificate")),
        (&[("http1", 3), ("alpn", 2)], Some("HTTP/1.1")),
        (&[("tls", 4)], None),
    ] {
        let t = Observed::bare(Settings::default()).await;
        t.readiness.serving();
        t.telemetry.state().sources.connections.set(move || view::Connections {
            accepted: 25,
            strays: strays.iter().copied().collect(),
            ..view::Connections::default()
        });
        let status = t.status().await;
        assert_eq!(
            kinds(&status),
            told.map(|_| ("handshakes_fail".to_owned(), "protocol".to_owned())).into_iter().collect::<Vec<_>>()
        );
        if let Some(told) = told {
            let text = status["findings"][0]["text"].as_str().expect("text");
            assert!(text.starts_with("5 of 25 new connections") && text.contains(told), "{text}");
        }
    }
}

#[tokio::test]
async fn what_a_setting_refuses_to_everybody_is_told_with_its_name() {
    for (read_only, method, told) in [
        (true, "UserService/UpdateUser", "authorization.read_only"),
        (true, "UserService/GetUser", "authorization.rules"),
        (false, "UserService/DeleteUser", "authorization.destructive"),
        (false, "UserService/UpdateUser", "authorization.rules"),
    ] {
        let mut config = Config { telemetry: Settings::default(), ..Config::default() };
        config.authorization.read_only = read_only;
        let t = Observed::configured(config).await;
        t.readiness.serving();
        let state = t.telemetry.state();
        let method = format!("zendesk.gateway.v1.{method}").leak();
        for _ in 0..5 {
            state.calls.begin();
            state.calls.end(End::Answered);
            state.errors.note(errors::Kind { reason: "CALLER_FORBIDDEN", code: "PERMISSION_DENIED", method });
        }
        let finding = t.status().await["findings"][0].clone();
        assert_eq!(finding["kind"], "callers_forbidden");
        for words in ["text", "next"] {
            assert!(finding[words].as_str().is_some_and(|text| text.contains(told)), "{method}: {finding}");
        }
    }
}

#[tokio::test]
async fn jobs_that_fail_after_their_calls_were_answered_are_a_finding() {
    let t = Observed::bare(Settings::default()).await;
    t.readiness.serving();
    t.telemetry.state().sources.jobs.set(|| view::Jobs { completed: 1, failed: 3, ..view::Jobs::default() });
    assert_eq!(kinds(&t.status().await), [("jobs_failed".to_owned(), String::new())]);
}

#[tokio::test]
async fn a_follower_names_its_leader_where_that_is_what_fails() {
    let t = Observed::bare(Settings::default()).await;
    t.readiness.serving();
    let state = t.telemetry.state();
    state.sources.fleet.set(|| view::Fleet {
        leader: Some("gateway-a:50052".to_owned()),
        course: "follows",
        ..view::Fleet::default()
    });
    state.errors.note(error("CREDENTIAL_REFUSED", "INTERNAL"));
    state.errors.note(error("IDENTITY_UNAVAILABLE", "UNAVAILABLE"));
    (0..3).for_each(|_| state.errors.note(error("PERMISSION_DENIED", "PERMISSION_DENIED")));
    (0..2).for_each(|_| state.errors.note(error("UPSTREAM_REFUSED", "FAILED_PRECONDITION")));
    let findings = t.status().await["findings"].clone();
    let text = findings[0]["text"].as_str().expect("text");
    assert!(text.ends_with("(1 call in half a minute), says the leader at gateway-a:50052."), "{findings}");
    assert_eq!(findings[0]["next"], "see the leader's own status page");
    assert_eq!(findings[1]["kind"], "callers_unverifiable");
    assert!(!findings[1]["text"].to_string().contains("leader"), "{findings}");
    assert_eq!(findings[2]["kind"], "access_refused", "{findings}");
    assert!(findings[2]["text"].to_string().contains("says the leader at gateway-a:50052"), "{findings}");
}

#[tokio::test]
async fn a_follower_tells_what_its_leader_finds_about_zendesk() {
    let t = Observed::bare(Settings::default()).await;
    t.readiness.serving();
    let state = t.telemetry.state();
    let found = [("cache_cold", false), ("upstream_slow", false), ("endpoint_not_found", true)];
    let found = found
        .map(|(name, is_problem)| (FINDINGS.into_iter().find(|kind| kind.name == name).expect("a kind"), is_problem));
    state.sources.fleet.set(move || view::Fleet {
        leader: Some("gateway-a:50052".to_owned()),
        course: "follows",
        found: found.to_vec(),
        ..view::Fleet::default()
    });
    (0..60).for_each(|_| state.errors.note(error("ACCOUNT_NOT_FOUND", "INTERNAL")));
    let status = t.status().await;
    let told =
        [("endpoint_not_found", ""), ("upstream_slow", "")].map(|(kind, about)| (kind.to_owned(), about.to_owned()));
    assert_eq!(kinds(&status), told, "and nothing says that no finding has the cause");
    let text = &status["findings"][0]["text"];
    assert_eq!(text, "The leader at gateway-a:50052 finds endpoint not found, for all that it is sent.");
}

#[tokio::test]
async fn keys_of_an_issuer_that_were_never_read_cannot_be_in_use() {
    let t = Observed::bare(Settings::default()).await;
    t.readiness.serving();
    t.telemetry.state().sources.reloads.set(|| vec![view::Reload { what: "jwks", taken: 0, failed: 3, failing: true }]);
    assert_eq!(kinds(&t.status().await), [("callers_unverifiable".to_owned(), String::new())]);
}

#[tokio::test]
async fn answers_that_come_too_late_for_the_callers_are_a_finding() {
    let t = Observed::start(Settings::default()).await;
    t.readiness.serving();
    t.sandbox.fault(any("*"), Delay::by(Duration::from_secs(3)).forever());
    let calls = (1..=6).map(|id| {
        let mut users = t.users();
        let mut request = tonic::Request::new(GetUserRelatedRequest { id });
        request.set_timeout(Duration::from_millis(800));
        async move { users.get_user_related(request).await.expect_err("too late") }
    });
    futures_util::future::join_all(calls).await;
    let status = t.status().await;
    assert_eq!(kinds(&status), [("upstream_late".to_owned(), String::new())], "{status}");
}

#[tokio::test]
async fn callers_who_are_not_known_any_more_are_a_finding() {
    let folder = tempfile::tempdir().expect("a folder");
    let keys = folder.path().join("keys");
    std::fs::write(&keys, format!("somebody {}\n", "ab".repeat(32))).expect("written");
    let mut config = Config::default();
    config.identity.methods = vec![zendesk_gateway::config::identity::Method::ApiKey];
    config.identity.api_keys.file = Some(keys);
    let t = Observed::configured(config).await;
    t.readiness.serving();
    for id in 1..=5 {
        t.users().get_user(GetUserRequest { id, ..Default::default() }).await.expect_err("nobody");
    }
    assert_eq!(kinds(&t.status().await), [("callers_unknown".to_owned(), String::new())]);
}

#[tokio::test]
async fn a_cache_that_may_hold_nothing_is_not_called_cold() {
    for (max_bytes, found) in [(0, 0), (1 << 20, 1)] {
        let t = Observed::bare(Settings::default()).await;
        t.readiness.serving();
        assert_eq!(kinds(&t.status().await), []);
        t.telemetry.state().sources.cache.set(move || view::Cache { misses: 100, max_bytes, ..view::Cache::default() });
        assert_eq!(kinds(&t.status().await).len(), found);
    }
}

async fn until(mut holds: impl FnMut() -> bool) {
    for _ in 0..900 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("it does not hold within a minute and a half");
}

#[tokio::test]
async fn what_is_no_longer_in_use_as_it_is_there_stays_a_finding_until_it_is_mended() {
    let t = Observed::bare(Settings::default()).await;
    t.readiness.serving();
    let state = t.telemetry.state();
    let failing = Arc::new(AtomicBool::new(true));
    let now = Arc::clone(&failing);
    state.sources.reloads.set(move || {
        let failing = now.load(Ordering::Relaxed);
        vec![view::Reload { what: "credential", taken: 0, failed: 1, failing }]
    });
    let soon = std::time::SystemTime::now() + Duration::from_hours(47);
    state.sources.certificates.set(move || {
        vec![
            view::Certificate { what: "certificate of the gRPC port", expires: soon },
            view::Certificate {
                what: "certificate of the callers' authority",
                expires: soon - Duration::from_hours(100),
            },
        ]
    });
    let kinds = |status: serde_json::Value| {
        let findings = status["findings"].as_array().expect("a list").clone();
        findings
            .iter()
            .map(|one| format!("{} {}", one["kind"].as_str().expect("text"), one["about"].as_str().expect("text")))
            .collect::<Vec<_>>()
    };
    // Nobody looks at the end of an authority, so nothing fails for it.
    let wanted = [
        "reload_failed credential",
        "certificate_ends certificate of the gRPC port",
        "certificate_ended certificate of the callers' authority",
    ];
    assert_eq!(kinds(t.status().await), wanted);
    failing.store(false, Ordering::Relaxed);
    assert_eq!(kinds(t.status().await), wanted[1..]);
}
