//! What the whole stack sends, refuses and counts while Zendesk fails or hangs.

use std::collections::HashMap;
use std::future::pending;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::support::{Hits, answer, ask, millis, read, unavailable, unsafe_write, within, zendesk};
use crate::config;
use crate::error::Error;
use crate::upstream::call::{Answer, Call};
use crate::upstream::{Jitter, stack_with};

#[tokio::test(start_paused = true)]
async fn a_call_whose_time_is_up_is_not_sent() {
    let hits = Hits::default();
    let (upstream, control) =
        stack_with(&config::Upstream::default(), Jitter::OFF, zendesk(&hits, |_, _| async { Ok(answer()) }));
    let late = within(millis(1), read());
    sleep(millis(2)).await;
    let error = ask(&upstream, late).await.expect_err("too late");
    assert!(matches!(error, Error::Deadline { sent: false }), "{error:?}");
    assert_eq!((hits.get(), control.snapshot().deadlines.passed_before_sending), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn a_read_that_hangs_is_tried_again_within_its_deadline() {
    let hits = Hits::default();
    let hanging = zendesk(&hits, |number, _| async move { if number == 1 { pending().await } else { Ok(answer()) } });
    let (upstream, control) = stack_with(&config::Upstream::default(), Jitter::OFF, hanging);
    let began = Instant::now();
    let answer = ask(&upstream, read()).await.expect("the second attempt");
    assert_eq!((answer.attempts, began.elapsed()), (2, millis(10_000 + 100)));
    assert_eq!(control.snapshot().attempts.timed_out, 1);
}

#[tokio::test(start_paused = true)]
async fn responses_that_say_that_a_part_was_ignored_are_counted() {
    let warned = zendesk(&Hits::default(), |number, _| async move {
        Ok(Answer { warning: (number == 1).then(|| "ignored".to_owned()), ..answer() })
    });
    let (upstream, control) = stack_with(&config::Upstream::default(), Jitter::OFF, warned);
    for _ in 0..3 {
        ask(&upstream, read()).await.expect("an answer");
    }
    assert_eq!(control.snapshot().attempts.warned, 1);
}

#[tokio::test(start_paused = true)]
async fn a_minute_of_503_costs_zendesk_no_more_than_the_inbound_calls_and_a_fifth() {
    let outage = Duration::from_mins(1);
    let began = Instant::now();
    let hits = Hits::default();
    let sent_writes: Arc<Mutex<HashMap<usize, u32>>> = Arc::default();
    let seen = Arc::clone(&sent_writes);
    let down = zendesk(&hits, move |_, call: Call| {
        if call.rest.path == "/api/v2/users" {
            *seen.lock().expect("no panic").entry(Arc::as_ptr(&call.rest) as usize).or_default() += 1;
        }
        async move { if began.elapsed() < outage { Err(unavailable()) } else { Ok(answer()) } }
    });
    let (upstream, control) = stack_with(&config::Upstream::default(), Jitter::OFF, down);

    let mut inbound = 0;
    let mut kept = Vec::new();
    while began.elapsed() < outage {
        let call = if inbound % 5 == 0 { unsafe_write() } else { read() };
        kept.push(Arc::clone(&call.rest)); // so that no two writes have one address
        let upstream = upstream.clone();
        tokio::spawn(async move { ask(&upstream, call).await });
        inbound += 1;
        sleep(millis(20)).await;
    }
    println!("503 for a minute: {} requests upstream for {inbound} inbound", hits.get());
    assert!(hits.get() * 100 <= inbound * 120, "{} upstream for {inbound} inbound", hits.get());
    assert!(sent_writes.lock().expect("no panic").values().all(|sent| *sent == 1), "an unsafe write was repeated");
    assert!(control.snapshot().breakers.iter().any(|breaker| breaker.refused > 0), "the breaker took part");

    // Once Zendesk is back, so is the gateway, without anybody's help: a probe is never more than a minute away.
    sleep(Duration::from_mins(1)).await;
    ask(&upstream, read()).await.expect("works again");
    assert!(control.snapshot().queue.in_use == 0);
}
