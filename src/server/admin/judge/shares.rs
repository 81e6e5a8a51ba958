//! What is found because too many of the recent calls or exchanges went that way.

use super::Found;
use crate::contract::{RPCS, Risk};
use crate::rpc::method::OTHER_NAME;
use crate::server::admin::figures::counted;
use crate::server::admin::findings::{Finding, Level};
use crate::server::admin::lately::Lately;
use crate::telemetry::State;
use crate::telemetry::errors::Kind;
use crate::telemetry::findings::About;

/// Fewest reads in half a minute for which a percentage says something.
const ENOUGH: u64 = 30;
/// A cache is cold if it answers less than this percentage of the reads.
const COLD: u64 = 20;
/// Zendesk is slow if more than this percentage of the exchanges is.
const OFTEN_SLOW: u64 = 5;
/// Zendesk answers too late for the callers if more than this percentage of the exchanges is given up.
const OFTEN_GIVEN_UP: u64 = 20;
/// Callers are not known any more if this percentage of the calls is refused for it: one team of several, at least.
const OFTEN_STRANGERS: u64 = 20;
/// Callers' limits deserve a look if this percentage of the calls is refused for them.
const OFTEN_LIMITED: u64 = 10;
/// Fewest exchanges that are refused or given up for which a percentage says something.
const SOME: u64 = 5;
/// Zendesk refuses what is asked for if it refuses this percentage of the exchanges.
const OFTEN_REFUSED: u64 = 30;
/// It refuses a part of it if it refuses this percentage, such as one of several addresses that the account's restrictions do not have.
const SOMETIMES_REFUSED: u64 = 10;
/// It refuses what is asked for in a class if it refuses this percentage of the class's.
const NEARLY_ALWAYS: u64 = 90;

/// So many values that cannot be read are more than a few odd records; so many rows are a problem.
const MANY_LOST: u64 = 20;
/// Most fields that are told.
const MOST_FIELDS: usize = 3;

impl Found {
    /// Callers who get no connection, because one side does not take the other's certificate: nothing of them is seen otherwise.
    pub(super) fn handshakes(&mut self, lately: &Lately) {
        const NEXT: &str = "see whether server.tls.cert_file or server.tls.client_ca_file has changed, whether the authorities of both sides \
                            overlapped, and whether the certificate has the name that callers use; the log level server=debug names each failure";
        for (count, about, who) in [
            (lately.port_distrusted, "port", "their callers do not take the certificate of the gRPC port"),
            (
                lately.callers_distrusted,
                "callers",
                "their callers have no certificate that server.tls.client_ca_file knows and that is valid",
            ),
        ] {
            if count >= SOME && count * 100 >= lately.connections * OFTEN_STRANGERS {
                // A connection may have begun before the time that is looked at.
                let all = lately.connections.max(count);
                let text = format!("{count} of {all} new connections in {} fail: {who}.", lately.span());
                self.about("handshakes_fail", about, Level::Problem, text, NEXT);
            }
        }
        self.strays(lately);
    }

    /// Callers who speak something else than the port, or balancers, probes and scrapers that do.
    fn strays(&mut self, lately: &Lately) {
        let count: u64 = lately.strays.values().sum();
        let most = lately.strays.iter().max_by_key(|(_, count)| **count);
        let Some((spoken, _)) = most.filter(|_| count >= SOME && count * 100 >= lately.connections * OFTEN_STRANGERS)
        else {
            return;
        };
        let who = match *spoken {
            "plaintext" => "their callers speak HTTP/2 without TLS, and the port speaks TLS",
            "tls" => "their callers speak TLS, and the port does not: server.tls has no certificate",
            "http1" => "their callers, or a balancer before them, speak HTTP/1.1, and the port speaks HTTP/2 alone",
            "proxy_header" => "a balancer sends a header of the PROXY protocol first, which the port does not know",
            "tls_version" => {
                "their callers have no version or cipher of TLS in common with the port, which speaks TLS 1.2 and 1.3"
            }
            "alpn" => "their callers, or a balancer before them, do not offer HTTP/2 (h2) in the TLS handshake",
            _ => "their callers send something that is no HTTP/2",
        };
        let all = lately.connections.max(count);
        let text = format!("{count} of {all} new connections in {} fail: {who}.", lately.span());
        let next = "see whether server.tls, the callers' own settings or a balancer's protocol has changed, and whether a probe or a \
                    scraper asks this port in place of the admin port; zendesk_gateway.connections.strays counts all by what they speak";
        self.about("handshakes_fail", "protocol", Level::Problem, text, next);
    }

