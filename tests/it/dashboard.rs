//! The dashboard and the alerts against a live scrape, against promtool, and against the runbook.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;
use zendesk_gateway::config::Telemetry as Settings;
use zendesk_gateway::proto::{GetUserRequest, ListGroupsRequest};
use zendesk_gateway::sandbox::faults::{OddRows, get};
use zendesk_gateway::telemetry::findings::{FINDINGS, Kind};

use crate::support::observed::{Observed, scrape};
use crate::support::tools::is_installed;

const DASHBOARD: &str = include_str!("../../helm/dashboards/zendesk-gateway.json");
const RULES: &str = include_str!("../../helm/rules/zendesk-gateway.yaml");
const RUNBOOK: &str = include_str!("../../docs/operations.md");

/// The queries of the dashboard's panels.
fn dashboard_queries() -> Vec<String> {
    fn walk(value: &Value, into: &mut Vec<String>) {
        match value {
            Value::Object(fields) => {
                into.extend(fields.get("expr").and_then(Value::as_str).map(str::to_owned));
                fields.values().for_each(|value| walk(value, into));
            }
            Value::Array(items) => items.iter().for_each(|value| walk(value, into)),
            _ => {}
        }
    }
    let mut queries = Vec::new();
    walk(&serde_json::from_str(DASHBOARD).expect("the dashboard is JSON"), &mut queries);
    queries
}

/// The lines of the rules that hold an expression, without comments: `expr: …`, or the block that follows `expr: |`.
fn rule_queries() -> Vec<String> {
    let mut queries = Vec::new();
    let mut lines = RULES.lines().peekable();
    while let Some(line) = lines.next() {
        let Some(rest) = line.trim_start().strip_prefix("expr:") else { continue };
        let indent = line.len() - line.trim_start().len();
        let mut query = rest.trim().trim_start_matches('|').to_owned();
        while let Some(next) = lines.next_if(|next| next.len() - next.trim_start().len() > indent) {
            query.push(' ');
            query.push_str(next.split(" # ").next().expect("a line").trim());
        }
        queries.push(query);
    }
    queries
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|char: char| !(char.is_ascii_alphanumeric() || char == '_' || char == ':'))
        .filter(|word| !word.is_empty())
}

fn is_ours(word: &str) -> bool {
    // What the rules record themselves has a colon.
    !word.contains(':')
        && ["zendesk_gateway_", "rpc_server_", "http_client_", "process_"].iter().any(|prefix| word.starts_with(prefix))
}

/// The series that a query reads, each with the labels that it selects or groups by.
fn series(query: &str) -> (BTreeSet<String>, BTreeSet<String>) {
    let (mut names, mut labels) = (BTreeSet::new(), BTreeSet::new());
    let mut rest = query;
    while let Some(open) = rest.find('{') {
        let close = rest[open..].find('}').expect("braces match") + open;
        let matchers = rest[open + 1..close].split(',').filter_map(|matcher| matcher.split(['=', '!']).next());
        labels.extend(matchers.map(|label| label.trim().to_owned()).filter(|label| !label.is_empty()));
        rest = &rest[close + 1..];
    }
    let mut rest = query;
    for keyword in ["by (", "by(", "on (", "on("] {
        while let Some(at) = rest.find(keyword) {
            let list = &rest[at + keyword.len()..];
            let end = list.find(')').expect("brackets match");
            labels.extend(list[..end].split(',').map(|label| label.trim().to_owned()));
            rest = &list[end..];
        }
        rest = query;
    }
    let mut depth = 0;
    let bare: String = query
        .chars()
        .filter(|char| {
            depth += i32::from(*char == '{') - i32::from(*char == '}');
            depth == 0
        })
        .collect();
    let is_name = |word: &&str| is_ours(word) && !labels.contains(*word);
    names.extend(words(&bare).filter(is_name).map(str::to_owned));
    (names, labels)
}

