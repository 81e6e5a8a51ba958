//! The slots for jobs: callers take turns for them, and a call that gets none learns why.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;
use tonic::{Code, Request};
use tonic_types::StatusExt as _;
use zendesk_gateway::config::Config;
use zendesk_gateway::gateway::caller::Caller;
use zendesk_gateway::proto::{BulkCreateUsersRequest, BulkResult, UserInput};
use zendesk_gateway::rpc::Rpc;
use zendesk_gateway::sandbox::{self, Latency, Sandbox};

use crate::support::seam::{Seam, by, callers, read, stand_in};
use crate::support::{account, api_token, refused};

const PER_ITEM: Duration = Duration::from_millis(20);
/// How long a job of 100 takes.
const JOB: Duration = Duration::from_secs(2);
/// More than any call here takes.
const LONG: Duration = Duration::from_mins(10);

/// An account whose jobs take [`JOB`], and a gateway before it, on one clock.
async fn start() -> (Arc<Sandbox>, Seam, Rpc) {
    let jobs = sandbox::Jobs { queued_for: Duration::ZERO, per_item: PER_ITEM, ..sandbox::Jobs::default() };
    let latency = Latency::Fixed(Duration::from_millis(50));
    let sandbox = Arc::new(Sandbox::start(sandbox::Config { jobs, latency, ..account() }).await.expect("a free port"));
    let t = Seam::new(&Config::default(), stand_in(&sandbox));
    let rpc = t.with(api_token(&sandbox));
    (sandbox, t, rpc)
}

fn creation(caller: Caller, count: usize, wait: bool, time: Duration) -> Request<BulkCreateUsersRequest> {
    let user = |n: usize| UserInput { name: Some(format!("S {n}")), ..UserInput::default() };
    by(caller, time, BulkCreateUsersRequest { users: (0..count).map(user).collect(), wait, ..Default::default() })
}

/// Creates so many users, and returns when that was done.
async fn created(rpc: Rpc, caller: Caller, count: usize) -> Instant {
    let reply = rpc.bulk_create_users(creation(caller, count, true, LONG)).await.expect("jobs").into_inner();
    let outcomes = read(&reply).outcomes;
    assert_eq!(outcomes.len(), count);
    assert!(outcomes.iter().all(|outcome| outcome.result() == BulkResult::Created), "all of {count}");
    Instant::now()
}

/// Refusals for one job too many: of the submissions those that started none.
fn too_many(sandbox: &Sandbox, started: u64) -> u64 {
    sandbox.hits("/users/create_many") - started
}

#[tokio::test(start_paused = true)]
#[ignore = "slow"]
async fn a_small_bulk_call_does_not_wait_for_eight_large_ones() {
    let caller = callers();
    let (_, _, rpc) = start().await;
    let began = Instant::now();
    let alone = created(rpc, caller("small"), 10).await - began;

    let (_, _, rpc) = start().await;
    let began = Instant::now();
    let mut parts = JoinSet::new();
    for count in [10_000, 10_000, 4_000] {
        parts.spawn(created(rpc.clone(), caller("one"), count));
    }
    let one = parts.join_all().await.into_iter().max().expect("three") - began;

    let (sandbox, t, rpc) = start().await;
    let began = Instant::now();
    let mut large = JoinSet::new();
    for number in 0..8 {
        large.spawn(created(rpc.clone(), caller(&number.to_string()), 3_000));
    }
    tokio::time::sleep(JOB * 3 / 2).await;
    assert_eq!((t.jobs().active, t.jobs().waiting), (28, 8));
    let came = Instant::now();
    let small = created(rpc, caller("small"), 10).await - came;
    let ends = large.join_all().await;
    let (first, last) = (*ends.iter().min().expect("eight") - began, *ends.iter().max().expect("eight") - began);
    println!("small: {small:?}, alone {alone:?}; large: {first:?} to {last:?}, as one call {one:?}");
    assert!(small <= alone + JOB, "{small:?}, alone {alone:?}");
    assert!(last <= one.mul_f64(1.15), "{last:?}, as one call {one:?}");
    assert!(last <= first + JOB * 3 / 2, "they share alike: {first:?} to {last:?}");
    assert_eq!(too_many(&sandbox, 241), 0, "no job was refused for being one too many");
}

