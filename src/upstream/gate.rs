//! Keeps a replica from sending changes once another one may answer for all.
//!
//! It is asked at the last moment: a change may have waited in a queue while the process was suspended. Reads pass: what Zendesk
//! answers now is true now, whoever asks.

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use futures_util::future::{Either, Ready, ready};

use super::call::{Answer, Call};
use crate::contract::Idempotency;
use crate::error::Error;

type May = dyn Fn() -> bool + Send + Sync;

/// Whether changes may be sent, and calls of several changes begun. They may unless [`Gate::set`] was told of something that forbids it.
#[derive(Default)]
pub struct Gate(OnceLock<(Box<May>, Box<May>)>);

impl Gate {
    /// Lets changes pass only while `may_send` says so, and calls that wait for their turn begin only while `may_begin` does.
    pub fn set(
        &self,
        may_send: impl Fn() -> bool + Send + Sync + 'static,
        may_begin: impl Fn() -> bool + Send + Sync + 'static,
    ) {
        drop(self.0.set((Box::new(may_send), Box::new(may_begin))));
    }

    /// True if changes may be sent at this moment.
    pub fn is_open(&self) -> bool {
        self.0.get().is_none_or(|(may_send, _)| may_send())
    }

    /// True if a call that has waited for its turn may begin at this moment.
    pub fn lets_begin(&self) -> bool {
        self.0.get().is_none_or(|(_, may_begin)| may_begin())
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.debug_tuple("Gate").field(&self.is_open()).finish()
    }
}

/// Wraps a service in [`Service`].
#[derive(Debug, Clone)]
pub struct Layer(Arc<Gate>);

impl Layer {
    /// Asks `gate`.
    pub fn new(gate: &Arc<Gate>) -> Self {
        Self(Arc::clone(gate))
    }
}

impl<S> tower::Layer<S> for Layer {
    type Service = Service<S>;

    fn layer(&self, inner: S) -> Service<S> {
        Service { inner, gate: Arc::clone(&self.0) }
    }
}

/// Refuses changes while the gate is shut.
#[derive(Debug, Clone)]
pub struct Service<S> {
    inner: S,
    gate: Arc<Gate>,
}

impl<S> tower::Service<Call> for Service<S>
where
    S: tower::Service<Call, Response = Answer, Error = Error>,
{
    type Response = Answer;
    type Error = Error;
    type Future = Either<S::Future, Ready<Result<Answer, Error>>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, call: Call) -> Self::Future {
        if call.idempotency == Idempotency::NoSideEffects || self.gate.is_open() {
            Either::Left(self.inner.call(call))
        } else {
            Either::Right(ready(Err(Error::NotLeader)))
        }
    }
}
