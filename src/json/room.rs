//! How much memory may be made of a body.
//!
//! Nothing bounds by itself how much larger a message is than its JSON: a row of eight bytes becomes a struct of a kilobyte. So all
//! that is kept of a body takes room, in either reading. A list that does not fit is lost as a whole, which leaves its neighbours
//! their room; and a body whose rows alone do not fit is refused, because no row with an id may be left out.

use std::cell::Cell;

use serde::de::{DeserializeSeed, Error, IgnoredAny, SeqAccess};

use super::losses::{is_under_way, lost};

/// What may be made of any body, in bytes. No page of Zendesk's needs as much: it has a hundred rows, or a thousand where Zendesk
/// ignores how many were asked for.
const ROOM: usize = 16 << 20;
/// A larger body may become this many times its size.
const ROOM_PER_BYTE: usize = 8;

/// A list that grows has room for twice as many items, and at first for four.
const SPARE: usize = 2;
const FIRST: usize = 4;
/// A node of a map has room for so many entries, and is about half full.
const NODE: usize = 11;

#[derive(Clone, Copy)]
struct Room {
    left: usize,
    /// What was left before the row that is read, and what is kept from it, so that it leaves the others theirs.
    before_row: usize,
    kept_back: usize,
    /// True if a row did not fit.
    is_full: bool,
}

/// Outside of a reading.
const ENDLESS: Room = Room { left: usize::MAX, before_row: usize::MAX, kept_back: 0, is_full: false };

thread_local! {
    static OF_READING: Cell<Room> = const { Cell::new(ENDLESS) };
}

/// Returns how many bytes a body of so many may become.
pub(super) fn most(bytes: usize) -> usize {
    ROOM.max(bytes.saturating_mul(ROOM_PER_BYTE))
}

/// Runs a reading of a body of so many bytes within its room. Also returns whether its rows fit.
pub(super) fn within<T>(bytes: usize, read: impl FnOnce() -> T) -> (T, bool) {
    OF_READING.set(Room { left: most(bytes), ..ENDLESS });
    let read = read();
    (read, !OF_READING.replace(ENDLESS).is_full)
}

fn take(bytes: usize) -> bool {
    let room = OF_READING.get();
    let left = room.left.checked_sub(bytes);
    OF_READING.set(Room { left: left.unwrap_or_default(), ..room });
    left.is_some()
}

/// Notes that a row begins. In a lenient reading it may take half of what is left.
pub fn row_begins() {
    let room = OF_READING.get();
    let kept_back = if is_under_way() { room.left / 2 } else { 0 };
    OF_READING.set(Room { left: room.left - kept_back, before_row: room.left, kept_back, ..room });
}

/// Notes that the row that was read last has ended, and whether its values are kept.
pub fn row_ends(is_kept: bool) {
    let room = OF_READING.get();
    let left = if is_kept { room.left + room.kept_back } else { room.before_row };
    OF_READING.set(Room { left, kept_back: 0, ..room });
}

/// Takes room for one more row, beside that for its values.
///
/// # Errors
/// There is none, so the body is refused.
pub fn room_for_row<T, E: Error>() -> Result<(), E> {
    if take(SPARE * size_of::<T>()) {
        return Ok(());
    }
    OF_READING.set(Room { is_full: true, ..OF_READING.get() });
    Err(E::custom("more rows than there is room for"))
}

/// Takes room for one more item of a list that has so many.
fn room_for_item<T>(items: usize) -> bool {
    take(if items == 0 { FIRST } else { SPARE } * size_of::<T>())
}

/// Takes room for one more entry of a map that has so many.
pub(super) fn room_for_entry<T>(entries: usize) -> bool {
    take(if entries == 0 { NODE } else { SPARE } * size_of::<T>())
}

/// What the values of one field take, which is given back if they do not fit.
pub(super) struct Field {
    before: usize,
}

impl Field {
    /// Begins a field.
    pub(super) fn begins() -> Self {
        Self { before: OF_READING.get().left }
    }

    /// Gives back what the field has taken, as nothing of it is kept.
    pub(super) fn gives_back(&self) {
        OF_READING.set(Room { left: self.before, ..OF_READING.get() });
    }

    /// Gives back what the field has taken, and notes that it is lost; in a strict reading, fails it.
    pub(super) fn is_lost<E: Error>(&self) -> Result<(), E> {
        self.gives_back();
        lost("more than there is room for")
    }
}

/// Reads what `keep` takes of the items of a list; nothing if that does not fit.
pub(super) fn list<'de, S, T, A>(
    mut items: A,
    seed: &S,
    keep: impl Fn(S::Value) -> Option<T>,
) -> Result<Vec<T>, A::Error>
where
    S: DeserializeSeed<'de> + Clone,
    A: SeqAccess<'de>,
{
    let (mut list, field) = (Vec::with_capacity(items.size_hint().unwrap_or_default()), Field::begins());
    while let Some(item) = items.next_element_seed(seed.clone())? {
        let Some(item) = keep(item) else { continue };
        if room_for_item::<T>(list.len()) {
            list.push(item);
            continue;
        }
        drop(std::mem::take(&mut list));
        field.is_lost()?;
        while items.next_element::<IgnoredAny>()?.is_some() {}
        break;
    }
    Ok(list)
}
