//! Numbered pages: up to 100 rows each, up to 100 of them.

use crate::call::Call;
use crate::errors;
use crate::reply::Reply;

const LARGEST_PAGE: usize = 100;
const LAST_PAGE: usize = 100;
const LAST_ROW: usize = 10_000;

/// What comes after the rows.
pub struct Frame {
    pub next_page: Option<String>,
    pub previous_page: Option<String>,
    pub count: usize,
}

/// Cuts the page that `call` asks for. Every list says how many rows it has in
/// all and links to the page after row 10,000; what refuses that page is
/// `too_deep`.
pub fn cut<'a, T>(call: &Call, rows: &'a [T], too_deep: fn() -> Reply) -> Result<(&'a [T], Frame), Reply> {
    let size = match call.query.get("per_page") {
        // A size beyond the limit is cut silently; what a size of 0 or a word
        // does is an assumption: the default.
        Some(text) => {
            text.parse().ok().filter(|size| *size > 0).map_or(LARGEST_PAGE, |size: usize| size.min(LARGEST_PAGE))
        }
        None => LARGEST_PAGE,
    };
    let number: usize = match call.query.get("page") {
        Some(text) => text.parse().map_err(|_| page_must_be_an_integer())?,
        None => 1,
    };
    let number = number.max(1);
    if number > LAST_PAGE || number * size > LAST_ROW {
        return Err(too_deep());
    }
    let from = rows.len().min((number - 1) * size);
    let to = rows.len().min(from + size);
    let to_page = |number: usize| super::link(call, &[("page", Some(number.to_string()))]);
    let frame = Frame {
        next_page: (to < rows.len()).then(|| to_page(number + 1)),
        previous_page: (number > 1).then(|| to_page(number - 1)),
        count: rows.len(),
    };
    Ok((&rows[from..to], frame))
}

/// The answer to `page[size]` at an endpoint that has only numbered pages. Its
/// words are recorded, the shape around them is an assumption.
pub fn page_must_be_an_integer() -> Reply {
    errors::invalid_attribute("page", "page must be an integer")
}
