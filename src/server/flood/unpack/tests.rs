//! Messages however they are sent, broken ones and bombs.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use flate2::Compression;
use flate2::write::GzEncoder;
use http_body_util::{BodyExt as _, StreamBody};
use proptest::collection::vec;
use proptest::prelude::*;
use tonic::Code;

use super::*;
use crate::config;
use crate::contract::Request as _;
use crate::gateway::caller::{Caller, Grant};
use crate::proto::BulkCreateUsersRequest;
use crate::rpc::facts::Terms;
use crate::share::Shares;

const LIMIT: usize = 1 << 20;

fn prefixed(compressed: u8, message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).expect("short").to_be_bytes();
    [&[compressed][..], &length, message].concat()
}

fn gzip(message: &[u8]) -> Vec<u8> {
    let mut packer = GzEncoder::new(Vec::new(), Compression::default());
    packer.write_all(message).expect("memory");
    packer.finish().expect("memory")
}

/// Reads a compressed request that comes in pieces of `piece` bytes; also returns how many bytes were read. `paid` says whether
/// it has a caller who pays for it.
async fn read(body: Vec<u8>, piece: usize, paid: bool) -> (Result<Bytes, Status>, usize) {
    let read = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&read);
    let pieces: Vec<Bytes> = body.chunks(piece).map(Bytes::copy_from_slice).collect();
    let pieces = pieces.into_iter().map(move |piece| {
        count.fetch_add(piece.len(), Ordering::Relaxed);
        Ok::<_, Status>(Frame::data(piece))
    });
    let body = StreamBody::new(futures_util::stream::iter(pieces));
    let mut request = Request::post("/").header("grpc-encoding", "gzip").body(body).expect("a request");
    if paid {
        let settings = config::Callers { message_memory_percent: 100, ..config::Callers::default() };
        let caller = Caller::new("one".into(), Grant::default(), Shares::new(&settings, 1 << 30).of("one"));
        let facts = Terms::of(&config::Server::default()).local(BulkCreateUsersRequest::rpc(), caller);
        request.extensions_mut().insert(facts);
    }
    let request = super::request(request, LIMIT);
    assert!(request.headers().is_empty(), "nobody unpacks it twice");
    let all = request.into_body().collect().await;
    let all = all.map(http_body_util::Collected::to_bytes).map_err(Status::from_error);
    (all, read.load(Ordering::Relaxed))
}

fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a thread").block_on(future)
}

proptest! {
    #[test]
    fn messages_are_the_same_however_they_were_sent(
        messages in vec((vec(any::<u8>(), 0..2_000), any::<bool>()), 0..4),
        piece in 1..600_usize,
        paid in any::<bool>(),
    ) {
        let sent = messages.iter().map(|(message, packed)| {
            if *packed { prefixed(1, &gzip(message)) } else { prefixed(0, message) }
        });
        let plain = messages.iter().map(|(message, _)| prefixed(0, message));
        let (read, _) = block_on(read(sent.collect::<Vec<_>>().concat(), piece, paid));
        prop_assert_eq!(read.expect("all right"), plain.collect::<Vec<_>>().concat());
    }

    #[test]
    fn nothing_that_anybody_sends_makes_it_fall_over(bytes in vec(any::<u8>(), 0..300), piece in 1..300_usize) {
        for paid in [true, false] {
            let _ = block_on(read(prefixed(1, &bytes), piece, paid));
            let _ = block_on(read(bytes.clone(), piece, paid));
        }
    }
}

#[tokio::test]
async fn a_message_may_have_as_many_bytes_as_the_limit_says_and_not_one_more() {
    for (length, fits) in [(LIMIT, true), (LIMIT + 1, false)] {
        let (read, _) = read(prefixed(1, &gzip(&vec![1; length])), 100, fits).await;
        match read {
            Ok(read) => assert!(fits && read.len() == PREFIX + length),
            Err(status) => assert!(!fits && status.code() == Code::ResourceExhausted, "{status:?}"),
        }
    }
    let (read, _) = read(prefixed(1, &vec![0; LIMIT + 1]), 1 << 10, true).await;
    assert_eq!(read.expect_err("it is too long").code(), Code::ResourceExhausted);
}

