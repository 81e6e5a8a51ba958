//! Outcomes of the last seconds, counted in slices so that old ones fall out.

use std::time::Duration;

use tokio::time::Instant;

const SLICES: usize = 10;

/// Counts of successes and failures in a sliding window.
#[derive(Debug)]
pub struct Window {
    slice: Duration,
    start: Instant,
    slices: [Slice; SLICES],
}

#[derive(Debug, Clone, Copy, Default)]
struct Slice {
    number: u128,
    successes: u32,
    failures: u32,
}

impl Window {
    /// Returns an empty window that looks `length` back.
    pub fn new(length: Duration) -> Self {
        let slice = (length / u32::try_from(SLICES).expect("ten fits")).max(Duration::from_nanos(1));
        Self { slice, start: Instant::now(), slices: [Slice::default(); SLICES] }
    }

    /// Counts one outcome.
    pub fn count(&mut self, success: bool) {
        let number = self.number();
        let place = usize::try_from(number % SLICES as u128).expect("a remainder of ten is small");
        let slice = &mut self.slices[place];
        if slice.number != number {
            *slice = Slice { number, ..Slice::default() };
        }
        *(if success { &mut slice.successes } else { &mut slice.failures }) += 1;
    }

    /// Returns successes and failures in the window.
    pub fn totals(&self) -> (u32, u32) {
        let now = self.number();
        let recent = self.slices.iter().filter(|slice| slice.number + SLICES as u128 > now);
        recent.fold((0, 0), |(good, bad), slice| (good + slice.successes, bad + slice.failures))
    }

    fn number(&self) -> u128 {
        self.start.elapsed().as_nanos() / self.slice.as_nanos()
    }
}
