//! Registers with telemetry where each part's numbers come from.
//!
//! Telemetry is below the other parts and must not depend on them, so this module, which knows all of them, registers a
//! function for each that reads its numbers.

use std::time::Duration;

use opentelemetry::KeyValue;

use super::counts::Counts;
use super::fleet::Member;
use super::tls::Tls;
use crate::cache::Cache;
use crate::config::Config;
use crate::fleet::link::Link;
use crate::gateway::Gateway;
use crate::share::Shares;
use crate::telemetry::instruments::CONNECTION_END;
use crate::telemetry::{Telemetry, view};
use crate::upstream::breaker::{self, State};
use crate::upstream::control::Control;
use crate::upstream::credential::Source;
use crate::upstream::transport::end::End;
use crate::upstream::{governor, transport};
use crate::watch::Watcher;

/// Registers the gateway's cache and jobs, and the layers of the outbound stack.
pub fn watch(telemetry: &Telemetry, control: &Control, gateway: &Gateway, config: &Config) {
    let sources = &telemetry.state().sources;
    let (cache, max_bytes) = (gateway.cache().clone(), config.cache.max_bytes);
    sources.cache.set(move || cache_view(&cache, max_bytes));
    let gateway = gateway.clone();
    sources.jobs.set(move || {
        let now = gateway.jobs();
        view::Jobs {
            active: now.active,
            waiting: now.waiting,
            followed: now.followed,
            polls: now.polls,
            started: now.started,
            completed: now.completed,
            failed: now.failed,
        }
    });
    let breakers = control.breakers.clone();
    sources.breakers.set(move || breakers.snapshot().iter().map(breaker_view).collect());
    let governor = control.governor.clone();
    sources.governor.set(move || governor_view(&governor.snapshot()));
    let queue = control.queue.clone();
    sources.queue.set(move || {
        let now = queue.snapshot();
        view::Queue {
            permits: now.permits as u64,
            in_use: now.in_use as u64,
            waiting: now.waiting as u64,
            refused_full: now.refused_full,
            refused_too_late: now.refused_too_late,
        }
    });
    let attempts = control.attempts.clone();
    sources.warnings.set(move || attempts.snapshot().warned);
    let retries = control.retries.clone();
    sources.retries.set(move || {
        let now = retries.snapshot();
        view::Retries { over_budget: now.out_of_budget, too_late: now.out_of_time, over_share: now.out_of_share }
    });
}

/// Registers the credentials and the watched files.
pub fn credentials(telemetry: &Telemetry, credentials: &Source, watcher: &Watcher) {
    let sources = &telemetry.state().sources;
    let (shown, renewed, watcher) = (credentials.clone(), credentials.clone(), watcher.clone());
    sources.credential.set(move || shown.view());
    sources.reloads.set(move || watcher.reloads().into_iter().chain(renewed.reload()).collect());
}

/// Registers the certificates of the ports, and those by which a follower and its leader know each other.
pub fn certificates(telemetry: &Telemetry, ports: Vec<Tls>, link: Option<Link>) {
    if !ports.is_empty() || link.is_some() {
        telemetry.state().sources.certificates.set(move || {
            ports.iter().flat_map(Tls::certificates).chain(link.iter().flat_map(Link::certificates)).collect()
        });
    }
}

/// Registers what this replica is in its fleet.
pub fn fleet(telemetry: &Telemetry, member: Option<&Member>) {
    if let Some(member) = member.cloned() {
        telemetry.state().sources.fleet.set(move || member.view());
    }
}

