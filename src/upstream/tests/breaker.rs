//! When a circuit opens, probes and closes.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::time::sleep;
use tower::ServiceBuilder;

use super::support::{
    Hits, SECOND, Zendesk, answer, ask, millis, read, refusal, settle, unavailable, unsafe_write, within, zendesk,
};
use crate::config;
use crate::contract::Class;
use crate::contract::Idempotency;
use crate::error::Error;
use crate::path;
use crate::upstream::Jitter;
use crate::upstream::attempt::{self, Attempts};
use crate::upstream::breaker::{self, Breakers, Snapshot, State};
use crate::upstream::call::Call;
use crate::upstream::rest::{Rest, id};

/// The breaker and the time limit that it judges by, around a stand-in.
pub(super) fn breaking(inner: impl Zendesk) -> (impl Zendesk, Arc<Breakers>) {
    let breakers = Arc::new(Breakers::new(&config::Breaker::default(), Jitter::OFF));
    let attempts = Arc::new(Attempts::new(&config::Attempt::default()));
    let service = ServiceBuilder::new()
        .layer(breaker::Layer::new(&breakers))
        .layer(attempt::Layer::new(&attempts))
        .service(inner);
    (service, breakers)
}

fn circuit(breakers: &Breakers, class: &'static str) -> Snapshot {
    breakers.snapshot()[Class(class).index()]
}

pub(super) fn user_reads(breakers: &Breakers) -> Snapshot {
    circuit(breakers, "user_reads")
}

/// A stand-in that answers 503 while it is told to.
fn switched(hits: &Hits, broken: &Arc<AtomicBool>) -> impl Zendesk + use<> {
    let broken = Arc::clone(broken);
    zendesk(hits, move |_, _| {
        let broken = broken.load(Ordering::Relaxed);
        async move { if broken { Err(unavailable()) } else { Ok(answer()) } }
    })
}

fn broken() -> Arc<AtomicBool> {
    Arc::new(AtomicBool::new(true))
}

#[tokio::test(start_paused = true)]
async fn seven_failures_in_a_row_open_the_circuit_of_their_class_only() {
    let hits = Hits::default();
    let (service, breakers) = breaking(switched(&hits, &broken()));
    for _ in 0..7 {
        assert_eq!(user_reads(&breakers).state, State::Closed);
        ask(&service, read()).await.expect_err("503");
    }
    let error = ask(&service, read()).await.expect_err("open");
    assert!(
        matches!(error, Error::BreakerOpen { class: "user_reads", retry_after } if retry_after == SECOND),
        "{error:?}"
    );
    assert_eq!(hits.get(), 7);
    ask(&service, unsafe_write()).await.expect_err("sent, and 503");
    assert_eq!(hits.get(), 8, "other classes go on");
}

