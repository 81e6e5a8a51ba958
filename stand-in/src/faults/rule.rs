//! A rule: which requests, what goes wrong with them, and how often.

use std::num::NonZeroU64;

use serde::{Deserialize, Serialize};

use super::kinds::Fault;
use super::matcher::Matcher;

/// Makes requests that match `when` meet a fault.
///
/// Built from a fault (`Throttle::once().retry_after(1)` is a `Rule<Throttle>` for any request) or read from JSON:
///
/// ```json
/// {"when": {"method": "GET", "path": "/api/v2/users/{id}"}, "fault": {"throttle": {"retry_after": {"seconds": 1}}}, "times": 2}
/// ```
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[must_use = "a rule does nothing until it is added"]
pub struct Rule<F = Fault> {
    #[serde(default)]
    pub(super) when: Matcher,
    pub(super) fault: F,
    #[serde(default)]
    pub(super) times: Times,
    #[serde(default)]
    pub(super) after: u64,
    #[serde(default)]
    pub(super) probability: Probability,
    #[serde(default)]
    pub(super) seed: u64,
    #[serde(default)]
    pub(super) applied: bool,
}

/// How often a rule acts before it is used up; once unless said otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, expecting = "expected a number from 1, or \"forever\"")]
pub(super) enum Times {
    Limited(NonZeroU64),
    Unlimited(Forever),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Forever {
    Forever,
}

impl Default for Times {
    fn default() -> Self {
        Self::Limited(NonZeroU64::MIN)
    }
}

/// The share of matching requests that meet the fault, from 0 to 1.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub(super) struct Probability(f64);

impl Probability {
    /// Throws the dice.
    pub(super) fn strikes(self, rng: &mut fastrand::Rng) -> bool {
        self.0 >= 1.0 || rng.f64() < self.0
    }
}

impl Default for Probability {
    fn default() -> Self {
        Self(1.0)
    }
}

impl TryFrom<f64> for Probability {
    type Error = String;

    fn try_from(share: f64) -> Result<Self, String> {
        if (0.0..=1.0).contains(&share) {
            Ok(Self(share))
        } else {
            Err(format!("{share} is not a probability from 0 to 1"))
        }
    }
}

impl From<Probability> for f64 {
    fn from(probability: Probability) -> Self {
        probability.0
    }
}

impl<F: Into<Fault>> Rule<F> {
    /// Makes a rule that any request meets `fault`, once.
    pub fn of(fault: F) -> Self {
        Self {
            when: Matcher::default(),
            fault,
            times: Times::default(),
            after: 0,
            probability: Probability::default(),
            seed: 0,
            applied: false,
        }
    }

    /// Restricts the rule to the requests that match `when`.
    pub fn when(mut self, when: Matcher) -> Self {
        self.when = when;
        self
    }

    /// Acts on one request, then is used up.
    pub fn once(self) -> Self {
        self.times(1)
    }

    /// Acts on `times` requests, then is used up.
    ///
    /// # Panics
    ///
    /// Panics when `times` is 0: such a rule would never act.
    #[track_caller]
    pub fn times(mut self, times: u64) -> Self {
        let times = NonZeroU64::new(times).expect("a rule acts at least once");
        self.times = Times::Limited(times);
        self
    }

    /// Acts until the rule is removed.
    pub fn forever(mut self) -> Self {
        self.times = Times::Unlimited(Forever::Forever);
        self
    }

    /// Lets the first `skipped` matching requests pass.
    pub fn after(mut self, skipped: u64) -> Self {
        self.after = skipped;
        self
    }

    /// Acts on this share of the matching requests, chosen by the seed; requests that are spared do not use the rule up.
    ///
    /// # Panics
    ///
    /// Panics when `share` is not from 0 to 1.
    #[track_caller]
    pub fn with_probability(mut self, share: f64) -> Self {
        match Probability::try_from(share) {
            Ok(probability) => self.probability = probability,
            Err(problem) => panic!("{problem}"),
        }
        self
    }

    /// Sets the seed of the dice, 0 by default: the same seed makes the same choices.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Lets the stand-in handle the request before the fault acts, so that a write takes effect and only its answer is lost.
    ///
    /// Matters for faults that otherwise come before the handler: delays, foreign answers, and breaks before the headers. The
    /// others alter the normal answer and have it made anyway.
    pub fn after_applying(mut self) -> Self {
        self.applied = true;
        self
    }

    /// Changes the fault itself; the faults' own builder methods use it.
    pub(super) fn with(mut self, change: impl FnOnce(&mut F)) -> Self {
        change(&mut self.fault);
        self
    }

    /// Erases the fault's type, so that all rules have one type.
    pub(super) fn erase(self) -> Rule {
        Rule {
            when: self.when,
            fault: self.fault.into(),
            times: self.times,
            after: self.after,
            probability: self.probability,
            seed: self.seed,
            applied: self.applied,
        }
    }
}

impl Rule {
    /// How often it may still act after `hits` times; `None` is without end.
    pub(super) fn left(&self, hits: u64) -> Option<u64> {
        match self.times {
            Times::Limited(times) => Some(times.get().saturating_sub(hits)),
            Times::Unlimited(_) => None,
        }
    }
}
