//! The single writes of <https://developer.zendesk.com/api-reference/ticketing/organizations/organization_memberships/>

use serde_json::json;

use crate::cache::{Tag, tag};
use crate::error::{Checks, Error, Result};
use crate::json::Malformed;
use crate::path;
use crate::proto::{
    CreateOrganizationMembershipRequest, DeleteOrganizationMembershipRequest, GetOrganizationMembershipResponse,
    OrganizationMembership, SetDefaultOrganizationMembershipRequest, SetDefaultOrganizationMembershipResponse,
    SetDefaultOrganizationRequest, UnassignOrganizationRequest,
};
use crate::rest::row::{OwnRead, Row as _};
use crate::rest::{Changes, Write, has_id, id, names, nothing_but, whole_list};
use crate::upstream::call::Parsed;
use crate::upstream::rest::Rest;

/// What a write to a membership changes: which one is the default is also told by the others and by the user, and how many users
/// an organization has goes with the lists of users.
fn of_user(user: Option<i64>) -> Changes {
    Changes::to([tag::every_organization_membership(), user.map_or(tag::every_user(), tag::user), tag::users()])
}

/// True if a row is the place of this user in this organization.
fn is_place(row: &OrganizationMembership, user: i64, organization: i64) -> bool {
    let lost = &row.unreadable_fields;
    row.id > 0
        && names(user, row.user_id, "user_id", lost)
        && names(organization, row.organization_id, "organization_id", lost)
}

/// Create Membership. The path under a user takes no `user_id` in its body. <https://developer.zendesk.com/api-reference/ticketing/organizations/organization_memberships/#create-membership>
impl Write for CreateOrganizationMembershipRequest {
    fn rest(&self) -> Result<Rest> {
        let input = self.organization_membership.as_ref();
        let input = input.ok_or_else(|| Error::invalid("organization_membership", "is not set"))?;
        let mut checks = Checks::default();
        let user = checks.take(id("organization_membership.user_id", input.user_id));
        let organization = checks.take(id("organization_membership.organization_id", input.organization_id));
        let (user, _) = checks.end(user.zip(organization))?;
        let mut membership = json!({ "organization_id": input.organization_id });
        if let Some(default) = input.default {
            membership["default"] = default.into();
        }
        let rest = if self.under_user {
            Rest::post(path!["users", user, "organization_memberships"])
        } else {
            membership["user_id"] = input.user_id.into();
            Rest::post(path!["organization_memberships"])
        };
        let doing = format!("adding user {} to organization {}", input.user_id, input.organization_id);
        Ok(rest.json(&json!({ "organization_membership": membership })).doing(doing))
    }

    fn fits(&self, reply: &Self::Reply) -> bool {
        let both = self.organization_membership.as_ref().zip(reply.organization_membership.as_ref());
        both.is_some_and(|(input, row)| is_place(row, input.user_id, input.organization_id))
    }

    fn changes(&self) -> Changes {
        of_user(self.organization_membership.as_ref().map(|input| input.user_id))
    }

    fn about(&self) -> Vec<Tag> {
        self.organization_membership.iter().map(|input| tag::organization(input.organization_id)).collect()
    }

    fn learnt(reply: &Self::Reply) -> Vec<Tag> {
        reply.organization_membership.iter().map(|row| tag::organization_membership(row.id)).collect()
    }

    fn record(reply: &Self::Reply) -> Option<OwnRead> {
        reply.organization_membership.as_ref()?.own_read()
    }
}

/// Set Membership as Default. Zendesk answers all memberships of the user; if the answer may be a part of them, the reply is
/// empty. <https://developer.zendesk.com/api-reference/ticketing/organizations/organization_memberships/#set-membership-as-default>
impl Write for SetDefaultOrganizationMembershipRequest {
    fn rest(&self) -> Result<Rest> {
        let mut checks = Checks::default();
        let (user, membership) = (checks.take(id("user_id", self.user_id)), checks.take(id("id", self.id)));
        let (user, membership) = checks.end(user.zip(membership))?;
        let path = path!["users", user, "organization_memberships", membership, "make_default"];
        Ok(Rest::put(path).json(&json!({})))
    }

    fn parse(&self, body: &[u8]) -> Result<Parsed, Malformed> {
        let is_default = |row: &OrganizationMembership| (row.id == self.id).then(|| is_default(row));
        let rows = whole_list(body, self.user_id, is_default)?.unwrap_or_default();
        Ok(Box::new(SetDefaultOrganizationMembershipResponse { organization_memberships: rows }))
    }

