//! What travels through the outbound stack: a [`Call`] down, an [`Answer`] or an error up.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use tokio::time::Instant;

use super::credential::Credential;
use super::rest::Rest;
use crate::cache::WaitsFor;
use crate::contract::{Class, Idempotency};
use crate::json::{Loss, Malformed};
use crate::limits::Limits;
use crate::share::Share;
use crate::telemetry::Trace;

mod ledger;

pub use ledger::{Ledger, Progress};

/// One upstream operation, however many attempts it takes. Cheap to clone.
#[derive(Clone)]
pub struct Call {
    /// What is asked.
    pub rest: Arc<Rest>,
    /// Whether it may be repeated once sent.
    pub idempotency: Idempotency,
    /// Which calls go first when the budget is short.
    pub priority: Priority,
    /// When the answer is of no use any more.
    pub deadline: Instant,
    /// By when its own caller wants the answer. Waiting rooms order and refuse calls by this time. It is earlier than the
    /// deadline where the answer is also of use to callers with more time.
    pub wanted_by: Instant,
    /// Whose call it is: what is short is shared out between callers. Where several callers share the answer it is the one who
    /// began.
    pub share: Share,
    /// Whose credential is used.
    pub credential: Credential,
    /// Reads the body of a 2xx answer. It runs inside the attempt, so that retries, breaker and telemetry see a body that is
    /// not the documented JSON, or is about something else, as a failed attempt.
    pub parse: Parse,
    /// Sees the body of a 2xx answer before it is parsed, once for each attempt that receives one.
    pub peek: Option<Peek>,
    /// Records what the call waits for. Callers who share it, but cannot wait as long, are told so.
    pub waits_for: WaitsFor,
    /// What the inbound call has spent so far.
    pub ledger: Arc<Ledger>,
    /// Where it stands in its trace.
    pub trace: Trace,
}

impl Call {
    /// Returns the endpoint class, by which the circuit breaker and the metrics tell calls apart.
    pub fn class(&self) -> Class {
        self.rest.endpoint.class
    }
}

impl fmt::Debug for Call {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.debug_struct("Call").field("class", &self.class()).field("priority", &self.priority).finish_non_exhaustive()
    }
}

/// A parsed body: the type that the call's `parse` makes.
pub type Parsed = Box<dyn Any + Send>;

/// Reads a body, and checks that it answers this very request.
pub type Parse = Arc<dyn Fn(&[u8]) -> Result<Parsed, Malformed> + Send + Sync>;

/// Looks at a body, for work that must begin before it is parsed. It runs inside the exchange, so it has to be short.
pub type Peek = Arc<dyn Fn(&[u8]) + Send + Sync>;

/// Which calls go first when the budget is short; the smaller goes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Priority {
    /// Writes.
    Write,
    /// Reads that a caller waits for.
    Interactive,
    /// Streams, bulk jobs and refreshes.
    Background,
}

/// A successful answer.
pub struct Answer {
    /// HTTP status, 2xx.
    pub status: u16,
    /// The parsed body.
    pub parsed: Parsed,
    /// Zendesk's `x-request-id`.
    pub request_id: Option<String>,
    /// `x-zendesk-api-warn`: Zendesk ignored a part of the request.
    pub warning: Option<String>,
    /// What the response said about the request budget.
    pub limits: Limits,
    /// How many attempts it took; set by the retry layer.
    pub attempts: u32,
    /// What of the body could not be read.
    pub losses: Vec<Loss>,
}

impl fmt::Debug for Answer {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.debug_struct("Answer")
            .field("status", &self.status)
            .field("attempts", &self.attempts)
            .finish_non_exhaustive()
    }
}

impl Answer {
    /// Returns the parsed body.
    ///
    /// # Panics
    /// If `T` is not what the call's `parse` makes, which is a mistake in this crate.
    pub fn body<T: 'static>(self) -> T {
        *self.parsed.downcast().expect("the body has the type that the call's own parse makes")
    }
}
