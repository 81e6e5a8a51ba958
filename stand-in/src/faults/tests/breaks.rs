//! Faults that delay an answer or break it off.

use std::time::Instant;

use super::*;

/// Above the timers' granularity by enough that no rounding can fake it.
const WAIT: Duration = Duration::from_millis(40);

#[tokio::test]
async fn a_delay_comes_before_the_normal_answer() {
    let stand = Stand::start().await;
    stand.fault(get("/users/7"), Delay::by(WAIT).once());
    let asked = Instant::now();
    let seen = stand.get("/api/v2/users/7").await;
    assert!(asked.elapsed() >= WAIT);
    assert_eq!((seen.status(), seen.json()), (200, user()));
    assert_eq!(stand.next_end().await, Ended::Complete);
}

#[tokio::test]
async fn a_delay_before_the_handler_is_given_up_with_its_client() {
    let stand = Stand::start().await;
    stand.fault(post("/users"), Delay::by(LONG).once());
    leave_once_nothing_came(&stand, "POST", "/api/v2/users").await;
    assert_eq!(stand.handled(), 0, "the write never happened");
}

#[tokio::test]
async fn a_delay_after_the_handler_loses_only_the_answer() {
    let stand = Stand::start().await;
    stand.fault(post("/users"), Delay::by(LONG).once().after_applying());
    leave_once_nothing_came(&stand, "POST", "/api/v2/users").await;
    assert_eq!(stand.handled(), 1, "the write happened");
}

/// Asks, sees that nothing comes, leaves, and waits until the stand has noticed.
async fn leave_once_nothing_came(stand: &Stand, method: &str, target: &str) {
    let mut client = TcpStream::connect(stand.address).await.expect("a connection");
    let request = format!("{method} {target} HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n");
    client.write_all(request.as_bytes()).await.expect("sent");
    let nothing = tokio::time::timeout(WAIT, client.read_u8()).await;
    assert!(nothing.is_err(), "got {nothing:?}");
    drop(client);
    assert_eq!(stand.next_end().await, Ended::ClientLeft);
}

#[tokio::test]
async fn a_reset_before_the_headers_shows_nothing() {
    let stand = Stand::start().await;
    stand.fault(get("/users/7"), Reset::before_headers().once());
    let seen = stand.get("/api/v2/users/7").await;
    assert_eq!(seen.ended, Err(ErrorKind::ConnectionReset));
    assert_eq!(stand.next_end().await, Ended::Cut);
    assert!(seen.bytes.is_empty());
    assert_eq!(stand.handled(), 0);
}

#[tokio::test]
async fn a_write_whose_answer_is_reset_can_have_taken_effect() {
    let stand = Stand::start().await;
    stand.fault(post("/users"), Reset::before_headers().after_applying());
    let seen = stand.send("POST", "/api/v2/users", "{}").await;
    assert_eq!(seen.ended, Err(ErrorKind::ConnectionReset));
    assert_eq!(stand.next_end().await, Ended::Cut);
    assert_eq!(stand.handled(), 1);
}

#[tokio::test]
async fn a_reset_within_the_headers_shows_a_status_line_and_no_more() {
    let stand = Stand::start().await;
    stand.fault(get("/users/7"), Reset::within_headers().once());
    let seen = stand.get("/api/v2/users/7").await;
    assert_eq!(seen.ended, Err(ErrorKind::ConnectionReset));
    assert_eq!(stand.next_end().await, Ended::Cut);
    assert!(seen.bytes.starts_with(b"HTTP/1.1 200 OK\r\n"));
    assert!(!seen.bytes.windows(4).any(|four| four == b"\r\n\r\n"));
}

#[tokio::test]
async fn a_reset_within_the_body_shows_half_of_what_was_promised() {
    let stand = Stand::start().await;
    stand.fault(get("/users/7"), Reset::within_body().once());
    let seen = stand.get("/api/v2/users/7").await;
    assert_eq!(seen.ended, Err(ErrorKind::ConnectionReset));
    assert_eq!(stand.next_end().await, Ended::Cut);
    assert_half(&seen);
}

#[track_caller]
fn assert_half(seen: &Seen) {
    let whole = user().to_string();
    assert_eq!(seen.promised(), whole.len());
    assert_eq!(seen.text(), &whole[..whole.len() / 2]);
}

