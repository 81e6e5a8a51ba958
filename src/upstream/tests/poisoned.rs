//! One caller whose requests fail: circuits tell that from a failure of Zendesk.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::time::sleep;

use super::breaker::{breaking, user_reads};
use super::support::{Hits, SECOND, Zendesk, answer, ask, millis, read, settle, unavailable, zendesk};
use crate::config;
use crate::error::Error;
use crate::share::{Share, Shares};
use crate::upstream::breaker::State;
use crate::upstream::call::Call;

/// Answers everybody but the `poisoned` one, whose requests are answered 503, while it is not `broken`.
fn poisoned(broken: &Arc<AtomicBool>, poisoned: &Share) -> impl Zendesk + use<> {
    let (broken, poisoned) = (Arc::clone(broken), poisoned.id());
    zendesk(&Hits::default(), move |_, call: Call| {
        let fails = broken.load(Ordering::Relaxed) || call.share.id() == poisoned;
        async move { if fails { Err(unavailable()) } else { Ok(answer()) } }
    })
}

fn two() -> (Share, Share) {
    let shares = Shares::new(&config::Callers::unlimited(), 0);
    (shares.of("greedy"), shares.of("modest"))
}

/// Makes so many reads of a caller, and returns how many of them the circuit refused.
async fn refused(service: &impl Zendesk, share: &Share, calls: usize) -> usize {
    let mut refused = 0;
    for _ in 0..calls {
        let outcome = ask(service, Call { share: share.clone(), ..read() }).await;
        refused += usize::from(matches!(outcome, Err(Error::BreakerOpen { .. })));
    }
    refused
}

#[tokio::test(start_paused = true)]
async fn failures_of_one_caller_open_no_circuit_while_another_is_answered() {
    let (greedy, modest) = two();
    let is_broken = Arc::new(AtomicBool::new(false));
    let (service, breakers) = breaking(poisoned(&is_broken, &greedy));
    assert_eq!(refused(&service, &modest, 1).await, 0);
    for _ in 0..10 {
        sleep(SECOND * 3).await;
        assert_eq!((refused(&service, &greedy, 100).await, refused(&service, &modest, 1).await), (0, 0));
    }
    assert_eq!(user_reads(&breakers).opened, 0);
    // Where both fail, it is Zendesk.
    is_broken.store(true, Ordering::Relaxed);
    for call in 0..7 {
        assert_eq!(user_reads(&breakers).opened, 0, "{call}");
        assert_eq!((refused(&service, &greedy, 10).await, refused(&service, &modest, 1).await), (0, 0), "{call}");
    }
    assert_eq!(user_reads(&breakers).opened, 1);
}

#[tokio::test(start_paused = true)]
async fn failures_of_others_make_nothing_of_the_few_of_a_caller_who_is_answered() {
    let shares = Shares::new(&config::Callers::unlimited(), 0);
    let [greedy, third, modest] = ["greedy", "third", "modest"].map(|name| shares.of(name));
    let (modest_id, own) = (modest.id(), Hits::default());
    let count = own.clone();
    let (service, breakers) = breaking(zendesk(&Hits::default(), move |_, call: Call| {
        // Of eight records of its own one is broken, and is asked for three times.
        let fails = call.share.id() != modest_id || (count.add() - 1) % 10 < 3;
        async move { if fails { Err(unavailable()) } else { Ok(answer()) } }
    }));
    for call in 0..100 {
        refused(&service, &greedy, 5).await;
        refused(&service, &third, 5).await;
        assert_eq!(refused(&service, &modest, 1).await, 0, "{call}");
        sleep(millis(125)).await;
    }
    assert_eq!(own.get(), 100);
    assert!(user_reads(&breakers).opened <= 1, "{:?}", user_reads(&breakers));
}

