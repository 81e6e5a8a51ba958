//! Calls, answers and stand-ins for Zendesk.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::time::Instant;
use tower::{Service, ServiceExt, service_fn};

use crate::cache::WaitsFor;
use crate::contract::Idempotency;
use crate::error::{Error, Refusal};
use crate::limits::Limits;
use crate::path;
use crate::share::Share;
use crate::upstream::call::{Answer, Call, Ledger, Priority};
use crate::upstream::credential::Credential;
use crate::upstream::rest::{Rest, id};

pub const SECOND: Duration = Duration::from_secs(1);

pub fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// A call that must be answered within 30 seconds.
pub fn call(rest: Rest, idempotency: Idempotency, priority: Priority) -> Call {
    let deadline = Instant::now() + Duration::from_secs(30);
    Call {
        rest: Arc::new(rest),
        idempotency,
        priority,
        deadline,
        wanted_by: deadline,
        share: Share::default(),
        credential: Credential::new("Bearer x", true).expect("a header"),
        parse: Arc::new(|_| Ok(Box::new(()))),
        peek: None,
        waits_for: WaitsFor::default(),
        ledger: Arc::new(Ledger::default()),
        trace: crate::telemetry::Trace::default(),
    }
}

pub fn read() -> Call {
    let rest = Rest::get(path!["users", id("id", 7).expect("an id")]);
    call(rest, Idempotency::NoSideEffects, Priority::Interactive)
}

pub fn idempotent_write() -> Call {
    let rest = Rest::put(path!["users", id("id", 7).expect("an id")]);
    call(rest, Idempotency::Idempotent, Priority::Write)
}

pub fn unsafe_write() -> Call {
    call(Rest::post(path!["users"]), Idempotency::Unsafe, Priority::Write)
}

pub fn within(deadline: Duration, call: Call) -> Call {
    let deadline = Instant::now() + deadline;
    Call { deadline, wanted_by: deadline, ..call }
}

/// A read that its first caller wants soon, and that others may share for 30 seconds.
pub fn shared(wanted_within: Duration) -> Call {
    Call { wanted_by: Instant::now() + wanted_within, ..read() }
}

pub fn answer() -> Answer {
    Answer {
        status: 200,
        parsed: Box::new(()),
        request_id: None,
        warning: None,
        limits: Limits::default(),
        attempts: 1,
        losses: Vec::new(),
    }
}

pub fn refusal(status: u16, retry_after: Option<Duration>) -> Box<Refusal> {
    Box::new(Refusal { status, retry_after, ..Refusal::default() })
}

pub fn unavailable() -> Error {
    Error::Unavailable(refusal(503, None))
}

/// Counts requests.
#[derive(Clone, Default)]
pub struct Hits(Arc<AtomicU32>);

impl Hits {
    pub fn add(&self) -> u32 {
        self.0.fetch_add(1, Ordering::Relaxed) + 1
    }

    pub fn get(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What the stack can be built over.
pub trait Zendesk:
    Service<Call, Response = Answer, Error = Error, Future: Send + 'static> + Clone + Send + Sync + 'static
{
}

impl<S> Zendesk for S where
    S: Service<Call, Response = Answer, Error = Error, Future: Send + 'static> + Clone + Send + Sync + 'static
{
}

/// A stand-in that counts its requests, as the transport does, and answers the n-th (from 1) as told.
pub fn zendesk<F, A>(hits: &Hits, answer: F) -> impl Zendesk + use<F, A>
where
    F: Fn(u32, Call) -> A + Clone + Send + Sync + 'static,
    A: Future<Output = Result<Answer, Error>> + Send + 'static,
{
    let hits = hits.clone();
    service_fn(move |call: Call| {
        call.ledger.sent();
        answer(hits.add(), call)
    })
}

/// Asks a copy of the service.
pub async fn ask<S>(service: &S, call: Call) -> Result<Answer, Error>
where
    S: Service<Call, Response = Answer, Error = Error> + Clone,
{
    service.clone().oneshot(call).await
}

/// Lets every task that can run do so.
pub async fn settle() {
    for _ in 0..16 {
        tokio::task::yield_now().await;
    }
}
