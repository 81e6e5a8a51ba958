//! The cache as callers see it: what is asked once, what is marked, what is never served.

use std::time::Duration;

use futures_util::future::join_all;
use tonic::{Code, Request};
use zendesk_gateway::proto::{
    BatchGetJobsRequest, BatchGetUsersRequest, DeleteUserRequest, GetGroupRequest, GetGroupWithAgentsRequest,
    GetUserRequest, ListUsersRequest, SearchUsersRequest, UserSearchFilter,
};
use zendesk_gateway::sandbox::faults::{Respond, any, get};
use zendesk_gateway::sandbox::{self, Latency};

use crate::support::{TestGateway, account, refused, settings};

fn with_control<T>(message: T, control: &'static str) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("cache-control", control.parse().expect("ascii"));
    request
}

fn said<'a, T>(response: &'a tonic::Response<T>, name: &str) -> &'a str {
    response.metadata().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

#[tokio::test]
async fn a_second_read_costs_nothing_and_says_so() {
    let t = TestGateway::start().await;
    let id = t.sandbox.store().user_ids()[3];
    let first = t.users().get_user(GetUserRequest { id, ..Default::default() }).await.expect("it");
    assert_eq!((said(&first, "x-cache"), said(&first, "x-upstream-calls")), ("miss", "1"));
    let second = t.users().get_user(GetUserRequest { id, ..Default::default() }).await.expect("it");
    assert_eq!((said(&second, "x-cache"), said(&second, "x-upstream-calls"), said(&second, "age")), ("hit", "0", "0"));
    assert_eq!(first.into_inner(), second.into_inner());
    assert_eq!(t.sandbox.total_hits(), 1);
}

#[tokio::test]
async fn callers_steer_with_cache_control() {
    let t = TestGateway::start().await;
    let id = t.sandbox.store().user_ids()[3];
    let request = || GetUserRequest { id, ..Default::default() };
    let missing = refused(t.users().get_user(with_control(request(), "only-if-cached")).await);
    assert_eq!((missing.code, missing.reason.as_str()), (Code::Unavailable, "CACHE_MISS"));
    assert_eq!(t.sandbox.total_hits(), 0);
    t.users().get_user(request()).await.expect("it");
    let fresh = t.users().get_user(with_control(request(), "no-cache")).await.expect("it");
    assert_ne!(said(&fresh, "x-cache"), "hit");
    assert_eq!(t.sandbox.total_hits(), 2);
    let cached = t.users().get_user(with_control(request(), "only-if-cached")).await.expect("it is cached now");
    assert_eq!(said(&cached, "x-cache"), "hit");
    t.users().get_user(with_control(request(), "max-age=60")).await.expect("young enough");
    assert_eq!(t.sandbox.total_hits(), 2);
    let bad = refused(t.users().get_user(with_control(request(), "max-age=soon")).await);
    assert_eq!((bad.code, bad.fields.as_slice()), (Code::InvalidArgument, &["cache-control".to_owned()][..]));
}

#[tokio::test]
async fn concurrent_reads_of_users_leave_together() {
    let latency = Latency::Fixed(Duration::from_millis(100));
    let t = TestGateway::with(sandbox::Config { latency, ..account() }).await;
    let ids: Vec<i64> = t.sandbox.store().user_ids().into_iter().take(100).collect();
    let calls = ids.iter().map(|id| {
        let mut users = t.users();
        async move { users.get_user(GetUserRequest { id: *id, ..Default::default() }).await }
    });
    for (reply, id) in join_all(calls).await.into_iter().zip(&ids) {
        assert_eq!(reply.expect("it").into_inner().user.expect("set").id, *id);
    }
    assert!(t.sandbox.total_hits() <= 2, "{} upstream calls for 100 users", t.sandbox.total_hits());
    assert_eq!(t.sandbox.hits("/users/show_many"), 1);
}

#[tokio::test]
async fn a_missing_user_in_a_crowd_is_still_told_apart() {
    let latency = Latency::Fixed(Duration::from_millis(50));
    let t = TestGateway::with(sandbox::Config { latency, ..account() }).await;
    let mut ids: Vec<i64> = t.sandbox.store().user_ids().into_iter().take(20).collect();
    ids.push(42);
    let calls = ids.iter().map(|id| {
        let mut users = t.users();
        async move { users.get_user(GetUserRequest { id: *id, ..Default::default() }).await }
    });
    let replies = join_all(calls).await;
    assert!(replies[..20].iter().all(Result::is_ok));
    assert_eq!(replies[20].as_ref().expect_err("nobody").code(), Code::NotFound);
    t.users().get_user(GetUserRequest { id: 42, ..Default::default() }).await.expect_err("nobody");
    assert_eq!(t.sandbox.hits("/users/42"), 1, "that there is nobody is remembered");
}

