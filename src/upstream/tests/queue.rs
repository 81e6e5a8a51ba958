//! Who waits for a permit, in which order, and who is refused.

use std::future::pending;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};
use tower::ServiceBuilder;

use super::support::{Hits, SECOND, Zendesk, answer, ask, millis, read, settle, shared, unsafe_write, within, zendesk};
use crate::cache::WaitsFor;
use crate::config;
use crate::contract::Idempotency;
use crate::error::Error;
use crate::share::Shares;
use crate::upstream::call::{Call, Priority};
use crate::upstream::queue::{self, Queue};
use crate::upstream::{Jitter, stack_with};

/// Only the queue, around a stand-in.
fn queued(permits: usize, waiting: usize, inner: impl Zendesk) -> (impl Zendesk, Arc<Queue>) {
    let queue = Arc::new(Queue::new(&config::Queue { permits, waiting }));
    (ServiceBuilder::new().layer(queue::Layer::new(&queue)).service(inner), queue)
}

fn background(call: Call) -> Call {
    Call { priority: Priority::Background, ..call }
}

#[tokio::test(start_paused = true)]
async fn what_reading_an_answer_takes_says_nothing_of_how_long_exchanges_take() {
    let read_slowly = zendesk(&Hits::default(), |hit, call| async move {
        sleep(millis(100)).await;
        call.ledger.came();
        sleep(SECOND * 10).await;
        if hit % 2 == 0 { Err(Error::DeadlineInReading) } else { Ok(answer()) }
    });
    let (service, _) = queued(1, 10, read_slowly);
    for _ in 0..5 {
        drop(ask(&service, read()).await);
    }
    let held = tokio::spawn({
        let service = service.clone();
        async move { ask(&service, read()).await }
    });
    settle().await;
    let began = Instant::now();
    ask(&service, within(SECOND, read())).await.expect_err("the permit is held");
    assert_eq!(began.elapsed(), millis(950), "it has waited for the permit");
    held.abort();
}

#[tokio::test(start_paused = true)]
async fn calls_wait_by_priority_and_then_by_deadline() {
    let order = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&order);
    let one_at_a_time = zendesk(&Hits::default(), move |_, call: Call| {
        let left = call.deadline.duration_since(Instant::now()).as_secs();
        seen.lock().expect("no panic").push((call.priority, left));
        async {
            sleep(millis(1)).await;
            Ok(answer())
        }
    });
    let (service, _) = queued(1, 10, one_at_a_time);
    let mut calls = JoinSet::new();
    let seconds = |seconds: u64, call| within(SECOND * u32::try_from(seconds).expect("few") + millis(500), call);
    for call in [
        seconds(9, read()), // it finds the permit free
        seconds(2, background(read())),
        seconds(8, read()),
        seconds(5, unsafe_write()),
        seconds(4, read()),
    ] {
        let service = service.clone();
        calls.spawn(async move { ask(&service, call).await });
        settle().await;
    }
    assert!(calls.join_all().await.iter().all(Result::is_ok));
    let expected =
        [(Priority::Interactive, 9), (Priority::Write, 5), (Priority::Interactive, 4), (Priority::Interactive, 8)];
    let order = order.lock().expect("no panic");
    assert_eq!(order[..4], expected);
    assert_eq!(order[4], (Priority::Background, 2));
}

#[tokio::test(start_paused = true)]
async fn the_last_in_a_full_room_is_refused_at_once() {
    let (service, queue) = queued(1, 1, zendesk(&Hits::default(), |_, _| pending()));
    let start = |call: Call| {
        let service = service.clone();
        tokio::spawn(async move { ask(&service, call).await })
    };
    let _served = start(read());
    settle().await;
    let displaced = start(background(read()));
    settle().await;
    let began = Instant::now();
    let error = ask(&service, background(within(SECOND * 40, read()))).await.expect_err("it ranks last");
    assert!(matches!(error, Error::Overloaded { .. }), "{error:?}");
    let waits = start(read());
    let error = displaced.await.expect("no panic").expect_err("an interactive call takes its place");
    assert!(matches!(error, Error::Overloaded { .. }), "{error:?}");
    assert!(began.elapsed() <= millis(10));
    assert!(!waits.is_finished());
    let snapshot = queue.snapshot();
    assert_eq!((snapshot.in_use, snapshot.waiting, snapshot.refused_full), (1, 1, 2));
}