    fn fits(&self, reply: &Self::Reply) -> bool {
        reply.organization_memberships.iter().any(|row| row.id == self.id)
    }

    fn changes(&self) -> Changes {
        of_user(Some(self.user_id))
    }

    fn about(&self) -> Vec<Tag> {
        vec![tag::organization_membership(self.id)]
    }
}

/// True if a membership is told to be the default. Of others Zendesk says null.
fn is_default(row: &OrganizationMembership) -> bool {
    row.default == Some(true)
}

/// Set Organization as Default. <https://developer.zendesk.com/api-reference/ticketing/organizations/organization_memberships/#set-organization-as-default>
impl Write for SetDefaultOrganizationRequest {
    fn rest(&self) -> Result<Rest> {
        let mut checks = Checks::default();
        let user = checks.take(id("user_id", self.user_id));
        let organization = checks.take(id("organization_id", self.organization_id));
        let (user, organization) = checks.end(user.zip(organization))?;
        let doing = format!("making organization {} the default of user {}", self.organization_id, self.user_id);
        let rest = Rest::put(path!["users", user, "organizations", organization, "make_default"]);
        Ok(rest.json(&json!({})).doing(doing))
    }

    fn fits(&self, reply: &Self::Reply) -> bool {
        let is_it = |row: &OrganizationMembership| is_place(row, self.user_id, self.organization_id) && is_default(row);
        reply.organization_membership.as_ref().is_some_and(is_it)
    }

    fn changes(&self) -> Changes {
        of_user(Some(self.user_id))
    }

    fn about(&self) -> Vec<Tag> {
        vec![tag::organization(self.organization_id)]
    }

    fn record(reply: &Self::Reply) -> Option<OwnRead> {
        reply.organization_membership.as_ref()?.own_read()
    }
}

/// Delete Membership. <https://developer.zendesk.com/api-reference/ticketing/organizations/organization_memberships/#delete-membership>
impl Write for DeleteOrganizationMembershipRequest {
    fn rest(&self) -> Result<Rest> {
        let mut checks = Checks::default();
        let membership = checks.take(id("id", self.id));
        let user = self.user_id.map(|user| checks.take(id("user_id", user)));
        checks.end(membership.and_then(|membership| match user {
            None => Some(Rest::delete(path!["organization_memberships", membership])),
            Some(user) => Some(Rest::delete(path!["users", user?, "organization_memberships", membership])),
        }))
    }

    fn parse(&self, body: &[u8]) -> Result<Parsed, Malformed> {
        let is_it = |reply: &GetOrganizationMembershipResponse| {
            has_id(reply.organization_membership.as_ref(), self.id, |row| row.id)
        };
        nothing_but::<Self, _>(body, "organization_membership", is_it)
    }

    fn fits(&self, reply: &Self::Reply) -> bool {
        *reply == Self::Reply::default()
    }

    /// Without `user_id`, nothing says whose membership it is; it may have been its user's default.
    fn changes(&self) -> Changes {
        of_user(self.user_id)
    }

    fn about(&self) -> Vec<Tag> {
        vec![tag::organization_membership(self.id)]
    }
}

/// Unassign Organization. <https://developer.zendesk.com/api-reference/ticketing/organizations/organization_memberships/#unassign-organization>
impl Write for UnassignOrganizationRequest {
    fn rest(&self) -> Result<Rest> {
        let mut checks = Checks::default();
        let user = checks.take(id("user_id", self.user_id));
        let organization = checks.take(id("organization_id", self.organization_id));
        let (user, organization) = checks.end(user.zip(organization))?;
        Ok(Rest::delete(path!["users", user, "organizations", organization]))
    }

    fn parse(&self, body: &[u8]) -> Result<Parsed, Malformed> {
        let is_it = |reply: &GetOrganizationMembershipResponse| {
            let row = reply.organization_membership.as_ref();
            row.is_some_and(|row| is_place(row, self.user_id, self.organization_id))
        };
        nothing_but::<Self, _>(body, "organization_membership", is_it)
    }

    fn fits(&self, reply: &Self::Reply) -> bool {
        *reply == Self::Reply::default()
    }

    fn changes(&self) -> Changes {
        of_user(Some(self.user_id))
    }

    fn about(&self) -> Vec<Tag> {
        vec![tag::organization(self.organization_id)]
    }
}
