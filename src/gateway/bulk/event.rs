//! What happens to the rows of a bulk call or stream, and who is told of it.

use std::sync::Arc;

use futures_util::future::BoxFuture;

use super::items::{Items, Part};
use crate::error::Error;
use crate::proto::{
    BulkAnnouncement, BulkEvent, BulkItemOutcome, BulkOutcomes, BulkViolation, BulkViolations, Job, bulk_event,
};

/// What has happened.
#[derive(Debug)]
pub enum Event {
    /// These rows are about to be sent.
    Announced(BulkAnnouncement),
    /// Zendesk has made a job of the rows that were announced.
    Accepted {
        /// The rows.
        items: Items,
        /// The job as accepted.
        job: Arc<Job>,
        /// What Zendesk ignored of the request.
        warnings: Vec<String>,
    },
    /// Rows have ended.
    Ended(Ended),
    /// A dry run has found faults.
    Violations(Vec<BulkViolation>),
}

/// Rows that have ended.
#[derive(Debug, Default)]
pub struct Ended {
    /// One for each row; none for a call that does not wait, if the rows have led to a job of which it is known whose it is.
    pub outcomes: Vec<BulkItemOutcome>,
    /// Their job as it ended or was last seen; none if they have led to none.
    pub job: Option<Arc<Job>>,
    /// Ids of records that the job has made, and that no outcome has.
    pub unplaced_ids: Vec<i64>,
    /// What Zendesk ignored of the request, if it led to no job.
    pub warnings: Vec<String>,
}

impl Ended {
    /// Returns the end of rows that have led to no job.
    pub fn without_job(outcomes: Vec<BulkItemOutcome>, warnings: Vec<String>) -> Self {
        Self { outcomes, warnings, ..Self::default() }
    }
}

/// Whoever is told of events.
pub trait Tell: Send {
    /// Tells an event. In a stream it completes once the event cannot be lost with this process. Returns false if nobody listens
    /// any more.
    fn tell(&mut self, event: Event) -> impl Future<Output = bool> + Send;
}

/// What comes next of the rows.
#[derive(Debug)]
pub enum Next {
    /// A request to send.
    Part(Box<Part>),
    /// Something to tell first.
    Tell(Event),
}

/// Why no more is sent, although there may be more.
#[derive(Debug)]
pub enum Stop<E> {
    /// A request failed, and it was the first one or the next one would fail, too; or what the caller asks for cannot be; or time
    /// is up; or the gateway shuts down.
    Failed(Error),
    /// The caller's messages have failed.
    Source(E),
}

/// Where the rows come from.
pub trait Source: Send {
    /// How the caller's own messages can fail.
    type Error: Send;

    /// Waits for what comes next; none at the end. Nothing gets lost if it is dropped and called again.
    fn next(&mut self) -> BoxFuture<'_, Result<Option<Next>, Stop<Self::Error>>>;
}

/// Any source, so that an engine is compiled once, and not once for each kind of rows.
pub struct AnySource<E>(pub Box<dyn Source<Error = E>>);

impl<E: Send> Source for AnySource<E> {
    type Error = E;

    fn next(&mut self) -> BoxFuture<'_, Result<Option<Next>, Stop<E>>> {
        self.0.next()
    }
}

impl From<Event> for BulkEvent {
    fn from(event: Event) -> Self {
        let (event, warnings) = match event {
            Event::Announced(announcement) => (bulk_event::Event::Announcement(announcement), Vec::new()),
            Event::Accepted { items, job, warnings } => (bulk_event::Event::Receipt(items.receipt(&job.id)), warnings),
            Event::Ended(Ended { outcomes, job, unplaced_ids, warnings }) => {
                let job = job.map(Arc::unwrap_or_clone);
                (bulk_event::Event::Outcomes(BulkOutcomes { outcomes, job, unplaced_ids }), warnings)
            }
            Event::Violations(violations) => (bulk_event::Event::Violations(BulkViolations { violations }), Vec::new()),
        };
        Self { event: Some(event), warnings }
    }
}
