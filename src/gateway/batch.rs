//! Many records by id or external id, in the order of the request, with a list of the missing ones.

use std::collections::{HashMap, HashSet};
use std::future::poll_fn;
use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, TryStreamExt as _, stream};
use prost::Message as _;

use super::read::Around;
use super::{Answered, Context, Gateway};
use crate::cache::{CacheStatus, Held, Look};
use crate::codec::Encoded;
use crate::error::{Checks, Error, Result};
use crate::proto::{
    BatchGetOrganizationsRequest, BatchGetOrganizationsResponse, BatchGetUsersRequest, BatchGetUsersResponse,
};
use crate::rest::many::{LONGEST_LIST, MOST_ITEMS, at_most, each, lists, positive, unique};
use crate::rest::row::Row as _;
use crate::rest::{Batch, LeftOut};
use crate::share::Charge;
use crate::turns::Turns;
use crate::upstream::call::Priority;
use crate::upstream::rest::encoded;

/// Most Zendesk requests that one RPC has in flight.
const MAX_CONCURRENT_REQUESTS: usize = 4;
/// The same until one has been answered.
const FEW: usize = 2;
/// What an external id takes while it is asked for, beside its place in the message: its spellings, its place in a request, and whether it
/// was found.
const BYTES_PER_TEXT: usize = 256;
/// To look a record up costs about as much as to read so many bytes.
const BYTES_FOR_ONE: usize = 64;

impl Gateway {
    /// Show Many Users. <https://developer.zendesk.com/api-reference/ticketing/users/users/#show-many-users>
    pub async fn batch_get_users(
        &self,
        context: &Context,
        request: BatchGetUsersRequest,
    ) -> Result<Answered<BatchGetUsersResponse>> {
        self.batch(context, &request).await
    }

    /// Show Many Organizations.
    /// <https://developer.zendesk.com/api-reference/ticketing/organizations/organizations/#show-many-organizations>
    pub async fn batch_get_organizations(
        &self,
        context: &Context,
        request: BatchGetOrganizationsRequest,
    ) -> Result<Answered<BatchGetOrganizationsResponse>> {
        self.batch(context, &request).await
    }

    /// Zendesk answers in the order of ids and leaves unknown ones out, so rows are matched by id, never by position.
    async fn batch<B: Batch>(&self, context: &Context, request: &B) -> Result<Answered<B::Reply>> {
        check(request)?;
        let (_, external_ids) = request.lists();
        if external_ids.is_empty() {
            self.batch_by_id(context, request).await
        } else {
            self.batch_by_external_id(context, request).await
        }
    }

    async fn batch_by_id<B: Batch>(&self, context: &Context, request: &B) -> Result<Answered<B::Reply>> {
        let ids = unique(request.lists().0.iter().copied());
        // What is there of the reply is held until all is, which can be thousands of records.
        let mut held = Charge::none(context.caller.share());
        let mut found = self.cached(context, &ids, request, &mut held).await?;
        let mut unreadable: HashSet<i64> = HashSet::new();
        if context.control.only_if_cached && !found.unknown.is_empty() {
            return Err(Error::CacheMiss);
        }
        // Part of the reply may already be stale, and stale wins (see `Found::status`).
        if !found.unknown.is_empty() && found.status != CacheStatus::Stale {
            found.status = if context.control.no_cache { CacheStatus::Bypass } else { CacheStatus::Miss };
        }
        let since = self.cache.snapshot();
        let unknown = std::mem::take(&mut found.unknown);
        let parts = unknown.chunks(MOST_ITEMS).map(<[i64]>::to_vec).map(|ids| async move {
            let rows = self.reads.rows(&context.read(Priority::Interactive), request, &ids).await;
            (ids, rows)
        });
        let mut parts = pin!(few_first(parts));
        let (mut came, mut is_answered) = (0, false);
        let mut beside = Around::default();
        while let Some((ids, rows)) = parts.next().await {
            came += 1;
            match rows {
                Ok(many) => {
                    is_answered = true;
                    held.grow(many.around.sideloads.weight())?;
                    beside.add(many.around);
                    if !many.all_read {
                        unreadable.extend(ids.iter().filter(|id| !many.rows.iter().any(|row| row.id() == Some(**id))));
                    }
                    for row in many.rows {
                        if let Some((id, cacheable)) = row.id().zip(row.own_read()) {
                            held.grow(cacheable.reply.len())?;
                            found.replies.insert(id, cacheable.reply.clone());
                            self.keep(&context.credential, Some(cacheable), &since);
                        }
                    }
                }
                Err(error) => {
                    // In an outage older answers from the cache are better than an error, if there is one for each of these records.
                    // If none of the first requests has been answered, the others are not sent.
                    let is_down = !is_answered && (came >= FEW || came * MOST_ITEMS >= unknown.len());
                    let ids = if is_down { &unknown[(came - 1) * MOST_ITEMS..] } else { &ids };
                    if !error.row().stale_if_error || !ids.iter().all(|id| found.older.contains_key(id)) {
                        return Err(error);
                    }
                    for id in ids {
                        let older = found.older.remove(id).expect("looked for just now");
                        held.grow(found.take(*id, older, request))?;
                    }
                    if is_down {
                        break;
                    }
                }
            }
        }
        // The reply for one record and the reply for many both have records in field 1, so the reply for many is the encoded
        // replies for one, concatenated.
        // 16: room for a few missing ids.
        let mut bytes = Vec::with_capacity(found.replies.values().map(Bytes::len).sum::<usize>() + 16);
        let mut left_out = LeftOut::default();
        in_turns(&ids, |id| {
            match found.replies.remove(&id) {
                Some(reply) => bytes.extend_from_slice(&reply),
                None if unreadable.contains(&id) => left_out.unreadable_ids.push(id),
                None => left_out.missing_ids.push(id),
            }
            Ok(())
        })
        .await?;
        left_out.encode(&mut bytes).expect("encoding into a Vec cannot fail");
        beside.encode(request, &mut bytes);
        Ok(Answered { message: Encoded::from_bytes(bytes.into()), cached: Some((found.status, found.age)) })
    }

