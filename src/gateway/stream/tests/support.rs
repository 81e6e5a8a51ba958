//! A gateway whose upstream is a function that plays Zendesk, and the streams that the tests read.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{Stream, StreamExt as _};
use tokio::time::Instant;
use tower::service_fn;

use crate::cache::{Cache, Control};
use crate::codec::Encoded;
use crate::config;
use crate::error::{Error, Result};
use crate::gateway::caller::Caller;
use crate::gateway::{Context, Drain, Gateway};
use crate::limits::Limits;
use crate::proto::{
    StreamAssignableGroupsRequest, StreamAssignableGroupsResponse, StreamGroupsRequest, StreamGroupsResponse,
    StreamSearchUsersRequest, StreamSearchUsersResponse, UserSearchFilter,
};
use crate::telemetry::Trace;
use crate::upstream::Upstream;
use crate::upstream::call::{Answer, Call, Ledger};
use crate::upstream::credential::Credential;

pub type Messages<M> = Pin<Box<dyn Stream<Item = Result<Encoded<M>>> + Send>>;

/// Returns a gateway whose upstream is a function.
pub fn gateway<F, Fut>(streams: config::Stream, upstream: F) -> Gateway
where
    F: Fn(Call) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Result<Answer>> + Send + 'static,
{
    Gateway::new(Upstream::new(service_fn(upstream)), Cache::new(&config::Cache::default())).with_streams(streams)
}

pub fn context() -> Context {
    Context {
        deadline: Instant::now() + Duration::from_hours(1),
        caller: Caller::local(),
        credential: Credential::new("Bearer x", true).expect("a header"),
        control: Control::default(),
        ledger: Arc::new(Ledger::default()),
        trace: Trace::default(),
        place: crate::gateway::PlaceRef::default(),
        drain: Drain::default(),
        trail: None,
        turn: None,
    }
}

/// Streams groups by cursor, `page_size` to a page.
pub fn by_cursor(gateway: &Gateway, page_size: i32) -> Messages<StreamGroupsResponse> {
    by_cursor_for(gateway, page_size, context())
}

/// The same within a context.
pub fn by_cursor_for(gateway: &Gateway, page_size: i32, context: Context) -> Messages<StreamGroupsResponse> {
    let request = StreamGroupsRequest { page_size, ..StreamGroupsRequest::default() };
    Box::pin(gateway.stream(context, &request).expect("a good request"))
}

/// Streams a search by page number, `page_size` to a page.
pub fn by_number(gateway: &Gateway, page_size: i32, page_token: &str) -> Messages<StreamSearchUsersResponse> {
    let filter = Some(UserSearchFilter { query: Some("a".to_owned()), ..UserSearchFilter::default() });
    let request =
        StreamSearchUsersRequest { page_size, page_token: page_token.to_owned(), filter, ..Default::default() };
    Box::pin(gateway.stream(context(), &request).expect("a good request"))
}

/// Streams assignable groups, `page_size` to a page.
pub fn assignable(gateway: &Gateway, page_size: i32, page_token: &str) -> Messages<StreamAssignableGroupsResponse> {
    let request = StreamAssignableGroupsRequest { page_size, page_token: page_token.to_owned() };
    Box::pin(gateway.stream(context(), &request).expect("a good request"))
}

/// The ids that come until the stream ends, which it must do without an error.
pub async fn all<M: Listed>(mut messages: Messages<M>) -> Vec<i64> {
    let mut ids = Vec::new();
    while let Some(message) = messages.next().await {
        ids.extend(decoded(&message.expect("a message")).ids());
    }
    ids
}

pub fn decoded<M: prost::Message + Default>(message: &Encoded<M>) -> M {
    M::decode(message.bytes().clone()).expect("a message")
}

pub trait Listed: prost::Message + Default {
    fn ids(&self) -> Vec<i64>;
}

impl Listed for StreamGroupsResponse {
    fn ids(&self) -> Vec<i64> {
        self.groups.iter().map(|group| group.id).collect()
    }
}

impl Listed for StreamAssignableGroupsResponse {
    fn ids(&self) -> Vec<i64> {
        self.groups.iter().map(|group| group.id).collect()
    }
}

impl Listed for StreamSearchUsersResponse {
    fn ids(&self) -> Vec<i64> {
        self.users.iter().map(|user| user.id).collect()
    }
}

/// Reads a body with the call's own parser, as the transport does. A body that it refuses fails as an attempt that timed out.
pub fn answer(call: &Call, body: &str) -> Result<Answer> {
    let parsed = (call.parse)(body.as_bytes()).map_err(|_| Error::AttemptTimeout)?;
    let limits = Limits::default();
    Ok(Answer { status: 200, parsed, request_id: None, warning: None, limits, attempts: 1, losses: Vec::new() })
}

/// The value of a query parameter, by its encoded name.
pub fn parameter<'a>(call: &'a Call, name: &str) -> Option<&'a str> {
    call.rest.query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
}

pub fn rows(ids: impl IntoIterator<Item = i64>) -> String {
    ids.into_iter().map(|id| format!(r#"{{"id":{id}}}"#)).collect::<Vec<_>>().join(",")
}
