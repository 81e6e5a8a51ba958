//! Settings of the outbound stack: what the gateway does when Zendesk is slow, broken or short of budget.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Upstream;

/// `[upstream.attempt]`: how long one HTTP exchange may take, whatever the caller's deadline.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Attempt {
    /// `upstream.attempt.read_timeout`: longest a read may take before it counts as a failure. Default `10s`.
    #[serde(with = "super::span")]
    pub read_timeout: Duration,
    /// `upstream.attempt.write_timeout`: the same for writes, which a caller's deadline does not cut once they are sent.
    /// Default `30s`.
    #[serde(with = "super::span")]
    pub write_timeout: Duration,
}

impl Default for Attempt {
    fn default() -> Self {
        Self { read_timeout: Duration::from_secs(10), write_timeout: Duration::from_secs(30) }
    }
}

/// `[upstream.connection]`: the connections to Zendesk.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Connection {
    /// `upstream.connection.most`: most HTTP/2 connections at a time, beside as many that are silent. A second one is opened only
    /// when the first takes no more requests. Default 4.
    pub most: usize,
    /// `upstream.connection.ping_interval`: after this long without a word from Zendesk on an HTTP/2 connection, used or idle, a
    /// ping is sent. Default `1s`.
    #[serde(with = "super::span")]
    pub ping_interval: Duration,
    /// `upstream.connection.ping_timeout`: a connection whose ping is not answered within this time is given up, with what
    /// is under way on it. On a path whose round trip is longer, no connection works. Default `2s`.
    #[serde(with = "super::span")]
    pub ping_timeout: Duration,
}

impl Default for Connection {
    fn default() -> Self {
        Self { most: 4, ping_interval: Duration::from_secs(1), ping_timeout: Duration::from_secs(2) }
    }
}

/// `[upstream.queue]`: how many calls are with Zendesk at once and how many wait for that.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Queue {
    /// `upstream.queue.permits`: most HTTP exchanges at a time. Default 64.
    pub permits: usize,
    /// `upstream.queue.waiting`: most calls that wait for a permit; 0 refuses at once. Default 256.
    pub waiting: usize,
}

impl Default for Queue {
    fn default() -> Self {
        Self { permits: 64, waiting: 256 }
    }
}

/// `[upstream.retry]`: which failures are tried again, and how often in all.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Retry {
    /// `upstream.retry.attempts`: most attempts of one call, the first included. Default 3.
    pub attempts: u32,
    /// `upstream.retry.first_backoff`: longest wait before the second attempt; it doubles from there. Default `100ms`.
    #[serde(with = "super::span")]
    pub first_backoff: Duration,
    /// `upstream.retry.longest_backoff`: where the doubling ends. Default `2s`.
    #[serde(with = "super::span")]
    pub longest_backoff: Duration,
    /// `upstream.retry.budget_percent`: retries that are allowed per hundred calls. Default 20.
    pub budget_percent: u32,
    /// `upstream.retry.budget_per_second`: retries that are allowed each second besides. Default 1.
    pub budget_per_second: u32,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            attempts: 3,
            first_backoff: Duration::from_millis(100),
            longest_backoff: Duration::from_secs(2),
            budget_percent: 20,
            budget_per_second: 1,
        }
    }
}

/// `[upstream.breaker]`: when an endpoint class counts as broken, and how long it is left alone.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Breaker {
    /// `upstream.breaker.consecutive_failures`: failures in a row that open a circuit. Default 7.
    pub consecutive_failures: u32,
    /// `upstream.breaker.success_percent`: fewer successes per hundred than this within `window` open it, too. Default 50.
    pub success_percent: u32,
    /// `upstream.breaker.samples`: fewest outcomes within `window` that `success_percent` is computed from. Default 20.
    pub samples: u32,
    /// `upstream.breaker.window`: how far back `success_percent` looks. Default `10s`.
    #[serde(with = "super::span")]
    pub window: Duration,
    /// `upstream.breaker.first_open`: how long a circuit stays open at first; it doubles with every failed probe. Default `1s`.
    #[serde(with = "super::span")]
    pub first_open: Duration,
    /// `upstream.breaker.longest_open`: where the doubling ends. Default `1m`.
    #[serde(with = "super::span")]
    pub longest_open: Duration,
}

