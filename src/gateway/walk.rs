//! A walk over the pages of a list: where it stands, how the next page is asked for, when it has ended.

use std::collections::HashSet;
use std::hash::{BuildHasher as _, RandomState};
use std::marker::PhantomData;
use std::sync::Arc;

use super::page::{Next, Page, Rows};
use super::token::{self, Position};
use crate::error::{Error, Result};
use crate::rest::{Paging, Style};
use crate::upstream::rest::Rest;

/// So many pages in a row may bring nothing new while claiming more.
const EMPTY_PAGES: u32 = 3;

/// A list, and how it is paged through.
#[derive(Debug)]
pub struct Paged<R> {
    list: Rest,
    /// What tokens are bound to: the list's request, and for page numbers the page size too.
    bound: String,
    style: Style,
    /// Rows of a page, 1 to 100.
    pub size: u32,
    row: PhantomData<fn() -> R>,
}

/// Where a walk stands in a list.
#[derive(Debug)]
pub struct Walk<R> {
    /// The list.
    pub list: Arc<Paged<R>>,
    at: Position,
    /// Where the walk has been, by hash: a walk over millions of rows remembers eight bytes a page.
    seen: HashSet<u64>,
    hasher: RandomState,
    empty: u32,
}

impl<R> Paged<R> {
    /// Returns the request for a page.
    pub fn rest(&self, at: &Position) -> Rest {
        let rest = self.list.clone();
        let size = self.size.to_string();
        match (at, self.style) {
            (Position::After(cursor), _) => boundaries(rest.query("page[size]", size)).query("page[after]", cursor),
            (Position::Page(number), _) => rest.query("per_page", size).query("page", number.to_string()),
            (Position::Start, Style::Cursor) => boundaries(rest.query("page[size]", size)),
            (Position::Start, Style::Offset | Style::Single) => rest.query("per_page", size),
        }
    }

    /// Whether pages have numbers, so that they can be asked for in any order.
    pub fn is_numbered(&self) -> bool {
        self.style == Style::Offset
    }

    /// Whether rows are as new as the list's own endpoint has them; a search answers from an index that lags behind.
    pub fn is_current(&self) -> bool {
        self.style == Style::Cursor
    }

    /// Returns what comes after a page.
    pub fn after<C: Rows>(&self, at: &Position, page: &Page<R, C>) -> Next {
        match self.style {
            Style::Cursor => page.after(),
            Style::Single => Next::End,
            Style::Offset => page.after_page(at.number()),
        }
    }

    /// Returns the token of what comes next; empty at the end.
    pub fn token(&self, next: &Next) -> Result<String> {
        match next {
            Next::Nowhere => Err(nowhere()),
            next => Ok(token::write(next, &self.bound)),
        }
    }
}

impl<R> Walk<R> {
    /// Begins where the caller asks.
    pub fn begin(list: Rest, paging: Paging<'_>) -> Result<Self> {
        let Paging { style, size, token } = paging;
        let size = match size {
            0 => 100,
            size @ 1..=100 => size.unsigned_abs(),
            _ => return Err(Error::invalid("page_size", "must be 1 to 100, or 0 for 100")),
        };
        let bound = match style {
            Style::Cursor => list.target(),
            Style::Offset | Style::Single => format!("{} {size}", list.target()),
        };
        let at = token::read(token, &bound, style)?;
        let list = Arc::new(Paged { list, bound, style, size, row: PhantomData });
        Ok(Self { list, at, seen: HashSet::new(), hasher: RandomState::new(), empty: 0 })
    }

    /// Returns where it stands.
    pub fn at(&self) -> &Position {
        &self.at
    }

    /// Whether the last page was empty and claimed more.
    pub fn is_astray(&self) -> bool {
        self.empty > 0
    }

    /// Goes on to what comes next; false at the end.
    pub fn advance(&mut self, next: Next, was_empty: bool) -> Result<bool> {
        self.empty = if was_empty { self.empty + 1 } else { 0 };
        let at = match next {
            Next::End => return Ok(false),
            Next::Nowhere => return Err(nowhere()),
            Next::Cursor(cursor) => Position::After(cursor),
            Next::Page(number) => Position::Page(number),
        };
        // Numbers only grow, unless the walk itself goes back.
        let numbered = matches!(at, Position::Page(_));
        if !numbered && (at == self.at || !self.seen.insert(self.hasher.hash_one(&at))) {
            return Err(Error::PaginationLoop { what: "a cursor came twice" });
        }
        if self.empty >= EMPTY_PAGES {
            return Err(Error::PaginationLoop { what: "pages claim more and are empty" });
        }
        self.at = at;
        Ok(true)
    }

    /// Goes back to a page that has to be read again.
    pub fn go_back(&mut self, number: u32) {
        self.at = Position::Page(number);
    }
}

fn nowhere() -> Error {
    Error::PaginationLoop { what: "a page claims more and has no cursor" }
}

/// Without the flag, users and groups leave `has_more` out; lists that do not know it ignore it.
fn boundaries(rest: Rest) -> Rest {
    rest.query("include_boundary_indicators", "true")
}
