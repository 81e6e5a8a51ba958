//! Writes of groups and memberships.

use zendesk_gateway::proto::*;

use super::book::Key;
use super::caller::Caller;
use super::to_users::member;
use super::world::{GROUPS, GROUPS_OF_SET_USERS, Kind, SET_GROUPS, SET_USERS};

fn input(nonce: u64) -> GroupInput {
    GroupInput { name: Some(format!("n{nonce}")), ..Default::default() }
}

fn judge<A>(caller: &Caller, nonce: u64, told: &super::caller::Told<A>, group: Option<&Group>, wanted: Option<i64>) {
    caller.judge(|state| {
        state.one(&told.asked, group, wanted);
        let mine = format!("n{nonce}");
        if let Some(group) = group
            && group.name.as_deref() != Some(mine.as_str())
        {
            let what = format!("{mine} was written, the answer is group {} with {:?}", group.id, group.name);
            state.wrong("a write was answered with what another call wrote", &told.asked, &what);
        }
    });
}

pub async fn create_group(caller: &mut Caller) {
    let (nonce, told) = caller.write(true, None, |nonce| CreateGroupRequest { group: Some(input(nonce)) }).await;
    let Ok(reply) = &told.outcome else { return };
    judge(caller, nonce, &told, reply.group.as_ref(), None);
    if let Some(group) = &reply.group {
        caller.judge(|state| state.pools.groups.put(group.id));
    }
}

pub async fn update_group(caller: &mut Caller) {
    let id = caller.any(GROUPS);
    let request = |nonce| UpdateGroupRequest { id, group: Some(input(nonce)), update_mask: None };
    let (nonce, told) = caller.write(false, None, request).await;
    caller.lasting(&told, Kind::Group, id);
    if let Ok(reply) = &told.outcome {
        judge(caller, nonce, &told, reply.group.as_ref(), Some(id));
    }
}

pub async fn delete_group(caller: &mut Caller) {
    let Some(id) = caller.judge(|state| state.pools.groups.take()) else { return create_group(caller).await };
    caller.write(false, Some(Key::DeleteGroup(id)), |_| DeleteGroupRequest { id }).await;
}

pub async fn create_group_with_agents(caller: &mut Caller) {
    let user_ids = vec![1001, 1002, member(caller)];
    let dry = caller.chance(10);
    let request = |nonce| CreateGroupWithAgentsRequest {
        group: Some(input(nonce)),
        agents: Some(AgentList { user_ids: user_ids.clone() }),
        validate_only: dry,
    };
    if dry {
        caller.ask(&request(0)).await;
        return;
    }
    let (nonce, told) = caller.write(true, None, request).await;
    let Ok(reply) = &told.outcome else { return };
    judge(caller, nonce, &told, reply.group.as_ref(), None);
    let Some(group) = &reply.group else { return };
    caller.judge(|state| {
        state.pools.groups.put(group.id);
        let mut wanted = user_ids.clone();
        wanted.sort_unstable();
        wanted.dedup();
        let there = state.world.roster(Kind::Group, group.id);
        if reply.failures.is_empty() && there != wanted {
            let what = format!("group {} was to have {wanted:?} and has {there:?}", group.id);
            state.wrong("a whole list was answered OK and is not there", &told.asked, &what);
        }
    });
}

/// A list that no other caller asks for at the same time, if they are lucky: the lists of one group share no agent.
fn list(caller: &mut Caller, first: i64) -> Vec<i64> {
    let third = caller.random.i64(0..6);
    vec![first + 3 * third, first + 3 * third + 1, first + 3 * third + 2]
}

pub async fn update_group_with_agents(caller: &mut Caller) {
    let id = caller.any(SET_GROUPS);
    let user_ids = list(caller, 1001);
    let renames = caller.chance(20);
    let subject = (Kind::Group, id);
    let place = caller.judge(|state| state.rosters.begin(subject, &user_ids));
    let request = |nonce: u64| UpdateGroupWithAgentsRequest {
        id,
        group: renames.then(|| input(nonce)),
        agents: Some(AgentList { user_ids: user_ids.clone() }),
        ..Default::default()
    };
    let told = if renames { caller.write(false, None, request).await.1 } else { caller.ask(&request(0)).await };
    caller.lasting(&told, Kind::Group, id);
    let whole = told.outcome.as_ref().is_ok_and(|reply| reply.failures.is_empty());
    caller.judge(|state| {
        if let Ok(reply) = &told.outcome {
            state.one(&told.asked, reply.group.as_ref(), Some(id));
        }
        let there = state.world.roster(subject.0, subject.1);
        if let Some(what) = state.rosters.end(subject, place, whole, &there) {
            state.wrong("a whole list was answered OK and is not there", &told.asked, &what);
        }
    });
}

