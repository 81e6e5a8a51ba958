//! Declarative membership: the agents of a group, or the groups of an agent, set as a whole.
//!
//! The legacy API took a group with its list of agents: absent left them alone, empty removed them all. Today's API knows
//! single memberships only, so the gateway compares the present memberships with the wanted ones and writes the difference
//! with the fewest calls. It keeps no state between calls: a call that was cut off can be repeated, and a call that finds
//! everything as wanted writes nothing. Calls that change the same group or user take turns.

use std::sync::Arc;

use super::{Context, Gateway, write};
use crate::codec::Encoded;
use crate::error::{Checks, Error, Result};
use crate::proto::{
    CreateGroupRequest, CreateGroupWithAgentsRequest, CreateGroupWithAgentsResponse, GetGroupRequest,
    GetGroupWithAgentsRequest, GetGroupWithAgentsResponse, Group, MembershipPlan, SetDefaultMembershipRequest,
    SetDefaultMembershipResponse, SetDefaultOrganizationMembershipRequest, SetDefaultOrganizationMembershipResponse,
    SetUserGroupsRequest, SetUserGroupsResponse, UpdateGroupRequest, UpdateGroupWithAgentsRequest,
    UpdateGroupWithAgentsResponse, User,
};
use crate::rest::input::absent;
use crate::rest::row::Row;
use crate::rest::{Whole, Write, groups, memberships, organization_memberships};
use crate::upstream::call::Priority;
use crate::upstream::rest::{Rest, id};

mod difference;
mod list;
mod writing;

use difference::{Difference, wanted};
use list::Side;
use writing::Writing;

impl Gateway {
    /// Reads a group with its agents.
    pub async fn get_group_with_agents(
        &self,
        context: &Context,
        request: GetGroupWithAgentsRequest,
    ) -> Result<Encoded<GetGroupWithAgentsResponse>> {
        if context.control.only_if_cached {
            return Err(Error::CacheMiss);
        }
        let users = groups::users_of(request.id)?;
        let group = self.group(context, request.id);
        let agents = self.all(context, users, |user: &User| user.id > 0);
        let (group, agents) = futures_util::try_join!(group, agents)?;
        Ok(Encoded::new(&GetGroupWithAgentsResponse { group: Some(group), agents }))
    }

    /// Creates a group, then its memberships.
    pub async fn create_group_with_agents(
        &self,
        context: &Context,
        request: CreateGroupWithAgentsRequest,
    ) -> Result<Encoded<CreateGroupWithAgentsResponse>> {
        let create = CreateGroupRequest { group: request.group };
        let mut checks = Checks::default();
        checks.take(create.rest());
        let agents = request.agents.map(|agents| agents.user_ids).unwrap_or_default();
        let wanted = checks.take(wanted("agents.user_ids", agents));
        let wanted = checks.end(wanted)?;
        if request.validate_only {
            let plan = MembershipPlan { adds: wanted, ..MembershipPlan::default() };
            let reply = CreateGroupWithAgentsResponse { plan: Some(plan), ..Default::default() };
            return Ok(Encoded::new(&reply));
        }
        let _open = self.whole();
        let group = self.carry(context, &create).await?.group;
        let group = group.expect("a reply without the group is refused");
        let difference = Difference::between(&wanted, &[], Side::AgentsOf(group.id));
        let mut writing = Writing::of(self, context, Side::AgentsOf(group.id));
        writing.has_written();
        writing.add(&difference).await?;
        let failures = writing.failures().await;
        let reply = CreateGroupWithAgentsResponse { group: Some(group), plan: Some(difference.plan()), failures };
        Ok(Encoded::new(&reply))
    }

    /// Changes a group and makes its agents exactly those given; an absent list leaves them alone.
    pub async fn update_group_with_agents(
        &self,
        context: &Context,
        request: UpdateGroupWithAgentsRequest,
    ) -> Result<Encoded<UpdateGroupWithAgentsResponse>> {
        let mut checks = Checks::default();
        checks.take(id("id", request.id));
        let update = match request.group {
            None if request.update_mask.as_ref().is_some_and(|mask| !mask.paths.is_empty()) => {
                checks.take::<()>(Err(absent("group", request.update_mask.as_ref())));
                None
            }
            None if request.agents.is_none() => {
                checks.refuse("agents", "must be set, or group: there is nothing to change");
                None
            }
            None => None,
            group => Some(UpdateGroupRequest { id: request.id, group, update_mask: request.update_mask }),
        };
        if let Some(update) = &update {
            checks.take(update.rest());
        }
        let wanted = request.agents.map(|agents| wanted("agents.user_ids", agents.user_ids)).transpose();
        let wanted = checks.take(wanted);
        let wanted = checks.end(wanted)?;
        let side = Side::AgentsOf(request.id);
        let in_turn = match &wanted {
            Some(_) if !request.validate_only => self.in_turn(context, Whole::AgentsOfGroup(request.id)).await?,
            _ => context.clone(),
        };
        let context = &in_turn;
        let difference = match wanted {
            Some(wanted) => Some(Difference::between(&wanted, &self.memberships(context, side).await?, side)),
            None => None,
        };
        let plan = difference.as_ref().map(Difference::plan);
        let mut reply = UpdateGroupWithAgentsResponse { plan, ..Default::default() };
        if request.validate_only {
            reply.group = Some(self.group(context, request.id).await?);
            return Ok(Encoded::new(&reply));
        }
        let mut writing = Writing::of(self, context, side);
        reply.group = match update {
            Some(update) => {
                writing.has_written();
                self.carry(context, &update).await?.group
            }
            None => Some(self.group(context, request.id).await?),
        };
        if let Some(difference) = difference {
            writing.add(&difference).await?;
            reply.failures = writing.remove_unless_failed(&difference).await?;
        }
        Ok(Encoded::new(&reply))
    }