#[tokio::test(start_paused = true)]
async fn fewer_than_half_successes_among_twenty_open_it_too_and_old_outcomes_do_not_count() {
    let hits = Hits::default();
    let (service, breakers) = breaking(zendesk(&hits, |number, _| async move {
        // Two failures, then a success: never seven failures in a row.
        if number % 3 == 0 { Ok(answer()) } else { Err(unavailable()) }
    }));
    for _ in 0..19 {
        drop(ask(&service, read()).await);
    }
    assert_eq!(user_reads(&breakers).state, State::Closed, "19 samples are too few");
    sleep(SECOND * 11).await;
    for _ in 0..19 {
        drop(ask(&service, read()).await);
    }
    assert_eq!(user_reads(&breakers).state, State::Closed, "the first 19 are more than 10 s old");
    drop(ask(&service, read()).await);
    assert_eq!(user_reads(&breakers).state, State::Closed, "a success does not open a circuit");
    drop(ask(&service, read()).await);
    assert_eq!(user_reads(&breakers).state, State::Open);
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_works_closes_the_circuit_and_one_that_fails_doubles_the_pause() {
    let hits = Hits::default();
    let down = broken();
    let (service, breakers) = breaking(switched(&hits, &down));
    for _ in 0..7 {
        ask(&service, read()).await.expect_err("503");
    }
    for pause in [1, 2, 4, 8, 16, 32, 60, 60] {
        sleep(millis(pause * 1_000 - 1)).await;
        let error = ask(&service, read()).await.expect_err("still open");
        assert!(matches!(error, Error::BreakerOpen { .. }), "{error:?} {pause} s after the last probe");
        sleep(millis(1)).await;
        let error = ask(&service, read()).await.expect_err("a probe");
        assert!(matches!(error, Error::Unavailable(_)), "{error:?} {pause} s after the last probe");
    }
    assert_eq!((hits.get(), user_reads(&breakers).probes), (7 + 8, 8));
    down.store(false, Ordering::Relaxed);
    sleep(SECOND * 60).await;
    ask(&service, read()).await.expect("the probe");
    ask(&service, read()).await.expect("closed");
    assert_eq!(user_reads(&breakers).state, State::Closed);
}

#[tokio::test(start_paused = true)]
async fn nothing_but_the_probes_leaks_through_an_open_circuit() {
    let hits = Hits::default();
    let down = broken();
    let (service, breakers) = breaking(switched(&hits, &down));
    for _ in 0..60_000 {
        drop(ask(&service, read()).await);
        sleep(millis(1)).await;
    }
    // 7 failures; probes after 1, 2, 4, 8, 16 s.
    assert_eq!((hits.get(), user_reads(&breakers).probes), (7 + 5, 5));
    assert_eq!(user_reads(&breakers).refused, 60_000 - 12);
}

#[tokio::test(start_paused = true)]
async fn one_call_probes_and_the_others_are_refused_meanwhile() {
    let hits = Hits::default();
    let (service, breakers) = breaking(zendesk(&hits, |number, _| async move {
        if number <= 7 {
            return Err(unavailable());
        }
        sleep(SECOND).await;
        Ok(answer())
    }));
    for _ in 0..7 {
        ask(&service, read()).await.expect_err("503");
    }
    sleep(SECOND).await;
    let probe = tokio::spawn({
        let service = service.clone();
        async move { ask(&service, read()).await }
    });
    settle().await;
    assert_eq!(user_reads(&breakers).state, State::HalfOpen);
    for _ in 0..100 {
        let error = ask(&service, read()).await.expect_err("refused");
        assert!(matches!(error, Error::BreakerOpen { .. }), "{error:?}");
    }
    probe.await.expect("no panic").expect("the probe works");
    assert_eq!((hits.get(), user_reads(&breakers).state), (8, State::Closed));
}

#[tokio::test(start_paused = true)]
async fn a_thousand_cancelled_probes_do_not_wedge_the_circuit() {
    let hits = Hits::default();
    let mute = Arc::new(AtomicBool::new(true));
    let (service, breakers) = breaking(zendesk(&hits, {
        let mute = Arc::clone(&mute);
        move |number, _| {
            let mute = mute.load(Ordering::Relaxed);
            async move {
                match number {
                    1..=7 => Err(unavailable()),
                    _ if mute => pending().await,
                    _ => Ok(answer()),
                }
            }
        }
    }));
    for _ in 0..7 {
        ask(&service, read()).await.expect_err("503");
    }
    sleep(SECOND).await;
    for _ in 0..1_000 {
        tokio::time::timeout(millis(5), ask(&service, read())).await.expect_err("cancelled");
    }
    assert_eq!((user_reads(&breakers).state, user_reads(&breakers).probes), (State::HalfOpen, 1_000));
    mute.store(false, Ordering::Relaxed);
    ask(&service, read()).await.expect("the slot is free");
    assert_eq!(user_reads(&breakers).state, State::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_slow_call_from_before_does_not_decide_what_the_probe_should() {
    let hits = Hits::default();
    let (service, breakers) = breaking(zendesk(&hits, |number, _| async move {
        match number {
            1 => {
                sleep(millis(1_500)).await;
                Err(unavailable())
            }
            2..=8 => Err(unavailable()),
            _ => {
                sleep(SECOND).await;
                Ok(answer())
            }
        }
    }));
    let start = |service: &_| {
        let service = Clone::clone(service);
        tokio::spawn(async move { ask(&service, read()).await })
    };
    let slow = start(&service);
    settle().await;
    for _ in 0..7 {
        ask(&service, read()).await.expect_err("503");
    }
    sleep(SECOND).await;
    let probe = start(&service);
    settle().await;
    slow.await.expect("no panic").expect_err("503, admitted while closed");
    assert_eq!(user_reads(&breakers).state, State::HalfOpen, "only the probe decides");
    probe.await.expect("no panic").expect("the probe");
    assert_eq!((user_reads(&breakers).state, user_reads(&breakers).opened), (State::Closed, 1));
}

#[tokio::test(start_paused = true)]
async fn only_a_read_probes_where_there_are_reads_and_a_write_where_there_are_none() {
    let delete = || {
        let rest = Rest::delete(path!["deleted_users", id("id", 7).expect("an id")]);
        Call { rest: Arc::new(rest), idempotency: Idempotency::Idempotent, ..unsafe_write() }
    };
    let hits = Hits::default();
    let (service, breakers) = breaking(switched(&hits, &broken()));
    for _ in 0..7 {
        ask(&service, delete()).await.expect_err("503");
        ask(&service, unsafe_write()).await.expect_err("503");
    }
    sleep(SECOND).await;
    let error = ask(&service, delete()).await.expect_err("a read might still come");
    assert!(matches!(error, Error::BreakerOpen { .. }), "{error:?}");
    let error = ask(&service, unsafe_write()).await.expect_err("the class has no reads");
    assert!(matches!(error, Error::Unavailable(_)), "{error:?}");
    sleep(SECOND).await;
    let error = ask(&service, delete()).await.expect_err("no read came");
    assert!(matches!(error, Error::Unavailable(_)), "{error:?}");
    assert_eq!((circuit(&breakers, "deleted_users").probes, circuit(&breakers, "user_writes").probes), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn storms_of_refusals_and_of_short_deadlines_open_nothing() {
    let said = |status| refusal(status, None);
    let refusals = [
        Error::RecordInvalid(said(422)),
        Error::NotFound(said(404)),
        Error::Forbidden(said(403)),
        Error::Credential { own: true, refusal: said(401) },
        Error::Conflict(said(409)),
        Error::Throttled(said(429)),
        Error::JobLimit(said(429)),
    ];
    for error in refusals {
        let (service, breakers) = breaking(zendesk(&Hits::default(), {
            let error = error.clone();
            move |_, _| std::future::ready(Err(error.clone()))
        }));
        for _ in 0..1_000 {
            ask(&service, read()).await.expect_err("refused");
        }
        assert_eq!(user_reads(&breakers).opened, 0, "{error:?}");
    }
    let hits = Hits::default();
    let (service, breakers) = breaking(zendesk(&hits, |_, _| pending()));
    for _ in 0..1_000 {
        ask(&service, within(millis(5), read())).await.expect_err("no time");
    }
    assert_eq!((hits.get(), user_reads(&breakers).opened), (1_000, 0));
    for _ in 0..7 {
        let error = ask(&service, read()).await.expect_err("no answer");
        assert!(matches!(error, Error::AttemptTimeout), "{error:?}");
    }
    assert_eq!(user_reads(&breakers).opened, 1, "with time enough, no answer is a failure");
}
