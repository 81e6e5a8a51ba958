//! How calls end at their deadline.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};
use tower::ServiceBuilder;

use super::support::{Hits, SECOND, answer, ask, idempotent_write, millis, read, unsafe_write, within, zendesk};
use crate::config;
use crate::deadline::{margin, usable};
use crate::error::Error;
use crate::upstream::attempt::{self, Attempts};
use crate::upstream::deadline;
use crate::upstream::{Jitter, stack_with};

#[tokio::test(start_paused = true)]
async fn an_attempt_leaves_time_to_answer_the_caller() {
    let margins = [(10, 2), (100, 25), (1_000, 50), (5_000, 250), (30_000, 250)];
    for (remaining, expected) in margins {
        assert_eq!(margin(millis(remaining)).as_millis(), expected, "{remaining} ms");
    }
    assert_eq!(usable(Instant::now() + millis(1_000)), millis(950));
    assert_eq!(usable(Instant::now()), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_call_ends_at_its_deadline_and_says_whether_it_was_sent() {
    let counters = Arc::default();
    let layers = ServiceBuilder::new().layer(deadline::Layer::new(&counters));
    let hits = Hits::default();
    let mute = layers.clone().service(zendesk(&hits, |_, _| pending()));
    let waiting = layers.service(tower::service_fn(|_| pending()));

    let began = Instant::now();
    let error = ask(&mute, within(SECOND, read())).await.expect_err("no answer");
    assert!(matches!(error, Error::Deadline { sent: true }), "{error:?}");
    let error = ask(&waiting, within(SECOND, read())).await.expect_err("no answer");
    assert!(matches!(error, Error::Deadline { sent: false }), "{error:?}");
    assert_eq!(began.elapsed(), SECOND * 2);

    let late = within(SECOND, read());
    sleep(SECOND).await;
    let error = ask(&mute, late).await.expect_err("too late");
    assert!(matches!(error, Error::Deadline { sent: false }), "{error:?}");
    assert_eq!(hits.get(), 1, "a call without time left is not sent");
    let counted = counters.snapshot();
    assert_eq!((counted.passed_after_sending, counted.passed_before_sending), (1, 2));
}

#[tokio::test(start_paused = true)]
async fn ten_milliseconds_are_enough_for_a_fast_upstream() {
    let hits = Hits::default();
    let fast = zendesk(&hits, |_, _| async {
        sleep(millis(5)).await;
        Ok(answer())
    });
    let (upstream, _) = stack_with(&config::Upstream::default(), Jitter::OFF, fast);
    ask(&upstream, within(millis(10), read())).await.expect("answered in time");
    assert_eq!(hits.get(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_write_that_was_sent_runs_to_its_end_past_the_deadline() {
    let hits = Hits::default();
    let slow = zendesk(&hits, |_, _| async {
        sleep(SECOND * 3).await;
        Ok(answer())
    });
    let (upstream, control) = stack_with(&config::Upstream::default(), Jitter::OFF, slow);
    let began = Instant::now();
    ask(&upstream, within(SECOND, unsafe_write())).await.expect("the write's own outcome");
    assert_eq!(began.elapsed(), SECOND * 3);
    assert_eq!(control.snapshot().queue.in_use, 0);
}

#[tokio::test(start_paused = true)]
async fn a_write_that_failed_after_its_deadline_is_not_repeated() {
    let hits = Hits::default();
    let failing = zendesk(&hits, |_, _| async {
        sleep(SECOND * 3).await;
        Err(super::support::unavailable())
    });
    let (upstream, _) = stack_with(&config::Upstream::default(), Jitter::OFF, failing);
    let error = ask(&upstream, within(SECOND, idempotent_write())).await.expect_err("failed");
    assert!(matches!(error, Error::Unavailable(_)), "{error:?}");
    assert_eq!(hits.get(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_write_that_still_waits_at_its_deadline_is_never_sent() {
    let hits = Hits::default();
    let slow = zendesk(&hits, |_, _| async {
        sleep(SECOND * 20).await;
        Ok(answer())
    });
    let mut settings = config::Upstream::default();
    settings.queue.permits = 1;
    let (upstream, control) = stack_with(&settings, Jitter::OFF, slow);
    let first = tokio::spawn({
        let upstream = upstream.clone();
        async move { ask(&upstream, unsafe_write()).await }
    });
    sleep(millis(10)).await;
    let began = Instant::now();
    let error = ask(&upstream, within(SECOND, unsafe_write())).await.expect_err("no permit");
    assert!(matches!(error, Error::Overloaded { .. }), "{error:?}");
    assert_eq!(began.elapsed(), millis(950));
    first.await.expect("no panic").expect("the first write is unharmed");
    assert_eq!((hits.get(), control.snapshot().queue.waiting), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn what_it_takes_to_read_an_answer_that_has_come_in_is_no_failure_of_zendesk() {
    let came = |long: Duration| {
        zendesk(&Hits::default(), move |_, call| async move {
            sleep(SECOND).await;
            call.ledger.came();
            sleep(long).await;
            Ok(answer())
        })
    };
    let (upstream, control) = stack_with(&config::Upstream::default(), Jitter::OFF, came(SECOND * 20));
    ask(&upstream, read()).await.expect("it is read within the caller's deadline");
    ask(&upstream, within(SECOND * 5, unsafe_write())).await.expect("a write's outcome, however late");
    let (upstream, late) = stack_with(&config::Upstream::default(), Jitter::OFF, came(SECOND * 60));
    let began = Instant::now();
    let error = ask(&upstream, read()).await.expect_err("the caller's deadline holds");
    assert!(matches!(error, Error::DeadlineInReading), "Zendesk has answered: {error:?}");
    assert!(began.elapsed() <= SECOND * 30, "{:?}", began.elapsed());
    ask(&upstream, unsafe_write()).await.expect("longer than an attempt at a write may take");
    for control in [control, late] {
        let seen = control.snapshot();
        assert_eq!((seen.attempts.timed_out, seen.retries.retried), (0, 0));
        assert!(seen.breakers.iter().all(|breaker| breaker.failures == 0));
    }

    let attempts = Arc::new(Attempts::new(&config::Attempt::default()));
    let again = Hits::default();
    let first_came =
        ServiceBuilder::new().layer(attempt::Layer::new(&attempts)).service(zendesk(&again, |hit, call| async move {
            if hit == 1 {
                call.ledger.came();
                return Ok(answer());
            }
            pending().await
        }));
    let call = read();
    ask(&first_came, call.clone()).await.expect("answered");
    let error = ask(&first_came, call).await.expect_err("the answer to an earlier attempt is none to this one");
    assert!(matches!(error, Error::AttemptTimeout), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn our_own_limit_is_a_timeout_and_a_short_deadline_is_not() {
    let attempts = Arc::new(Attempts::new(&config::Attempt::default()));
    let mute = ServiceBuilder::new()
        .layer(attempt::Layer::new(&attempts))
        .service(zendesk(&Hits::default(), |_, _| pending()));
    let began = Instant::now();
    let error = ask(&mute, read()).await.expect_err("no answer");
    assert!(matches!(error, Error::AttemptTimeout), "{error:?}");
    assert_eq!(began.elapsed(), SECOND * 10);

    let began = Instant::now();
    let error = ask(&mute, within(SECOND * 2, read())).await.expect_err("no answer");
    assert!(matches!(error, Error::Deadline { sent: true }), "{error:?}");
    assert_eq!(began.elapsed(), millis(1_900));

    let began = Instant::now();
    let error = ask(&mute, within(SECOND * 2, unsafe_write())).await.expect_err("no answer");
    assert!(matches!(error, Error::AttemptTimeout), "{error:?}");
    assert_eq!(began.elapsed(), SECOND * 30, "a caller's deadline does not cut a write that was sent");
    assert_eq!(attempts.snapshot().timed_out, 2);
}
