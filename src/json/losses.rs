//! What a lenient reading leaves out, and where.
//!
//! A loss is counted by its field, without positions and without anything that is content. The record around it has the path,
//! with positions, in `unreadable_fields`. A path that no record has taken up yet is `untold`.
//!
//! A body can hold millions of odd values, so nothing is noted for each: what is counted has one entry for each field and JSON
//! type, and of the paths there are no more than a record can tell.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;
use std::rc::Rc;
use std::sync::Weak;

use serde::de::Error as _;
use serde_json::Error;

use super::{WANTED, is_unwanted};
use crate::contract::FREE_FORM;

/// Deepest nesting that is read: what is deeper is lost. Clients read no message of more than 100 levels.
pub(super) const DEEPEST: usize = 64;
/// Most paths that one record tells.
const MOST_TOLD: usize = 64;
/// Most paths of one field, where all would be too many for their record.
const MOST_OF_FIELD: usize = 8;
/// Most bytes of a key in a path: those of custom fields can be of any length.
const LONGEST_KEY: usize = 128;

/// Values that could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loss {
    /// The path of the field, such as `users.tags`, without positions in lists and without the keys of custom fields: so there are
    /// no more than the contract has.
    pub field: String,
    /// What was met in its place: a JSON type, or words such as `nothing` or `an unknown word`.
    pub met: &'static str,
    /// How many such values, or rows, there were.
    pub count: u64,
}

/// What a lenient reading left out.
#[derive(Debug, Default)]
pub struct Losses {
    /// All values and rows: once each field with what was met there.
    pub all: Vec<Loss>,
    /// Paths, with positions, that no record within the message could tell.
    pub untold: Vec<String>,
    /// How many rows of lists.
    pub rows: i32,
}

/// One step down in a body. A path is copied with each loss in it, so its keys are shared.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Step {
    Key(Rc<str>),
    Item(usize),
}

#[derive(Default)]
struct Reading {
    /// Where the reader is.
    path: Vec<Step>,
    untold: Vec<Vec<Step>>,
    /// The path that was lost last.
    last: Vec<Step>,
    losses: Losses,
    /// What was lost before the row that was read last: of each entry of `losses.all` the count, and of `untold` the length.
    before_row: (Vec<u64>, usize),
    /// A field's path while it is looked up.
    field: String,
    /// True if characters were replaced because they were no UTF-8.
    is_mended: bool,
    /// Held by whoever waits for this.
    wanted: Option<Weak<()>>,
}

impl Reading {
    fn count(&mut self, path: &[Step], met: &'static str) {
        self.field.clear();
        field(path, &mut self.field);
        let all = &mut self.losses.all;
        match all.iter_mut().find(|loss| loss.met == met && loss.field == self.field) {
            Some(loss) => loss.count += 1,
            None => all.push(Loss { field: self.field.clone(), met, count: 1 }),
        }
    }

    /// Notes a loss, unless the last one has the same path: of a text that is no UTF-8, the reader of the field may say so again.
    fn lose(&mut self, path: Vec<Step>, met: &'static str) {
        if self.last == path {
            return;
        }
        self.count(&path, met);
        self.last.clone_from(&path);
        if !self.is_told_by_its_field(&path) {
            self.untold.push(path);
        }
    }

    /// True if so many paths of a record's field are untold already that the record tells the field alone.
    ///
    /// A record is a row of a list, `users[5]`, or stands in an envelope, `user`.
    fn is_told_by_its_field(&self, path: &[Step]) -> bool {
        let field = if matches!(path.get(1), Some(Step::Item(_))) { ..=2 } else { ..=1 };
        let before = self.untold.len().checked_sub(MOST_TOLD + 1).map(|at| &self.untold[at]);
        // What was lost in a field stands together, as the body has it.
        path.get(field).is_some() && before.is_some_and(|before| before.get(field) == path.get(field))
    }

    fn row_lost(&mut self, met: &'static str) {
        let path = std::mem::take(&mut self.path);
        self.count(&path, met);
        self.path = path;
        self.losses.rows = self.losses.rows.saturating_add(1);
    }
}

thread_local! {
    /// The lenient reading under way on this thread; none while a body is read strictly.
    static READING: RefCell<Option<Reading>> = const { RefCell::new(None) };
}

/// Runs a lenient reading, and returns what was lost in it. `is_mended` says whether characters of the text were replaced because
/// they were no UTF-8.
pub(super) fn reading<T>(is_mended: bool, read: impl FnOnce() -> T) -> (T, Losses) {
    let wanted = WANTED.with_borrow(Clone::clone);
    READING.set(Some(Reading { is_mended, wanted, ..Reading::default() }));
    let read = read();
    let Reading { untold, mut losses, .. } = READING.take().unwrap_or_default();
    losses.all.retain(|loss| loss.count > 0);
    losses.untold = untold.iter().map(|steps| path(steps)).collect();
    (read, losses)
}

/// True if a lenient reading is under way on this thread.
pub(super) fn is_under_way() -> bool {
    READING.with_borrow(Option::is_some)
}

/// True if a text may have lost characters that were no UTF-8.
pub fn is_replaced(text: &str) -> bool {
    // Asked first: mostly nothing was replaced, and each text would be searched for nothing.
    let is_mended = READING.with_borrow(|reading| reading.as_ref().is_some_and(|reading| reading.is_mended));
    is_mended && text.contains(char::REPLACEMENT_CHARACTER)
}

/// Notes that the value at hand cannot be read; in a strict reading, fails it.
pub fn lost<E: serde::de::Error>(met: &'static str) -> Result<(), E> {
    note(|reading| reading.lose(reading.path.clone(), met))
}

