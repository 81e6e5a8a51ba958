//! A walk over the pages of a list: where it stands, how the next page is asked for, when it has ended.
//!
//! Streams pull: a page is asked for when the one before it has been taken by the caller, so a slow caller slows the
//! upstream requests down and memory stays at one page.

use std::collections::{HashSet, VecDeque};
use std::marker::PhantomData;

use bytes::Bytes;
use futures_util::{Stream, stream};

use super::page::{Next, Page, Row};
use super::token::{self, Position};
use super::{Context, Gateway};
use crate::codec::Encoded;
use crate::error::{Error, Result};
use crate::rest::{Paging, Part, Style};
use crate::upstream::call::Priority;
use crate::upstream::rest::Rest;

/// Rows of one stream message: about this many encoded bytes, so that flow control works in small steps.
const MESSAGE_BYTES: usize = 16 << 10;
/// So many pages in a row may be empty while claiming more.
const EMPTY_PAGES: u32 = 3;

/// Where a walk stands in a list.
#[derive(Debug)]
pub struct Walk<R> {
    list: Rest,
    /// What tokens are bound to: the list's request, and for page numbers the page size too.
    bound: String,
    style: Style,
    size: u32,
    at: Position,
    seen: HashSet<Position>,
    empty: u32,
    row: PhantomData<fn() -> R>,
}

impl<R: Row> Walk<R> {
    /// Begins where the caller asks.
    pub fn begin(list: Rest, paging: Paging<'_>) -> Result<Self> {
        let size = match paging.size {
            0 => 100,
            size @ 1..=100 => size.unsigned_abs(),
            _ => return Err(Error::invalid("page_size", "must be 1 to 100, or 0 for 100")),
        };
        let bound = match paging.style {
            Style::Cursor => list.target(),
            Style::Offset | Style::Single => format!("{} {size}", list.target()),
        };
        let at = token::read(paging.token, &bound, paging.style)?;
        Ok(Self { list, bound, style: paging.style, size, at, seen: HashSet::new(), empty: 0, row: PhantomData })
    }

    /// Returns the request for the page the walk stands at.
    pub fn rest(&self) -> Rest {
        let rest = self.list.clone();
        let size = self.size.to_string();
        match (&self.at, self.style) {
            (Position::After(cursor), _) => boundaries(rest.query("page[size]", size)).query("page[after]", cursor),
            (Position::Page(number), _) => rest.query("per_page", size).query("page", number.to_string()),
            (Position::Start, Style::Cursor) => boundaries(rest.query("page[size]", size)),
            (Position::Start, Style::Offset | Style::Single) => rest.query("per_page", size),
        }
    }

    /// Whether rows are as new as the list's own endpoint has them; a search answers from an index that lags behind.
    pub fn is_current(&self) -> bool {
        self.style == Style::Cursor
    }

    /// Returns what comes after the page the walk stands at.
    pub fn after(&self, page: &Page<R>) -> Next {
        match (self.style, &self.at) {
            (Style::Cursor, _) => page.after(),
            (Style::Single, _) => Next::End,
            (Style::Offset, Position::Page(number)) => page.after_page(*number),
            (Style::Offset, _) => page.after_page(1),
        }
    }

    /// Returns the token of what comes next; empty at the end.
    pub fn token(&self, next: &Next) -> Result<String> {
        match next {
            Next::Nowhere => Err(Error::PaginationLoop { what: "a page claims more and has no cursor" }),
            next => Ok(token::write(next, &self.bound)),
        }
    }

    /// Goes on to what comes next; false at the end.
    pub fn advance(&mut self, next: Next, was_empty: bool) -> Result<bool> {
        self.empty = if was_empty { self.empty + 1 } else { 0 };
        let at = match next {
            Next::End => return Ok(false),
            Next::Nowhere => return Err(Error::PaginationLoop { what: "a page claims more and has no cursor" }),
            Next::Cursor(cursor) => Position::After(cursor),
            Next::Page(number) => Position::Page(number),
        };
        if at == self.at || !self.seen.insert(at.clone()) {
            return Err(Error::PaginationLoop { what: "a cursor came twice" });
        }
        if self.empty >= EMPTY_PAGES {
            return Err(Error::PaginationLoop { what: "pages claim more and are empty" });
        }
        self.at = at;
        Ok(true)
    }

    /// Streams this page and all that follow.
    pub fn stream<M>(
        self,
        gateway: Gateway,
        context: Context,
    ) -> impl Stream<Item = Result<Encoded<M>>> + Send + use<R, M>
    where
        M: From<Part<R>> + prost::Message + 'static,
    {
        let state = (Some(self), VecDeque::new(), false);
        stream::try_unfold(state, move |(mut walk, mut ready, begun): (Option<Self>, VecDeque<Bytes>, bool)| {
            let (gateway, context) = (gateway.clone(), context.clone());
            async move {
                loop {
                    if let Some(message) = ready.pop_front() {
                        return Ok(Some((Encoded::from_bytes(message), (walk, ready, true))));
                    }
                    let Some(mut at) = walk.take() else { return Ok(None) };
                    let page = gateway.page(&context, Priority::Background, &at);
                    let (page, next) = tokio::select! {
                        biased;
                        // The last message had the token of this page: the caller goes on elsewhere, and loses nothing.
                        () = context.drain.begun(), if begun => return Ok(None),
                        page = page => page?,
                    };
                    let token = at.token(&next)?;
                    let was_empty = page.rows.is_empty();
                    ready = messages::<R, M>(page, &token);
                    if at.advance(next, was_empty)? {
                        walk = Some(at);
                    }
                }
            }
        })
    }
}

/// Without the flag, users and groups leave `has_more` out; lists that do not know it ignore it.
fn boundaries(rest: Rest) -> Rest {
    rest.query("include_boundary_indicators", "true")
}

/// Cuts a page into messages; the last one carries the token of the page that follows.
fn messages<R: Row, M: From<Part<R>> + prost::Message>(mut page: Page<R>, token: &str) -> VecDeque<Bytes> {
    let mut messages = VecDeque::new();
    let mut rows = std::mem::take(&mut page.rows).into_iter().peekable();
    while rows.peek().is_some() {
        let (mut part, mut bytes) = (Vec::new(), 0);
        while let Some(row) = rows.next_if(|_| bytes < MESSAGE_BYTES) {
            bytes += row.encoded_len();
            part.push(row);
        }
        let part = page.part(part);
        let next_page_token = if rows.peek().is_none() { token.to_owned() } else { String::new() };
        messages.push_back(M::from(Part { page: part, next_page_token }).encode_to_vec().into());
    }
    messages
}
