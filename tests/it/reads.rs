//! Single records, counts and batches.

use serde_json::json;
use zendesk_gateway::proto::{
    BatchGetUsersRequest, CountDeletedUsersRequest, CountGroupsRequest, CountUsersRequest, GetCurrentUserRequest,
    GetDeletedUserRequest, GetGroupRequest, GetMembershipRequest, GetUserRelatedRequest, GetUserRequest, GroupFilter,
    UserFilter, UserRole, user_filter::Scope,
};

use crate::support::{Dynamic, TestGateway, account, refused};
use zendesk_gateway::sandbox;

#[tokio::test]
async fn a_user_is_read_as_zendesk_holds_it() {
    let t = TestGateway::start().await;
    let id = t.sandbox.store().user_ids()[3];
    let user = t
        .users()
        .get_user(GetUserRequest { id, ..Default::default() })
        .await
        .expect("a user")
        .into_inner()
        .user
        .expect("set");
    assert_eq!(user.id, id);
    assert!(id > i64::from(u32::MAX), "ids go beyond 32 bits");
    assert!(user.user_fields.is_some_and(|fields| fields.fields.len() > 5), "all custom fields are there");
    assert_eq!(t.sandbox.hits(&format!("/users/{id}")), 1);
    t.stop().await;
}

#[tokio::test]
async fn a_record_is_asked_for_as_it_is_and_many_are_asked_for_compressed() {
    let t = TestGateway::start().await;
    let ids = t.sandbox.store().user_ids()[..2].to_vec();
    t.users().get_user(GetUserRequest { id: ids[0], ..Default::default() }).await.expect("a user");
    let many = BatchGetUsersRequest { ids, ..Default::default() };
    t.users().batch_get_users(many).await.expect("users");
    let asked = |sent: &sandbox::Recorded| sent.headers["accept-encoding"].to_str().expect("text").to_owned();
    assert_eq!(t.sandbox.requests().iter().map(asked).collect::<Vec<_>>(), ["identity", "gzip"]);
}

#[tokio::test]
async fn the_current_user_is_the_credentials() {
    let t = TestGateway::start().await;
    let me = t.users().get_current_user(GetCurrentUserRequest::default()).await.expect("a user").into_inner().user;
    let me = me.expect("set");
    assert_eq!(me.email.as_deref(), Some(t.sandbox.config().credential.email.as_str()));
    assert_eq!(me.role, Some(UserRole::Admin.into()));
    assert!(me.authenticity_token.is_some());
}

#[tokio::test]
async fn a_batch_keeps_the_order_asked_and_names_the_missing() {
    let t = TestGateway::start().await;
    let held = t.sandbox.store().user_ids();
    let mut ids: Vec<i64> = held.iter().rev().take(230).copied().collect();
    ids.insert(7, 42);
    ids.push(ids[0]);
    ids.push(i64::MAX);
    let request = BatchGetUsersRequest { ids: ids.clone(), ..Default::default() };
    let reply = t.users().batch_get_users(request).await.expect("users").into_inner();
    let wanted: Vec<i64> = held.iter().rev().take(230).copied().collect();
    assert_eq!(reply.users.iter().map(|user| user.id).collect::<Vec<_>>(), wanted);
    assert_eq!(reply.missing_ids, [42, i64::MAX]);
    assert_eq!(t.sandbox.hits("/users/show_many"), 3, "232 distinct ids are three requests");
}

#[tokio::test]
async fn a_batch_by_external_id_ignores_case() {
    let t = TestGateway::start().await;
    let mut users = Vec::new();
    for id in t.sandbox.store().user_ids() {
        let user = t
            .users()
            .get_user(GetUserRequest { id, ..Default::default() })
            .await
            .expect("a user")
            .into_inner()
            .user
            .expect("set");
        users.extend(user.external_id.map(|external_id| (external_id, user.id)));
        if users.len() == 3 {
            break;
        }
    }
    let asked = vec![users[2].0.to_uppercase(), "nobody-has-this".to_owned(), users[0].0.to_lowercase()];
    let request = BatchGetUsersRequest { external_ids: asked, ..Default::default() };
    let reply = t.users().batch_get_users(request).await.expect("users").into_inner();
    assert_eq!(reply.users.iter().map(|user| user.id).collect::<Vec<_>>(), [users[2].1, users[0].1]);
    assert_eq!(reply.missing_external_ids, ["nobody-has-this"]);

    let asked = ["hr-1", "HR-1", "hr-1", "x"].map(str::to_owned).to_vec();
    let request = BatchGetUsersRequest { external_ids: asked, ..Default::default() };
    let reply = t.users().batch_get_users(request).await.expect("nobody").into_inner();
    assert_eq!(reply.missing_external_ids, ["hr-1", "HR-1", "x"], "a caller looks for what it has written");
}

