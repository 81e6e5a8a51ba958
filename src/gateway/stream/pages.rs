//! The pages of one list, fetched for one call.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::sync::Notify;
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

use super::leaf::Leaf;
use super::message::{Chunks, Message};
use super::packed::Packed;
use crate::error::{Error, Result};
use crate::gateway::token::Position;
use crate::gateway::walk::Paged;
use crate::gateway::{Context, Gateway};
use crate::rest::Part;
use crate::rest::page::Page;
use crate::rest::row::Row;
use crate::share::Charge;
use crate::upstream::call::{Peek, Priority};

/// How long a page waits for the caller before it is compressed: a later caller is slow, or has stopped reading.
const PATIENCE: Duration = Duration::from_millis(100);
/// What a page is expected to take before one of the list is known.
const FIRST: usize = 64 << 10;

/// Fetches the pages of one list for one call. What kind of rows and messages they have only the reading of a page knows, so that
/// all else of a stream is compiled once.
pub struct Pages {
    pub gateway: Gateway,
    pub context: Context,
    pub list: Arc<Paged>,
    /// What the last page took.
    last: AtomicUsize,
    read: Read,
}

/// Reads a page. Its future is freed before the page waits for the caller, which can be long.
type Read = fn(Arc<Pages>, Position, Option<Peek>) -> BoxFuture<'static, Result<Leaf>>;

/// A page that is being fetched, or waits for the caller; dropping it ends the request.
pub struct Fetch {
    task: AbortOnDropHandle<Result<(Leaf, Charge)>>,
    /// Tells the task that the caller has come to this page.
    wanted: Arc<Notify>,
}

impl Fetch {
    /// Returns the page, now that the caller has come to it, and what it is charged.
    pub async fn leaf(self) -> Result<(Leaf, Charge)> {
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

impl Pages {
    /// Returns the pages of a list, for one call.
    pub fn new<R: Row, M: From<Part<R>> + prost::Message>(
        gateway: Gateway,
        context: Context,
        list: Arc<Paged>,
    ) -> Self {
        let read: Read = |pages, at, peek| Box::pin(async move { pages.leaf::<R, M>(&at, peek).await });
        Self { gateway, context, list, last: AtomicUsize::new(FIRST), read }
    }

    /// Returns the pages of the same list by number.
    pub fn turned(&self, list: Arc<Paged>) -> Arc<Self> {
        let (gateway, context, last) = (self.gateway.clone(), self.context.clone(), AtomicUsize::new(FIRST));
        Arc::new(Self { gateway, context, list, last, read: self.read })
    }

    /// Charges the caller for a page that is fetched ahead: as much as the last one took. If that does not fit, the page has to be
    /// fetched when the caller comes to it: of streams that nobody reads none holds more than the page it stands at.
    pub fn reserve(&self) -> Option<Charge> {
        Charge::ahead(self.context.caller.share(), self.last.load(Relaxed))
    }

    /// Charges nothing yet, for the page that the caller has come to.
    pub fn no_charge(&self) -> Charge {
        Charge::none(self.context.caller.share())
    }

    /// Begins to fetch a page, of which so much is charged already.
    pub fn fetch(self: &Arc<Self>, at: Position, peek: Option<Peek>, mut charge: Charge) -> Fetch {
        let wanted = Arc::<Notify>::default();
        let (pages, come) = (Arc::clone(self), Arc::clone(&wanted));
        let task = tokio::spawn(async move {
            let leaf = (pages.read)(Arc::clone(&pages), at, peek).await?;
            let bytes = leaf.bytes();
            pages.last.store(bytes, Relaxed);
            charge.set(bytes)?;
            if timeout(PATIENCE, come.notified()).await.is_ok() {
                return Ok((leaf, charge));
            }
            let packed = Packed::new(leaf);
            come.notified().await;
            Ok((packed.unpack(), charge))
        });
        Fetch { task: AbortOnDropHandle::new(task), wanted }
    }

    async fn leaf<R, M>(&self, at: &Position, peek: Option<Peek>) -> Result<Leaf>
    where
        R: Row,
        M: From<Part<R>> + prost::Message,
    {
        let Self { gateway, context, list, .. } = self;
        let since = gateway.cache.snapshot();
        let read = context.read(Priority::Background);
        let page: Page<R, Chunks<R>> = gateway.reads.page(&read, list, at, peek).await?;
        let (next, count, unreadable) = (list.after(at, &page), page.count, page.unreadable_rows);
        let messages = page.messages::<M>(&list.token(&next)?);
        // A search lags behind, so its rows may be older than what is cached.
        if gateway.streams.fill_cache && list.is_current() {
            let rows = messages.iter().flat_map(Message::own_reads::<R>);
            rows.for_each(|row| gateway.keep(&read.credential, Some(row), &since));
        }
        Ok(Leaf { messages, next, count, unreadable })
    }
}
