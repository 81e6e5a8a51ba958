//! Turns: declarative writes to one group or user run one after the other. Callers take turns, and those of one caller go in the
//! order in which they came.
//!
//! A declarative write reads the present memberships, compares them with the wanted ones, and writes the difference. Two at
//! once on one group would each start from a list that the other is changing, and could leave a list that neither caller
//! asked for, or an empty one. So each waits until the one before has ended, including its work after the call: a write whose
//! caller has left, a job that still runs, a write with unknown outcome that Zendesk may still carry out.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use crate::error::{Error, Result};
use crate::rest::Whole;
use crate::share::Share;
use crate::upstream::call::Priority;
use crate::upstream::room::{Entry, Rank, Room, Wish};

/// The turns of one account. Clones share them.
#[derive(Clone, Default)]
pub struct Turns(Arc<Mutex<Lines>>);

/// Of each list that a call changes now.
type Lines = HashMap<Whole, Line>;

struct Line {
    /// Who waits for the turn.
    waiting: Room<oneshot::Sender<Turn>>,
    /// Whether whoever has it has begun to change something.
    has_begun: bool,
}

impl Line {
    fn new(has_begun: bool) -> Self {
        // The server bounds the calls.
        Self { waiting: Room::new(usize::MAX), has_begun }
    }
}

/// A call's turn; dropping the last clone ends it.
#[derive(Debug, Clone)]
pub struct Turn(Arc<Held>);

impl Turn {
    /// Notes that something is about to be changed.
    pub fn begin(&self) {
        if let Some(line) = lock(&self.0.lines).get_mut(&self.0.whole) {
            line.has_begun = true;
        }
    }

    /// Returns what it is the turn to change.
    pub fn whole(&self) -> Whole {
        self.0.whole
    }
}

struct Held {
    lines: Arc<Mutex<Lines>>,
    whole: Whole,
}

impl std::fmt::Debug for Held {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        to.debug_tuple("Held").field(&self.whole).finish()
    }
}

impl Turns {
    /// Waits for the turn of a call of this caller to change `whole`.
    ///
    /// # Errors
    /// [`Error::TurnMissed`] if the turn does not come by `until`.
    pub async fn take(&self, whole: Whole, share: &Share, until: Instant) -> Result<Turn> {
        let (turn, comes) = oneshot::channel();
        let rank = {
            let mut lines = lock(&self.0);
            let Some(line) = lines.get_mut(&whole) else {
                lines.insert(whole, Line::new(false));
                return Ok(self.turn(whole));
            };
            let Entry::Placed(rank) = line.waiting.enter(Wish::of(share, Priority::Write, Instant::now()), turn) else {
                unreachable!("the room has no bound");
            };
            rank
        };
        let _waiting = Waiting { lines: &self.0, whole, rank };
        match timeout_at(until, comes).await {
            Ok(Ok(turn)) => Ok(turn),
            _ => Err(Error::TurnMissed { what: whole.name() }),
        }
    }

    /// Returns what calls have begun to change.
    pub fn taken(&self) -> Vec<Whole> {
        lock(&self.0).iter().filter(|(_, line)| line.has_begun).map(|(whole, _)| *whole).collect()
    }

    /// Takes a turn on behalf of another gateway, unless somebody here has it.
    pub fn take_over(&self, whole: Whole) -> Option<Turn> {
        let mut lines = lock(&self.0);
        if lines.contains_key(&whole) {
            return None;
        }
        lines.insert(whole, Line::new(true));
        Some(self.turn(whole))
    }

    fn turn(&self, whole: Whole) -> Turn {
        Turn(Arc::new(Held { lines: Arc::clone(&self.0), whole }))
    }
}

fn lock(lines: &Mutex<Lines>) -> MutexGuard<'_, Lines> {
    lines.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A wait for a turn; dropping it leaves the line.
