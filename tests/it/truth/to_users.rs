//! Writes of users.

use zendesk_gateway::proto::*;

use super::book::Key;
use super::caller::{Caller, Told};
use super::changes::LOGOUT;
use super::world::{Kind, SET_USERS, USERS};

pub fn notes(nonce: u64) -> UserInput {
    UserInput { notes: Some(format!("n{nonce}")), ..UserInput::default() }
}

pub fn named(nonce: u64) -> UserInput {
    UserInput { name: Some("N".to_owned()), ..notes(nonce) }
}

/// Judges the user that a write answers with: it is the very one, as this write has left it.
fn judge<A>(caller: &Caller, nonce: u64, told: &Told<A>, user: Option<&User>, wanted: Option<i64>) {
    caller.judge(|state| {
        state.one(&told.asked, user, wanted);
        let mine = format!("n{nonce}");
        if let Some(user) = user
            && user.notes.as_deref() != Some(mine.as_str())
        {
            let what = format!("{mine} was written, the answer is user {} with {:?}", user.id, user.notes);
            state.wrong("a write was answered with what another call wrote", &told.asked, &what);
        }
    });
}

pub async fn create_user(caller: &mut Caller) {
    let (nonce, told) =
        caller.write(true, None, |nonce| CreateUserRequest { user: Some(named(nonce)), ..Default::default() }).await;
    let Ok(reply) = &told.outcome else { return };
    judge(caller, nonce, &told, reply.user.as_ref(), None);
    if let Some(user) = &reply.user {
        caller.judge(|state| state.pools.users.put(user.id));
    }
}

pub async fn create_or_update_user(caller: &mut Caller) {
    let known = caller.chance(60).then(|| caller.random.i64(USERS));
    let request = |nonce: u64| {
        let external_id = Some(known.map_or_else(|| format!("u{nonce}"), |id| format!("x{id}")));
        let user = Some(UserInput { external_id, ..named(nonce) });
        CreateOrUpdateUserRequest { user, update_mask: None, ..Default::default() }
    };
    let (nonce, told) = caller.write(false, None, request).await;
    let Ok(reply) = &told.outcome else { return };
    judge(caller, nonce, &told, reply.user.as_ref(), known);
    if let (Some(user), None) = (&reply.user, known) {
        caller.judge(|state| state.pools.users.put(user.id));
    }
}

pub async fn request_user_create(caller: &mut Caller) {
    let user = |nonce: u64| UserInput { email: Some(format!("m{nonce}@truth.example")), ..named(nonce) };
    caller.write(true, None, |nonce| RequestUserCreateRequest { user: Some(user(nonce)) }).await;
}

pub async fn update_user(caller: &mut Caller) {
    let id = caller.any(USERS);
    let request = |nonce| UpdateUserRequest { id, user: Some(notes(nonce)), update_mask: None, ..Default::default() };
    let (nonce, told) = caller.write(false, None, request).await;
    caller.lasting(&told, Kind::User, id);
    if let Ok(reply) = &told.outcome {
        judge(caller, nonce, &told, reply.user.as_ref(), Some(id));
    }
}

pub async fn upload_user_photo(caller: &mut Caller) {
    let id = caller.any(USERS);
    let request = |nonce| UploadUserPhotoRequest {
        id,
        content: b"GIF89a".to_vec().into(),
        content_type: "image/gif".to_owned(),
        file_name: format!("n{nonce}.gif"),
    };
    let (nonce, told) = caller.write(false, None, request).await;
    caller.lasting(&told, Kind::User, id);
    if let Ok(reply) = &told.outcome {
        judge(caller, nonce, &told, reply.user.as_ref(), Some(id));
    }
}

pub async fn merge_user(caller: &mut Caller) {
    let Some(id) = caller.judge(|state| state.pools.users.take()) else { return create_user(caller).await };
    let target_id = caller.any(USERS);
    let request = |_| MergeUserRequest { id, target_id };
    let (nonce, told) = caller.write(true, Some(Key::Merge(id)), request).await;
    if let Ok(reply) = &told.outcome {
        judge(caller, nonce, &told, reply.user.as_ref(), Some(target_id));
    }
}

pub async fn delete_user(caller: &mut Caller) {
    let Some(id) = caller.judge(|state| state.pools.users.take()) else { return create_user(caller).await };
    let (_, told) = caller.write(false, Some(Key::DeleteUser(id)), |_| DeleteUserRequest { id }).await;
    if let Ok(reply) = &told.outcome {
        caller.judge(|state| {
            state.one(&told.asked, reply.user.as_ref(), Some(id));
            state.pools.deleted.put(id);
        });
    }
}

