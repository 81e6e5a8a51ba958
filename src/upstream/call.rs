//! What travels through the outbound stack: a [`Call`] down, an [`Answer`] or an error up.

use std::any::Any;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::credential::Credential;
use super::rest::Rest;
use super::warnings::Warnings;
use crate::cache::WaitsFor;
use crate::contract::{Class, Idempotency};
use crate::error::Error;
use crate::json::{Loss, Malformed};
use crate::limits::Limits;
use crate::share::Share;
use crate::telemetry::Trace;

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

/// What one inbound call, or one of the calls it makes, has spent upstream, and whether its caller is known.
#[derive(Debug, Default)]
pub struct Ledger {
    sent: AtomicU32,
    /// When a request was last sent, unless it was provably not processed.
    sent_at: Mutex<Option<Instant>>,
    harmless: AtomicU32,
    closed: AtomicBool,
    /// When the answer to the attempt under way came in whole.
    came: Mutex<Option<Instant>>,
    progress: Mutex<Progress>,
    identified: AtomicBool,
    watching: AtomicBool,
    /// Attempts begun, until one of them is answered.
    begun: AtomicU32,
    answered_once: AtomicBool,
    /// Status and `x-request-id` of each response to a write.
    answers: Mutex<Vec<(u16, Option<String>)>>,
    warnings: Mutex<Warnings>,
    within: Option<Arc<Ledger>>,
}

/// How far a request is.
#[derive(Debug, Clone, Copy, Default)]
pub enum Progress {
    /// It waits for its first attempt.
    #[default]
    Waits,
    /// An attempt is under way since then.
    UnderWay(Instant),
    /// An attempt has ended, and there may be another one.
    Ended,
}

impl Ledger {
    /// Returns an empty ledger whose requests are counted in `outer`, too: one call's share of what its inbound call spends.
    pub fn within(outer: &Arc<Self>) -> Arc<Self> {
        Arc::new(Self { within: Some(Arc::clone(outer)), ..Self::default() })
    }

    /// Counts one HTTP request. The transport calls it when a connection takes the request.
    ///
    /// # Errors
    /// [`Error::Deadline`] if the ledger was closed: then the request must not be sent.
    pub fn send(&self) -> Result<(), Error> {
        self.sent();
        if self.is_closed() {
            self.unsend();
            return Err(Error::Deadline { sent: false });
        }
        Ok(())
    }

    /// Returns the error of a call whose deadline passes now.
    pub fn too_late(&self) -> Error {
        Error::Deadline { sent: self.may_have_acted() }
    }

    /// Returns the error of a call that the gateway ends because it shuts down, and that changes something or does not.
    pub fn cut_short(&self, changes: bool) -> Error {
        let is_open = changes && self.may_have_acted();
        if is_open { Error::OutcomeUnknown(Box::new(Error::ShuttingDown)) } else { Error::ShuttingDown }
    }

    /// Counts the first attempt of a request.
    pub fn begin(&self) {
        self.outermost().begun.fetch_add(1, Ordering::Relaxed);
    }

    /// Notes that Zendesk has answered the inbound call's request, or one of several.
    pub fn has_answer(&self) {
        self.outermost().answered_once.store(true, Ordering::Relaxed);
    }

    /// Counts one more attempt of a request, if there may be one: all requests of an inbound call together have at most so many
    /// while none of them has been answered. A call that is several requests would else load a Zendesk that is down several times.
    pub fn begin_again(&self, most: u32) -> bool {
        let all = self.outermost();
        let more = |begun: u32| (begun < most).then_some(begun + 1);
        all.answered_once.load(Ordering::Relaxed)
            || all.begun.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
    }

    fn outermost(&self) -> &Self {
        self.within.as_ref().map_or(self, |outer| outer.outermost())
    }

    /// Notes that the gateway knows whose call it is.
    pub fn identify(&self) {
        self.identified.store(true, Ordering::Relaxed);
    }

    /// True if the gateway knows whose call it is.
    pub fn is_identified(&self) -> bool {
        self.identified.load(Ordering::Relaxed)
    }

    /// Notes whether the inbound call has been told all that there is so far, and waits for news.
    pub fn watches(&self, watches: bool) {
        self.outermost().watching.store(watches, Ordering::Relaxed);
    }

    /// True if the call only waits for news: then its deadline is no failure.
    pub fn is_watching(&self) -> bool {
        self.watching.load(Ordering::Relaxed)
    }

    /// Refuses every request from now on. Returns true if none was sent before. A request that a connection is taking at this
    /// moment makes it false, though that request is refused, too.
    pub fn close(&self) -> bool {
        self.closed.store(true, Ordering::SeqCst);
        self.sent.load(Ordering::SeqCst) == 0
    }

