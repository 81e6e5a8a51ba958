//! What deserves attention now. Causes come before what follows from them, so that the first finding says what to mend.

use std::time::{Duration, SystemTime};

use super::findings::{Finding, Level};
use super::lately::Lately;
use super::member;
use super::readiness::Phase;
use super::status::{Status, counted, span};
use crate::telemetry::State;
use crate::telemetry::budget::Budget;
use crate::telemetry::logs::writer::Room;
use crate::telemetry::process::Process;
use crate::telemetry::trouble::Seen;
use crate::telemetry::view::{self, BreakerState};

/// A budget is short below this share of its limit.
const SHORT: f64 = 0.1;
/// A credential that ends sooner than this gets a finding.
const CREDENTIAL_EXPIRES_WITHIN: Duration = Duration::from_hours(30 * 24);
/// A certificate that ends sooner than this gets a finding: whoever renews it should have done so.
const CERTIFICATE_EXPIRES_WITHIN: Duration = Duration::from_hours(14 * 24);
/// Length of Zendesk's rate limit windows, in seconds: a statement without a reset time is out of date after it.
const WINDOW: u64 = 60;
/// File descriptors are short if less than this percentage of them is left.
const SPARE_DESCRIPTORS: u64 = 10;
/// Fewest reads in half a minute for which a percentage says something.
const ENOUGH: u64 = 30;
/// A cache is cold if it answers less than this percentage of the reads.
const COLD: u64 = 20;
/// Zendesk is slow if more than this percentage of the exchanges is.
const OFTEN_SLOW: u64 = 5;

/// Reasons of failed calls that are findings of their own: reason, kind, how many in half a minute at least, what it is, what to
/// do.
type Failure = (&'static str, &'static str, u64, &'static str, &'static str);
const FAILURES: [Failure; 11] = [
    (
        "CREDENTIAL_REFUSED",
        "credential_refused",
        1,
        "Zendesk refuses the gateway's credential",
        "put a valid one where upstream.credential says; the Admin Center's audit log tells whether it was revoked",
    ),
    (
        "CREDENTIAL_MISSING",
        "credential_refused",
        1,
        "There is no credential for Zendesk",
        "see upstream.credential, and the log lines about it",
    ),
    (
        "IDENTITY_UNAVAILABLE",
        "callers_unverifiable",
        1,
        "Callers cannot be verified, because the issuer's keys cannot be read",
        "see whether identity.jwt.jwks_url answers from here",
    ),
    (
        "UPSTREAM_MALFORMED",
        "upstream_malformed",
        2,
        "Zendesk's answers cannot be read",
        "look for a proxy or a login page on the way that answers in its place",
    ),
    (
        "UPSTREAM_UNAVAILABLE",
        "upstream_down",
        2,
        "Zendesk cannot be reached or fails",
        "see status.zendesk.com, and whether this network reaches upstream.base_url; log lines of target upstream hold the cause",
    ),
    (
        "UPSTREAM_TIMEOUT",
        "upstream_down",
        2,
        "Zendesk does not answer in time",
        "see status.zendesk.com, and the slowest calls below",
    ),
    (
        "UPSTREAM_ERROR",
        "upstream_down",
        2,
        "Zendesk answers with errors of its own",
        "see status.zendesk.com; log lines of target upstream name Zendesk's request ids for a ticket",
    ),
    (
        "RATE_LIMITED",
        "budget_spent",
        2,
        "Calls are refused because Zendesk's request budget does not allow them in time",
        "find who spends it: if the requests here do not add up to it, another integration of the account does",
    ),
    (
        "JOB_LIMIT",
        "jobs_full",
        2,
        "Bulk calls are refused because all background jobs of the account are taken",
        "wait for the jobs to end; the Admin Center shows other integrations",
    ),
    (
        "OVERLOADED",
        "overloaded",
        2,
        "Calls are refused for lack of room",
        "see whether Zendesk is slow or callers are more than usual; then upstream.queue.permits, while there is budget left",
    ),
    (
        "INTERNAL",
        "defect",
        1,
        "Calls fail because of a mistake in the gateway",
        "keep the log lines of target panic and of one such call by its trace id, and report them",
    ),
];

/// Returns what deserves attention.
pub fn judge(status: &Status, state: &State, lately: &Lately) -> Vec<Finding> {
    let mut found = Found::default();
    found.phase(status);
    found.0.extend(member::finding(state));
    found.answers(state);
    found.reloads(status);
    found.failures(lately);
    found.breakers(&status.breakers);
    found.slow(lately);
    found.budgets(status);
    found.credential(status.credential.as_ref());
    found.certificates(state);
    found.process(Process::read());
    found.cold_cache(lately);
    found.telemetry(state);
    found.0
}

#[derive(Default)]
struct Found(Vec<Finding>);

impl Found {
    fn add(&mut self, kind: &'static str, level: Level, text: String, next: &'static str) {
        self.about(kind, "", level, text, next);
    }

