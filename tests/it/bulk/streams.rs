//! Bulk streams: what is told of each row, and how a stream ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status, Streaming};
use zendesk_gateway::proto::{
    BulkCreateOrUpdateUsersRequest, BulkItemOutcome, BulkResult, BulkStart,
    StreamBulkCreateOrUpdateUsersRequest as Upserts, StreamBulkCreateOrUpdateUsersResponse as Upserted,
    StreamBulkCreateUsersRequest as Creations, UserInput,
};
use zendesk_gateway::sandbox;
use zendesk_gateway::sandbox::faults::{Delay, Respond, get, post};

use super::import::Import;
use super::pace;
use crate::support::{Dynamic, Refused, TestGateway, account, refused, settings, until};

fn user(number: usize) -> UserInput {
    UserInput { name: Some(format!("S {number}")), external_id: Some(format!("s-{number}")), ..UserInput::default() }
}

pub fn users(numbers: std::ops::Range<usize>) -> Vec<UserInput> {
    numbers.map(user).collect()
}

/// A stream of upserts that the test writes to message by message.
struct Open {
    messages: mpsc::Sender<Upserts>,
    replies: Streaming<Upserted>,
    import: Import,
}

impl Open {
    async fn begin(t: &TestGateway, first: Upserts) -> Self {
        Self::with(t, first, Import::default()).await
    }

    async fn with(t: &TestGateway, first: Upserts, import: Import) -> Self {
        let (messages, receiver) = mpsc::channel(4);
        messages.send(first).await.expect("there is room");
        let stream = t.users().stream_bulk_create_or_update_users(ReceiverStream::new(receiver)).await;
        Self { messages, replies: stream.expect("a stream").into_inner(), import }
    }

    async fn send(&self, users: Vec<UserInput>) {
        self.messages.send(Upserts { users, ..Upserts::default() }).await.expect("it is read");
    }

    /// Reads on while `more` says so.
    async fn read_while(&mut self, more: impl Fn(&Import) -> bool) {
        while more(&self.import) {
            let reply = self.replies.message().await.expect("no error").expect("a message");
            self.import.take(reply.event);
        }
    }

    /// Closes the caller's side and reads to the end.
    async fn finish(self) -> (Import, Result<(), Status>) {
        let Self { messages, mut replies, mut import } = self;
        drop(messages);
        loop {
            match replies.message().await {
                Ok(Some(reply)) => import.take(reply.event),
                Ok(None) => return (import, Ok(())),
                Err(status) => return (import, Err(status)),
            }
        }
    }
}

/// Streams messages, all at once.
async fn upsert(t: &TestGateway, messages: Vec<Upserts>) -> (Import, Result<(), Status>) {
    let stream = t.users().stream_bulk_create_or_update_users(tokio_stream::iter(messages)).await;
    read(stream.expect("a stream").into_inner()).await
}

/// Reads a stream to its end.
async fn read(mut replies: Streaming<Upserted>) -> (Import, Result<(), Status>) {
    let mut import = Import::default();
    loop {
        match replies.message().await {
            Ok(Some(reply)) => import.take(reply.event),
            Ok(None) => return (import, Ok(())),
            Err(status) => return (import, Err(status)),
        }
    }
}

fn message(users: Vec<UserInput>) -> Upserts {
    Upserts { users, ..Upserts::default() }
}

fn failed(import: &Import) -> Vec<(i64, Option<&str>, Option<&str>)> {
    let failed = import.outcomes.values().filter(|outcome| outcome.result() == BulkResult::Failed);
    failed.map(|outcome| (outcome.index, outcome.field.as_deref(), outcome.error.as_deref())).collect()
}

