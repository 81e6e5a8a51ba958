//! Hostile peers against the real binary: it survives, its memory stays bounded, and its other callers are answered.
//!
//! The strict figures, one attack after the other and at full scale, each kept up for five seconds. The gateway has the first
//! processor to itself, and the caller whose calls are timed comes before the attackers on the second: in the field, neither
//! shares one with it.
//! `STRICT=1 cargo test --profile dist --test it attacks:: -- --include-ignored --nocapture --test-threads 1`

use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use prost::Message as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tonic::Code;
use tonic::transport::Channel;
use zendesk_gateway::proto::GetUserRequest;
use zendesk_gateway::proto::user_service_client::UserServiceClient;

use crate::support::binary::Binary;
use crate::support::raw::{LONG, Raw, Wire, frame, framed};
use crate::support::{Scripted, TestGateway, api_token, serve, settings};

mod descriptors;
mod greed;
mod memory;
mod newcomers;
mod probes;
mod protocol;
mod together;

const GET_USER: &str = "/zendesk.gateway.v1.UserService/GetUser";
/// More memory than this no attack may cost, in bytes.
const MOST_MEMORY: u64 = 300 << 20;
/// How many attack at once, where it is not one who holds many.
const ATTACKERS: usize = 8;
/// HTTP/2's `ENHANCE_YOUR_CALM`.
const CALM: Option<u32> = Some(11);

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

fn strict() -> bool {
    std::env::var_os("STRICT").is_some()
}

/// For how long an attack goes on at least.
fn lasting() -> Duration {
    if strict() { Duration::from_secs(5) } else { Duration::ZERO }
}

/// A number for the normal run, and the full one for the strict.
fn scaled(normal: usize, full: usize) -> usize {
    if strict() { full } else { normal }
}

/// The header block of a call, each field spelled out.
fn call_headers() -> Vec<u8> {
    let mut block = vec![0x83, 0x86]; // POST, http
    let mut literal = |name: &[u8], value: &[u8]| {
        block.extend(name);
        block.push(u8::try_from(value.len()).expect("short"));
        block.extend(value);
    };
    literal(&[0x04], GET_USER.as_bytes()); // :path
    literal(&[0x01], b"gateway"); // :authority
    literal(&[0x0f, 0x10], b"application/grpc"); // content-type
    literal(&[0x00, 0x02, b't', b'e'], b"trailers");
    block
}

/// One caller's calls, one after the other, until `enough`.
async fn call(users: &mut UserServiceClient<Channel>, id: i64, enough: impl Fn(usize) -> bool) -> Vec<Duration> {
    let mut times = Vec::new();
    while !enough(times.len()) {
        let began = Instant::now();
        let mut request = tonic::Request::new(GetUserRequest { id, ..Default::default() });
        request.set_timeout(LONG);
        users.get_user(request).await.expect("other callers are answered");
        times.push(began.elapsed());
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    times
}

fn p99(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times[times.len() * 99 / 100]
}

/// Lets a well-behaved caller call while `attackers` attack the gateway at once, each again and again.
async fn withstand<A: Future<Output = ()> + Send + 'static>(
    name: &str,
    attackers: usize,
    attack: impl Fn(String) -> A + Clone + Send + 'static,
) {
    let settings = &[
        ("TELEMETRY__LOG_FILTER", "warn"),
        ("SERVER__KEEPALIVE_INTERVAL", "5s"),
        ("SERVER__MAX_CONNECTIONS", &scaled(256, 4_096).to_string()),
    ];
    let gateway = if strict() {
        // What this thread begins stays there, too.
        tell("taskset", &["--cpu-list", "--pid", "1"]);
        Binary::on_processor(0, settings).await
    } else {
        Binary::start(settings).await
    };
    let id = gateway.ids().await[0];
    let mut users = gateway.users().await;
    // Before the attack and after it, for no machine is the same all the time.
    let calls = scaled(50, 1_500);
    let mut calm = call(&mut users, id, |made| made >= calls).await;
    let before = gateway.peak();
    let over = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&over);
    let calling = tokio::spawn(async move {
        let times = call(&mut users, id, |made| seen.load(Ordering::Relaxed) && made >= 50).await;
        (users, times)
    });
    let began = Instant::now();
    let address = gateway.address.clone();
    let attacking = tokio::task::spawn_blocking(move || besiege(attackers, &address, attack));
    let rounds = attacking.await.expect("the attackers fail");
    let took = began.elapsed();
    over.store(true, Ordering::Relaxed);
    let (mut users, mut during) = calling.await.expect("other callers are answered");
    // The system counts in batches, so the peak can seem to fall.
    let grown = gateway.peak().saturating_sub(before);
    let made = during.len();
    tokio::time::sleep(lasting() / 5).await;
    calm.extend(call(&mut users, id, |made| made >= calls).await);
    drop(users);
    let (calm, during) = (p99(&mut calm), p99(&mut during));
    println!(
        "{name}: {rounds} rounds by {attackers} in {took:?}, memory +{} KiB, p99 of {made} calls {calm:?} -> {during:?}",
        grown >> 10
    );
    assert!(grown < MOST_MEMORY, "{name}: memory grew by {grown} bytes");
    assert!(!gateway.log().contains("panicked"), "{}", gateway.log());
    if strict() {
        assert!(during < calm * 2, "{name}: p99 {calm:?} -> {during:?}");
    }
    gateway.signal("TERM").await;
    let (status, log) = gateway.ended(LONG).await;
    assert!(status.success(), "{status}: {log}");
}