    /// Looks records up in the cache, and charges to `held` what it finds. One that the cache knows not to exist goes neither into
    /// `replies` nor into `unknown`.
    async fn cached<B: Batch>(&self, context: &Context, ids: &[i64], request: &B, held: &mut Charge) -> Result<Found> {
        let mut found = Found::default();
        if request.is_for_more() {
            found.unknown.extend_from_slice(ids);
            return Ok(found);
        }
        in_turns(ids, |id| {
            match self.cache.look(&context.key(&B::one(id)), context.control) {
                // A cached 404 of a single read does not say all.
                Look::Good(Held { answer: Err(_), .. }) if request.finds_more() => found.unknown.push(id),
                Look::Good(good) => return held.grow(found.take(id, good, request)),
                Look::IfZendeskFails(older) => {
                    found.unknown.push(id);
                    found.older.insert(id, older);
                }
                Look::Nothing => found.unknown.push(id),
            }
            Ok(())
        })
        .await?;
        Ok(found)
    }

    async fn batch_by_external_id<B: Batch>(&self, context: &Context, request: &B) -> Result<Answered<B::Reply>> {
        // The cache is keyed by id, so a read by external id always asks Zendesk.
        if context.control.only_if_cached {
            return Err(Error::CacheMiss);
        }
        let mut held = context.caller.share().charge_request(request.lists().1.len() * BYTES_PER_TEXT)?;
        // Zendesk ignores the case of external ids, so two that differ only in case are one record, which is asked for once.
        let mut spellings: HashMap<String, Vec<&str>> = HashMap::new();
        let mut ids: Vec<&str> = Vec::new();
        for id in unique(request.lists().1.iter().map(String::as_str)) {
            let known = spellings.entry(folded(id)).or_default();
            if known.is_empty() {
                ids.push(id);
            }
            known.push(id);
        }
        let lists = lists(&ids);
        let part = |ids: &&[&str]| {
            let wanted: Vec<_> = ids.iter().map(|id| folded(id)).collect();
            Ok((request.rest("external_ids", ids.join(","))?, wanted))
        };
        let parts = lists.iter().map(part).collect::<Result<Vec<_>>>()?;
        let read = &context.read(Priority::Interactive);
        let parts = parts.into_iter().map(|(rest, wanted)| self.reads.many(read, rest, wanted, external_id::<B>));
        let mut coming = pin!(few_first(parts));
        let mut parts = Vec::new();
        while let Some(part) = coming.try_next().await? {
            held.grow(part.weight())?;
            parts.push(part);
        }
        let (mut bytes, mut left_out, mut beside) = (Vec::new(), LeftOut::default(), Around::default());
        for (ids, many) in lists.into_iter().zip(parts) {
            beside.add(many.around);
            let all_read = many.all_read;
            let mut found: HashMap<String, B::Row> =
                many.rows.into_iter().filter_map(|row| Some((external_id::<B>(&row)?, row))).collect();
            for id in ids.iter().map(|id| folded(id)) {
                // Each spelling of what is not there is named: a caller looks for its own.
                let asked = spellings[&id].iter().map(|spelling| (*spelling).to_owned());
                match found.remove(&id) {
                    Some(row) => bytes.extend_from_slice(&row.in_envelope()),
                    None if all_read => left_out.missing_external_ids.extend(asked),
                    None => left_out.unreadable_external_ids.extend(asked),
                }
            }
        }
        left_out.encode(&mut bytes).expect("encoding into a Vec cannot fail");
        beside.encode(request, &mut bytes);
        // No part of the reply is from the cache.
        Ok(Answered { message: Encoded::from_bytes(bytes.into()), cached: Some((CacheStatus::Bypass, Duration::ZERO)) })
    }
}

