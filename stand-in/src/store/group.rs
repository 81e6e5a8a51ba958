//! A group and the memberships that put agents into groups.

use crate::clock::Time;

/// One group, live or deleted.
#[derive(Clone, Debug)]
pub struct Group {
    pub id: i64,
    pub name: Box<str>,
    pub description: Box<str>,
    pub is_public: bool,
    pub deleted: bool,
    pub created_at: Time,
    pub updated_at: Time,
    /// Served instead of everything above, byte for byte: a test's odd record.
    pub verbatim: Option<Box<str>>,
}

/// An agent's place in a group. Its id is not the group's id.
#[derive(Clone, Debug)]
pub struct Membership {
    pub id: i64,
    pub user_id: i64,
    pub group_id: i64,
    /// Whether this is the agent's default group.
    pub default: bool,
    pub created_at: Time,
    /// Old memberships have none.
    pub updated_at: Option<Time>,
    /// Served instead of everything above, byte for byte: a test's odd record.
    pub verbatim: Option<Box<str>>,
}
