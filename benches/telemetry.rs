//! What telemetry costs a call that is answered from the cache: `cargo bench --bench telemetry`.
//!
//! The real service answers in process, without a network, so that the difference is not lost in it. Rounds of all variants
//! alternate, and the best round of each counts: what else the machine does only ever adds.

#[path = "common/in_process.rs"]
mod in_process;

use std::time::{Duration, Instant};

use http::HeaderMap;
use tower::service_fn;
use zendesk_gateway::assembly;
use zendesk_gateway::config::{self, Config, LogFormat, Otlp};
use zendesk_gateway::error::Error;
use zendesk_gateway::gateway::Gateway;
use zendesk_gateway::limits::Limits;
use zendesk_gateway::proto::GetUserRequest;
use zendesk_gateway::telemetry::Telemetry;
use zendesk_gateway::upstream::{Answer, Call, Upstream};

use in_process::Served;

const CALLS: u32 = 20_000;
const ROUNDS: usize = 15;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let mute = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let collector = Otlp {
        endpoint: Some(format!("http://{}", mute.local_addr().expect("it is bound")).parse().expect("a URL")),
        ..Otlp::default()
    };
    let settings = |log_filter: &str, otlp: Otlp| config::Telemetry {
        log_filter: log_filter.to_owned(),
        log_format: LogFormat::Json,
        otlp,
        ..config::Telemetry::default()
    };
    let quiet = Otlp { logs: false, ..collector.clone() };
    let variants = [
        ("off", None),
        ("metrics, span contexts", Some(settings("off", Otlp::default()))),
        ("and access lines", Some(settings("info", Otlp::default()))),
        ("and 5 % of the traces pushed", Some(settings("info", quiet))),
        ("and the access lines pushed, too", Some(settings("info", collector))),
    ];
    let mut measured: Vec<(&str, Option<Telemetry>, Served, Duration)> = Vec::new();
    for (name, settings) in variants {
        let telemetry = settings.map(|it| Telemetry::start(&it, std::io::sink()).expect("telemetry"));
        let service =
            Served::new(gateway(), telemetry.as_ref(), "GetUser", &GetUserRequest { id: 7, ..Default::default() });
        measured.push((name, telemetry, service, Duration::MAX));
    }
    for _ in 0..ROUNDS {
        for (_, telemetry, service, best) in &mut measured {
            let _lines = telemetry.as_ref().map(|it| tracing::dispatcher::set_default(it.dispatch()));
            *best = (*best).min(round(service).await);
        }
    }
    let base = measured[0].3;
    println!("{:<36} {:>10} {:>10}", "telemetry", "ns/call", "added");
    for (name, _, _, best) in &measured {
        let nanoseconds = |time: Duration| time.as_nanos() / u128::from(CALLS);
        println!("{name:<36} {:>10} {:>10}", nanoseconds(*best), nanoseconds(best.saturating_sub(base)));
    }
    // The mute collector would hold the end up for as long as a push may take.
    std::process::exit(0);
}

async fn round(service: &mut Served) -> Duration {
    let metadata = HeaderMap::new();
    let started = Instant::now();
    for _ in 0..CALLS {
        service.call(&metadata).await;
    }
    started.elapsed()
}

/// A gateway before an upstream that always knows user 7; after the first call the cache answers.
fn gateway() -> Gateway {
    let body =
        br#"{"user":{"id":7,"name":"Johnny","email":"a@example.com","role":"agent","verified":true,"tags":["a","b"]}}"#;
    let upstream = service_fn(move |call: Call| async move {
        let parsed = (call.parse)(body).map_err(|_| Error::AttemptTimeout)?;
        Ok::<_, Error>(Answer {
            status: 200,
            parsed,
            request_id: None,
            warning: None,
            limits: Limits::default(),
            attempts: 1,
            losses: Vec::new(),
        })
    });
    let mut config = Config::default();
    config.cache.record.fresh = Some(Duration::from_hours(1));
    config.cache.record.stale_while_revalidate = Some(Duration::from_hours(2));
    config.cache.record.stale_if_error = Some(Duration::from_hours(2));
    assembly::gateway(&config, Upstream::new(upstream))
}