#[tokio::test]
async fn rows_of_many_messages_become_requests_of_a_hundred_and_each_has_its_outcome() {
    let t = TestGateway::start().await;
    // One row each, then many at once, then none.
    let mut messages: Vec<Upserts> = (0..150).map(|number| message(vec![user(number)])).collect();
    messages.extend([message(users(150..400)), message(Vec::new()), message(users(400..430))]);
    let (import, end) = upsert(&t, messages).await;
    end.expect("a good end");
    assert_eq!((import.receipts, t.sandbox.hits("/users/create_or_update_many")), (5, 5));
    assert_eq!(import.results(), [BulkResult::Created; 430]);
    for (index, outcome) in &import.outcomes {
        let record = t.sandbox.store().user(outcome.id.expect("an id")).expect("a user");
        assert_eq!(record["external_id"], format!("s-{index}"));
        assert_eq!(outcome.external_id, Some(format!("s-{index}")));
    }
    assert!(import.open.is_empty() && import.unknown().is_none());
    assert_eq!(import.jobs.iter().map(|job| job.results.len()).sum::<usize>(), 430, "as they ended");
}

#[tokio::test]
#[ignore = "slow"]
async fn every_bulk_call_has_a_stream_that_does_the_same() {
    let t = TestGateway::start().await;
    let client = Dynamic::new(t.channel.clone());
    let ids: Vec<i64> = t.sandbox.store().user_ids().into_iter().rev().take(4).collect();
    let held = t.held_memberships();
    let (one, other) = (&held[0], &held[1]);
    let each = json!([{"id": ids[0], "user": {"notes": "a"}}, {"id": ids[1], "user": {"notes": "b"}}]);
    for (rpc, request, wanted) in [
        ("StreamBulkCreateUsers", json!({"users": [{"name": "A"}, {"name": "B"}]}), "CREATED"),
        ("StreamBulkCreateOrUpdateUsers", json!({"users": [{"external_id": "e-1"}, {"external_id": "e-2"}]}), "FAILED"),
        ("StreamBulkUpdateUsers", json!({"ids": ids, "user": {"notes": "n"}}), "UPDATED"),
        ("StreamBulkUpdateUsers", json!({ "users": each }), "UPDATED"),
        ("StreamBulkUpdateUsers", json!({"external_ids": ["nobody"], "user": {"notes": "n"}}), "FAILED"),
        ("StreamBulkDeleteMemberships", json!({"ids": [one.id, other.id]}), "DELETED"),
        (
            "StreamBulkCreateMemberships",
            json!({"group_memberships": [{"user_id": one.user_id, "group_id": one.group_id}]}),
            "CREATED",
        ),
        ("StreamBulkDeleteUsers", json!({ "ids": ids }), "DELETED"),
    ] {
        let replies = client.call(rpc, &request.to_string()).await.expect(rpc);
        let kinds: Vec<&str> = replies
            .iter()
            .map(|reply| reply["event"].as_object().expect("an event").keys().next().expect("one").as_str())
            .collect();
        assert_eq!(kinds, ["announcement", "receipt", "outcomes"], "{rpc} {request}");
        let outcomes = replies[2]["event"]["outcomes"]["outcomes"].as_array().expect("outcomes");
        for (index, outcome) in outcomes.iter().enumerate() {
            let result = outcome["result"].as_str().expect("a result").trim_start_matches("BULK_RESULT_");
            let told = usize::try_from(outcome["index"].as_i64().unwrap_or_default()).expect("an index");
            assert_eq!((result, told), (wanted, index), "{rpc} {request}: {outcome}");
        }
        let items = replies[1]["event"]["receipt"]["items"].as_array().expect("items").len();
        assert_eq!(items, outcomes.len(), "{rpc}: the receipt names each row");
    }
}

