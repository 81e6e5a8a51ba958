//! When an OAuth client gets its tokens.

use super::*;
use crate::upstream::credential::Token;
use crate::upstream::tests::support::{settle, unavailable};

fn text(token: Option<&Arc<Token>>) -> Option<&str> {
    Some(token?.header.to_str().expect("ASCII"))
}

fn accept(token: &Arc<Token>) {
    token.accepted.store(true, std::sync::atomic::Ordering::Relaxed);
}

#[tokio::test(start_paused = true)]
async fn a_token_is_there_before_anybody_asks_and_is_renewed_ahead_of_its_end() {
    let endpoint = Endpoint::lasting(1000 * SECOND);
    let client = endpoint.client();
    settle().await;
    assert_eq!((text(client.current().as_ref()), endpoint.asked()), (Some("Bearer token-1"), 1));
    // Without jitter it is the earliest time.
    sleep(699 * SECOND).await;
    assert_eq!(endpoint.asked(), 1);
    sleep(2 * SECOND).await;
    assert_eq!((text(client.current().as_ref()), endpoint.asked()), (Some("Bearer token-2"), 2));
    sleep(100_000 * SECOND).await;
    assert_eq!(endpoint.asked(), 1 + 100_701 / 700, "and so on");
    assert_eq!(client.reload().taken, endpoint.asked() as u64);
}

#[tokio::test(start_paused = true)]
async fn a_new_secret_is_tried_at_once_also_in_the_wait_after_a_failure() {
    let endpoint = Endpoint::lasting(1000 * SECOND);
    let (file, secret) = watch::channel(Arc::new("wrong".into()));
    endpoint.fail(&unavailable(), 4);
    let client = Client::start(endpoint.get(), secret, Jitter::OFF);
    // After 0, 1, 3 and 7 seconds; the next is due after 15.
    sleep(8 * SECOND).await;
    assert_eq!((text(client.current().as_ref()), endpoint.asked()), (None, 4));
    file.send_replace(Arc::new("right".into()));
    settle().await;
    assert_eq!((text(client.current().as_ref()), endpoint.asked()), (Some("Bearer token-5"), 5));
    file.send_replace(Arc::new("another".into()));
    settle().await;
    assert_eq!((text(client.current().as_ref()), endpoint.asked()), (Some("Bearer token-6"), 6));
    drop(file);
    sleep(600 * SECOND).await;
    assert_eq!(endpoint.asked(), 6);
}

#[tokio::test(start_paused = true)]
async fn replicas_renew_at_different_times_between_seven_and_eight_tenths() {
    let endpoint = Endpoint::lasting(1000 * SECOND);
    let started = Instant::now();
    let clients: Vec<Client> = (0..50).map(|_| Client::start(endpoint.get(), constant(), Jitter::RANDOM)).collect();
    sleep(801 * SECOND).await;
    let asked = endpoint.asked.lock().expect("no test panics inside").clone();
    let renewed: Vec<Duration> = asked.iter().skip(50).map(|when| *when - started).collect();
    assert_eq!(renewed.len(), 50);
    assert!(renewed.iter().all(|after| (700 * SECOND..=800 * SECOND).contains(after)), "{renewed:?}");
    assert!(renewed[49].checked_sub(renewed[0]).unwrap() > 10 * SECOND, "{renewed:?}");
    drop(clients);
}

