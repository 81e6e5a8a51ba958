//! `BatchGetUsers`: any number of users by id or external id, in the order asked, the missing ones named.

use std::collections::{HashMap, HashSet};

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use prost::Message as _;

use super::page::Page;
use super::row::Row as _;
use super::{Context, Gateway, parse};
use crate::cache::Control;
use crate::codec::Encoded;
use crate::error::{Error, Result};
use crate::path;
use crate::proto::{BatchGetUsersRequest, BatchGetUsersResponse, GetUserRequest, User};
use crate::rest::brand;
use crate::upstream::call::{Answer, Priority};
use crate::upstream::rest::Rest;

/// Zendesk's limit for one request.
pub(super) const MOST_IDS: usize = 100;
/// Longest list of external ids in one request's query; servers refuse request lines of more than 8 KiB.
const LONGEST_LIST: usize = 4000;
/// So many parts of one call are fetched at once.
const AT_ONCE: usize = 4;

impl Gateway {
    /// Show Many Users. <https://developer.zendesk.com/api-reference/ticketing/users/users/#show-many-users>
    ///
    /// Zendesk answers in the order of ids and leaves unknown ones out, so rows are matched by id, never by position.
    pub async fn batch_get_users(
        &self,
        context: &Context,
        request: BatchGetUsersRequest,
    ) -> Result<Encoded<BatchGetUsersResponse>> {
        match (request.ids.is_empty(), request.external_ids.is_empty()) {
            (true, true) => Err(Error::invalid("ids", "must not be empty, unless external_ids is set")),
            (false, false) => Err(Error::invalid("external_ids", "cannot be combined with ids")),
            (false, true) => self.users_by_id(context, &request).await,
            (true, false) => Ok(Encoded::new(&self.users_by_external_id(context, &request).await?)),
        }
    }

    async fn users_by_id(
        &self,
        context: &Context,
        request: &BatchGetUsersRequest,
    ) -> Result<Encoded<BatchGetUsersResponse>> {
        if request.brand_id.is_some() {
            return Err(Error::invalid("brand_id", "goes with external_ids only"));
        }
        if request.ids.iter().any(|id| *id <= 0) {
            return Err(Error::invalid("ids", "must be positive ids"));
        }
        let ids = distinct(request.ids.iter().copied());
        let (mut found, unknown) = self.cached_users(context, &ids, request.include_deleted);
        if context.control.only_if_cached && !unknown.is_empty() {
            return Err(Error::CacheMiss);
        }
        let since = self.cache.snapshot();
        let lists = unknown.chunks(MOST_IDS).map(|ids| ids.iter().map(i64::to_string).collect::<Vec<_>>().join(","));
        let users = self.show_many(context, "ids", lists.collect(), request).await?;
        for user in users {
            if let Some(read) = user.own_read() {
                found.insert(user.id, read.reply.clone());
                self.keep(context, Some(read), &since);
            }
        }
        // The reply to a read of one user and the reply with many both have users as field 1, so the encoded ones are put
        // one after the other.
        let mut bytes = Vec::with_capacity(found.values().map(Bytes::len).sum::<usize>() + 16);
        let mut rest = BatchGetUsersResponse::default();
        for id in ids {
            match found.remove(&id) {
                Some(user) => bytes.extend_from_slice(&user),
                None => rest.missing_ids.push(id),
            }
        }
        rest.encode(&mut bytes).expect("a vector grows");
        Ok(Encoded::from_bytes(bytes.into()))
    }

    /// Takes users from the cache; returns the encoded replies to their reads, and the ids that have to be asked for. What
    /// is known not to exist is in neither.
    fn cached_users(&self, context: &Context, ids: &[i64], include_deleted: bool) -> (HashMap<i64, Bytes>, Vec<i64>) {
        let (mut found, mut unknown) = (HashMap::new(), Vec::new());
        let wishes = Control { only_if_cached: false, ..context.control };
        for id in ids {
            let key = context.key(&GetUserRequest { id: *id });
            let cached = if wishes == Control::default() { self.cache.get_fresh(&key) } else { None };
            match cached {
                None => unknown.push(*id),
                // A deleted user is not there, unless deleted ones are asked for: what a read says of one id cannot tell.
                Some(Err(_)) if include_deleted => unknown.push(*id),
                Some(Err(_)) => {}
                Some(Ok(hit)) => {
                    let shown = Shown::decode(hit.bytes.clone()).expect("the gateway encoded it");
                    if include_deleted || shown.user.is_none_or(|user| user.active != Some(false)) {
                        found.insert(*id, hit.bytes);
                    }
                }
            }
        }
        (found, unknown)
    }