#[tokio::test]
async fn a_page_fills_the_reads_of_its_rows_and_a_search_does_not() {
    let t = TestGateway::start().await;
    let page = t.users().list_users(ListUsersRequest { page_size: 50, ..Default::default() }).await.expect("a page");
    let listed = page.into_inner().users;
    let read = t.users().get_user(GetUserRequest { id: listed[7].id, ..Default::default() }).await.expect("it");
    assert_eq!(said(&read, "x-cache"), "hit");
    assert_eq!(read.into_inner().user.as_ref(), Some(&listed[7]));
    let ids: Vec<i64> = listed.iter().map(|user| user.id).collect();
    let batch = t.users().batch_get_users(BatchGetUsersRequest { ids, ..Default::default() }).await.expect("users");
    assert_eq!(said(&batch, "x-upstream-calls"), "0");
    assert_eq!(batch.into_inner().users, listed);
    assert_eq!(t.sandbox.total_hits(), 1);

    let filter = Some(UserSearchFilter { query: Some("role:end-user".to_owned()), ..Default::default() });
    let request = SearchUsersRequest { filter, page_size: 100, ..Default::default() };
    let found = t.users().search_users(request).await.expect("a page").into_inner().users;
    let other = found.last().expect("some").id;
    let read = t.users().get_user(GetUserRequest { id: other, ..Default::default() }).await.expect("it");
    assert_eq!(said(&read, "x-cache"), "miss", "a search index lags behind");
}

#[tokio::test]
async fn a_batch_asks_only_for_what_is_not_cached() {
    let t = TestGateway::start().await;
    let ids: Vec<i64> = t.sandbox.store().user_ids().into_iter().take(30).collect();
    for id in &ids[..10] {
        t.users().get_user(GetUserRequest { id: *id, ..Default::default() }).await.expect("it");
    }
    t.sandbox.reset_stats();
    let request = BatchGetUsersRequest { ids: ids.clone(), ..Default::default() };
    let batch = t.users().batch_get_users(request).await.expect("users").into_inner();
    assert_eq!(batch.users.iter().map(|user| user.id).collect::<Vec<_>>(), ids);
    let asked = t.sandbox.requests()[0].query.clone();
    assert!(ids[..10].iter().all(|id| !asked.contains(&id.to_string())), "{asked}");
    t.users().get_user(GetUserRequest { id: ids[20], ..Default::default() }).await.expect("it");
    assert_eq!(t.sandbox.total_hits(), 1, "what a batch brought answers single reads");
}

#[tokio::test]
async fn a_deleted_user_leaves_the_batch_although_its_read_is_cached() {
    let t = TestGateway::start().await;
    let id = t.sandbox.store().user_ids()[200];
    t.users().get_user(GetUserRequest { id, ..Default::default() }).await.expect("it");
    t.users().delete_user(DeleteUserRequest { id }).await.expect("deleted");
    let shown = t
        .users()
        .get_user(GetUserRequest { id, ..Default::default() })
        .await
        .expect("still shown")
        .into_inner()
        .user
        .expect("set");
    assert_eq!(shown.active, Some(false));
    let request = BatchGetUsersRequest { ids: vec![id], ..Default::default() };
    let batch = t.users().batch_get_users(request).await.expect("a reply").into_inner();
    assert_eq!((batch.users.len(), batch.missing_ids), (0, vec![id]));
}

#[tokio::test]
async fn while_zendesk_fails_the_last_answer_is_served_and_marked_stale() {
    let mut config = settings();
    config.cache.record.fresh = Some(Duration::ZERO);
    config.cache.record.stale_while_revalidate = Some(Duration::ZERO);
    let t = TestGateway::configured(account(), config).await;
    let id = t.held_memberships()[0].group_id;
    t.groups().get_group(GetGroupRequest { id, ..Default::default() }).await.expect("it");
    t.sandbox.fault(any("*"), Respond::with(503).forever());
    let stale = t.groups().get_group(GetGroupRequest { id, ..Default::default() }).await.expect("the last answer");
    assert_eq!(said(&stale, "x-cache"), "stale");
    let other = refused(t.groups().get_group(GetGroupRequest { id: id + 1, ..Default::default() }).await);
    assert_eq!(other.code, Code::Unavailable, "what was never read cannot be served");
}

#[tokio::test]
async fn errors_but_not_found_are_never_cached() {
    let t = TestGateway::start().await;
    let id = t.held_memberships()[0].group_id;
    for status in [401, 403, 409, 422] {
        t.sandbox.fault(get(&format!("/groups/{id}")), Respond::with(status));
        t.groups().get_group(GetGroupRequest { id, ..Default::default() }).await.expect_err("the fault");
    }
    t.groups().get_group(GetGroupRequest { id, ..Default::default() }).await.expect("the faults are over");
}

#[tokio::test]
async fn what_is_never_cached_is_not_asked_for_where_only_the_cache_may_answer() {
    let t = TestGateway::start().await;
    let group = t.sandbox.store().default_group_id();
    let many = BatchGetUsersRequest { external_ids: vec!["x".to_owned()], ..Default::default() };
    let jobs = BatchGetJobsRequest { ids: vec!["V3-x".to_owned()] };
    let agents = GetGroupWithAgentsRequest { id: group };
    let refusals = [
        refused(t.users().batch_get_users(with_control(many, "only-if-cached")).await),
        refused(t.jobs().batch_get_jobs(with_control(jobs, "only-if-cached")).await),
        refused(t.groups().get_group_with_agents(with_control(agents, "only-if-cached")).await),
    ];
    assert_eq!(refusals.map(|refused| refused.reason), ["CACHE_MISS"; 3]);
    assert_eq!(t.sandbox.total_hits(), 0);
}
