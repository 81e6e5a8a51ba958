//! <https://developer.zendesk.com/api-reference/ticketing/groups/groups/>

use super::beside::{beside, refuse};
use super::{Includes as _, Read, Style, envelope, has_id, id, is_count, list, sorted};
use crate::cache::{Policy, Tag, tag};
use crate::error::{Checks, Error, Result};
use crate::json::Malformed;
use crate::path;
use crate::proto::{CountGroupsRequest, GetGroupRequest, Group, GroupFilter, ListGroupsRequest, StreamGroupsRequest};
use crate::upstream::call::Parsed;
use crate::upstream::rest::Rest;

mod writes;

/// Show Group. <https://developer.zendesk.com/api-reference/ticketing/groups/groups/#show-group>
impl Read for GetGroupRequest {
    fn rest(&self) -> Result<Rest> {
        Ok(Rest::get(path!["groups", id("id", self.id)?]).include(self.includes()))
    }

    fn fits(&self, reply: &Self::Reply) -> bool {
        has_id(reply.group.as_ref(), self.id, |group| group.id)
    }

    fn parse(&self, body: &[u8]) -> Result<Parsed, Malformed> {
        beside::<Self::Reply>(envelope(body, |reply| self.fits(reply))?, body, &self.includes())
    }

    fn cache(&self) -> Policy {
        with_members(Policy::record(tag::group(self.id)), self.include_users, tag::memberships_of_group(self.id))
    }
}

/// Fields that lists of groups can be sorted by; see the comment on those of users.
const GROUPS: &[&str] = &["id", "name", "created_at", "updated_at"];

// List Groups. <https://developer.zendesk.com/api-reference/ticketing/groups/groups/#list-groups>
list!(ListGroupsRequest | StreamGroupsRequest => Group, Style::Cursor, sorted by GROUPS, |this| {
    let (filter, mut checks) = (this.filter.unwrap_or_default(), Checks::default());
    if filter.user_id.is_some() {
        refuse(&mut checks, &this.includes(), "filter.user_id");
    }
    let rest = checks.take(match filter.user_id {
        None => Ok(Rest::get(path!["groups"])),
        Some(user) => id("filter.user_id", user).map(|user| Rest::get(path!["users", user, "groups"])),
    });
    let exclude_deleted = filter.exclude_deleted.map(|exclude| exclude.to_string());
    let rest = rest.map(|rest| rest.query_if("exclude_deleted", exclude_deleted).include(this.includes()));
    checks.end(rest.map(|rest| sorted(rest, &this.sort)))
}, with_members(scoped(Policy::list(tag::groups()), this.filter), this.include_users, tag::memberships()));

/// Count Groups. <https://developer.zendesk.com/api-reference/ticketing/groups/groups/#count-groups>
impl Read for CountGroupsRequest {
    fn rest(&self) -> Result<Rest> {
        let filter = self.filter.unwrap_or_default();
        if filter.exclude_deleted.is_some() {
            return Err(Error::invalid("filter.exclude_deleted", "is not offered for counts"));
        }
        Ok(match filter.user_id {
            None => Rest::get(path!["groups", "count"]),
            Some(user) => Rest::get(path!["users", id("filter.user_id", user)?, "groups", "count"]),
        })
    }

    fn fits(&self, reply: &Self::Reply) -> bool {
        is_count(reply.count.as_ref())
    }

    fn cache(&self) -> Policy {
        scoped(Policy::count(tag::groups()), self.filter)
    }
}

/// Who the members of groups are changes with memberships, too.
fn with_members(policy: Policy, are_included: bool, memberships: Tag) -> Policy {
    if are_included { policy.and(tag::users()).and(memberships) } else { policy }
}

/// A list or count of a user's groups changes with the user's memberships, too.
fn scoped(policy: Policy, filter: Option<GroupFilter>) -> Policy {
    match filter.and_then(|filter| filter.user_id) {
        Some(user) => policy.and(tag::memberships_of_user(user)),
        None => policy,
    }
}

/// List Users of a group. <https://developer.zendesk.com/api-reference/ticketing/users/users/#list-users>
pub fn users_of(group: i64) -> Result<Rest> {
    Ok(Rest::get(path!["groups", id("id", group)?, "users"]))
}
