//! Limits of an edge on HTTP/2: streams at a time, and requests per connection.

use super::*;

/// Sends six requests before anything of the server's can arrive, and returns what became of them.
async fn six(sandbox: &Sandbox, raw: &Raw) -> (Vec<u16>, Vec<h2::Error>) {
    let mut answers = Vec::new();
    for _ in 0..6 {
        answers.push(raw.send("/users/me").await.expect("a stream"));
    }
    let (mut statuses, mut errors) = (Vec::new(), Vec::new());
    for answer in answers {
        match in_time(answer).await {
            Ok(answer) => statuses.push(answer.status().as_u16()),
            Err(error) => errors.push(error),
        }
    }
    assert_eq!(sandbox.requests().len(), statuses.len(), "what is not answered was not processed");
    (statuses, errors)
}

fn distant() -> Wire {
    Wire { round_trip: Duration::from_millis(40), ..http2() }
}

#[tokio::test]
async fn an_abrupt_goaway_loses_the_streams_above_its_last() {
    let sandbox = start(Wire { goaway_every: Some(3), ..distant() }).await;
    let raw = Raw::connect(&sandbox).await;
    let (statuses, errors) = six(&sandbox, &raw).await;
    assert_eq!((statuses.len(), errors.len()), (3, 3));
    for error in errors {
        assert!(error.is_go_away() && error.is_remote(), "{error:?}");
        assert_eq!(error.reason(), Some(h2::Reason::NO_ERROR));
    }
    raw.ended().await.expect("an orderly end");
    until(|| sandbox.connections().counts().open == 0).await;
    assert_eq!(sandbox.connections().counts().goaways, 1);
    assert!(sandbox.outcomes().iter().all(|outcome| *outcome == Outcome::Completed));
}

#[tokio::test]
async fn a_polite_goaway_loses_nothing() {
    let sandbox = start(Wire { goaway_every: Some(3), goaway: GoAway::Polite, ..distant() }).await;
    let raw = Raw::connect(&sandbox).await;
    let (statuses, errors) = six(&sandbox, &raw).await;
    assert_eq!((statuses.len(), errors.len()), (6, 0), "{errors:?}");
    raw.ended().await.expect("an orderly end");
    until(|| sandbox.connections().counts().open == 0).await;
    assert_eq!(sandbox.connections().counts().goaways, 1);
}

#[tokio::test]
async fn an_open_connection_can_be_told_to_go_away() {
    for kind in [GoAway::Abrupt, GoAway::Polite] {
        let sandbox = start(distant()).await;
        sandbox.fault(get("/users/me"), Delay::by(WAIT * 2).once().after(1));
        let raw = Raw::connect(&sandbox).await;
        raw.status("/users/me").await.expect("an answer");
        let slow = raw.send("/users/me").await.expect("a stream");
        until(|| sandbox.total_hits() == 2).await;
        sandbox.connections().go_away(kind);
        let crossing = raw.send("/users/me").await.expect("it does not know yet");
        assert_eq!(in_time(slow).await.expect("an answer").status(), 200, "streams that arrived are answered");
        match (in_time(crossing).await, kind) {
            (Ok(answer), GoAway::Polite) => assert_eq!(answer.status(), 200),
            (Err(error), GoAway::Abrupt) => assert!(error.is_go_away(), "{error:?}"),
            (came, kind) => panic!("{kind:?}: {came:?}"),
        }
        raw.ended().await.expect("an orderly end");
        Raw::connect(&sandbox).await.status("/users/me").await.expect("a new connection works");
    }
}

#[tokio::test]
async fn a_request_whose_body_is_under_way_is_lost_with_it() {
    let sandbox = start(distant()).await;
    sandbox.fault(get("/users/me"), Delay::by(WAIT * 3).once());
    let raw = Raw::connect(&sandbox).await;
    let slow = raw.send("/users/me").await.expect("a stream");
    until(|| sandbox.total_hits() == 1).await;
    sandbox.connections().go_away(GoAway::Abrupt);
    let request = Request::post("http://sandbox.example/api/v2/users").body(()).expect("a request");
    let mut requests = raw.requests.clone().ready().await.expect("it does not know yet");
    let (lost, mut body) = requests.send_request(request, false).expect("a stream");
    body.send_data("x".repeat(40_000).into(), true).expect("a window of 65,535");
    assert!(in_time(lost).await.expect_err("lost").is_go_away());
    assert_eq!(in_time(slow).await.expect("an answer").status(), 200);
    raw.ended().await.expect("an orderly end");
    assert_eq!(sandbox.total_hits(), 1);
}

#[tokio::test]
async fn streams_beyond_the_limit_are_refused() {
    let sandbox = start(Wire { max_concurrent_streams: Some(2), ..distant() }).await;
    sandbox.fault(get("/users/me"), Delay::by(WAIT).times(2));
    let raw = Raw::connect(&sandbox).await;
    let (statuses, errors) = six(&sandbox, &raw).await;
    assert_eq!((statuses.len(), errors.len()), (2, 4));
    assert!(errors.iter().all(|error| reason(error) == h2::Reason::REFUSED_STREAM));
    assert_eq!(sandbox.connections().counts().refused_streams, 4);
    assert_eq!(raw.requests.current_max_send_streams(), 2);
}

#[tokio::test]
async fn settings_can_be_changed_for_later_connections() {
    let sandbox = start(http2()).await;
    let before = Raw::connect(&sandbox).await;
    before.status("/users/me").await.expect("an answer");
    sandbox.connections().change(|wire| wire.goaway_every = Some(1));
    for _ in 0..2 {
        before.status("/users/me").await.expect("an answer");
    }
    let after = Raw::connect(&sandbox).await;
    after.status("/users/me").await.expect("an answer");
    after.ended().await.expect("an orderly end");
}

#[tokio::test]
async fn a_client_may_go_on_sending_after_the_end() {
    let sandbox = start(Wire { goaway_every: Some(1), ..http2() }).await;
    let mut client = connect(&sandbox).await;
    // Settings, and GET / with the authority `x`, as HPACK's static table has it.
    let settings = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    let request = [0, 0, 6, 1, 5, 0, 0, 0, 1, 0x82, 0x84, 0x86, 0x41, 1, b'x'];
    let greeting = [&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], &settings, &request].concat();
    client.write_all(&greeting).await.expect("sent");
    let mut seen = Vec::new();
    in_time(client.read_to_end(&mut seen)).await.expect("an orderly end");
    for _ in 0..3 {
        client.write_all(&settings).await.expect("no reset");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    drop(client);
    until(|| sandbox.connections().counts().open == 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_connections_that_end_politely_lose_nothing() {
    let wire = Wire { tls: true, goaway_every: Some(7), goaway: GoAway::Polite, ..Wire::default() };
    // With an alias no port is in the answers, so all are equally long.
    let sandbox = Sandbox::start(Config { wire, ..with_alias() }).await.expect("a free port");
    let client = handshakes::client_trusting(&sandbox).build().expect("a client");
    let url = format!("{}api/v2/users/me", sandbox.base_url());
    for _ in 0..20 {
        let answers = (0..15).map(|_| client.get(&url).send());
        for answer in in_time(futures_util::future::join_all(answers)).await {
            assert_eq!(answer.expect("an answer").text().await.expect("a body").len(), 442);
        }
    }
    until(|| sandbox.stats().in_flight == 0).await;
    let counts = sandbox.connections().counts();
    assert!(counts.goaways > 10, "{counts:?}");
    assert_eq!((sandbox.total_hits(), sandbox.stats().cancelled), (300, 0));
}
