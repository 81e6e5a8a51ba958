//! Sends reads to Zendesk.
//!
//! Several callers can share one read: all who wait for a flight, or for a batch. So the answer must not depend on which of
//! them began the read. [`Reads`] gets a [`ReadContext`], which holds nothing that could make the answer differ between them,
//! and a request that is the same for all callers or made from what all of them asked for.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use tokio::time::Instant;
use tower::ServiceExt as _;

use super::Context;
use super::token::Position;
use super::walk::Paged;
use crate::cache::{Terms, WaitsFor};
use crate::codec;
use crate::contract::Idempotency;
use crate::error::{Error, Result};
use crate::json::Malformed;
use crate::rest::many::joined;
use crate::rest::page::{Page, Rows, Sideloads};
use crate::rest::row::Row;
use crate::rest::{Batch, Read};
use crate::share::Share;
use crate::telemetry::Trace;
use crate::upstream::Upstream;
use crate::upstream::call::{Answer, Call, Ledger, Parse, Parsed, Peek, Priority};
use crate::upstream::credential::Credential;
use crate::upstream::rest::{Owner, Rest};

/// What a read needs beside its request.
#[derive(Debug, Clone)]
pub struct ReadContext {
    /// The credential for the request; the same for all callers who share the read.
    pub credential: Credential,
    /// When the answer is of no use to any caller.
    pub deadline: Instant,
    /// When the caller who began the read needs the answer; never after `deadline`.
    pub wanted_by: Instant,
    /// Which calls go first when the budget is short.
    pub priority: Priority,
    /// Whose turn it takes where calls wait: that of the caller who began the read.
    pub share: Share,
    /// Where it is noted what the read waits for.
    pub waits_for: WaitsFor,
    /// Where the requests are counted: with the caller who began the read.
    pub ledger: Arc<Ledger>,
    /// Where they are traced: with the caller who began the read.
    pub trace: Trace,
}

impl Context {
    /// Returns what a read for this call alone needs.
    pub(super) fn read(&self, priority: Priority) -> ReadContext {
        ReadContext {
            credential: self.credential.clone(),
            deadline: self.deadline,
            wanted_by: self.deadline,
            priority,
            share: self.caller.share().clone(),
            waits_for: WaitsFor::default(),
            ledger: self.ledger.clone(),
            trace: self.trace.clone(),
        }
    }
}

impl ReadContext {
    /// Returns this context under the terms of a read that may serve others, too.
    #[must_use]
    pub fn within(&self, terms: Terms) -> Self {
        // A read that a caller waits for is part of that caller's trace; a background refresh only links to it.
        let trace = if terms.background { self.trace.detached() } else { self.trace.clone() };
        let priority = terms.priority();
        let Terms { deadline, wanted_by, waits_for, .. } = terms;
        Self { deadline, wanted_by, priority, waits_for, trace, ..self.clone() }
    }
}

/// What comes beside the records of an answer.
#[derive(Default)]
pub(super) struct Around {
    /// The records.
    pub sideloads: Sideloads,
    /// How many rows, of these and of the answer itself, cannot be read.
    pub unreadable_rows: i32,
}

/// The answer to a read of many records.
pub(super) struct Many<R> {
    /// The rows, in Zendesk's order.
    pub rows: Vec<R>,
    /// What comes beside them.
    pub around: Around,
    /// False if a row was left out because its id cannot be read, or if it cannot be read whether there is another page: then a
    /// record without a row may exist.
    pub all_read: bool,
}

impl<R: Row> Many<R> {
    /// Returns about how many bytes it takes.
    pub fn weight(&self) -> usize {
        self.around.sideloads.weight() + self.rows.iter().map(|row| size_of::<R>() + row.encoded_len()).sum::<usize>()
    }
}

/// What an answer has of one record.
enum Found<R> {
    Nothing,
    Row(R),
    Different,
}

impl<R: PartialEq> Found<R> {
    /// There may be any number of rows, so each is compared with the first alone.
    fn add(&mut self, row: R) {
        match self {
            Self::Nothing => *self = Self::Row(row),
            Self::Row(first) if *first != row => *self = Self::Different,
            Self::Row(_) | Self::Different => {}
        }
    }

    fn row(self) -> Option<R> {
        match self {
            Self::Row(row) => Some(row),
            Self::Nothing | Self::Different => None,
        }
    }
}

/// Returns what a row was asked for by; none if it cannot be read.
type IdOf<R, Id> = fn(&R) -> Option<Id>;

/// Sends reads.
#[derive(Clone)]
pub(super) struct Reads {
    pub upstream: Upstream,
}

impl Reads {
    /// Sends one read and returns the reply.
    pub async fn one<R: Read>(&self, read: &ReadContext, request: &R) -> Result<R::Reply> {
        let rest = request.rest()?;
        let asked = request.clone();
        let parse: Parse = Arc::new(move |body| asked.parse(body));
        Ok(self.send(read, rest, parse, None).await?.body())
    }

