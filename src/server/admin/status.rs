//! A snapshot of what the gateway is doing, with findings that deserve attention.

use serde::Serialize;

use super::findings::Finding;
use super::readiness::Phase;
use super::shown::Admin;
use crate::telemetry::budget::Budget;
use crate::telemetry::errors::Counted;
use crate::telemetry::slowest::Exchange;
use crate::telemetry::state::Calls;
use crate::telemetry::view;

/// A snapshot of the gateway.
#[derive(Debug, Serialize)]
pub struct Status {
    /// The version.
    pub version: &'static str,
    /// How long it has been running.
    pub uptime_seconds: u64,
    /// Whether it serves.
    pub phase: Phase,
    /// What deserves attention, the gravest first; empty when all is well.
    pub findings: Vec<Finding>,
    /// Where Zendesk is.
    pub upstream: String,
    /// The gateway's own credential.
    pub credential: Option<view::Credential>,
    /// The request budgets, as Zendesk last stated them.
    pub budgets: Vec<Budget>,
    /// What the governor does with the budgets.
    pub governor: Option<view::Governor>,
    /// Unary calls.
    pub calls: CallCounts,
    /// Streams.
    pub streams: CallCounts,
    /// The cache.
    pub cache: Option<view::Cache>,
    /// The share of reads that cost no upstream request of their own.
    pub cache_hit_ratio: Option<f64>,
    /// The circuit breakers.
    pub breakers: Vec<view::Breaker>,
    /// The queue for upstream permits.
    pub queue: Option<view::Queue>,
    /// Connections to Zendesk.
    pub upstream_connections: Option<view::UpstreamConnections>,
    /// Callers' connections.
    pub connections: Option<view::Connections>,
    /// Bulk jobs.
    pub jobs: Option<view::Jobs>,
    /// The part that this replica takes in its fleet.
    pub fleet: Option<view::Fleet>,
    /// Files and keys that are read again when they change.
    pub reloads: Vec<view::Reload>,
    /// Calls that ended with an error since the start, by reason and method; the most recent first.
    pub errors: Vec<Counted>,
    /// The slowest upstream exchanges of the last ten minutes.
    pub slowest: Vec<Exchange>,
    /// The settings, by full key.
    pub settings: Vec<(String, String)>,
}

/// How many calls there were since the start.
#[derive(Debug, Serialize)]
pub struct CallCounts {
    /// Under way.
    pub active: u64,
    /// Ended.
    pub ended: u64,
    /// Of the ended ones, those that failed because of the gateway or Zendesk.
    pub failed: u64,
    /// Of the ended ones, those refused for lack of request budget.
    pub throttled: u64,
}

impl From<&Calls> for CallCounts {
    fn from(calls: &Calls) -> Self {
        Self { active: calls.active(), ended: calls.ended(), failed: calls.failed(), throttled: calls.throttled() }
    }
}

impl Status {
    /// Takes a snapshot, without what is judged by it.
    pub fn read(admin: &Admin) -> Self {
        let state = admin.0.telemetry.state();
        let cache = state.sources.cache.read();
        Self {
            version: env!("CARGO_PKG_VERSION"),
            uptime_seconds: state.started.elapsed().as_secs(),
            phase: admin.0.readiness.phase(),
            findings: Vec::new(),
            upstream: admin.0.upstream.to_string(),
            credential: state.sources.credential.read(),
            budgets: state.budgets.read(),
            governor: state.sources.governor.read(),
            calls: (&state.calls).into(),
            streams: (&state.streams).into(),
            cache_hit_ratio: cache.as_ref().and_then(view::Cache::hit_ratio),
            cache,
            breakers: state.sources.breakers.read().unwrap_or_default(),
            queue: state.sources.queue.read(),
            upstream_connections: state.sources.upstream_connections.read(),
            connections: state.sources.connections.read(),
            jobs: state.sources.jobs.read(),
            fleet: state.sources.fleet.read(),
            reloads: state.sources.reloads.read().unwrap_or_default(),
            errors: state.errors.read(),
            slowest: state.slowest.read(),
            settings: admin.0.settings.clone(),
        }
    }
}