    async fn users_by_external_id(
        &self,
        context: &Context,
        request: &BatchGetUsersRequest,
    ) -> Result<BatchGetUsersResponse> {
        if request.external_ids.iter().any(|id| id.trim().is_empty() || id.contains(',')) {
            return Err(Error::invalid(
                "external_ids",
                "must not be empty or hold a comma, which separates them upstream",
            ));
        }
        // Zendesk ignores the case of external ids, so two that differ only in case are one user.
        let mut asked = HashSet::new();
        let ids: Vec<&str> = request.external_ids.iter().map(String::as_str).collect();
        let ids: Vec<&str> = ids.into_iter().filter(|id| asked.insert(id.to_lowercase())).collect();
        let users = self.show_many(context, "external_ids", lists(&ids), request).await?;
        let mut found: HashMap<String, User> = HashMap::new();
        for user in users {
            if let Some(external_id) = &user.external_id {
                found.insert(external_id.to_lowercase(), user);
            }
        }
        let mut reply = BatchGetUsersResponse::default();
        for id in ids {
            match found.remove(&id.to_lowercase()) {
                Some(user) => reply.users.push(user),
                None => reply.missing_external_ids.push(id.to_owned()),
            }
        }
        Ok(reply)
    }

    async fn show_many(
        &self,
        context: &Context,
        name: &'static str,
        lists: Vec<String>,
        request: &BatchGetUsersRequest,
    ) -> Result<Vec<User>> {
        let brand = brand("brand_id", request.brand_id.as_deref())?;
        let include_deleted = request.include_deleted.then_some("true");
        let parts = lists.into_iter().map(|list| {
            let rest = Rest::get(path!["users", "show_many"]).query(name, list);
            let rest = rest.query_if("include_deleted", include_deleted).query_if("brand_id", brand);
            self.send(context, Priority::Interactive, rest, parse::<Page<User>>)
        });
        let pages: Vec<Page<User>> = stream::iter(parts).buffered(AT_ONCE).map_ok(Answer::body).try_collect().await?;
        Ok(pages.into_iter().flat_map(|page| page.rows).collect())
    }
}

/// All that has to be read of a `GetUserResponse` here: whether the user is a deleted one.
#[derive(Clone, Copy, PartialEq, prost::Message)]
struct Shown {
    #[prost(message, optional, tag = "1")]
    user: Option<Activity>,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
struct Activity {
    #[prost(bool, optional, tag = "21")]
    active: Option<bool>,
}

fn distinct(ids: impl Iterator<Item = i64>) -> Vec<i64> {
    let mut seen = HashSet::new();
    ids.filter(|id| seen.insert(*id)).collect()
}

/// Joins ids with commas into lists within Zendesk's limit and a request line's.
fn lists(ids: &[&str]) -> Vec<String> {
    let mut lists: Vec<String> = Vec::new();
    let mut count = 0;
    for id in ids {
        if let Some(list) = lists.last_mut().filter(|list| count < MOST_IDS && list.len() + id.len() < LONGEST_LIST) {
            list.push(',');
            list.push_str(id);
            count += 1;
        } else {
            lists.push((*id).to_owned());
            count = 1;
        }
    }
    lists
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
            let shown = Shown::decode(reply.as_slice()).expect("the fields' numbers are the contract's");
            assert_eq!(shown.user.expect("set").active, active);
            let many = BatchGetUsersResponse { users: vec![user.clone(), user], ..BatchGetUsersResponse::default() };
            assert_eq!(many.encode_to_vec(), [reply.as_slice(), &reply].concat());
        }
    }
}
