//! Watching jobs until they have ended.

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

/// Streams each job as first seen and after each change, until all have ended.
pub fn watch(
    jobs: &Jobs,
    context: Context,
    ids: &[String],
) -> impl Stream<Item = Result<Encoded<WatchJobsResponse>>> + Send + use<> {
    let mut followed = jobs.follow(&context, last_moment(context.deadline));
    for id in ids {
        followed.add(id);
    }
    let watch = Watch { followed, lost: None, drain: context.drain };
    stream::try_unfold(watch, |mut watch| async move {
        let next = watch.next().await;
        next.map(|reply| reply.map(|reply| (Encoded::new(&reply), watch)))
    })
}

struct Watch {
    followed: Followed,
    /// Why a job cannot be watched any more, which is told when the others have ended.
    lost: Option<Error>,
    drain: Drain,
}

impl Watch {
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
                Some(News::Lost(_, error @ Error::Unreadable(_))) => self.lost = Some(error),
                Some(News::Lost(_, error) | News::Failed(error)) => return Err(error),
                // It may be readable when it is next seen.
                Some(News::Seen(job)) if !is_known(&job) => {}
                Some(News::Seen(job)) => {
                    return Ok(Some(WatchJobsResponse { job_status: Some((*job).clone()) }));
                }
            }
        }
    }
}
