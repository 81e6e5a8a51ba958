//! An import as a careful caller makes it: what it keeps is enough to go on at any gateway.

use std::collections::BTreeMap;
use std::ops::Range;

use zendesk_gateway::proto::bulk_event::Event;
use zendesk_gateway::proto::{
    BulkAnnouncement, BulkEvent, BulkItemOutcome, BulkOutcomes, BulkReceipt, BulkResult, BulkStart, BulkViolation, Job,
};

/// What a caller keeps.
#[derive(Debug, Default)]
pub struct Import {
    /// The row after the last one that has a receipt, or an outcome without a job.
    next: i64,
    /// Receipts whose outcomes have not come, by their jobs.
    pub open: BTreeMap<String, BulkReceipt>,
    announced: Option<BulkAnnouncement>,
    pub outcomes: BTreeMap<i64, BulkItemOutcome>,
    pub jobs: Vec<Job>,
    pub unplaced_ids: Vec<i64>,
    pub violations: Vec<BulkViolation>,
    pub warnings: Vec<String>,
    /// Receipts so far.
    pub receipts: usize,
}

impl Import {
    /// How the next stream begins.
    pub fn start(&self) -> BulkStart {
        BulkStart { resume_from: self.next, open_receipts: self.open.values().cloned().collect(), dry_run: false }
    }

    /// The rows of which nobody knows whether they were sent.
    pub fn unknown(&self) -> Option<Range<i64>> {
        let announced = self.announced.as_ref()?;
        Some(announced.first_index..announced.first_index + i64::from(announced.row_count))
    }

    /// Gives up what is unknown: the next stream begins after it.
    pub fn skip_unknown(&mut self) -> Option<Range<i64>> {
        let unknown = self.unknown()?;
        (self.announced, self.next) = (None, unknown.end);
        Some(unknown)
    }

    /// Begins at a later row.
    pub fn skip_to(&mut self, row: i64) {
        self.next = row;
    }

    /// Goes on with rows that may have been sent.
    pub fn repeat_unknown(&mut self) {
        self.announced = None;
    }

    /// Takes in what a stream tells.
    pub fn take(&mut self, event: Option<BulkEvent>) {
        let BulkEvent { event, warnings } = event.expect("each message has an event");
        self.warnings.extend(warnings);
        match event.expect("of some kind") {
            Event::Announcement(announced) => {
                assert_eq!(announced.first_index, self.next, "nothing is left out");
                assert_eq!(self.announced, None, "one at a time");
                self.announced = Some(announced);
            }
            Event::Receipt(receipt) => {
                let announced = self.announced.take().expect("it was announced");
                let same = BulkAnnouncement { first_index: receipt.first_index, row_count: receipt.row_count };
                assert_eq!(announced, same);
                self.next = receipt.first_index + i64::from(receipt.row_count);
                self.receipts += 1;
                let known = self.open.insert(receipt.job_id.clone(), receipt);
                assert_eq!(known, None, "each job has one receipt");
            }
            Event::Outcomes(ended) => self.end(ended),
            Event::Violations(violations) => self.violations.extend(violations.violations),
        }
    }

    fn end(&mut self, BulkOutcomes { outcomes, job, unplaced_ids }: BulkOutcomes) {
        if let Some(job) = job {
            let receipt = self.open.remove(&job.id).expect("outcomes close a receipt");
            let rows: Vec<i64> = receipt.items.iter().map(|item| item.index).collect();
            assert_eq!(outcomes.iter().map(|outcome| outcome.index).collect::<Vec<_>>(), rows);
            assert!(outcomes.iter().all(|outcome| outcome.job_id.as_ref() == Some(&job.id)));
            self.jobs.push(job);
        } else if let Some(unknown) = self.unknown()
            && outcomes.iter().any(|outcome| unknown.contains(&outcome.index))
        {
            self.announced = None;
            if outcomes.iter().all(|outcome| outcome.result() != BulkResult::NotSent) {
                self.next = unknown.end;
            }
        }
        self.unplaced_ids.extend(unplaced_ids);
        for outcome in outcomes {
            assert_ne!(outcome.result(), BulkResult::Pending, "{outcome:?}");
            if let Some(known) = self.outcomes.insert(outcome.index, outcome.clone()) {
                let again = known.job_id.is_none() || known.result() == BulkResult::NotSent;
                assert!(again, "two outcomes of one row: {known:?} and {outcome:?}");
            }
        }
    }

    /// The results of all rows, in their order; each must have one.
    pub fn results(&self) -> Vec<BulkResult> {
        let indices: Vec<i64> = self.outcomes.keys().copied().collect();
        assert_eq!(indices, (0..).take(indices.len()).collect::<Vec<i64>>(), "a row has no outcome");
        self.outcomes.values().map(BulkItemOutcome::result).collect()
    }
}