#[tokio::test(start_paused = true)]
async fn writes_that_hang_keep_nobody_from_reading() {
    let zendesk = zendesk(&Hits::default(), |_, call: Call| async move {
        if call.idempotency != Idempotency::NoSideEffects {
            pending::<()>().await;
        }
        sleep(millis(50)).await;
        Ok(answer())
    });
    let (service, queue) = queued(8, 100, zendesk);
    let mut hang = JoinSet::new();
    for _ in 0..20 {
        let service = service.clone();
        hang.spawn(async move { ask(&service, unsafe_write()).await });
    }
    settle().await;
    let began = Instant::now();
    ask(&service, within(SECOND * 5, read())).await.expect("what waited as they began to hang is answered");
    assert!(began.elapsed() <= millis(2_100), "{:?}", began.elapsed());
    let began = Instant::now();
    let reads = (0..20).map(|_| ask(&service, within(SECOND, read())));
    assert!(futures_util::future::join_all(reads).await.iter().all(Result::is_ok));
    assert!(began.elapsed() <= millis(500), "two at a time: {:?}", began.elapsed());
    assert_eq!((queue.snapshot().in_use, queue.snapshot().waiting), (8, 12), "of the writes, no more than before");
    hang.shutdown().await;
    assert_eq!(queue.snapshot().in_use, 0);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_waits_in_the_room_is_refused_while_there_is_time_to_say_so() {
    let hits = Hits::default();
    let (service, queue) = queued(1, 10, zendesk(&hits, |_, _| pending()));
    let holder = tokio::spawn({
        let service = service.clone();
        async move { ask(&service, read()).await }
    });
    settle().await;
    let began = Instant::now();
    let error = ask(&service, within(SECOND, read())).await.expect_err("no permit");
    assert!(matches!(error, Error::Overloaded { .. }), "{error:?}");
    assert_eq!(began.elapsed(), millis(950));
    holder.abort();
    settle().await;
    assert_eq!((hits.get(), queue.snapshot().in_use, queue.snapshot().waiting), (1, 0, 0));
}

/// Others may share the answer for longer, but the call's turn is decided by its own caller's time.
#[tokio::test(start_paused = true)]
async fn a_read_for_others_waits_and_is_refused_by_the_time_of_its_own_caller() {
    let hits = Hits::default();
    let (service, queue) = queued(1, 10, zendesk(&hits, |_, _| pending()));
    let start = |call: Call| {
        let service = service.clone();
        tokio::spawn(async move { ask(&service, call).await })
    };
    let holder = start(read());
    settle().await;
    let began = Instant::now();
    let error = ask(&service, shared(millis(100))).await.expect_err("an exchange takes longer than that");
    assert!(matches!(error, Error::Overloaded { .. }) && began.elapsed().is_zero(), "{error:?}");
    let (patient, hurried) = (start(shared(SECOND * 3)), start(shared(SECOND)));
    settle().await;
    holder.abort();
    settle().await;
    assert_eq!(hits.get(), 2, "the one who came later goes first");
    let error = patient.await.expect("no panic").expect_err("no permit");
    assert!(matches!(error, Error::Overloaded { .. }), "{error:?}: who shares it may have more time");
    assert_eq!(began.elapsed(), millis(2_850));
    assert!(!hurried.is_finished());
    assert_eq!((queue.snapshot().waiting, queue.snapshot().refused_too_late), (0, 2));
}

#[tokio::test(start_paused = true)]
async fn a_thousand_calls_cancelled_half_way_leave_nothing_behind() {
    let hits = Hits::default();
    let mut settings = config::Upstream::default();
    settings.queue.waiting = 1_000;
    let (upstream, control) = stack_with(
        &settings,
        Jitter::OFF,
        zendesk(&hits, |number, _| async move { if number == 1 { Ok(answer()) } else { pending().await } }),
    );
    ask(&upstream, read()).await.expect("an answer that states no budget, so nothing is paced");
    let mut calls = JoinSet::new();
    for _ in 0..1_000 {
        let upstream = upstream.clone();
        calls.spawn(async move { ask(&upstream, read()).await });
    }
    sleep(millis(50)).await;
    let busy = control.snapshot().queue;
    assert_eq!((busy.in_use, busy.waiting), (60, 940));
    calls.shutdown().await;
    let idle = control.snapshot().queue;
    assert_eq!((idle.in_use, idle.waiting, hits.get()), (0, 0, 61));
}

/// A stand-in that does 64 things at a time in 100 ms each, and all of them ever slower the more it is given.
fn congested() -> impl Zendesk {
    let busy = Arc::new(AtomicU32::new(0));
    zendesk(&Hits::default(), move |number, _| {
        let busy = Arc::clone(&busy);
        async move {
            let load = busy.fetch_add(1, Ordering::Relaxed) + 1;
            let done = Done(busy);
            sleep(millis(75 + 50 * u64::from(number % 2)) * load.max(64) / 64).await;
            drop(done);
            Ok(answer())
        }
    })
}

/// Connections that take 40 requests of 150 ms each at a time, and turn away at once what they have no room for.
fn crowded() -> impl Zendesk {
    const ROOM: u32 = 40;
    let busy = Arc::new(AtomicU32::new(0));
    zendesk(&Hits::default(), move |_, _| {
        let busy = Arc::clone(&busy);
        async move {
            let load = busy.fetch_add(1, Ordering::Relaxed) + 1;
            let _done = Done(busy);
            if load > ROOM {
                return Err(Error::NoStream { allowed: ROOM as usize, is_shut: false });
            }
            sleep(millis(150)).await;
            Ok(answer())
        }
    })
}

struct Done(Arc<AtomicU32>);

impl Drop for Done {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Offers `rate` calls a second for six seconds, whatever becomes of them. Of the last five, when the queue has seen how long
/// exchanges take, returns the good answers per second and how long the refusals took, the longest last.
async fn offer(service: impl Zendesk, rate: u32, deadline: Duration) -> (u32, Vec<Duration>) {
    let began = Instant::now();
    let mut calls = JoinSet::new();
    for number in 0..rate * 6 {
        sleep_until(began + SECOND * number / rate).await;
        let service = service.clone();
        calls.spawn(async move {
            let asked = Instant::now();
            let result = tokio::time::timeout(deadline, ask(&service, within(deadline, read()))).await;
            (result, asked.elapsed(), asked.duration_since(began) >= SECOND)
        });
    }
    let (mut good, mut refused) = (0, Vec::new());
    for (result, took, warm) in calls.join_all().await {
        match result {
            _ if !warm => {}
            Ok(Ok(_)) => good += 1,
            Ok(Err(Error::Overloaded { .. })) => refused.push(took),
            _ => {}
        }
    }
    refused.sort();
    (good / 5, refused)
}

#[tokio::test(start_paused = true)]
#[ignore = "slow"]
async fn under_four_times_the_load_as_many_calls_succeed_and_the_others_are_refused_at_once() {
    for deadline in [millis(300), SECOND] {
        let mut goodput = Vec::new();
        for load in 1..=4 {
            let (upstream, _) = stack_with(&config::Upstream::default(), Jitter::OFF, congested());
            let (good, refused) = offer(upstream, 640 * load, deadline).await;
            let slowest = refused.last().copied().unwrap_or_default();
            assert!(slowest <= millis(10), "a refusal took {slowest:?} at {load}x");
            goodput.push(good);
        }
        println!("answered per second at 1x to 4x with a deadline of {deadline:?}: {goodput:?}");
        let peak = *goodput.iter().max().expect("four loads");
        assert!(goodput.iter().all(|good| good * 10 >= peak * 9));
        assert!(peak > 500);
    }
}

#[tokio::test(start_paused = true)]
async fn a_modest_caller_who_joins_what_a_greedy_one_began_waits_for_its_own_turn_only() {
    let shares = Shares::new(&config::Callers::default(), 0);
    let (greedy, modest) = (shares.of("greedy"), shares.of("modest"));
    let (service, _) = queued(
        1,
        200,
        zendesk(&Hits::default(), |_, _| async {
            sleep(SECOND / 10).await;
            Ok(answer())
        }),
    );
    let begun = Instant::now();
    let mut calls = JoinSet::new();
    for _ in 0..100 {
        let (service, call) = (service.clone(), Call { share: greedy.clone(), ..read() });
        calls.spawn(async move { ask(&service, call).await });
        settle().await;
    }
    let waits_for = WaitsFor::noted();
    waits_for.serve(&greedy);
    let shared = Call { share: greedy, waits_for: waits_for.clone(), ..read() };
    let shared = tokio::spawn(async move { ask(&service, shared).await.map(|_| Instant::now()) });
    settle().await;
    sleep(SECOND).await;
    waits_for.serve(&modest);
    let answered = shared.await.expect("no panic").expect("it is answered");
    let took = answered - begun;
    assert!(took > SECOND && took < SECOND * 2, "{took:?}: behind all of the greedy one's calls it takes ten seconds");
}

/// From time to time it is tried whether connections take more. Those for whom there still is no room have had their turn.
#[tokio::test(start_paused = true)]
#[ignore = "slow"]
async fn near_saturation_of_the_connections_calls_are_refused_at_once_too() {
    for rate in [280, 320, 400, 800] {
        let (upstream, _) = stack_with(&config::Upstream::default(), Jitter::OFF, crowded());
        let (good, refused) = offer(upstream, rate, millis(500)).await;
        let slowest = refused.last().copied().unwrap_or_default();
        println!("{rate} a second: {good} answered of 266, {} refused within {slowest:?}", refused.len());
        assert!(good >= 250 && slowest <= millis(10), "{good} a second, refused within {slowest:?}");
    }
}

/// For two seconds from the first on, Zendesk processes nothing: each request is offered again and again, until it is processed or
/// goes back into the queue.
fn shut_for_two_seconds(offered_for: Duration) -> impl Zendesk {
    let began = Instant::now() + SECOND;
    zendesk(&Hits::default(), move |number, call: Call| async move {
        let shut = || Instant::now() >= began && Instant::now() < began + SECOND * 2;
        let offered_until = Instant::now() + offered_for;
        while shut() {
            call.ledger.unsend();
            if Instant::now() >= offered_until {
                return Err(Error::NoStream { allowed: 0, is_shut: number % 2 == 0 });
            }
            sleep(millis(50)).await;
            call.ledger.sent();
        }
        sleep(millis(20)).await;
        Ok(answer())
    })
}

#[tokio::test(start_paused = true)]
async fn two_seconds_in_which_nothing_was_processed_cost_no_call_that_has_five() {
    for offered_for in [Duration::ZERO, millis(200), SECOND, SECOND * 3] {
        let (service, queue) = queued(64, 1_000, shut_for_two_seconds(offered_for));
        let began = Instant::now();
        let mut calls = JoinSet::new();
        for number in 0..150 * 5 {
            sleep_until(began + SECOND * number / 150).await;
            let service = service.clone();
            calls.spawn(async move { ask(&service, within(SECOND * 5, read())).await });
        }
        let ended = calls.join_all().await;
        let lost = ended.iter().filter(|outcome| outcome.is_err()).count();
        assert_eq!((lost, queue.snapshot().refused_too_late), (0, 0), "offered for {offered_for:?}");
        assert!(began.elapsed() < SECOND * 6, "{:?}", began.elapsed());
    }
}
