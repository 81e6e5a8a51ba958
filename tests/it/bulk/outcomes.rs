//! What is said of each input is what became of it, or that it is not known.

use std::collections::BTreeSet;

use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::{Value, json};
use zendesk_gateway::proto::{
    BulkCreateMembershipsRequest, BulkCreateOrUpdateUsersRequest, BulkCreateUsersRequest, BulkDeleteMembershipsRequest,
    BulkDeleteUsersRequest, BulkOutcome, BulkResult, BulkUpdateUsersRequest, GroupMembershipInput, JobResult,
    UserInput,
};
use zendesk_gateway::sandbox::faults::{Matcher, Respond, delete, get, post, put};

use crate::support::TestGateway;

fn by_external_id(id: &str) -> UserInput {
    UserInput { external_id: Some(id.to_owned()), name: Some(format!("User {id}")), ..UserInput::default() }
}

fn ends(outcomes: &[BulkOutcome]) -> Vec<BulkResult> {
    outcomes.iter().map(BulkOutcome::result).collect()
}

/// Makes a bulk request start a job that ends with these results.
fn ends_with(t: &TestGateway, request: Matcher, results: &Value) {
    static JOBS: AtomicU32 = AtomicU32::new(0);
    let id = format!("V3-{}", JOBS.fetch_add(1, Ordering::Relaxed));
    let job = |status: &str, results: &Value| json!({"id": id, "total": 3, "status": status, "results": results});
    t.sandbox.fault(request, Respond::with(200).json(json!({"job_status": job("queued", &Value::Null)})));
    let seen = json!({"job_statuses": [job("completed", results)]});
    t.sandbox.fault(get("/job_statuses/show_many"), Respond::with(200).json(seen));
}

async fn upsert(t: &TestGateway, users: Vec<UserInput>) -> Vec<BulkOutcome> {
    let request = BulkCreateOrUpdateUsersRequest { users, wait: true, ..Default::default() };
    t.users().bulk_create_or_update_users(request).await.expect("a job").into_inner().outcomes
}

#[tokio::test]
async fn known_and_new_external_ids_are_told_apart_and_come_with_their_ids() {
    let t = TestGateway::start().await;
    upsert(&t, vec![by_external_id("k-1"), by_external_id("k-2")]).await;
    let users = ["k-1", "n-1", "k-2", "n-2"].map(by_external_id);
    let outcomes = upsert(&t, users.to_vec()).await;
    let wanted = [BulkResult::Updated, BulkResult::Created, BulkResult::Updated, BulkResult::Created];
    assert_eq!(ends(&outcomes), wanted, "{outcomes:?}");
    for (outcome, user) in outcomes.iter().zip(&users) {
        let record = t.sandbox.store().user(outcome.id.expect("an id")).expect("a user");
        assert_eq!(record["external_id"].as_str(), user.external_id.as_deref());
    }
}

#[tokio::test]
async fn a_row_that_names_its_user_by_id_updates_that_user_and_creates_nobody() {
    let t = TestGateway::start().await;
    let held = t.sandbox.store().user_ids();
    let (known, before) = (held[3], held.len());
    let by_id = |id: i64| UserInput { id: Some(id), notes: Some("by id".to_owned()), ..Default::default() };
    let users = vec![by_external_id("n-1"), by_id(known), by_id(42), by_external_id("n-2")];
    let outcomes = upsert(&t, users).await;
    let wanted = [BulkResult::Created, BulkResult::Updated, BulkResult::Failed, BulkResult::Created];
    assert_eq!(ends(&outcomes), wanted, "{outcomes:?}");
    assert_eq!((outcomes[1].id, outcomes[2].id), (Some(known), Some(42)));
    assert_eq!(t.sandbox.store().user(known).expect("a user")["notes"], "by id");
    assert_eq!(t.sandbox.store().user_ids().len(), before + 2);
    let sent = t.sandbox.requests().into_iter().find(|sent| sent.path.ends_with("create_or_update_many"));
    let body: Value = serde_json::from_slice(&sent.expect("a request").body).expect("JSON");
    assert_eq!(body["users"][1], json!({"id": known, "notes": "by id"}));
}

#[tokio::test]
async fn a_refused_upsert_is_told_by_its_position() {
    let t = TestGateway::start().await;
    upsert(&t, vec![by_external_id("k-1")]).await;
    let bad = UserInput { email: Some("not an address".to_owned()), ..by_external_id("bad") };
    let outcomes = upsert(&t, vec![by_external_id("n-1"), bad, by_external_id("k-1")]).await;
    assert_eq!(ends(&outcomes), [BulkResult::Created, BulkResult::Failed, BulkResult::Updated]);
    assert_eq!((outcomes[1].id, outcomes[1].error.as_deref()), (None, Some("UserUpdateError")));
}

