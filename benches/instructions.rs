//! How many instructions a cached read, an uncached read and an uncached page of 100 users take: `cargo bench --bench instructions` compares them with the
//! committed `benches/instructions.txt` and fails if they differ by more than the tolerance, in either direction, so that the
//! file stays true. `-- --renew` writes the file anew, and `-- --layers` prints what each layer of the outbound stack adds to an
//! uncached read.
//!
//! Instructions are counted by valgrind, which no noise of the machine reaches. The real service answers in process, and a
//! canned response stands in for the HTTP exchange with Zendesk: everything of ours is counted, from the request's headers to
//! the last frame of its body, but not HTTP/2, the sockets and the HTTP client. A count depends a little on the compiler, and on
//! what the processor offers to code that asks it; hence the tolerance.

#[path = "common/in_process.rs"]
mod in_process;

use std::fmt::Write as _;
use std::process::Command;
use std::sync::Arc;

use anyhow::{Context as _, ensure};
use http::{HeaderMap, HeaderValue, StatusCode};
use tower::retry::RetryLayer;
use tower::{Service, ServiceBuilder, service_fn};
use zendesk_gateway::assembly;
use zendesk_gateway::config::{self, Config, Otlp};
use zendesk_gateway::error::Error;
use zendesk_gateway::proto::{GetUserRequest, ListUsersRequest};
use zendesk_gateway::telemetry::Telemetry;
use zendesk_gateway::upstream::control::Control;
use zendesk_gateway::upstream::judge::judge;
use zendesk_gateway::upstream::trace::Layers;
use zendesk_gateway::upstream::{
    self, Answer, Call, Upstream, attempt, breaker, credential, deadline, gate, governor, queue, retry,
};

use in_process::Served;

/// What may differ without anybody having to look.
const TOLERANCE_PERCENT: f64 = 10.0;
/// Two runs of different length; their difference is free of what happens once.
const CALLS: [u32; 2] = [200, 1200];
const READS: [&str; 3] = ["cached", "uncached", "page"];
/// The layers of the outbound stack from the innermost, as [`upstream::stack`] puts them.
const LAYERS: [&str; 10] = [
    "attempt",
    "attempt's span",
    "gate",
    "breaker",
    "queue",
    "governor",
    "retry",
    "credential",
    "deadline",
    "operation's span",
];
const BASELINE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/instructions.txt");
const USER: &[u8] = include_bytes!("common/user.json");

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["read", kind, calls] => {
            tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(read(kind, calls.parse()?))
        }
        ["--layers"] => layers(),
        ["--renew"] => {
            let mut lines = String::new();
            for kind in READS {
                writeln!(lines, "{kind} {}", per_call(kind)?)?;
            }
            print!("{lines}");
            Ok(std::fs::write(BASELINE, lines)?)
        }
        _ => compare(),
    }
}

/// Compares with the baseline.
fn compare() -> anyhow::Result<()> {
    let baseline = std::fs::read_to_string(BASELINE)?;
    let mut off = Vec::new();
    for kind in READS {
        let known = baseline.lines().find_map(|line| line.strip_prefix(kind)?.trim().parse::<u32>().ok());
        let known = known.with_context(|| format!("{BASELINE} says nothing of {kind} reads"))?;
        let counted = per_call(kind)?;
        let percent = (f64::from(counted) / f64::from(known) - 1.0) * 100.0;
        println!("{kind} read: {counted} instructions, {percent:+.1} % against {known}");
        if percent.abs() > TOLERANCE_PERCENT {
            off.push(format!("{kind} reads by {percent:+.1} %"));
        }
    }
    ensure!(
        off.is_empty(),
        "instructions differ from the baseline: {}; if that is meant, renew it with \
         `cargo bench --profile release --bench instructions -- --renew`",
        off.join(", ")
    );
    Ok(())
}

/// Prints what each layer adds.
fn layers() -> anyhow::Result<()> {
    let below = per_call("0")?;
    println!("{:<18} {below:>7}", "the rest");
    let mut before = below;
    for (number, layer) in (1..).zip(LAYERS) {
        let counted = per_call(&number.to_string())?;
        println!("{layer:<18} {:>7}", i64::from(counted) - i64::from(before));
        before = counted;
    }
    let whole = per_call("uncached")?;
    println!("{:<18} {whole:>7}", "together");
    ensure!(before.abs_diff(whole) < whole / 20, "the layers here, {before}, are not those of the gateway, {whole}");
    Ok(())
}

