//! <https://developer.zendesk.com/api-reference/ticketing/groups/group_memberships/>

use super::beside::also;
use super::{Includes as _, Read, Style, id, list, names, sorted};
use crate::cache::{Policy, tag};
use crate::error::{Checks, Result};
use crate::path;
use crate::proto::{
    GetMembershipRequest, GroupMembership, ListAssignableMembershipsRequest, ListMembershipsRequest,
    StreamAssignableMembershipsRequest, StreamMembershipsRequest, membership_filter::Scope,
};
use crate::upstream::rest::Rest;

pub mod bulk;
mod writes;

/// Show Membership. <https://developer.zendesk.com/api-reference/ticketing/groups/group_memberships/#show-membership>
impl Read for GetMembershipRequest {
    fn rest(&self) -> Result<Rest> {
        let mut checks = Checks::default();
        let membership = checks.take(id("id", self.id));
        let user = self.user_id.map(|user| checks.take(id("user_id", user)));
        checks.end(membership.and_then(|membership| match user {
            None => Some(Rest::get(path!["group_memberships", membership])),
            Some(user) => Some(Rest::get(path!["users", user?, "group_memberships", membership])),
        }))
    }

    fn fits(&self, reply: &Self::Reply) -> bool {
        let whose = |row: &GroupMembership| {
            self.user_id.is_none_or(|user| names(user, row.user_id, "user_id", &row.unreadable_fields))
        };
        reply.group_membership.as_ref().is_some_and(|row| row.id == self.id && whose(row))
    }

    fn cache(&self) -> Policy {
        Policy::record(tag::membership(self.id))
    }
}

/// Fields that lists of memberships can be sorted by; see the comment on those of users. Memberships have no name.
const MEMBERSHIPS: &[&str] = &["id", "created_at", "updated_at"];

// List Memberships. <https://developer.zendesk.com/api-reference/ticketing/groups/group_memberships/#list-memberships>
list!(ListMembershipsRequest | StreamMembershipsRequest => GroupMembership, Style::Cursor, sorted by MEMBERSHIPS, |this| {
    let scope = this.filter.as_ref().and_then(|filter| filter.scope);
    let mut checks = Checks::default();
    let field = scope.map(|scope| match scope {
        Scope::UserId(_) => "filter.user_id",
        Scope::GroupId(_) => "filter.group_id",
    });
    if let Some(field) = field && !this.sort.is_empty() {
        checks.refuse("sort", &format!("cannot be combined with {field}"));
    }
    let rest = checks.take(match scope {
        None => Ok(Rest::get(path!["group_memberships"])),
        Some(Scope::UserId(user)) => {
            id("filter.user_id", user).map(|user| Rest::get(path!["users", user, "group_memberships"]))
        }
        Some(Scope::GroupId(group)) => {
            id("filter.group_id", group).map(|group| Rest::get(path!["groups", group, "memberships"]))
        }
    });
    checks.end(rest.map(|rest| sorted(rest.include(this.includes()), &this.sort)))
}, {
    let policy = Policy::list(match this.filter.as_ref().and_then(|filter| filter.scope) {
        None => tag::memberships(),
        Some(Scope::UserId(user)) => tag::memberships_of_user(user),
        Some(Scope::GroupId(group)) => tag::memberships_of_group(group),
    });
    also(policy, &this.includes())
});

// List Assignable Memberships, paged as assignable groups are.
// <https://developer.zendesk.com/api-reference/ticketing/groups/group_memberships/#list-assignable-memberships>
list!(ListAssignableMembershipsRequest | StreamAssignableMembershipsRequest
    => GroupMembership, Style::CursorOrOffset, |this| {
    Ok(match this.filter.and_then(|filter| filter.group_id) {
        None => Rest::get(path!["group_memberships", "assignable"]),
        Some(group) => Rest::get(path!["groups", id("filter.group_id", group)?, "memberships", "assignable"]),
    })
}, Policy::list(match this.filter.and_then(|filter| filter.group_id) {
    None => tag::memberships(),
    Some(group) => tag::memberships_of_group(group),
}));

/// List Memberships of a group.
/// <https://developer.zendesk.com/api-reference/ticketing/groups/group_memberships/#list-memberships>
pub fn of_group(group: i64) -> Result<Rest> {
    Ok(Rest::get(path!["groups", id("id", group)?, "memberships"]))
}

/// List Memberships of a user.
/// <https://developer.zendesk.com/api-reference/ticketing/groups/group_memberships/#list-memberships>
pub fn of_user(user: i64) -> Result<Rest> {
    Ok(Rest::get(path!["users", id("user_id", user)?, "group_memberships"]))
}