/// Tells the system how to run this thread.
fn tell(tool: &str, how: &[&str]) {
    let thread = std::fs::read_link("/proc/thread-self").expect("Linux");
    let told = std::process::Command::new(tool).args(how).arg(thread.file_name().expect("its number")).output();
    let told = told.expect("the tool is there");
    assert!(told.status.success(), "{told:?}");
}

/// Attacks from threads that leave the processor to whoever else wants it. Returns how often it was done.
fn besiege<A: Future<Output = ()> + Send + 'static>(
    attackers: usize,
    address: &str,
    attack: impl Fn(String) -> A + Clone + Send + 'static,
) -> usize {
    let modest = || {
        if strict() {
            tell("chrt", &["--idle", "--pid", "0"]);
        }
    };
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(2).on_thread_start(modest).enable_all().build().expect("threads");
    let until = Instant::now() + lasting();
    runtime.block_on(async {
        let mut attacking = JoinSet::new();
        for _ in 0..attackers {
            let (attack, address) = (attack.clone(), address.to_owned());
            attacking.spawn(async move {
                let mut rounds = 0;
                while rounds == 0 || Instant::now() < until {
                    attack(address.clone()).await;
                    rounds += 1;
                }
                rounds
            });
        }
        attacking.join_all().await.into_iter().sum()
    })
}

/// Sends frames over and over until the server closes the connection, or enough were sent; returns why it closed.
async fn flood(address: &str, opening: &[Vec<u8>], frames: &[u8], times: usize) -> Option<u32> {
    let Wire { socket } = Wire::begin(address).await;
    let (mut from, mut to) = socket.into_split();
    let opening = opening.concat();
    let frames = frames.to_vec();
    let sending = tokio::spawn(async move {
        if to.write_all(&opening).await.is_err() {
            return;
        }
        let together = times.min(100);
        let batch = frames.repeat(together);
        for _ in 0..times.div_ceil(together) {
            // In pieces, for the system finishes what it writes before anybody else has the processor.
            for piece in batch.chunks(16 << 10) {
                if to.write_all(piece).await.is_err() {
                    return;
                }
            }
        }
        to.shutdown().await.ok();
    });
    let reason = tokio::time::timeout(LONG, async {
        let mut head = [0; 9];
        let mut reason = None;
        while from.read_exact(&mut head).await.is_ok() {
            let mut payload = vec![0; usize::from(head[1]) << 8 | usize::from(head[2])];
            if from.read_exact(&mut payload).await.is_err() {
                break;
            }
            if head[3] == GOAWAY {
                reason = Some(u32::from_be_bytes(payload[4..8].try_into().expect("four bytes")));
            }
        }
        reason
    });
    let reason = reason.await.expect("the server ends the connection");
    sending.await.expect("no panic");
    reason
}

