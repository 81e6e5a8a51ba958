//! <https://developer.zendesk.com/api-reference/ticketing/groups/group_memberships/>

use super::{Read, Style, id, list, sort};
use crate::cache::{Policy, tag};
use crate::error::{Error, Result};
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
        let membership = id("id", self.id)?;
        Ok(match self.user_id {
            None => Rest::get(path!["group_memberships", membership]),
            Some(user) => Rest::get(path!["users", id("user_id", user)?, "group_memberships", membership]),
        })
    }

    fn fits(&self, reply: &Self::Reply) -> bool {
        let whose = |row: &GroupMembership| self.user_id.is_none() || row.user_id == self.user_id;
        reply.group_membership.as_ref().is_some_and(|row| row.id == self.id && whose(row))
    }

    fn cache(&self) -> Policy {
        Policy::record(tag::membership(self.id))
    }
}

// List Memberships. <https://developer.zendesk.com/api-reference/ticketing/groups/group_memberships/#list-memberships>
list!(ListMembershipsRequest | StreamMembershipsRequest => GroupMembership, Style::Cursor, |this| {
    let scope = this.filter.as_ref().and_then(|filter| filter.scope);
    if scope.is_some() && !this.sort.is_empty() {
        return Err(Error::invalid("sort", "cannot be combined with filter.scope"));
    }
    let rest = match scope {
        None => Rest::get(path!["group_memberships"]),
        Some(Scope::UserId(user)) => Rest::get(path!["users", id("filter.user_id", user)?, "group_memberships"]),
        Some(Scope::GroupId(group)) => Rest::get(path!["groups", id("filter.group_id", group)?, "memberships"]),
    };
    let include = match (this.include_users, this.include_groups) {
        (false, false) => None,
        (true, false) => Some("users"),
        (false, true) => Some("groups"),
        (true, true) => Some("users,groups"),
    };
    rest.query_if("include", include).text("sort", "sort", sort(&this.sort)?)
}, {
    let policy = Policy::list(match this.filter.as_ref().and_then(|filter| filter.scope) {
        None => tag::memberships(),
        Some(Scope::UserId(user)) => tag::memberships_of_user(user),
        Some(Scope::GroupId(group)) => tag::memberships_of_group(group),
    });
    let policy = if this.include_users { policy.and(tag::users()) } else { policy };
    if this.include_groups { policy.and(tag::groups()) } else { policy }
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
