//! Turns: declarative writes to one group or user run one after the other, in the order in which they came.
//!
//! A declarative write reads the present memberships, compares them with the wanted ones, and writes the difference. Two at
//! once on one group would each start from a list that the other is changing, and could leave a list that neither caller
//! asked for, or an empty one. So each waits until the one before has ended, including its work after the call: a write whose
//! caller has left, a job that still runs, a write with unknown outcome that Zendesk may still carry out.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

use crate::error::{Error, Result};
use crate::rest::Whole;

/// The turns of one account. Clones share them.
#[derive(Clone, Default)]
pub struct Turns(Arc<Mutex<Lines>>);

/// A semaphore with one permit for each list that calls change or wait for.
type Lines = HashMap<Whole, Arc<Semaphore>>;

/// A call's turn; dropping the last clone ends it.
#[derive(Debug, Clone)]
pub struct Turn(#[expect(dead_code, reason = "held, not read")] Arc<Held>);

struct Held {
    /// None only during drop.
    permit: Option<OwnedSemaphorePermit>,
    lines: Arc<Mutex<Lines>>,
    whole: Whole,
}

impl std::fmt::Debug for Held {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        to.debug_tuple("Held").field(&self.whole).finish()
    }
}

impl Turns {
    /// Waits for this call's turn to change `whole`.
    ///
    /// # Errors
    /// [`Error::TurnMissed`] if the turn does not come by `until`.
    pub async fn take(&self, whole: Whole, until: Instant) -> Result<Turn> {
        // tokio's semaphore serves waiters in the order in which they came.
        let line = lock(&self.0).entry(whole).or_insert_with(|| Arc::new(Semaphore::new(1))).clone();
        let waiting = Waiting { lines: &self.0, whole };
        let permit = timeout_at(until, line.acquire_owned()).await;
        drop(waiting);
        match permit {
            Ok(Ok(permit)) => Ok(Turn(Arc::new(Held { permit: Some(permit), lines: self.0.clone(), whole }))),
            _ => Err(Error::TurnMissed { what: whole.name() }),
        }
    }
}

fn lock(lines: &Mutex<Lines>) -> MutexGuard<'_, Lines> {
    lines.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Removes the semaphore of a list that no call changes or waits for.
fn tidy(lines: &Mutex<Lines>, whole: Whole) {
    let mut lines = lock(lines);
    if lines.get(&whole).is_some_and(|line| Arc::strong_count(line) == 1) {
        lines.remove(&whole);
    }
}

/// A wait for a turn. Dropping it, however the wait ended, removes the semaphore if no other call uses it.
struct Waiting<'a> {
    lines: &'a Mutex<Lines>,
    whole: Whole,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        tidy(self.lines, self.whole);
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        drop(self.permit.take());
        tidy(&self.lines, self.whole);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const GROUP: Whole = Whole::AgentsOfGroup(7);

    fn within(millis: u64) -> Instant {
        Instant::now() + Duration::from_millis(millis)
    }

    #[tokio::test(start_paused = true)]
    async fn turns_come_in_order_and_end_with_the_last_who_holds_one() {
        let turns = Turns::default();
        let first = turns.take(GROUP, within(10)).await.expect("nobody is there");
        let (order, mut came) = tokio::sync::mpsc::unbounded_channel();
        for number in 0..3 {
            let (turns, order) = (turns.clone(), order.clone());
            tokio::spawn(async move {
                let turn = turns.take(GROUP, within(1_000)).await.expect("in time");
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
        let held = turns.take(GROUP, within(10)).await.expect("nobody is there");
        let missed = turns.take(GROUP, within(10)).await.expect_err("it is held");
        assert!(matches!(missed, Error::TurnMissed { .. }), "{missed:?}");
        for other in [Whole::AgentsOfGroup(8), Whole::GroupsOfUser(7), Whole::AddressesOfUser(7)] {
            turns.take(other, within(10)).await.expect("nobody is there");
        }
        let (again, later) = (turns.clone(), within(1_000));
        let left = tokio::spawn(async move { again.take(GROUP, later).await.map(drop) });
        tokio::task::yield_now().await;
        left.abort();
        assert!(left.await.is_err(), "who leaves the line holds up nobody");
        drop(held);
        turns.take(GROUP, within(10)).await.expect("nobody is there");
        assert!(lock(&turns.0).is_empty());
    }
}
