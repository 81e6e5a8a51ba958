//! Values that the specification does not allow fail a request; what was seen to be taken is taken.

use super::*;

/// Attributes of a user, each of which is refused by its name.
fn wrong() -> Vec<(&'static str, Value)> {
    let identity = |identity: Value| ("identities", json!([{"type": "email", "value": "a@x.example"}, identity]));
    vec![
        ("role", json!(1)),
        ("role", json!("king")),
        ("role", json!(["agent"])),
        ("role", json!(null)),
        ("email", json!(null)),
        ("ticket_restriction", json!("moonlight")),
        ("ticket_restriction", json!(3)),
        ("organization_id", json!("seven")),
        ("locale_id", json!(1.5)),
        ("custom_role_id", json!({"id": 1})),
        ("default_group_id", json!("main")),
        ("active_brand_id", json!("brand")),
        ("moderator", json!(1)),
        ("suspended", json!("yes")),
        ("name", json!({"first": "A"})),
        ("password", json!(["p"])),
        ("tags", json!("a b")),
        ("tags", json!([{"tag": "a"}])),
        ("group_ids", json!("1")),
        ("group_ids", json!(["x"])),
        ("organization_ids", json!([null])),
        ("agent_brand_ids", json!(7)),
        ("user_fields", json!(["plan"])),
        ("organization", json!("VIP")),
        ("organization", json!({"title": "VIP"})),
        ("separation", json!({"scope": "planet"})),
        ("separation", json!({"scope": "brand"})),
        ("separation", json!({"scope": "account", "brand_id": 7})),
        ("identities", json!(null)),
        ("identities", json!({"type": "email", "value": "b@x.example"})),
        identity(json!("b@x.example")),
        identity(json!({"value": "b@x.example"})),
        identity(json!({"type": "email"})),
        identity(json!({"type": "email", "value": ""})),
        identity(json!({"type": "email", "value": 5})),
        identity(json!({"type": 1, "value": "b@x.example"})),
        identity(json!({"type": "pigeon", "value": "b@x.example"})),
        identity(json!({"type": "email", "value": "b@x.example", "verification_method": "maybe"})),
        identity(json!({"type": "email", "value": "b@x.example", "verification_method": 5})),
        identity(json!({"type": "email", "value": "b@x.example", "primary": "no"})),
    ]
}

#[tokio::test]
async fn a_user_with_a_wrong_value_is_neither_created_nor_changed() {
    let t = unlimited().await;
    let id = t.post("/users", json!({"user": {"name": "A", "email": "a0@x.example"}})).await.id("user");
    let before = (t.sandbox.store().user_ids(), t.sandbox.store().user(id));
    for (field, value) in wrong() {
        let mut user = json!({"name": "B", "external_id": "none"});
        user[field] = value;
        let user = json!({ "user": user });
        for path in ["/users", "/users/create_or_update", "/users/request_create"] {
            assert_eq!(t.post(path, user.clone()).await.finding(field).0, "InvalidValue", "{path} {user}");
        }
        let changed = t.put(&format!("/users/{id}"), user.clone()).await;
        assert_eq!(changed.finding(field).0, "InvalidValue", "{user}");
    }
    assert_eq!((t.sandbox.store().user_ids(), t.sandbox.store().user(id)), before);
}

#[tokio::test]
async fn a_group_or_a_membership_with_a_wrong_value_is_not_created() {
    let t = unlimited().await;
    let before = (t.sandbox.store().groups().len(), t.sandbox.store().memberships().len());
    for (field, value) in [
        ("name", json!(null)),
        ("name", json!(["G"])),
        ("description", json!(null)),
        ("is_public", json!(0)),
        ("is_public", json!(null)),
    ] {
        let mut group = json!({"name": "G"});
        group[field] = value;
        assert_eq!(t.post("/groups", json!({ "group": group })).await.finding(field).0, "InvalidValue", "{group}");
    }
    let (user, group) = (t.sandbox.store().staff_ids()[0], t.sandbox.store().default_group_id());
    for (field, value) in
        [("user_id", json!("me")), ("group_id", json!([group])), ("default", json!(null)), ("default", json!("no"))]
    {
        let mut membership = json!({"user_id": user, "group_id": group});
        membership[field] = value;
        let refused = t.post("/group_memberships", json!({ "group_membership": membership })).await;
        assert_eq!(refused.finding(field).0, "InvalidValue", "{membership}");
    }
    assert_eq!((t.sandbox.store().groups().len(), t.sandbox.store().memberships().len()), before);
}

