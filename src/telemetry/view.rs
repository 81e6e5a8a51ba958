//! What the parts of the gateway report about themselves, in plain numbers: read by the metrics and by the status page.
//!
//! Telemetry is below the parts, so it cannot ask them. Each part hands in a closure that returns its view, once, when the
//! gateway is put together.

use std::collections::BTreeMap;
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use serde::Serialize;

use super::findings::Kind;

/// Where each view comes from. A part that is not there has none, and its instruments do not appear.
#[derive(Default)]
pub struct Sources {
    /// The cache.
    pub cache: Source<Cache>,
    /// The circuit breakers, one per endpoint class.
    pub breakers: Source<Vec<Breaker>>,
    /// The rate governor.
    pub governor: Source<Governor>,
    /// The queue for upstream permits.
    pub queue: Source<Queue>,
    /// The retries.
    pub retries: Source<Retries>,
    /// Answers so far that said that Zendesk ignored a part of a request.
    pub warnings: Source<u64>,
    /// Bytes of callers' messages under way.
    pub messages: Source<u64>,
    /// Connections to Zendesk.
    pub upstream_connections: Source<UpstreamConnections>,
    /// Connections of callers.
    pub connections: Source<Connections>,
    /// Bulk jobs.
    pub jobs: Source<Jobs>,
    /// Files that are watched and read again.
    pub reloads: Source<Vec<Reload>>,
    /// The gateway's own credential.
    pub credential: Source<Credential>,
    /// The certificates of the gRPC port and of the fleet.
    pub certificates: Source<Vec<Certificate>>,
    /// The fleet.
    pub fleet: Source<Fleet>,
}

/// Returns a view of one part at the moment it is asked.
pub struct Source<T>(OnceLock<Box<dyn Fn() -> T + Send + Sync>>);

impl<T> Default for Source<T> {
    fn default() -> Self {
        Self(OnceLock::new())
    }
}

impl<T> Source<T> {
    /// Sets where the view comes from.
    ///
    /// # Panics
    /// If it was set before: two parts of one kind in one gateway would hide each other.
    pub fn set(&self, read: impl Fn() -> T + Send + Sync + 'static) {
        assert!(self.0.set(Box::new(read)).is_ok(), "a view has one source");
    }

    /// Returns the view, if the part is there.
    pub fn read(&self) -> Option<T> {
        self.0.get().map(|read| read())
    }
}

/// What this replica is in its fleet.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Fleet {
    /// The leader's address; none if this replica leads, or knows of no leader.
    pub leader: Option<String>,
    /// `leads`, `follows`, or why it does not: `held` while a leader is looked for; `silent`, `not_ready`, `not_leading`,
    /// `untrusted`, `other_account` or `other_contract` while it acts alone.
    pub course: &'static str,
    /// Calls that were lost with a leader, so that their outcome is unknown unless they were reads.
    pub lost: u64,
    /// Calls that a leader had not taken, so that they were sent again.
    pub not_taken: u64,
    /// What deserves attention at the leader that this replica follows, and whether it is a problem.
    #[serde(skip)]
    pub found: Vec<(Kind, bool)>,
    /// The election, if there is one.
    pub election: Option<Election>,
}

/// What a replica knows of its fleet's election.
#[derive(Debug, Clone, Serialize)]
pub struct Election {
    /// The highest term that it has heard of.
    pub term: u64,
    /// The other replica that the Lease names, whether it answers or not.
    pub named: Option<String>,
    /// How the Lease was read or written last: `good`, `unreachable`, `missing`, `forbidden`, `failing`.
    pub lease: &'static str,
    /// For how long it could not be.
    #[serde(skip)]
    pub failing: Duration,
    /// How often it could not be.
    pub failures: u64,
    /// How long it took to hand the lead over, the last time.
    #[serde(rename = "handed_over_in_seconds", serialize_with = "seconds")]
    pub handed_over_in: Option<Duration>,
}

