//! The slowest upstream exchanges of the last minutes, by endpoint class, for the status page.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use serde::Serialize;

/// How long an exchange is remembered.
const RECENT: Duration = Duration::from_mins(10);
/// Most exchanges that are remembered per class.
const PER_CLASS: usize = 3;

/// The slowest recent exchanges.
#[derive(Debug, Default)]
pub struct Slowest(Mutex<BTreeMap<&'static str, Vec<(Instant, Exchange)>>>);

/// One HTTP exchange with Zendesk.
#[derive(Debug, Clone, Serialize)]
pub struct Exchange {
    /// The endpoint class.
    pub class: &'static str,
    /// The verb and the path's template.
    pub endpoint: String,
    /// How it ended: the HTTP status, or why there was none.
    pub outcome: String,
    /// How long it took, in milliseconds.
    pub milliseconds: u64,
    /// When it ended.
    #[serde(serialize_with = "super::view::date")]
    pub ended: Option<SystemTime>,
    /// The trace it belongs to.
    pub trace_id: String,
}

impl Slowest {
    /// Remembers an exchange if it is among the slowest; `describe` is called only then.
    pub fn add(&self, class: &'static str, took: Duration, describe: impl FnOnce() -> Exchange) {
        let milliseconds = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        let mut classes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = classes.entry(class).or_default();
        known.retain(|(added, _)| added.elapsed() < RECENT);
        if known.len() == PER_CLASS {
            if known.last().is_some_and(|(_, least)| least.milliseconds >= milliseconds) {
                return;
            }
            known.pop();
        }
        known.push((Instant::now(), describe()));
        known.sort_by_key(|(_, exchange)| Reverse(exchange.milliseconds));
    }

    /// Returns them, class by class, the slowest first.
    pub fn read(&self) -> Vec<Exchange> {
        let classes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut classes: Vec<Vec<Exchange>> = classes
            .values()
            .map(|class| class.iter().filter(|(added, _)| added.elapsed() < RECENT))
            .map(|recent| recent.map(|(_, exchange)| exchange.clone()).collect())
            .collect();
        classes.sort_by_key(|class| Reverse(class.first().map(|slowest| slowest.milliseconds)));
        classes.into_iter().flatten().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slowest_of_each_class_stay_and_the_others_go() {
        let slowest = Slowest::default();
        let add = |class: &'static str, milliseconds: u64| {
            slowest.add(class, Duration::from_millis(milliseconds), || Exchange {
                class,
                endpoint: "GET /api/v2/users/{id}".to_owned(),
                outcome: "200".to_owned(),
                milliseconds,
                ended: None,
                trace_id: String::new(),
            });
        };
        for milliseconds in [5, 50, 10, 20, 1] {
            add("user_reads", milliseconds);
        }
        add("jobs", 2);
        let held: Vec<_> = slowest.read().into_iter().map(|one| (one.class, one.milliseconds)).collect();
        assert_eq!(held, [("user_reads", 50), ("user_reads", 20), ("user_reads", 10), ("jobs", 2)]);
    }
}
