//! Flights (single-flight, request coalescing): one upstream read for all callers who want the same answer.

use tokio::task::JoinSet;

use super::*;
use crate::deadline::margin;
use crate::limits::Limit;

#[tokio::test(start_paused = true)]
async fn a_thousand_callers_with_mixed_deadlines_cost_one_fetch_and_all_with_time_are_answered() {
    let (cache, upstream) = (cache(), Upstream::default());
    let begun = Instant::now();
    let mut callers = JoinSet::new();
    // The first has the least time, so the flight outlives the caller who started it.
    for caller in 0..1_000_u64 {
        // From 100 ms to 2 s, evenly.
        let time = ms(100 + caller * 1_900 / 999);
        let (cache, fetch) = (cache.clone(), upstream.answers(ms(450), Ok("seven")));
        callers.spawn(async move {
            let answer = cache.read(&key(7), &record(7), PLAIN, begun + time, fetch).await;
            (time, answer, begun.elapsed())
        });
    }
    let mut answered = 0;
    while let Some(caller) = callers.join_next().await {
        let (time, answer, took) = caller.expect("no caller panics");
        // Half of the time that is kept back for the answer.
        let gives_up = time.saturating_sub(margin(time) / 2);
        if gives_up > ms(450) {
            assert_answer(answer, "seven", CacheStatus::Coalesced, ms(450));
            assert_eq!(took, ms(450));
            answered += 1;
        } else if gives_up < ms(449) {
            assert!(matches!(answer, Err(Error::Deadline { .. })), "{answer:?} after {took:?} of {time:?}");
            assert!(took >= gives_up && took <= gives_up + ms(1), "{took:?} instead of {gives_up:?}");
        }
    }
    assert_eq!(upstream.calls(), 1);
    assert_eq!(answered, 809, "callers with more than 450 ms and time for their answers");
    // Age counts from before Zendesk is asked.
    assert_answer(read(&cache, upstream.hangs()).await, "seven", CacheStatus::Hit, begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn the_caller_who_starts_a_flight_misses_and_the_others_are_coalesced() {
    let (cache, upstream) = (cache(), Upstream::default());
    let one = read(&cache, upstream.answers(ms(100), Ok("seven")));
    let two = read(&cache, upstream.answers(ms(100), Ok("seven")));
    let (one, two) = tokio::join!(one, two);
    assert_answer(one, "seven", CacheStatus::Miss, ms(100));
    assert_answer(two, "seven", CacheStatus::Coalesced, ms(100));
    let counts = cache.counts();
    assert_eq!((counts.misses, counts.coalesced, counts.flights, counts.flights_in_progress), (1, 1, 1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_flight_is_cancelled_when_the_last_caller_has_left_and_not_before() {
    let (cache, upstream) = (cache(), Upstream::default());
    let begin = || {
        let (cache, fetch) = (cache.clone(), upstream.hangs());
        tokio::spawn(async move { read(&cache, fetch).await })
    };
    let (one, two) = (begin(), begin());
    settle().await;
    one.abort();
    sleep(ms(200)).await;
    assert_eq!(upstream.under_way(), 1, "somebody still waits");
    two.abort();
    sleep(ms(100)).await;
    assert_eq!(upstream.under_way(), 0, "nobody waits");
    assert_eq!((cache.counts().cancelled_flights, cache.counts().flights_in_progress), (1, 0));
    assert!(cache.0.flights.is_empty());
    assert_answer(read(&cache, upstream.answers(ms(1), Ok("seven"))).await, "seven", CacheStatus::Miss, ms(1));
}

#[tokio::test(start_paused = true)]
async fn a_flight_is_cancelled_when_the_deadline_of_the_last_caller_has_passed() {
    let (cache, upstream) = (cache(), Upstream::default());
    let answer = cache.read(&key(7), &record(7), PLAIN, within(ms(300)), upstream.hangs()).await;
    assert!(matches!(answer, Err(Error::Deadline { sent: false })), "it has sent nothing");
    sleep(ms(100)).await;
    assert_eq!(upstream.under_way(), 0);
}

#[tokio::test(start_paused = true)]
async fn whoever_cannot_wait_as_long_as_a_flight_learns_in_time_what_it_waits_for() {
    let spent = || Error::BudgetSpent { limit: Limit::Account, retry_after: secs(20) };
    let cache = cache();
    let waits = move |terms: Terms| -> BoxFuture<'static, Result<Bytes>> {
        terms.waits_for.set(&spent());
        Box::pin(async move {
            sleep(secs(20)).await;
            terms.waits_for.set(&Error::Deadline { sent: true });
            sleep(secs(8)).await;
            Ok(Bytes::from_static(b"seven"))
        })
    };
    let leader = tokio::spawn({
        let cache = cache.clone();
        async move { cache.read(&key(7), &record(7), PLAIN, within(secs(60)), waits).await }
    });
    settle().await;
    for (time, wanted) in [(secs(2), "budget"), (ms(40), "budget"), (secs(22), "deadline")] {
        let (begun, refused) = (Instant::now(), Upstream::default().hangs());
        let error = cache.read(&key(7), &record(7), PLAIN, within(time), refused).await.expect_err("too little time");
        let found = if matches!(error, Error::BudgetSpent { .. }) { "budget" } else { "deadline" };
        assert_eq!(found, wanted, "{time:?}: {error:?}");
        assert!(begun.elapsed() < time && begun.elapsed() > time * 3 / 4, "{:?} of {time:?}", begun.elapsed());
    }
    assert_answer(leader.await.expect("no panic"), "seven", CacheStatus::Miss, secs(28));
}

#[tokio::test(start_paused = true)]
async fn a_caller_who_comes_as_the_last_one_leaves_is_answered() {
    let (cache, upstream) = (cache(), Upstream::default());
    {
        let one = read(&cache, upstream.answers(ms(300), Ok("seven")));
        assert!(tokio::time::timeout(ms(100), one).await.is_err());
    }
    // The flight task has not been polled since `one` left, so it sees the leaving and the new caller together.
    let two = read(&cache, upstream.hangs()).await;
    assert_answer(two, "seven", CacheStatus::Coalesced, ms(300));
    assert_eq!(cache.counts().cancelled_flights, 0);
}

#[tokio::test(start_paused = true)]
async fn a_caller_who_joins_just_after_a_flight_stored_its_answer_gets_that_answer() {
    let (cache, upstream) = (cache(), Upstream::default());
    cache.fill(&key(7), &record(7), &Bytes::from_static(b"seven"), &cache.snapshot());
    let hangs = upstream.hangs();
    let mut fetch: Option<Fetch> = Some(Box::new(move |terms| Box::pin(hangs(terms))));
    let boarded = cache.0.board(&key(7), &record(7), PLAIN, &within(secs(10)).into(), &mut fetch);
    assert!(matches!(boarded, flight::Boarded::Stored(entry) if entry.answer.as_ref().unwrap() == "seven"));
    assert!(fetch.is_some());
}

#[test]
fn callers_who_come_and_go_on_many_threads_are_answered_if_they_stay() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_time().build();
    runtime.expect("a runtime").block_on(async {
        let cache = cache();
        let callers = (0..4).map(|caller| {
            let cache = cache.clone();
            tokio::spawn(async move {
                for round in 0..2_000 {
                    come_and_perhaps_go(&cache, (caller + round) % 3 != 0, round % 5).await;
                }
            })
        });
        for caller in futures_util::future::join_all(callers).await {
            caller.expect("no caller panics");
        }
        come_and_perhaps_go(&cache, true, 0).await;
        // The last flight has lost its last caller just now, and may not know it yet.
        let landed = async {
            while !cache.0.flights.is_empty() || cache.counts().flights_in_progress > 0 {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(secs(60), landed).await.expect("no flight is left behind");
        assert!(cache.counts().cancelled_flights > 0);
    });
}

/// Asks for a fetch that fails after 20 yields; if `leaves`, drops the call after `yields` yields.
async fn come_and_perhaps_go(cache: &Cache, leaves: bool, yields: u32) {
    let fetch = move |_| async move {
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
        Err(unavailable())
    };
    let (key, policy) = (key(7), record(7));
    let mut answer = std::pin::pin!(cache.read(&key, &policy, PLAIN, within(secs(60)), fetch));
    if leaves {
        let _ = futures_util::poll!(answer.as_mut());
        for _ in 0..yields {
            tokio::task::yield_now().await;
        }
    } else {
        let answer = answer.await;
        assert!(matches!(answer, Err(Error::Unavailable(_))), "{answer:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_flight_that_ends_by_its_own_deadline_does_not_end_a_caller_with_more_time() {
    let cache = Cache::new(&config::Cache { flight_deadline: secs(1), ..config::Cache::default() });
    let upstream = Upstream::default();
    let one = read(&cache, upstream.hangs());
    let two = async {
        sleep(ms(900)).await;
        read(&cache, upstream.answers(ms(100), Ok("seven"))).await
    };
    let (one, two) = tokio::join!(one, two);
    assert!(matches!(one, Err(Error::AttemptTimeout)), "{one:?}");
    assert_answer(two, "seven", CacheStatus::Miss, ms(100));
    assert_eq!(upstream.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_deadline_error_from_the_fetch_reaches_the_caller_as_what_it_says_of_zendesk() {
    let (cache, upstream) = (cache(), Upstream::default());
    let answer = read(&cache, upstream.answers(ms(10), Err(Error::Deadline { sent: true }))).await;
    assert!(matches!(answer, Err(Error::AttemptTimeout)), "{answer:?}");
    let answer = read(&cache, upstream.answers(ms(10), Err(Error::Deadline { sent: false }))).await;
    assert!(matches!(answer, Err(Error::Connect(_))), "nothing was sent: {answer:?}");
}

#[tokio::test(start_paused = true)]
async fn a_failure_of_zendesk_reaches_all_who_wait_and_is_not_kept() {
    let refusal = || Box::new(Refusal::default());
    let failures = [
        Error::Credential { own: true, refusal: refusal() },
        Error::Credential { own: false, refusal: refusal() },
        Error::Forbidden(refusal()),
        Error::Throttled(refusal()),
        Error::Server(refusal()),
        unavailable(),
        Error::GatewayTimeout(refusal()),
        Error::BreakerOpen { class: "user_reads", retry_after: secs(1) },
    ];
    for failure in failures {
        let (cache, upstream) = (cache(), Upstream::default());
        let fetch = || upstream.answers(ms(10), Err(failure.clone()));
        let (one, two) = tokio::join!(read(&cache, fetch()), read(&cache, fetch()));
        for answer in [one, two] {
            assert_eq!(answer.expect_err("a failure").row(), failure.row());
        }
        assert_eq!(upstream.calls(), 1, "{failure}");
        assert!(read(&cache, fetch()).await.is_err());
        assert_eq!(upstream.calls(), 2, "{failure} was kept");
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_a_fetch_reaches_all_who_wait_and_wedges_nothing() {
    let (cache, upstream) = (cache(), Upstream::default());
    let later = |_: Terms| -> BoxFuture<'static, Result<Bytes>> {
        Box::pin(async {
            sleep(ms(50)).await;
            panic!("a fetch that panics")
        })
    };
    let (one, two) = tokio::join!(read(&cache, later), read(&cache, upstream.hangs()));
    for answer in [one, two] {
        assert!(matches!(answer, Err(Error::Internal { .. })), "{answer:?}");
    }
    let at_once = |_: Terms| -> BoxFuture<'static, Result<Bytes>> { panic!("a fetch that panics at once") };
    assert!(matches!(read(&cache, at_once).await, Err(Error::Internal { .. })));
    assert!(cache.0.flights.is_empty());
    assert_eq!(cache.counts().flights_in_progress, 0);
    assert_answer(read(&cache, upstream.answers(ms(10), Ok("seven"))).await, "seven", CacheStatus::Miss, ms(10));
}

#[tokio::test(start_paused = true)]
async fn what_is_not_to_be_cached_is_neither_shared_nor_kept_and_ends_with_its_caller() {
    let (cache, upstream) = (cache(), Upstream::default());
    let ask = async |time| {
        let fetch = upstream.answers(ms(100), Ok("job"));
        cache.read(&key(7), &Policy::none(), PLAIN, within(time), fetch).await
    };
    let (one, two) = tokio::join!(ask(secs(1)), ask(secs(1)));
    for answer in [one, two] {
        assert_answer(answer, "job", CacheStatus::Bypass, Duration::ZERO);
    }
    assert_eq!(upstream.calls(), 2);
    assert!(cache.get_fresh(&key(7)).is_none());
    assert!(matches!(ask(ms(50)).await, Err(Error::Deadline { .. })));
    assert_eq!(upstream.under_way(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_flight_gets_time_for_those_who_come_later_up_to_its_cap() {
    let cache = cache();
    // (caller's time, flight's time): at least `SHORTEST_FLIGHT` (5 s), at most `flight_deadline` (30 s).
    for (time, expected) in [(ms(100), secs(5)), (secs(20), secs(20)), (secs(900), secs(30))] {
        let begun = Instant::now();
        let (tell, told) = std::sync::mpsc::channel();
        let fetch = move |terms: Terms| async move {
            tell.send((terms.deadline, terms.wanted_by, terms.background)).expect("the test waits");
            Err(unavailable())
        };
        let answer = cache.read(&key(7), &record(7), PLAIN, begun + time, fetch).await;
        assert!(answer.is_err());
        let wanted_by = begun + time.min(expected);
        assert_eq!(told.recv().expect("the fetch was called"), (begun + expected, wanted_by, false));
    }
}

/// The flight is refused because its first caller has little time: a caller with as little time shares the refusal, one with
/// more asks again.
#[tokio::test(start_paused = true)]
async fn a_refusal_for_want_of_time_is_for_those_who_have_no_more() {
    let overloaded = Error::Overloaded { what: "the queue" };
    let asks_to_wait = |wait| Box::new(Refusal { status: 429, retry_after: Some(wait), ..Refusal::default() });
    for refusal in [
        overloaded,
        Error::BudgetSpent { limit: Limit::Account, retry_after: secs(1) },
        Error::Throttled(asks_to_wait(secs(1))),
        Error::Unavailable(asks_to_wait(secs(1))),
    ] {
        let (cache, upstream) = (cache(), Upstream::default());
        let ask = async |time, fetch| cache.read(&key(7), &record(7), PLAIN, within(time), fetch).await;
        let hurried = || upstream.answers(ms(10), Err(refusal.clone()));
        let (first, same, less, more) = tokio::join!(
            ask(ms(300), hurried()),
            ask(ms(300), hurried()),
            ask(ms(200), hurried()),
            ask(secs(3), upstream.answers(ms(10), Ok("seven"))),
        );
        for answer in [first, same, less] {
            assert_eq!(answer.expect_err("a refusal").row(), refusal.row());
        }
        assert_answer(more, "seven", CacheStatus::Miss, ms(10));
        assert_eq!(upstream.calls(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn callers_on_many_threads_share_one_fetch() {
    let cache = cache();
    let upstream = Upstream::default();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_time().build();
    let runtime = runtime.expect("a runtime");
    for round in 0..200 {
        let callers: Vec<_> = (0..16)
            .map(|_| {
                let (cache, upstream) = (cache.clone(), upstream.clone());
                runtime.spawn(async move {
                    let fetch = upstream.answers(Duration::ZERO, Ok("seven"));
                    cache.read(&key(round), &record(round), PLAIN, Instant::now() + secs(10), fetch).await
                })
            })
            .collect();
        for caller in callers {
            assert_eq!(caller.await.expect("no caller panics").expect("an answer").bytes, "seven");
        }
    }
    runtime.shutdown_background();
    assert_eq!(upstream.calls(), 200);
}
