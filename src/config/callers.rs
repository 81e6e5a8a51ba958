//! Settings of what one caller may take of what all share.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::glob;

/// `[callers]`: what each caller may take. Callers are told apart by name, and unauthenticated ones by IP address.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Callers {
    /// `callers.max_calls`: most calls of one caller at a time; more are RESOURCE_EXHAUSTED. 0 does not limit. Default 256.
    pub max_calls: usize,
    /// `callers.max_streams`: most of these that are streams. 0 does not limit. Default 128.
    pub max_streams: usize,
    /// `callers.max_requests_per_minute`: most requests that one caller's calls may send to Zendesk in a minute; calls wait
    /// for the next, or are RESOURCE_EXHAUSTED if it would come too late. 0 does not limit. Default 0.
    pub max_requests_per_minute: u32,
    /// `callers.message_memory_percent`: share of `server.message_memory` that one caller's messages may take. Default 50.
    pub message_memory_percent: u8,
    /// `[callers.weights]`: pattern of callers' names = how much they get of what is short, compared with others. The first
    /// pattern in alphabetical order that fits counts. Default 1 for everybody.
    pub weights: BTreeMap<String, u32>,
}

/// Most that a weight may be.
const MOST_WEIGHT: u32 = 100;

impl Default for Callers {
    fn default() -> Self {
        Self {
            max_calls: 256,
            max_streams: 128,
            max_requests_per_minute: 0,
            message_memory_percent: 50,
            weights: BTreeMap::new(),
        }
    }
}

impl Callers {
    /// Returns settings that limit nothing.
    pub fn unlimited() -> Self {
        Self { max_calls: 0, max_streams: 0, message_memory_percent: 100, ..Self::default() }
    }

    /// Returns the weight of the caller of this name.
    pub fn weight(&self, name: &str) -> u32 {
        self.weights.iter().find(|(pattern, _)| glob::fits(pattern, name)).map_or(1, |(_, weight)| *weight)
    }

    /// Returns what is wrong although each single value is well-formed.
    pub(super) fn mistakes(&self) -> Vec<String> {
        let mut mistakes = Vec::new();
        if !(1..=100).contains(&self.message_memory_percent) {
            mistakes.push("callers.message_memory_percent: must be from 1 to 100".to_owned());
        }
        for (pattern, weight) in &self.weights {
            if !(1..=MOST_WEIGHT).contains(weight) {
                mistakes.push(format!("callers.weights.{pattern:?}: must be from 1 to {MOST_WEIGHT}"));
            }
        }
        mistakes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_weight_is_that_of_the_first_pattern_that_fits() {
        let weights = [("api_key:*", 2), ("api_key:crm", 5), ("jwt:*", 3)];
        let weights = weights.map(|(pattern, weight)| (pattern.to_owned(), weight)).into();
        let callers = Callers { weights, ..Callers::default() };
        assert_eq!(["api_key:crm", "jwt:a", "anonymous 10.0.0.1"].map(|name| callers.weight(name)), [2, 3, 1]);
    }

    #[test]
    fn what_makes_no_sense_is_refused_by_its_key() {
        let weights = [("a".to_owned(), 0), ("b".to_owned(), 101), ("c".to_owned(), 7)].into();
        let wrong = Callers { message_memory_percent: 0, weights, ..Callers::default() };
        let mistakes = wrong.mistakes().join("\n");
        for key in ["callers.message_memory_percent", "callers.weights.\"a\"", "callers.weights.\"b\""] {
            assert!(mistakes.contains(key), "{mistakes}");
        }
        assert!(!mistakes.contains("\"c\""));
        assert!(Callers::default().mistakes().is_empty());
    }
}
