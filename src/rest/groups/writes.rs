//! The writes of <https://developer.zendesk.com/api-reference/ticketing/groups/groups/>

use super::super::{Changes, Write, has_id, id, nothing_but};
use crate::cache::{Tag, tag};
use crate::error::{Checks, Result};
use crate::json::Malformed;
use crate::path;
use crate::proto::{CreateGroupRequest, DeleteGroupRequest, GetGroupResponse, UpdateGroupRequest};
use crate::rest::input::{self, envelope};
use crate::rest::row::{OwnRead, Row as _};
use crate::upstream::call::Parsed;
use crate::upstream::rest::Rest;

/// Create Group. <https://developer.zendesk.com/api-reference/ticketing/groups/groups/#create-group>
impl Write for CreateGroupRequest {
    fn rest(&self) -> Result<Rest> {
        let group = input::group(self.group.as_ref(), None, true)?;
        Ok(Rest::post(path!["groups"]).json(&envelope("group", group)))
    }

    fn fits(&self, reply: &Self::Reply) -> bool {
        reply.group.as_ref().is_some_and(|group| group.id > 0)
    }

    fn changes(&self) -> Changes {
        Changes::to([tag::groups()])
    }

    fn learnt(reply: &Self::Reply) -> Vec<Tag> {
        reply.group.iter().map(|group| tag::group(group.id)).collect()
    }

    fn record(reply: &Self::Reply) -> Option<OwnRead> {
        reply.group.as_ref()?.own_read()
    }
}

/// Update Group. <https://developer.zendesk.com/api-reference/ticketing/groups/groups/#update-group>
impl Write for UpdateGroupRequest {
    fn rest(&self) -> Result<Rest> {
        let mut checks = Checks::default();
        let id = checks.take(id("id", self.id));
        let group = checks.take(input::group(self.group.as_ref(), self.update_mask.as_ref(), false));
        let (id, group) = checks.end(id.zip(group))?;
        Ok(Rest::put(path!["groups", id]).json(&envelope("group", group)))
    }

    fn fits(&self, reply: &Self::Reply) -> bool {
        has_id(reply.group.as_ref(), self.id, |group| group.id)
    }

    fn changes(&self) -> Changes {
        Changes::to([tag::group(self.id), tag::groups()])
    }

    fn record(reply: &Self::Reply) -> Option<OwnRead> {
        reply.group.as_ref()?.own_read()
    }
}

/// Delete Group. Answers 204, or 200 with the group, as in 2012; a group that is not marked as deleted is still there.
/// <https://developer.zendesk.com/api-reference/ticketing/groups/groups/#delete-group>
impl Write for DeleteGroupRequest {
    fn rest(&self) -> Result<Rest> {
        Ok(Rest::delete(path!["groups", id("id", self.id)?]))
    }

    fn parse(&self, body: &[u8]) -> Result<Parsed, Malformed> {
        let is_it = |reply: &GetGroupResponse| {
            let is_there = reply.group.as_ref().is_some_and(|group| group.deleted == Some(false));
            has_id(reply.group.as_ref(), self.id, |group| group.id) && !is_there
        };
        nothing_but::<Self, _>(body, "group", is_it)
    }

    fn fits(&self, reply: &Self::Reply) -> bool {
        *reply == Self::Reply::default()
    }

    /// Zendesk also deletes the group's memberships, and gives another default group to agents who had this one.
    fn changes(&self) -> Changes {
        Changes::to([tag::group(self.id), tag::groups(), tag::every_membership(), tag::every_user()])
    }
}
