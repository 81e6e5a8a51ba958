//! What deserves attention now. Causes come before what follows from them, so that the first finding says what to mend.

use std::time::{Duration, SystemTime};

mod failing;
mod shares;

pub use failing::explains;

use super::failures::FAILURES;
use super::figures::{counted, span};
use super::findings::{Finding, Level};
use super::lately::Lately;
use super::member;
use super::readiness::Phase;
use super::status::Status;
use crate::limits::JOBS;
use crate::telemetry::State;
use crate::telemetry::budget::Budget;
use crate::telemetry::errors::Kind;
use crate::telemetry::process::Process;
use crate::telemetry::trouble::{ACCOUNT, Missing, REDIRECTED, Seen};
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

/// What a follower finds of its own accord, without its leader.
const OF_FOLLOWER: [&str; 2] = ["callers_unverifiable", "overloaded"];

/// Returns what deserves attention.
pub fn judge(status: &Status, state: &State, lately: &Lately) -> Vec<Finding> {
    let mut found = Found::default();
    found.phase(status);
    found.0.extend(member::findings(state));
    found.at_start(state);
    found.answers(state);
    found.credential(status.credential.as_ref());
    found.reloads(status);
    found.failures(lately, status, state);
    found.refused(lately, state);
    found.certificates(state);
    found.handshakes(lately);
    found.strangers(lately, &status.settings);
    found.limited(lately);
    found.jobs(lately);
    found.breakers(&status.breakers, state);
    found.slow(lately);
    found.unreadable(lately);
    found.budgets(status);
    found.connections(status, lately);
    found.process(Process::read());
    found.of_leader(state);
    found.failing(lately, state);
    if status.cache.as_ref().is_some_and(|cache| cache.max_bytes > 0) {
        found.cold_cache(lately);
    }
    found.telemetry(state, lately);
    found.0
}

#[derive(Default)]
struct Found(Vec<Finding>);

impl Found {
    fn add(&mut self, kind: &'static str, level: Level, text: String, next: &'static str) {
        self.about(kind, "", level, text, next);
    }

    /// What is found twice is told as it was found first.
    fn about(&mut self, kind: &'static str, about: &str, level: Level, text: String, next: &'static str) {
        if self.0.iter().any(|other| other.kind == kind && other.about == about) {
            return;
        }
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
        let missing = trouble.not_there.read(state.exchanges.well());
        let account: Vec<Seen> =
            missing.iter().filter(|(.., what)| *what == Missing::Account).map(|(_, seen, _)| *seen).collect();
        if let Some(since) = account.iter().map(|seen| seen.since).min() {
            let count = account.iter().map(|seen| seen.count).sum();
            let (kind, text, next) = ACCOUNT;
            let text = format!("{text} ({} in {}).", counted(count, "answer", "answers"), span(since.elapsed()));
            self.add(kind, Level::Problem, text, next);
        }
        for (class, seen, _) in missing.into_iter().filter(|(.., what)| *what == Missing::Endpoint) {
            let text =
                format!("Something of {class} is not there at Zendesk ({}), while other requests succeed.", told(seen));
            let next = "the slowest calls and the log name the endpoints; see whether the account's plan has them, and whether a \
                        proxy on the way blocks their paths";
            self.about("endpoint_not_found", class, Level::Problem, text, next);
        }
        let foreign = (
            "foreign_answers",
            "Zendesk answers something else than was asked for, which no caller is given",
            "look for a proxy on the way that mixes up answers",
        );
        for (seen, (kind, text, next)) in [(&trouble.redirected, REDIRECTED), (&trouble.foreign, foreign)] {
            if let Some(seen) = seen.read(state.exchanges.well()) {
                self.add(kind, Level::Problem, format!("{text} ({}).", told(seen)), next);
            }
        }
    }

