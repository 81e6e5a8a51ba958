//! A page of a stream, fetched and encoded.

use super::message::Message;
use crate::rest::page::Next;

/// A page, encoded as messages.
pub struct Leaf {
    /// The messages.
    pub messages: Vec<Message>,
    /// What comes after it.
    pub next: Next,
    /// How many rows the whole list has, if the page states it.
    pub count: Option<i64>,
    /// How many of its rows cannot be read.
    pub unreadable: i32,
}
