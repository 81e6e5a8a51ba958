//! Streams in the middle of which something goes wrong at Zendesk.

use std::time::Duration;

use serde_json::json;
use tonic::{Code, Status};
use zendesk_gateway::proto::bulk_event::Event;
use zendesk_gateway::proto::{
    BulkItem, BulkItemOutcome, BulkReceipt, BulkResult, BulkStart, StreamBulkCreateUsersRequest as Creations,
    StreamBulkCreateUsersResponse as Created,
};
use zendesk_gateway::sandbox::faults::{Delay, Reset, Respond, get, post};

use super::streams::users;
use crate::support::{Dynamic, TestGateway, refused};

/// What a stream tells: its outcomes by index, the violations' indices, and its end.
#[derive(Default)]
struct Told {
    outcomes: Vec<BulkItemOutcome>,
    violations: Vec<(i64, String)>,
}

impl Told {
    fn of(&self, result: BulkResult) -> Vec<i64> {
        let of_result = self.outcomes.iter().filter(|outcome| outcome.result() == result);
        of_result.map(|outcome| outcome.index).collect()
    }
}

async fn create(t: &TestGateway, messages: Vec<Creations>) -> (Told, Result<(), Status>) {
    let stream = t.users().stream_bulk_create_users(tokio_stream::iter(messages)).await;
    let mut replies = stream.expect("a stream").into_inner();
    let mut told = Told::default();
    loop {
        let Created { event } = match replies.message().await {
            Ok(Some(reply)) => reply,
            Ok(None) => return (told, Ok(())),
            Err(status) => return (told, Err(status)),
        };
        match event.and_then(|event| event.event) {
            Some(Event::Outcomes(outcomes)) => told.outcomes.extend(outcomes.outcomes),
            Some(Event::Violations(violations)) => {
                let each = violations.violations.into_iter();
                told.violations.extend(each.map(|violation| (violation.index, violation.field)));
            }
            _ => {}
        }
    }
}

fn rows(numbers: std::ops::Range<usize>) -> Creations {
    Creations { users: users(numbers), ..Creations::default() }
}

#[tokio::test]
#[ignore = "slow"]
async fn what_says_nothing_of_the_rows_ends_the_stream_and_they_may_be_sent_again() {
    let no_such_account = json!({"error": "InvalidEndpoint", "description": "Not found"});
    for (status, body, code) in [
        (401, json!({"error": "Couldn't authenticate you"}), Code::Internal),
        (404, no_such_account, Code::Internal),
        (302, json!({}), Code::FailedPrecondition),
        (409, json!({"error": "Conflict", "description": "try again"}), Code::Aborted),
    ] {
        let t = TestGateway::start().await;
        let fault = Respond::with(status).json(body).forever().after(2);
        t.sandbox.fault(post("/users/create_many"), fault);
        let (told, end) = create(&t, vec![rows(0..500)]).await;
        assert_eq!(end.expect_err("it ends").code(), code, "{status}");
        assert_eq!(told.of(BulkResult::NotSent), (200..300).collect::<Vec<_>>(), "{status}");
        assert_eq!(told.of(BulkResult::Created).len(), 200, "{status}: what was accepted is told");
    }
}

#[tokio::test]
async fn a_lost_answer_leaves_a_hundred_rows_unknown_and_no_more() {
    let t = TestGateway::start().await;
    t.sandbox.fault(post("/users/create_many"), Reset::before_headers().after_applying().forever().after(2));
    let (told, end) = create(&t, vec![rows(0..700)]).await;
    assert_eq!(refused(end).reason, "OUTCOME_UNKNOWN");
    assert_eq!(told.of(BulkResult::Unknown), (200..300).collect::<Vec<_>>());
    assert_eq!(t.sandbox.hits("/users/create_many"), 3);
}

#[tokio::test]
#[ignore = "slow"]
async fn jobs_that_end_are_told_while_an_answer_is_awaited() {
    let t = TestGateway::start().await;
    t.sandbox.fault(post("/users/create_many"), Delay::by(Duration::from_secs(4)).after(1));
    let (sender, receiver) = tokio::sync::mpsc::channel(4);
    for message in [rows(0..100), rows(100..200)] {
        sender.send(message).await.expect("there is room");
    }
    let stream = tokio_stream::wrappers::ReceiverStream::new(receiver);
    let mut replies = t.users().stream_bulk_create_users(stream).await.expect("a stream").into_inner();
    let mut kinds = Vec::new();
    while kinds.len() < 5 {
        let event = replies.message().await.expect("no error").expect("a message").event.and_then(|event| event.event);
        kinds.push(match event.expect("an event") {
            Event::Announcement(_) => "announcement",
            Event::Receipt(_) => "receipt",
            Event::Outcomes(_) => "outcomes",
            Event::Violations(_) => "violations",
        });
    }
    assert_eq!(kinds, ["announcement", "receipt", "announcement", "outcomes", "receipt"]);
}

