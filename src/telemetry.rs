//! What the gateway reports about itself: OpenTelemetry traces, metrics and logs.
//!
//! One [`Telemetry`] is made at the start and handed to every part that reports. Only the log subscriber is global to the
//! process, and only the binary makes it so: two gateways in one process keep their numbers apart.
//!
//! Spans are made with OpenTelemetry's own interface rather than through `tracing`: a span that is not sampled then costs
//! two random numbers instead of an entry in a registry, which matters to a call that is answered from memory. Log lines are
//! `tracing` events and find their trace through the current OpenTelemetry context.
//!
//! Metrics have two readers over the same instruments: the scrape of the admin port, and the push over OTLP.

use std::io::Write;
use std::sync::Arc;
use std::time::Instant;

use anyhow::Context as _;
use opentelemetry::metrics::MeterProvider as _;
use opentelemetry::trace::{SpanBuilder, TracerProvider as _};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::logs::{BatchConfigBuilder as LogBatches, BatchLogProcessor, SdkLoggerProvider};
use opentelemetry_sdk::metrics::{PeriodicReader, SdkMeterProvider};
use opentelemetry_sdk::resource::{EnvResourceDetector, TelemetryResourceDetector};
use opentelemetry_sdk::trace::{BatchConfigBuilder as SpanBatches, BatchSpanProcessor, SdkTracer, SdkTracerProvider};
use opentelemetry_semantic_conventions::attribute as semconv;
use prometheus::TextEncoder;
use tracing::{Dispatch, warn};

use crate::config;

pub mod budget;
pub mod errors;
pub mod exchanges;
pub mod findings;
pub mod hex;
pub mod instruments;
pub mod logs;
mod observe;
pub mod process;
pub mod push;
mod sampling;
pub mod slowest;
pub mod state;
pub mod trace;
pub mod trouble;
pub mod view;

pub use instruments::Instruments;
pub use state::State;
pub use trace::Trace;

use push::otlp::Collector;
use push::{Bounded, Counted, MOST_OF_ALL, Pushed};

/// The name under which the instruments and spans are made.
const SCOPE: &str = "zendesk-gateway";

/// Traces, metrics and logs of one gateway. Cloning shares it.
#[derive(Clone)]
pub struct Telemetry(Arc<Inner>);

struct Inner {
    tracer: SdkTracer,
    instruments: Instruments,
    state: Arc<State>,
    scrape: prometheus::Registry,
    dispatch: Dispatch,
    lines: logs::writer::Writer,
    propagate: bool,
    /// The share of calls that are traced although the caller sent no trace context.
    sampled: f64,
    tracers: SdkTracerProvider,
    meters: SdkMeterProvider,
    loggers: Option<SdkLoggerProvider>,
}

impl Telemetry {
    /// Starts telemetry. Log lines go to `lines` wherever [`Telemetry::dispatch`] is the subscriber.
    ///
    /// It does not wait for a collector, which need not be there.
    ///
    /// # Panics
    /// Outside a tokio runtime, if the settings name a collector: the connection to it lives in the runtime.
    pub fn start(settings: &config::Telemetry, lines: impl Write + Send + 'static) -> anyhow::Result<Self> {
        check_resource()?;
        let resource = resource();
        let pushed = Pushed::default();
        let collector = Collector::of(&settings.otlp)?;
        let wanted = |wanted: bool| collector.as_ref().filter(|_| wanted);

        let ratio = wanted(settings.otlp.traces).map_or(0.0, |_| settings.sample_ratio);
        let mut tracers =
            SdkTracerProvider::builder().with_resource(resource.clone()).with_sampler(sampling::Ratio(ratio));
        if let Some(collector) = wanted(settings.otlp.traces) {
            let batches = SpanBatches::default().with_max_queue_size(MOST_OF_ALL).build();
            let exporter = Counted::new(collector.spans()?, &pushed.traces);
            let processor = BatchSpanProcessor::builder(exporter).with_batch_config(batches).build();
            tracers = tracers.with_span_processor(Bounded::new(processor, &pushed.traces));
        }
        let tracers = tracers.build();

        let scrape = prometheus::Registry::new();
        let reader = opentelemetry_prometheus::exporter().with_registry(scrape.clone()).scope_info_enabled(false);
        let mut meters = SdkMeterProvider::builder().with_resource(resource.clone()).with_reader(reader.build()?);
        if let Some(collector) = wanted(settings.otlp.metrics) {
            let exporter = Counted::new(collector.metrics()?, &pushed.metrics);
            meters =
                meters.with_reader(PeriodicReader::builder(exporter).with_interval(settings.otlp.interval).build());
        }
        let meters = meters.build();

        let loggers = match wanted(settings.otlp.logs) {
            None => None,
            Some(collector) => {
                let batches = LogBatches::default().with_max_queue_size(MOST_OF_ALL).build();
                let exporter = Counted::new(collector.logs()?, &pushed.logs);
                let processor = BatchLogProcessor::builder(exporter).with_batch_config(batches).build();
                let processor = Bounded::new(processor, &pushed.logs);
                Some(SdkLoggerProvider::builder().with_resource(resource).with_log_processor(processor).build())
            }
        };

        let lines = logs::writer::Writer::start(lines);
        let state = Arc::new(State {
            started: Instant::now(),
            calls: state::Calls::default(),
            streams: state::Calls::default(),
            budgets: budget::Budgets::default(),
            slowest: slowest::Slowest::default(),
            trouble: trouble::Trouble::default(),
            errors: errors::Errors::default(),
            exchanges: exchanges::Exchanges::default(),
            findings: state::Findings::default(),
            sources: view::Sources::default(),
            pushed,
            lost_lines: lines.lost(),
            samples: Arc::default(),
        });
        let meter = meters.meter(SCOPE);
        observe::register(&meter, &state);
        Ok(Self(Arc::new(Inner {
            tracer: tracers.tracer(SCOPE),
            instruments: Instruments::new(&meter),
            state,
            scrape,
            dispatch: logs::dispatch(settings, lines.clone(), loggers.as_ref())?,
            lines,
            propagate: settings.propagate_upstream,
            sampled: ratio,
            tracers,
            meters,
            loggers,
        })))
    }

