//! The limits that Zendesk states or documents: pauses, budgets of single endpoints, and updates of users.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tower::ServiceBuilder;

use super::account::Account;
use crate::config;
use crate::contract::Idempotency;
use crate::error::{Error, Refusal};
use crate::limits::{Limit, Limits, Window};
use crate::path;
use crate::upstream::call::{Answer, Call, Priority};
use crate::upstream::governor::{self, Governor};
use crate::upstream::rest::{Rest, UserKey, id};
use crate::upstream::tests::support::{
    Hits, SECOND, Zendesk, answer, ask, call, idempotent_write, millis, read, settle, shared, unsafe_write, within,
    zendesk,
};

mod told;

/// Only the governor, around a stand-in.
fn governed(settings: &config::Rate, inner: impl Zendesk) -> (impl Zendesk, Arc<Governor>) {
    let governor = Arc::new(Governor::new(settings));
    (ServiceBuilder::new().layer(governor::Layer::new(&governor)).service(inner), governor)
}

fn defaults() -> config::Rate {
    config::Rate::default()
}

fn window(limit: u32, remaining: u32, reset: u64) -> Window {
    Window { limit, remaining, reset: Some(Duration::from_secs(reset)) }
}

fn stated(account: Option<Window>, buckets: &[(&str, Window)]) -> Limits {
    Limits { account, buckets: buckets.iter().map(|(name, window)| ((*name).to_owned(), *window)).collect() }
}

fn throttled(retry_after: u64, limits: Limits) -> Error {
    let retry_after = Some(Duration::from_secs(retry_after));
    Error::Throttled(Box::new(Refusal { status: 429, retry_after, limits, ..Refusal::default() }))
}

fn groups() -> Call {
    call(Rest::get(path!["groups"]), Idempotency::NoSideEffects, Priority::Interactive)
}

fn update(user: i64) -> Call {
    let rest = Rest::put(path!["users", id("id", user).expect("an id")]).updates(UserKey::Id(user));
    Call { rest: Arc::new(rest), ..idempotent_write() }
}

#[tokio::test(start_paused = true)]
async fn all_callers_are_told_a_long_pause_and_it_is_shown_where_no_budget_is_known() {
    const DAY: u64 = 86_400;
    let hits = Hits::default();
    let zendesk = zendesk(&hits, |_, _| async { Err(throttled(DAY, Limits::default())) });
    let (service, governor) = governed(&config::Rate { assumed_per_minute: 0, ..defaults() }, zendesk);
    ask(&service, read()).await.expect_err("429");
    assert_eq!(governor.snapshot().closed_for, crate::limits::LONGEST_WAIT);
    sleep(SECOND * 250).await;
    let error = ask(&service, within(SECOND * 5, groups())).await.expect_err("refused");
    assert!(matches!(error, Error::BudgetSpent { retry_after, .. } if retry_after == SECOND * 86_150), "{error:?}");
    assert_eq!((hits.get(), governor.snapshot().closed_for), (1, SECOND * 50));
}

#[tokio::test(start_paused = true)]
async fn a_429_closes_the_gate_for_everybody_until_zendesk_opens_it() {
    let hits = Hits::default();
    let (service, governor) = governed(
        &defaults(),
        zendesk(&hits, |number, _| async move {
            if number == 1 { Err(throttled(20, Limits::default())) } else { Ok(answer()) }
        }),
    );
    ask(&service, read()).await.expect_err("429");
    let began = Instant::now();
    for _ in 0..100 {
        let error = ask(&service, within(SECOND * 5, groups())).await.expect_err("refused");
        assert!(
            matches!(error, Error::BudgetSpent { limit: Limit::Account, retry_after } if retry_after == SECOND * 20),
            "{error:?}"
        );
    }
    assert_eq!((hits.get(), began.elapsed()), (1, Duration::ZERO), "nothing is sent, and nobody waits in vain");
    // Other callers may want it later, but none has asked.
    ask(&service, shared(SECOND * 5)).await.expect_err("refused");
    ask(&service, read()).await.expect("a call with time enough waits");
    assert_eq!((hits.get(), began.elapsed()), (2, SECOND * 20));
    assert_eq!((governor.snapshot().throttled, governor.snapshot().refused), (1, 101));
}

