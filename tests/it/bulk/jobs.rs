//! What bulk requests are answered with: jobs that can be followed or not, warnings, and refusals in between.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use prost::Message as _;
use serde_json::{Value, json};
use tonic::Code;
use zendesk_gateway::config::Config;
use zendesk_gateway::proto::{
    BulkCreateUsersRequest, BulkDeleteMembershipsRequest, BulkDeleteUsersRequest, BulkDeleteUsersResponse, BulkOutcome,
    BulkResult, BulkUpdateUsersRequest, UserInput,
};
use zendesk_gateway::sandbox::faults::{Respond, Throttle, delete, get, post, put};

use crate::support::seam::{Seam, said, within};
use crate::support::{TestGateway, account, refused, settings};

fn users(count: usize) -> BulkCreateUsersRequest {
    let user = |n: usize| UserInput { name: Some(format!("J {n}")), ..UserInput::default() };
    BulkCreateUsersRequest { users: (0..count).map(user).collect(), wait: true, ..Default::default() }
}

fn ends(outcomes: &[BulkOutcome]) -> Vec<BulkResult> {
    outcomes.iter().map(BulkOutcome::result).collect()
}

fn queued(id: &str) -> Value {
    json!({"job_status": {"id": id, "status": "queued", "total": 1}})
}

/// A job of deletions that has ended.
fn deleted(id: &str, ids: &[i64]) -> Value {
    let result = |id: &i64| json!({"id": id, "action": "delete", "status": "Deleted", "success": true});
    json!({"id": id, "status": "completed", "results": ids.iter().map(result).collect::<Vec<_>>()})
}

/// Answers to a bulk request that name no job.
fn nameless() -> [Value; 9] {
    [
        json!({"job_status": {"status": "queued", "total": 2}}),
        json!({"job_status": {"id": null, "status": "queued"}}),
        json!({"job_status": {"id": "", "status": "queued"}}),
        json!({"job_status": {"id": " ", "status": "queued"}}),
        json!({"job_status": {"id": true, "status": "queued"}}),
        json!({"job_status": {"id": ["V3-1"], "status": "queued"}}),
        json!({"job_status": {}}),
        json!({"job_status": null}),
        json!({"status": "ok"}),
    ]
}

#[tokio::test]
async fn the_outcome_of_a_request_that_names_no_job_is_unknown() {
    let mut config = settings();
    // Each of these answers counts as a failure of Zendesk.
    config.upstream.breaker.consecutive_failures = 100;
    let t = TestGateway::configured(account(), config).await;
    for body in nameless() {
        t.sandbox.fault(post("/users/create_many"), Respond::with(200).json(body.clone()));
        let refused = refused(t.users().bulk_create_users(users(2)).await);
        assert_eq!((refused.code, refused.reason.as_str()), (Code::Unavailable, "OUTCOME_UNKNOWN"), "{body}");
    }
    assert_eq!(t.sandbox.hits("/job_statuses/show_many"), 0, "there is nothing to look at");
}

#[tokio::test]
async fn inputs_of_a_later_request_that_names_no_job_are_unknown_by_index_and_the_others_are_not_sent() {
    let t = TestGateway::start().await;
    t.sandbox.fault(post("/users/create_many"), Respond::with(200).json(nameless()[0].clone()).after(1));
    let reply = t.users().bulk_create_users(users(250)).await.expect("the first job was accepted").into_inner();
    let places: Vec<(i32, i32)> = reply.jobs.iter().map(|job| (job.first_index, job.item_count)).collect();
    assert_eq!(places, [(0, 100)]);
    assert_eq!(t.sandbox.hits("/users/create_many"), 2);
    for (index, outcome) in reply.outcomes.iter().enumerate() {
        let (wanted, why) = match index {
            0..100 => (BulkResult::Created, None),
            100..200 => (BulkResult::Unknown, Some("OUTCOME_UNKNOWN")),
            _ => (BulkResult::NotSent, Some("UPSTREAM_MALFORMED")),
        };
        assert_eq!((usize::try_from(outcome.index), outcome.result()), (Ok(index), wanted), "{outcome:?}");
        assert_eq!((outcome.job_id.is_some(), outcome.error.as_deref()), (why.is_none(), why), "{outcome:?}");
    }
}