    /// Callers who do not prove who they are, or whose own credential Zendesk refuses; and those who may not do what they ask for.
    pub(super) fn strangers(&mut self, lately: &Lately, settings: &[(String, String)]) {
        let count = |of: &dyn Fn(&Kind) -> bool| -> u64 {
            lately.errors.iter().filter(|(kind, _)| of(kind)).map(|(_, count)| count).sum()
        };
        let is_often = |count: u64| count >= SOME && count * 100 >= lately.calls * OFTEN_STRANGERS;
        let is_forbidden = |kind: &Kind| ["CALLER_FORBIDDEN", "IMPERSONATION_FORBIDDEN"].contains(&kind.reason);
        let forbidden = count(&is_forbidden);
        if is_often(forbidden) {
            // Two settings refuse whole risk classes, whatever the rules allow.
            let is = |key: &str, value: &str| settings.iter().any(|(name, text)| name == key && text == value);
            let above = |risk: Risk| {
                let of = |kind: &Kind| RPCS.iter().find(|rpc| rpc.path.trim_start_matches('/') == kind.method);
                count(&|kind| is_forbidden(kind) && of(kind).is_some_and(|rpc| rpc.risk >= risk))
            };
            let changes = if is("authorization.read_only", "true") { above(Risk::Write) } else { 0 };
            let is_final = changes == 0 && is("authorization.destructive", "false");
            let finals = if is_final { above(Risk::Destructive) } else { 0 };
            let (number, what, next) = if changes * 2 > forbidden {
                (
                    changes,
                    "would change something, which authorization.read_only refuses",
                    "set authorization.read_only to false if callers may write; the access lines name those who try to",
                )
            } else if finals * 2 > forbidden {
                (
                    finals,
                    "cannot be undone, and authorization.destructive does not allow such calls",
                    "set authorization.destructive to true if callers may do that; the access lines name those who try to",
                )
            } else {
                (
                    forbidden,
                    "are more than authorization.rules allow their callers",
                    "the access lines name the callers and the methods: compare the names with those that authorization.rules have",
                )
            };
            let text = format!("{number} of {} calls in {} {what}.", lately.calls, lately.span());
            self.add("callers_forbidden", Level::Warning, text, next);
        }
        let is_stranger = |kind: &Kind| {
            // A replica of the fleet that proves nothing is no caller.
            kind.reason == "CALLER_UNAUTHENTICATED" && kind.method != OTHER_NAME
                || kind.reason == "CREDENTIAL_REFUSED" && kind.code == "UNAUTHENTICATED"
        };
        let count = count(&is_stranger);
        if is_often(count) {
            let text =
                format!("{count} of {} calls in {} come from callers who are not known.", lately.calls, lately.span());
            let next = "zendesk_gateway.identity.refused says why; see whether keys, certificates or the issuer have changed, whether the clocks of \
                 the issuer and of this node agree, and for pass_through whether Zendesk still takes the callers' own credentials";
            self.add("callers_unknown", Level::Warning, text, next);
        }
    }