#[tokio::test]
async fn every_series_and_label_of_the_dashboard_and_the_alerts_is_in_a_live_scrape() {
    let t = Observed::start(Settings::default()).await;
    t.absent_sources();
    t.users()
        .get_user(GetUserRequest { id: t.sandbox.store().user_ids()[0], ..Default::default() })
        .await
        .expect("a user");
    t.users().get_user(GetUserRequest { id: 1, ..Default::default() }).await.expect_err("no such user");
    t.sandbox.fault(get("/groups"), OddRows::forever());
    t.groups().list_groups(ListGroupsRequest::default()).await.expect("groups");
    // The one label that only a server's failure brings.
    let documented = ["error_type", "http_response_status_code"];
    let live = scrape::read(&t.scrape().await);
    let mut known: BTreeMap<&str, &BTreeSet<String>> = BTreeMap::new();
    for family in live.values() {
        known.extend(family.samples.iter().map(|(name, _, _)| (name.as_str(), &family.labels)));
    }
    // Labels that Prometheus itself adds.
    let common = ["job", "instance", "namespace", "pod", "le", "cluster", "alertname", "alertstate"];
    let (dashboard, rules) = (dashboard_queries(), rule_queries());
    assert!(dashboard.len() > 15 && rules.len() > 8, "{} and {}", dashboard.len(), rules.len());
    for query in dashboard.iter().chain(&rules) {
        let (names, labels) = series(query);
        assert!(!names.is_empty() || query.contains("zendesk_gateway:"), "no series of ours in {query}");
        for name in &names {
            assert!(known.contains_key(name.as_str()), "{name} is not in a live scrape: {query}");
        }
        for label in labels.iter().map(String::as_str).filter(|label| !common.contains(label)) {
            let found = names.iter().any(|name| known[name.as_str()].contains(label));
            assert!(found || documented.contains(&label), "no series of {query} has the label {label}");
        }
    }
}

#[test]
fn every_alert_has_a_section_in_the_runbook() {
    let alerts: Vec<&str> = RULES.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    let urls: Vec<&str> = RULES.lines().filter_map(|line| line.trim().strip_prefix("runbook_url: ")).collect();
    assert_eq!(alerts.len(), urls.len(), "one runbook each");
    for (alert, url) in alerts.iter().zip(urls) {
        let anchor = alert.to_lowercase();
        assert!(url.trim_matches('"').ends_with(&format!("docs/operations.md#{anchor}")), "{alert}: {url}");
        let section = RUNBOOK.split(&format!("\n### {alert}\n")).nth(1);
        let section = section.unwrap_or_else(|| panic!("docs/operations.md has no section {alert}"));
        let section = section.split("\n#").next().unwrap_or_default();
        assert!(section.split_whitespace().count() > 40, "{alert}: too little to act on");
    }
}

#[test]
fn every_finding_is_named_in_the_runbook() {
    for Kind { name: kind, .. } in FINDINGS {
        assert!(RUNBOOK.contains(&format!("`{kind}`")), "docs/operations.md does not say what to do about {kind}");
    }
}

fn promtool(arguments: &[&str], input: Option<&str>) -> Option<(bool, String)> {
    let mut probe = Command::new("promtool");
    probe.arg("--version");
    if !is_installed("promtool (Debian package prometheus)", probe) {
        return None;
    }
    let mut command = Command::new("promtool");
    command.args(arguments).current_dir(Path::new(env!("CARGO_MANIFEST_DIR")));
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("it starts");
    std::io::Write::write_all(&mut child.stdin.take().expect("piped"), input.unwrap_or_default().as_bytes()).ok();
    let output = child.wait_with_output().expect("it ends");
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    Some((output.status.success(), text))
}

#[test]
#[ignore = "slow"]
fn the_alerts_fire_when_they_should_and_only_then() {
    for arguments in [
        &["check", "rules", "helm/rules/zendesk-gateway.yaml"][..],
        &["test", "rules", "tests/rules/zendesk-gateway.yaml"][..],
    ] {
        if let Some((well, text)) = promtool(arguments, None) {
            assert!(well, "{text}");
        }
    }
}

#[tokio::test]
async fn promtool_reads_a_live_scrape() {
    let t = Observed::start(Settings::default()).await;
    t.absent_sources();
    t.users()
        .get_user(GetUserRequest { id: t.sandbox.store().user_ids()[0], ..Default::default() })
        .await
        .expect("a user");
    let text = t.scrape().await;
    let checked = tokio::task::spawn_blocking(move || promtool(&["check", "metrics"], Some(&text)));
    if let Some((_, text)) = checked.await.expect("no panic") {
        // promtool also has opinions on names; the conventions' names are not ours to change.
        assert!(!text.contains("error while linting") && !text.contains("parse"), "{text}");
    }
}
