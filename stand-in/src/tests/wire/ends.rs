//! Connections that end by themselves, and clients that leave.

use super::*;

const IDLE: Duration = Duration::from_millis(80);

/// How much later than the server a client may notice that an answer is complete.
const SLACK: Duration = Duration::from_millis(10);

#[tokio::test]
async fn an_idle_connection_of_http_2_is_told_to_go_away() {
    let sandbox = start(Wire { idle_timeout: Some(IDLE), ..http2() }).await;
    sandbox.fault(get("/users/me"), Delay::by(IDLE * 2).once());
    let raw = Raw::connect(&sandbox).await;
    assert_eq!(raw.status("/users/me").await.expect("slow, but not idle"), 200);
    let quiet = Instant::now();
    raw.ended().await.expect("an orderly end");
    assert!(quiet.elapsed() + SLACK >= IDLE, "ended after {:?}", quiet.elapsed());
    assert_eq!(sandbox.connections().counts().goaways, 1);
}

#[tokio::test]
async fn an_idle_connection_of_http_1_is_closed() {
    let sandbox = start(Wire { idle_timeout: Some(IDLE), ..Wire::default() }).await;
    sandbox.fault(get("/users/me"), Delay::by(IDLE * 2).once());
    let mut client = connect(&sandbox).await;
    client.write_all(b"GET /api/v2/users/me HTTP/1.1\r\nhost: x\r\n\r\n").await.expect("sent");
    let mut seen = Vec::new();
    in_time(client.read_buf(&mut seen)).await.expect("slow, but not idle");
    let quiet = Instant::now();
    in_time(client.read_to_end(&mut seen)).await.expect("an orderly end");
    assert!(quiet.elapsed() + SLACK >= IDLE, "ended after {:?}", quiet.elapsed());
    assert!(seen.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&seen));
    until(|| sandbox.connections().counts().open == 0).await;
}

#[tokio::test]
async fn a_client_that_resets_its_stream_has_left() {
    let sandbox = start(http2()).await;
    sandbox.fault(get("/users/me"), Hang::before_headers().once());
    let raw = Raw::connect(&sandbox).await;
    let hanging = raw.send("/users/me").await.expect("a stream");
    until(|| sandbox.total_hits() == 1).await;
    drop(hanging);
    until(|| sandbox.outcomes() == [Outcome::Cancelled]).await;
    assert_eq!(raw.status("/users/me").await.expect("the connection goes on"), 200);
    until(|| sandbox.outcomes() == [Outcome::Cancelled, Outcome::Completed]).await;
}

#[tokio::test]
async fn an_answer_that_its_client_does_not_take_is_not_complete() {
    let sandbox = start(http2()).await;
    let mut builder = h2::client::Builder::new();
    let raw = Raw::over(connect(&sandbox).await, builder.initial_window_size(1000)).await;
    let mut answer = in_time(raw.send("/users?page[size]=100").await.expect("a stream")).await.expect("headers");
    let chunk = in_time(answer.body_mut().data()).await.expect("a chunk").expect("bytes");
    assert_eq!(chunk.len(), 1000, "the rest is handed over, but not written");
    tokio::time::sleep(WAIT).await;
    assert_eq!(sandbox.outcomes(), [Outcome::InFlight]);
    drop(answer);
    until(|| sandbox.outcomes() == [Outcome::Cancelled]).await;
}

#[tokio::test]
async fn a_client_that_loses_its_connection_has_left_all_streams() {
    let sandbox = start(http2()).await;
    sandbox.fault(get("/users/me"), Hang::before_headers().times(2));
    let raw = Raw::connect(&sandbox).await;
    let hanging = [raw.send("/users/me").await.expect("a stream"), raw.send("/users/me").await.expect("a stream")];
    until(|| sandbox.total_hits() == 2).await;
    raw.connection.abort();
    until(|| sandbox.outcomes() == [Outcome::Cancelled; 2]).await;
    drop(hanging);
}

#[tokio::test]
async fn all_connections_can_be_reset() {
    let wire = Wire { round_trip: Duration::from_millis(2), ..http2() };
    for wire in [http2(), wire] {
        let sandbox = start(wire).await;
        sandbox.fault(get("/users/me"), Hang::before_headers().times(2));
        let raw = Raw::connect(&sandbox).await;
        let hanging = [raw.send("/users/me").await.expect("a stream"), raw.send("/users/me").await.expect("a stream")];
        until(|| sandbox.total_hits() == 2).await;
        sandbox.reset_connections();
        for stream in hanging {
            let error = in_time(stream).await.expect_err("broken");
            assert!(error.is_io(), "{error:?}");
        }
        until(|| sandbox.outcomes() == [Outcome::Cut; 2]).await;
        assert_eq!(Raw::connect(&sandbox).await.status("/users/me").await.expect("a new connection works"), 200);
    }
}

#[tokio::test]
async fn connections_of_http_1_can_be_reset_too() {
    let sandbox = start(Wire::default()).await;
    sandbox.fault(get("/users/me"), Hang::before_headers().once());
    let mut client = connect(&sandbox).await;
    client.write_all(b"GET /api/v2/users/me HTTP/1.1\r\nhost: x\r\n\r\n").await.expect("sent");
    until(|| sandbox.total_hits() == 1).await;
    sandbox.reset_connections();
    let error = in_time(client.read(&mut [0])).await.expect_err("a reset");
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    until(|| sandbox.outcomes() == [Outcome::Cut]).await;
}

#[tokio::test]
async fn a_fault_of_http_1_is_the_same_within_tls() {
    use crate::faults::{Eof, Reset};
    let round_trip = Duration::from_millis(4);
    for round_trip in [Duration::ZERO, round_trip] {
        let sandbox = start(Wire { tls: true, round_trip, ..Wire::default() }).await;
        sandbox.fault(get("/users/me"), Eof::within_headers());
        sandbox.fault(get("/users/me"), Reset::within_headers());
        for ending in [Ok(24), Err(io::ErrorKind::ConnectionReset)] {
            let config = handshakes::tls_config(&sandbox, vec![rustls::crypto::aws_lc_rs::kx_group::X25519]);
            let mut client = handshakes::shake_hands(&sandbox, config).await;
            client.write_all(b"GET /api/v2/users/me HTTP/1.1\r\nhost: x\r\n\r\n").await.expect("sent");
            let mut seen = Vec::new();
            let ended = in_time(client.read_to_end(&mut seen)).await;
            assert_eq!(ended.map_err(|error| error.kind()), ending);
            assert_eq!(seen.len(), 24);
        }
        until(|| sandbox.outcomes() == [Outcome::Cut; 2]).await;
    }
}
