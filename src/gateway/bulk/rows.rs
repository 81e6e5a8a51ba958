//! The rows of a bulk stream: taken from its messages as they are needed, checked, and cut into requests.
//!
//! No more messages are read than the next request needs, so a caller can send no faster than Zendesk takes. A row that is refused
//! costs itself only. Its outcome is told before the rows around it are announced. So once a request has its receipt, no row that
//! it covers is left without receipt or outcome.

use std::collections::VecDeque;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use futures_util::{Stream, StreamExt as _};

use super::event::{Ended, Event, Next, Source, Stop};
use super::items::{Items, Part};
use super::seen::Seen;
use crate::error::{Checks, Error, Result, reason_name, snippet};
use crate::gateway::{Context, Gateway};
use crate::proto::{BulkItemOutcome, BulkResult, BulkViolation, ErrorReason};
use crate::rest::bulk::{Bulk as _, BulkStream, Chunk, Key, within_row};
use crate::rest::field_values::Definitions;
use crate::rest::many::{MOST_ITEMS, Name};
use crate::share::FREE_MESSAGE;
use crate::turns;

/// Most bytes of the rows of one request, unless one row has more.
const MOST_BYTES: usize = 512 << 10;
/// How many times the bytes of a row are held: here, and in a request to Zendesk.
const COPIES: usize = 3;

/// See the module.
pub struct Rows<R: BulkStream, M> {
    gateway: Gateway,
    context: Context,
    /// The first message, without its rows.
    first: R,
    /// The further messages; none once all have come.
    messages: Option<M>,
    /// The first row, which all others must be like.
    sample: Option<R::Row>,
    /// Rows that have come and are not in a request yet.
    waiting: VecDeque<R::Row>,
    /// Index of the first of them.
    next_index: i64,
    /// Index after the last row that a request covers.
    covered: i64,
    /// What was made of rows and has not been taken yet.
    ready: VecDeque<Next>,
    seen: Seen,
    /// By which values of user fields are judged in the rows that come next; none if they are not to be checked.
    definitions: Option<Arc<Definitions>>,
    /// Bytes that the receipts from earlier streams take.
    open: usize,
    /// Bytes that were charged to the caller, for what is held beside the last message.
    charged: usize,
    dry_run: bool,
    /// True while it waits for a message.
    is_reading: bool,
    /// True if the last message is charged to the caller.
    is_charged: bool,
}

/// What is wrong with one row.
struct Fault {
    field: String,
    problem: String,
    /// The row that names the same record.
    same_as: Option<i64>,
}

/// A row with its index.
type Kept<R> = (i64, <R as BulkStream>::Row);

impl<R: BulkStream, M> Rows<R, M> {
    /// Returns the rows of a stream whose first message has come. `open` are the rows of earlier streams that have not ended.
    ///
    /// # Errors
    /// The caller has too much under way, or the rows are not alike.
    pub fn new(
        gateway: &Gateway,
        context: Context,
        mut first: R,
        messages: M,
        resume_from: i64,
        dry_run: bool,
        open: &[(String, Items)],
    ) -> Result<Self> {
        let text = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        let of_key = |key: &Key| size_of::<Key>() + size_of::<i64>() + text(&key.email) + text(&key.external_id);
        let of_open = open.iter().flat_map(|(_, items)| &items.keys).map(of_key).sum();
        let is_charged = first.encoded_len() > FREE_MESSAGE;
        let of_first = first.take_rows();
        let mut rows = Self {
            gateway: gateway.clone(),
            definitions: None,
            context,
            first,
            messages: Some(messages),
            sample: None,
            waiting: VecDeque::new(),
            next_index: resume_from,
            covered: resume_from,
            ready: VecDeque::new(),
            seen: Seen::new(dry_run),
            open: of_open,
            charged: 0,
            dry_run,
            is_reading: false,
            is_charged,
        };
        for (_, items) in open {
            rows.remember_receipt(items);
        }
        rows.charge(0)?;
        rows.add(of_first)?;
        Ok(rows)
    }

    /// Takes in one more message.
    fn take(&mut self, mut message: R) -> Result<()> {
        // Each message can hold a user who gets privileges.
        self.context.caller.check(R::rpc(), message.risk())?;
        self.is_charged = message.encoded_len() > FREE_MESSAGE;
        self.add(message.take_rows())?;
        if message != R::default() {
            let problem = "and all that is said of all rows go in the first message only";
            return Err(Error::invalid("start", problem));
        }
        Ok(())
    }

    /// Takes in rows of a message.
    fn add(&mut self, rows: Vec<R::Row>) -> Result<()> {
        if let Some(first) = self.sample.as_ref().or(rows.first())
            && rows.iter().any(|row| !R::are_alike(first, row))
        {
            return Err(Error::invalid(R::LISTS[0], "cannot be combined with rows that are named in another way"));
        }
        if self.sample.is_none() {
            self.sample = rows.first().cloned();
        }
        self.waiting.extend(rows);
        Ok(())
    }

