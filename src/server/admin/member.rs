//! What deserves attention about this replica's part in its fleet.

use std::time::Duration;

use super::findings::{Finding, Level};
use crate::telemetry::State;
use crate::telemetry::view::{self, Election};

/// A Lease that cannot be read or written for so long is worth a word: each request may fail once.
const LEASE: Duration = Duration::from_secs(10);

fn found(kind: &'static str, level: Level, text: String, next: &'static str) -> Finding {
    Finding { kind, about: String::new(), level, text, next, since_seconds: 0 }
}

/// Returns what keeps a replica from forwarding its calls, and what keeps the election from going on, if anything does.
pub fn findings(state: &State) -> Vec<Finding> {
    let Some(view::Fleet { leader, course, election, .. }) = state.sources.fleet.read() else { return Vec::new() };
    course_of(course, leader.as_deref(), election.as_ref())
        .into_iter()
        .chain(election.as_ref().and_then(lease))
        .collect()
}

fn course_of(course: &str, leader: Option<&str>, election: Option<&Election>) -> Option<Finding> {
    let (kind, level, text, next) = match course {
        "held" => {
            let (text, next) = match (election, leader) {
                (Some(election), _) => (
                    match &election.named {
                        Some(named) => {
                            format!("The Lease names {named}, which does not say that it leads: calls wait.")
                        }
                        None => "The Lease names no other replica that leads the fleet: calls wait.".to_owned(),
                    },
                    "it takes some ten seconds to replace a leader that was lost; else see the log of the leader, and whether \
                     the network policy lets replicas reach each other's fleet.listen",
                ),
                (None, leader) => (
                    format!("The leader at {} does not answer: calls wait.", leader.unwrap_or("fleet.leader")),
                    "see whether the leader has the processor time and the memory that it needs, and the network between both",
                ),
            };
            return Some(found("fleet_leaderless", Level::Warning, text, next));
        }
        "silent" if election.is_some() => (
            "fleet_alone",
            Level::Warning,
            "does not answer",
            "see whether the Lease names a replica that runs, and whether the network policy lets replicas reach each other's \
             fleet.listen",
        ),
        "silent" => (
            "fleet_alone",
            Level::Warning,
            "does not answer",
            "see whether the leader runs, whether fleet.leader leads to it, and the certificates of fleet.tls on both",
        ),
        "bad_certificate" => (
            "fleet_alone",
            Level::Warning,
            "shows a certificate that this replica does not take",
            "it must name the host in fleet.leader, come from the authority in fleet.tls, and not have ended",
        ),
        "not_leading" => (
            "fleet_alone",
            Level::Warning,
            "answers, and does not lead",
            "see the log of that replica, and whether it can write the Lease",
        ),
        "untrusted" => (
            "fleet_untrusted",
            Level::Problem,
            "does not take this replica's token",
            "see the leader's log; replicas need the same service account and audience, and the leader must be let read \
             /openid/v1/jwks or create a TokenReview",
        ),
        "not_ready" => {
            ("fleet_alone", Level::Warning, "is not ready itself", "see the leader's own status page, and its /readyz")
        }
        "other_account" => (
            "fleet_account",
            Level::Problem,
            "serves another account, or signs in as somebody else",
            "compare upstream.base_url and upstream.credential of both; this replica is not ready until they agree",
        ),
        "other_contract" => (
            "fleet_contract",
            Level::Warning,
            "is of a version with another contract",
            "bring both to the same version",
        ),
        _ => return None,
    };
    let named = election.and_then(|election| election.named.as_ref());
    let leader = match (leader, named) {
        (Some(leader), _) => format!("the leader at {leader}"),
        (None, Some(named)) => format!("the leader that the Lease names, {named},"),
        (None, None) => "no leader is known; whoever led".to_owned(),
    };
    Some(found(kind, level, format!("This replica acts alone: {leader} {text}."), next))
}

fn lease(election: &Election) -> Option<Finding> {
    let (text, next) = match election.lease {
        "missing" => ("there is none", "have helm make it again: helm upgrade with the same values"),
        "forbidden" => (
            "the API server does not allow it",
            "the service account must be let get and update the Lease that fleet.kubernetes.lease names",
        ),
        "failing" => (
            "the API server answers with an error, or with a Lease that cannot be read",
            "see the API server's log and its admission webhooks; kubectl get lease shows the Lease",
        ),
        _ => (
            "the API server does not answer",
            "see whether it runs, and whether the network policy lets the replica reach it: networkPolicy.apiServerPort",
        ),
    };
    (election.failing >= LEASE).then(|| {
        let text = format!("The Lease of the fleet cannot be read or written: {text}. Whoever leads goes on.");
        found("fleet_lease", Level::Warning, text, next)
    })
}
