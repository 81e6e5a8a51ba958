//! Bounds how many lines somebody can cause whom the gateway answers without doing anything.
//!
//! A refusal costs the gateway microseconds, and a line about it takes far longer to be shipped and stored. So the first
//! lines of each second are written and the others counted: in a metric, and in the next line that is written.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long a window lasts.
const WINDOW: Duration = Duration::from_secs(1);
/// Most callers that are told apart at a time; those beyond it share one window.
const MOST_CALLERS: usize = 1024;

/// The lines that are sampled.
#[derive(Debug)]
pub struct Samples {
    /// Access lines of calls whose caller is not known.
    pub strangers: Sampler,
    /// Access lines of known callers' calls that failed and sent nothing.
    pub refused: Callers,
    /// Audit lines of calls whose caller is not known.
    pub unproven: Sampler,
    /// Audit lines of known callers who changed nothing.
    pub unchanged: Callers,
}

impl Default for Samples {
    fn default() -> Self {
        let callers = || Callers::new(100, 1_000);
        Self { strangers: Sampler::new(10), refused: callers(), unproven: Sampler::new(10), unchanged: callers() }
    }
}

impl Samples {
    /// Returns how many lines were left out so far, by their target.
    pub fn left_out(&self) -> [(&'static str, u64); 2] {
        [
            ("access", self.strangers.left_out() + self.refused.left_out()),
            ("audit", self.unproven.left_out() + self.unchanged.left_out()),
        ]
    }
}

/// Lets a number of lines through each second.
#[derive(Debug)]
pub struct Sampler {
    most: u32,
    window: Mutex<Window>,
    left_out: AtomicU64,
}

impl Sampler {
    /// Lets so many through.
    pub fn new(most: u32) -> Self {
        Self { most, window: Mutex::default(), left_out: AtomicU64::new(0) }
    }

    /// Returns whether a line may be written: if so, with the number of lines that were left out since the last one.
    pub fn admit(&self) -> Option<u64> {
        let told = self.window.lock().unwrap_or_else(PoisonError::into_inner).admit(self.most, Instant::now());
        if told.is_none() {
            self.left_out.fetch_add(1, Ordering::Relaxed);
        }
        told
    }

    fn left_out(&self) -> u64 {
        self.left_out.load(Ordering::Relaxed)
    }
}

/// Lets a number of lines of each caller through each second, and a number of all callers together.
#[derive(Debug)]
pub struct Callers {
    most: u32,
    all: Sampler,
    windows: Mutex<HashMap<Box<str>, Window>>,
}

impl Callers {
    fn new(most: u32, all: u32) -> Self {
        Self { most, all: Sampler::new(all), windows: Mutex::default() }
    }

    /// Returns whether a line about this caller may be written: if so, with the number of its lines that were left out since
    /// the last one.
    pub fn admit(&self, caller: &str) -> Option<u64> {
        let now = Instant::now();
        let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        if !windows.contains_key(caller) && windows.len() >= MOST_CALLERS {
            windows.retain(|_, window| !window.is_over(now));
        }
        let known = windows.contains_key(caller) || windows.len() < MOST_CALLERS;
        let window = windows.entry(if known { caller } else { "" }.into()).or_default();
        let Some(before) = window.admit(self.most, now) else {
            self.all.left_out.fetch_add(1, Ordering::Relaxed);
            return None;
        };
        if self.all.admit().is_none() {
            window.left_out = before + 1;
            return None;
        }
        Some(before)
    }

    fn left_out(&self) -> u64 {
        self.all.left_out()
    }
}

/// One second, or none yet.
#[derive(Debug, Default)]
struct Window {
    began: Option<Instant>,
    written: u32,
    left_out: u64,
}

impl Window {
    fn admit(&mut self, most: u32, now: Instant) -> Option<u64> {
        if self.is_over(now) {
            (self.began, self.written) = (Some(now), 0);
        }
        if self.written >= most {
            self.left_out += 1;
            return None;
        }
        self.written += 1;
        Some(std::mem::take(&mut self.left_out))
    }

    fn is_over(&self, now: Instant) -> bool {
        self.began.is_none_or(|began| now.saturating_duration_since(began) >= WINDOW)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_lines_of_a_second_pass_and_the_next_one_tells_the_others() {
        let (mut window, now) = (Window::default(), Instant::now());
        let passed = (0..1_000).filter(|_| window.admit(10, now) == Some(0)).count();
        assert_eq!(passed, 10);
        assert_eq!(window.admit(10, now + WINDOW), Some(990));
        assert_eq!(window.admit(10, now + WINDOW), Some(0));
    }

    #[test]
    fn no_caller_takes_the_lines_of_another() {
        let callers = Callers::new(100, 1_000);
        let passed = (0..5_000).filter(|_| callers.admit("api_key:a").is_some()).count();
        assert!((100..=500).contains(&passed), "{passed} within a second or a few");
        assert_eq!(callers.admit("api_key:b"), Some(0));
        assert_eq!(callers.left_out(), 5_000 - passed as u64);
    }

    #[test]
    fn callers_together_are_bounded_in_lines_and_in_memory() {
        let callers = Callers::new(100, 1_000);
        let passed = (0..10_000).filter(|number| callers.admit(&format!("jwt:{number}")).is_some()).count();
        assert!((1_000..=5_000).contains(&passed), "{passed} within a second or a few");
        assert!(callers.windows.lock().expect("no panic").len() <= MOST_CALLERS + 1);
    }
}
