//! Pushing to a collector over OTLP, so that a slow or dead collector costs a count and nothing else.
//!
//! The SDK exports from threads of its own, so no call ever waits for the collector. Wrappers around its parts bound the
//! waiting items, count what became of them, and log an outage once when it begins and once when it ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use opentelemetry::{Context, InstrumentationScope};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::logs::{LogBatch, LogExporter, LogProcessor, SdkLogRecord};
use opentelemetry_sdk::metrics::Temporality;
use opentelemetry_sdk::metrics::data::ResourceMetrics;
use opentelemetry_sdk::metrics::exporter::PushMetricExporter;
use opentelemetry_sdk::trace::{Span, SpanData, SpanExporter, SpanProcessor};
use tracing::{info, warn};

use super::logs::AUDIT;

pub mod otlp;

/// Most items of one signal that wait for their push.
pub const MOST_WAITING: usize = 4096;
/// Most items that wait together with those that have a room of their own. The SDK's queues hold as many.
pub const MOST_OF_ALL: usize = 2 * MOST_WAITING;

/// What became of everything that was to be pushed.
#[derive(Debug, Default, Clone)]
pub struct Pushed {
    /// Spans.
    pub traces: Arc<Signal>,
    /// Collections of all metrics.
    pub metrics: Arc<Signal>,
    /// Log records.
    pub logs: Arc<Signal>,
}

impl Pushed {
    /// Returns each signal with its name.
    pub fn signals(&self) -> [(&'static str, &Signal); 3] {
        [("traces", &self.traces), ("metrics", &self.metrics), ("logs", &self.logs)]
    }
}

/// What became of one signal.
#[derive(Debug, Default)]
pub struct Signal {
    waiting: AtomicU64,
    pushed: AtomicU64,
    failed: AtomicU64,
    dropped: AtomicU64,
    down: AtomicBool,
}

impl Signal {
    /// Returns how many items were pushed, failed to be, and were dropped because too many waited.
    pub fn counts(&self) -> [(&'static str, u64); 3] {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        [("pushed", read(&self.pushed)), ("failed", read(&self.failed)), ("dropped", read(&self.dropped))]
    }

    /// Whether the last push failed.
    pub fn is_down(&self) -> bool {
        self.down.load(Ordering::Relaxed)
    }

    /// Counts one more item that waits, unless `most` wait already.
    fn admit(&self, most: usize) -> bool {
        let admitted = self.waiting.load(Ordering::Relaxed) < most as u64;
        let counter = if admitted { &self.waiting } else { &self.dropped };
        counter.fetch_add(1, Ordering::Relaxed);
        admitted
    }

    fn ended(&self, items: usize, result: &OTelSdkResult) {
        let items = items as u64;
        let waiting = self.waiting.load(Ordering::Relaxed);
        self.waiting.fetch_sub(items.min(waiting), Ordering::Relaxed);
        match result {
            Ok(()) => {
                self.pushed.fetch_add(items, Ordering::Relaxed);
                if self.down.swap(false, Ordering::Relaxed) {
                    info!("the collector takes telemetry again");
                }
            }
            Err(error) => {
                self.failed.fetch_add(items, Ordering::Relaxed);
                if !self.down.swap(true, Ordering::Relaxed) {
                    warn!(%error, "the collector does not take telemetry");
                }
            }
        }
    }
}

/// Counts the items that an exporter pushed or failed to push.
#[derive(Debug)]
pub struct Counted<E> {
    exporter: E,
    signal: Arc<Signal>,
}

impl<E> Counted<E> {
    /// Counts into `signal`.
    pub fn new(exporter: E, signal: &Arc<Signal>) -> Self {
        Self { exporter, signal: Arc::clone(signal) }
    }
}

impl<E: SpanExporter> SpanExporter for Counted<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let items = batch.len();
        let result = self.exporter.export(batch).await;
        self.signal.ended(items, &result);
        result
    }
    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }
    fn force_flush(&self) -> OTelSdkResult {
        self.exporter.force_flush()
    }
    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}

impl<E: LogExporter> LogExporter for Counted<E> {
    async fn export(&self, batch: LogBatch<'_>) -> OTelSdkResult {
        let items = batch.iter().count();
        let result = self.exporter.export(batch).await;
        self.signal.ended(items, &result);
        result
    }
    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }
    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}

impl<E: PushMetricExporter> PushMetricExporter for Counted<E> {
    async fn export(&self, metrics: &ResourceMetrics) -> OTelSdkResult {
        let result = self.exporter.export(metrics).await;
        self.signal.ended(1, &result);
        result
    }
    fn force_flush(&self) -> OTelSdkResult {
        self.exporter.force_flush()
    }
    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }
    fn temporality(&self) -> Temporality {
        self.exporter.temporality()
    }
}

/// Bounds the items that wait in a processor, and counts those that are dropped.
#[derive(Debug)]
pub struct Bounded<P> {
    processor: P,
    signal: Arc<Signal>,
}

impl<P> Bounded<P> {
    /// Counts into `signal`.
    pub fn new(processor: P, signal: &Arc<Signal>) -> Self {
        Self { processor, signal: Arc::clone(signal) }
    }
}

impl<P: SpanProcessor> SpanProcessor for Bounded<P> {
    fn on_start(&self, span: &mut Span, context: &Context) {
        self.processor.on_start(span, context);
    }
    fn on_end(&self, span: SpanData) {
        if span.span_context.is_sampled() && self.signal.admit(MOST_WAITING) {
            self.processor.on_end(span);
        }
    }
    fn force_flush(&self) -> OTelSdkResult {
        self.processor.force_flush()
    }
    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.processor.shutdown_with_timeout(timeout)
    }
    fn set_resource(&mut self, resource: &Resource) {
        self.processor.set_resource(resource);
    }
}

impl<P: LogProcessor> LogProcessor for Bounded<P> {
    fn emit(&self, record: &mut SdkLogRecord, scope: &InstrumentationScope) {
        // Lines about changes have as much room again, which no others take.
        let most = if record.target().is_some_and(|target| target == AUDIT) { MOST_OF_ALL } else { MOST_WAITING };
        if self.signal.admit(most) {
            self.processor.emit(record, scope);
        }
    }
    fn force_flush(&self) -> OTelSdkResult {
        self.processor.force_flush()
    }
    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.processor.shutdown_with_timeout(timeout)
    }
    fn set_resource(&mut self, resource: &Resource) {
        self.processor.set_resource(resource);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_about_changes_have_as_much_room_again_while_all_others_are_dropped() {
        let signal = Signal::default();
        let admitted = |most| (0..2 * MOST_OF_ALL).filter(|_| signal.admit(most)).count();
        assert_eq!(admitted(MOST_WAITING), MOST_WAITING);
        assert_eq!(admitted(MOST_OF_ALL), MOST_WAITING);
        assert_eq!(admitted(MOST_OF_ALL), 0);
    }
}
