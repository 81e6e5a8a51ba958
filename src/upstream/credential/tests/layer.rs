//! Calls whose credential has no token yet, or one that Zendesk refuses.

use std::future::{Ready, ready};

use tower::{Layer as _, ServiceExt as _};

use super::*;
use crate::config;
use crate::upstream::call::{Answer, Call};
use crate::upstream::stack_with;
use crate::upstream::tests::support::{Hits, answer, ask, read, refusal, unavailable, unsafe_write, within, zendesk};

fn refused() -> Error {
    Error::Credential { own: true, refusal: refusal(401, None) }
}

/// A Zendesk that accepts one token.
fn only<const GOOD: usize>(call: &Call) -> Ready<Result<Answer, Error>> {
    let accepted = sent(&call.credential) == format!("Bearer token-{GOOD}");
    ready(if accepted { Ok(answer()) } else { Err(refused()) })
}

#[tokio::test(start_paused = true)]
async fn a_revoked_token_is_renewed_within_the_call_that_meets_it_also_in_a_write() {
    for call in [read(), unsafe_write()] {
        let endpoint = Endpoint::lasting(1000 * SECOND);
        let hits = Hits::default();
        let good = Arc::new(Mutex::new("Bearer token-1"));
        let now = good.clone();
        let upstream = zendesk(&hits, move |_, call| {
            let accepted = sent(&call.credential) == *now.lock().expect("no test panics inside");
            async move { if accepted { Ok(answer()) } else { Err(refused()) } }
        });
        let (stack, _) = stack_with(&config::Upstream::default(), Jitter::OFF, upstream);
        let credential = endpoint.credential();
        let call = Call { credential, ..call };
        ask(&stack, call.clone()).await.expect("it waits for the first token");
        *good.lock().expect("no test panics inside") = "Bearer token-2";
        let credential = Credential { token: call.credential.current().token, ..call.credential.clone() };
        ask(&stack, Call { credential, ..call.clone() }).await.expect("sent again with the next token");
        assert_eq!((hits.get(), endpoint.asked(), call.ledger.requests()), (3, 2, 3));
    }
}

#[tokio::test(start_paused = true)]
async fn a_second_refusal_is_final() {
    let endpoint = Endpoint::lasting(1000 * SECOND);
    let hits = Hits::default();
    let upstream = zendesk(&hits, |number, _| async move { if number == 1 { Ok(answer()) } else { Err(refused()) } });
    let (stack, _) = stack_with(&config::Upstream::default(), Jitter::OFF, upstream);
    let credential = endpoint.credential();
    ask(&stack, Call { credential: credential.clone(), ..read() }).await.expect("accepted");
    for _ in 0..20 {
        let outcome = ask(&stack, Call { credential: credential.current(), ..read() }).await;
        assert!(matches!(outcome, Err(Error::Credential { .. })), "{outcome:?}");
    }
    assert_eq!(endpoint.asked(), 3, "tokens that never worked are not renewed with every call");
}

#[tokio::test(start_paused = true)]
async fn calls_that_are_refused_whatever_the_token_cause_few_exchanges_and_are_told_when_to_come_back() {
    let endpoint = Endpoint::lasting(100_000 * SECOND);
    let upstream = zendesk(&Hits::default(), |_, call| {
        let is_refused = call.rest.method != http::Method::GET;
        async move { if is_refused { Err(refused()) } else { Ok(answer()) } }
    });
    let (stack, _) = stack_with(&config::Upstream::default(), Jitter::OFF, upstream);
    let credential = endpoint.credential();
    let mut told = 0;
    for _ in 0..300 {
        let now = credential.current();
        ask(&stack, Call { credential: now, ..read() }).await.expect("each token is good for reads");
        let outcome = ask(&stack, Call { credential: credential.current(), ..unsafe_write() }).await;
        let Err(error @ Error::Credential { .. }) = outcome else { panic!("{outcome:?}") };
        told += u32::from(error.retry_after().is_some_and(|wait| wait <= 60 * SECOND));
        sleep(SECOND).await;
    }
    assert!((9..=14).contains(&endpoint.asked()), "{} exchanges in five minutes", endpoint.asked());
    assert!(told > 280, "{told} of 300 are told");
}

#[tokio::test(start_paused = true)]
async fn without_a_token_the_call_ends_with_what_the_exchange_failed_with_and_nothing_is_sent() {
    let endpoint = Endpoint::lasting(1000 * SECOND);
    endpoint.fail(&unavailable(), 1);
    let hits = Hits::default();
    let service = super::super::Layer.layer(zendesk(&hits, |_, call| only::<2>(&call)));
    let call = Call { credential: endpoint.credential(), ..read() };
    let outcome = service.clone().oneshot(call.clone()).await;
    assert!(matches!(outcome, Err(Error::Unavailable(_))), "{outcome:?}");
    assert_eq!((hits.get(), call.ledger.requests()), (0, 0));
    sleep(2 * SECOND).await;
    service.oneshot(call).await.expect("the endpoint is back");
}

#[tokio::test(start_paused = true)]
async fn a_deadline_that_passes_while_a_write_waits_for_the_next_token_says_that_nothing_was_done() {
    let endpoint = Endpoint { takes: 5 * SECOND, ..Endpoint::lasting(1000 * SECOND) };
    let hits = Hits::default();
    let upstream = zendesk(&hits, |number, _| async move { if number == 1 { Ok(answer()) } else { Err(refused()) } });
    let (stack, _) = stack_with(&config::Upstream::default(), Jitter::OFF, upstream);
    let credential = endpoint.credential();
    ask(&stack, Call { credential: credential.clone(), ..read() }).await.expect("accepted");
    let credential = Credential { token: credential.current().token, ..credential };
    let outcome = ask(&stack, within(2 * SECOND, Call { credential, ..unsafe_write() })).await;
    assert!(matches!(outcome, Err(Error::Deadline { sent: false })), "{outcome:?}");
    assert_eq!(hits.get(), 2);
}
