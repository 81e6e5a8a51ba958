//! The limits on changing single users.

use super::*;

const HEADER: &str = "zendesk-ratelimit-create-update-user";

#[tokio::test]
async fn one_user_can_be_changed_five_times_a_minute() {
    let mut config = Config::default();
    config.update_limits.per_account = 0;
    let t = probe(config).await;
    let ids = t.sandbox.store().user_ids();
    let path = format!("/users/{}", ids[20]);
    for remaining in (0..5).rev() {
        let changed = t.put(&path, json!({"user": {"notes": "x"}})).await;
        assert_eq!(changed.status, 200);
        let state = format!("total=5; remaining={remaining}; resets=60");
        assert_eq!(changed.header(HEADER), state);
    }
    let refused = t.put(&path, json!({"user": {"notes": "y"}})).await;
    assert_eq!(refused.status, 429);
    assert_eq!(refused.json()["errors"][0]["code"], "TooManyRequests");
    let wait: u64 = refused.header("retry-after").parse().expect("seconds");
    assert!((50..=60).contains(&wait), "{wait}");
    assert_eq!(t.sandbox.stats().throttled, 1);
    assert_eq!(t.sandbox.store().user(ids[20]).expect("a user")["notes"], "x");
    let other = t.put(&format!("/users/{}", ids[21]), json!({"user": {"notes": "x"}})).await;
    assert_eq!(other.status, 200);
    let many = json!({"user": {"external_id": "new", "name": "A"}});
    assert_eq!(t.post("/users/create_or_update", many).await.status, 201);
}

#[tokio::test]
async fn the_account_allows_one_change_a_second() {
    let mut config = Config::default();
    config.update_limits.account_interval = std::time::Duration::from_secs(30);
    let t = probe(config).await;
    let ids = t.sandbox.store().user_ids();
    let path = |id: i64| format!("/users/{id}");
    assert_eq!(t.put(&path(ids[20]), json!({"user": {"notes": "x"}})).await.status, 200);
    let refused = t.put(&path(ids[21]), json!({"user": {"notes": "x"}})).await;
    assert_eq!(refused.status, 429);
    assert!(refused.header(HEADER).starts_with("total=1; remaining=0; resets="));
    assert_eq!(t.post("/users", json!({"user": {"name": "A"}})).await.status, 201, "creating is not limited");
}

#[tokio::test]
async fn a_change_of_nobody_spends_nothing() {
    let t = probe(Config::default()).await;
    assert_eq!(t.put("/users/1", json!({"user": {"notes": "x"}})).await.status, 404);
    let id = t.sandbox.store().user_ids()[20];
    let changed = t.put(&format!("/users/{id}"), json!({"user": {"notes": "x"}})).await;
    assert_eq!(changed.status, 200);
}
