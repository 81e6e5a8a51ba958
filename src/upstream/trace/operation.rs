//! One upstream operation, however many attempts it takes.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use futures_util::future::BoxFuture;
use opentelemetry::trace::{FutureExt as _, SpanBuilder, SpanKind, Status, TraceContextExt as _};
use opentelemetry::{Context as Otel, KeyValue};
use opentelemetry_semantic_conventions::attribute as semconv;

use crate::contract::Class;
use crate::error::Error;
use crate::telemetry::instruments::{Bound, CLASS};
use crate::telemetry::{Telemetry, Trace};
use crate::upstream::call::{Answer, Call};

/// Traces and measures operations.
#[derive(Clone)]
pub struct Operation(Arc<Means>);

/// What it needs for that.
struct Means {
    telemetry: Telemetry,
    /// The durations of successful operations, by class.
    went_well: Bound<f64>,
}

impl Operation {
    /// Reports operations to `telemetry`.
    pub fn new(telemetry: &Telemetry) -> Self {
        let went_well = Bound::new(&telemetry.instruments().operation_duration, Class::ALL.len());
        Self(Arc::new(Means { telemetry: telemetry.clone(), went_well }))
    }
}

impl<S> tower::Layer<S> for Operation {
    type Service = Service<S>;

    fn layer(&self, inner: S) -> Service<S> {
        Service { inner, layer: self.clone() }
    }
}

/// See [`Operation`].
#[derive(Clone)]
pub struct Service<S> {
    inner: S,
    layer: Operation,
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
        let class = call.class();
        let context = call.trace.start(self.layer.0.telemetry.tracer(), || {
            let template = call.rest.endpoint.path;
            let attributes = [KeyValue::new(CLASS, class.0), KeyValue::new(semconv::URL_TEMPLATE, template)];
            let name = format!("zendesk {}", class.0);
            SpanBuilder::from_name(name).with_kind(SpanKind::Client).with_attributes(attributes)
        });
        call.trace = Trace::below(context.clone()).counting_attempts();
        let running = Running {
            means: Arc::clone(&self.layer.0),
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
            running.outcome = answer.as_ref().err().map(Error::kind);
            answer
        })
    }
}

/// An operation under way; dropping it records how it went.
struct Running {
    means: Arc<Means>,
    trace: Trace,
    context: Otel,
    class: Class,
    started: Instant,
    /// What it failed with.
    outcome: Option<String>,
}

impl Drop for Running {
    fn drop(&mut self) {
        let Means { telemetry, went_well } = &*self.means;
        let (seconds, class) = (self.started.elapsed().as_secs_f64(), KeyValue::new(CLASS, self.class.0));
        let span = self.context.span();
        if let Some(outcome) = self.outcome.take() {
            let error = KeyValue::new(semconv::ERROR_TYPE, outcome.clone());
            telemetry.instruments().operation_duration.record(seconds, &[class, error.clone()]);
            if span.is_recording() {
                span.set_attribute(error);
                span.set_status(Status::error(outcome));
            }
        } else {
            went_well.record(self.class.index(), seconds, || vec![class]);
        }
        if span.is_recording() {
            span.set_attribute(KeyValue::new("zendesk_gateway.attempts", i64::from(self.trace.attempts())));
        }
        span.end();
    }
}
