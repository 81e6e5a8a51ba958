//! Shares out Zendesk's request budget, so that it is used up but never overdrawn.
//!
//! The budget belongs to the account, and others spend from it, too: other replicas, other integrations, people. Nobody can
//! be told a fixed share of what nobody administers, so the governor goes by what each response says is left. It never
//! counts on a configured number, and what others spend shows up as budget that shrinks faster.
//!
//! Calls are kept back only when budget is short, and the more important a call is, the later. For each priority there is a
//! reserve, a straight line from a share of the budget at the beginning of the window down to nothing at its end:
//!
//! ```text
//! left
//! 100% ┐                        writes may spend all that is left,
//!      │ ╲                      interactive reads leave half of what an even pace would leave,
//!  50% ┤╲  ╲  background        background leaves nearly all of it
//!      │   ╲  ╲
//!      │interactive╲
//!   0% └───────────╲─ end of window
//! ```
//!
//! Streams alone use the whole budget at an even pace; interactive reads always find half of the even pace ahead of them as
//! a burst; and nothing is left over at the end. Those who are kept back wait in the order of `Room`. A
//! call that would get its turn after its deadline is refused at once, with the time when it is worth coming back.

use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::future::BoxFuture;

use super::call::{Answer, Call};
use crate::error::Error;

mod buckets;
mod budget;
mod snapshot;
mod state;
mod updates;
mod waiting;

pub use snapshot::{Snapshot, Window};
pub use waiting::Governor;

/// Wraps a service in [`Service`].
#[derive(Debug, Clone)]
pub struct Layer(Arc<Governor>);

impl Layer {
    /// Spends from the budgets of `governor`.
    pub fn new(governor: &Arc<Governor>) -> Self {
        Self(Arc::clone(governor))
    }
}

impl<S> tower::Layer<S> for Layer {
    type Service = Service<S>;

    fn layer(&self, inner: S) -> Service<S> {
        Service { inner, governor: Arc::clone(&self.0) }
    }
}

/// Lets calls through when there is budget for them.
#[derive(Debug, Clone)]
pub struct Service<S> {
    inner: S,
    governor: Arc<Governor>,
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
        let governor = Arc::clone(&self.governor);
        // The one that was polled ready goes with the call; the clone stays.
        let next = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, next);
        Box::pin(async move {
            let pass = governor.enter(&call).await?;
            let result = inner.call(call).await;
            pass.settle(&result);
            result
        })
    }
}
