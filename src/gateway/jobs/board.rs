//! The jobs of one credential that somebody follows: what is known of each, who wants to know, and what is asked next.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::apart::Apart;
use super::entry::{Entry, Follow, Group};
use super::follower::{Follower, Source, Terms};
use super::inbox::{Id, News};
use super::pace::SHORTEST;
use super::round::{LONGEST, Round};
use super::slots::Work;
use super::state::{has_ended, is_known, unreadable};
use crate::error::{Error, Fate};
use crate::proto::{ErrorReason, Job};
use crate::rest::many::{MOST_ITEMS, lists};
use crate::share::Share;
use crate::telemetry::Trace;
use crate::upstream::call::Priority;
use crate::upstream::credential::Credential;

mod giving_up;

/// How long a job may be missing before it is asked for by its own path, which answers 404 for a job that Zendesk does not know;
/// the list just leaves it out. Under load, a job that Zendesk has accepted may be unknown at first.
const NOT_FOUND_YET: Duration = Duration::from_secs(10);
/// The same for a job that Zendesk has accepted from this gateway or, by a receipt, from another one, and for jobs that the list
/// does not tell of because it fails. A job whose state stays unreadable for as long, or about which Zendesk answers nobody, is
/// given up.
const NOT_TOLD: Duration = Duration::from_mins(1);
/// Shortest wait after a request that failed.
const AFTER_FAILURE: Duration = Duration::from_secs(1);
/// A follower who wants to know within this time waits for the answer; the others have time.
const SHORT: Duration = Duration::from_secs(30);
/// Refusals of the credential or the account, without an answer in between, after which the jobs give their slots back. A few may
/// come from the moments in which the credential changes.
const REFUSALS: u32 = 4;
/// Shortest wait after that: the credential may be accepted again, and who asks with a wrong one too often is locked out.
const WHILE_REFUSED: Duration = Duration::from_secs(5);

/// The followed jobs of one credential.
pub struct Board {
    /// The credential as the newest follower has it.
    pub credential: Credential,
    /// Where the requests are traced.
    pub trace: Trace,
    /// Tells the poller that something has changed.
    pub wake: Arc<Notify>,
    entries: HashMap<Id, Entry>,
    followers: HashMap<u64, Follower>,
    /// Number of the next round.
    round: u64,
    /// Whose turn it was in which round; see [`Self::turn`].
    turns: HashMap<Option<u64>, u64>,
    apart: Apart,
    /// Most ids in one request.
    most: usize,
    refusals: u32,
}

impl Board {
    /// Returns a board without jobs or followers.
    pub fn new(credential: Credential, trace: Trace) -> Self {
        let (entries, followers, wake, turns, apart) = Default::default();
        Self { credential, trace, wake, entries, followers, turns, apart, round: 0, most: MOST_ITEMS, refusals: 0 }
    }

    /// Lets somebody follow a job.
    pub fn join(&mut self, terms: &Terms, id: &Id, source: Source) {
        let now = Instant::now();
        // A job that has just been accepted has hardly begun.
        let first = if matches!(source, Source::Started(_)) { now + SHORTEST } else { now };
        let entry = self.entries.entry(Id::clone(id)).or_insert_with(|| Entry {
            share: terms.share.clone(),
            since: now,
            told: now,
            asked: None,
            round: 0,
            seen: 0,
            due: first,
            job: None,
            alone: false,
            list_failed: None,
            is_ours: false,
            slot: None,
            has_receipt: false,
            followers: Vec::new(),
        });
        entry.due = entry.due.min(entry.earliest(first));
        match source {
            Source::Started(slot) => (entry.is_ours, entry.slot) = (true, Some(slot)),
            Source::Receipt => entry.has_receipt = true,
            Source::Caller => {}
        }
        if entry.followers.iter().any(|follow| follow.number == terms.number) {
            return;
        }
        entry.followers.push(Follow { number: terms.number, from: self.round, told: false });
        let follower = self.followers.entry(terms.number).or_insert_with(|| Follower { terms: terms.clone(), open: 0 });
        follower.open += 1;
        self.wake.notify_one();
    }

    /// Returns the jobs that this gateway has started and that have not ended, and what they change.
    pub fn running(&self) -> impl Iterator<Item = (&Id, &Work)> {
        self.entries.iter().filter_map(|(id, entry)| Some((id, entry.slot.as_ref()?.work())))
    }

