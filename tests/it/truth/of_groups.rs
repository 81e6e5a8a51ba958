//! Reads of groups, memberships and jobs.

use zendesk_gateway::proto::*;

use super::caller::Caller;
use super::judge::Asked;
use super::views::View as _;
use super::world::{GROUPS, GROUPS_OF_SET_USERS, Kind, SET_USERS, USERS};

pub async fn get_group(caller: &mut Caller) {
    let (id, include_users) = (caller.any(GROUPS), caller.chance(30));
    let told = caller.ask(&GetGroupRequest { id, include_users }).await;
    caller.lasting(&told, Kind::Group, id);
    if let Ok(reply) = &told.outcome {
        caller.judge(|state| {
            state.one(&told.asked, reply.group.as_ref(), Some(id));
            state.beside(&told.asked, &reply.users, include_users);
        });
    }
}

pub async fn list_groups(caller: &mut Caller) {
    if caller.chance(30) {
        let user_id = Some(caller.any(SET_USERS));
        let filter = Some(GroupFilter { user_id, ..Default::default() });
        let told = caller.ask(&ListGroupsRequest { filter, ..Default::default() }).await;
        if let Ok(reply) = &told.outcome {
            caller.judge(|state| {
                state.rows(&told.asked, &reply.groups, true);
                if let Some(group) = reply.groups.iter().find(|group| !GROUPS_OF_SET_USERS.contains(&group.id)) {
                    let what = format!("user {user_id:?} was never in group {}", group.id);
                    state.wrong("a list names a record that does not belong there", &told.asked, &what);
                }
            });
        }
        return;
    }
    let include_users = caller.chance(30);
    let told = caller.ask(&ListGroupsRequest { include_users, ..Default::default() }).await;
    if let Ok(reply) = &told.outcome {
        caller.judge(|state| {
            state.beside(&told.asked, &reply.users, include_users);
            state.rows(&told.asked, &reply.groups, true);
            state.all_there(&told.asked, &reply.groups, GROUPS);
        });
    }
}

pub async fn stream_groups(caller: &mut Caller) {
    let (asked, messages, ended) =
        caller.stream(&StreamGroupsRequest { page_size: 4, include_users: true, ..Default::default() }, 1000).await;
    let beside: Vec<Vec<User>> = messages.iter().map(|message| message.users.clone()).collect();
    let groups: Vec<Group> = messages.into_iter().flat_map(|message| message.groups).collect();
    caller.judge(|state| {
        for users in &beside {
            state.beside(&asked, users, true);
        }
        state.rows(&asked, &groups, true);
        if ended {
            state.all_there(&asked, &groups, GROUPS);
        }
    });
}

pub async fn list_assignable_groups(caller: &mut Caller) {
    let told = caller.ask(&ListAssignableGroupsRequest::default()).await;
    if let Ok(reply) = &told.outcome {
        caller.judge(|state| {
            state.rows(&told.asked, &reply.groups, true);
            state.all_there(&told.asked, &reply.groups, GROUPS);
        });
    }
}

pub async fn stream_assignable_groups(caller: &mut Caller) {
    let request = StreamAssignableGroupsRequest { page_size: 5, ..Default::default() };
    let (asked, messages, _) = caller.stream(&request, 1000).await;
    let groups: Vec<Group> = messages.into_iter().flat_map(|message| message.groups).collect();
    caller.judge(|state| state.rows(&asked, &groups, false));
}

pub async fn count_groups(caller: &mut Caller) {
    let told = caller.ask(&CountGroupsRequest::default()).await;
    if let Ok(reply) = &told.outcome {
        let value = reply.count.as_ref().and_then(|count| count.value);
        caller.judge(|state| state.counted(&told.asked, Kind::Group, false, value));
    }
}

pub async fn get_group_with_agents(caller: &mut Caller) {
    let id = caller.any(GROUPS);
    let told = caller.ask(&GetGroupWithAgentsRequest { id }).await;
    caller.lasting(&told, Kind::Group, id);
    let Ok(reply) = &told.outcome else { return };
    caller.judge(|state| {
        state.one(&told.asked, reply.group.as_ref(), Some(id));
        for agent in &reply.agents {
            state.seen(&told.asked, agent.seen(), None);
            if !state.world.was_member(agent.id, id) {
                let what = format!("user {} was never in group {id}", agent.id);
                state.wrong("a list names a record that does not belong there", &told.asked, &what);
            }
        }
    });
}

pub async fn get_membership(caller: &mut Caller) {
    let taken = caller.judge(|state| state.pools.memberships.pop_front());
    let Some((id, user, group)) = taken else { return list_memberships(caller).await };
    let user_id = caller.chance(30).then_some(user);
    let told = caller.ask(&GetMembershipRequest { id, user_id }).await;
    caller.lasting(&told, Kind::Membership, id);
    caller.judge(|state| {
        if let Ok(reply) = &told.outcome {
            state.one(&told.asked, reply.group_membership.as_ref(), Some(id));
            state.memberships(&told.asked, reply.group_membership.as_slice(), Some((Kind::User, user)));
        }
        state.pools.memberships.push_back((id, user, group));
    });
}

/// A list of memberships: of all, of a user or of a group.
fn scope(caller: &mut Caller) -> (Option<MembershipFilter>, Option<(Kind, i64)>) {
    use membership_filter::Scope;
    let (scope, of) = match caller.random.u32(..3) {
        0 => return (None, None),
        1 => {
            let user = caller.any(USERS);
            (Scope::UserId(user), (Kind::User, user))
        }
        _ => {
            let group = caller.any(GROUPS);
            (Scope::GroupId(group), (Kind::Group, group))
        }
    };
    (Some(MembershipFilter { scope: Some(scope) }), Some(of))
}

