//! The services of the contract. `proto/build/handlers.rs` generates a handler for each RPC; this module has what they share.

use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{self, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, TryStreamExt as _};
use http::header::AGE;
use http::{HeaderMap, HeaderName, HeaderValue};
use tokio::time::Instant;
use tonic::{Code, Request, Response, Status, Streaming};

use crate::cache::CacheStatus;
use crate::codec::Encoded;
use crate::config;
use crate::error::{Error, Result, reason_of};
use crate::gateway::audit::Trail;
use crate::gateway::caller::Caller;
use crate::gateway::{Answered, Context, Drain, Gateway};
use crate::rest::bulk::{Bulk, BulkStream};
use crate::rest::{List, Read, Write};
use crate::upstream::call::Ledger;
use crate::upstream::credential::Source;
use crate::upstream::warnings::{LONGEST_BESIDE_ERROR, LONGEST_TEXT as LONGEST_WARNINGS};

mod ahead;
mod credential;
pub mod facts;
pub mod last_key;
pub mod method;
mod open;
mod serve;
pub mod timeout;
mod until;

use facts::Terms;
use serve::{BoxStream, Handling, decoded};

/// Response headers: the number of upstream requests, and where the answer came from. They are constants because most replies
/// have them, and a name given as text would be parsed each time.
const UPSTREAM_CALLS: HeaderName = HeaderName::from_static("x-upstream-calls");
const CACHE: HeaderName = HeaderName::from_static("x-cache");

/// A unary reply.
type Reply<M> = std::result::Result<Response<Encoded<M>>, Status>;
/// A reply of many messages.
type Streamed<M> = std::result::Result<Response<Replies<M>>, Status>;

/// The messages of a reply.
pub struct Replies<M> {
    bytes: BoxStream,
    message: PhantomData<fn() -> M>,
}

impl<M> Replies<M> {
    fn new(bytes: impl Stream<Item = std::result::Result<Bytes, Status>> + Send + 'static) -> Self {
        Self { bytes: Box::pin(bytes), message: PhantomData }
    }

    /// Returns them as they are encoded.
    fn into_bytes(self) -> BoxStream {
        self.bytes
    }
}

impl<M> Stream for Replies<M> {
    type Item = std::result::Result<Encoded<M>, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut task::Context<'_>) -> Poll<Option<Self::Item>> {
        self.bytes.as_mut().poll_next(context).map(|next| next.map(|bytes| bytes.map(Encoded::from_bytes)))
    }
}

/// Largest reply that is not charged to its caller.
const FREE_REPLY: usize = 4 << 10;
/// Largest reply to a write that is sent although its caller's share is used up.
const FREE_REPLY_TO_A_WRITE: usize = 64 << 10;
/// What a stream is charged besides its pages: for messages that were sent and that its peer has not read.
pub const STREAM_MEMORY: usize = 40 << 10;

include!(concat!(env!("OUT_DIR"), "/handlers.rs"));

/// The services over one gateway.
#[derive(Clone)]
pub struct Rpc {
    gateway: Gateway,
    credentials: Source,
    drain: Drain,
    /// Longest wait for the next message of a client stream.
    idle_timeout: Duration,
    /// Most bytes of a reply's message.
    max_response_bytes: usize,
    /// Terms and caller of calls that come without a server.
    local: Option<(Terms, Caller)>,
}

impl Rpc {
    /// Serves `gateway`, with `credentials` for Zendesk. A call must come with the [`Facts`](facts::Facts) that the server has
    /// put into its extensions.
    pub fn new(gateway: Gateway, credentials: impl Into<Source>) -> Self {
        let (credentials, drain) = (credentials.into(), Drain::default());
        let config::Server { stream_idle_timeout: idle_timeout, max_response_bytes, .. } = config::Server::default();
        Self { gateway, credentials, drain, idle_timeout, max_response_bytes, local: None }
    }

    /// Also accepts calls that come without a server, as calls of `caller` with the limits in `settings`.
    #[must_use]
    pub fn called_by(self, caller: Caller, settings: &config::Server) -> Self {
        Self { local: Some((Terms::of(settings), caller)), ..self }
    }

    /// Lets calls learn from `drain` when the gateway shuts down. Ends client streams that are idle for `stream_idle_timeout`, and
    /// calls whose reply is larger than `max_response_bytes`.
    #[must_use]
    pub fn until(self, drain: &Drain, settings: &config::Server) -> Self {
        let config::Server { stream_idle_timeout: idle_timeout, max_response_bytes, .. } = *settings;
        Self { drain: drain.clone(), idle_timeout, max_response_bytes, ..self }
    }

    async fn read<R: Read>(&self, request: Request<R>) -> Reply<R::Reply> {
        let (context, message) = self.open(request)?;
        self.close(&context, self.gateway.read(&context, &message).await)
    }

    async fn list<R: List>(&self, request: Request<R>) -> Reply<R::Reply> {
        let (context, message) = self.open(request)?;
        self.close(&context, self.gateway.list(&context, &message).await)
    }

    async fn write<W: Write>(&self, request: Request<W>) -> Reply<W::Reply> {
        let (context, message) = self.open(request)?;
        self.close(&context, self.gateway.write(&context, message).await)
    }

    async fn bulk<B: Bulk>(&self, request: Request<B>) -> Reply<B::Reply> {
        let (context, message) = self.open(request)?;
        let outcome = self.gateway.bulk(&context, message).await;
        self.close(&context, outcome.map(|reply| Encoded::new(&reply)))
    }

