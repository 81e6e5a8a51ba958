//! One attempt: one HTTP exchange, described by the semantic conventions for HTTP clients.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::SystemTime;

use futures_util::future::BoxFuture;
use http::Method;
use opentelemetry::trace::{FutureExt as _, SpanBuilder, SpanKind, Status, TraceContextExt as _};
use opentelemetry::{Context as Otel, KeyValue};
use opentelemetry_semantic_conventions::attribute as semconv;
use tokio::time::Instant;
use tracing::{debug, warn};
use url::Url;

use crate::contract::{Class, ENDPOINTS, Endpoint};
use crate::error::{Error, Verdict};
use crate::json::Loss;
use crate::limits::{self, Limits};
use crate::telemetry::budget::Window;
use crate::telemetry::exchanges::End;
use crate::telemetry::instruments::{Bound, CLASS};
use crate::telemetry::slowest::Exchange;
use crate::telemetry::{Telemetry, trace};
use crate::upstream::call::{Answer, Call, Ledger};

/// Traces and measures attempts, and remembers what responses say about the budget.
#[derive(Clone)]
pub struct Attempt(Arc<Means>);

struct Means {
    telemetry: Telemetry,
    /// `server.address` and `server.port`.
    server: [KeyValue; 2],
    /// The durations of attempts answered with 200, by endpoint.
    answered: Bound<f64>,
}

impl Attempt {
    /// Reports exchanges with `upstream` to `telemetry`.
    pub fn new(telemetry: &Telemetry, upstream: &Url) -> Self {
        for class in Class::ALL {
            // So that the first retry is seen as an increase.
            telemetry.instruments().retries.add(0, &[KeyValue::new(CLASS, class.0)]);
        }
        let address = upstream.host_str().unwrap_or_default().to_owned();
        let port = i64::from(upstream.port_or_known_default().unwrap_or_default());
        let server = [KeyValue::new(semconv::SERVER_ADDRESS, address), KeyValue::new(semconv::SERVER_PORT, port)];
        let answered = Bound::new(&telemetry.instruments().request_duration, ENDPOINTS.len());
        Self(Arc::new(Means { telemetry: telemetry.clone(), server, answered }))
    }
}

impl<S> tower::Layer<S> for Attempt {
    type Service = Service<S>;

    fn layer(&self, inner: S) -> Service<S> {
        Service { inner, layer: self.clone() }
    }
}

/// See [`Attempt`].
#[derive(Clone)]
pub struct Service<S> {
    inner: S,
    layer: Attempt,
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
        let exchange = Running::begin(&self.layer, &call);
        let telemetry = &self.layer.0.telemetry;
        let context = exchange.context.clone();
        let context = if telemetry.propagates() { trace::propagated(&context) } else { context };
        let answer = self.inner.call(call).with_context(context);
        Box::pin(async move {
            let mut exchange = exchange;
            let answer = answer.await;
            exchange.end(&answer);
            answer
        })
    }
}

/// An exchange under way; dropping it records how it went.
struct Running {
    means: Arc<Means>,
    context: Otel,
    class: &'static str,
    method: Method,
    endpoint: &'static Endpoint,
    number: u32,
    started: Instant,
    /// Knows when the answer came: reading it is no part of the exchange.
    ledger: Arc<Ledger>,
    status: Option<u16>,
    /// What it failed with.
    failure: Option<String>,
    /// Whether it has the gateway's own credential.
    is_own: bool,
    /// How it ended, as the status page counts it.
    end: End,
}

impl Running {
    fn begin(Attempt(means): &Attempt, call: &Call) -> Self {
        let (method, class) = (call.rest.method.clone(), call.class().0);
        let endpoint = call.rest.endpoint;
        let number = call.trace.attempt();
        if number > 0 {
            means.telemetry.instruments().retries.add(1, &[KeyValue::new(CLASS, class)]);
        }
        let context = call.trace.start(means.telemetry.tracer(), || {
            SpanBuilder::from_name(format!("{method} {}", endpoint.path)).with_kind(SpanKind::Client)
        });
        let (means, started, ledger) = (Arc::clone(means), Instant::now(), Arc::clone(&call.ledger));
        let failure = Some("cancelled".to_owned());
        let (status, is_own, end) = (None, call.credential.is_own(), End::GivenUp);
        Self { means, context, class, method, endpoint, number, started, ledger, status, failure, is_own, end }
    }

    fn end(&mut self, answer: &Result<Answer, Error>) {
        match answer {
            Ok(answer) => {
                (self.status, self.failure, self.end) = (Some(answer.status), None, End::Well);
                self.note(&answer.limits);
                answer.losses.iter().for_each(|loss| self.lost(loss));
            }
            Err(error) => {
                (self.status, self.failure) = (error.http_status(), Some(error.kind()));
                self.end = self.ended_by(error);
                let state = self.means.telemetry.state();
                let trouble = &state.trouble;
                match error {
                    Error::AccountNotFound(_) => trouble.not_there.note(self.class, state.exchanges.well()),
                    Error::Redirected(_) => trouble.redirected.note(state.exchanges.well()),
                    Error::Foreign(_) => trouble.foreign.note(state.exchanges.well()),
                    _ => {}
                }
                if let Some(refusal) = error.refusal() {
                    self.note(&refusal.limits);
                }
                if matches!(error.row().breaker, Verdict::Failure | Verdict::Timeout) {
                    let cause = cause(error);
                    state.exchanges.failed(self.class, self.failure.as_deref().unwrap_or_default(), cause);
                    self.log(error, cause);
                }
            }
        }
    }