fn judge_list(caller: &Caller, asked: &Asked, rows: &[GroupMembership], of: Option<(Kind, i64)>, ordered: bool) {
    caller.judge(|state| {
        state.rows(asked, rows, ordered);
        state.memberships(asked, rows, of);
    });
}

pub async fn list_memberships(caller: &mut Caller) {
    let (filter, of) = scope(caller);
    let beside = caller.chance(30);
    let request =
        ListMembershipsRequest { filter, include_users: beside, include_groups: beside, ..Default::default() };
    let told = caller.ask(&request).await;
    let Ok(reply) = &told.outcome else { return };
    judge_list(caller, &told.asked, &reply.group_memberships, of, true);
    caller.judge(|state| {
        // A group may be deleted while somebody joins it.
        reply.users.iter().for_each(|user| state.seen(&told.asked, user.seen(), None));
        reply.groups.iter().for_each(|group| state.seen(&told.asked, group.seen(), None));
    });
}

pub async fn stream_memberships(caller: &mut Caller) {
    let (filter, of) = scope(caller);
    let request = StreamMembershipsRequest { filter, page_size: 10, ..Default::default() };
    let (asked, messages, _) = caller.stream(&request, 1000).await;
    let rows: Vec<GroupMembership> = messages.into_iter().flat_map(|message| message.group_memberships).collect();
    judge_list(caller, &asked, &rows, of, true);
}

pub async fn list_assignable_memberships(caller: &mut Caller) {
    let group = caller.chance(50).then(|| caller.random.i64(GROUPS));
    let filter = group.map(|group| AssignableMembershipFilter { group_id: Some(group) });
    let told = caller.ask(&ListAssignableMembershipsRequest { filter, ..Default::default() }).await;
    if let Ok(reply) = &told.outcome {
        judge_list(caller, &told.asked, &reply.group_memberships, group.map(|group| (Kind::Group, group)), true);
    }
}

pub async fn stream_assignable_memberships(caller: &mut Caller) {
    let request = StreamAssignableMembershipsRequest { page_size: 10, ..Default::default() };
    let (asked, messages, _) = caller.stream(&request, 1000).await;
    let rows: Vec<GroupMembership> = messages.into_iter().flat_map(|message| message.group_memberships).collect();
    judge_list(caller, &asked, &rows, None, false);
}

/// Judges a job: whose it is stands in its `url`.
fn judge_job(caller: &Caller, asked: &Asked, job: &Job, wanted: Option<&str>) {
    caller.judge(|state| {
        let whose = state.jobs.nonce(&job.id);
        let stamp = whose.map(|nonce| format!("{}?n={nonce}", job.id));
        if wanted.is_some_and(|wanted| wanted != job.id) {
            state.wrong(
                "another record was answered than was asked for",
                asked,
                &format!("{wanted:?} was asked for: {job:?}"),
            );
        } else if whose.is_some() && job.url != stamp {
            state.wrong("a record is mixed of two", asked, &format!("{job:?}, and it is {stamp:?}"));
        }
    });
}

fn some_job(caller: &mut Caller) -> Option<String> {
    let back = caller.random.usize(..5);
    caller.judge(|state| state.jobs.newest(back))
}

pub async fn get_job(caller: &mut Caller) {
    let Some(id) = some_job(caller) else { return list_jobs(caller).await };
    let told = caller.ask(&GetJobRequest { id: id.clone() }).await;
    if let Ok(reply) = &told.outcome {
        judge_job(caller, &told.asked, &reply.job_status.clone().unwrap_or_default(), Some(&id));
    }
}

pub async fn list_jobs(caller: &mut Caller) {
    let told = caller.ask(&ListJobsRequest { page_size: 5, ..Default::default() }).await;
    if let Ok(reply) = &told.outcome {
        for job in &reply.job_statuses {
            judge_job(caller, &told.asked, job, None);
        }
    }
}

pub async fn stream_jobs(caller: &mut Caller) {
    let (asked, messages, _) = caller.stream(&StreamJobsRequest { page_size: 10, ..Default::default() }, 5).await;
    let jobs: Vec<Job> = messages.into_iter().flat_map(|message| message.job_statuses).collect();
    for job in &jobs {
        judge_job(caller, &asked, job, None);
    }
}

pub async fn batch_get_jobs(caller: &mut Caller) {
    let Some(id) = some_job(caller) else { return list_jobs(caller).await };
    let told = caller.ask(&BatchGetJobsRequest { ids: vec![id.clone(), "V3-0".to_owned()] }).await;
    let Ok(reply) = &told.outcome else { return };
    match reply.job_statuses.as_slice() {
        [job] => judge_job(caller, &told.asked, job, Some(&id)),
        // Only the newest jobs are remembered.
        _ => caller.judge(|state| {
            if state.jobs.nonce(&id).is_some() {
                state.wrong("a record that was there was not found", &told.asked, &id);
            }
        }),
    }
}

pub async fn watch_jobs(caller: &mut Caller) {
    let Some(id) = some_job(caller) else { return list_jobs(caller).await };
    let (asked, messages, _) = caller.stream(&WatchJobsRequest { ids: vec![id.clone()] }, 5).await;
    for message in messages {
        judge_job(caller, &asked, &message.job_status.unwrap_or_default(), Some(&id));
    }
}
