//! What deserves attention about this replica's part in its fleet.

use super::findings::{Finding, Level};
use crate::telemetry::State;
use crate::telemetry::view;

/// Returns what keeps a follower from forwarding its calls, if anything does.
pub fn finding(state: &State) -> Option<Finding> {
    let view::Fleet { leader: Some(leader), course } = state.sources.fleet.read()? else { return None };
    let (kind, level, text, next) = match course {
        "silent" => (
            "fleet_alone",
            Level::Warning,
            "does not answer",
            "see whether the leader runs, whether fleet.leader leads to it, and the certificates of fleet.tls on both",
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
    let text = format!("This replica acts alone: the leader at {leader} {text}.");
    Some(Finding { kind, about: String::new(), level, text, next, since_seconds: 0 })
}