impl Default for Breaker {
    fn default() -> Self {
        Self {
            consecutive_failures: 7,
            success_percent: 50,
            samples: 20,
            window: Duration::from_secs(10),
            first_open: Duration::from_secs(1),
            longest_open: Duration::from_mins(1),
        }
    }
}

/// `[upstream.rate]`: how the request budget that Zendesk states in its response headers is shared out.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rate {
    /// `upstream.rate.assumed_per_minute`: requests per minute while responses state no budget; 0 does not pace then, and
    /// only a 429 stops the calls. Default 0.
    pub assumed_per_minute: u32,
    /// `upstream.rate.headroom_percent`: percent of each budget, the account's and those of endpoints, that is left
    /// alone, because what other integrations spend is learnt a moment late. Default 2.
    pub headroom_percent: u32,
    /// `upstream.rate.waiting`: most calls that wait for budget. Default 256.
    pub waiting: usize,
    /// `upstream.rate.updates_per_user`: updates of one user per minute, as Zendesk documents it; 0 leaves it to Zendesk.
    /// Default 5.
    pub updates_per_user: u32,
    /// `upstream.rate.update_spacing`: time between two updates of single users. Zendesk documents one per second and
    /// account; the default has a tenth more, so that the network does not push two into one second. Default `1100ms`.
    #[serde(with = "super::span")]
    pub update_spacing: Duration,
}

impl Default for Rate {
    fn default() -> Self {
        Self {
            assumed_per_minute: 0,
            headroom_percent: 2,
            waiting: 256,
            updates_per_user: 5,
            update_spacing: Duration::from_millis(1100),
        }
    }
}

/// Returns what is wrong with the settings of the outbound stack, each by its full key.
pub(super) fn mistakes(upstream: &Upstream) -> Vec<String> {
    let Upstream { attempt, connection, queue, retry, breaker, rate, .. } = upstream;
    let not_positive = [
        ("attempt.read_timeout", attempt.read_timeout.is_zero()),
        ("attempt.write_timeout", attempt.write_timeout.is_zero()),
        ("connection.most", connection.most == 0),
        ("connection.ping_interval", connection.ping_interval.is_zero()),
        ("connection.ping_timeout", connection.ping_timeout.is_zero()),
        ("queue.permits", queue.permits == 0),
        ("retry.attempts", retry.attempts == 0),
        ("breaker.consecutive_failures", breaker.consecutive_failures == 0),
        ("breaker.samples", breaker.samples == 0),
        ("breaker.window", breaker.window.is_zero()),
        ("breaker.first_open", breaker.first_open.is_zero()),
    ];
    let over_hundred =
        [("breaker.success_percent", breaker.success_percent), ("retry.budget_percent", retry.budget_percent)];
    let crossed = [
        ("retry.longest_backoff", "first_backoff", retry.longest_backoff < retry.first_backoff),
        ("breaker.longest_open", "first_open", breaker.longest_open < breaker.first_open),
    ];
    let mut mistakes = Vec::new();
    for (key, _) in not_positive.iter().filter(|(_, wrong)| *wrong) {
        mistakes.push(format!("upstream.{key}: must be more than 0"));
    }
    for (key, value) in over_hundred.iter().filter(|(_, value)| *value > 100) {
        mistakes.push(format!("upstream.{key}: must be at most 100, and is {value}"));
    }
    if rate.headroom_percent > 50 {
        mistakes.push(format!("upstream.rate.headroom_percent: must be at most 50, and is {}", rate.headroom_percent));
    }
    for (key, other, _) in crossed.iter().filter(|(_, _, wrong)| *wrong) {
        mistakes.push(format!("upstream.{key}: must not be less than {other}"));
    }
    mistakes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_have_no_mistakes_and_each_mistake_is_named_by_its_full_key() {
        assert_eq!(mistakes(&Upstream::default()), Vec::<String>::new());
        let mut upstream = Upstream::default();
        upstream.queue.permits = 0;
        upstream.breaker.success_percent = 101;
        upstream.retry.longest_backoff = Duration::from_millis(1);
        let expected = [
            "upstream.queue.permits: must be more than 0",
            "upstream.breaker.success_percent: must be at most 100, and is 101",
            "upstream.retry.longest_backoff: must not be less than first_backoff",
        ];
        assert_eq!(mistakes(&upstream), expected);
    }
}
