//! Lists with page numbers: the first page says how many rows there are, so several pages are fetched in parallel.
//!
//! Page numbers mean positions, and positions shift while rows are added and removed. Every page states how many rows the
//! list has; while that count stays the same, pages fetched in any order fit together. When it changes, what was fetched
//! ahead is dropped:
//!
//! - The count grew: rows have moved to later pages. A page that was requested before the page before it was answered may
//!   miss rows, so it is requested again. Rows that come twice are left out by their ids.
//! - The count shrank: rows have moved to earlier pages, and some at the boundary were skipped. The walk goes back by as many
//!   pages as the lost rows fill, and rows that were seen before are left out.
//!
//! A count that leaps is asked for once more before anything follows from it: one odd count would send the walk back to its
//! beginning, and again when it is gone.
//!
//! One removal and one addition between the same two answers go unnoticed, because the count stays the same.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use super::leaf::{Leaf, Ready, Seen};
use super::message::Message;
use super::pages::{Fetch, Pages};
use crate::error::Result;
use crate::gateway::token::Position;
use crate::gateway::walk::{Added, MOST_ROWS, Walk};
use crate::share::Charge;

/// The last page that Zendesk serves, whatever its size: <https://developer.zendesk.com/api-reference/introduction/pagination/>
const LAST_PAGE: u32 = 100;
/// What an id takes that is remembered, with its share of the table.
const SEEN: usize = 9;
/// How often a walk goes back from the same page, so that a count that keeps changing cannot stop the walk for ever.
pub(super) const GOES_BACK: u32 = 10;
/// So many pages of rows are not added or removed between two requests.
const LEAP: u32 = 2;

/// A walk along the page numbers of a list.
pub struct Numbered {
    pages: Arc<Pages>,
    /// None at the end.
    walk: Option<Walk>,
    /// Pages being fetched, in order, from the walk's position on.
    coming: VecDeque<Coming>,
    /// How many pages are fetched in parallel: fewer while the list changes.
    width: u32,
    /// How many rows the list has, as the last page stated.
    count: Option<i64>,
    seen: HashSet<i64>,
    /// For rows without an id.
    seen_pages: Seen,
    /// What the caller is charged for `seen`.
    remembered: Charge,
    furthest: u32,
    gone_back: u32,
}

struct Coming {
    number: u32,
    /// The last page that had been answered when this one was requested.
    behind: u32,
    fetch: Fetch,
}

impl Numbered {
    pub fn new(pages: Arc<Pages>, walk: Walk) -> Self {
        let walk = Some(walk);
        let (coming, seen, seen_pages) = (VecDeque::new(), HashSet::new(), Seen::default());
        let (remembered, width, furthest, gone_back) = (pages.no_charge(), 1, 0, 0);
        let mut numbered =
            Self { pages, walk, coming, width, count: None, seen, seen_pages, remembered, furthest, gone_back };
        numbered.width = numbered.widest();
        numbered
    }

    /// Continues after the first page of a list that was asked for by cursor and answered by number.
    pub fn after_first(
        pages: Arc<Pages>,
        walk: Walk,
        count: Option<i64>,
        (seen, seen_pages): (HashSet<i64>, Seen),
    ) -> Self {
        let mut numbered = Self { count, seen, seen_pages, ..Self::new(pages, walk) };
        numbered.fetch_ahead(1);
        numbered
    }

    /// Returns the messages of the next page; none at the end.
    pub async fn turn(&mut self) -> Result<Option<Ready>> {
        let Some(mut walk) = self.walk.take() else { return Ok(None) };
        walk.not_too_deep()?;
        let before = self.furthest;
        let (leaf, charge) = self.settled(&mut walk).await?;
        self.count = leaf.count;
        let answered = walk.at().number();
        // A walk that has gone back meets rows that it has seen.
        let is_back = answered <= before && leaf.without_rows().is_none();
        let mut added = self.seen_pages.added(&leaf);
        let Leaf { mut messages, next, .. } = leaf;
        let has_ids = |messages: &[Message]| messages.iter().any(|message| !message.ids.is_empty());
        let had_ids = has_ids(&messages);
        for message in &mut messages {
            message.retain_new(&mut self.seen);
        }
        self.remembered.set(self.seen.capacity() * SEEN)?;
        if is_back || had_ids {
            added = Added::rows_unless(!is_back && !has_ids(&messages));
        }
        if walk.advance(next, added)? {
            self.fetch_ahead(answered);
            self.walk = Some(walk);
        }
        let messages = messages.into_iter().map(|message| message.bytes).filter(|bytes| !bytes.is_empty()).collect();
        Ok(Some(Ready { messages, _charge: charge }))
    }

    /// Fetches the page at the walk's position until it fits the page before. That can move the walk back.
    async fn settled(&mut self, walk: &mut Walk) -> Result<(Leaf, Charge)> {
        let mut is_doubted = false;
        loop {
            let number = walk.at().number();
            if number > self.furthest {
                (self.furthest, self.gone_back) = (number, 0);
            }
            let coming = self.coming.pop_front().filter(|coming| coming.number == number);
            let early = coming.as_ref().is_some_and(|coming| coming.behind + 1 < number);
            let now = || self.pages.fetch(walk.at().clone(), None, self.pages.no_charge());
            let (leaf, charge) = coming.map_or_else(now, |coming| coming.fetch).leaf().await?;
            let grown = self.count.zip(leaf.count).map_or(0, |(before, now)| now - before);
            if grown == 0 {
                self.width = self.widest().min(self.width + 1);
                return Ok((leaf, charge));
            }
            self.coming.clear();
            self.width = (self.width / 2).max(1);
            let is_leap = grown.unsigned_abs() > u64::from(LEAP * self.pages.list.size);
            if is_leap && !is_doubted {
                is_doubted = true;
                continue;
            }
            is_doubted = false;
            if grown > 0 && !early || grown < 0 && self.gone_back == GOES_BACK {
                return Ok((leaf, charge));
            }
            if grown < 0 {
                self.gone_back += 1;
                self.count = leaf.count;
                let rows = u32::try_from(-grown).unwrap_or(u32::MAX);
                walk.go_back(number.saturating_sub(rows.div_ceil(self.pages.list.size)).max(1));
            }
        }
    }

    /// Requests the pages after the one that was answered, until `width` of them are under way, as far as there is memory for them.
    fn fetch_ahead(&mut self, answered: u32) {
        let from = self.coming.back().map_or(answered, |coming| coming.number) + 1;
        let to = self.last_page().min(answered + self.width);
        for number in from..=to {
            let Some(charge) = self.pages.reserve() else { return };
            let fetch = self.pages.fetch(Position::Page(number), None, charge);
            self.coming.push_back(Coming { number, behind: answered, fetch });
        }
    }

    /// Returns the number of the last page that the row count promises; 0 where the list does not state the count.
    fn last_page(&self) -> u32 {
        let (rows, size) = (self.count.unwrap_or_default(), self.pages.list.size);
        let rows = u32::try_from(rows).unwrap_or(if rows < 0 { 0 } else { u32::MAX });
        rows.div_ceil(size).min(LAST_PAGE).min(MOST_ROWS / size)
    }

    fn widest(&self) -> u32 {
        u32::try_from(self.pages.gateway.streams.parallel_pages).unwrap_or(u32::MAX).min(LAST_PAGE)
    }
}