/// The cache. All but the gauges only grow.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Cache {
    /// Reads answered from a fresh entry.
    pub hits: u64,
    /// Reads answered from a stale entry.
    pub stale: u64,
    /// Reads that asked Zendesk.
    pub misses: u64,
    /// Reads answered by a flight that another read began.
    pub coalesced: u64,
    /// Reads that wanted no cached answer, or must not have one.
    pub bypassed: u64,
    /// Background refreshes begun.
    pub refreshes: u64,
    /// Background refreshes that failed.
    pub failed_refreshes: u64,
    /// Answers stored.
    pub fills: u64,
    /// Answers not stored because a write may have overtaken them.
    pub dropped_fills: u64,
    /// Answers evicted for lack of room.
    pub evictions: u64,
    /// Times that an operator, or another replica, made answers void.
    pub invalidations: u64,
    /// Gauge: answers held.
    pub entries: u64,
    /// Gauge: bytes held.
    pub bytes: u64,
    /// Most bytes that may be held.
    pub max_bytes: u64,
    /// Shared upstream reads begun.
    pub flights: u64,
    /// Shared upstream reads that were cancelled because nobody waited any more.
    pub cancelled_flights: u64,
    /// Gauge: shared upstream reads under way.
    pub flights_in_progress: u64,
    /// Requests that carried ids of several reads.
    pub batches: u64,
    /// Ids in them.
    pub batched_ids: u64,
}

impl Cache {
    /// Returns the share of reads that cost no upstream request of their own, if there were any.
    pub fn hit_ratio(&self) -> Option<f64> {
        let free = self.hits + self.stale + self.coalesced;
        let all = free + self.misses + self.bypassed;
        #[expect(clippy::cast_precision_loss, reason = "a ratio for people")]
        (all > 0).then(|| free as f64 / all as f64)
    }
}

/// One circuit breaker.
#[derive(Debug, Clone, Serialize)]
pub struct Breaker {
    /// The endpoint class.
    pub class: &'static str,
    /// Its state.
    pub state: BreakerState,
    /// How long until it probes, while it is open.
    #[serde(serialize_with = "seconds")]
    pub probe_in: Option<Duration>,
    /// Whether the next call is its probe, and none has come for minutes.
    pub is_unasked: bool,
    /// How often it opened.
    pub opened: u64,
    /// Calls it refused.
    pub refused: u64,
}

/// The state of a circuit breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum BreakerState {
    /// Calls pass.
    Closed,
    /// Calls are refused.
    Open,
    /// One call probes.
    HalfOpen,
}

impl BreakerState {
    /// Every state.
    pub const ALL: [Self; 3] = [Self::Closed, Self::Open, Self::HalfOpen];

    /// Returns its word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half_open",
        }
    }
}

/// The rate governor.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Governor {
    /// Gauge: calls that wait for budget.
    pub waiting: u64,
    /// How long no call is sent because Zendesk asked for that.
    #[serde(serialize_with = "seconds")]
    pub closed_for: Option<Duration>,
    /// Calls refused because the budget does not allow them in time.
    pub refused: u64,
    /// Responses with status 429.
    pub throttled: u64,
    /// Calls that had to wait for budget.
    pub waited: u64,
    /// Calls let through, by their priority.
    pub admitted: [(&'static str, u64); 3],
}

/// The queue for upstream permits.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Queue {
    /// Gauge: permits in all.
    pub permits: u64,
    /// Gauge: permits that calls hold.
    pub in_use: u64,
    /// Gauge: calls that wait for one.
    pub waiting: u64,
    /// Calls refused because the queue was full.
    pub refused_full: u64,
    /// Calls refused because the queue was longer than their deadline.
    pub refused_too_late: u64,
}

