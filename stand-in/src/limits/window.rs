//! Counting requests in windows of a fixed length.

use std::fmt;
use std::time::Duration;

use tokio::time::Instant;

use crate::config::Config;

/// What is left of a budget.
#[derive(Clone, Copy, Debug)]
pub struct State {
    pub total: u32,
    pub remaining: u32,
    /// Whole seconds until the window ends, at least 1.
    pub resets: u64,
}

/// `total=100; remaining=99; resets=43`, as in the headers of buckets.
impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { total, remaining, resets } = self;
        write!(f, "total={total}; remaining={remaining}; resets={resets}")
    }
}

/// A number of requests per interval.
#[derive(Debug)]
pub struct Window {
    total: u32,
    length: Duration,
    started: Instant,
    used: u32,
}

impl Window {
    pub fn new(total: u32, length: Duration) -> Self {
        Self { total, length: length.max(Duration::from_millis(1)), started: Instant::now(), used: 0 }
    }

    /// Spends one request if there is one left.
    pub fn take(&mut self) -> bool {
        self.turn();
        let admitted = self.used < self.total;
        self.used += u32::from(admitted);
        admitted
    }

    /// What is left.
    pub fn state(&mut self) -> State {
        self.turn();
        let left = self.length.saturating_sub(self.started.elapsed());
        State {
            total: self.total,
            remaining: self.total.saturating_sub(self.used),
            resets: (left.as_secs() + u64::from(left.subsec_nanos() > 0)).max(1),
        }
    }

    /// Whether the window has not been used for a whole length.
    pub fn is_idle(&self) -> bool {
        self.started.elapsed() >= self.length
    }

    /// Starts a new window if the last one has ended, and returns whether it
    /// did.
    fn turn(&mut self) -> bool {
        let elapsed = self.started.elapsed();
        if elapsed < self.length {
            return false;
        }
        let into = elapsed.as_nanos() % self.length.as_nanos();
        let into = Duration::from_nanos(u64::try_from(into).unwrap_or_default());
        self.started = Instant::now() - into;
        self.used = 0;
        true
    }
}

/// The account's window, from which simulated other integrations spend, too.
#[derive(Debug)]
pub struct Account {
    window: Window,
    foreign_rate: u32,
    /// Until when the foreign rate has been charged.
    charged_until: Instant,
    /// Fraction of a foreign request that is not charged yet.
    owed: f64,
}

impl Account {
    pub fn new(config: &Config) -> Self {
        Self {
            window: Window::new(config.rate_limit, config.rate_window),
            foreign_rate: config.foreign_rate,
            charged_until: Instant::now(),
            owed: 0.0,
        }
    }

    /// Spends one request if there is one left.
    pub fn take(&mut self) -> (State, bool) {
        self.charge();
        let admitted = self.window.take();
        (self.window.state(), admitted)
    }

    pub fn spend(&mut self, requests: u32) {
        self.charge();
        self.window.used = self.window.used.saturating_add(requests);
    }

    pub fn set_foreign_rate(&mut self, per_window: u32) {
        self.charge();
        self.foreign_rate = per_window;
    }

    /// Charges what others have spent since the last charge.
    fn charge(&mut self) {
        if self.window.turn() {
            (self.charged_until, self.owed) = (self.window.started, 0.0);
        }
        let share = self.charged_until.elapsed().as_secs_f64() / self.window.length.as_secs_f64();
        self.owed += share * f64::from(self.foreign_rate);
        self.charged_until = Instant::now();
        while self.owed >= 1.0 {
            self.owed -= 1.0;
            self.window.used = self.window.used.saturating_add(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_window_admits_its_total_and_then_nothing_until_it_ends() {
        let mut window = Window::new(2, Duration::from_mins(1));
        assert!(window.take() && window.take() && !window.take());
        tokio::time::advance(Duration::from_secs(20)).await;
        assert_eq!(window.state().to_string(), "total=2; remaining=0; resets=40");
        tokio::time::advance(Duration::from_secs(40)).await;
        assert!(window.take());
        assert_eq!(window.state().to_string(), "total=2; remaining=1; resets=60");
    }

    #[tokio::test(start_paused = true)]
    async fn other_integrations_spend_evenly_over_the_window() {
        let mut account = Account::new(&Config { rate_limit: 100, foreign_rate: 60, ..Config::default() });
        tokio::time::advance(Duration::from_secs(30)).await;
        assert_eq!(account.take().0.remaining, 69);
        account.spend(200);
        assert!(!account.take().1, "the whole budget is spent");
        tokio::time::advance(Duration::from_secs(30)).await;
        let (state, admitted) = account.take();
        assert!(admitted, "a new window");
        assert_eq!(state.remaining, 99);
    }
}