    fn failures(&mut self, lately: &Lately, status: &Status, state: &State) {
        let credential = status.credential.as_ref();
        // What calls fail with for want of an access token is told as that.
        let has_no_token = credential.and_then(|it| it.lacked_ago).is_some_and(|ago| ago <= lately.over);
        let is_of_token =
            |kind| has_no_token && ["budget_spent", "upstream_down", "upstream_malformed"].contains(&kind);
        let cause = state.exchanges.last_cause();
        let leader = state.sources.fleet.read().filter(|it| it.course == "follows").and_then(|it| it.leader);
        for (reason, kind, at_least, text, next) in FAILURES {
            // CREDENTIAL_REFUSED of a credential that its caller passed through is UNAUTHENTICATED, and the caller's. And
            // UPSTREAM_ERROR is UNAVAILABLE where a proxy gave up on the request.
            let is_other = |kind: &Kind| match reason {
                "CREDENTIAL_REFUSED" => kind.code == "UNAUTHENTICATED",
                "UPSTREAM_ERROR" => kind.code == "UNAVAILABLE",
                _ => false,
            };
            let of = lately.errors.iter().filter(|(kind, _)| kind.reason == reason && !is_other(kind));
            let count: u64 = of.map(|(_, count)| count).sum();
            // Slots are held for jobs that cannot be asked about: the circuit says why.
            let are_held = kind == "jobs_full"
                && status.breakers.iter().any(|one| one.class == "job_lists" && one.state != BreakerState::Closed);
            if are_held || is_of_token(kind) {
                continue;
            }
            // Where one is enough, it does not matter how many others there are.
            let is_often = count >= at_least && (at_least == 1 || count * 100 >= lately.calls);
            if is_often && self.0.iter().all(|other| other.kind != kind) {
                let last = match reason {
                    "UPSTREAM_UNAVAILABLE" if !cause.is_empty() => format!("; the last time: {cause}"),
                    _ => String::new(),
                };
                let said = format!("{text} ({} in {}{last})", counted(count, "call", "calls"), lately.span());
                // A follower hears of most of them from its leader, whose settings and whose way to Zendesk they are about.
                let (text, next) = match &leader {
                    Some(leader) if !OF_FOLLOWER.contains(&kind) => {
                        (format!("{said}, says the leader at {leader}."), "see the leader's own status page")
                    }
                    _ => (format!("{said}."), next),
                };
                self.add(kind, Level::Problem, text, next);
            }
        }
        if let Some((count, over)) = lately.refused
            && self.0.iter().all(|other| other.kind != "credential_refused")
        {
            let of = FAILURES.iter().find(|(reason, ..)| *reason == "CREDENTIAL_REFUSED");
            let (_, kind, _, text, next) = of.expect("it is one of them");
            let calls = counted(count, "call", "calls");
            let text = format!("{text} ({calls} in {}, and none has succeeded since).", span(over));
            self.add(kind, Level::Problem, text, next);
        }
    }

    /// What Zendesk answers before the first call: without calls there are no errors to find.
    fn at_start(&mut self, state: &State) {
        if let Some(why) = state.trouble.kept_out() {
            let (kind, _, next) = why.means;
            let text = format!("{why}, so this replica is not ready; Zendesk is asked again every five seconds.");
            self.add(kind, Level::Problem, text, next);
        }
    }

    /// Files and keys that could not be taken: what was read before stays in use, until it ends or the process starts anew.
    fn reloads(&mut self, status: &Status) {
        // That no access token is issued is told as `token_renewal_failed`.
        let is_told = |what: &str| what == "access_token";
        for reload in status.reloads.iter().filter(|reload| reload.failing && !is_told(reload.what)) {
            let what = reload.what;
            // Without a first answer there is none before it that could be in use. A file was read, or there would have been no start.
            let is_of_file = status.settings.iter().any(|(key, _)| key == "identity.jwt.jwks_file");
            if what == "jwks" && !is_of_file && (status.phase == Phase::Starting || reload.taken == 0) {
                let text =
                    "The issuer's keys cannot be read, and never were, so callers with a token cannot be verified";
                let then = if status.phase == Phase::Starting { " and this replica is not ready" } else { "" };
                let next = "see whether identity.jwt.jwks_url answers from here, and the log for what it answers";
                self.add("callers_unverifiable", Level::Problem, format!("{text}{then}."), next);
                continue;
            }
            let text =
                format!("A new {what} could not be taken; the one before is still in use, and a restart would fail.");
            let next = if what == "jwks" && !is_of_file {
                "see the log for what the issuer answers, and whether identity.jwt.jwks_url answers from here"
            } else {
                "see the log for the file and why it was refused, and put the right content there"
            };
            self.about("reload_failed", what, Level::Warning, text, next);
        }
    }