#[tokio::test]
#[ignore = "slow"]
async fn upserts_are_unknown_where_the_results_do_not_tell_them_apart() {
    let t = TestGateway::start().await;
    let (a, b, c) = (
        json!({"id": 91, "status": "Updated"}),
        json!({"id": 92, "status": "Created"}),
        json!({"id": 93, "status": "Created"}),
    );
    let unknown = [BulkResult::Unknown; 3];
    for results in
        [json!([a, b]), json!([a, b, b]), json!([a, b, c, c]), json!([]), Value::Null, json!({"success": true})]
    {
        ends_with(&t, post("/users/create_or_update_many"), &results);
        let outcomes = upsert(&t, ["a", "b", "c"].map(by_external_id).to_vec()).await;
        assert_eq!(ends(&outcomes), unknown, "{results}");
        assert!(outcomes.iter().all(|outcome| outcome.id.is_none() && outcome.error.as_deref() == Some("JOB_FAILED")));
    }
}

#[tokio::test]
#[ignore = "slow"]
async fn other_inputs_are_unknown_where_no_result_proves_how_they_ended() {
    let t = TestGateway::start().await;
    let ids = vec![11, 12, 13];
    let results = json!([{"id": 11, "status": "Skipped", "success": true}, {"id": 99, "status": "Deleted"}]);
    ends_with(&t, delete("/users/destroy_many"), &results);
    let request = BulkDeleteUsersRequest { ids: ids.clone(), wait: true, ..Default::default() };
    let outcomes = t.users().bulk_delete_users(request.clone()).await.expect("a job").into_inner().outcomes;
    assert_eq!(ends(&outcomes), [BulkResult::Unknown; 3]);
    ends_with(&t, delete("/users/destroy_many"), &json!({"success": true}));
    let outcomes = t.users().bulk_delete_users(request).await.expect("a job").into_inner().outcomes;
    assert_eq!(ends(&outcomes), [BulkResult::Deleted; 3]);

    ends_with(&t, put("/users/update_many"), &json!([{"id": 12, "status": "Updated"}, {"index": 2, "error": "E"}]));
    let user = Some(UserInput { notes: Some("n".to_owned()), ..UserInput::default() });
    let request = BulkUpdateUsersRequest { ids: ids.clone(), user, wait: true, ..Default::default() };
    let outcomes = t.users().bulk_update_users(request).await.expect("a job").into_inner().outcomes;
    assert_eq!(ends(&outcomes), [BulkResult::Unknown, BulkResult::Updated, BulkResult::Failed]);

    let created = |id: i64| json!({"id": id, "status": "Created"});
    ends_with(&t, post("/users/create_many"), &json!([created(1), created(2)]));
    let users: Vec<UserInput> = ["a", "b", "c"].map(by_external_id).to_vec();
    let request = BulkCreateUsersRequest { users, wait: true, ..Default::default() };
    let outcomes = t.users().bulk_create_users(request).await.expect("a job").into_inner().outcomes;
    assert_eq!(ends(&outcomes), [BulkResult::Unknown; 3]);

    let twice = json!([{"index": 0, "id": 7, "status": "Created"}, {"index": 0, "error": "E"}, {"index": 2, "id": 8}]);
    ends_with(&t, post("/group_memberships/create_many"), &twice);
    let input = |user_id: i64| GroupMembershipInput { user_id, group_id: 1, default: None };
    let group_memberships = ids.iter().map(|id| input(*id)).collect();
    let request = BulkCreateMembershipsRequest { group_memberships, wait: true };
    let outcomes = t.memberships().bulk_create_memberships(request).await.expect("a job").into_inner().outcomes;
    assert_eq!(ends(&outcomes), [BulkResult::Unknown, BulkResult::Unknown, BulkResult::Created]);
    assert_eq!(outcomes[2].id, Some(8));

    let deleted = json!({"id": 13, "action": "delete", "status": "Deleted", "success": true});
    ends_with(&t, delete("/group_memberships/destroy_many"), &json!([deleted, deleted]));
    let request = BulkDeleteMembershipsRequest { ids, wait: true };
    let outcomes = t.memberships().bulk_delete_memberships(request).await.expect("a job").into_inner().outcomes;
    assert_eq!(ends(&outcomes), [BulkResult::Unknown, BulkResult::Unknown, BulkResult::Deleted]);
}

