//! Exports of searches: everybody comes, however many there are, for a limit of their own.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::StreamExt as _;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};
use tonic::Code;
use zendesk_gateway::config::Config;
use zendesk_gateway::proto::{
    ExportUsersRequest, ExportUsersResponse, StreamExportUsersRequest, StreamExportUsersResponse,
};
use zendesk_gateway::sandbox::{self, Sandbox};

use crate::support::seam::{Seam, read, said, stand_in, within};
use crate::support::{Dynamic, TestGateway, account, api_token, refused};

const MINUTE: Duration = Duration::from_mins(1);

/// An account whose own limit on exports is in nobody's way.
fn unlimited(users: u32) -> sandbox::Config {
    let mut config = sandbox::Config { users, ..account() };
    let exports = config.buckets.iter_mut().find(|bucket| bucket.path == "/search/export");
    exports.expect("it has one").total = 100_000;
    config
}

#[tokio::test]
#[ignore = "slow"]
async fn an_export_goes_past_ten_thousand_users_the_newest_first() {
    let t = TestGateway::with(unlimited(10_300)).await;
    let client = Dynamic::new(t.channel.clone());
    let request = json!({"query": "created>1990-01-01"}).to_string();
    let replies = client.call("StreamExportUsers", &request).await.expect("a stream");
    let rows = replies.iter().flat_map(|reply| reply["users"].as_array().cloned().unwrap_or_default());
    let users: Vec<Value> = rows.collect();
    let times: Vec<&str> = users.iter().map(|user| user["created_at"].as_str().expect("a time")).collect();
    assert!(times.iter().rev().is_sorted(), "the newest first");
    let ids: HashSet<i64> = users.iter().filter_map(|user| user["id"].as_i64()).collect();
    assert_eq!((ids.len(), users.len()), (t.sandbox.store().user_ids().len(), ids.len()), "everybody, once");
    assert_eq!(usize::try_from(t.sandbox.hits("/search/export")).ok(), Some(users.len().div_ceil(100)));
}

#[tokio::test]
async fn users_who_come_and_go_move_no_others_and_each_token_goes_on() {
    let t = TestGateway::with(unlimited(250)).await;
    let client = Dynamic::new(t.channel.clone());
    let held: HashSet<i64> = t.sandbox.store().user_ids().into_iter().collect();
    let (mut seen, mut token, mut pages) = (Vec::new(), Value::Null, 0);
    while token != "" {
        let request = json!({"query": "created>1990-01-01", "page_size": 30, "page_token": token}).to_string();
        let reply = client.call("ExportUsers", &request).await.expect("a page").remove(0);
        seen.extend(reply["users"].as_array().expect("rows").iter().filter_map(|user| user["id"].as_i64()));
        token = reply.get("next_page_token").cloned().unwrap_or_else(|| json!(""));
        pages += 1;
        let user = json!({"id": 1_000_000 + pages, "name": "New", "role": "end-user", "email": null});
        t.sandbox.store().insert_raw_user(&user.to_string());
    }
    seen.retain(|id| held.contains(id));
    let distinct: HashSet<i64> = seen.iter().copied().collect();
    assert_eq!((distinct == held, seen.len(), pages > 8), (true, held.len(), true));
}

#[tokio::test]
async fn a_query_that_names_a_type_is_refused() {
    let t = TestGateway::start().await;
    let refused = refused(Dynamic::new(t.channel.clone()).call("ExportUsers", r#"{"query": "type:user a"}"#).await);
    assert_eq!((refused.code, refused.reason.as_str()), (Code::InvalidArgument, "RECORD_INVALID"));
}

#[tokio::test(start_paused = true)]
async fn a_token_is_good_for_an_hour() {
    let sandbox = Sandbox::start(account()).await.expect("a free port");
    let seam = Seam::new(&Config::default(), stand_in(&sandbox));
    let rpc = seam.with(api_token(&sandbox));
    let request = ExportUsersRequest { query: "created>1990-01-01".to_owned(), page_size: 5, ..Default::default() };
    let first = rpc.export_users(within(MINUTE, request.clone())).await.expect("a page").into_inner();
    let first: ExportUsersResponse = read(&first);
    let request = ExportUsersRequest { page_token: first.next_page_token, ..request };
    sleep(MINUTE * 59).await;
    rpc.export_users(within(MINUTE, request.clone())).await.expect("the next page");
    sleep(MINUTE * 2).await;
    let refused = refused(rpc.export_users(within(MINUTE, request)).await.map(drop));
    assert_eq!((refused.code, refused.reason.as_str()), (Code::FailedPrecondition, "CURSOR_EXPIRED"));
}

#[tokio::test(start_paused = true)]
async fn a_stream_keeps_to_a_hundred_requests_a_minute_where_no_answer_states_a_limit() {
    let asked = Arc::<Mutex<Vec<Instant>>>::default();
    let noted = Arc::clone(&asked);
    let seam = Seam::new(&Config::default(), move |call| {
        let mut asked = noted.lock().expect("no panic");
        asked.push(Instant::now());
        let (id, more) = (asked.len(), asked.len() < 400);
        let body = json!({"results": [{"id": id}], "meta": {"has_more": more, "after_cursor": format!("c{id}")}});
        let answer = said(&call, &body.to_string());
        async move { answer }
    });
    let request = StreamExportUsersRequest { query: "a".to_owned(), ..Default::default() };
    let mut stream = seam.rpc.stream_export_users(within(MINUTE * 30, request)).await.expect("it begins").into_inner();
    let mut users = 0;
    while let Some(message) = stream.next().await {
        let message: StreamExportUsersResponse = read(&message.expect("no error"));
        users += message.users.len();
    }
    let asked = asked.lock().expect("no panic");
    let minute = |from: &Instant| asked.iter().filter(|at| (*from..*from + MINUTE).contains(at)).count();
    let most = asked.iter().map(minute).max().unwrap_or_default();
    assert_eq!(users, 400);
    assert!((80..=100).contains(&most), "{most} requests in a minute");
}
