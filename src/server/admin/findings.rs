//! What deserves an operator's attention, since when, and what to do about it.
//!
//! [`judge`](super::judge) says what is found now. This file remembers when each finding began, and logs it twice: once it has
//! lasted for [`LASTING`], and when it is over.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;
use tracing::warn;

use super::lately::{Lately, Recorder};
use crate::telemetry::State;
use crate::telemetry::findings::FINDINGS;

/// What is over sooner is not worth a line in the log.
const LASTING: Duration = Duration::from_secs(3);

/// Something that deserves attention.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What kind of finding it is; the value of `zendesk_gateway.finding` in the metrics.
    pub kind: &'static str,
    /// What it is about, such as an endpoint class, where there can be several of a kind.
    pub about: String,
    /// How grave it is.
    pub level: Level,
    /// What it is, in a sentence with figures.
    pub text: String,
    /// What to do about it.
    pub next: &'static str,
    /// How long it has been so.
    pub since_seconds: u64,
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

/// The findings of one gateway over time.
#[derive(Debug, Default)]
pub struct Findings(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    recorder: Recorder,
    /// What is found now.
    known: BTreeMap<Key, Known>,
}

type Key = (&'static str, String);

#[derive(Debug)]
struct Known {
    since: Instant,
    text: String,
    logged: bool,
}

impl Findings {
    /// Takes in what `judge` finds now, and for which reasons `explains` says that calls fail then, and returns it with the time since
    /// it began, the gravest first.
    pub fn update(
        &self,
        state: &State,
        judge: impl FnOnce(&Lately) -> Vec<Finding>,
        explains: fn(&[Finding], &str) -> bool,
    ) -> Vec<Finding> {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let lately = inner.recorder.lately(state);
        let mut found = judge(&lately);
        let now = Instant::now();
        inner.recorder.explain(|reason| explains(&found, reason), now);
        let mut before = std::mem::take(&mut inner.known);
        for finding in &mut found {
            debug_assert!(
                FINDINGS.iter().any(|kind| kind.name == finding.kind),
                "{} is a kind without a series",
                finding.kind
            );
            let key = (finding.kind, finding.about.clone());
            let known = before.remove(&key);
            let mut known = known.unwrap_or_else(|| Known { since: now, text: String::new(), logged: false });
            known.text.clone_from(&finding.text);
            let lasted = now.duration_since(known.since);
            if !known.logged && lasted >= LASTING {
                known.logged = true;
                warn!(target: "finding", { finding.kind, finding.about, next = finding.next }, "begins: {}", finding.text);
            }
            finding.since_seconds = lasted.as_secs();
            inner.known.insert(key, known);
        }
        for ((kind, about), known) in before.into_iter().filter(|(_, known)| known.logged) {
            let lasted_s = now.duration_since(known.since).as_secs();
            warn!(target: "finding", { finding.kind = kind, finding.about = about, lasted_s }, "is over: {}", known.text);
        }
        found.sort_by_key(|finding| finding.level);
        state.findings.set(found.iter().map(|finding| (finding.kind, finding.level == Level::Problem)).collect());
        found
    }
}