#[tokio::test]
async fn the_job_of_another_is_not_taken_for_ours() {
    let t = TestGateway::start().await;
    t.sandbox.fault(delete("/users/destroy_many"), Respond::with(200).json(queued("V3-1")));
    let foreign = json!({"job_statuses": [deleted("V3-2", &[11, 12]), deleted("", &[11, 12])]});
    t.sandbox.fault(get("/job_statuses/show_many"), Respond::with(200).json(foreign));
    let both = json!({"job_statuses": [deleted("V3-2", &[11, 12]), deleted("V3-1", &[12])]});
    t.sandbox.fault(get("/job_statuses/show_many"), Respond::with(200).json(both));
    let ours = json!({"job_statuses": [deleted("V3-1", &[12])]});
    t.sandbox.fault(get("/job_statuses/show_many"), Respond::with(200).json(ours));
    let request = BulkDeleteUsersRequest { ids: vec![11, 12], wait: true, ..Default::default() };
    let reply = t.users().bulk_delete_users(request).await.expect("a job").into_inner();
    assert_eq!(ends(&reply.outcomes), [BulkResult::Unknown, BulkResult::Deleted]);
    assert_eq!(reply.jobs[0].job.as_ref().expect("a job").id, "V3-1");
}

#[tokio::test]
async fn a_job_that_was_named_twice_says_nothing_of_either_request() {
    let t = TestGateway::start().await;
    t.sandbox.fault(delete("/users/destroy_many"), Respond::with(200).json(queued("V3-1")).forever());
    let ended = json!({"job_statuses": [{"id": "V3-1", "status": "completed", "results": {"success": true}}]});
    t.sandbox.fault(get("/job_statuses/show_many"), Respond::with(200).json(ended).forever());
    let request = BulkDeleteUsersRequest { ids: (1..=150).collect(), wait: true, ..Default::default() };
    let reply = t.users().bulk_delete_users(request).await.expect("a job").into_inner();
    let ends = ends(&reply.outcomes);
    assert_eq!((ends.len(), reply.jobs.len()), (150, 1));
    assert!(ends.iter().all(|end| *end == BulkResult::Unknown), "nobody knows whose job it is: {ends:?}");
}

#[tokio::test]
async fn a_job_of_another_call_says_nothing_of_this_one() {
    let t = TestGateway::start().await;
    t.sandbox.fault(delete("/users/destroy_many"), Respond::with(200).json(queued("V3-1")).forever());
    let ended = json!({"job_statuses": [{"id": "V3-1", "status": "completed", "results": {"success": true}}]});
    t.sandbox.fault(get("/job_statuses/show_many"), Respond::with(200).json(ended).forever());
    let request = |ids| BulkDeleteUsersRequest { ids, wait: true, ..Default::default() };
    let first = t.users().bulk_delete_users(request(vec![1, 2])).await.expect("a job").into_inner();
    assert_eq!(ends(&first.outcomes), [BulkResult::Deleted; 2]);
    let second = t.users().bulk_delete_users(request(vec![3, 4])).await.expect("told by outcomes").into_inner();
    assert_eq!(ends(&second.outcomes), [BulkResult::Unknown; 2]);
}