#[tokio::test]
async fn an_early_end_of_file_is_no_reset() {
    let stand = Stand::start().await;
    stand.fault(get("/users/7"), Eof::before_headers().once());
    stand.fault(get("/users/7"), Eof::within_headers().once());
    stand.fault(get("/users/7"), Eof::within_body().once());
    let before = stand.get("/api/v2/users/7").await;
    assert_eq!((before.ended, before.bytes.len()), (Ok(()), 0));
    let within = stand.get("/api/v2/users/7").await;
    assert_eq!((within.ended, within.bytes.len()), (Ok(()), 24));
    let half = stand.get("/api/v2/users/7").await;
    assert_eq!(half.ended, Ok(()));
    assert_half(&half);
    for _ in 0..3 {
        assert_eq!(stand.next_end().await, Ended::Cut);
    }
}

#[tokio::test]
async fn a_break_within_a_body_that_does_not_exist_comes_within_the_headers() {
    let stand = Stand::start().await;
    stand.fault(any("/nothing"), Reset::within_body().once());
    let seen = stand.get("/api/v2/nothing").await;
    assert_eq!(seen.ended, Err(ErrorKind::ConnectionReset));
    assert_eq!(seen.bytes.len(), 24);
}

#[tokio::test]
async fn a_hang_before_the_headers_lasts_until_the_client_leaves() {
    let stand = Stand::start().await;
    stand.fault(get("/users/7"), Hang::before_headers().once());
    leave_once_nothing_came(&stand, "GET", "/api/v2/users/7").await;
}

#[tokio::test]
async fn a_hang_within_the_body_lasts_until_the_client_leaves() {
    let stand = Stand::start().await;
    stand.fault(get("/users/7"), Hang::within_body().once());
    let mut client = TcpStream::connect(stand.address).await.expect("a connection");
    client.write_all(b"GET /api/v2/users/7 HTTP/1.1\r\nhost: x\r\n\r\n").await.expect("sent");
    let mut bytes = Vec::new();
    let half = user().to_string().len() / 2;
    loop {
        let read = tokio::time::timeout(WAIT, client.read_buf(&mut bytes)).await;
        match read {
            Ok(read) => assert!(read.expect("an open connection") > 0, "closed"),
            Err(_) if bytes.len() > half => break,
            Err(_) => {}
        }
    }
    assert_half(&Seen { bytes, ended: Ok(()) });
    drop(client);
    assert_eq!(stand.next_end().await, Ended::ClientLeft);
}

#[tokio::test]
async fn a_drip_takes_its_time_and_loses_nothing() {
    let stand = Stand::start().await;
    let pause = Duration::from_millis(5);
    stand.fault(get("/users/7"), Drip::of(250, pause).once());
    let asked = Instant::now();
    let seen = stand.get("/api/v2/users/7").await;
    assert_eq!(seen.json(), user());
    let pieces = u32::try_from(seen.bytes.len().div_ceil(250)).expect("few");
    assert!(asked.elapsed() >= pause * (pieces - 1));
}

#[tokio::test]
async fn a_drip_ends_with_its_answer() {
    let stand = Stand::start().await;
    // The first answer fits into one piece; the second would have to wait for the next.
    stand.fault(get("/users/7"), Drip::of(2500, LONG * 10).once());
    let request = b"GET /api/v2/users/7 HTTP/1.1\r\nhost: x\r\n\r\n";
    let mut client = TcpStream::connect(stand.address).await.expect("a connection");
    for _ in 0..2 {
        client.write_all(request).await.expect("sent");
        let mut bytes = Vec::new();
        while !bytes.ends_with(b"}}") {
            let read = tokio::time::timeout(LONG, client.read_buf(&mut bytes)).await;
            read.expect("a piece").expect("an open connection");
        }
    }
}

#[tokio::test]
async fn a_refused_connection_is_reset_and_the_next_one_served() {
    let stand = Stand::start().await;
    let rule = stand.faults.add(Refuse::times(2));
    for _ in 0..2 {
        let seen = stand.get("/api/v2/users/7").await;
        assert!(seen.ended.is_err() && seen.bytes.is_empty());
    }
    assert_eq!(stand.get("/api/v2/users/7").await.status(), 200);
    let status = &stand.faults.list()[0];
    assert_eq!((status.id, status.hits, status.left), (rule, 2, Some(0)));
}

#[tokio::test]
async fn a_fault_of_the_connection_says_so_when_there_is_none() {
    use tower::ServiceExt;
    let faults = Faults::default();
    faults.add(Reset::before_headers());
    let app = wrap(api(Arc::default()), faults);
    let request = http::Request::get("/api/v2/users/7").body(axum::body::Body::empty());
    let answer = app.oneshot(request.expect("a request")).await;
    let status = answer.expect("an answer").status();
    assert_eq!(status, http::StatusCode::INTERNAL_SERVER_ERROR);
}