#[tokio::test]
async fn counts_are_what_is_held() {
    let t = TestGateway::with(sandbox::Config { users: 340, ..account() }).await;
    let all = t.users().count_users(CountUsersRequest::default()).await.expect("a count").into_inner().count;
    assert_eq!(all.expect("set").value, Some(340));
    let agents = UserFilter { roles: vec![UserRole::Agent.into(), UserRole::Admin.into()], ..Default::default() };
    let some = t.users().count_users(CountUsersRequest { filter: Some(agents) }).await.expect("a count").into_inner();
    assert!((1..340).contains(&some.count.expect("set").value.expect("a number")));
    let groups = t.groups().count_groups(CountGroupsRequest::default()).await.expect("a count").into_inner().count;
    assert_eq!(groups.expect("set").value, Some(12));
    let membership = t.held_memberships()[0].clone();
    let filter = UserFilter { scope: Some(Scope::GroupId(membership.group_id)), ..Default::default() };
    let in_group = t.users().count_users(CountUsersRequest { filter: Some(filter) }).await.expect("a count");
    let held = t.held_memberships().iter().filter(|row| row.group_id == membership.group_id).count();
    assert_eq!(in_group.into_inner().count.expect("set").value, i64::try_from(held).ok());
    let filter = Some(GroupFilter { user_id: Some(membership.user_id), ..Default::default() });
    let of_user = t.groups().count_groups(CountGroupsRequest { filter }).await.expect("a count").into_inner();
    let held = t.held_memberships().iter().filter(|row| row.user_id == membership.user_id).count();
    assert_eq!(of_user.count.expect("set").value, i64::try_from(held).ok());
    let deleted = t.users().count_deleted_users(CountDeletedUsersRequest {}).await.expect("a count").into_inner();
    assert!(deleted.count.expect("set").value > Some(0));
}

#[tokio::test]
async fn groups_memberships_related_and_deleted_users_are_read() {
    let t = TestGateway::start().await;
    let membership = t.held_memberships()[0].clone();
    let by_id = t.memberships().get_membership(GetMembershipRequest { id: membership.id, user_id: None }).await;
    let by_id = by_id.expect("a membership").into_inner().group_membership.expect("set");
    assert_eq!((by_id.user_id, by_id.group_id), (Some(membership.user_id), Some(membership.group_id)));
    let under_user = GetMembershipRequest { id: membership.id, user_id: Some(membership.user_id) };
    let under_user = t.memberships().get_membership(under_user).await.expect("a membership").into_inner();
    assert_eq!(under_user.group_membership, Some(by_id));
    let group = t
        .groups()
        .get_group(GetGroupRequest { id: membership.group_id, ..Default::default() })
        .await
        .expect("a group")
        .into_inner();
    assert_eq!(group.group.expect("set").id, membership.group_id);
    let related = t.users().get_user_related(GetUserRelatedRequest { id: membership.user_id }).await;
    assert!(related.expect("numbers").into_inner().user_related.expect("set").assigned_tickets.is_some());
    let deleted = t.users().list_deleted_users(zendesk_gateway::proto::ListDeletedUsersRequest::default()).await;
    let deleted = deleted.expect("a page").into_inner().deleted_users;
    let soft = deleted.iter().find(|user| user.email.is_some()).expect("one that is not permanently deleted");
    let shown = t.users().get_deleted_user(GetDeletedUserRequest { id: soft.id }).await.expect("it").into_inner();
    assert_eq!(shown.deleted_user.as_ref(), Some(soft));
}

#[tokio::test]
async fn the_entitlements_of_a_user_are_read_and_kept() {
    let t = TestGateway::start().await;
    let client = Dynamic::new(t.channel.clone());
    let id = t.sandbox.store().staff_ids()[0];
    for _ in 0..2 {
        let reply =
            client.call("GetUserEntitlements", &json!({"id": id}).to_string()).await.expect("answered").remove(0);
        assert_eq!(reply["entitlements"]["chat"]["is_active"], true, "{reply}");
        assert!(reply["entitlements"]["guide"].is_null(), "{reply}");
    }
    assert_eq!(t.sandbox.total_hits(), 1);
    let missing = refused(client.call("GetUserEntitlements", r#"{"id": 7}"#).await);
    assert_eq!(missing.reason, "NOT_FOUND");
}

#[tokio::test]
async fn a_completion_with_values_is_asked_for_in_a_body_and_kept_by_them() {
    let t = TestGateway::start().await;
    let client = Dynamic::new(t.channel.clone());
    let name = t.sandbox.store().user(t.sandbox.store().user_ids()[3]).expect("a user")["name"].clone();
    let ask = async |team: &str| {
        let request = json!({"name": name, "field_id": "7", "source": "zen:user", "brand_id": "5", "page_size": 10,
            "dynamic_values": {"team": team}});
        let reply = client.call("AutocompleteUsers", &request.to_string()).await.expect("answered").remove(0);
        assert!(
            reply["users"].as_array().is_some_and(|users| users.iter().any(|user| user["name"] == name)),
            "{reply}"
        );
    };
    ask("red").await;
    ask("red").await;
    let sent = t.sandbox.requests();
    assert_eq!((sent.len(), sent[0].method.as_str(), sent[0].query.as_str()), (1, "POST", "per_page=10"));
    let body: serde_json::Value = serde_json::from_slice(&sent[0].body).expect("JSON");
    let filter = json!({"dynamic_values": {"team": "red"}});
    assert_eq!(body, json!({"name": name, "field_id": 7, "source": "zen:user", "brand_id": 5, "filter": filter}));
    ask("blue").await;
    assert_eq!(t.sandbox.total_hits(), 2);
}