    fn about(&mut self, kind: &'static str, about: &str, level: Level, text: String, next: &'static str) {
        self.0.push(Finding { kind, about: about.to_owned(), level, text, next, since_seconds: 0 });
    }

    fn phase(&mut self, status: &Status) {
        if status.phase == Phase::Draining {
            let text = "Shutting down: new calls should go to another replica.".to_owned();
            self.add("draining", Level::Warning, text, "nothing, unless it takes longer than server.drain.timeout");
        }
    }

    /// Mistakes to which answers of Zendesk point that are given to no caller.
    fn answers(&mut self, state: &State) {
        let told =
            |seen: Seen| format!("{} in {}", counted(seen.count, "answer", "answers"), span(seen.since.elapsed()));
        let trouble = &state.trouble;
        for (seen, kind, text, next) in [
            (
                trouble.account_not_found.read(),
                "account_not_found",
                "Zendesk has no such account, or not this API, at this address",
                "check upstream.base_url, and whether the account is closed",
            ),
            (
                trouble.redirected.read(),
                "redirected",
                "Requests are redirected instead of answered",
                "set upstream.base_url to the account's own address",
            ),
            (
                trouble.foreign.read(),
                "foreign_answers",
                "Zendesk answers something else than was asked for, which no caller is given",
                "look for a proxy on the way that mixes up answers",
            ),
        ] {
            if let Some(seen) = seen {
                self.add(kind, Level::Problem, format!("{text} ({}).", told(seen)), next);
            }
        }
    }

    fn failures(&mut self, lately: &Lately) {
        for (reason, kind, at_least, text, next) in FAILURES {
            // CREDENTIAL_REFUSED of a credential that its caller passed through is UNAUTHENTICATED, and the caller's.
            let of = lately.errors.iter().filter(|(kind, _)| kind.reason == reason && kind.code != "UNAUTHENTICATED");
            let count: u64 = of.map(|(_, count)| count).sum();
            if count >= at_least && count * 100 >= lately.calls && self.0.iter().all(|other| other.kind != kind) {
                let text = format!("{text} ({} in half a minute).", counted(count, "call", "calls"));
                self.add(kind, Level::Problem, text, next);
            }
        }
    }

    /// Files and keys that could not be taken: what was read before stays in use, until it ends or the process starts anew.
    fn reloads(&mut self, status: &Status) {
        for reload in status.reloads.iter().filter(|reload| reload.failing) {
            let what = reload.what;
            let text =
                format!("A new {what} could not be taken; the one before is still in use, and a restart would fail.");
            let next = "see the log for the file and why it was refused, and put the right content there";
            self.about("reload_failed", what, Level::Warning, text, next);
        }
    }

    fn breakers(&mut self, breakers: &[view::Breaker]) {
        for breaker in breakers {
            let class = breaker.class;
            match breaker.state {
                BreakerState::Open => {
                    let probe = breaker.probe_in.map_or(String::new(), |wait| format!("; it probes in {}", span(wait)));
                    let text = format!("The circuit for {class} is open: Zendesk fails there{probe}.");
                    let next = "see status.zendesk.com and the log lines of target upstream; it closes by itself";
                    self.about("circuit_open", class, Level::Problem, text, next);
                }
                BreakerState::HalfOpen => {
                    let text = format!("The circuit for {class} is probing.");
                    self.about(
                        "circuit_probing",
                        class,
                        Level::Warning,
                        text,
                        "nothing: it closes if the probe succeeds",
                    );
                }
                BreakerState::Closed => {}
            }
        }
    }

    fn slow(&mut self, lately: &Lately) {
        if lately.slow >= 3 && lately.slow * 100 > lately.exchanges * OFTEN_SLOW {
            let text = format!(
                "Zendesk is slow: {} of {} requests in half a minute took more than 2.5 s.",
                lately.slow, lately.exchanges
            );
            let next = "compare with a plain request from the same network; the slowest calls below name the endpoints";
            self.add("upstream_slow", Level::Warning, text, next);
        }
    }

