//! Carries out calls: reads, lists, streams, writes and bulk jobs, and the RPCs that take more than one upstream call.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::Notify;

use crate::cache::{Batcher, Cache, Control, Key, Snapshot, Terms};
use crate::codec;
use crate::config;
use crate::error::Result;
use crate::proto::{
    BatchGetOrganizationsRequest, BatchGetUsersRequest, GetOrganizationRequest, GetOrganizationResponse,
    GetUserRequest, GetUserResponse,
};
use crate::rest::many::MOST_ITEMS;
use crate::rest::page::Page;
use crate::rest::row::OwnRead;
use crate::rest::{Batch, Includes as _, List, Read};
use crate::upstream::Upstream;
use crate::upstream::call::Priority;
use crate::upstream::credential::Credential;
use crate::upstream::gate::Gate;
use crate::upstream::governor::Governor;

mod answered;
pub mod audit;
mod batch;
pub mod bulk;
pub mod caller;
mod changes;
pub mod context;
mod definitions;
mod drain;
mod email;
mod hand_over;
pub mod jobs;
mod offload;
pub mod origin;
mod place;
mod read;
mod roster;
pub mod stream;
pub mod token;
mod turns;
mod usage;
mod user_fields;
mod walk;
pub mod write;

pub use answered::Answered;
use changes::Feeds;
pub use context::Context;
pub use drain::Drain;
pub use hand_over::HandOver;
use jobs::Jobs;
pub use place::{Place, PlaceRef};
use read::{ReadContext, Reads};
use stream::message::Chunks;
use turns::Turns;
pub use usage::{InUse, Usage};

/// Gathers reads of single records of one kind.
type Single = Batcher<ReadContext, i64, Bytes>;

/// Answers calls.
#[derive(Clone)]
pub struct Gateway {
    reads: Reads,
    cache: Cache,
    /// Batch single reads into one request.
    users: Single,
    organizations: Single,
    /// Makes declarative writes to one group or one user run one after the other.
    turns: Turns,
    /// Whether a change may be sent.
    gate: Arc<Gate>,
    /// What Zendesk allows, where it is known.
    governor: Option<Arc<Governor>>,
    /// The account's background jobs, of which Zendesk limits how many run at a time.
    jobs: Jobs,
    /// Tells those who follow jobs that another gateway does.
    handed_over: Arc<Notify>,
    /// What is asked for changes of users.
    changes: Feeds,
    /// The definitions of user fields.
    user_fields: definitions::Read,
    streams: config::Stream,
    /// What lists may be sorted by besides what the contract names.
    sort_fields: Arc<[String]>,
}

fn single<B: Batch>(reads: &Reads, cache: &Cache) -> Single {
    let reads = reads.clone();
    cache.batcher(MOST_ITEMS, move |read: ReadContext, ids: Vec<i64>, terms| {
        let reads = reads.clone();
        async move { reads.by_id::<B>(&read.within(terms), &ids).await }
    })
}

impl Gateway {
    /// Builds a gateway on an outbound stack.
    pub fn new(upstream: Upstream, cache: Cache) -> Self {
        let reads = Reads { upstream };
        let users = single::<BatchGetUsersRequest>(&reads, &cache);
        let organizations = single::<BatchGetOrganizationsRequest>(&reads, &cache);
        let jobs = Jobs::new(reads.clone(), None);
        let changes = Feeds::new(reads.clone());
        let (turns, gate, handed_over, user_fields, streams, sort_fields) = Default::default();
        let governor = None;
        Self {
            reads,
            cache,
            users,
            organizations,
            turns,
            gate,
            governor,
            jobs,
            handed_over,
            changes,
            user_fields,
            streams,
            sort_fields,
        }
    }

    /// Sets how lists are streamed.
    #[must_use]
    pub fn with_streams(self, streams: config::Stream) -> Self {
        Self { streams, ..self }
    }

    /// Lets lists be sorted by these fields, too.
    #[must_use]
    pub fn with_sort_fields(self, fields: &[String]) -> Self {
        Self { sort_fields: fields.into(), ..self }
    }

    /// Limits the requests about jobs to a share of the account's requests, which `governor` knows.
    #[must_use]
    pub fn with_budget(self, governor: &Arc<Governor>) -> Self {
        let governor = Some(Arc::clone(governor));
        Self { jobs: Jobs::new(self.reads.clone(), governor.clone()), governor, ..self }
    }

    /// Has calls that change something in turn begin only while `gate` is open.
    #[must_use]
    pub fn with_gate(self, gate: &Arc<Gate>) -> Self {
        Self { gate: Arc::clone(gate), ..self }
    }

