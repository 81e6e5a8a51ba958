//! Watching jobs until they have ended.

use futures_util::{Stream, stream};

use super::followed::Jobs;
use super::inbox::News;
use super::state::is_known;
use crate::codec::Encoded;
use crate::error::{Error, Refusal, Result};
use crate::gateway::Context;
use crate::proto::WatchJobsResponse;

/// Streams each job as first seen and after each change, until all have ended.
pub fn watch(
    jobs: &Jobs,
    context: Context,
    ids: &[String],
) -> impl Stream<Item = Result<Encoded<WatchJobsResponse>>> + Send + use<> {
    let mut followed = jobs.follow(&context, context.deadline);
    for id in ids {
        followed.add(id);
    }
    stream::try_unfold((followed, context.drain), |(mut followed, drain)| async move {
        let news = tokio::select! {
            biased;
            news = followed.next() => news,
            // A stream that ends without an error says that all jobs have ended.
            () = drain.begun() => return Err(Error::ShuttingDown),
        };
        match news {
            None => Ok(None),
            Some(News::Lost(_, error) | News::Failed(error)) => Err(error),
            Some(News::Seen(job)) if !is_known(&job) => {
                let refusal = Refusal { status: 200, text: "a job's state".to_owned(), ..Refusal::default() };
                Err(Error::Malformed(Box::new(refusal)))
            }
            Some(News::Seen(job)) => {
                let reply = WatchJobsResponse { job_status: Some((*job).clone()) };
                Ok(Some((Encoded::new(&reply), (followed, drain))))
            }
        }
    })
}