#[tokio::test]
async fn a_job_reports_wrong_values_by_item() {
    let t = unlimited().await;
    let (user, group) = (t.sandbox.store().staff_ids()[0], t.sandbox.store().default_group_id());
    for (path, body, details) in [
        ("/users/create_many", json!({"users": [{"name": "A", "role": 2}]}), "Role: is invalid"),
        (
            "/group_memberships/create_many",
            json!({"group_memberships": [{"user_id": user, "group_id": group, "default": 1}]}),
            "Default: is invalid",
        ),
    ] {
        let queued = t.post(path, body).await.json();
        let id = queued["job_status"]["id"].as_str().expect("a job").to_owned();
        let results = loop {
            let job = t.get_of("/job_statuses/{}", &id).await.json()["job_status"].clone();
            if job["status"] == "failed" {
                break job["results"].clone();
            }
            assert_ne!(job["status"], "completed", "{path}");
            tokio::task::yield_now().await;
        };
        assert_eq!(results[0]["details"], details, "{path}");
    }
}

#[tokio::test]
async fn an_id_that_is_no_integer_is_refused_wherever_it_stands() {
    let t = unlimited().await;
    let id = t.sandbox.store().user_ids()[40];
    for refused in [
        t.get(&format!("/users/show_many?ids={id},x")).await,
        t.post("/users/logout_many?ids=x", json!({})).await,
        t.delete("/users/destroy_many?ids=1,x").await,
        t.delete("/group_memberships/destroy_many?ids=x").await,
        t.put("/users/update_many", json!({"users": [{"id": "x", "notes": "n"}]})).await,
        t.put(&format!("/users/{id}/merge"), json!({"user": {"id": "x"}})).await,
        t.post("/users/create_many", json!({"users": [7]})).await,
    ] {
        assert_eq!((refused.status, &refused.json()["error"]["title"]), (400, &json!("Invalid attribute")));
    }
    let taken = t.put("/users/update_many", json!({"users": [{"id": id.to_string(), "notes": "n"}]})).await;
    assert_eq!(taken.status, 200, "an id may be a text of digits");
}

#[tokio::test]
async fn a_new_user_keeps_its_identities_as_they_were_given() {
    let t = unlimited().await;
    let given = json!({"name": "A", "email": "a@x.example", "identities": [
        {"type": "email", "value": "first@x.example", "verification_method": "full", "primary": true},
        {"type": "email", "value": "low@x.example", "verification_method": "low", "primary": false},
        {"type": "phone_number", "value": "+15551234567", "verification_method": "none", "primary": true},
        {"type": "twitter", "value": "a", "verified": true},
        {"type": "google", "value": "g@x.example", "verified": true, "verification_method": "none"},
    ]});
    let id = t.post("/users", json!({ "user": given })).await.id("user");
    let shown = t.get_of("/users/{}?include=identities", id).await.json();
    assert_eq!((&shown["user"]["email"], &shown["user"]["verified"]), (&json!("first@x.example"), &json!(true)));
    let identities = shown["identities"].as_array().expect("identities");
    let kept: Vec<Value> =
        identities.iter().map(|one| json!([one["type"], one["value"], one["verified"], one["primary"]])).collect();
    let wanted = json!([
        ["email", "first@x.example", true, true],
        ["email", "a@x.example", false, false],
        ["email", "low@x.example", true, false],
        ["phone_number", "+15551234567", false, true],
        ["twitter", "a", true, false],
        ["google", "g@x.example", false, false],
    ]);
    assert_eq!(Value::Array(kept), wanted);
}

#[tokio::test]
async fn an_update_adds_no_identities_and_says_so() {
    let t = unlimited().await;
    let id = t.post("/users", json!({"user": {"name": "A", "email": "a@x.example"}})).await.id("user");
    let given = json!({"user": {"email": "a@x.example", "identities": [{"type": "twitter", "value": "a"}]}});
    for updated in
        [t.put(&format!("/users/{id}"), given.clone()).await, t.post("/users/create_or_update", given.clone()).await]
    {
        assert_eq!((updated.status, updated.id("user")), (200, id));
        assert!(updated.header("x-zendesk-api-warn").contains(":unpermitted_keys=>[\"user.identities\"]"));
    }
    let shown = t.get_of("/users/{}?include=identities", id).await.json();
    assert_eq!(shown["identities"].as_array().map(Vec::len), Some(1), "{shown}");
}
