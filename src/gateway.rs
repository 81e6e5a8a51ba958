//! What a call means: one read, one page, one stream — and what is more than one upstream call.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::Stream;
use prost::Message as _;
use serde::de::DeserializeOwned;
use tower::ServiceExt as _;

use crate::cache::{Batcher, Cache, Control, Fetched, Key, Outcome, Snapshot, Terms};
use crate::codec::Encoded;
use crate::config;
use crate::contract::Idempotency;
use crate::error::{Error, Refusal, Result};
use crate::json::{self, Malformed};
use crate::path;
use crate::proto::{GetCurrentUserRequest, GetCurrentUserResponse, GetUserRequest, GetUserResponse, User};
use crate::rest::{List, Part, Read, envelope};
use crate::upstream::Upstream;
use crate::upstream::call::{Answer, Call, Parsed, Peek, Priority};
use crate::upstream::rest::Rest;

pub mod audit;
mod batch;
pub mod bulk;
pub mod caller;
pub mod context;
mod drain;
mod jobs;
pub mod page;
mod place;
mod roster;
pub mod row;
pub(crate) mod stream;
pub mod token;
mod walk;
mod warnings;
pub mod write;

pub use context::Context;
pub use drain::Drain;
use page::{Next, Page};
pub use place::Place;
use row::{OwnRead, Row};

/// Reads a body into what its caller makes of it.
type Parse = fn(&[u8]) -> Result<Parsed, Malformed>;

/// Answers calls.
#[derive(Clone)]
pub struct Gateway {
    upstream: Upstream,
    cache: Cache,
    /// Single reads of users that leave together.
    users: Batcher<i64, Bytes>,
    /// Slots for background jobs, of which the account has few.
    jobs: Arc<bulk::Slots>,
    streams: config::Stream,
}

/// A reply, and what is worth knowing beside it.
pub struct Answered<M> {
    /// The reply.
    pub message: Encoded<M>,
    /// `x-zendesk-api-warn`: Zendesk ignored a part of the request.
    pub warning: Option<String>,
    /// Where it came from and how old it may be.
    pub cached: Option<(Outcome, Duration)>,
}

impl<M> From<Encoded<M>> for Answered<M> {
    fn from(message: Encoded<M>) -> Self {
        Self { message, warning: None, cached: None }
    }
}

impl Gateway {
    /// Builds a gateway on an outbound stack.
    pub fn new(upstream: Upstream, cache: Cache) -> Self {
        let users = cache.batcher(batch::MOST_IDS);
        Self { upstream, cache, users, jobs: Arc::default(), streams: config::Stream::default() }
    }

    /// Streams lists by these settings.
    #[must_use]
    pub fn with_streams(self, streams: config::Stream) -> Self {
        Self { streams, ..self }
    }

    /// Returns the cache.
    pub fn cache(&self) -> &Cache {
        &self.cache
    }

    /// Returns how many background jobs there are and were.
    pub fn jobs(&self) -> bulk::Counts {
        self.jobs.counts()
    }

    /// Answers a read.
    pub async fn read<R: Read>(&self, context: &Context, request: &R) -> Result<Answered<R::Reply>> {
        let key = context.key(request);
        if let Some(hit) = self.fresh(context, &key) {
            return hit;
        }
        let (rest, gateway, its) = (request.rest()?, self.clone(), context.clone());
        let fetch = move |terms: Terms| async move {
            let context = its.within(terms);
            let answer = gateway.send(&context, terms.priority(), rest, envelope::<R::Reply>).await?;
            Ok(Fetched::from(Bytes::from(answer.body::<R::Reply>().encode_to_vec())))
        };
        let hit = self.cache.read(&key, &request.cache(), context.control, context.deadline, fetch).await?;
        Ok(Answered::of(hit))
    }

    /// Show User. While one read of a user is under way, others gather and leave together.
    pub async fn get_user(&self, context: &Context, request: &GetUserRequest) -> Result<Answered<GetUserResponse>> {
        let key = context.key(request);
        if let Some(hit) = self.fresh(context, &key) {
            return hit;
        }
        let (rest, id) = (request.rest()?, request.id);
        let (gateway, its) = (self.clone(), context.clone());
        let fetch = move |terms: Terms| async move {
            let (batching, of_batch, alone) = (gateway.clone(), its.clone(), rest.clone());
            let many = move |ids: Vec<i64>, terms: Terms| async move {
                let context = of_batch.within(terms);
                match ids.as_slice() {
                    [only] => Ok(HashMap::from([(*only, batching.user(&context, terms, alone).await?)])),
                    many => batching.users_of(&context, terms, many).await,
                }
            };
            let batched = gateway.users.get(its.credential.fingerprint(), id, terms, many).await?;
            let bytes = match batched {
                Some(bytes) => bytes,
                // Left out of a batch: asked for by itself, a deleted user is answered and a missing one is told apart.
                None => gateway.user(&its.within(terms), terms, rest).await?,
            };
            Ok(Fetched::from(bytes))
        };
        let hit = self.cache.read(&key, &request.cache(), context.control, context.deadline, fetch).await?;
        Ok(Answered::of(hit))
    }

