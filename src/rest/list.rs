//! A request for one page of a list.

use super::many::MOST_ITEMS;
use super::page::Page;
use super::row::Row;
use crate::cache::Policy;
use crate::contract;
use crate::error::{Checks, Error, Result, quoted};
use crate::json::Malformed;
use crate::upstream::rest::{Owner, Rest};

/// A request for one page of a list. Its stream twin asks for that page and all after it.
pub trait List: contract::Request<Reply: From<Part<Self::Row>>> {
    /// The record that the list holds.
    type Row: Row;

    /// Returns the request without its pagination.
    fn rest(&self) -> Result<Rest>;

    /// Returns how Zendesk paginates this list, and what the caller asked for.
    fn paging(&self) -> Paging<'_>;

    /// Returns how a page may be cached, and the tags that invalidate it.
    fn cache(&self) -> Policy;

    /// Returns `sort` of the request and the fields that it may name, or none if the list cannot be sorted.
    fn order(&self) -> Option<(&str, &'static [&'static str])> {
        None
    }
}

/// Returns a list's request without its pagination. `more` are fields to sort by besides those that the contract names.
///
/// # Errors
/// Everything that is wrong with the request but its page token.
pub fn checked<R: List>(request: &R, more: &[String]) -> Result<Rest> {
    let mut checks = Checks::default();
    let rest = checks.take(request.rest());
    checks.take(rows(request.paging().size));
    if let Some((sort, known)) = request.order() {
        let field = sort.strip_prefix('-').unwrap_or(sort);
        if !sort.is_empty() && !known.contains(&field) && !more.iter().any(|more| more == field) {
            let choices: Vec<&str> = known.iter().copied().chain(more.iter().map(String::as_str)).collect();
            let problem = format!(
                "is \"{}\", and must be one of {}, with \"-\" before it for descending order",
                quoted(sort, 64),
                choices.join(", ")
            );
            checks.refuse("sort", &problem);
        }
    }
    checks.end(rest)
}

/// Returns how many rows a page has at most: `page_size`, or 100 if that is 0.
pub fn rows(page_size: i32) -> Result<u32> {
    match page_size {
        0 => Ok(100),
        size @ 1..=100 => Ok(size.unsigned_abs()),
        size => Err(Error::invalid("page_size", &format!("is {size}, and must be 1 to 100, or 0 for 100"))),
    }
}

/// Reads the answer to a write that holds all records of a user, one of which must be as `is_changed` says. None if it may be a part
/// of them, or has two of one record that differ.
///
/// # Errors
/// Those of [`Page::read`], and [`Malformed::Foreign`] if no record is so.
pub(super) fn whole_list<R: Row + PartialEq>(
    body: &[u8],
    user: i64,
    is_changed: impl Fn(&R) -> Option<bool>,
) -> Result<Option<Vec<R>>, Malformed> {
    let page = Page::<R>::read(body, Owner::User(user))?;
    // Zendesk's pages have at most 100 rows; that this answer is paged at all is an assumption.
    let may_be_more = page.says_that_there_is_more() || page.leaves_open_whether_there_is_more();
    let contradicts_itself =
        |(at, row): (usize, &R)| page.rows[..at].iter().any(|before| before.id() == row.id() && before != row);
    let is_part = may_be_more || page.rows.len() >= MOST_ITEMS || page.rows.iter().enumerate().any(contradicts_itself);
    match (page.rows.iter().find_map(is_changed), is_part) {
        (Some(true), false) => Ok(Some(page.rows).filter(|_| page.unreadable_rows == 0)),
        (Some(true) | None, true) => Ok(None),
        (Some(false), _) | (None, false) => Err(Malformed::Foreign),
    }
}

/// How a list is paginated, and which page is wanted.
#[derive(Debug, Clone, Copy)]
pub struct Paging<'a> {
    /// How Zendesk paginates this list.
    pub style: Style,
    /// `page_size` of the request.
    pub size: i32,
    /// `page_token` of the request.
    pub token: &'a str,
}

/// How Zendesk paginates a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// Cursors, which stay valid while rows are added and removed.
    Cursor,
    /// Cursors by the vendor's documentation, which may be wrong: if Zendesk refuses cursors with 400, or answers by page
    /// number, the list is read by number.
    CursorOrOffset,
    /// Cursors over a search index, which lags behind.
    Export,
    /// Page numbers, for lists that have no cursors; Zendesk serves the first 10,000 rows.
    Offset,
    /// One page with the best matches.
    Single,
    /// All rows in one answer: Zendesk does not page the list.
    Whole,
}

/// A page to build a reply message from.
#[derive(Debug)]
pub struct Part<R> {
    /// The rows, with their sideloads and count.
    pub page: Page<R>,
    /// Token of the next page; empty on the last page, and on a stream's messages before the end of a page.
    pub next_page_token: String,
}

/// Implements [`List`] for a list request and its stream twin, which have the same fields.
macro_rules! list {
    ($($request:ty)|+ => $row:ty, $style:expr, sorted by $fields:expr, |$this:ident| $rest:expr, $cache:expr) => {
        list!($($request)|+ => $row, $style, |$this| $rest, $cache, |list| Some((list.sort.as_str(), $fields)));
    };
    ($($request:ty)|+ => $row:ty, $style:expr, |$this:ident| $rest:expr, $cache:expr) => {
        list!($($request)|+ => $row, $style, |$this| $rest, $cache, |_| None);
    };
    ($($request:ty)|+ => $row:ty, $style:expr, |$this:ident| $rest:expr, $cache:expr, $order:expr) => {
        $(impl $crate::rest::List for $request {
            type Row = $row;
            #[allow(unused_variables, reason = "not every list depends on its request")]
            fn rest(&self) -> $crate::error::Result<$crate::upstream::rest::Rest> {
                let $this = self;
                $rest
            }
            fn paging(&self) -> $crate::rest::Paging<'_> {
                $crate::rest::Paging { style: $style, size: self.page_size, token: &self.page_token }
            }
            #[allow(unused_variables, reason = "not every list depends on its request")]
            fn cache(&self) -> $crate::cache::Policy {
                let $this = self;
                $cache
            }
            fn order(&self) -> Option<(&str, &'static [&'static str])> {
                let order: fn(&Self) -> Option<(&str, &'static [&'static str])> = $order;
                order(self)
            }
        })+
    };
}

pub(super) use list;
