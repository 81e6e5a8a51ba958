//! Memberships of users in organizations.

use super::user_writes::new_user;
use super::*;

async fn of_user(t: &Probe, user: i64) -> Vec<(i64, bool)> {
    let rows = t.get_of("/users/{}/organization_memberships", user).await.json();
    let rows = rows["organization_memberships"].as_array().expect("rows").clone();
    rows.iter().map(|row| (row["organization_id"].as_i64().expect("an id"), row["default"] == true)).collect()
}

#[tokio::test]
async fn a_user_joins_prefers_and_leaves_organizations() {
    let t = unlimited().await;
    let held = t.sandbox.store().organization_ids();
    let user = new_user(&t, json!({"name": "A"})).await;
    let join = async |organization: i64, more: Value| {
        let mut new = json!({"user_id": user, "organization_id": organization});
        new.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        t.post("/organization_memberships", json!({"organization_membership": new})).await
    };
    let first = join(held[1], json!({})).await;
    assert_eq!(first.status, 201);
    let row = first.json()["organization_membership"].clone();
    assert_eq!((&row["default"], &row["view_tickets"]), (&json!(true), &json!(true)), "the first one is the default");
    assert!(first.header("location").ends_with(&format!("/organization_memberships/{}.json", row["id"])));
    assert_eq!(join(held[0], json!({})).await.json()["organization_membership"]["default"], json!(null));
    assert_eq!(join(held[2], json!({"default": true})).await.status, 201);
    assert_eq!(of_user(&t, user).await, [(held[2], true), (held[0], false), (held[1], false)], "the others by name");
    let refused = join(held[0], json!({})).await;
    assert_eq!((refused.status, &refused.json()["details"]["user_id"][0]["error"]), (422, &json!("DuplicateValue")));
    assert_eq!((join(7, json!({})).await.status, join(held[3], json!({"default": 1})).await.status), (422, 422));

    let made = t.put(&format!("/users/{user}/organization_memberships/{}/make_default", row["id"]), json!({})).await;
    let default = made.json()["organization_memberships"]
        .as_array()
        .expect("rows")
        .iter()
        .find(|row| row["default"] == true)
        .cloned();
    assert_eq!(default.expect("one")["id"], row["id"]);
    let path = format!("/users/{user}/organizations/{}", held[0]);
    let made = t.put(&format!("{path}/make_default"), json!({})).await.json();
    assert_eq!(
        (
            &made["organization_membership"]["default"],
            t.sandbox.store().user(user).expect("it")["organization_id"].as_i64()
        ),
        (&json!(true), Some(held[0]))
    );
    assert_eq!((t.delete(&path).await.status, t.delete(&path).await.status), (204, 404));
    assert_eq!(of_user(&t, user).await, [(held[1], true), (held[2], false)], "the oldest of the others");
    let wrong = format!("/users/{}/organization_memberships/{}", t.sandbox.store().user_ids()[0], row["id"]);
    assert_eq!((t.get(&wrong).await.status, t.delete(&wrong).await.status), (404, 404));
    assert_eq!(t.get_of("/users/{}/organizations", user).await.ids("organizations").len(), 2);

    t.put(&format!("/users/{user}"), json!({"user": {"organization_id": held[3]}})).await;
    assert_eq!(of_user(&t, user).await, [(held[3], true)], "documented: all others are removed");
    t.put(&format!("/users/{user}"), json!({"user": {"organization_ids": [held[0], held[3]]}})).await;
    assert_eq!(of_user(&t, user).await, [(held[3], true), (held[0], false)]);
    t.delete(&format!("/organizations/{}", held[3])).await;
    assert_eq!(of_user(&t, user).await, [(held[0], true)]);
    let members =
        t.get_of("/organizations/{}/organization_memberships", held[0]).await.ids("organization_memberships").len();
    t.delete(&format!("/users/{user}")).await;
    let left = t.get_of("/organizations/{}/organization_memberships?include=users", held[0]).await;
    assert_eq!((left.ids("organization_memberships").len(), left.ids("users").len()), (members - 1, members - 1));
}

#[tokio::test]
async fn agents_place_end_users_only() {
    let t = unlimited().await;
    let held = t.sandbox.store().organization_ids();
    let staff = t.sandbox.store().staff_ids();
    let user = new_user(&t, json!({"name": "A"})).await;
    let agent = new_user(&t, json!({"name": "B", "role": "agent", "email": "b@x.example"})).await;
    let join = async |who: i64| {
        let new = json!({"organization_membership": {"user_id": who, "organization_id": held[4]}});
        let request = t.request(Method::POST, "/organization_memberships");
        let request = request.basic_auth("b@x.example/token", Some(&t.sandbox.config().credential.api_token));
        answer(request.body(new.to_string())).await.status
    };
    assert_eq!((join(user).await, join(staff[0]).await, join(agent).await), (201, 403, 403));
}
