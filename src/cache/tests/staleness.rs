//! Old answers: when they are served, and what a caller can say about it.
//!
//! A record is fresh for 30 s, stale while it is refreshed to 60 s, and stands in for errors to 10 min.

use super::*;
use crate::limits::Limit;

fn forbidden() -> Error {
    Error::Forbidden(Box::new(Refusal { status: 403, ..Refusal::default() }))
}

/// A cache that holds "old" for record 7, fetched in no time.
async fn with_old() -> (Cache, Upstream) {
    let (cache, upstream) = (cache(), Upstream::default());
    assert_answer(read(&cache, upstream.answers(ms(0), Ok("old"))).await, "old", CacheStatus::Miss, ms(0));
    upstream.calls.store(0, SeqCst);
    (cache, upstream)
}

#[tokio::test(start_paused = true)]
async fn a_stale_answer_is_served_at_once_and_refreshed_once_in_the_background() {
    let (cache, upstream) = with_old().await;
    advance(secs(40)).await;
    for _ in 0..10 {
        let answer = read(&cache, upstream.answers(ms(200), Ok("new"))).await;
        assert_answer(answer, "old", CacheStatus::Stale, secs(40));
    }
    sleep(ms(300)).await;
    assert_eq!(upstream.calls(), 1);
    assert_answer(read(&cache, upstream.hangs()).await, "new", CacheStatus::Hit, ms(300));
    assert_eq!(cache.counts().refreshes, 1);
}

#[tokio::test(start_paused = true)]
async fn while_zendesk_is_dead_every_read_of_a_known_key_is_answered_stale_with_its_age() {
    let (cache, upstream) = with_old().await;
    let begun = Instant::now();
    let mut stale = 0;
    while begun.elapsed() < secs(300) {
        let (before, age) = (Instant::now(), begun.elapsed());
        let reads = [(); 3].map(|()| read(&cache, upstream.answers(ms(400), Err(unavailable()))));
        for answer in futures_util::future::join_all(reads).await {
            let status = if age < secs(30) { CacheStatus::Hit } else { CacheStatus::Stale };
            assert_answer(answer, "old", status, age);
            stale += u32::from(status == CacheStatus::Stale);
        }
        assert_eq!(before.elapsed(), ms(0), "nobody waits for a Zendesk that is known to fail");
        sleep(ms(250)).await;
    }
    // 3 reads every 250 ms from 30 s to 300 s: 3,240.
    assert!(stale > 3_000);
    assert_eq!(upstream.most_under_way.load(SeqCst), 1, "one refresh at a time");
    let calls = upstream.calls();
    // Each pause is shortened at random by up to a fifth, and a refresh takes 400 ms: 13 to 15 calls. The bounds leave slack.
    assert!((8..=18).contains(&calls), "{calls} calls: 1, 2, 4, 8, 16 and then 30 s apart");
    // It recovers: within the longest pause the answer is current again.
    for _ in 0..31 {
        read(&cache, upstream.answers(ms(1), Ok("new"))).await.expect("an answer");
        sleep(secs(1)).await;
    }
    assert_eq!(read(&cache, upstream.hangs()).await.expect("an answer").bytes, "new");
}

#[tokio::test(start_paused = true)]
async fn while_zendesk_hangs_one_caller_finds_out_and_the_others_do_not_wait() {
    let (cache, upstream) = with_old().await;
    advance(secs(100)).await;
    let begun = Instant::now();
    let deadline = within(secs(2));
    let answer = cache.read(&key(7), &record(7), PLAIN, deadline, upstream.hangs()).await;
    // 5 % of the caller's 2 s is kept back for the reply (`deadline::margin`).
    assert_answer(answer, "old", CacheStatus::Stale, secs(100) + ms(1_900));
    assert!(begun.elapsed() <= ms(1_900), "in time for the reply");
    for _ in 0..100 {
        let before = Instant::now();
        let answer = read(&cache, upstream.hangs()).await.expect("an answer");
        assert_eq!((answer.status, before.elapsed()), (CacheStatus::Stale, ms(0)));
        sleep(ms(500)).await;
    }
    assert_eq!(upstream.most_under_way.load(SeqCst), 1);
    assert!(upstream.calls() <= 3, "{} calls", upstream.calls());
}

#[tokio::test(start_paused = true)]
async fn an_old_answer_stands_in_for_an_error_up_to_ten_minutes() {
    let (cache, upstream) = with_old().await;
    advance(secs(599)).await;
    let answer = read(&cache, upstream.answers(ms(100), Err(unavailable()))).await;
    assert_answer(answer, "old", CacheStatus::Stale, secs(599) + ms(100));
    advance(secs(1)).await;
    let answer = read(&cache, upstream.answers(ms(100), Err(unavailable()))).await;
    assert!(matches!(answer, Err(Error::Unavailable(_))), "{answer:?}");
}

#[tokio::test(start_paused = true)]
async fn an_expired_answer_is_not_served_while_zendesk_works() {
    let (cache, upstream) = with_old().await;
    advance(secs(100)).await;
    assert_answer(read(&cache, upstream.answers(ms(50), Ok("new"))).await, "new", CacheStatus::Miss, ms(50));
}

#[tokio::test(start_paused = true)]
async fn outages_let_an_old_answer_stand_in() {
    let refusal = || Box::new(Refusal::default());
    let outages = [
        Error::Throttled(refusal()),
        Error::Server(refusal()),
        Error::GatewayTimeout(refusal()),
        Error::Malformed(refusal()),
        Error::AttemptTimeout,
        Error::BreakerOpen { class: "user_reads", retry_after: secs(1) },
        Error::BudgetSpent { limit: Limit::Account, retry_after: secs(1) },
        Error::Overloaded { what: "queue" },
    ];
    for outage in outages {
        let (cache, upstream) = with_old().await;
        advance(secs(100)).await;
        let answer = read(&cache, upstream.answers(ms(0), Err(outage))).await;
        assert_answer(answer, "old", CacheStatus::Stale, secs(100));
    }
}

