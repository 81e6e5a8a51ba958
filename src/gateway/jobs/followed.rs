//! Following jobs: whoever wants to know how a job goes on shares the requests about it with all others who do.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use tokio::time::Instant;

use super::board::Board;
use super::follower::{Source, Terms};
use super::inbox::{Id, Inbox, News};
use super::pace::Pace;
use super::poller::{Poller, Polling, locked};
use super::slots::{Counts, Slot, Slots, Work};
use super::state::has_ended;
use crate::gateway::Context;
use crate::gateway::read::Reads;
use crate::share::Share;
use crate::telemetry::Trace;
use crate::upstream::credential::Credential;
use crate::upstream::governor::Governor;

/// How long before its time is up a follower has its last look, or a quarter of its time if that is shorter.
const LAST_LOOK: Duration = Duration::from_millis(500);

/// The account's background jobs: the slots for those that this gateway starts, and what is known of those that somebody
/// follows. Clones share them.
#[derive(Clone)]
pub struct Jobs {
    polling: Arc<Polling>,
    slots: Arc<Slots>,
}

impl Jobs {
    /// Returns the jobs of an account, of which none is followed yet. `governor` knows how many requests a minute
    /// Zendesk allows the account.
    pub(in crate::gateway) fn new(reads: Reads, governor: Option<Arc<Governor>>) -> Self {
        let (boards, polls) = Default::default();
        let polling = Arc::new(Polling { reads, pace: Arc::new(Pace::new(governor)), boards, polls });
        Self { polling, slots: Arc::default() }
    }

    /// Returns the slots.
    pub fn slots(&self) -> &Arc<Slots> {
        &self.slots
    }

    /// Returns what was counted so far.
    pub fn counts(&self) -> Counts {
        let followed = locked(&self.polling.boards).values().map(Board::len).sum::<usize>() as u64;
        Counts { followed, polls: self.polling.polls.load(Relaxed), ..self.slots.counts() }
    }

    /// Returns the jobs that this gateway has started and that have not ended, with the credential by which each is followed.
    pub fn running(&self) -> Vec<(Credential, Id, Work)> {
        let boards = locked(&self.polling.boards);
        let of = |board: &Board| {
            let credential = board.credential.clone();
            let running = board.running().map(|(id, work)| (credential.clone(), Id::clone(id), work.clone()));
            running.collect::<Vec<_>>()
        };
        boards.values().flat_map(of).collect()
    }

    /// Begins to follow jobs for a call, which wants to know how they ended by `until`.
    pub fn follow(&self, context: &Context, until: Instant) -> Followed {
        let (share, trace) = (context.caller.share().clone(), context.trace.detached());
        self.follow_for(share, context.credential.clone(), trace, until)
    }

    /// Begins to follow jobs for this caller with this credential.
    pub fn follow_for(&self, share: Share, credential: Credential, trace: Trace, until: Instant) -> Followed {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Relaxed);
        let inbox = Arc::<Inbox>::default();
        let terms = Terms { number, share, until, look_at: None, inbox };
        Followed { jobs: self.clone(), credential, trace, terms, open: HashSet::new() }
    }
}

/// The jobs that one follower follows. Once it is dropped, those that nobody else follows are asked about no more, and their slots
/// are free.
pub struct Followed {
    jobs: Jobs,
    credential: Credential,
    trace: Trace,
    terms: Terms,
    open: HashSet<Id>,
}

impl Followed {
    /// Asks once more shortly before the time is up, whether the jobs are due or not.
    #[must_use]
    pub fn with_last_look(mut self) -> Self {
        let left = self.terms.until.saturating_duration_since(Instant::now());
        self.terms.look_at = self.terms.until.checked_sub(LAST_LOOK.min(left / 4));
        self
    }

    /// Goes on following the jobs until this time, although no caller waits for them any more.
    pub fn go_on(&mut self, until: Instant) {
        (self.terms.until, self.terms.look_at) = (until, None);
        if let Some(board) = locked(&self.jobs.polling.boards).get_mut(&self.credential.fingerprint()) {
            board.set(&self.terms);
        }
    }

    /// Follows a job of which only the caller says that it exists.
    pub fn add(&mut self, id: &str) {
        self.join(id, Source::Caller);
    }

    /// Follows a job that Zendesk has accepted from this gateway or another one, as the caller's receipt says.
    pub fn take_over(&mut self, id: &str) {
        self.join(id, Source::Receipt);
    }

    /// Follows a job that this gateway has started, and frees its slot once it has ended or nobody can learn whether it has.
    pub fn hold(&mut self, id: &str, slot: Slot) {
        self.join(id, Source::Started(slot));
    }

    fn join(&mut self, id: &str, source: Source) {
        let id = Id::from(id);
        let key = self.credential.fingerprint();
        let polling = &self.jobs.polling;
        let mut boards = locked(&polling.boards);
        let board = boards.entry(key).or_insert_with(|| {
            let board = Board::new(self.credential.clone(), self.trace.clone());
            tokio::spawn(Poller::new(polling, key, &board.wake).run());
            board
        });
        // The token may have changed since the last one joined.
        board.credential = self.credential.clone();
        board.join(&self.terms, &id, source);
        self.open.insert(id);
    }

    /// True if there is a job of which [`Self::take`] has told neither that it has ended nor that it is lost.
    pub fn is_open(&self) -> bool {
        !self.open.is_empty()
    }

    /// Returns news, if there are any.
    pub fn take(&mut self) -> Option<News> {
        let news = self.terms.inbox.take()?;
        match &news {
            News::Seen(job) if has_ended(job) => drop(self.open.remove(job.id.as_str())),
            News::Lost(id, _) => drop(self.open.remove(id)),
            News::Seen(_) | News::Failed(_) => {}
        }
        Some(news)
    }

    /// Waits for news; none if every job has ended or is lost. Cancel safe.
    pub async fn next(&mut self) -> Option<News> {
        loop {
            match self.take() {
                None if self.is_open() => self.terms.inbox.came().await,
                news => return news,
            }
        }
    }
}

impl Drop for Followed {
    fn drop(&mut self) {
        if let Some(board) = locked(&self.jobs.polling.boards).get_mut(&self.credential.fingerprint()) {
            board.leave(self.terms.number, self.open.iter());
        }
    }
}
