//! One stored answer, and whether it may be served now.
//!
//! Freshness is judged on tokio's clock, by age. Age counts from before the fetch began, because Zendesk may have read the
//! answer at any moment since.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicU32, AtomicU64};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::control::Control;
use super::epoch::{Slots, Snapshot};
use super::policy::Windows;
use crate::error::{Error, Result};

/// Pause after the first failed refresh; it doubles with each further one.
const FIRST_BACK_OFF: Duration = Duration::from_secs(1);
/// Longest pause that the cache chooses itself.
const LONGEST_BACK_OFF: Duration = Duration::from_secs(30);
/// Longest pause that Zendesk can ask for: a key may be tried again once a minute.
const LONGEST_ASKED: Duration = Duration::from_mins(1);

pub(super) struct Entry {
    /// The encoded reply, or "no such record".
    pub(super) answer: Result<Bytes, Error>,
    /// What the answer depends on: the policy's tags, then those that the answer itself named.
    pub(super) slots: Slots,
    /// The reading of the epoch clock that the answer reflects: it is void once one of its tags has moved after that.
    pub(super) reading: u64,
    /// When its fetch began.
    pub(super) at: Instant,
    ages: Ages,
    /// Failed refreshes since.
    failures: AtomicU32,
    /// Age in nanoseconds before which no refresh starts.
    retry_at: AtomicU64,
}

/// [`Windows`] in milliseconds, in a quarter of the memory: every entry has one.
struct Ages {
    fresh: u32,
    stale_while_revalidate: u32,
    stale_if_error: u32,
}

impl Ages {
    fn of(windows: Windows) -> Self {
        let short = |time: Duration| u32::try_from(time.as_millis()).unwrap_or(u32::MAX);
        let Windows { fresh, stale_while_revalidate, stale_if_error } = windows;
        Self {
            fresh: short(fresh),
            stale_while_revalidate: short(stale_while_revalidate),
            stale_if_error: short(stale_if_error),
        }
    }

    fn fresh(&self) -> Duration {
        Duration::from_millis(self.fresh.into())
    }

    fn stale_while_revalidate(&self) -> Duration {
        Duration::from_millis(self.stale_while_revalidate.into())
    }

    fn stale_if_error(&self) -> Duration {
        Duration::from_millis(self.stale_if_error.into())
    }
}

/// What a stored answer is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Served as it is.
    Fresh,
    /// Served marked stale.
    Stale {
        /// Whether a refresh is due.
        refresh: bool,
    },
    /// Zendesk is asked first.
    Old {
        /// Whether the answer is served if Zendesk fails.
        fallback: bool,
    },
}

impl Entry {
    pub(super) fn new(answer: Result<Bytes, Error>, slots: Slots, since: &Snapshot, windows: Windows) -> Self {
        // A row is a slice of its page, and would keep all of it alive outside what the bound counts.
        let answer = answer.map(|bytes| Bytes::copy_from_slice(&bytes));
        Self {
            answer,
            slots,
            reading: since.reading,
            at: since.at,
            ages: Ages::of(windows),
            failures: AtomicU32::new(0),
            retry_at: AtomicU64::new(0),
        }
    }