    /// Answers who the credential belongs to.
    ///
    /// Zendesk greets a missing or wrong password with 200 and an "Anonymous user" without an id, which must not pass for
    /// an answer.
    pub async fn current_user(
        &self,
        context: &Context,
        request: &GetCurrentUserRequest,
    ) -> Result<Answered<GetCurrentUserResponse>> {
        let reply = self.read(context, request).await?;
        let message = GetCurrentUserResponse::decode(reply.message.bytes().clone()).expect("the gateway encoded it");
        if message.user.is_some_and(|user| user.id > 0) {
            return Ok(reply);
        }
        let refusal = Refusal { status: 200, text: "anonymous user".to_owned(), ..Refusal::default() };
        Err(Error::Credential { own: context.credential.is_own(), refusal: refusal.into() })
    }

    /// Answers one page of a list.
    pub async fn list<R: List>(&self, context: &Context, request: &R) -> Result<Answered<R::Reply>> {
        let key = context.key(request);
        if let Some(hit) = self.fresh(context, &key) {
            return hit;
        }
        let walk = walk::Walk::<R::Row>::begin(request.rest()?, request.paging())?;
        let (gateway, its) = (self.clone(), context.clone());
        let fetch = move |terms: Terms| async move {
            let (context, since) = (its.within(terms), gateway.cache.snapshot());
            let (page, next) = gateway.page(&context, terms.priority(), &walk).await?;
            // A search lags behind, so its rows may be older than what is cached.
            if walk.list.is_current() {
                page.rows.iter().for_each(|row| gateway.keep(&context, row.own_read(), &since));
            }
            let next_page_token = walk.list.token(&next)?;
            let reply = R::Reply::from(Part { page, next_page_token });
            Ok(Fetched::from(Bytes::from(reply.encode_to_vec())))
        };
        let hit = self.cache.read(&key, &request.cache(), context.control, context.deadline, fetch).await?;
        Ok(Answered::of(hit))
    }

    /// Streams all pages of a list from the one that is asked for.
    pub fn stream<R: List>(
        &self,
        context: Context,
        request: &R,
    ) -> Result<impl Stream<Item = Result<Encoded<R::Reply>>> + Send + use<R>> {
        let walk = walk::Walk::<R::Row>::begin(request.rest()?, request.paging())?;
        Ok(stream::pages(self.clone(), context, walk))
    }

    /// Answers from the cache alone, if it has a fresh answer and the caller states no wishes.
    fn fresh<M: prost::Message>(&self, context: &Context, key: &Key) -> Option<Result<Answered<M>>> {
        if context.control != Control::default() {
            return None;
        }
        Some(self.cache.get_fresh(key)?.map(Answered::of))
    }

    /// Keeps a row of a page, or the record that a write answered with, as the answer to its own read.
    fn keep(&self, context: &Context, read: Option<OwnRead>, since: &Snapshot) {
        if let Some(OwnRead { rpc, request, policy, reply }) = read {
            let key = Key::new(context.credential.fingerprint(), rpc, request);
            self.cache.fill(&key, &policy, &reply, since);
        }
    }

    /// Reads one user as the answer to its own read.
    async fn user(&self, context: &Context, terms: Terms, rest: Rest) -> Result<Bytes> {
        let answer = self.send(context, terms.priority(), rest, envelope::<GetUserResponse>).await?;
        Ok(answer.body::<GetUserResponse>().encode_to_vec().into())
    }

    /// Reads many users as the answers to their own reads.
    async fn users_of(&self, context: &Context, terms: Terms, ids: &[i64]) -> Result<HashMap<i64, Bytes>> {
        let ids: Vec<String> = ids.iter().map(i64::to_string).collect();
        let rest = Rest::get(path!["users", "show_many"]).query("ids", ids.join(","));
        let page = self.send(context, terms.priority(), rest, parse::<Page<User>>).await?.body::<Page<User>>();
        Ok(page.rows.into_iter().map(|user| (user.id, user.in_envelope())).collect())
    }

    /// Fetches the page that a walk stands at, and says what comes after it.
    async fn page<R: Row>(&self, context: &Context, priority: Priority, at: &walk::Walk<R>) -> Result<(Page<R>, Next)> {
        let rest = at.list.rest(at.at());
        let page = self.send(context, priority, rest, parse::<Page<R>>).await?.body::<Page<R>>();
        let next = at.list.after(at.at(), &page);
        Ok((page, next))
    }

    /// Sends one read.
    async fn send(&self, context: &Context, priority: Priority, rest: Rest, parse: Parse) -> Result<Answer> {
        self.send_and_peek(context, priority, rest, parse, None).await
    }

    /// Sends one read whose body is looked at before it is parsed.
    async fn send_and_peek(
        &self,
        context: &Context,
        priority: Priority,
        rest: Rest,
        parse: Parse,
        peek: Option<Peek>,
    ) -> Result<Answer> {
        let call = Call {
            rest: rest.into(),
            idempotency: Idempotency::NoSideEffects,
            priority,
            deadline: context.deadline,
            credential: context.credential.clone(),
            parse,
            peek,
            ledger: context.ledger.clone(),
            trace: context.trace.clone(),
        };
        self.upstream.clone().oneshot(call).await
    }
}

/// Reads a body into a `T`.
fn parse<T: DeserializeOwned + Send + 'static>(body: &[u8]) -> Result<Parsed, Malformed> {
    json::decode::<T>(body).map(|value| Box::new(value) as Parsed)
}
