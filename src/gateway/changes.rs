//! Changes of users, as a stream that ends at the present, or goes on as more are made.
//!
//! Zendesk allows ten requests for changes a minute, and leaves the last minute out. So all who want to know of them with one
//! credential share the requests: see [`feed`]. A caller keeps the token of the last page that it has, and loses nothing whatever
//! ends its stream.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use futures_util::{Stream, stream};

use super::token::{self, Position};
use super::{Context, Gateway};
use crate::codec::Encoded;
use crate::error::{Error, Result};
use crate::proto::{StreamChangedUsersRequest, StreamChangedUsersResponse};
use crate::rest::Style;
use crate::rest::changes::From;
use crate::share::Charge;

mod asker;
mod feed;
mod poller;

use asker::Asker;
pub use asker::Feeds;
use feed::{Page, list};

/// How old a start time must be; one between then and now is moved back. Zendesk wants a minute; its clock may differ.
const OLD_ENOUGH: Duration = Duration::from_secs(90);
/// A stream fails at this many consecutive pages that claim more and add nothing.
const EMPTY_PAGES: u32 = 3;

impl Gateway {
    /// Incremental User Export, cursor based.
    pub fn stream_changed_users(
        &self,
        context: Context,
        request: StreamChangedUsersRequest,
    ) -> Result<impl Stream<Item = Result<Encoded<StreamChangedUsersResponse>>> + Send + use<>> {
        let follow = request.follow;
        let from = begin(request)?;
        let held = Charge::none(context.caller.share());
        let asker = self.changes.asker(&context);
        let watch = Watch {
            context,
            asker,
            from,
            follow,
            last: None,
            seen: HashSet::new(),
            empty: 0,
            ready: VecDeque::new(),
            held,
            over: false,
        };
        Ok(stream::try_unfold(watch, |mut watch| async move {
            let message = watch.message().await?;
            Ok(message.map(|message| (Encoded::from_bytes(message), watch)))
        }))
    }
}

/// Returns where the stream of a request begins.
fn begin(request: StreamChangedUsersRequest) -> Result<From> {
    let StreamChangedUsersRequest { start_time, page_token, .. } = request;
    if let Position::After(cursor) = token::read(&page_token, &list().path, Style::Cursor)? {
        return Ok(From::Cursor(cursor));
    }
    if !page_token.is_empty() {
        return Err(Error::invalid("page_token", "comes from another RPC"));
    }
    let start = start_time.ok_or_else(|| Error::invalid("start_time", "is not set, and neither is page_token"))?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let seconds = |time: Duration| i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
    match start.seconds {
        at if at < 0 => Err(Error::invalid("start_time", "is before 1970")),
        at if at > seconds(now) => Err(Error::invalid("start_time", "is in the future")),
        at => Ok(From::Time(at.min(seconds(now.saturating_sub(OLD_ENOUGH))))),
    }
}

/// One caller's stream.
struct Watch {
    context: Context,
    asker: Asker,
    /// Where the next page begins.
    from: From,
    follow: bool,
    /// The last page that was taken.
    last: Option<Arc<Page>>,
    /// The cursors that came since the present was last reached.
    seen: HashSet<String>,
    empty: u32,
    /// Messages that the caller has not taken yet.
    ready: VecDeque<Bytes>,
    /// What the last page is charged, until the next one comes.
    held: Charge,
    over: bool,
}

impl Watch {
    async fn message(&mut self) -> Result<Option<Bytes>> {
        while self.ready.is_empty() && !self.over {
            let page = tokio::select! {
                biased;
                // An error, because a stream that ends without one says that there are no more changes.
                () = self.context.drain.begun() => return Err(Error::ShuttingDown),
                page = self.asker.next(&self.from, self.last.as_deref()) => page?,
            };
            self.take(page)?;
        }
        // Without a yield, a stream that is always ready would fill the transport's buffers for a peer that has stopped reading.
        tokio::task::yield_now().await;
        Ok(self.ready.pop_front())
    }

    /// Takes a page that was answered.
    fn take(&mut self, page: Arc<Page>) -> Result<()> {
        self.held.set(page.bytes())?;
        let looped = |what| Err(Error::PaginationLoop { list: list().endpoint_name(), what });
        if page.is_end {
            (self.seen, self.empty) = (HashSet::new(), 0);
        } else {
            self.empty = if page.has_rows { 0 } else { self.empty + 1 };
            if self.empty >= EMPTY_PAGES {
                return looped("pages claim more and add nothing");
            }
            if let From::Cursor(cursor) = &page.next
                && (page.next == self.from || !self.seen.insert(cursor.clone()))
            {
                return looped("a cursor came twice");
            }
        }
        // A caller who has come to the present is told of it again only with changes, or with a new token.
        let is_news = page.has_rows || page.next != self.from || !self.last.as_ref().is_some_and(|last| last.is_end);
        if is_news {
            self.ready.extend(page.messages.iter().cloned());
        }
        self.over = page.is_end && !self.follow;
        self.context.ledger.watches(page.is_end);
        self.from = page.next.clone();
        self.last = Some(page);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::feed::token_of;
    use super::*;

    fn request(seconds: Option<i64>, page_token: &str) -> StreamChangedUsersRequest {
        let start_time = seconds.map(|seconds| prost_types::Timestamp { seconds, nanos: 0 });
        StreamChangedUsersRequest { start_time, page_token: page_token.to_owned(), follow: false }
    }

    #[test]
    fn a_stream_begins_at_a_token_or_at_a_time_that_zendesk_takes() {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs().cast_signed();
        assert_eq!(begin(request(Some(7), "")).expect("long ago"), From::Time(7));
        let From::Time(at) = begin(request(Some(now), "")).expect("now") else { panic!("a time") };
        assert!((now - 92..=now - 88).contains(&at), "{at}");
        assert_eq!(begin(request(None, &token_of("c"))).expect("a token"), From::Cursor("c".to_owned()));
        assert_eq!(begin(request(Some(7), &token_of("c"))).expect("a token"), From::Cursor("c".to_owned()));
        for (wrong, field) in [
            (request(None, ""), "start_time"),
            (request(Some(-1), ""), "start_time"),
            (request(Some(now + 3600), ""), "start_time"),
            (request(Some(7), "x"), "page_token"),
            (
                request(Some(7), &token::write(&crate::rest::page::Next::Cursor("c".to_owned()), "/api/v2/users")),
                "page_token",
            ),
        ] {
            let refused = begin(wrong).expect_err("it is wrong");
            assert!(matches!(&refused, Error::Invalid { field: told, .. } if told == field), "{refused:?}");
        }
    }
}
