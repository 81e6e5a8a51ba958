//! `x-zendesk-api-warn`, where recordings have it and where they do not.

use super::user_writes::new_user;
use super::*;

/// The keys that an answer's warning names, by the controller and the action it names.
#[track_caller]
fn warned(answer: &Answer, controller: &str, action: &str) -> Vec<String> {
    let text = answer.header("x-zendesk-api-warn");
    let start =
        format!("{{:allowed_parameters=>{{:controller=>\"{controller}\", :action=>\"{action}\", :unpermitted_keys=>");
    let keys = text.strip_prefix(&start).and_then(|rest| rest.strip_suffix(", :invalid_values=>[]}}"));
    serde_json::from_str(keys.unwrap_or_else(|| panic!("{text}"))).expect("a list of strings")
}

#[tokio::test]
async fn the_id_in_the_body_of_a_user_is_no_reason_to_warn_and_of_a_group_it_is() {
    let t = unlimited().await;
    let id = new_user(&t, json!({"id": null, "name": "A"})).await;
    let made = t.post("/users", json!({"user": {"id": 5, "name": "B"}})).await;
    let updated = t.put(&format!("/users/{id}"), json!({"user": {"id": id, "name": "C"}})).await;
    let found = t.post("/users/create_or_update", json!({"user": {"id": id, "name": "D"}})).await;
    for answer in [made, updated, found] {
        assert!(answer.status < 300 && !answer.headers.contains_key("x-zendesk-api-warn"), "{}", answer.text);
    }
    let group = t.post("/groups", json!({"group": {"name": "G"}})).await.id("group");
    let updated = t.put(&format!("/groups/{group}"), json!({"group": {"id": group, "name": "H"}})).await;
    assert_eq!(warned(&updated, "groups", "update"), ["group.id"]);
}

#[tokio::test]
async fn a_body_on_a_deletion_is_warned_of() {
    let t = unlimited().await;
    let id = new_user(&t, json!({"name": "A"})).await;
    let gone = t.send(Method::DELETE, &format!("/users/{id}"), json!({"user": {"id": id}})).await;
    assert_eq!((gone.status, warned(&gone, "users", "destroy")), (200, vec!["user.id".into(), "user".into()]));
    let id = new_user(&t, json!({"name": "B"})).await;
    let path = format!("/users/destroy_many?ids={id}");
    let queued = t.send(Method::DELETE, &path, json!({"users": [{"id": id}]})).await;
    assert_eq!((queued.status, warned(&queued, "users", "destroy_many")), (200, vec!["users".into()]));
    assert!(!t.delete(&path).await.headers.contains_key("x-zendesk-api-warn"));
    let place = t.sandbox.store().memberships()[0]["id"].clone();
    let path = format!("/group_memberships/destroy_many?ids={place}");
    let queued = t.send(Method::DELETE, &path, json!({"group_memberships": [{"id": place}]})).await;
    assert_eq!(warned(&queued, "group_memberships", "destroy_many"), ["group_memberships"]);
}

#[tokio::test]
async fn an_unknown_target_is_warned_of_as_a_known_one() {
    let t = unlimited().await;
    let unknown = i64::MAX;
    for (kind, extra, keys) in [("user", "shoe_size", vec!["user.shoe_size"]), ("group", "id", vec!["group.id"])] {
        let (path, controller) = (format!("/{kind}s/{unknown}"), format!("{kind}s"));
        let refused = t.put(&path, json!({kind: {extra: unknown, "name": "A"}})).await;
        assert_eq!(
            (refused.status, warned(&refused, &controller, "update")),
            (404, keys.iter().map(|k| (*k).into()).collect())
        );
        let refused = t.send(Method::DELETE, &path, json!({kind: {"id": unknown}})).await;
        assert_eq!(refused.status, 404);
        assert_eq!(warned(&refused, &controller, "destroy"), [format!("{kind}.id"), kind.to_owned()]);
        assert!(!t.delete(&path).await.headers.contains_key("x-zendesk-api-warn"));
    }
    let refused = t.send(Method::DELETE, "/group_memberships/1", json!({"group_membership": {"id": 1}})).await;
    assert_eq!(refused.status, 404);
    assert_eq!(warned(&refused, "group_memberships", "destroy"), ["group_membership.id", "group_membership"]);
}
