//! A request for one page of a list.

use super::page::Page;
use super::row::Row;
use crate::cache::Policy;
use crate::contract;
use crate::error::Result;
use crate::upstream::rest::Rest;

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
}

/// Where in a list to begin.
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
    /// Page numbers, for lists that have no cursors; Zendesk serves the first 10,000 rows.
    Offset,
    /// One page with the best matches.
    Single,
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
    ($($request:ty)|+ => $row:ty, $style:expr, |$this:ident| $rest:expr, $cache:expr) => {
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
        })+
    };
}

pub(super) use list;
