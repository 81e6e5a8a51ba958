//! Everything that parses input from outside, on inputs that nobody would write.
//!
//! `bash tests/fuzz/run` fuzzes the same targets guided by coverage; `corpus` replays what that has found. Without it, each
//! target gets a fixed number of inputs that are made from its examples by a fixed seed, so that a failure can be
//! repeated. For a longer run: `ZENDESK_GATEWAY_FUZZ_RUNS=1000000 cargo test --release --test it fuzz -- --include-ignored`, with another
//! `ZENDESK_GATEWAY_FUZZ_SEED` each time.

use std::io::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};

use flate2::Compression;
use flate2::write::GzEncoder;
use tower::ServiceExt as _;
use zendesk_gateway::cache::WaitsFor;
use zendesk_gateway::config;
use zendesk_gateway::contract::Idempotency;
use zendesk_gateway::error::Error;
use zendesk_gateway::path;
use zendesk_gateway::share::Share;
use zendesk_gateway::upstream::call::{Call, Priority};
use zendesk_gateway::upstream::credential::Credential;
use zendesk_gateway::upstream::rest::Rest;
use zendesk_gateway::upstream::transport::Transport;

use crate::support::{Scripted, plain};

mod answers;
mod corpus;
mod files;
mod headers;
mod identity;
mod pages;
mod requests;
mod rpcs;
mod targets;
mod wire;

use targets::TARGETS;

/// Bytes that mean something to one parser or another.
const WORDS: &[&[u8]] = &[
    b"\0",
    b"\r\n",
    b"..",
    b"%2e%2e",
    b"%00",
    b"/",
    b"\\",
    b"?",
    b"#",
    b"&",
    b"=",
    b";",
    b",",
    b":",
    b"@",
    b"\"",
    b"{",
    b"}",
    b"[",
    b"]",
    b"null",
    b"true",
    b"-1",
    b"0",
    b"1e999",
    b"NaN",
    b"4294967296",
    b"9223372036854775807",
    b"9223372036854775808",
    b"18446744073709551616",
    b"\xff",
    b"\xc0\x80",
    b"\xed\xa0\x80",
    b"\\u0000",
    b"\\ud800",
    b"\xef\xbb\xbf",
    b"\xe2\x80\xae",
    b"{\"",
    b"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[",
];

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().map_or(default, |text| text.parse().expect("a number"))
}

/// Makes an input of an example: a few changes, each small or from another example.
fn changed(example: &[u8], others: &[&[u8]], random: &mut fastrand::Rng) -> Vec<u8> {
    let mut input = example.to_vec();
    for _ in 0..random.usize(0..6) {
        let at = random.usize(0..=input.len());
        match random.u8(0..7) {
            0 if at < input.len() => input[at] ^= 1 << random.u8(0..8),
            1 if at < input.len() => drop(input.remove(at)),
            2 => input.insert(at, random.u8(..)),
            3 => input.truncate(at),
            4 => drop(input.splice(at..at, random.choice(WORDS).expect("words").iter().copied())),
            5 => {
                let other = random.choice(others).expect("examples");
                let from = random.usize(0..=other.len());
                input.truncate(at);
                input.extend_from_slice(&other[from..]);
            }
            _ => {
                let part: Vec<u8> = input[at..].iter().take(random.usize(0..16)).copied().collect();
                for _ in 0..random.usize(0..50) {
                    input.splice(at..at, part.iter().copied());
                }
            }
        }
    }
    input
}

