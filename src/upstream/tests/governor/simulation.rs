//! Simulated minutes against a Zendesk with a rate limit: how much of the budget is used, and whether a request is refused.

use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

use super::account::Account;
use crate::config;
use crate::error::Error;
use crate::share::Shares;
use crate::upstream::call::{Call, Priority};
use crate::upstream::tests::support::{Hits, SECOND, ask, millis, read, unsafe_write, within};
use crate::upstream::{Control, Jitter, Upstream, stack_with};

const LATENCY: Duration = Duration::from_millis(120);

fn replica(account: &Account) -> (Upstream, Control) {
    stack_with(&config::Upstream::default(), Jitter::OFF, account.api(&Hits::default(), LATENCY))
}

fn background() -> Call {
    Call { priority: Priority::Background, ..read() }
}

/// What became of the calls that were offered.
#[derive(Default)]
pub struct Outcome {
    /// How long the good answers took, shortest first.
    pub took: Vec<Duration>,
    /// How long the refusals took.
    pub refused: Vec<Duration>,
    pub others: u32,
}

impl Outcome {
    /// Returns the time within which this many percent were answered.
    pub fn percentile(&self, percent: usize) -> Duration {
        self.took[(self.took.len() - 1) * percent / 100]
    }
}

/// Offers calls at an even rate, whatever becomes of them.
pub async fn offer(replicas: &[Upstream], per_minute: u32, minutes: u32, call: impl Fn() -> Call) -> Outcome {
    let began = Instant::now();
    let mut calls = JoinSet::new();
    for number in 0..per_minute * minutes {
        sleep_until(began + Duration::from_mins(1) * number / per_minute).await;
        let upstream = replicas[number as usize % replicas.len()].clone();
        let call = call();
        calls.spawn(async move {
            let began = Instant::now();
            let result = ask(&upstream, call).await;
            (result, began.elapsed())
        });
    }
    let mut outcome = Outcome::default();
    for (result, took) in calls.join_all().await {
        match result {
            Ok(_) => outcome.took.push(took),
            Err(Error::BudgetSpent { .. }) => outcome.refused.push(took),
            Err(_) => outcome.others += 1,
        }
    }
    outcome.took.sort();
    outcome.refused.sort();
    outcome
}

/// Keeps asking for the next page, as `streams` streams do.
pub fn stream_all(upstream: &Upstream, streams: u32, page: fn() -> Call) {
    for _ in 0..streams {
        let upstream = upstream.clone();
        tokio::spawn(async move {
            loop {
                let page = ask(&upstream, within(Duration::from_mins(15), page())).await;
                if page.is_err() {
                    sleep(SECOND).await;
                }
            }
        });
    }
}

#[track_caller]
fn assert_well_spent(account: &Account) {
    assert_eq!(account.throttled(), 0, "requests refused with 429, of {} accepted", account.accepted());
    let used = account.used();
    println!("percent used of each window: {used:?}; requests refused with 429: {}", account.throttled());
    assert!(used.len() >= 3 && used.iter().all(|percent| *percent >= 90), "percent used of each window: {used:?}");
}

#[tokio::test(start_paused = true)]
#[ignore = "slow"]
async fn at_twice_the_budget_no_request_is_refused_by_zendesk_and_the_budget_is_used() {
    let account = Account::new(700);
    let (upstream, control) = replica(&account);
    let outcome = offer(&[upstream], 1_400, 4, read).await;
    assert_well_spent(&account);
    assert_eq!(outcome.others, 0, "calls that were neither answered nor refused");
    let at_once = outcome.refused.iter().filter(|took| **took <= millis(10)).count();
    assert_eq!(at_once, outcome.refused.len(), "refusals that took longer than 10 ms");
    assert!(control.snapshot().governor.refused > 2_000);
}

#[tokio::test(start_paused = true)]
#[ignore = "slow"]
async fn what_another_integration_spends_is_seen_in_the_headers_and_left_to_it() {
    for (each, every) in [(1, millis(300)), (50, SECOND * 15)] {
        let account = Account::new(700);
        account.foreign(each, every);
        let (upstream, _) = replica(&account);
        offer(&[upstream], 1_400, 4, read).await;
        assert_well_spent(&account);
        let (refused, foreign) = account.foreign_refused();
        assert!(refused * 20 <= foreign && foreign >= 800, "{refused} of its {foreign} requests were refused");
    }
}

#[tokio::test(start_paused = true)]
#[ignore = "slow"]
async fn eight_replicas_share_the_budget_by_the_headers_alone() {
    let account = Account::new(700);
    let replicas: Vec<_> = (0..8).map(|_| replica(&account).0).collect();
    offer(&replicas, 1_400, 4, read).await;
    assert_well_spent(&account);
}

