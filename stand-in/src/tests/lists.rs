//! Filters, scopes, counts and sideloads of lists.

use std::collections::BTreeSet;

use super::*;

#[tokio::test]
async fn users_are_filtered_by_one_or_several_roles() {
    let t = probe(Config::default()).await;
    let admins = t.get("/users?role=admin").await.ids("users");
    let agents = t.get("/users?role=agent").await.ids("users");
    let both = t.get("/users?role[]=admin&role[]=agent").await.ids("users");
    assert!(!admins.is_empty() && !agents.is_empty());
    assert_eq!(both.len(), admins.len() + agents.len());
    assert_eq!(both, t.sandbox.store().staff_ids());
    let customers = t.get("/users?role=end-user").await.json();
    assert_eq!(customers["count"], 250 - both.len());
}

#[tokio::test]
async fn users_are_filtered_by_custom_role_and_by_external_id_in_any_case() {
    let t = probe(Config::default()).await;
    let light = t.get("/users?permission_set=6095000001433").await.json();
    let light = light["users"].as_array().expect("users").clone();
    assert!(!light.is_empty());
    assert!(light.iter().all(|user| user["role_type"] == 1));

    let id = t.sandbox.store().insert_raw_user(r#"{"id":77,"name":"A","external_id":"Ian1"}"#);
    let found = t.get("/users?external_id=iAN1").await;
    assert_eq!(found.ids("users"), [id]);
    assert_eq!(t.get("/users?external_id=ian").await.ids("users"), Vec::<i64>::new());
}

#[tokio::test]
async fn a_groups_users_are_its_members() {
    let t = probe(Config::default()).await;
    let group = t.sandbox.store().default_group_id();
    let members: BTreeSet<i64> = t
        .sandbox
        .store()
        .memberships()
        .iter()
        .filter(|place| place["group_id"] == group)
        .filter_map(|place| place["user_id"].as_i64())
        .collect();
    assert!(!members.is_empty());
    let users = t.get_of("/groups/{}/users", group).await.ids("users");
    assert_eq!(users, Vec::from_iter(members));
    let count = t.get_of("/groups/{}/users/count", group).await.json();
    assert_eq!(count["count"]["value"], users.len());
    assert_eq!(t.get("/groups/1/users").await.status, 404);
}

#[tokio::test]
async fn an_organizations_users_say_so_themselves() {
    let t = probe(Config::default()).await;
    let organization = t.sandbox.store().organization_ids()[0];
    let page = t.get_of("/organizations/{}/users", organization).await;
    let json = page.json();
    let rows = json["users"].as_array().expect("users");
    assert!(!rows.is_empty());
    assert!(rows.iter().all(|user| user["organization_id"] == organization));
    let count = t.get_of("/organizations/{}/users/count", organization).await;
    assert_eq!(count.json()["count"]["value"], rows.len());
    assert_eq!(t.get("/organizations/1/users").await.status, 404);
}

#[tokio::test]
async fn counts_tell_a_number_and_when_it_was_taken() {
    let t = probe(Config::default()).await;
    for (path, value) in [("/users/count", 250), ("/groups/count", 12), ("/deleted_users/count", 5)] {
        let count = t.get(path).await.json();
        assert_eq!(count["count"]["value"], value, "{path}");
        assert!(count["count"]["refreshed_at"].is_string(), "{path}");
    }
    let admins = t.get("/users/count?role=admin").await.json();
    let listed = t.get("/users?role=admin").await.ids("users").len();
    assert_eq!(admins["count"]["value"], listed);
}

#[tokio::test]
async fn a_count_over_100000_is_capped_while_it_is_refreshed() {
    let t = probe(Config { users: 100_001, ..Config::default() }).await;
    let count = t.get("/users/count").await.text;
    assert_eq!(count, r#"{"count":{"value":100000,"refreshed_at":null}}"#);
}

#[tokio::test]
async fn groups_of_a_user_and_their_count_follow_the_memberships() {
    let t = probe(Config::default()).await;
    for user in t.sandbox.store().staff_ids() {
        let memberships = t.get_of("/users/{}/group_memberships", user).await;
        let places = memberships.ids("group_memberships").len();
        let groups = t.get_of("/users/{}/groups", user).await;
        assert_eq!(groups.ids("groups").len(), places);
        let count = t.get_of("/users/{}/groups/count", user).await.json();
        assert_eq!(count["count"]["value"], places);
    }
}

#[tokio::test]
async fn a_deleted_group_is_shown_but_not_listed() {
    let t = probe(Config::default()).await;
    let group = r#"{"id":5,"name":"Old","deleted":true}"#;
    let id = t.sandbox.store().insert_raw_group(group);
    assert_eq!(t.get_of("/groups/{}", id).await.json()["group"]["deleted"], true);
    for path in ["/groups", "/groups/assignable", "/groups?exclude_deleted=false"] {
        assert!(!t.get(path).await.ids("groups").contains(&id), "{path}");
    }
    assert_eq!(t.get("/groups").await.ids("groups").len(), 12);
}

#[tokio::test]
async fn assignable_memberships_leave_light_agents_out() {
    let t = probe(Config::default()).await;
    let all = t.get("/group_memberships").await.ids("group_memberships");
    let some = t.get("/group_memberships/assignable").await.ids("group_memberships");
    assert!(!some.is_empty() && some.len() < all.len());
    let group = t.sandbox.store().default_group_id();
    let of_group = t.get_of("/groups/{}/memberships", group).await.ids("group_memberships");
    let path = "/groups/{}/memberships/assignable";
    let assignable = t.get_of(path, group).await.ids("group_memberships");
    assert!(assignable.iter().all(|id| of_group.contains(id)));
}

#[tokio::test]
async fn memberships_bring_their_users_and_groups() {
    let t = probe(Config::default()).await;
    let page = t.get("/group_memberships?page[size]=5&include=users,groups").await;
    let json = page.json();
    for row in json["group_memberships"].as_array().expect("rows") {
        for (array, key) in [("users", "user_id"), ("groups", "group_id")] {
            let ids = page.ids(array);
            assert!(ids.contains(&row[key].as_i64().expect("an id")), "{array}");
        }
    }
}

#[tokio::test]
async fn a_single_user_can_be_sideloaded_with_a_system_role() {
    let t = probe(Config::default()).await;
    let customer = t.get("/users?role=end-user&per_page=1").await.ids("users")[0];
    let shown = t.get_of("/users/{}?include=roles,groups,identities", customer).await.json();
    assert_eq!(
        shown["roles"],
        serde_json::json!([
            {"id": null, "name": "end-user", "description": null, "created_at": null}
        ])
    );
    assert_eq!(shown["groups"], serde_json::json!([]));
    assert!(shown["identities"].is_array());
}