impl Around {
    fn add(&mut self, other: Self) {
        self.sideloads.append(other.sideloads);
        self.unreadable_rows = self.unreadable_rows.saturating_add(other.unreadable_rows);
    }

    /// Adds it to an encoded reply, if the request asks for it. Requests for other records may have brought the same.
    fn encode<B: Batch>(self, request: &B, bytes: &mut Vec<u8>) {
        if request.is_for_more() {
            let reply = B::beside(self.sideloads.once(), self.unreadable_rows);
            reply.encode(bytes).expect("encoding into a Vec cannot fail");
        }
    }
}

/// Refuses all that is wrong with a request.
fn check<B: Batch>(request: &B) -> Result<()> {
    let (ids, external_ids) = request.lists();
    let mut checks = Checks::default();
    match (ids.is_empty(), external_ids.is_empty()) {
        (true, true) => checks.refuse("ids", "must not be empty, unless external_ids is set"),
        (false, false) => checks.refuse("external_ids", "cannot be combined with ids"),
        _ => {}
    }
    checks.take(at_most("ids", ids));
    checks.take(positive("ids", ids));
    checks.take(at_most("external_ids", external_ids));
    // A read does no harm, so this takes what `rest::many::external_ids` refuses in a write: ids of any length, which are left to
    // Zendesk, and duplicates, which are asked for once.
    checks.take(each("external_ids", external_ids, |id| {
        let is_too_long = encoded(id).map(str::len).sum::<usize>() > LONGEST_LIST;
        let is_none = id.trim().is_empty() || id.contains(',');
        let problem = is_none.then_some("must not be empty or hold a comma, which separates such ids upstream");
        problem.or(is_too_long.then_some("must be at most 4000 bytes, percent-encoded"))
    }));
    checks.take(request.rest("ids", String::new()));
    checks.end(Some(()))
}

/// Does something for each of thousands of ids, in turns with what else the thread has to do.
async fn in_turns(ids: &[i64], mut each: impl FnMut(i64) -> Result<()>) -> Result<()> {
    let (mut turns, mut ids) = (Turns::new(), ids.iter());
    while !ids.as_slice().is_empty() {
        let portion = poll_fn(|context| turns.poll(context)).await;
        let number = (portion / BYTES_FOR_ONE).max(1);
        ids.by_ref().take(number).try_for_each(|id| each(*id))?;
        turns.did(portion);
    }
    Ok(())
}

/// Carries out requests, several at a time, in their order. As long as none is answered only a few are under way: if Zendesk is
/// down, these find out, and one of them may be repeated ([`Ledger::begin_again`](crate::upstream::call::Ledger::begin_again)).
fn few_first<F: Future>(requests: impl IntoIterator<Item = F>) -> impl Stream<Item = F::Output> {
    let mut requests = requests.into_iter();
    let first: Vec<F> = requests.by_ref().take(FEW).collect();
    let first = stream::iter(first).buffered(FEW);
    first.chain(stream::iter(requests).buffered(MAX_CONCURRENT_REQUESTS))
}

/// What is known so far of the records asked for, from the cache and then from Zendesk.
struct Found {
    /// The encoded replies to their reads.
    replies: HashMap<i64, Bytes>,
    /// The ids to fetch from Zendesk.
    unknown: Vec<i64>,
    /// Older answers for ids in `unknown`, to use if Zendesk fails.
    older: HashMap<i64, Held>,
    /// Where the reply comes from: `Stale` if any record is stale, else `Miss` (`Bypass` with `no-cache`) if Zendesk was asked,
    /// else `Hit`.
    status: CacheStatus,
    /// The age of the oldest part.
    age: Duration,
}

impl Default for Found {
    fn default() -> Self {
        let (replies, unknown, older) = (HashMap::new(), Vec::new(), HashMap::new());
        Self { replies, unknown, older, status: CacheStatus::Hit, age: Duration::ZERO }
    }
}

impl Found {
    /// Adds a cached answer for one record, and returns how much it adds to the reply.
    fn take<B: Batch>(&mut self, id: i64, held: Held, request: &B) -> usize {
        self.age = self.age.max(held.age);
        if held.status == CacheStatus::Stale {
            self.status = CacheStatus::Stale;
        }
        let Some(bytes) = held.answer.ok().filter(|bytes| request.takes(bytes)) else { return 0 };
        let size = bytes.len();
        self.replies.insert(id, bytes);
        size
    }
}

/// A record's external id as Zendesk compares it; none if it cannot be read, or is missing, so that nobody knows what the record was
/// found by.
fn external_id<B: Batch>(row: &B::Row) -> Option<String> {
    let (external_id, unreadable) = B::external_id(row);
    let is_unreadable = unreadable.iter().any(|field| field == "external_id");
    external_id.filter(|id| !is_unreadable && !id.is_empty()).map(folded)
}

fn folded(external_id: &str) -> String {
    external_id.to_lowercase()
}