/// Registers the connections to Zendesk.
pub fn upstream_connections(telemetry: &Telemetry, connections: &transport::Connections) {
    let instruments = telemetry.instruments().clone();
    connections.on_end(move |why, age| {
        instruments.connection_duration.record(age.as_secs_f64(), &[KeyValue::new(CONNECTION_END, why.as_str())]);
    });
    let connections = connections.clone();
    telemetry.state().sources.upstream_connections.set(move || {
        let now = connections.snapshot();
        view::UpstreamConnections {
            opened: now.opened,
            failed: now.failed,
            connecting_seconds: now.connecting.as_secs_f64(),
            http2_open: now.http2_open,
            http2_ended: End::ALL.map(End::as_str).into_iter().zip(now.http2_ended).collect(),
            http2_oldest_seconds: now.http2_oldest.as_secs_f64(),
            http2_requests: now.http2_requests as u64,
            http2_streams: now.http2_streams as u64,
            moved: now.moved,
        }
    });
}

/// Registers the callers' connections.
pub(super) fn connections(telemetry: &Telemetry, counts: &Counts) {
    let counts = counts.clone();
    telemetry.state().sources.connections.set(move || counts.view());
}

/// Registers the callers' messages.
pub(super) fn messages(telemetry: &Telemetry, shares: &Shares) {
    let shares = shares.clone();
    telemetry.state().sources.messages.set(move || shares.bytes() as u64);
}

fn cache_view(cache: &Cache, max_bytes: u64) -> view::Cache {
    let now = cache.counts();
    view::Cache {
        hits: now.hits,
        stale: now.stale,
        misses: now.misses,
        coalesced: now.coalesced,
        bypassed: now.bypassed,
        refreshes: now.refreshes,
        failed_refreshes: now.failed_refreshes,
        fills: now.fills,
        dropped_fills: now.dropped_fills,
        evictions: now.evictions,
        invalidations: now.invalidations,
        entries: now.entries,
        bytes: now.bytes,
        max_bytes,
        flights: now.flights,
        cancelled_flights: now.cancelled_flights,
        flights_in_progress: now.flights_in_progress,
        batches: now.batches.iter().sum(),
        batched_ids: now.batched_ids,
    }
}

/// How long an open circuit is told of that nobody asks any more: whether Zendesk still fails there, only a call can find out.
const UNASKED: Duration = Duration::from_mins(5);

fn breaker_view(now: &breaker::Snapshot) -> view::Breaker {
    let is_due = now.state == State::Open && now.probes_in.is_zero();
    let is_unasked = is_due && now.since >= UNASKED;
    let state = match now.state {
        State::Closed => view::BreakerState::Closed,
        State::Open if !is_due => view::BreakerState::Open,
        State::Open | State::HalfOpen => view::BreakerState::HalfOpen,
    };
    let probe_in = (state == view::BreakerState::Open).then_some(now.probes_in);
    view::Breaker { class: now.class, state, probe_in, is_unasked, opened: now.opened, refused: now.refused }
}

fn governor_view(now: &governor::Snapshot) -> view::Governor {
    view::Governor {
        waiting: now.waiting as u64,
        closed_for: Some(now.closed_for).filter(|closed| !closed.is_zero()),
        refused: now.refused,
        throttled: now.throttled,
        waited: now.waited,
        admitted: [("write", now.writes), ("interactive", now.interactive), ("background", now.background)],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_open_circuit_that_nobody_asks_for_minutes_is_told_no_longer() {
        let view = |since, probes_in| {
            let now = breaker::Snapshot {
                class: "user_reads",
                state: State::Open,
                since: Duration::from_secs(since),
                probes_in: Duration::from_secs(probes_in),
                consecutive_failures: 5,
                successes: 0,
                failures: 5,
                opened: 1,
                probes: 0,
                refused: 0,
            };
            let view = breaker_view(&now);
            (view.state, view.is_unasked)
        };
        assert_eq!(view(10, 20), (view::BreakerState::Open, false));
        assert_eq!(view(299, 0), (view::BreakerState::HalfOpen, false), "the next call probes it");
        assert_eq!(view(300, 0), (view::BreakerState::HalfOpen, true));
        assert_eq!(view(300, 1), (view::BreakerState::Open, false));
    }
}
