//! Settings of what one caller may take of what all share.

use serde::{Deserialize, Serialize};

use super::glob;

/// `[callers]`: what each caller may take. Callers are told apart by name, and unauthenticated ones by IP address.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Callers {
    /// `callers.max_calls`: most calls of one caller at a time; more are `RESOURCE_EXHAUSTED`. As many again may wait for their
    /// message; more of these are `UNAVAILABLE`. 0 does not limit. Default 256.
    pub max_calls: usize,
    /// `callers.max_streams`: most of these calls that are streams; more are `RESOURCE_EXHAUSTED`. 0 does not limit. Default 128.
    pub max_streams: usize,
    /// `callers.max_requests_per_minute`: most requests that one caller's calls may send to Zendesk in a minute; calls wait
    /// for the next, or are `RESOURCE_EXHAUSTED` if it would come too late. 0 does not limit. Default 0.
    pub max_requests_per_minute: u32,
    /// `callers.message_memory_percent`: share of `server.message_memory` that one caller's messages may take. Default 50.
    pub message_memory_percent: u8,
    /// `callers.weights`: how many turns callers get where calls wait: tables of `callers`, which are patterns of names, and their
    /// `weight`. The first table that fits a caller counts; a caller whom none fits has 1.
    pub weights: Vec<Weight>,
}

/// `[[callers.weights]]`: how many turns some callers get where calls wait.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Weight {
    /// Patterns of the callers' names, in which `*` stands for any characters.
    pub callers: Vec<String>,
    /// How many turns they get where others get one.
    pub weight: u32,
}

impl Default for Weight {
    fn default() -> Self {
        Self { callers: Vec::new(), weight: 1 }
    }
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
            weights: Vec::new(),
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
        let fits = |one: &&Weight| one.callers.iter().any(|pattern| glob::fits(pattern, name));
        self.weights.iter().find(fits).map_or(1, |one| one.weight)
    }

    /// Returns what is wrong although each single value is well-formed.
    pub(super) fn mistakes(&self) -> Vec<String> {
        let mut mistakes = Vec::new();
        if !(1..=100).contains(&self.message_memory_percent) {
            mistakes.push("callers.message_memory_percent: must be from 1 to 100".to_owned());
        }
        for (index, Weight { callers, weight }) in self.weights.iter().enumerate() {
            if !(1..=MOST_WEIGHT).contains(weight) {
                mistakes.push(format!("callers.weights[{index}].weight: must be from 1 to {MOST_WEIGHT}"));
            }
            if callers.is_empty() {
                mistakes.push(format!("callers.weights[{index}].callers: must not be empty"));
            }
        }
        mistakes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn weight(callers: &[&str], weight: u32) -> Weight {
        Weight { callers: callers.iter().map(|name| (*name).to_owned()).collect(), weight }
    }

    #[test]
    fn a_weight_is_that_of_the_first_table_that_fits() {
        let weights = vec![weight(&["api_key:crm", "spiffe://a/*"], 5), weight(&["api_key:*"], 2)];
        let callers = Callers { weights, ..Callers::default() };
        let names = ["api_key:crm", "api_key:x", "spiffe://a/b", "anonymous 10.0.0.1"];
        assert_eq!(names.map(|name| callers.weight(name)), [5, 2, 5, 1]);
    }

    #[test]
    fn what_makes_no_sense_is_refused_by_its_key() {
        let weights = vec![weight(&["a"], 0), weight(&["b"], 101), weight(&["c"], 7), weight(&[], 7)];
        let wrong = Callers { message_memory_percent: 0, weights, ..Callers::default() };
        let mistakes = wrong.mistakes().join("\n");
        for key in ["message_memory_percent", "weights[0].weight", "weights[1].weight", "weights[3].callers"] {
            assert!(mistakes.contains(&format!("callers.{key}")), "{mistakes}");
        }
        assert!(!mistakes.contains("[2]"));
        assert!(Callers::default().mistakes().is_empty());
    }
}
