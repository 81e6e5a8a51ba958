//! How long exchanges take, learnt from those that ended.

use std::time::Duration;

use crate::contract::Class;

/// Weight of the newest exchange in a running mean.
const WEIGHT: f64 = 1.0 / 16.0;

/// What is believed before any exchange ended; Zendesk's own `x-runtime` has its median near this for most endpoints.
const FIRST_GUESS: f64 = 0.1;

/// Running means, in seconds.
#[derive(Debug)]
pub struct Pace {
    overall: f64,
    classes: [Option<f64>; Class::ALL.len()],
}

impl Default for Pace {
    fn default() -> Self {
        Self { overall: FIRST_GUESS, classes: [None; Class::ALL.len()] }
    }
}

impl Pace {
    /// Learns from an exchange that ended by itself.
    pub fn ended(&mut self, class: Class, took: Duration) {
        let took = took.as_secs_f64();
        self.overall += (took - self.overall) * WEIGHT;
        let mean = self.classes[class.index()].get_or_insert(self.overall);
        *mean += (took - *mean) * WEIGHT;
    }

    /// Learns from an exchange that was cut off: it would have taken longer than this. If a cut counted like an end, calls that
    /// are cut ever earlier would make exchanges look ever faster.
    pub fn cut_off(&mut self, class: Class, after: Duration) {
        if after > self.of(class) {
            self.ended(class, after);
        }
    }

    /// Returns how long an exchange of any class takes.
    pub fn overall(&self) -> Duration {
        Duration::from_secs_f64(self.overall)
    }

    /// Returns how long an exchange of this class takes.
    pub fn of(&self, class: Class) -> Duration {
        Duration::from_secs_f64(self.classes[class.index()].unwrap_or(self.overall))
    }
}
