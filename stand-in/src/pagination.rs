//! Both paginations with their recorded quirks.
//!
//! Cursor mode is on when `page[size]`, `page[after]` or `page[before]` is
//! given, otherwise pages have numbers. Naming both kinds of parameters is
//! undefined; the sandbox then prefers the cursor (an assumption).

mod cursor;
mod offset;
mod sort;

use std::borrow::Cow;

use serde::Serialize;

pub use cursor::{Order, Part};
pub use sort::Sort;

use super::call::Call;
use super::errors;
use super::reply::{Envelope, Outcome, Reply};
use super::view::Links;

/// A list that can be paged through.
pub struct Listing<'a, T: Clone> {
    /// Name of the array, such as `users`.
    pub name: &'static str,
    /// All rows in list order.
    pub rows: Cow<'a, [T]>,
    pub order: Order<'a, T>,
    pub has_more: HasMore,
    /// Which paginations the endpoint knows.
    pub modes: Modes,
}

/// When a page in cursor mode says whether there is another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HasMore {
    Always,
    /// Always, unless the account leaves it out where the specification knows
    /// `include_boundary_indicators`: see `Assumptions::has_more_on_request`.
    OnRequest,
}

/// Which paginations an endpoint knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Modes {
    Both,
    CursorOnly,
    /// Numbered pages, of a search.
    Search,
}

/// Answers one page. `render` writes a row; `sideload` adds the arrays beside
/// the main one.
pub fn page<T: Clone>(
    call: &Call,
    listing: &Listing<'_, T>,
    render: impl Fn(&T) -> Vec<u8>,
    sideload: impl FnOnce(Envelope, &[T]) -> Envelope,
) -> Outcome {
    let by_cursor =
        ["page[size]", "page[after]", "page[before]"].into_iter().any(|name| call.query.get(name).is_some());
    let use_cursor = match listing.modes {
        Modes::Both => by_cursor,
        Modes::CursorOnly => true,
        Modes::Search if by_cursor => return Err(offset::page_must_be_an_integer()),
        Modes::Search => false,
    };
    if use_cursor {
        let (rows, frame) = cursor::cut(call, listing)?;
        Ok(body(listing.name, rows, render, sideload, |envelope| {
            envelope.value("meta", &frame.meta).value("links", &frame.links)
        }))
    } else {
        let too_deep = match listing.modes {
            Modes::Search => errors::too_many_results,
            Modes::Both | Modes::CursorOnly => errors::pagination_too_deep,
        };
        let (rows, frame) = offset::cut(call, &listing.rows, too_deep)?;
        Ok(body(listing.name, rows, render, sideload, |envelope| {
            envelope
                .value("next_page", &frame.next_page)
                .value("previous_page", &frame.previous_page)
                .value("count", &frame.count)
        }))
    }
}

fn body<T>(
    name: &str,
    rows: &[T],
    render: impl Fn(&T) -> Vec<u8>,
    sideload: impl FnOnce(Envelope, &[T]) -> Envelope,
    frame: impl FnOnce(Envelope) -> Envelope,
) -> Reply {
    let envelope = Envelope::new().rows(name, rows.iter().map(render));
    let envelope = sideload(envelope, rows);
    Reply::ok(frame(envelope).finish())
}

/// No arrays beside the main one.
pub fn alone<T>(envelope: Envelope, _rows: &[T]) -> Envelope {
    envelope
}

/// A link to another page of the list that `call` asks for.
pub fn link(call: &Call, changes: &[(&str, Option<String>)]) -> String {
    let Links { origin, suffix, .. } = &call.links;
    format!("{origin}/api/v2{}{suffix}?{}", call.path, call.query.with(changes))
}

/// The frame of a cursor page.
#[derive(Serialize)]
struct CursorFrame {
    meta: Meta,
    links: PageLinks,
}

#[derive(Serialize)]
struct Meta {
    #[serde(skip_serializing_if = "Option::is_none")]
    has_more: Option<bool>,
    after_cursor: Option<String>,
    before_cursor: Option<String>,
}

#[derive(Serialize)]
struct PageLinks {
    prev: Option<String>,
    next: Option<String>,
}
