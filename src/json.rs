//! Zendesk's JSON ↔ the contract's messages, without a layer of structs in between.
//!
//! `proto/build/json.rs` attaches these functions to the generated fields by type. Zendesk omits fields, sends null anywhere, adds
//! fields and words without notice; none of that may fail a call. A body whose values fit their fields is read strictly, and any
//! other one again, leniently. Writers send exactly what is set; [`patch()`] adds the explicit nulls of an update mask.

use std::cell::{Cell, RefCell};
use std::sync::Weak;

use serde::de::DeserializeOwned;

/// The methods of a visitor for JSON types that its field cannot hold: the value is lost, and the field has the given one.
macro_rules! lost_otherwise {
    ($value:expr; $($kind:ident)*) => { $(lost_otherwise!(@$kind $value);)* };
    (@string $value:expr) => {
        fn visit_str<E: Error>(self, _: &str) -> Result<Self::Value, E> {
            lost("string").map(|()| $value)
        }
    };
    (@number $value:expr) => {
        fn visit_i64<E: Error>(self, _: i64) -> Result<Self::Value, E> {
            lost("number").map(|()| $value)
        }
        fn visit_u64<E: Error>(self, _: u64) -> Result<Self::Value, E> {
            lost("number").map(|()| $value)
        }
        fn visit_f64<E: Error>(self, _: f64) -> Result<Self::Value, E> {
            lost("number").map(|()| $value)
        }
    };
    (@boolean $value:expr) => {
        fn visit_bool<E: Error>(self, _: bool) -> Result<Self::Value, E> {
            lost("boolean").map(|()| $value)
        }
    };
    (@object $value:expr) => {
        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
            lost("object").map(|()| $value)
        }
    };
    (@list $value:expr) => {
        fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
            while items.next_element::<IgnoredAny>()?.is_some() {}
            lost("list").map(|()| $value)
        }
    };
}

/// The methods of a visitor for null, which has the given value, and for anything else: of that, only the JSON type that Zendesk
/// writes is asked for. The strict reader then has code for that one, and a body with another one is read leniently.
macro_rules! null_or {
    ($value:expr, $ask:path) => {
        fn visit_none<E>(self) -> Result<Self::Value, E> {
            Ok($value)
        }
        fn visit_some<D: Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
            $ask(from, self)
        }
    };
}

mod fields;
mod ids;
mod keys;
mod lenient;
mod losses;
mod mended;
mod object;
mod patch;
mod place;
mod results;
mod room;
mod structure;
#[cfg(test)]
mod tests;
mod text;
mod texts;
mod tiny;

pub use fields::{
    Scalar, Words, check_word, no_word, optional_scalar, optional_word, scalar, scalars, timestamp, unreadable, word,
    word_of, words, write_optional_word, write_word, write_words,
};
pub use ids::{AtLeast, id, ids, optional_id};
pub use keys::keys;
pub use lenient::value;
pub use losses::{Loss, Losses, is_replaced, lost, row_lost, rows_lost};
pub use object::{
    Identified, Item, Object, identified, object_or_nothing, objects, optional_identified, optional_object,
};
pub use patch::{EnumFields, Input, body, custom_fields, patch};
pub use results::results;
pub use room::{room_for_row, row_begins, row_ends};
pub use structure::{structure, to_json, write_structure};
pub use texts::{optional_code, optional_texts};

thread_local! {
    /// What the readings on this thread have left out since [`losses_of`] began.
    static LOSSES: RefCell<Vec<Loss>> = const { RefCell::new(Vec::new()) };
    /// What is done on this thread with a long body that the strict reader refuses.
    static LONG: Cell<Long> = const { Cell::new(Long::Read) };
    /// Held by whoever waits for the lenient readings on this thread, where one may leave.
    static WANTED: RefCell<Option<Weak<()>>> = const { RefCell::new(None) };
}

/// A longer body keeps a thread busy for milliseconds if it is read leniently.
const LONG_BODY: usize = 64 << 10;
/// A longer body keeps a thread busy for as long even if all of it can be read. Pages of ordinary records are shorter.
const MOST_AT_ONCE: usize = 1 << 20;

/// What becomes of long bodies that the strict reader refuses.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Long {
    /// They are read leniently.
    Read,
    /// They are to be left.
    Leave,
    /// One was left.
    Left,
}

/// Runs a reading, unless a body is very long, or long and would have to be read leniently: then it returns none, and the reading is
/// to be run where that delays nobody.
pub fn unless_it_takes_long<T>(read: impl FnOnce() -> T) -> Option<T> {
    LONG.set(Long::Leave);
    let read = read();
    (LONG.replace(Long::Read) != Long::Left).then_some(read)
}

/// Runs a reading that is given up, with an error, as soon as nobody holds `wanted` any more.
pub fn while_wanted<T>(wanted: Weak<()>, read: impl FnOnce() -> T) -> T {
    WANTED.set(Some(wanted));
    let read = read();
    WANTED.take();
    read
}

