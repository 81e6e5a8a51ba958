//! Bulk requests and the jobs they become.

use std::collections::BTreeSet;
use std::time::Duration;

use super::*;

/// Polls a job until it has ended.
async fn ended(t: &Probe, queued: &Answer) -> Value {
    assert_eq!(queued.status, 200, "{}", queued.text);
    let id = queued.json()["job_status"]["id"].as_str().expect("a job").to_owned();
    loop {
        let job = t.get_of("/job_statuses/{}", &id).await.json()["job_status"].clone();
        if !matches!(job["status"].as_str(), Some("queued" | "working")) {
            return job;
        }
        tokio::task::yield_now().await;
    }
}

fn slow() -> Config {
    let mut config = Config::default();
    config.jobs.per_item = Duration::from_mins(1);
    config
}

fn users(count: usize) -> Value {
    let users: Vec<Value> = (0..count).map(|at| json!({"name": format!("Bulk {at}")})).collect();
    json!({ "users": users })
}

#[tokio::test]
async fn a_queued_job_has_a_total_and_nothing_else_yet() {
    let t = probe(slow()).await;
    let queued = t.post("/users/create_many", users(3)).await;
    let job = &queued.json()["job_status"];
    assert_eq!((&job["status"], &job["total"]), (&json!("queued"), &json!(3)));
    assert!(job["progress"].is_null() && job["message"].is_null() && job["results"].is_null());
    assert_eq!(queued.header("zendesk-ratelimit-inflight-jobs"), "total=30; remaining=29; resets=60");
    let url = format!("{}/api/v2/job_statuses/{}.json", t.origin(), job["id"].as_str().expect("id"));
    assert_eq!(job["url"], url);
}

#[tokio::test]
async fn created_users_are_reported_out_of_order_and_without_address() {
    let t = probe(Config::default()).await;
    let job = ended(&t, &t.post("/users/create_many", users(5)).await).await;
    assert_eq!((&job["status"], &job["progress"]), (&json!("completed"), &json!(5)));
    assert!(job["message"].as_str().is_some_and(|text| text.starts_with("Completed at 20")));
    let results = job["results"].as_array().expect("results");
    let mut ids = Vec::new();
    for result in results {
        let keys: BTreeSet<&str> = result.as_object().expect("an entry").keys().map(String::as_str).collect();
        assert_eq!(keys, BTreeSet::from(["id", "status"]));
        assert_eq!(result["status"], "Created");
        ids.push(result["id"].as_i64().expect("an id"));
    }
    assert!(!ids.is_sorted(), "{ids:?}");
    let few = ended(&t, &t.post("/users/create_many", users(2)).await).await;
    assert!(few["results"][0]["id"].as_i64() > few["results"][1]["id"].as_i64(), "{few}");
    for id in ids {
        let name = t.sandbox.store().user(id).expect("created")["name"].to_string();
        assert!(name.contains("Bulk"));
    }
}

#[tokio::test]
async fn some_failures_leave_a_job_completed_and_only_failures_fail_it() {
    let t = probe(Config::default()).await;
    let body = json!({"users": [{"name": "A"}, {"name": ""}, {"name": "B", "email": "x"}]});
    let job = ended(&t, &t.post("/users/create_many", body).await).await;
    assert_eq!(job["status"], "completed");
    let results = job["results"].as_array().expect("results");
    let failure = results.iter().find(|result| result["index"] == 2).expect("the third failed");
    assert_eq!(failure["details"], "Email: x is not properly formatted");
    assert!(failure["error"].is_string() && failure.get("success").is_none());

    let body = json!({"users": [{"name": ""}, {"name": ""}]});
    let job = ended(&t, &t.post("/users/create_many", body).await).await;
    assert_eq!(job["status"], "failed");
    assert!(job["message"].as_str().is_some_and(|text| text.starts_with("Failed at 20")));
    assert_eq!(job["results"].as_array().map(Vec::len), Some(2));
}