    pub(super) fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.at)
    }

    pub(super) fn is_fresh(&self, now: Instant) -> bool {
        self.age(now) < self.ages.fresh()
    }

    pub(super) fn judge(&self, now: Instant, control: Control) -> Verdict {
        let age = self.age(now);
        // A caller who sets `max-age` or `no-cache` gets the error, not an older answer.
        let refused = control.no_cache || control.max_age.is_some_and(|most| age > most);
        if refused {
            return Verdict::Old { fallback: false };
        }
        if age < self.ages.fresh() {
            return Verdict::Fresh;
        }
        if self.answer.is_err() || age >= self.ages.stale_if_error() {
            return Verdict::Old { fallback: false };
        }
        let accepted = age < self.ages.stale_while_revalidate() || control.max_age.is_some();
        if accepted || self.failed_lately(age) {
            return Verdict::Stale { refresh: nanos(age) >= self.retry_at.load(Relaxed) };
        }
        Verdict::Old { fallback: true }
    }

    /// Returns whether the answer may still be served in place of an error.
    pub(super) fn outlasts_error(&self, now: Instant) -> bool {
        self.answer.is_ok() && self.age(now) < self.ages.stale_if_error()
    }

    /// True if a refresh failed lately: Zendesk is known to be failing, so callers do not wait for the next attempt. If nobody
    /// has asked for a while, the failure is old news, and the next reader waits for a true answer.
    fn failed_lately(&self, age: Duration) -> bool {
        let due = Duration::from_nanos(self.retry_at.load(Relaxed));
        self.failures.load(Relaxed) > 0 && age < due + LONGEST_BACK_OFF
    }

    /// Claims the refresh that is due. Only one caller succeeds, and no other within `time`, which is how long the refresh may
    /// take.
    pub(super) fn claim_refresh(&self, now: Instant, time: Duration) -> bool {
        let age = self.age(now);
        let due = self.retry_at.load(Relaxed);
        nanos(age) >= due && self.retry_at.compare_exchange(due, nanos(age + time), Relaxed, Relaxed).is_ok()
    }

    /// Notes that a caller waited for a refresh in vain, so that later callers do not.
    pub(super) fn refresh_late(&self, now: Instant) {
        if !self.failed_lately(self.age(now)) {
            self.refresh_failed(now, None);
        }
    }

    /// Notes a failed refresh. The pauses are spread, so that keys which failed together do not come back together.
    pub(super) fn refresh_failed(&self, now: Instant, asked: Option<Duration>) {
        let failures = self.failures.fetch_add(1, Relaxed);
        let pause = FIRST_BACK_OFF.saturating_mul(1 << failures.min(10)).min(LONGEST_BACK_OFF);
        let spread = 0.8 + 0.2 * fastrand::f64();
        // Zendesk's own pause is never cut short.
        let asked = asked.unwrap_or_default().min(LONGEST_ASKED).mul_f64(spread / 0.8);
        self.retry_at.store(nanos(self.age(now) + pause.mul_f64(spread).max(asked)), Relaxed);
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::super::epoch::Epochs;
    use super::super::policy::{Kind, Lifetimes};
    use super::*;
    use crate::config;

    const fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn record(answer: Result<Bytes>) -> Entry {
        let lifetimes = Lifetimes::new(&config::Cache::default());
        let windows = if answer.is_ok() { lifetimes.of(Kind::Record) } else { lifetimes.of_not_found() };
        Entry::new(answer, Slots::new(), &Epochs::new().snapshot(), windows)
    }

    fn at(entry: &Entry, age: u64, control: Control) -> Verdict {
        entry.judge(entry.at + secs(age), control)
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_is_fresh_then_stale_then_a_fallback_then_nothing() {
        let entry = record(Ok(Bytes::new()));
        let plain = Control::default();
        assert_eq!(at(&entry, 29, plain), Verdict::Fresh);
        assert_eq!(at(&entry, 30, plain), Verdict::Stale { refresh: true });
        assert_eq!(at(&entry, 59, plain), Verdict::Stale { refresh: true });
        assert_eq!(at(&entry, 60, plain), Verdict::Old { fallback: true });
        assert_eq!(at(&entry, 599, plain), Verdict::Old { fallback: true });
        assert_eq!(at(&entry, 600, plain), Verdict::Old { fallback: false });
    }

    #[tokio::test(start_paused = true)]
    async fn a_row_that_is_kept_does_not_keep_its_page() {
        let page = Bytes::from(vec![7; 1000]);
        let entry = record(Ok(page.slice(..10)));
        assert!(page.is_unique());
        assert_eq!(entry.answer.unwrap(), [7; 10][..]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_stated_age_takes_the_place_of_the_windows_but_not_of_the_last_one() {
        let entry = record(Ok(Bytes::new()));
        let most = |seconds| Control { max_age: Some(secs(seconds)), ..Control::default() };
        assert_eq!(at(&entry, 5, most(5)), Verdict::Fresh);
        assert_eq!(at(&entry, 6, most(5)), Verdict::Old { fallback: false });
        assert_eq!(at(&entry, 300, most(300)), Verdict::Stale { refresh: true });
        assert_eq!(at(&entry, 601, most(3000)), Verdict::Old { fallback: false });
        let no_cache = Control { no_cache: true, ..Control::default() };
        assert_eq!(at(&entry, 0, no_cache), Verdict::Old { fallback: false });
    }

    #[tokio::test(start_paused = true)]
    async fn no_such_record_is_never_served_stale() {
        let entry = record(Err(Error::NotFound(Box::default())));
        assert_eq!(at(&entry, 9, Control::default()), Verdict::Fresh);
        assert_eq!(at(&entry, 10, Control::default()), Verdict::Old { fallback: false });
        assert!(!entry.outlasts_error(entry.at + secs(11)));
    }

    #[tokio::test(start_paused = true)]
    async fn one_caller_takes_on_a_refresh_and_failures_space_them_out() {
        let entry = record(Ok(Bytes::new()));
        let now = entry.at + secs(40);
        assert!(entry.claim_refresh(now, secs(30)));
        assert!(!entry.claim_refresh(now, secs(30)), "claimed");
        let mut pauses = Vec::new();
        let mut now = now;
        for _ in 0..8 {
            entry.refresh_failed(now, None);
            let failed = now;
            while !entry.claim_refresh(now, secs(30)) {
                now += Duration::from_millis(10);
            }
            pauses.push(now - failed);
        }
        for (pause, most) in pauses.iter().zip([1, 2, 4, 8, 16, 30, 30, 30]) {
            assert!(*pause <= secs(most) && *pause >= secs(most) * 79 / 100, "{pauses:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_pause_that_zendesk_asks_for_is_kept_up_to_a_minute() {
        for (asked, most) in [(20, 20), (3600, 60)] {
            let entry = record(Ok(Bytes::new()));
            entry.refresh_failed(entry.at + secs(40), Some(secs(asked)));
            assert!(!entry.claim_refresh(entry.at + secs(40 + most) - Duration::from_millis(1), secs(30)));
            assert!(entry.claim_refresh(entry.at + secs(40) + secs(most) * 5 / 4, secs(30)));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn while_zendesk_fails_nobody_waits_but_an_old_failure_is_old_news() {
        let entry = record(Ok(Bytes::new()));
        entry.refresh_failed(entry.at + secs(100), None);
        assert_eq!(at(&entry, 100, Control::default()), Verdict::Stale { refresh: false });
        assert_eq!(at(&entry, 110, Control::default()), Verdict::Stale { refresh: true });
        assert_eq!(at(&entry, 200, Control::default()), Verdict::Old { fallback: true });
    }
}
