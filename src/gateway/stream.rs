//! Streams: all pages of a list, as messages of some kilobytes.
//!
//! A stream pulls. What is fetched ahead of the caller is bounded, one page of a cursor list and a few of a list with page
//! numbers, and nothing further is asked for until the caller takes what is there: a slow caller slows the requests down,
//! and memory stays where it is. Each page is fetched and encoded by a task of its own, which ends with the stream.

use std::collections::VecDeque;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, stream};
use tokio::sync::Notify;
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

use super::token::Position;
use super::walk::{Paged, Walk};
use super::{Context, Drain, Gateway};
use crate::codec::Encoded;
use crate::error::{Error, Result};
use crate::rest::Part;
use crate::rest::page::{Next, Page};
use crate::rest::row::Row;
use crate::upstream::call::{Peek, Priority};

mod cursor;
mod message;
mod numbered;
mod packed;
mod tail;
#[cfg(test)]
mod tests;

use cursor::Cursors;
use numbered::Numbered;
use packed::Packed;

pub(crate) use message::{Chunks, Message};

/// A page that the caller has not come to in this time is compressed: the caller is slow, or has stopped reading.
const PATIENCE: Duration = Duration::from_millis(100);

/// Streams the page that a walk stands at and all that follow.
pub fn pages<R, M>(
    gateway: Gateway,
    context: Context,
    walk: Walk<R>,
) -> impl Stream<Item = Result<Encoded<M>>> + Send + use<R, M>
where
    R: Row,
    M: From<Part<R>> + prost::Message + 'static,
{
    let drain = context.drain.clone();
    let pages = Arc::new(Pages { gateway, context, list: walk.list.clone(), message: PhantomData::<fn() -> M> });
    let order = if walk.list.is_numbered() {
        Order::Numbers(Numbered::new(pages, walk))
    } else {
        Order::Cursors(Cursors::new(pages, walk))
    };
    let streaming = Streaming { order, ready: VecDeque::new(), begun: false, drain };
    stream::try_unfold(streaming, |mut streaming| async move {
        let message = streaming.message().await?;
        Ok(message.map(|message| (Encoded::from_bytes(message), streaming)))
    })
}

/// A stream under way.
struct Streaming<R, M> {
    order: Order<R, M>,
    /// What is left of the page that the caller is at.
    ready: VecDeque<Bytes>,
    begun: bool,
    drain: Drain,
}

/// How the pages of a list are gone through.
enum Order<R, M> {
    Cursors(Cursors<R, M>),
    Numbers(Numbered<R, M>),
}

impl<R: Row, M: From<Part<R>> + prost::Message + 'static> Streaming<R, M> {
    async fn message(&mut self) -> Result<Option<Bytes>> {
        while self.ready.is_empty() {
            let turn = async {
                match &mut self.order {
                    Order::Cursors(cursors) => cursors.turn().await,
                    Order::Numbers(numbered) => numbered.turn().await,
                }
            };
            let page = tokio::select! {
                biased;
                // The last message had the token of this page: the caller goes on elsewhere, and loses nothing.
                () = self.drain.begun(), if self.begun => return Ok(None),
                page = turn => page?,
            };
            if let Order::Cursors(cursors) = &mut self.order
                && let Some(numbered) = cursors.turned()
            {
                self.order = Order::Numbers(numbered);
            }
            let Some(page) = page else { return Ok(None) };
            self.ready = page;
        }
        // A producer that is always ready makes the transport buffer for a peer that has stopped reading.
        if std::mem::replace(&mut self.begun, true) {
            tokio::task::yield_now().await;
        }
        Ok(self.ready.pop_front())
    }
}

/// Fetches the pages of one list for one call.
struct Pages<R, M> {
    gateway: Gateway,
    context: Context,
    list: Arc<Paged<R>>,
    message: PhantomData<fn() -> M>,
}

/// A page, ready to go out.
struct Leaf {
    messages: Vec<Message>,
    next: Next,
    /// How many rows the whole list has, if the page says so.
    count: Option<i64>,
}

/// A page on its way, or waiting for the caller; dropping it ends the request.
struct Fetch {
    task: AbortOnDropHandle<Result<Leaf>>,
    /// Tells the task that the caller has come.
    wanted: Arc<Notify>,
}

impl Fetch {
    async fn leaf(self) -> Result<Leaf> {
        self.wanted.notify_one();
        match self.task.await {
            Ok(outcome) => outcome,
            Err(error) if error.is_panic() => {
                tracing::error!("the fetch of a page panicked");
                Err(Error::Internal { what: "the fetch of a page panicked" })
            }
            Err(_) => Err(Error::ShuttingDown),
        }
    }
}

impl<R: Row, M: From<Part<R>> + prost::Message + 'static> Pages<R, M> {
    /// Begins to fetch a page.
    fn fetch(self: &Arc<Self>, at: Position, peek: Option<Peek>) -> Fetch {
        let wanted = Arc::<Notify>::default();
        let (pages, come) = (Arc::clone(self), Arc::clone(&wanted));
        let task = tokio::spawn(async move {
            // Boxed, the whole way to Zendesk is given up before the wait, which can be long.
            let leaf = Box::pin(pages.leaf(&at, peek)).await?;
            if timeout(PATIENCE, come.notified()).await.is_ok() {
                return Ok(leaf);
            }
            let packed = Packed::new(leaf);
            come.notified().await;
            Ok(packed.unpack())
        });
        Fetch { task: AbortOnDropHandle::new(task), wanted }
    }

    async fn leaf(&self, at: &Position, peek: Option<Peek>) -> Result<Leaf> {
        let Self { gateway, context, list, .. } = self;
        let since = gateway.cache.snapshot();
        let read = context.read(Priority::Background);
        let page: Page<R, Chunks<R>> = gateway.reads.page(&read, list, at, peek).await?;
        let (next, count) = (list.after(at, &page), page.count);
        let messages = page.messages::<M>(&list.token(&next)?);
        // A search lags behind, so its rows may be older than what is cached.
        if gateway.streams.fill_cache && list.is_current() {
            let rows = messages.iter().flat_map(Message::own_reads::<R>);
            rows.for_each(|row| gateway.keep(&read.credential, Some(row), &since));
        }
        Ok(Leaf { messages, next, count })
    }
}