struct Waiting<'a> {
    lines: &'a Mutex<Lines>,
    whole: Whole,
    rank: Rank,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if let Some(line) = lock(self.lines).get_mut(&self.whole) {
            line.waiting.leave(&self.rank);
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut lines = lock(&self.lines);
        let next = lines.get_mut(&self.whole).and_then(|line| {
            line.has_begun = false;
            line.waiting.take_first()
        });
        if next.is_none() {
            lines.remove(&self.whole);
        }
        drop(lines);
        if let Some((_, waiter)) = next {
            // If the call left at this very moment, its turn is dropped, and the next one's comes.
            drop(waiter.send(Turns(Arc::clone(&self.lines)).turn(self.whole)));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config;
    use crate::share::Shares;

    const GROUP: Whole = Whole::AgentsOfGroup(7);

    fn within(millis: u64) -> Instant {
        Instant::now() + Duration::from_millis(millis)
    }

    #[tokio::test(start_paused = true)]
    async fn turns_come_in_order_and_end_with_the_last_who_holds_one() {
        let turns = Turns::default();
        let first = turns.take(GROUP, &Share::default(), within(10)).await.expect("nobody is there");
        let (order, mut came) = tokio::sync::mpsc::unbounded_channel();
        for number in 0..3 {
            let (turns, order) = (turns.clone(), order.clone());
            tokio::spawn(async move {
                let turn = turns.take(GROUP, &Share::default(), within(1_000)).await.expect("in time");
                order.send(number).expect("the test listens");
                tokio::time::sleep(Duration::from_millis(10)).await;
                drop(turn);
            });
            tokio::task::yield_now().await;
        }
        let goes_on = first.clone();
        drop(first);
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert!(came.try_recv().is_err(), "something goes on for the first one");
        drop(goes_on);
        for number in 0..3 {
            assert_eq!(came.recv().await, Some(number));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert!(lock(&turns.0).is_empty(), "nothing is kept for what nobody changes");
    }

    #[tokio::test(start_paused = true)]
    async fn a_turn_that_does_not_come_in_time_is_a_conflict_and_other_things_do_not_wait() {
        let turns = Turns::default();
        let held = turns.take(GROUP, &Share::default(), within(10)).await.expect("nobody is there");
        let missed = turns.take(GROUP, &Share::default(), within(10)).await.expect_err("it is held");
        assert!(matches!(missed, Error::TurnMissed { .. }), "{missed:?}");
        for other in [Whole::AgentsOfGroup(8), Whole::GroupsOfUser(7), Whole::AddressesOfUser(7)] {
            turns.take(other, &Share::default(), within(10)).await.expect("nobody is there");
        }
        let (again, later) = (turns.clone(), within(1_000));
        let left = tokio::spawn(async move { again.take(GROUP, &Share::default(), later).await.map(drop) });
        tokio::task::yield_now().await;
        left.abort();
        assert!(left.await.is_err(), "who leaves the line holds up nobody");
        drop(held);
        turns.take(GROUP, &Share::default(), within(10)).await.expect("nobody is there");
        assert!(lock(&turns.0).is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn callers_take_turns_however_many_calls_one_of_them_has_waiting() {
        let (turns, shares) = (Turns::default(), Shares::new(&config::Callers::unlimited(), usize::MAX));
        let (order, mut came) = tokio::sync::mpsc::unbounded_channel();
        let ask = |caller: &'static str| {
            let (turns, share, order) = (turns.clone(), shares.of(caller), order.clone());
            tokio::spawn(async move {
                let turn = turns.take(GROUP, &share, within(60_000)).await.expect("in time");
                order.send(caller).expect("the test listens");
                tokio::time::sleep(Duration::from_millis(300)).await;
                drop(turn);
            })
        };
        for _ in 0..100 {
            ask("greedy");
            tokio::task::yield_now().await;
        }
        tokio::time::sleep(Duration::from_millis(700)).await;
        let begun = Instant::now();
        ask("modest").await.expect("no panic");
        ask("modest").await.expect("no panic");
        assert!(begun.elapsed() <= Duration::from_millis(5 * 300 + 200), "{:?}", begun.elapsed());
        tokio::time::sleep(Duration::from_mins(1)).await;
        drop(order);
        let mut all = 0;
        while came.recv().await.is_some() {
            all += 1;
        }
        assert_eq!((all, lock(&turns.0).len()), (102, 0));
    }
}