#[tokio::test]
async fn create_or_update_reports_in_order_with_addresses() {
    let t = probe(Config::default()).await;
    let id = t.sandbox.store().insert_raw_user(r#"{"id":9,"name":"A","email":"a@x.example"}"#);
    let body = json!({"users": [
        {"name": "N", "email": "n@x.example"},
        {"name": "B", "email": "A@x.example"},
        {"name": "C", "email": "bad"},
        {"name": "E", "external_id": "up-1"},
    ]});
    let job = ended(&t, &t.post("/users/create_or_update_many", body).await).await;
    let results = &job["results"];
    assert_eq!((&results[0]["status"], &results[0]["email"]), (&json!("Created"), &json!("n@x.example")));
    assert_eq!(results[1], json!({"id": id, "status": "Updated", "email": "a@x.example"}), "the record's address");
    let failure = json!({"id": 2, "error": "UserUpdateError", "status": "Failed",
        "details": "Email: bad is not properly formatted"});
    assert_eq!(results[2], failure);
    let no_address = results[3].as_object().expect("an entry");
    assert!(no_address["status"] == "Created" && no_address.len() == 2, "{no_address:?}");
    assert_eq!(t.sandbox.store().user(id).expect("a user")["name"], "B");
}

#[tokio::test]
async fn users_are_updated_alike_or_each_in_its_own_way() {
    let t = probe(Config::default()).await;
    let ids = t.sandbox.store().user_ids();
    let (a, b) = (ids[40], ids[41]);
    let path = format!("/users/update_many?ids={a},{b},1");
    let job = ended(&t, &t.put(&path, json!({"user": {"notes": "same"}})).await).await;
    assert_eq!((&job["status"], &job["job_type"]), (&json!("completed"), &json!("Bulk Update User")));
    let updated = json!({"action": "update", "id": a, "status": "Updated", "success": true});
    assert_eq!(job["results"][0], updated);
    assert_eq!(job["results"][2]["index"], 2);
    for id in [a, b] {
        assert_eq!(t.sandbox.store().user(id).expect("a user")["notes"], "same");
    }
    t.sandbox.store().insert_raw_user(r#"{"id":9,"name":"A","external_id":"Ext"}"#);
    let body = json!({"users": [{"id": a, "notes": "one"}, {"external_id": "ext", "notes": "two"}]});
    ended(&t, &t.put("/users/update_many", body).await).await;
    assert_eq!(t.sandbox.store().user(a).expect("a user")["notes"], "one");
    assert_eq!(t.sandbox.store().user(9).expect("a user")["notes"], "two");
    let path = "/users/update_many?external_ids=EXT";
    ended(&t, &t.put(path, json!({"user": {"notes": "three"}})).await).await;
    assert_eq!(t.sandbox.store().user(9).expect("a user")["notes"], "three");
}

#[tokio::test]
async fn users_are_deleted_in_bulk_by_either_id() {
    let t = probe(Config::default()).await;
    let id = t.sandbox.store().user_ids()[50];
    let job = ended(&t, &t.delete(&format!("/users/destroy_many?ids={id}")).await).await;
    assert_eq!(job["job_type"], "Bulk Update User", "as recorded");
    let deleted = json!([{"action": "delete", "id": id, "status": "Deleted", "success": true}]);
    assert_eq!(job["results"], deleted);
    assert!(t.sandbox.store().deleted_user_ids().contains(&id));
    t.sandbox.store().insert_raw_user(r#"{"id":9,"name":"A","external_id":"Ext"}"#);
    ended(&t, &t.delete("/users/destroy_many?external_ids=ext").await).await;
    assert!(t.sandbox.store().deleted_user_ids().contains(&9));
}

#[tokio::test]
async fn memberships_are_made_and_unmade_in_bulk() {
    let t = probe(Config::default()).await;
    let group = t.post("/groups", json!({"group": {"name": "G"}})).await.id("group");
    let staff = t.sandbox.store().staff_ids();
    let rows: Vec<Value> = staff[..3].iter().map(|id| json!({"user_id": id, "group_id": group})).collect();
    let body = json!({"group_memberships": rows});
    let job = ended(&t, &t.post("/group_memberships/create_many", body).await).await;
    assert_eq!(job["status"], "completed");
    assert_eq!((&job["results"][2]["index"], &job["results"][2]["status"]), (&json!(2), &json!("Created")));
    let made = t.get_of("/groups/{}/memberships", group).await.ids("group_memberships");
    assert_eq!(made.len(), 3);
    let path = format!("/group_memberships/destroy_many?ids={},{},1", made[0], made[1]);
    let job = ended(&t, &t.delete(&path).await).await;
    assert_eq!(job["results"][0], json!({"action": "delete", "id": made[0], "status": "Deleted", "success": true}));
    assert_eq!(job["results"][2]["index"], 2);
    assert_eq!(t.get_of("/groups/{}/memberships", group).await.ids("group_memberships"), made[2..]);
}

#[tokio::test]
async fn more_than_100_users_are_refused_at_once() {
    let t = probe(Config::default()).await;
    let refused = t.post("/users/create_many", users(101)).await;
    assert_eq!(refused.status, 400);
    let body = r#"{"error":"TooManyValues","description":"Maximum 100 users may be created per call"}"#;
    assert_eq!(refused.text, body);
    assert_eq!(ended(&t, &t.post("/users/create_many", users(100)).await).await["total"], 100);
    let ids = vec!["1"; 101].join(",");
    let refused = t.delete(&format!("/users/destroy_many?ids={ids}")).await;
    assert_eq!((refused.status, &refused.json()["error"]), (400, &json!("TooManyValues")));
    assert_eq!(t.put("/users/update_many", json!({})).await.status, 400);
}

#[tokio::test]
async fn a_thirty_first_job_is_refused_with_the_ids_of_the_others() {
    let t = probe(slow()).await;
    for _ in 0..30 {
        assert_eq!(t.post("/users/create_many", users(1)).await.status, 200);
    }
    let refused = t.post("/users/create_many", users(1)).await;
    assert_eq!(refused.status, 429);
    let json = refused.json();
    assert_eq!(json["error"], "TooManyJobs");
    assert_eq!(json["current_job_ids"].as_array().map(Vec::len), Some(30));
    assert_eq!(refused.header("zendesk-ratelimit-inflight-jobs"), "total=30; remaining=0; resets=60");
    let stats = answer(t.request(Method::GET, "!/__sandbox/stats")).await.json();
    assert_eq!(stats["live_jobs"], 30);
}

#[tokio::test]
async fn bulk_import_may_be_forbidden() {
    let mut config = Config::default();
    config.jobs.bulk_import = false;
    let t = probe(config).await;
    assert_eq!(t.post("/users/create_many", users(1)).await.status, 403);
    assert_eq!(t.post("/users/create_or_update_many", users(1)).await.status, 403);
    assert_eq!(t.put("/users/update_many?ids=1", json!({"user": {}})).await.status, 200);
}

#[tokio::test]
async fn a_new_job_may_not_be_found_by_its_id_while_the_list_has_it() {
    let mut config = Config::default();
    config.jobs.unseen_for = Duration::from_mins(1);
    let t = probe(config).await;
    let queued = t.post("/users/create_many", users(1)).await.json();
    let id = queued["job_status"]["id"].as_str().expect("a job");
    assert_eq!(t.get_of("/job_statuses/{}", id).await.status, 404);
    assert!(t.get("/job_statuses").await.text.contains(id));
}

#[tokio::test]
async fn progress_follows_time_and_a_job_can_be_killed() {
    let mut config = Config::default();
    config.jobs.queued_for = Duration::ZERO;
    config.jobs.per_item = Duration::from_mins(1);
    let t = probe(config).await;
    let queued = t.post("/users/create_many", users(2)).await.json();
    let id = queued["job_status"]["id"].as_str().expect("a job").to_owned();
    let job = t.get_of("/job_statuses/{}", &id).await.json()["job_status"].clone();
    assert_eq!((&job["status"], &job["progress"]), (&json!("working"), &json!(0)));
    assert_eq!(job["message"], "Creating User #1");
    assert!(t.sandbox.store().kill_job(&id));
    let job = t.get_of("/job_statuses/{}", &id).await.json();
    assert_eq!(job["job_status"]["status"], "killed");
    assert!(!t.sandbox.store().kill_job(&id), "it has ended");
}