    /// Charges what is held beside the last message, once it is more than ever before.
    fn charge(&mut self, waiting: usize) -> Result<()> {
        let held = self.open + self.seen.bytes() + COPIES * waiting;
        if let Some(more @ 1..) = held.checked_sub(self.charged) {
            self.context.place.charge(self.context.caller.share(), more)?;
            self.charged = held;
        }
        Ok(())
    }

    /// Counts the rows that go into the next request, and their bytes.
    fn measure(&self) -> (usize, usize) {
        let (mut rows, mut bytes) = (0, 0);
        for row in self.waiting.iter().take(MOST_ITEMS) {
            let more = size_of::<R::Row>() + R::bytes(row);
            if rows > 0 && bytes + more > MOST_BYTES {
                break;
            }
            (rows, bytes) = (rows + 1, bytes + more);
        }
        (rows, bytes)
    }

    /// Reads the definitions that the next rows are checked against, if they are.
    async fn look_up(&mut self, rows: usize) -> Result<()> {
        if !self.first.checks_user_fields() {
            return Ok(());
        }
        let call = self.first.call(self.waiting.iter().take(rows).cloned().collect());
        let given = call.user_fields();
        let definitions =
            if given.is_empty() { None } else { Some(self.gateway.definitions_for(&self.context, &given).await?) };
        self.definitions = definitions;
        Ok(())
    }

    /// Makes a request of the next rows.
    fn cut(&mut self, rows: usize) -> Result<()> {
        let begin = self.next_index;
        let batch: Vec<Kept<R>> = (begin..).zip(self.waiting.drain(..rows)).collect();
        self.next_index = batch.last().map_or(begin, |(index, _)| index + 1);
        let is_new =
            |(_, row): &Kept<R>| R::names(row).iter().all(|(field, name)| self.seen.row(field, name).is_none());
        let whole = if batch.iter().all(is_new) { self.chunks(&batch).ok() } else { None };
        let (kept, chunks) = match whole {
            Some(chunks) => {
                for (index, row) in &batch {
                    self.remember(*index, row);
                }
                (batch, chunks)
            }
            None => self.sort_out(batch)?,
        };
        if !self.dry_run {
            self.push(&kept, chunks);
        }
        Ok(())
    }

    /// Checks each row by itself. Returns the good ones with their requests, and tells the faults of the others.
    fn sort_out(&mut self, batch: Vec<Kept<R>>) -> Result<(Vec<Kept<R>>, Vec<Chunk>)> {
        let (mut kept, mut faults) = (Vec::new(), Vec::new());
        for (index, row) in batch {
            if let Some((fault, key)) = self.fault(index, &row)? {
                faults.push((index, fault, key));
            } else {
                self.remember(index, &row);
                kept.push((index, row));
            }
        }
        if !faults.is_empty() {
            self.ready.push_back(Next::Tell(if self.dry_run { violations(faults) } else { refused(faults) }));
        }
        let chunks = if kept.is_empty() { Vec::new() } else { self.chunks(&kept)? };
        Ok((kept, chunks))
    }

    /// Returns what is wrong with a row, and what identifies it. What is wrong with all rows ends the stream.
    fn fault(&self, index: i64, row: &R::Row) -> Result<Option<(Fault, Key)>> {
        let key = match self.chunks(&[(index, row.clone())]) {
            Ok(chunks) => chunks.into_iter().flat_map(|chunk| chunk.keys).next().unwrap_or_default(),
            Err(Error::Invalid { field, mut problem, more }) => {
                let all = [field.as_str()].into_iter().chain(more.iter().map(|more| more.field.as_str()));
                let within: Option<Vec<&str>> = all.map(within_row::<R>).collect();
                let Some(within) = within else { return Err(Error::Invalid { field, problem, more }) };
                for (field, more) in within[1..].iter().zip(&more) {
                    problem = format!("{problem}; {field} {}", more.description);
                }
                let fault = Fault { field: within[0].to_owned(), problem: snippet(&problem), same_as: None };
                return Ok(Some((fault, Key::default())));
            }
            Err(error) => return Err(error),
        };
        let names = R::names(row);
        let same = names.iter().find_map(|(field, name)| Some((*field, self.seen.row(field, name)?)));
        Ok(same.map(|(field, other)| {
            let problem = format!("names the same record as row {other}");
            (Fault { field: field.to_owned(), problem, same_as: Some(other) }, key)
        }))
    }

    fn remember(&mut self, index: i64, row: &R::Row) {
        for (field, name) in R::names(row) {
            self.seen.add(field, &name, index);
        }
    }