/// Notes that the object at hand lacks what it must have under this key, unless that was lost already.
/// Fails a strict reading.
pub(super) fn lacks<E: serde::de::Error>(key: &str) -> Result<(), E> {
    note(|reading| {
        let path: Vec<Step> = reading.path.iter().cloned().chain([Step::Key(key.into())]).collect();
        // A loss within this object is among the last: the object has few fields.
        if !reading.untold.iter().rev().take(MOST_TOLD).any(|lost| *lost == path) {
            reading.lose(path, "nothing");
        }
    })
}

/// Notes that the row that was read last is of no use, whatever else was lost in it; in a strict reading, fails it.
pub fn row_lost<E: serde::de::Error>(met: &'static str) -> Result<(), E> {
    note(|reading| {
        let (counts, untold) = &reading.before_row;
        let before = counts.iter().copied().chain(std::iter::repeat(0));
        reading.losses.all.iter_mut().zip(before).for_each(|(loss, before)| loss.count = before);
        reading.untold.truncate(*untold);
        reading.row_lost(met);
    })
}

/// Notes that what stands in place of a list of rows is no list, which counts as one row; in a strict reading, fails it.
pub fn rows_lost<E: serde::de::Error>(met: &'static str) -> Result<(), E> {
    note(|reading| reading.row_lost(met))
}

fn note<E: serde::de::Error>(note: impl FnOnce(&mut Reading)) -> Result<(), E> {
    READING.with_borrow_mut(|reading| {
        note(reading.as_mut().ok_or_else(|| E::custom("a value that its field cannot hold"))?);
        Ok(())
    })
}

/// Returns how many paths are untold so far, and how deep the reader is.
pub(super) fn mark() -> (usize, usize) {
    let mark = |reading: &Reading| (reading.untold.len(), reading.path.len());
    READING.with_borrow(|reading| reading.as_ref().map(mark).unwrap_or_default())
}

/// Notes that an item of a list begins. Rows are items of lists at the top.
pub(super) fn item_begins() {
    READING.with_borrow_mut(|reading| {
        let Some(reading) = reading.as_mut().filter(|reading| reading.path.len() == 1) else { return };
        let (counts, untold) = &mut reading.before_row;
        counts.clear();
        counts.extend(reading.losses.all.iter().map(|loss| loss.count));
        *untold = reading.untold.len();
    });
}

/// True if a path was lost since so many were untold, and no record has been told of it.
pub(super) fn is_untold_since(before: usize) -> bool {
    mark().0 > before
}

/// Returns the paths that were lost since, for the record at this depth, which tells them from now on.
pub(super) fn told(before: usize, depth: usize) -> Vec<String> {
    let told = READING.with_borrow_mut(|reading| {
        let untold = &mut reading.as_mut().expect("a lenient reading is under way").untold;
        untold.split_off(before.min(untold.len()))
    });
    bounded(&told, depth)
}

/// Writes paths. Where they are too many, those of a field of which there are many are told by the field alone, so that they hide
/// no other field.
fn bounded(lost: &[Vec<Step>], depth: usize) -> Vec<String> {
    let mut of_field: HashMap<Option<&Step>, usize> = HashMap::new();
    for steps in lost {
        *of_field.entry(steps.get(depth)).or_default() += 1;
    }
    let told = |most: usize| {
        let mut seen = HashSet::new();
        let shown = lost.iter().map(|steps| {
            let whole = &steps[depth.min(steps.len())..];
            path(if of_field[&steps.get(depth)] > most { &whole[..whole.len().min(1)] } else { whole })
        });
        shown.filter(|path| seen.insert(path.clone())).take(MOST_TOLD + 1).collect::<Vec<_>>()
    };
    let mut paths = told(if lost.len() > MOST_TOLD { MOST_OF_FIELD } else { MOST_TOLD });
    if paths.len() > MOST_TOLD {
        paths = told(0);
    }
    paths.truncate(MOST_TOLD);
    paths
}

/// Writes a path with positions: `results[1].id`.
pub(super) fn path(steps: &[Step]) -> String {
    let mut path = String::new();
    for step in steps {
        match step {
            Step::Key(key) => {
                if !path.is_empty() {
                    path.push('.');
                }
                path.push_str(&key[..key.floor_char_boundary(LONGEST_KEY)]);
            }
            Step::Item(at) => write!(path, "[{at}]").expect("writing to a string does not fail"),
        }
    }
    path
}

/// Adds a path by which losses are counted to a text.
fn field(steps: &[Step], field: &mut String) {
    for step in steps {
        let Step::Key(key) = step else { continue };
        if !field.is_empty() {
            field.push('.');
        }
        field.push_str(key);
        if FREE_FORM.contains(&&**key) {
            break;
        }
    }
}

/// Goes one step down, and up again when it is dropped.
pub(super) struct Down;

impl Down {
    /// Returns none if that would be too deep, and notes that the value there is lost.
    ///
    /// # Errors
    /// Nobody waits for the reading any more.
    pub(super) fn to(step: Step) -> Result<Option<Self>, Error> {
        let went = READING.with_borrow_mut(|reading| {
            let Reading { path, wanted, .. } = reading.as_mut().expect("a lenient reading is under way");
            if is_unwanted(wanted.as_ref()) {
                return Err(Error::custom("nobody waits for it"));
            }
            let goes = path.len() < DEEPEST;
            if goes {
                path.push(step);
            }
            Ok(goes)
        })?;
        if !went {
            lost("nested too deeply")?;
        }
        Ok(went.then_some(Self))
    }
}

impl Drop for Down {
    fn drop(&mut self) {
        READING.with_borrow_mut(|reading| {
            if let Some(reading) = reading {
                reading.path.pop();
            }
        });
    }
}
