//! Randomness in waits, so that callers who failed together do not come back together.

use std::fmt;
use std::time::Duration;

/// Where the randomness comes from; tests switch it off.
#[derive(Clone, Copy)]
pub struct Jitter(fn() -> f64);

impl Jitter {
    /// A different wait each time.
    pub const RANDOM: Self = Self(fastrand::f64);
    /// Always the longest wait.
    pub const OFF: Self = Self(|| 1.0);

    /// Returns a random time between zero and `longest`.
    pub fn full(self, longest: Duration) -> Duration {
        longest.mul_f64((self.0)())
    }

    /// Returns a random time between three quarters of `longest` and all of it.
    pub fn slight(self, longest: Duration) -> Duration {
        longest.mul_f64(0.75 + 0.25 * (self.0)())
    }
}

impl fmt::Debug for Jitter {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str("Jitter")
    }
}
