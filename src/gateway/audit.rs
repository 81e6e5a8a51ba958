//! The audit log: who changed what. Each attempt to change something leaves one line with its outcome.
//!
//! The lines have a target of their own, `audit`, which no filter can switch off. They name callers, RPCs, record ids,
//! statuses and request ids; never a name, an address, a body or an external id, which may be an address. The user on whose
//! behalf a caller acts appears as an id, or, if the caller gave an address, only as `address`.
//!
//! A change that was sent is logged when its outcome is known, even if its caller has left. A call that sent nothing leaves
//! one line that says why, unless its caller has caused too many of those within a second: then the next line says how many
//! attempts left none. What is sent always leaves its line.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use http::{HeaderMap, HeaderValue};
use tonic::Code;
use tracing::info;

use super::caller::Caller;
use super::origin::Origin;
use crate::cache::Tag;
use crate::contract::{Risk, Rpc};
use crate::error::Error;
use crate::rest::bulk::Chunk;
use crate::telemetry::Trace;
use crate::telemetry::logs::sample::Samples;
use crate::upstream::call::Ledger;
use crate::upstream::credential::{ON_BEHALF_OF, impersonated};

/// Most bytes of names in one line: container runtimes cut lines of 16 KiB, and what collects them may drop long ones.
const LONGEST: usize = 12 << 10;

/// The audit trail of one call that can change something. If no change was logged, dropping the last clone logs how the call
/// ended.
#[derive(Debug)]
pub struct Trail {
    caller: Caller,
    rpc: &'static Rpc,
    on_behalf_of: Option<String>,
    request_id: Option<HeaderValue>,
    via: Option<HeaderValue>,
    trace: Trace,
    samples: Option<Arc<Samples>>,
    /// True once a line was written.
    told: AtomicBool,
    /// Outcome and error reason of the call; none while it runs, and for good if its caller cancelled it.
    end: Mutex<Option<(&'static str, Option<&'static str>)>>,
}

/// The records that a change is about, by ids only.
#[derive(Debug, Clone, Default)]
pub struct Targets {
    /// Their names with spaces in between.
    text: String,
    /// Those that are in it: one call can name ten thousand.
    named: HashSet<String>,
}

impl Targets {
    /// Names the records of cache tags; a tag of a collection names none.
    pub fn of<'a>(tags: impl IntoIterator<Item = &'a Tag>) -> Self {
        let mut targets = Self::default();
        targets.add_all(tags);
        targets
    }

    /// Names the records of one request of a bulk call: their ids, and the number of items without one.
    pub fn of_chunk(chunk: &Chunk) -> Self {
        let mut targets = Self::of(&chunk.about);
        let kind = match &chunk.rest.path {
            path if path.contains("group_memberships") => "membership",
            path if path.contains("organization_memberships") => "organization_membership",
            _ => "user",
        };
        chunk.keys.iter().filter_map(|key| key.id).for_each(|id| targets.add(kind, id));
        let without = chunk.keys.iter().filter(|key| key.id.is_none()).count();
        if without > 0 {
            targets.add("items", without);
        }
        targets
    }

    /// Names the records of more tags.
    pub fn add_all<'a>(&mut self, tags: impl IntoIterator<Item = &'a Tag>) {
        tags.into_iter().filter_map(|tag| tag.record()).for_each(|(kind, id)| self.add(kind, id));
    }

    /// Names one more record. With the kind `items`, `id` is instead a number of items without an id.
    pub fn add(&mut self, kind: &str, id: impl std::fmt::Display) {
        let name = format!("{kind}:{id}");
        if !self.named.contains(&name) {
            let space = if self.text.is_empty() { "" } else { " " };
            let _ = write!(self.text, "{space}{name}");
            self.named.insert(name);
        }
    }

    /// Returns the names for one line each: one part, unless they are too many.
    fn parts(&self) -> Vec<&str> {
        let (mut parts, mut left) = (Vec::new(), self.text.as_str());
        while left.len() > LONGEST {
            let Some(space) = left.as_bytes()[..LONGEST].iter().rposition(|byte| *byte == b' ') else { break };
            parts.push(&left[..space]);
            left = &left[space + 1..];
        }
        parts.push(left);
        parts
    }
}

