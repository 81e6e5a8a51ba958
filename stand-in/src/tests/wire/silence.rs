//! Connections that say nothing more, and do not end either.

use super::*;

/// More than the buffers of both ends hold together.
const TOO_MUCH: usize = 64 * 1024 * 1024;
/// A write that takes longer will not be taken.
const STALLED: Duration = Duration::from_millis(500);

/// A connection that was muted while one request was in progress.
async fn muted(wire: Wire, kind: Mute) -> (Sandbox, TcpStream) {
    let sandbox = start(wire).await;
    sandbox.fault(get("/users/me"), Delay::by(WAIT).once());
    let mut client = connect(&sandbox).await;
    client.write_all(b"GET /api/v2/users/me HTTP/1.1\r\nhost: x\r\n\r\n").await.expect("sent");
    until(|| sandbox.total_hits() == 1).await;
    sandbox.connections().mute(kind).expect("Linux can do both");
    (sandbox, client)
}

/// Sends until a write is not taken within [`STALLED`]; returns the bytes that were taken.
async fn flood(client: &mut TcpStream) -> usize {
    let piece = vec![b'\n'; 64 * 1024];
    let mut sent = 0;
    while sent < TOO_MUCH {
        match tokio::time::timeout(STALLED, client.write(&piece)).await {
            Ok(written) => sent += written.expect("an open connection"),
            Err(_) => break,
        }
    }
    sent
}

/// Returns how many bytes that `client` has sent are not acknowledged, as Linux shows it.
fn unacknowledged(client: &TcpStream) -> u64 {
    let port = |address: io::Result<std::net::SocketAddr>| address.expect("connected").port();
    let ends = (format!(":{:04X}", port(client.local_addr())), format!(":{:04X}", port(client.peer_addr())));
    let table = std::fs::read_to_string("/proc/net/tcp").expect("Linux");
    // Columns 1, 2 and 4: local address, remote address, and "send queue:receive queue", in hexadecimal.
    let rows = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let row = rows.skip(1).find(|row| row[1].ends_with(&ends.0) && row[2].ends_with(&ends.1)).expect("listed");
    let (queued, _) = row[4].split_once(':').expect("two queues");
    u64::from_str_radix(queued, 16).expect("a number in base 16")
}

#[tokio::test]
async fn a_mute_connection_neither_answers_nor_ends() {
    for kind in [Mute::Acknowledged, Mute::Dropped] {
        for round_trip in [Duration::ZERO, Duration::from_millis(2)] {
            let (sandbox, mut client) = muted(Wire { round_trip, ..Wire::default() }, kind).await;
            client.write_all(b"GET /api/v2/groups HTTP/1.1\r\nhost: x\r\n\r\n").await.expect("sent");
            let read = tokio::time::timeout(WAIT * 3, client.read(&mut [0])).await;
            assert!(read.is_err(), "{kind:?}: got {read:?}");
            assert_eq!(sandbox.total_hits(), 1, "nothing more arrives");
            let mut other = connect(&sandbox).await;
            other.write_all(b"GET /api/v2/groups HTTP/1.1\r\nhost: x\r\n\r\n").await.expect("sent");
            assert!(in_time(other.read(&mut [0])).await.expect("a new connection works") > 0);
        }
    }
}

#[tokio::test]
async fn a_mute_http2_connection_is_mute_for_every_stream() {
    let sandbox = start(http2()).await;
    sandbox.fault(get("/users/me"), Delay::by(WAIT).once().after(1));
    let raw = Raw::connect(&sandbox).await;
    raw.status("/users/me").await.expect("an answer");
    let slow = raw.send("/users/me").await.expect("a stream");
    until(|| sandbox.total_hits() == 2).await;
    sandbox.connections().mute(Mute::Acknowledged).expect("it needs no packet filter");
    let new = raw.send("/users/me").await.expect("a stream");
    assert!(tokio::time::timeout(WAIT * 3, slow).await.is_err());
    assert!(tokio::time::timeout(WAIT, new).await.is_err());
    assert_eq!(sandbox.total_hits(), 2);
    Raw::connect(&sandbox).await.status("/users/me").await.expect("a new connection works");
}

#[tokio::test]
async fn what_arrives_is_acknowledged_and_thrown_away() {
    let (sandbox, mut client) = muted(Wire::default(), Mute::Acknowledged).await;
    client.write_all(b"GET ").await.expect("sent");
    until(|| unacknowledged(&client) == 0).await;
    assert!(flood(&mut client).await >= TOO_MUCH);
    drop(client);
    until(|| sandbox.connections().counts().open == 0).await;
    assert_eq!(sandbox.outcomes(), [Outcome::Cancelled], "the stand-in noticed that the client closed the connection");
}

#[tokio::test]
async fn what_is_dropped_is_not_acknowledged() {
    let (sandbox, mut client) = muted(Wire::default(), Mute::Dropped).await;
    client.write_all(b"GET ").await.expect("sent");
    tokio::time::sleep(WAIT).await;
    assert_eq!(unacknowledged(&client), 4);
    let sent = flood(&mut client).await;
    assert!(sent < TOO_MUCH, "{sent} bytes were taken");
    drop(client);
    tokio::time::sleep(WAIT).await;
    assert_eq!(sandbox.connections().counts().open, 1, "not even the client's FIN arrives");
    sandbox.reset_connections();
    until(|| sandbox.connections().counts().open == 0).await;
}
