//! Who belongs where, said as a whole: the agents of a group, the groups of an agent.
//!
//! The legacy API took a group with its list of agents: absent left them alone, empty removed them all. Today's API knows
//! single memberships only, so the difference between what is and what is wanted is computed here and written with the
//! fewest calls. Nothing is remembered in between: a call that was cut off is repeated and ends right, and one that finds
//! all as wanted writes nothing.

use std::collections::{HashMap, HashSet};

use super::bulk::{Chunk, Key, Kind, Outcome, unsent};
use super::row::Row;
use super::walk::Walk;
use super::{Context, Gateway};
use crate::codec::Encoded;
use crate::error::{Error, Result};
use crate::path;
use crate::proto::{
    BulkResult, CreateGroupRequest, CreateGroupWithAgentsRequest, CreateGroupWithAgentsResponse,
    CreateMembershipRequest, CreateMembershipResponse, DeleteMembershipRequest, GetGroupRequest, GetGroupResponse,
    GetGroupWithAgentsRequest, GetGroupWithAgentsResponse, Group, GroupMembership, GroupMembershipInput,
    MembershipFailure, MembershipPlan, SetDefaultMembershipRequest, SetDefaultMembershipResponse, SetUserGroupsRequest,
    SetUserGroupsResponse, UpdateGroupRequest, UpdateGroupWithAgentsRequest, UpdateGroupWithAgentsResponse, User,
};
use crate::rest::{Paging, Read as _, Style, Write, envelope, memberships::bulk as many};
use crate::upstream::call::Priority;
use crate::upstream::rest::{Rest, id};

/// Up to so many memberships are written singly: a job costs its own call and at least one look at it.
const FEW: usize = 2;

/// The difference between what is and what is wanted.
struct Difference {
    plan: MembershipPlan,
    adds: Vec<GroupMembershipInput>,
    /// Memberships to remove.
    removes: Vec<i64>,
}

impl Gateway {
    /// Reads a group with its agents.
    pub async fn group_with_agents(
        &self,
        context: &Context,
        request: &GetGroupWithAgentsRequest,
    ) -> Result<Encoded<GetGroupWithAgentsResponse>> {
        let users = Rest::get(path!["groups", id("id", request.id)?, "users"]);
        let (group, agents) =
            futures_util::try_join!(self.group(context, request.id), self.all::<User>(context, users))?;
        Ok(Encoded::new(&GetGroupWithAgentsResponse { group: Some(group), agents }))
    }

    /// Creates a group, then its memberships.
    pub async fn create_group_with_agents(
        &self,
        context: &Context,
        request: CreateGroupWithAgentsRequest,
    ) -> Result<Encoded<CreateGroupWithAgentsResponse>> {
        let create = CreateGroupRequest { group: request.group };
        create.rest()?;
        let wanted = wanted("agents.user_ids", request.agents.map(|agents| agents.user_ids).unwrap_or_default())?;
        let plan = MembershipPlan { adds: wanted.clone(), ..MembershipPlan::default() };
        if request.validate_only {
            let reply = CreateGroupWithAgentsResponse { plan: Some(plan), ..Default::default() };
            return Ok(Encoded::new(&reply));
        }
        let group = self.carry::<CreateGroupRequest>(context, &create).await?;
        let group = group.group.unwrap_or_default();
        let adds =
            wanted.into_iter().map(|user_id| GroupMembershipInput { user_id, group_id: group.id, default: None });
        let difference = Difference { plan, adds: adds.collect(), removes: Vec::new() };
        let failures = self.carry_out(context, &difference, true).await?;
        let reply = CreateGroupWithAgentsResponse { group: Some(group), plan: Some(difference.plan), failures };
        Ok(Encoded::new(&reply))
    }

