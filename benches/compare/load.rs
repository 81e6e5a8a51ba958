//! Bounded load by `h2load`, and what it cost the server.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};

use super::process::Process;

/// How much load, and in what shape.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    /// Calls in one run.
    pub calls: u32,
    /// Connections.
    pub connections: u32,
    /// Calls under way on each connection.
    pub at_once: u32,
}

/// What is asked of whom.
#[derive(Debug, Clone)]
pub struct Target {
    /// The URL.
    pub url: String,
    /// Metadata.
    pub headers: Vec<(String, String)>,
    /// File with the request; without one it is a GET, over HTTP/1.1 where there is no TLS.
    pub body: Option<PathBuf>,
    /// Bytes of body that each answer must have, where they are known.
    pub reply_bytes: Option<usize>,
}

/// One run.
#[derive(Debug, Clone, Copy)]
pub struct Ran {
    /// Processor time of the server per call, in µs.
    pub cpu: f64,
    /// Calls per second.
    pub rate: f64,
    /// The median latency in µs.
    pub latency: f64,
}

/// Runs a load from `core` against a target that `server` serves.
pub fn run(core: &str, server: &Process, target: &Target, shape: Shape, log: &Path) -> anyhow::Result<Ran> {
    let Shape { calls, connections, at_once } = shape;
    let _ = fs::remove_file(log);
    let mut command = Command::new("taskset");
    command.args(["--cpu-list", core, "h2load"]);
    command.args(["-n", &calls.to_string(), "-c", &connections.to_string(), "-m", &at_once.to_string()]);
    command.arg("--log-file").arg(log);
    if let Some(body) = &target.body {
        command.arg("-d").arg(body).args(["-H", "content-type: application/grpc", "-H", "te: trailers"]);
    } else if !target.url.starts_with("https:") {
        command.arg("--h1");
    }
    for (name, value) in &target.headers {
        command.args(["-H", &format!("{name}: {value}")]);
    }
    let before = server.cpu_seconds();
    let output = command.arg(&target.url).output().context("h2load cannot be run")?;
    let cpu = server.cpu_seconds() - before;
    let text = String::from_utf8_lossy(&output.stdout);
    let succeeded: u32 = number_before(&text, "requests:", " succeeded").context("h2load reports no requests")?;
    ensure!(succeeded == calls, "only {succeeded} of {calls} calls succeeded:\n{text}");
    let data: u64 = number_before(&text, "traffic:", ") data").context("h2load reports no traffic")?;
    if let Some(expected) = target.reply_bytes {
        let expected = expected as u64 * u64::from(calls);
        ensure!(data == expected, "{data} bytes came instead of {expected}:\n{text}");
    }
    let seconds = seconds(&text).context("h2load reports no duration")?;
    Ok(Ran { cpu: cpu * 1e6 / f64::from(calls), rate: f64::from(calls) / seconds, latency: median_latency(log)? })
}

/// Returns the number that stands right before `end`, on the line that has both.
fn number_before<N: std::str::FromStr>(text: &str, start: &str, end: &str) -> Option<N> {
    let line = text.lines().find(|line| line.contains(start) && line.contains(end))?;
    let (before, _) = line.split_once(end)?;
    before.rsplit(|letter: char| !letter.is_ascii_digit()).next()?.parse().ok()
}

/// Reads `finished in 2.05s, 48780.12 req/s, 33.21MB/s`.
fn seconds(text: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix("finished in "))?;
    let time = line.split(',').next()?;
    let (unit, number) = [("ms", 1e-3), ("us", 1e-6), ("s", 1.0)]
        .into_iter()
        .find_map(|(unit, size)| Some((size, time.strip_suffix(unit)?)))?;
    number.parse::<f64>().ok().map(|number| number * unit)
}

/// The log has a line per call: when it began, its HTTP status, and how many µs it took.
fn median_latency(log: &Path) -> anyhow::Result<f64> {
    let text = fs::read_to_string(log).context("h2load wrote no log")?;
    let mut times: Vec<u32> = text.lines().filter_map(|line| line.split_whitespace().nth(2)?.parse().ok()).collect();
    ensure!(!times.is_empty(), "h2load's log is empty");
    times.sort_unstable();
    Ok(f64::from(times[times.len() / 2]))
}
