//! Who follows jobs.

use std::sync::Arc;

use tokio::time::Instant;

use super::inbox::Inbox;
use super::slots::Slot;
use crate::share::Share;

/// Who follows jobs, how long it can wait, and where its news go.
#[derive(Clone)]
pub struct Terms {
    /// Tells followers apart.
    pub number: u64,
    /// The share of the caller who follows. Held, so that the caller is still the same when it comes with another call.
    pub share: Share,
    /// By when it wants to know how the jobs ended.
    pub until: Instant,
    /// When to ask once more, whatever the age of the jobs, because `until` is near.
    pub look_at: Option<Instant>,
    /// Where its news go.
    pub inbox: Arc<Inbox>,
}

/// Who says that there is a job.
pub enum Source {
    /// This gateway has started it, and holds its slot.
    Started(Slot),
    /// A receipt of a gateway.
    Receipt,
    /// Only the caller who wants to know.
    Caller,
}

/// A follower, as a board keeps it.
pub struct Follower {
    pub terms: Terms,
    /// How many jobs it follows.
    pub open: usize,
}