impl Trail {
    /// Begins the trail of a call with this metadata; none if the RPC only reads.
    pub fn begin(rpc: &'static Rpc, caller: &Caller, origin: &Origin, metadata: &HeaderMap) -> Option<Arc<Self>> {
        (rpc.risk != Risk::Read).then(|| {
            Arc::new(Self {
                caller: caller.clone(),
                rpc,
                on_behalf_of: metadata.get(ON_BEHALF_OF).and_then(whom),
                request_id: origin.request_id.clone(),
                via: origin.via.clone(),
                trace: origin.trace.clone(),
                samples: origin.samples.clone(),
                told: AtomicBool::new(false),
                end: Mutex::default(),
            })
        })
    }

    /// Notes how a call ended; it is logged only if the call sent no change.
    pub fn end(trail: Option<&Arc<Self>>, error: Option<&Error>) {
        // Another replica carries the call out, and has its line.
        if let (Some(trail), Some(Error::NotLeader)) = (trail, error) {
            return trail.told.store(true, Ordering::Relaxed);
        }
        let end = error.map_or(("unchanged", None), |error| (outcome(error), Some(error.reason())));
        Self::note(trail, end);
    }

    /// Notes that a call ended because its own messages failed, with this reason.
    pub fn broken_off(trail: Option<&Arc<Self>>, reason: Option<&'static str>) {
        Self::note(trail, ("failed", reason));
    }

    fn note(trail: Option<&Arc<Self>>, end: (&'static str, Option<&'static str>)) {
        if let Some(trail) = trail {
            *trail.end.lock().unwrap_or_else(PoisonError::into_inner) = Some(end);
        }
    }

    /// Logs one change, now that its outcome is known.
    pub fn change(&self, targets: &Targets, job: Option<&str>, ledger: &Ledger, error: Option<&Error>) {
        if matches!(error, Some(Error::NotLeader)) && !ledger.may_have_changed() {
            return;
        }
        self.told.store(true, Ordering::Relaxed);
        let (outcome, reason) = error.map_or(("done", None), |error| (outcome(error), Some(error.reason())));
        let (mut statuses, mut ids) = (String::new(), String::new());
        for (status, id) in ledger.answers() {
            let _ = write!(statuses, "{}{status}", if statuses.is_empty() { "" } else { " " });
            if let Some(id) = id {
                let _ = write!(ids, "{}{id}", if ids.is_empty() { "" } else { " " });
            }
        }
        let some = |text| Some(text).filter(|text: &&str| !text.is_empty());
        let parts = targets.parts();
        for (number, part) in parts.iter().enumerate() {
            let line = Line {
                targets: some(part),
                part: (parts.len() > 1).then(|| format!("{}/{}", number + 1, parts.len())),
                job,
                attempts: ledger.requests(),
                statuses: some(&statuses),
                request_ids: some(&ids),
                ..Line::new(self, outcome, reason)
            };
            line.write(&self.trace);
        }
    }
}

impl Drop for Trail {
    fn drop(&mut self) {
        if *self.told.get_mut() {
            return;
        }
        let end = self.end.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        // Nothing was sent, so nothing else bounds how often this happens.
        let admitted = match &self.samples {
            None => Some(0),
            Some(samples) if self.caller.is_known() => samples.unchanged.admit(self.caller.name()),
            Some(samples) => samples.unproven.admit(),
        };
        let Some(left_out) = admitted else { return };
        // Without an end the caller cancelled the call.
        let (outcome, reason) = end.unwrap_or(("failed", Some("CANCELLED")));
        let left_out = Some(left_out).filter(|left_out| *left_out > 0);
        Line { left_out, ..Line::new(self, outcome, reason) }.write(&self.trace);
    }
}