    /// Reads many records and returns for each the encoded reply to its own read. Those that Zendesk leaves out are left out. A
    /// single one is read by its own path, which answers deleted users, too.
    pub async fn by_id<B: Batch>(&self, read: &ReadContext, ids: &[i64]) -> Result<HashMap<i64, Bytes>> {
        if let [id] = *ids {
            let reply = self.one(read, &B::one(id)).await?;
            return Ok(HashMap::from([(id, codec::encoded(&reply))]));
        }
        let many = self.rows(read, &B::default(), ids).await?;
        Ok(many.rows.into_iter().filter_map(|row| Some((row.id()?, row.in_envelope()))).collect())
    }

    /// Reads the records with these ids, of one request's.
    pub async fn rows<B: Batch>(&self, read: &ReadContext, request: &B, ids: &[i64]) -> Result<Many<B::Row>> {
        self.many(read, request.rest("ids", joined(ids))?, ids.to_vec(), B::Row::id).await
    }

    /// Reads the rows whose ids are in `wanted`, as far as Zendesk has them and they can be read.
    ///
    /// # Errors
    /// A page that has no row of these, and has others, two of one record that differ, or says that there is more.
    pub async fn many<R, Id>(&self, read: &ReadContext, rest: Rest, wanted: Vec<Id>, id: IdOf<R, Id>) -> Result<Many<R>>
    where
        R: Row + PartialEq,
        Id: PartialEq + Send + Sync + 'static,
    {
        let includes = rest.includes.clone();
        let parse: Parse = Arc::new(move |body| {
            let mut page = Page::<R>::read(body, Owner::Anybody)?;
            let sideloads = std::mem::take(&mut page.beside).only(&includes);
            let around = Around { sideloads, unreadable_rows: page.unreadable_rows };
            let before = page.rows.len();
            let says_that_there_is_more = page.says_that_there_is_more();
            page.rows.retain(|row| id(row).is_some());
            let all_read = page.unreadable_rows == 0 && page.rows.len() == before;
            let all_read = all_read && !page.leaves_open_whether_there_is_more();
            // Each row says itself which record it is. Nobody has asked for some, and of two that differ nobody knows which is right:
            // they are left aside, and the record counts as one that cannot be read.
            let mut found: Vec<Found<R>> = wanted.iter().map(|_| Found::Nothing).collect();
            let mut all_fit = true;
            for row in page.rows {
                match id(&row).and_then(|id| wanted.iter().position(|wanted| *wanted == id)) {
                    Some(at) => found[at].add(row),
                    None => all_fit = false,
                }
            }
            all_fit &= found.iter().all(|found| !matches!(found, Found::Different));
            let rows: Vec<R> = found.into_iter().filter_map(Found::row).collect();
            // Where nothing fits, it is the answer to another question.
            if rows.is_empty() && (says_that_there_is_more || !all_fit) {
                return Err(Malformed::Foreign);
            }
            // Only if there is no further page does a record count as missing that is not on this one.
            let all_read = all_read && all_fit && !says_that_there_is_more;
            Ok(Box::new(Many { rows, around, all_read }) as Parsed)
        });
        Ok(self.send(read, rest, parse, None).await?.body())
    }

    /// Reads the page of a list at a position. If Zendesk refuses the first page by cursor with 400, it is requested by page
    /// number where the list's style allows both.
    pub async fn page<R: Row, C: Rows + Send + 'static>(
        &self,
        read: &ReadContext,
        list: &Paged,
        at: &Position,
        peek: Option<Peek>,
    ) -> Result<Page<R, C>> {
        let owner = list.list().owner;
        let (goes_on, is_numbered) = (list.goes_on(), list.is_numbered());
        let wanted = list.list().includes.clone();
        let parse: Parse = Arc::new(move |body| {
            let mut page =
                if goes_on { Page::<R, C>::read_of_many(body, owner, is_numbered)? } else { Page::read(body, owner)? };
            page.beside = page.beside.only(&wanted);
            Ok(Box::new(page) as Parsed)
        });
        let answer = self.send(read, list.rest(at), parse.clone(), peek).await;
        let answer = match (answer, list.instead_of_cursor(at)) {
            (Err(Error::RecordInvalid(refusal)), Some(rest)) if refusal.status == 400 => {
                self.send(read, rest, parse, None).await?
            }
            (answer, _) => answer?,
        };
        Ok(answer.body())
    }

    /// Sends one read, and returns what `parse` makes of the answer.
    pub async fn parsed<T: Send + 'static>(&self, read: &ReadContext, rest: Rest, parse: Parse) -> Result<T> {
        Ok(self.send(read, rest, parse, None).await?.body())
    }

    async fn send(&self, read: &ReadContext, rest: Rest, parse: Parse, peek: Option<Peek>) -> Result<Answer> {
        let call = Call {
            rest: rest.into(),
            idempotency: Idempotency::NoSideEffects,
            priority: read.priority,
            deadline: read.deadline,
            wanted_by: read.wanted_by,
            share: read.share.clone(),
            credential: read.credential.clone(),
            parse,
            peek,
            waits_for: read.waits_for.clone(),
            ledger: read.ledger.clone(),
            trace: read.trace.clone(),
        };
        self.upstream.clone().oneshot(call).await
    }
}
