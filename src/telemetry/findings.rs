//! The kinds of findings: what deserves attention, as the status page, metrics, logs and alerts call it.

/// What a finding is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum About {
    /// Zendesk, or the way there: of a fleet, the leader alone knows.
    Zendesk,
    /// The process, its callers or its fleet.
    Replica,
}

/// A kind of finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kind {
    /// Its name, wherever it is told.
    pub name: &'static str,
    /// What it is about.
    pub about: About,
}

const fn zendesk(name: &'static str) -> Kind {
    Kind { name, about: About::Zendesk }
}

const fn replica(name: &'static str) -> Kind {
    Kind { name, about: About::Replica }
}

/// Every kind of finding, so that each has a series from the start.
pub const FINDINGS: [Kind; 49] = [
    zendesk("access_refused"),
    zendesk("access_refused_partly"),
    zendesk("account_not_found"),
    zendesk("answers_unreadable"),
    zendesk("budget_short"),
    zendesk("budget_spent"),
    zendesk("budget_used_up"),
    zendesk("budget_waiting"),
    replica("cache_cold"),
    replica("callers_forbidden"),
    replica("callers_limited"),
    replica("callers_unknown"),
    replica("callers_unverifiable"),
    replica("calls_fail"),
    replica("certificate_ended"),
    replica("certificate_ends"),
    replica("changes_not_on_record"),
    zendesk("circuit_open"),
    replica("collector_down"),
    replica("connections_full"),
    zendesk("credential_ended"),
    zendesk("credential_ends"),
    zendesk("credential_refused"),
    replica("defect"),
    replica("descriptors_short"),
    replica("draining"),
    zendesk("endpoint_not_found"),
    replica("fleet_account"),
    replica("fleet_alone"),
    replica("fleet_contract"),
    replica("fleet_leaderless"),
    replica("fleet_lease"),
    replica("fleet_untrusted"),
    zendesk("foreign_answers"),
    replica("handshakes_fail"),
    zendesk("jobs_failed"),
    zendesk("jobs_full"),
    replica("log_lines_lost"),
    zendesk("outcomes_unknown"),
    zendesk("overloaded"),
    zendesk("paused"),
    zendesk("permits_waiting"),
    zendesk("redirected"),
    replica("reload_failed"),
    zendesk("token_renewal_failed"),
    zendesk("upstream_down"),
    zendesk("upstream_late"),
    zendesk("upstream_malformed"),
    zendesk("upstream_slow"),
];
