//! How much of the time until a deadline may be used for work.

use std::time::Duration;

use tokio::time::Instant;

/// Returns how long before its caller's own timer a call with so much time in all is answered: both ways through the network take
/// their part of that time, and many answers may leave at one moment. Everything below goes by the deadline without it.
pub fn way_home(time: Duration) -> Duration {
    (time / 20).clamp(Duration::from_millis(75), Duration::from_millis(250)).min(time / 10)
}

/// Returns the time that is kept back for an answer to be made. An attempt at a write goes on in it, because it is not cut, but is
/// not waited for.
pub fn margin(remaining: Duration) -> Duration {
    let share = remaining / 20;
    // A twentieth, within bounds; but never more than a quarter, so that a call with a few milliseconds left is still tried.
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
