//! Log lines: which are written, and what they look like.
//!
//! Every line that is written within a call carries the call's trace id, taken from the OpenTelemetry context that is
//! current where the line is written.

use std::fmt::Write as _;
use std::time::SystemTime;

use opentelemetry::Context;
use opentelemetry::trace::{SpanContext, TraceContextExt as _};
use opentelemetry_appender_tracing::layer::OpenTelemetryTracingBridge;
use opentelemetry_sdk::logs::SdkLoggerProvider;
use tracing::field::{Field, Visit};
use tracing::{Dispatch, Event, Metadata, Subscriber};
use tracing_subscriber::filter::{EnvFilter, filter_fn};
use tracing_subscriber::layer::{self, SubscriberExt as _};
use tracing_subscriber::{Layer, Registry};

use super::hex;
use crate::config::{LogFormat, Telemetry};

pub mod sample;
pub mod writer;

use writer::{Room, Writer};

/// The target of lines about changes. They have a room of their own wherever lines wait.
pub const AUDIT: &str = "audit";

/// What the targets of the exporters' own lines begin with, and those of the crates that they use. Such lines are not exported, or
/// each export would cause the next.
const EXPORTER_TARGETS: [&str; 8] = ["opentelemetry", "hyper", "h2", "tonic", "tower", "reqwest", "rustls", "tokio"];

/// Builds the subscriber: the filter, the log lines, and the export to the collector if there is one.
pub fn dispatch(
    settings: &Telemetry,
    writer: Writer,
    exporter: Option<&SdkLoggerProvider>,
) -> anyhow::Result<Dispatch> {
    let mut filter = EnvFilter::try_new(settings.log_directives())?;
    if !settings.log_filter.contains("opentelemetry") {
        // The SDK logs each failed export; the gateway counts them and logs an outage once. An operator who names the SDK in the
        // filter gets its lines.
        filter = filter.add_directive("opentelemetry=off".parse()?);
    }
    // A peer can have a line written for each ping that it makes up.
    filter = filter.add_directive("h2::proto::ping_pong=error".parse()?);
    // The audit log is written whatever else the filter leaves out.
    filter = filter.add_directive("audit=info".parse()?);
    let lines = Lines { format: settings.log_format, writer };
    let exported = exporter.map(|provider| {
        let is_exported =
            |metadata: &Metadata<'_>| !EXPORTER_TARGETS.iter().any(|target| metadata.target().starts_with(target));
        OpenTelemetryTracingBridge::new(provider).with_filter(filter_fn(is_exported))
    });
    Ok(Dispatch::new(Registry::default().with(filter).with(lines).with(exported)))
}

/// Writes each event as a line.
struct Lines {
    format: LogFormat,
    writer: Writer,
}

impl<S: Subscriber> Layer<S> for Lines {
    fn on_event(&self, event: &Event<'_>, _: layer::Context<'_, S>) {
        let trace = Context::map_current(|context| {
            let span = context.span().span_context().clone();
            span.is_valid().then_some(span)
        });
        let room = if event.metadata().target() == AUDIT { Room::Changes } else { Room::Others };
        self.writer.write(room, |line| match self.format {
            LogFormat::Json => json(event, trace.as_ref(), line),
            LogFormat::Pretty => pretty(event, trace.as_ref(), line),
        });
    }
}

fn json(event: &Event<'_>, trace: Option<&SpanContext>, line: &mut String) {
    let metadata = event.metadata();
    let now = humantime::format_rfc3339_micros(SystemTime::now());
    let _ = write!(line, r#"{{"timestamp":"{now}","level":""#);
    line.push_str(metadata.level().as_str());
    line.push_str(r#"","target":"#);
    write_json_string(metadata.target(), line);
    event.record(&mut Json(line));
    if let Some(trace) = trace {
        line.push_str(r#","trace_id":""#);
        line.push_str(hex::trace(trace.trace_id()).as_str());
        line.push_str(r#"","span_id":""#);
        line.push_str(hex::span(trace.span_id()).as_str());
        line.push('"');
    }
    line.push_str("}\n");
}

fn write_json_string(value: &str, line: &mut String) {
    line.push('"');
    write_escaped(value, line);
    line.push('"');
}

/// Writes the inside of a JSON string, without its quotes.
fn write_escaped(value: &str, line: &mut String) {
    // Nearly every text is printable ASCII, which needs no escapes.
    if value.bytes().all(|byte| matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\') {
        line.push_str(value);
    } else {
        let quoted = serde_json::to_string(value).expect("a string is JSON");
        line.push_str(&quoted[1..quoted.len() - 1]);
    }
}

/// Escapes what a formatter writes, for the inside of a JSON string.
struct JsonEscaper<'a>(&'a mut String);

impl std::fmt::Write for JsonEscaper<'_> {
    fn write_str(&mut self, part: &str) -> std::fmt::Result {
        write_escaped(part, self.0);
        Ok(())
    }
}

/// Writes an event's fields as members of a JSON object, each after a comma.
struct Json<'a>(&'a mut String);

impl Json<'_> {
    /// Writes a field whose value is the same in Rust and in JSON, without quotes.
    fn record_literal(&mut self, field: &Field, value: impl std::fmt::Display) {
        self.name(field);
        let _ = write!(self.0, "{value}");
    }

    fn name(&mut self, field: &Field) {
        self.0.push_str(",\"");
        self.0.push_str(field.name());
        self.0.push_str("\":");
    }
}

impl Visit for Json<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.name(field);
        write_json_string(value, self.0);
    }
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.name(field);
        self.0.push('"');
        let _ = write!(JsonEscaper(self.0), "{value:?}");
        self.0.push('"');
    }
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.record_literal(field, value);
    }
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.record_literal(field, value);
    }
    fn record_bool(&mut self, field: &Field, value: bool) {
        self.record_literal(field, value);
    }
    fn record_f64(&mut self, field: &Field, value: f64) {
        if value.is_finite() {
            self.record_literal(field, value);
        } else {
            // JSON has no NaN and no infinity: it becomes a string.
            self.record_debug(field, &value);
        }
    }
}

fn pretty(event: &Event<'_>, trace: Option<&SpanContext>, line: &mut String) {
    let metadata = event.metadata();
    let now = humantime::format_rfc3339_millis(SystemTime::now());
    let _ = write!(line, "{now} {:>5} {}:", metadata.level(), metadata.target());
    event.record(&mut Pretty(line));
    if let Some(trace) = trace {
        let _ = write!(line, " trace_id={}", trace.trace_id());
    }
    line.push('\n');
}

/// Writes an event's message as it is, and its other fields as `name=value`.
struct Pretty<'a>(&'a mut String);

impl Visit for Pretty<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        let _ = match field.name() {
            "message" => write!(self.0, " {value:?}"),
            name => write!(self.0, " {name}={value:?}"),
        };
    }
}
