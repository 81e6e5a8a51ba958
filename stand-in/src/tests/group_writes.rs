//! Changing groups and memberships.

use super::*;

async fn new_group(t: &Probe, name: &str) -> i64 {
    t.post("/groups", json!({"group": {"name": name}})).await.id("group")
}

async fn new_agent(t: &Probe) -> i64 {
    t.post("/users", json!({"user": {"name": "Agent", "role": "agent"}})).await.id("user")
}

async fn join(t: &Probe, user: i64, group: i64) -> Answer {
    t.post("/group_memberships", json!({"group_membership": {"user_id": user, "group_id": group}})).await
}

#[tokio::test]
async fn a_group_is_created_changed_and_deleted_softly() {
    let t = probe(Config::default()).await;
    let made = t.post("/groups", json!({"group": {"name": "New", "id": 3}})).await;
    let id = made.id("group");
    assert_eq!(made.status, 201);
    assert!(made.header("location").ends_with(&format!("/groups/{id}.json")));
    assert!(made.header("x-zendesk-api-warn").contains("[\"group.id\"]"));
    let group = &made.json()["group"];
    assert_eq!((&group["description"], &group["is_public"]), (&json!(""), &json!(true)));

    let path = format!("/groups/{id}");
    let changed = t.put(&path, json!({"group": {"name": "Newer", "description": "d"}})).await.json();
    assert_eq!((&changed["group"]["name"], &changed["group"]["description"]), (&json!("Newer"), &json!("d")));

    let gone = t.delete(&path).await;
    assert_eq!((gone.status, gone.text.as_str()), (204, ""));
    assert_eq!(gone.header("cache-control"), "no-cache");
    assert_eq!(t.get(&path).await.json()["group"]["deleted"], true);
    assert!(!t.get("/groups").await.ids("groups").contains(&id));
    assert_eq!(t.delete(&path).await.status, 404);
    assert_eq!(t.put(&path, json!({"group": {"name": "x"}})).await.status, 404);
}

#[tokio::test]
async fn a_private_group_stays_private_and_a_group_needs_a_name() {
    let t = probe(Config::default()).await;
    let made = t.post("/groups", json!({"group": {"name": "P", "is_public": false}})).await;
    let path = format!("/groups/{}", made.id("group"));
    t.put(&path, json!({"group": {"is_public": true}})).await.finding("is_public");
    let nameless = t.post("/groups", json!({"group": {"description": "x"}})).await;
    assert_eq!(nameless.finding("name").0, "BlankValue");
}

#[tokio::test]
async fn two_groups_may_have_one_name_unless_the_account_minds() {
    let t = probe(Config::default()).await;
    assert_ne!(new_group(&t, "Twin").await, new_group(&t, "twin").await);
    let mut config = Config::default();
    config.assumptions.duplicate_group_names = false;
    let t = probe(config).await;
    new_group(&t, "Twin").await;
    let again = t.post("/groups", json!({"group": {"name": "twin"}})).await;
    assert_eq!(again.finding("name").0, "DuplicateValue");
}

#[tokio::test]
async fn the_default_group_stays() {
    let t = probe(Config::default()).await;
    let path = format!("/groups/{}", t.sandbox.store().default_group_id());
    let refused = t.delete(&path).await;
    assert_eq!(refused.finding("base").1, "Default group cannot be deleted");
}

#[tokio::test]
async fn only_live_agents_and_groups_make_a_membership_and_only_once() {
    let t = probe(Config::default()).await;
    let (agent, group) = (new_agent(&t).await, new_group(&t, "G").await);
    let made = join(&t, agent, group).await;
    let id = made.id("group_membership");
    assert_eq!(made.status, 201);
    assert_ne!(id, group);
    assert!(made.header("location").ends_with(&format!("/group_memberships/{id}.json")));
    assert_eq!(made.json()["group_membership"]["default"], false, "the default group came first");
    let again = join(&t, agent, group).await;
    assert_eq!(again.finding("user_id").1, "User has already been taken");
    let customer = t.get("/users?role=end-user&per_page=1").await.ids("users")[0];
    join(&t, customer, group).await.finding("user");
    join(&t, 1, group).await.finding("user");
    join(&t, agent, 1).await.finding("group");
}

#[tokio::test]
async fn making_a_membership_default_changes_the_others_and_the_user() {
    let t = probe(Config::default()).await;
    let (agent, group) = (new_agent(&t).await, new_group(&t, "G").await);
    let path = format!("/users/{agent}/group_memberships");
    let made = t.post(&path, json!({"group_membership": {"group_id": group}})).await;
    let id = made.id("group_membership");
    let all = t.put(&format!("{path}/{id}/make_default"), json!({})).await;
    assert_eq!(all.status, 200);
    let json = all.json();
    let rows = json["group_memberships"].as_array().expect("memberships");
    let defaults: Vec<(bool, bool)> = rows.iter().map(|row| (row["id"] == id, row["default"] == true)).collect();
    assert_eq!(defaults, [(false, false), (true, true)]);
    assert_eq!(t.get_of("/users/{}", agent).await.json()["user"]["default_group_id"], group);
    let stranger = t.sandbox.store().staff_ids()[0];
    let wrong = format!("/users/{stranger}/group_memberships/{id}/make_default");
    assert_eq!(t.put(&wrong, json!({})).await.status, 404);
}

#[tokio::test]
async fn another_membership_becomes_default_when_the_default_goes() {
    let t = probe(Config::default()).await;
    let (agent, group) = (new_agent(&t).await, new_group(&t, "G").await);
    join(&t, agent, group).await;
    let first = t.get_of("/users/{}/group_memberships", agent).await.ids("group_memberships")[0];
    let path = format!("/users/{agent}/group_memberships/{first}");
    let gone = t.delete(&path).await;
    assert_eq!((gone.status, gone.text.as_str()), (204, ""));
    assert_eq!(t.delete(&path).await.status, 404);
    let user = t.get_of("/users/{}", agent).await.json();
    assert_eq!(user["user"]["default_group_id"], group);
    let last = t.get_of("/users/{}/group_memberships", agent).await;
    assert_eq!(last.json()["group_memberships"][0]["default"], true);
    t.delete(&format!("/group_memberships/{}", last.ids("group_memberships")[0])).await;
    let user = t.get_of("/users/{}", agent).await.json();
    assert_eq!(user["user"]["default_group_id"], Value::Null);
}

#[tokio::test]
async fn the_memberships_of_a_deleted_group_go() {
    let t = probe(Config::default()).await;
    let (agent, group) = (new_agent(&t).await, new_group(&t, "G").await);
    let membership = join(&t, agent, group).await.id("group_membership");
    t.delete(&format!("/groups/{group}")).await;
    assert_eq!(t.get_of("/group_memberships/{}", membership).await.status, 404);
    assert_eq!(t.get_of("/users/{}/groups", agent).await.ids("groups").len(), 1);
}

#[tokio::test]
async fn a_body_on_a_deletion_is_ignored_with_a_warning() {
    let t = probe(Config::default()).await;
    let group = new_group(&t, "G").await;
    let gone = t.send(Method::DELETE, &format!("/groups/{group}"), json!({"group": {}})).await;
    assert_eq!(gone.status, 204);
    assert!(gone.header("x-zendesk-api-warn").contains("[\"group\"]"));
}
