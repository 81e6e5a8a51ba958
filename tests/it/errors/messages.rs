//! Messages that say what is wrong, where more than one thing could be.

use prost_reflect::DynamicMessage;
use serde_json::json;
use zendesk_gateway::proto::{
    CreateUserRequest, ListGroupsRequest, MergeUserRequest, SetUserGroupsRequest, UpdateUserRequest, UserInput,
};
use zendesk_gateway::sandbox::faults::{Respond, get};

use super::*;
use crate::support::{Dynamic, account, settings};

/// The message of a call that is refused.
async fn told(t: &TestGateway, rpc: &str, request: &str) -> String {
    refused(Dynamic::new(t.channel.clone()).call(rpc, request).await).message
}

#[tokio::test]
#[ignore = "slow"]
async fn what_the_gateway_refuses_is_said_with_its_value_and_its_choices() {
    let t = TestGateway::start().await;
    for (rpc, request, message) in [
        (
            "ListUsers",
            r#"{"filter": {"roles": [2, 99]}}"#,
            "filter.roles[1] is 99, and must be one of USER_ROLE_END_USER (1), USER_ROLE_AGENT (2), USER_ROLE_ADMIN (3)",
        ),
        (
            "CreateUser",
            r#"{"user": {"name": "A", "role": 7}}"#,
            "user.role is 7, and must be one of USER_ROLE_END_USER (1), USER_ROLE_AGENT (2), USER_ROLE_ADMIN (3)",
        ),
        (
            "ListUsers",
            r#"{"sort": "-email"}"#,
            "sort is \"-email\", and must be one of id, name, created_at, updated_at, with \"-\" before it for descending order",
        ),
        ("BatchGetUsers", r#"{"ids": [7, -1]}"#, "ids[1] must be a positive id"),
        ("CreateUser", r#"{"user": {}}"#, "user.name must not be empty"),
        ("UpdateUser", r#"{"id": 7, "update_mask": "name"}"#, "user is not set, and update_mask names fields of it"),
        (
            "UpdateUser",
            r#"{"id": 7, "user": {"name": "A"}, "update_mask": "nom"}"#,
            "update_mask has the path \"nom\", which is no field of user: paths are names of its fields, such as \"name\"",
        ),
        (
            "ListUsers",
            r#"{"page_size": 101, "sort": "x"}"#,
            "page_size is 101, and must be 1 to 100, or 0 for 100, and 1 more: see the BadRequest",
        ),
        ("ListUsers", r#"{"sort": "name", "filter": {"group_id": 5}}"#, "sort cannot be combined with filter.group_id"),
        (
            "CountUsers",
            r#"{"filter": {"organization_id": 5, "brand_id": "7"}}"#,
            "filter.brand_id cannot be combined with filter.organization_id",
        ),
        (
            "StreamMemberships",
            r#"{"sort": "id", "filter": {"user_id": 5}}"#,
            "sort cannot be combined with filter.user_id",
        ),
        (
            "ListGroups",
            r#"{"sort": " name"}"#,
            "sort is \" name\", and must be one of id, name, created_at, updated_at, with \"-\" before it for descending order",
        ),
        ("CreateUserIdentity", "{}", "user_id must be a positive id, and 1 more: see the BadRequest"),
        ("UploadUserPhoto", "{}", "id must be a positive id, and 3 more: see the BadRequest"),
    ] {
        assert_eq!(told(&t, rpc, request).await, message, "{rpc} {request}");
    }
    let mut blank =
        UpdateUserRequest { id: 7, user: Some(UserInput::default()), update_mask: None, ..Default::default() };
    blank.update_mask = Some(prost_types::FieldMask { paths: vec![" ".to_owned()] });
    let blank = refused(t.users().update_user(blank).await).message;
    assert!(blank.starts_with("update_mask has the path \" \", which is no field of user"), "{blank}");
    let page = t.groups().list_groups(ListGroupsRequest { page_size: 1, ..Default::default() }).await.expect("a page");
    let token = page.into_inner().next_page_token;
    let foreign = told(&t, "ListUsers", &format!(r#"{{"page_token": "{token}"}}"#)).await;
    assert!(foreign.starts_with("page_token comes from another RPC, or from this one with other filters"), "{foreign}");
}

/// What a missing record is found by: what is done to it is no part of its name, and of two it is not known which one is missing.
#[tokio::test]
async fn a_missing_record_is_named_without_what_was_to_be_done_to_it() {
    let t = TestGateway::start().await;
    let client = Dynamic::new(t.channel.clone());
    let user = t.sandbox.store().user_ids()[50];
    let merge = format!(r#"{{"id": {user}, "target_id": 4000000000000}}"#);
    for (rpc, request, kind, name) in [
        ("GetUserRelated", r#"{"id": 4000000000000}"#, "users", "users/4000000000000"),
        ("MergeUser", &*merge, "users", "users"),
        (
            "CreateOrUpdateOrganization",
            r#"{"id": 4000000000000, "organization": {"name": "P"}}"#,
            "organizations",
            "organizations",
        ),
        (
            "DeleteMembership",
            r#"{"id": 4000000000000, "user_id": 8}"#,
            "group_memberships",
            "users/8/group_memberships/4000000000000",
        ),
    ] {
        let status = client.call(rpc, request).await.expect_err("it is missing");
        let details = status.get_error_details();
        let told = details.resource_info().unwrap_or_else(|| panic!("{rpc}: {status:?}"));
        assert_eq!((told.resource_type.as_str(), told.resource_name.as_str()), (kind, name), "{rpc}: {status:?}");
    }
}

#[tokio::test]
async fn hundreds_of_wrong_rows_are_counted_and_some_are_listed() {
    let t = TestGateway::start().await;
    let client = Dynamic::new(t.channel.clone());
    let users: Vec<_> = (0..300).map(|_| json!({})).collect();
    let message: DynamicMessage = client.message("BulkCreateUsers", &json!({ "users": users }).to_string());
    let status = client.send("BulkCreateUsers", &message, &[] as &[(&str, &str)]).await.expect_err("no names");
    let details = status.get_error_details();
    let listed = details.bad_request().expect("violations").field_violations.len();
    let left_out: usize =
        details.error_info().expect("always").metadata["violations_left_out"].parse().expect("a number");
    assert_eq!((listed, listed + left_out), (16, 300), "{status:?}");
    assert!(status.message().ends_with("and 299 more: see the BadRequest"), "{status:?}");
}

#[tokio::test]
async fn what_zendesk_refuses_is_said_with_what_was_to_be_done() {
    let t = TestGateway::start().await;
    let user = t.sandbox.store().user_ids()[50];
    let merge = MergeUserRequest { id: user, target_id: 4_000_000_000_000 };
    let unknown = refused(t.users().merge_user(merge).await);
    let doing = format!("while merging user {user} into user 4000000000000");
    assert!(unknown.message.contains(&doing), "{}", unknown.message);
    let agent = t.held_memberships()[0].user_id;
    let groups =
        t.held_memberships().iter().filter(|row| row.user_id == agent).map(|row| row.group_id).collect::<Vec<_>>();
    let group_ids = [groups, vec![4_000_000_000_000]].concat();
    let bad = refused(
        t.memberships().set_user_groups(SetUserGroupsRequest { user_id: agent, group_ids, ..Default::default() }).await,
    );
    let doing = format!("while adding user {agent} to group 4000000000000");
    assert!(bad.message.contains(&doing), "{}", bad.message);
    let invalid = CreateUserRequest {
        user: Some(UserInput {
            name: Some("A".to_owned()),
            email: Some("no address".to_owned()),
            ..Default::default()
        }),
        ..Default::default()
    };
    let invalid = refused(t.users().create_user(invalid).await);
    assert!(
        invalid.message.to_lowercase().contains("email") && !invalid.message.contains("Record validation errors"),
        "{}",
        invalid.message
    );
    let nobody = UpdateUserRequest {
        id: 7,
        user: Some(UserInput { notes: Some("n".to_owned()), ..Default::default() }),
        update_mask: None,
        ..Default::default()
    };
    assert!(refused(t.users().update_user(nobody).await).message.contains("zendesk holds no users/7: "));
}

/// A proxy's limit is no fault of the values, and a refusal without words names none.
#[tokio::test]
async fn what_is_refused_without_words_is_said_so() {
    let t = TestGateway::start().await;
    for (status, reason, message) in [
        (
            422,
            "RECORD_INVALID",
            "zendesk refused the request: HTTP 422; which values it means is not known: check those that were sent",
        ),
        (
            413,
            "UPSTREAM_REFUSED",
            "zendesk refused to carry out the request: HTTP 413; nothing was carried out; ask an operator what refuses it",
        ),
    ] {
        t.sandbox.fault(get("/users"), Respond::with(status));
        let seen = refused(Dynamic::new(t.channel.clone()).call("ListUsers", "{}").await);
        assert_eq!((seen.reason.as_str(), seen.message.as_str()), (reason, message));
    }
}

#[tokio::test]
async fn an_answer_that_cannot_be_read_is_said_with_its_endpoint_and_its_field() {
    let t = TestGateway::start().await;
    for (path, body, rpc, request, wanted) in [
        (
            "/users",
            r#"{"users":[{"id":1},{"id":2,"name":"Jo"#,
            "ListUsers",
            "{}",
            "GET /users: it cannot be read from users[1].name on",
        ),
        ("/users", r#"{"users":7}"#, "ListUsers", "{}", "GET /users: users is missing, or cannot be read"),
        ("/users", "{}", "ListUsers", "{}", "GET /users: users is missing, or cannot be read"),
        (
            "/groups/{id}",
            r#"{"group":{}}"#,
            "GetGroup",
            r#"{"id": 7}"#,
            "GET /groups/{id}: group.id is missing, or cannot be read",
        ),
        ("/groups/{id}", "{}", "GetGroup", r#"{"id": 7}"#, "GET /groups/{id}: group is missing, or cannot be read"),
        ("/groups/{id}", r#"{"group":{"id":8}}"#, "GetGroup", r#"{"id": 7}"#, "GET /groups/{id}: not about the record"),
    ] {
        t.sandbox.faults().clear();
        t.sandbox.fault(get(path), Respond::with(200).body("application/json", body).forever());
        let refused = refused(Dynamic::new(t.channel.clone()).call(rpc, request).await);
        assert_eq!((refused.code, refused.reason.as_str()), (Code::Internal, "UPSTREAM_MALFORMED"), "{body}");
        assert!(refused.message.contains(wanted) && !refused.message.contains("column"), "{body}: {}", refused.message);
    }
}

#[tokio::test]
async fn an_operator_can_let_lists_be_sorted_by_more_than_is_known() {
    let mut config = settings();
    config.upstream.sort_fields = vec!["email".to_owned()];
    let t = TestGateway::configured(account(), config).await;
    let client = Dynamic::new(t.channel.clone());
    let answered = refused(client.call("ListUsers", r#"{"sort": "-email"}"#).await);
    assert_eq!(
        (answered.code, answered.reason.as_str()),
        (Code::InvalidArgument, "RECORD_INVALID"),
        "Zendesk is asked"
    );
    assert_eq!(t.sandbox.hits("/users"), 1);
    let refused = refused(client.call("StreamUsers", r#"{"sort": "phone"}"#).await);
    assert!(refused.message.contains("updated_at, email,"), "{}", refused.message);
    assert_eq!(t.sandbox.hits("/users"), 1);
}
