//! A walk over the pages of a list: its position, the request for the next page, and when the list has ended.

use std::collections::HashSet;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;

use super::token::{self, Position};
use crate::error::{Checks, Error, Result};
use crate::rest::page::{Next, Page, Rows, Size};
use crate::rest::row::Row;
use crate::rest::{List, Paging, Style, checked, rows};
use crate::upstream::rest::Rest;

/// A list fails at this many consecutive pages that claim more and add nothing.
const EMPTY_PAGES: u32 = 3;
/// What is wrong with a page that leads nowhere.
const NOWHERE: &str = "a page claims more and does not say where";
/// Rows of such pages, none of which can be read, before a list ends: those of one full page. A few odd rows may be next to each
/// other, and fill some small pages.
const UNREADABLE_ROWS: u32 = 100;

/// Most rows that Zendesk serves by page number: <https://developer.zendesk.com/api-reference/introduction/pagination/>
pub(super) const MOST_ROWS: u32 = 10_000;

/// A list, and how its pages are requested.
#[derive(Debug)]
pub struct Paged {
    list: Rest,
    /// What tokens are bound to: the list's request, and for page numbers the page size too.
    bound: String,
    style: Style,
    /// The page size, if the list is read by page number because Zendesk answered a cursor request so; else none.
    turned: Option<Size>,
    /// Rows of a page, 1 to 100.
    pub size: u32,
}

/// A walk over one list.
#[derive(Debug)]
pub struct Walk {
    /// The list.
    pub list: Arc<Paged>,
    at: Position,
    /// Hashes of the cursors so far: a walk over millions of rows keeps eight bytes per page.
    seen: HashSet<u64>,
    hasher: RandomState,
    /// Consecutive pages that added nothing, and consecutive ones of which no row could be read, with their rows.
    empty: u32,
    unreadable: (u32, u32),
}

/// What a page has added to a walk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Added {
    /// Rows.
    Rows,
    /// Nothing: it has no rows, or only rows that came before.
    Nothing,
    /// So many rows, of which none can be read.
    Unreadable(u32),
}

impl Added {
    /// Returns what a page has added that has rows or has none.
    pub fn rows_unless(is_empty: bool) -> Self {
        if is_empty { Self::Nothing } else { Self::Rows }
    }
}

impl Paged {
    /// Returns the request for a page.
    pub fn rest(&self, at: &Position) -> Rest {
        let rest = self.list.clone();
        let size = self.size.to_string();
        match (at, self.is_numbered() || self.style == Style::Single) {
            (Position::Page(number) | Position::Numbered { number, .. }, _) => {
                let asked = !matches!(self.turned, Some(Size::Own(_)));
                rest.query_if("per_page", asked.then_some(size)).query("page", number.to_string())
            }
            _ if self.style == Style::Whole => rest,
            (Position::After(cursor), _) => boundaries(rest.query("page[size]", size)).query("page[after]", cursor),
            (Position::Start, false) => boundaries(rest.query("page[size]", size)),
            (Position::Start, true) => rest.query("per_page", size),
        }
    }

    /// Returns the request for the first page by number, where Zendesk may refuse to page this list by cursor.
    pub fn instead_of_cursor(&self, at: &Position) -> Option<Rest> {
        let may_refuse = self.style == Style::CursorOrOffset && self.turned.is_none() && *at == Position::Start;
        may_refuse.then(|| self.list.clone().query("per_page", self.size.to_string()))
    }

    /// Returns the request without its paging.
    pub fn list(&self) -> &Rest {
        &self.list
    }

    /// True if the list is read by page number, so that pages can be requested in any order.
    pub fn is_numbered(&self) -> bool {
        self.style == Style::Offset || self.turned.is_some()
    }

    /// True if the list may have more than one page.
    pub fn goes_on(&self) -> bool {
        !matches!(self.style, Style::Single | Style::Whole)
    }

    /// True if the rows are current. Other lists may come from a search index, which lags behind.
    pub fn is_current(&self) -> bool {
        matches!(self.style, Style::Cursor | Style::Whole)
    }

    /// Returns what comes after a page.
    pub fn after<R: Row, C: Rows>(&self, at: &Position, page: &Page<R, C>) -> Next {
        match self.style {
            Style::Whole if page.says_that_there_is_more() => Next::Nowhere,
            Style::Single | Style::Whole => Next::End,
            _ if self.is_numbered() => page.after_page(at.number(), self.size),
            _ => match page.after(self.size) {
                // A change to page numbers is possible only after the first page. Anywhere else Zendesk has ignored the cursor,
                // and rows would come twice or never.
                Next::Numbered { number, .. } if number != 2 || *at != Position::Start => Next::Nowhere,
                Next::Cursor(cursor) if matches!(at, Position::After(before) if *before == cursor) => Next::Nowhere,
                next => next,
            },
        }
    }

    /// Returns the error of a list that can never end.
    fn endless(&self, what: &'static str) -> Error {
        Error::PaginationLoop { list: self.list.endpoint_name(), what }
    }

    /// Returns the same list, asked for by page number from now on.
    fn turned(&self, size: Size) -> Self {
        let Self { list, bound, style, .. } = self;
        let (list, bound, turned, size) = (list.clone(), bound.clone(), Some(size), size.rows());
        Self { list, bound, style: *style, turned, size }
    }

