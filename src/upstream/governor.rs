//! Shares out Zendesk's request budget, so that it is used up but never overdrawn.
//!
//! The budget belongs to the account, and others spend from it, too: other replicas, other integrations, people. Nobody assigns
//! shares, so the governor goes by what each response says is left; what others spend shows up as budget that shrinks faster.
//! It uses a configured number only while responses state no budget.
//!
//! The governor holds calls back only when the budget is short, the least important ones first. For each priority there is a
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
//! Streams alone use the whole budget at an even pace; interactive reads can always spend about half of the evenly paced budget
//! in a burst; and nothing is left over at the end. Calls that are held back wait in the order of `Room`. A call whose turn
//! would come after its deadline is refused at once, with the time after which to try again.

use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::future::BoxFuture;

use super::call::{Answer, Call};
use crate::error::Error;

mod buckets;
mod budget;
mod snapshot;
mod spenders;
mod state;
mod stated;
mod updates;
mod waiting;

pub use snapshot::{Snapshot, Window};
pub use state::Spent;
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
        // The service that was polled ready goes with the call; its clone stays.
        let next = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, next);
        Box::pin(async move {
            let pass = governor.enter(&call).await?;
            let mut result = inner.call(call).await;
            pass.settle(&mut result);
            result
        })
    }
}
