//! `BatchGetUsers`: many users by id or external id, in the order of the request, with a list of the missing ones.

use std::collections::{HashMap, HashSet};
use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, TryStreamExt as _, stream};
use prost::Message as _;

use super::{Answered, Context, Gateway};
use crate::cache::{CacheStatus, Held, Look};
use crate::codec::Encoded;
use crate::error::{Checks, Error, Result};
use crate::proto::{BatchGetUsersRequest, BatchGetUsersResponse, GetUserRequest, User};
use crate::rest::many::{LONGEST_LIST, MOST_ITEMS, at_most, each, lists, positive, unique};
use crate::rest::row::Row as _;
use crate::rest::users;
use crate::share::Charge;
use crate::upstream::call::Priority;
use crate::upstream::rest::encoded;

/// Most Zendesk requests that one RPC has in flight.
const MAX_CONCURRENT_REQUESTS: usize = 4;
/// The same until one has been answered.
const FEW: usize = 2;

impl Gateway {
    /// Show Many Users. <https://developer.zendesk.com/api-reference/ticketing/users/users/#show-many-users>
    ///
    /// Zendesk answers in the order of ids and leaves unknown ones out, so rows are matched by id, never by position.
    pub async fn batch_get_users(
        &self,
        context: &Context,
        request: BatchGetUsersRequest,
    ) -> Result<Answered<BatchGetUsersResponse>> {
        check(&request)?;
        if request.external_ids.is_empty() {
            self.users_by_id(context, &request).await
        } else {
            self.users_by_external_id(context, &request).await
        }
    }

