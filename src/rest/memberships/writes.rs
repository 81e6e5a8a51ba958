//! The writes of <https://developer.zendesk.com/api-reference/ticketing/groups/group_memberships/>

use serde_json::json;

use super::super::{Changes, Whole, Write, has_id, id, names, nothing_but, whole_list};
use crate::cache::{Tag, tag};
use crate::error::{Checks, Error, Result};
use crate::json::Malformed;
use crate::path;
use crate::proto::{
    CreateMembershipRequest, DeleteMembershipRequest, GetMembershipResponse, GroupMembership,
    SetDefaultMembershipRequest, SetDefaultMembershipResponse,
};
use crate::rest::row::{OwnRead, Row as _};
use crate::upstream::call::Parsed;
use crate::upstream::rest::Rest;

/// Create Membership. The path under a user takes no `user_id` in its body.
/// <https://developer.zendesk.com/api-reference/ticketing/groups/group_memberships/#create-membership>
impl Write for CreateMembershipRequest {
    fn rest(&self) -> Result<Rest> {
        let input = self.group_membership.as_ref();
        let input = input.ok_or_else(|| Error::invalid("group_membership", "is not set"))?;
        let mut checks = Checks::default();
        let user = checks.take(id("group_membership.user_id", input.user_id));
        let group = checks.take(id("group_membership.group_id", input.group_id));
        let (user, _) = checks.end(user.zip(group))?;
        let mut membership = json!({ "group_id": input.group_id });
        if let Some(default) = input.default {
            membership["default"] = default.into();
        }
        let rest = if self.under_user {
            Rest::post(path!["users", user, "group_memberships"])
        } else {
            membership["user_id"] = input.user_id.into();
            Rest::post(path!["group_memberships"])
        };
        let doing = format!("adding user {} to group {}", input.user_id, input.group_id);
        Ok(rest.json(&json!({ "group_membership": membership })).doing(doing))
    }

    fn fits(&self, reply: &Self::Reply) -> bool {
        let both = self.group_membership.as_ref().zip(reply.group_membership.as_ref());
        both.is_some_and(|(input, row)| {
            let lost = &row.unreadable_fields;
            row.id > 0
                && names(input.user_id, row.user_id, "user_id", lost)
                && names(input.group_id, row.group_id, "group_id", lost)
        })
    }

    /// The new membership may become the default in place of another one, and the default group is also a field of the user.
    fn changes(&self) -> Changes {
        let user = self.group_membership.as_ref().map(|input| tag::user(input.user_id));
        Changes::to([tag::every_membership(), tag::users()].into_iter().chain(user))
    }

    fn about(&self) -> Vec<Tag> {
        self.group_membership.iter().map(|input| tag::group(input.group_id)).collect()
    }

    fn learnt(reply: &Self::Reply) -> Vec<Tag> {
        reply.group_membership.iter().map(|membership| tag::membership(membership.id)).collect()
    }

    fn record(reply: &Self::Reply) -> Option<OwnRead> {
        reply.group_membership.as_ref()?.own_read()
    }
}

/// Set Membership as Default. Zendesk answers all memberships of the user; if the answer may be a part of them, the reply is
/// empty.
/// <https://developer.zendesk.com/api-reference/ticketing/groups/group_memberships/#set-membership-as-default>
impl Write for SetDefaultMembershipRequest {
    fn rest(&self) -> Result<Rest> {
        let mut checks = Checks::default();
        let (user, membership) = (checks.take(id("user_id", self.user_id)), checks.take(id("id", self.id)));
        let (user, membership) = checks.end(user.zip(membership))?;
        Ok(Rest::put(path!["users", user, "group_memberships", membership, "make_default"]).json(&json!({})))
    }

    fn parse(&self, body: &[u8]) -> Result<Parsed, Malformed> {
        let is_default = |row: &GroupMembership| (row.id == self.id).then_some(row.default == Some(true));
        let rows = whole_list(body, self.user_id, is_default)?.unwrap_or_default();
        Ok(Box::new(SetDefaultMembershipResponse { group_memberships: rows }))
    }

    fn fits(&self, reply: &Self::Reply) -> bool {
        reply.group_memberships.iter().any(|row| row.id == self.id)
    }

    fn changes(&self) -> Changes {
        Changes::to([tag::every_membership(), tag::user(self.user_id), tag::users()])
    }

    fn about(&self) -> Vec<Tag> {
        vec![tag::membership(self.id)]
    }

    fn whole(&self) -> Option<Whole> {
        Some(Whole::GroupsOfUser(self.user_id))
    }
}

/// Delete Membership. Answers 204, or 200 with the membership, as in 2012.
/// <https://developer.zendesk.com/api-reference/ticketing/groups/group_memberships/#delete-membership>
impl Write for DeleteMembershipRequest {
    fn rest(&self) -> Result<Rest> {
        let mut checks = Checks::default();
        let membership = checks.take(id("id", self.id));
        let user = self.user_id.map(|user| checks.take(id("user_id", user)));
        checks.end(membership.and_then(|membership| match user {
            None => Some(Rest::delete(path!["group_memberships", membership])),
            Some(user) => Some(Rest::delete(path!["users", user?, "group_memberships", membership])),
        }))
    }

    fn parse(&self, body: &[u8]) -> Result<Parsed, Malformed> {
        let is_it = |reply: &GetMembershipResponse| has_id(reply.group_membership.as_ref(), self.id, |row| row.id);
        nothing_but::<Self, _>(body, "group_membership", is_it)
    }

    fn fits(&self, reply: &Self::Reply) -> bool {
        *reply == Self::Reply::default()
    }

    /// Without `user_id`, nothing says whose membership it is; it may have been its user's default.
    fn changes(&self) -> Changes {
        let user = self.user_id.map_or(tag::every_user(), tag::user);
        Changes::to([tag::every_membership(), user, tag::users()])
    }

    fn about(&self) -> Vec<Tag> {
        vec![tag::membership(self.id)]
    }
}
