//! Lists with cursors: each page says where the next begins, and says it at the end of its body.
//!
//! The next page is requested as soon as its cursor is known, before the rows are parsed, which takes longer than sending a
//! request. But only one page is fetched ahead: until the caller has come to a page, its [`Ahead`] only remembers where the
//! next one begins. The cursor at the body's end is a guess until the page was parsed; if the page says otherwise, what was
//! fetched ahead is dropped.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::leaf::{Ready, Seen};
use super::numbered::Numbered;
use super::pages::{Fetch, Pages};
use super::tail;
use crate::error::Result;
use crate::gateway::token::Position;
use crate::gateway::walk::Walk;
use crate::rest::page::Next;
use crate::share::Charge;

/// A walk along the cursors of a list.
pub struct Cursors {
    pages: Arc<Pages>,
    /// None at the end.
    walk: Option<Walk>,
    seen: Seen,
    /// The page at the walk's position, if its fetch has begun.
    coming: Option<Coming>,
    /// Reads the remaining pages by number, if Zendesk has answered by page number.
    turned: Option<Numbered>,
}

/// A page on its way, and the one after it.
struct Coming {
    at: Position,
    fetch: Fetch,
    ahead: Arc<Ahead>,
}

/// What is known of the page after one that is being fetched.
#[derive(Default)]
struct Ahead(Mutex<State>);

#[derive(Default)]
struct State {
    /// True once the caller has come to the page before.
    wanted: bool,
    /// Where the page begins, if it is known and the page was not requested yet.
    at: Option<Position>,
    coming: Option<Coming>,
}

impl Cursors {
    pub fn new(pages: Arc<Pages>, walk: Walk) -> Self {
        Self { pages, walk: Some(walk), seen: Seen::default(), coming: None, turned: None }
    }

    /// Returns, once, the walk by page number that continues this one, if Zendesk has answered by page number.
    pub fn turned(&mut self) -> Option<Numbered> {
        self.turned.take()
    }

    /// Returns the messages of the next page; none at the end.
    pub async fn turn(&mut self) -> Result<Option<Ready>> {
        let Some(mut walk) = self.walk.take() else { return Ok(None) };
        let coming = self.coming.take().filter(|coming| coming.at == *walk.at());
        let Coming { fetch, ahead, .. } =
            coming.unwrap_or_else(|| self.pages.come(walk.at().clone(), self.pages.no_charge()));
        if !walk.is_astray() {
            ahead.want(&self.pages);
        }
        let (leaf, charge) = fetch.leaf().await?;
        let added = self.seen.added(&leaf);
        if walk.advance(leaf.next, added)? {
            if walk.list.is_numbered() {
                let ids = leaf.messages.iter().flat_map(|message| &message.ids).copied().collect();
                let seen = std::mem::take(&mut self.seen);
                self.turned =
                    Some(Numbered::after_first(self.pages.turned(walk.list.clone()), walk, leaf.count, (ids, seen)));
            } else {
                self.coming = ahead.take();
                self.walk = Some(walk);
            }
        }
        let messages = leaf.messages.into_iter().map(|message| message.bytes).collect();
        Ok(Some(Ready { messages, _charge: charge }))
    }
}

impl Pages {
    /// Begins to fetch a page, of which so much is charged already, and to look in its body for where the next one begins.
    fn come(self: &Arc<Self>, at: Position, charge: Charge) -> Coming {
        let ahead = Arc::new(Ahead::default());
        let peek = self.gateway.streams.prefetch.then(|| {
            let (pages, ahead) = (Arc::clone(self), Arc::clone(&ahead));
            Arc::new(move |body: &[u8]| {
                if let Some(Next::Cursor(cursor)) = tail::next(body) {
                    ahead.found(&pages, Position::After(cursor));
                }
            }) as _
        });
        Coming { at: at.clone(), fetch: self.fetch(at, peek, charge), ahead }
    }
}

impl Ahead {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that the caller has come to the page before, and fetches this one if its position is known.
    fn want(&self, pages: &Arc<Pages>) {
        let mut state = self.state();
        state.wanted = true;
        state.coming = state.at.take().and_then(|at| Some(pages.come(at, pages.reserve()?)));
    }

    /// Notes where this page begins, as the page before says. That happens again if the page before is fetched again.
    fn found(&self, pages: &Arc<Pages>, at: Position) {
        let mut state = self.state();
        if !state.wanted {
            state.at = Some(at);
        } else if state.coming.as_ref().is_none_or(|coming| coming.at != at) {
            state.coming = pages.reserve().map(|charge| pages.come(at, charge));
        }
    }

    fn take(&self) -> Option<Coming> {
        self.state().coming.take()
    }
}
