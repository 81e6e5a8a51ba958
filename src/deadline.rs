//! How much of a deadline is left for work.

use std::time::Duration;

use tokio::time::Instant;

/// Returns the part of the remaining time that no attempt gets: the answer still has to be encoded and reach the caller before
/// the caller's own timer ends the call.
pub fn margin(remaining: Duration) -> Duration {
    let share = remaining / 20;
    // A quarter at most, so that a deadline of a few milliseconds still gets an attempt.
    share.clamp(Duration::from_millis(25), Duration::from_millis(250)).min(remaining / 4)
}

/// Returns the remaining time less the margin: how long an attempt, or a wait before one, is of use to the caller.
pub fn usable(deadline: Instant) -> Duration {
    let remaining = deadline.saturating_duration_since(Instant::now());
    remaining.saturating_sub(margin(remaining))
}
