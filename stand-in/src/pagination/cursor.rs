//! Cursors: base64 of `{"o":order,"v":value}`, where the value is base64 of the
//! last row's sort keys.
//!
//! Recorded values are `i` with a little-endian 64-bit integer for ids, and
//! `s` with a 32-bit count of characters and the text for names. Pages are cut
//! by key, not by position, so rows that come and go between two pages move no
//! other row.

use std::cmp::Ordering;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use crate::call::Call;
use crate::errors;
use crate::reply::Reply;

use super::{CursorFrame, HasMore, Listing, Meta, PageLinks, link};

const LARGEST_PAGE: usize = 100;

/// The order of a list, and the key of a row's place in it.
pub struct Order<'a, T> {
    /// The name in the cursor: `id`, `name,id`, with `-` in front when
    /// descending.
    pub name: String,
    pub key: Box<dyn Fn(&T) -> Key + 'a>,
}

impl<T> Order<'_, T> {
    fn compare(&self, a: &Key, b: &Key) -> Ordering {
        let ordering = compare(a, b);
        if self.name.starts_with('-') { ordering.reverse() } else { ordering }
    }

    /// Puts rows, which come by id, into this order.
    pub fn sort(&self, rows: Vec<T>) -> Vec<T> {
        if self.name == "id" {
            return rows;
        }
        let mut keyed: Vec<(Key, T)> = rows.into_iter().map(|row| ((self.key)(&row), row)).collect();
        keyed.sort_by(|a, b| self.compare(&a.0, &b.0));
        keyed.into_iter().map(|(_, row)| row).collect()
    }
}

/// A row's place in an order.
pub type Key = Vec<Part>;

/// One component of a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    Int(i64),
    Text(String),
}

/// Compares two places; text without regard to case.
pub fn compare(a: &Key, b: &Key) -> Ordering {
    let parts = a.iter().zip(b).map(|(a, b)| match (a, b) {
        (Part::Int(a), Part::Int(b)) => a.cmp(b),
        (Part::Text(a), Part::Text(b)) => a.to_lowercase().cmp(&b.to_lowercase()),
        (Part::Int(_), Part::Text(_)) => Ordering::Less,
        (Part::Text(_), Part::Int(_)) => Ordering::Greater,
    });
    parts.fold(Ordering::Equal, Ordering::then)
}

/// Cuts the page that `call` asks for.
pub fn cut<'l, T: Clone>(call: &Call, listing: &'l Listing<'_, T>) -> Result<(&'l [T], CursorFrame), Reply> {
    let (rows, order) = (&listing.rows[..], &listing.order);
    let size = size(call)?;
    let place = |name: &str| match call.query.get(name) {
        Some(text) => match decode(&order.name, text) {
            Some(key) => Ok(Some(key)),
            None => Err(errors::invalid_pagination(name)),
        },
        None => Ok(None),
    };
    let (after, before) = (place("page[after]")?, place("page[before]")?);
    let key = |row: &T| (order.key)(row);
    let (from, to, has_more) = if let Some(before) = before {
        let to = rows.partition_point(|row| order.compare(&key(row), &before).is_lt());
        let from = to.saturating_sub(size);
        (from, to, from > 0)
    } else {
        let from = after.map_or(0, |after| rows.partition_point(|row| order.compare(&key(row), &after).is_le()));
        let to = rows.len().min(from + size);
        (from, to, to < rows.len())
    };
    let rows = &rows[from..to];
    let cursor_of = |row: &T| encode(&order.name, &key(row));
    let after_cursor = rows.last().map(cursor_of);
    let before_cursor = rows.first().map(cursor_of);
    let on_request = listing.has_more == HasMore::OnRequest && call.world.config.assumptions.has_more_on_request;
    let told = !on_request || call.query.flag("include_boundary_indicators");
    // Cursors and links stay set on the last page, and `prev` on the first:
    // as recorded, only an empty page has none.
    let frame = CursorFrame {
        links: PageLinks {
            prev: before_cursor.clone().map(|c| link(call, &[("page[before]", Some(c)), ("page[after]", None)])),
            next: after_cursor.clone().map(|c| link(call, &[("page[after]", Some(c)), ("page[before]", None)])),
        },
        meta: Meta { has_more: told.then_some(has_more), after_cursor, before_cursor },
    };
    Ok((rows, frame))
}