    async fn users_by_id(
        &self,
        context: &Context,
        request: &BatchGetUsersRequest,
    ) -> Result<Answered<BatchGetUsersResponse>> {
        let ids = unique(request.ids.iter().copied());
        let mut found = self.cached_users(context, &ids, request.include_deleted);
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
            let rest = users::show_many(&ids, request.include_deleted);
            let read_context = context.read(Priority::Interactive);
            let users = self.reads.many(&read_context, rest, ids.clone(), |user: &User| Some(user.id)).await;
            (ids, users)
        });
        let mut parts = pin!(few_first(parts));
        let (mut came, mut is_answered) = (0, false);
        // What has come of the reply is held until all has, which can be thousands of users.
        let mut held = Charge::none(context.caller.share());
        while let Some((ids, users)) = parts.next().await {
            came += 1;
            match users {
                Ok(users) => {
                    is_answered = true;
                    if !users.all_read {
                        unreadable.extend(ids.iter().filter(|id| !users.rows.iter().any(|user| user.id == **id)));
                    }
                    for user in users.rows {
                        if let Some(cacheable) = user.own_read() {
                            held.grow(cacheable.reply.len())?;
                            found.users.insert(user.id, cacheable.reply.clone());
                            self.keep(&context.credential, Some(cacheable), &since);
                        }
                    }
                }
                Err(error) => {
                    // In an outage older answers from the cache are better than an error, if there is one for each of these users.
                    // If none of the first requests has been answered, the others are not sent.
                    let is_down = !is_answered && (came >= FEW || came * MOST_ITEMS >= unknown.len());
                    let ids = if is_down { &unknown[(came - 1) * MOST_ITEMS..] } else { &ids };
                    if !error.row().stale_if_error || !ids.iter().all(|id| found.older.contains_key(id)) {
                        return Err(error);
                    }
                    for id in ids {
                        let held = found.older.remove(id).expect("looked for just now");
                        found.take(*id, held, request.include_deleted);
                    }
                    if is_down {
                        break;
                    }
                }
            }
        }
        // The reply for one user and the reply for many both have users in field 1, so the reply for many is the encoded
        // replies for one, concatenated.
        // 16: room for a few missing ids.
        let mut bytes = Vec::with_capacity(found.users.values().map(Bytes::len).sum::<usize>() + 16);
        let mut missing_part = BatchGetUsersResponse::default();
        for id in ids {
            match found.users.remove(&id) {
                Some(user) => bytes.extend_from_slice(&user),
                None if unreadable.contains(&id) => missing_part.unreadable_ids.push(id),
                None => missing_part.missing_ids.push(id),
            }
        }
        missing_part.encode(&mut bytes).expect("encoding into a Vec cannot fail");
        Ok(Answered { message: Encoded::from_bytes(bytes.into()), cached: Some((found.status, found.age)) })
    }

    /// Looks users up in the cache. A user whom the cache knows not to exist goes neither into `users` nor into `unknown`.
    fn cached_users(&self, context: &Context, ids: &[i64], include_deleted: bool) -> Found {
        let mut found = Found::default();
        for id in ids {
            match self.cache.look(&context.key(&GetUserRequest { id: *id }), context.control) {
                // A cached 404 of a single read does not say whether there is a deleted user.
                Look::Good(Held { answer: Err(_), .. }) if include_deleted => found.unknown.push(*id),
                Look::Good(held) => found.take(*id, held, include_deleted),
                Look::IfZendeskFails(held) => {
                    found.unknown.push(*id);
                    found.older.insert(*id, held);
                }
                Look::Nothing => found.unknown.push(*id),
            }
        }
        found
    }

    async fn users_by_external_id(
        &self,
        context: &Context,
        request: &BatchGetUsersRequest,
    ) -> Result<Answered<BatchGetUsersResponse>> {
        // The cache is keyed by id, so a read by external id always asks Zendesk.
        if context.control.only_if_cached {
            return Err(Error::CacheMiss);
        }
        // Zendesk ignores the case of external ids, so two that differ only in case are one user, who is asked for once.
        let mut spellings: HashMap<String, Vec<&str>> = HashMap::new();
        let mut ids: Vec<&str> = Vec::new();
        for id in request.external_ids.iter().map(String::as_str) {
            let known = spellings.entry(folded(id)).or_default();
            if known.is_empty() {
                ids.push(id);
            }
            if !known.contains(&id) {
                known.push(id);
            }
        }
        let lists = lists(&ids);
        let part = |ids: &&[&str]| {
            let wanted: Vec<_> = ids.iter().map(|id| folded(id)).collect();
            Ok((users::show_many_by_external_id(request, ids)?, wanted))
        };
        let parts = lists.iter().map(part).collect::<Result<Vec<_>>>()?;
        let read = &context.read(Priority::Interactive);
        let parts = parts.into_iter().map(|(rest, wanted)| self.reads.many(read, rest, wanted, external_id));
        let mut coming = pin!(few_first(parts));
        let (mut parts, mut held) = (Vec::new(), Charge::none(context.caller.share()));
        while let Some(part) = coming.try_next().await? {
            held.grow(part.weight())?;
            parts.push(part);
        }
        let mut reply = BatchGetUsersResponse::default();
        for (ids, users) in lists.into_iter().zip(parts) {
            let all_read = users.all_read;
            let mut found: HashMap<String, User> =
                users.rows.into_iter().filter_map(|user| Some((external_id(&user)?, user))).collect();
            for id in ids.iter().map(|id| folded(id)) {
                // Each spelling of what is not there is named: a caller looks for its own.
                let asked = spellings[&id].iter().map(|spelling| (*spelling).to_owned());
                match found.remove(&id) {
                    Some(user) => reply.users.push(user),
                    None if all_read => reply.missing_external_ids.extend(asked),
                    None => reply.unreadable_external_ids.extend(asked),
                }
            }
        }
        // No part of the reply is from the cache.
        Ok(Answered { message: Encoded::new(&reply), cached: Some((CacheStatus::Bypass, Duration::ZERO)) })
    }
}

