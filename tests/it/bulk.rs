//! Bulk calls: any number of items, at most 30 jobs at a time, one outcome per input.

use std::time::Duration;

use serde_json::json;
use tonic::{Code, Request};
use zendesk_gateway::proto::{
    BulkCreateMembershipsRequest, BulkCreateOrUpdateUsersRequest, BulkCreateUsersRequest, BulkDeleteMembershipsRequest,
    BulkDeleteUsersRequest, BulkOutcome, BulkResult, BulkUpdateUsersRequest, GetUserRequest, GroupMembershipInput,
    UserInput, UserUpdate, user_update::Key,
};
use zendesk_gateway::sandbox;
use zendesk_gateway::sandbox::faults::{Respond, post};

use crate::support::{TestGateway, account, refused, settings};

mod broken;
mod import;
mod jobs;
mod kills;
mod outcomes;
mod slow;
mod streams;

fn pace(per_item: Duration) -> sandbox::Jobs {
    sandbox::Jobs { per_item, ..sandbox::Jobs::default() }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow"]
async fn five_thousand_memberships_are_fifty_jobs_and_five_thousand_outcomes() {
    let jobs = pace(Duration::from_millis(5));
    let t = TestGateway::with(sandbox::Config { users: 20_000, groups: 60, jobs, ..account() }).await;
    let store = t.sandbox.store();
    let groups: Vec<i64> = store
        .groups()
        .iter()
        .filter(|group| group["deleted"] == false)
        .filter_map(|group| group["id"].as_i64())
        .collect();
    let held: std::collections::HashSet<(i64, i64)> =
        t.held_memberships().iter().map(|row| (row.user_id, row.group_id)).collect();
    let agents = store.staff_ids();
    let free = agents
        .iter()
        .flat_map(|user| groups.iter().map(move |group| (*user, *group)))
        .filter(|pair| !held.contains(pair));
    let mut pairs: Vec<(i64, i64)> = free.take(5_000).collect();
    assert_eq!(pairs.len(), 5_000, "the account is large enough");
    // An end user cannot be a member, and a group that nobody has takes none.
    let end_user = *store.user_ids().iter().find(|id| !agents.contains(id)).expect("most are");
    let bad: Vec<usize> = (0..5_000).step_by(617).collect();
    for (n, index) in bad.iter().enumerate() {
        pairs[*index] = if n % 2 == 0 { (end_user, groups[n]) } else { (agents[n], 5) };
    }
    let inputs = pairs.iter().map(|(user_id, group_id)| GroupMembershipInput {
        user_id: *user_id,
        group_id: *group_id,
        default: None,
    });
    let mut request = Request::new(BulkCreateMembershipsRequest { group_memberships: inputs.collect(), wait: true });
    request.set_timeout(Duration::from_secs(29));
    let reply = t.memberships().bulk_create_memberships(request).await.expect("done").into_inner();

    assert_eq!((reply.jobs.len(), reply.outcomes.len()), (50, 5_000));
    assert_eq!(t.sandbox.hits("/group_memberships/create_many"), 50, "no job was refused for being one too many");
    let now: std::collections::HashSet<(i64, i64)> =
        t.held_memberships().iter().map(|row| (row.user_id, row.group_id)).collect();
    for (index, (outcome, pair)) in reply.outcomes.iter().zip(&pairs).enumerate() {
        assert_eq!(usize::try_from(outcome.index).ok(), Some(index));
        let wanted = if bad.contains(&index) { BulkResult::Failed } else { BulkResult::Created };
        assert_eq!(outcome.result(), wanted, "{index}: {outcome:?}");
        assert_eq!(now.contains(pair), wanted == BulkResult::Created, "{index}");
        assert_eq!(outcome.error.is_some(), bad.contains(&index));
    }
}

#[tokio::test]
async fn created_users_come_back_by_index_where_that_can_be_known() {
    let t = TestGateway::start().await;
    let taken = t
        .sandbox
        .store()
        .user_ids()
        .iter()
        .find_map(|id| t.sandbox.store().user(*id)?["email"].as_str().map(str::to_owned));
    let mut users: Vec<UserInput> = (0..150)
        .map(|n| UserInput {
            name: Some(format!("B {n}")),
            email: Some(format!("b{n}@bulk.example")),
            ..Default::default()
        })
        .collect();
    users[42].email = taken;
    users[120].email = Some("not an address".to_owned());
    let reply = t
        .users()
        .bulk_create_users(BulkCreateUsersRequest { users, wait: true, ..Default::default() })
        .await
        .expect("done")
        .into_inner();
    assert_eq!((reply.jobs.len(), reply.outcomes.len()), (2, 150));
    for (index, outcome) in reply.outcomes.iter().enumerate() {
        let wanted = if index == 42 || index == 120 { BulkResult::Failed } else { BulkResult::Created };
        assert_eq!(outcome.result(), wanted, "{index}: {outcome:?}");
        assert!(outcome.email.is_some());
    }
}

#[tokio::test]
#[ignore = "slow"]
async fn upserts_updates_and_deletions_are_told_apart() {
    let t = TestGateway::start().await;
    let ids: Vec<i64> = t.sandbox.store().user_ids().into_iter().rev().take(120).collect();
    let known = UserInput { external_id: Some("up-1".to_owned()), name: Some("U".to_owned()), ..Default::default() };
    let new =
        UserInput { email: Some("up-2@bulk.example".to_owned()), name: Some("V".to_owned()), ..Default::default() };
    let first = BulkCreateOrUpdateUsersRequest { users: vec![known.clone()], wait: true, ..Default::default() };
    let first = t.users().bulk_create_or_update_users(first).await.expect("done").into_inner();
    assert_eq!(first.outcomes[0].result(), BulkResult::Created);
    let both = BulkCreateOrUpdateUsersRequest { users: vec![known, new], wait: true, ..Default::default() };
    let both = t.users().bulk_create_or_update_users(both).await.expect("done").into_inner();
    let results: Vec<BulkResult> = both.outcomes.iter().map(BulkOutcome::result).collect();
    assert_eq!(results, [BulkResult::Updated, BulkResult::Created]);

    let mut some = ids.clone();
    some[7] = 42;
    let change = UserInput { notes: Some("same for all".to_owned()), ..Default::default() };
    let request = BulkUpdateUsersRequest { ids: some.clone(), user: Some(change), wait: true, ..Default::default() };
    let reply = t.users().bulk_update_users(request).await.expect("done").into_inner();
    for (index, outcome) in reply.outcomes.iter().enumerate() {
        let wanted = if index == 7 { BulkResult::Failed } else { BulkResult::Updated };
        assert_eq!((outcome.result(), outcome.id), (wanted, Some(some[index])), "{outcome:?}");
    }
    let read = t
        .users()
        .get_user(GetUserRequest { id: ids[0], ..Default::default() })
        .await
        .expect("it")
        .into_inner()
        .user
        .expect("set");
    assert_eq!(read.notes.as_deref(), Some("same for all"), "a read after the jobs sees what they did");

    let each = |(n, id): (usize, &i64)| UserUpdate {
        key: Some(Key::Id(*id)),
        user: Some(UserInput { notes: Some(format!("note {n}")), ..Default::default() }),
        update_mask: None,
    };
    let users = ids.iter().take(3).enumerate().map(each).collect();
    let reply = t.users().bulk_update_users(BulkUpdateUsersRequest { users, wait: true, ..Default::default() }).await;
    assert!(reply.expect("done").into_inner().outcomes.iter().all(|outcome| outcome.result() == BulkResult::Updated));

    let request = BulkDeleteUsersRequest { ids: ids[..5].to_vec(), wait: true, ..Default::default() };
    let reply = t.users().bulk_delete_users(request).await.expect("done").into_inner();
    assert!(reply.outcomes.iter().all(|outcome| outcome.result() == BulkResult::Deleted), "{:?}", reply.outcomes);
}

#[tokio::test]
async fn without_wait_the_jobs_come_back_at_once() {
    let jobs = pace(Duration::from_secs(5));
    let t = TestGateway::with(sandbox::Config { jobs, ..account() }).await;
    let ids: Vec<i64> = t.held_memberships().iter().map(|row| row.id).take(15).collect();
    let reply = t.memberships().bulk_delete_memberships(BulkDeleteMembershipsRequest { ids, wait: false }).await;
    let reply = reply.expect("accepted").into_inner();
    assert_eq!((reply.jobs.len(), reply.outcomes.len()), (1, 0));
    assert_eq!((reply.jobs[0].first_index, reply.jobs[0].item_count), (0, 15));
    assert!(!reply.jobs[0].job.as_ref().expect("set").id.is_empty());
}

#[tokio::test]
#[ignore = "slow"]
async fn a_deadline_before_the_end_leaves_outcomes_pending_and_the_rest_unsent() {
    let jobs = sandbox::Jobs { per_item: Duration::from_secs(1), live_limit: 2, ..sandbox::Jobs::default() };
    // The deadline is the server's cap: the clock of a client on a busy machine may end the call before its answer arrives.
    let mut config = settings();
    config.server.unary_deadline = Duration::from_secs(4);
    let t = TestGateway::configured(sandbox::Config { jobs, ..account() }, config).await;
    let users = (0..350).map(|n| UserInput { name: Some(format!("P {n}")), ..Default::default() }).collect();
    let request = BulkCreateUsersRequest { users, wait: true, ..Default::default() };
    let reply = t.users().bulk_create_users(request).await.expect("two jobs were accepted").into_inner();
    assert_eq!((reply.jobs.len(), reply.outcomes.len()), (2, 350));
    assert!(reply.outcomes[..200].iter().all(|outcome| outcome.result() == BulkResult::Pending));
    assert!(reply.outcomes[200..].iter().all(|outcome| outcome.result() == BulkResult::NotSent));
}

#[tokio::test]
async fn the_first_refusal_is_the_calls_and_a_later_one_its_inputs_unless_it_is_about_more() {
    let t = TestGateway::start().await;
    let users = |count: usize| BulkCreateUsersRequest {
        users: (0..count).map(|n| UserInput { name: Some(format!("R {n}")), ..Default::default() }).collect(),
        wait: true,
        ..Default::default()
    };
    let body = json!({"error": {"title": "Forbidden", "message": "bulk import is not enabled"}});
    t.sandbox.fault(post("/users/create_many"), Respond::with(403).json(body.clone()));
    let refused = refused(t.users().bulk_create_users(users(3)).await);
    assert_eq!((refused.code, refused.reason.as_str()), (Code::PermissionDenied, "PERMISSION_DENIED"));
    let wrong = json!({"error": "RecordInvalid", "description": "Record validation errors"});
    t.sandbox.fault(post("/users/create_many"), Respond::with(422).json(wrong).after(1));
    let reply = t.users().bulk_create_users(users(250)).await.expect("the first job was accepted").into_inner();
    let results: Vec<BulkResult> = reply.outcomes.iter().map(BulkOutcome::result).collect();
    assert!(results[..100].iter().chain(&results[200..]).all(|result| *result == BulkResult::Created));
    assert!(results[100..200].iter().all(|result| *result == BulkResult::Failed));
    // Whoever may not do this may not do the rest.
    t.sandbox.fault(post("/users/create_many"), Respond::with(403).json(body).after(1));
    let reply = t.users().bulk_create_users(users(250)).await.expect("the first job was accepted").into_inner();
    let results: Vec<BulkResult> = reply.outcomes.iter().map(BulkOutcome::result).collect();
    assert!(results[..100].iter().all(|result| *result == BulkResult::Created));
    assert!(results[100..200].iter().all(|result| *result == BulkResult::Failed));
    assert!(results[200..].iter().all(|result| *result == BulkResult::NotSent));
    assert_eq!(reply.outcomes[249].error.as_deref(), Some("PERMISSION_DENIED"));
}