/// Logs that a caller was refused, if the call could have changed something.
pub fn refused(rpc: &'static Rpc, caller: &Caller, origin: &Origin, metadata: &HeaderMap, error: &Error) {
    let trail = Trail::begin(rpc, caller, origin, metadata);
    Trail::end(trail.as_ref(), Some(error));
}

/// Returns on whose behalf a caller wants to act: `user:` and the id, or `address` if the caller gave an address.
fn whom(user: &HeaderValue) -> Option<String> {
    let user = impersonated(user.as_bytes()).ok()?;
    let id: Option<i64> = user.to_str().ok()?.parse().ok();
    Some(id.map_or_else(|| "address".to_owned(), |id| format!("user:{id}")))
}

struct Line<'a> {
    caller: &'a str,
    rpc: &'static Rpc,
    on_behalf_of: Option<&'a str>,
    outcome: &'static str,
    reason: Option<&'static str>,
    targets: Option<&'a str>,
    part: Option<String>,
    job: Option<&'a str>,
    attempts: u32,
    statuses: Option<&'a str>,
    request_ids: Option<&'a str>,
    request_id: Option<&'a str>,
    via: Option<&'a str>,
    left_out: Option<u64>,
}

impl<'a> Line<'a> {
    fn new(trail: &'a Trail, outcome: &'static str, reason: Option<&'static str>) -> Self {
        Self {
            caller: trail.caller.name(),
            rpc: trail.rpc,
            on_behalf_of: trail.on_behalf_of.as_deref(),
            outcome,
            reason,
            targets: None,
            part: None,
            job: None,
            attempts: 0,
            statuses: None,
            request_ids: None,
            request_id: trail.request_id.as_ref().and_then(|id| id.to_str().ok()),
            via: trail.via.as_ref().and_then(|via| via.to_str().ok()),
            left_out: None,
        }
    }

    fn write(&self, trace: &Trace) {
        let _within = trace.enter();
        info!(
            target: "audit",
            {
                caller = self.caller,
                on_behalf_of = self.on_behalf_of,
                rpc.method = self.rpc.path.trim_start_matches('/'),
                risk = self.rpc.risk.as_str(),
                outcome = self.outcome,
                error.reason = self.reason,
                targets = self.targets,
                part = self.part,
                job_id = self.job,
                attempts = self.attempts,
                http.status = self.statuses,
                zendesk.request_ids = self.request_ids,
                request_id = self.request_id,
                via = self.via,
                left_out = self.left_out,
            },
            "change"
        );
    }
}

/// Returns the outcome of a change that failed: `unknown`, `failed`, or `refused`.
fn outcome(error: &Error) -> &'static str {
    use Code::{Cancelled, DeadlineExceeded, Internal, Unavailable, Unknown};
    match error {
        Error::OutcomeUnknown(_) => "unknown",
        error if matches!(error.row().code, Cancelled | DeadlineExceeded | Internal | Unavailable | Unknown) => {
            "failed"
        }
        _ => "refused",
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use crate::cache::tag;

    #[test]
    fn each_of_ten_thousand_records_is_named_once_and_soon() {
        let ids = (1..=10_000).chain(1..=10_000);
        let tags: Vec<Tag> = ids.map(tag::user_field).collect();
        let began = Instant::now();
        let targets = Targets::of(&tags);
        // Compared with all names before it, each of them took seconds here.
        assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
        let names: Vec<&str> = targets.text.split(' ').collect();
        assert_eq!((names.len(), names[0], names[9_999]), (10_000, "user_field:1", "user_field:10000"));
        // No line is so long that it is cut, and none of them is lost in between.
        let parts = targets.parts();
        assert!(parts.len() > 10 && parts.iter().all(|part| part.len() <= LONGEST), "{}", parts.len());
        assert_eq!(parts.join(" "), targets.text);
        assert_eq!(Targets::of(&tags[..3]).parts(), ["user_field:1 user_field:2 user_field:3"]);
        assert_eq!(Targets::default().parts(), [""], "a change of no record in particular has its line, too");
    }
}
