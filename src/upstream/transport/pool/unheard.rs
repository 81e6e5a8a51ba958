//! Connections that end before anything was heard on them, one after the other, as those of an edge that restarts do.
//!
//! What was sent on them may go on the next connection, so without a pause there would be as many handshakes as there is time for.
//! A few cost none: one caller's request may end connections, on which others are answered now and then.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::super::lane::Lane;

/// How many may end so, one after the other, before there is a pause after each.
const FREE: u32 = 4;
/// Time from the end of such a connection to the next attempt.
const PAUSE: Duration = Duration::from_millis(100);

/// Those that have ended since the last answer.
#[derive(Default)]
pub struct Unheard {
    /// Ended, with requests under way that may still be answered.
    open: Vec<Arc<Lane>>,
    /// How many there were, and when the last one ended.
    row: u32,
    last: Option<Instant>,
}

impl Unheard {
    /// Notes that these connections have ended.
    pub fn note<'a>(&mut self, ended: impl Iterator<Item = &'a Arc<Lane>>) {
        self.open.extend(ended.cloned());
        let mut is_new = false;
        self.open.retain(|lane| {
            is_new |= !lane.processes();
            lane.processes() && !lane.has_heard()
        });
        if is_new {
            self.row += 1;
            self.last = Some(Instant::now());
        }
    }

    /// Returns for how long no connection is opened now.
    pub fn pause(&self) -> Duration {
        let last = self.last.filter(|_| self.row > FREE);
        last.map_or(Duration::ZERO, |ended| PAUSE.saturating_sub(ended.elapsed()))
    }

    /// Notes that a connection answered.
    pub fn answered(&mut self) {
        self.row = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::lane::Pings;
    use super::super::super::link::Link;
    use super::super::super::needs::Purpose;
    use super::*;
    use crate::upstream::transport::end::End;

    fn lane() -> Arc<Lane> {
        let link = Arc::new(Link::new(&Arc::default()));
        link.connected(true);
        Lane::new(reqwest::Client::new(), link, Purpose::Usual, Pings::default(), &Arc::default())
    }

    #[tokio::test(start_paused = true)]
    async fn there_is_a_pause_after_several_connections_that_ended_unheard_until_one_answers() {
        let mut unheard = Unheard::default();
        let ends = |unheard: &mut Unheard| {
            let lane = lane();
            lane.end(End::Goaway);
            unheard.note([&lane].into_iter());
            unheard.pause()
        };
        for _ in 0..FREE {
            assert_eq!(ends(&mut unheard), Duration::ZERO);
        }
        for _ in 0..3 {
            assert_eq!(ends(&mut unheard), PAUSE);
            tokio::time::sleep(PAUSE).await;
            assert_eq!(unheard.pause(), Duration::ZERO);
        }
        let (heard, open) = (lane(), lane());
        let taken = open.take();
        heard.heard(true);
        for lane in [&heard, &open] {
            lane.end(End::Goaway);
        }
        unheard.note([&heard, &open].into_iter());
        assert_eq!(unheard.pause(), Duration::ZERO, "one has answered, and on the other a request may still be");
        open.leave(taken);
        unheard.note([].into_iter());
        assert_eq!(unheard.pause(), PAUSE, "it was not");
        unheard.answered();
        assert_eq!(ends(&mut unheard), Duration::ZERO);
    }
}
