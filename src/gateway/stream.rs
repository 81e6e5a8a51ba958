//! Streams: all pages of a list, as messages of some kilobytes.
//!
//! A stream fetches at the caller's pace. At most one page of a cursor list, or a few pages of a list with page numbers, are
//! fetched ahead; the next request waits until the caller has taken what is there. So a slow caller slows the requests down
//! and memory does not grow. Each page is fetched and encoded by a task of its own, which ends with the stream.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::{Stream, TryStreamExt as _, stream};

use super::walk::Walk;
use super::{Context, Drain, Gateway};
use crate::codec::Encoded;
use crate::error::Result;
use crate::rest::List;

mod cursor;
mod leaf;
pub(super) mod message;
mod numbered;
mod packed;
mod pages;
mod tail;
#[cfg(test)]
mod tests;

use cursor::Cursors;
use leaf::Ready;
use numbered::Numbered;
use pages::Pages;

pub use message::{Chunks, Message};

impl Gateway {
    /// Streams all pages of a list from the one that is asked for.
    pub fn stream<R: List>(
        &self,
        context: Context,
        request: &R,
    ) -> Result<impl Stream<Item = Result<Encoded<R::Reply>>> + Send + use<R>> {
        let walk = Walk::of(request, &self.sort_fields)?;
        let pages = Pages::new::<R::Row, R::Reply>(self.clone(), context, walk.list.clone());
        Ok(messages(pages, walk).map_ok(Encoded::from_bytes))
    }
}

/// Streams the page that a walk stands at and all that follow.
fn messages(pages: Pages, walk: Walk) -> impl Stream<Item = Result<Bytes>> + Send {
    let (drain, pages) = (pages.context.drain.clone(), Arc::new(pages));
    let order = if walk.list.is_numbered() {
        Order::Numbers(Box::new(Numbered::new(pages, walk)))
    } else {
        Order::Cursors(Box::new(Cursors::new(pages, walk)))
    };
    let streaming = Streaming { order, ready: None, begun: false, drain };
    stream::try_unfold(streaming, |mut streaming| async move {
        let message = streaming.message().await?;
        Ok(message.map(|message| (message, streaming)))
    })
}

/// A stream under way.
struct Streaming {
    order: Order,
    /// Messages of the present page that the caller has not taken yet.
    ready: Option<Ready>,
    begun: bool,
    drain: Drain,
}

/// How the pages of a list follow each other.
enum Order {
    Cursors(Box<Cursors>),
    Numbers(Box<Numbered>),
}

impl Streaming {
    async fn message(&mut self) -> Result<Option<Bytes>> {
        while self.ready.as_ref().is_none_or(|ready| ready.messages.is_empty()) {
            self.ready = None; // before the next page is charged
            let turn = async {
                match &mut self.order {
                    Order::Cursors(cursors) => cursors.turn().await,
                    Order::Numbers(numbered) => numbered.turn().await,
                }
            };
            let page = tokio::select! {
                biased;
                // The last message had the token of this page, so the caller can continue at another replica and loses nothing.
                () = self.drain.begun(), if self.begun => return Ok(None),
                page = turn => page?,
            };
            if let Order::Cursors(cursors) = &mut self.order
                && let Some(numbered) = cursors.turned()
            {
                self.order = Order::Numbers(Box::new(numbered));
            }
            let Some(page) = page else { return Ok(None) };
            self.ready = Some(page);
        }
        // Without a yield, a stream that is always ready would fill the transport's buffers for a peer that has stopped
        // reading.
        if std::mem::replace(&mut self.begun, true) {
            tokio::task::yield_now().await;
        }
        Ok(self.ready.as_mut().and_then(|ready| ready.messages.pop_front()))
    }
}
