//! TLS and HTTP/2, with all that they add to what can go wrong between the gateway and Zendesk.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use http::Version;
use tonic::{Code, Request, Status};
use zendesk_gateway::config::Config;
use zendesk_gateway::proto::{CreateUserRequest, GetUserRelatedRequest, GetUserRequest, StreamUsersRequest, UserInput};
use zendesk_gateway::sandbox::faults::{RefuseStream, Reset, get, post};
use zendesk_gateway::sandbox::{self, GoAway, Mute, Wire};

use tonic_types::StatusExt as _;

use crate::support::{TestGateway, account, settings};

/// Where Zendesk is: this far away.
const ROUND_TRIP: Duration = Duration::from_millis(40);

/// A stand-in like Zendesk's edge.
fn edge(wire: impl FnOnce(&mut Wire)) -> sandbox::Config {
    let mut account = account();
    account.wire.tls = true;
    account.wire.round_trip = ROUND_TRIP;
    wire(&mut account.wire);
    account
}

/// Every read goes to Zendesk by itself.
fn uncached() -> Config {
    let mut config = settings();
    config.cache.max_bytes = 0;
    config.cache.batch_wait = Duration::ZERO;
    config
}

async fn gateway(wire: impl FnOnce(&mut Wire)) -> TestGateway {
    TestGateway::configured(edge(wire), uncached()).await
}

fn within<T>(message: T, deadline: Duration) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(deadline);
    request
}

fn reason(status: &Status) -> String {
    status.get_error_details().error_info().map(|info| info.reason.clone()).unwrap_or_default()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    Read,
    Write,
}

/// Makes one call. Writes bear their number in the name.
async fn call(gateway: &TestGateway, what: What, number: usize, deadline: Duration) -> Result<(), Status> {
    match what {
        What::Read => {
            let ids = gateway.sandbox.store().user_ids();
            let id = ids[number % ids.len()];
            // Reads of users by their id would be put together.
            gateway.users().get_user_related(within(GetUserRelatedRequest { id }, deadline)).await?;
        }
        What::Write => {
            let user = UserInput { name: Some(name(number)), ..Default::default() };
            gateway.users().create_user(within(CreateUserRequest { user: Some(user) }, deadline)).await?;
        }
    }
    Ok(())
}

fn name(number: usize) -> String {
    format!("Number {number}")
}

/// How often each user was created who bears a number.
fn created(gateway: &TestGateway) -> BTreeMap<usize, usize> {
    let mut created = BTreeMap::new();
    let store = gateway.sandbox.store();
    for user in store.user_ids().into_iter().filter_map(|id| store.user(id)) {
        let number = user["name"].as_str().and_then(|name| name.strip_prefix("Number "));
        if let Some(number) = number.and_then(|number| number.parse().ok()) {
            *created.entry(number).or_default() += 1;
        }
    }
    created
}

/// Makes calls, so many at a time; returns those that failed.
async fn flood(gateway: &TestGateway, what: What, calls: usize, at_a_time: usize) -> Vec<(usize, Status)> {
    let next = std::sync::atomic::AtomicUsize::new(0);
    let caller = async || {
        let mut failed = Vec::new();
        loop {
            let number = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            if number >= calls {
                return failed;
            }
            if let Err(status) = call(gateway, what, number, Duration::from_secs(30)).await {
                failed.push((number, status));
            }
        }
    };
    join_all((0..at_a_time).map(|_| caller())).await.concat()
}

#[tokio::test]
async fn a_burst_on_a_cold_gateway_opens_one_connection_and_asks_for_its_keys_once() {
    let gateway = gateway(|_| ()).await;
    assert!(flood(&gateway, What::Read, 64, 64).await.is_empty());
    let counts = gateway.sandbox.connections().counts();
    assert_eq!((counts.accepted, counts.handshakes, counts.handshakes_retried), (1, 1, 0));
    assert!(gateway.sandbox.requests().iter().all(|request| request.version == Version::HTTP_2));
    gateway.stop().await;
}

#[tokio::test]
async fn http_1_is_spoken_where_http_2_is_not() {
    let gateway = gateway(|wire| wire.http2 = false).await;
    assert!(flood(&gateway, What::Read, 64, 8).await.is_empty());
    assert!(flood(&gateway, What::Write, 8, 8).await.is_empty());
    assert!(gateway.sandbox.requests().iter().all(|request| request.version == Version::HTTP_11));
    assert!(
        gateway.sandbox.connections().counts().accepted <= 24,
        "reads use connections again, and each write has its own"
    );
    gateway.stop().await;
}