    /// Callers who take more than their settings allow: for minutes, it is the setting that deserves a look.
    pub(super) fn limited(&mut self, lately: &Lately) {
        let count: u64 =
            lately.errors.iter().filter(|(kind, _)| kind.reason == "CALLER_LIMIT").map(|(_, count)| count).sum();
        if count >= SOME && count * 100 >= lately.calls * OFTEN_LIMITED {
            let text =
                format!("{count} of {} calls in {} are more than their callers may make.", lately.calls, lately.span());
            let next = "the access lines name the callers; callers behind one proxy and without proof of who they are count as one; the \
                        limits are the settings below callers";
            self.add("callers_limited", Level::Warning, text, next);
        }
    }

    /// Background jobs that Zendesk has taken, and that then failed as a whole.
    pub(super) fn jobs(&mut self, lately: &Lately) {
        if lately.jobs_failed >= 2 && lately.jobs_failed * 2 >= lately.jobs_ended {
            let (failed, all) = (lately.jobs_failed, lately.jobs_ended);
            let text =
                format!("{failed} of {all} background jobs that ended in {} have failed at Zendesk.", lately.span());
            let next = "GetJob and ListJobs have Zendesk's message for each; their calls were answered OK when the job was taken";
            self.add("jobs_failed", Level::Problem, text, next);
        }
    }

    /// What Zendesk refuses whoever asks: a user who may do too little, addresses that are not allowed, an account that is locked.
    pub(super) fn refused(&mut self, lately: &Lately, state: &State) {
        const NEXT: &str = "403: see the role of the credential's user, the scopes of its token, and the account's IP restrictions; \
                            402 and 423: whether the account is paid and open; another status: whether a proxy on the way answers in its place";
        let is_often = |refused: u64, all: u64, percentage: u64| refused >= SOME && refused * 100 >= all * percentage;
        // A follower has no exchanges of its own, but what its leader has answered.
        if let Some(leader) = state.sources.fleet.read().filter(|it| it.course == "follows").and_then(|it| it.leader) {
            let is_refusal = |kind: &Kind| ["PERMISSION_DENIED", "UPSTREAM_REFUSED"].contains(&kind.reason);
            let of = lately.errors.iter().filter(|(kind, _)| is_refusal(kind));
            let refused = of.map(|(_, count)| count).sum();
            if is_often(refused, lately.calls, OFTEN_REFUSED) {
                let (calls, span) = (lately.calls, lately.span());
                let text =
                    format!("Zendesk refuses {refused} of {calls} calls in {span}, says the leader at {leader}.");
                self.add("access_refused", Level::Problem, text, "see the leader's own status page");
            }
            return;
        }
        let (all, refused) = (lately.exchanges(|tally| tally.all), lately.exchanges(|tally| tally.refused));
        let told = |refused: u64, all: u64, status: u16| {
            format!("{refused} of {all} requests in {}, the last with {status}", lately.span())
        };
        let with = lately.exchanges.values().filter(|tally| tally.refused > 0).map(|tally| tally.refused_with).max();
        let text = format!("Zendesk refuses {}.", told(refused, all, with.unwrap_or_default()));
        // A share that goes up and down is one finding, not another each second.
        let is_known = state.findings.read().iter().any(|(kind, _)| *kind == "access_refused");
        if is_often(refused, all, if is_known { OFTEN_REFUSED / 2 } else { OFTEN_REFUSED }) {
            return self.add("access_refused", Level::Problem, text, NEXT);
        }
        let mut is_told = false;
        for (class, tally) in &lately.exchanges {
            if is_often(tally.refused, tally.all, NEARLY_ALWAYS) {
                is_told = true;
                let text = format!("Zendesk refuses {class}: {}.", told(tally.refused, tally.all, tally.refused_with));
                self.about("access_refused_partly", class, Level::Warning, text, NEXT);
            }
        }
        if !is_told && is_often(refused, all, SOMETIMES_REFUSED) {
            self.add("access_refused_partly", Level::Warning, text, NEXT);
        }
    }

