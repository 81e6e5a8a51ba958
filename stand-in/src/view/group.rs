//! Groups and memberships.

use serde::Serialize;

use crate::clock::Time;
use crate::store::group::{Group, Membership};

use super::{Links, RecordUrl};

/// A group, with its keys in the order of Zendesk's recorded responses.
#[derive(Serialize)]
pub struct GroupView<'a> {
    url: RecordUrl<'a, i64>,
    id: i64,
    is_public: bool,
    name: &'a str,
    description: &'a str,
    /// Whether this is the account's default group.
    default: bool,
    deleted: bool,
    created_at: Time,
    updated_at: Time,
}

impl<'a> GroupView<'a> {
    pub fn new(links: &'a Links, group: &'a Group, default: bool) -> Self {
        Self {
            url: links.url("groups", group.id),
            id: group.id,
            is_public: group.is_public,
            name: &group.name,
            description: &group.description,
            default,
            deleted: group.deleted,
            created_at: group.created_at,
            updated_at: group.updated_at,
        }
    }
}

/// A membership, with its keys in the order of Zendesk's recorded responses; old memberships have no `updated_at`.
#[derive(Serialize)]
pub struct MembershipView<'a> {
    url: RecordUrl<'a, i64>,
    id: i64,
    user_id: i64,
    group_id: i64,
    /// Whether this is the agent's default group.
    default: bool,
    created_at: Time,
    #[serde(skip_serializing_if = "Option::is_none")]
    updated_at: Option<Time>,
}

impl<'a> MembershipView<'a> {
    pub fn new(links: &'a Links, membership: &Membership) -> Self {
        Self {
            url: links.url("group_memberships", membership.id),
            id: membership.id,
            user_id: membership.user_id,
            group_id: membership.group_id,
            default: membership.default,
            created_at: membership.created_at,
            updated_at: membership.updated_at,
        }
    }
}
