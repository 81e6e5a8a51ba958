//! A snapshot of what the gateway is doing, with findings that deserve attention.

use std::time::{Duration, SystemTime};

use serde::Serialize;

use super::readiness::Phase;
use super::shown::Admin;
use crate::telemetry::State;
use crate::telemetry::budget::Budget;
use crate::telemetry::logs::writer::Room;
use crate::telemetry::slowest::Exchange;
use crate::telemetry::state::Calls;
use crate::telemetry::trouble::Seen;
use crate::telemetry::view::{self, BreakerState};

/// A budget is short below this share of its limit.
const SHORT: f64 = 0.1;
/// A credential that ends sooner than this gets a finding.
const CREDENTIAL_EXPIRES_WITHIN: Duration = Duration::from_hours(30 * 24);
/// Length of Zendesk's rate limit windows, in seconds: a statement without a reset time is out of date after it.
const WINDOW: u64 = 60;

/// A snapshot of the gateway.
#[derive(Debug, Serialize)]
pub struct Status {
    /// The version.
    pub version: &'static str,
    /// How long it has been running.
    pub uptime_seconds: u64,
    /// Whether it serves.
    pub phase: Phase,
    /// What deserves attention, the gravest first; empty when all is well.
    pub findings: Vec<Finding>,
    /// Where Zendesk is.
    pub upstream: String,
    /// The gateway's own credential.
    pub credential: Option<view::Credential>,
    /// The request budgets, as Zendesk last stated them.
    pub budgets: Vec<Budget>,
    /// What the governor does with the budgets.
    pub governor: Option<view::Governor>,
    /// Unary calls.
    pub calls: CallCounts,
    /// Streams.
    pub streams: CallCounts,
    /// The cache.
    pub cache: Option<view::Cache>,
    /// The share of reads that cost no upstream request of their own.
    pub cache_hit_ratio: Option<f64>,
    /// The circuit breakers.
    pub breakers: Vec<view::Breaker>,
    /// The queue for upstream permits.
    pub queue: Option<view::Queue>,
    /// Connections to Zendesk.
    pub upstream_connections: Option<view::UpstreamConnections>,
    /// Callers' connections.
    pub connections: Option<view::Connections>,
    /// Bulk jobs.
    pub jobs: Option<view::Jobs>,
    /// The slowest upstream exchanges of the last ten minutes.
    pub slowest: Vec<Exchange>,
    /// The settings, by full key.
    pub settings: Vec<(String, String)>,
}

/// How many calls there were since the start.
#[derive(Debug, Serialize)]
pub struct CallCounts {
    /// Under way.
    pub active: u64,
    /// Ended.
    pub ended: u64,
    /// Of the ended ones, those that failed because of the gateway or Zendesk.
    pub failed: u64,
    /// Of the ended ones, those refused for lack of request budget.
    pub throttled: u64,
}

impl From<&Calls> for CallCounts {
    fn from(calls: &Calls) -> Self {
        Self { active: calls.active(), ended: calls.ended(), failed: calls.failed(), throttled: calls.throttled() }
    }
}

/// Something that deserves attention.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How grave it is.
    pub level: Level,
    /// What it is, in a sentence.
    pub text: String,
}

/// How grave a finding is; the graver first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Calls fail.
    Problem,
    /// Calls will fail, or some are slower than usual.
    Warning,
}

impl Status {
    /// Takes a snapshot.
    pub fn read(admin: &Admin) -> Self {
        let state = admin.0.telemetry.state();
        let cache = state.sources.cache.read();
        let mut status = Self {
            version: env!("CARGO_PKG_VERSION"),
            uptime_seconds: state.started.elapsed().as_secs(),
            phase: admin.0.readiness.phase(),
            findings: Vec::new(),
            upstream: admin.0.upstream.to_string(),
            credential: state.sources.credential.read(),
            budgets: state.budgets.read(),
            governor: state.sources.governor.read(),
            calls: (&state.calls).into(),
            streams: (&state.streams).into(),
            cache_hit_ratio: cache.as_ref().and_then(view::Cache::hit_ratio),
            cache,
            breakers: state.sources.breakers.read().unwrap_or_default(),
            queue: state.sources.queue.read(),
            upstream_connections: state.sources.upstream_connections.read(),
            connections: state.sources.connections.read(),
            jobs: state.sources.jobs.read(),
            slowest: state.slowest.read(),
            settings: admin.0.settings.clone(),
        };
        status.findings = status.judge(state);
        status
    }