    pub(super) fn slow(&mut self, lately: &Lately) {
        let all = lately.exchanges(|tally| tally.timed);
        let (slow, given_up) = (lately.exchanges(|tally| tally.slow), lately.exchanges(|tally| tally.given_up));
        let next = "compare with a plain request from the same network; the slowest calls below name the endpoints";
        let is_often = |slow: u64, all: u64| slow >= 3 && slow * 100 > all * OFTEN_SLOW;
        if is_often(slow, all) {
            let text = format!("Zendesk is slow: {slow} of {all} requests in {} took more than 2.5 s.", lately.span());
            self.add("upstream_slow", Level::Warning, text, next);
        }
        // A class of which few requests are sent is seen only by itself.
        for (class, tally) in lately.exchanges.iter().filter(|_| !is_often(slow, all)) {
            let (slow, all) = (tally.slow, tally.timed);
            if is_often(slow, all) {
                let span = lately.span();
                let text =
                    format!("Zendesk is slow for {class}: {slow} of {all} requests in {span} took more than 2.5 s.");
                self.about("upstream_slow", class, Level::Warning, text, next);
            }
        }
        if given_up >= SOME && given_up * 100 > all * OFTEN_GIVEN_UP {
            let text = format!(
                "Zendesk answers too late for the callers: {given_up} of {all} requests in {} were given up unanswered after half \
                 a second or more.",
                lately.span()
            );
            self.add("upstream_late", Level::Problem, text, next);
        }
    }

    /// Rows and values of Zendesk's answers that callers do not get.
    pub(super) fn unreadable(&mut self, lately: &Lately) {
        let mut losses: Vec<_> = lately.losses.iter().collect();
        losses.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
        let (rows, values): (Vec<_>, Vec<_>) = losses.into_iter().partition(|(field, _)| !field.contains('.'));
        let next = "see whether a proxy on the way changes answers, and Zendesk's API changelog; the log level upstream=debug names each \
                    field, and what was met in its place";
        for (field, count) in rows {
            let level = if *count >= MANY_LOST { Level::Problem } else { Level::Warning };
            let what = counted(*count, "row", "rows");
            let text = format!("{what} of {field} in {} could not be read, and are left out of lists.", lately.span());
            self.about("answers_unreadable", field, level, text, next);
        }
        let values = values.into_iter().filter(|(_, count)| **count >= MANY_LOST);
        for (field, count) in values.take(MOST_FIELDS) {
            let text = format!("{count} values of {field} in {} could not be read, and are left out.", lately.span());
            self.about("answers_unreadable", field, Level::Warning, text, next);
        }
    }

    /// What the leader finds about Zendesk: it concerns the calls that this replica forwards.
    pub(super) fn of_leader(&mut self, state: &State) {
        let Some(fleet) = state.sources.fleet.read().filter(|fleet| fleet.course == "follows") else { return };
        let leader = fleet.leader.unwrap_or_default();
        let is_new = |kind: &str, found: &[Finding]| found.iter().all(|other| other.kind != kind);
        for (kind, is_problem) in fleet.found {
            if kind.about == About::Zendesk && is_new(kind.name, &self.0) {
                let level = if is_problem { Level::Problem } else { Level::Warning };
                let text =
                    format!("The leader at {leader} finds {}, for all that it is sent.", kind.name.replace('_', " "));
                self.add(kind.name, level, text, "see the leader's own status page");
            }
        }
    }

    pub(super) fn cold_cache(&mut self, lately: &Lately) {
        // Where calls fail, the cache cannot fill: that is not its fault.
        let problems = self.0.iter().any(|finding| finding.level == Level::Problem);
        if !problems && lately.reads >= ENOUGH && lately.free_reads * 100 < lately.reads * COLD {
            let text =
                format!("The cache answers few reads: {} of {} in {}.", lately.free_reads, lately.reads, lately.span());
            let next = "if it is not new: see the cache's size, and whether callers send cache-control: no-cache";
            self.add("cache_cold", Level::Warning, text, next);
        }
    }
}