    /// Returns the cache.
    pub fn cache(&self) -> &Cache {
        &self.cache
    }

    /// Returns the counts of background jobs.
    pub fn jobs(&self) -> jobs::Counts {
        self.jobs.counts()
    }

    /// Answers a read.
    pub async fn read<R: Read>(&self, context: &Context, request: &R) -> Result<Answered<R::Reply>> {
        let key = context.key(request);
        if let Some(hit) = self.fresh(context, &key) {
            return hit;
        }
        request.rest()?;
        let (reads, read, asked) = (self.reads.clone(), context.read(Priority::Interactive), request.clone());
        let fetch = move |terms: Terms| async move {
            let reply = reads.one(&read.within(terms), &asked).await?;
            Ok(codec::encoded(&reply))
        };
        let hit = self.cache.read(&key, &request.cache(), context.control, context.want(), fetch).await?;
        Ok(Answered::of(hit))
    }

    /// Show User.
    pub async fn get_user(&self, context: &Context, request: GetUserRequest) -> Result<Answered<GetUserResponse>> {
        if !request.includes().is_empty() {
            // The answer for many does not say what belongs to which of them.
            return self.read(context, &request).await;
        }
        self.read_in_batches(context, request, request.id, &self.users).await
    }

    /// Show Organization.
    pub async fn get_organization(
        &self,
        context: &Context,
        request: GetOrganizationRequest,
    ) -> Result<Answered<GetOrganizationResponse>> {
        self.read_in_batches(context, request, request.id, &self.organizations).await
    }

    /// Answers a read of one record. While one such read is under way, further ones gather and are sent as one batch.
    async fn read_in_batches<R: Read>(
        &self,
        context: &Context,
        request: R,
        id: i64,
        single: &Single,
    ) -> Result<Answered<R::Reply>> {
        let key = context.key(&request);
        if let Some(hit) = self.fresh(context, &key) {
            return hit;
        }
        request.rest()?;
        let policy = request.cache();
        let (reads, read) = (self.reads.clone(), context.read(Priority::Interactive));
        let (single, credential) = (single.clone(), context.credential.fingerprint());
        let fetch = move |terms: Terms| async move {
            if let Some(bytes) = single.get(credential, read.share.id(), &read, id, &terms).await? {
                return Ok(bytes);
            }
            // The batch's answer left this record out. A single read tells why: it answers a deleted user, and 404 for a
            // missing one.
            let reply = reads.one(&read.within(terms), &request).await?;
            Ok(codec::encoded(&reply))
        };
        let hit = self.cache.read(&key, &policy, context.control, context.want(), fetch).await?;
        Ok(Answered::of(hit))
    }

    /// Answers one page of a list.
    pub async fn list<R: List>(&self, context: &Context, request: &R) -> Result<Answered<R::Reply>> {
        let key = context.key(request);
        if let Some(hit) = self.fresh(context, &key) {
            return hit;
        }
        let walk = walk::Walk::of(request, &self.sort_fields)?;
        let (gateway, read) = (self.clone(), context.read(Priority::Interactive));
        let fetch = move |terms: Terms| async move {
            let (read, since) = (read.within(terms), gateway.cache.snapshot());
            let page: Page<R::Row, Chunks<R::Row>> = gateway.reads.page(&read, &walk.list, walk.at(), None).await?;
            let token = walk.list.token(&walk.list.after(walk.at(), &page))?;
            let reply = page.reply::<R::Reply>(token);
            // A search lags behind, so its rows may be older than what is cached.
            if walk.list.is_current() {
                reply.own_reads::<R::Row>().for_each(|row| gateway.keep(&read.credential, Some(row), &since));
            }
            Ok(reply.bytes)
        };
        let hit = self.cache.read(&key, &request.cache(), context.control, context.want(), fetch).await?;
        Ok(Answered::of(hit))
    }

    /// Answers from the cache alone, if it has a fresh answer and the caller sent no cache directives.
    fn fresh<M: prost::Message>(&self, context: &Context, key: &Key) -> Option<Result<Answered<M>>> {
        if context.control != Control::default() {
            return None;
        }
        Some(self.cache.get_fresh(key)?.map(Answered::of))
    }

    /// Caches a row of a page, or the record in a write's answer, as the answer to the read of that one record.
    fn keep(&self, credential: &Credential, read: Option<OwnRead>, since: &Snapshot) {
        if let Some(OwnRead { rpc, request, policy, reply }) = read {
            let key = Key::new(credential.fingerprint(), rpc, request);
            self.cache.fill(&key, &policy, &reply, since);
        }
    }
}
