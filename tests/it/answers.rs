//! What Zendesk answers is compared with what was asked: a record that is another one, or none, is never an answer.

use serde_json::{Value, json};
use tonic::{Code, Status};
use zendesk_gateway::contract::{Idempotency, RPCS};

mod gathered;
mod large;
mod people;
mod refusals;
mod writes;

use crate::support::{Dynamic, Refused, Scripted, answer, basic, refused, serve, settings};

/// Each RPC whose reply is one record: the request, the record's envelope, and the record.
#[rustfmt::skip]
fn records() -> Vec<(&'static str, &'static str, &'static str, Value)> {
    let (user, group) = (json!({"id": 7, "name": "A"}), json!({"id": 7, "name": "G"}));
    let membership = json!({"id": 7, "user_id": 8, "group_id": 9});
    let identity = json!({"id": 7, "user_id": 8, "type": "email", "value": "a@b.example"});
    let verified = json!({"id": 7, "user_id": 8, "type": "email", "value": "a@b.example", "verified": true});
    let place = json!({"id": 7, "user_id": 8, "organization_id": 9, "default": true});
    vec![
        ("GetUser", r#"{"id": 7}"#, "user", user.clone()),
        ("GetDeletedUser", r#"{"id": 7}"#, "deleted_user", user.clone()),
        ("GetGroup", r#"{"id": 7}"#, "group", group.clone()),
        ("GetMembership", r#"{"id": 7}"#, "group_membership", membership.clone()),
        ("GetMembership", r#"{"id": 7, "user_id": 8}"#, "group_membership", membership.clone()),
        ("GetJob", r#"{"id": "V3-7"}"#, "job_status", json!({"id": "V3-7", "status": "queued"})),
        ("CreateUser", r#"{"user": {"name": "A"}}"#, "user", user.clone()),
        ("CreateOrUpdateUser", r#"{"user": {"email": "a@b.example"}}"#, "user", user.clone()),
        ("UpdateUser", r#"{"id": 7, "user": {"notes": "n"}}"#, "user", user.clone()),
        ("UploadUserPhoto", r#"{"id": 7, "content": "R0lGODlh", "content_type": "image/gif", "file_name": "a.gif"}"#, "user", user.clone()),
        ("RemoveUserPhoto", r#"{"id": 7}"#, "user", user.clone()),
        ("MergeUser", r#"{"id": 3, "target_id": 7}"#, "user", user.clone()),
        ("DeleteUser", r#"{"id": 7}"#, "user", user.clone()),
        ("PermanentlyDeleteUser", r#"{"id": 7}"#, "deleted_user", user),
        ("CreateGroup", r#"{"group": {"name": "G"}}"#, "group", group.clone()),
        ("UpdateGroup", r#"{"id": 7, "group": {"name": "G"}}"#, "group", group),
        ("CreateMembership", r#"{"group_membership": {"user_id": 8, "group_id": 9}}"#, "group_membership", membership),
        ("GetUserIdentity", r#"{"user_id": 8, "id": 7}"#, "identity", identity.clone()),
        ("CreateUserIdentity", r#"{"user_id": 8, "identity": {"type": 1, "value": "a@b.example"}}"#, "identity", identity.clone()),
        ("UpdateUserIdentity", r#"{"user_id": 8, "id": 7, "identity": {"value": "a@b.example"}}"#, "identity", identity.clone()),
        ("VerifyUserIdentity", r#"{"user_id": 8, "id": 7}"#, "identity", verified),
        ("GetCustomRole", r#"{"id": 7}"#, "custom_role", json!({"id": 7, "name": "R"})),
        ("GetOrganization", r#"{"id": 7}"#, "organization", json!({"id": 7, "name": "O"})),
        ("CreateOrganization", r#"{"organization": {"name": "O"}}"#, "organization", json!({"id": 7, "name": "O"})),
        ("CreateOrUpdateOrganization", r#"{"id": 7, "organization": {"notes": "n"}}"#, "organization", json!({"id": 7, "name": "O"})),
        ("UpdateOrganization", r#"{"id": 7, "organization": {"notes": "n"}}"#, "organization", json!({"id": 7, "name": "O"})),
        ("GetOrganizationMembership", r#"{"id": 7}"#, "organization_membership", place.clone()),
        ("GetOrganizationMembership", r#"{"id": 7, "user_id": 8}"#, "organization_membership", place.clone()),
        ("CreateOrganizationMembership", r#"{"organization_membership": {"user_id": 8, "organization_id": 9}}"#, "organization_membership", place.clone()),
        ("GetUserField", r#"{"id": 7}"#, "user_field", json!({"id": 7, "key": "k"})),
        ("CreateUserField", r#"{"user_field": {"key": "k", "title": "K"}}"#, "user_field", json!({"id": 7, "key": "k"})),
        ("UpdateUserField", r#"{"id": 7, "user_field": {"title": "K"}}"#, "user_field", json!({"id": 7, "key": "k"})),
        ("GetUserFieldOption", r#"{"user_field_id": 8, "id": 7}"#, "custom_field_option", json!({"id": 7, "value": "v"})),
        ("CreateOrUpdateUserFieldOption", r#"{"user_field_id": 8, "custom_field_option": {"id": 7, "name": "N", "value": "v"}}"#, "custom_field_option", json!({"id": 7, "value": "v"})),
        ("SetDefaultOrganization", r#"{"user_id": 8, "organization_id": 9}"#, "organization_membership", place),
    ]
}

/// RPCs whose reply is no record, or that are made of the calls above; each with the test of what it takes for an answer.
const ELSEWHERE: &[&str] = &[
    // below: the rows of lists and batches, counts, and who is asking
    "BatchGetUsers",
    "BatchGetOrganizations",
    "BatchGetJobs",
    "WatchJobs",
    "GetCurrentUser",
    "GetUserRelated",
    "GetUserEntitlements",
    "GetOrganizationRelated",
    "CountOrganizations",
    "SearchOrganizations",
    "AutocompleteOrganizations",
    "CountUsers",
    "CountDeletedUsers",
    "CountGroups",
    "SearchUsers",
    "ExportUsers",
    "AutocompleteUsers",
    // below: answered with nothing
    "RequestUserCreate",
    "LogoutUsers",
    "DeleteGroup",
    "DeleteOrganization",
    "DeleteMembership",
    "DeleteOrganizationMembership",
    "UnassignOrganization",
    "DeleteUserIdentity",
    "DeleteUserField",
    "DeleteUserFieldOption",
    "ReorderUserFields",
    "RequestUserIdentityVerification",
    // user_fields
    "BatchGetUserFields",
    // people, and email
    "MakeUserIdentityPrimary",
    "ChangeUserEmail",
    "AddUserTags",
    "SetUserTags",
    "RemoveUserTags",
    "AddOrganizationTags",
    "SetOrganizationTags",
    "RemoveOrganizationTags",
    // bulk: a job without an id
    "BulkCreateUsers",
    "BulkCreateOrUpdateUsers",
    "BulkUpdateUsers",
    "BulkDeleteUsers",
    "BulkCreateMemberships",
    "BulkDeleteMemberships",
    "BulkCreateOrganizations",
    "BulkUpdateOrganizations",
    "BulkDeleteOrganizations",
    "BulkCreateOrganizationMemberships",
    "BulkDeleteOrganizationMemberships",
    // below, and rosters
    "SetDefaultMembership",
    "SetDefaultOrganizationMembership",
    "GetGroupWithAgents",
    "CreateGroupWithAgents",
    "UpdateGroupWithAgents",
    "SetUserGroups",
];

/// Bodies that hold no record, or another one than the good body does.
fn bad(envelope: &str, record: &Value, names_id: bool) -> Vec<Value> {
    let with = |id: Option<Value>| {
        let mut record = record.clone();
        match id {
            Some(id) => record["id"] = id,
            None => drop(record.as_object_mut().expect("a record").remove("id")),
        }
        json!({ envelope: record })
    };
    let mut bad = vec![
        with(None),
        with(Some(Value::Null)),
        with(Some(json!([7]))),
        json!({ envelope: {} }),
        json!({ envelope: [] }),
        json!({ envelope: [[7, "u", "A", "a@b.example"]] }),
        json!({ envelope: [7, "u", "A", "a@b.example"] }),
        json!({ envelope: null }),
        json!({ "other": record }),
        json!({}),
        json!([{ envelope: record }]),
        json!([record]),
        json!({ envelope: [record] }),
    ];
    if record["id"].is_i64() {
        bad.extend([with(Some(json!(0))), with(Some(json!(-7))), with(Some(json!(9_223_372_036_854_775_808_u64)))]);
    } else {
        bad.push(with(Some(json!(""))));
    }
    if names_id {
        bad.push(with(Some(if record["id"].is_string() { json!("V3-8") } else { json!(1003) })));
    }
    if record.get("user_id").is_some() {
        let mut of_other = record.clone();
        of_other["user_id"] = json!(1003);
        bad.push(json!({ envelope: of_other }));
        if !names_id {
            bad.push(json!({ envelope: {"id": 7} }));
        }
    }
    bad
}

/// True if a body answers another request: it holds another record, or nothing that could be the one that was asked for.
fn is_of_others(body: &Value, envelope: &str) -> bool {
    let Some(object) = body.as_object().filter(|object| !object.is_empty()) else { return false };
    let names = |id: &Value| id.as_i64().is_some_and(|id| id > 0) || id.as_str().is_some_and(|id| !id.is_empty());
    object.get(envelope).is_none_or(|record| names(&record["id"]))
}

/// A client of a gateway before `upstream`, and what keeps the gateway running.
async fn before(upstream: &Scripted) -> (Dynamic, tokio::sync::oneshot::Sender<()>) {
    let mut config = settings();
    // Each bad answer to a read is worth a repetition, however many there are.
    config.upstream.retry.budget_per_second = 1000;
    let (_, channel, running, _) = serve(&upstream.url, basic("a@b.example/token:t"), config).await;
    (Dynamic::new(channel), running)
}

async fn ask(upstream: &Scripted, rpc: &str, request: &str) -> Result<Vec<Value>, Status> {
    before(upstream).await.0.call(rpc, request).await
}

#[tokio::test]
async fn every_rpc_is_in_a_table() {
    for rpc in RPCS {
        // Rows of lists are judged by `page::tests`, and below where they say whose they are.
        let is_list = rpc.method.starts_with("List") || (rpc.method.starts_with("Stream") && !rpc.client_streaming);
        let here = records().iter().any(|(name, ..)| *name == rpc.method);
        // bulk::streams: the same engine as that of bulk calls.
        let elsewhere = is_list || rpc.client_streaming || ELSEWHERE.contains(&rpc.method);
        assert!(here || elsewhere, "{} is missing: add it to records(), or to ELSEWHERE with its test", rpc.method);
        assert!(!(here && elsewhere), "{} is in records() and in ELSEWHERE", rpc.method);
    }
}

#[tokio::test]
#[ignore = "slow"]
async fn another_record_or_none_is_never_an_answer_and_is_not_kept() {
    for (name, request, envelope, record) in records() {
        let rpc = RPCS.iter().find(|rpc| rpc.method == name).expect("an RPC");
        let read = rpc.idempotency == Idempotency::NoSideEffects;
        // A membership of somebody else is only wrong where the call says whose it is.
        let whose = !name.ends_with("Membership") || request.contains("user_id");
        let mut bodies = bad(envelope, &record, request.contains(r#""id": 7"#) || name == "MergeUser");
        // Nothing is what a deletion may be answered by.
        bodies.retain(|body| *body != json!({}) || !matches!(name, "DeleteUser" | "PermanentlyDeleteUser"));
        bodies.retain(|body| whose || body[envelope]["user_id"] != 1003);
        // A read is asked for once more if this is an answer to something else, and not if it is merely odd. Between the first and
        // the second comes a good one: nothing of the first is kept.
        let times = |body: &Value| if read && is_of_others(body, envelope) { 2 } else { 1 };
        let bad: Vec<String> = bodies.iter().flat_map(|body| vec![body.to_string(); times(body)]).collect();
        let good = json!({ envelope: record }).to_string();
        let first = times(&bodies[0]);
        let script: Vec<&str> = bad[..first].iter().chain([&good]).chain(&bad[first..]).map(String::as_str).collect();
        let upstream = Scripted::in_turn(&script).await;
        let (client, _running) = before(&upstream).await;
        for (index, body) in bodies.iter().enumerate() {
            let control = if index == 0 { "max-age=9" } else { "no-cache" };
            let Refused { code, reason, .. } =
                refused(client.call_with(name, request, &[("cache-control", control)]).await);
            let wanted =
                if read { (Code::Internal, "UPSTREAM_MALFORMED") } else { (Code::Unavailable, "OUTCOME_UNKNOWN") };
            assert_eq!((code, reason.as_str()), wanted, "{name} {request}: {body}");
            if index == 0 {
                let good = client.call(name, request).await;
                good.unwrap_or_else(|status| panic!("{name} {request}: the good one came, but {status}"));
            }
        }
        assert_eq!(upstream.asked().len(), script.len(), "{name} {request}");
    }
}

#[tokio::test]
#[ignore = "slow"]
async fn a_value_that_cannot_be_read_does_not_make_a_record_another_one() {
    for (name, request, envelope, record) in records() {
        // What proves that a write was done is needed.
        let proofs = [("VerifyUserIdentity", "verified"), ("SetDefaultOrganization", "default")];
        let is_proof = |key: &str| key == "id" || proofs.contains(&(name, key));
        for key in record.as_object().expect("a record").keys().filter(|key| !is_proof(key)) {
            for odd in [json!({}), json!([{}])] {
                let mut record = record.clone();
                record[key] = odd;
                let upstream = Scripted::in_turn(&[&json!({ envelope: record }).to_string()]).await;
                let reply = ask(&upstream, name, request).await;
                let reply = reply.unwrap_or_else(|status| panic!("{name} {request} {record}: {status}"));
                assert_eq!(reply[0][envelope]["unreadable_fields"], json!([key]), "{name} {request} {record}");
            }
        }
    }
    let (user, other) = (r#"{"id": 7, "user_id": 8}"#, r#"{"group_membership": {"user_id": 8, "group_id": 9}}"#);
    for (name, request, reason) in
        [("GetMembership", user, "UPSTREAM_MALFORMED"), ("CreateMembership", other, "OUTCOME_UNKNOWN")]
    {
        let body = r#"{"group_membership":{"id":7,"user_id":1003,"group_id":{}}}"#;
        let upstream = Scripted::in_turn(&[body; 2]).await;
        assert_eq!(
            refused(ask(&upstream, name, request).await).reason,
            reason,
            "{name}: what can be read is of another"
        );
    }
}

#[tokio::test]
#[ignore = "slow"]
async fn an_error_or_a_record_is_no_answer_to_a_write_that_is_answered_with_nothing() {
    let calls = [
        ("DeleteGroup", r#"{"id": 7}"#),
        ("DeleteMembership", r#"{"id": 7}"#),
        ("DeleteOrganizationMembership", r#"{"id": 7}"#),
        ("UnassignOrganization", r#"{"user_id": 7, "organization_id": 8}"#),
        ("RequestUserCreate", r#"{"user": {"name": "A", "email": "a@b.example"}}"#),
        ("LogoutUsers", r#"{"ids": [7]}"#),
        ("DeleteUserIdentity", r#"{"user_id": 8, "id": 7}"#),
        ("RequestUserIdentityVerification", r#"{"user_id": 8, "id": 7}"#),
        ("DeleteUserField", r#"{"id": 7}"#),
        ("DeleteUserFieldOption", r#"{"user_field_id": 8, "id": 7}"#),
        ("ReorderUserFields", r#"{"ids": [7]}"#),
    ];
    let bodies = [
        r#"{"error":"RecordNotFound","description":"Not found"}"#,
        r#"{"errors":[{"code":"Forbidden"}]}"#,
        r#"{"user":{"id":7}}"#,
        r#"{"groups":[]}"#,
        r#"{"identities":[]}"#,
        r#"{"success":false}"#,
        r#"{"group""#,
        "<html></html>",
    ];
    for (name, request) in calls {
        for body in bodies {
            let upstream = Scripted::in_turn(&[body]).await;
            let seen = refused(ask(&upstream, name, request).await);
            assert_eq!((seen.code, seen.reason.as_str()), (Code::Unavailable, "OUTCOME_UNKNOWN"), "{name}: {body}");
        }
        for body in ["null", "", "{}", " ", r#""""#, r#"{"new":1}"#, r#"{"success":true}"#] {
            let upstream = Scripted::in_turn(&[body]).await;
            ask(&upstream, name, request).await.unwrap_or_else(|status| panic!("{name}: {body:?}: {status}"));
        }
    }
}

#[tokio::test]
async fn a_read_that_was_answered_about_something_else_is_asked_again() {
    let upstream = Scripted::in_turn(&[r#"{"user":{"id":1003}}"#, r#"{"user":{"id":1002}}"#]).await;
    let (client, _running) = before(&upstream).await;
    for _ in 0..2 {
        let reply = client.call("GetUser", r#"{"id": 1002}"#).await.expect("answered");
        assert_eq!(reply[0]["user"]["id"], 1002);
    }
    assert_eq!(upstream.asked().len(), 2, "and the right answer is kept");
}

#[tokio::test]
#[ignore = "slow"]
async fn the_memberships_of_somebody_else_do_not_say_that_a_default_was_set() {
    for body in [
        r#"{"group_memberships":[]}"#,
        r#"{"group_memberships":[{"id":7,"user_id":1003}]}"#,
        r#"{"group_memberships":[{"id":1003,"user_id":8}]}"#,
        r#"{"group_memberships":[[7,"u",8]]}"#,
        r#"{"group_memberships":[{"id":7,"user_id":8,"default":false}]}"#,
        r#"{"group_membership":{"id":7,"user_id":8}}"#,
    ] {
        let upstream = Scripted::in_turn(&[body]).await;
        let outcome = ask(&upstream, "SetDefaultMembership", r#"{"id": 7, "user_id": 8}"#).await;
        assert_eq!(refused(outcome).reason, "OUTCOME_UNKNOWN", "{body}");
        let upstream = Scripted::in_turn(&[&body.replace("group", "organization")]).await;
        let outcome = ask(&upstream, "SetDefaultOrganizationMembership", r#"{"id": 7, "user_id": 8}"#).await;
        assert_eq!(refused(outcome).reason, "OUTCOME_UNKNOWN", "{body}");
    }
    // Zendesk says null of all but the default.
    for (default, is_done) in [("null", false), ("false", false), ("true", true), ("{}", false)] {
        let body = format!(r#"{{"organization_memberships":[{{"id":7,"user_id":8,"default":{default}}}]}}"#);
        let upstream = Scripted::in_turn(&[&body]).await;
        let outcome = ask(&upstream, "SetDefaultOrganizationMembership", r#"{"id": 7, "user_id": 8}"#).await;
        assert_eq!(outcome.is_ok(), is_done, "{body}");
    }
}

#[tokio::test]
#[ignore = "slow"]
async fn counts_greetings_and_related_numbers_say_something() {
    for name in ["CountUsers", "CountGroups", "CountDeletedUsers", "CountOrganizations"] {
        for value in [r#""x""#, "[]", "1.5", "true"] {
            let upstream = Scripted::in_turn(&[&format!(r#"{{"count":{{"value":{value}}}}}"#)]).await;
            let reply = ask(&upstream, name, "{}").await.unwrap_or_else(|status| panic!("{name} {value}: {status}"));
            assert_eq!(reply[0], json!({"count": {"unreadable_fields": ["value"]}}), "{name} {value}");
        }
    }
    let upstream = Scripted::in_turn(&[r#"{"user":{"id":null,"name":"Anonymous user"}}"#]).await;
    assert_eq!(refused(ask(&upstream, "GetCurrentUser", "{}").await).reason, "CREDENTIAL_REFUSED");
    for (name, request, body) in [
        ("CountUsers", "{}", r#"{"count":{}}"#),
        ("CountUsers", "{}", r#"{"count":[]}"#),
        ("CountGroups", "{}", r#"{"count":{"refreshed_at":null}}"#),
        ("CountDeletedUsers", "{}", r#"{"user":{"id":7}}"#),
        ("GetUserRelated", r#"{"id": 7}"#, r#"{"user_related":[]}"#),
        ("GetUserRelated", r#"{"id": 7}"#, r#"{"user":{"id":7}}"#),
        ("GetUserRelated", r#"{"id": 7}"#, r#"{"user_related":{}}"#),
        ("GetUserRelated", r#"{"id": 7}"#, r#"{"user_related":{"error":"x"}}"#),
        ("CountOrganizations", "{}", r#"{"count":{}}"#),
        ("GetOrganizationRelated", r#"{"id": 7}"#, r#"{"organization_related":{}}"#),
        ("GetOrganizationRelated", r#"{"id": 7}"#, r#"{"user_related":{"users_count":1}}"#),
        ("GetCurrentUser", "{}", r#"{"user":{}}"#),
        ("GetCurrentUser", "{}", r#"{"user":[]}"#),
        ("GetCurrentUser", "{}", r#"{"user":[7,"u"]}"#),
        // Only without an id is it the anonymous user.
        ("GetCurrentUser", "{}", r#"{"user":{"id":"x","name":"A"}}"#),
        ("GetCurrentUser", "{}", r#"{"user":{"id":{},"name":"A"}}"#),
        ("GetCurrentUser", "{}", r#"{"user":{"id":1.5,"name":"A"}}"#),
        ("GetCurrentUser", "{}", r#"{"user":{"id":0,"name":"A"}}"#),
    ] {
        let upstream = Scripted::in_turn(&[body]).await;
        let outcome = ask(&upstream, name, request).await;
        assert_eq!(refused(outcome).reason, "UPSTREAM_MALFORMED", "{name} {body}");
    }
}

#[tokio::test]
#[ignore = "slow"]
async fn rows_that_nobody_asked_for_are_never_an_answer() {
    let users = r#"{"users":[{"id":1003,"external_id":"z"}]}"#;
    let memberships = r#"{"group_memberships":[{"id":1,"user_id":7,"group_id":5},{"id":2,"user_id":8,"group_id":6}]}"#;
    let places = &memberships.replace("group", "organization");
    let steps = r#"{"compliance_deletion_statuses":[{"user_id":7,"action":"x"},{"user_id":8,"action":"x"}]}"#;
    let jobs = r#"{"job_statuses":[{"id":"z","status":"completed"}]}"#;
    for (name, request, body) in [
        ("BatchGetUsers", r#"{"ids": [1, 2]}"#, users),
        ("BatchGetUsers", r#"{"external_ids": ["x", "y"]}"#, users),
        ("BatchGetJobs", r#"{"ids": ["a", "b"]}"#, jobs),
        ("ListMemberships", r#"{"filter": {"user_id": 7}}"#, memberships),
        ("ListMemberships", r#"{"filter": {"group_id": 5}}"#, memberships),
        ("StreamMemberships", r#"{"filter": {"group_id": 5}}"#, memberships),
        ("ListOrganizationMemberships", r#"{"filter": {"user_id": 7}}"#, places),
        ("ListOrganizationMemberships", r#"{"filter": {"organization_id": 5}}"#, places),
        ("StreamOrganizationMemberships", r#"{"filter": {"organization_id": 5}}"#, places),
        ("ListComplianceDeletionStatuses", r#"{"user_id": 7}"#, steps),
        ("StreamComplianceDeletionStatuses", r#"{"user_id": 7}"#, steps),
    ] {
        let upstream = Scripted::in_turn(&[body]).await;
        let outcome = ask(&upstream, name, request).await;
        assert_eq!(refused(outcome).reason, "UPSTREAM_MALFORMED", "{name} {request}");
    }
    for (name, request, body) in [
        ("BatchGetUsers", r#"{"ids": [1, 2]}"#, r#"{"users":[{"id":1,"name":"A"},{"id":1,"name":"B"}]}"#),
        (
            "BatchGetUsers",
            r#"{"external_ids": ["x"]}"#,
            r#"{"users":[{"id":1,"external_id":"x"},{"id":2,"external_id":"X"}]}"#,
        ),
    ] {
        let upstream = Scripted::in_turn(&[body]).await;
        let outcome = ask(&upstream, name, request).await;
        assert_eq!(refused(outcome).reason, "UPSTREAM_MALFORMED", "{name} contradicts itself");
    }
    let upstream = Scripted::in_turn(&[r#"{"users":[{"id":2},{"id":1},{"id":2}]}"#]).await;
    let reply = ask(&upstream, "BatchGetUsers", r#"{"ids": [1, 2, 3]}"#).await.expect("answered");
    assert_eq!(reply[0], json!({"users": [{"id": 1}, {"id": 2}], "missing_ids": [3]}));
}

#[tokio::test]
async fn a_row_that_cannot_be_told_costs_a_batch_nothing_else() {
    for (name, request, body, reply) in [
        (
            "BatchGetUsers",
            r#"{"ids": [1, 2, 3]}"#,
            r#"{"users":[{"id":1},{"id":{}},{"id":3}]}"#,
            json!({"users": [{"id": 1}, {"id": 3}], "unreadable_ids": [2]}),
        ),
        (
            "BatchGetUsers",
            r#"{"external_ids": ["x", "y"]}"#,
            r#"{"users":[{"id":1,"external_id":[]},{"id":2,"external_id":"y"}]}"#,
            json!({"users": [{"id": 2, "external_id": "y"}], "unreadable_external_ids": ["x"]}),
        ),
        (
            "BatchGetUsers",
            r#"{"external_ids": ["x", "y"]}"#,
            r#"{"users":[{"id":1,"external_id":null},{"id":3},{"id":4,"external_id":""},{"id":2,"external_id":"y"}]}"#,
            json!({"users": [{"id": 2, "external_id": "y"}], "unreadable_external_ids": ["x"]}),
        ),
        (
            "BatchGetJobs",
            r#"{"ids": ["7", "b c"]}"#,
            r#"{"job_statuses":[{"id":7,"status":"working"},{"id":"b c","status":"completed"}]}"#,
            json!({"job_statuses": [
                {"id": "7", "status": "JOB_STATE_WORKING"},
                {"id": "b c", "status": "JOB_STATE_COMPLETED"},
            ]}),
        ),
        (
            "BatchGetJobs",
            r#"{"ids": ["a", "b"]}"#,
            r#"{"job_statuses":["odd",{"id":"b","status":"completed"}]}"#,
            json!({"job_statuses": [{"id": "b", "status": "JOB_STATE_COMPLETED"}], "unreadable_ids": ["a"]}),
        ),
    ] {
        let upstream = Scripted::in_turn(&[body]).await;
        let answer = ask(&upstream, name, request).await.expect("answered");
        assert_eq!(answer[0], reply, "{name}: {body}");
    }
}

#[tokio::test]
async fn a_job_is_found_by_any_id_that_a_path_can_hold() {
    for (id, path) in [(r#""7""#, "7"), (r#""ü b""#, "%C3%BC%20b"), (r#""a_b=""#, "a_b%3D")] {
        let body = format!(r#"{{"job_status":{{"id":{id},"status":"queued"}}}}"#);
        let upstream = Scripted::in_turn(&[&body]).await;
        let reply = ask(&upstream, "GetJob", &format!(r#"{{"id": {id}}}"#)).await.expect(id);
        assert_eq!(reply[0]["job_status"]["id"].to_string(), id);
        assert!(upstream.asked()[0].contains(&format!("/job_statuses/{path} ")), "{:?}", upstream.asked());
    }
    let rows =
        r#"{"job_statuses":[{"id":7},{"id":"a/b"},{"id":"../b"},{"id":"."},{"id":null}],"meta":{"has_more":false}}"#;
    let upstream = Scripted::in_turn(&[rows]).await;
    let reply = ask(&upstream, "ListJobs", "{}").await.expect("answered");
    assert_eq!(reply[0], json!({"job_statuses": [{"id": "7"}], "unreadable_rows": 4}));
}

#[tokio::test]
#[ignore = "slow"]
async fn nobody_is_missing_from_a_batch_that_says_itself_that_it_is_not_whole() {
    for more in [
        r#""count":2,"next_page":null"#,
        r#""next_page":"https://a.example/api/v2/users/show_many.json?ids=1,2&page=2""#,
        r#""meta":{"has_more":true,"after_cursor":"x"}"#,
    ] {
        let body = format!(r#"{{"users":[{{"id":1,"external_id":"x"}}],{more}}}"#);
        for request in [r#"{"ids": [1, 2]}"#, r#"{"external_ids": ["x", "y"]}"#] {
            let upstream = Scripted::in_turn(&[&body]).await;
            let reply = ask(&upstream, "BatchGetUsers", request).await.expect("one is there").remove(0);
            assert_eq!(reply["users"].as_array().map(Vec::len), Some(1), "{request}: {body}");
            let is_told = reply["unreadable_ids"] == json!([2]) || reply["unreadable_external_ids"] == json!(["y"]);
            assert!(is_told && reply["missing_ids"].is_null() && reply["missing_external_ids"].is_null(), "{reply}");
            // Whoever is there is not asked about the others.
            let upstream = Scripted::in_turn(&[&body]).await;
            let reply = ask(&upstream, "BatchGetUsers", &request.replace(", 2", "").replace(r#", "y""#, "")).await;
            assert_eq!(reply.expect("it is there")[0]["users"].as_array().map(Vec::len), Some(1), "{request}: {body}");
        }
    }
}

#[tokio::test]
async fn a_row_that_nobody_asked_for_or_that_contradicts_another_costs_its_record_and_no_other() {
    for (rows, reply) in [
        (r#"{"id":1},{"id":3}"#, json!({"users": [{"id": 1}], "unreadable_ids": [2]})),
        (r#"{"id":1},{"id":2},{"id":3}"#, json!({"users": [{"id": 1}, {"id": 2}]})),
        (r#"{"id":1},{"id":1},{"id":2}"#, json!({"users": [{"id": 1}, {"id": 2}]})),
        (r#"{"id":1},{"id":2,"name":"A"},{"id":2,"name":"B"}"#, json!({"users": [{"id": 1}], "unreadable_ids": [2]})),
    ] {
        let upstream = Scripted::in_turn(&[&format!(r#"{{"users":[{rows}]}}"#)]).await;
        let answer = ask(&upstream, "BatchGetUsers", r#"{"ids": [1, 2]}"#).await.expect("answered");
        assert_eq!(answer[0], reply, "{rows}");
    }
    let upstream = Scripted::in_turn(&[r#"{"users":[{"id":3}]}"#; 2]).await;
    let seen = refused(ask(&upstream, "BatchGetUsers", r#"{"ids": [1, 2]}"#).await);
    assert_eq!(seen.reason, "UPSTREAM_MALFORMED", "it answers another question");
}

#[tokio::test]
#[ignore = "slow"]
async fn a_part_of_the_tags_is_not_told_as_all_of_them() {
    for more in [
        r#""next_page":"https://a.example/api/v2/users/7/tags.json?page=2""#,
        r#""count":9"#,
        r#""meta":{"has_more":true,"after_cursor":"x"}"#,
        r#""meta":{"has_more":{}}"#,
    ] {
        let body = format!(r#"{{"tags":["a"],{more}}}"#);
        for (rpc, request) in
            [("ListUserTags", r#"{"user_id": 7}"#), ("ListOrganizationTags", r#"{"organization_id": 7}"#)]
        {
            let upstream = Scripted::in_turn(&[body.as_str(); 2]).await;
            assert_eq!(refused(ask(&upstream, rpc, request).await).reason, "UPSTREAM_MALFORMED", "{rpc}: {body}");
        }
    }
    for whole in [r#""count":1,"next_page":null"#, r#""meta":{"has_more":false}"#] {
        let upstream = Scripted::in_turn(&[&format!(r#"{{"tags":["a"],{whole}}}"#)]).await;
        let reply = ask(&upstream, "ListUserTags", r#"{"user_id": 7}"#).await.expect("answered");
        assert_eq!(reply[0]["tag_list"]["tags"], json!(["a"]), "{whole}");
    }
}

#[tokio::test]
async fn a_user_with_another_external_id_is_not_the_one_that_was_written() {
    for rpc in ["CreateUser", "CreateOrUpdateUser"] {
        let request = r#"{"user": {"name": "N", "external_id": "Mine"}}"#;
        let upstream = Scripted::in_turn(&[r#"{"user":{"id":7,"external_id":"theirs"}}"#]).await;
        let seen = refused(ask(&upstream, rpc, request).await);
        assert_eq!((seen.code, seen.reason.as_str()), (Code::Unavailable, "OUTCOME_UNKNOWN"), "{rpc}");
        for same in [r#"{"user":{"id":7,"external_id":"mine"}}"#, r#"{"user":{"id":7}}"#] {
            let upstream = Scripted::in_turn(&[same]).await;
            ask(&upstream, rpc, request).await.unwrap_or_else(|status| panic!("{rpc}: {same}: {status}"));
        }
    }
}

#[tokio::test]
#[ignore = "slow"]
async fn a_deletion_that_is_answered_by_nothing_or_by_what_was_deleted_is_done() {
    for (rpc, request) in [
        ("DeleteUser", r#"{"id": 7}"#),
        ("PermanentlyDeleteUser", r#"{"id": 7}"#),
        ("DeleteGroup", r#"{"id": 7}"#),
        ("DeleteMembership", r#"{"id": 7}"#),
        ("DeleteOrganizationMembership", r#"{"id": 7}"#),
        ("UnassignOrganization", r#"{"user_id": 7, "organization_id": 8}"#),
    ] {
        let upstream = Scripted::raw(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n".to_vec()).await;
        assert_eq!(ask(&upstream, rpc, request).await.expect(rpc), [json!({})]);
        for nothing in ["", "null", "{}", " { } "] {
            let upstream = Scripted::in_turn(&[nothing]).await;
            assert_eq!(ask(&upstream, rpc, request).await.expect(rpc), [json!({})], "{nothing:?}");
        }
    }
    for (rpc, body, is_done) in [
        ("DeleteGroup", r#"{"group":{"id":7,"name":"G","deleted":true}}"#, true),
        ("DeleteGroup", r#"{"group":{"id":7,"name":["odd"]}}"#, true),
        ("DeleteGroup", r#"{"group":{"id":7,"deleted":false}}"#, false),
        ("DeleteGroup", r#"{"group":{"id":8,"deleted":true}}"#, false),
        ("DeleteGroup", r#"{"group":{"id":7},"error":"x"}"#, false),
        ("DeleteGroup", r#"{"user":{"id":7}}"#, false),
        ("DeleteMembership", r#"{"group_membership":{"id":7,"user_id":8,"group_id":9}}"#, true),
        ("DeleteMembership", r#"{"group_membership":{"id":8,"user_id":7}}"#, false),
        ("DeleteMembership", r#"{"group_membership":{"id":"odd"}}"#, false),
        ("DeleteOrganizationMembership", r#"{"organization_membership":{"id":7,"user_id":8}}"#, true),
        ("DeleteOrganizationMembership", r#"{"organization_membership":{"id":8,"user_id":7}}"#, false),
    ] {
        let upstream = Scripted::in_turn(&[body]).await;
        let outcome = ask(&upstream, rpc, r#"{"id": 7}"#).await;
        if is_done {
            assert_eq!(outcome.expect(body), [json!({})], "{body}");
        } else {
            assert_eq!(refused(outcome).reason, "OUTCOME_UNKNOWN", "{body}");
        }
    }
}

#[tokio::test]
async fn an_empty_list_in_place_of_an_object_is_an_absent_object_and_is_told() {
    let user = r#"{"user":{"id":7,"photo":[],"separation":[],"suspension_details":[]}}"#;
    let upstream = Scripted::in_turn(&[user]).await;
    let reply = ask(&upstream, "GetUser", r#"{"id": 7}"#).await.expect("answered");
    let told = ["photo", "separation", "suspension_details"];
    assert_eq!(
        reply[0],
        json!({"user": {"id": 7, "unreadable_fields": told}}),
        "present suspension details would mean that the user is suspended"
    );
}

#[tokio::test]
#[ignore = "slow"]
async fn a_list_by_number_is_never_taken_for_the_whole_list() {
    let page = |rows: &str, next: &str| format!(r#"{{"group_memberships":[{rows}],"next_page":{next},"count":250}}"#);
    let rows =
        r#"{"id":11,"user_id":1,"group_id":5},{"id":12,"user_id":2,"group_id":5},{"id":13,"user_id":3,"group_id":5}"#;
    let link = r#""https://a.example/api/v2/groups/5/memberships.json?page=2""#;
    for memberships in [
        page(rows, link),
        page(rows, "null"),
        format!(r#"{{"group_memberships":[{rows}]}}"#),
        format!(r#"{{"group_memberships":[{rows}],"meta":{{}}}}"#),
        r#"{"group_memberships":[{"id":11,"user_id":1},{"id":12,"user_id":2,"group_id":5}]}"#.to_owned(),
        r#"{"group_memberships":[{"user_id":1,"group_id":5}]}"#.to_owned(),
        r#"{"group_memberships":[{"id":1,"user_id":1,"group_id":5},{"id":1,"user_id":9,"group_id":5}]}"#.to_owned(),
        r#"{"group_memberships":[{"id":11,"user_id":1,"group_id":5}],"meta":{"has_more":true}}"#.to_owned(),
    ] {
        let shown = memberships.clone();
        let upstream = Scripted::by(move |head| {
            let body = if head.contains("/memberships") { &memberships } else { r#"{"group":{"id":5,"name":"G"}}"# };
            answer("200 OK\r\ncontent-type: application/json", body.as_bytes())
        })
        .await;
        for request in
            [r#"{"id": 5, "agents": {"user_ids": [1, 2]}}"#, r#"{"id": 5, "agents": {}, "validate_only": true}"#]
        {
            let outcome = ask(&upstream, "UpdateGroupWithAgents", request).await;
            assert_eq!(refused(outcome).code, Code::Internal, "{shown}");
        }
        assert!(upstream.asked().iter().all(|line| line.starts_with("GET ")), "nothing is written: {shown}");
    }
    let users = r#"{"users":[{"id":1},{"id":2}],"next_page":"https://a.example/?page=2","count":250}"#;
    let upstream = Scripted::by(move |head| {
        let body = if head.contains("/users") { users } else { r#"{"group":{"id":5,"name":"G"}}"# };
        answer("200 OK\r\ncontent-type: application/json", body.as_bytes())
    })
    .await;
    let outcome = ask(&upstream, "GetGroupWithAgents", r#"{"id": 5}"#).await;
    assert_eq!(refused(outcome).reason, "UPSTREAM_MALFORMED");
}

#[tokio::test]
async fn a_body_is_read_whatever_its_type_and_its_encoding_are_called() {
    use std::io::Write as _;
    let user = br#"{"user":{"id":7,"name":"A"}}"#;
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(user).expect("a vector grows");
    let packed = packed.finish().expect("a vector grows");
    let mut in_two = Vec::new();
    for half in [&user[..9], &user[9..]] {
        let mut packed = flate2::write::GzEncoder::new(in_two, flate2::Compression::fast());
        packed.write_all(half).expect("a vector grows");
        in_two = packed.finish().expect("a vector grows");
    }
    for (head, body) in [
        ("content-type: application/json\r\ncontent-encoding: x-gzip", &in_two[..]),
        ("content-type: Application/JSON", user),
        ("content-type: text/plain", user),
        ("content-type: application/octet-stream", user),
        ("content-type: application/json\r\ncontent-encoding: gzip", &packed),
        ("content-type: application/json\r\ncontent-encoding: gzip", &in_two),
        ("content-type: application/json\r\ncontent-encoding: X-GZip", &packed),
        ("content-type: application/json\r\ncontent-encoding: gzip, identity", &packed),
    ] {
        let upstream = Scripted::start(&format!("200 OK\r\n{head}"), body).await;
        let reply = ask(&upstream, "GetUser", r#"{"id": 7}"#).await.unwrap_or_else(|status| panic!("{head}: {status}"));
        assert_eq!(reply[0]["user"]["name"], "A", "{head}");
    }
    let many = (0..120).fold(String::new(), |many, number| many + &format!("\r\nx-{number}: v"));
    let upstream = Scripted::start(&format!("200 OK\r\ncontent-type: application/json{many}"), &user[..]).await;
    ask(&upstream, "GetUser", r#"{"id": 7}"#).await.expect("120 headers are read");
    let upstream =
        Scripted::start("200 OK\r\ncontent-type: application/json\r\ncontent-encoding: x-gzip", &user[..]).await;
    let seen = refused(ask(&upstream, "GetUser", r#"{"id": 7}"#).await);
    assert_eq!(seen.reason, "UPSTREAM_UNAVAILABLE", "it breaks off");
}
