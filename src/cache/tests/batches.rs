//! Single reads that leave together.

use std::sync::Mutex;

use tokio::task::JoinSet;

use super::*;
use crate::error::ConnectionError;

/// Answers each id with itself after 100 ms, leaves out negative ones, and keeps a list of the calls.
#[derive(Clone, Default)]
struct ShowMany {
    upstream: Upstream,
    calls: Arc<Mutex<Vec<Vec<i64>>>>,
}

/// What happens to the call that uses this member's way.
#[derive(Clone)]
struct Way {
    many: ShowMany,
    time: Duration,
    outcome: Result<()>,
}

impl ShowMany {
    fn fetch(&self) -> Way {
        self.after(ms(100), Ok(()))
    }

    fn after(&self, time: Duration, outcome: Result<()>) -> Way {
        Way { many: self.clone(), time, outcome }
    }

    fn sizes(&self) -> Vec<usize> {
        self.calls.lock().expect("no panic holds it").iter().map(Vec::len).collect()
    }
}

fn batcher() -> Batcher<Way, i64, i64> {
    batcher_of(&cache())
}

fn batcher_of(cache: &Cache) -> Batcher<Way, i64, i64> {
    cache.batcher(100, |way: Way, ids: Vec<i64>, _| async move {
        let _underway = way.many.upstream.begin();
        way.many.calls.lock().expect("no panic holds it").push(ids.clone());
        sleep(way.time).await;
        way.outcome.map(|()| ids.into_iter().filter(|id| *id >= 0).map(|id| (id, id)).collect())
    })
}

fn terms(time: Duration) -> Terms {
    Terms { deadline: within(time), wanted_by: within(time), background: false, waits_for: WaitsFor::default() }
}

/// Gets the value for an id that a caller wants.
async fn one<C: Clone + Send + 'static, V: Clone + Send + 'static>(
    batcher: &Batcher<C, i64, V>,
    credential: u128,
    context: C,
    id: i64,
    terms: Terms,
) -> Result<Option<V>> {
    batcher.get(credential, 0, &context, id, &terms).await
}

/// Spawns one get for each id, and returns each answer and how long it took.
async fn get_all(
    batcher: &Batcher<Way, i64, i64>,
    many: &ShowMany,
    ids: impl Iterator<Item = i64>,
) -> Vec<(i64, Result<Option<i64>>, Duration)> {
    let mut callers = JoinSet::new();
    for id in ids {
        let (batcher, fetch) = (batcher.clone(), many.fetch());
        callers.spawn(async move {
            let begun = Instant::now();
            let answer = one(&batcher, CREDENTIAL, fetch, id, terms(secs(10))).await;
            (id, answer, begun.elapsed())
        });
    }
    callers.join_all().await
}

#[tokio::test(start_paused = true)]
async fn a_hundred_gets_at_once_cost_two_calls_and_each_gets_its_own_value() {
    let (batcher, many) = (batcher(), ShowMany::default());
    for (id, answer, _) in get_all(&batcher, &many, 1..=100).await {
        assert_eq!(answer.expect("an answer"), Some(id));
    }
    assert_eq!(many.sizes(), [1, 99]);
}

#[tokio::test(start_paused = true)]
async fn a_single_get_waits_for_nobody() {
    let (batcher, many) = (batcher(), ShowMany::default());
    for round in 0..3 {
        let answers = get_all(&batcher, &many, round..=round).await;
        assert!(matches!(answers[..], [(_, Ok(Some(id)), took)] if id == round && took == ms(100)), "{answers:?}");
    }
    assert_eq!(many.sizes(), [1, 1, 1]);
}

#[tokio::test(start_paused = true)]
async fn a_full_batch_leaves_at_once_and_no_batch_is_larger_than_a_call_takes() {
    let (batcher, many) = (batcher(), ShowMany::default());
    let answers = get_all(&batcher, &many, 1..=250).await;
    assert!(answers.iter().all(|(_, answer, took)| answer.is_ok() && *took <= ms(200)), "{answers:?}");
    assert_eq!(many.sizes(), [1, 100, 100, 49]);
}

#[tokio::test(start_paused = true)]
async fn an_id_that_the_batch_leaves_out_is_reported_as_missing() {
    let (batcher, many) = (batcher(), ShowMany::default());
    for (id, answer, _) in get_all(&batcher, &many, [1, 2, -3, 4].into_iter()).await {
        assert_eq!(answer.expect("an answer"), (id >= 0).then_some(id));
    }
}

