//! What telemetry costs a call that is answered from the cache: `cargo bench --bench telemetry`.
//!
//! The real service answers in process, without a network, so that the difference is not lost in it. Rounds of all variants
//! alternate, and the best round of each counts: what else the machine does only ever adds.

use std::time::{Duration, Instant};

use bytes::{BufMut, BytesMut};
use http::Request;
use http_body_util::{BodyExt as _, Full};
use prost::Message as _;
use tonic::body::Body;
use tower::{Layer as _, Service, ServiceExt as _, service_fn};
use zendesk_gateway::cache::Cache;
use zendesk_gateway::config::{self, LogFormat, Otlp};
use zendesk_gateway::error::Error;
use zendesk_gateway::contract::Risk;
use zendesk_gateway::gateway::Gateway;
use zendesk_gateway::gateway::caller::{Caller, Grant};
use zendesk_gateway::proto::GetUserRequest;
use zendesk_gateway::proto::user_service_server::UserServiceServer;
use zendesk_gateway::rpc::Rpc;
use zendesk_gateway::server::trace;
use zendesk_gateway::telemetry::Telemetry;
use zendesk_gateway::upstream::credential::Credential;
use zendesk_gateway::upstream::limits::Limits;
use zendesk_gateway::upstream::{Answer, Call, Upstream};

const CALLS: u32 = 20_000;
const ROUNDS: usize = 15;

type Served = tower::util::BoxCloneService<Request<Body>, http::Response<Body>, std::convert::Infallible>;

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
        let service = UserServiceServer::new(rpc());
        let service: Served = match &telemetry {
            None => service.boxed_clone(),
            Some(telemetry) => trace::Layer::new(telemetry).layer(service).boxed_clone(),
        };
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
    let message = GetUserRequest { id: 7 };
    let mut frame = BytesMut::new();
    frame.put_u8(0);
    frame.put_u32(u32::try_from(message.encoded_len()).expect("it is short"));
    message.encode(&mut frame).expect("it fits");
    let frame = frame.freeze();
    let started = Instant::now();
    for _ in 0..CALLS {
        let request = Request::post("/zendesk.gateway.v1.UserService/GetUser")
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .extension(Caller::new("anonymous".into(), Grant::default().and(Risk::Read)))
            .body(Body::new(Full::new(frame.clone())))
            .expect("a request");
        let response = service.ready().await.expect("ready").call(request).await.expect("an answer");
        let body = response.into_body().collect().await.expect("a body");
        assert_eq!(body.trailers().and_then(|trailers| trailers.get("grpc-status")).expect("a status"), "0");
    }
    started.elapsed()
}

/// The service over an upstream that always knows user 7; after the first call the cache answers.
fn rpc() -> Rpc {
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
        })
    });
    let mut cache = config::Cache::default();
    cache.record.fresh = Some(Duration::from_hours(1));
    cache.record.stale_while_revalidate = Some(Duration::from_hours(2));
    cache.record.stale_if_error = Some(Duration::from_hours(2));
    let credential = Credential::new("Bearer token", true).expect("a header");
    Rpc::new(Gateway::new(Upstream::new(upstream), Cache::new(&cache)), credential, config::Server::default())
}
