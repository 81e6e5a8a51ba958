//! Deleting, erasing and merging users.

use super::user_writes::new_user;
use super::*;

#[tokio::test]
async fn a_deleted_user_is_shown_but_not_listed_and_its_address_is_free() {
    let t = unlimited().await;
    let id = new_user(&t, json!({"name": "Zaphod", "email": "z@x.example"})).await;
    let gone = t.delete(&format!("/users/{id}")).await;
    assert_eq!(gone.status, 200);
    let user = &gone.json()["user"];
    assert_eq!((&user["active"], &user["email"]), (&json!(false), &Value::Null));
    assert_eq!(t.get_of("/users/{}", id).await.json()["user"]["active"], false);
    assert_eq!(t.get("/users/search?query=zaphod").await.ids("users"), Vec::<i64>::new());
    assert!(!t.sandbox.store().user_ids().contains(&id));
    assert!(t.get("/deleted_users?page[size]=100").await.ids("deleted_users").contains(&id));
    let again = t.post("/users", json!({"user": {"name": "B", "email": "Z@x.example"}})).await;
    assert_eq!(again.status, 201, "{}", again.text);
    assert_eq!(t.delete(&format!("/users/{id}")).await.status, 404);
}

#[tokio::test]
async fn a_user_with_open_tickets_stays() {
    let t = unlimited().await;
    let id = new_user(&t, json!({"name": "A"})).await;
    t.sandbox.store().set_open_tickets(id, 2);
    let refused = t.delete(&format!("/users/{id}")).await;
    assert_eq!(refused.finding("base").1, "User is requester on 2 ticket(s) that are not closed.");
}

#[tokio::test]
async fn a_deleted_user_is_erased_once() {
    let t = unlimited().await;
    let id = new_user(&t, json!({"name": "A", "phone": "+15559"})).await;
    let path = format!("/deleted_users/{id}");
    assert_eq!(t.delete(&path).await.status, 404, "not deleted yet");
    t.delete(&format!("/users/{id}")).await;
    let erased = t.delete(&path).await;
    let user = &erased.json()["deleted_user"];
    assert_eq!((&user["name"], &user["phone"]), (&json!("Permanently Deleted User"), &Value::Null));
    assert!(erased.header("zendesk-ratelimit-deleted-users-destroy").starts_with("total=700; remaining=69"));
    let again = t.delete(&path).await;
    let expected = ("DuplicateValue".into(), "User Only one deletion request needed per user".into());
    assert_eq!(again.finding("user_id"), expected);
    assert_eq!(t.get(&path).await.status, 404);
}

#[tokio::test]
async fn merging_moves_addresses_and_answers_with_the_target() {
    let t = unlimited().await;
    let from = new_user(&t, json!({"name": "A", "email": "a@x.example", "tags": ["x"]})).await;
    let into = new_user(&t, json!({"name": "B", "email": "b@x.example", "tags": ["y"]})).await;
    let merged = t.put(&format!("/users/{from}/merge"), json!({"user": {"id": into}})).await;
    assert_eq!((merged.status, merged.id("user")), (200, into));
    assert_eq!(merged.json()["user"]["tags"], json!(["x", "y"]));
    let shown = t.get_of("/users/{}?include=identities", into).await.json();
    assert_eq!(shown["identities"][1]["value"], "a@x.example");
    assert_eq!(t.get_of("/users/{}", from).await.json()["user"]["active"], false);
    let staff = t.sandbox.store().staff_ids()[1];
    let refused = t.put(&format!("/users/{into}/merge"), json!({"user": {"id": staff}})).await;
    refused.finding("base");
}

#[tokio::test]
async fn a_merge_that_is_refused_moves_nothing() {
    let t = unlimited().await;
    let from = new_user(&t, json!({"name": "A", "email": "a@x.example"})).await;
    t.put(&format!("/users/{from}"), json!({"user": {"email": "b@x.example"}})).await;
    let into = new_user(&t, json!({"name": "B"})).await;
    t.sandbox.store().set_open_tickets(from, 1);
    let refused = t.put(&format!("/users/{from}/merge"), json!({"user": {"id": into}})).await;
    refused.finding("base");
    let shown = t.get_of("/users/{}?include=identities", from).await.json();
    assert_eq!(shown["identities"].as_array().map(Vec::len), Some(2));
}
