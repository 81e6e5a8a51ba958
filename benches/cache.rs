//! What reads cost upstream when callers ask as callers do: `cargo bench --bench cache`.
//!
//! Requests go in where tonic would hand them over, and a function stands in for Zendesk; everything between is the real
//! service with its real settings. Time is tokio's and paused: it jumps from one timer to the next, so that minutes of traffic
//! take seconds, and nothing in the lifetimes is compressed. Arrivals are random (a Poisson process), always the same ones.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};
use tonic::Request;
use tower::service_fn;
use zendesk_gateway::assembly;
use zendesk_gateway::config::Config;
use zendesk_gateway::error::Error;
use zendesk_gateway::gateway::caller::Caller;
use zendesk_gateway::limits::Limits;
use zendesk_gateway::proto::{GetUserRequest, UpdateUserRequest, UserInput};
use zendesk_gateway::rpc::Rpc;
use zendesk_gateway::upstream::credential::Credential;
use zendesk_gateway::upstream::{self as outbound, Answer, Call, Jitter};

const USERS: usize = 10_000;
/// One in so many calls is a write.
const WRITES: u32 = 100;
/// What comes before is not counted: a cache that has just started is empty.
const WARM_UP: Duration = Duration::from_mins(1);
const MEASURED: Duration = Duration::from_mins(4);
/// Calls per second.
const LOADS: [u32; 3] = [100, 300, 1_000];

/// What reached the stand-in.
#[derive(Default)]
struct Sent {
    reads: AtomicU64,
    writes: AtomicU64,
}

/// What one run showed, after the warm-up.
struct Run {
    reads: u64,
    stale: u64,
    failed: u64,
    sent_for_reads: u64,
    sent_writes: u64,
}

/// What a variant does to the settings.
type Change = fn(&mut Config);

#[tokio::main(flavor = "current_thread", start_paused = true)]
async fn main() {
    let nothing_kept: Change = |config| {
        let record = &mut config.cache.record;
        record.fresh = Some(Duration::ZERO);
        record.stale_while_revalidate = Some(Duration::ZERO);
        record.stale_if_error = Some(Duration::ZERO);
    };
    let not_batched: Change = |config| config.cache.batch_wait = Duration::ZERO;
    let variants: [(&str, Vec<Change>); 4] = [
        ("reads under way shared, nothing kept or batched", vec![nothing_kept, not_batched]),
        ("shared and batched, nothing kept", vec![nothing_kept]),
        ("shared and kept, not batched", vec![not_batched]),
        ("all on, as by default", vec![]),
    ];
    println!("{USERS} users, Zipf with exponent 1.0, 1 write in {WRITES} calls, {} s measured", MEASURED.as_secs());
    println!("without any of it, 1,000 reads are 1,000 upstream calls");
    println!("{:>8}  {:<48} {:>24} {:>10} {:>8}", "calls/s", "", "calls per 1,000 reads", "+ writes", "stale");
    for load in LOADS {
        for (name, changes) in &variants {
            let mut config = Config::default();
            // The account's limits on single endpoints are not the subject; without a cache more has to fit at a time.
            config.upstream.rate.updates_per_user = 0;
            config.upstream.rate.update_spacing = Duration::ZERO;
            config.upstream.queue.permits = 1_024;
            for change in changes {
                change(&mut config);
            }
            let run = run(&config, load).await;
            assert_eq!(run.failed, 0, "no call fails");
            #[expect(clippy::cast_precision_loss, reason = "a ratio for people")]
            let per_thousand = |number: u64| number as f64 * 1_000.0 / run.reads as f64;
            println!(
                "{load:>8}  {name:<48} {:>24.1} {:>10.1} {:>6.1} %",
                per_thousand(run.sent_for_reads),
                per_thousand(run.sent_writes),
                per_thousand(run.stale) / 10.0,
            );
        }
    }
}

