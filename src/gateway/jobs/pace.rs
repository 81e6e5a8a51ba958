//! How often Zendesk is asked about jobs: by the age of each job, and within a share of the account's requests, in which callers
//! take turns, however many credentials each of them uses.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until};

use crate::share::Share;
use crate::upstream::call::Priority;
use crate::upstream::governor::Governor;
use crate::upstream::room::{Entry, Rank, Room, Wish};

const MINUTE: Duration = Duration::from_mins(1);
/// Shortest time from one request about a job until it is due for the next.
pub const SHORTEST: Duration = Duration::from_millis(250);
/// Longest time from one request about a job until it is due for the next.
const LONGEST: Duration = Duration::from_secs(10);
/// Most that requests about jobs take of the account's requests per minute, in percent.
const PERCENT: u32 = 5;

/// Returns the wait before a job of this age is asked about again: a quarter of the age, within bounds. So the delay in noticing
/// the end is in proportion to the job's length, and until the longest wait is reached the number of requests grows only with the
/// logarithm of the age.
pub fn interval(age: Duration) -> Duration {
    (age / 4).clamp(SHORTEST, LONGEST)
}

/// The requests about jobs, of all credentials together.
pub struct Pace {
    governor: Option<Arc<Governor>>,
    state: Mutex<State>,
}

struct State {
    /// When the next request would be due if all came at an even pace.
    due: Option<Instant>,
    /// The pollers that wait for their next request, by the callers whose jobs it is about.
    room: Room<oneshot::Sender<()>>,
}

impl Pace {
    /// Returns a pace by the budget that `governor` has learnt. Without one, nothing but the age of the jobs counts.
    pub fn new(governor: Option<Arc<Governor>>) -> Self {
        // There is one poller for each credential with which somebody follows a job, and the server bounds the calls.
        let state = State { due: None, room: Room::new(usize::MAX) };
        Self { governor, state: Mutex::new(state) }
    }

    /// Counts one request that is sent without waiting for its turn.
    pub fn count(&self) {
        if let Some(even) = self.even() {
            self.state().count(even.time);
        }
    }

    /// Queues for the next request, about jobs of these callers. It is the turn of the one who has fewest such requests waiting.
    pub fn wait(self: &Arc<Self>, callers: &[Share]) -> Turn {
        let (go, comes) = oneshot::channel();
        let mut state = self.state();
        let first = callers.iter().min_by_key(|share| state.room.waiting_of(share.id())).cloned().unwrap_or_default();
        let Entry::Placed(rank) = state.room.enter(Wish::of(&first, Priority::Background, Instant::now()), go) else {
            unreachable!("the room has no bound");
        };
        drop(state);
        Turn { pace: Arc::clone(self), rank, comes }
    }

    /// Lets those go whose turn has come. Returns when the next one's comes.
    fn grant(&self) -> Instant {
        let (even, now) = (self.even(), Instant::now());
        let mut state = self.state();
        loop {
            let next = even.map_or(now, |even| state.next(now, even));
            if next > now {
                return next;
            }
            let Some((_, go)) = state.room.take_first() else { return now + MINUTE };
            // One that leaves at this very moment sends nothing.
            if let (Ok(()), Some(even)) = (go.send(()), even) {
                state.count(even.time);
            }
        }
    }

    /// Returns the even pace; none if nothing is known of a limit, or Zendesk states none.
    fn even(&self) -> Option<Even> {
        let limit = self.governor.as_ref()?.limit()?;
        let most = (limit / 100 * PERCENT + limit % 100 * PERCENT / 100).max(1);
        // A third of them may go at once and the others at an even pace, so that no minute has more than `most`.
        let burst = (most / 3).max(1);
        Some(Even { time: MINUTE / (most - burst).max(1), burst })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The time from one request to the next, and how many may go at once.
#[derive(Clone, Copy)]
struct Even {
    time: Duration,
    burst: u32,
}

impl State {
    fn count(&mut self, time: Duration) {
        let now = Instant::now();
        self.due = Some(self.due.unwrap_or(now).max(now) + time);
    }

    /// Returns when the next request may be sent.
    fn next(&self, now: Instant, even: Even) -> Instant {
        let due = self.due.unwrap_or(now).max(now);
        due.checked_sub(even.time * (even.burst - 1)).unwrap_or(now).max(now)
    }
}

/// A poller's place among those that wait for their next request; dropping it leaves.
pub struct Turn {
    pace: Arc<Pace>,
    rank: Rank,
    comes: oneshot::Receiver<()>,
}

impl Turn {
    /// True if it has come: the request is counted.
    pub fn has_come(&mut self) -> bool {
        self.pace.grant();
        self.comes.try_recv().is_ok()
    }

    /// Completes when it has come. It may be dropped and called again, but not after that.
    pub async fn come(&mut self) {
        loop {
            // Nobody else looks when the next one's comes.
            let next = self.pace.grant();
            tokio::select! {
                biased;
                _ = &mut self.comes => return,
                () = sleep_until(next) => {}
            }
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.pace.state().room.leave(&self.rank);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_young_job_is_asked_about_often_and_an_old_one_seldom() {
        let mut at = Duration::ZERO;
        let mut asked = Vec::new();
        while at < Duration::from_mins(2) {
            at += interval(at);
            asked.push(at);
        }
        let within = |from: u64, to: u64| asked.iter().filter(|at| (from..to).contains(&at.as_secs())).count();
        assert_eq!((asked[0], within(0, 1)), (SHORTEST, 3));
        assert!(within(0, 60) <= 24, "{asked:?}");
        assert_eq!(within(60, 120), 6);
    }
}
