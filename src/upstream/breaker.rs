//! Leaves a broken endpoint class alone, and finds out by itself when it works again.
//!
//! Calls to a broken upstream cost callers their whole deadline and slow Zendesk's recovery. Each endpoint class has a circuit:
//! Closed lets calls through and watches how they end, Open refuses them at once, `HalfOpen` lets one caller's call through as
//! a probe and follows its outcome.
//!
//! Four rules make such a circuit reliable. It refuses in `call`, never in `poll_ready`: an open circuit of one class must not
//! hold up the others. It hands out a `Ticket`, a guard: a probe whose caller goes away frees the slot. And a ticket carries
//! the generation it was issued in, so a slow call from before the circuit opened cannot change the state after. And a failure
//! counts only if no other caller is answered all the while: otherwise it is that caller's requests that fail, or hang.

use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::future::BoxFuture;

use super::call::{Answer, Call};
use crate::contract::Idempotency;
use crate::error::{Error, Verdict};

mod circuit;
mod handle;
mod window;

pub use circuit::State;
pub use handle::{Breakers, Snapshot};

/// Wraps a service in [`Service`].
#[derive(Debug, Clone)]
pub struct Layer(Arc<Breakers>);

impl Layer {
    /// Uses the circuits of `breakers`.
    pub fn new(breakers: &Arc<Breakers>) -> Self {
        Self(Arc::clone(breakers))
    }
}

impl<S> tower::Layer<S> for Layer {
    type Service = Service<S>;

    fn layer(&self, inner: S) -> Service<S> {
        Service { inner, breakers: Arc::clone(&self.0) }
    }
}

/// Refuses calls while their circuit is open.
#[derive(Debug, Clone)]
pub struct Service<S> {
    inner: S,
    breakers: Arc<Breakers>,
}

impl<S> tower::Service<Call> for Service<S>
where
    S: tower::Service<Call, Response = Answer, Error = Error>,
    S::Future: Send + 'static,
{
    type Response = Answer;
    type Error = Error;
    type Future = BoxFuture<'static, Result<Answer, Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, call: Call) -> Self::Future {
        let safe = call.idempotency == Idempotency::NoSideEffects;
        let ticket = match self.breakers.admit(call.class(), call.share.id(), safe) {
            Ok(ticket) => ticket,
            Err(error) => return Box::pin(async move { Err(error) }),
        };
        let attempt = self.inner.call(call);
        Box::pin(async move {
            let result = attempt.await;
            ticket.settle(result.as_ref().map_or_else(|error| error.row().breaker, |_| Verdict::Success));
            result
        })
    }
}
