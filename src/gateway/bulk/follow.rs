//! What goes on after a bulk call or stream: its jobs are followed to their ends.

use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::engine::Engine;
use super::event::{Source, Stop, Tell};
use crate::cache::WriteGuard;
use crate::error::Error;
use crate::gateway::jobs::{Followed, News, has_ended};
use crate::gateway::{Context, Gateway};
use crate::proto::GetJobResponse;
use crate::rest::Changes;
use crate::upstream::call::Answer;

/// How long a job is followed after its call has ended, so that its slot stays taken while the job runs.
pub const FOLLOW: Duration = Duration::from_hours(1);

impl<S: Source, T: Tell> Engine<S, T> {
    /// Ends an engine that has started no job. Nothing was changed, unless the outcome is unknown, which a dropped guard says.
    pub fn give_up(self, error: &Error) {
        if !error.may_have_been_done() {
            self.guard.finish();
        }
    }

    /// Goes on with the jobs that have not ended. Returns why it has stopped, and whom to tell.
    pub fn follow(self) -> (Option<Stop<S::Error>>, T) {
        if self.is_open {
            // Zendesk may have started a job that the gateway does not know of, or not how it goes on. A guard that is dropped
            // unfinished keeps what that job may change out of the cache for a while.
            drop(self.gateway.begin(&self.order.changes));
        }
        follow(&self.context, self.guard, self.followed);
        (self.stop, self.events)
    }
}

impl Gateway {
    /// Follows a job whose acceptance came after its call had been answered.
    pub(super) fn follow_late(&self, context: &Context, changes: &Changes, answer: &Answer) {
        let job = answer.parsed.downcast_ref::<GetJobResponse>().and_then(|reply| reply.job_status.as_ref());
        if let Some(job) = job.filter(|job| !has_ended(job)) {
            self.jobs.slots().started();
            let mut followed = self.jobs.follow(context, Instant::now() + FOLLOW);
            followed.hold(&job.id, self.jobs.slots().take_over(context.caller.share()));
            follow(context, self.begin(changes), followed);
        }
    }
}

/// Follows jobs after their call: until they have ended, their slots stay taken and what they change stays out of the cache.
fn follow(context: &Context, guard: WriteGuard, mut followed: Followed) {
    if !followed.is_open() {
        guard.finish();
        return;
    }
    let until = Instant::now() + FOLLOW;
    followed.go_on(until);
    // The next call's turn comes after the last job.
    let turn = context.turn.clone();
    tokio::spawn(async move {
        let mut all_ended = true;
        while let Ok(Some(news)) = timeout_at(until, followed.next()).await {
            all_ended &= !matches!(news, News::Lost(..));
        }
        // Else the guard is dropped unfinished: nobody knows how the jobs went on.
        if all_ended && !followed.is_open() {
            guard.finish();
        }
        drop(turn);
    });
}