#[tokio::test(start_paused = true)]
async fn whoever_comes_new_is_let_through_until_seven_callers_fail() {
    let shares = Shares::new(&config::Callers::unlimited(), 0);
    let named = |number: usize| shares.of(&number.to_string());
    let is_broken = Arc::new(AtomicBool::new(true));
    let (service, breakers) = breaking(poisoned(&is_broken, &named(0)));
    for caller in 0..2 {
        assert_eq!(refused(&service, &named(caller), 40).await, if caller == 0 { 33 } else { 36 });
    }
    is_broken.store(false, Ordering::Relaxed);
    assert_eq!((refused(&service, &named(2), 1).await, user_reads(&breakers).state), (0, State::Closed));

    is_broken.store(true, Ordering::Relaxed);
    sleep(SECOND * 11).await;
    let mut kept_out = 0;
    for caller in 0..20 {
        kept_out += refused(&service, &named(caller), 1).await;
    }
    assert_eq!(kept_out, 13);
    assert_eq!(user_reads(&breakers).opened, 2);
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_was_answered_long_ago_says_nothing_of_the_failures_of_others() {
    let (greedy, modest) = two();
    let (service, breakers) = breaking(poisoned(&Arc::default(), &greedy));
    assert_eq!(refused(&service, &modest, 1).await, 0);
    sleep(SECOND * 11).await;
    assert_eq!(refused(&service, &greedy, 8).await, 1);
    assert_eq!(user_reads(&breakers).opened, 1);
}

#[tokio::test(start_paused = true)]
async fn a_circuit_that_one_caller_alone_has_opened_refuses_that_one_until_another_fails_again_and_again() {
    let (greedy, modest) = two();
    let is_broken = Arc::new(AtomicBool::new(false));
    let (service, breakers) = breaking(poisoned(&is_broken, &greedy));
    assert_eq!(refused(&service, &greedy, 8).await, 1);
    assert_eq!(refused(&service, &modest, 1).await, 0);
    assert_eq!(user_reads(&breakers).state, State::Closed);

    // However often its probes have failed.
    sleep(SECOND * 11).await;
    assert_eq!(refused(&service, &greedy, 8).await, 1);
    sleep(millis(1_100)).await;
    assert_eq!(refused(&service, &greedy, 2).await, 1);
    assert_eq!((user_reads(&breakers).opened, user_reads(&breakers).probes), (3, 1));
    assert_eq!((refused(&service, &modest, 1).await, user_reads(&breakers).state), (0, State::Closed));

    sleep(SECOND * 11).await;
    assert_eq!(refused(&service, &greedy, 8).await, 1);
    is_broken.store(true, Ordering::Relaxed);
    assert_eq!((refused(&service, &modest, 6).await, refused(&service, &greedy, 1).await), (2, 1));
    assert_eq!(user_reads(&breakers).opened, 4);
}

#[tokio::test(start_paused = true)]
async fn whose_probe_failed_does_not_probe_again_before_others_who_wait() {
    let (greedy, modest) = two();
    let is_broken = Arc::new(AtomicBool::new(true));
    let (service, breakers) = breaking(poisoned(&is_broken, &greedy));
    assert_eq!((refused(&service, &greedy, 8).await, refused(&service, &modest, 5).await), (1, 1));
    is_broken.store(false, Ordering::Relaxed);
    sleep(millis(1_100)).await;
    assert_eq!((refused(&service, &greedy, 5).await, refused(&service, &modest, 1).await), (5, 0));
    assert_eq!(user_reads(&breakers).state, State::Closed);

    // Where nobody else comes, it may probe: later, if others were refused.
    is_broken.store(true, Ordering::Relaxed);
    let (service, breakers) = breaking(poisoned(&is_broken, &greedy));
    assert_eq!((refused(&service, &greedy, 8).await, refused(&service, &modest, 5).await), (1, 1));
    sleep(millis(2_100)).await;
    assert_eq!(refused(&service, &greedy, 2).await, 1);
    assert_eq!(user_reads(&breakers).probes, 1);
    sleep(millis(2_100)).await;
    assert_eq!(refused(&service, &greedy, 2).await, 1, "nobody else was refused since");
    assert_eq!(user_reads(&breakers).probes, 2);
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_hangs_for_its_caller_alone_holds_others_up_for_a_second() {
    let (greedy, modest) = two();
    let (is_broken, hung) = (Arc::new(AtomicBool::new(true)), greedy.id());
    let seen = Arc::clone(&is_broken);
    let (service, breakers) = breaking(zendesk(&Hits::default(), move |_, call: Call| {
        let (fails, hangs) = (seen.load(Ordering::Relaxed), call.share.id() == hung);
        async move {
            match (fails, hangs) {
                (true, _) => Err(unavailable()),
                (false, true) => pending().await,
                (false, false) => Ok(answer()),
            }
        }
    }));
    assert_eq!((refused(&service, &modest, 8).await, refused(&service, &greedy, 5).await), (1, 1));
    is_broken.store(false, Ordering::Relaxed);
    sleep(millis(1_100)).await;
    let probe = Call { share: greedy, ..read() };
    let (probing, other) = (service.clone(), service.clone());
    let probe = tokio::spawn(async move { ask(&probing, probe).await });
    settle().await;
    assert_eq!(refused(&other, &modest, 1).await, 1);
    sleep(SECOND).await;
    assert_eq!(refused(&other, &modest, 1).await, 0);
    assert_eq!((user_reads(&breakers).state, user_reads(&breakers).probes), (State::Closed, 2));
    probe.abort();
}
