//! Spans and measurements of the outbound stack: one span per operation, and below it one per attempt.
//!
//! Both are layers of the outbound stack. [`Operation`] stands at its top and sees one call however often it is tried;
//! [`Attempt`] stands right above the time limit of one exchange.
//!
//! Neither records a path, a query or a body, because they hold ids, names and addresses; they record the path's template.

mod attempt;
mod operation;

pub use attempt::Attempt;
pub use operation::Operation;

use url::Url;

use crate::telemetry::Telemetry;

/// Both layers.
#[derive(Clone)]
pub struct Layers {
    /// The one at the top of the stack.
    pub operation: Operation,
    /// The one above an attempt's time limit.
    pub attempt: Attempt,
}

impl Layers {
    /// Reports calls to `upstream` to `telemetry`.
    pub fn new(telemetry: &Telemetry, upstream: &Url) -> Self {
        Self { operation: Operation::new(telemetry), attempt: Attempt::new(telemetry, upstream) }
    }
}

/// Adds the trace context to a request to Zendesk, if the settings ask for it.
pub fn propagate(request: reqwest::RequestBuilder) -> reqwest::RequestBuilder {
    let headers = crate::telemetry::trace::outgoing();
    headers.into_iter().fold(request, |request, (name, value)| request.header(name, value))
}