    async fn bulk_stream<R: BulkStream>(&self, request: Request<Streaming<Bytes>>) -> Streamed<R::Reply> {
        let (metadata, extensions, messages) = request.into_parts();
        let mut messages = messages.map(|bytes| bytes.and_then(serve::message::<R>));
        // A call takes its place, and counts as one, when its first message is there.
        let first = messages.next().await.transpose()?;
        let first = first.ok_or_else(|| Error::invalid("start", "is missing: the stream has no message"))?;
        let (context, first) = self.open(Request::from_parts(metadata, extensions, first))?;
        let trail = context.trail.clone();
        let told = trail.clone();
        let messages = ahead::read(&first, messages, &context);
        let messages = until::idle(messages, self.idle_timeout).inspect_err(move |status| {
            // A call that its caller cancels is logged as cancelled anyway.
            if status.code() != Code::Cancelled {
                Trail::broken_off(told.as_ref(), reason_of(status));
            }
        });
        let replies = self.gateway.stream_bulk(context, first, messages);
        let replies = replies.inspect_err(|error| Trail::end(trail.as_ref(), Some(error)))?;
        Ok(Response::new(Replies::new(replies.map_ok(Encoded::into_bytes))))
    }

    fn stream<R: List>(&self, request: Request<R>) -> Streamed<R::Reply> {
        let (context, message) = self.open(request)?;
        let (ledger, deadline) = (context.ledger.clone(), context.deadline);
        Ok(self.streamed(self.gateway.stream(context, &message)?, ledger, deadline))
    }
}

/// Refuses a message that is larger than any may be, before compression: so do callers' libraries count their own limits.
/// `done` says that a write was carried out.
fn fitting(message: Bytes, most: usize, done: bool) -> Result<Bytes> {
    let bytes = message.len();
    if bytes > most { Err(Error::ReplyTooLarge { bytes, limit: most, done }) } else { Ok(message) }
}

/// Charges a reply to its caller: a caller who asks for much and reads nothing holds memory. The reply to a write is not refused,
/// as its caller must learn what was done; of a large one that does not fit, the caller learns no more than that.
fn charge(context: &Context, bytes: usize) -> Result<()> {
    if bytes > FREE_REPLY
        && let Err(error) = context.place.charge(context.caller.share(), bytes)
    {
        if context.trail.is_none() {
            return Err(error);
        }
        if bytes > FREE_REPLY_TO_A_WRITE {
            let done = context.ledger.may_have_acted();
            return Err(Error::ReplyTooLarge { bytes, limit: FREE_REPLY_TO_A_WRITE, done });
        }
    }
    Ok(())
}

impl Rpc {
    /// Answers with a stream that ends at its deadline.
    fn streamed<M: 'static>(
        &self,
        messages: impl Stream<Item = Result<Encoded<M>>> + Send + 'static,
        ledger: Arc<Ledger>,
        deadline: Instant,
    ) -> Response<Replies<M>> {
        let most = self.max_response_bytes;
        let messages = until::deadline(messages.map_ok(Encoded::into_bytes), ledger, deadline)
            .map(move |message| message.and_then(|message| fitting(message, most, false)).map_err(Status::from));
        Response::new(Replies::new(messages))
    }

    /// Turns an outcome into a reply.
    fn close<M>(&self, context: &Context, outcome: Result<impl Into<Answered<M>>, Error>) -> Reply<M> {
        let outcome = outcome.map(|answered| {
            let Answered { message, cached } = answered.into();
            (message.into_bytes(), cached)
        });
        self.closed(context, outcome).map(|response| response.map(Encoded::from_bytes))
    }

    /// Turns an encoded outcome into a reply. Its metadata has the number of upstream requests, where the answer came from and how
    /// old it is, and what Zendesk ignored of the request.
    fn closed(
        &self,
        context: &Context,
        outcome: Result<(Bytes, Option<(CacheStatus, Duration)>), Error>,
    ) -> std::result::Result<Response<Bytes>, Status> {
        let requests = context.ledger.requests();
        // Tells the caller what Zendesk ignored, so that a write that did less than asked does not look complete. Errors have it,
        // too, because a call that failed half-way may have written something.
        let most = if outcome.is_err() { LONGEST_BESIDE_ERROR } else { LONGEST_WARNINGS };
        let ignored = context.ledger.warnings(most).filter(|_| requests > 0).and_then(|text| text.parse().ok());
        Trail::end(context.trail.as_ref(), outcome.as_ref().err());
        let outcome = outcome.and_then(|(message, cached)| {
            charge(context, message.len())?;
            let done = context.trail.is_some() && context.ledger.may_have_acted();
            Ok((fitting(message, self.max_response_bytes, done)?, cached))
        });
        let (message, cached) = match outcome {
            Ok(answered) => answered,
            Err(error) => {
                let mut status = Status::from(error);
                let metadata: &mut HeaderMap = status.metadata_mut().as_mut();
                metadata.insert(UPSTREAM_CALLS, requests.into());
                if let Some(ignored) = ignored {
                    status.metadata_mut().insert("x-zendesk-api-warn", ignored);
                }
                return Err(status);
            }
        };
        let mut response = Response::new(message);
        let metadata: &mut HeaderMap = response.metadata_mut().as_mut();
        // Most answers come from the cache.
        let requests = if requests == 0 { HeaderValue::from_static("0") } else { requests.into() };
        metadata.insert(UPSTREAM_CALLS, requests);
        if let Some((outcome, age)) = cached {
            metadata.insert(CACHE, HeaderValue::from_static(outcome.as_str()));
            metadata.insert(AGE, age.as_secs().into());
        }
        if let Some(ignored) = ignored {
            response.metadata_mut().insert("x-zendesk-api-warn", ignored);
        }
        Ok(response)
    }
}