    fn budgets(&mut self, status: &Status) {
        const NEXT: &str = "find who spends it: Zendesk's Admin Center lists API usage by token";
        if let Some(pause) = status.governor.as_ref().and_then(|governor| governor.closed_for) {
            let text = format!("Zendesk asked for a pause; nothing is sent for {}.", span(pause));
            self.add("paused", Level::Problem, text, NEXT);
        }
        for budget in status.budgets.iter().filter(|budget| is_current(budget)) {
            let of = if budget.name == "account" { "account".to_owned() } else { format!("endpoint {}", budget.name) };
            let reset =
                budget.reset_in.map_or(String::new(), |reset| format!(", and {} until there is more", span(reset)));
            let Budget { remaining, limit, .. } = budget;
            if *remaining == 0 {
                let text = format!("The request budget of the {of} is used up: 0 of {limit} left{reset}.");
                self.about("budget_used_up", &budget.name, Level::Problem, text, NEXT);
            } else if f64::from(*remaining) < SHORT * f64::from(*limit) {
                let text = format!("The request budget of the {of} is short: {remaining} of {limit} left{reset}.");
                self.about("budget_short", &budget.name, Level::Warning, text, NEXT);
            }
        }
        if let Some(governor) = status.governor.as_ref().filter(|governor| governor.waiting > 0) {
            let calls = counted(governor.waiting, "call waits", "calls wait");
            let text = format!("The request budget is shared out: {calls} for a turn.");
            self.add("budget_waiting", Level::Warning, text, NEXT);
        }
        if let Some(queue) = status.queue.as_ref().filter(|queue| queue.waiting > 0) {
            let waiting = counted(queue.waiting, "call waits", "calls wait");
            let text = format!("All {} upstream permits are in use, and {waiting}.", queue.permits);
            self.add(
                "permits_waiting",
                Level::Warning,
                text,
                "see whether Zendesk is slow; else raise upstream.queue.permits",
            );
        }
    }

    fn credential(&mut self, credential: Option<&view::Credential>) {
        if let Some(failing) = credential.and_then(|credential| credential.failing.as_deref()) {
            let text = format!("No new access token for Zendesk could be had ({failing}).");
            let next = "401 means a wrong client id or secret; anything else, that the token endpoint does not answer";
            self.add("token_renewal_failed", Level::Warning, text, next);
        }
        let unattended = |credential: &&view::Credential| !credential.renewed || credential.failing.is_some();
        let Some(expires) = credential.filter(unattended).and_then(|credential| credential.expires) else { return };
        let next = "create its successor in the Admin Center and put it where upstream.credential says";
        match expires.duration_since(SystemTime::now()) {
            Err(_) => {
                self.add("credential_ended", Level::Problem, "The credential for Zendesk has ended.".to_owned(), next);
            }
            Ok(left) if left < CREDENTIAL_EXPIRES_WITHIN => {
                let text = format!("The credential for Zendesk ends in {}.", span(left));
                self.add("credential_ends", Level::Warning, text, next);
            }
            Ok(_) => {}
        }
    }

    fn certificates(&mut self, state: &State) {
        for certificate in state.sources.certificates.read().unwrap_or_default() {
            let what = certificate.what;
            let next = "renew it; running gateways pick a new file up by themselves";
            match certificate.expires.duration_since(SystemTime::now()) {
                Err(_) => {
                    let text = format!("The {what} has ended: callers that verify it cannot connect.");
                    self.about("certificate_ended", what, Level::Problem, text, next);
                }
                Ok(left) if left < CERTIFICATE_EXPIRES_WITHIN => {
                    let text = format!("The {what} ends in {}.", span(left));
                    self.about("certificate_ends", what, Level::Warning, text, next);
                }
                Ok(_) => {}
            }
        }
    }

    fn process(&mut self, process: Process) {
        let (Some(open), Some(most)) = (process.descriptors, process.most_descriptors) else { return };
        if most.saturating_sub(open) * 100 < most * SPARE_DESCRIPTORS {
            let text = format!("File descriptors are short: {open} of {most} are open.");
            self.add(
                "descriptors_short",
                Level::Warning,
                text,
                "allow the process more (ulimit -Hn), or lower server.max_connections",
            );
        }
    }

    fn cold_cache(&mut self, lately: &Lately) {
        // Where calls fail, the cache cannot fill: that is not its fault.
        let problems = self.0.iter().any(|finding| finding.level == Level::Problem);
        if !problems && lately.reads >= ENOUGH && lately.free_reads * 100 < lately.reads * COLD {
            let text =
                format!("The cache answers few reads: {} of {} in half a minute.", lately.free_reads, lately.reads);
            let next = "if it is not new: see the cache's size, and whether callers send cache-control: no-cache";
            self.add("cache_cold", Level::Warning, text, next);
        }
    }

    fn telemetry(&mut self, state: &State) {
        match state.lost_lines.read(Room::Changes) {
            0 => {}
            lost => {
                let lines = counted(lost, "change is", "changes are");
                let text = format!("{lines} not on record since the start: standard error was not read in time.");
                self.add(
                    "changes_not_on_record",
                    Level::Problem,
                    text,
                    "see the node's log agent; Zendesk's own audit log has every change",
                );
            }
        }
        for (signal, pushed) in state.pushed.signals() {
            if pushed.is_down() {
                let text = format!("The collector does not take {signal}; calls are not affected.");
                self.about(
                    "collector_down",
                    signal,
                    Level::Warning,
                    text,
                    "see whether telemetry.otlp.endpoint answers from here",
                );
            }
        }
    }
}

/// True if Zendesk's last statement about a budget still holds.
fn is_current(budget: &Budget) -> bool {
    match budget.reset_in {
        Some(reset) => !reset.is_zero(),
        None => budget.stated_seconds_ago < WINDOW,
    }
}
