//! A unary bulk call: its chunks, and the reply that is collected from what happens to them.

use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use prost::Message as _;

use super::engine::Engine;
use super::event::{Ended, Event, Next, Source, Stop, Tell};
use super::items::Part;
use super::outcome;
use crate::error::Error;
use crate::gateway::Context;
use crate::gateway::place::PlaceRef;
use crate::proto::{BulkItemOutcome, BulkJob, BulkOutcome};
use crate::rest::bulk::{Chunk, Outcome};
use crate::share::Share;

/// What one job's results and details may take that is not charged.
const FREE: usize = 16 << 10;

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

/// What takes the place of details for which there is no memory.
const LEFT_OUT: &str = "the details are left out: this caller's messages take too much memory";

/// What has happened so far.
pub struct Collected {
    place: PlaceRef,
    share: Share,
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
    /// Begins to collect for this call, to which what is collected is charged.
    pub fn of(context: &Context) -> Self {
        let (place, share) = (context.place.clone(), context.caller.share().clone());
        Self { place, share, jobs: BTreeMap::new(), outcomes: Vec::new() }
    }

    fn end(&mut self, Ended { mut outcomes, job, unplaced_ids, .. }: Ended) {
        let words: usize = outcomes.iter().filter_map(|outcome| outcome.details.as_ref()).map(String::len).sum();
        let results = job.as_ref().map_or(0, |job| job.encoded_len());
        let mut job = job.map(Arc::unwrap_or_clone);
        if words + results > FREE && self.place.charge(&self.share, words + results).is_err() {
            // What became of each row is told in any case.
            let long = outcomes.iter_mut().filter_map(|outcome| outcome.details.as_mut());
            long.filter(|details| details.len() > LEFT_OUT.len()).for_each(|details| LEFT_OUT.clone_into(details));
            if let Some(job) = job.as_mut().filter(|job| !job.results.is_empty()) {
                job.results = Vec::new();
                job.unreadable_fields.push("results".to_owned());
            }
        }
        self.outcomes.extend(outcomes);
        let Some(job) = job else { return };
        let is_it = |known: &&mut BulkJob| known.job.as_ref().is_some_and(|known| known.id == job.id);
        if let Some(known) = self.jobs.values_mut().find(is_it) {
            (known.job, known.unplaced_ids) = (Some(job), unplaced_ids);
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
