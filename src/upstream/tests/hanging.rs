//! One caller whose requests hang: nobody else waits for long, or fails, for their sake.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tower::ServiceBuilder;

use super::support::{Hits, SECOND, Zendesk, answer, ask, millis, read, settle, unsafe_write, within, zendesk};
use crate::cache::WaitsFor;
use crate::config;
use crate::error::Error;
use crate::limits::{Limits, Window};
use crate::share::{Share, Shares};
use crate::upstream::call::{Answer, Call, Priority};
use crate::upstream::queue::{self, Queue};
use crate::upstream::{Control, Jitter, Upstream, stack_with};

/// Longest that a call of another caller may take: one request that works, and less than a second before it.
const LONGEST: Duration = Duration::from_secs(1);

fn shares() -> impl Fn(&str) -> Share {
    let shares = Shares::new(&config::Callers::unlimited(), 0);
    move |name| shares.of(name)
}

/// Answers in 50 ms, but some callers' requests as `hang` says.
fn hangs<A>(greedy: &[Share], hang: impl Fn() -> A + Clone + Send + Sync + 'static) -> impl Zendesk
where
    A: Future<Output = ()> + Send + 'static,
{
    let greedy: Vec<u64> = greedy.iter().map(Share::id).collect();
    zendesk(&Hits::default(), move |_, call: Call| {
        let (greedy, hang) = (greedy.contains(&call.share.id()), hang.clone());
        async move {
            if greedy {
                hang().await;
            } else {
                sleep(millis(50)).await;
            }
            Ok(answer())
        }
    })
}

async fn stack(zendesk: impl Zendesk) -> (Upstream, Control) {
    let (upstream, control) = stack_with(&config::Upstream::default(), Jitter::OFF, zendesk);
    ask(&upstream, read()).await.expect("an answer that states no budget, so nothing is paced");
    (upstream, control)
}

/// Makes calls of this caller again and again, so many at a time.
fn besiege(upstream: &Upstream, share: &Share, calls: usize, call: fn() -> Call) -> JoinSet<()> {
    let mut besiegers = JoinSet::new();
    for _ in 0..calls {
        let (upstream, share) = (upstream.clone(), share.clone());
        besiegers.spawn(async move {
            loop {
                let outcome = ask(&upstream, Call { share: share.clone(), ..call() }).await;
                if outcome.is_err() {
                    sleep(millis(500)).await;
                }
            }
        });
    }
    besiegers
}

/// Makes calls of these callers for a while, so many of each at a time. Returns how many there were and how long the longest took.
async fn others(upstream: &Upstream, others: &[Share], at_once: usize, time: Duration) -> (usize, Duration) {
    let (mut calls, until) = (JoinSet::new(), Instant::now() + time);
    for (number, share) in others.iter().flat_map(|share| vec![share; at_once]).enumerate() {
        let (upstream, share) = (upstream.clone(), share.clone());
        calls.spawn(async move {
            let (mut done, mut longest) = (0, Duration::ZERO);
            while Instant::now() < until {
                let begun = Instant::now();
                let call = if (number + done) % 2 == 0 { read() } else { unsafe_write() };
                let call = Call { share: share.clone(), ..within(SECOND * 2, call) };
                ask(&upstream, call).await.unwrap_or_else(|error| panic!("call {done} of {number}: {error:?}"));
                longest = longest.max(begun.elapsed());
                done += 1;
                sleep(millis(20)).await;
            }
            (done, longest)
        });
    }
    let all = calls.join_all().await;
    (all.iter().map(|(done, _)| done).sum(), all.iter().map(|(_, longest)| *longest).max().expect("some"))
}

#[tokio::test(start_paused = true)]
#[ignore = "slow"]
async fn no_call_of_another_caller_fails_or_waits_for_long_however_one_callers_requests_hang() {
    let share = shares();
    let greedy = share("greedy");
    let forever = || pending::<()>();
    // Just under the time-out of a read, so that nothing counts as a failure.
    let long = || sleep(millis(9_900));
    for (what, call) in [("reads", read as fn() -> Call), ("writes", unsafe_write)] {
        for (callers, at_once) in [(1, 20), (19, 1)] {
            let modest: Vec<Share> = (0..callers).map(|number| share(&format!("modest-{number}"))).collect();
            for endless in [true, false] {
                let (upstream, control) = if endless {
                    stack(hangs(std::slice::from_ref(&greedy), forever)).await
                } else {
                    stack(hangs(std::slice::from_ref(&greedy), long)).await
                };
                let besiegers = besiege(&upstream, &greedy, 128, call);
                settle().await;
                let (done, longest) = others(&upstream, &modest, at_once, SECOND * 35).await;
                let how = format!("{what}, endless: {endless}, {callers} others");
                println!("{how}: {done} calls of others, the longest took {longest:?}");
                assert!(longest <= LONGEST, "{how}: {longest:?}");
                assert!(done > 35 * 20 * 10, "{how}: {done}");
                let queue = control.snapshot().queue;
                assert!(queue.in_use <= 96, "{how}: {queue:?}");
                drop(besiegers);
            }
        }
    }
}

#[tokio::test(start_paused = true)]
#[ignore = "slow"]
async fn what_somebody_waits_for_waits_behind_one_page_of_other_callers_streams_at_most() {
    let (share, page) = (shares(), || Call { priority: Priority::Background, ..read() });
    for time in [100, 700] {
        let greedy: Vec<Share> = (0..3).map(|number| share(&format!("greedy-{number}"))).collect();
        let (upstream, control) = stack(hangs(&greedy, move || sleep(millis(time)))).await;
        // All permits are theirs, and each waits for more.
        let _besiegers: Vec<_> = greedy.iter().map(|share| besiege(&upstream, share, 80, page)).collect();
        sleep(SECOND).await;
        let queue = control.snapshot().queue;
        assert!(queue.in_use >= 60 && queue.waiting > 100, "{queue:?}");
        let (done, longest) = others(&upstream, &[share("modest")], 1, SECOND * 10).await;
        println!("pages of {time} ms: {done} calls, the longest took {longest:?}");
        assert!(longest <= millis(time + 60), "{time}: {longest:?}");
    }
}

#[tokio::test(start_paused = true)]
#[ignore = "slow"]
async fn several_callers_whose_requests_hang_do_not_take_all_either() {
    let share = shares();
    let greedy: Vec<Share> = (0..3).map(|number| share(&format!("greedy-{number}"))).collect();
    let (upstream, _) = stack(hangs(&greedy, pending::<()>)).await;
    let mut besiegers = Vec::new();
    for share in &greedy {
        besiegers.push(besiege(&upstream, share, 128, unsafe_write));
        sleep(SECOND).await;
    }
    let (done, longest) = others(&upstream, &[share("modest")], 2, SECOND * 35).await;
    assert!(longest <= LONGEST && done > 35 * 2 * 10, "{longest:?}, {done}");
}

fn queued(permits: usize, inner: impl Zendesk) -> (impl Zendesk, Arc<Queue>) {
    let queue = Arc::new(Queue::new(&config::Queue { permits, waiting: 256 }));
    (ServiceBuilder::new().layer(queue::Layer::new(&queue)).service(inner), queue)
}

#[tokio::test(start_paused = true)]
async fn a_caller_alone_has_nearly_all_permits_and_leaves_a_sixteenth_for_whoever_comes() {
    let share = shares();
    let (service, queue) = queued(64, zendesk(&Hits::default(), |_, _| pending()));
    let start = |share: &Share| {
        let (service, call) = (service.clone(), Call { share: share.clone(), ..read() });
        tokio::spawn(async move { ask(&service, call).await })
    };
    let alone: Vec<_> = (0..100).map(|_| start(&share("alone"))).collect();
    settle().await;
    assert_eq!((queue.snapshot().in_use, queue.snapshot().waiting), (60, 40));
    let _other = start(&share("other"));
    settle().await;
    assert_eq!((queue.snapshot().in_use, queue.snapshot().waiting), (61, 40));
    sleep(SECOND * 2).await;
    assert_eq!(queue.snapshot().in_use, 61, "its own count against it, however long they hang");
    alone.iter().for_each(tokio::task::JoinHandle::abort);
}

/// Whose call is it that several share? Of the one who began it; if that one may have no more, of another who wants it.
#[tokio::test(start_paused = true)]
async fn a_call_that_a_modest_caller_joins_does_not_wait_for_permits_of_the_greedy_one_who_began_it() {
    let share = shares();
    let (greedy, modest) = (share("greedy"), share("modest"));
    let (service, queue) = queued(
        64,
        zendesk(&Hits::default(), |number, _| async move {
            if number <= 60 {
                pending::<()>().await;
            }
            Ok(answer())
        }),
    );
    let mut hang = JoinSet::new();
    for _ in 0..100 {
        let (service, call) = (service.clone(), Call { share: greedy.clone(), ..read() });
        hang.spawn(async move { ask(&service, call).await });
    }
    settle().await;
    sleep(SECOND).await;
    let waits_for = WaitsFor::noted();
    waits_for.serve(&greedy);
    let joined = Call { share: greedy.clone(), waits_for: waits_for.clone(), ..read() };
    let other = service.clone();
    let joined = tokio::spawn(async move { ask(&other, joined).await });
    sleep(SECOND).await;
    assert!(!joined.is_finished(), "it is the greedy one's");
    let begun = Instant::now();
    waits_for.serve(&modest);
    joined.await.expect("no panic").expect("answered");
    assert!(begun.elapsed() <= millis(1), "{:?}", begun.elapsed());
    // One who begins it after them has it at once.
    let call = Call { share: greedy, waits_for, ..read() };
    ask(&service, call).await.expect("answered");
    assert!(begun.elapsed() <= millis(1), "{:?}", begun.elapsed());
    assert_eq!((queue.snapshot().in_use, queue.snapshot().waiting), (60, 40));
}

/// Zendesk's answers say that 200 requests a minute are allowed; writes hang.
#[tokio::test(start_paused = true)]
async fn writes_that_hang_take_nothing_of_a_small_budget_but_what_they_cost() {
    let budget = |remaining| Limits {
        account: Some(Window { limit: 200, remaining, reset: Some(Duration::from_secs(50)) }),
        buckets: Vec::new(),
    };
    let share = shares();
    let (greedy, modest) = (share("greedy"), share("modest"));
    let hits = Hits::default();
    let hung = greedy.id();
    let zendesk = zendesk(&hits, move |number, call: Call| async move {
        if call.share.id() == hung {
            pending::<()>().await;
        }
        sleep(millis(20)).await;
        Ok(Answer { limits: budget(200 - number), ..answer() })
    });
    let (upstream, control) = stack_with(&config::Upstream::default(), Jitter::OFF, zendesk);
    let of = |share: &Share, call| Call { share: share.clone(), ..call };
    ask(&upstream, of(&modest, read())).await.expect("what is left is known");
    let mut hang = JoinSet::new();
    for _ in 0..40 {
        let (upstream, call) = (upstream.clone(), of(&greedy, unsafe_write()));
        hang.spawn(async move { ask(&upstream, call).await });
    }
    sleep(SECOND).await;
    ask(&upstream, of(&modest, within(SECOND * 2, read()))).await.expect("the first goes after a while");
    sleep(SECOND).await;
    ask(&upstream, of(&modest, within(SECOND * 2, read()))).await.expect("it says what is left after the writes");
    let begun = Instant::now();
    for _ in 0..30 {
        ask(&upstream, of(&modest, within(SECOND, read()))).await.expect("there is budget");
    }
    assert!(begun.elapsed() < SECOND, "{:?}", begun.elapsed());
    // What ends without an answer was counted long ago.
    let left = |control: &Control| control.snapshot().governor.account.expect("known").remaining;
    let before = left(&control);
    hang.shutdown().await;
    assert_eq!(left(&control), before);
}

#[tokio::test(start_paused = true)]
async fn time_outs_of_one_caller_open_no_circuit_while_another_is_answered() {
    let share = shares();
    let (greedy, modest) = (share("greedy"), share("modest"));
    let (upstream, control) = stack(hangs(std::slice::from_ref(&greedy), pending::<()>)).await;
    let opened = |control: &Control| control.snapshot().breakers.iter().map(|breaker| breaker.opened).sum::<u64>();
    let besiegers = besiege(&upstream, &greedy, 30, read);
    for _ in 0..6 {
        sleep(SECOND * 4).await;
        ask(&upstream, Call { share: modest.clone(), ..read() }).await.expect("answered");
    }
    assert_eq!(opened(&control), 0);
    drop(besiegers);
    let (upstream, control) = stack(hangs(&[greedy.clone(), modest.clone()], pending::<()>)).await;
    let besiegers = besiege(&upstream, &greedy, 4, read);
    let also = besiege(&upstream, &modest, 4, read);
    sleep(millis(10_500)).await;
    assert!(opened(&control) > 0, "nobody is answered");
    drop((besiegers, also));
    let error = ask(&upstream, Call { share: modest, ..read() }).await.expect_err("open");
    assert!(matches!(error, Error::BreakerOpen { .. }), "{error:?}");
}
