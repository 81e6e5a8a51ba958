//! Lists whose pages lie: each ends as it must, and says why.

use serde_json::Value;
use tonic::Code;
use zendesk_gateway::contract::RPCS;
use zendesk_gateway::proto::{ListGroupsRequest, ListUsersRequest, StreamUsersRequest};
use zendesk_gateway::sandbox::faults::{
    CursorLoop, EmptyPages, LastPage, MissingHasMore, OddRows, Respond, TruncatedJson, get,
};

use crate::support::observed::Observed;
use crate::support::{Dynamic, Scripted, TestGateway, answer, basic, refused, serve, settings};

/// Streams all users; the ids that came, and how it ended.
async fn stream(t: &TestGateway) -> (Vec<i64>, Result<(), tonic::Status>) {
    let mut seen = Vec::new();
    let request = StreamUsersRequest { page_size: 50, ..Default::default() };
    let mut stream = t.users().stream_users(request).await.expect("a stream").into_inner();
    loop {
        match stream.message().await {
            Ok(Some(message)) => seen.extend(message.users.iter().map(|user| user.id)),
            Ok(None) => return (seen, Ok(())),
            Err(status) => return (seen, Err(status)),
        }
    }
}

#[tokio::test]
async fn a_cursor_loop_is_an_error_and_not_an_endless_stream() {
    let t = TestGateway::start().await;
    t.sandbox.fault(get("/users"), CursorLoop::forever());
    let (seen, ended) = stream(&t).await;
    let ended = refused(ended);
    assert_eq!((ended.code, ended.reason.as_str()), (Code::Internal, "PAGINATION_LOOP"));
    assert!(seen.len() <= 100, "the second time a cursor comes is the end");
}

