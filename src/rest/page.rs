//! One page of a Zendesk list, read straight from its JSON: rows, sideloads, and where the next page begins.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{DeserializeSeed, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::row::Row;
use crate::json::{self, Malformed};
use crate::proto::Group;
use crate::upstream::rest::{Names, Owner};

mod around;
mod beside;
mod link;
mod meta;
mod next;
mod rows;
mod sideloads;
#[cfg(test)]
mod tests;

use around::{Around, Key};
use link::Link;
use meta::Unread;

pub use meta::{Meta, is_cursor};
pub use next::{Next, Size};
pub use rows::{Rows, next_row};
pub use sideloads::Sideloads;

/// True if a list of so many items, which stands in this body under a key of its own, may be a part of a longer one: by what stands
/// around it, or because that cannot be read.
pub fn may_go_on(body: &[u8], items: usize) -> bool {
    let around = json::decode::<Page<Group>>(body).ok().and_then(|(page, losses)| {
        let unread = Unread::of(&losses.untold).ok()?;
        Some(Page { unread, unreadable_rows: i32::try_from(items).unwrap_or(i32::MAX), ..page })
    });
    around.is_none_or(|page| page.says_that_there_is_more() || page.leaves_open_whether_there_is_more())
}

/// One page.
#[derive(Debug)]
pub struct Page<R, C = Vec<R>> {
    /// The rows.
    pub rows: C,
    /// What comes beside the rows.
    pub beside: Sideloads,
    /// How many rows the whole list has; lists with page numbers state it.
    pub count: Option<i64>,
    /// How many rows, and sideloads, were left out because they cannot be read.
    pub unreadable_rows: i32,
    /// True if the body has the list.
    listed: bool,
    /// True if the body has a key that no page has.
    others: bool,
    /// What could not be read of what stands around the rows.
    unread: Unread,
    meta: Meta,
    link: Link,
    row: PhantomData<fn() -> R>,
}

impl<R: Row, C: Rows> Page<R, C> {
    /// Reads a page, whether and however the list goes on after it.
    ///
    /// # Errors
    /// [`Malformed::Foreign`] for rows of another owner, and for an object without the list: that is an error page or another
    /// endpoint's answer, not an empty list. [`Malformed::Incomplete`] if the list cannot be read.
    pub fn read(body: &[u8], owner: Owner) -> Result<Self, Malformed> {
        // It is JSON, but something else stands in the place of the page or of its list.
        let (mut page, losses) = json::decode::<Self>(body).map_err(|error| match error {
            Malformed::Incomplete { .. } => Malformed::without(R::KEY),
            other => other,
        })?;
        page.unreadable_rows = losses.rows;
        page.unread = Unread::of(&losses.untold).map_err(Malformed::without)?;
        match () {
            () if page.listed && page.rows.belong_to(owner) => Ok(page),
            () if page.listed || page.others => Err(Malformed::Foreign),
            () => Err(Malformed::without(R::KEY)),
        }
    }

    /// Reads what comes beside one record, which stands alone in its answer. Also returns how many of it cannot be read.
    ///
    /// # Errors
    /// The body is no object.
    pub fn beside_one(body: &[u8]) -> Result<(Sideloads, i32), Malformed> {
        let (page, losses) = json::decode::<Self>(body)?;
        Ok((page.beside, losses.rows))
    }

    /// Reads a page of a list that goes on by cursor or by number.
    ///
    /// # Errors
    /// Those of [`Page::read`], and [`Malformed::Incomplete`] if what says where the list goes on, or that it has ended, cannot be
    /// read. Whatever else around the rows cannot be read costs nothing.
    pub fn read_of_many(body: &[u8], owner: Owner, is_numbered: bool) -> Result<Self, Malformed> {
        let page = Self::read(body, owner)?;
        let unclear = || Malformed::without("what says where the list goes on, in meta, links or next_page,");
        if page.is_unclear(is_numbered) { Err(unclear()) } else { Ok(page) }
    }

    /// True if what says whether and where the list goes on cannot be read.
    fn is_unclear(&self, is_numbered: bool) -> bool {
        let Meta { has_more, after_cursor } = &self.meta;
        let Unread { has_more: is_more_lost, after_cursor: is_cursor_lost, link: is_link_lost, .. } = self.unread;
        let leads_on = matches!(self.link, Link::Cursor(_) | Link::Page { .. });
        match has_more {
            Some(false) => false,
            _ if is_numbered => has_more.is_none() && is_more_lost && self.link == Link::Missing,
            // Whoever goes on finds out whether there is more.
            _ if after_cursor.is_some() || leads_on => false,
            None if is_more_lost => self.link != Link::None,
            Some(true) => is_cursor_lost || is_link_lost,
            None => self.link != Link::None && (is_cursor_lost || is_link_lost),
        }
    }

    /// Returns whether the list ends with the page; none if the page does not say it.
    pub fn is_last(&self) -> Option<bool> {
        self.meta.has_more.map(|has_more| !has_more)
    }

    /// Returns the cursor after which the next page begins, even if there is none yet.
    pub fn cursor(&self) -> Option<&str> {
        self.meta.after_cursor.as_deref()
    }

    /// True if there are no rows.
    pub fn is_empty(&self) -> bool {
        self.length() == 0
    }

    /// Returns the number of rows, with those that cannot be read.
    fn length(&self) -> usize {
        self.rows.count() + usize::try_from(self.unreadable_rows).unwrap_or_default()
    }

