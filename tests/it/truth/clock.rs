//! One clock for the callers, the upstream and the judge, so that "before" means the same to all of them.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

static START: LazyLock<Instant> = LazyLock::new(Instant::now);
static LATEST: [AtomicU64; 2] = [AtomicU64::new(0), AtomicU64::new(0)];

/// Nanoseconds since the first look at this clock.
pub fn now() -> u64 {
    u64::try_from(START.elapsed().as_nanos()).expect("a run is shorter than 500 years")
}

pub const MILLISECOND: u64 = 1_000_000;
pub const SECOND: u64 = 1_000 * MILLISECOND;

/// A duration in the clock's unit.
pub fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).expect("shorter than 500 years")
}

/// Measures how late this runtime wakes its tasks, for as long as it is awaited.
///
/// A machine with more work than processors delays everything: a packet that was sent in time is read late. What the judge
/// allows for that is not guessed but measured.
pub async fn watch_lag() {
    const EVERY: Duration = Duration::from_millis(5);
    let mut window = now() / SECOND;
    loop {
        let before = now();
        tokio::time::sleep(EVERY).await;
        let late = (now() - before).saturating_sub(nanos(EVERY));
        let second = now() / SECOND;
        if second != window {
            window = second;
            LATEST[1].store(LATEST[0].swap(0, Ordering::Relaxed), Ordering::Relaxed);
        }
        LATEST[0].fetch_max(late, Ordering::Relaxed);
    }
}

/// How late tasks were woken at worst in the last second or two.
pub fn lag() -> u64 {
    LATEST[0].load(Ordering::Relaxed).max(LATEST[1].load(Ordering::Relaxed))
}