#[tokio::test]
async fn http_2_is_spoken_again_after_a_time_without() {
    let gateway = gateway(|wire| wire.http2 = false).await;
    for what in [What::Read, What::Write] {
        call(&gateway, what, 1, Duration::from_secs(10)).await.expect("over HTTP/1.1");
    }
    gateway.sandbox.connections().change(|wire| (wire.http1, wire.http2) = (false, true));
    gateway.sandbox.reset_connections();
    for number in 2..6 {
        call(&gateway, What::Write, number, Duration::from_secs(10)).await.expect("over HTTP/2");
        call(&gateway, What::Read, number, Duration::from_secs(10)).await.expect("over HTTP/2");
    }
    let last = gateway.sandbox.requests().pop().expect("a request");
    assert_eq!(last.version, Version::HTTP_2);
    assert!(gateway.sandbox.connections().counts().accepted <= 6, "the new connection is used again");
    gateway.stop().await;
}

#[tokio::test]
async fn a_caller_who_leaves_does_not_end_the_attempt_to_connect() {
    let gateway = gateway(|wire| wire.round_trip = Duration::from_millis(200)).await;
    for number in 0..3 {
        let hurried = call(&gateway, What::Write, number, Duration::from_millis(100)).await.expect_err("too early");
        assert!(matches!(hurried.code(), Code::DeadlineExceeded | Code::Cancelled), "{hurried:?}");
    }
    call(&gateway, What::Write, 3, Duration::from_secs(10)).await.expect("it waits for the same connection");
    assert_eq!(gateway.sandbox.connections().counts().accepted, 1);
    assert_eq!(created(&gateway), [(3, 1)].into());
    gateway.stop().await;
}

#[tokio::test]
async fn calls_that_wait_for_a_connection_share_its_failure_which_counts_once() {
    // It accepts and says nothing for a while, then hangs up.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    let accepted = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counter = accepted.clone();
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            counter.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_millis(300)).await;
                drop(socket);
            });
        }
    });
    let mut config = uncached();
    config.upstream.retry.attempts = 1;
    let url = format!("https://{address}").parse().expect("a URL");
    let (_, channel, shutdown, served) =
        Box::pin(crate::support::serve(&url, crate::support::basic("a:b"), config)).await;
    let users = zendesk_gateway::proto::user_service_client::UserServiceClient::new(channel);
    let read = |id| {
        let mut users = users.clone();
        async move { users.get_user(GetUserRequest { id }).await.expect_err("no connection") }
    };
    let refused = join_all((1..=20).map(read)).await;
    assert!(refused.iter().all(|status| reason(status) == "UPSTREAM_UNAVAILABLE"), "{refused:?}");
    assert_eq!(accepted.load(std::sync::atomic::Ordering::SeqCst), 1, "one attempt for all");
    let next = read(21).await;
    assert_eq!(reason(&next), "UPSTREAM_UNAVAILABLE", "the circuit is closed after one failure: {next:?}");
    drop(users);
    shutdown.send(()).expect("it listens");
    served.await.expect("no panic").expect("it ends well");
}

/// Rotations of connections as edges make them, with calls under way that they do not process.
async fn rotated(kind: GoAway, what: What, calls: usize, every: u32) {
    let gateway = gateway(|wire| (wire.goaway, wire.goaway_every) = (kind, Some(every))).await;
    let failed = flood(&gateway, what, calls, 64).await;
    assert!(failed.is_empty(), "{kind:?} {what:?}: {failed:?}");
    if what == What::Write {
        let all: BTreeMap<usize, usize> = (0..calls).map(|number| (number, 1)).collect();
        assert_eq!(created(&gateway), all, "each is done once");
    }
    let counts = gateway.sandbox.connections().counts();
    let rotations = calls as u64 / u64::from(every);
    // What was under way when the GOAWAY was written may be processed beside.
    assert!(counts.goaways >= rotations / 2, "{counts:?}");
    assert!(counts.accepted <= 2 * rotations + 2, "{rotations} rotations: {counts:?}");
    gateway.stop().await;
}