    /// Returns how it ended, if it ended with an error. What a caller wrote is no fault of the credential or of the account.
    fn ended_by(&self, error: &Error) -> End {
        match (error, self.status) {
            (Error::Forbidden(_) | Error::Refused(_), Some(status)) if self.is_own => End::Refused(status),
            (Error::RecordInvalid(_), Some(status)) if self.method == Method::GET => End::Refused(status),
            (error, Some(_)) if error.is_answer() => End::Well,
            _ => End::Other,
        }
    }

    /// Remembers what a response said about the budget.
    fn note(&self, limits: &Limits) {
        let budgets = &self.means.telemetry.state().budgets;
        let window =
            |window: &limits::Window| Window { limit: window.limit, remaining: window.remaining, reset: window.reset };
        if let Some(account) = &limits.account {
            budgets.state("account", window(account));
        }
        for (name, bucket) in &limits.buckets {
            budgets.state(name, window(bucket));
        }
    }

    /// Counts what could not be read by its field, and logs it without its content.
    fn lost(&self, loss: &Loss) {
        let field = KeyValue::new("zendesk_gateway.field", loss.field.clone());
        self.means.telemetry.instruments().unreadable.add(loss.count, &[field]);
        self.means.telemetry.state().exchanges.lose(&loss.field, loss.count);
        debug!(
            target: "upstream",
            { url.template = self.endpoint.path, json.field = loss.field, json.met = loss.met, json.count = loss.count },
            "a value cannot be read"
        );
    }

    /// Logs the failure without Zendesk's text, which may hold personal data.
    fn log(&self, error: &Error, cause: Option<&str>) {
        let _attached = self.context.clone().attach();
        warn!(
            target: "upstream",
            {
                http.request.method = self.method.as_str(),
                url.template = self.endpoint.path,
                "error.type" = self.failure.as_deref(),
                error.cause = cause,
                attempt = self.number + 1,
                duration_ms = u64::try_from(self.ledger.took_since(self.started).as_millis()).unwrap_or(u64::MAX),
                zendesk.request_id = error.refusal().and_then(|refusal| refusal.request_id.as_deref()),
            },
            "an attempt failed"
        );
    }

    fn attributes(&self) -> Vec<KeyValue> {
        let mut attributes = Vec::with_capacity(7);
        attributes.extend(self.means.server.iter().cloned());
        attributes.push(KeyValue::new(semconv::HTTP_REQUEST_METHOD, self.method.as_str().to_owned()));
        attributes.push(KeyValue::new(semconv::URL_TEMPLATE, self.endpoint.path));
        attributes.push(KeyValue::new(CLASS, self.class));
        attributes
            .extend(self.status.map(|status| KeyValue::new(semconv::HTTP_RESPONSE_STATUS_CODE, i64::from(status))));
        attributes.extend(self.failure.clone().map(|failure| KeyValue::new(semconv::ERROR_TYPE, failure)));
        attributes
    }
}

/// Returns why a connection failed, if that is what failed.
fn cause(error: &Error) -> Option<&str> {
    match error {
        Error::Connect(chain) | Error::BrokenBeforeHeaders(chain) | Error::BrokenBody(chain) => Some(&*chain.text),
        _ => None,
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let took = self.ledger.took_since(self.started);
        let (telemetry, seconds) = (&self.means.telemetry, took.as_secs_f64());
        match (self.status, &self.failure) {
            (Some(200), None) => self.means.answered.record(self.endpoint.number, seconds, || self.attributes()),
            _ => telemetry.instruments().request_duration.record(seconds, &self.attributes()),
        }
        let span = self.context.span();
        telemetry.state().exchanges.note(self.class, took, self.end);
        telemetry.state().slowest.add(self.class, took, || Exchange {
            class: self.class,
            endpoint: format!("{} {}", self.method, self.endpoint.path),
            outcome: self.status.map(|status| status.to_string()).or(self.failure.clone()).unwrap_or_default(),
            milliseconds: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
            ended: Some(SystemTime::now()),
            trace_id: span.span_context().trace_id().to_string(),
        });
        if span.is_recording() {
            span.set_attributes(self.attributes());
            if self.number > 0 {
                span.set_attribute(KeyValue::new(semconv::HTTP_REQUEST_RESEND_COUNT, i64::from(self.number)));
            }
            if let Some(failure) = &self.failure {
                span.set_status(Status::error(failure.clone()));
            }
        }
        span.end();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::sleep;
    use tower::Layer as _;

    use super::*;
    use crate::config;
    use crate::upstream::tests::support::{Hits, answer, ask, read, zendesk};

    #[tokio::test(start_paused = true)]
    async fn what_reading_an_answer_takes_is_no_part_of_the_exchange() {
        let telemetry = Telemetry::start(&config::Telemetry::default(), std::io::sink()).expect("telemetry");
        let attempts = Attempt::new(&telemetry, &"https://a.example".parse().expect("a URL"));
        let slow = |came: bool| {
            zendesk(&Hits::default(), move |_, call| async move {
                if came {
                    call.ledger.came();
                }
                sleep(Duration::from_secs(20)).await;
                Ok(answer())
            })
        };
        let counted = || {
            let all = telemetry.state().exchanges.read();
            (all.values().map(|tally| tally.timed).sum::<u64>(), all.values().map(|tally| tally.slow).sum::<u64>())
        };
        ask(&attempts.layer(slow(true)), read()).await.expect("an answer");
        assert_eq!(counted(), (1, 0));
        ask(&attempts.layer(slow(false)), read()).await.expect("an answer");
        assert_eq!(counted(), (2, 1));
    }
}
