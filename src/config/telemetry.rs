//! Settings of what the gateway tells about itself: logs, traces, metrics and the admin port.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tracing::level_filters::LevelFilter;
use url::Url;

use super::identity::list;
use super::names;
use crate::files;

/// `[admin]`: the HTTP port for operators.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Admin {
    /// `admin.listen`: address of the admin port: `/metrics`, `/livez`, `/readyz`, `/status`. Default `127.0.0.1:9090`.
    pub listen: SocketAddr,
    /// `admin.allowed_hosts`: host names by which the admin port may be asked, besides IP addresses and `localhost`, as a list;
    /// requests for other names are refused with 421.
    #[serde(deserialize_with = "list")]
    pub allowed_hosts: Vec<String>,
}

impl Default for Admin {
    fn default() -> Self {
        Self { listen: SocketAddr::from(([127, 0, 0, 1], 9090)), allowed_hosts: Vec::new() }
    }
}

impl Admin {
    /// Returns what is wrong, each by its full key.
    pub(super) fn mistakes(&self) -> Vec<String> {
        let is_name = |name: &str| !name.is_empty() && name.split('.').all(|label| names::label(label).is_ok());
        let wrong = self.allowed_hosts.iter().filter(|name| !is_name(name));
        wrong
            .map(|name| {
                format!("admin.allowed_hosts: {name:?} is no host name; write it like admin.example.com, without scheme and port")
            })
            .collect()
    }
}

/// `[telemetry]`: logs, traces and metrics.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Telemetry {
    /// `telemetry.log_filter`: which log lines are written, as `level` or `target=level,…`; `access=off` leaves the access
    /// lines out. What it names no level for has `info`. Default `info`.
    pub log_filter: String,
    /// `telemetry.log_format`: `json` or `pretty`. Default `pretty`.
    pub log_format: LogFormat,
    /// `telemetry.sample_ratio`: share of calls that are traced, 0 to 1, where no authenticated caller has decided it.
    /// Default 0.05.
    pub sample_ratio: f64,
    /// `telemetry.propagate_upstream`: whether requests to Zendesk carry the trace context. Default `false`.
    pub propagate_upstream: bool,
    /// `[telemetry.otlp]`: where telemetry is pushed to.
    pub otlp: Otlp,
}

impl Default for Telemetry {
    fn default() -> Self {
        Self {
            log_filter: "info".to_owned(),
            log_format: LogFormat::Pretty,
            sample_ratio: 0.05,
            propagate_upstream: false,
            otlp: Otlp::default(),
        }
    }
}

/// How log lines are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// One JSON object per line.
    Json,
    /// For people.
    #[default]
    Pretty,
}

/// `[telemetry.otlp]`: a collector that takes OTLP over gRPC.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Otlp {
    /// `telemetry.otlp.endpoint`: the collector, such as `http://collector:4317`. Without it nothing is pushed.
    pub endpoint: Option<Url>,
    /// `telemetry.otlp.headers_file`: file with metadata that the collector wants, one `name: value` per line.
    pub headers_file: Option<PathBuf>,
    /// `telemetry.otlp.ca_file`: PEM file with the authorities that may have signed the collector's certificate, instead of
    /// the system's.
    pub ca_file: Option<PathBuf>,
    /// `telemetry.otlp.traces`: whether traces are pushed. Default `true`.
    pub traces: bool,
    /// `telemetry.otlp.metrics`: whether metrics are pushed. Default `true`.
    pub metrics: bool,
    /// `telemetry.otlp.logs`: whether log lines are pushed. Default `true`.
    pub logs: bool,
    /// `telemetry.otlp.interval`: time between two pushes of metrics. Default `1m`.
    #[serde(with = "super::span")]
    pub interval: Duration,
    /// `telemetry.otlp.timeout`: longest that one push may take. Default `10s`.
    #[serde(with = "super::span")]
    pub timeout: Duration,
}

impl Default for Otlp {
    fn default() -> Self {
        Self {
            endpoint: None,
            headers_file: None,
            ca_file: None,
            traces: true,
            metrics: true,
            logs: true,
            interval: Duration::from_mins(1),
            timeout: Duration::from_secs(10),
        }
    }
}

/// True if a part of a filter is a level, or sets one for a target or a span. The filter would take any other word for a target,
/// write everything of that, and nothing of all others.
fn is_directive(part: &str) -> bool {
    part.parse::<LevelFilter>().is_ok()
        || part
            .rsplit_once('=')
            .is_some_and(|(target, level)| !target.is_empty() && level.parse::<LevelFilter>().is_ok())
        || part.ends_with(']')
}

impl Telemetry {
    /// Returns the directives of the log filter. Where it names no level for all the rest, that is `info`.
    pub fn log_directives(&self) -> String {
        let is_for_all = |part: &str| !part.is_empty() && part.parse::<LevelFilter>().is_ok();
        let has_one = self.log_filter.split(',').map(str::trim).any(is_for_all);
        if has_one { self.log_filter.clone() } else { format!("info,{}", self.log_filter) }
    }

    /// Returns what is wrong, each by its full key.
    pub(super) fn mistakes(&self) -> Vec<String> {
        let mut mistakes = Vec::new();
        if let Some(word) = self.log_filter.split(',').map(str::trim).find(|word| !is_directive(word)) {
            let levels = "off, error, warn, info, debug or trace";
            mistakes.push(format!("telemetry.log_filter: {word:?} is no level; write {levels}, or TARGET=LEVEL"));
        } else if let Err(error) = tracing_subscriber::EnvFilter::try_new(self.log_directives()) {
            mistakes.push(format!("telemetry.log_filter: {error}"));
        }
        if !(0.0..=1.0).contains(&self.sample_ratio) {
            mistakes.push(format!("telemetry.sample_ratio: must be 0 to 1, and is {}", self.sample_ratio));
        }
        let otlp = &self.otlp;
        if otlp.endpoint.as_ref().is_some_and(|url| !matches!(url.scheme(), "http" | "https")) {
            mistakes.push("telemetry.otlp.endpoint: must be http or https".to_owned());
        }
        for (key, zero) in [("interval", otlp.interval.is_zero()), ("timeout", otlp.timeout.is_zero())] {
            if zero {
                mistakes.push(format!("telemetry.otlp.{key}: must be more than 0"));
            }
        }
        for (key, path) in [("headers_file", &otlp.headers_file), ("ca_file", &otlp.ca_file)] {
            if let Some(Err(error)) = path.as_deref().map(files::open) {
                mistakes.push(format!("telemetry.otlp.{key}: cannot be read: {error}"));
            }
        }
        mistakes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_filter_names_no_level_for_has_info() {
        for (filter, directives) in [
            ("warn", "warn"),
            ("access=off,debug", "access=off,debug"),
            ("access=off", "info,access=off"),
            ("acess=off", "info,acess=off"),
            ("", "info,"),
            ("[x]=info", "info,[x]=info"),
        ] {
            let settings = Telemetry { log_filter: filter.to_owned(), ..Telemetry::default() };
            assert_eq!(settings.log_directives(), directives);
            let error = tracing_subscriber::EnvFilter::try_new(directives).err();
            assert!(error.is_none(), "{directives}: {error:?}");
        }
    }
}
