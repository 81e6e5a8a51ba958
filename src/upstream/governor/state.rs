//! What the governor knows, and what it decides from it. Everything here happens under one lock.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::buckets::{Buckets, Route};
use super::budget::{Budget, Left, Opening};
use super::spenders::Spenders;
use super::stated::{About, Stated};
use super::updates::{RecentUpdates, Updates, is_of_user_updates};
use crate::config;
use crate::error::{Error, Refusal};
use crate::limits::{LONGEST_WAIT, Limit, Limits, UNSTATED_WAIT, Window};
use crate::upstream::call::{Answer, Call, Priority};
use crate::upstream::rest::UserKey;
use crate::upstream::room::{Rank, Room};

/// Shortest wait that callers are told.
const SHORTEST_TOLD: Duration = Duration::from_millis(100);

/// What a call spends from.
#[derive(Debug, Clone)]
pub struct Need {
    pub priority: Priority,
    pub route: Route,
    pub user: Option<UserKey>,
    /// Who asks: see [`Share::id`](crate::share::Share::id).
    pub caller: u64,
}

impl Need {
    /// Returns what this call spends from.
    pub fn of(call: &Call) -> Self {
        let rest = &*call.rest;
        let (route, user, caller) = (Route::of(rest), rest.updated_user.clone(), call.share.id());
        Self { priority: call.priority, route, user, caller }
    }
}

/// What one gateway has spent of the account's budgets and what is left, as another one goes on from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spent {
    account: Left,
    buckets: Vec<(String, Left)>,
    updates: RecentUpdates,
}

/// When a call is likely to get its turn.
#[derive(Debug, Clone, Copy)]
pub struct Turn {
    pub at: Instant,
    /// What keeps it back for the longest.
    pub limit: Limit,
    /// Until when Zendesk has asked to wait, if that is longer than the gateway obeys.
    pub stated: Option<Instant>,
}

/// A waiting call.
pub trait Waits {
    /// Returns what the call will spend from.
    fn need(&self) -> &Need;
}

/// The budgets and the calls that wait for them.
#[derive(Debug)]
pub struct State<W> {
    pub account: Budget,
    pub buckets: Buckets,
    pub updates: Updates,
    stated: Stated,
    spenders: Spenders,
    pub room: Room<W>,
    pub granted: [u64; 3],
    pub waited: u64,
    pub refused: u64,
    pub throttled: u64,
}

impl<W: Waits> State<W> {
    /// Returns a state in which nothing is known.
    pub fn new(settings: &config::Rate) -> Self {
        Self {
            account: Budget::new(settings.headroom_percent, settings.assumed_per_minute),
            buckets: Buckets::new(settings.headroom_percent),
            updates: Updates::new(settings.updates_per_user, settings.update_spacing),
            stated: Stated::default(),
            spenders: Spenders::default(),
            room: Room::new(settings.waiting),
            granted: [0; 3],
            waited: 0,
            refused: 0,
            throttled: 0,
        }
    }

    /// Returns when a call with no other before it may go.
    pub fn opening(&self, need: &Need, now: Instant) -> Opening {
        let update = need.user.as_ref().map_or(now, |user| self.updates.opening(user, 0, 0, now));
        let update = if update > now { Opening::At(update) } else { Opening::Now };
        let priority = self.priority(need, now);
        self.account.opening(priority, now).and(self.buckets.opening(need.route, priority, now)).and(update)
    }

    /// Returns what whoever spends next must know.
    pub fn spent(&self, now: Instant) -> Spent {
        Spent {
            account: self.account.left_now(now),
            buckets: self.buckets.left_now(now),
            updates: self.updates.recent(now),
        }
    }

    /// Goes on from what another one has spent.
    pub fn go_on(&mut self, spent: &Spent, now: Instant) {
        self.account.go_on(&spent.account, now);
        self.buckets.go_on(&spent.buckets, now);
        self.updates.go_on(&spent.updates, now);
    }