async fn reset_rapidly(address: String) {
    let mut frames = Vec::new();
    for stream in (1..2_000).step_by(2) {
        frames.extend(frame(HEADERS, END_HEADERS, stream, &call_headers()));
        frames.extend(frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes()));
    }
    let reason = flood(&address, &[], &frames, 1).await;
    assert!(reason == CALM || reason.is_none(), "{reason:?}");
}

#[tokio::test]
#[ignore = "slow"]
async fn rapid_resets() {
    withstand("rapid reset", ATTACKERS, reset_rapidly).await;
}

/// Not an attack: a proxy that carries many callers, who all lose their patience at once.
#[tokio::test]
async fn callers_who_all_give_up_at_once_keep_their_connection() {
    let t = TestGateway::start().await;
    let mut wire = Wire::begin(&t.address).await;
    let mut frames = Vec::new();
    for stream in (1..200).step_by(2) {
        frames.extend(frame(HEADERS, END_HEADERS, stream, &call_headers()));
        frames.extend(frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes()));
    }
    frames.extend(frame(HEADERS, END_HEADERS, 201, &call_headers()));
    frames.extend(frame(
        DATA,
        END_STREAM,
        201,
        &framed(0, &GetUserRequest { id: 1, ..Default::default() }.encode_to_vec()),
    ));
    wire.socket.write_all(&frames).await.expect("taken");
    let answered = async {
        let mut head = [0; 9];
        loop {
            wire.socket.read_exact(&mut head).await.expect("the connection stays");
            let mut payload = vec![0; usize::from(head[1]) << 8 | usize::from(head[2])];
            wire.socket.read_exact(&mut payload).await.expect("the connection stays");
            assert_ne!(head[3], GOAWAY, "{payload:?}");
            if head[3] == HEADERS && u32::from_be_bytes(head[5..].try_into().expect("four bytes")) == 201 {
                return;
            }
        }
    };
    tokio::time::timeout(LONG, answered).await.expect("the call is answered");
}

/// Begins a hundred calls on each of many connections, and sends no message.
async fn hold(address: String) {
    let (connections, mut held) = (scaled(20, 500), Vec::new());
    for _ in 0..connections {
        let mut wire = Wire::begin(&address).await;
        let mut frames = Vec::new();
        for stream in (1..200).step_by(2) {
            frames.extend(frame(HEADERS, END_HEADERS, stream, &call_headers()));
        }
        wire.socket.write_all(&frames).await.expect("taken");
        held.push(wire);
    }
    println!("{} streams held", connections * 100);
    tokio::time::sleep(Duration::from_secs(scaled(1, 5) as u64)).await;
}

#[tokio::test]
#[ignore = "slow"]
async fn many_held_streams() {
    withstand("held streams", 1, hold).await;
}

async fn continue_without_end(address: String) {
    let opening = [frame(HEADERS, 0, 1, &call_headers())];
    let reason = flood(&address, &opening, &frame(CONTINUATION, 0, 1, &[]), 20_000).await;
    assert!(reason == CALM || reason.is_none(), "{reason:?}");
    let field = [&[0x00, 0x03, b'x', b'-', b'y', 0x64][..], &[b'z'; 100]].concat();
    let reason = flood(&address, &opening, &frame(CONTINUATION, 0, 1, &field.repeat(100)), 2_000).await;
    assert!(reason.is_none_or(|reason| reason != 0), "{reason:?}");
}

#[tokio::test]
#[ignore = "slow"]
async fn a_flood_of_continuations() {
    withstand("CONTINUATION flood", ATTACKERS, continue_without_end).await;
}

async fn send_empty_data(address: String) {
    let opening = [frame(HEADERS, END_HEADERS, 1, &call_headers())];
    let reason = flood(&address, &opening, &frame(DATA, 0, 1, &[]), 50_000).await;
    assert!(reason == CALM || reason.is_none(), "{reason:?}");
}

#[tokio::test]
#[ignore = "slow"]
async fn floods_of_empty_data() {
    withstand("empty DATA", ATTACKERS, send_empty_data).await;
}

async fn send_tiny_data(address: String) {
    let opening = [frame(HEADERS, END_HEADERS, 1, &call_headers()), frame(DATA, 0, 1, &[0, 0, 1, 0, 0])];
    flood(&address, &opening, &frame(DATA, 0, 1, &[0]), 50_000).await;
}

