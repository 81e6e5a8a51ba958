//! Watching jobs until they have ended.

use std::sync::Arc;

use futures_util::{Stream, stream};

use super::followed::{Followed, Jobs};
use super::inbox::News;
use super::state::is_known;
use crate::codec::Encoded;
use crate::deadline::last_moment;
use crate::error::{Error, Result};
use crate::gateway::Context;
use crate::gateway::drain::Drain;
use crate::proto::WatchJobsResponse;
use crate::share::Charge;
use crate::turns;
use crate::upstream::call::Ledger;

/// Jobs that are begun to be followed in one piece.
const AT_A_TIME: usize = 100;
/// Bytes of a message that are not charged.
const FREE: usize = 4 << 10;

/// Streams each job as first seen and after each change, until all have ended.
pub fn watch(
    jobs: &Jobs,
    context: Context,
    ids: Vec<String>,
) -> impl Stream<Item = Result<Encoded<WatchJobsResponse>>> + Send + use<> {
    let followed = jobs.follow(&context, last_moment(context.deadline));
    let held = Charge::none(context.caller.share());
    let watch = Watch { ids, followed, lost: None, held, ledger: context.ledger, drain: context.drain };
    stream::try_unfold(watch, |mut watch| async move {
        watch.begin().await;
        let Some(reply) = watch.next().await? else { return Ok(None) };
        let reply = Encoded::new(&reply);
        // Until the caller has taken it.
        watch.held.set(reply.bytes().len().saturating_sub(FREE))?;
        Ok(Some((reply, watch)))
    })
}

struct Watch {
    /// The jobs that are still to be followed.
    ids: Vec<String>,
    followed: Followed,
    /// Why a job cannot be watched any more, which is told when the others have ended.
    lost: Option<Error>,
    /// What the last message takes.
    held: Charge,
    ledger: Arc<Ledger>,
    drain: Drain,
}

impl Watch {
    /// Begins to follow the jobs. Thousands of them must not hold up others: what takes less time goes first.
    async fn begin(&mut self) {
        let ids = std::mem::take(&mut self.ids);
        for (number, ids) in ids.chunks(AT_A_TIME).enumerate() {
            if number > 0 {
                turns::after_the_others().await;
            }
            for id in ids {
                self.followed.add(id);
            }
        }
    }

    /// Returns the next job that was seen; none when all have ended.
    async fn next(&mut self) -> Result<Option<WatchJobsResponse>> {
        loop {
            let news = tokio::select! {
                biased;
                news = self.followed.next() => news,
                // A stream that ends without an error says that all jobs have ended.
                () = self.drain.begun() => return Err(Error::ShuttingDown),
            };
            match news {
                None => return self.lost.take().map_or(Ok(None), Err),
                Some(News::Lost(_, error @ (Error::NotFound(_) | Error::ShuttingDown)) | News::Failed(error)) => {
                    return Err(error);
                }
                Some(News::Lost(_, error)) => self.lost = Some(error),
                // It may be readable when it is next seen.
                Some(News::Seen(job)) if !is_known(&job) => {}
                Some(News::Seen(job)) => {
                    self.ledger.watches(true);
                    return Ok(Some(WatchJobsResponse { job_status: Some((*job).clone()) }));
                }
            }
        }
    }
}