/// Returns the stack with so many of its innermost layers.
fn innermost<S>(layers: usize, settings: &config::Upstream, seen: Layers, transport: S) -> Upstream
where
    S: Service<Call, Response = Answer, Error = Error> + Clone + Send + Sync + 'static,
    S::Future: Send + 'static,
{
    // The handles of a stack that nobody calls.
    let (_, control): (_, Control) = upstream::stack(settings, None, transport.clone());
    let service = ServiceBuilder::new()
        .option_layer((layers >= 10).then_some(seen.operation))
        .option_layer((layers >= 9).then(|| deadline::Layer::new(&control.deadlines)))
        .option_layer((layers >= 8).then_some(credential::Layer))
        .option_layer((layers >= 7).then(|| RetryLayer::new(retry::Retry::new(&control.retries))))
        .option_layer((layers >= 6).then(|| governor::Layer::new(&control.governor)))
        .option_layer((layers >= 5).then(|| queue::Layer::new(&control.queue)))
        .option_layer((layers >= 4).then(|| breaker::Layer::new(&control.breakers)))
        .option_layer((layers >= 3).then(|| gate::Layer::new(&control.gate)))
        .option_layer((layers >= 2).then_some(seen.attempt))
        .option_layer((layers >= 1).then(|| attempt::Layer::new(&control.attempts)))
        .service(transport);
    Upstream::new(service)
}

/// Returns the instructions per call.
fn per_call(kind: &str) -> anyhow::Result<u32> {
    let counted = CALLS.map(|calls| instructions(kind, calls));
    let [few, many] = counted;
    Ok(u32::try_from((many? - few?) / u64::from(CALLS[1] - CALLS[0]))?)
}

/// Runs this program under valgrind.
fn instructions(kind: &str, calls: u32) -> anyhow::Result<u64> {
    let mut command = Command::new("valgrind");
    command.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]);
    command.arg(std::env::current_exe()?).args(["read", kind, &calls.to_string()]);
    let output = command.output().context("valgrind cannot be run")?;
    let text = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "the run under valgrind failed:\n{text}");
    let count = text.lines().find_map(|line| line.split_once("Collected : ")?.1.trim().parse().ok());
    count.with_context(|| format!("valgrind reports no count:\n{text}"))
}

/// Makes calls of one kind.
async fn read(kind: &str, calls: u32) -> anyhow::Result<()> {
    let settings = config::Telemetry {
        log_filter: "info,access=off".to_owned(),
        otlp: Otlp::default(),
        ..config::Telemetry::default()
    };
    let telemetry = Telemetry::start(&settings, std::io::sink())?;
    let mut headers = HeaderMap::new();
    for (name, value) in [
        ("content-type", "application/json; charset=utf-8"),
        ("x-rate-limit", "700"),
        ("x-rate-limit-remaining", "650"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    let page: Arc<[u8]> = page().into_bytes().into();
    let headers = Arc::new(headers);
    let transport = service_fn(move |call: Call| {
        let (headers, page) = (Arc::clone(&headers), Arc::clone(&page));
        async move {
            call.ledger.send()?;
            judge(&call, StatusCode::OK, &headers, if call.rest.path.ends_with("/users") { &page } else { USER })
        }
    });
    let seen = Layers::new(&telemetry, &"http://127.0.0.1".parse()?);
    let mut config = Config::default();
    // However slow valgrind is, what is cached stays fresh.
    let long = Some(std::time::Duration::from_hours(1));
    config.cache.record = config::Windows { fresh: long, stale_while_revalidate: long, stale_if_error: long };
    let upstream = match kind.parse() {
        Ok(layers) => innermost(layers, &config.upstream, seen, transport),
        Err(_) => upstream::stack(&config.upstream, Some(seen), transport).0,
    };
    let gateway = assembly::gateway(&config, upstream);
    let mut served = if kind == "page" {
        let request = ListUsersRequest { page_size: 100, ..ListUsersRequest::default() };
        Served::new(gateway, Some(&telemetry), "ListUsers", &request)
    } else {
        Served::new(gateway, Some(&telemetry), "GetUser", &GetUserRequest { id: 7, ..Default::default() })
    };
    let mut metadata = HeaderMap::new();
    if kind != "cached" {
        metadata.insert("cache-control", HeaderValue::from_static("no-cache"));
    }
    for _ in 0..calls {
        served.call(&metadata).await;
    }
    Ok(())
}

/// Returns a page of 100 users.
fn page() -> String {
    let user = String::from_utf8_lossy(USER);
    let user = user.trim().trim_start_matches(r#"{"user":"#).strip_suffix('}').expect("an envelope");
    let rows: Vec<String> = (1..=100).map(|id| user.replacen(r#""id":7"#, &format!(r#""id":{id}"#), 1)).collect();
    format!(r#"{{"users":[{}],"meta":{{"has_more":false}}}}"#, rows.join(","))
}
