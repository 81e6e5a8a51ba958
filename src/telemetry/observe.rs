//! The instruments that read a number which another part keeps anyway: one line per instrument, read at each collection.

use std::sync::Arc;

use opentelemetry::KeyValue;
use opentelemetry::metrics::Meter;

use super::findings::FINDINGS;
use super::instruments::{CLASS, CONNECTION_END};
use super::logs::writer::Room;
use super::process::Process;
use super::state::State;
use super::view::BreakerState;

/// Takes one measurement.
type Put<'a, T> = &'a dyn Fn(T, &[KeyValue]);

struct Observed<'a> {
    meter: &'a Meter,
    state: &'a Arc<State>,
}

impl Observed<'_> {
    fn counter(&self, name: &'static str, unit: &'static str, text: &'static str, read: fn(&State, Put<'_, u64>)) {
        let state = Arc::clone(self.state);
        let instrument = self.meter.u64_observable_counter(name).with_unit(unit).with_description(text);
        instrument.with_callback(move |to| read(&state, &|value, attributes| to.observe(value, attributes))).build();
    }

    fn gauge(&self, name: &'static str, unit: &'static str, text: &'static str, read: fn(&State, Put<'_, u64>)) {
        let state = Arc::clone(self.state);
        let instrument = self.meter.u64_observable_gauge(name).with_unit(unit).with_description(text);
        instrument.with_callback(move |to| read(&state, &|value, attributes| to.observe(value, attributes))).build();
    }

    fn cpu(&self, name: &'static str, text: &'static str, read: fn(Put<'_, f64>)) {
        let instrument = self.meter.f64_observable_counter(name).with_unit("s").with_description(text);
        instrument.with_callback(move |to| read(&|value, attributes| to.observe(value, attributes))).build();
    }

    fn seconds(&self, name: &'static str, text: &'static str, read: fn(&State, Put<'_, f64>)) {
        let state = Arc::clone(self.state);
        let instrument = self.meter.f64_observable_gauge(name).with_unit("s").with_description(text);
        instrument.with_callback(move |to| read(&state, &|value, attributes| to.observe(value, attributes))).build();
    }
}

/// Makes the instruments.
pub fn register(meter: &Meter, state: &Arc<State>) {
    let on = Observed { meter, state };
    calls(&on);
    cache(&on);
    breaker(&on);
    budget(&on);
    queue(&on);
    others(&on);
    fleet(&on);
}

fn is(name: &'static str, value: &'static str) -> KeyValue {
    KeyValue::new(name, value)
}

fn outcome(value: &'static str) -> [KeyValue; 1] {
    [is("zendesk_gateway.outcome", value)]
}

#[rustfmt::skip]
fn calls(on: &Observed<'_>) {
    on.gauge("zendesk_gateway.calls.active", "{call}", "Unary calls under way.", |s, put| put(s.calls.active(), &[]));
    on.gauge("zendesk_gateway.streams.active", "{call}", "Streams under way.", |s, put| put(s.streams.active(), &[]));
    on.seconds("process.uptime", "Time since the process started.", |s, put| put(s.started.elapsed().as_secs_f64(), &[]));
    on.gauge("process.memory.usage", "By", "Resident memory of the process.", |_, put| {
        if let Some(memory) = Process::read().memory { put(memory, &[]) }
    });
    on.cpu("process.cpu.time", "Processor time of the process.", |put| {
        for (mode, time) in ["user", "system"].into_iter().zip(Process::read().cpu.into_iter().flatten()) {
            put(time.as_secs_f64(), &[is("cpu.mode", mode)]);
        }
    });
    on.gauge("process.unix.file_descriptor.count", "{file_descriptor}", "File descriptors that the process has open.", |_, put| {
        if let Some(count) = Process::read().descriptors { put(count, &[]) }
    });
    on.gauge("zendesk_gateway.file_descriptor.limit", "{file_descriptor}", "Most file descriptors that the process may have.", |_, put| {
        if let Some(limit) = Process::read().most_descriptors { put(limit, &[]) }
    });
    on.gauge("zendesk_gateway.findings", "{finding}", "What deserves attention now, as the status page says it, by kind.", |s, put| {
        let mut counts = std::collections::BTreeMap::new();
        s.findings.read().into_iter().for_each(|(kind, _)| *counts.entry(kind).or_insert(0) += 1);
        for kind in FINDINGS { put(counts.get(kind.name).copied().unwrap_or(0), &[is("zendesk_gateway.finding", kind.name)]) }
    });
}

#[rustfmt::skip]
fn cache(on: &Observed<'_>) {
    on.counter("zendesk_gateway.cache.reads", "{read}", "Reads, by where the answer came from.", |s, put| {
        let Some(cache) = s.sources.cache.read() else { return };
        put(cache.hits, &outcome("hit"));
        put(cache.stale, &outcome("stale"));
        put(cache.misses, &outcome("miss"));
        put(cache.coalesced, &outcome("coalesced"));
        put(cache.bypassed, &outcome("bypass"));
    });
    on.counter("zendesk_gateway.cache.fills", "{answer}", "Answers stored, or dropped because a write may have overtaken them.", |s, put| {
        let Some(cache) = s.sources.cache.read() else { return };
        put(cache.fills, &outcome("stored"));
        put(cache.dropped_fills, &outcome("dropped"));
    });
    on.counter("zendesk_gateway.cache.refreshes", "{refresh}", "Background refreshes, begun and failed.", |s, put| {
        let Some(cache) = s.sources.cache.read() else { return };
        put(cache.refreshes, &outcome("begun"));
        put(cache.failed_refreshes, &outcome("failed"));
    });
    on.counter("zendesk_gateway.cache.evictions", "{answer}", "Answers that had to go for lack of room.", |s, put| {
        if let Some(cache) = s.sources.cache.read() { put(cache.evictions, &[]) }
    });
    on.counter("zendesk_gateway.cache.invalidations", "{invalidation}", "Times that an operator, or another replica, made answers void.", |s, put| {
        if let Some(cache) = s.sources.cache.read() { put(cache.invalidations, &[]) }
    });
    on.gauge("zendesk_gateway.cache.entries", "{answer}", "Answers held.", |s, put| {
        if let Some(cache) = s.sources.cache.read() { put(cache.entries, &[]) }
    });
    on.gauge("zendesk_gateway.cache.size", "By", "Memory that the held answers take.", |s, put| {
        if let Some(cache) = s.sources.cache.read() { put(cache.bytes, &[]) }
    });
    on.gauge("zendesk_gateway.cache.limit", "By", "Most memory that answers may take.", |s, put| {
        if let Some(cache) = s.sources.cache.read() { put(cache.max_bytes, &[]) }
    });
    on.counter("zendesk_gateway.flights.started", "{flight}", "Shared upstream reads begun.", |s, put| {
        if let Some(cache) = s.sources.cache.read() { put(cache.flights, &[]) }
    });
    on.counter("zendesk_gateway.flights.cancelled", "{flight}", "Shared upstream reads that nobody waited for any more.", |s, put| {
        if let Some(cache) = s.sources.cache.read() { put(cache.cancelled_flights, &[]) }
    });
    on.gauge("zendesk_gateway.flights.active", "{flight}", "Shared upstream reads under way.", |s, put| {
        if let Some(cache) = s.sources.cache.read() { put(cache.flights_in_progress, &[]) }
    });
    on.counter("zendesk_gateway.batches.sent", "{batch}", "Requests that carried the ids of several reads.", |s, put| {
        if let Some(cache) = s.sources.cache.read() { put(cache.batches, &[]) }
    });
    on.counter("zendesk_gateway.batches.ids", "{id}", "Ids that such requests carried.", |s, put| {
        if let Some(cache) = s.sources.cache.read() { put(cache.batched_ids, &[]) }
    });
}

#[rustfmt::skip]
fn breaker(on: &Observed<'_>) {
    on.gauge("zendesk_gateway.breaker.state", "{state}", "1 for the state that the circuit of a class is in, 0 for the others.", |s, put| {
        for breaker in s.sources.breakers.read().unwrap_or_default() {
            for state in BreakerState::ALL {
                put((breaker.state == state).into(), &[is(CLASS, breaker.class), is("zendesk_gateway.circuit.state", state.as_str())]);
            }
        }
    });
    on.counter("zendesk_gateway.breaker.opened", "{transition}", "Times a circuit opened.", |s, put| {
        s.sources.breakers.read().unwrap_or_default().iter().for_each(|one| put(one.opened, &[is(CLASS, one.class)]));
    });
    on.counter("zendesk_gateway.breaker.refused", "{call}", "Calls refused by an open circuit.", |s, put| {
        s.sources.breakers.read().unwrap_or_default().iter().for_each(|one| put(one.refused, &[is(CLASS, one.class)]));
    });
}

fn name(name: &str) -> [KeyValue; 1] {
    [KeyValue::new("zendesk_gateway.budget.name", name.to_owned())]
}

#[rustfmt::skip]
fn budget(on: &Observed<'_>) {
    on.gauge("zendesk_gateway.budget.limit", "{request}", "Requests per window, as Zendesk last stated it.", |s, put| {
        s.budgets.read().iter().for_each(|one| put(one.limit.into(), &name(&one.name)));
    });
    on.gauge("zendesk_gateway.budget.remaining", "{request}", "Requests left in the window, as Zendesk last stated it.", |s, put| {
        s.budgets.read().iter().for_each(|one| put(one.remaining.into(), &name(&one.name)));
    });
    on.seconds("zendesk_gateway.budget.reset", "Time until the window starts anew.", |s, put| {
        for one in s.budgets.read() {
            if let Some(reset) = one.reset_in { put(reset.as_secs_f64(), &name(&one.name)) }
        }
    });
    on.gauge("zendesk_gateway.governor.waiting", "{call}", "Calls that wait for request budget.", |s, put| {
        if let Some(governor) = s.sources.governor.read() { put(governor.waiting, &[]) }
    });
    on.seconds("zendesk_gateway.governor.closed", "How long nothing is sent because Zendesk asked for that.", |s, put| {
        if let Some(governor) = s.sources.governor.read() { put(governor.closed_for.unwrap_or_default().as_secs_f64(), &[]) }
    });
    on.counter("zendesk_gateway.governor.admitted", "{call}", "Calls let through, by priority.", |s, put| {
        for (priority, count) in s.sources.governor.read().map(|governor| governor.admitted).unwrap_or_default() {
            if !priority.is_empty() { put(count, &[is("zendesk_gateway.priority", priority)]) }
        }
    });
    on.counter("zendesk_gateway.governor.waited", "{call}", "Calls that had to wait for request budget.", |s, put| {
        if let Some(governor) = s.sources.governor.read() { put(governor.waited, &[]) }
    });
    on.counter("zendesk_gateway.governor.refused", "{call}", "Calls refused because the budget does not allow them in time.", |s, put| {
        if let Some(governor) = s.sources.governor.read() { put(governor.refused, &[]) }
    });
    on.counter("zendesk_gateway.governor.throttled", "{response}", "Responses with status 429.", |s, put| {
        if let Some(governor) = s.sources.governor.read() { put(governor.throttled, &[]) }
    });
}

#[rustfmt::skip]
fn queue(on: &Observed<'_>) {
    on.gauge("zendesk_gateway.queue.permits", "{permit}", "Most HTTP requests at a time.", |s, put| {
        if let Some(queue) = s.sources.queue.read() { put(queue.permits, &[]) }
    });
    on.gauge("zendesk_gateway.queue.in_use", "{permit}", "HTTP requests under way.", |s, put| {
        if let Some(queue) = s.sources.queue.read() { put(queue.in_use, &[]) }
    });
    on.gauge("zendesk_gateway.queue.waiting", "{call}", "Calls that wait for a permit.", |s, put| {
        if let Some(queue) = s.sources.queue.read() { put(queue.waiting, &[]) }
    });
    on.counter("zendesk_gateway.queue.refused", "{call}", "Calls refused for lack of room, or because the queue was longer than their deadline.", |s, put| {
        let Some(queue) = s.sources.queue.read() else { return };
        put(queue.refused_full, &outcome("full"));
        put(queue.refused_too_late, &outcome("too_late"));
    });
    on.gauge("zendesk_gateway.upstream.connections.active", "{connection}", "HTTP/2 connections to Zendesk in use.", |s, put| {
        if let Some(now) = s.sources.upstream_connections.read() { put(now.http2_open, &[]) }
    });
    on.gauge("zendesk_gateway.upstream.connections.streams", "{request}", "Requests that one HTTP/2 connection takes at a time, as far as it is known.", |s, put| {
        if let Some(now) = s.sources.upstream_connections.read() { put(now.http2_streams, &[]) }
    });
    on.counter("zendesk_gateway.upstream.connections.attempts", "{attempt}", "Attempts to connect to Zendesk, over either protocol.", |s, put| {
        let Some(now) = s.sources.upstream_connections.read() else { return };
        put(now.opened, &outcome("opened"));
        put(now.failed, &outcome("failed"));
    });
    on.counter("zendesk_gateway.upstream.connections.ended", "{connection}", "HTTP/2 connections that are used no more, by why.", |s, put| {
        let Some(now) = s.sources.upstream_connections.read() else { return };
        now.http2_ended.iter().for_each(|(why, ended)| put(*ended, &[is(CONNECTION_END, why)]));
    });
    on.counter("zendesk_gateway.upstream.requests.moved", "{request}", "Requests sent again on another connection, because the one before had not processed them.", |s, put| {
        if let Some(now) = s.sources.upstream_connections.read() { put(now.moved, &[]) }
    });
    on.counter("zendesk_gateway.upstream.warnings", "{response}", "Responses that said that Zendesk ignored a part of the request.", |s, put| {
        if let Some(warnings) = s.sources.warnings.read() { put(warnings, &[]) }
    });
    on.counter("zendesk_gateway.retries.denied", "{attempt}", "Failed attempts that could have been repeated and were not.", |s, put| {
        let Some(retries) = s.sources.retries.read() else { return };
        put(retries.over_budget, &outcome("over_budget"));
        put(retries.over_share, &outcome("over_share"));
        put(retries.too_late, &outcome("too_late"));
    });
}

#[rustfmt::skip]
fn others(on: &Observed<'_>) {
    on.gauge("zendesk_gateway.messages.size", "By", "Memory that callers' messages under way take, as it is charged to them.", |s, put| {
        if let Some(bytes) = s.sources.messages.read() { put(bytes, &[]) }
    });
    on.gauge("zendesk_gateway.connections.active", "{connection}", "Open connections of callers.", |s, put| {
        if let Some(connections) = s.sources.connections.read() { put(connections.active, &[]) }
    });
    on.counter("zendesk_gateway.connections.accepted", "{connection}", "Connections of callers.", |s, put| {
        if let Some(connections) = s.sources.connections.read() { put(connections.accepted, &[]) }
    });
    on.counter("zendesk_gateway.connections.refused", "{connection}", "Connections refused or given up before their first call.", |s, put| {
        if let Some(connections) = s.sources.connections.read() { put(connections.refused, &[]) }
    });
    on.counter("zendesk_gateway.handshakes.failed", "{connection}", "TLS handshakes that failed because one side did not take the other's certificate, by whose it was.", |s, put| {
        if let Some(connections) = s.sources.connections.read() {
            put(connections.port_distrusted, &[is("zendesk_gateway.certificate", "certificate of the gRPC port")]);
            put(connections.callers_distrusted, &[is("zendesk_gateway.certificate", "certificate of a caller")]);
        }
    });
    on.counter("zendesk_gateway.connections.strays", "{connection}", "Connections that ended because their peers speak something else than the port, by what they speak.", |s, put| {
        for (spoken, count) in s.sources.connections.read().map(|connections| connections.strays).unwrap_or_default() {
            put(count, &[is("zendesk_gateway.connection.protocol", spoken)]);
        }
    });
    on.gauge("zendesk_gateway.jobs.active", "{job}", "Bulk jobs that have not ended yet.", |s, put| {
        if let Some(jobs) = s.sources.jobs.read() { put(jobs.active, &[]) }
    });
    on.gauge("zendesk_gateway.jobs.waiting", "{call}", "Bulk calls that wait until a job may be started.", |s, put| {
        if let Some(jobs) = s.sources.jobs.read() { put(jobs.waiting, &[]) }
    });
    on.gauge("zendesk_gateway.jobs.followed", "{job}", "Jobs that somebody follows, of this gateway or not.", |s, put| {
        if let Some(jobs) = s.sources.jobs.read() { put(jobs.followed, &[]) }
    });
    on.counter("zendesk_gateway.jobs.polls", "{request}", "Requests that asked how followed jobs go on.", |s, put| {
        if let Some(jobs) = s.sources.jobs.read() { put(jobs.polls, &[]) }
    });
    on.counter("zendesk_gateway.jobs.started", "{job}", "Bulk jobs started at Zendesk.", |s, put| {
        if let Some(jobs) = s.sources.jobs.read() { put(jobs.started, &[]) }
    });
    on.counter("zendesk_gateway.jobs.ended", "{job}", "Bulk jobs that were seen to end.", |s, put| {
        let Some(jobs) = s.sources.jobs.read() else { return };
        put(jobs.completed, &outcome("completed"));
        put(jobs.failed, &outcome("failed"));
    });
    on.counter("zendesk_gateway.reloads", "{reload}", "Files read again after they changed, and access tokens got anew.", |s, put| {
        for one in s.sources.reloads.read().unwrap_or_default() {
            let what = is("zendesk_gateway.reload.what", one.what);
            put(one.taken, &[what.clone(), is("zendesk_gateway.outcome", "taken")]);
            put(one.failed, &[what, is("zendesk_gateway.outcome", "failed")]);
        }
    });
    on.gauge("zendesk_gateway.reload.failing", "{content}", "1 while something else is in use than is there, because that could not be taken.", |s, put| {
        for one in s.sources.reloads.read().unwrap_or_default() {
            put(one.failing.into(), &[is("zendesk_gateway.reload.what", one.what)]);
        }
    });
    on.seconds("zendesk_gateway.certificate.remaining", "Time until a certificate of the gRPC port, or of the fleet, ends.", |s, put| {
        for one in s.sources.certificates.read().unwrap_or_default() {
            let left = one.expires.duration_since(std::time::SystemTime::now()).unwrap_or_default();
            put(left.as_secs_f64(), &[is("zendesk_gateway.certificate", one.what)]);
        }
    });
    on.seconds("zendesk_gateway.credential.remaining", "Time until the gateway's own credential ends.", |s, put| {
        // A credential that the gateway renews has no end to prepare for; failed renewals are counted as reloads.
        let credential = s.sources.credential.read().filter(|credential| !credential.renewed);
        let expires = credential.and_then(|credential| credential.expires);
        if let Some(expires) = expires {
            let left = expires.duration_since(std::time::SystemTime::now()).unwrap_or_default();
            put(left.as_secs_f64(), &[]);
        }
    });
    on.counter("zendesk_gateway.telemetry.items", "{item}", "Spans, log records and metric collections, by what became of their push.", |s, put| {
        for (signal, pushed) in s.pushed.signals() {
            for (outcome, count) in pushed.counts() {
                put(count, &[is("zendesk_gateway.telemetry.signal", signal), is("zendesk_gateway.outcome", outcome)]);
            }
        }
    });
    on.counter("zendesk_gateway.log.lost", "{line}", "Log lines that standard error did not take in time.", |s, put| {
        put(s.lost_lines.read(Room::Others), &[]);
    });
    on.counter("zendesk_gateway.audit.lost", "{line}", "Lines about changes that are not on record, because standard error did not take them in time.", |s, put| {
        put(s.lost_lines.read(Room::Changes), &[]);
    });
    on.counter("zendesk_gateway.log.left_out", "{line}", "Lines about calls that were refused or changed nothing, counted instead of written.", |s, put| {
        for (target, count) in s.samples.left_out() {
            put(count, &[is("zendesk_gateway.log.target", target)]);
        }
    });
}

/// What a replica may be in its fleet: acting alone counts as one, whatever the reason.
const FLEET: [&str; 4] = ["leads", "follows", "held", "alone"];

#[rustfmt::skip]
fn fleet(on: &Observed<'_>) {
    on.gauge("zendesk_gateway.fleet.state", "{state}", "1 for what the replica is in its fleet, 0 for the rest.", |s, put| {
        let Some(fleet) = s.sources.fleet.read() else { return };
        let now = if FLEET.contains(&fleet.course) { fleet.course } else { "alone" };
        for state in FLEET { put((state == now).into(), &[is("zendesk_gateway.fleet.state", state)]) }
    });
    on.gauge("zendesk_gateway.fleet.term", "{term}", "The highest term of a leader that the replica has heard of.", |s, put| {
        if let Some(election) = s.sources.fleet.read().and_then(|fleet| fleet.election) { put(election.term, &[]) }
    });
    on.counter("zendesk_gateway.fleet.calls.lost", "{call}", "Calls that were forwarded in vain: the leader had not taken them, or was lost with them.", |s, put| {
        let Some(fleet) = s.sources.fleet.read() else { return };
        put(fleet.not_taken, &outcome("not_taken"));
        put(fleet.lost, &outcome("unknown"));
    });
    on.counter("zendesk_gateway.fleet.lease.failures", "{request}", "Times that the Lease could not be read or written.", |s, put| {
        if let Some(election) = s.sources.fleet.read().and_then(|fleet| fleet.election) { put(election.failures, &[]) }
    });
    on.seconds("zendesk_gateway.fleet.handover", "How long it took this replica to hand the lead over, the last time.", |s, put| {
        let election = s.sources.fleet.read().and_then(|fleet| fleet.election);
        if let Some(took) = election.and_then(|election| election.handed_over_in) { put(took.as_secs_f64(), &[]) }
    });
}
