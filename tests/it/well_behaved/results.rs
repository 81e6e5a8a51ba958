//! What the clients of a language saw.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

/// What a program prints.
#[derive(Default, Deserialize)]
pub struct Results {
    /// How many milliseconds each call took that was answered.
    pub took: BTreeMap<String, Vec<f64>>,
    pub failures: Vec<Failure>,
}

/// A call that did not end with OK.
#[derive(Deserialize)]
pub struct Failure {
    pub method: String,
    pub code: String,
    pub message: String,
    /// `grpc-status-details-bin`, in base64.
    pub details: String,
}

impl Failure {
    pub fn of(method: &str, status: &Status) -> Self {
        let details = BASE64_STANDARD.encode(status.details());
        Self {
            method: method.to_owned(),
            code: format!("{:?}", status.code()),
            message: status.message().to_owned(),
            details,
        }
    }

    fn reason(&self) -> String {
        let details = BASE64_STANDARD.decode(&self.details).expect("base64");
        let status = Status::with_details(Code::Unknown, "", details.into());
        status.get_details_error_info().map_or("no reason".to_owned(), |info| info.reason)
    }
}

impl Results {
    pub fn calls(&self) -> usize {
        self.took.values().map(Vec::len).sum()
    }

    /// How often what went wrong, with one message of each.
    pub fn told(&self) -> String {
        let mut kinds = BTreeMap::new();
        for failure in &self.failures {
            let kind = format!("{} {} {}", failure.method, failure.code, failure.reason());
            kinds.entry(kind).or_insert((0, &failure.message)).0 += 1;
        }
        let lines = kinds.iter().map(|(kind, (number, message))| format!("\n  {number} × {kind}: {message}"));
        let (failed, lines) = (self.failures.len(), lines.collect::<Vec<_>>().concat());
        format!("{failed} of {} calls failed{lines}", self.calls() + failed)
    }

    /// A line of what it saw.
    pub fn line(&self, language: &str) -> String {
        let of = |streams: bool| {
            let chosen = self.took.iter().filter(|(method, _)| method.starts_with("Stream") == streams);
            chosen.flat_map(|(_, took)| took.iter().copied()).collect::<Vec<_>>()
        };
        let (unary, streams) = (of(false), of(true));
        let (calls, failed) = (unary.len(), self.failures.len());
        let p99 = percentile(unary, 99);
        let whole = percentile(streams.clone(), 99);
        format!(
            "{language:>8}: {calls:>6} calls, p99 {p99:>5.0} ms; {:>4} streams, p99 {whole:>5.0} ms; {failed} failed",
            streams.len()
        )
    }

    /// A line for each kind of call.
    pub fn by_method<'a>(all: impl Iterator<Item = &'a Self>) -> String {
        let mut took = BTreeMap::<&str, Vec<f64>>::new();
        for (method, times) in all.flat_map(|results| &results.took) {
            took.entry(method).or_default().extend(times);
        }
        let line = |(method, times): (&str, Vec<f64>)| {
            let (calls, median, p99) = (times.len(), percentile(times.clone(), 50), percentile(times, 99));
            format!("{method:>16}: {calls:>6}, p50 {median:>5.0} ms, p99 {p99:>5.0} ms\n")
        };
        took.into_iter().map(line).collect()
    }
}

fn percentile(mut times: Vec<f64>, percent: usize) -> f64 {
    times.sort_by(f64::total_cmp);
    times.get(times.len() * percent / 100).copied().unwrap_or_default()
}
