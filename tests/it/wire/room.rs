//! How many requests a connection takes, and what becomes of the others.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use tonic::Status;
use zendesk_gateway::proto::ListUsersRequest;
use zendesk_gateway::sandbox;
use zendesk_gateway::sandbox::faults::{Delay, Drip, RefuseStream, get, post};

use super::{What, call, created, edge, flood, gateway, reason, uncached, within};
use crate::support::TestGateway;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow"]
async fn no_more_writes_are_given_to_connections_than_they_take_and_the_others_are_refused_at_once() {
    crowded(What::Write).await;
}

/// A read could serve others, too, who may have more time; that must not keep it in line for longer than it is wanted.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow"]
async fn no_more_reads_are_given_to_connections_than_they_take_and_the_others_are_refused_at_once() {
    crowded(What::Read).await;
}

/// Four times as many calls as one connection takes.
async fn crowded(what: What) {
    const STREAMS: u32 = 10;
    let mut account = edge(|wire| {
        (wire.max_concurrent_streams, wire.round_trip) = (Some(STREAMS), Duration::from_millis(150));
    });
    // So that no two calls at a time ask for the same.
    account.users = 5_000;
    let mut config = uncached();
    config.upstream.connection.most = 1;
    let gateway = TestGateway::configured(account, config).await;
    // The first calls find out.
    drop(flood(&gateway, What::Read, 64, 64).await);
    let (began, deadline) = (Instant::now(), Duration::from_millis(500));
    let next = std::sync::atomic::AtomicUsize::new(0);
    let caller = async || {
        let (mut done, mut refused, mut late) = (0, Vec::new(), 0);
        while began.elapsed() < Duration::from_secs(4) {
            let number = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            let asked = Instant::now();
            match call(&gateway, what, number, deadline).await {
                Ok(()) => done += 1,
                Err(status) if reason(&status) == "OVERLOADED" => {
                    refused.push((number, asked.elapsed()));
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                Err(_) => late += 1,
            }
        }
        (done, refused, late)
    };
    let outcomes = join_all((0..64).map(|_| caller())).await;
    let took = began.elapsed().as_secs_f64();
    let done: u32 = outcomes.iter().map(|(done, ..)| done).sum();
    let late: u32 = outcomes.iter().map(|(.., late)| late).sum();
    let mut refused: Vec<(usize, Duration)> = outcomes.into_iter().flat_map(|(_, refused, _)| refused).collect();
    let possible = f64::from(STREAMS) / 0.150;
    let goodput = f64::from(done) / took;
    println!("{goodput:.0} a second of {possible:.0}, {} refused, {late} late", refused.len());
    assert!(
        goodput >= if cfg!(debug_assertions) { 0.6 } else { 0.9 } * possible,
        "{goodput:.0} of {possible:.0} a second; {} refused, {late} late",
        refused.len()
    );
    assert!(!refused.is_empty(), "there is room for all");
    tokio::time::sleep(Duration::from_secs(1)).await;
    let created = created(&gateway);
    assert!(refused.iter().all(|(number, _)| !created.contains_key(number)), "a refused write was sent");
    assert!(created.values().all(|times| *times == 1));
    refused.sort_by_key(|(_, took)| *took);
    let (_, median) = refused[refused.len() / 2];
    let most = if cfg!(debug_assertions) { 50 } else { 10 };
    assert!(median <= Duration::from_millis(most), "{median:?}");
    gateway.stop().await;
}

/// The client would take any number that comes at once, and send later what has no room: to nobody's knowledge.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow"]
async fn writes_for_which_there_is_no_room_do_not_leave_after_their_callers_were_told() {
    let mut account = edge(|wire| wire.max_concurrent_streams = Some(5));
    account.latency = sandbox::Latency::Fixed(Duration::from_secs(1));
    let mut config = uncached();
    config.upstream.connection.most = 1;
    let gateway = TestGateway::configured(account, config).await;
    // One at a time, so that nothing is learnt of how many there may be; then all at once, and again after a while.
    call(&gateway, What::Write, 0, Duration::from_secs(5)).await.expect("all is well");
    for round in 1..=2 {
        tokio::time::sleep(Duration::from_secs(3)).await;
        let calls = (0..60).map(|number| call(&gateway, What::Write, round * 60 + number, Duration::from_millis(500)));
        let outcomes = join_all(calls).await;
        assert!(outcomes.iter().all(Result::is_err), "an answer takes longer");
        tokio::time::sleep(Duration::from_secs(4)).await;
        let of_round = created(&gateway).into_keys().filter(|number| number / 60 == round).count();
        // The client's connection may have a stream in its hands when it learns that there is no room.
        assert!((1..=7).contains(&of_round), "{of_round} writes were sent, and there is room for five");
    }
    gateway.stop().await;
}

/// The client keeps few of the streams that it has reset in mind, and would end the connection at the 1,024th.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow"]
async fn a_connection_on_which_many_callers_gave_up_is_left_before_it_ends_under_the_others() {
    let gateway = gateway(|wire| wire.round_trip = Duration::from_millis(200)).await;
    call(&gateway, What::Write, 0, Duration::from_secs(5)).await.expect("all is well");
    gateway.sandbox.fault(post("/users"), Delay::by(Duration::from_millis(500)).forever());
    let hurried = async {
        for round in 0..60 {
            // The answers are under way for the last 100 ms of 200, so resets that leave then cross with them.
            let calls = (0..32).map(|number| {
                call(&gateway, What::Read, round * 32 + number, Duration::from_millis(120 + number as u64))
            });
            join_all(calls).await;
        }
    };
    let patient = async {
        for number in 1..9 {
            call(&gateway, What::Write, number, Duration::from_secs(10)).await.expect("others do not notice");
        }
    };
    tokio::join!(hurried, patient);
    assert_eq!(created(&gateway), (0..9).map(|number| (number, 1)).collect());
    let accepted = gateway.sandbox.connections().counts().accepted;
    assert!((2..=8).contains(&accepted), "{accepted} connections");
    gateway.stop().await;
}

/// What comes on a stream after the client has reset it counts as an error, unless the client remembers the stream.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow"]
async fn answers_that_are_too_large_do_not_end_their_connection_under_others() {
    let refused = given_up(8 << 10, Duration::from_secs(10)).await;
    assert!(!refused.is_empty());
    assert!(refused.iter().all(|status| reason(status) == "BODY_TOO_LARGE"), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow"]
async fn callers_who_leave_long_answers_do_not_end_their_connection_under_others() {
    // The answers begin after 400 ms, and end 80 to 200 ms later.
    given_up(16 << 20, Duration::from_millis(470)).await;
}

/// Has sixty pages at a time given up, of up to a hundred frames each, of which most are under way then, beside writes that must not
/// notice.
async fn given_up(largest: usize, deadline: Duration) -> Vec<Status> {
    let mut config = uncached();
    config.upstream.max_body_bytes = largest;
    let gateway = TestGateway::configured(edge(|wire| wire.round_trip = Duration::from_millis(400)), config).await;
    call(&gateway, What::Write, 0, Duration::from_secs(5)).await.expect("all is well");
    gateway.sandbox.fault(post("/users"), Delay::by(Duration::from_millis(100)).forever());
    gateway.sandbox.fault(get("/users"), Drip::of(1 << 10, Duration::from_millis(2)).forever());
    let pages = async {
        let mut refused = Vec::new();
        for _ in 0..5 {
            // Two that ask for the same would share one answer.
            let pages = (41..=100).map(|page_size| {
                let (mut users, request) = (gateway.users(), ListUsersRequest { page_size, ..Default::default() });
                async move { users.list_users(within(request, deadline)).await.err() }
            });
            // One may find the answer that was begun for the round before, and be in time.
            refused.extend(join_all(pages).await.into_iter().flatten());
        }
        refused
    };
    let writes = async {
        for number in 1..9 {
            call(&gateway, What::Write, number, Duration::from_secs(10)).await.expect("others do not notice");
        }
    };
    let (refused, ()) = tokio::join!(pages, writes);
    assert_eq!(created(&gateway), (0..9).map(|number| (number, 1)).collect());
    let accepted = gateway.sandbox.connections().counts().accepted;
    // On a busy machine one may seem silent.
    assert!(accepted <= 4, "{accepted} connections");
    gateway.stop().await;
    refused
}

/// A write is taken once its stream is open, so a second one shows that a connection takes one, although only one was taken.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow"]
async fn that_a_connection_takes_one_request_is_learnt_from_writes_alone() {
    let mut account = edge(|wire| wire.max_concurrent_streams = Some(1));
    account.latency = sandbox::Latency::Fixed(Duration::from_millis(100));
    let gateway = TestGateway::configured(account, uncached()).await;
    call(&gateway, What::Write, 0, Duration::from_secs(5)).await.expect("all is well");
    let (began, deadline) = (Instant::now(), Duration::from_millis(500));
    let next = std::sync::atomic::AtomicUsize::new(1);
    let caller = async || {
        let (mut done, mut refused, mut late) = (Vec::new(), Vec::new(), 0);
        while began.elapsed() < Duration::from_secs(4) {
            let number = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            match call(&gateway, What::Write, number, deadline).await {
                Ok(()) => done.push(number),
                Err(status) if reason(&status) == "OVERLOADED" => {
                    refused.push(number);
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                Err(_) => late += 1,
            }
        }
        (done, refused, late)
    };
    let outcomes = join_all((0..16).map(|_| caller())).await;
    let done: usize = outcomes.iter().map(|(done, ..)| done.len()).sum();
    let late: usize = outcomes.iter().map(|(.., late)| late).sum();
    // Seven a second on each of four connections.
    assert!(done >= 40, "{done} were done, {late} came too late");
    tokio::time::sleep(Duration::from_secs(1)).await;
    let created = created(&gateway);
    assert!(created.values().all(|times| *times == 1));
    let refused = outcomes.iter().flat_map(|(_, refused, _)| refused);
    assert!(refused.into_iter().all(|number| !created.contains_key(number)), "a refused write was sent");
    let counts = gateway.sandbox.connections().counts();
    assert!(counts.accepted >= 4, "{counts:?}");
    gateway.stop().await;
}

/// How calls end, made four a second for three seconds, at a peer that processes nothing.
async fn shut_out(gateway: &TestGateway, what: What) -> Vec<String> {
    let calls = (0..12_usize).map(async |number| {
        tokio::time::sleep(Duration::from_millis(250) * u32::try_from(number).expect("a dozen")).await;
        let asked = Instant::now();
        let status = call(gateway, what, number, Duration::from_secs(2)).await.expect_err("nothing is processed");
        assert!(asked.elapsed() < Duration::from_millis(2_500), "{:?}", asked.elapsed());
        reason(&status)
    });
    join_all(calls).await
}

fn overloaded(reasons: &[String]) -> usize {
    reasons.iter().filter(|reason| *reason == "OVERLOADED").count()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow"]
async fn calls_to_a_peer_that_refuses_every_stream_are_refused_for_lack_of_room() {
    for what in [What::Read, What::Write] {
        let gateway = gateway(|_| ()).await;
        call(&gateway, what, 100, Duration::from_secs(5)).await.expect("all is well");
        let refusals = [get("*"), post("*")].map(|of| gateway.sandbox.fault(of, RefuseStream::forever()));
        let reasons = shut_out(&gateway, what).await;
        assert!(overloaded(&reasons) >= 10, "{what:?}: {reasons:?}");
        for refusal in refusals {
            gateway.sandbox.faults().remove(refusal);
        }
        call(&gateway, what, 101, Duration::from_secs(5)).await.expect("all is well again");
        gateway.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow"]
async fn writes_to_a_peer_that_allows_no_stream_are_refused_for_lack_of_room() {
    let gateway = gateway(|wire| wire.max_concurrent_streams = Some(0)).await;
    let reasons = shut_out(&gateway, What::Write).await;
    assert!(overloaded(&reasons) >= 8, "{reasons:?}");
    assert!(created(&gateway).is_empty());
    gateway.stop().await;
}
