//! The embedded stand-in as the judge: it counts and refuses with its own code, and no part of the governor's.

use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use base64::Engine as _;
use http_body_util::BodyExt as _;
use tokio::time::{Instant, sleep, sleep_until};
use tower::{ServiceExt as _, service_fn};

use super::simulation::{offer, stream_all};
use crate::config;
use crate::contract::Idempotency;
use crate::path;
use crate::sandbox::{self, Latency, Sandbox};
use crate::upstream::call::{Call, Priority};
use crate::upstream::credential::Credential;
use crate::upstream::judge::judge;
use crate::upstream::rest::Rest;
use crate::upstream::tests::support::{SECOND, Zendesk, call, millis};
use crate::upstream::{Control, Jitter, Upstream, stack_with};

const LATENCY: Duration = Duration::from_millis(120);
const LIMIT: u32 = 700;
const WINDOWS: u32 = 4;

/// An account of which others use so many requests per minute, and a gateway's stack before it.
async fn account(foreign_rate: u32) -> (Arc<Sandbox>, Upstream, Control) {
    let settings =
        sandbox::Config { rate_limit: LIMIT, foreign_rate, latency: Latency::Fixed(LATENCY), ..Default::default() };
    let sandbox = Arc::new(Sandbox::start(settings).await.expect("a free port"));
    let (upstream, control) = stack_with(&config::Upstream::default(), Jitter::OFF, zendesk(&sandbox));
    (sandbox, upstream, control)
}

/// The stand-in without a network.
fn zendesk(sandbox: &Sandbox) -> impl Zendesk + use<> {
    let api = sandbox.api();
    service_fn(move |call: Call| {
        let request = http::Request::builder()
            .method(call.rest.method.clone())
            .uri(call.rest.target())
            .header(http::header::AUTHORIZATION, call.credential.header().expect("tests have one"))
            .body(axum::body::Body::empty())
            .expect("a request");
        let api = api.clone();
        async move {
            call.ledger.sent();
            let (parts, body) = api.oneshot(request).await.expect("it answers").into_parts();
            let body = body.collect().await.expect("a whole body").to_bytes();
            judge(&call, parts.status, &parts.headers, &body)
        }
    })
}

fn count() -> Call {
    let known = sandbox::Credentials::default();
    let pair = format!("{}/token:{}", known.email, known.api_token);
    let header = format!("Basic {}", base64::prelude::BASE64_STANDARD.encode(pair));
    let rest = Rest::get(path!["groups", "count"]);
    let credential = Credential::new(&header, true).expect("a header");
    Call { credential, ..call(rest, Idempotency::NoSideEffects, Priority::Interactive) }
}

fn page() -> Call {
    Call { priority: Priority::Background, ..count() }
}

/// Notes how many requests the stand-in has had at the end of each of its windows.
fn watch(sandbox: &Arc<Sandbox>) -> Arc<Mutex<Vec<u64>>> {
    let (sandbox, totals) = (Arc::clone(sandbox), Arc::new(Mutex::new(vec![0])));
    let seen = Arc::clone(&totals);
    let began = Instant::now();
    tokio::spawn(async move {
        for window in 1..=WINDOWS {
            sleep_until(began + Duration::from_mins(1) * window).await;
            seen.lock().expect("no panic").push(sandbox.stats().total);
        }
    });
    totals
}

/// Waits for the end of the last window, and looks at all of them.
async fn assert_well_spent(sandbox: &Sandbox, totals: &Mutex<Vec<u64>>, foreign: u64) {
    while totals.lock().expect("no panic").len() <= WINDOWS as usize {
        sleep(SECOND).await;
    }
    let totals = totals.lock().expect("no panic");
    let used: Vec<u64> = totals.windows(2).map(|pair| (pair[1] - pair[0] + foreign) * 100 / u64::from(LIMIT)).collect();
    let throttled = sandbox.stats().throttled;
    println!("percent used of each window: {used:?}; refused with 429: {throttled}");
    assert_eq!(throttled, 0, "requests refused with 429");
    assert_eq!(used.len(), WINDOWS as usize);
    assert!(used.iter().all(|percent| (90..=100).contains(percent)), "percent used of each window: {used:?}");
}

#[tokio::test(start_paused = true)]
#[ignore = "slow"]
async fn at_twice_the_budget_the_stand_in_refuses_nothing_and_its_budget_is_used() {
    let (sandbox, upstream, _) = account(0).await;
    let totals = watch(&sandbox);
    let outcome = offer(&[upstream], 2 * LIMIT, WINDOWS, count).await;
    assert_well_spent(&sandbox, &totals, 0).await;
    assert_eq!(outcome.others, 0, "calls that were neither answered nor refused");
    let slowest = outcome.refused.last().expect("half of them");
    assert!(*slowest <= millis(10), "a refusal took {slowest:?}");
}

#[tokio::test(start_paused = true)]
#[ignore = "slow"]
async fn what_a_foreign_integration_spends_at_the_stand_in_is_left_to_it() {
    const FOREIGN: u32 = 200;
    let (sandbox, upstream, _) = account(FOREIGN).await;
    let totals = watch(&sandbox);
    offer(&[upstream], 2 * LIMIT, WINDOWS, count).await;
    assert_well_spent(&sandbox, &totals, FOREIGN.into()).await;
}

#[tokio::test(start_paused = true)]
#[ignore = "slow"]
async fn interactive_reads_of_the_stand_in_keep_their_latency_while_a_bulk_stream_runs() {
    let (sandbox, upstream, control) = account(0).await;
    let totals = watch(&sandbox);
    stream_all(&upstream, 100, page);
    let outcome = offer(&[upstream], 240, WINDOWS, count).await;
    let (half, most) = (outcome.percentile(50), outcome.percentile(99));
    println!("half took {half:?}, 99 of 100 took {most:?}");
    assert_eq!(outcome.took.len(), 240 * WINDOWS as usize, "every one is answered");
    assert!(half <= LATENCY + millis(10) && most <= LATENCY + millis(300), "{half:?}, {most:?}");
    assert_well_spent(&sandbox, &totals, 0).await;
    assert!(control.snapshot().governor.background > 1_000, "the stream uses what is left");
}
