//! Reads of users.

use zendesk_gateway::proto::*;

use super::caller::Caller;
use super::views::View as _;
use super::world::{GROUPS, Kind, SET_GROUPS, USERS};

/// The names of lasting users.
fn name(id: i64) -> String {
    format!("x{id}")
}

pub async fn get_user(caller: &mut Caller) {
    let (id, include_groups) = (caller.any(USERS), caller.chance(20));
    let told = caller.ask(&GetUserRequest { id, include_groups, ..Default::default() }).await;
    caller.lasting(&told, Kind::User, id);
    if let Ok(reply) = &told.outcome {
        caller.judge(|state| {
            state.one(&told.asked, reply.user.as_ref(), Some(id));
            state.beside(&told.asked, &reply.groups, include_groups);
        });
    }
}

/// Users who come and go, and ids of nobody.
pub async fn get_passing_user(caller: &mut Caller) {
    let some = caller.judge(|state| state.pools.users.some());
    let id = some.unwrap_or(7);
    let told = caller.ask(&GetUserRequest { id, ..Default::default() }).await;
    caller.lasting(&told, Kind::User, id);
    if let Ok(reply) = &told.outcome {
        caller.judge(|state| state.one(&told.asked, reply.user.as_ref(), Some(id)));
    }
}

pub async fn batch_get_users(caller: &mut Caller) {
    let mut ids: Vec<i64> = (0..caller.random.usize(1..9)).map(|_| caller.random.i64(USERS)).collect();
    ids.sort_unstable();
    ids.dedup();
    caller.random.shuffle(&mut ids);
    let (by_name, include_groups) = (caller.chance(30), caller.chance(30));
    let mut request = BatchGetUsersRequest { include_groups, ..Default::default() };
    if by_name {
        request.external_ids = ids.iter().copied().map(name).collect();
    } else {
        (request.ids, request.include_deleted) = (ids.clone(), caller.chance(20));
    }
    let told = caller.ask(&request).await;
    let Ok(reply) = &told.outcome else { return };
    caller.judge(|state| {
        let found: Vec<i64> = reply.users.iter().map(|user| user.id).collect();
        if found != ids {
            state.wrong(
                "a batch does not hold what was asked for",
                &told.asked,
                &format!("{ids:?} were asked for, {found:?} came"),
            );
        }
        reply.users.iter().for_each(|user| state.seen(&told.asked, user.seen(), None));
        state.beside(&told.asked, &reply.groups, include_groups);
    });
}

pub async fn get_current_user(caller: &mut Caller) {
    let told = caller.ask(&GetCurrentUserRequest::default()).await;
    if let Ok(reply) = &told.outcome {
        caller.judge(|state| state.one(&told.asked, reply.user.as_ref(), Some(*USERS.start())));
    }
}

pub async fn get_user_related(caller: &mut Caller) {
    let id = caller.any(USERS);
    let told = caller.ask(&GetUserRelatedRequest { id }).await;
    caller.lasting(&told, Kind::User, id);
    let Ok(reply) = &told.outcome else { return };
    caller.judge(|state| {
        let related = reply.user_related.clone().unwrap_or_default();
        let (whose, version) = (related.assigned_tickets, related.requested_tickets.unwrap_or_default());
        let floor = state.floors.at(Kind::User, id, told.asked.begun);
        if whose != Some(id) {
            state.wrong(
                "another record was answered than was asked for",
                &told.asked,
                &format!("{id} was asked for: {related:?}"),
            );
        } else if version.cast_unsigned() < floor {
            let what = format!("v{version} of {id}, and v{floor} was known");
            state.wrong(
                "an answer is older than a write that was answered before it was asked for",
                &told.asked,
                &what,
            );
        }
    });
}

fn in_group(group: i64) -> UserFilter {
    UserFilter { scope: Some(user_filter::Scope::GroupId(group)), ..Default::default() }
}

