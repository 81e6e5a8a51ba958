//! [`Identity`] as a layer of the inbound stack.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::future::BoxFuture;
use http::Response;
use pin_project_lite::pin_project;
use tokio::time::timeout_at;
use tonic::Status;
use tonic::body::Body;

use super::judge::{self, Identity, Problem};
use super::remote::Asked;
use super::why::NOTHING;
use crate::deadline::last_moment;
use crate::error::Error;
use crate::server::inbound::Inbound;
use crate::telemetry::Telemetry;

/// Lets a call through once its caller is authenticated and may make it.
#[derive(Clone)]
pub struct Layer {
    identity: Identity,
    telemetry: Telemetry,
}

impl Layer {
    /// Checks calls with `identity`, and counts those it refuses.
    pub fn new(identity: &Identity, telemetry: &Telemetry) -> Self {
        // Creates the series at 0, so that the first refusal shows as an increase.
        judge::count(telemetry.instruments(), 0, "unknown", NOTHING.word);
        Self { identity: identity.clone(), telemetry: telemetry.clone() }
    }

    /// Checks a call.
    fn judge<B>(&self, call: &mut Inbound<B>) -> Result<(), Problem> {
        self.identity.admit(call, self.telemetry.instruments())
    }

    /// Asks the issuer for its keys, then checks the call again. A call that cannot wait for the answer learns why, in time.
    async fn ask_and_judge<B>(&self, call: &mut Inbound<B>) -> Result<(), Error> {
        let asking = self.identity.ask_issuer();
        let asked = match call.facts().wanted_by() {
            Some(wanted_by) => timeout_at(last_moment(wanted_by), asking).await.unwrap_or(Asked::Unanswered),
            None => asking.await,
        };
        // What was read before may do, whatever the issuer says now.
        self.judge(call).map_err(|problem| match problem {
            Problem::Refused(error) => error,
            Problem::AskIssuer => Identity::without_key(call, self.telemetry.instruments(), asked),
        })
    }
}

impl<S> tower::Layer<S> for Layer {
    type Service = Service<S>;

    fn layer(&self, inner: S) -> Service<S> {
        Service { inner, layer: self.clone() }
    }
}

/// See [`Layer`].
#[derive(Clone)]
pub struct Service<S> {
    inner: S,
    layer: Layer,
}

impl<S, B> tower::Service<Inbound<B>> for Service<S>
where
    S: tower::Service<Inbound<B>, Response = Response<Body>> + Clone + Send + 'static,
    S::Future: Send,
    B: Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Admitting<S::Future, S::Error>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut call: Inbound<B>) -> Self::Future {
        match self.layer.judge(&mut call) {
            Ok(()) => Admitting::Admitted { answer: self.inner.call(call) },
            Err(Problem::Refused(error)) => Admitting::Refused { error: Some(error) },
            Err(Problem::AskIssuer) => {
                // `poll_ready` was called on this service, so the future takes it, and a clone takes its place.
                let clone = self.inner.clone();
                let (mut inner, layer) = (std::mem::replace(&mut self.inner, clone), self.layer.clone());
                let answer = Box::pin(async move {
                    match layer.ask_and_judge(&mut call).await {
                        Ok(()) => inner.call(call).await,
                        Err(error) => Ok(Status::from(error).into_http()),
                    }
                });
                Admitting::Asking { answer }
            }
        }
    }
}

pin_project! {
    /// The answer to come.
    #[project = Projected]
    pub enum Admitting<F, E> {
        /// The call goes on.
        Admitted {
            #[pin]
            answer: F,
        },
        /// The call is refused.
        Refused {
            error: Option<Error>,
        },
        /// The token's issuer is asked for its keys first.
        Asking {
            answer: BoxFuture<'static, Result<Response<Body>, E>>,
        },
    }
}

impl<F, E> Future for Admitting<F, E>
where
    F: Future<Output = Result<Response<Body>, E>>,
{
    type Output = Result<Response<Body>, E>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project() {
            Projected::Admitted { answer } => answer.poll(context),
            Projected::Refused { error } => {
                let error = error.take().expect("a future is not polled after it ended");
                Poll::Ready(Ok(Status::from(error).into_http()))
            }
            Projected::Asking { answer } => answer.as_mut().poll(context),
        }
    }
}