/// True if a reading is to be given up.
fn is_unwanted(wanted: Option<&Weak<()>>) -> bool {
    wanted.is_some_and(|wanted| wanted.strong_count() == 0)
}

/// Runs a reading, and returns all that it had to leave out.
pub fn losses_of<T>(read: impl FnOnce() -> T) -> (T, Vec<Loss>) {
    LOSSES.take();
    let read = read();
    (read, LOSSES.take())
}

/// Reads a JSON body into a message.
///
/// `sonic-rs` reads in two thirds of the time that `serde_json` takes. But it skips unknown values by recursion without a
/// limit, with which a hostile body could overflow the stack; so it gets only shallow bodies. Any other body, and one that it
/// refuses, is read leniently.
pub fn decode<T: DeserializeOwned>(body: &[u8]) -> Result<(T, Losses), Malformed> {
    if body.len() > MOST_AT_ONCE && LONG.get() != Long::Read {
        LONG.set(Long::Left);
        return Err(Malformed::without("the answer"));
    }
    let (strictly, _) =
        room::within(body.len(), || is_shallow(body).then(|| sonic_rs::from_slice(body).ok()).flatten());
    let may_be_lost = tiny::may_be_lost(body);
    if let Some(Object(message)) = strictly.filter(|_| !may_be_lost) {
        return Ok((message, Losses::default()));
    }
    if body.len() > LONG_BODY && LONG.get() != Long::Read {
        LONG.set(Long::Left);
        return Err(Malformed::without("the answer"));
    }
    if WANTED.with_borrow(|wanted| is_unwanted(wanted.as_ref())) {
        return Err(Malformed::without("the answer"));
    }
    let (message, losses) = lenient::read(body)?;
    LOSSES.with_borrow_mut(|all| all.extend_from_slice(&losses.all));
    Ok((message, losses))
}

/// Deepest nesting of a body that is read with recursion.
const DEEPEST: usize = 32;

/// True if a body is nested so little that it can be read with recursion.
///
/// Brackets within strings count like others at first, so closing ones in a string can hide some depth; not much, because that
/// counts only where a body has at most `MOST` opening brackets in all. A page of 100 users has some six hundred.
// Nothing in it depends on the message, so one copy serves all.
#[inline(never)]
fn is_shallow(body: &[u8]) -> bool {
    const MOST: usize = 1024;
    let mut closing = memchr::memchr2_iter(b']', b'}', body).peekable();
    let mut depth = 0_usize;
    for (before, opening) in memchr::memchr2_iter(b'[', b'{', body).enumerate() {
        while closing.next_if(|closing| *closing < opening).is_some() {
            depth = depth.saturating_sub(1);
        }
        depth += 1;
        if depth > DEEPEST || before >= MOST {
            return is_shallow_beside_strings(body);
        }
    }
    true
}

/// True if a body is nested so little, without what stands in its strings.
fn is_shallow_beside_strings(body: &[u8]) -> bool {
    let (mut depth, mut at) = (0_usize, 0);
    while let Some(byte) = body.get(at) {
        at += 1;
        match byte {
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth = depth.saturating_sub(1),
            b'"' => at += string(&body[at..]),
            _ => {}
        }
        if depth > DEEPEST {
            return false;
        }
    }
    true
}

/// Returns how long the string is that has just begun, with the quote at its end.
fn string(text: &[u8]) -> usize {
    let mut escaped = 0;
    for at in memchr::memchr2_iter(b'"', b'\\', text) {
        match text[at] {
            _ if at < escaped => {}
            b'"' => return at + 1,
            _ => escaped = at + 2,
        }
    }
    text.len()
}

/// A body that is no answer to what was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// It is not the documented JSON. The error says where, never what: the text may hold personal data.
    #[error("it cannot be read from {place} on")]
    Unreadable {
        /// The field in which it ends or goes wrong, such as `users[3].email`; where there is none, which byte.
        place: String,
    },
    /// It is the answer to something else: it holds another record, or none of the keys of what was asked for.
    #[error("not about the record or the list that was asked for")]
    Foreign,
    /// It may be the answer, but what was asked for is missing, or a value cannot be read without which it is of no use.
    #[error("{what} is missing, or cannot be read")]
    Incomplete {
        /// The field that the answer depends on, such as `user.id`.
        what: String,
    },
    /// Its rows would take more memory than an answer of its size may.
    #[error("its rows take more than the {most} bytes of memory that an answer of its size may become")]
    TooMuch {
        /// How many bytes it may become.
        most: usize,
    },
    /// It is about the anonymous user: Zendesk answers a wrong password so, with the status of a success.
    #[error("the anonymous user")]
    Anonymous,
}

impl Malformed {
    /// An answer that depends on this field.
    pub fn without(what: impl Into<String>) -> Self {
        Self::Incomplete { what: what.into() }
    }
}
