//! A unary bulk call: its chunks, and the reply that is collected from what happens to them.

use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::sync::Arc;

use futures_util::future::BoxFuture;

use super::engine::Engine;
use super::event::{Ended, Event, Next, Source, Stop, Tell};
use super::items::Part;
use super::outcome;
use crate::error::Error;
use crate::proto::{BulkItemOutcome, BulkJob, BulkOutcome};
use crate::rest::bulk::{Chunk, Outcome};

/// The chunks of a call.
pub struct Listed(VecDeque<Part>);

impl Listed {
    /// Numbers the inputs of all chunks from 0.
    pub fn of(chunks: Vec<Chunk>) -> Self {
        let mut first = 0;
        let part = |chunk: Chunk| {
            let begin = first;
            first += i64::try_from(chunk.keys.len()).unwrap_or(i64::MAX);
            Part::new(chunk, (begin..first).collect(), begin, first)
        };
        Self(chunks.into_iter().map(part).collect())
    }
}

impl Source for Listed {
    type Error = Infallible;

    fn next(&mut self) -> BoxFuture<'_, Result<Option<Next>, Stop<Infallible>>> {
        Box::pin(async { Ok(self.0.pop_front().map(Box::new).map(Next::Part)) })
    }
}

/// What has happened so far.
#[derive(Default)]
pub struct Collected {
    /// The jobs, by their first inputs.
    jobs: BTreeMap<i64, BulkJob>,
    outcomes: Vec<BulkItemOutcome>,
}

impl Tell for Collected {
    async fn tell(&mut self, event: Event) -> bool {
        match event {
            Event::Accepted { items, job, .. } => {
                let job = BulkJob {
                    job: Some(Arc::unwrap_or_clone(job)),
                    first_index: narrow(items.first),
                    item_count: items.rows,
                    unplaced_ids: Vec::new(),
                };
                self.jobs.insert(items.first, job);
            }
            Event::Ended(ended) => self.end(ended),
            Event::Announced(_) | Event::Violations(_) => {}
        }
        true
    }
}

impl Collected {
    fn end(&mut self, Ended { outcomes, job, unplaced_ids, .. }: Ended) {
        self.outcomes.extend(outcomes);
        let Some(job) = job else { return };
        let is_it = |known: &&mut BulkJob| known.job.as_ref().is_some_and(|known| known.id == job.id);
        if let Some(known) = self.jobs.values_mut().find(is_it) {
            (known.job, known.unplaced_ids) = (Some(Arc::unwrap_or_clone(job)), unplaced_ids);
        }
    }
}

impl Engine<Listed, Collected> {
    /// Returns the error of a call of which Zendesk has accepted nothing; none if it has accepted a job.
    pub fn failure(&self) -> Option<Error> {
        self.is_untouched.then(|| self.reason().unwrap_or(Error::Deadline { sent: false }))
    }

    /// Returns the outcome of a call of which Zendesk has accepted something.
    pub fn collected(&mut self) -> Outcome {
        let mut outcomes = std::mem::take(&mut self.events.outcomes);
        let unsent = self.part.take().into_iter().chain(self.source.0.drain(..)).collect::<Vec<_>>();
        for part in &unsent {
            outcomes.extend(outcome::not_sent(self.reason().as_ref(), &part.items));
        }
        for live in self.live.values() {
            if let Some(BulkJob { job, .. }) = self.events.jobs.get_mut(&live.items.first) {
                *job = Some((*live.job).clone());
            }
            outcomes.extend(match &live.contested {
                Some(error) => outcome::of_error(error, &live.items),
                None if self.order.wait => outcome::of_job(self.order.kind, &live.job, &live.job.results, &live.items),
                None => Vec::new(),
            });
        }
        outcomes.sort_by_key(|outcome| outcome.index);
        let jobs = std::mem::take(&mut self.events.jobs).into_values().collect();
        Outcome { jobs, outcomes: outcomes.into_iter().map(unary).collect() }
    }
}

/// An outcome as unary calls tell it.
fn unary(outcome: BulkItemOutcome) -> BulkOutcome {
    let BulkItemOutcome { index, result, id, email, external_id, error, details, job_id, field } = outcome;
    BulkOutcome { index: narrow(index), result, id, email, external_id, error, details, job_id, field }
}

/// An index of a call, which has 10,000 inputs at most.
fn narrow(index: i64) -> i32 {
    i32::try_from(index).unwrap_or(i32::MAX)
}