#[test]
#[ignore = "slow"]
fn no_input_breaks_a_parser_or_its_promises() {
    let runs = usize::try_from(setting("ZENDESK_GATEWAY_FUZZ_RUNS", 4_000)).expect("not so many");
    // A call costs as much as some hundred inputs of a parser.
    let slower = |name: &str| if ["rpcs", "settings", "environment"].contains(&name) { 20 } else { 1 };
    let seed = setting("ZENDESK_GATEWAY_FUZZ_SEED", 0x5EED);
    for (name, target, examples) in TARGETS {
        let mut random = fastrand::Rng::with_seed(seed);
        for run in 0..runs / slower(name) {
            let input = match run {
                run if run < examples.len() => examples[run].to_vec(),
                _ if random.u8(0..20) == 0 => (0..random.usize(0..200)).map(|_| random.u8(..)).collect(),
                _ => changed(random.choice(*examples).expect("examples"), examples, &mut random),
            };
            let outcome = catch_unwind(AssertUnwindSafe(|| target(&input)));
            assert!(outcome.is_ok(), "{name}, run {run} of seed {seed}: {:?}", input.escape_ascii().to_string());
        }
    }
}

#[test]
#[ignore = "slow"]
fn nesting_of_any_depth_is_refused_and_not_followed() {
    for depth in [100, 1_000, 1_000_000] {
        for open in ["[", "{\"users\":", "{\"user\":{\"user_fields\":", "{\"users\":[{\"user_fields\":{\"a\":["] {
            let input = open.repeat(depth / open.len() + 1);
            for (_, target, _) in TARGETS {
                target(input.as_bytes());
            }
        }
    }
}

#[tokio::test]
#[ignore = "slow"]
async fn a_compressed_body_that_was_tampered_with_is_an_error_and_never_more_than_its_cap() {
    const CAP: usize = 64 << 10;
    let pack = |body: &[u8]| {
        let mut packer = GzEncoder::new(Vec::new(), Compression::default());
        packer.write_all(body).expect("memory");
        packer.finish().expect("memory")
    };
    let good = pack(br#"{"user":{"id":7,"name":"A"}}"#);
    let bomb = pack(&vec![b' '; 8 << 20]);
    let twice = [good.clone(), good.clone()].concat();
    let examples: Vec<&[u8]> = vec![&good, &bomb, &twice];
    let mut random = fastrand::Rng::with_seed(setting("ZENDESK_GATEWAY_FUZZ_SEED", 0x5EED));
    let runs = setting("ZENDESK_GATEWAY_FUZZ_RUNS", 4_000).min(100_000) / 20;
    let mut answered = 0;
    for run in 0..runs {
        let body = match run {
            0..3 => examples[usize::try_from(run).expect("small")].to_vec(),
            _ => changed(examples[random.usize(0..3)], &examples, &mut random),
        };
        let head = "200 OK\r\ncontent-type: application/json\r\ncontent-encoding: gzip\r\nconnection: close";
        let upstream = Scripted::start(head, body).await;
        let settings = config::Upstream { max_body_bytes: CAP, ..config::Upstream::default() };
        let transport = Transport::new(&plain(&upstream.url), &settings).expect("a client");
        let call = Call {
            rest: Rest::get(path!["users"]).into(),
            idempotency: Idempotency::NoSideEffects,
            priority: Priority::Interactive,
            deadline: tokio::time::Instant::now() + std::time::Duration::from_mins(1),
            wanted_by: tokio::time::Instant::now() + std::time::Duration::from_mins(1),
            share: Share::default(),
            credential: Credential::new("Bearer x", true).expect("a header"),
            parse: std::sync::Arc::new(|body| {
                assert!(body.len() <= CAP);
                zendesk_gateway::json::decode::<serde_json::Value>(body).map(|value| Box::new(value) as _)
            }),
            peek: None,
            waits_for: WaitsFor::default(),
            ledger: std::sync::Arc::default(),
            trace: zendesk_gateway::telemetry::Trace::default(),
        };
        match transport.oneshot(call).await {
            Ok(_) => answered += 1,
            Err(Error::TooLarge { limit }) => assert_eq!(limit, CAP),
            Err(Error::BrokenBody(_) | Error::Malformed(_)) => {}
            Err(other) => panic!("run {run}: {other:?}"),
        }
    }
    assert!(answered > 0, "the untouched one is read");
}