#[tokio::test(start_paused = true)]
#[ignore = "slow"]
async fn small_and_large_plans_near_and_far_away_are_spent_as_well() {
    for (limit, latencies) in [
        (200, millis(1)..=millis(2)),
        (700, millis(1)..=millis(2)),
        (700, millis(20)..=millis(1_500)),
        (2_500, millis(20)..=millis(600)),
    ] {
        let account = Account::new(limit);
        let api = account.api_at(&Hits::default(), latencies);
        let (upstream, _) = stack_with(&config::Upstream::default(), Jitter::OFF, api);
        offer(&[upstream], limit * 2, 4, read).await;
        assert_well_spent(&account);
    }
}

#[tokio::test(start_paused = true)]
#[ignore = "slow"]
async fn headers_that_do_not_say_when_the_window_ends_are_enough() {
    let account = Account::new(700).without_reset();
    let (upstream, _) = replica(&account);
    offer(&[upstream], 1_400, 5, read).await;
    assert_eq!(account.throttled(), 0);
    let used = account.used();
    // The first window's end is a guess, up to a minute too late; the governor then sees the new window in what is left.
    assert!(used[1..].iter().all(|percent| *percent >= 90), "percent used of each window: {used:?}");
}

#[tokio::test(start_paused = true)]
#[ignore = "slow"]
async fn interactive_reads_and_writes_do_not_wait_for_the_streams_that_use_up_the_rest() {
    let account = Account::new(700);
    let (upstream, control) = replica(&account);
    stream_all(&upstream, 100, background);
    for call in [read, unsafe_write] {
        let outcome = offer(std::slice::from_ref(&upstream), 240, 2, call).await;
        println!("half took {:?}, 99 of 100 took {:?}", outcome.percentile(50), outcome.percentile(99));
        assert_eq!(outcome.took.len(), 480);
        assert!(outcome.percentile(99) <= LATENCY + millis(300));
        assert!(outcome.percentile(50) <= LATENCY + millis(10));
    }
    assert_well_spent(&account);
    assert!(control.snapshot().governor.background > 1_000, "the streams use what is left");
}

#[tokio::test(start_paused = true)]
#[ignore = "slow"]
async fn streams_get_less_than_a_third_while_interactive_reads_have_to_wait() {
    let account = Account::new(700);
    let (upstream, control) = replica(&account);
    stream_all(&upstream, 100, background);
    offer(&[upstream], 1_400, 4, read).await;
    let governor = control.snapshot().governor;
    assert!(governor.background * 10 <= (governor.background + governor.interactive) * 3, "{governor:?}");
    assert_well_spent(&account);
}

#[tokio::test(start_paused = true)]
#[ignore = "slow"]
async fn streams_alone_use_the_whole_budget() {
    let account = Account::new(700);
    let (upstream, _) = replica(&account);
    stream_all(&upstream, 100, background);
    sleep_until(Instant::now() + Duration::from_mins(4)).await;
    assert_well_spent(&account);
}

#[tokio::test(start_paused = true)]
async fn a_burst_after_a_quiet_time_is_not_held_up() {
    let account = Account::new(700);
    let (upstream, _) = replica(&account);
    ask(&upstream, read()).await.expect("answered");
    sleep(Duration::from_mins(10)).await;
    let began = Instant::now();
    let mut calls = JoinSet::new();
    for _ in 0..200 {
        let upstream = upstream.clone();
        calls.spawn(async move { ask(&upstream, read()).await.is_ok() });
    }
    assert!(calls.join_all().await.into_iter().all(|answered| answered));
    assert!(began.elapsed() < SECOND, "200 calls took {:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
#[ignore = "slow"]
async fn one_callers_writes_leave_another_caller_what_it_needs() {
    let shares = Shares::new(&config::Callers::unlimited(), usize::MAX);
    let (greedy, modest) = (shares.of("greedy"), shares.of("modest"));
    let account = Account::new(600);
    let (upstream, _) = replica(&account);
    let writes = offer(std::slice::from_ref(&upstream), 1_200, 4, || Call { share: greedy.clone(), ..unsafe_write() });
    let reads =
        offer(std::slice::from_ref(&upstream), 80, 4, || Call { share: modest.clone(), ..within(SECOND * 5, read()) });
    let own = offer(std::slice::from_ref(&upstream), 40, 4, || Call {
        share: modest.clone(),
        ..within(SECOND * 5, unsafe_write())
    });
    let (writes, reads, own) = tokio::join!(writes, reads, own);
    assert_eq!((reads.refused.len(), reads.others), (0, 0), "of {} reads", 80 * 4);
    assert_eq!((own.refused.len(), own.others), (0, 0), "of {} writes", 40 * 4);
    assert!(reads.percentile(99) < SECOND * 2, "{:?}", reads.percentile(99));
    assert_well_spent(&account);
    assert!(writes.took.len() > 1_600, "the rest is the greedy one's: {}", writes.took.len());
}