#[tokio::test]
async fn rows_without_a_numeric_id_that_come_again_under_ever_new_page_numbers_end_the_stream() {
    for (method, request, rows) in [
        ("StreamJobs", "{}", r#""job_statuses":[{"id":"a","status":"queued"}]"#),
        (
            "StreamComplianceDeletionStatuses",
            r#"{"user_id": 7}"#,
            r#""compliance_deletion_statuses":[{"action":"request_deletion","application":"all","user_id":7}]"#,
        ),
    ] {
        let upstream = Scripted::by(move |head| {
            let number = head.split("page=").nth(1).and_then(|rest| rest.split(['&', ' ']).next()?.parse().ok());
            let next = number.unwrap_or(1) + 1;
            let body = format!(r#"{{{rows},"next_page":"https://x.example/?page={next}&per_page=1"}}"#);
            answer("200 OK\r\ncontent-type: application/json", body.as_bytes())
        })
        .await;
        let (_, channel, _running, _) = serve(&upstream.url, basic("a@b.example/token:t"), settings()).await;
        let ended = refused(Dynamic::new(channel).call(method, request).await);
        assert_eq!((ended.code, ended.reason.as_str()), (Code::Internal, "PAGINATION_LOOP"), "{method}");
        assert!(upstream.asked().len() < 20, "{method}: {}", upstream.asked().len());
    }
}

#[tokio::test]
async fn pages_that_claim_more_and_are_empty_are_an_error_after_three() {
    let t = TestGateway::start().await;
    t.sandbox.fault(get("/users"), EmptyPages::forever());
    let (seen, ended) = stream(&t).await;
    let ended = refused(ended);
    assert_eq!((seen.len(), ended.code, ended.reason.as_str()), (0, Code::Internal, "PAGINATION_LOOP"));
    assert!(t.sandbox.hits("/users") <= 3);
}

#[tokio::test]
async fn a_missing_has_more_loses_no_row() {
    let t = TestGateway::start().await;
    t.sandbox.fault(get("/users"), MissingHasMore::forever());
    let (seen, ended) = stream(&t).await;
    ended.expect("a good end");
    assert_eq!(seen, t.sandbox.store().user_ids());
}

#[tokio::test]
async fn a_last_page_with_links_still_set_is_the_last() {
    let t = TestGateway::start().await;
    t.sandbox.fault(get("/users"), LastPage::once());
    let page = t.users().list_users(ListUsersRequest { page_size: 50, ..Default::default() }).await.expect("a page");
    let page = page.into_inner();
    assert_eq!((page.users.len(), page.next_page_token.as_str()), (50, ""));
}

#[tokio::test]
async fn an_expired_cursor_says_start_again() {
    let t = TestGateway::start().await;
    let first = t.users().list_users(ListUsersRequest { page_size: 2, ..Default::default() }).await.expect("a page");
    let page_token = first.into_inner().next_page_token;
    let error = serde_json::json!({"code": "InvalidPaginationParameter", "title": "page[after] is not valid"});
    t.sandbox.fault(get("/users"), Respond::with(400).json(serde_json::json!({"errors": [error]})).once());
    let second = t.users().list_users(ListUsersRequest { page_token, ..Default::default() }).await;
    let refused = refused(second);
    assert_eq!((refused.code, refused.reason.as_str()), (Code::FailedPrecondition, "CURSOR_EXPIRED"));
}

#[tokio::test]
async fn truncated_json_of_the_right_length_never_passes_for_a_short_list() {
    let t = TestGateway::start().await;
    t.sandbox.fault(get("/users"), TruncatedJson::forever());
    let refused = refused(t.users().list_users(ListUsersRequest::default()).await);
    assert_eq!((refused.code, refused.reason.as_str()), (Code::Internal, "UPSTREAM_MALFORMED"));
}

#[tokio::test]
async fn odd_values_cost_themselves_and_odd_rows_are_counted() {
    let t = Observed::configured(settings()).await;
    t.sandbox.fault(get("*"), OddRows::forever());
    let all = t.sandbox.store().user_ids();
    let (mut seen, mut odd, mut unreadable) = (Vec::new(), 0, 0);
    let request = StreamUsersRequest { page_size: 50, ..Default::default() };
    let mut stream = t.users().stream_users(request).await.expect("a stream").into_inner();
    while let Some(message) = stream.message().await.expect("no break") {
        unreadable += message.unreadable_rows;
        for user in message.users {
            assert!(user.name.is_some() && user.created_at.is_some(), "all else is there: {user:?}");
            if user.unreadable_fields.is_empty() {
                assert!(user.url.is_some(), "{user:?}");
            } else {
                assert_eq!((user.unreadable_fields.as_slice(), &user.url), (&["url".to_owned()][..], &None));
                odd += 1;
            }
            seen.push(user.id);
        }
    }
    let places = (0..all.len()).map(|at| at % 50).filter(|at| at % 10 == 5).map(|at| at / 10 % 3);
    let (values, rows): (Vec<usize>, Vec<usize>) = places.partition(|kind| *kind < 2);
    assert_eq!(
        (odd, usize::try_from(unreadable).expect("few"), seen.len()),
        (values.len(), rows.len(), all.len() - rows.len())
    );
    let page = ListUsersRequest { page_size: 100, ..Default::default() };
    let page = t.users().list_users(page).await.expect("a page").into_inner();
    assert_eq!((page.users.len(), page.unreadable_rows), (97, 3), "of places 25, 55 and 85");
    let counted: f64 = t
        .scrape()
        .await
        .lines()
        .filter(|line| line.starts_with("zendesk_gateway_unreadable_values_total{"))
        .map(|line| line.rsplit(' ').next().expect("a value").parse::<f64>().expect("a number"))
        .sum();
    let wanted = u32::try_from(values.len() + rows.len() + 10).expect("few");
    assert!((counted - f64::from(wanted)).abs() < 0.5, "{counted}");
    t.groups().list_groups(ListGroupsRequest::default()).await.expect("no circuit is open");
}

#[tokio::test]
#[ignore = "slow"]
async fn one_odd_record_in_ten_fails_no_list_and_no_stream_and_is_counted_exactly() {
    let t = Observed::configured(settings()).await;
    let client = Dynamic::new(t.channel.clone());
    let user = t.sandbox.store().user_ids()[0];
    let fields = client.call("ListUserFields", "{}").await.expect("a page").remove(0);
    let mut fields = fields["user_fields"].as_array().into_iter().flatten();
    let choices = fields.find(|field| field["custom_field_options"].is_array()).expect("one has options")["id"].clone();
    let mut lists = 0;
    let (mut told, mut lost) = (0, 0);
    for rpc in RPCS.iter().filter(|rpc| !rpc.client_streaming) {
        let name = rpc.method;
        let request = match name.trim_start_matches("List").trim_start_matches("Stream") {
            "ComplianceDeletionStatuses" | "UserIdentities" => format!(r#"{{"user_id": {user}}}"#),
            "UserFieldOptions" => format!(r#"{{"user_field_id": {choices}}}"#),
            "SearchUsers" => r#"{"filter": {"query": "a"}}"#.to_owned(),
            "ExportUsers" => r#"{"query": "a"}"#.to_owned(),
            "AutocompleteUsers" => r#"{"name": "a"}"#.to_owned(),
            "SearchOrganizations" => r#"{"filter": {"name": "Organization 1"}}"#.to_owned(),
            "AutocompleteOrganizations" => r#"{"name": "o"}"#.to_owned(),
            _ => "{}".to_owned(),
        };
        let is_list = ["List", "Stream", "Search", "Export", "Autocomplete"].iter().any(|word| name.starts_with(word));
        // Tags are no rows, and a page of changes is kept for a while.
        if !is_list || name.ends_with("Tags") || name == "StreamChangedUsers" {
            continue;
        }
        lists += 1;
        let read = async || {
            let replies = client.call_with(name, &request, &[("cache-control", "no-cache")]).await;
            let replies = replies.unwrap_or_else(|status| panic!("{name}: {status}"));
            let lost = replies.iter().filter_map(|reply| reply["unreadable_rows"].as_u64()).sum::<u64>();
            let rows = replies.iter().filter_map(|reply| reply.as_object()?.values().find_map(Value::as_array));
            let rows: Vec<Value> = rows.flatten().cloned().collect();
            (rows, lost)
        };
        let (sound, none) = read().await;
        t.sandbox.fault(get("*"), OddRows::forever());
        let (rows, odd) = read().await;
        t.sandbox.faults().clear();
        assert_eq!(none, 0, "{name}");
        // Of the tens of a page the first and the second have an odd value, and the third one's record is none at all.
        let tens: Vec<usize> = (0..sound.len()).filter(|at| at % 10 == 5).map(|at| at % 100 / 10 % 3).collect();
        let records = tens.iter().filter(|kind| **kind == 2).count();
        assert_eq!((rows.len(), odd), (sound.len() - records, records as u64), "{name}");
        let tell: Vec<&Value> = rows.iter().filter(|row| row.get("unreadable_fields").is_some()).collect();
        let has_url = sound.iter().any(|row| row.get("url").is_some());
        assert_eq!(tell.len(), if has_url { tens.len() - records } else { 0 }, "{name}");
        assert!(tell.iter().all(|row| row["unreadable_fields"] == serde_json::json!(["url"])), "{name}: {tell:?}");
        (told, lost) = (told + tell.len(), lost + records);
    }
    assert!(lists > 15 && told > 20 && lost > 5, "{lists} lists, {told} records told of a value, {lost} were lost");
    let scrape = t.scrape().await;
    let sum = |metric: &str| {
        let lines = scrape.lines().filter(|line| line.starts_with(metric));
        lines.map(|line| line.rsplit(' ').next().expect("a value").parse::<f64>().expect("a number")).sum::<f64>()
    };
    let counted = sum("zendesk_gateway_unreadable_values_total{");
    assert!((counted - f64::from(u32::try_from(told + lost).expect("few"))).abs() < 0.5, "{counted}");
    assert!(sum("zendesk_gateway_breaker_opened_total{") < 0.5, "no circuit has opened");
}