#[tokio::test]
#[ignore = "slow"]
async fn floods_of_tiny_data() {
    withstand("1-byte DATA", ATTACKERS, send_tiny_data).await;
}

async fn ping(address: String) {
    flood(&address, &[], &frame(PING, 0, 0, &[0; 8]), 50_000).await;
}

#[tokio::test]
#[ignore = "slow"]
async fn floods_of_pings() {
    withstand("PING flood", ATTACKERS, ping).await;
}

async fn change_settings(address: String) {
    flood(&address, &[], &frame(SETTINGS, 0, 0, &[0, 4, 0, 1, 0, 0]), 50_000).await;
}

#[tokio::test]
#[ignore = "slow"]
async fn floods_of_settings() {
    withstand("SETTINGS flood", ATTACKERS, change_settings).await;
}

#[tokio::test]
#[ignore = "slow"]
async fn pings_whose_answers_nobody_reads() {
    withstand("PING flood, answers unread", 1, async |address| {
        let mut wire = Wire::begin(&address).await;
        let batch = frame(PING, 0, 0, &[0; 8]).repeat(1_000);
        let sent = async { while wire.socket.write_all(&batch).await.is_ok() {} };
        tokio::time::timeout(Duration::from_secs(scaled(2, 20) as u64), sent).await.ok();
        // On whichever thread they are served, newcomers do not wait for it.
        let newcomers = futures_util::future::join_all((0..4).map(|_| Raw::get_in(&address)));
        tokio::time::timeout(Duration::from_secs(10), newcomers).await.expect("they are let in");
    })
    .await;
}

async fn promise_a_gigabyte(address: String) {
    let (client, _) = Raw::connect(&address).await;
    let mut call = client.begin(GET_USER, &[]).await.expect("sent");
    call.request.send_data(Bytes::from_static(&[0, 0x40, 0, 0, 0]), false).expect("sent");
    assert_eq!(call.answer().await.expect("answered").code(), Code::ResourceExhausted);
}

#[tokio::test]
#[ignore = "slow"]
async fn lengths_that_promise_a_gigabyte() {
    withstand("1 GiB length prefix", ATTACKERS, promise_a_gigabyte).await;
}

/// A message that unpacks to so many MiB.
fn bomb(mebibytes: usize) -> Bytes {
    let mut bomb = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    for _ in 0..mebibytes {
        bomb.write_all(&vec![0; 1 << 20]).expect("memory");
    }
    framed(1, &bomb.finish().expect("memory"))
}

async fn send_bomb(address: String, bomb: Bytes) {
    let (client, _) = Raw::connect(&address).await;
    let mut call = client.begin(GET_USER, &[("grpc-encoding", "gzip")]).await.expect("sent");
    call.request.send_data(bomb, true).expect("sent");
    assert_eq!(call.answer().await.expect("answered").code(), Code::ResourceExhausted);
}

#[tokio::test]
#[ignore = "slow"]
async fn messages_that_inflate_to_a_gigabyte() {
    let bomb = bomb(scaled(64, 1024));
    withstand("gzip bombs", ATTACKERS, move |address| send_bomb(address, bomb.clone())).await;
}

/// Opens connections of which a third sends nothing, a third a part of the preface, and a third no call.
async fn crowd_in(address: &str) -> Vec<TcpStream> {
    let mut idle = Vec::new();
    for number in 0..scaled(500, 8_000) {
        match number % 3 {
            0 => idle.push(TcpStream::connect(address).await.expect("the system accepts it")),
            1 => {
                let mut slow = TcpStream::connect(address).await.expect("the system accepts it");
                slow.write_all(b"PRI * HT").await.ok();
                idle.push(slow);
            }
            _ => {
                let mut begun = TcpStream::connect(address).await.expect("the system accepts it");
                begun.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.ok();
                idle.push(begun);
            }
        }
    }
    idle
}

