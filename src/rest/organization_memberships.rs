//! <https://developer.zendesk.com/api-reference/ticketing/organizations/organization_memberships/>

use super::beside::also;
use super::{Includes as _, Read, Style, id, list, names, sorted};
use crate::cache::{Policy, tag};
use crate::error::{Checks, Result};
use crate::path;
use crate::proto::organization_membership_filter::Scope;
use crate::proto::{
    GetOrganizationMembershipRequest, ListOrganizationMembershipsRequest, OrganizationMembership,
    StreamOrganizationMembershipsRequest,
};
use crate::upstream::rest::{Rest, Segment};

mod bulk;
mod writes;

/// Show Membership. <https://developer.zendesk.com/api-reference/ticketing/organizations/organization_memberships/#show-membership>
impl Read for GetOrganizationMembershipRequest {
    fn rest(&self) -> Result<Rest> {
        let mut checks = Checks::default();
        let membership = checks.take(id("id", self.id));
        let user = self.user_id.map(|user| checks.take(id("user_id", user)));
        checks.end(membership.and_then(|membership| match user {
            None => Some(Rest::get(path!["organization_memberships", membership])),
            Some(user) => Some(Rest::get(path!["users", user?, "organization_memberships", membership])),
        }))
    }

    fn fits(&self, reply: &Self::Reply) -> bool {
        let whose = |row: &OrganizationMembership| {
            self.user_id.is_none_or(|user| names(user, row.user_id, "user_id", &row.unreadable_fields))
        };
        reply.organization_membership.as_ref().is_some_and(|row| row.id == self.id && whose(row))
    }

    fn cache(&self) -> Policy {
        Policy::record(tag::organization_membership(self.id))
    }
}

/// Fields that lists of memberships can be sorted by; see the comment on those of users. Memberships have no name.
const MEMBERSHIPS: &[&str] = &["id", "created_at", "updated_at"];

// List Memberships. <https://developer.zendesk.com/api-reference/ticketing/organizations/organization_memberships/#list-memberships>
list!(ListOrganizationMembershipsRequest | StreamOrganizationMembershipsRequest
    => OrganizationMembership, Style::Cursor, sorted by MEMBERSHIPS, |this| {
    let scope = this.filter.as_ref().and_then(|filter| filter.scope);
    let mut checks = Checks::default();
    let field = scope.map(|scope| match scope {
        Scope::UserId(_) => "filter.user_id",
        Scope::OrganizationId(_) => "filter.organization_id",
    });
    if let Some(field) = field && !this.sort.is_empty() {
        checks.refuse("sort", &format!("cannot be combined with {field}"));
    }
    let rest = checks.take(match scope {
        None => Ok(Rest::get(path!["organization_memberships"])),
        Some(Scope::UserId(user)) => id("filter.user_id", user).map(of),
        Some(Scope::OrganizationId(organization)) => id("filter.organization_id", organization)
            .map(|organization| Rest::get(path!["organizations", organization, "organization_memberships"])),
    });
    checks.end(rest.map(|rest| sorted(rest.include(this.includes()), &this.sort)))
}, also(Policy::list(tag::organization_memberships()), &this.includes()));

/// List Memberships of a user. <https://developer.zendesk.com/api-reference/ticketing/organizations/organization_memberships/#list-memberships>
pub fn of_user(user: i64) -> Result<Rest> {
    Ok(of(id("user_id", user)?))
}

fn of(user: Segment) -> Rest {
    Rest::get(path!["users", user, "organization_memberships"])
}