async fn run(config: &Config, load: u32) -> Run {
    let sent = Arc::<Sent>::default();
    let rpc = rpc(config, &sent);
    let mut random = fastrand::Rng::with_seed(1);
    let shares = shares();
    let (reads, stale, failed) = <(Arc<AtomicU64>, Arc<AtomicU64>, Arc<AtomicU64>)>::default();
    let mut calls = JoinSet::new();
    let began = Instant::now();
    let mut at = began;
    let mut before = None;
    while at < began + WARM_UP + MEASURED {
        at += Duration::from_secs_f64(-(1.0 - random.f64()).ln() / f64::from(load));
        sleep_until(at).await;
        while calls.try_join_next().is_some() {}
        let measured = at >= began + WARM_UP;
        if measured && before.is_none() {
            before = Some((sent.reads.load(Ordering::Relaxed), sent.writes.load(Ordering::Relaxed)));
        }
        let id = i64::try_from(shares.partition_point(|share| *share < random.f64())).expect("few") + 1;
        let (rpc, write) = (rpc.clone(), random.u32(0..WRITES) == 0);
        let (reads, stale, failed) = (Arc::clone(&reads), Arc::clone(&stale), Arc::clone(&failed));
        calls.spawn(async move {
            if write {
                let user = Some(UserInput { alias: Some("x".to_owned()), ..Default::default() });
                let outcome = rpc
                    .update_user(Request::new(UpdateUserRequest { id, user, update_mask: None, ..Default::default() }))
                    .await;
                failed.fetch_add(outcome.is_err().into(), Ordering::Relaxed);
                return;
            }
            let outcome = rpc.get_user(Request::new(GetUserRequest { id, ..Default::default() })).await;
            failed.fetch_add(outcome.is_err().into(), Ordering::Relaxed);
            let old = outcome.is_ok_and(|answer| answer.metadata().get("x-cache").is_some_and(|it| it == "stale"));
            reads.fetch_add(measured.into(), Ordering::Relaxed);
            stale.fetch_add((measured && old).into(), Ordering::Relaxed);
        });
    }
    while calls.join_next().await.is_some() {}
    let (reads_before, writes_before) = before.expect("the warm-up ended");
    Run {
        reads: reads.load(Ordering::Relaxed),
        stale: stale.load(Ordering::Relaxed),
        failed: failed.load(Ordering::Relaxed),
        sent_for_reads: sent.reads.load(Ordering::Relaxed) - reads_before,
        sent_writes: sent.writes.load(Ordering::Relaxed) - writes_before,
    }
}

/// The share of all calls that each user and those before it get together.
fn shares() -> Vec<f64> {
    #[expect(clippy::cast_precision_loss, reason = "ten thousand is exact")]
    let weights = (1..=USERS).map(|rank| 1.0 / rank as f64);
    let mut sums: Vec<f64> = weights
        .scan(0.0, |sum, weight| {
            *sum += weight;
            Some(*sum)
        })
        .collect();
    let all = *sums.last().expect("there are users");
    for sum in &mut sums {
        *sum /= all;
    }
    sums
}

/// The service over a stand-in that takes as long as Zendesk was recorded to take.
fn rpc(config: &Config, sent: &Arc<Sent>) -> Rpc {
    let sent = Arc::clone(sent);
    let zendesk = service_fn(move |call: Call| {
        let write = call.rest.method != http::Method::GET;
        (if write { &sent.writes } else { &sent.reads }).fetch_add(1, Ordering::Relaxed);
        call.ledger.sent();
        async move {
            let target = call.rest.target().replace("%2C", ",");
            let ids = target.rsplit(['/', '=']).next().unwrap_or_default();
            let record = |id: &str| format!(r#"{{"id":{id},"name":"User {id}","role":"end-user","active":true}}"#);
            let (latency, body) = if call.rest.path.ends_with("show_many") {
                let rows: Vec<String> = ids.split(',').map(record).collect();
                (176, format!(r#"{{"users":[{}]}}"#, rows.join(",")))
            } else {
                (if write { 140 } else { 80 }, format!(r#"{{"user":{}}}"#, record(ids)))
            };
            sleep(Duration::from_millis(latency)).await;
            let parsed = (call.parse)(body.as_bytes()).map_err(|_| Error::AttemptTimeout)?;
            let limits = Limits::default();
            Ok(Answer { status: 200, parsed, request_id: None, warning: None, limits, attempts: 1, losses: Vec::new() })
        }
    });
    let (upstream, _) = outbound::stack_with(&config.upstream, Jitter::RANDOM, zendesk);
    let credential = Credential::new("Bearer token", true).expect("a header");
    let gateway = assembly::gateway(config, upstream);
    Rpc::new(gateway, credential).called_by(Caller::local(), &config.server)
}