#[tokio::test(start_paused = true)]
async fn a_429_of_an_endpoint_closes_only_that_endpoint() {
    let hits = Hits::default();
    let (service, _) = governed(
        &defaults(),
        zendesk(&hits, |number, _| async move {
            let account = Some(window(700, 600, 40));
            match number {
                1 => Err(throttled(20, stated(account, &[("users-index", window(100, 0, 20))]))),
                // Zendesk does not say which budget is spent; it cannot be the account's.
                3 => Err(throttled(20, stated(account, &[]))),
                _ => Ok(Answer { limits: stated(account, &[]), ..answer() }),
            }
        }),
    );
    ask(&service, read()).await.expect_err("429");
    ask(&service, within(SECOND, read())).await.expect_err("closed");
    ask(&service, within(SECOND, groups())).await.expect("other endpoints go on");
    ask(&service, within(SECOND, groups())).await.expect_err("429");
    ask(&service, within(SECOND, groups())).await.expect_err("closed");
    ask(&service, within(SECOND, unsafe_write())).await.expect("other endpoints go on");
    assert_eq!(hits.get(), 4);
    let began = Instant::now();
    ask(&service, read()).await.expect("it opens again");
    assert_eq!(began.elapsed(), SECOND * 20);
}

#[tokio::test(start_paused = true)]
async fn an_endpoints_own_budget_is_learnt_from_its_responses_and_kept() {
    let left = Arc::new(std::sync::Mutex::new(10_u32));
    let hits = Hits::default();
    let (service, governor) = governed(
        &defaults(),
        zendesk(&hits, {
            move |_, call: Call| {
                let mut buckets = Vec::new();
                if call.rest.path.contains("users") {
                    let mut left = left.lock().expect("no panic");
                    *left = left.checked_sub(1).expect("the bucket is overdrawn");
                    buckets.push(("users", window(10, *left, 40)));
                }
                let limits = stated(Some(window(700, 600, 40)), &buckets);
                async move { Ok(Answer { limits, ..answer() }) }
            }
        }),
    );
    let (mut answered, mut refused) = (0, 0);
    for _ in 0..50 {
        match ask(&service, within(SECOND, Call { priority: Priority::Write, ..read() })).await {
            Ok(_) => answered += 1,
            Err(Error::BudgetSpent { limit: Limit::Endpoint, .. }) => refused += 1,
            Err(error) => panic!("{error:?}"),
        }
    }
    assert_eq!((answered, refused, hits.get()), (10, 40, 10));
    ask(&service, within(SECOND, groups())).await.expect("other endpoints have budget");
    let buckets = governor.snapshot().buckets;
    assert_eq!((buckets.len(), buckets[0].0.as_str(), buckets[0].1.remaining), (1, "users", 0));
}

#[tokio::test(start_paused = true)]
async fn a_user_is_updated_five_times_a_minute_and_all_users_once_a_second() {
    let hits = Hits::default();
    let (service, _) = governed(&defaults(), zendesk(&hits, |_, _| async { Ok(answer()) }));
    let began = Instant::now();
    for _ in 0..5 {
        ask(&service, update(7)).await.expect("one of five");
    }
    assert_eq!(began.elapsed(), millis(4 * 1_100), "they are 1.1 s apart");
    let error = ask(&service, update(7)).await.expect_err("the sixth must wait for the first to be a minute old");
    assert!(
        matches!(error, Error::BudgetSpent { limit: Limit::UserUpdates, retry_after } if retry_after == millis(61_000 - 4_400)),
        "{error:?}"
    );
    let error = ask(&service, within(millis(500), update(8))).await.expect_err("1.1 s after the fifth");
    assert!(matches!(error, Error::BudgetSpent { limit: Limit::Updates, .. }), "{error:?}");
    ask(&service, within(SECOND * 2, update(8))).await.expect("another user");
    ask(&service, within(SECOND, read())).await.expect("a read");
    assert_eq!(hits.get(), 7, "a refused update is not sent");
    ask(&service, within(Duration::from_mins(2), update(7))).await.expect("a minute after the first");
    assert_eq!(began.elapsed(), SECOND * 61);
}