#[tokio::test(start_paused = true)]
async fn an_id_asked_for_twice_is_sent_once_and_never_joins_a_batch_that_has_left() {
    let (batcher, many) = (batcher(), ShowMany::default());
    let answers = get_all(&batcher, &many, [1, 1, 1, 2].into_iter()).await;
    assert!(answers.iter().all(|(id, answer, _)| answer.as_ref().is_ok_and(|value| *value == Some(*id))));
    assert_eq!(*many.calls.lock().expect("no panic holds it"), [vec![1], vec![1, 2]]);
}

#[tokio::test(start_paused = true)]
async fn a_failure_reaches_exactly_the_batch_that_failed() {
    let (batcher, many) = (batcher(), ShowMany::default());
    let get = async |id, outcome| one(&batcher, CREDENTIAL, many.after(ms(100), outcome), id, terms(secs(10))).await;
    let later = async |id| {
        sleep(ms(150)).await;
        one(&batcher, CREDENTIAL, many.fetch(), id, terms(secs(10))).await
    };
    let failure = || Err(unavailable());
    let (one, two, three, four) = tokio::join!(get(1, Ok(())), get(2, failure()), get(3, failure()), later(4));
    assert_eq!(one.expect("an answer"), Some(1));
    assert!(matches!((two, three), (Err(Error::Unavailable(_)), Err(Error::Unavailable(_)))));
    assert_eq!(four.expect("an answer"), Some(4));
    assert_eq!(many.sizes(), [1, 2, 1]);
}

#[tokio::test(start_paused = true)]
async fn a_waiter_leaves_at_its_own_deadline_and_the_others_are_answered() {
    let (batcher, many) = (batcher(), ShowMany::default());
    let begun = Instant::now();
    let short = async {
        let answer = one(&batcher, CREDENTIAL, many.fetch(), 1, terms(ms(30))).await;
        (answer, begun.elapsed())
    };
    let gathering = one(&batcher, CREDENTIAL, many.fetch(), 2, terms(ms(20)));
    let long = one(&batcher, CREDENTIAL, many.fetch(), 3, terms(secs(1)));
    let ((short, took), gathering, long) = tokio::join!(short, gathering, long);
    assert!(matches!(short, Err(Error::Deadline { sent: true })), "{short:?}");
    assert_eq!(took, ms(30));
    assert!(matches!(gathering, Err(Error::Deadline { sent: false })), "{gathering:?}");
    assert_eq!(long.expect("an answer"), Some(3));
    assert_eq!(*many.calls.lock().expect("no panic holds it"), [vec![1], vec![3]], "who left is not asked for");
}

#[tokio::test(start_paused = true)]
async fn one_who_opened_a_batch_and_left_does_not_decide_what_the_last_one_left_gets() {
    let (batcher, many) = (batcher(), ShowMany::default());
    let hung = one(&batcher, CREDENTIAL, many.after(ms(500), Ok(())), 1002, terms(secs(5)));
    let opens = async {
        sleep(ms(100)).await;
        one(&batcher, CREDENTIAL, many.fetch(), 2, terms(ms(200))).await
    };
    let stays = async {
        sleep(ms(150)).await;
        one(&batcher, CREDENTIAL, many.fetch(), 3, terms(secs(5))).await
    };
    let (hung, opens, stays) = tokio::join!(hung, opens, stays);
    assert_eq!((hung.expect("an answer"), stays.expect("an answer")), (Some(1002), Some(3)));
    assert!(matches!(opens, Err(Error::Deadline { sent: false })), "{opens:?}");
    assert_eq!(*many.calls.lock().expect("no panic holds it"), [vec![1002], vec![3]]);
}

