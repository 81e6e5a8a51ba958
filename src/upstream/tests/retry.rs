//! Which failures are repeated, and after which wait.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};
use tower::ServiceBuilder;
use tower::retry::RetryLayer;

use super::support::{
    Hits, SECOND, Zendesk, answer, ask, idempotent_write, millis, read, refusal, shared, unavailable, unsafe_write,
    within, zendesk,
};
use crate::config;
use crate::contract::Idempotency;
use crate::error::{ConnectionError, Error};
use crate::limits::Limit;
use crate::path;
use crate::share::Shares;
use crate::upstream::Jitter;
use crate::upstream::call::{Call, Priority};
use crate::upstream::rest::{Rest, id};
use crate::upstream::retry::{Retries, Retry};

/// Only the retries, around a stand-in.
fn retrying(inner: impl Zendesk) -> (impl Zendesk, Arc<Retries>) {
    let retries = Arc::new(Retries::new(&config::Retry::default(), Jitter::OFF));
    (ServiceBuilder::new().layer(RetryLayer::new(Retry::new(&retries))).service(inner), retries)
}

fn chain() -> ConnectionError {
    ConnectionError::new("broken")
}

/// How many attempts a failure is worth: of a read, an idempotent write and an unsafe one.
fn attempts(error: &Error) -> [u32; 3] {
    match error {
        // nothing was delivered, or Zendesk refused without acting
        Error::Connect(_) | Error::NoStream { .. } | Error::Throttled(_) => [3, 3, 3],
        // it may have been done
        Error::Unavailable(_) | Error::GatewayTimeout(_) | Error::BrokenBeforeHeaders(_) | Error::AttemptTimeout => {
            [3, 3, 1]
        }
        // a proxy gave up on this request
        Error::Server(said) if said.status < 500 => [1, 1, 1],
        // it was probably done
        Error::Server(_) | Error::Malformed(_) | Error::Foreign(_) | Error::BrokenBody(_) => [2, 1, 1],
        // the same call would fail the same way
        Error::Invalid { .. }
        | Error::RecordInvalid(_)
        | Error::Refused(_)
        | Error::Redirected(_)
        | Error::AccountNotFound(_)
        | Error::Unreadable(_)
        | Error::Incomplete { .. }
        | Error::Duplicate(_)
        | Error::CursorExpired(_)
        | Error::PaginationDepth(_)
        | Error::Credential { .. }
        | Error::CredentialMissing
        | Error::ImpersonationForbidden
        | Error::Forbidden(_)
        | Error::NotFound(_)
        | Error::Conflict(_)
        | Error::JobLimit(_)
        | Error::TooLarge { .. }
        | Error::PaginationLoop { .. }
        | Error::CacheMiss => [1, 1, 1],
        // the gateway itself refused, or the caller has gone
        Error::Deadline { .. }
        | Error::DeadlineInReading
        | Error::AnswerUnread
        | Error::Idle { .. }
        | Error::TurnMissed { .. }
        | Error::OutcomeUnknown(_)
        | Error::Begun { .. }
        | Error::BreakerOpen { .. }
        | Error::BudgetSpent { .. }
        | Error::CallerLimit { .. }
        | Error::RequestTooLarge { .. }
        | Error::MetadataTooLarge { .. }
        | Error::ReplyTooLarge { .. }
        | Error::Library { .. }
        | Error::MessageMissing { .. }
        | Error::Unauthenticated { .. }
        | Error::KeyUnknown(_)
        | Error::IdentityUnavailable
        | Error::CallerForbidden { .. }
        | Error::Overloaded { .. }
        | Error::Unanswered
        | Error::Internal { .. }
        | Error::SlotsTaken { .. }
        | Error::ShuttingDown
        | Error::LeaderLost
        | Error::NotLeader => [1, 1, 1],
    }
}