#[tokio::test]
#[ignore = "slow"]
async fn what_unpacks_to_too_much_is_not_read_to_its_end() {
    let bomb = prefixed(1, &gzip(&vec![0; 64 << 20]));
    assert!(bomb.len() > 60_000);
    let (refused, read) = read(bomb, 500, true).await;
    assert_eq!(refused.expect_err("it is too large").code(), Code::ResourceExhausted);
    assert!(read < 4_000, "{read} bytes were read");
}

#[tokio::test]
async fn what_is_broken_is_refused() {
    let packed = gzip(b"a message");
    let mut wrong_sum = packed.clone();
    let sum = packed.len() - 8;
    wrong_sum[sum] ^= 1;
    let rows = [
        prefixed(1, b"not gzip at all"),
        prefixed(1, &wrong_sum),
        prefixed(1, &[&packed[..], b"more"].concat()),
        prefixed(1, &packed[..packed.len() - 3]),
        prefixed(1, &packed)[..20].to_vec(),
        vec![1, 0],
    ];
    for row in rows {
        for paid in [true, false] {
            let (refused, _) = read(row.clone(), 7, paid).await;
            assert_eq!(refused.expect_err("it is broken").code(), Code::Internal, "{row:?}");
        }
    }
}

#[tokio::test]
async fn others_work_while_much_is_unpacked() {
    let packed = prefixed(1, &gzip(&vec![5; LIMIT]));
    let mut many = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let packed = packed.clone();
        many.spawn(async move { read(packed, 1 << 20, true).await.0.expect("it fits").len() });
    }
    let mut turns = 0;
    while many.try_join_next().is_none() {
        turns += 1;
        tokio::task::yield_now().await;
    }
    assert!(turns > 10, "{turns} turns");
    assert!(many.join_all().await.into_iter().all(|length| length == PREFIX + LIMIT));
}

#[tokio::test]
async fn an_unpacked_message_is_paid_for_until_it_is_handed_on() {
    let settings = config::Callers { message_memory_percent: 100, ..config::Callers::default() };
    let shares = Shares::new(&settings, 1 << 30);
    let caller = Caller::new("one".into(), Grant::default(), shares.of("one"));
    let facts = Terms::of(&config::Server::default()).local(BulkCreateUsersRequest::rpc(), caller);
    let sent = prefixed(1, &gzip(&vec![5; LIMIT]));
    let body = StreamBody::new(futures_util::stream::iter([Ok::<_, Status>(Frame::data(Bytes::from(sent)))]));
    let mut request = Request::post("/").header("grpc-encoding", "gzip").body(body).expect("a request");
    request.extensions_mut().insert(facts);
    let mut body = Box::pin(super::request(request, LIMIT).into_body());
    let mut left = PREFIX + LIMIT;
    while left > 0 {
        let piece = body.frame().await.expect("more").expect("it fits").into_data().expect("bytes");
        left -= piece.len();
        assert!(shares.bytes() >= left, "{} bytes are charged, and {left} are held", shares.bytes());
    }
    assert_eq!(shares.bytes(), 0, "all were handed on");
}

#[tokio::test]
async fn a_message_that_nobody_pays_for_takes_no_more_than_has_come_of_it() {
    let packed = gzip(&vec![0; LIMIT]);
    let mut messages = Messages::new(LIMIT, None);
    let mut context = Context::from_waker(std::task::Waker::noop());
    messages.input = prefixed(1, &packed)[..PREFIX + packed.len() - 1].to_vec().into();
    assert!(matches!(messages.poll(&mut context), Poll::Ready(Ok(None))));
    let Reading::Gathered(held, _) = &messages.reading else { panic!("it is not unpacked before it is complete") };
    assert_eq!(held.len(), packed.len() - 1);
    messages.input = Bytes::copy_from_slice(&packed[packed.len() - 1..]);
    assert!(matches!(messages.poll(&mut context), Poll::Ready(Ok(Some(_)))), "its last byte makes it complete");
}
