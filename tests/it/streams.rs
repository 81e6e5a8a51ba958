//! Streams against what the stand-in holds: cut anywhere and resumed, failing half-way, read slowly or not at all.

use std::time::Duration;

use prost_reflect::DescriptorPool;
use serde_json::json;
use tokio::time::{sleep, timeout};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status, Streaming};
use zendesk_gateway::config::Config;
use zendesk_gateway::contract::{RPCS, Rpc};
use zendesk_gateway::proto::user_service_client::UserServiceClient;
use zendesk_gateway::proto::{
    DESCRIPTORS, GetUserRequest, StreamSearchUsersRequest, StreamUsersRequest, StreamUsersResponse, UserSearchFilter,
};
use zendesk_gateway::sandbox;
use zendesk_gateway::sandbox::faults::{Delay, Hang, Reset, Respond, TruncatedJson, get};

use crate::support::raw::Raw;
use crate::support::{TestGateway, account, refused, settings};

/// Longer than anything takes; only a failure waits for it.
const LONG: Duration = Duration::from_secs(30);

/// Waits until something holds.
async fn until(what: &str, holds: impl Fn() -> bool) {
    let waiting = async {
        while !holds() {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(LONG, waiting).await.unwrap_or_else(|_| panic!("{what}"));
}

/// A client on a connection of its own, which takes no more than HTTP/2's smallest window at a time.
async fn narrow(t: &TestGateway) -> UserServiceClient<Channel> {
    let endpoint = Endpoint::from_shared(format!("http://{}", t.address)).expect("a URI");
    let window = Some(65_535);
    let endpoint = endpoint.initial_stream_window_size(window).initial_connection_window_size(window);
    UserServiceClient::new(endpoint.connect().await.expect("a connection"))
}

async fn users(t: &TestGateway, page_size: i32, page_token: &str) -> Streaming<StreamUsersResponse> {
    let request = StreamUsersRequest { page_size, page_token: page_token.to_owned(), ..Default::default() };
    narrow(t).await.stream_users(request).await.expect("a stream").into_inner()
}

fn ids(message: &StreamUsersResponse) -> Vec<i64> {
    message.users.iter().map(|user| user.id).collect()
}

/// Reads to the end; the ids that came, and how it ended.
async fn rest(mut stream: Streaming<StreamUsersResponse>) -> (Vec<i64>, Result<(), Status>) {
    let mut seen = Vec::new();
    loop {
        match stream.message().await {
            Ok(Some(message)) => seen.extend(ids(&message)),
            Ok(None) => return (seen, Ok(())),
            Err(status) => return (seen, Err(status)),
        }
    }
}

#[tokio::test]
#[ignore = "slow"]
async fn a_stream_that_is_cut_after_any_message_resumes_with_no_row_missing_or_double() {
    let t = TestGateway::start().await;
    let held = t.sandbox.store().user_ids();
    let mut messages = 0;
    for cut in 0.. {
        let mut stream = users(&t, 50, "").await;
        // What counts is what came up to the last token: a caller who resumes there gets what came after it again.
        let (mut seen, mut since_token, mut token) = (Vec::new(), Vec::new(), String::new());
        let mut ended = false;
        for _ in 0..cut {
            let Some(message) = stream.message().await.expect("no error") else {
                ended = true;
                break;
            };
            since_token.extend(ids(&message));
            if !message.next_page_token.is_empty() {
                seen.append(&mut since_token);
                token = message.next_page_token;
            }
        }
        drop(stream);
        if ended {
            break;
        }
        let (resumed, end) = rest(users(&t, 50, &token).await).await;
        end.expect("a good end");
        seen.extend(resumed);
        assert_eq!(seen, held, "cut after message {cut}");
        messages = cut;
    }
    assert!(messages >= 10, "five pages of at least two messages, so that cuts fall within pages and between them");
}

#[tokio::test]
async fn the_first_message_leaves_before_the_second_page_was_answered() {
    let t = TestGateway::start().await;
    t.sandbox.fault(get("/users").with_query("page[after]"), Hang::before_headers().forever());
    let mut stream = users(&t, 50, "").await;
    let first = timeout(LONG, stream.message()).await.expect("it does not wait for the second page");
    assert!(!first.expect("no error").expect("a message").users.is_empty());
    until("the second page is asked for while the first is read", || t.sandbox.hits("/users") == 2).await;
    assert_eq!(t.sandbox.stats().in_flight, 1);
}

#[tokio::test]
async fn leaving_a_stream_cancels_the_page_that_is_fetched_ahead() {
    let t = TestGateway::start().await;
    t.sandbox.fault(get("/users").with_query("page[after]"), Hang::before_headers().forever());
    let mut stream = users(&t, 50, "").await;
    stream.message().await.expect("no error").expect("a message");
    until("the second page is asked for", || t.sandbox.hits("/users") == 2).await;
    drop(stream);
    until("the request for it is cancelled", || t.sandbox.stats().cancelled == 1).await;
    assert_eq!(t.sandbox.hits("/users"), 2);
}

#[tokio::test]
async fn leaving_a_search_cancels_the_pages_that_are_fetched_ahead() {
    let t = TestGateway::start().await;
    t.sandbox.fault(get("/users/search").with_query("&page="), Hang::before_headers().forever());
    let request = StreamSearchUsersRequest { filter: Some(everybody()), page_size: 10, ..Default::default() };
    let mut stream = t.users().stream_search_users(request).await.expect("a stream").into_inner();
    stream.message().await.expect("no error").expect("a message");
    until("six further pages are asked for", || t.sandbox.hits("/users/search") == 7).await;
    drop(stream);
    until("the requests for them are cancelled", || t.sandbox.stats().cancelled == 6).await;
}

#[tokio::test]
#[ignore = "slow"]
async fn a_caller_who_reads_slowly_slows_the_requests_down() {
    let t = TestGateway::with(sandbox::Config { users: 10_000, ..account() }).await;
    let mut stream = users(&t, 100, "").await;
    let mut seen = ids(&stream.message().await.expect("no error").expect("a message"));
    // Nothing is under way any more, and stays so: the caller's window is full.
    let (mut quiet, mut hits) = (0, 0);
    timeout(LONG, async {
        while quiet < 40 {
            sleep(Duration::from_millis(5)).await;
            let now = t.sandbox.hits("/users");
            let still = now == hits && t.sandbox.stats().in_flight == 0;
            (quiet, hits) = (if still { quiet + 1 } else { 0 }, now);
        }
    })
    .await
    .expect("the requests stop");
    assert!(hits <= 5, "{hits} of 100 pages: what fits into the window, and one ahead");
    while t.sandbox.hits("/users") == hits {
        seen.extend(ids(&stream.message().await.expect("no error").expect("a message")));
    }
    let (rest, end) = rest(stream).await;
    end.expect("a good end");
    seen.extend(rest);
    assert_eq!(seen, t.sandbox.store().user_ids());
}

#[tokio::test]
async fn a_page_that_fails_half_way_is_fetched_again_and_no_row_is_lost() {
    let t = TestGateway::start().await;
    t.sandbox.fault(get("/users"), Reset::within_body().after(1).once());
    t.sandbox.fault(get("/users"), Respond::with(503).after(3).once());
    t.sandbox.fault(get("/users"), TruncatedJson::once().after(5));
    let (seen, end) = rest(users(&t, 30, "").await).await;
    end.expect("each failure was made good");
    assert_eq!(seen, t.sandbox.store().user_ids());
    assert_eq!(t.sandbox.hits("/users"), 9 + 3, "nine pages, three of them twice");
}

#[tokio::test]
async fn a_page_that_cannot_be_had_ends_the_stream_after_the_rows_before_it() {
    let t = TestGateway::start().await;
    t.sandbox.fault(get("/users").with_query("page[after]"), Respond::with(403).after(1).forever());
    let (seen, end) = rest(users(&t, 50, "").await).await;
    assert_eq!(refused(end).code, Code::PermissionDenied);
    assert_eq!(seen, t.sandbox.store().user_ids()[..100]);
}

#[tokio::test]
async fn a_cursor_that_expires_half_way_says_start_again() {
    let t = TestGateway::start().await;
    let error = json!({"code": "InvalidPaginationParameter", "title": "page[after] is not valid"});
    let expired = Respond::with(400).json(json!({"errors": [error]})).after(1).forever();
    t.sandbox.fault(get("/users").with_query("page[after]"), expired);
    let (seen, end) = rest(users(&t, 50, "").await).await;
    let end = refused(end);
    assert_eq!((end.code, end.reason.as_str()), (Code::FailedPrecondition, "CURSOR_EXPIRED"));
    assert_eq!(seen, t.sandbox.store().user_ids()[..100]);
}

fn everybody() -> UserSearchFilter {
    UserSearchFilter { query: Some("type:user".to_owned()), ..Default::default() }
}

#[tokio::test]
#[ignore = "slow"]
async fn rows_that_come_while_a_search_is_streamed_make_no_other_row_missing_or_double() {
    let t = TestGateway::start().await;
    let held = t.sandbox.store().user_ids();
    t.sandbox.fault(get("/users/search"), Delay::by(Duration::from_millis(3)).with_probability(0.5).forever());
    let request = StreamSearchUsersRequest { filter: Some(everybody()), page_size: 5, ..Default::default() };
    let mut stream = t.users().stream_search_users(request).await.expect("a stream").into_inner();
    let (mut seen, mut come) = (Vec::new(), 0_i64);
    while let Some(message) = stream.message().await.expect("no error") {
        seen.extend(message.users.iter().map(|user| user.id));
        // It sorts before everybody, so every row that was not read yet moves on by one.
        come += 1;
        let user = json!({"id": 1_000_000 - come, "name": "New", "role": "end-user", "email": null});
        t.sandbox.store().insert_raw_user(&user.to_string());
    }
    let mut old: Vec<i64> = seen.iter().copied().filter(|id| held.contains(id)).collect();
    old.sort_unstable();
    assert_eq!(old, held, "every row once");
    let (rows, distinct) = (seen.len(), seen.iter().collect::<std::collections::HashSet<_>>().len());
    assert_eq!(rows, distinct);
    assert!(come >= 50, "at least one row came per page");
}

#[tokio::test]
async fn a_search_stream_resumes_at_each_of_its_tokens() {
    let t = TestGateway::start().await;
    let held = t.sandbox.store().user_ids();
    let request = |page_token: &str| StreamSearchUsersRequest {
        filter: Some(everybody()),
        page_size: 40,
        page_token: page_token.to_owned(),
        ..Default::default()
    };
    let mut stream = t.users().stream_search_users(request("")).await.expect("a stream").into_inner();
    let mut seen = Vec::new();
    while let Some(message) = stream.message().await.expect("no error") {
        seen.extend(message.users.iter().map(|user| user.id));
        if message.next_page_token.is_empty() {
            continue;
        }
        let resumed = t.users().stream_search_users(request(&message.next_page_token)).await;
        let (mut resumed, mut rest) = (resumed.expect("a stream").into_inner(), Vec::new());
        while let Some(message) = resumed.message().await.expect("no error") {
            rest.extend(message.users.iter().map(|user| user.id));
        }
        assert_eq!([seen.clone(), rest].concat(), held);
    }
    assert_eq!(seen, held);
}

async fn calls_for_a_streamed_user(config: Config) -> u64 {
    let t = TestGateway::configured(account(), config).await;
    let (seen, end) = rest(users(&t, 0, "").await).await;
    end.expect("a good end");
    let before = t.sandbox.total_hits();
    let user =
        t.users().get_user(GetUserRequest { id: seen[7], ..Default::default() }).await.expect("a user").into_inner();
    assert_eq!(user.user.map(|user| user.id), Some(seen[7]));
    t.sandbox.total_hits() - before
}

#[tokio::test]
#[ignore = "slow"]
async fn streamed_rows_are_cached_only_if_configured() {
    assert_eq!(calls_for_a_streamed_user(settings()).await, 1);
    let mut filling = settings();
    filling.upstream.stream.fill_cache = true;
    assert_eq!(calls_for_a_streamed_user(filling).await, 0);
}

#[test]
fn the_rows_of_every_stream_stand_in_field_1() {
    let pool = DescriptorPool::decode(DESCRIPTORS).expect("the contract");
    let mut streams = 0;
    // Bulk streams tell of events.
    let is_list =
        |rpc: &&Rpc| rpc.streaming && rpc.method.starts_with("Stream") && !rpc.method.starts_with("StreamBulk");
    for rpc in RPCS.iter().filter(is_list) {
        let reply = pool.get_message_by_name(&format!("zendesk.gateway.v1.{}Response", rpc.method)).expect("a reply");
        let rows = reply.get_field(1).expect("rows are encoded into field 1");
        assert!(rows.is_list() && rows.kind().as_message().is_some(), "{}", rpc.method);
        streams += 1;
    }
    assert!(streams >= 9, "every list has a stream");
}

#[tokio::test]
async fn a_stream_says_at_its_end_what_it_cost() {
    let t = TestGateway::start().await;
    let (client, _connection) = Raw::connect(&t.address).await;
    let path = "/zendesk.gateway.v1.UserService/StreamUsers";
    let request = StreamUsersRequest { page_size: 100, ..Default::default() };
    let answer = client.call(path, &[], &request).await.expect("answered");
    let sent = t.sandbox.total_hits().to_string();
    assert_eq!((answer.code(), &answer.trailers["x-upstream-calls"]), (Code::Ok, &sent.parse().expect("ASCII")));
    let bad = StreamUsersRequest { page_size: 101, ..Default::default() };
    let answer = client.call(path, &[], &bad).await.expect("answered");
    assert_eq!(answer.code(), Code::InvalidArgument);
}
