//! Connections from which nothing comes, and for how long others wait for it.

use std::time::Duration;

use tokio::time::sleep;

use super::{Lane, TURNS};

/// A connection is passed over after it has kept a request waiting this long for any part of an answer, or has not taken one, and
/// when the answer to a ping is as late.
pub const SILENT_AFTER: Duration = Duration::from_millis(750);

/// How a connection is pinged.
#[derive(Debug, Clone, Copy, Default)]
pub struct Pings {
    /// A ping is sent when nothing has come for so long.
    pub interval: Duration,
    /// The connection is given up when the answer does not come within this time.
    pub timeout: Duration,
}

impl Pings {
    /// How long pings take to decide whether a connection lives: until one is sent, its answer is late, and the client has noticed.
    pub fn decided_after(self) -> Duration {
        self.interval + self.timeout + self.timeout / 4
    }
}

impl Lane {
    /// True if an answer, or that to a ping, has been awaited for [`SILENT_AFTER`] or longer, so that no other request should join,
    /// and pings have not decided yet whether the connection lives. Once they have, a dead connection is closed, which the next
    /// request notices before it is sent, and a live one is merely slow.
    pub fn is_silent(&self) -> bool {
        let is_undecided = |waited| waited >= SILENT_AFTER && waited < self.pings.decided_after();
        self.unanswered().is_some_and(is_undecided) || self.is_overdue()
    }

    /// True if an answer, or that to a ping, has been awaited for [`SILENT_AFTER`] or longer, whether pings have decided or not.
    pub fn is_mute(&self) -> bool {
        self.unanswered().is_some_and(|waited| waited >= SILENT_AFTER) || self.is_overdue()
    }

    /// True if all who awaited an answer have given up, and pings have decided since. So nobody would notice if it came alive.
    pub fn is_forsaken(&self) -> bool {
        self.seats() == 0 && self.unanswered().is_some_and(|waited| waited >= self.pings.decided_after())
    }

    /// True if the connection has not answered its ping for [`SILENT_AFTER`], and pings have not decided yet.
    pub fn is_overdue(&self) -> bool {
        let silence = self.link.received().silence().filter(|_| self.is_connected() && self.is_open());
        silence.is_some_and(|silence| silence >= self.overdue_after() && silence < self.pings.decided_after())
    }

    /// Completes when a ping is overdue that was not when this was called, although the thread of the connection had the time to
    /// read the answer.
    pub async fn falls_silent(&self) {
        let mut was_overdue = true;
        loop {
            let is_overdue = self.is_overdue();
            if is_overdue && !was_overdue {
                self.link.has_turns(TURNS).await;
                if self.is_overdue() {
                    return;
                }
            }
            was_overdue = is_overdue;
            let silence = self.link.received().silence().unwrap_or_default();
            sleep(self.overdue_after().saturating_sub(silence).max(SILENT_AFTER / 8)).await;
        }
    }

    /// For how long nothing comes at most while pings are answered in time.
    fn overdue_after(&self) -> Duration {
        self.pings.interval + SILENT_AFTER
    }

    /// For how long an answer has been awaited and nothing was received.
    fn unanswered(&self) -> Option<Duration> {
        self.unanswered.elapsed(self.link.now())
    }
}