#[tokio::test]
async fn a_row_that_is_wrong_costs_itself_only() {
    let t = TestGateway::start().await;
    let mut rows = users(0..250);
    rows[0].external_id = Some(" ".to_owned());
    rows[120].role = Some(99);
    rows[249] = UserInput { name: Some("nobody".to_owned()), ..UserInput::default() };
    let (import, end) = upsert(&t, vec![message(rows)]).await;
    end.expect("a good end");
    let refused = Some("INVALID_FIELD");
    let wanted = [(0, Some("email"), refused), (120, Some("role"), refused), (249, Some("email"), refused)];
    assert_eq!(failed(&import), wanted);
    assert!(import.outcomes[&0].details.as_ref().is_some_and(|why| why.starts_with("email must be sent")));
    assert_eq!(import.results().iter().filter(|result| **result == BulkResult::Created).count(), 247);
}

#[tokio::test]
async fn a_row_that_names_the_record_of_an_earlier_one_is_refused_and_says_which() {
    let t = TestGateway::start().await;
    let mut rows = users(0..230);
    // In the same request, in a later one, in other spelling, and by another name.
    rows[7].external_id = Some("s-3".to_owned());
    rows[150].external_id = Some(" S-4".to_owned());
    rows[10].email = Some("a@b.example".to_owned());
    rows[229].email = Some("A@B.example".to_owned());
    // What was refused itself does not count.
    rows[20].role = Some(99);
    rows[21].external_id = Some("s-20".to_owned());
    let (import, end) = upsert(&t, vec![message(rows)]).await;
    end.expect("a good end");
    let refused = Some("INVALID_FIELD");
    let wanted = [
        (7, Some("external_id"), refused),
        (20, Some("role"), refused),
        (150, Some("external_id"), refused),
        (229, Some("email"), refused),
    ];
    assert_eq!(failed(&import), wanted);
    let details = |index: i64| import.outcomes[&index].details.clone().expect("a sentence");
    assert_eq!(details(7), "external_id names the same record as row 3");
    assert_eq!(details(150), "external_id names the same record as row 4");
    assert_eq!(details(229), "email names the same record as row 10");
    assert_eq!(import.outcomes[&3].result(), BulkResult::Created, "the first one goes on");
}

#[tokio::test]
async fn a_dry_run_tells_every_fault_and_sends_nothing() {
    let t = TestGateway::start().await;
    let mut rows = users(0..250);
    rows[0].external_id = Some(" ".to_owned());
    rows[120].role = Some(99);
    rows[240].external_id = Some("s-3".to_owned());
    let start = Some(BulkStart { dry_run: true, resume_from: 1000, ..BulkStart::default() });
    let (import, end) = upsert(&t, vec![Upserts { start, users: rows, ..Default::default() }]).await;
    end.expect("a good end");
    let told: Vec<_> =
        import.violations.iter().map(|fault| (fault.index, fault.field.as_str(), fault.same_as)).collect();
    let wanted = [
        (1000, "email", None),
        (1120, "role", None),
        (1240, "external_id", Some(1003)),
        (1003, "external_id", Some(1240)),
    ];
    assert_eq!(told, wanted);
    assert_eq!((t.sandbox.total_hits(), import.outcomes.len()), (0, 0));
}

#[tokio::test]
async fn what_zendesk_ignored_of_each_request_is_told_beside_its_receipt() {
    let t = TestGateway::start().await;
    let warning = "Removed restricted keys [\"användare\"] from parameters according to whitelist";
    for id in ["V3-1", "V3-2"] {
        let job = json!({"job_status": {"id": id, "status": "completed", "results": []}});
        t.sandbox.fault(
            post("/users/create_or_update_many"),
            Respond::with(200).json(job).header("x-zendesk-api-warn", warning),
        );
    }
    let refusal = Respond::with(422).json(json!({"error": "RecordInvalid"})).header("x-zendesk-api-warn", "none of it");
    t.sandbox.fault(post("/users/create_or_update_many"), refusal);
    let (import, end) = upsert(&t, vec![message(users(0..301))]).await;
    end.expect("a good end");
    assert_eq!(import.warnings, [warning, warning, "none of it"]);
}

