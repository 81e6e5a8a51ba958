//! The faults of a connection, as a stream of HTTP/2 meets them.

use super::*;
use crate::faults::{Drip, Eof, Fault, RefuseStream, Reset, Rule, WrongLength};

impl Raw {
    /// Returns what came of the body, and how it ended.
    async fn body(&self, path: &str) -> (Vec<u8>, Result<(), h2::Error>) {
        in_time(async {
            let answer = self.send(path).await.expect("a stream").await.expect("headers");
            let mut body = answer.into_body();
            let mut seen = Vec::new();
            while let Some(chunk) = body.data().await {
                match chunk {
                    Ok(chunk) => {
                        body.flow_control().release_capacity(chunk.len()).expect("no more than came");
                        seen.extend_from_slice(&chunk);
                    }
                    Err(error) => return (seen, Err(error)),
                }
            }
            (seen, Ok(()))
        })
        .await
    }
}

/// Has one request for groups after another fail as `rules` say.
async fn stand<F: Into<Fault>, const N: usize>(rules: [Rule<F>; N]) -> (Sandbox, Raw) {
    let sandbox = start(http2()).await;
    for rule in rules {
        sandbox.fault(get("/groups"), rule);
    }
    let raw = Raw::connect(&sandbox).await;
    (sandbox, raw)
}

/// What the whole of `/groups` is.
async fn whole(raw: &Raw) -> Vec<u8> {
    let (body, ended) = raw.body("/groups").await;
    ended.expect("the connection goes on");
    body
}

#[tokio::test]
async fn a_reset_before_the_headers_shows_nothing() {
    let (sandbox, raw) = stand([Reset::before_headers()]).await;
    let error = raw.status("/groups").await.expect_err("a reset");
    assert_eq!(reason(&error), h2::Reason::INTERNAL_ERROR);
    whole(&raw).await;
    until(|| sandbox.outcomes() == [Outcome::Cut, Outcome::Completed]).await;
}

#[tokio::test]
async fn a_reset_within_the_headers_comes_right_behind_them() {
    let (sandbox, raw) = stand([Reset::within_headers()]).await;
    let (seen, ended) = raw.body("/groups").await;
    assert_eq!((seen.len(), reason(&ended.expect_err("a reset"))), (0, h2::Reason::INTERNAL_ERROR));
    whole(&raw).await;
    until(|| sandbox.outcomes() == [Outcome::Cut, Outcome::Completed]).await;
}

#[tokio::test]
async fn a_reset_within_the_body_shows_half_of_it() {
    let (sandbox, raw) = stand([Reset::within_body()]).await;
    let (seen, ended) = raw.body("/groups").await;
    assert_eq!(reason(&ended.expect_err("a reset")), h2::Reason::INTERNAL_ERROR);
    let whole = whole(&raw).await;
    assert_eq!(seen, whole[..whole.len() / 2]);
    until(|| sandbox.outcomes() == [Outcome::Cut, Outcome::Completed]).await;
}

#[tokio::test]
async fn an_early_end_is_a_cancelled_stream() {
    let (sandbox, raw) = stand([Eof::before_headers(), Eof::within_body()]).await;
    let error = raw.status("/groups").await.expect_err("a reset");
    assert_eq!(reason(&error), h2::Reason::CANCEL);
    let (seen, ended) = raw.body("/groups").await;
    assert_eq!(reason(&ended.expect_err("a reset")), h2::Reason::CANCEL);
    let whole = whole(&raw).await;
    assert_eq!(seen, whole[..whole.len() / 2]);
    until(|| sandbox.outcomes() == [Outcome::Cut, Outcome::Cut, Outcome::Completed]).await;
}

#[tokio::test]
async fn a_hanging_stream_leaves_the_others_alone() {
    let (sandbox, raw) = stand([Hang::before_headers(), Hang::within_headers(), Hang::within_body()]).await;
    let before = raw.send("/groups").await.expect("a stream");
    assert!(tokio::time::timeout(WAIT, before).await.is_err());
    let mut after = in_time(raw.send("/groups").await.expect("a stream")).await.expect("headers").into_body();
    assert!(tokio::time::timeout(WAIT, after.data()).await.is_err());
    let mut within = in_time(raw.send("/groups").await.expect("a stream")).await.expect("headers").into_body();
    let half = in_time(within.data()).await.expect("a chunk").expect("bytes");
    assert!(tokio::time::timeout(WAIT, within.data()).await.is_err());
    let whole = whole(&raw).await;
    assert_eq!(half, whole[..whole.len() / 2]);
    drop((after, within));
    let left = Outcome::Cancelled;
    until(|| sandbox.outcomes() == [left, left, left, Outcome::Completed]).await;
}

#[tokio::test]
async fn a_dripping_body_takes_its_time_and_loses_nothing() {
    let pause = Duration::from_millis(5);
    let (_sandbox, raw) = stand([Drip::of(500, pause)]).await;
    let asked = Instant::now();
    let (seen, ended) = raw.body("/groups").await;
    ended.expect("complete");
    let took = asked.elapsed();
    assert_eq!(seen, whole(&raw).await);
    let pieces = u32::try_from(seen.len().div_ceil(500)).expect("few");
    assert!(pieces > 2 && took >= pause * (pieces - 1), "{pieces} pieces took {took:?}");
}

#[tokio::test]
async fn a_refused_stream_was_not_processed() {
    let rule = RefuseStream::once().after_applying();
    let (sandbox, raw) = stand([rule]).await;
    let error = raw.status("/groups").await.expect_err("refused");
    assert_eq!(reason(&error), h2::Reason::REFUSED_STREAM);
    whole(&raw).await;
    until(|| sandbox.outcomes() == [Outcome::Cut, Outcome::Completed]).await;
    assert_eq!(sandbox.connections().counts().refused_streams, 1);
}

#[tokio::test]
async fn http_1_has_no_stream_to_refuse() {
    let t = probe(Config::default()).await;
    t.sandbox.fault(get("/groups"), RefuseStream::once());
    assert_eq!(t.get("/groups").await.status, 200);
    assert_eq!(t.sandbox.faults().list()[0].hits, 0);
}

#[tokio::test]
async fn a_wrong_length_breaks_its_stream() {
    let (_sandbox, raw) = stand([WrongLength::by(10), WrongLength::by(-10)]).await;
    let (more, ended) = raw.body("/groups").await;
    assert_eq!(reason(&ended.expect_err("bytes are missing")), h2::Reason::CANCEL);
    let (_, ended) = raw.body("/groups").await;
    assert_eq!(ended.expect_err("bytes too many").reason(), Some(h2::Reason::PROTOCOL_ERROR));
    assert_eq!(more, whole(&raw).await);
}