    /// Remembers the rows of a receipt. In which field a row has its name depends on how the rows are named, so each is noted.
    fn remember_receipt(&mut self, items: &Items) {
        let text = |text: &Option<String>| text.as_deref().map(Name::text).filter(|name| *name != Name::text(""));
        for (index, Key { id, email, external_id }) in items.indices.iter().zip(&items.keys) {
            let (id, email, external_id) = (id.map(Name::Id), text(email), text(external_id));
            let by_id = [("", &id), ("id", &id)];
            let by_text = [("email", &email), ("", &external_id), ("external_id", &external_id)];
            for (field, name) in by_id.into_iter().chain(by_text) {
                if let Some(name) = name {
                    self.seen.add(field, name, *index);
                }
            }
        }
    }

    /// Returns the requests for rows.
    fn chunks(&self, rows: &[Kept<R>]) -> Result<Vec<Chunk>> {
        let call = self.first.call(rows.iter().map(|(_, row)| row.clone()).collect());
        let mut checks = Checks::default();
        let chunks = checks.take(call.chunks());
        if let Some(definitions) = &self.definitions {
            checks.take(definitions.check(&call.user_fields()));
        }
        checks.end(chunks)
    }

    /// Queues requests. Together they cover all rows up to the next one.
    fn push(&mut self, kept: &[Kept<R>], chunks: Vec<Chunk>) {
        let mut indices = kept.iter().map(|(index, _)| *index);
        let count = chunks.len();
        for (at, chunk) in chunks.into_iter().enumerate() {
            let of_chunk: Vec<i64> = indices.by_ref().take(chunk.keys.len()).collect();
            let last = of_chunk.last().map_or(self.covered, |last| last + 1);
            let end = if at + 1 == count { self.next_index } else { last };
            let first = std::mem::replace(&mut self.covered, end);
            self.ready.push_back(Next::Part(Box::new(Part::new(chunk, of_chunk, first, end))));
        }
    }
}

impl<R, M, E> Source for Rows<R, M>
where
    R: BulkStream,
    M: Stream<Item = Result<R, E>> + Send + Unpin,
    E: Send,
{
    type Error = E;

    fn next(&mut self) -> BoxFuture<'_, Result<Option<Next>, Stop<E>>> {
        Box::pin(async move {
            loop {
                if let Some(next) = self.ready.pop_front() {
                    return Ok(Some(next));
                }
                let (rows, bytes) = self.measure();
                let is_full = rows == MOST_ITEMS || rows < self.waiting.len();
                if is_full || self.messages.is_none() {
                    if rows == 0 {
                        return Ok(None);
                    }
                    self.look_up(rows).await.map_err(Stop::Failed)?;
                    // Thousands of rows, of which none is sent, must not hold up others: what takes less time goes first.
                    turns::after_the_others().await;
                    self.cut(rows).map_err(Stop::Failed)?;
                    continue;
                }
                if !std::mem::replace(&mut self.is_reading, true) {
                    // Of the last message only the rows that wait are left.
                    self.charge(bytes).map_err(Stop::Failed)?;
                    // A large one that was read ahead of its turn keeps its charge.
                    if std::mem::take(&mut self.is_charged) {
                        self.context.place.release_message();
                    }
                }
                let Some(messages) = &mut self.messages else { return Ok(None) };
                let message = messages.next().await;
                self.is_reading = false;
                match message {
                    Some(Ok(message)) => self.take(message).map_err(Stop::Failed)?,
                    Some(Err(error)) => return Err(Stop::Source(error)),
                    None => self.messages = None,
                }
            }
        })
    }
}

/// Returns the outcomes of rows that the gateway refuses.
fn refused(faults: Vec<(i64, Fault, Key)>) -> Event {
    let outcome = |(index, fault, key): (i64, Fault, Key)| BulkItemOutcome {
        index,
        result: BulkResult::Failed.into(),
        id: key.id,
        email: key.email,
        external_id: key.external_id,
        error: Some(reason_name(ErrorReason::InvalidField).to_owned()),
        details: Some(fault.sentence()),
        field: Some(fault.field).filter(|field| !field.is_empty()),
        job_id: None,
    };
    Event::Ended(Ended::without_job(faults.into_iter().map(outcome).collect(), Vec::new()))
}

/// Returns the faults that a dry run tells: where two rows name the same record, both have one.
fn violations(faults: Vec<(i64, Fault, Key)>) -> Event {
    let of_fault = |(index, Fault { field, problem, same_as }, _): (i64, Fault, Key)| {
        let other = same_as.map(|other| BulkViolation {
            index: other,
            field: field.clone(),
            description: format!("names the same record as row {index}"),
            same_as: Some(index),
        });
        [Some(BulkViolation { index, field, description: problem, same_as }), other]
    };
    Event::Violations(faults.into_iter().flat_map(of_fault).flatten().collect())
}

impl Fault {
    fn sentence(&self) -> String {
        if self.field.is_empty() { self.problem.clone() } else { format!("{} {}", self.field, self.problem) }
    }
}