    /// Returns the subscriber that writes and pushes log lines; the binary makes it the process's.
    pub fn dispatch(&self) -> &Dispatch {
        &self.0.dispatch
    }

    /// Returns the instruments.
    pub fn instruments(&self) -> &Instruments {
        &self.0.instruments
    }

    /// Returns the numbers that are kept outside the instruments.
    pub fn state(&self) -> &Arc<State> {
        &self.0.state
    }

    /// Returns the tracer, which makes spans.
    pub fn tracer(&self) -> &SdkTracer {
        &self.0.tracer
    }

    /// Starts the span of a call that came from `parent`, and returns the context that holds it.
    pub fn start_call(&self, parent: Context, builder: SpanBuilder) -> Context {
        trace::start_call(&self.0.tracer, self.0.sampled, parent, builder)
    }

    /// Returns the place of a caller who may not decide that a call is traced: a sampler of the gateway's own decides instead.
    pub fn sampled_anew(&self, parent: &Context) -> Context {
        trace::sampled_anew(self.0.sampled, parent)
    }

    /// Whether requests to Zendesk carry the trace context.
    pub fn propagates(&self) -> bool {
        self.0.propagate
    }

    /// Returns all metrics in Prometheus' text format.
    pub fn scrape(&self) -> anyhow::Result<String> {
        Ok(TextEncoder::new().encode_to_string(&self.0.scrape.gather())?)
    }

    /// Pushes and writes everything recorded so far.
    pub async fn flush(&self) {
        self.ended(|inner| {
            let (tracers, meters, loggers) = (inner.tracers.clone(), inner.meters.clone(), inner.loggers.clone());
            vec![
                Box::new(move || drop(tracers.force_flush())),
                Box::new(move || drop(meters.force_flush())),
                Box::new(move || drop(loggers.map(|loggers| loggers.force_flush()))),
            ]
        })
        .await;
    }

    /// Ends telemetry after the last request. Log lines have 2 s to be written, and what is pushed has the SDK's own limit of 5 s.
    pub async fn shutdown(&self) {
        // Before the last push, which tells how many lines were lost.
        let lines = self.0.lines.clone();
        let written = move || {
            let lost = || lines.lost().read(logs::writer::Room::Changes);
            if lines.flush() && lost() > 0 {
                warn!(
                    lines.lost = lost(),
                    "some changes are not on record: standard error did not take their lines in time"
                );
                lines.flush();
            }
            lines.give_up();
        };
        tokio::task::spawn_blocking(written).await.ok();
        self.ended(|inner| {
            let (tracers, meters, loggers) = (inner.tracers.clone(), inner.meters.clone(), inner.loggers.clone());
            vec![
                Box::new(move || drop(tracers.shutdown())),
                Box::new(move || drop(meters.shutdown())),
                Box::new(move || drop(loggers.map(|loggers| loggers.shutdown()))),
            ]
        })
        .await;
    }

    /// Runs blocking work in parallel on threads of its own, because a dead collector makes each piece wait for its limit.
    async fn ended(&self, work: impl FnOnce(&Inner) -> Vec<Box<dyn FnOnce() + Send>>) {
        let tasks: Vec<_> = work(&self.0).into_iter().map(tokio::task::spawn_blocking).collect();
        for task in tasks {
            task.await.ok();
        }
        let lines = self.0.lines.clone();
        tokio::task::spawn_blocking(move || lines.flush()).await.ok();
    }
}

/// Says which attribute of `OTEL_RESOURCE_ATTRIBUTES` no metric could have as a label: one alone, and whoever scrapes can read none of
/// the metrics.
///
/// # Errors
/// There is one.
pub fn check_resource() -> anyhow::Result<()> {
    let attributes = std::env::var("OTEL_RESOURCE_ATTRIBUTES").unwrap_or_default();
    for attribute in attributes.split(',').map(str::trim).filter(|attribute| !attribute.is_empty()) {
        let (key, _) = attribute.split_once('=').with_context(|| {
            format!("OTEL_RESOURCE_ATTRIBUTES: {attribute:?} is no key=value; the pairs have commas between them")
        })?;
        let key = key.trim();
        let is_name = key.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_');
        anyhow::ensure!(
            is_name && !key.starts_with("__"),
            "OTEL_RESOURCE_ATTRIBUTES: {key:?} is no key: it must begin with a letter, or with one _"
        );
    }
    Ok(())
}

/// Returns the resource that all telemetry names as its source. `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES` override it,
/// as the conventions say.
fn resource() -> Resource {
    let name = std::env::var("OTEL_SERVICE_NAME").unwrap_or_else(|_| SCOPE.to_owned());
    Resource::builder_empty()
        .with_attributes([
            KeyValue::new(semconv::SERVICE_NAME, name),
            KeyValue::new(semconv::SERVICE_VERSION, env!("CARGO_PKG_VERSION")),
            KeyValue::new(semconv::SERVICE_INSTANCE_ID, format!("{:032x}", fastrand::u128(..))),
        ])
        .with_detector(Box::new(TelemetryResourceDetector))
        .with_detector(Box::new(EnvResourceDetector::new()))
        .build()
}
