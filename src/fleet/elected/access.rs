//! Whether the Lease can be read and written.

use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicU8, AtomicU64};
use std::time::Duration;

use tracing::{info, warn};

/// How the Lease was read or written last.
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
}

impl Access {
    const ALL: [Self; 4] = [Self::Good, Self::Unreachable, Self::Missing, Self::Forbidden];

    /// Returns its word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Unreachable => "unreachable",
            Self::Missing => "missing",
            Self::Forbidden => "forbidden",
        }
    }
}

/// How the Lease was read or written so far.
#[derive(Default)]
pub struct Accesses {
    last: AtomicU8,
    failures: AtomicU64,
    /// When it failed first of the times in a row, in nanoseconds.
    since: AtomicU64,
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

impl Accesses {
    /// Notes how the Lease was read or written.
    pub fn note(&self, access: Access, now: Duration) {
        let before = self.last.swap(access as u8, SeqCst);
        if access == Access::Good {
            if before != Access::Good as u8 {
                info!("the Lease is read and written again");
            }
            return;
        }
        self.failures.fetch_add(1, SeqCst);
        if before == Access::Good as u8 {
            self.since.store(nanos(now), SeqCst);
        }
        if before != access as u8 {
            warn!(fleet.lease = access.as_str(), "the Lease cannot be read or written");
        }
    }

    /// Returns how it was last.
    pub fn last(&self) -> Access {
        Access::ALL[usize::from(self.last.load(SeqCst)) % Access::ALL.len()]
    }

    /// Returns for how long the Lease could not be read or written.
    pub fn failing_for(&self, now: Duration) -> Duration {
        let since = Duration::from_nanos(self.since.load(SeqCst));
        if self.last() == Access::Good { Duration::ZERO } else { now.saturating_sub(since) }
    }

    /// Returns how often the Lease could not be read or written.
    pub fn failures(&self) -> u64 {
        self.failures.load(SeqCst)
    }
}
