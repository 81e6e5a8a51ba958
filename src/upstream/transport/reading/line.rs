//! A line for room that is short. Callers take turns, by weight, as they do for permits; what is first in line and does not fit yet
//! holds back what comes after it, or it might never fit.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use crate::upstream::call::Call;
use crate::upstream::room::{Entry, Rank, Room};

/// Room of so many parts, and who waits for some of them.
pub struct Line {
    state: Mutex<State>,
    most: usize,
}

struct State {
    used: usize,
    room: Room<Waiter>,
}

struct Waiter {
    parts: usize,
    grant: oneshot::Sender<Taken>,
}

impl Line {
    /// Returns the line for so many parts.
    pub fn new(most: usize) -> Arc<Self> {
        // Each call has one place at most, and the queue bounds the calls.
        Arc::new(Self { state: Mutex::new(State { used: 0, room: Room::new(usize::MAX) }), most })
    }

    /// Waits for so many parts of the room, at most all of it.
    pub async fn wait(self: &Arc<Self>, call: &Call, parts: usize) -> Taken {
        let (grant, mut granted) = oneshot::channel();
        let mut place = {
            let mut state = self.state();
            let wish = state.room.wish(call);
            let Entry::Placed(rank) = state.room.enter(wish, Waiter { parts, grant }) else {
                unreachable!("the line has no bound");
            };
            self.grant(&mut state);
            Place { line: self, rank }
        };
        loop {
            tokio::select! {
                biased;
                taken = &mut granted => return taken.expect("whoever waits is given room, or leaves by itself"),
                () = call.waits_for.joined() => place.improve(call),
            }
        }
    }

    /// Gives room to those who are first, as far as there is some.
    fn grant(self: &Arc<Self>, state: &mut State) {
        loop {
            let first = state.room.iter().next().map(|(_, first)| first.parts);
            if first.is_none_or(|parts| state.used + parts > self.most) {
                return;
            }
            let (_, Waiter { parts, grant }) = state.room.take_first().expect("there is a first");
            if let Err(mut taken) = grant.send(Taken { line: Some(Arc::clone(self)), parts }) {
                // It left at this very moment. The lock is held already, so this must not give itself back.
                taken.line = None;
            } else {
                state.used += parts;
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Parts of the room. Dropping them gives them to the next.
pub struct Taken {
    line: Option<Arc<Line>>,
    parts: usize,
}

impl Drop for Taken {
    fn drop(&mut self) {
        if let Some(line) = self.line.take() {
            let mut state = line.state();
            state.used -= self.parts;
            line.grant(&mut state);
        }
    }
}

/// A call's place in the line, freed when the call is dropped.
struct Place<'a> {
    line: &'a Arc<Line>,
    rank: Rank,
}

impl Place<'_> {
    /// Takes a better place if somebody who wants the call has one.
    fn improve(&mut self, call: &Call) {
        if let Some(rank) = self.line.state().room.improve(&self.rank, call) {
            self.rank = rank;
        }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut state = self.line.state();
        if state.room.leave(&self.rank).is_some() {
            // It may have held back those after it.
            self.line.grant(&mut state);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use tokio::sync::mpsc;

    use super::*;
    use crate::config;
    use crate::share::{Share, Shares};
    use crate::upstream::tests::support;

    fn call(share: &Share) -> Call {
        Call { share: share.clone(), ..support::read() }
    }

    #[tokio::test(start_paused = true)]
    async fn callers_take_turns_however_many_wait_for_one_of_them() {
        let shares = Shares::new(&config::Callers::default(), 1 << 20);
        let (greedy, modest) = (shares.of("greedy"), shares.of("modest"));
        let line = Line::new(2);
        let held = line.wait(&call(&greedy), 2).await;
        let (told, mut order) = mpsc::unbounded_channel();
        for (share, name) in [&greedy; 4].map(|share| (share, "greedy")).into_iter().chain([(&modest, "modest")]) {
            let (line, call, told) = (Arc::clone(&line), call(share), told.clone());
            tokio::spawn(async move {
                let _taken = line.wait(&call, 2).await;
                told.send(name).expect("the test listens");
            });
            support::settle().await;
        }
        drop((held, told));
        let mut went = Vec::new();
        while let Some(name) = order.recv().await {
            went.push(name);
        }
        assert!(went[..2].contains(&"modest") && went.len() == 5, "{went:?}");
        assert_eq!(line.state().used, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_large_gets_its_room_and_holds_nobody_back_once_it_has_left() {
        let line = Line::new(2);
        let small = line.wait(&support::read(), 1).await;
        let (one, other) = (support::read(), support::read());
        let mut large = Box::pin(line.wait(&one, 2));
        assert!((&mut large).now_or_never().is_none());
        let mut next = Box::pin(line.wait(&other, 1));
        assert!((&mut next).now_or_never().is_none(), "it would be served before what has waited longer");
        drop(large);
        let next = next.now_or_never().expect("nobody is before it");
        drop((small, next));
        assert_eq!(line.state().used, 0);
    }
}