    /// Returns by which priority a call is paced. Writes go while anything is left; but those of a caller who has had a fair part of
    /// the window leave to others what reads leave to them.
    fn priority(&self, need: &Need, now: Instant) -> Priority {
        let is_fair =
            || self.account.view(now).is_none_or(|view| self.spenders.is_fair(need.caller, view.limit, view.ends));
        if need.priority == Priority::Write && !is_fair() { Priority::Interactive } else { need.priority }
    }

    /// Returns when a call is likely to get its turn, after the waiting calls that go before it.
    pub fn estimate(&self, call: &Call, need: &Need, now: Instant) -> Turn {
        let (mut all, mut on_route, mut updates, mut same_user) = (0, 0, 0, 0);
        for other in self.room.ahead_of(call).map(Waits::need) {
            all += 1;
            on_route += u32::from(other.route == need.route);
            updates += u32::from(other.user.is_some());
            same_user += usize::from(other.user.is_some() && other.user == need.user);
        }
        let priority = self.priority(need, now);
        let account = self.account.estimate(priority, all, now);
        let bucket = self.buckets.estimate(need.route, priority, on_route, now);
        let update = need.user.as_ref().map_or(now, |user| self.updates.opening(user, updates, same_user, now));
        let of_update = if update > self.updates.spaced(updates, now) { Limit::UserUpdates } else { Limit::Updates };
        let of = |at, limit| Turn { at, limit, stated: None };
        let later = |one: Turn, other: Turn| if other.at > one.at { other } else { one };
        let turn = later(later(of(account, Limit::Account), of(bucket, Limit::Endpoint)), of(update, of_update));
        Turn { stated: self.stated.of(need.route, need.user.as_ref(), turn.limit, now), ..turn }
    }

    /// Returns the first waiting call that may go, or else when the next one may.
    pub fn next(&self, now: Instant) -> Result<Rank, Option<Instant>> {
        let mut earliest: Option<Instant> = None;
        for (rank, waiter) in self.room.iter() {
            match self.opening(waiter.need(), now) {
                Opening::Now => return Ok(rank),
                Opening::At(at) | Opening::OnAnswer(at) => {
                    earliest = Some(earliest.map_or(at, |before| before.min(at)));
                }
            }
        }
        Err(earliest)
    }

    /// Counts a request that is about to be sent, and returns the buckets that it is counted in.
    pub fn spend(&mut self, need: &Need, now: Instant) -> Vec<usize> {
        self.granted[need.priority as usize] += 1;
        self.account.spend(now);
        if need.priority != Priority::Background
            && let Some(view) = self.account.view(now)
        {
            self.spenders.spend(need.caller, view.ends);
        }
        if let Some(user) = &need.user {
            self.updates.spend(user, now);
        }
        self.buckets.spend(need.route, now)
    }

    /// Learns how a request that was let through at `asked` ended, and whether it was sent at all. Returns which limit a 429 is
    /// about.
    pub fn ended(
        &mut self,
        need: &Need,
        places: &[usize],
        asked: Instant,
        sent: bool,
        result: Option<&Result<Answer, Error>>,
    ) -> Option<Limit> {
        let now = Instant::now();
        let refusal = result.and_then(|result| result.as_ref().err()).and_then(Error::refusal);
        let answer = result.and_then(|result| result.as_ref().ok());
        let limits = answer.map(|answer| &answer.limits).or(refusal.map(|refusal| &refusal.limits));
        let nothing = Limits::default();
        let heard = limits.unwrap_or(&nothing);
        self.account.ended(asked, sent && heard.account.is_none());
        self.buckets.ended(places, asked, sent, &heard.buckets);
        if let Some(user) = need.user.as_ref().filter(|_| !sent && limits.is_none()) {
            self.updates.unspend(user);
        }
        limits?;
        match &heard.account {
            Some(window) => self.account.hear(window, asked),
            // Only for an answer: a proxy's error page does not mean that Zendesk states no budget.
            None if answer.is_some() => self.account.hear_nothing(now),
            None => {}
        }
        for (name, window) in &heard.buckets {
            match &need.user {
                _ if !self.is_of_updates(need, name, window) => self.buckets.hear(need.route, name, window, asked),
                Some(user) => self.updates.hear(user, window, now),
                // Whose updates these are is not known.
                None => {}
            }
        }
        if answer.is_some() && heard.buckets.is_empty() {
            self.buckets.hear_nothing(need.route);
        }
        match (result, refusal) {
            (Some(Err(Error::Throttled(_))), Some(refusal)) => Some(self.throttled(need, refusal, now)),
            _ => None,
        }
    }