pub async fn set_user_groups(caller: &mut Caller) {
    let user_id = caller.any(SET_USERS);
    let first = *GROUPS_OF_SET_USERS.start() + 2 * caller.random.i64(0..3);
    let group_ids = vec![first, first + 1];
    let default_group_id = caller.chance(50).then_some(first);
    let subject = (Kind::User, user_id);
    let place = caller.judge(|state| state.rosters.begin(subject, &group_ids));
    let request = SetUserGroupsRequest { user_id, group_ids, default_group_id, validate_only: false };
    let told = caller.ask(&request).await;
    caller.lasting(&told, Kind::User, user_id);
    let whole = told.outcome.as_ref().is_ok_and(|reply| reply.failures.is_empty());
    caller.judge(|state| {
        if let Ok(reply) = &told.outcome {
            state.memberships(&told.asked, &reply.group_memberships, Some(subject));
        }
        let there = state.world.roster(subject.0, subject.1);
        if let Some(what) = state.rosters.end(subject, place, whole, &there) {
            state.wrong("a whole list was answered OK and is not there", &told.asked, &what);
        }
    });
}

pub async fn create_membership(caller: &mut Caller) {
    let Some((user_id, group_id)) = caller.judge(|state| state.pools.pair()) else {
        return delete_membership(caller).await;
    };
    let membership = Some(GroupMembershipInput { user_id, group_id, default: None });
    let request = CreateMembershipRequest { group_membership: membership, under_user: caller.chance(30) };
    let (_, told) = caller.write(true, Some(Key::AddMembership(user_id, group_id)), |_| request).await;
    caller.lasting(&told, Kind::User, user_id);
    caller.judge(|state| match &told.outcome {
        Ok(reply) => {
            let row = reply.group_membership.as_ref();
            state.one(&told.asked, row, None);
            state.memberships(&told.asked, reply.group_membership.as_slice(), Some((Kind::User, user_id)));
            state.pools.free(row.map(|row| row.id), user_id, group_id);
        }
        Err(_) => state.pools.rest((user_id, group_id)),
    });
}

pub async fn bulk_create_memberships(caller: &mut Caller) {
    let Some((user_id, group_id)) = caller.judge(|state| state.pools.pair()) else {
        return delete_membership(caller).await;
    };
    let group_memberships = vec![GroupMembershipInput { user_id, group_id, default: None }];
    let request = BulkCreateMembershipsRequest { group_memberships, wait: caller.chance(70) };
    caller.write(true, Some(Key::AddMembership(user_id, group_id)), |_| request).await;
    caller.judge(|state| state.pools.rest((user_id, group_id)));
}

pub async fn set_default_membership(caller: &mut Caller) {
    let taken = caller.judge(|state| state.pools.memberships.pop_front());
    let Some((id, user_id, group)) = taken else { return create_membership(caller).await };
    let request = |_| SetDefaultMembershipRequest { id, user_id };
    let (_, told) = caller.write(false, Some(Key::Default(id)), request).await;
    caller.lasting(&told, Kind::Membership, id);
    caller.judge(|state| {
        if let Ok(reply) = &told.outcome {
            state.memberships(&told.asked, &reply.group_memberships, Some((Kind::User, user_id)));
            if !reply.group_memberships.iter().any(|row| row.id == id && row.default == Some(true)) {
                state.wrong(
                    "a write was answered with what another call wrote",
                    &told.asked,
                    &format!("{id} is no default"),
                );
            }
        }
        // After a time of rest: a request that is under way still belongs to this call.
        match told.outcome {
            Ok(_) => state.pools.free(Some(id), user_id, group),
            Err(_) => state.pools.rest((user_id, group)),
        }
    });
}

pub async fn delete_membership(caller: &mut Caller) {
    let taken = caller.judge(|state| state.pools.memberships.pop_front());
    let Some((id, user, group)) = taken else { return super::of_groups::list_memberships(caller).await };
    let user_id = caller.chance(30).then_some(user);
    let request = |_| DeleteMembershipRequest { id, user_id };
    let (_, told) = caller.write(false, Some(Key::DeleteMembership(id)), request).await;
    caller.judge(|state| match told.outcome {
        Ok(_) => state.pools.free(None, user, group),
        Err(_) => state.pools.rest((user, group)),
    });
}

pub async fn bulk_delete_memberships(caller: &mut Caller) {
    let taken = caller.judge(|state| state.pools.memberships.pop_front());
    let Some((id, user, group)) = taken else { return create_membership(caller).await };
    let request = BulkDeleteMembershipsRequest { ids: vec![id], wait: caller.chance(70) };
    caller.write(true, Some(Key::DeleteMembership(id)), |_| request).await;
    caller.judge(|state| state.pools.rest((user, group)));
}
