//! The calls that wait for budget, and what wakes them.
//!
//! The governor has no task of its own. The first call in the room keeps the clock for all: it sleeps until a call may go, lets
//! all calls through that may, and hands the clock on when it leaves. Every change of a budget wakes it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, sleep_until};

use super::budget::Opening;
use super::snapshot::Snapshot;
use super::state::{Need, Spent, State, Waits};
use crate::config;
use crate::deadline::last_moment;
use crate::error::Error;
use crate::limits::Limit;
use crate::upstream::call::{Answer, Call, Ledger};
use crate::upstream::room::{Entry, Rank};

/// The budgets of one Zendesk account.
#[derive(Debug)]
pub struct Governor {
    state: Mutex<State<Waiter>>,
}

/// A call that waits.
#[derive(Debug)]
pub struct Waiter {
    pub need: Need,
    ledger: Arc<Ledger>,
    admit: oneshot::Sender<Result<Pass, Error>>,
    nudge: Arc<Notify>,
}

impl Waits for Waiter {
    fn need(&self) -> &Need {
        &self.need
    }
}

/// Waits until one of those who want the call may send a further request, or refuses the call if that will be too late.
async fn own_turn(call: &Call, give_up: Instant) -> Result<(), Error> {
    loop {
        let now = Instant::now();
        let Err(mut at) = call.share.take_request(now) else { return Ok(()) };
        for caller in call.waits_for.callers().iter().filter(|caller| caller.id() != call.share.id()) {
            match caller.take_request(now) {
                Ok(()) => return Ok(()),
                Err(other) => at = at.min(other),
            }
        }
        if at >= give_up {
            let retry_after = at.saturating_duration_since(now);
            return Err(Error::CallerLimit { what: "requests to zendesk in a minute", retry_after });
        }
        tokio::select! {
            () = sleep_until(at) => {}
            () = call.waits_for.joined() => {}
        }
    }
}

impl Governor {
    /// Returns a governor that knows nothing yet.
    pub fn new(settings: &config::Rate) -> Self {
        Self { state: Mutex::new(State::new(settings)) }
    }

    /// Returns the budgets as they are now.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot::of(&self.state())
    }

    /// Returns how many requests a minute the account may send, where that is known.
    pub fn limit(&self) -> Option<u32> {
        self.state().account.view(Instant::now()).map(|view| view.limit)
    }

    /// Returns what whoever spends next must know.
    pub fn spent(&self) -> Spent {
        self.state().spent(Instant::now())
    }

    /// Goes on from what another one has spent.
    pub fn go_on(&self, spent: &Spent) {
        let mut state = self.state();
        state.go_on(spent, Instant::now());
        nudge_first(&state);
    }

    /// Returns a pass as soon as there is budget for the call, or refuses it at once if that will be too late.
    pub(super) async fn enter(self: &Arc<Self>, call: &Call) -> Result<Pass, Error> {
        let give_up = last_moment(call.wanted_by);
        own_turn(call, give_up).await?;
        let (mut place, admitted, nudge) = {
            let mut state = self.state();
            let now = Instant::now();
            let need = Need::of(call);
            self.let_through(&mut state, now);
            if state.opening(&need, now) == Opening::Now {
                let places = state.spend(&need, now);
                return Ok(Pass::new(self, need, places, now, Arc::clone(&call.ledger)));
            }
            let turn = state.estimate(call, &need, now);
            // A tenth of the wait is added, because others may spend meanwhile.
            if turn.at + turn.at.saturating_duration_since(now) / 10 >= give_up {
                return Err(state.refuse(turn, &need, now));
            }
            let (admit, admitted) = oneshot::channel();
            let nudge = Arc::new(Notify::new());
            let waiter =
                Waiter { need: need.clone(), ledger: Arc::clone(&call.ledger), admit, nudge: Arc::clone(&nudge) };
            let wish = state.room.wish(call);
            let rank = match state.room.enter(wish, waiter) {
                Entry::Placed(rank) => rank,
                Entry::Displaced(rank, last) => {
                    let refusal = state.refuse(turn, &last.need, now);
                    // If that call has left already, the send fails and may.
                    drop(last.admit.send(Err(refusal)));
                    rank
                }
                Entry::Full => return Err(state.refuse(turn, &need, now)),
            };
            state.waited += 1;
            call.waits_for.set(&state.refusal(turn, &need, now));
            nudge_first(&state);
            (Place { governor: self, rank }, admitted, nudge)
        };
        self.wait(&mut place, admitted, &nudge, give_up, call).await
    }

    /// Waits for the call's turn, and keeps the clock while it is the first.
    async fn wait(
        self: &Arc<Self>,
        place: &mut Place<'_>,
        mut admitted: oneshot::Receiver<Result<Pass, Error>>,
        nudge: &Notify,
        give_up: Instant,
        call: &Call,
    ) -> Result<Pass, Error> {
        loop {
            let wake = self.look(&place.rank).map_or(give_up, |at| at.min(give_up));
            tokio::select! {
                biased;
                outcome = &mut admitted => {
                    return outcome.expect("a waiter is sent its outcome before it is dropped, unless it left by itself");
                }
                () = nudge.notified() => {}
                () = call.waits_for.joined() => place.improve(call),
                () = sleep_until(wake) => {
                    let now = Instant::now();
                    if now >= give_up {
                        let mut state = self.state();
                        let need = Need::of(call);
                        let turn = state.estimate(call, &need, now);
                        return Err(state.refuse(turn, &need, now));
                    }
                }
            }
        }
    }

    /// If `rank` is the first, lets through all calls that may go, and returns when to look again.
    fn look(self: &Arc<Self>, rank: &Rank) -> Option<Instant> {
        let mut state = self.state();
        if state.room.iter().next().is_none_or(|(first, _)| first != *rank) {
            return None;
        }
        self.let_through(&mut state, Instant::now())
    }

    /// Lets through all calls that may go, and returns when the next one may.
    fn let_through(self: &Arc<Self>, state: &mut State<Waiter>, now: Instant) -> Option<Instant> {
        let first = state.room.iter().next().map(|(rank, _)| rank)?;
        let next = loop {
            let rank = match state.next(now) {
                Ok(rank) => rank,
                Err(next) => break next,
            };
            let waiter = state.room.serve(&rank).expect("the state chose it from the room");
            let places = state.spend(&waiter.need, now);
            let pass = Pass::new(self, waiter.need, places, now, waiter.ledger);
            if let Err(Ok(pass)) = waiter.admit.send(Ok(pass)) {
                // The call left at this very moment. Its budget is returned here, because the lock is held already.
                let (need, places, asked) = pass.defuse();
                state.ended(&need, &places, asked, false, None);
            }
        };
        if state.room.iter().next().is_some_and(|(rank, _)| rank != first) {
            nudge_first(state);
        }
        next
    }

    /// Learns how a request ended. Returns which limit a 429 is about.
    pub(super) fn ended(
        &self,
        need: &Need,
        places: &[usize],
        asked: Instant,
        sent: bool,
        result: Option<&Result<Answer, Error>>,
    ) -> Option<Limit> {
        let mut state = self.state();
        let limit = state.ended(need, places, asked, sent, result);
        nudge_first(&state);
        limit
    }

    fn state(&self) -> MutexGuard<'_, State<Waiter>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Wakes the call that keeps the clock, to look at what has changed.