    /// Returns what comes after a page that was asked for by cursor, with at most `size` rows.
    ///
    /// A page that says neither where the list goes on nor that it has ended is taken for the last one, unless it has as many
    /// rows as were asked for: then there may be more, and the result is [`Next::Nowhere`].
    pub fn after(&self, size: u32) -> Next {
        match (self.meta.next(self.is_empty()), &self.link) {
            // A contradiction: by its cursors the list has ended, by its page numbers it has not.
            (Some(Next::End), Link::Page { .. }) => Next::Nowhere,
            (Some(Next::Nowhere) | None, Link::Cursor(_)) if self.is_empty() => Next::End,
            (Some(Next::Nowhere) | None, Link::Cursor(cursor)) => Next::Cursor(cursor.clone()),
            (Some(Next::Nowhere) | None, Link::Page { number, size }) => {
                let own = u32::try_from(self.length()).ok().filter(|rows| *rows > 0);
                match size.map(Size::Asked).or(own.map(Size::Own)) {
                    Some(size) => Next::Numbered { number: *number, size },
                    None => Next::Nowhere,
                }
            }
            (Some(next), _) => next,
            (None, Link::Unreadable) => Next::Nowhere,
            (None, Link::Missing) if self.is_full(size) => Next::Nowhere,
            (None, Link::Missing | Link::None) => Next::End,
        }
    }

    /// True if the page says where the list goes on, that it has ended, or how long it is. Any other page may be a part of the
    /// list.
    pub fn says_how_it_goes_on(&self) -> bool {
        let Meta { has_more, after_cursor } = &self.meta;
        has_more.is_some() || after_cursor.is_some() || self.link != Link::Missing || self.count.is_some()
    }

    /// True if the page says that the list has more rows than the page.
    pub fn says_that_there_is_more(&self) -> bool {
        let rows = i64::try_from(self.length()).unwrap_or(i64::MAX);
        self.meta.has_more == Some(true)
            || matches!(self.link, Link::Cursor(_) | Link::Page { .. })
            || self.count.is_some_and(|count| count > rows)
    }

    /// True if it cannot be read whether the list has more rows than the page.
    pub fn leaves_open_whether_there_is_more(&self) -> bool {
        let is_odd = self.unread != Unread::default() || self.link == Link::Unreadable;
        is_odd && self.meta.has_more != Some(false)
    }

    /// True if all that the page says of the list around its rows was read: whether it goes on and where, and how many rows it has,
    /// if it states that.
    pub fn is_stated_clearly(&self) -> bool {
        self.unread == Unread::default()
    }

    /// Returns what comes after page `number` of a list that was asked for by number, with at most `size` rows. The count is
    /// ignored, because it can be a day old. Without any link, a full page may have another one after it.
    pub fn after_page(&self, number: u32, size: u32) -> Next {
        let next = Next::Page(number.saturating_add(1));
        match self.link {
            Link::Unreadable if self.meta.has_more == Some(false) => Next::End,
            Link::Page { .. } | Link::Cursor(_) | Link::Unreadable => next,
            Link::Missing if self.meta.has_more.is_none() && self.is_full(size) => next,
            Link::None | Link::Missing if self.meta.has_more == Some(true) => Next::Nowhere,
            Link::None | Link::Missing => Next::End,
        }
    }

    fn is_full(&self, size: u32) -> bool {
        u32::try_from(self.length()).is_ok_and(|rows| rows == size)
    }

    /// Returns what goes into a message of the page that has rows which name these records. What is beside rows that name none goes
    /// with the last of them: which row it belongs to is not said.
    #[must_use]
    pub fn part(&mut self, names: &[Names], is_last: bool) -> Page<R> {
        let beside = match (R::NAMES, is_last) {
            (true, _) => self.beside.of(names),
            (false, true) => std::mem::take(&mut self.beside),
            (false, false) => Sideloads::default(),
        };
        let unreadable_rows = if is_last { self.unreadable_rows } else { 0 };
        Page { beside, count: self.count, unreadable_rows, ..Page::new(Vec::new()) }
    }

    /// Returns the page without its rows: what stands beside them.
    #[must_use]
    pub fn without_rows(self) -> Page<R> {
        // Each field by its name, so that a new one cannot be forgotten.
        let Self { beside, count, unreadable_rows, rows: _, .. } = self;
        Page { beside, count, unreadable_rows, ..Page::new(Vec::new()) }
    }
}

impl<R, C> Page<R, C> {
    fn new(rows: C) -> Self {
        Self {
            rows,
            beside: Sideloads::default(),
            count: None,
            unreadable_rows: 0,
            listed: false,
            others: false,
            unread: Unread::default(),
            meta: Meta::default(),
            link: Link::Missing,
            row: PhantomData,
        }
    }
}

impl<'de, R: Row, C: Rows> Deserialize<'de> for Page<R, C> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_map(Reader(PhantomData))
    }
}

struct Reader<R, C>(PhantomData<(R, C)>);

impl<'de, R: Row, C: Rows> Visitor<'de> for Reader<R, C> {
    type Value = Page<R, C>;

    fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "an object with the list \"{}\"", R::KEY)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Page<R, C>, A::Error> {
        let mut page = Page::new(C::default());
        let mut around = Around::default();
        while let Some(key) = map.next_key::<Key<R>>()? {
            match key {
                Key::Rows(_) => {
                    page.rows = map.next_value_seed(List(PhantomData))?;
                    page.listed = true;
                }
                Key::Around(key) => around.read(key, &mut map)?,
            }
        }
        let Around { beside, count, others, meta, top, link } = around;
        let meta =
            Meta { has_more: meta.has_more.or(top.has_more), after_cursor: meta.after_cursor.or(top.after_cursor) };
        Ok(Page { beside, count, others, meta, link, ..page })
    }
}

/// Reads the rows into a `C`.
struct List<C>(PhantomData<C>);

impl<'de, C: Rows> DeserializeSeed<'de> for List<C> {
    type Value = C;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<C, D::Error> {
        C::read(from)
    }
}
