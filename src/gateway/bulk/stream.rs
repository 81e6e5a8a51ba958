//! Bulk streams.

use std::collections::HashSet;

use futures_util::Stream;

use super::Leaving;
use super::engine::{Engine, Order};
use super::event::Stop;
use super::items::{Items, LAST_INDEX};
use super::rows::Rows;
use super::telling::{Replies, telling};
use crate::error::{Error, Result};
use crate::gateway::audit::Trail;
use crate::gateway::{Context, Gateway};
use crate::proto::BulkStart;
use crate::rest::bulk::{Bulk as _, BulkStream};

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
        if !(0..=LAST_INDEX).contains(&resume_from) {
            return Err(Error::invalid("start.resume_from", "must be the index of a row"));
        }
        if dry_run && !open_receipts.is_empty() {
            return Err(Error::invalid("start.open_receipts", "cannot be combined with dry_run"));
        }
        if open_receipts.len() > MOST_RECEIPTS {
            return Err(Error::invalid("start.open_receipts", "must be at most 1000"));
        }
        let read = |(index, receipt): (usize, crate::proto::BulkReceipt)| {
            let job_id = receipt.job_id.clone();
            Ok((job_id, Items::of_receipt(receipt, &format!("start.open_receipts[{index}]"))?))
        };
        let open = open_receipts.into_iter().enumerate().map(read).collect::<Result<Vec<_>>>()?;
        let mut ids = HashSet::new();
        if let Some(twice) = open.iter().position(|(job_id, _)| !ids.insert(job_id)) {
            let field = format!("start.open_receipts[{twice}].job_id");
            return Err(Error::invalid(&field, "is the job of an earlier receipt, too"));
        }
        let within = |(_, items): &(String, Items)| items.first + i64::from(items.rows) > resume_from;
        if let Some(receipt) = open.iter().position(within) {
            let problem = format!("lies before the end of start.open_receipts[{receipt}], whose rows were sent");
            return Err(Error::invalid("start.resume_from", &problem));
        }
        let (leaving, inner) = Leaving::of(&context);
        let (kind, left) = (R::Call::KIND, leaving.left.clone());
        let rows = Rows::new(context, first, further, resume_from, dry_run, &open)?;
        // Whatever the rows are, their jobs may change the same.
        let changes = R::Call::default().changes();
        let order = Order { kind, changes, wait: true, is_stream: true, left: left.clone() };
        let (teller, replies) = telling(leaving);
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
