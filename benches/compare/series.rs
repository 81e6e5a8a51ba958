//! Measurements of one thing, and what is said about them.

use std::fmt;

/// Measurements of one thing.
#[derive(Debug, Clone, Default)]
pub struct Series(Vec<f64>);

impl Series {
    /// Adds a measurement.
    pub fn add(&mut self, measured: f64) {
        self.0.push(measured);
    }

    /// Returns the series without its first measurement, which also paid for warming up.
    #[must_use]
    pub fn warm(mut self) -> Self {
        self.0.remove(0);
        self
    }

    /// Returns the median.
    pub fn median(&self) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let middle = sorted.len() / 2;
        if sorted.len() % 2 == 1 { sorted[middle] } else { f64::midpoint(sorted[middle - 1], sorted[middle]) }
    }

    /// Returns this series divided by another of the same rounds, round by round: what the machine does besides falls on both.
    #[must_use]
    pub fn over(&self, other: &Self) -> Self {
        Self(self.0.iter().zip(&other.0).map(|(one, other)| one / other).collect())
    }

    /// Returns this series multiplied by a number.
    #[must_use]
    pub fn times(&self, number: f64) -> Self {
        Self(self.0.iter().map(|one| one * number).collect())
    }

    /// Returns this series minus another of the same rounds, round by round.
    #[must_use]
    pub fn minus(&self, other: &Self) -> Self {
        Self(self.0.iter().zip(&other.0).map(|(one, other)| one - other).collect())
    }
}

impl fmt::Display for Series {
    /// Writes the median, then the least and the most.
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let least = self.0.iter().copied().fold(f64::INFINITY, f64::min);
        let most = self.0.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let digits = match self.median().abs() {
            size if size >= 1000.0 => 0,
            size if size >= 10.0 => 1,
            _ => 2,
        };
        write!(to, "{:.digits$} ({least:.digits$}–{most:.digits$})", self.median())
    }
}