    fn breakers(&mut self, breakers: &[view::Breaker], state: &State) {
        for breaker in breakers {
            let class = breaker.class;
            // Until a probe succeeds, Zendesk fails there, unless nobody calls.
            if breaker.state == BreakerState::Closed || breaker.is_unasked {
                continue;
            }
            let probe = breaker.probe_in.map_or("by a call".to_owned(), |wait| format!("in {}", span(wait)));
            let failure = state.exchanges.last_failure(class).unwrap_or_else(|| "unknown".to_owned());
            if failure == "malformed" && self.0.iter().all(|other| other.kind != "upstream_malformed") {
                let text = format!("Zendesk's answers for {class} cannot be read, so its circuit is open.");
                let next = "look for a proxy or a login page on the way that answers in its place";
                self.add("upstream_malformed", Level::Problem, text, next);
            }
            let text = format!(
                "The circuit for {class} is open: Zendesk fails there, the last time with {failure}; it is probed {probe}."
            );
            let next = "see status.zendesk.com and the log lines of target upstream, which hold the cause; it closes by itself";
            self.about("circuit_open", class, Level::Problem, text, next);
        }
    }

    fn budgets(&mut self, status: &Status) {
        const NEXT: &str = "find who spends it: Zendesk's Admin Center lists API usage by token";
        if let Some(pause) = status.governor.as_ref().and_then(|governor| governor.closed_for) {
            let text = format!("Zendesk asked for a pause; nothing is sent for {}.", span(pause));
            self.add("paused", Level::Problem, text, NEXT);
        }
        // All job slots taken is what a large bulk call does.
        let is_of_requests = |budget: &&Budget| budget.name != JOBS && is_current(budget);
        for budget in status.budgets.iter().filter(is_of_requests) {
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
        if let Some((failing, credential)) = credential.and_then(|it| Some((it.failing.as_deref()?, it))) {
            let is_usable = credential.expires.is_some_and(|ends| ends > SystemTime::now());
            let (level, then) = if is_usable {
                (Level::Warning, "the last one is in use until its end")
            } else {
                (Level::Problem, "no call can be sent")
            };
            let again =
                credential.again_in.map_or(String::new(), |wait| format!("; it is tried again in {}", span(wait)));
            let text = format!("No new access token for Zendesk could be had ({failing}); {then}{again}.");
            let next = "400, 401 and 403 mean that Zendesk refuses the client: its id, its secret or its scopes; anything else, that \
                        the token endpoint does not answer as it should";
            self.add("token_renewal_failed", level, text, next);
        }
        // One that the gateway renews is told of above.
        let Some(expires) =
            credential.filter(|credential| !credential.renewed).and_then(|credential| credential.expires)
        else {
            return;
        };
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
                // Whoever trusts an authority does not look at its own end.
                Err(_) if what.ends_with("authority") => {
                    let text = format!("The {what} has ended: nothing new should be signed by it.");
                    self.about("certificate_ended", what, Level::Warning, text, next);
                }
                Err(_) => {
                    let text = format!("The {what} has ended: whoever verifies it does not connect.");
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

    fn connections(&mut self, status: &Status, lately: &Lately) {
        if lately.turned_away > 0 {
            let open = status.connections.as_ref().map_or(0, |connections| connections.active);
            let refused = counted(lately.turned_away, "connection was", "connections were");
            let text = format!("{refused} refused in {}, because {open} are open.", lately.span());
            let next = "raise server.max_connections and the limit of descriptors, or add replicas; see who opens one for each call";
            self.add("connections_full", Level::Problem, text, next);
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

    fn telemetry(&mut self, state: &State, lately: &Lately) {
        if lately.other_lines > 0 {
            let lines = counted(lately.other_lines, "log line was", "log lines were");
            let text = format!("{lines} lost in {}: {}.", lately.span(), state.lost_lines.why());
            self.add(
                "log_lines_lost",
                Level::Warning,
                text,
                "see the node's log agent and its disk, or write fewer: telemetry.log_filter",
            );
        }
        match lately.changes_lost {
            0 => {}
            lost => {
                let lines = counted(lost, "change is", "changes are");
                let text = format!("{lines} not on record since the start: {}.", state.lost_lines.why());
                self.add(
                    "changes_not_on_record",
                    Level::Problem,
                    text,
                    "see the node's log agent and its disk; Zendesk's own audit log has every change",
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
                    "the log says what it answers: see whether telemetry.otlp.endpoint answers from here and takes what headers_file has",
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
