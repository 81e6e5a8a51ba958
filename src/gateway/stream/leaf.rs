//! A page of a stream.

use super::message::Message;
use crate::rest::page::Next;

/// A page, ready to go out.
pub struct Leaf {
    /// The messages.
    pub messages: Vec<Message>,
    /// What comes after it.
    pub next: Next,
    /// How many rows the whole list has, if the page says so.
    pub count: Option<i64>,
}