#[tokio::test]
async fn a_refusal_ends_the_stream_until_something_was_accepted_and_then_costs_its_rows() {
    let t = TestGateway::start().await;
    let body = json!({"error": "RecordInvalid", "details": {"email": [{"description": "Email: no", "error": "Bad"}]}});
    t.sandbox.fault(post("/users/create_or_update_many"), Respond::with(422).json(body.clone()));
    let (import, end) = upsert(&t, vec![message(users(0..250))]).await;
    let Refused { code, reason, .. } = refused(end);
    assert_eq!((code, reason.as_str()), (Code::InvalidArgument, "RECORD_INVALID"));
    assert_eq!(import.results(), [BulkResult::Failed; 100], "the rows that were refused are known");
    assert_eq!(import.outcomes[&0].field.as_deref(), Some("email"));
    assert_eq!((import.start().resume_from, import.unknown()), (100, None));

    t.sandbox.fault(post("/users/create_or_update_many"), Respond::with(422).json(body).after(1));
    let (import, end) = upsert(&t, vec![message(users(0..250))]).await;
    end.expect("the others go on");
    let results = import.results();
    assert!(results[100..200].iter().all(|result| *result == BulkResult::Failed));
    assert!(results[..100].iter().chain(&results[200..]).all(|result| *result == BulkResult::Created));
}

#[tokio::test]
#[ignore = "slow"]
async fn a_stream_that_cannot_go_on_says_what_was_not_sent() {
    let mut config = settings();
    config.upstream.retry.attempts = 1;
    let t = TestGateway::configured(account(), config).await;
    let throttle = Respond::with(429).header("retry-after", "1").after(1).forever();
    t.sandbox.fault(post("/users/create_or_update_many"), throttle);
    let (import, end) = upsert(&t, vec![message(users(0..250))]).await;
    assert_eq!(refused(end).reason, "RATE_LIMITED");
    let results = import.results();
    assert_eq!(results[..100], [BulkResult::Created; 100], "what was accepted is told to its end");
    assert_eq!(results[100..], [BulkResult::NotSent; 100]);
    assert_eq!((import.start().resume_from, import.unknown()), (100, None));
}

#[tokio::test]
async fn an_answer_that_is_lost_leaves_its_rows_unknown_and_no_others() {
    let t = TestGateway::start().await;
    t.sandbox.fault(post("/users/create_or_update_many"), Respond::with(502).after(1));
    let (import, end) = upsert(&t, vec![message(users(0..250))]).await;
    assert_eq!(refused(end).reason, "OUTCOME_UNKNOWN", "the next answer might be lost, too");
    assert_eq!(import.results()[..100], [BulkResult::Created; 100]);
    assert_eq!(import.results()[100..], [BulkResult::Unknown; 100]);
    assert_eq!(import.start().resume_from, 200);
    let stream =
        Open::with(&t, Upserts { start: Some(import.start()), users: users(200..250), ..Default::default() }, import);
    let (import, end) = stream.await.finish().await;
    end.expect("a good end");
    assert_eq!(import.results()[200..], [BulkResult::Created; 50]);
    assert!(import.outcomes.values().all(|outcome| outcome.job_id.is_none() == (100..200).contains(&outcome.index)));
}

#[tokio::test]
#[ignore = "slow"]
async fn what_is_open_is_told_at_another_gateway_and_nothing_is_sent_twice() {
    let jobs = sandbox::Jobs { queued_for: Duration::from_secs(2), ..sandbox::Jobs::default() };
    let mut t = TestGateway::with(sandbox::Config { jobs, ..account() }).await;
    let mut stream = Open::begin(&t, message(users(0..250))).await;
    stream.read_while(|import| import.receipts < 2).await;
    t.shut_down();
    let (import, end) = stream.finish().await;
    let Refused { code, reason, .. } = refused(end);
    assert_eq!((code, reason.as_str()), (Code::Unavailable, "SHUTTING_DOWN"));
    let (unknown, start, sent) = (import.unknown(), import.start(), import.receipts);
    assert!(sent >= 2 && import.outcomes.is_empty(), "{sent} requests, whose jobs run");
    assert_eq!(unknown, None, "what was under way is told");

    let other = TestGateway::before(t.leave().await, settings()).await;
    let from = usize::try_from(start.resume_from).expect("a row");
    let first = Upserts { start: Some(start), users: users(from..250), ..Default::default() };
    let (import, end) = Open::with(&other, first, import).await.finish().await;
    end.expect("a good end");
    assert_eq!(import.results(), [BulkResult::Created; 250]);
    assert_eq!(import.receipts, 3);
    assert_eq!(other.sandbox.hits("/users/create_or_update_many"), 3, "each row was sent once");
}

