//! Connections that end before anything was heard on them, one after the other, as those of an edge that restarts do.
//!
//! What was sent on them may go on the next connection, so without a pause there would be as many handshakes as there is time for.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::super::lane::Lane;

/// Time from the end of such a connection to the next attempt, at first and at most.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_millis(100);

/// Those that have ended since the last answer.
#[derive(Default)]
pub struct Unheard {
    /// Ended, with requests under way that may still be answered.
    open: Vec<Arc<Lane>>,
    /// When the last one ended, and the pause after it.
    last: Option<(Instant, Duration)>,
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
            let pause = self.last.map_or(FIRST_PAUSE, |(_, pause)| (pause * 2).min(LONGEST_PAUSE));
            self.last = Some((Instant::now(), pause));
        }
    }

    /// Returns for how long no connection is opened now.
    pub fn pause(&self) -> Duration {
        self.last.map_or(Duration::ZERO, |(ended, pause)| pause.saturating_sub(ended.elapsed()))
    }

    /// Notes that a connection answered.
    pub fn answered(&mut self) {
        self.last = None;
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::link::Link;
    use super::super::super::needs::Purpose;
    use super::*;
    use crate::upstream::transport::end::End;

    fn lane() -> Arc<Lane> {
        let link = Arc::new(Link::new(&Arc::default()));
        link.connected(true);
        Lane::new(reqwest::Client::new(), link, Purpose::Usual, Duration::ZERO, &Arc::default())
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_grows_with_each_connection_that_ends_unheard_until_one_answers() {
        let mut unheard = Unheard::default();
        let pause = |unheard: &Unheard| u64::try_from(unheard.pause().as_millis()).expect("short");
        for expected in [50, 100, 100] {
            let lane = lane();
            lane.end(End::Goaway);
            unheard.note([&lane].into_iter());
            assert_eq!(pause(&unheard), expected);
            tokio::time::sleep(Duration::from_millis(expected)).await;
            assert_eq!(pause(&unheard), 0);
        }
        unheard.answered();
        let (heard, open) = (lane(), lane());
        let taken = open.take();
        heard.heard(true);
        [&heard, &open].into_iter().for_each(|lane| lane.end(End::Goaway));
        unheard.note([&heard, &open].into_iter());
        assert_eq!(pause(&unheard), 0, "one has answered, and on the other a request may still be");
        open.leave(taken);
        unheard.note([].into_iter());
        assert_eq!(pause(&unheard), 50, "it was not");
    }
}