    /// Makes an agent's groups exactly those given: additions, then the default, then removals, so that the agent is never
    /// without a group.
    pub async fn set_user_groups(
        &self,
        context: &Context,
        request: SetUserGroupsRequest,
    ) -> Result<Encoded<SetUserGroupsResponse>> {
        let mut checks = Checks::default();
        checks.take(id("user_id", request.user_id));
        if request.group_ids.is_empty() {
            checks.refuse("group_ids", "must not be empty: every agent is in at least one group");
        }
        if request.default_group_id.is_some_and(|group| !request.group_ids.contains(&group)) {
            checks.refuse("default_group_id", "must be one of group_ids");
        }
        let wanted = checks.take(wanted("group_ids", request.group_ids));
        let wanted = checks.end(wanted)?;
        let side = Side::GroupsOf(request.user_id);
        let in_turn = if request.validate_only {
            context.clone()
        } else {
            self.in_turn(context, Whole::GroupsOfUser(request.user_id)).await?
        };
        let context = &in_turn;
        let present = self.memberships(context, side).await?;
        let difference = Difference::between(&wanted, &present, side);
        let default = request.default_group_id.filter(|group| !list::is_default(&present, *group));
        let plan = difference.plan();
        let nothing_to_do = plan.adds.is_empty() && plan.removes.is_empty() && default.is_none();
        let mut reply =
            SetUserGroupsResponse { plan: Some(plan), changes_default: default.is_some(), ..Default::default() };
        if request.validate_only || nothing_to_do {
            reply.group_memberships = present;
            return Ok(Encoded::new(&reply));
        }
        let mut writing = Writing::of(self, context, side);
        writing.add(&difference).await?;
        if let Some(group) = default {
            writing.make_default(request.user_id, group, present).await?;
        }
        reply.failures = writing.remove_unless_failed(&difference).await?;
        // The writes have succeeded, so a failure of this read must not fail the call.
        reply.group_memberships = writing.look_again().await.unwrap_or_default();
        Ok(Encoded::new(&reply))
    }

    /// Set Membership as Default, in turn with other calls that change the user's groups.
    pub async fn set_default_membership(
        &self,
        context: &Context,
        request: SetDefaultMembershipRequest,
    ) -> Result<Encoded<SetDefaultMembershipResponse>> {
        let all = || memberships::of_user(request.user_id);
        self.carry_with_all(context, &request, all, |reply| &mut reply.group_memberships).await
    }

    /// Set Membership as Default, of an organization.
    pub async fn set_default_organization_membership(
        &self,
        context: &Context,
        request: SetDefaultOrganizationMembershipRequest,
    ) -> Result<Encoded<SetDefaultOrganizationMembershipResponse>> {
        let all = || organization_memberships::of_user(request.user_id);
        self.carry_with_all(context, &request, all, |reply| &mut reply.organization_memberships).await
    }

    /// Carries out, in its turn, a write that is answered with all rows of a user, and reads them where the answer had only a part
    /// of them.
    pub(super) async fn carry_with_all<W: Write, R: Row + PartialEq>(
        &self,
        context: &Context,
        request: &W,
        all: impl FnOnce() -> Result<Rest>,
        rows: fn(&mut W::Reply) -> &mut Vec<R>,
    ) -> Result<Encoded<W::Reply>> {
        let request = Arc::new(request.clone());
        let rest = write::rest(context, &request).await?;
        let context = self.in_turn_of(context, &*request).await?;
        let mut reply = self.written(&context, &request, rest).await?.0.body::<W::Reply>();
        let told = rows(&mut reply);
        if told.is_empty() {
            // The write has succeeded, so a failure of this read must not fail the call.
            *told = self.all(&context, all()?, |_: &R| true).await.unwrap_or_default();
        }
        Ok(Encoded::new(&reply))
    }

    /// Carries out one write and returns its reply as a message.
    pub(super) async fn carry<W: Write>(&self, context: &Context, request: &W) -> Result<W::Reply> {
        let request = Arc::new(request.clone());
        let rest = write::rest(context, &request).await?;
        Ok(self.written(context, &request, rest).await?.0.body::<W::Reply>())
    }

    async fn group(&self, context: &Context, group: i64) -> Result<Group> {
        let reply = self
            .reads
            .one(&context.read(Priority::Interactive), &GetGroupRequest { id: group, ..Default::default() })
            .await?;
        Ok(reply.group.expect("a reply without the group is refused"))
    }
}