fn every_error() -> Vec<Error> {
    let said = |status| refusal(status, None);
    vec![
        Error::invalid("id", "must be a positive id"),
        Error::RecordInvalid(said(422)),
        Error::Duplicate(said(422)),
        Error::Refused(said(402)),
        Error::Redirected(said(302)),
        Error::AccountNotFound(said(404)),
        Error::CursorExpired(said(400)),
        Error::PaginationDepth(said(400)),
        Error::Credential { own: true, refusal: said(401) },
        Error::Credential { own: false, refusal: said(401) },
        Error::Forbidden(said(403)),
        Error::NotFound(said(404)),
        Error::Conflict(said(409)),
        Error::Throttled(said(429)),
        Error::JobLimit(said(429)),
        Error::Server(said(500)),
        Error::Unavailable(said(503)),
        Error::GatewayTimeout(said(504)),
        Error::Malformed(said(200)),
        Error::Server(said(408)),
        Error::Server(said(499)),
        Error::Foreign(said(200)),
        Error::Unreadable(said(200)),
        Error::Incomplete { what: "a row lacks an id".to_owned() },
        Error::TooLarge { limit: 1 },
        Error::Connect(chain()),
        Error::NoStream { allowed: 10, is_shut: false },
        Error::BrokenBeforeHeaders(chain()),
        Error::BrokenBody(chain()),
        Error::AttemptTimeout,
        Error::Deadline { sent: true },
        Error::DeadlineInReading,
        Error::AnswerUnread,
        Error::Deadline { sent: false },
        Error::OutcomeUnknown(Box::new(unavailable())),
        Error::BreakerOpen { class: "user_reads", retry_after: SECOND },
        Error::BudgetSpent { limit: Limit::Account, retry_after: SECOND },
        Error::Overloaded { what: "full" },
        Error::Unanswered,
        Error::SlotsTaken { own: 1, others: 29 },
        Error::Idle { after: SECOND },
        Error::TurnMissed { what: "a group" },
        Error::PaginationLoop { list: "GET /users".to_owned(), what: "a cursor came twice" },
        Error::CacheMiss,
        Error::CredentialMissing,
        Error::ImpersonationForbidden,
        Error::ShuttingDown,
        Error::LeaderLost,
        Error::NotLeader,
    ]
}

