//! Checks of single fields. Each error names the field.

use crate::error::{Error, Result};
use crate::json::{Words, no_word, word_of};
use crate::upstream::rest::{Rest, Segment};

/// Returns the path segment of an id, which must be positive.
pub(super) fn id(field: &str, id: i64) -> Result<Segment> {
    crate::upstream::rest::id(field, id)
}

/// Returns an optional id filter as text. An id must be positive.
pub(super) fn optional_id(field: &str, id: Option<i64>) -> Result<Option<String>> {
    match id {
        Some(number) if number <= 0 => Err(Error::invalid(field, "must be a positive id")),
        other => Ok(other.map(|number| number.to_string())),
    }
}

/// Adds the field to sort by, perhaps with `-` before it, if there is one. [`checked`](super::list::checked) refuses unknown ones.
pub(super) fn sorted(rest: Rest, by: &str) -> Rest {
    rest.query_if("sort", Some(by).filter(|by| !by.is_empty()))
}

/// Checks a brand filter: an id, `0` for users of no brand, or `all`.
pub fn brand<'a>(field: &str, brand: Option<&'a str>) -> Result<Option<&'a str>> {
    let valid = |text: &str| text == "all" || (!text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()));
    match brand {
        Some(text) if !valid(text) => Err(Error::invalid(field, "must be a brand id, \"0\" or \"all\"")),
        other => Ok(other),
    }
}

/// Returns the wire word of an enum number that must be a value of its enum.
pub(super) fn known_word<E: Words>(field: &str, number: i32) -> Result<&'static str> {
    word_of::<E>(number).ok_or_else(|| Error::invalid(field, &no_word::<E>(number)))
}
