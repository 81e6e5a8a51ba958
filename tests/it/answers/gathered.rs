//! What is gathered for a reply, and what of it there is no memory for.

use serde_json::{Value, json};
use tonic::{Code, Status};

use crate::support::{Dynamic, Scripted, answer, basic, refused, serve, settings};

/// Asks a gateway whose callers have 512 KiB each for their messages.
async fn ask(upstream: &Scripted, rpc: &str, request: &str) -> Result<Vec<Value>, Status> {
    let mut config = settings();
    config.server.message_memory = 1 << 20;
    let (_, channel, _running, _) = serve(&upstream.url, basic("a@b.example/token:t"), config).await;
    Dynamic::new(channel).call(rpc, request).await
}

/// Answers each request by the first part of its head that fits.
async fn telling(answers: Vec<(&'static str, Value)>) -> Scripted {
    Scripted::by(move |head| {
        let body = answers.iter().find(|(part, _)| head.contains(part)).map_or(&Value::Null, |(_, body)| body);
        answer("200 OK\r\ncontent-type: application/json", body.to_string().as_bytes())
    })
    .await
}

#[tokio::test]
async fn a_list_that_is_gathered_counts_as_a_message_of_the_caller() {
    let members = |count: i64| {
        let row = |id: i64| json!({"id": id, "user_id": id, "group_id": 7, "default": false});
        json!({"group_memberships": (1..=count).map(row).collect::<Vec<_>>(), "meta": {"has_more": false}})
    };
    for (count, fits) in [(100, true), (5_000, false)] {
        let group = json!({"group": {"id": 7, "name": "G"}});
        let users: Vec<Value> = (1..=count).map(|id| json!({"id": id, "name": "N"})).collect();
        let upstream = telling(vec![
            ("/groups/7/memberships", members(count)),
            ("/groups/7/users", json!({"users": users, "meta": {"has_more": false}})),
            ("/groups/7", group),
        ])
        .await;
        for (rpc, request) in [
            ("GetGroupWithAgents", r#"{"id": 7}"#),
            ("UpdateGroupWithAgents", r#"{"id": 7, "agents": {"user_ids": [1]}, "validate_only": true}"#),
        ] {
            let outcome = ask(&upstream, rpc, request).await;
            if fits {
                outcome.unwrap_or_else(|status| panic!("{rpc}: {status}"));
            } else {
                assert_eq!(refused(outcome).reason, "REPLY_TOO_LARGE", "{rpc}");
            }
        }
    }
}

#[tokio::test]
async fn a_write_whose_reply_does_not_fit_is_told_as_done() {
    let user = |notes: usize| {
        let body = json!({"user": {"id": 7, "notes": "n".repeat(notes)}}).to_string();
        Scripted::hanging(answer("201 Created\r\ncontent-type: application/json", body.as_bytes()))
    };
    let upstream = user(600 << 10).await;
    let status = ask(&upstream, "CreateUser", r#"{"user": {"name": "A"}}"#).await.expect_err("it does not fit");
    assert!(status.message().contains("the change was made"), "{}", status.message());
    assert_eq!((status.code(), refused::<()>(Err(status)).reason.as_str()), (Code::OutOfRange, "REPLY_TOO_LARGE"));
    let upstream = user(50 << 10).await;
    ask(&upstream, "CreateUser", r#"{"user": {"name": "A"}}"#).await.expect("it fits");
}

#[tokio::test]
async fn results_that_do_not_fit_cost_their_words_and_no_outcome() {
    let row = |id: i64| json!({"id": id, "status": "Failed", "success": false, "error": "Odd", "details": "d".repeat(10 << 10)});
    let job = |state: &str, results: Value| json!({"id": "V3-1", "status": state, "total": 100, "results": results});
    let ended = job("completed", (1..=100).map(row).collect());
    let upstream = telling(vec![
        ("DELETE", json!({"job_status": job("queued", Value::Null)})),
        ("show_many", json!({"job_statuses": [ended.clone()]})),
        ("/job_statuses/", json!({"job_status": ended})),
    ])
    .await;
    let ids: Vec<i64> = (1..=100).collect();
    let reply = ask(&upstream, "BulkDeleteUsers", &json!({"ids": ids, "wait": true}).to_string()).await;
    let outcomes = reply.expect("outcomes")[0]["outcomes"].as_array().expect("outcomes").clone();
    assert_eq!(outcomes.len(), 100);
    for outcome in &outcomes {
        assert_eq!((&outcome["result"], &outcome["error"]), (&json!("BULK_RESULT_FAILED"), &json!("Odd")));
        assert!(outcome["details"].as_str().expect("said").starts_with("the details are left out"), "{outcome}");
    }
    let watched = ask(&upstream, "WatchJobs", r#"{"ids": ["V3-1"]}"#).await;
    assert_eq!(refused(watched).reason, "REPLY_TOO_LARGE");
}

#[tokio::test]
async fn rows_that_are_ids_count_by_what_they_take_while_their_jobs_run() {
    let job = json!({"job_status": {"id": "j", "status": "queued"}});
    let upstream = telling(vec![("/users/destroy_many", job)]).await;
    // The gateway looks after jobs meanwhile.
    let deletions = || upstream.asked().iter().filter(|head| head.starts_with("DELETE")).count();
    for (rpc, number, is_refused) in
        [("BulkDeleteUsers", 1_500, false), ("BulkDeleteUsers", 2_100, true), ("BulkDeleteMemberships", 2_100, true)]
    {
        let before = deletions();
        let ids: Vec<i64> = (1..=number).collect();
        let outcome = ask(&upstream, rpc, &json!({"ids": ids}).to_string()).await;
        if is_refused {
            assert_eq!(refused(outcome).reason, "REQUEST_TOO_LARGE", "{rpc}");
            assert_eq!(deletions(), before, "nothing was sent");
        } else {
            assert_ne!(
                outcome.err().map(|status| refused::<()>(Err(status)).reason).as_deref(),
                Some("REQUEST_TOO_LARGE")
            );
        }
    }
}

#[tokio::test]
async fn external_ids_count_by_what_they_take_while_they_are_asked_for() {
    let upstream = telling(vec![("/users/show_many", json!({"users": []}))]).await;
    for (rpc, number, is_refused) in
        [("BatchGetUsers", 500, false), ("BatchGetUsers", 2_100, true), ("BatchGetOrganizations", 2_100, true)]
    {
        let before = upstream.asked().len();
        let ids: Vec<String> = (0..number).map(|id| format!("e{id}")).collect();
        let outcome = ask(&upstream, rpc, &json!({"externalIds": ids}).to_string()).await;
        if is_refused {
            assert_eq!(refused(outcome).reason, "REQUEST_TOO_LARGE", "{rpc}");
            assert_eq!(upstream.asked().len(), before, "nothing was asked for");
        } else {
            assert_eq!(outcome.expect("a reply")[0]["missing_external_ids"].as_array().map(Vec::len), Some(number));
        }
    }
}
