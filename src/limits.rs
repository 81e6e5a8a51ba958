//! What response headers say about the request budget.
//!
//! Three spellings are in use, and endpoint buckets have one of their own; all are documented under
//! <https://developer.zendesk.com/api-reference/introduction/rate-limits/>.

use std::fmt;
use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderName};

/// Longest wait that the gateway obeys: after it Zendesk is asked again, whatever was stated.
pub const LONGEST_WAIT: Duration = Duration::from_mins(5);
/// Longest wait that callers are told; a larger `Retry-After` is cut to it.
pub const LONGEST_TOLD: Duration = Duration::from_hours(24 * 30);
/// A reset of at least so many seconds is a point in time, in seconds since 1970 (this one is in 2001).
const EPOCH: u64 = 1_000_000_000;
/// From so many on they are milliseconds: as seconds they would be in the year 33658.
const EPOCH_IN_MILLISECONDS: u64 = 1_000_000_000_000;
/// Wait after a 429 that states none; Zendesk's own client waits as long.
pub const UNSTATED_WAIT: Duration = Duration::from_secs(10);

/// The bucket that counts jobs under way rather than requests in a window; there is nothing to pace.
pub const JOBS: &str = "inflight-jobs";

/// One of Zendesk's limits on requests, as a call meets it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// Requests a minute of the whole account.
    Account,
    /// Requests a minute of one endpoint.
    Endpoint,
    /// Updates a minute of one user.
    UserUpdates,
    /// Updates a second of any single users.
    Updates,
    /// Background jobs that are queued or running.
    Jobs,
    /// Access tokens that are asked for.
    Tokens,
}

impl Limit {
    /// Returns the word by which callers tell limits apart.
    pub fn word(self) -> &'static str {
        match self {
            Self::Account => "account",
            Self::Endpoint => "endpoint",
            Self::UserUpdates => "user_updates",
            Self::Updates => "updates",
            Self::Jobs => "jobs",
            Self::Tokens => "tokens",
        }
    }
}

/// Says what is limited, and what to use instead where there is something.
impl fmt::Display for Limit {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(match self {
            Self::Account => "the account's request budget is spent for now",
            Self::Endpoint => "the budget of this endpoint is spent for now",
            Self::UserUpdates => {
                "this user has been updated too often within a minute; BulkUpdateUsers has no such limit"
            }
            Self::Updates => "single users are updated too often; BulkUpdateUsers updates 100 with one request",
            Self::Jobs => "too many background jobs are queued or running",
            Self::Tokens => "zendesk issues no further access token for now",
        })
    }
}

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

/// The spellings of a header. They are constants because each response is asked for all, and a name given as text would be
/// parsed each time.
type Spellings = [HeaderName; 3];
const LIMIT: Spellings = spellings("ratelimit-limit", "rate-limit", "x-rate-limit");
const REMAINING: Spellings = spellings("ratelimit-remaining", "rate-limit-remaining", "x-rate-limit-remaining");
const RESET: Spellings = spellings("ratelimit-reset", "rate-limit-reset", "x-rate-limit-reset");

const fn spellings(one: &'static str, other: &'static str, third: &'static str) -> Spellings {
    [HeaderName::from_static(one), HeaderName::from_static(other), HeaderName::from_static(third)]
}

impl Limits {
    /// Reads the headers of a response that came at `now`.
    pub fn of(headers: &HeaderMap, now: SystemTime) -> Self {
        let number = |names: Spellings| {
            names.iter().find_map(|name| headers.get(name)?.to_str().ok()?.trim().parse::<u64>().ok())
        };
        let count = |names| number(names).map(|number| u32::try_from(number).unwrap_or(u32::MAX));
        let limit = count(LIMIT);
        let remaining = count(REMAINING);
        let reset = number(RESET);
        // A limit of 0 would be a budget that nothing could ever be spent from, so it states none.
        let account = limit.filter(|limit| *limit > 0).zip(remaining);
        let account =
            account.map(|(limit, remaining)| Window { limit, remaining, reset: reset.map(|at| until(at, now)) });
        let buckets = headers.iter().filter_map(|(name, value)| {
            let name = name.as_str();
            let bucket =
                name.strip_prefix("zendesk-ratelimit-").or_else(|| name.strip_prefix("zendesk-rate-limit-"))?;
            Some((bucket.to_owned(), bucket_window(value.to_str().ok()?, now)?))
        });
        Self { account, buckets: buckets.collect() }
    }
}

/// Reads `total=100; remaining=99; resets=43`.
fn bucket_window(value: &str, now: SystemTime) -> Option<Window> {
    let part = |wanted: &str| {
        let mut parts = value.split(';').filter_map(|part| part.trim().split_once('='));
        parts.find(|(name, _)| *name == wanted)?.1.trim().parse::<u64>().ok()
    };
    let count = |wanted| part(wanted).map(|number| u32::try_from(number).unwrap_or(u32::MAX));
    Some(Window {
        limit: count("total").filter(|limit| *limit > 0)?,
        remaining: count("remaining")?,
        reset: part("resets").map(|at| until(at, now)),
    })
}

/// Reads a reset: seconds from now on, or a point in time in seconds since 1970.
fn until(reset: u64, now: SystemTime) -> Duration {
    let wait = if reset >= EPOCH { from_now(reset, now) } else { Duration::from_secs(reset) };
    wait.min(LONGEST_WAIT)
}

