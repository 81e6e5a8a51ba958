//! What goes on after a bulk call or stream: its jobs are followed to their ends.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use crate::cache::WriteGuard;
use crate::gateway::jobs::{Followed, News, Work, has_ended};
use crate::gateway::turns::Turn;
use crate::gateway::{Context, Gateway};
use crate::proto::GetJobResponse;
use crate::rest::Changes;
use crate::upstream::call::Answer;

/// How long a job is followed after its call has ended, so that its slot stays taken while the job runs.
pub const FOLLOW: Duration = Duration::from_hours(1);

impl Gateway {
    /// Follows a job whose acceptance came after its call had been answered.
    pub(super) fn follow_late(&self, context: &Context, changes: &Changes, answer: &Answer) {
        let job = answer.parsed.downcast_ref::<GetJobResponse>().and_then(|reply| reply.job_status.as_ref());
        if let Some(job) = job.filter(|job| !has_ended(job)) {
            self.jobs.slots().started();
            let mut followed = self.jobs.follow(context, Instant::now() + FOLLOW);
            let work = Work { tags: changes.tags.clone(), turn: context.turn.as_ref().map(Turn::whole) };
            followed.hold(&job.id, self.jobs.slots().take_over(context.caller.share()).of(work));
            follow(context.turn.clone(), self.begin(changes), followed, &self.handed_over);
        }
    }
}

/// Follows jobs after their call: until they have ended, or another gateway does, their slots stay taken and what they change stays
/// out of the cache.
pub fn follow(turn: Option<Turn>, mut guard: WriteGuard, mut followed: Followed, handed_over: &Arc<Notify>) {
    if !followed.is_open() {
        guard.finish();
        return;
    }
    guard.detach();
    let until = Instant::now() + FOLLOW;
    followed.go_on(until);
    let handed_over = Arc::clone(handed_over);
    tokio::spawn(async move {
        let ends = async {
            let mut all_ended = true;
            while let Ok(Some(news)) = timeout_at(until, followed.next()).await {
                all_ended &= !matches!(news, News::Lost(..));
            }
            all_ended && !followed.is_open()
        };
        let is_known = tokio::select! {
            is_known = ends => is_known,
            () = handed_over.notified() => true,
        };
        // Else the guard is dropped unfinished: nobody knows how the jobs went on.
        if is_known {
            guard.finish();
        }
        drop(turn); // the next call's comes after the last job
    });
}
