//! The writes of <https://developer.zendesk.com/api-reference/ticketing/groups/group_memberships/>

use serde_json::json;

use super::super::{Changes, Write, id, nothing};
use crate::cache::{Tag, tag};
use crate::error::{Error, Result};
use crate::json::Malformed;
use crate::path;
use crate::proto::{
    CreateMembershipRequest, DeleteMembershipRequest, GroupMembershipInput, SetDefaultMembershipRequest,
};
use crate::rest::many::MOST_ITEMS;
use crate::rest::row::{OwnRead, Row as _};
use crate::upstream::call::Parsed;
use crate::upstream::rest::Rest;

/// Create Membership. The path under a user takes no `user_id` in its body.
/// <https://developer.zendesk.com/api-reference/ticketing/groups/group_memberships/#create-membership>
impl Write for CreateMembershipRequest {
    fn rest(&self) -> Result<Rest> {
        let input = self.group_membership.as_ref();
        let input = input.ok_or_else(|| Error::invalid("group_membership", "is not set"))?;
        let user = id("group_membership.user_id", input.user_id)?;
        id("group_membership.group_id", input.group_id)?;
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
        Ok(rest.json(&json!({ "group_membership": membership })))
    }

    fn fits(&self, reply: &Self::Reply) -> bool {
        let named = |wanted: fn(&GroupMembershipInput) -> i64, given: Option<i64>| {
            given.is_none() || given == self.group_membership.as_ref().map(wanted)
        };
        reply.group_membership.as_ref().is_some_and(|row| {
            row.id > 0 && named(|input| input.user_id, row.user_id) && named(|input| input.group_id, row.group_id)
        })
    }

    /// The user's other memberships may cease to be its default, and its default group is a field of the user.
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

/// Set Membership as Default. Answers all memberships of the user.
/// <https://developer.zendesk.com/api-reference/ticketing/groups/group_memberships/#set-membership-as-default>
impl Write for SetDefaultMembershipRequest {
    fn rest(&self) -> Result<Rest> {
        let (user, membership) = (id("user_id", self.user_id)?, id("id", self.id)?);
        Ok(Rest::put(path!["users", user, "group_memberships", membership, "make_default"]).json(&json!({})))
    }

    /// Answers all memberships of the user. That of somebody who has very many may be on another page, an assumption.
    fn fits(&self, reply: &Self::Reply) -> bool {
        let rows = &reply.group_memberships;
        let of_user = rows.iter().all(|row| row.user_id.is_none_or(|user| user == self.user_id));
        of_user && (rows.len() >= MOST_ITEMS || rows.iter().any(|row| row.id == self.id && row.default != Some(false)))
    }

    fn changes(&self) -> Changes {
        Changes::to([tag::every_membership(), tag::user(self.user_id), tag::users()])
    }

    fn about(&self) -> Vec<Tag> {
        vec![tag::membership(self.id)]
    }
}

/// Delete Membership. Answers 204.
/// <https://developer.zendesk.com/api-reference/ticketing/groups/group_memberships/#delete-membership>
impl Write for DeleteMembershipRequest {
    fn rest(&self) -> Result<Rest> {
        let membership = id("id", self.id)?;
        Ok(match self.user_id {
            None => Rest::delete(path!["group_memberships", membership]),
            Some(user) => Rest::delete(path!["users", id("user_id", user)?, "group_memberships", membership]),
        })
    }

    fn parse(&self, body: &[u8]) -> Result<Parsed, Malformed> {
        nothing::<Self>(body)
    }

    fn fits(&self, reply: &Self::Reply) -> bool {
        *reply == Self::Reply::default()
    }

    /// The membership alone does not say whose it is; it may have been its user's default.
    fn changes(&self) -> Changes {
        let user = self.user_id.map_or(tag::every_user(), tag::user);
        Changes::to([tag::every_membership(), user, tag::users()])
    }

    fn about(&self) -> Vec<Tag> {
        vec![tag::membership(self.id)]
    }
}