#[tokio::test(start_paused = true)]
async fn each_failure_is_repeated_only_where_that_helps_and_cannot_harm() {
    for error in every_error() {
        let expected = attempts(&error);
        for (call, expected) in [read(), idempotent_write(), unsafe_write()].into_iter().zip(expected) {
            let hits = Hits::default();
            let failure = error.clone();
            let (service, _) = retrying(zendesk(&hits, move |_, _| std::future::ready(Err(failure.clone()))));
            let idempotency = call.idempotency;
            ask(&service, call).await.expect_err("it fails each time");
            assert_eq!(hits.get(), expected, "{error:?} of a call that is {idempotency:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_backoff_doubles_and_the_answer_tells_the_attempts() {
    let hits = Hits::default();
    let third = zendesk(&hits, |number, _| async move { if number < 3 { Err(unavailable()) } else { Ok(answer()) } });
    let (service, retries) = retrying(third);
    let began = Instant::now();
    let answer = ask(&service, read()).await.expect("the third attempt");
    assert_eq!((answer.attempts, began.elapsed()), (3, millis(100 + 200)));
    assert_eq!(retries.snapshot().retried, 2);
}

#[tokio::test(start_paused = true)]
async fn retry_after_replaces_the_backoff_where_it_fits_the_deadline() {
    let throttled = |wait: Duration| {
        move |number, _: Call| async move {
            if number == 1 { Err(Error::Throttled(refusal(429, Some(wait)))) } else { Ok(answer()) }
        }
    };
    let hits = Hits::default();
    let (service, _) = retrying(zendesk(&hits, throttled(SECOND * 7)));
    let began = Instant::now();
    assert_eq!(ask(&service, unsafe_write()).await.expect("the wait fits").attempts, 2);
    assert_eq!(began.elapsed(), SECOND * 7);

    let hits = Hits::default();
    let (service, retries) = retrying(zendesk(&hits, throttled(SECOND * 93)));
    let began = Instant::now();
    let error = ask(&service, read()).await.expect_err("93 s do not fit into 30");
    assert_eq!(began.elapsed(), Duration::ZERO, "it is told at once");
    assert_eq!(error.retry_after(), Some(SECOND * 93));
    assert_eq!((hits.get(), retries.snapshot().out_of_time), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_zendesk_asks_for_is_told_at_once_to_whoever_began_a_read_that_others_may_share() {
    let asked = |wait| move |_, _: Call| std::future::ready(Err(Error::Throttled(refusal(429, wait))));
    let began = Instant::now();
    let (service, _) = retrying(zendesk(&Hits::default(), asked(Some(SECOND * 3))));
    let error = ask(&service, shared(SECOND * 2)).await.expect_err("3 s do not fit into 2");
    assert_eq!((began.elapsed(), error.retry_after()), (Duration::ZERO, Some(SECOND * 3)));
    let failing = |_, _: Call| std::future::ready(Err(Error::Unavailable(refusal(503, Some(SECOND * 3)))));
    let (service, _) = retrying(zendesk(&Hits::default(), failing));
    ask(&service, shared(SECOND * 2)).await.expect_err("nor of an outage");
    assert_eq!(began.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_backoff_that_does_not_fit_the_deadline_is_not_begun() {
    let hits = Hits::default();
    let (service, _) = retrying(zendesk(&hits, |_, _| async { Err(unavailable()) }));
    let began = Instant::now();
    ask(&service, within(millis(90), read())).await.expect_err("no time for 100 ms");
    assert_eq!((hits.get(), began.elapsed()), (1, Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn all_retries_share_one_budget_of_a_fifth_of_the_calls_and_one_a_second() {
    let hits = Hits::default();
    let (service, retries) = retrying(zendesk(&hits, |_, _| async { Err(unavailable()) }));
    for _ in 0..6_000 {
        let service = service.clone();
        tokio::spawn(async move { ask(&service, read()).await });
        sleep(millis(10)).await;
    }
    sleep(SECOND).await;
    // 6,000 calls in 60 s: a fifth of them, one for each second, and the ten that a fresh budget begins with.
    let allowed = 1_200 + 61 + 10;
    let repeated = hits.get() - 6_000;
    assert!((allowed - 40..=allowed).contains(&repeated), "{repeated} retries");
    assert!(retries.snapshot().out_of_budget > 4_000);
}

#[tokio::test(start_paused = true)]
async fn a_caller_whose_reads_fail_leaves_the_others_their_repetitions() {
    let shares = Shares::new(&config::Callers::unlimited(), 0);
    let (greedy, modest) = (shares.of("greedy"), shares.of("modest"));
    let (hits, greedy_id) = (Hits::default(), greedy.id());
    let (service, retries) = retrying(zendesk(&hits, move |_, call: Call| {
        // Of the modest one's calls every first attempt fails.
        let fails = call.share.id() == greedy_id || call.ledger.requests() == 1;
        async move { if fails { Err(unavailable()) } else { Ok(answer()) } }
    }));
    for second in 0..60 {
        for _ in 0..60 {
            let (service, call) = (service.clone(), Call { share: greedy.clone(), ..read() });
            tokio::spawn(async move { ask(&service, call).await });
            sleep(millis(16)).await;
        }
        // One every three seconds is less than half of what time brings.
        if second >= 6 && second % 3 == 0 {
            let answered = ask(&service, Call { share: modest.clone(), ..read() }).await;
            assert!(answered.is_ok(), "{second}: {answered:?}, {:?}", retries.snapshot());
        }
    }
    let repeated = retries.snapshot().retried;
    assert!((700..=3_600 / 5 + 60 + 10 + 20).contains(&repeated), "{repeated} of all: as many as ever");
}

#[tokio::test(start_paused = true)]
async fn a_repetition_that_never_left_does_not_hide_why_there_was_one() {
    let local: [fn() -> Error; 4] = [
        || Error::BreakerOpen { class: "user_writes", retry_after: SECOND },
        || Error::BudgetSpent { limit: Limit::Account, retry_after: SECOND },
        || Error::Overloaded { what: "full" },
        || Error::Unanswered,
    ];
    for refuse in local {
        let hits = Hits::default();
        let (service, _) = retrying(zendesk(&hits, move |number, _| async move {
            if number == 1 { Err(unavailable()) } else { Err(refuse()) }
        }));
        let error = ask(&service, idempotent_write()).await.expect_err("failed");
        assert!(matches!(error.as_write_error(), Error::OutcomeUnknown(_)), "the write may have been done");
    }
}

#[tokio::test(start_paused = true)]
async fn requests_that_zendesk_refused_unread_leave_a_write_undone() {
    for (error, acted) in [
        (Error::Connect(chain()), false),
        (Error::Throttled(refusal(429, None)), false),
        (Error::BrokenBeforeHeaders(chain()), true),
    ] {
        let call = Call { idempotency: Idempotency::Idempotent, ..idempotent_write() };
        let ledger = Arc::clone(&call.ledger);
        let (service, _) = retrying(zendesk(&Hits::default(), move |_, _| std::future::ready(Err(error.clone()))));
        ask(&service, call).await.expect_err("failed");
        assert_eq!((ledger.requests(), ledger.may_have_acted()), (3, acted));
    }
}

#[tokio::test(start_paused = true)]
async fn a_repetition_that_is_refused_does_not_hide_that_the_attempt_before_may_have_been_done() {
    let lost = || [Error::BrokenBeforeHeaders(chain()), Error::AttemptTimeout, unavailable()];
    let refusals = || {
        [
            Error::Throttled(refusal(429, None)),
            Error::RecordInvalid(refusal(422, None)),
            Error::Duplicate(refusal(422, None)),
            Error::Refused(refusal(451, None)),
            Error::Redirected(refusal(302, None)),
            Error::Credential { own: true, refusal: refusal(401, None) },
            Error::Forbidden(refusal(403, None)),
            Error::Conflict(refusal(409, None)),
            Error::AccountNotFound(refusal(404, None)),
            Error::Connect(chain()),
        ]
    };
    for (first, second) in lost().into_iter().flat_map(|first| refusals().map(|second| (first.clone(), second))) {
        let fails = (first.clone(), second.clone());
        let zendesk = zendesk(&Hits::default(), move |number, _| {
            let error = if number == 1 { fails.0.clone() } else { fails.1.clone() };
            async move { Err(error) }
        });
        let (service, _) = retrying(zendesk);
        let error = ask(&service, idempotent_write()).await.expect_err("it fails").as_write_error();
        assert!(matches!(error, Error::OutcomeUnknown(_)), "{first:?}, then {second:?}: {error:?}");
        let error = ask(&service, read()).await.expect_err("it fails");
        assert!(error.row().reason == second.row().reason, "of a read the last failure is told: {error:?}");
    }
    // Whatever became of the first attempt, what was to be deleted is not there.
    let lost_then_missing = || {
        retrying(zendesk(&Hits::default(), |number, _| async move {
            Err(if number == 1 { unavailable() } else { Error::NotFound(refusal(404, None)) })
        }))
        .0
    };
    let rest = Rest::delete(path!["users", id("id", 7).expect("an id")]);
    let delete = super::support::call(rest, Idempotency::Idempotent, Priority::Write);
    let error = ask(&lost_then_missing(), delete).await.expect_err("it is gone");
    assert!(matches!(error, Error::NotFound(_)), "{error:?}");
    let error = ask(&lost_then_missing(), idempotent_write()).await.expect_err("nobody knows").as_write_error();
    assert!(matches!(error, Error::OutcomeUnknown(_)), "{error:?}");
}
