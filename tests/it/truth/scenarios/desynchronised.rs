//! A connection on which the upstream has sent one response too many, so that every later one answers the request before it.

use serde_json::Value;

use super::{Arc, Mutex, Reply, Request, Response, Stage};
use crate::support::Dynamic;

/// Each RPC with a record of its own, the envelope of its reply, and a request for the record with this id.
const RPCS: [(&str, &str, &str); 9] = [
    ("GetUser", "user", r#"{"id": ID}"#),
    ("GetGroup", "group", r#"{"id": ID}"#),
    ("GetMembership", "group_membership", r#"{"id": ID}"#),
    ("GetDeletedUser", "deleted_user", r#"{"id": ID}"#),
    ("GetJob", "job_status", r#"{"id": "ID"}"#),
    ("UpdateUser", "user", r#"{"id": ID, "user": {"notes": "n"}}"#),
    ("DeleteUser", "user", r#"{"id": ID}"#),
    ("UpdateGroup", "group", r#"{"id": ID, "group": {"name": "n"}}"#),
    ("GetGroupWithAgents", "group", r#"{"id": ID}"#),
];

/// The right answer to a request for a record.
fn right(request: &Request) -> Response {
    let path = request.path.trim_start_matches("/api/v2/");
    let (family, rest) = path.split_once('/').expect("a record's path");
    let (id, list) = rest.split_once('/').unwrap_or((rest, ""));
    if !list.is_empty() {
        return Response::new(200, r#"{"users":[],"meta":{"has_more":false}}"#);
    }
    let key = match family {
        "job_statuses" => return Response::new(200, format!(r#"{{"job_status":{{"id":"{id}","status":"queued"}}}}"#)),
        family => family.trim_end_matches('s'),
    };
    Response::new(200, format!(r#"{{"{key}":{{"id":{id},"name":"N{id}"}}}}"#))
}

async fn ask(t: &Stage, rpc: &str, envelope: &str, request: &str, id: i64) -> Result<String, tonic::Status> {
    let replies = Dynamic::new(t.channel.clone()).call(rpc, &request.replace("ID", &id.to_string())).await?;
    Ok(match &replies[0][envelope]["id"] {
        Value::String(id) => id.clone(),
        id => id.to_string(),
    })
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow"]
async fn an_answer_that_belongs_to_the_request_before_is_never_passed_on_as_right() {
    let mut wrong = Vec::new();
    for (rpc, envelope, request) in RPCS {
        let before = Arc::new(Mutex::new(None::<Response>));
        let t = Stage::set(move |request| {
            let right = right(&request);
            let before = before.lock().expect("no panic").replace(right.clone());
            async move { Reply::Whole(before.unwrap_or(right)) }
        })
        .await;
        let mut right_ones = 0;
        for id in 1..20 {
            match ask(&t, rpc, envelope, request, id).await {
                Ok(answered) if answered == id.to_string() => right_ones += 1,
                Ok(answered) => {
                    wrong.push(format!("{rpc} {id} was answered {answered}"));
                    break;
                }
                Err(_) => {}
            }
        }
        assert!(right_ones > 0, "{rpc}: refusing everything would be no answer");
    }
    assert_eq!(wrong, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow"]
async fn a_response_that_nobody_asked_for_answers_no_later_request() {
    let mut wrong = Vec::new();
    for (rpc, envelope, request) in RPCS {
        let t = Stage::set(|request| async move {
            let response = right(&request);
            Reply::WithOneMore(response.clone(), response)
        })
        .await;
        let mut right_ones = 0;
        for id in 1..100 {
            match ask(&t, rpc, envelope, request, id).await {
                Ok(answered) if answered == id.to_string() => right_ones += 1,
                Ok(answered) => {
                    wrong.push(format!("{rpc} {id} was answered {answered}"));
                    break;
                }
                Err(_) => {}
            }
        }
        assert!(right_ones > 0, "{rpc}: refusing everything would be no answer");
    }
    assert_eq!(wrong, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow"]
async fn a_late_response_that_nobody_asked_for_answers_no_write() {
    let writes = [
        ("CreateUser", r#"{"user": {"name": "N"}}"#),
        ("CreateOrUpdateUser", r#"{"user": {"name": "N", "external_id": "x"}}"#),
        ("UpdateUser", r#"{"id": 7, "user": {"notes": "n"}}"#),
        ("DeleteUser", r#"{"id": 7}"#),
        ("LogoutUsers", r#"{"ids": [7]}"#),
        ("CreateGroup", r#"{"group": {"name": "G"}}"#),
        ("UpdateGroup", r#"{"id": 7, "group": {"name": "G"}}"#),
        ("DeleteGroup", r#"{"id": 7}"#),
        ("CreateMembership", r#"{"group_membership": {"user_id": 7, "group_id": 7}}"#),
        ("DeleteMembership", r#"{"id": 7}"#),
        ("BulkCreateUsers", r#"{"users": [{"name": "N"}], "wait": true}"#),
    ];
    for (rpc, request) in writes {
        for (read, envelope, of) in [RPCS[0], RPCS[1], RPCS[2], RPCS[4]] {
            // Reads are answered twice; every write is refused, after a while.
            let t = Stage::set(|request| async move {
                if request.method == "GET" {
                    return Reply::WithOneMoreLate(right(&request), right(&request));
                }
                tokio::time::sleep(std::time::Duration::from_millis(120)).await;
                Reply::Whole(Response::new(422, r#"{"error":"RecordInvalid","description":"no"}"#))
            })
            .await;
            ask(&t, read, envelope, of, 7).await.expect("the read is answered");
            let written = Dynamic::new(t.channel.clone()).call(rpc, request).await;
            let status = written.expect_err(&format!("{rpc} after {read} was refused"));
            assert_eq!(status.code(), tonic::Code::InvalidArgument, "{rpc} after {read}: {status:?}");
        }
    }
}
