//! Whether the Lease can be read and written.

use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicU8, AtomicU64};
use std::time::Duration;

use tracing::{info, warn};

/// How the Lease was read, or written, last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Access {
    /// Well.
    Good,
    /// There was no answer, or none that says anything.
    Unreachable,
    /// There is no such Lease.
    Missing,
    /// The API server does not let this replica do it.
    Forbidden,
    /// The API server answers with another error, or with a Lease that cannot be read.
    Failing,
}

impl Access {
    const ALL: [Self; 5] = [Self::Good, Self::Unreachable, Self::Missing, Self::Forbidden, Self::Failing];

    /// Returns its word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Unreachable => "unreachable",
            Self::Missing => "missing",
            Self::Forbidden => "forbidden",
            Self::Failing => "failing",
        }
    }
}

/// How the Lease was read and written so far.
#[derive(Default)]
pub struct Accesses {
    read: AtomicU8,
    written: AtomicU8,
    failures: AtomicU64,
    /// Since when it could not be read or not be written, in nanoseconds.
    since: AtomicU64,
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

fn access(of: &AtomicU8) -> Access {
    Access::ALL[usize::from(of.load(SeqCst)) % Access::ALL.len()]
}

impl Accesses {
    /// Notes how the Lease was read.
    pub fn read(&self, access: Access, now: Duration) {
        self.note(&self.read, access, now);
    }

    /// Notes how the Lease was written. One that can be read and not be written is no good.
    pub fn written(&self, access: Access, now: Duration) {
        self.note(&self.written, access, now);
    }

    /// Notes that another replica leads, so that this one has nothing to write.
    pub fn follows(&self, now: Duration) {
        self.note(&self.written, Access::Good, now);
    }

    fn note(&self, of: &AtomicU8, access: Access, now: Duration) {
        let before = self.last();
        of.store(access as u8, SeqCst);
        if access != Access::Good {
            self.failures.fetch_add(1, SeqCst);
        }
        match (before, self.last()) {
            (before, after) if before == after => {}
            (_, Access::Good) => info!("the Lease is read and written again"),
            (before, after) => {
                if before == Access::Good {
                    self.since.store(nanos(now), SeqCst);
                }
                warn!(fleet.lease = after.as_str(), "the Lease cannot be read or written");
            }
        }
    }

    /// Returns what is wrong with it: with reading it or else with writing it.
    pub fn last(&self) -> Access {
        match access(&self.read) {
            Access::Good => access(&self.written),
            wrong => wrong,
        }
    }

    /// Returns for how long the Lease could not be read, or not be written.
    pub fn failing_for(&self, now: Duration) -> Duration {
        let since = Duration::from_nanos(self.since.load(SeqCst));
        if self.last() == Access::Good { Duration::ZERO } else { now.saturating_sub(since) }
    }

    /// Returns how often the Lease could not be read or written.
    pub fn failures(&self) -> u64 {
        self.failures.load(SeqCst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_that_can_be_read_and_not_be_written_is_no_good_until_another_replica_leads() {
        let (accesses, at) = (Accesses::default(), Duration::from_secs);
        accesses.written(Access::Forbidden, at(10));
        accesses.read(Access::Good, at(11));
        assert_eq!((accesses.last(), accesses.failing_for(at(15))), (Access::Forbidden, at(5)));
        accesses.read(Access::Unreachable, at(20));
        assert_eq!((accesses.last(), accesses.failing_for(at(22))), (Access::Unreachable, at(12)));
        accesses.read(Access::Good, at(23));
        assert_eq!(accesses.last(), Access::Forbidden);
        accesses.follows(at(24));
        assert_eq!((accesses.last(), accesses.failing_for(at(25)), accesses.failures()), (Access::Good, at(0), 2));
    }
}