fn nudge_first(state: &State<Waiter>) {
    if let Some((_, waiter)) = state.room.iter().next() {
        waiter.nudge.notify_one();
    }
}

/// A call's place in the room, freed when the call is dropped.
struct Place<'a> {
    governor: &'a Arc<Governor>,
    rank: Rank,
}

impl Place<'_> {
    /// Takes a better place if somebody who wants the call has one.
    fn improve(&mut self, call: &Call) {
        let mut state = self.governor.state();
        if let Some(rank) = state.room.improve(&self.rank, call) {
            self.rank = rank;
            nudge_first(&state);
        }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut state = self.governor.state();
        if state.room.leave(&self.rank).is_some() {
            nudge_first(&state);
        }
    }
}

/// A call's permission to spend budget: a guard, so that the budget of a call that goes away is returned.
#[derive(Debug)]
pub struct Pass {
    governor: Option<Arc<Governor>>,
    need: Need,
    /// The buckets that it is counted in.
    places: Vec<usize>,
    asked: Instant,
    ledger: Arc<Ledger>,
    /// The ledger's count when the pass was made; a higher count means that the call was sent.
    sent_before: u32,
}

impl Pass {
    /// Returns a pass for a request that the buckets at `places` count already.
    pub fn new(governor: &Arc<Governor>, need: Need, places: Vec<usize>, asked: Instant, ledger: Arc<Ledger>) -> Self {
        let sent_before = ledger.requests();
        Self { governor: Some(Arc::clone(governor)), need, places, asked, ledger, sent_before }
    }

    /// Learns from how the call ended, and adds to a 429 which limit it is about.
    pub fn settle(mut self, result: &mut Result<Answer, Error>) {
        let limit = self.end(Some(&*result));
        if let Err(Error::Throttled(refusal)) = result {
            refusal.limit = limit;
        }
    }

    /// Takes the pass apart, so that dropping it returns no budget.
    pub fn defuse(mut self) -> (Need, Vec<usize>, Instant) {
        self.governor = None;
        (self.need.clone(), std::mem::take(&mut self.places), self.asked)
    }

    fn end(&mut self, result: Option<&Result<Answer, Error>>) -> Option<Limit> {
        let governor = self.governor.take()?;
        let sent = self.ledger.requests() > self.sent_before;
        governor.ended(&self.need, &self.places, self.asked, sent, result)
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        self.end(None);
    }
}