/// Refuses all that is wrong with a request.
fn check(request: &BatchGetUsersRequest) -> Result<()> {
    let BatchGetUsersRequest { ids, external_ids, .. } = request;
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
    if request.brand_id.is_some() && external_ids.is_empty() {
        checks.refuse("brand_id", "goes with external_ids only");
    }
    checks.take(users::show_many_by_external_id(request, &[]));
    checks.end(Some(()))
}

/// Carries out requests, several at a time, in their order. As long as none is answered only a few are under way: if Zendesk is
/// down, these find out, and one of them may be repeated ([`Ledger::begin_again`](crate::upstream::call::Ledger::begin_again)).
fn few_first<F: Future>(requests: impl IntoIterator<Item = F>) -> impl Stream<Item = F::Output> {
    let mut requests = requests.into_iter();
    let first: Vec<F> = requests.by_ref().take(FEW).collect();
    let first = stream::iter(first).buffered(FEW);
    first.chain(stream::iter(requests).buffered(MAX_CONCURRENT_REQUESTS))
}

/// What is known so far of the users asked for, from the cache and then from Zendesk.
struct Found {
    /// The encoded replies to their reads.
    users: HashMap<i64, Bytes>,
    /// The ids to fetch from Zendesk.
    unknown: Vec<i64>,
    /// Older answers for ids in `unknown`, to use if Zendesk fails.
    older: HashMap<i64, Held>,
    /// Where the reply comes from: `Stale` if any user is stale, else `Miss` (`Bypass` with `no-cache`) if Zendesk was asked,
    /// else `Hit`.
    status: CacheStatus,
    /// The age of the oldest part.
    age: Duration,
}

impl Default for Found {
    fn default() -> Self {
        let (users, unknown, older) = (HashMap::new(), Vec::new(), HashMap::new());
        Self { users, unknown, older, status: CacheStatus::Hit, age: Duration::ZERO }
    }
}

impl Found {
    /// Adds a cached answer for one user. A deleted user is left out, unless the call asks for deleted ones.
    fn take(&mut self, id: i64, held: Held, include_deleted: bool) {
        self.age = self.age.max(held.age);
        if held.status == CacheStatus::Stale {
            self.status = CacheStatus::Stale;
        }
        let Ok(bytes) = held.answer else { return };
        let reply = UserReplyActive::decode(bytes.clone()).expect("the gateway encoded it");
        if include_deleted || reply.user.is_none_or(|user| user.active != Some(false)) {
            self.users.insert(id, bytes);
        }
    }
}

/// A user's external id as Zendesk compares it; none if it cannot be read, or is missing, so that nobody knows whom the user was
/// found by.
fn external_id(user: &User) -> Option<String> {
    let is_unreadable = user.unreadable_fields.iter().any(|field| field == "external_id");
    user.external_id.as_deref().filter(|id| !is_unreadable && !id.is_empty()).map(folded)
}

fn folded(external_id: &str) -> String {
    external_id.to_lowercase()
}

/// The part of a `GetUserResponse` that says whether the user is deleted; decoding the whole user would cost more.
#[derive(Clone, Copy, PartialEq, prost::Message)]
struct UserReplyActive {
    #[prost(message, optional, tag = "1")]
    user: Option<UserActive>,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
struct UserActive {
    #[prost(bool, optional, tag = "21")]
    active: Option<bool>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::GetUserResponse;

    #[test]
    fn whether_a_user_is_deleted_is_read_off_the_encoded_reply() {
        for active in [None, Some(true), Some(false)] {
            let user = User { id: 7, name: Some("N".to_owned()), active, ..User::default() };
            let reply = GetUserResponse { user: Some(user.clone()) }.encode_to_vec();
            let decoded = UserReplyActive::decode(reply.as_slice()).expect("the fields' numbers are the contract's");
            assert_eq!(decoded.user.expect("set").active, active);
            let many = BatchGetUsersResponse { users: vec![user.clone(), user], ..BatchGetUsersResponse::default() };
            assert_eq!(many.encode_to_vec(), [reply.as_slice(), &reply].concat());
        }
    }
}