#[tokio::test]
#[ignore = "slow"]
async fn a_job_that_zendesk_does_not_know_any_more_is_unknown_and_the_stream_goes_on() {
    let t = TestGateway::start().await;
    let (import, end) = upsert(&t, vec![message(users(0..100))]).await;
    end.expect("a good end");
    let mut receipt = import_of_receipt(&t).await;
    receipt.job_id = "V3-00000000000000000000000000000000".to_owned();
    let start = Some(BulkStart { resume_from: 300, open_receipts: vec![receipt.clone()], dry_run: false });
    let first = Upserts { start, users: users(300..310), ..Default::default() };
    let mut resumed = Import::default();
    resumed.open.insert(receipt.job_id.clone(), receipt);
    let mut stream = Open::with(&t, first, resumed).await;
    stream.import.skip_to(300);
    let (resumed, end) = stream.finish().await;
    end.expect("a good end");
    let lost: Vec<&BulkItemOutcome> = resumed.outcomes.values().filter(|outcome| outcome.index < 300).collect();
    assert_eq!(lost.len(), 100);
    assert!(lost.iter().all(|outcome| outcome.result() == BulkResult::Unknown), "{:?}", lost[0]);
    assert_eq!(lost[0].error.as_deref(), Some("NOT_FOUND"));
    assert_eq!(resumed.outcomes.len(), 110);
    assert_eq!(import.results().len(), 100);
}

/// A receipt of rows 100 to 200.
async fn import_of_receipt(t: &TestGateway) -> zendesk_gateway::proto::BulkReceipt {
    let start = Some(BulkStart { resume_from: 100, ..BulkStart::default() });
    let mut stream = Open::begin(t, Upserts { start, users: users(100..200), ..Default::default() }).await;
    stream.import.skip_to(100);
    stream.read_while(|import| import.receipts < 1).await;
    stream.import.open.into_values().next().expect("a receipt")
}

#[tokio::test]
#[ignore = "slow"]
async fn a_caller_who_leaves_stops_what_was_not_sent_and_nothing_else() {
    let t = TestGateway::with(sandbox::Config { jobs: pace(Duration::from_millis(2)), ..account() }).await;
    t.sandbox.fault(post("/users/create_or_update_many"), Delay::by(Duration::from_millis(200)).forever());
    let mut stream = Open::begin(&t, message(users(0..1_000))).await;
    stream.read_while(|import| import.receipts < 2).await;
    drop(stream);
    let sent = || usize::try_from(t.sandbox.hits("/users/create_or_update_many")).expect("few");
    let made = || (0..1_000).filter(|n| t.sandbox.store().user_by_external_id(&format!("s-{n}")).is_some()).count();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!((2..=4).contains(&sent()), "{}", sent());
    until(|| made() == 100 * sent()).await;
    let again = upsert(&t, vec![message(users(0..3_000))]).await.0.results();
    assert_eq!(again.len(), 3_000, "the slots are free");
}

