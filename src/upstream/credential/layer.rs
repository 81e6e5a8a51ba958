//! What happens to a call whose credential has ended.
//!
//! The layer stands above the retries, so that the second request pays its way like any other: it spends budget, waits for a
//! permit and asks the breaker. It is no retry of a failure: a 401 says that nothing was carried out, so any call may be
//! sent again, a write too, and it is sent again once.

use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::future::BoxFuture;
use tower::ServiceExt as _;

use super::{Credential, Origin};
use crate::error::{Error, Result};
use crate::upstream::call::{Answer, Call};

/// Wraps a service in `Service`.
#[derive(Debug, Clone, Copy)]
pub struct Layer;

impl<S> tower::Layer<S> for Layer {
    type Service = Service<S>;

    fn layer(&self, inner: S) -> Service<S> {
        Service { inner }
    }
}

/// Sends a call again with the next credential when Zendesk does not accept the first.
#[derive(Debug, Clone)]
pub struct Service<S> {
    inner: S,
}

impl<S> tower::Service<Call> for Service<S>
where
    S: tower::Service<Call, Response = Answer, Error = Error> + Clone + Send + 'static,
    S::Future: Send + 'static,
{
    type Response = Answer;
    type Error = Error;
    type Future = BoxFuture<'static, Result<Answer>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<()>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut call: Call) -> Self::Future {
        if matches!(call.credential.origin, Origin::Fixed) {
            return Box::pin(self.inner.call(call));
        }
        let later = self.inner.clone();
        // The service that was polled ready is the one to call.
        let mut inner = std::mem::replace(&mut self.inner, later);
        Box::pin(async move {
            if call.credential.token.is_none() {
                call.credential = call.credential.begun().await?;
            }
            let mut outcome = inner.call(call.clone()).await;
            if !matches!(outcome, Err(Error::Credential { .. })) {
                judged(&call, &outcome);
                return outcome;
            }
            call.ledger.harmless(1);
            let Some(next) = call.credential.instead().await? else {
                if let (Err(error), Some(wait)) = (&mut outcome, call.credential.renewable_in()) {
                    *error = error.clone().come_back_after(wait);
                }
                return outcome;
            };
            call.credential = next;
            let outcome = inner.oneshot(call.clone()).await;
            if let (Origin::Client(client), Err(Error::Credential { own: true, .. })) =
                (&call.credential.origin, &outcome)
            {
                client.in_vain();
            }
            judged(&call, &outcome);
            outcome
        })
    }
}

impl Credential {
    /// Returns this credential with the first token that there is.
    async fn begun(&self) -> Result<Self> {
        let Origin::Client(client) = &self.origin else { return Ok(self.clone()) };
        let token = client.next(None, false).await?;
        Ok(self.with(token.ok_or(Error::Internal { what: "an exchange brought neither token nor failure" })?))
    }

    /// Returns when there may be another credential to use instead of this one, where that is known. Not if it acts for somebody
    /// else, who may be to blame.
    fn renewable_in(&self) -> Option<Duration> {
        match &self.origin {
            Origin::Client(client) if self.on_behalf_of.is_none() => client.renewable_in(),
            _ => None,
        }
    }

    /// Returns the credential to use instead of this one, which Zendesk refused, if there is another.
    async fn instead(&self) -> Result<Option<Self>> {
        let Some(token) = &self.token else { return Ok(None) };
        let next = match &self.origin {
            Origin::Fixed => None,
            Origin::File(file) => file.instead_of(token).await,
            Origin::Client(client) => client.next(Some(token), self.on_behalf_of.is_some()).await?,
        };
        Ok(next.map(|token| self.with(token)))
    }
}

/// Marks the credential as accepted if the outcome proves it. Only a success does: proxies refuse without looking at the
/// credential.
fn judged(call: &Call, outcome: &Result<Answer>) {
    if outcome.is_err() {
        return;
    }
    let Some(token) = &call.credential.token else { return };
    match &call.credential.origin {
        Origin::File(file) => file.accepted(token),
        _ => token.accepted.store(true, Ordering::Relaxed),
    }
}