#[tokio::test(start_paused = true)]
async fn a_batch_is_cancelled_when_nobody_waits_for_it_and_the_next_one_leaves() {
    let (batcher, many) = (batcher(), ShowMany::default());
    let hung = tokio::spawn({
        let (batcher, fetch) = (batcher.clone(), many.after(Duration::from_hours(1), Ok(())));
        async move { one(&batcher, CREDENTIAL, fetch, 1, terms(Duration::from_hours(1))).await }
    });
    settle().await;
    assert_eq!(many.upstream.under_way(), 1);
    let next = tokio::spawn({
        let (batcher, fetch) = (batcher.clone(), many.fetch());
        async move { one(&batcher, CREDENTIAL, fetch, 2, terms(secs(10))).await }
    });
    settle().await;
    let begun = Instant::now();
    hung.abort();
    assert_eq!(next.await.expect("no panic").expect("an answer"), Some(2));
    assert_eq!((begun.elapsed(), many.upstream.under_way()), (ms(100), 0));
}

#[tokio::test(start_paused = true)]
async fn a_call_that_hangs_holds_up_the_next_for_half_a_second_at_most() {
    let (batcher, many) = (batcher(), ShowMany::default());
    let hung = one(&batcher, CREDENTIAL, many.after(Duration::from_hours(1), Ok(())), 1, terms(secs(5)));
    let next = async {
        let begun = Instant::now();
        let answers = get_all(&batcher, &many, 2..=9).await;
        assert!(answers.iter().all(|(_, answer, _)| answer.is_ok()), "{answers:?}");
        begun.elapsed()
    };
    let (hung, next) = tokio::join!(hung, next);
    assert!(matches!(hung, Err(Error::Deadline { .. } | Error::AttemptTimeout)), "{hung:?}");
    assert_eq!(next, ms(600));
    assert_eq!(many.sizes(), [1, 8]);
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_a_batch_reaches_its_waiters_and_wedges_nothing() {
    let batcher = cache().batcher(100, |panics: bool, ids: Vec<i64>, _| async move {
        assert!(!panics, "a batch that panics");
        Ok(ids.into_iter().map(|id| (id, id)).collect())
    });
    let get = async |id, panics| one(&batcher, CREDENTIAL, panics, id, terms(secs(10))).await;
    let (one, two) = tokio::join!(get(1, true), get(2, false));
    assert!(matches!(one, Err(Error::Internal { .. })), "{one:?}");
    assert_eq!(two.expect("an answer"), Some(2));
}

#[tokio::test(start_paused = true)]
async fn credentials_do_not_share_calls_and_do_not_wait_for_each_other() {
    let (batcher, many) = (batcher(), ShowMany::default());
    let begun = Instant::now();
    let calls = (0..4).map(|credential| one(&batcher, credential, many.fetch(), 7, terms(secs(10))));
    for answer in futures_util::future::join_all(calls).await {
        assert_eq!(answer.expect("an answer"), Some(7));
    }
    assert_eq!((many.sizes(), begun.elapsed()), (vec![1; 4], ms(100)));
}

#[tokio::test(start_paused = true)]
async fn a_batch_is_background_work_only_if_nobody_waits_for_any_of_it() {
    let batcher = cache().batcher(100, |(), ids: Vec<i64>, terms: Terms| async move {
        sleep(ms(10)).await;
        Ok(ids.into_iter().map(|id| (id, i64::from(terms.background))).collect())
    });
    let get = async |id, background| {
        let terms = Terms { background, ..terms(secs(10)) };
        one(&batcher, CREDENTIAL, (), id, terms).await.expect("an answer")
    };
    let answers = tokio::join!(get(1, true), get(2, true), get(3, false));
    assert_eq!(answers, (Some(1), Some(0), Some(0)));
}

#[tokio::test(start_paused = true)]
async fn a_batch_is_wanted_until_the_last_of_its_members_gives_up() {
    let begun = Instant::now();
    let batcher = cache().batcher(100, move |(), ids: Vec<i64>, terms: Terms| async move {
        sleep(ms(10)).await;
        let wanted = terms.wanted_by.duration_since(begun).as_secs();
        Ok(ids.into_iter().map(|id| (id, wanted)).collect())
    });
    let get = async |id, wanted| {
        let terms = Terms { wanted_by: begun + secs(wanted), ..terms(secs(10)) };
        one(&batcher, CREDENTIAL, (), id, terms).await.expect("an answer")
    };
    let answers = tokio::join!(get(1, 1), get(2, 3), get(3, 9), get(4, 6));
    assert_eq!(answers, (Some(1), Some(9), Some(9), Some(9)));
}

#[tokio::test(start_paused = true)]
async fn reads_through_the_cache_are_batched() {
    let cache = cache();
    let batcher = batcher_of(&cache);
    let many = ShowMany::default();
    let reads = (1..=100).map(|id| {
        let (batcher, batch) = (batcher.clone(), many.fetch());
        let fetch = move |terms| async move {
            let value = one(&batcher, CREDENTIAL, batch, id, terms).await?.ok_or_else(not_found)?;
            Ok(Bytes::copy_from_slice(&value.to_be_bytes()))
        };
        let cache = cache.clone();
        async move { cache.read(&key(id), &record(id), PLAIN, within(secs(10)), fetch).await }
    });
    for (answer, id) in futures_util::future::join_all(reads).await.into_iter().zip(1_i64..) {
        assert_eq!(answer.expect("an answer").bytes, id.to_be_bytes()[..]);
    }
    assert_eq!(many.sizes(), [1, 99]);
    assert_eq!((cache.counts().batches, cache.counts().batched_ids), ([1, 0, 0, 0, 1], 100));
}

/// A batcher whose requests never come back, or fail, if they have negative ids.
fn poisoned(outcome: Option<Error>) -> (Batcher<ShowMany, i64, i64>, ShowMany) {
    let batcher = cache().batcher(100, move |many: ShowMany, ids: Vec<i64>, _| {
        let outcome = outcome.clone();
        async move {
            many.calls.lock().expect("no panic holds it").push(ids.clone());
            sleep(ms(50)).await;
            match (ids.iter().any(|id| *id < 0), outcome) {
                (true, Some(error)) => Err(error),
                (true, None) => std::future::pending().await,
                (false, _) => Ok(ids.into_iter().map(|id| (id, id)).collect()),
            }
        }
    });
    (batcher, ShowMany::default())
}

fn forbidden() -> Error {
    Error::Forbidden(Box::new(Refusal { status: 403, ..Refusal::default() }))
}

fn broken() -> Error {
    Error::BrokenBeforeHeaders(ConnectionError::new("gone"))
}

/// One caller asks for what hangs or fails all the time, and two others for what is answered.
#[tokio::test(start_paused = true)]
async fn what_one_caller_asks_for_takes_nobody_elses_answer_along_and_delays_it_by_a_second_once() {
    for outcome in [None, Some(broken()), Some(Error::AttemptTimeout), Some(forbidden())] {
        let (batcher, many) = poisoned(outcome.clone());
        let mut calls = JoinSet::new();
        for number in 0..400_i64 {
            for caller in [0, 1, 2_u64] {
                let (batcher, many) = (batcher.clone(), many.clone());
                calls.spawn(async move {
                    sleep(ms(100) * u32::try_from(number).expect("it is small")).await;
                    let begun = Instant::now();
                    let id = if caller == 0 {
                        -1 - number
                    } else {
                        number * 2 + i64::try_from(caller).expect("it is small")
                    };
                    let answer = batcher.get(CREDENTIAL, caller, &many, id, &terms(secs(2))).await;
                    (caller, number, answer.map(|value| value == Some(id)), begun.elapsed())
                });
            }
        }
        let mut slow = 0;
        for (caller, number, answer, took) in calls.join_all().await {
            if caller == 0 {
                assert!(answer.is_err(), "{number}: {answer:?}");
                continue;
            }
            assert!(answer.expect("answered") && took <= ms(1_150), "{outcome:?}: {caller}, {number}, {took:?}");
            slow += u32::from(took > ms(700));
        }
        assert!(slow <= 2 * 11, "only those that came before it was known: {outcome:?}, {slow}");
        // Those who are answered share requests again.
        let requests = many.calls.lock().expect("no panic holds it").clone();
        let shared = |ids: &&Vec<i64>| ids.iter().any(|id| id % 2 == 0) && ids.iter().any(|id| id % 2 != 0);
        assert!(requests.iter().rev().take(20).any(|ids| shared(&ids)), "{outcome:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_caller_alone_is_not_asked_for_twice() {
    let (batcher, many) = poisoned(Some(broken()));
    let get = async |id| batcher.get(CREDENTIAL, 7, &many, id, &terms(secs(5))).await;
    let answers = tokio::join!(get(1), get(-2), get(3));
    assert!(matches!(answers, (Ok(Some(1)), Err(_), Err(_))), "{answers:?}");
    assert_eq!(many.sizes(), [1, 2]);
}
