//! One upstream operation, however many attempts it takes.

use std::task::{Context, Poll};
use std::time::Instant;

use futures_util::future::BoxFuture;
use opentelemetry::trace::{FutureExt as _, SpanBuilder, SpanKind, Status, TraceContextExt as _};
use opentelemetry::{Context as Otel, KeyValue};
use opentelemetry_semantic_conventions::attribute as semconv;

use super::{endpoint, error_type};
use crate::error::Error;
use crate::telemetry::instruments::CLASS;
use crate::telemetry::{Telemetry, Trace};
use crate::upstream::call::{Answer, Call};

/// Traces and measures operations.
#[derive(Clone)]
pub struct Operation(Telemetry);

impl Operation {
    /// Tells `telemetry`.
    pub fn new(telemetry: &Telemetry) -> Self {
        Self(telemetry.clone())
    }
}

impl<S> tower::Layer<S> for Operation {
    type Service = Service<S>;

    fn layer(&self, inner: S) -> Service<S> {
        Service { inner, telemetry: self.0.clone() }
    }
}

/// See [`Operation`].
#[derive(Clone)]
pub struct Service<S> {
    inner: S,
    telemetry: Telemetry,
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

    fn call(&mut self, mut call: Call) -> Self::Future {
        let class = call.class().0;
        let builder = SpanBuilder::from_name(format!("zendesk {class}")).with_kind(SpanKind::Client);
        let context = call.trace.start(self.telemetry.tracer(), builder);
        if context.span().is_recording() {
            context.span().set_attributes([
                KeyValue::new(CLASS, class),
                KeyValue::new(semconv::URL_TEMPLATE, endpoint::template(&call.rest.method, &call.rest.path)),
            ]);
        }
        call.trace = Trace::below(context.clone()).counting_attempts();
        let running = Running {
            telemetry: self.telemetry.clone(),
            trace: call.trace.clone(),
            context: context.clone(),
            class,
            started: Instant::now(),
            outcome: Some("cancelled".to_owned()),
        };
        let answer = self.inner.call(call).with_context(context);
        Box::pin(async move {
            let mut running = running;
            let answer = answer.await;
            running.outcome = answer.as_ref().err().map(error_type);
            answer
        })
    }
}

/// An operation under way; dropping it tells how it went.
struct Running {
    telemetry: Telemetry,
    trace: Trace,
    context: Otel,
    class: &'static str,
    started: Instant,
    /// What it failed with.
    outcome: Option<String>,
}

impl Drop for Running {
    fn drop(&mut self) {
        let mut attributes = vec![KeyValue::new(CLASS, self.class)];
        let span = self.context.span();
        if let Some(outcome) = self.outcome.take() {
            attributes.push(KeyValue::new(semconv::ERROR_TYPE, outcome.clone()));
            if span.is_recording() {
                span.set_attribute(attributes[1].clone());
                span.set_status(Status::error(outcome));
            }
        }
        self.telemetry.instruments().operation_duration.record(self.started.elapsed().as_secs_f64(), &attributes);
        if span.is_recording() {
            span.set_attribute(KeyValue::new("zendesk_gateway.attempts", i64::from(self.trace.attempts())));
        }
        span.end();
    }
}