#[tokio::test(start_paused = true)]
async fn an_update_that_was_not_sent_does_not_count_and_a_foreign_one_does() {
    let (service, _) = governed(
        &defaults(),
        tower::service_fn(|_: Call| async { Err(Error::BreakerOpen { class: "user_writes", retry_after: SECOND }) }),
    );
    for _ in 0..20 {
        let error = ask(&service, update(7)).await.expect_err("not sent");
        assert!(matches!(error, Error::BreakerOpen { .. }), "{error:?}");
    }
    let hits = Hits::default();
    let (service, _) = governed(
        &defaults(),
        zendesk(&hits, |_, _| async {
            let limits = stated(None, &[("create-update-user", window(5, 0, 30))]);
            Ok(Answer { limits, ..answer() })
        }),
    );
    ask(&service, update(7)).await.expect("the fifth, as the headers say");
    let error = ask(&service, within(SECOND * 10, update(7))).await.expect_err("the sixth");
    assert!(matches!(error, Error::BudgetSpent { limit: Limit::UserUpdates, .. }), "{error:?}");
    ask(&service, within(SECOND * 10, update(8))).await.expect("it is the user's budget, not the endpoint's");
}

#[tokio::test(start_paused = true)]
async fn users_are_forgotten_once_their_minute_is_over() {
    let (service, governor) = governed(&defaults(), zendesk(&Hits::default(), |_, _| async { Ok(answer()) }));
    for user in 1..2_000 {
        ask(&service, update(user)).await.expect("updated");
    }
    assert!(governor.snapshot().updated_users <= 64, "{} users", governor.snapshot().updated_users);

    let no_spacing = config::Rate { update_spacing: Duration::ZERO, ..defaults() };
    let (service, governor) = governed(&no_spacing, zendesk(&Hits::default(), |_, _| async { Ok(answer()) }));
    for user in 1..5_000 {
        ask(&service, update(user)).await.expect("updated");
    }
    assert!(governor.snapshot().updated_users <= 4_096);
}

#[tokio::test(start_paused = true)]
async fn without_headers_nothing_is_paced_unless_a_budget_is_assumed() {
    for (assumed, expected) in [(0, 1_000), (60, 60)] {
        let settings = config::Rate { assumed_per_minute: assumed, headroom_percent: 0, ..defaults() };
        let hits = Hits::default();
        let (service, _) = governed(&settings, zendesk(&hits, |_, _| async { Ok(answer()) }));
        for _ in 0..1_000 {
            drop(ask(&service, within(millis(10), Call { priority: Priority::Write, ..groups() })).await);
        }
        assert!((expected..=expected + 1).contains(&hits.get()), "{} with {assumed} assumed", hits.get());
        sleep(Duration::from_mins(1)).await;
        ask(&service, read()).await.expect("the next minute has its own budget");
    }
}

#[tokio::test(start_paused = true)]
async fn while_nothing_is_known_a_few_calls_find_out() {
    let hits = Hits::default();
    let account = Account::new(700);
    let (service, governor) = governed(&defaults(), account.api(&hits, SECOND));
    let mut calls = JoinSet::new();
    for _ in 0..100 {
        let service = service.clone();
        calls.spawn(async move { ask(&service, read()).await.is_ok() });
    }
    settle().await;
    assert_eq!((hits.get(), governor.snapshot().waiting), (10, 90));
    assert!(calls.join_all().await.into_iter().all(|answered| answered));
    assert_eq!(governor.snapshot().waiting, 0);
}

#[tokio::test(start_paused = true)]
async fn writes_go_before_reads_and_reads_before_streams() {
    let order = Arc::new(std::sync::Mutex::new(Vec::new()));
    let seen = Arc::clone(&order);
    let hits = Hits::default();
    let (service, _) = governed(
        &defaults(),
        zendesk(&hits, move |number, call: Call| {
            seen.lock().expect("no panic").push(call.priority);
            async move { if number == 1 { Err(throttled(5, Limits::default())) } else { Ok(answer()) } }
        }),
    );
    ask(&service, groups()).await.expect_err("429");
    let mut calls = JoinSet::new();
    for priority in [Priority::Background, Priority::Interactive, Priority::Write] {
        for _ in 0..3 {
            let service = service.clone();
            calls.spawn(async move { ask(&service, Call { priority, ..groups() }).await.is_ok() });
        }
        settle().await;
    }
    assert!(calls.join_all().await.into_iter().all(|answered| answered));
    let order = order.lock().expect("no panic");
    assert!(order[1..].is_sorted(), "{order:?}");
}

