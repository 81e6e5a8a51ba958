//! What response headers say about the request budget.
//!
//! Three spellings are in use, and endpoint buckets have one of their own; all are documented under
//! <https://developer.zendesk.com/api-reference/introduction/rate-limits/>.

use std::time::{Duration, SystemTime};

use http::HeaderMap;

/// Longest wait that is accepted; a larger `Retry-After` or reset is cut to it.
pub const LONGEST_WAIT: Duration = Duration::from_mins(5);
/// Wait after a 429 that states none; Zendesk's own client waits as long.
pub const UNSTATED_WAIT: Duration = Duration::from_secs(10);

/// The budget as one response states it. Everything is optional: proxies and error pages state nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Limits {
    /// The account's budget.
    pub account: Option<Window>,
    /// Budgets of single endpoints, by the name in `zendesk-ratelimit-<name>`.
    pub buckets: Vec<(String, Window)>,
}

/// One budget window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Requests per window.
    pub limit: u32,
    /// Requests left in it.
    pub remaining: u32,
    /// Time until the window starts anew, if stated.
    pub reset: Option<Duration>,
}

impl Limits {
    /// Reads the headers of a response.
    pub fn of(headers: &HeaderMap) -> Self {
        let number =
            |names: [&str; 3]| names.iter().find_map(|name| headers.get(*name)?.to_str().ok()?.trim().parse().ok());
        let limit = number(["ratelimit-limit", "rate-limit", "x-rate-limit"]);
        let remaining = number(["ratelimit-remaining", "rate-limit-remaining", "x-rate-limit-remaining"]);
        let reset = number(["ratelimit-reset", "rate-limit-reset", "x-rate-limit-reset"]);
        let account = limit.zip(remaining).map(|(limit, remaining)| Window {
            limit,
            remaining,
            reset: reset.map(|seconds| Duration::from_secs(u64::from(seconds)).min(LONGEST_WAIT)),
        });
        let buckets = headers.iter().filter_map(|(name, value)| {
            let name = name.as_str();
            let bucket =
                name.strip_prefix("zendesk-ratelimit-").or_else(|| name.strip_prefix("zendesk-rate-limit-"))?;
            Some((bucket.to_owned(), bucket_window(value.to_str().ok()?)?))
        });
        Self { account, buckets: buckets.collect() }
    }
}

/// Reads `total=100; remaining=99; resets=43`.
fn bucket_window(value: &str) -> Option<Window> {
    let part = |wanted: &str| {
        let mut parts = value.split(';').filter_map(|part| part.trim().split_once('='));
        parts.find(|(name, _)| *name == wanted)?.1.trim().parse().ok()
    };
    Some(Window {
        limit: part("total")?,
        remaining: part("remaining")?,
        reset: part("resets").map(|seconds: u32| Duration::from_secs(u64::from(seconds)).min(LONGEST_WAIT)),
    })
}

/// Reads `Retry-After`, seconds or an HTTP date; cut to [`LONGEST_WAIT`].
pub fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let value = headers.get(http::header::RETRY_AFTER)?.to_str().ok()?.trim();
    let wait = match value.parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => match value.parse::<f64>() {
            Ok(seconds) => Duration::try_from_secs_f64(seconds).ok()?,
            Err(_) => httpdate::parse_http_date(value).ok()?.duration_since(now).unwrap_or_default(),
        },
    };
    Some(wait.min(LONGEST_WAIT))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (http::HeaderName::from_static(name), value.parse().expect("a value")))
            .collect()
    }

    #[test]
    fn all_three_spellings_of_the_account_budget_are_read() {
        let window = Window { limit: 700, remaining: 699, reset: None };
        let old = Limits::of(&headers(&[("x-rate-limit", "700"), ("x-rate-limit-remaining", "699")]));
        assert_eq!(old.account, Some(window));
        let middle = headers(&[("rate-limit", "700"), ("rate-limit-remaining", "699"), ("rate-limit-reset", "41")]);
        let with_reset = Some(Window { reset: Some(Duration::from_secs(41)), ..window });
        assert_eq!(Limits::of(&middle).account, with_reset);
        let new = [("ratelimit-limit", "700"), ("ratelimit-remaining", "699"), ("ratelimit-reset", "41")];
        assert_eq!(Limits::of(&headers(&new)).account, with_reset);
    }

    #[test]
    fn endpoint_buckets_are_read_and_nonsense_is_not() {
        let read = Limits::of(&headers(&[
            ("zendesk-ratelimit-create-update-user", "total=5; remaining=4; resets=43"),
            ("zendesk-ratelimit-broken", "total=5"),
        ]));
        let window = Window { limit: 5, remaining: 4, reset: Some(Duration::from_secs(43)) };
        assert_eq!(read.buckets, [("create-update-user".to_owned(), window)]);
        assert_eq!(read.account, None);
    }

    #[test]
    fn a_wait_is_read_as_seconds_or_date_and_is_capped() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777 - 7);
        let wait = |value: &str| retry_after(&headers(&[("retry-after", value)]), now);
        assert_eq!(wait("93"), Some(Duration::from_secs(93)));
        assert_eq!(wait("0.5"), Some(Duration::from_millis(500)));
        assert_eq!(wait("Sun, 06 Nov 1994 08:49:37 GMT"), Some(Duration::from_secs(7)));
        assert_eq!(wait("Tue, 06 Nov 1984 08:49:37 GMT"), Some(Duration::ZERO));
        assert_eq!(wait("86400"), Some(LONGEST_WAIT));
        assert_eq!(wait("soon"), None);
        assert_eq!(wait("-1"), None);
        assert_eq!(wait("NaN"), None);
    }
}