    fn judge(&self, state: &State) -> Vec<Finding> {
        let mut findings = Vec::new();
        let mut find = |level, text: String| findings.push(Finding { level, text });
        if self.phase == Phase::Draining {
            find(Level::Warning, "Shutting down: new calls should go to another replica.".to_owned());
        }
        let answers = |seen: Seen| {
            let since = span(seen.since.elapsed());
            format!("{} in {since}", counted(seen.count, "answer", "answers"))
        };
        if let Some(seen) = state.trouble.account_not_found.read() {
            let text = "Zendesk has no such account, or not this API, at this address";
            let next = "check upstream.base_url, and whether the account is closed";
            find(Level::Problem, format!("{text} ({}): {next}.", answers(seen)));
        }
        if let Some(seen) = state.trouble.redirected.read() {
            let text = "Requests are redirected instead of answered";
            let next = "set upstream.base_url to the account's own address";
            find(Level::Problem, format!("{text} ({}): {next}.", answers(seen)));
        }
        if let Some(seen) = state.trouble.foreign.read() {
            let text = "Zendesk answers something else than was asked for, which no caller is given";
            let next = "look for a proxy on the way that mixes up answers";
            find(Level::Problem, format!("{text} ({}): {next}.", answers(seen)));
        }
        for breaker in &self.breakers {
            let class = breaker.class;
            match breaker.state {
                BreakerState::Open => {
                    let probe = breaker.probe_in.map_or(String::new(), |wait| format!("; it probes in {}", span(wait)));
                    find(Level::Problem, format!("The circuit for {class} is open: Zendesk fails there{probe}."));
                }
                BreakerState::HalfOpen => find(Level::Warning, format!("The circuit for {class} is probing.")),
                BreakerState::Closed => {}
            }
        }
        if let Some(pause) = self.governor.as_ref().and_then(|governor| governor.closed_for) {
            find(Level::Problem, format!("Zendesk asked for a pause; nothing is sent for {}.", span(pause)));
        }
        for budget in self.budgets.iter().filter(|budget| is_current(budget)) {
            let of = if budget.name == "account" { "account".to_owned() } else { format!("endpoint {}", budget.name) };
            let reset =
                budget.reset_in.map_or(String::new(), |reset| format!(", and {} until there is more", span(reset)));
            let Budget { remaining, limit, .. } = budget;
            if *remaining == 0 {
                find(Level::Problem, format!("The request budget of the {of} is used up: 0 of {limit} left{reset}."));
            } else if f64::from(*remaining) < SHORT * f64::from(*limit) {
                find(
                    Level::Warning,
                    format!("The request budget of the {of} is short: {remaining} of {limit} left{reset}."),
                );
            }
        }
        if let Some(governor) = self.governor.as_ref().filter(|governor| governor.waiting > 0) {
            let calls = counted(governor.waiting, "call waits", "calls wait");
            find(Level::Warning, format!("The request budget is shared out: {calls} for a turn."));
        }
        if let Some(queue) = self.queue.as_ref().filter(|queue| queue.waiting > 0) {
            let waiting = counted(queue.waiting, "call waits", "calls wait");
            let text = format!("All {} upstream permits are in use, and {waiting}.", queue.permits);
            find(Level::Warning, text);
        }
        let credential = self.credential.as_ref();
        if let Some(failing) = credential.and_then(|credential| credential.failing.as_deref()) {
            find(Level::Warning, format!("No new access token for Zendesk could be had ({failing})."));
        }
        let unattended = |credential: &&view::Credential| !credential.renewed || credential.failing.is_some();
        if let Some(expires) = credential.filter(unattended).and_then(|credential| credential.expires) {
            match expires.duration_since(SystemTime::now()) {
                Err(_) => find(Level::Problem, "The credential for Zendesk has ended.".to_owned()),
                Ok(left) if left < CREDENTIAL_EXPIRES_WITHIN => {
                    find(Level::Warning, format!("The credential for Zendesk ends in {}.", span(left)));
                }
                Ok(_) => {}
            }
        }
        match state.lost_lines.read(Room::Changes) {
            0 => {}
            lost => {
                let lines = counted(lost, "change is", "changes are");
                let text = "since the start: standard error was not read in time";
                find(Level::Problem, format!("{lines} not on record {text}."));
            }
        }
        for (signal, pushed) in state.pushed.signals() {
            if pushed.is_down() {
                find(Level::Warning, format!("The collector does not take {signal}; calls are not affected."));
            }
        }
        findings.sort_by_key(|finding| finding.level);
        findings
    }
}

/// True if Zendesk's last statement about a budget still holds.
fn is_current(budget: &Budget) -> bool {
    match budget.reset_in {
        Some(reset) => !reset.is_zero(),
        None => budget.stated_seconds_ago < WINDOW,
    }
}

/// Writes how many there are.
pub fn counted(number: u64, one: &str, more: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { more })
}

/// Writes a time span for people: its two largest units.
pub fn span(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let parts = [(seconds / 86_400, "d"), (seconds / 3600 % 24, "h"), (seconds / 60 % 60, "min"), (seconds % 60, "s")];
    let first = parts.iter().position(|(number, _)| *number > 0).unwrap_or(parts.len() - 1);
    let shown: Vec<String> = parts[first..].iter().take(2).map(|(number, unit)| format!("{number} {unit}")).collect();
    shown.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_shows_its_two_largest_units() {
        let shown = |seconds| span(Duration::from_secs(seconds));
        assert_eq!(shown(0), "0 s");
        assert_eq!(shown(59), "59 s");
        assert_eq!(shown(61), "1 min 1 s");
        assert_eq!(shown(7322), "2 h 2 min");
        assert_eq!(shown(90_000 * 24), "25 d 0 h");
    }
}
