//! No record is of the future.

use super::user_writes::new_user;
use super::*;
use crate::clock::{Clock, Time};

/// Every timestamp below `value`, with its key.
fn times(value: &Value) -> Vec<(String, Time)> {
    let of = |key: &str, value: &Value| {
        let time = value.as_str().filter(|_| key.ends_with("_at")).and_then(Time::parse);
        time.map(|time| (key.to_owned(), time)).into_iter().chain(times(value)).collect::<Vec<_>>()
    };
    match value {
        Value::Object(map) => map.iter().flat_map(|(key, value)| of(key, value)).collect(),
        Value::Array(items) => items.iter().flat_map(times).collect(),
        _ => Vec::new(),
    }
}

#[track_caller]
fn assert_past(page: &Value, what: &str) {
    let found = times(page);
    assert!(!found.is_empty(), "{what}: no timestamps in {page}");
    let now = Clock::start().now();
    let future: Vec<_> = found.iter().filter(|(_, time)| *time > now).collect();
    assert!(future.is_empty(), "{what} at {now}: {future:?}");
}

#[tokio::test]
async fn no_seeded_record_is_of_the_future() {
    for seed in [1, 2] {
        let t = probe(Config { users: 3_000, groups: 90, seed, ..Config::default() }).await;
        let store = t.sandbox.store();
        let (users, deleted) = (store.user_ids(), store.deleted_user_ids());
        for id in users.iter().chain(&deleted) {
            assert_past(&store.user(*id).expect("a user"), "a user");
        }
        assert_past(&json!(store.groups()), "groups");
        assert_past(&json!(store.memberships()), "memberships");
        for path in ["/deleted_users", "/group_memberships?include=users,groups", "/users?include=identities,roles"] {
            assert_past(&t.get(path).await.json(), path);
        }
        for id in deleted {
            let steps = t.get_of("/users/{}/compliance_deletion_statuses", id).await.json();
            assert!(times(&steps).iter().all(|(_, time)| *time <= Clock::start().now()), "{steps}");
        }
    }
}

#[tokio::test]
async fn the_steps_of_forgetting_a_user_appear_as_they_happen() {
    let t = unlimited().await;
    let id = new_user(&t, json!({"name": "A"})).await;
    t.delete(&format!("/users/{id}")).await;
    t.delete(&format!("/deleted_users/{id}")).await;
    let steps = t.get_of("/users/{}/compliance_deletion_statuses", id).await.json();
    assert_eq!(steps["compliance_deletion_statuses"][0]["action"], "request_deletion");
    assert_past(&steps, "the steps");
}
