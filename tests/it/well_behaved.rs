//! Sixteen clients in five languages that do what services do, all at once, against the real binary with its own limits: none of
//! their calls is refused, and none fails. `WELL_BEHAVED_SECONDS=600` lets them do it for longer.

mod plan;
mod programs;
mod results;
mod rust;

use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio::sync::Mutex;

use crate::support::binary::Binary;
use crate::support::key_file;
use plan::Plan;
use programs::Program;
use results::Results;

/// The clients of each language.
const CLIENTS: [(&str, usize); 5] = [("Rust", 3), ("Python", 4), ("Node.js", 3), ("Go", 3), ("Java", 3)];
/// One run at a time: the second would take the processors from the first.
static ALONE: Mutex<()> = Mutex::const_new(());

fn seconds() -> u64 {
    std::env::var("WELL_BEHAVED_SECONDS").ok().map_or(10, |seconds| seconds.parse().expect("a number"))
}

/// The hardest case: to the gateway they are one caller, with one caller's share.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow"]
async fn sixteen_clients_at_one_address_are_never_refused() {
    let (gateway, _folder) = start("[identity]\nmethods = [\"none\"]\n").await;
    work(&gateway, |_| String::new()).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow"]
async fn sixteen_clients_with_keys_are_never_refused() {
    let key = |number: usize| format!("key-{number}");
    let names: Vec<(String, String)> = (0..=16).map(|number| (format!("client-{number}"), key(number))).collect();
    let keys: Vec<(&str, &str)> = names.iter().map(|(name, key)| (&**name, &**key)).collect();
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("keys");
    std::fs::write(&file, key_file(&keys)).expect("written");
    let rule = "[[authorization.rules]]\ncallers = [\"*\"]\nrisks = [\"read\", \"write\"]\n";
    let text = format!("[identity]\nmethods = [\"api_key\"]\n[identity.api_keys]\nfile = {file:?}\n{rule}");
    let (gateway, _folder) = start(&text).await;
    work(&gateway, key).await;
}

/// Starts the gateway with its own limits. Only Zendesk's are lifted: of requests in all, and of updates of single users.
async fn start(config: &str) -> (Binary, TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("config.toml");
    std::fs::write(&file, config).expect("written");
    let settings = [
        ("SANDBOX__RATE_LIMIT", "100000000"),
        ("SANDBOX__UPDATE_LIMITS__PER_USER", "0"),
        ("SANDBOX__UPDATE_LIMITS__PER_ACCOUNT", "0"),
        ("UPSTREAM__RATE__UPDATES_PER_USER", "0"),
        ("UPSTREAM__RATE__UPDATE_SPACING", "0s"),
        // With Zendesk's recorded times more calls are under way at once than with answers that come immediately.
        ("SANDBOX__LATENCY", "realistic"),
        ("TELEMETRY__LOG_FILTER", "warn"),
    ];
    (Binary::read_slowly(u64::MAX, &file, &settings).await, folder)
}

/// Lets the clients work; `key` is that of each, or empty.
async fn work(gateway: &Binary, key: impl Fn(usize) -> String) {
    let _alone = ALONE.lock().await;
    let folder = tempfile::tempdir().expect("a folder");
    let plan = Plan::new(gateway, seconds(), &key(16), folder.path()).await;
    let (mut number, mut programs, mut rust) = (0, Vec::new(), Vec::new());
    for (language, clients) in CLIENTS {
        let mine = plan.of(number, &(number..number + clients).map(&key).collect::<Vec<_>>());
        number += clients;
        if language == "Rust" {
            rust = mine.clients.clone();
        } else if let Some(command) = programs::command(language, folder.path()) {
            programs.push((language, Program::start(command, &mine, language, folder.path()).await));
        }
    }
    let rust = rust::Clients::connect(&plan, rust).await;
    for (language, program) in &mut programs {
        program.is_ready(language).await;
    }

    let begun = Instant::now();
    let rust = tokio::spawn(rust.work());
    for (_, program) in &mut programs {
        program.begin().await;
    }
    let mut all = vec![("Rust", rust.await.expect("no panic"))];
    for (language, program) in programs {
        all.push((language, program.results(Duration::from_secs(plan.seconds() + 120)).await));
    }
    let running: usize =
        CLIENTS.iter().filter(|(name, _)| all.iter().any(|(other, _)| other == name)).map(|(_, n)| n).sum();
    println!("{running} clients, in {:.1?}", begun.elapsed());
    for (language, results) in &all {
        println!("{}", results.line(language));
    }
    println!("each kind of call, of all languages:\n{}", Results::by_method(all.iter().map(|(_, results)| results)));
    for (language, results) in &all {
        assert!(results.failures.is_empty(), "{language}: {}", results.told());
        assert!(results.calls() > 0, "{language} has called");
    }
}