    /// Returns the token of what comes next; empty at the end.
    pub fn token(&self, next: &Next) -> Result<String> {
        match next {
            Next::Nowhere => Err(self.endless(NOWHERE)),
            Next::Page(number) => {
                let next = self.turned.map(|size| Next::Numbered { number: *number, size });
                Ok(token::write(&next.unwrap_or(Next::Page(*number)), &self.bound))
            }
            next => Ok(token::write(next, &self.bound)),
        }
    }
}

impl Walk {
    /// Begins where a request says. `more` are fields to sort by besides those that the contract names.
    ///
    /// # Errors
    /// Everything that is wrong with the request.
    pub fn of<L: List>(request: &L, more: &[String]) -> Result<Self> {
        let (list, paging) = (checked(request, more), request.paging());
        if list.is_err() {
            // Which list the token would have to be of is not known then.
            let mut checks = Checks::default();
            checks.take(list);
            checks.take(token::sound(paging.token));
            return checks.end(None);
        }
        Self::begin(list?, paging)
    }

    /// Begins at the page that the caller's token names, or at the first page.
    pub fn begin(list: Rest, paging: Paging<'_>) -> Result<Self> {
        let Paging { style, size, token } = paging;
        let size = rows(size)?;
        let bound = match style {
            Style::Cursor | Style::CursorOrOffset | Style::Export => list.target(),
            Style::Offset | Style::Single | Style::Whole => format!("{} {size}", list.target()),
        };
        let at = token::read(token, &bound, style)?;
        let list = Arc::new(Paged { list, bound, style, turned: None, size });
        let mut walk =
            Self { list, at, seen: HashSet::new(), hasher: RandomState::new(), empty: 0, unreadable: (0, 0) };
        if let Position::Numbered { number, size } = walk.at {
            walk.turn(number, size);
        }
        walk.not_too_deep()?;
        if walk.list.rest(&walk.at).is_too_long() {
            return Err(Error::invalid("page_token", "is too long for a request line beside the filters"));
        }
        Ok(walk)
    }

    /// Refuses a page number beyond the rows that Zendesk serves. This also ends a list whose pages claim more without end.
    pub fn not_too_deep(&self) -> Result<()> {
        match self.at {
            Position::Page(number) if (number - 1).saturating_mul(self.list.size) >= MOST_ROWS => {
                Err(Error::PaginationDepth(Box::default()))
            }
            _ => Ok(()),
        }
    }

    /// Continues by page number.
    fn turn(&mut self, number: u32, size: Size) {
        self.list = Arc::new(self.list.turned(size));
        self.at = Position::Page(number);
    }

    /// Returns the position.
    pub fn at(&self) -> &Position {
        &self.at
    }

    /// True if the last page added nothing and claimed more.
    pub fn is_astray(&self) -> bool {
        self.empty > 0
    }

    /// Moves to what comes next; returns false at the end.
    ///
    /// # Errors
    /// [`Error::PaginationLoop`] if the list can never end: too many pages that claim more and add nothing, no position for the
    /// next page, or a cursor that came before.
    pub fn advance(&mut self, next: Next, added: Added) -> Result<bool> {
        match added {
            Added::Rows => (self.empty, self.unreadable) = (0, (0, 0)),
            Added::Nothing => self.empty += 1,
            Added::Unreadable(rows) => {
                self.unreadable = (self.unreadable.0 + 1, self.unreadable.1.saturating_add(rows));
            }
        }
        let (pages, rows) = self.unreadable;
        let is_unreadable = pages >= EMPTY_PAGES && rows >= UNREADABLE_ROWS;
        if (self.empty >= EMPTY_PAGES || is_unreadable) && next != Next::End {
            return Err(self.list.endless("pages claim more and add nothing"));
        }
        match next {
            Next::End => return Ok(false),
            Next::Nowhere => return Err(self.list.endless(NOWHERE)),
            // Needs no check for loops: page numbers only grow, unless the walk itself goes back.
            Next::Page(number) => self.at = Position::Page(number),
            Next::Numbered { number, size } => self.turn(number, size),
            Next::Cursor(cursor) => {
                let at = Position::After(cursor);
                if at == self.at || !self.seen.insert(self.hasher.hash_one(&at)) {
                    return Err(self.list.endless("a cursor came twice"));
                }
                if self.list.rest(&at).is_too_long() {
                    return Err(self.list.endless("a cursor is longer than a request line"));
                }
                self.at = at;
            }
        }
        Ok(true)
    }

    /// Moves back to a page that must be read again.
    pub fn go_back(&mut self, number: u32) {
        self.at = Position::Page(number);
    }
}

/// Adds the flag without which users and groups may leave `has_more` out; lists that do not know the flag ignore it.
fn boundaries(rest: Rest) -> Rest {
    rest.query("include_boundary_indicators", "true")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::path;

    fn walk(filter: usize, cursor: &str) -> Result<Walk> {
        let list = Rest::get(path!["users"]).query("external_id", "7".repeat(filter));
        let token = token::write(&Next::Cursor(cursor.to_owned()), &list.target());
        Walk::begin(list, Paging { style: Style::Cursor, size: 0, token: &token })
    }

    #[test]
    fn a_cursor_that_no_request_line_can_hold_beside_the_filters_is_refused_or_ends_the_walk() {
        let cursor = "=".repeat(2000);
        let refused = walk(1200, &cursor).expect_err("7,200 bytes, percent-encoded");
        assert!(matches!(refused, Error::Invalid { field, .. } if field == "page_token"));
        let mut walk = walk(1200, "c").expect("a short one");
        let next = walk.advance(Next::Cursor(cursor), Added::Rows);
        assert!(matches!(next, Err(Error::PaginationLoop { .. })), "{next:?}");
    }
}
