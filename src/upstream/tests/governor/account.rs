//! A Zendesk account with a fixed window, which judges how its budget is spent.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::error::{Error, Refusal};
use crate::limits::{Limits, Window};
use crate::upstream::call::{Answer, Call};
use crate::upstream::tests::support::{Hits, Zendesk, answer, millis, zendesk};

/// An account.
#[derive(Clone)]
pub struct Account {
    limit: u32,
    length: Duration,
    /// When its first window began.
    began: Instant,
    /// Whether responses say when the window ends; older ones do not.
    states_reset: bool,
    spent: Arc<Mutex<Spent>>,
}

#[derive(Default)]
struct Spent {
    /// Requests accepted, by the number of the window.
    windows: BTreeMap<u128, u32>,
    throttled: u32,
    accepted: u32,
    /// Requests of other integrations: refused ones, and all.
    foreign: (u32, u32),
}

impl Account {
    /// Returns an account whose first window is 17.3 seconds old.
    pub fn new(limit: u32) -> Self {
        let (began, length) = (Instant::now() - millis(17_300), Duration::from_mins(1));
        Self { limit, length, began, states_reset: true, spent: Arc::default() }
    }

    /// Leaves out when the window ends.
    pub fn without_reset(self) -> Self {
        Self { states_reset: false, ..self }
    }

    /// Spends one request, if there is one left, and returns what the response says.
    pub fn take(&self) -> (Limits, bool) {
        let elapsed = self.began.elapsed();
        let number = elapsed.as_nanos() / self.length.as_nanos();
        let ends = self.length * u32::try_from(number + 1).expect("few windows");
        let left = ends.saturating_sub(elapsed);
        let mut spent = self.spent.lock().expect("no panic");
        let used = spent.windows.entry(number).or_default();
        let accepted = *used < self.limit;
        *used += u32::from(accepted);
        let reset = self.states_reset.then(|| Duration::from_secs(left.as_secs() + u64::from(left.subsec_nanos() > 0)));
        let window = Window { limit: self.limit, remaining: self.limit - *used, reset };
        (Limits { account: Some(window), buckets: Vec::new() }, accepted)
    }

    /// Lets another integration spend `each` requests at a time, `every` so often; it ignores refusals.
    pub fn foreign(&self, each: u32, every: Duration) {
        let account = self.clone();
        tokio::spawn(async move {
            loop {
                for _ in 0..each {
                    let (_, accepted) = account.take();
                    let mut spent = account.spent.lock().expect("no panic");
                    spent.foreign.0 += u32::from(!accepted);
                    spent.foreign.1 += 1;
                }
                sleep(every).await;
            }
        });
    }

    /// Returns the account's API, `latency` away.
    pub fn api(&self, hits: &Hits, latency: Duration) -> impl Zendesk + use<> {
        self.api_at(hits, latency..=latency)
    }

    /// Returns the account's API, sometimes nearer and sometimes further away, but always as in the last run.
    pub fn api_at(&self, hits: &Hits, latencies: RangeInclusive<Duration>) -> impl Zendesk + use<> {
        let account = self.clone();
        let random = Arc::new(Mutex::new(fastrand::Rng::with_seed(1)));
        let (shortest, spread) = (*latencies.start(), latencies.end().saturating_sub(*latencies.start()));
        zendesk(hits, move |_, _: Call| {
            let account = account.clone();
            let latency = shortest + spread.mul_f64(random.lock().expect("no panic").f64());
            async move {
                sleep(latency / 2).await;
                let (limits, accepted) = account.take();
                {
                    let mut spent = account.spent.lock().expect("no panic");
                    *(if accepted { &mut spent.accepted } else { &mut spent.throttled }) += 1;
                }
                sleep(latency / 2).await;
                if accepted {
                    return Ok(Answer { limits, ..answer() });
                }
                let retry_after = limits.account.and_then(|window| window.reset);
                Err(Error::Throttled(Box::new(Refusal { status: 429, retry_after, limits, ..Refusal::default() })))
            }
        })
    }

    /// Returns how many of our requests were refused with 429.
    pub fn throttled(&self) -> u32 {
        self.spent.lock().expect("no panic").throttled
    }

    /// Returns how many requests of other integrations were refused, and how many there were.
    pub fn foreign_refused(&self) -> (u32, u32) {
        self.spent.lock().expect("no panic").foreign
    }

    /// Returns how many of our requests were accepted.
    pub fn accepted(&self) -> u32 {
        self.spent.lock().expect("no panic").accepted
    }

    /// Returns the percentage of the budget that all callers used in each window that is over, except the first, which the
    /// gateway saw only in part.
    pub fn used(&self) -> Vec<u32> {
        let now = self.began.elapsed().as_nanos() / self.length.as_nanos();
        let spent = self.spent.lock().expect("no panic");
        spent.windows.range(1..now).map(|(_, used)| used * 100 / self.limit).collect()
    }
}
