//! One followed job, as a board keeps it.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::inbox::Id;
use super::pace::{SHORTEST, interval};
use super::slots::Slot;
use crate::proto::Job;
use crate::share::Share;

/// A followed job.
pub struct Entry {
    /// That of the caller who followed it first.
    pub share: Share,
    /// Since when it is followed, which stands for its age.
    pub since: Instant,
    /// When Zendesk last told of its state; `since` before the first time.
    pub told: Instant,
    /// When it was last asked about.
    pub asked: Option<Instant>,
    /// The round in which it was last asked about, and the one in which it was last seen.
    pub round: u64,
    pub seen: u64,
    /// When it is next asked about.
    pub due: Instant,
    /// As last seen.
    pub job: Option<Arc<Job>>,
    /// True if it is next asked for by its own path.
    pub alone: bool,
    /// When the list failed in which it was last asked for, if it did.
    pub list_failed: Option<Instant>,
    /// True if this gateway has started it.
    pub is_ours: bool,
    /// The slot of a job that this gateway has started, until it is given back.
    pub slot: Option<Slot>,
    /// True if a receipt says that Zendesk has accepted it.
    pub has_receipt: bool,
    /// Who follows it.
    pub followers: Vec<Follow>,
}

/// Somebody who follows a job.
pub struct Follow {
    /// The follower's number.
    pub number: u64,
    /// The first round that was sent after it had begun to follow. What an earlier one brings may be older than its question.
    pub from: u64,
    /// True once it was told of this job.
    pub told: bool,
}

/// Jobs that are asked about together.
#[derive(PartialEq, Eq)]
pub enum Group {
    /// One that is asked for by its own path.
    Alone(Id),
    /// Those that Zendesk is known to have.
    Shared,
    /// Those of which only this caller says that they exist, or whose requests hang: what they do to a request concerns nobody else.
    OfCaller(u64),
}

impl Entry {
    /// True if Zendesk is known to have it.
    pub fn is_known(&self) -> bool {
        self.job.is_some() || self.is_ours
    }

    /// Returns when it may be asked about again at the earliest.
    pub fn earliest(&self, now: Instant) -> Instant {
        self.asked.map_or(now, |asked| now.max(asked + SHORTEST))
    }

    /// Sets when it is asked about again, `least` from now at the earliest.
    pub fn schedule(&mut self, now: Instant, least: Duration) {
        let new = self.followers.iter().any(|follow| !follow.told) && self.job.is_some();
        let wait = if new { SHORTEST } else { interval(now - self.since) };
        self.due = now + wait.max(least);
    }
}
