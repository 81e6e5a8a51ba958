//! Limits how many exchanges run at once, and queues the calls that wait for a permit.
//!
//! Past a certain number of parallel exchanges Zendesk only gets slower, so there are permits, and no more of them than the
//! connections take requests at a time. Exchanges on a connection that has fallen silent hold no permit: until pings have decided
//! whether it lives, they would keep all others from the connections that work. Calls without one wait in a bounded `Room`. Under
//! overload most calls must be refused, and the only question is when: a call that is refused on arrival can still be sent
//! elsewhere, one that is refused at its deadline cannot. So where the room is full one is refused at once, and so is a newcomer
//! whose expected wait, judged by how long exchanges take, is longer than its deadline. Serving the earliest deadline first
//! without that judgement would spend every permit on calls that are about to expire, and answer nobody. What one caller may hold
//! is told in `held`.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::future::BoxFuture;

use super::call::{Answer, Call};
use crate::error::Error;

mod held;
mod pace;
mod state;

pub use state::{Queue, Snapshot};

/// How long a call that found no room on a connection waits before it queues for a permit again. It doubles, up to the longest,
/// while connections take nothing at all.
const NO_ROOM_PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_millis(250);

/// Wraps a service in [`Service`].
#[derive(Debug, Clone)]
pub struct Layer(Arc<Queue>);

impl Layer {
    /// Uses the permits of `queue`.
    pub fn new(queue: &Arc<Queue>) -> Self {
        Self(Arc::clone(queue))
    }
}

impl<S> tower::Layer<S> for Layer {
    type Service = Service<S>;

    fn layer(&self, inner: S) -> Service<S> {
        Service { inner, queue: Arc::clone(&self.0) }
    }
}

/// Lets calls through when there is a permit.
#[derive(Debug, Clone)]
pub struct Service<S> {
    inner: S,
    queue: Arc<Queue>,
}

impl<S> tower::Service<Call> for Service<S>
where
    S: tower::Service<Call, Response = Answer, Error = Error> + Clone + Send + 'static,
    S::Future: Send + 'static,
{
    type Response = Answer;
    type Error = Error;
    type Future = BoxFuture<'static, Result<Answer, Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, call: Call) -> Self::Future {
        let queue = Arc::clone(&self.queue);
        // The service that was polled ready goes with the call; its clone stays.
        let next = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, next);
        Box::pin(async move {
            let (mut pause, mut back) = (NO_ROOM_PAUSE, false);
            loop {
                let permit = queue.enter(&call, back).await?;
                match inner.call(call.clone()).await {
                    // Nothing was sent. The call queues for a permit again, or is refused, like any other.
                    Err(Error::NoStream { allowed, is_shut }) => {
                        queue.allow(allowed);
                        back = true;
                        permit.forget();
                        // Others may have taken the room that seemed to be there.
                        queue.pause(&call, pause).await?;
                        if is_shut {
                            pause = (pause * 2).min(LONGEST_PAUSE);
                        }
                    }
                    result => {
                        match &result {
                            Ok(_) | Err(Error::DeadlineInReading) => permit.done(),
                            // How long a connection took to fail says nothing of exchanges.
                            Err(Error::Connect(_) | Error::BrokenBeforeHeaders(_) | Error::BrokenBody(_)) => {
                                permit.forget();
                            }
                            Err(error) if error.refusal().is_some() => permit.done(),
                            // It was cut off, and would have taken longer.
                            Err(_) => {}
                        }
                        return result;
                    }
                }
                poll_fn(|context| inner.poll_ready(context)).await?;
            }
        })
    }
}
