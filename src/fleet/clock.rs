//! The clock of the election.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// Goes on whatever is done to the time of day, and while the machine is suspended, too, where the system can tell.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    rate: u32,
}

impl Default for Clock {
    fn default() -> Self {
        Self::faster(1)
    }
}

impl Clock {
    #[cfg(target_os = "linux")]
    const ID: ClockId = ClockId::Boottime;
    #[cfg(not(target_os = "linux"))]
    const ID: ClockId = ClockId::Monotonic;

    /// Returns a clock that runs so many times faster, for tests: the periods of an election are seconds.
    pub fn faster(rate: u32) -> Self {
        Self { rate }
    }

    /// Returns the time.
    pub fn now(self) -> Duration {
        let now = clock_gettime(Self::ID);
        let seconds = Duration::from_secs(now.tv_sec.try_into().unwrap_or_default());
        (seconds + Duration::from_nanos(now.tv_nsec.try_into().unwrap_or_default())) * self.rate
    }

    /// Returns how long a period of this clock is.
    pub fn true_time(self, period: Duration) -> Duration {
        period / self.rate
    }
}
