//! The way out: one stack of tower layers from a [`Call`] to an HTTP exchange with Zendesk.
//!
//! Every layer is a `Service<Call, Response = Answer, Error = Error>` around another, so the order below is the whole story,
//! and any function from a call to an answer can stand in for Zendesk in a test.

use tower::retry::RetryLayer;
use tower::util::BoxCloneSyncService;
use tower::{Service, ServiceBuilder};

use crate::config;
use crate::error::Error;

pub mod attempt;
pub mod breaker;
pub mod call;
pub mod client;
pub mod control;
pub mod credential;
pub mod deadline;
pub mod gate;
pub mod governor;
pub mod jitter;
pub mod judge;
pub mod queue;
mod redirect;
pub mod rest;
pub mod retry;
pub mod room;
mod seconds;
pub mod trace;
pub mod transport;
pub mod warnings;

#[cfg(test)]
mod tests;

pub use call::{Answer, Call};
pub use control::Control;
pub use jitter::Jitter;

/// The whole stack, as everything above sees it.
pub type Upstream = BoxCloneSyncService<Call, Answer, Error>;

/// Builds the stack over `transport`, and the handles to watch it by. Without `seen` nothing is traced or measured.
pub fn stack<S>(settings: &config::Upstream, seen: Option<trace::Layers>, transport: S) -> (Upstream, Control)
where
    S: Service<Call, Response = Answer, Error = Error> + Clone + Send + Sync + 'static,
    S::Future: Send + 'static,
{
    layered(settings, Jitter::RANDOM, seen, transport)
}

/// Builds the stack with the given jitter in its waits, and without telemetry.
pub fn stack_with<S>(settings: &config::Upstream, jitter: Jitter, transport: S) -> (Upstream, Control)
where
    S: Service<Call, Response = Answer, Error = Error> + Clone + Send + Sync + 'static,
    S::Future: Send + 'static,
{
    layered(settings, jitter, None, transport)
}

fn layered<S>(
    settings: &config::Upstream,
    jitter: Jitter,
    seen: Option<trace::Layers>,
    transport: S,
) -> (Upstream, Control)
where
    S: Service<Call, Response = Answer, Error = Error> + Clone + Send + Sync + 'static,
    S::Future: Send + 'static,
{
    let control = Control::new(settings, jitter);
    let (operation, attempt) = seen.map(|trace::Layers { operation, attempt }| (operation, attempt)).unzip();
    let service = ServiceBuilder::new()
        .option_layer(operation) // one client span however many attempts
        .layer(deadline::Layer::new(&control.deadlines)) // nothing below outlives the caller
        .layer(credential::Layer) // resends once with the next credential; above the retries, so the resend obeys every limit
        .layer(RetryLayer::new(retry::Retry::new(&control.retries))) // what follows happens once per attempt
        .layer(governor::Layer::new(&control.governor)) // every attempt spends budget
        .layer(queue::Layer::new(&control.queue)) // a permit is held while Zendesk works, not during back-off
        .layer(breaker::Layer::new(&control.breakers)) // asked last, when the attempt would really leave
        .layer(gate::Layer::new(&control.gate)) // no change is sent by a replica that does not lead any more
        .option_layer(attempt) // child span: one exchange, with its status or why there was none
        .layer(attempt::Layer::new(&control.attempts)) // judged as a timeout before anyone learns from it
        .service(transport); // adds the credential last, so nothing above can leak it
    (Upstream::new(service), control)
}
