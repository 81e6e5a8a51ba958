//! A peer that processes nothing: it refuses each stream, or allows none at all.
//!
//! Each refusal alone says that the request may be sent again, so all calls together would go on offering theirs. After a while
//! without an answer one of them is offered at a time, with a growing pause, and the others wait in the queue.

use std::time::Duration;

use tokio::time::Instant;

/// For how long nothing but refusals must have come, and how many.
const SPELL: Duration = Duration::from_secs(1);
const LEAST: u32 = 3;

/// The pause between two offers, at first and at most.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// The refusals since the last answer.
#[derive(Default)]
pub struct Refusals {
    count: u32,
    first: Option<Instant>,
    /// When the next request may be offered, and the pause after it.
    next: Option<(Instant, Duration)>,
}

impl Refusals {
    /// Notes that the peer refused a request, or has no room even for one.
    pub fn refused(&mut self) {
        self.count += 1;
        self.first.get_or_insert_with(Instant::now);
    }

    /// Notes that the peer answered one.
    pub fn answered(&mut self) {
        if self.count > 0 {
            *self = Self::default();
        }
    }

    /// True if the peer has processed nothing for a while.
    pub fn is_shut(&self) -> bool {
        self.count >= LEAST && self.first.is_some_and(|first| first.elapsed() >= SPELL)
    }

    /// Whether a request may be offered now. If so, the next may not until after a pause.
    pub fn may_offer(&mut self) -> bool {
        if !self.is_shut() {
            return true;
        }
        let now = Instant::now();
        let (next, pause) = self.next.unwrap_or((now, FIRST_PAUSE));
        if now < next {
            return false;
        }
        self.next = Some((now + pause, (pause * 2).min(LONGEST_PAUSE)));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_refuses_everything_is_offered_one_request_at_a_time_with_a_growing_pause() {
        let mut refusals = Refusals::default();
        for _ in 0..50 {
            refusals.refused();
            assert!(refusals.may_offer(), "it may be a short spell");
        }
        tokio::time::sleep(SPELL).await;
        for pause in [250, 500, 1_000, 1_000] {
            assert!(refusals.may_offer());
            assert!(!refusals.may_offer(), "one at a time");
            tokio::time::sleep(Duration::from_millis(pause - 1)).await;
            assert!(!refusals.may_offer());
            tokio::time::sleep(Duration::from_millis(1)).await;
            refusals.refused();
        }
        refusals.answered();
        assert!(refusals.may_offer() && refusals.may_offer());
    }

    #[tokio::test(start_paused = true)]
    async fn a_single_refusal_shuts_nothing_however_long_ago() {
        let mut refusals = Refusals::default();
        refusals.refused();
        tokio::time::sleep(10 * SPELL).await;
        assert!(refusals.may_offer() && refusals.may_offer());
    }
}
