//! Checks of single fields. Each error names the field.

use crate::error::{Error, Result};
use crate::json::{Words, word_of};
use crate::upstream::rest::Segment;

/// Returns the path segment of an id, which must be positive.
pub(super) fn id(field: &str, id: i64) -> Result<Segment> {
    crate::upstream::rest::id(field, id)
}

/// Returns the number of an optional id filter.
pub(super) fn optional_id(field: &str, id: Option<i64>) -> Result<Option<String>> {
    match id {
        Some(number) if number <= 0 => Err(Error::invalid(field, "must be a positive id")),
        other => Ok(other.map(|number| number.to_string())),
    }
}

/// Returns the name of a sort field, perhaps with `-` before it; none for an empty text.
pub(super) fn sort(text: &str) -> Result<Option<&str>> {
    let name = text.strip_prefix('-').unwrap_or(text);
    let is_name = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    match text {
        "" => Ok(None),
        _ if is_name => Ok(Some(text)),
        _ => Err(Error::invalid("sort", "must be a field name, with '-' before it for descending order")),
    }
}

/// Returns a brand: an id, `0` for users of no brand, or `all`.
pub fn brand<'a>(field: &str, brand: Option<&'a str>) -> Result<Option<&'a str>> {
    let valid = |text: &str| text == "all" || (!text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()));
    match brand {
        Some(text) if !valid(text) => Err(Error::invalid(field, "must be a brand id, \"0\" or \"all\"")),
        other => Ok(other),
    }
}

/// Returns the wire word of an enum number that must be a value of its enum.
pub(super) fn known_word<E: Words>(field: &str, number: i32) -> Result<&'static str> {
    word_of::<E>(number).ok_or_else(|| Error::invalid(field, "is not a value of its enum"))
}