fn judge_of_group(caller: &Caller, asked: &super::judge::Asked, users: &[User], group: i64) {
    caller.judge(|state| {
        for user in users {
            if !state.world.was_member(user.id, group) {
                let what = format!("user {} was never in group {group}", user.id);
                state.wrong("a list names a record that does not belong there", asked, &what);
            }
        }
    });
}

pub async fn list_users(caller: &mut Caller) {
    let group = caller.chance(30).then(|| caller.random.i64(GROUPS));
    let page_size = *caller.random.choice(&[5, 24, 100]).expect("there are three");
    let include_groups = group.is_none() && caller.chance(30);
    let request = ListUsersRequest { filter: group.map(in_group), page_size, include_groups, ..Default::default() };
    let told = caller.ask(&request).await;
    let Ok(reply) = &told.outcome else { return };
    caller.judge(|state| {
        state.rows(&told.asked, &reply.users, true);
        state.beside(&told.asked, &reply.groups, include_groups);
        if group.is_none() {
            let last = (*USERS.start() + i64::from(page_size) - 1).min(*USERS.end());
            state.all_there(&told.asked, &reply.users, *USERS.start()..=last);
        }
    });
    if let Some(group) = group {
        judge_of_group(caller, &told.asked, &reply.users, group);
    }
    if !reply.next_page_token.is_empty() {
        let token = reply.next_page_token.clone();
        let told = caller.ask(&ListUsersRequest { page_token: token, ..request }).await;
        if let Ok(next) = &told.outcome {
            caller.judge(|state| {
                state.rows(&told.asked, &next.users, true);
                let (last, first) = (reply.users.last(), next.users.first());
                if last.is_some_and(|last| first.is_some_and(|first| first.id <= last.id)) {
                    state.wrong("a list is not in its order or names a record twice", &told.asked, "its second page");
                }
            });
        }
    }
}

/// Reads a stream half-way, then the rest by the token.
pub async fn stream_users(caller: &mut Caller) {
    let request = StreamUsersRequest { page_size: 10, ..Default::default() };
    let most = if caller.chance(50) { 2 } else { 1000 };
    let (asked, mut messages, mut ended) = caller.stream(&request, most).await;
    let token = messages.last().map(|message| message.next_page_token.clone()).unwrap_or_default();
    if !ended && !token.is_empty() {
        let (_, rest, at_end) = caller.stream(&StreamUsersRequest { page_token: token, ..request }, 1000).await;
        messages.extend(rest);
        ended = at_end;
    }
    let users: Vec<User> = messages.into_iter().flat_map(|message| message.users).collect();
    caller.judge(|state| {
        state.rows(&asked, &users, true);
        if ended {
            state.all_there(&asked, &users, USERS);
        }
    });
}

pub async fn search_users(caller: &mut Caller) {
    let filter = Some(UserSearchFilter { query: Some("User".to_owned()), ..Default::default() });
    let told = caller.ask(&SearchUsersRequest { filter, page_size: 50, ..Default::default() }).await;
    if let Ok(reply) = &told.outcome {
        caller.judge(|state| state.all_there(&told.asked, &reply.users, USERS));
    }
}

pub async fn stream_search_users(caller: &mut Caller) {
    let filter = Some(UserSearchFilter { query: Some("User".to_owned()), ..Default::default() });
    let request = StreamSearchUsersRequest { filter, page_size: 100, ..Default::default() };
    let (asked, messages, ended) = caller.stream(&request, 1000).await;
    let users: Vec<User> = messages.into_iter().flat_map(|message| message.users).collect();
    if ended {
        caller.judge(|state| state.all_there(&asked, &users, USERS));
    }
}

pub async fn export_users(caller: &mut Caller) {
    let told = caller.ask(&ExportUsersRequest { query: "User".to_owned(), ..Default::default() }).await;
    if let Ok(reply) = &told.outcome {
        caller.judge(|state| state.rows(&told.asked, &reply.users, false));
    }
}