#[tokio::test]
#[ignore = "slow"]
async fn connections_that_do_nothing() {
    withstand("idle connections", 1, async |address| {
        let _idle = crowd_in(&address).await;
        // They fill the gateway, and yet somebody new is served.
        let began = Instant::now();
        Raw::get_in(&address).await;
        println!("a newcomer is served after {:?}", began.elapsed());
    })
    .await;
}

/// Frames of one block of headers.
fn in_frames(stream: u32, block: &[u8]) -> Vec<u8> {
    let (mut frames, mut pieces) = (Vec::new(), block.chunks(16 << 10).peekable());
    let mut kind = HEADERS;
    while let Some(piece) = pieces.next() {
        let last = if pieces.peek().is_none() { END_HEADERS } else { 0 };
        frames.extend(frame(kind, last, stream, piece));
        kind = CONTINUATION;
    }
    frames
}

async fn send_large_headers(address: String) {
    // 64,000 zeros take 40,000 bytes in Huffman's code, and that length three bytes after the first 127.
    let field = [&[0x00, 0x01, b'x', 0xff, 0xc1, 0xb7, 0x02][..], &vec![0; 40_000]].concat();
    let block = [call_headers(), field].concat();
    let frames: Vec<u8> = (1..100).step_by(2).flat_map(|stream| in_frames(stream, &block)).collect();
    let reason = flood(&address, &[], &frames, 1).await;
    assert!(reason.is_none(), "{reason:?}");
}

#[tokio::test]
#[ignore = "slow"]
async fn headers_beyond_all_measure() {
    withstand("oversized headers", ATTACKERS, send_large_headers).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow"]
async fn streams_that_nobody_reads() {
    let streams = scaled(400, 10_000);
    let calls = (streams + 100).to_string();
    // As many as one caller never has by default.
    let unlimited =
        [("CALLERS__MAX_CALLS", "0"), ("CALLERS__MAX_STREAMS", "0"), ("SERVER__MESSAGE_MEMORY", "4294967296")];
    let limits = [("SERVER__MAX_CALLS", &*calls), ("SERVER__SEND_TIMEOUT", "10m")];
    let gateway = Binary::start(&[&limits[..], &unlimited].concat()).await;
    let ids = gateway.ids().await;
    let before = gateway.peak();
    let mut held = Vec::new();
    for _ in 0..streams / 100 {
        let mut builder = h2::client::Builder::new();
        builder.initial_window_size(1);
        let (client, _) = Raw::with(&gateway.address, builder).await;
        for _ in 0..100 {
            let request = zendesk_gateway::proto::StreamUsersRequest::default();
            let path = "/zendesk.gateway.v1.UserService/StreamUsers";
            held.push((client.start(path, &[], &request).await.expect("sent"), client.clone()));
        }
    }
    let mut unread = Vec::new();
    for (call, _) in &mut held {
        let response = tokio::time::timeout(LONG, &mut call.response).await.expect("answered").expect("headers");
        assert!(response.headers().get("grpc-status").is_none(), "not refused: {response:?}");
        unread.push(response);
    }
    let mut users = gateway.users().await;
    call(&mut users, ids[0], |made| made >= 50).await;
    let each = gateway.peak().saturating_sub(before) / streams as u64;
    println!("{streams} streams that nobody reads: {} KiB each", each >> 10);
    assert!(each < 512 << 10, "{each} bytes for each stream");
}

#[tokio::test]
#[ignore = "slow"]
async fn json_that_is_nested_without_end() {
    for open in ["[", r#"{"user":{"user_fields":{"a":"#] {
        let deep = Scripted::start("200 OK\r\ncontent-type: application/json", open.repeat(100_000)).await;
        let sandbox = zendesk_gateway::sandbox::Sandbox::start(crate::support::account()).await.expect("it starts");
        let (address, _channel, shutdown, served) = serve(&deep.url, api_token(&sandbox), settings()).await;
        let (client, _) = Raw::connect(&address).await;
        let answer =
            client.call(GET_USER, &[], &GetUserRequest { id: 7, ..Default::default() }).await.expect("answered");
        assert_eq!(answer.code(), Code::Internal, "{answer:?}");
        drop(client);
        shutdown.send(()).expect("it listens");
        served.await.expect("no panic").expect("ended well");
    }
    // And it is still what it was.
    TestGateway::start().await.stop().await;
}
