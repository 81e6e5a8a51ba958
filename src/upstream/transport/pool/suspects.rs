//! Callers whose requests may be what breaks connections.
//!
//! What stands before Zendesk may cut a connection because of one request, or let nothing through on it any more, and what others
//! have under way there is lost with it. Nobody says whose request it was, so all who had one there are suspect. Who has been so
//! twice has connections of its own, and soon only the one whose requests do it is suspect any more.

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::time::Instant;

use super::super::lane::Lane;

/// Under how many connections that broke a caller must have had a request.
const TWICE: u32 = 2;
/// For how long after the last of them it is suspect.
const SPELL: Duration = Duration::from_secs(30);
/// Most callers that are remembered.
const MOST: usize = 32;
/// Most that have connections of their own: those under whom most connections broke.
const MOST_APART: usize = 4;

/// The callers.
#[derive(Default)]
pub struct Suspects {
    all: Vec<Suspect>,
    /// Who came last, and who before that is another caller.
    came: [Option<(u64, Instant)>; 2],
}

struct Suspect {
    caller: u64,
    broke: u32,
    /// The last connection that broke.
    lane: Weak<Lane>,
    last: Instant,
}

impl Suspects {
    /// Notes that a connection broke under a request of this caller.
    pub fn broke(&mut self, caller: u64, lane: &Arc<Lane>) {
        self.all.retain(|suspect| suspect.last.elapsed() < SPELL);
        let (lane, last) = (Arc::downgrade(lane), Instant::now());
        if let Some(suspect) = self.all.iter_mut().find(|suspect| suspect.caller == caller) {
            if !suspect.lane.ptr_eq(&lane) {
                *suspect = Suspect { caller, broke: suspect.broke + 1, lane, last };
            }
            return;
        }
        if self.all.len() >= MOST {
            let first = self.all.iter().enumerate().min_by_key(|(_, suspect)| (suspect.broke, suspect.last));
            let at = first.map_or(0, |(at, _)| at);
            self.all.remove(at);
        }
        self.all.push(Suspect { caller, broke: 1, lane, last });
    }

    /// Notes that a request of this caller came. Returns whether it goes on connections of its own.
    pub fn is_apart(&mut self, caller: u64) -> bool {
        if self.came[0].is_some_and(|(last, _)| last != caller) {
            self.came[1] = self.came[0];
        }
        self.came[0] = Some((caller, Instant::now()));
        let at = self.all.iter().position(|suspect| suspect.caller == caller && suspect.is_suspect());
        let Some(at) = at else { return false };
        let goes_before = |other: usize| (self.all[other].broke, at) > (self.all[at].broke, other);
        let before = (0..self.all.len()).filter(|other| *other != at && goes_before(*other)).count();
        // Where there is nobody else it keeps nobody from anything.
        before < MOST_APART && self.came[1].is_some_and(|(_, came)| came.elapsed() < SPELL)
    }
}

impl Suspect {
    fn is_suspect(&self) -> bool {
        self.broke >= TWICE && self.last.elapsed() < SPELL
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::lane::Pings;
    use super::super::super::link::Link;
    use super::super::super::needs::Purpose;
    use super::*;

    fn lane() -> Arc<Lane> {
        let link = Arc::new(Link::new(&Arc::default()));
        Lane::new(reqwest::Client::new(), link, Purpose::Usual, Pings::default(), &Arc::default())
    }

    /// Returns who of these goes on connections of its own.
    fn apart(suspects: &mut Suspects, callers: std::ops::Range<u64>) -> Vec<u64> {
        // Somebody else is there, too.
        suspects.is_apart(u64::MAX);
        callers.filter(|caller| suspects.is_apart(*caller)).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn who_was_on_two_connections_that_broke_has_its_own_for_a_while() {
        let mut suspects = Suspects::default();
        let lanes = [lane(), lane()];
        for caller in [0, 1, 0, 1] {
            suspects.broke(caller, &lanes[0]);
        }
        assert_eq!(apart(&mut suspects, 0..3), [0; 0], "it was one connection");
        suspects.broke(0, &lanes[1]);
        assert_eq!(apart(&mut suspects, 0..3), [0]);
        tokio::time::sleep(SPELL).await;
        assert_eq!(apart(&mut suspects, 0..3), [0; 0]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_caller_alone_has_nobody_to_be_kept_apart_from() {
        let mut suspects = Suspects::default();
        for _ in 0..3 {
            suspects.broke(0, &lane());
        }
        assert!(!suspects.is_apart(0));
        assert!(!suspects.is_apart(1));
        assert!(suspects.is_apart(0));
    }

    #[tokio::test(start_paused = true)]
    async fn of_many_suspects_those_are_apart_under_whom_most_connections_broke() {
        let mut suspects = Suspects::default();
        for _ in 0..2 {
            let lane = lane();
            (0..20).for_each(|caller| suspects.broke(caller, &lane));
        }
        assert_eq!(apart(&mut suspects, 0..20), [0, 1, 2, 3]);
        let next = lane();
        (4..20).for_each(|caller| suspects.broke(caller, &next));
        assert_eq!(apart(&mut suspects, 0..20), [4, 5, 6, 7], "it was none of the first");
        suspects.broke(13, &lane());
        assert_eq!(apart(&mut suspects, 0..20), [4, 5, 6, 13]);
        (100..200).for_each(|caller| suspects.broke(caller, &next));
        assert!(suspects.all.len() <= MOST && suspects.is_apart(13));
    }
}