#[tokio::test(start_paused = true)]
async fn however_many_need_the_next_token_there_is_one_exchange() {
    let endpoint = Endpoint { takes: 3 * SECOND, ..Endpoint::lasting(1000 * SECOND) };
    let client = Arc::new(endpoint.client());
    let first = client.next(None, false).await.expect("the endpoint works").expect("a token");
    accept(&first);
    let callers = (0..100).map(|_| {
        let (client, refused) = (client.clone(), first.clone());
        tokio::spawn(async move { client.next(Some(&refused), false).await })
    });
    for next in futures_util::future::join_all(callers).await {
        let next = next.expect("no panic").expect("the endpoint works");
        assert_eq!(text(next.as_ref()), Some("Bearer token-2"));
    }
    assert_eq!(endpoint.asked(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_exchange_goes_on_when_the_caller_who_began_it_leaves() {
    let endpoint = Endpoint { takes: 5 * SECOND, ..Endpoint::lasting(1000 * SECOND) };
    let client = endpoint.client();
    let impatient = tokio::time::timeout(SECOND, client.next(None, false)).await;
    assert!(impatient.is_err());
    sleep(5 * SECOND).await;
    assert_eq!((text(client.current().as_ref()), endpoint.asked()), (Some("Bearer token-1"), 1));
}

#[tokio::test(start_paused = true)]
async fn while_the_endpoint_fails_the_token_stays_to_its_end_and_exchanges_are_spaced_out() {
    let endpoint = Endpoint::lasting(1000 * SECOND);
    let client = endpoint.client();
    settle().await;
    let token = client.current().expect("a token");
    accept(&token);
    endpoint.fail(&unavailable(), usize::from(u16::MAX));
    sleep(999 * SECOND).await;
    assert_eq!(text(client.current().as_ref()), Some("Bearer token-1"), "it is good until its end");
    assert_eq!(client.view(String::new()).failing.as_deref(), Some("503"));
    // Between 700 s and 999 s: after 1, 2, 4, 8, 16, 32 and then every 60 s.
    assert!((8..=12).contains(&endpoint.asked()), "{}", endpoint.asked());
    let (asked, before) = (endpoint.asked(), Instant::now());
    for _ in 0..100 {
        let refused = client.next(Some(&token), false).await;
        assert!(matches!(refused, Err(Error::Unavailable(_))), "told what the exchange failed with");
    }
    assert_eq!((endpoint.asked(), before.elapsed()), (asked, Duration::ZERO), "at once, and without an exchange");
    sleep(2 * SECOND).await;
    assert!(client.current().is_none(), "it has ended");
    endpoint.failures.lock().expect("no test panics inside").clear();
    sleep(61 * SECOND).await;
    assert!(client.current().is_some() && client.view(String::new()).failing.is_none(), "the endpoint is back");
    assert!(client.reload().failed >= 7);
}

#[tokio::test(start_paused = true)]
async fn a_pause_of_hours_that_the_endpoint_asks_for_ends_after_a_minute_and_all_are_told_when() {
    let asks = crate::error::Refusal { status: 429, retry_after: Some(3600 * SECOND), ..Default::default() };
    let limited = Error::Throttled(Box::new(asks.clone()));
    for failure in [limited, Error::Unavailable(Box::new(crate::error::Refusal { status: 503, ..asks }))] {
        let endpoint = Endpoint::lasting(100 * SECOND);
        let client = endpoint.client();
        settle().await;
        endpoint.fail(&failure, 2);
        sleep(71 * SECOND).await;
        assert_eq!(endpoint.asked(), 2);
        let shown = client.view(String::new());
        assert_eq!(shown.again_in, Some(59 * SECOND), "it was due after 70 s");
        assert_eq!(shown.lacked_ago, None, "the last one is still good");
        sleep(30 * SECOND).await;
        let failed = client.next(None, false).await.err().expect("it has ended");
        assert_eq!(failed.retry_after(), Some(29 * SECOND));
        sleep(30 * SECOND).await;
        assert_eq!((endpoint.asked(), client.view(String::new()).lacked_ago), (3, Some(30 * SECOND)));
        sleep(60 * SECOND).await;
        assert!(client.current().is_some() && client.view(String::new()).again_in.is_none(), "it is well again");
    }
}

#[tokio::test(start_paused = true)]
async fn a_refused_token_is_renewed_at_once_if_it_was_accepted_before_and_else_once_in_a_while() {
    let endpoint = Endpoint::lasting(1000 * SECOND);
    let client = endpoint.client();
    settle().await;
    let mut renewed = 0;
    for _ in 0..100 {
        let token = client.current().expect("a token");
        renewed += u32::from(client.next(Some(&token), false).await.expect("no failure").is_some());
    }
    assert_eq!((renewed, endpoint.asked()), (1, 2), "new ones may just not be liked");
    let token = client.current().expect("a token");
    accept(&token);
    let next = client.next(Some(&token), false).await.expect("no failure").expect("another");
    assert_eq!(endpoint.asked(), 3);
    let again = client.next(Some(&token), false).await.expect("no failure").expect("another");
    assert!(Arc::ptr_eq(&next, &again), "whoever comes late gets the one that is there");
    accept(&next);
    assert!(client.next(Some(&next), true).await.expect("no failure").is_none(), "the other user may be at fault");
    sleep(11 * SECOND).await;
    assert!(client.next(Some(&next), true).await.expect("no failure").is_some(), "but now and then it is tried");
    assert_eq!(endpoint.asked(), 4);
}

#[tokio::test(start_paused = true)]
async fn a_token_without_an_end_or_with_an_absurd_one_is_kept() {
    for lifetime in [Duration::ZERO, Duration::from_secs(u64::MAX)] {
        let endpoint = Endpoint::lasting(lifetime);
        let client = endpoint.client();
        settle().await;
        sleep(10_000_000 * SECOND).await;
        assert_eq!((text(client.current().as_ref()), endpoint.asked()), (Some("Bearer token-1"), 1));
        assert_eq!(client.view(String::new()).expires, None);
    }
    let endpoint = Endpoint::lasting(Duration::from_millis(1));
    let client = endpoint.client();
    sleep(100 * SECOND).await;
    assert!(endpoint.asked() <= 11, "an absurdly short one does not make a storm: {}", endpoint.asked());
    assert!(client.current().is_some(), "it is used until it is refused");
    drop(client);
}

#[tokio::test(start_paused = true)]
async fn tokens_that_are_accepted_and_refused_in_turn_are_renewed_more_and_more_seldom() {
    let endpoint = Endpoint::lasting(100_000 * SECOND);
    let client = endpoint.client();
    settle().await;
    let mut told = Vec::new();
    for _ in 0..600 {
        let token = client.current().expect("a token");
        // One call in which Zendesk accepts it, and one in which it does not.
        accept(&token);
        match client.next(Some(&token), false).await.expect("no failure") {
            // With the next one the call is refused, too.
            Some(_) => client.in_vain(),
            None => told.push(client.renewable_in().expect("whoever gets none is told when")),
        }
        sleep(SECOND / 2).await;
    }
    // After 0, 1, 2, 4, 8, 16 and 32 seconds, and then each minute.
    assert!((10..=13).contains(&endpoint.asked()), "{} exchanges in five minutes", endpoint.asked());
    assert!(told.iter().all(|wait| *wait <= 60 * SECOND) && told.iter().any(|wait| *wait > 30 * SECOND), "{told:?}");
    sleep(130 * SECOND).await;
    let token = client.current().expect("a token");
    accept(&token);
    assert!(client.next(Some(&token), false).await.expect("no failure").is_some(), "after a pause at once again");
}

#[tokio::test(start_paused = true)]
async fn odd_answers_of_the_endpoint_are_asked_for_one_at_a_time_and_callers_are_told_when() {
    let odd = Error::Malformed(Box::new(crate::error::Refusal { status: 200, ..Default::default() }));
    for failure in [odd, Error::Connect(crate::error::ConnectionError::new("x")), unavailable()] {
        let endpoint = Endpoint { takes: SECOND, ..Endpoint::lasting(1000 * SECOND) };
        endpoint.fail(&failure, 1_000);
        let client = Arc::new(endpoint.client());
        let began = Instant::now();
        while began.elapsed() < 300 * SECOND {
            let callers = (0..20).map(|_| {
                let client = client.clone();
                tokio::spawn(async move { client.next(None, false).await })
            });
            for outcome in futures_util::future::join_all(callers).await {
                let failed = outcome.expect("no panic").err().expect("the endpoint fails");
                let wait = failed.retry_after().expect("they are told when to come back");
                assert!(wait <= 15 * SECOND, "{wait:?}");
            }
            sleep(SECOND / 4).await;
        }
        // After 0, 1, 2, 4 and 8 seconds, and then each 8 to 15, because calls fail for it.
        assert!((20..=36).contains(&endpoint.asked()), "{} exchanges in five minutes", endpoint.asked());
    }
}
