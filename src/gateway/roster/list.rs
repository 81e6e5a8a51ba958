//! Reads all memberships of a group or a user.

use std::collections::HashMap;

use crate::error::{Error, Result};
use crate::gateway::walk::{Added, Walk};
use crate::gateway::{Context, Gateway};
use crate::proto::{GroupMembership, GroupMembershipInput};
use crate::rest::page::{Next, Page};
use crate::rest::row::Row;
use crate::rest::{Paging, Style, memberships};
use crate::upstream::call::Priority;
use crate::upstream::rest::Rest;

/// The side that is fixed: memberships are those of one group, or of one user.
#[derive(Debug, Clone, Copy)]
pub enum Side {
    /// The agents of a group.
    AgentsOf(i64),
    /// The groups of a user.
    GroupsOf(i64),
}

impl Side {
    /// Returns the id on the other side of a membership.
    pub fn other(self, row: &GroupMembership) -> Option<i64> {
        match self {
            Self::AgentsOf(_) => row.user_id,
            Self::GroupsOf(_) => row.group_id,
        }
    }

    /// Returns the input for a membership of this side with an id on the other.
    pub fn input(self, other: i64) -> GroupMembershipInput {
        let (user_id, group_id) = match self {
            Self::AgentsOf(group) => (other, group),
            Self::GroupsOf(user) => (user, other),
        };
        GroupMembershipInput { user_id, group_id, default: None }
    }

    fn list(self) -> Result<Rest> {
        match self {
            Self::AgentsOf(group) => memberships::of_group(group),
            Self::GroupsOf(user) => memberships::of_user(user),
        }
    }
}

/// True if this group is the user's default.
pub fn is_default(rows: &[GroupMembership], group: i64) -> bool {
    rows.iter().any(|row| row.group_id == Some(group) && row.default == Some(true))
}

impl Gateway {
    /// Reads all memberships of a group or a user.
    pub(super) async fn memberships(&self, context: &Context, side: Side) -> Result<Vec<GroupMembership>> {
        let is_whole = |row: &GroupMembership| {
            let acted_on = |field: &String| ["user_id", "group_id", "default"].contains(&field.as_str());
            row.user_id.is_some() && row.group_id.is_some() && !row.unreadable_fields.iter().any(acted_on)
        };
        self.all(context, side.list()?, is_whole).await
    }

    /// Reads a list to its end. A write that compares with the whole list must not work from a part of it, so every doubt that
    /// the list is complete is an [`Error::Incomplete`].
    pub(in crate::gateway) async fn all<R: Row + PartialEq>(
        &self,
        context: &Context,
        list: Rest,
        is_whole: fn(&R) -> bool,
    ) -> Result<Vec<R>> {
        let endpoint = list.endpoint_name();
        let incomplete = |what: &str| Error::Incomplete { what: format!("{endpoint}: {what}") };
        let mut walk = Walk::begin(list, Paging { style: Style::Cursor, size: 0, token: "" })?;
        let read = context.read(Priority::Interactive);
        let (mut rows, mut places) = (Vec::new(), HashMap::<i64, usize>::new());
        loop {
            let page: Page<R> = self.reads.page(&read, &walk.list, walk.at(), None).await?;
            let (next, before) = (walk.list.after(walk.at(), &page), rows.len());
            let says_how_it_goes_on = page.says_how_it_goes_on();
            if page.unreadable_rows > 0 {
                return Err(incomplete("a row cannot be read"));
            }
            if !page.is_stated_clearly() {
                return Err(incomplete("it cannot be read whether it goes on, or how many rows it has"));
            }
            let count = page.count.and_then(|count| usize::try_from(count).ok());
            // A list that is gathered is a message of the caller's that nobody takes.
            let weight = page.rows.iter().map(|row| size_of::<R>() + row.encoded_len()).sum();
            context.place.charge(context.caller.share(), weight)?;
            for row in page.rows {
                match row.id().and_then(|id| places.get(&id)) {
                    Some(place) if rows[*place] == row => {}
                    Some(_) => return Err(incomplete("two rows have one id")),
                    None => {
                        places.extend(row.id().map(|id| (id, rows.len())));
                        rows.push(row);
                    }
                }
            }
            if matches!(next, Next::Numbered { .. }) {
                return Err(incomplete("it comes by page number, and rows move between pages"));
            }
            // Some lists repeat their rows under ever new cursors.
            if walk.advance(next, Added::rows_unless(rows.len() == before))? {
                continue;
            }
            if !says_how_it_goes_on {
                return Err(incomplete("it does not say that it has ended"));
            }
            if count.is_some_and(|count| count > rows.len()) {
                return Err(incomplete("it states more rows than it has"));
            }
            if let Some(row) = rows.iter().position(|row| !is_whole(row)) {
                return Err(incomplete(&format!("row {row} lacks an id, or what is acted on cannot be read")));
            }
            return Ok(rows);
        }
    }
}
