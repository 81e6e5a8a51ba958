//! The instruments that are recorded into; those that read a number kept elsewhere are in `observe`.
//!
//! Names and units are OpenTelemetry's semantic conventions where there are any, else `zendesk_gateway.*`. The table in
//! `docs/telemetry.md` is held against a live scrape by a test.

use std::sync::{Arc, OnceLock};

use opentelemetry::KeyValue;
use opentelemetry::metrics::{BoundHistogram, Counter, Histogram, Meter};
use opentelemetry_semantic_conventions::metric;

/// Attribute: the endpoint class, the unit of circuit breaking.
pub const CLASS: &str = "zendesk_gateway.endpoint.class";
/// Attribute: why an HTTP/2 connection to Zendesk is used no more.
pub const CONNECTION_END: &str = "zendesk_gateway.connection.end";
/// Attribute: the method by which a caller tried to authenticate.
pub const IDENTITY_METHOD: &str = "zendesk_gateway.identity.method";

/// Boundaries of durations, in seconds: those of the conventions, and finer ones before them, because an answer from the cache
/// takes less than the conventions' first.
const SECONDS: [f64; 17] =
    [0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];
/// Boundaries of the ages of connections, in seconds: from a broken handshake to a day.
const AGES: [f64; 10] = [0.1, 1.0, 10.0, 60.0, 300.0, 900.0, 3_600.0, 14_400.0, 43_200.0, 86_400.0];
/// Boundaries of the number of upstream requests per call.
const REQUESTS: [f64; 9] = [0.0, 1.0, 2.0, 3.0, 5.0, 10.0, 30.0, 100.0, 1000.0];

/// The instruments.
#[derive(Clone, Debug)]
pub struct Instruments {
    /// How long calls took.
    pub call_duration: Histogram<f64>,
    /// Calls that ended with an error.
    pub call_errors: Counter<u64>,
    /// How many HTTP requests to Zendesk calls cost.
    pub call_requests: Histogram<u64>,
    /// How long upstream operations took, waits and repetitions included.
    pub operation_duration: Histogram<f64>,
    /// How long HTTP exchanges took.
    pub request_duration: Histogram<f64>,
    /// How old HTTP/2 connections to Zendesk were at their end.
    pub connection_duration: Histogram<f64>,
    /// Attempts after the first.
    pub retries: Counter<u64>,
    /// Values and rows of Zendesk's that could not be read.
    pub unreadable: Counter<u64>,
    /// Calls refused because their caller is not authenticated.
    pub identity_refused: Counter<u64>,
}

impl Instruments {
    /// Makes the instruments.
    pub fn new(meter: &Meter) -> Self {
        let seconds = |name: &'static str, text: &'static str| {
            meter.f64_histogram(name).with_unit("s").with_boundaries(SECONDS.to_vec()).with_description(text).build()
        };
        let counter = |name: &'static str, unit: &'static str, text: &'static str| {
            meter.u64_counter(name).with_unit(unit).with_description(text).build()
        };
        Self {
            call_duration: seconds(
                metric::RPC_SERVER_CALL_DURATION,
                "Duration of calls, streams to their last message.",
            ),
            call_errors: counter("zendesk_gateway.call.errors", "{call}", "Calls that were answered with an error."),
            call_requests: meter
                .u64_histogram("zendesk_gateway.call.upstream_requests")
                .with_unit("{request}")
                .with_boundaries(REQUESTS.to_vec())
                .with_description("HTTP requests to Zendesk that a call cost.")
                .build(),
            operation_duration: seconds(
                "zendesk_gateway.upstream.operation.duration",
                "Duration of upstream operations with their waits and repetitions.",
            ),
            request_duration: seconds(metric::HTTP_CLIENT_REQUEST_DURATION, "Duration of HTTP requests to Zendesk."),
            connection_duration: meter
                .f64_histogram(metric::HTTP_CLIENT_CONNECTION_DURATION)
                .with_unit("s")
                .with_boundaries(AGES.to_vec())
                .with_description("Age of HTTP/2 connections to Zendesk at their end.")
                .build(),
            retries: counter("zendesk_gateway.upstream.retries", "{attempt}", "Attempts after the first."),
            unreadable: counter(
                "zendesk_gateway.unreadable.values",
                "{value}",
                "Values and rows from Zendesk that cannot be read.",
            ),
            identity_refused: counter(
                "zendesk_gateway.identity.refused",
                "{call}",
                "Calls refused because it is not certain who makes them.",
            ),
        }
    }
}

/// Some series of a histogram, with their attributes looked up once. Each is made when it is first needed: what never happens
/// has no series.
#[derive(Clone, Debug)]
pub struct Bound<T> {
    histogram: Histogram<T>,
    series: Arc<[OnceLock<BoundHistogram<T>>]>,
}

impl<T: Clone> Bound<T> {
    /// Makes room for so many series.
    pub fn new(histogram: &Histogram<T>, series: usize) -> Self {
        Self { histogram: histogram.clone(), series: (0..series).map(|_| OnceLock::new()).collect() }
    }

    /// Records into the series with this number, whose attributes are always the same.
    pub fn record(&self, number: usize, value: T, attributes: impl FnOnce() -> Vec<KeyValue>) {
        self.series[number].get_or_init(|| self.histogram.bind(&attributes())).record(value);
    }
}