#[tokio::test(start_paused = true)]
async fn a_job_that_is_accepted_after_its_caller_has_left_is_followed_to_its_end() {
    let ended = Arc::<AtomicBool>::default();
    let has_ended = Arc::clone(&ended);
    let t = Seam::new(&Config::default(), move |call| {
        let status = if has_ended.load(Ordering::Relaxed) { "completed" } else { "working" };
        async move {
            if call.rest.path.contains("show_many") {
                return said(&call, &json!({"job_statuses": [{"id": "V3-1", "status": status}]}).to_string());
            }
            tokio::time::sleep(Duration::from_secs(3)).await;
            said(&call, &queued("V3-1").to_string())
        }
    });
    let request = BulkDeleteUsersRequest { ids: vec![11], wait: true, ..Default::default() };
    let outcome = t.rpc.bulk_delete_users(within(Duration::from_secs(1), request)).await.map(drop);
    assert_eq!(refused(outcome).reason, "OUTCOME_UNKNOWN");
    tokio::time::sleep(Duration::from_mins(1)).await;
    assert_eq!((t.jobs().active, t.jobs().started), (1, 1), "its slot is taken while it runs");
    ended.store(true, Ordering::Relaxed);
    tokio::time::sleep(Duration::from_mins(1)).await;
    assert_eq!((t.jobs().active, t.jobs().completed), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn a_job_that_ends_shortly_before_the_deadline_is_not_pending() {
    let began = tokio::time::Instant::now();
    let t = Seam::new(&Config::default(), move |call| async move {
        // Between the last request by its age and the deadline.
        let has_ended = began.elapsed() >= Duration::from_secs(19);
        let job = if has_ended { deleted("V3-1", &[11]) } else { json!({"id": "V3-1", "status": "working"}) };
        let body = if call.rest.path.contains("show_many") { json!({ "job_statuses": [job] }) } else { queued("V3-1") };
        said(&call, &body.to_string())
    });
    let request = BulkDeleteUsersRequest { ids: vec![11], wait: true, ..Default::default() };
    let reply = t.rpc.bulk_delete_users(within(Duration::from_secs(20), request)).await.expect("a job").into_inner();
    let reply = BulkDeleteUsersResponse::decode(reply.bytes().clone()).expect("its own message");
    assert_eq!(ends(&reply.outcomes), [BulkResult::Deleted]);
}

#[tokio::test(start_paused = true)]
async fn the_end_of_anothers_job_is_not_counted_as_one_of_ours() {
    let t = Seam::new(&Config::default(), |call| async move {
        let ours = json!({"id": "V3-1", "status": "working"});
        let body = if call.rest.path.contains("show_many") {
            json!({"job_statuses": [deleted("V3-2", &[11]), ours]})
        } else {
            queued("V3-1")
        };
        said(&call, &body.to_string())
    });
    let request = BulkDeleteUsersRequest { ids: vec![11], ..Default::default() };
    t.rpc.bulk_delete_users(within(Duration::from_secs(5), request)).await.expect("a job");
    tokio::time::sleep(Duration::from_mins(1)).await;
    let counts = t.jobs();
    assert!(t.hits() > 2, "it is followed");
    assert_eq!((counts.active, counts.started, counts.completed, counts.failed), (1, 1, 0, 0));
}

#[tokio::test]
async fn what_zendesk_ignored_of_any_of_the_requests_reaches_the_caller() {
    let t = TestGateway::start().await;
    let warn = |key: &str| format!("Removed restricted keys [\"{key}\"] from parameters according to whitelist");
    let accepted = |id: String, key: &str| {
        let job = json!({"job_status": deleted(&id, &[])});
        Respond::with(200).json(job).header("x-zendesk-api-warn", &warn(key))
    };
    // The first and the third say the same, the second something else.
    for (number, key) in [(1, "users"), (2, "ids"), (3, "users")] {
        let id = |call: &str| format!("V3-{call}-{number}");
        t.sandbox.fault(delete("/users/destroy_many"), accepted(id("a"), key));
        t.sandbox.fault(put("/users/update_many"), accepted(id("b"), key));
        t.sandbox.fault(delete("/group_memberships/destroy_many"), accepted(id("c"), key));
    }
    let (ids, wanted) = ((1..=250).collect::<Vec<i64>>(), format!("{}; {}", warn("users"), warn("ids")));

    let request = BulkDeleteUsersRequest { ids: ids.clone(), wait: true, ..Default::default() };
    let reply = t.users().bulk_delete_users(request).await.expect("jobs");
    assert_eq!(reply.metadata().get("x-zendesk-api-warn").expect("passed on"), &wanted);
    let user = Some(UserInput { notes: Some("n".to_owned()), ..UserInput::default() });
    let request = BulkUpdateUsersRequest { ids: ids.clone(), user, ..Default::default() };
    let reply = t.users().bulk_update_users(request).await.expect("jobs");
    assert_eq!(reply.metadata().get("x-zendesk-api-warn").expect("without a wait, too"), &wanted);
    let request = BulkDeleteMembershipsRequest { ids, wait: true };
    let reply = t.memberships().bulk_delete_memberships(request).await.expect("jobs");
    assert_eq!(reply.metadata().get("x-zendesk-api-warn").expect("passed on"), &wanted);

    let reply = t.users().bulk_create_users(BulkCreateUsersRequest { wait: false, ..users(1) }).await.expect("a job");
    assert_eq!(reply.metadata().get("x-zendesk-api-warn"), None);
}

#[tokio::test]
#[ignore = "slow"]
async fn inputs_that_were_not_sent_say_what_stopped_them() {
    let mut config = settings();
    config.server.unary_deadline = Duration::from_secs(3);
    let t = TestGateway::configured(account(), config).await;
    t.sandbox.fault(post("/users/create_many"), Throttle::once().retry_after(60).after(1));
    let reply = t.users().bulk_create_users(users(250)).await.expect("the first job was accepted").into_inner();
    for outcome in &reply.outcomes[100..] {
        let told = (outcome.result(), outcome.error.as_deref());
        assert_eq!(told, (BulkResult::NotSent, Some("RATE_LIMITED")), "{outcome:?}");
    }
}
