//! How much of the time until a deadline may be used for work.

use std::time::Duration;

use tokio::time::Instant;

/// Returns the time that is kept back for the answer: it has to be encoded and reach the caller before the caller's own timer
/// ends the call. An attempt at a write goes on in it, because it is not cut, but is not waited for.
pub fn margin(remaining: Duration) -> Duration {
    let share = remaining / 20;
    // A twentieth, within what encoding and a network need; but never more than a quarter, so that a call with a few milliseconds
    // left is still tried.
    share.clamp(Duration::from_millis(25), Duration::from_millis(250)).min(remaining / 4)
}

/// Returns the remaining time less the margin: how long an attempt, or a wait before one, is of use to the caller.
pub fn usable(deadline: Instant) -> Duration {
    let remaining = deadline.saturating_duration_since(Instant::now());
    remaining.saturating_sub(margin(remaining))
}

/// Returns when a wait ends that says best by itself why it has to: half-way between its own last moment and the deadline.
pub fn latest(deadline: Instant) -> Instant {
    let last_moment = last_moment(deadline);
    last_moment + deadline.saturating_duration_since(last_moment) / 2
}

/// Returns when work for a call must end, so that its answer arrives before the deadline.
pub fn last_moment(deadline: Instant) -> Instant {
    Instant::now() + usable(deadline)
}