#[tokio::test(start_paused = true)]
async fn who_is_refused_gets_no_old_answer_from_then_on() {
    let (cache, upstream) = with_old().await;
    advance(secs(40)).await;
    // Stale is served before the refresh can tell that the credential may no longer read this.
    assert!(read(&cache, upstream.answers(ms(10), Err(forbidden()))).await.is_ok());
    sleep(ms(20)).await;
    let answer = read(&cache, upstream.answers(ms(10), Err(forbidden()))).await;
    assert!(matches!(answer, Err(Error::Forbidden(_))), "{answer:?}");
    let answer = read(&cache, upstream.answers(ms(10), Err(unavailable()))).await;
    assert!(matches!(answer, Err(Error::Unavailable(_))), "{answer:?}");
}

#[tokio::test(start_paused = true)]
async fn no_such_record_is_remembered_for_ten_seconds_and_never_served_stale() {
    let (cache, upstream) = with_old().await;
    advance(secs(100)).await;
    let begun = Instant::now();
    for _ in 0..5 {
        let answer = read(&cache, upstream.answers(ms(0), Err(not_found()))).await;
        assert!(matches!(answer, Err(Error::NotFound(_))), "{answer:?}");
    }
    assert!(matches!(cache.get_fresh(&key(7)), Some(Err(Error::NotFound(_)))));
    assert_eq!(upstream.calls(), 1);
    advance(secs(10).saturating_sub(begun.elapsed())).await;
    assert!(cache.get_fresh(&key(7)).is_none());
    let answer = read(&cache, upstream.answers(ms(0), Err(unavailable()))).await;
    assert!(matches!(answer, Err(Error::Unavailable(_))), "{answer:?}");
}

#[tokio::test(start_paused = true)]
async fn no_cache_asks_zendesk_and_stores_what_it_says() {
    let (cache, upstream) = with_old().await;
    let no_cache = Control { no_cache: true, ..PLAIN };
    let ask = async |answer| {
        cache.read(&key(7), &record(7), no_cache, within(secs(10)), upstream.answers(ms(10), answer)).await
    };
    assert_answer(ask(Ok("new")).await, "new", CacheStatus::Bypass, ms(10));
    assert_answer(read(&cache, upstream.hangs()).await, "new", CacheStatus::Hit, ms(10));
    let failed = ask(Err(unavailable())).await;
    assert!(failed.is_err(), "who wants no cached answer gets none for an error either");
}

#[tokio::test(start_paused = true)]
async fn no_cache_does_not_board_a_flight_that_began_before() {
    let (cache, upstream) = (cache(), Upstream::default());
    let early = read(&cache, upstream.answers(ms(300), Ok("old")));
    let late = async {
        sleep(ms(100)).await;
        let no_cache = Control { no_cache: true, ..PLAIN };
        cache.read(&key(7), &record(7), no_cache, within(secs(10)), upstream.answers(ms(50), Ok("new"))).await
    };
    let (early, late) = tokio::join!(early, late);
    assert_answer(early, "old", CacheStatus::Miss, ms(300));
    assert_answer(late, "new", CacheStatus::Bypass, ms(50));
    // The flight that began first landed last, and did not put the older answer over the younger.
    assert_eq!(read(&cache, upstream.hangs()).await.expect("an answer").bytes, "new");
}

#[tokio::test(start_paused = true)]
async fn max_age_is_obeyed() {
    let (cache, upstream) = with_old().await;
    let ask = async |age, answer| {
        let control = Control { max_age: Some(secs(age)), ..PLAIN };
        cache.read(&key(7), &record(7), control, within(secs(10)), upstream.answers(ms(0), answer)).await
    };
    advance(secs(10)).await;
    assert_answer(ask(10, Ok("new")).await, "old", CacheStatus::Hit, secs(10));
    assert_eq!(upstream.calls(), 0);
    assert!(ask(9, Err(unavailable())).await.is_err());
    assert_answer(ask(9, Ok("new")).await, "new", CacheStatus::Miss, ms(0));
    advance(secs(300)).await;
    // `max-age` may exceed the stale window; the answer is then marked stale.
    assert_answer(ask(400, Ok("newer")).await, "new", CacheStatus::Stale, secs(300));
}

#[tokio::test(start_paused = true)]
async fn only_if_cached_never_asks_zendesk() {
    let (cache, upstream) = with_old().await;
    let ask = async |id, control: Control| {
        let control = Control { only_if_cached: true, ..control };
        let answer =
            cache.read(&key(id), &record(id), control, within(secs(10)), upstream.answers(ms(0), Ok("new"))).await;
        settle().await;
        answer
    };
    assert_answer(ask(7, PLAIN).await, "old", CacheStatus::Hit, ms(0));
    assert!(matches!(ask(8, PLAIN).await, Err(Error::CacheMiss)));
    assert!(matches!(ask(7, Control { no_cache: true, ..PLAIN }).await, Err(Error::CacheMiss)));
    advance(secs(40)).await;
    assert_answer(ask(7, PLAIN).await, "old", CacheStatus::Stale, secs(40));
    assert!(matches!(ask(7, Control { max_age: Some(secs(39)), ..PLAIN }).await, Err(Error::CacheMiss)));
    advance(secs(60)).await;
    assert!(matches!(ask(7, PLAIN).await, Err(Error::CacheMiss)));
    assert_eq!(upstream.calls(), 0);
}