    /// True if this ledger, or the one around it, refuses every request.
    pub fn is_closed(&self) -> bool {
        self.is_closed_itself() || self.within.as_ref().is_some_and(|outer| outer.is_closed())
    }

    /// True if this ledger was closed, whatever became of the one around it.
    pub fn is_closed_itself(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }

    /// Notes that an attempt begins.
    pub fn begins(&self) {
        *locked(&self.came) = None;
        self.is_at(Progress::UnderWay(Instant::now()));
    }

    /// Notes that the attempt under way has ended.
    pub fn ends(&self) {
        self.is_at(Progress::Ended);
    }

    fn is_at(&self, progress: Progress) {
        *locked(&self.progress) = progress;
        if let Some(outer) = &self.within {
            outer.is_at(progress);
        }
    }

    /// Returns how far a request is: of several, the one that was heard of last.
    pub fn progress(&self) -> Progress {
        *locked(&self.progress)
    }

    /// Notes that the answer to the attempt under way has come in whole: what follows is this process's work.
    pub fn came(&self) {
        *locked(&self.came) = Some(Instant::now());
    }

    /// True if the answer to the attempt under way has come in whole.
    pub fn has_come(&self) -> bool {
        locked(&self.came).is_some()
    }

    /// Returns when the request of the attempt that began then was sent, once more if it was not processed. What took time before says
    /// nothing of how long Zendesk takes.
    pub fn sent_since(&self, began: Instant) -> Option<Instant> {
        locked(&self.sent_at).filter(|sent| *sent >= began)
    }

    /// Returns how long the attempt that began then took or takes: until its answer has come in whole. What this process then does
    /// with it says nothing of Zendesk.
    pub fn took_since(&self, began: Instant) -> Duration {
        let came = locked(&self.came).filter(|came| *came >= began);
        came.unwrap_or_else(Instant::now).duration_since(began)
    }

    /// Counts one HTTP request.
    pub fn sent(&self) {
        self.sent.fetch_add(1, Ordering::SeqCst);
        *locked(&self.sent_at) = Some(Instant::now());
        if let Some(outer) = &self.within {
            outer.sent();
        }
    }

    /// Takes back one counted request that was not sent after all, or was provably not processed.
    pub fn unsend(&self) {
        self.sent.fetch_sub(1, Ordering::SeqCst);
        *locked(&self.sent_at) = None;
        if let Some(outer) = &self.within {
            outer.unsend();
        }
    }

    /// Records that `requests` of those sent cannot have changed anything: undelivered, or refused without acting.
    pub fn harmless(&self, requests: u32) {
        self.harmless.fetch_add(requests, Ordering::Relaxed);
        if let Some(outer) = &self.within {
            outer.harmless(requests);
        }
    }

    /// Records a response to a write, for the audit log.
    pub fn answered(&self, status: u16, request_id: Option<String>) {
        if let Some(outer) = &self.within {
            outer.answered(status, request_id.clone());
        }
        locked(&self.answers).push((status, request_id));
    }

    /// Returns status and `x-request-id` of each response to a write.
    pub fn answers(&self) -> Vec<(u16, Option<String>)> {
        locked(&self.answers).clone()
    }

    /// Records that Zendesk ignored a part of a write.
    pub fn warned(&self, warning: &str) {
        if let Some(outer) = &self.within {
            outer.warned(warning);
        }
        locked(&self.warnings).add(warning);
    }

    /// Returns what Zendesk ignored, as it wrote it.
    pub fn ignored(&self) -> Vec<String> {
        locked(&self.warnings).all()
    }

    /// Returns what Zendesk ignored, if anything, as one text for metadata, in at most so many bytes.
    pub fn warnings(&self, most: usize) -> Option<String> {
        locked(&self.warnings).text(most)
    }

    /// Whether a request that was sent may have been acted upon.
    pub fn may_have_acted(&self) -> bool {
        self.requests() > self.harmless.load(Ordering::Relaxed)
    }

    /// Whether more than one request may have been acted upon: an attempt was lost and may still be carried out.
    pub fn has_lost_one(&self) -> bool {
        self.requests() > self.harmless.load(Ordering::Relaxed) + 1
    }

    /// Returns how many HTTP requests were sent.
    pub fn requests(&self) -> u32 {
        self.sent.load(Ordering::SeqCst)
    }
}

fn locked<T>(value: &Mutex<T>) -> MutexGuard<'_, T> {
    value.lock().unwrap_or_else(PoisonError::into_inner)
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