#[tokio::test(start_paused = true)]
async fn a_small_bulk_call_does_not_wait_for_a_large_one_of_the_same_caller() {
    let caller = callers();
    let (_, _, rpc) = start().await;
    let large = tokio::spawn(created(rpc.clone(), caller("one"), 10_000));
    tokio::time::sleep(JOB * 3 / 2).await;
    let came = Instant::now();
    let small = created(rpc, caller("one"), 10).await - came;
    assert!(small <= JOB * 3 / 2, "{small:?}");
    large.await.expect("it is done, too");
}

#[tokio::test(start_paused = true)]
async fn the_call_that_gets_no_slot_learns_that_it_is_one_too_many_and_who_holds_them() {
    let caller = callers();
    let jobs = sandbox::Jobs { queued_for: LONG, ..sandbox::Jobs::default() };
    let sandbox = Arc::new(Sandbox::start(sandbox::Config { jobs, ..account() }).await.expect("a free port"));
    let t = Seam::new(&Config::default(), stand_in(&sandbox));
    let rpc = t.with(api_token(&sandbox));
    let time = Duration::from_secs(5);
    for (name, count) in [("one", 2_000), ("two", 800), ("four", 1), ("five", 1)] {
        rpc.bulk_create_users(creation(caller(name), count, false, time)).await.expect("accepted");
    }
    for (name, own) in [("one", 20), ("two", 8), ("three", 0)] {
        let status = rpc.bulk_create_users(creation(caller(name), 1, true, time)).await.map(drop).expect_err("refused");
        let info = status.get_error_details().error_info().expect("every error has one").clone();
        assert_eq!(info.metadata["slots_own"], own.to_string(), "{status:?}");
        assert_eq!(info.metadata["slots_others"], (30 - own).to_string(), "{status:?}");
        let refused = refused::<()>(Err(status));
        assert_eq!((refused.code, refused.reason.as_str()), (Code::ResourceExhausted, "JOB_LIMIT"));
        assert_eq!(refused.limit.as_deref(), Some("jobs"));
        assert!(refused.retry_after.is_some_and(|after| !after.is_zero()));
    }
    assert_eq!(too_many(&sandbox, 30), 0);
    tokio::time::sleep(LONG).await;
    tokio::time::sleep(Duration::from_secs(15)).await;
    assert_eq!((t.jobs().active, t.jobs().waiting, t.jobs().completed), (0, 0, 30));
}

#[tokio::test(start_paused = true)]
async fn jobs_of_other_integrations_keep_all_calls_from_trying_too_often() {
    let caller = callers();
    let jobs = sandbox::Jobs { queued_for: LONG, live_limit: 2, ..sandbox::Jobs::default() };
    let sandbox = Arc::new(Sandbox::start(sandbox::Config { jobs, ..account() }).await.expect("a free port"));
    // Another gateway holds what there is.
    let other = Seam::new(&Config::default(), stand_in(&sandbox));
    let theirs = creation(caller("other"), 200, false, Duration::from_secs(20));
    other.with(api_token(&sandbox)).bulk_create_users(theirs).await.expect("accepted");
    let t = Seam::new(&Config::default(), stand_in(&sandbox));
    let rpc = t.with(api_token(&sandbox));
    let mut calls = JoinSet::new();
    for number in 0..10 {
        let (rpc, request) = (rpc.clone(), creation(caller(&number.to_string()), 1, true, Duration::from_secs(20)));
        calls.spawn(async move { rpc.bulk_create_users(request).await.map(drop) });
    }
    for outcome in calls.join_all().await {
        let refused = refused(outcome);
        assert_eq!((refused.code, refused.reason.as_str()), (Code::ResourceExhausted, "JOB_LIMIT"));
        assert!(refused.retry_after.is_some());
    }
    let tried = too_many(&sandbox, 2);
    // All at first, since nobody knew, and then one every two seconds.
    assert!((15..=20).contains(&tried), "{tried} tries in 20 seconds, of ten calls");
}