pub async fn permanently_delete_user(caller: &mut Caller) {
    let Some(id) = caller.judge(|state| state.pools.deleted.take()) else { return delete_user(caller).await };
    let (_, told) = caller.write(true, Some(Key::EraseUser(id)), |_| PermanentlyDeleteUserRequest { id }).await;
    if let Ok(reply) = &told.outcome
        && reply.deleted_user.as_ref().map(|user| user.id) != Some(id)
    {
        caller.judge(|state| {
            let what = format!("{id} was asked for: {:?}", reply.deleted_user);
            state.wrong("another record was answered than was asked for", &told.asked, &what);
        });
    }
}

pub async fn logout_users(caller: &mut Caller) {
    let id = |nonce: u64| LOGOUT + i64::try_from(nonce).expect("few calls");
    caller.write(false, None, |nonce| LogoutUsersRequest { ids: vec![id(nonce)] }).await;
}

pub async fn bulk_create_users(caller: &mut Caller) {
    let (count, wait) = (caller.random.usize(1..4), caller.chance(70));
    let request = |nonce| BulkCreateUsersRequest { users: vec![named(nonce); count], wait, ..Default::default() };
    let (nonce, told) = caller.write(true, None, request).await;
    let Ok(reply) = &told.outcome else { return };
    caller.judge(|state| {
        for outcome in reply.outcomes.iter().filter(|outcome| outcome.result() == BulkResult::Created) {
            let by = outcome.id.and_then(|id| state.world.ever(Kind::User, id)).map(|user| user.history[0].nonce);
            if outcome.id.is_some() && by != Some(nonce) {
                let what = format!("{outcome:?} was created by {by:?}, not by n{nonce}");
                state.wrong("another record was answered than was asked for", &told.asked, &what);
            }
        }
    });
}

pub async fn bulk_create_or_update_users(caller: &mut Caller) {
    let id = caller.any(USERS);
    let (wait, by_id) = (caller.chance(70), caller.chance(30));
    let request = |nonce: u64| {
        let user = |external_id: String| UserInput { external_id: Some(external_id), ..named(nonce) };
        let known = if by_id { UserInput { id: Some(id), ..named(nonce) } } else { user(format!("x{id}")) };
        BulkCreateOrUpdateUsersRequest { users: vec![known, user(format!("u{nonce}"))], wait, ..Default::default() }
    };
    let (_, told) = caller.write(true, None, request).await;
    let Ok(reply) = &told.outcome else { return };
    let first = reply.outcomes.first().filter(|outcome| outcome.result() == BulkResult::Updated);
    if first.is_some_and(|outcome| outcome.id != Some(id)) {
        let what = format!("x{id} was updated: {first:?}");
        caller.judge(|state| state.wrong("another record was answered than was asked for", &told.asked, &what));
    }
}

pub async fn bulk_update_users(caller: &mut Caller) {
    let ids = vec![caller.random.i64(1001..1011), caller.random.i64(1011..1021)];
    let (by_name, each, wait) = (caller.chance(30), caller.chance(30), caller.chance(70));
    let request = |nonce: u64| {
        let user = Some(notes(nonce));
        if each {
            let update =
                |id: &i64| UserUpdate { key: Some(user_update::Key::Id(*id)), user: user.clone(), update_mask: None };
            return BulkUpdateUsersRequest { users: ids.iter().map(update).collect(), wait, ..Default::default() };
        }
        if by_name {
            let external_ids = ids.iter().map(|id| format!("x{id}")).collect();
            return BulkUpdateUsersRequest { external_ids, user, wait, ..Default::default() };
        }
        BulkUpdateUsersRequest { ids: ids.clone(), user, wait, ..Default::default() }
    };
    caller.write(true, None, request).await;
}

pub async fn bulk_delete_users(caller: &mut Caller) {
    let Some(id) = caller.judge(|state| state.pools.users.take()) else { return create_user(caller).await };
    let wait = caller.chance(70);
    let request = |_| BulkDeleteUsersRequest { ids: vec![id], wait, ..Default::default() };
    caller.write(true, Some(Key::DeleteUser(id)), request).await;
}

/// The lasting users whom single writes make members of groups.
pub fn member(caller: &mut Caller) -> i64 {
    caller.any(*USERS.start()..=*SET_USERS.start() - 1)
}