/// `WIRE_CALLS=10000 cargo test --release --test it wire::` for the long run.
fn calls() -> usize {
    std::env::var("WIRE_CALLS").map_or(1_000, |calls| calls.parse().expect("a number"))
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_do_not_notice_that_connections_are_rotated() {
    for every in [100, 1_000] {
        rotated(GoAway::Abrupt, What::Read, calls(), every).await;
    }
    rotated(GoAway::Polite, What::Read, calls(), 100).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_do_not_notice_that_connections_are_rotated_and_are_done_once() {
    for every in [100, 1_000] {
        rotated(GoAway::Abrupt, What::Write, calls(), every).await;
    }
    rotated(GoAway::Polite, What::Write, calls(), 100).await;
}

/// One call a second while the connection falls silent; returns how the calls ended that were made after that.
async fn silenced(gateway: &TestGateway, kind: Mute, what: What, deadline: Duration) -> Vec<Result<(), Status>> {
    call(gateway, what, 0, deadline).await.expect("all is well");
    gateway.sandbox.connections().mute(kind).expect("a Linux socket takes a filter");
    let calls = (1..=6_usize).map(async |number| {
        tokio::time::sleep(Duration::from_secs(number as u64 - 1)).await;
        call(gateway, what, number, deadline).await
    });
    join_all(calls).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_falls_silent_is_given_up_before_callers_of_reads_notice() {
    let (acknowledged, dropped) = tokio::join!(gateway(|_| ()), gateway(|_| ()));
    let (seconds_5, seconds_30) = (Duration::from_secs(5), Duration::from_secs(30));
    let (one, other) = tokio::join!(
        silenced(&acknowledged, Mute::Acknowledged, What::Read, seconds_5),
        silenced(&dropped, Mute::Dropped, What::Read, seconds_30),
    );
    for (number, outcome) in one.into_iter().chain(other).enumerate() {
        assert!(outcome.is_ok(), "{number}: {outcome:?}");
    }
    acknowledged.stop().await;
    dropped.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_connection_that_falls_silent_only_the_writes_it_took_have_an_unknown_outcome() {
    let (acknowledged, dropped) = tokio::join!(gateway(|_| ()), gateway(|_| ()));
    let (seconds_5, seconds_30) = (Duration::from_secs(5), Duration::from_secs(30));
    let (one, other) = tokio::join!(
        silenced(&acknowledged, Mute::Acknowledged, What::Write, seconds_5),
        silenced(&dropped, Mute::Dropped, What::Write, seconds_30),
    );
    for (gateway, outcomes) in [(&acknowledged, one), (&dropped, other)] {
        let failed: Vec<&Status> = outcomes.iter().filter_map(|outcome| outcome.as_ref().err()).collect();
        assert!(failed.len() <= 2 && failed.iter().all(|status| reason(status) == "OUTCOME_UNKNOWN"), "{failed:?}");
        let created = created(gateway);
        assert!(created.values().all(|times| *times == 1), "{created:?}");
        for (number, outcome) in (1..).zip(&outcomes) {
            assert!(outcome.is_err() || created.contains_key(&number), "{number} was said to be done");
        }
    }
    acknowledged.stop().await;
    dropped.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_requests_are_given_to_connections_than_they_take_and_the_others_are_refused_at_once() {
    const STREAMS: u32 = 10;
    let account = edge(|wire| {
        (wire.max_concurrent_streams, wire.round_trip) = (Some(STREAMS), Duration::from_millis(150));
    });
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
            match call(&gateway, What::Write, number, deadline).await {
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
        goodput >= if cfg!(debug_assertions) { 0.75 } else { 0.9 } * possible,
        "{goodput:.0} of {possible:.0} a second; {} refused, {late} late",
        refused.len()
    );
    tokio::time::sleep(Duration::from_secs(1)).await;
    let created = created(&gateway);
    assert!(refused.iter().all(|(number, _)| !created.contains_key(number)), "a refused write was sent");
    assert!(created.values().all(|times| *times == 1));
    refused.sort_by_key(|(_, took)| *took);
    if let Some((_, median)) = refused.get(refused.len() / 2) {
        let most = if cfg!(debug_assertions) { 50 } else { 10 };
        assert!(*median <= Duration::from_millis(most), "{median:?}");
    }
    gateway.stop().await;
}

#[tokio::test]
async fn what_a_reset_stream_leaves_open_depends_on_why_and_when() {
    let gateway = gateway(|_| ()).await;
    let deadline = Duration::from_secs(10);
    let sandbox = &gateway.sandbox;

    // Refused: not processed, so even this write is sent again.
    sandbox.fault(post("/users"), RefuseStream::once());
    call(&gateway, What::Write, 1, deadline).await.expect("sent again");
    sandbox.fault(get("/users/{id}/related"), RefuseStream::times(2));
    call(&gateway, What::Read, 1, deadline).await.expect("sent again, and again");

    // Reset before the response, and inside it: perhaps processed.
    for (number, reset) in [(2, Reset::before_headers()), (3, Reset::within_body())] {
        sandbox.fault(post("/users"), reset.clone().after_applying());
        let status = call(&gateway, What::Write, number, deadline).await.expect_err("nobody knows");
        assert_eq!(reason(&status), "OUTCOME_UNKNOWN", "{reset:?}");
        sandbox.fault(get("/users/{id}/related"), reset);
        call(&gateway, What::Read, number, deadline).await.expect("a read is repeated");
    }
    assert_eq!(created(&gateway), [(1, 1), (2, 1), (3, 1)].into());
    assert_eq!(sandbox.connections().counts().accepted, 1, "streams end, the connection goes on");
    gateway.stop().await;
}

#[tokio::test]
async fn the_end_of_a_connection_is_one_failure_however_many_calls_it_hits() {
    let mut account = edge(|_| ());
    account.latency = sandbox::Latency::Fixed(Duration::from_millis(300));
    let gateway = TestGateway::configured(account, uncached()).await;
    // So many at a time have been seen to work; a new connection gets no more before its first answer.
    assert!(flood(&gateway, What::Write, 40, 20).await.is_empty());
    // More than open a circuit if each counts.
    for _ in 0..3 {
        let hit = flood(&gateway, What::Write, 20, 20);
        let reset = async {
            tokio::time::sleep(Duration::from_millis(150)).await;
            gateway.sandbox.reset_connections();
        };
        let (failed, ()) = tokio::join!(hit, reset);
        assert!(failed.iter().all(|(_, status)| reason(status) == "OUTCOME_UNKNOWN"), "{failed:?}");
        assert!(failed.len() > 10, "{} were under way", failed.len());
    }
    call(&gateway, What::Write, 100, Duration::from_secs(10)).await.expect("no circuit is open");
    gateway.stop().await;
}

/// Reads all users as a stream; returns how long it took and how many there were.
async fn streamed(gateway: &TestGateway) -> (Duration, usize) {
    let began = Instant::now();
    let request = StreamUsersRequest { page_size: 100, ..Default::default() };
    let mut stream = gateway.users().stream_users(request).await.expect("a stream").into_inner();
    let mut ids = std::collections::BTreeSet::new();
    while let Some(message) = stream.message().await.expect("it goes on") {
        for user in message.users {
            assert!(ids.insert(user.id), "{} came twice", user.id);
        }
    }
    (began.elapsed(), ids.len())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_takes_as_long_as_its_pages() {
    const PAGES: u32 = 50;
    let mut account = edge(|wire| wire.round_trip = Duration::from_millis(150));
    account.users = 100 * PAGES;
    let gateway = TestGateway::configured(account, uncached()).await;
    call(&gateway, What::Read, 0, Duration::from_secs(10)).await.expect("all is well");
    let (took, rows) = streamed(&gateway).await;
    assert_eq!(rows, 100 * PAGES as usize);
    let ratio = took.as_secs_f64() / (0.150 * f64::from(PAGES));
    println!("{PAGES} pages at a round trip of 150 ms took {took:?}: {ratio:.3} of pages × round trip");
    // The time that the stand-in takes for a page comes on top of the round trip.
    let most = if cfg!(debug_assertions) { 1.5 } else { 1.05 };
    assert!(ratio <= most, "{ratio:.3}");
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_has_every_row_once_although_connections_end_under_it() {
    let mut account = edge(|wire| wire.goaway_every = Some(7));
    account.users = 3_000;
    let gateway = TestGateway::configured(account, uncached()).await;
    let breaks = async {
        for _ in 0..3 {
            tokio::time::sleep(Duration::from_millis(300)).await;
            gateway.sandbox.reset_connections();
        }
    };
    let ((_, rows), ()) = tokio::join!(streamed(&gateway), breaks);
    assert_eq!(rows, 3_000);
    assert!(gateway.sandbox.connections().counts().goaways >= 1);
    gateway.stop().await;
}