/// Returns the time until a point in time in seconds or milliseconds since 1970.
fn from_now(point: u64, now: SystemTime) -> Duration {
    let point = if point >= EPOCH_IN_MILLISECONDS { point / 1_000 } else { point };
    let now = now.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    Duration::from_secs(point.saturating_sub(now))
}

/// Reads `Retry-After`: seconds, an HTTP date, or, against HTTP, a point in time in seconds or milliseconds since 1970.
pub fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let value = headers.get(http::header::RETRY_AFTER)?.to_str().ok()?.trim();
    let wait = match value.parse::<u64>() {
        Ok(point) if point >= EPOCH => from_now(point, now),
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => match value.parse::<f64>() {
            Ok(seconds) => {
                let wait = Duration::try_from_secs_f64(seconds).ok()?;
                if wait.as_secs() >= EPOCH { from_now(wait.as_secs(), now) } else { wait }
            }
            Err(_) => httpdate::parse_http_date(value).ok()?.duration_since(now).unwrap_or_default(),
        },
    };
    Some(wait.min(LONGEST_TOLD))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: SystemTime = SystemTime::UNIX_EPOCH;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().expect("a value"))).collect()
    }

    #[test]
    fn all_three_spellings_of_the_account_budget_are_read() {
        let window = Window { limit: 700, remaining: 699, reset: None };
        let old = Limits::of(&headers(&[("x-rate-limit", "700"), ("x-rate-limit-remaining", "699")]), NOW);
        assert_eq!(old.account, Some(window));
        let middle = headers(&[("rate-limit", "700"), ("rate-limit-remaining", "699"), ("rate-limit-reset", "41")]);
        let with_reset = Some(Window { reset: Some(Duration::from_secs(41)), ..window });
        assert_eq!(Limits::of(&middle, NOW).account, with_reset);
        let new = [("ratelimit-limit", "700"), ("ratelimit-remaining", "699"), ("ratelimit-reset", "41")];
        assert_eq!(Limits::of(&headers(&new), NOW).account, with_reset);
    }

    #[test]
    fn endpoint_buckets_are_read_and_nonsense_is_not() {
        let read = Limits::of(
            &headers(&[
                ("zendesk-ratelimit-create-update-user", "total=5; remaining=4; resets=43"),
                ("zendesk-ratelimit-broken", "total=5"),
            ]),
            NOW,
        );
        let window = Window { limit: 5, remaining: 4, reset: Some(Duration::from_secs(43)) };
        assert_eq!(read.buckets, [("create-update-user".to_owned(), window)]);
        assert_eq!(read.account, None);
    }

    #[test]
    fn a_reset_may_be_a_point_in_time_and_a_limit_of_nothing_is_none() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_hours(500_000);
        let reset = |value: &str| {
            let pairs = [("x-rate-limit", "700"), ("x-rate-limit-remaining", "0"), ("ratelimit-reset", value)];
            Limits::of(&headers(&pairs), now).account.expect("stated").reset
        };
        assert_eq!(reset("1800000041"), Some(Duration::from_secs(41)));
        assert_eq!(reset("1799999999"), Some(Duration::ZERO), "it has passed");
        assert_eq!(reset("1800000041000"), Some(Duration::from_secs(41)), "milliseconds");
        assert_eq!(reset("99999999999999"), Some(LONGEST_WAIT));
        let nothing = headers(&[
            ("x-rate-limit", "0"),
            ("x-rate-limit-remaining", "0"),
            ("zendesk-ratelimit-users", "total=0; remaining=0; resets=60"),
        ]);
        assert_eq!(Limits::of(&nothing, now), Limits::default());
    }

    #[test]
    fn a_wait_is_read_as_seconds_or_date_and_is_capped() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777 - 7);
        let wait = |value: &str| retry_after(&headers(&[("retry-after", value)]), now);
        assert_eq!(wait("93"), Some(Duration::from_secs(93)));
        assert_eq!(wait("0.5"), Some(Duration::from_millis(500)));
        assert_eq!(wait("Sun, 06 Nov 1994 08:49:37 GMT"), Some(Duration::from_secs(7)));
        assert_eq!(wait("Tue, 06 Nov 1984 08:49:37 GMT"), Some(Duration::ZERO));
        assert_eq!(wait("86400"), Some(Duration::from_hours(24)));
        assert_eq!(wait("18446744073709551615"), Some(LONGEST_TOLD));
        assert_eq!(wait("784111817"), Some(LONGEST_TOLD), "before 2001 nobody means a point in time");
        let now = SystemTime::UNIX_EPOCH + Duration::from_hours(500_000);
        let later = |value: &str| retry_after(&headers(&[("retry-after", value)]), now);
        assert_eq!(later("1800000040"), Some(Duration::from_secs(40)));
        assert_eq!(later("1800000040000"), Some(Duration::from_secs(40)));
        assert_eq!(later("1800000040.5"), Some(Duration::from_secs(40)));
        assert_eq!(later("1799999999"), Some(Duration::ZERO));
        assert_eq!(wait("soon"), None);
        assert_eq!(wait("-1"), None);
        assert_eq!(wait("NaN"), None);
    }
}
