//! Whether Zendesk can be reached, and for how long it could not.
//!
//! Connections are refused for a moment while what stands before Zendesk restarts. Calls that have the time wait for that, and the
//! circuits learn nothing of it.

use std::time::Duration;

use tokio::time::Instant;

use crate::deadline::usable;

/// For how long after the first of them failed attempts to connect are repeated, if Zendesk was reached before.
const BRIDGED: Duration = Duration::from_secs(2);
/// Least time that a request must have for another attempt.
const LEAST: Duration = Duration::from_millis(250);

/// What is known of it.
#[derive(Default)]
pub struct Reach {
    /// Whether Zendesk has ever answered.
    was_reached: bool,
    /// When connecting failed for the first time since its last answer.
    failed: Option<Instant>,
}

impl Reach {
    /// Notes that Zendesk answered.
    pub fn answered(&mut self) {
        *self = Self { was_reached: true, failed: None };
    }

    /// Notes that connecting failed. Returns whether a request that is wanted by then should wait for another attempt.
    pub fn may_come_back(&mut self, wanted_by: Instant) -> bool {
        let is_short = self.failed.get_or_insert_with(Instant::now).elapsed() < BRIDGED;
        self.was_reached && is_short && usable(wanted_by) > LEAST
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::sleep;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_request_with_time_waits_until_it_is_clear_that_the_outage_is_not_short() {
        let mut reach = Reach::default();
        let soon = || Instant::now() + Duration::from_secs(5);
        assert!(!reach.may_come_back(soon()), "perhaps it is not there at all");
        for _ in 0..2 {
            reach.answered();
            assert!(reach.may_come_back(soon()));
            assert!(!reach.may_come_back(Instant::now() + LEAST), "there would be no time to say so");
            sleep(BRIDGED.saturating_sub(Duration::from_millis(1))).await;
            assert!(reach.may_come_back(soon()));
            sleep(Duration::from_millis(1)).await;
            assert!(!reach.may_come_back(soon()));
        }
    }
}
