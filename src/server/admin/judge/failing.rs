//! Calls that fail, where nothing else that is found says why: no page says that all is well while calls fail.

use super::Found;
use crate::server::admin::failures::FAILURES;
use crate::server::admin::figures::counted;
use crate::server::admin::findings::{Finding, Level};
use crate::server::admin::lately::Lately;
use crate::telemetry::State;
use crate::telemetry::errors::Kind;

/// Fewest such calls in half a minute.
const AT_LEAST: u64 = 2;
/// Fewest conflicts in that time that are a finding.
const MANY: u64 = 5;
/// The percentage of the calls from which they are a finding.
const OFTEN: u64 = 1;
/// The percentage from which it is a problem.
const VERY_OFTEN: u64 = 10;

/// What calls end with for the causes that are found, besides [`FAILURES`].
const FOLLOWS: [(&str, &[&str]); 7] = [
    (
        "DEADLINE_EXCEEDED",
        &[
            "upstream_late",
            "upstream_slow",
            "upstream_down",
            "circuit_open",
            "budget_spent",
            "budget_used_up",
            "budget_waiting",
            "paused",
            "permits_waiting",
            "overloaded",
            "token_renewal_failed",
            "fleet_alone",
        ],
    ),
    ("BREAKER_OPEN", &["circuit_open", "upstream_malformed", "upstream_down"]),
    ("ACCOUNT_NOT_FOUND", &["account_not_found", "endpoint_not_found"]),
    ("UPSTREAM_MALFORMED", &["foreign_answers", "circuit_open", "token_renewal_failed"]),
    ("UPSTREAM_UNAVAILABLE", &["circuit_open", "token_renewal_failed"]),
    ("UPSTREAM_TIMEOUT", &["circuit_open", "token_renewal_failed"]),
    ("SHUTTING_DOWN", &["draining", "fleet_alone"]),
];

/// Reasons of failures that are their callers' own mistakes.
const MISTAKES: [&str; 8] = [
    "DEADLINE_TOO_SHORT",
    "MALFORMED_REQUEST",
    "REQUEST_INCOMPLETE",
    "REPLY_NOT_READ",
    "STILL_RUNNING",
    "UNIMPLEMENTED",
    "CACHE_MISS",
    "CALLER_UNAUTHENTICATED",
];

/// True if the gateway or Zendesk failed: what the burn rate counts, but for what is refused for lack of budget.
fn is_failure(kind: &Kind) -> bool {
    const CODES: [&str; 6] = ["UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"];
    CODES.contains(&kind.code) && !MISTAKES.contains(&kind.reason) && !kind.method.starts_with("grpc.")
}

/// True if Zendesk refuses a call because of another change.
fn is_conflict(kind: &Kind) -> bool {
    kind.reason == "CONFLICT"
}

/// True if one of the findings is why calls fail for this reason.
pub fn explains(found: &[Finding], reason: &str) -> bool {
    let is_told = |kind: &str| found.iter().any(|other| other.kind == kind);
    FAILURES.iter().any(|(of, kind, ..)| *of == reason && is_told(kind))
        || FOLLOWS.iter().any(|(of, kinds)| *of == reason && kinds.iter().any(|kind| is_told(kind)))
}

impl Found {
    /// Calls that fail for a reason that nothing else found explains.
    pub(super) fn failing(&mut self, lately: &Lately, state: &State) {
        // What was explained at its time stays so, after its cause is over.
        let left = |kind: &Kind, count: u64| {
            if explains(&self.0, kind.reason) {
                return 0;
            }
            count.saturating_sub(lately.explained.get(kind).copied().unwrap_or_default())
        };
        // Some calls meet a conflict where all is well.
        let conflicts: u64 = lately.errors.iter().filter(|(kind, _)| is_conflict(kind)).map(|(_, count)| count).sum();
        let is_contested = conflicts >= MANY && conflicts * 100 >= lately.calls * VERY_OFTEN;
        let fails = |kind: &Kind| is_failure(kind) || is_contested && is_conflict(kind);
        let failed = lately.errors.iter().filter(|(kind, _)| fails(kind));
        let unexplained: Vec<(u64, Kind)> = failed.map(|(kind, count)| (left(kind, *count), *kind)).collect();
        let count: u64 = unexplained.iter().map(|(count, _)| count).sum();
        let Some((_, most)) = unexplained.into_iter().max() else { return };
        if count < AT_LEAST || count * 100 < lately.calls * OFTEN {
            return;
        }
        let method = most.method.rsplit_once('.').map_or(most.method, |(_, method)| method);
        let text = format!(
            "{} of {} in {} fail, most of them {method} with {}.",
            count,
            counted(lately.calls, "call", "calls"),
            lately.span(),
            most.reason
        );
        let follows = state.sources.fleet.read().is_some_and(|it| it.course == "follows");
        let next = match most.reason {
            _ if follows => "see the leader's own status page, too; the errors below have reason and method of each",
            "DEADLINE_EXCEEDED" => {
                "compare the callers' deadlines, and server.unary_deadline, with what Zendesk takes: the slowest calls are below"
            }
            "CONFLICT" => {
                "see who else writes the same records all the time: the access lines name the callers, and Zendesk's audit log the others"
            }
            "BODY_TOO_LARGE" => "raise upstream.max_body_bytes: Zendesk's answers are larger",
            _ => "the errors below have reason and method of each; the access lines with that reason have the calls",
        };
        let level = if count * 100 >= lately.calls * VERY_OFTEN { Level::Problem } else { Level::Warning };
        self.add("calls_fail", level, text, next);
    }
}
