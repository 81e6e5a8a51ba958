//! The reasons of failed calls that deserve attention, with what to do.

/// Reasons of failed calls that are findings of their own: reason, kind, how many in half a minute at least, what it is, what to
/// do.
pub type Failure = (&'static str, &'static str, u64, &'static str, &'static str);
pub const FAILURES: [Failure; 12] = [
    (
        "OUTCOME_UNKNOWN",
        "outcomes_unknown",
        1,
        "Writes were sent to Zendesk, and nobody knows whether they were done: it did not answer, or with an error of its own",
        "see whether Zendesk hangs or connections break: the log lines of target upstream; callers must look before they repeat",
    ),
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
        "see status.zendesk.com, and whether this network, or the proxy that HTTPS_PROXY names, reaches upstream.base_url; log lines of \
         target upstream hold the cause",
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
        "see whether Zendesk is slow or callers are more than usual; calls that wait below are for upstream.queue.permits, while there is budget \
         left; if none waits, server.max_calls, server.message_memory or server.max_connections is too low",
    ),
    (
        "INTERNAL",
        "defect",
        1,
        "Calls fail because of a mistake in the gateway",
        "keep the log lines of target panic and of one such call by its trace id, and report them",
    ),
];