#[tokio::test]
async fn created_users_come_with_their_ids_where_they_have_keys_and_else_in_a_list() {
    let t = TestGateway::start().await;
    let mut users: Vec<UserInput> = (0..250).map(|n| by_external_id(&format!("c-{n}"))).collect();
    for bad in [42, 120, 249] {
        users[bad].email = Some(format!("no address {bad}"));
    }
    for bare in [7, 8] {
        users[bare].external_id = None;
    }
    let request = BulkCreateUsersRequest { users, wait: true, ..Default::default() };
    let reply = t.users().bulk_create_users(request).await.expect("jobs").into_inner();
    let places: Vec<(i32, i32)> = reply.jobs.iter().map(|job| (job.first_index, job.item_count)).collect();
    assert_eq!(places, [(0, 100), (100, 100), (200, 50)]);
    let bad: BTreeSet<i32> = reply
        .outcomes
        .iter()
        .inspect(|outcome| assert!(matches!(outcome.result(), BulkResult::Failed | BulkResult::Created)))
        .filter(|outcome| outcome.result() == BulkResult::Failed)
        .map(|outcome| outcome.index)
        .collect();
    assert_eq!(bad, BTreeSet::from([42, 120, 249]), "positions in the whole request");
    let indices: Vec<i32> = reply.outcomes.iter().map(|outcome| outcome.index).collect();
    assert_eq!(indices, (0..250).collect::<Vec<_>>());

    let name = |id: i64| t.sandbox.store().user(id).expect("a user")["name"].as_str().expect("set").to_owned();
    for outcome in &reply.outcomes {
        let is_placed = !bad.contains(&outcome.index) && ![7, 8].contains(&outcome.index);
        let wanted = is_placed.then(|| format!("User c-{}", outcome.index));
        assert_eq!(outcome.id.map(name), wanted, "{outcome:?}");
    }
    let unplaced: Vec<usize> = reply.jobs.iter().map(|job| job.unplaced_ids.len()).collect();
    assert_eq!(unplaced, [2, 0, 0]);
    let names: BTreeSet<String> = reply.jobs[0].unplaced_ids.iter().map(|id| name(*id)).collect();
    assert_eq!(names, BTreeSet::from(["User c-7", "User c-8"].map(str::to_owned)));
    let results = reply.jobs.iter().flat_map(|job| &job.job.as_ref().expect("a job").results);
    assert!(results.clone().count() == 250 && results.clone().all(|result| result.external_id.is_none()), "unchanged");
}

#[tokio::test]
async fn results_that_are_no_objects_are_kept_as_zendesk_wrote_them() {
    let t = TestGateway::start().await;
    let request = BulkDeleteUsersRequest { ids: vec![11, 12, 13], wait: true, ..Default::default() };
    let deleted = json!({"id": 13, "action": "delete", "status": "Deleted", "success": true});
    ends_with(&t, delete("/users/destroy_many"), &json!(["Deleted", null, deleted]));
    let reply = t.users().bulk_delete_users(request.clone()).await.expect("a job").into_inner();
    assert_eq!(ends(&reply.outcomes), [BulkResult::Unknown, BulkResult::Unknown, BulkResult::Deleted]);
    let job = reply.jobs[0].job.as_ref().expect("a job");
    let raw: Vec<Option<&str>> = job.results.iter().map(|result| result.raw.as_deref()).collect();
    assert_eq!(raw, [Some("\"Deleted\""), Some("null"), None]);
    assert_eq!(
        (job.results[2].id, job.unreadable_fields.as_slice()),
        (Some(13), &["results[0]".to_owned(), "results[1]".to_owned()][..])
    );
    ends_with(&t, delete("/users/destroy_many"), &json!([["Deleted", 1.5], {"a": 1}, true, -7]));
    let reply = t.users().bulk_delete_users(request).await.expect("a job").into_inner();
    let raw: Vec<Option<&str>> =
        reply.jobs[0].job.as_ref().expect("a job").results.iter().map(|result| result.raw.as_deref()).collect();
    assert_eq!(raw, [Some("[\"Deleted\",1.5]"), None, Some("true"), Some("-7")]);
}

#[tokio::test]
#[ignore = "slow"]
async fn every_job_comes_with_its_results_as_it_ended() {
    let t = TestGateway::start().await;
    let ids: Vec<i64> = t.sandbox.store().user_ids().into_iter().rev().take(3).collect();
    let kept = |jobs: Vec<zendesk_gateway::proto::BulkJob>| -> Vec<JobResult> {
        jobs.into_iter().flat_map(|job| job.job.expect("a job").results).collect()
    };
    let user = Some(UserInput { notes: Some("n".to_owned()), ..UserInput::default() });
    let request = BulkUpdateUsersRequest { ids: ids.clone(), user, wait: true, ..Default::default() };
    let results = kept(t.users().bulk_update_users(request).await.expect("a job").into_inner().jobs);
    assert_eq!(results.iter().filter_map(|result| result.id).collect::<Vec<_>>(), ids);

    let request =
        BulkCreateOrUpdateUsersRequest { users: vec![by_external_id("r-1")], wait: true, ..Default::default() };
    let results = kept(t.users().bulk_create_or_update_users(request).await.expect("a job").into_inner().jobs);
    assert_eq!(results[0].status.as_deref(), Some("Created"));

    let request = BulkDeleteUsersRequest { ids: ids.clone(), wait: true, ..Default::default() };
    let results = kept(t.users().bulk_delete_users(request).await.expect("a job").into_inner().jobs);
    assert_eq!(results.len(), 3);

    let held = t.held_memberships()[0].clone();
    let request = BulkDeleteMembershipsRequest { ids: vec![held.id], wait: true };
    let results = kept(t.memberships().bulk_delete_memberships(request).await.expect("a job").into_inner().jobs);
    assert_eq!((results[0].id, results[0].status.as_deref()), (Some(held.id), Some("Deleted")));
    let input = GroupMembershipInput { user_id: held.user_id, group_id: held.group_id, default: None };
    let request = BulkCreateMembershipsRequest { group_memberships: vec![input], wait: true };
    let results = kept(t.memberships().bulk_create_memberships(request).await.expect("a job").into_inner().jobs);
    assert_eq!(results[0].status.as_deref(), Some("Created"));
}
