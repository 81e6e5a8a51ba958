//! The gateway without a network on either side: gRPC requests go in, and a function stands in for Zendesk, so that all of it
//! moves with a paused clock.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use axum::body::Bytes;
use futures_util::future::BoxFuture;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, StatusCode};
use http_body_util::Full;
use tokio::time::Instant;
use tonic::{Request, Streaming};
use tower::{ServiceExt as _, service_fn};
use zendesk_gateway::assembly;
use zendesk_gateway::cache::Cache;
use zendesk_gateway::codec::{BytesCodec, Encoded};
use zendesk_gateway::config::{self, Config};
use zendesk_gateway::contract::{self, Risk};
use zendesk_gateway::error::{Error, Refusal};
use zendesk_gateway::gateway::Gateway;
use zendesk_gateway::gateway::caller::{Caller, Grant};
use zendesk_gateway::gateway::jobs::Counts;
use zendesk_gateway::rpc::Rpc;
use zendesk_gateway::rpc::facts::Terms;
use zendesk_gateway::sandbox::Sandbox;
use zendesk_gateway::share::Shares;
use zendesk_gateway::upstream::credential::Credential;
use zendesk_gateway::upstream::judge::judge;
use zendesk_gateway::upstream::rest::Body;
use zendesk_gateway::upstream::{self as outbound, Answer, Call, Control, Jitter};

use super::raw::framed;

/// A gateway.
pub struct Seam {
    pub rpc: Rpc,
    pub cache: Cache,
    pub control: Control,
    gateway: Gateway,
    settings: config::Server,
    hits: Arc<AtomicU32>,
}

impl Seam {
    /// Puts one together over what `zendesk` answers to each request.
    pub fn new<F, A>(config: &Config, zendesk: F) -> Self
    where
        F: Fn(Call) -> A + Clone + Send + Sync + 'static,
        A: Future<Output = Result<Answer, Error>> + Send + 'static,
    {
        let hits = Arc::<AtomicU32>::default();
        let counted = Arc::clone(&hits);
        let zendesk = service_fn(move |call: Call| {
            call.ledger.sent();
            counted.fetch_add(1, Ordering::Relaxed);
            zendesk(call)
        });
        let (upstream, control) = outbound::stack_with(&config.upstream, Jitter::OFF, zendesk);
        let gateway = assembly::gateway(config, upstream).with_budget(&control.governor);
        let settings = config.server.clone();
        let cache = gateway.cache().clone();
        let rpc = Rpc::new(gateway.clone(), super::basic("a:b")).called_by(Caller::local(), &settings);
        Self { rpc, cache, control, gateway, settings, hits }
    }

    /// The same gateway for callers with a credential of their own.
    pub fn signed(&self, pair: &str) -> Rpc {
        self.with(super::basic(pair))
    }

    /// The gateway itself.
    pub fn gateway(&self) -> Gateway {
        self.gateway.clone()
    }

    /// The same gateway with another credential.
    pub fn with(&self, credential: Credential) -> Rpc {
        Rpc::new(self.gateway.clone(), credential).called_by(Caller::local(), &self.settings)
    }

    /// How many background jobs there are and were.
    pub fn jobs(&self) -> Counts {
        self.gateway.jobs()
    }

    /// How many requests Zendesk got.
    pub fn hits(&self) -> u32 {
        self.hits.load(Ordering::Relaxed)
    }
}

/// The stand-in without a network, so that its time is a paused clock's, too.
pub fn stand_in(sandbox: &Sandbox) -> impl Fn(Call) -> BoxFuture<'static, Result<Answer, Error>> + Clone + use<> {
    let api = sandbox.api();
    move |call: Call| {
        let body = match &call.rest.body {
            Body::Json(document) => document.clone(),
            _ => Bytes::new(),
        };
        let request = http::Request::builder()
            .method(call.rest.method.clone())
            .uri(call.rest.target())
            .header(AUTHORIZATION, call.credential.header().expect("tests have one"))
            .header(CONTENT_TYPE, "application/json")
            .body(axum::body::Body::from(body))
            .expect("a request");
        let answered = api.clone().oneshot(request);
        Box::pin(async move {
            let (parts, body) = answered.await.expect("it answers").into_parts();
            let body = axum::body::to_bytes(body, usize::MAX).await.expect("a whole body");
            judge(&call, parts.status, &parts.headers, &body)
        })
    }
}

/// Callers without limits, by their names.
pub fn callers() -> impl Fn(&str) -> Caller {
    let shares = Shares::new(&config::Callers::unlimited(), usize::MAX);
    move |name| Caller::new(name.into(), Risk::ALL.into_iter().fold(Grant::default(), Grant::and), shares.of(name))
}

/// A stream of messages that have all been sent.
pub fn streamed<T>(deadline: Duration, messages: &[T]) -> Request<Streaming<Bytes>>
where
    T: contract::Request + prost::Message + Default + 'static,
{
    let bytes: Vec<u8> = messages.iter().flat_map(|message| framed(0, &message.encode_to_vec())).collect();
    let body = Full::new(Bytes::from(bytes));
    within(deadline, T::default()).map(|_| Streaming::new_request(BytesCodec, body, None, None))
}

/// Reads a body as Zendesk's answer to a call.
pub fn said(call: &Call, body: &str) -> Result<Answer, Error> {
    answered(call, StatusCode::OK, body)
}

/// The same with a status.
pub fn answered(call: &Call, status: StatusCode, body: &str) -> Result<Answer, Error> {
    judge(call, status, &HeaderMap::new(), body.as_bytes())
}

/// 503.
pub fn unavailable() -> Error {
    Error::Unavailable(Box::new(Refusal { status: 503, ..Refusal::default() }))
}

/// The ids that a read of users names, in its path or its query.
pub fn ids(call: &Call) -> Vec<i64> {
    let target = call.rest.target().replace("%2C", ",");
    let list = target.rsplit(['/', '=']).next().unwrap_or_default();
    list.split(',').filter_map(|id| id.parse().ok()).collect()
}

/// Answers a read of users or of a group with records that have no more than an id and a name.
pub fn records(call: &Call) -> Result<Answer, Error> {
    let record = |id: i64| format!(r#"{{"id":{id},"name":"N{id}"}}"#);
    let ids = ids(call);
    let body = match call.rest.path.as_str() {
        path if path.ends_with("show_many") => {
            let rows: Vec<String> = ids.iter().map(|id| record(*id)).collect();
            format!(r#"{{"users":[{}]}}"#, rows.join(","))
        }
        path if path.contains("groups") => format!(r#"{{"group":{}}}"#, record(ids.first().copied().unwrap_or(1))),
        _ => format!(r#"{{"user":{}}}"#, record(ids[0])),
    };
    said(call, &body)
}

/// Reads a reply.
pub fn read<M: prost::Message + Default>(reply: &Encoded<M>) -> M {
    M::decode(reply.bytes().clone()).expect("a reply")
}

/// A request with a deadline, as the server's own layers hand it on.
pub fn within<T: contract::Request>(deadline: Duration, message: T) -> Request<T> {
    by(Caller::local(), deadline, message)
}

/// The same of a caller.
pub fn by<T: contract::Request>(caller: Caller, deadline: Duration, message: T) -> Request<T> {
    let mut facts = Terms::of(&config::Server::default()).local(T::rpc(), caller);
    facts.deadline = Some(Instant::now() + deadline);
    let mut request = Request::new(message);
    request.extensions_mut().insert(facts);
    request
}