#[tokio::test]
#[ignore = "slow"]
async fn a_stream_goes_on_beyond_what_a_unary_call_may_take() {
    let mut config = settings();
    config.server.unary_deadline = Duration::from_secs(2);
    let jobs = sandbox::Jobs { queued_for: Duration::from_secs(3), ..sandbox::Jobs::default() };
    let t = TestGateway::configured(sandbox::Config { jobs, ..account() }, config).await;
    let call = BulkCreateOrUpdateUsersRequest { users: users(0..150), wait: true, ..Default::default() };
    let reply = t.users().bulk_create_or_update_users(call).await.expect("jobs").into_inner();
    assert!(reply.outcomes.iter().all(|outcome| outcome.result() == BulkResult::Pending), "{:?}", reply.outcomes[0]);
    let (import, end) = upsert(&t, vec![message(users(200..350))]).await;
    end.expect("a good end");
    assert_eq!(import.results(), [BulkResult::Created; 150]);
}

#[tokio::test]
#[ignore = "slow"]
async fn no_more_rows_are_read_than_are_needed() {
    let jobs = sandbox::Jobs { queued_for: Duration::from_secs(4), ..sandbox::Jobs::default() };
    let t = TestGateway::with(sandbox::Config { jobs, ..account() }).await;
    let taken = Arc::<AtomicUsize>::default();
    let counted = Arc::clone(&taken);
    let messages = (0..300).map(move |number| {
        counted.fetch_add(1, Ordering::Relaxed);
        message(users(100 * number..100 * (number + 1)))
    });
    let stream = t.users().stream_bulk_create_or_update_users(tokio_stream::iter(messages)).await;
    let mut replies = stream.expect("a stream").into_inner();
    let mut import = Import::default();
    while import.receipts < 28 {
        import.take(replies.message().await.expect("no error").expect("a message").event);
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    // As many jobs run as one caller may have. What is beyond them fills the windows of the connection, and no memory.
    let taken = taken.load(Ordering::Relaxed);
    assert!(taken < 100, "{taken} messages of 100 rows were taken");
    drop(replies);
}

#[tokio::test]
#[ignore = "slow"]
async fn a_stream_that_brings_nothing_ends_and_says_so() {
    let mut config = settings();
    config.server.stream_idle_timeout = Duration::from_secs(1);
    let t = TestGateway::configured(account(), config).await;
    let mut stream = Open::begin(&t, message(users(0..100))).await;
    stream.read_while(|import| import.outcomes.len() < 100).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    stream.send(users(100..150)).await;
    let Open { messages, mut replies, .. } = stream;
    let Refused { code, reason, message, .. } = refused(replies.message().await);
    assert_eq!((code, reason.as_str()), (Code::DeadlineExceeded, "DEADLINE_EXCEEDED"));
    assert!(message.contains("no further message"), "{message}");
    assert_eq!(t.sandbox.hits("/users/create_or_update_many"), 1, "half a request waits for its other half");
    drop(messages);
}

#[tokio::test]
async fn what_cannot_be_is_refused_by_its_field() {
    let t = TestGateway::start().await;
    let client = Dynamic::new(t.channel.clone());
    for (rpc, request, field) in [
        ("StreamBulkCreateUsers", json!({"start": {"resume_from": -1}}), "start.resume_from"),
        (
            "StreamBulkCreateUsers",
            json!({"start": {"resume_from": 1, "open_receipts": [{"job_id": "", "row_count": 1, "items": [{}]}]}}),
            "start.open_receipts[0].job_id",
        ),
        (
            "StreamBulkCreateUsers",
            json!({"start": {"resume_from": 1, "open_receipts": [{"job_id": "V3-1", "row_count": 1}]}}),
            "start.open_receipts[0].items",
        ),
        (
            "StreamBulkCreateUsers",
            json!({"start": {"resume_from": 2, "open_receipts": [
                {"job_id": "V3-1", "row_count": 1, "items": [{}]},
                {"job_id": "V3-1", "first_index": 1, "row_count": 1, "items": [{"index": 1}]},
            ]}}),
            "start.open_receipts[1].job_id",
        ),
        (
            "StreamBulkCreateUsers",
            json!({"start": {"resume_from": 1, "dry_run": true, "open_receipts": [{"job_id": "V3-1", "row_count": 1, "items": [{}]}]}}),
            "start.open_receipts",
        ),
        ("StreamBulkUpdateUsers", json!({"ids": [7]}), "user"),
        ("StreamBulkUpdateUsers", json!({"ids": [7], "user": {"custom_role_id": -1}}), "user.custom_role_id"),
        ("StreamBulkUpdateUsers", json!({"ids": [7], "external_ids": ["x"], "user": {"notes": "n"}}), "users"),
        ("StreamBulkUpdateUsers", json!({"users": [{"id": 7, "user": {"notes": "n"}}], "brand_id": 7}), "brand_id"),
        ("StreamBulkDeleteUsers", json!({"ids": [7], "brand_id": 7}), "brand_id"),
    ] {
        let refused = refused(client.call(rpc, &request.to_string()).await);
        assert_eq!(
            (refused.code, refused.fields.as_slice()),
            (Code::InvalidArgument, &[field.to_owned()][..]),
            "{request}"
        );
    }
    let again = Upserts { start: Some(BulkStart::default()), ..Upserts::default() };
    let (_, end) = upsert(&t, vec![message(users(0..1)), again]).await;
    assert_eq!(refused(end).fields, ["start"]);
    let none = t.users().stream_bulk_create_or_update_users(tokio_stream::empty()).await;
    assert_eq!(refused(none.map(drop)).fields, ["start"]);
    assert_eq!(t.sandbox.total_hits(), 0);
}

#[tokio::test]
async fn users_that_were_created_are_found_by_what_identifies_them() {
    let t = TestGateway::start().await;
    let mut rows: Vec<UserInput> = users(0..150);
    rows[1] = UserInput {
        name: Some("by mail".to_owned()),
        email: Some("One@Bulk.example".to_owned()),
        ..UserInput::default()
    };
    for bare in [2, 3, 120, 121] {
        rows[bare].external_id = None;
    }
    rows[7].email = Some("not an address".to_owned());
    let message = Creations { users: rows, ..Creations::default() };
    let stream = t.users().stream_bulk_create_users(tokio_stream::iter([message])).await;
    let mut replies = stream.expect("a stream").into_inner();
    let mut import = Import::default();
    while let Some(reply) = replies.message().await.expect("a good end") {
        import.take(reply.event);
    }
    assert_eq!(failed(&import), [(7, None, Some("UserCreateError"))]);
    let store = t.sandbox.store();
    let bare: Vec<i64> = import.outcomes.values().filter(|outcome| outcome.id.is_none()).map(|row| row.index).collect();
    assert_eq!(bare, [2, 3, 7, 120, 121]);
    for outcome in import.outcomes.values().filter(|outcome| outcome.id.is_some()) {
        let record = store.user(outcome.id.expect("an id")).expect("a user");
        let name = if outcome.index == 1 { json!("by mail") } else { json!(format!("S {}", outcome.index)) };
        assert_eq!(record["name"], name, "{outcome:?}");
    }
    let mut names: Vec<Value> =
        import.unplaced_ids.iter().map(|id| store.user(*id).expect("a user")["name"].clone()).collect();
    names.sort_by_key(ToString::to_string);
    assert_eq!(names, ["S 120", "S 121", "S 2", "S 3"].map(Value::from));
    // What cannot be read costs the ids, and no outcome.
    t.sandbox.fault(get("/users/show_many"), Respond::with(500).forever());
    let message = Creations { users: users(200..210), ..Creations::default() };
    let stream = t.users().stream_bulk_create_users(tokio_stream::iter([message])).await;
    let mut replies = stream.expect("a stream").into_inner();
    let mut import = Import::default();
    while let Some(reply) = replies.message().await.expect("a good end") {
        import.take(reply.event);
    }
    assert_eq!(import.results(), [BulkResult::Created; 10]);
    assert_eq!(import.unplaced_ids.len(), 10);
}
