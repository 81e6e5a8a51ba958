//! Bulk streams.

use std::collections::HashSet;

use futures_util::Stream;

use super::Leaving;
use super::engine::{Engine, Order};
use super::event::{AnySource, Stop};
use super::items::{Items, LAST_INDEX};
use super::rows::Rows;
use super::telling::{Replies, telling};
use crate::error::{Checks, Error, Result};
use crate::gateway::audit::Trail;
use crate::gateway::{Context, Gateway};
use crate::proto::BulkStart;
use crate::rest::bulk::{Bulk as _, BulkStream};
use crate::share::Charge;

/// Most receipts that a stream can begin with. When a stream breaks, few are open: those of the jobs that run, of which Zendesk
/// takes 30 at a time.
const MOST_RECEIPTS: usize = 1_000;

impl Gateway {
    /// Carries out a bulk stream, of which the first message has come.
    ///
    /// # Errors
    /// The first message says something that cannot be, or the caller has too much under way.
    pub fn stream_bulk<R, M, E>(&self, context: Context, mut first: R, further: M) -> Result<Replies<R::Reply, E>>
    where
        R: BulkStream,
        R::Reply: Send,
        M: Stream<Item = Result<R, E>> + Send + Unpin + 'static,
        E: From<Error> + Send + 'static,
    {
        let BulkStart { resume_from, open_receipts, dry_run } = first.take_start().unwrap_or_default();
        let mut checks = Checks::default();
        if !(0..=LAST_INDEX).contains(&resume_from) {
            checks.refuse("start.resume_from", "must be the index of a row");
        }
        if dry_run && !open_receipts.is_empty() {
            checks.refuse("start.open_receipts", "cannot be combined with dry_run");
        }
        if open_receipts.len() > MOST_RECEIPTS {
            checks.refuse("start.open_receipts", "must be at most 1000");
        }
        let (mut open, mut ids) = (Vec::new(), HashSet::new());
        for (index, receipt) in open_receipts.into_iter().take(MOST_RECEIPTS).enumerate() {
            let (job_id, within) = (receipt.job_id.clone(), format!("start.open_receipts[{index}]"));
            if !ids.insert(job_id.clone()) {
                checks.refuse(&format!("{within}.job_id"), "is the job of an earlier receipt, too");
            }
            let Some(items) = checks.take(Items::of_receipt(receipt, &within)) else { continue };
            if items.first + i64::from(items.rows) > resume_from {
                checks.refuse("start.resume_from", &format!("lies before the end of {within}, whose rows were sent"));
            }
            open.push((job_id, items));
        }
        let open = checks.end(Some(open))?;
        let (leaving, inner) = Leaving::of(&context);
        let (kind, left) = (R::Call::KIND, leaving.left.clone());
        let rows = AnySource(Box::new(Rows::new(self, context, first, further, resume_from, dry_run, &open)?));
        // Whatever the rows are, their jobs may change the same.
        let changes = R::Call::default().changes();
        let held = Charge::none(inner.caller.share());
        let order = Order { kind, changes, wait: true, is_stream: true, left: left.clone(), _held: held };
        let (teller, replies) = telling::<R::Reply, E>(leaving);
        let trail = inner.trail.clone();
        let mut engine = Engine::new(self, inner, order, rows, teller);
        for (job_id, items) in open {
            engine.resume(job_id, items);
        }
        tokio::spawn(async move {
            engine.run().await;
            engine.tell_what_is_left().await;
            let (stop, teller) = engine.follow();
            let end = match stop {
                None => {
                    if !left.is_cancelled() {
                        Trail::end(trail.as_ref(), None);
                    }
                    Ok(())
                }
                Some(Stop::Failed(error)) => {
                    Trail::end(trail.as_ref(), Some(&error));
                    Err(error.into())
                }
                Some(Stop::Source(error)) => Err(error),
            };
            teller.end(end).await;
        });
        Ok(replies)
    }
}