    /// True if a bucket that the response to this call states is a limit on updates of single users, not one of the endpoint.
    fn is_of_updates(&self, need: &Need, name: &str, window: &Window) -> bool {
        is_of_user_updates(name) || (need.user.is_some() && self.updates.is_theirs(window))
    }

    /// Closes what a 429 is about, for all callers, and returns what that is: the buckets that it states as spent; else, if it
    /// states that updates of the user are, or that the account has budget left, the updates of that user or the route; else the
    /// account.
    fn throttled(&mut self, need: &Need, refusal: &Refusal, now: Instant) -> Limit {
        self.throttled += 1;
        let Limits { account, buckets } = &refusal.limits;
        let stated = |window: Option<Duration>| now + refusal.retry_after.or(window).unwrap_or(UNSTATED_WAIT);
        let obeyed = |window| stated(window).min(now + LONGEST_WAIT);
        let of_updates = |(name, window): &&(String, Window)| self.is_of_updates(need, name, window);
        let spent = buckets.iter().filter(|(_, window)| window.remaining == 0);
        let (of_users, of_endpoint): (Vec<_>, Vec<_>) = spent.partition(of_updates);
        for (name, window) in &of_endpoint {
            self.buckets.close(need.route, name, obeyed(window.reset));
        }
        if let Some((_, window)) = of_endpoint.first() {
            self.stated.add(About::Route(need.route), obeyed(window.reset), stated(window.reset), now);
            return Limit::Endpoint;
        }
        let has_budget = account.as_ref().is_some_and(|window| !Budget::is_spent(window));
        match &need.user {
            Some(user) if has_budget || !of_users.is_empty() => {
                self.updates.close(user, obeyed(None));
                self.stated.add(About::User(user.clone()), obeyed(None), stated(None), now);
                let of_all = of_users.iter().any(|(_, window)| window.limit == 1);
                if of_all { Limit::Updates } else { Limit::UserUpdates }
            }
            None if has_budget || !of_users.is_empty() => {
                self.buckets.close_route(need.route, obeyed(None));
                self.stated.add(About::Route(need.route), obeyed(None), stated(None), now);
                Limit::Endpoint
            }
            _ => {
                let reset = account.as_ref().and_then(|window| window.reset);
                self.account.close(obeyed(reset));
                self.stated.add(About::Account, obeyed(reset), stated(reset), now);
                Limit::Account
            }
        }
    }

    /// Refuses a call whose turn would come too late.
    pub fn refuse(&mut self, turn: Turn, need: &Need, now: Instant) -> Error {
        self.refused += 1;
        self.refusal(turn, need, now)
    }

    /// Returns the error of a call whose turn would come too late.
    pub fn refusal(&self, turn: Turn, need: &Need, now: Instant) -> Error {
        // By the budget its turn has come. One may go at this moment, but that is another's.
        if turn.at <= now && !matches!(self.opening(need, now), Opening::At(_)) {
            return Error::Unanswered;
        }
        let wait = turn.at.saturating_duration_since(now).clamp(SHORTEST_TOLD, LONGEST_WAIT);
        let retry_after = turn.stated.map_or(wait, |stated| stated.saturating_duration_since(now).max(wait));
        Error::BudgetSpent { limit: turn.limit, retry_after }
    }
}
