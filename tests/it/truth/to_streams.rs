//! Writes by bulk streams, with one message each.

use zendesk_gateway::proto::*;

use super::book::Key;
use super::caller::Caller;
use super::to_groups::{create_membership, delete_membership};
use super::to_users::{create_user, named, notes};
use super::world::USERS;

pub async fn create_users(caller: &mut Caller) {
    let count = caller.random.usize(1..4);
    let request = |nonce| StreamBulkCreateUsersRequest { users: vec![named(nonce); count], ..Default::default() };
    caller.write(true, None, request).await;
}

pub async fn create_or_update_users(caller: &mut Caller) {
    let id = caller.any(USERS);
    let request = |nonce: u64| {
        let user = |external_id: String| UserInput { external_id: Some(external_id), ..named(nonce) };
        let users = vec![user(format!("x{id}")), user(format!("u{nonce}"))];
        StreamBulkCreateOrUpdateUsersRequest { users, ..Default::default() }
    };
    caller.write(true, None, request).await;
}

pub async fn update_users(caller: &mut Caller) {
    let ids = vec![caller.random.i64(1001..1011), caller.random.i64(1011..1021)];
    let request = |nonce| StreamBulkUpdateUsersRequest { ids, user: Some(notes(nonce)), ..Default::default() };
    caller.write(true, None, request).await;
}

pub async fn delete_users(caller: &mut Caller) {
    let Some(id) = caller.judge(|state| state.pools.users.take()) else { return create_user(caller).await };
    let request = |_| StreamBulkDeleteUsersRequest { ids: vec![id], ..Default::default() };
    caller.write(true, Some(Key::DeleteUser(id)), request).await;
}

pub async fn create_memberships(caller: &mut Caller) {
    let Some((user_id, group_id)) = caller.judge(|state| state.pools.pair()) else {
        return delete_membership(caller).await;
    };
    let group_memberships = vec![GroupMembershipInput { user_id, group_id, default: None }];
    let request = StreamBulkCreateMembershipsRequest { group_memberships, ..Default::default() };
    caller.write(true, Some(Key::AddMembership(user_id, group_id)), |_| request).await;
    caller.judge(|state| state.pools.rest((user_id, group_id)));
}

pub async fn delete_memberships(caller: &mut Caller) {
    let taken = caller.judge(|state| state.pools.memberships.pop_front());
    let Some((id, user, group)) = taken else { return create_membership(caller).await };
    let request = StreamBulkDeleteMembershipsRequest { ids: vec![id], ..Default::default() };
    caller.write(true, Some(Key::DeleteMembership(id)), |_| request).await;
    caller.judge(|state| state.pools.rest((user, group)));
}