/// Connections to Zendesk. All but the gauges only grow.
#[derive(Debug, Clone, Default, Serialize)]
pub struct UpstreamConnections {
    /// Connections that were opened, over HTTP/1.1 or HTTP/2.
    pub opened: u64,
    /// Attempts to connect that failed.
    pub failed: u64,
    /// How long the successful attempts took in all, in seconds: name, TCP and TLS.
    pub connecting_seconds: f64,
    /// Gauge: HTTP/2 connections in use.
    pub http2_open: u64,
    /// HTTP/2 connections that are used no more, by why.
    pub http2_ended: BTreeMap<&'static str, u64>,
    /// Gauge: age of the oldest HTTP/2 connection in use, in seconds.
    pub http2_oldest_seconds: f64,
    /// Gauge: requests under way on HTTP/2 connections.
    pub http2_requests: u64,
    /// Gauge: requests that one HTTP/2 connection takes at a time: the number learnt, or else assumed.
    pub http2_streams: u64,
    /// Requests that were sent again on another connection, because the one before had provably not processed them.
    pub moved: u64,
}

/// Retries.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Retries {
    /// Failed attempts that were not repeated because the retry budget was used up.
    pub over_budget: u64,
    /// Failed attempts that were not repeated because the other requests of their call had used its attempts up.
    pub over_share: u64,
    /// Failed attempts that were not repeated because the deadline was too near.
    pub too_late: u64,
}

/// Connections of callers.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Connections {
    /// Gauge: open connections.
    pub active: u64,
    /// Connections accepted.
    pub accepted: u64,
    /// Connections refused or given up before the first call: too many, no handshake in time.
    pub refused: u64,
    /// Of these, those for which there was no room.
    pub turned_away: u64,
    /// Of these, those whose callers did not take the port's certificate.
    pub port_distrusted: u64,
    /// Of these, those whose callers had none, or one that the port does not take.
    pub callers_distrusted: u64,
    /// Of these, those whose peers speak something else than the port, by what they speak.
    pub strays: BTreeMap<&'static str, u64>,
}

/// Bulk jobs.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Jobs {
    /// Gauge: jobs that have not ended.
    pub active: u64,
    /// Gauge: calls that wait until a job may be started.
    pub waiting: u64,
    /// Gauge: jobs that somebody follows, of this gateway or not.
    pub followed: u64,
    /// Requests that asked how followed jobs go on.
    pub polls: u64,
    /// Jobs started at Zendesk.
    pub started: u64,
    /// Jobs that ended well.
    pub completed: u64,
    /// Jobs that failed or were killed.
    pub failed: u64,
}

/// Something that is read again when its file changes, or renewed before it ends.
#[derive(Debug, Clone, Serialize)]
pub struct Reload {
    /// What is read, such as `credential`.
    pub what: &'static str,
    /// Times it was read and taken.
    pub taken: u64,
    /// Times it could not be read or was invalid, so that the old one stayed in use.
    pub failed: u64,
    /// Whether the last one was refused, so that something else is in use than is there.
    pub failing: bool,
}

/// A certificate.
#[derive(Debug, Clone, Copy)]
pub struct Certificate {
    /// What it is for.
    pub what: &'static str,
    /// When it ends.
    pub expires: SystemTime,
}

/// The credential that calls are made with.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Credential {
    /// Its kind, as in the settings.
    pub kind: String,
    /// When it ends, where that is known.
    #[serde(serialize_with = "date")]
    pub expires: Option<SystemTime>,
    /// Whether the gateway renews it before its end.
    pub renewed: bool,
    /// The kind of failure of the last renewal; none if it did not fail.
    pub failing: Option<String>,
    /// How long until it is tried again.
    #[serde(serialize_with = "seconds")]
    pub again_in: Option<Duration>,
    /// How long ago a call last failed for want of a credential, because none could be had.
    #[serde(skip)]
    pub lacked_ago: Option<Duration>,
}

#[expect(clippy::ref_option, reason = "serde passes fields by reference")]
pub(crate) fn seconds<S: serde::Serializer>(duration: &Option<Duration>, to: S) -> Result<S::Ok, S::Error> {
    duration.map(|duration| duration.as_secs_f64()).serialize(to)
}

#[expect(clippy::ref_option, reason = "serde passes fields by reference")]
pub(crate) fn date<S: serde::Serializer>(time: &Option<SystemTime>, to: S) -> Result<S::Ok, S::Error> {
    time.map(|time| humantime::format_rfc3339_seconds(time).to_string()).serialize(to)
}
