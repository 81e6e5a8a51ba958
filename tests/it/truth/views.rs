//! Replies as the judge sees them.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use zendesk_gateway::proto::{DeletedUser, Group, GroupMembership, User};

use super::judge::{Asked, Seen};
use super::state::State;
use super::world::{Kind, Life};

/// A record of a reply.
pub trait View {
    fn seen(&self) -> Seen<'_>;
}

impl View for User {
    fn seen(&self) -> Seen<'_> {
        Seen { kind: Kind::User, id: self.id, url: self.url.as_deref(), written: self.notes.as_deref(), life: None }
    }
}

impl View for DeletedUser {
    fn seen(&self) -> Seen<'_> {
        Seen { kind: Kind::User, id: self.id, url: self.url.as_deref(), written: None, life: Some(Life::Deleted) }
    }
}

impl View for Group {
    fn seen(&self) -> Seen<'_> {
        Seen { kind: Kind::Group, id: self.id, url: self.url.as_deref(), written: self.name.as_deref(), life: None }
    }
}

impl View for GroupMembership {
    fn seen(&self) -> Seen<'_> {
        Seen { kind: Kind::Membership, id: self.id, url: self.url.as_deref(), written: None, life: None }
    }
}

impl State {
    /// Judges one record that was asked for by its id.
    pub fn one(&mut self, asked: &Asked, record: Option<&impl View>, wanted: Option<i64>) {
        match record {
            Some(record) => self.seen(asked, record.seen(), wanted),
            None => self.wrong("an answer holds nothing", asked, "OK, and no record"),
        }
    }

    /// Judges the rows of a list of what is live, in the order of their ids if it has cursors.
    pub fn rows(&mut self, asked: &Asked, rows: &[impl View], ordered: bool) {
        for row in rows {
            let mut seen = row.seen();
            seen.life = seen.life.or(Some(Life::Live));
            self.seen(asked, seen, None);
        }
        if ordered && !rows.is_sorted_by(|one, other| one.seen().id < other.seen().id) {
            self.wrong("a list is not in its order or names a record twice", asked, "see its ids");
        }
    }

    /// Judges what comes beside the records of an answer, in the order of the ids, where it was asked for.
    pub fn beside(&mut self, asked: &Asked, rows: &[impl View], is_wanted: bool) {
        if is_wanted {
            self.rows(asked, rows, true);
        } else if !rows.is_empty() {
            self.wrong("an answer has more than was asked for", asked, "records beside the others");
        }
    }

    /// Judges whether all that nothing deletes is in a list that has come to its end or so far.
    pub fn all_there(&mut self, asked: &Asked, rows: &[impl View], lasting: RangeInclusive<i64>) {
        let there: BTreeSet<i64> = rows.iter().map(|row| row.seen().id).collect();
        let missing: Vec<i64> = lasting.filter(|id| !there.contains(id)).collect();
        if !missing.is_empty() {
            self.wrong("a list leaves out records that were there all the time", asked, &format!("{missing:?}"));
        }
    }

    /// Judges the memberships of a list by whose they are.
    pub fn memberships(&mut self, asked: &Asked, rows: &[GroupMembership], of: Option<(Kind, i64)>) {
        for row in rows {
            let Some(record) = self.world.ever(Kind::Membership, row.id) else { continue };
            let (user, group) = (record.user, record.group);
            let names_it = match of {
                Some((Kind::Group, id)) => group == id,
                Some((_, id)) => user == id,
                None => true,
            };
            if !names_it || (row.user_id, row.group_id) != (Some(user), Some(group)) {
                let text = format!("{row:?}, of {of:?} and truly of user {user} and group {group}");
                self.wrong("a list names a record that does not belong there", asked, &text);
            }
        }
    }
}