pub async fn stream_export_users(caller: &mut Caller) {
    let request = StreamExportUsersRequest { query: "User".to_owned(), page_size: 100, ..Default::default() };
    let (asked, messages, ended) = caller.stream(&request, 1000).await;
    let users: Vec<User> = messages.into_iter().flat_map(|message| message.users).collect();
    if ended {
        caller.judge(|state| state.all_there(&asked, &users, USERS));
    }
}

pub async fn autocomplete_users(caller: &mut Caller) {
    let told = caller.ask(&AutocompleteUsersRequest { name: "User".to_owned(), ..Default::default() }).await;
    if let Ok(reply) = &told.outcome {
        caller.judge(|state| state.all_there(&told.asked, &reply.users, USERS));
    }
}

pub async fn count_users(caller: &mut Caller) {
    if caller.chance(30) {
        let group = caller.any(SET_GROUPS);
        let told = caller.ask(&CountUsersRequest { filter: Some(in_group(group)) }).await;
        caller.lasting(&told, Kind::Group, group);
        return;
    }
    let told = caller.ask(&CountUsersRequest::default()).await;
    if let Ok(reply) = &told.outcome {
        let value = reply.count.as_ref().and_then(|count| count.value);
        caller.judge(|state| state.counted(&told.asked, Kind::User, false, value));
    }
}

pub async fn get_deleted_user(caller: &mut Caller) {
    let some = caller.judge(|state| state.pools.deleted.some());
    let Some(id) = some else { return list_deleted_users(caller).await };
    let told = caller.ask(&GetDeletedUserRequest { id }).await;
    caller.lasting(&told, Kind::User, id);
    if let Ok(reply) = &told.outcome {
        caller.judge(|state| state.one(&told.asked, reply.deleted_user.as_ref(), Some(id)));
    }
}

pub async fn list_deleted_users(caller: &mut Caller) {
    let told = caller.ask(&ListDeletedUsersRequest::default()).await;
    if let Ok(reply) = &told.outcome {
        caller.judge(|state| state.rows(&told.asked, &reply.deleted_users, true));
    }
}

pub async fn stream_deleted_users(caller: &mut Caller) {
    let request = StreamDeletedUsersRequest { page_size: 10, ..Default::default() };
    let (asked, messages, _) = caller.stream(&request, 5).await;
    let users: Vec<DeletedUser> = messages.into_iter().flat_map(|message| message.deleted_users).collect();
    caller.judge(|state| state.rows(&asked, &users, true));
}

pub async fn count_deleted_users(caller: &mut Caller) {
    let told = caller.ask(&CountDeletedUsersRequest {}).await;
    if let Ok(reply) = &told.outcome {
        let value = reply.count.as_ref().and_then(|count| count.value);
        caller.judge(|state| state.counted(&told.asked, Kind::User, true, value));
    }
}

fn judge_statuses(caller: &Caller, asked: &super::judge::Asked, rows: &[ComplianceDeletionStatus], id: i64) {
    if rows.iter().any(|row| row.user_id != Some(id)) {
        let what = format!("{rows:?} of user {id}");
        caller.judge(|state| state.wrong("a list names a record that does not belong there", asked, &what));
    }
}

pub async fn list_compliance_deletion_statuses(caller: &mut Caller) {
    let user_id = caller.any(USERS);
    let told = caller.ask(&ListComplianceDeletionStatusesRequest { user_id, ..Default::default() }).await;
    if let Ok(reply) = &told.outcome {
        judge_statuses(caller, &told.asked, &reply.compliance_deletion_statuses, user_id);
    }
}

pub async fn stream_compliance_deletion_statuses(caller: &mut Caller) {
    let user_id = caller.any(USERS);
    let request = StreamComplianceDeletionStatusesRequest { user_id, ..Default::default() };
    let (asked, messages, _) = caller.stream(&request, 10).await;
    for message in messages {
        judge_statuses(caller, &asked, &message.compliance_deletion_statuses, user_id);
    }
}