#[tokio::test]
async fn a_stream_does_not_begin_before_the_end_of_an_open_receipt() {
    let t = TestGateway::start().await;
    let client = Dynamic::new(t.channel.clone());
    let receipt = json!({"job_id": "V3-1", "first_index": 100, "row_count": 100, "items": [{"index": 100}]});
    for resume_from in [0, 100, 199] {
        let start = json!({"start": {"resume_from": resume_from, "open_receipts": [receipt]}});
        let refused = refused(client.call("StreamBulkCreateUsers", &start.to_string()).await);
        assert_eq!(refused.fields, ["start.resume_from"], "{resume_from}");
    }
    assert_eq!(t.sandbox.total_hits(), 0);
}

#[tokio::test]
async fn a_row_that_names_the_record_of_a_row_in_an_open_receipt_is_refused() {
    let t = TestGateway::start().await;
    let ended = json!({"job_statuses": [{"id": "V3-1", "status": "completed", "results": []}]});
    t.sandbox.fault(get("/job_statuses/show_many"), Respond::with(200).json(ended));
    let item = |index, email: Option<&str>, external_id: &str| BulkItem {
        index,
        email: email.map(str::to_owned),
        external_id: Some(external_id.to_owned()),
        ..BulkItem::default()
    };
    let items = vec![item(5, None, "S-103"), item(6, Some("a@b.example"), "other")];
    let receipt = BulkReceipt { job_id: "V3-1".to_owned(), first_index: 0, row_count: 100, items };
    let start = Some(BulkStart { resume_from: 100, open_receipts: vec![receipt], dry_run: false });
    let mut message = Creations { start, ..rows(100..110) };
    message.users[7].email = Some(" A@b.example".to_owned());
    let (told, end) = create(&t, vec![message]).await;
    end.expect("a good end");
    assert_eq!(told.of(BulkResult::Failed), [103, 107]);
    let details =
        |index: i64| told.outcomes.iter().find(|outcome| outcome.index == index).and_then(|one| one.details.clone());
    assert_eq!(details(103).as_deref(), Some("external_id names the same record as row 5"));
    assert_eq!(details(107).as_deref(), Some("email names the same record as row 6"));
    assert_eq!(told.of(BulkResult::Created).len(), 8);
}

#[tokio::test]
async fn a_wrong_mask_costs_its_own_row() {
    let t = TestGateway::start().await;
    let ids = t.sandbox.store().user_ids();
    let update = |id: i64, path: &str| json!({"id": id, "user": {"notes": "n"}, "update_mask": path});
    let message = json!({"users": [update(ids[1], "notes"), update(ids[2], "zzz"), update(ids[3], "notes")]});
    let client = Dynamic::new(t.channel.clone());
    let replies = client.call("StreamBulkUpdateUsers", &message.to_string()).await.expect("a good end");
    let told = replies.iter().filter_map(|reply| reply["event"]["outcomes"]["outcomes"].as_array()).flatten();
    let number = |value: &serde_json::Value| value["index"].as_i64().unwrap_or_default();
    let mut outcomes: Vec<_> =
        told.map(|outcome| (number(outcome), outcome["result"].clone(), outcome["field"].clone())).collect();
    outcomes.sort_by_key(|(index, ..)| *index);
    let [updated, failed] = ["BULK_RESULT_UPDATED", "BULK_RESULT_FAILED"].map(|word| json!(word));
    let wanted = [(0, updated.clone(), json!(null)), (1, failed, json!("update_mask")), (2, updated, json!(null))];
    assert_eq!(outcomes, wanted);
}

#[tokio::test]
async fn empty_texts_name_nobody() {
    let t = TestGateway::start().await;
    let mut message = rows(0..3);
    for user in &mut message.users {
        user.email = Some(String::new());
    }
    let (told, end) = create(&t, vec![message]).await;
    end.expect("a good end");
    // What Zendesk makes of an empty address is its own affair.
    assert!(
        told.outcomes.iter().all(|outcome| outcome.error.as_deref() != Some("INVALID_FIELD")),
        "{:?}",
        told.outcomes
    );
}

#[tokio::test]
#[ignore = "slow"]
async fn a_dry_run_finds_a_name_that_came_long_before() {
    let t = TestGateway::start().await;
    let mut messages: Vec<Creations> = (0..200).map(|at| rows(at * 500..(at + 1) * 500)).collect();
    messages[0].start = Some(BulkStart { dry_run: true, ..BulkStart::default() });
    messages.push(rows(0..1));
    let (told, end) = create(&t, messages).await;
    end.expect("a good end");
    let twice = [(100_000, "external_id".to_owned()), (0, "external_id".to_owned())];
    assert_eq!(told.violations, twice);
    assert_eq!(t.sandbox.total_hits(), 0);
}