    /// Takes somebody out who does not follow these jobs any more.
    pub fn leave<'a>(&mut self, number: u64, ids: impl Iterator<Item = &'a Id>) {
        self.followers.remove(&number);
        for id in ids {
            let Some(entry) = self.entries.get_mut(id) else { continue };
            entry.followers.retain(|follow| follow.number != number);
            if entry.followers.is_empty() {
                self.entries.remove(id);
            }
        }
        self.wake.notify_one();
    }

    /// Notes that a follower now has other terms.
    pub fn set(&mut self, terms: &Terms) {
        if let Some(follower) = self.followers.get_mut(&terms.number) {
            follower.terms = terms.clone();
            self.wake.notify_one();
        }
    }

    /// Returns when the next job is due, and when somebody wants a last look; none if nothing is followed.
    pub fn next(&self) -> Option<(Instant, Option<Instant>)> {
        if self.entries.is_empty() {
            return None;
        }
        // While no more may be asked, an answer changes that.
        let due = self.askable().map(|(_, entry)| entry.due).min().unwrap_or_else(|| Instant::now() + LONGEST);
        Some((due, self.followers.values().filter_map(|follower| follower.terms.look_at).min()))
    }

    /// Returns the callers whose jobs are due.
    pub fn due_of(&self, now: Instant) -> Vec<Share> {
        let due = self.askable().filter(|(_, entry)| entry.due <= now).map(|(_, entry)| &entry.share);
        let callers: HashMap<u64, &Share> = due.map(|share| (share.id(), share)).collect();
        callers.into_values().cloned().collect()
    }

    /// Returns how many jobs are followed.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Returns when the next job is due of those that a follower with little time waits for.
    pub fn next_urgent(&self) -> Option<Instant> {
        let soon = Instant::now() + SHORT;
        self.askable().filter(|(_, entry)| self.is_urgent(entry, soon)).map(|(_, entry)| entry.due).min()
    }

    fn askable(&self) -> impl Iterator<Item = (&Id, &Entry)> {
        self.entries.iter().filter(|(_, entry)| self.apart.may_begin(entry.share.id()))
    }

    /// Returns whose turn it is in which a job is asked about: that of a caller who alone says that it exists, or whose jobs are kept
    /// apart; none for the others, which Zendesk is known to have.
    fn turn(&self, entry: &Entry) -> Option<u64> {
        let caller = entry.share.id();
        (!entry.is_known() || self.apart.is(caller)).then_some(caller)
    }

    /// Returns with which others a job may be asked about.
    fn group(&self, id: &Id, entry: &Entry) -> Group {
        let with = || self.turn(entry).map_or(Group::Shared, Group::OfCaller);
        if entry.alone { Group::Alone(Id::clone(id)) } else { with() }
    }

    fn is_urgent(&self, entry: &Entry, soon: Instant) -> bool {
        let mut followers = entry.followers.iter().filter_map(|follow| self.followers.get(&follow.number));
        followers.any(|follower| follower.terms.until <= soon)
    }

    /// Returns what is to be asked now, if anything is due.
    pub fn begin(&mut self) -> Option<Round> {
        let now = Instant::now();
        self.look(now);
        self.apart.end(now);
        let id = self.first(now)?;
        let first = &self.entries[&id];
        let (group, turn) = (self.group(&id, first), self.turn(first));
        let share = (group != Group::Shared).then(|| first.share.clone());
        let mut ids: Vec<(&Id, &Entry)> = self.askable().filter(|(id, entry)| self.group(id, entry) == group).collect();
        ids.sort_unstable_by_key(|(_, entry)| entry.due);
        // What is due goes before what only fills the request up, and each caller's first before another's second.
        let mut turns = HashMap::<u64, usize>::new();
        let mut ids: Vec<(bool, usize, &Id)> = ids
            .into_iter()
            .map(|(id, entry)| {
                let turn = turns.entry(entry.share.id()).or_default();
                *turn += 1;
                (entry.due > now, *turn, id)
            })
            .collect();
        ids.sort_by_key(|(later, turn, _)| (*later, *turn));
        ids.truncate(self.most);
        let ids: Vec<String> = ids.into_iter().map(|(_, _, id)| id.to_string()).collect();
        let ids = lists(&ids)[0].to_vec();
        let urgent = ids.iter().any(|id| self.is_urgent(&self.entries[id.as_str()], now + SHORT));
        let priority = if urgent { Priority::Interactive } else { Priority::Background };
        let number = self.round;
        for id in &ids {
            let entry = self.entries.get_mut(id.as_str()).expect("it was taken from there");
            (entry.asked, entry.round) = (Some(now), number);
        }
        self.round += 1;
        self.turns.insert(turn, self.round);
        Some(Round { number, ids, alone: matches!(group, Group::Alone(_)), priority, share })
    }

    /// Returns the job that is asked about first of those that are due. Those that Zendesk is known to have come every other
    /// time, so that nobody's claims keep slots taken; callers with claims take turns.
    fn first(&mut self, now: Instant) -> Option<Id> {
        let callers: HashSet<Option<u64>> = self.entries.values().map(|entry| self.turn(entry)).collect();
        self.turns.retain(|turn, _| callers.contains(turn));
        let was_known = self.round > 0 && self.turns.get(&None) == Some(&self.round);
        let last = |entry: &Entry| self.turns.get(&self.turn(entry)).copied().unwrap_or_default();
        let due = self.askable().filter(|(_, entry)| entry.due <= now);
        let first = due.min_by_key(|(_, entry)| (self.turn(entry).is_none() == was_known, last(entry), entry.due));
        first.map(|(id, _)| Id::clone(id))
    }

    /// Makes due what somebody wants a last look at.
    fn look(&mut self, now: Instant) {
        let mut lookers = HashSet::new();
        for (number, follower) in &mut self.followers {
            if follower.terms.look_at.take_if(|at| *at <= now).is_some() {
                lookers.insert(*number);
            }
        }
        if lookers.is_empty() {
            return;
        }
        for entry in self.entries.values_mut() {
            if entry.followers.iter().any(|follow| lookers.contains(&follow.number)) {
                entry.due = entry.due.min(entry.earliest(now));
                // Where the list fails, the job's own path may tell in time.
                entry.alone |= entry.list_failed.is_some();
            }
        }
    }

    /// Takes back a round that was not sent.
    pub fn withdraw(&mut self, round: &Round) {
        for id in &round.ids {
            if let Some(entry) = self.entries.get_mut(id.as_str()) {
                (entry.asked, entry.due) = (None, Instant::now());
            }
        }
    }

    /// Takes in that a round takes too long, because its request hangs or waits. Returns true if it is waited for all the same, beside
    /// others; else its jobs are asked about apart.
    pub fn late(&mut self, round: &Round, hangs: bool) -> bool {
        let now = Instant::now();
        for id in &round.ids {
            let Some(entry) = self.entries.get_mut(id.as_str()) else { continue };
            if hangs {
                self.apart.keep(entry.share.id());
            }
            // Where a caller's list hangs, a job's own path may tell; what does not even tell then has to be waited for.
            entry.alone |= hangs && round.share.is_some();
            entry.due = if round.share.is_none() || hangs && !round.alone { now } else { now + LONGEST };
        }
        self.apart.wait_for(round)
    }

    /// Takes in Zendesk's answer to a round.
    pub fn answered(&mut self, round: &Round, jobs: Vec<Job>) {
        self.apart.ended(round);
        self.refusals = 0;
        self.most = (self.most * 2).min(MOST_ITEMS);
        let mut jobs: HashMap<String, Job> = jobs.into_iter().map(|job| (job.id.clone(), job)).collect();
        for id in &round.ids {
            match jobs.remove(id) {
                Some(job) => self.seen(round, id, job),
                None => self.missing(round, id),
            }
        }
    }

    fn seen(&mut self, round: &Round, id: &str, job: Job) {
        let Some(entry) = self.entries.get_mut(id).filter(|entry| entry.seen <= round.number) else { return };
        let now = Instant::now();
        (entry.alone, entry.list_failed, entry.seen) = (false, None, round.number);
        if is_known(&job) {
            entry.told = now;
        } else if now - entry.told >= NOT_TOLD {
            return self.lose(id, &unreadable(id));
        }
        let changed = entry.job.as_deref() != Some(&job);
        let ended = has_ended(&job);
        let job = if changed { Arc::new(job) } else { entry.job.take().expect("it is the same") };
        let key = Id::from(id);
        for follow in &mut entry.followers {
            // One that has ended changes no more, so this is news for everybody.
            if (follow.from <= round.number || ended) && (changed || !follow.told) {
                follow.told = true;
                if let Some(follower) = self.followers.get(&follow.number) {
                    follower.terms.inbox.put(&key, News::Seen(Arc::clone(&job)));
                }
            }
        }
        if !ended {
            entry.job = Some(job);
            return entry.schedule(now, Duration::ZERO);
        }
        if let Some(slot) = self.remove(id).and_then(|entry| entry.slot) {
            slot.ended(&job);
        }
    }

    fn missing(&mut self, round: &Round, id: &str) {
        let Some(entry) = self.entries.get_mut(id).filter(|entry| entry.round == round.number) else { return };
        let now = Instant::now();
        let patience = if entry.is_ours || entry.has_receipt { NOT_TOLD } else { NOT_FOUND_YET };
        if !round.alone {
            entry.list_failed = None;
        }
        entry.schedule(now, Duration::ZERO);
        if now - entry.told >= patience {
            (entry.alone, entry.due) = (true, now);
        }
    }

    /// Takes in that a round failed.
    pub fn failed(&mut self, round: &Round, error: &Error) {
        let now = Instant::now();
        let was_late = self.apart.ended(round);
        let (about_the_jobs, is_too_large) = (error.is_about_the_request(), matches!(error, Error::TooLarge { .. }));
        if about_the_jobs {
            self.most = (round.ids.len() / 2).max(1);
        }
        if is_too_large && round.ids.len() > 1 {
            // Half of the jobs may fit, and each time there are fewer.
            return self.withdraw(round);
        }
        // By its own path, a job is all that can be wrong with the request.
        if is_too_large || about_the_jobs && round.alone {
            return round.ids.iter().for_each(|id| self.lose(id, error));
        }
        if round.alone && error.refusal().is_some() && round.ids.iter().all(|id| self.is_told_by_the_list(id)) {
            return round.ids.iter().for_each(|id| self.unreadable_by_itself(id, error));
        }
        let is_refusal = !about_the_jobs && error.row().fate == Fate::Refused;
        self.refusals += u32::from(is_refusal);
        let is_refused = is_refusal && self.refusals >= REFUSALS;
        if is_refused {
            self.entries.values_mut().for_each(|entry| drop(entry.slot.take()));
            // What refuses the list may still show each job by its own path, but for a credential.
            let was_last = round.alone || matches!(error, Error::Credential { .. });
            for id in &round.ids {
                if was_last && self.entries.get(id.as_str()).is_some_and(|entry| now - entry.told >= NOT_TOLD) {
                    self.lose(id, error);
                }
            }
        }
        let is_short_of_budget = error.row().reason == ErrorReason::RateLimited;
        // One of the jobs may be all that is wrong with the request.
        let may_be_one_of_them = about_the_jobs || error.row().fate == Fate::Unknown;
        let mut concerned = HashSet::new();
        for id in &round.ids {
            // One that was asked about once more meanwhile waits for what that brings.
            let is_of = |entry: &&mut Entry| entry.round == round.number;
            let Some(entry) = self.entries.get_mut(id.as_str()).filter(is_of) else { continue };
            entry.list_failed = (!round.alone).then_some(now);
            if may_be_one_of_them {
                self.apart.keep(entry.share.id());
            }
            entry.alone = entry.alone && was_late || !round.alone && now - entry.told >= NOT_TOLD;
            entry.schedule(now, if is_refused { WHILE_REFUSED } else { AFTER_FAILURE });
            // A follower who has had news can wait for the next ones until there is budget, and does not hear of the failure.
            let hears_of_it = |follow: &&Follow| !(is_short_of_budget && follow.told);
            concerned.extend(entry.followers.iter().filter(hears_of_it).map(|follow| follow.number));
        }
        for follower in concerned.iter().filter_map(|number| self.followers.get(number)) {
            follower.terms.inbox.fail(error);
        }
        if !about_the_jobs {
            // Their other jobs are not asked about at once: who gives up now has cost as many requests as any call.
            let others = self.entries.values_mut().filter(|entry| entry.due < now + AFTER_FAILURE);
            let theirs = |entry: &&mut Entry| entry.followers.iter().all(|follow| concerned.contains(&follow.number));
            others.filter(theirs).for_each(|entry| entry.due = now + AFTER_FAILURE);
        }
    }
}