    /// Changes a group and makes its agents exactly those given; an absent list leaves them alone.
    pub async fn update_group_with_agents(
        &self,
        context: &Context,
        request: UpdateGroupWithAgentsRequest,
    ) -> Result<Encoded<UpdateGroupWithAgentsResponse>> {
        let path_id = id("id", request.id)?;
        let update = match request.group {
            None if request.update_mask.as_ref().is_some_and(|mask| !mask.paths.is_empty()) => {
                return Err(Error::invalid("group", "is not set, and update_mask names fields of it"));
            }
            None if request.agents.is_none() => {
                return Err(Error::invalid("agents", "must be set, or group: there is nothing to change"));
            }
            None => None,
            group => Some(UpdateGroupRequest { id: request.id, group, update_mask: request.update_mask }),
        };
        if let Some(update) = &update {
            update.rest()?;
        }
        let difference = match request.agents {
            None => None,
            Some(agents) => {
                let wanted = wanted("agents.user_ids", agents.user_ids)?;
                let present = Rest::get(path!["groups", path_id, "memberships"]);
                let present = self.all::<GroupMembership>(context, present).await?;
                let add = |user_id| GroupMembershipInput { user_id, group_id: request.id, default: None };
                Some(Difference::between(&wanted, &present, |row| row.user_id, add))
            }
        };
        let mut reply = UpdateGroupWithAgentsResponse {
            plan: difference.as_ref().map(|difference| difference.plan.clone()),
            ..Default::default()
        };
        if request.validate_only {
            reply.group = Some(self.group(context, request.id).await?);
            return Ok(Encoded::new(&reply));
        }
        let writes_group = update.is_some();
        reply.group = Some(match update {
            Some(update) => self.carry::<UpdateGroupRequest>(context, &update).await?.group.unwrap_or_default(),
            None => self.group(context, request.id).await?,
        });
        if let Some(difference) = difference {
            reply.failures = self.carry_out(context, &difference, writes_group).await?;
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
        let memberships =
            || -> Result<Rest> { Ok(Rest::get(path!["users", id("user_id", request.user_id)?, "group_memberships"])) };
        let list = memberships()?;
        let wanted = wanted("group_ids", request.group_ids)?;
        if wanted.is_empty() {
            return Err(Error::invalid("group_ids", "must not be empty: every agent is in at least one group"));
        }
        if request.default_group_id.is_some_and(|group| !wanted.contains(&group)) {
            return Err(Error::invalid("default_group_id", "must be one of group_ids"));
        }
        let present = self.all::<GroupMembership>(context, list).await?;
        let add = |group_id| GroupMembershipInput { user_id: request.user_id, group_id, default: None };
        let difference = Difference::between(&wanted, &present, |row| row.group_id, add);
        let is_default =
            |group: i64| present.iter().any(|row| row.group_id == Some(group) && row.default == Some(true));
        let default = request.default_group_id.filter(|group| !is_default(*group));
        let mut reply = SetUserGroupsResponse {
            plan: Some(difference.plan.clone()),
            changes_default: default.is_some(),
            ..Default::default()
        };
        let nothing_to_do = difference.adds.is_empty() && difference.removes.is_empty() && default.is_none();
        if request.validate_only || nothing_to_do {
            reply.group_memberships = present;
            return Ok(Encoded::new(&reply));
        }
        let (removes, adds) = difference.halves();
        reply.failures = self.carry_out(context, &adds, false).await?;
        let mut written = !adds.adds.is_empty();
        if let Some(group) = default {
            let now = if written { self.all::<GroupMembership>(context, memberships()?).await? } else { present };
            reply.failures.extend(self.make_default(context, request.user_id, group, &now, written).await?);
            written = true;
        }
        // What could not be added may be why something else must stay: nothing is removed after a failure.
        if reply.failures.is_empty() {
            reply.failures = self.carry_out(context, &removes, written).await?;
        } else {
            reply.failures.extend(removes.plan.removes.iter().map(|id| skipped(*id)));
        }
        reply.group_memberships = self.all::<GroupMembership>(context, memberships()?).await?;
        Ok(Encoded::new(&reply))
    }

    async fn make_default(
        &self,
        context: &Context,
        user_id: i64,
        group: i64,
        now: &[GroupMembership],
        written: bool,
    ) -> Result<Option<MembershipFailure>> {
        let Some(row) = now.iter().find(|row| row.group_id == Some(group)) else { return Ok(Some(skipped(group))) };
        let request = SetDefaultMembershipRequest { id: row.id, user_id };
        match self.carry::<SetDefaultMembershipRequest>(context, &request).await {
            Ok(SetDefaultMembershipResponse { .. }) => Ok(None),
            Err(error) if written => Ok(Some(failure(group, &error))),
            Err(error) => Err(error),
        }
    }

    /// Writes a difference, additions first. `written` says whether the call has already changed something: from then on a
    /// failure is reported beside what was done.
    async fn carry_out(
        &self,
        context: &Context,
        difference: &Difference,
        written: bool,
    ) -> Result<Vec<MembershipFailure>> {
        let mut failures = Vec::new();
        let mut written = written;
        if difference.adds.len() <= FEW {
            for (input, name) in difference.adds.iter().zip(&difference.plan.adds) {
                let request = CreateMembershipRequest { group_membership: Some(*input), under_user: false };
                let outcome = self.carry::<CreateMembershipRequest>(context, &request).await;
                note(outcome.map(|_: CreateMembershipResponse| ()), *name, &mut written, &mut failures)?;
            }
        } else {
            let chunks = many::create(&difference.adds);
            let names = &difference.plan.adds;
            self.jobs_of(context, chunks, Kind::Create, names, &mut written, &mut failures).await?;
        }
        if difference.removes.len() <= FEW {
            for (membership, name) in difference.removes.iter().zip(&difference.plan.removes) {
                let request = DeleteMembershipRequest { id: *membership, user_id: None };
                let outcome = match self.carry::<DeleteMembershipRequest>(context, &request).await {
                    // Gone is what was wanted.
                    Err(Error::NotFound(_)) => Ok(()),
                    other => other.map(|_| ()),
                };
                note(outcome, *name, &mut written, &mut failures)?;
            }
        } else {
            let chunks = many::destroy(&difference.removes);
            let names = &difference.plan.removes;
            self.jobs_of(context, chunks, Kind::Delete, names, &mut written, &mut failures).await?;
        }
        Ok(failures)
    }

    async fn jobs_of(
        &self,
        context: &Context,
        chunks: Vec<Chunk>,
        kind: Kind,
        names: &[i64],
        written: &mut bool,
        failures: &mut Vec<MembershipFailure>,
    ) -> Result<()> {
        let keys: Vec<Key> = chunks.iter().flat_map(|chunk| chunk.keys.clone()).collect();
        let outcome = match self.run_bulk(context, chunks, &many::everything(), kind, true).await {
            Ok(outcome) => outcome,
            Err(error) if *written => {
                failures.extend(names.iter().map(|name| failure(*name, &error)));
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        *written = true;
        debug_assert_eq!(keys.len(), names.len(), "each input has a name");
        let Outcome { outcomes, .. } = outcome;
        for (outcome, name) in outcomes.into_iter().zip(names) {
            let went_well = matches!(outcome.result(), BulkResult::Created | BulkResult::Updated | BulkResult::Deleted);
            if !went_well {
                let (result, job_id) = (outcome.result, outcome.job_id);
                failures.push(MembershipFailure {
                    id: *name,
                    result,
                    error: outcome.error,
                    details: outcome.details,
                    job_id,
                });
            }
        }
        Ok(())
    }

    /// Carries out one write and returns its reply as a message.
    async fn carry<W: Write>(&self, context: &Context, request: &W) -> Result<W::Reply> {
        Ok(self.written(context, request).await?.0.body::<W::Reply>())
    }

    async fn group(&self, context: &Context, group: i64) -> Result<Group> {
        let rest = GetGroupRequest { id: group }.rest()?;
        let parse = envelope::<GetGroupResponse>;
        let answer = self.send(context, Priority::Interactive, rest, parse).await?;
        Ok(answer.body::<GetGroupResponse>().group.unwrap_or_default())
    }

    /// Reads a list to its end.
    async fn all<R: Row>(&self, context: &Context, list: Rest) -> Result<Vec<R>> {
        let mut walk = Some(Walk::<R>::begin(list, Paging { style: Style::Cursor, size: 0, token: "" })?);
        let mut rows = Vec::new();
        while let Some(mut at) = walk.take() {
            let (page, next) = self.page(context, Priority::Interactive, &at).await?;
            let was_empty = page.rows.is_empty();
            rows.extend(page.rows);
            if at.advance(next, was_empty)? {
                walk = Some(at);
            }
        }
        Ok(rows)
    }
}

impl Difference {
    fn between(
        wanted: &[i64],
        present: &[GroupMembership],
        side: fn(&GroupMembership) -> Option<i64>,
        add: impl Fn(i64) -> GroupMembershipInput,
    ) -> Self {
        let held: HashMap<i64, i64> = present.iter().filter_map(|row| Some((side(row)?, row.id))).collect();
        let keep: HashSet<i64> = wanted.iter().copied().collect();
        let (unchanged, adds): (Vec<i64>, Vec<i64>) = wanted.iter().partition(|id| held.contains_key(id));
        let sides = present.iter().filter_map(|row| Some((side(row)?, row.id)));
        let (removes, memberships): (Vec<i64>, Vec<i64>) = sides.filter(|(id, _)| !keep.contains(id)).unzip();
        let inputs = adds.iter().map(|id| add(*id)).collect();
        Self { plan: MembershipPlan { adds, removes, unchanged }, adds: inputs, removes: memberships }
    }

    /// The removals, and the additions.
    fn halves(self) -> (Self, Self) {
        let Self { plan, adds, removes } = self;
        let removals = MembershipPlan { removes: plan.removes, ..MembershipPlan::default() };
        let additions = MembershipPlan { adds: plan.adds, ..MembershipPlan::default() };
        (Self { plan: removals, adds: Vec::new(), removes }, Self { plan: additions, adds, removes: Vec::new() })
    }
}

/// Checks the ids of the wanted side and takes repeated ones out.
fn wanted(field: &str, ids: Vec<i64>) -> Result<Vec<i64>> {
    if ids.iter().any(|id| *id <= 0) {
        return Err(Error::invalid(field, "must be positive ids"));
    }
    let mut seen = HashSet::new();
    Ok(ids.into_iter().filter(|id| seen.insert(*id)).collect())
}

/// Notes how one step went: the first failure of a call that has written nothing is the call's.
fn note(outcome: Result<()>, name: i64, written: &mut bool, failures: &mut Vec<MembershipFailure>) -> Result<()> {
    match outcome {
        Ok(()) => *written = true,
        Err(error) if *written || !failures.is_empty() => failures.push(failure(name, &error)),
        Err(error) => return Err(error),
    }
    Ok(())
}

fn failure(id: i64, error: &Error) -> MembershipFailure {
    let (result, word, details) = unsent(error);
    MembershipFailure { id, result: result.into(), error: Some(word), details: Some(details), job_id: None }
}

/// A step that was left out because one before it failed.
fn skipped(id: i64) -> MembershipFailure {
    let details = Some("left out, because a step before it failed".to_owned());
    MembershipFailure {
        id,
        result: BulkResult::NotSent.into(),
        error: Some("CONFLICT".to_owned()),
        details,
        job_id: None,
    }
}