fn size(call: &Call) -> Result<usize, Reply> {
    let Some(text) = call.query.get("page[size]") else {
        return Ok(LARGEST_PAGE);
    };
    let clamp = call.world.config.assumptions.clamp_page_size;
    match text.parse() {
        Ok(size @ 1..=LARGEST_PAGE) => Ok(size),
        Ok(size) if size > LARGEST_PAGE && clamp => Ok(LARGEST_PAGE),
        // What other sizes do is an assumption.
        _ => Err(errors::invalid_pagination("page[size]")),
    }
}

#[derive(Serialize, Deserialize)]
struct Cursor<'a> {
    o: &'a str,
    v: String,
}

fn encode(order: &str, key: &Key) -> String {
    let mut value = Vec::new();
    for part in key {
        match part {
            Part::Int(number) => {
                value.push(b'i');
                value.extend(number.to_le_bytes());
            }
            Part::Text(text) => {
                let count = u32::try_from(text.chars().count()).unwrap_or(u32::MAX);
                value.push(b's');
                value.extend(count.to_le_bytes());
                value.extend(text.as_bytes());
            }
        }
    }
    let cursor = Cursor { o: order, v: STANDARD.encode(value) };
    let cursor = serde_json::to_vec(&cursor).expect("two strings are valid JSON");
    STANDARD.encode(cursor)
}

fn decode(order: &str, text: &str) -> Option<Key> {
    let cursor = STANDARD.decode(text).ok()?;
    let cursor: Cursor<'_> = serde_json::from_slice(&cursor).ok()?;
    if cursor.o != order {
        return None;
    }
    let value = STANDARD.decode(cursor.v).ok()?;
    let mut rest = value.as_slice();
    let mut key = Key::new();
    while let Some((tag, tail)) = rest.split_first() {
        match tag {
            b'i' => {
                let (number, tail) = tail.split_first_chunk::<8>()?;
                key.push(Part::Int(i64::from_le_bytes(*number)));
                rest = tail;
            }
            b's' => {
                let (count, tail) = tail.split_first_chunk::<4>()?;
                let count = usize::try_from(u32::from_le_bytes(*count)).ok()?;
                let bytes = length_of(tail, count)?;
                key.push(Part::Text(String::from_utf8(tail[..bytes].to_vec()).ok()?));
                rest = &tail[bytes..];
            }
            _ => return None,
        }
    }
    (!key.is_empty()).then_some(key)
}

/// The bytes that `count` characters take at the start of `bytes`.
fn length_of(bytes: &[u8], count: usize) -> Option<usize> {
    let mut at = 0;
    for _ in 0..count {
        at += match bytes.get(at)? {
            0x00..=0x7f => 1,
            0xc0..=0xdf => 2,
            0xe0..=0xef => 3,
            _ => 4,
        };
    }
    (at <= bytes.len()).then_some(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_survives_being_encoded_and_decoded() {
        let key = vec![Part::Text("🚀 Österreich".into()), Part::Int(6_100_000_000_001)];
        let text = encode("name,id", &key);
        assert_eq!(decode("name,id", &text), Some(key));
        assert_eq!(decode("id", &text), None, "a cursor of another order");
    }

    #[test]
    fn a_cursor_has_the_recorded_form() {
        let text = encode("id", &vec![Part::Int(1)]);
        let json = STANDARD.decode(text).expect("base64");
        assert_eq!(json, br#"{"o":"id","v":"aQEAAAAAAAAA"}"#);
    }

    #[test]
    fn garbage_is_not_a_cursor() {
        for text in ["", "garbage", "e30=", "eyJvIjoiaWQiLCJ2IjoiYVFFPSJ9"] {
            assert_eq!(decode("id", text), None, "{text}");
        }
    }
}