#[tokio::test(start_paused = true)]
async fn calls_that_go_away_leave_no_budget_reserved_and_nobody_waiting() {
    let hits = Hits::default();
    let account = Account::new(100);
    let (service, governor) = governed(&defaults(), account.api(&hits, SECOND * 10));
    let mut calls = JoinSet::new();
    for _ in 0..200 {
        let service = service.clone();
        calls.spawn(async move { ask(&service, read()).await });
    }
    sleep(millis(50)).await;
    assert!(governor.snapshot().waiting > 100);
    calls.shutdown().await;
    assert_eq!(governor.snapshot().waiting, 0);
    ask(&service, read()).await.expect("answered");
    assert_eq!(governor.snapshot().account.expect("stated").in_flight, 0);
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_begins_with_the_window_is_not_held_up() {
    let hits = Hits::default();
    let fresh = stated(Some(window(700, 699, 60)), &[]);
    let (service, _) = governed(
        &defaults(),
        zendesk(&hits, move |_, _| {
            let limits = fresh.clone();
            async move { Ok(Answer { limits, ..answer() }) }
        }),
    );
    ask(&service, read()).await.expect("the first of the window");
    let page = || Call { priority: Priority::Background, ..within(millis(10), groups()) };
    for _ in 0..5 {
        ask(&service, page()).await.expect("nobody has spent anything yet");
    }
}

/// Answers the first requests with these windows, and those that follow with the last one.
fn telling(windows: Vec<Window>) -> impl Zendesk {
    let hits = Hits::default();
    zendesk(&hits, move |number, _| {
        let at = windows.len().min(usize::try_from(number).expect("few")) - 1;
        let limits = stated(Some(windows[at]), &[]);
        async move { Ok(Answer { limits, ..answer() }) }
    })
}

#[tokio::test(start_paused = true)]
async fn counts_of_the_old_window_that_come_with_the_new_one_are_not_believed() {
    let page = || Call { priority: Priority::Background, ..within(millis(10), groups()) };
    let write = || Call { priority: Priority::Write, ..read() };
    for old in [508_u32, 101, 20, 3] {
        for late in 1..=3 {
            let counts = (1..=late).map(|less| window(700, old.saturating_sub(less), 60));
            let told = [window(700, old, 1)].into_iter().chain(counts).chain([window(700, 699, 60)]);
            let (service, _) = governed(&defaults(), telling(told.collect()));
            ask(&service, write()).await.expect("the last of a window");
            sleep(millis(900)).await;
            ask(&service, write()).await.expect("at the turn of the minute");
            for _ in 0..late + 5 {
                let answered = ask(&service, page()).await;
                answered.unwrap_or_else(|error| panic!("{late} counts after {old} of the old window: {error:?}"));
            }
        }
    }
    // Answers that were on their way at the turn, and one that was overtaken by the first of the new window.
    let (service, _) = governed(
        &defaults(),
        telling(vec![window(700, 20, 1), window(700, 699, 60), window(700, 19, 59), window(700, 698, 59)]),
    );
    for pause in [0, 900] {
        sleep(millis(pause)).await;
        ask(&service, write()).await.expect("a write");
    }
    for _ in 0..3 {
        ask(&service, page()).await.expect("699 are left");
    }
}

#[tokio::test(start_paused = true)]
async fn a_count_that_still_holds_a_second_later_is_believed() {
    let (service, _) =
        governed(&defaults(), telling(vec![window(700, 508, 1), window(700, 20, 60), window(700, 19, 60)]));
    for pause in [0, 900, 1_100] {
        sleep(millis(pause)).await;
        ask(&service, Call { priority: Priority::Write, ..read() }).await.expect("a write");
    }
    let page = Call { priority: Priority::Background, ..within(SECOND, groups()) };
    let error = ask(&service, page).await.expect_err("hardly anything is left: others have spent it");
    assert!(matches!(error, Error::BudgetSpent { .. }), "{error:?}");
}
