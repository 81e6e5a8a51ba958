//! What an answer says of a write, and what it does not.

use std::time::{Duration, Instant};

use serde_json::json;
use tonic::Code;
use tonic_types::StatusExt as _;

use super::{ask, before};
use crate::support::{Scripted, answer, refused};

/// A response whose body ends before its length.
fn cut(head: &str) -> Vec<u8> {
    format!("HTTP/1.1 {head}\r\ncontent-type: application/json\r\ncontent-length: 400\r\n\r\n{{\"error\":\"Rec")
        .into_bytes()
}

#[tokio::test]
#[ignore = "slow"]
async fn a_refusal_is_one_although_its_words_are_lost() {
    let refusals = [
        "301 Moved Permanently",
        "302 Found",
        "400 Bad Request",
        "401 Unauthorized",
        "402 Payment Required",
        "403 Forbidden",
        "404 Not Found",
        "405 Method Not Allowed",
        "410 Gone",
        "413 Content Too Large",
        "422 Unprocessable Content",
    ];
    for head in refusals {
        let unreadable =
            answer(&format!("{head}\r\ncontent-type: application/json\r\ncontent-encoding: gzip"), b"no gzip");
        for bytes in [cut(head), unreadable] {
            for (rpc, request) in [("CreateUser", r#"{"user": {"name": "A"}}"#), ("DeleteUser", r#"{"id": 7}"#)] {
                let upstream = Scripted::raw(bytes.clone()).await;
                let seen = refused(ask(&upstream, rpc, request).await);
                assert_ne!(seen.reason, "OUTCOME_UNKNOWN", "{rpc} {head}");
                assert!(!matches!(seen.code, Code::Unavailable | Code::NotFound), "{rpc} {head}: {:?}", seen.code);
                assert_eq!(upstream.asked().len(), 1, "{rpc} {head}");
            }
        }
    }
    for open in ["408 Request Timeout", "500 Internal Server Error", "201 Created"] {
        let upstream = Scripted::raw(cut(open)).await;
        let seen = refused(ask(&upstream, "CreateUser", r#"{"user": {"name": "A"}}"#).await);
        assert_eq!(seen.reason, "OUTCOME_UNKNOWN", "{open}");
    }
}

#[tokio::test]
#[ignore = "slow"]
async fn a_refusal_is_one_although_its_words_never_end() {
    for (head, code) in [
        ("301 Moved Permanently", Code::FailedPrecondition),
        ("403 Forbidden", Code::PermissionDenied),
        ("422 Unprocessable Content", Code::InvalidArgument),
    ] {
        let upstream = Scripted::hanging(cut(head)).await;
        let began = Instant::now();
        let seen = refused(ask(&upstream, "CreateUser", r#"{"user": {"name": "A"}}"#).await);
        assert_eq!(seen.code, code, "{head}");
        assert_ne!(seen.reason, "OUTCOME_UNKNOWN", "{head}");
        assert!(began.elapsed() < Duration::from_secs(4), "{head}");
        assert_eq!(upstream.asked().len(), 1, "{head}");
    }
}

/// Its head says that the change was made, but not what the record is like, or which job does it.
#[tokio::test]
#[ignore = "slow"]
async fn a_success_whose_body_does_not_come_whole_is_told_soon_and_with_its_status() {
    let told = async |upstream: &Scripted| {
        let began = Instant::now();
        let status = ask(upstream, "CreateUser", r#"{"user": {"name": "A"}}"#).await.expect_err("a part");
        assert!(status.message().contains("began with HTTP 201"), "{}", status.message());
        let details = status.get_error_details();
        let info = details.error_info().expect("ErrorInfo");
        assert_eq!((info.reason.as_str(), info.metadata["http_status"].as_str()), ("OUTCOME_UNKNOWN", "201"));
        assert_eq!(upstream.asked().len(), 1);
        began.elapsed()
    };
    let (stops, breaks_off) = (Scripted::hanging(cut("201 Created")).await, Scripted::raw(cut("201 Created")).await);
    let (stopped, broke_off) = tokio::join!(told(&stops), told(&breaks_off));
    assert!(stopped < Duration::from_secs(6), "{stopped:?}");
    assert!(broke_off < Duration::from_secs(2), "{broke_off:?}");
}

#[tokio::test]
async fn a_part_that_nobody_asked_for_is_no_answer() {
    let part = "206 Partial Content\r\ncontent-type: application/json\r\ncontent-range: bytes 0-99/300";
    for (rpc, request, body, reason) in [
        ("ListUsers", "{}", r#"{"users":[{"id":7}]}"#, "UPSTREAM_MALFORMED"),
        ("GetUser", r#"{"id": 7}"#, r#"{"user":{"id":7}}"#, "UPSTREAM_MALFORMED"),
        ("SetUserGroups", r#"{"user_id": 8, "group_ids": [9]}"#, r#"{"group_memberships":[]}"#, "UPSTREAM_MALFORMED"),
    ] {
        let upstream = Scripted::start(part, body).await;
        assert_eq!(refused(ask(&upstream, rpc, request).await).reason, reason, "{rpc}");
        assert_eq!(upstream.asked().len(), 1, "{rpc}");
    }
}

#[tokio::test]
async fn a_write_that_is_told_to_look_elsewhere_names_where() {
    let upstream = Scripted::start("303 See Other\r\nlocation: https://login.example/x", "").await;
    let status = ask(&upstream, "CreateUser", r#"{"user": {"name": "A"}}"#).await.expect_err("unknown");
    assert!(status.message().contains("redirected to the host login.example"), "{}", status.message());
    assert_eq!(refused::<()>(Err(status)).reason, "OUTCOME_UNKNOWN");
}

#[tokio::test]
#[ignore = "slow"]
async fn a_part_of_the_memberships_is_read_to_the_end_after_a_default_was_set() {
    let part = r#"{"group_memberships":[{"id":7,"user_id":8,"group_id":9,"default":true}],"#;
    let whole = r#"{"group_memberships":[{"id":7,"user_id":8,"group_id":9,"default":true},{"id":6,"user_id":8,"group_id":5}],
        "meta":{"has_more":false}}"#;
    for more in [
        r#""next_page":"https://a.example/api/v2/users/8/group_memberships.json?page=2","count":300}"#,
        r#""meta":{"has_more":true,"after_cursor":"x"}}"#,
        r#""count":2}"#,
    ] {
        let body = format!("{part}{more}");
        let upstream = Scripted::in_turn(&[&body, whole]).await;
        let reply = ask(&upstream, "SetDefaultMembership", r#"{"id": 7, "user_id": 8}"#).await.expect("answered");
        assert_eq!(reply[0]["group_memberships"].as_array().map(Vec::len), Some(2), "{more}");
        // What cannot be read again is left out, and the default is set all the same.
        let upstream = Scripted::in_turn(&[&body, r#"{"group_memberships":[]}"#]).await;
        let reply = ask(&upstream, "SetDefaultMembership", r#"{"id": 7, "user_id": 8}"#).await.expect("answered");
        assert_eq!(reply[0], json!({}), "{more}");
    }
}

#[tokio::test]
async fn a_merged_user_is_looked_for_among_the_deleted_ones_anew() {
    let missing = answer("404 Not Found\r\ncontent-type: application/json", br#"{"error":"RecordNotFound"}"#);
    let merged = answer("200 OK\r\ncontent-type: application/json", br#"{"user":{"id":8}}"#);
    let found = answer("200 OK\r\ncontent-type: application/json", br#"{"deleted_user":{"id":3}}"#);
    let is_merged = std::sync::atomic::AtomicBool::new(false);
    let upstream = Scripted::by(move |head| {
        if head.starts_with("PUT") {
            is_merged.store(true, std::sync::atomic::Ordering::SeqCst);
            return merged.clone();
        }
        if is_merged.load(std::sync::atomic::Ordering::SeqCst) { found.clone() } else { missing.clone() }
    })
    .await;
    let (client, _running) = before(&upstream).await;
    let none = refused(client.call("GetDeletedUser", r#"{"id": 3}"#).await);
    assert_eq!(none.reason, "NOT_FOUND");
    client.call("MergeUser", r#"{"id": 3, "target_id": 8}"#).await.expect("merged");
    let reply = client.call("GetDeletedUser", r#"{"id": 3}"#).await.expect("it is there now");
    assert_eq!(reply[0]["deleted_user"]["id"], 3);
}

#[tokio::test]
async fn what_an_answer_leaves_open_of_a_write_is_not_told_as_done() {
    let (user, identity) = (r#"{"id": 7}"#, r#"{"user_id": 7, "id": 8}"#);
    for odd in ["true", "0", "{}", r#""x""#] {
        let body = format!(r#"{{"user":{{"id":7,"active":{odd}}}}}"#);
        let seen = refused(ask(&Scripted::in_turn(&[&body]).await, "DeleteUser", user).await);
        assert_eq!((seen.code, seen.reason.as_str()), (Code::Unavailable, "OUTCOME_UNKNOWN"), "{odd}");
    }
    for odd in ["false", "0", "{}", r#""x""#] {
        let body = format!(r#"{{"identity":{{"id":8,"user_id":7,"verified":{odd}}}}}"#);
        let seen = refused(ask(&Scripted::in_turn(&[&body]).await, "VerifyUserIdentity", identity).await);
        assert_eq!((seen.code, seen.reason.as_str()), (Code::Unavailable, "OUTCOME_UNKNOWN"), "{odd}");
    }
    for gone in ["false", "null"] {
        let body = format!(r#"{{"user":{{"id":7,"active":{gone}}}}}"#);
        ask(&Scripted::in_turn(&[&body]).await, "DeleteUser", user).await.expect(gone);
    }
}

#[tokio::test]
async fn only_what_the_status_says_is_told_of_an_upsert() {
    for (status, disposition) in [
        ("200 OK", json!("DISPOSITION_UPDATED")),
        ("201 Created", json!("DISPOSITION_CREATED")),
        ("202 Accepted", json!(null)),
        ("206 Partial Content", json!(null)),
    ] {
        let head = format!("{status}\r\ncontent-type: application/json");
        let upstream = Scripted::start(&head, r#"{"user":{"id":7}}"#).await;
        let request = r#"{"user": {"email": "a@b.example"}}"#;
        let reply = ask(&upstream, "CreateOrUpdateUser", request).await.expect("answered");
        assert_eq!(reply[0]["disposition"], disposition, "{status}");
    }
}

/// An upstream that answers each request by its method and path as the first entry says that fits; it answers a deletion by 204.
async fn telling(answers: &[(&'static str, String)]) -> Scripted {
    let answers = answers.to_vec();
    Scripted::by(move |head| {
        if head.starts_with("DELETE") {
            return answer("204 No Content", b"");
        }
        let fits = |(begin, body): &(&'static str, String)| head.starts_with(begin).then(|| body.clone());
        let body = answers.iter().find_map(fits).unwrap_or_else(|| panic!("nobody expects {head}"));
        answer("200 OK\r\ncontent-type: application/json", body.as_bytes())
    })
    .await
}

fn deletions(upstream: &Scripted) -> usize {
    upstream.asked().iter().filter(|line| line.starts_with("DELETE")).count()
}

#[tokio::test]
async fn no_address_is_removed_before_the_other_one_is_known_to_be_the_primary_one() {
    let old = r#"{"id":1,"user_id":7,"type":"email","value":"a@x.example","primary":true,"verified":true}"#;
    let new = |id: i64, primary: &str| {
        let value = r#""type":"email","value":"b@x.example","verified":true"#;
        format!(r#"{{"id":{id},"user_id":7,{value},"primary":{primary}}}"#)
    };
    let list = |rows: &[&str]| format!(r#"{{"identities":[{}],"meta":{{"has_more":false}}}}"#, rows.join(","));
    let request = r#"{"user_id": 7, "email": "b@x.example", "old": 2}"#;
    for odd in ["{}", r#""yes""#, "null", "false", "0"] {
        let upstream = telling(&[
            ("PUT /api/v2/users/7/identities/2/make_primary", list(&[old, &new(2, odd)])),
            ("GET /api/v2/users/7/identities", list(&[old, &new(2, "false")])),
        ])
        .await;
        let seen = refused(ask(&upstream, "ChangeUserEmail", request).await);
        assert_eq!((seen.reason.as_str(), deletions(&upstream)), ("OUTCOME_UNKNOWN", 0), "{odd}");
    }
    // What the answer to an addition leaves open is looked for: the address is not there.
    for odd in [r#""type":{}"#, r#""value":{}"#, r#""user_id":{}"#] {
        let key = odd.trim_end_matches(":{}");
        let fields = new(2, "false").trim_matches(['{', '}']).to_owned();
        let fields: Vec<&str> =
            fields.split(',').map(|field| if field.starts_with(key) { odd } else { field }).collect();
        let added = format!("{{{}}}", fields.join(","));
        let upstream = telling(&[
            ("POST /api/v2/users/7/identities", format!(r#"{{"identity":{added}}}"#)),
            ("GET /api/v2/users/7/identities", list(&[old])),
        ])
        .await;
        let reply = ask(&upstream, "ChangeUserEmail", request).await.expect("something was written");
        assert!(added.contains("{}"), "{added}");
        let first = &reply[0]["failures"][0];
        assert_eq!(
            (&first["step"], &first["result"]),
            (&json!("EMAIL_STEP_ADD"), &json!("BULK_RESULT_UNKNOWN")),
            "{odd}: {reply:?}"
        );
        assert_eq!(deletions(&upstream), 0, "{odd}");
    }
}

#[tokio::test]
async fn an_address_that_zendesk_says_it_added_is_never_told_as_not_sent_or_refused() {
    let old = r#"{"id":1,"user_id":7,"type":"email","value":"a@x.example","primary":true,"verified":true}"#;
    let added = r#"{"id":2,"user_id":7,"type":"email","value":"b@x.example","primary":{},"verified":true}"#;
    let list = |rows: &[&str]| format!(r#"{{"identities":[{}],"meta":{{"has_more":false}}}}"#, rows.join(","));
    let json =
        |status: &str, body: &str| answer(&format!("{status}\r\ncontent-type: application/json"), body.as_bytes());
    for (look, left) in [
        (json("403 Forbidden", r#"{"error":"Forbidden"}"#), "NOT_SENT"),
        (json("500 Internal Server Error", "{}"), "NOT_SENT"),
        (json("200 OK", &list(&[old, added])), "NOT_SENT"),
        (json("200 OK", &list(&[old])), "ADD UNKNOWN"),
    ] {
        let (before, posted) = (json("200 OK", &list(&[old])), std::sync::atomic::AtomicBool::new(false));
        let created = json("201 Created", &format!(r#"{{"identity":{added}}}"#));
        let told = String::from_utf8_lossy(&look).into_owned();
        let upstream = Scripted::by(move |head| {
            let is_posted = posted.load(std::sync::atomic::Ordering::SeqCst);
            if head.starts_with("POST") {
                posted.store(true, std::sync::atomic::Ordering::SeqCst);
                return created.clone();
            }
            if is_posted { look.clone() } else { before.clone() }
        })
        .await;
        let request = r#"{"user_id": 7, "email": "b@x.example", "old": 2}"#;
        let reply = ask(&upstream, "ChangeUserEmail", request).await.expect("something was written").remove(0);
        let failures: Vec<String> = reply["failures"]
            .as_array()
            .expect("failures")
            .iter()
            .map(|row| format!("{} {}", row["step"], row["result"]).replace(['"'], ""))
            .map(|row| row.replace("EMAIL_STEP_", "").replace("BULK_RESULT_", ""))
            .collect();
        let mut wanted = vec!["MAKE_PRIMARY NOT_SENT".to_owned(), "REMOVE_OLD NOT_SENT".to_owned()];
        if left == "ADD UNKNOWN" {
            wanted.insert(0, left.to_owned());
        }
        assert_eq!(failures, wanted, "{told}");
        assert_eq!(upstream.asked().iter().filter(|head| !head.starts_with("GET")).count(), 1, "{told}");
    }
}

#[tokio::test]
async fn a_default_that_was_not_set_because_the_look_failed_was_not_sent() {
    let (old, new) =
        (r#"{"id":1,"user_id":7,"group_id":5,"default":true}"#, r#"{"id":2,"user_id":7,"group_id":6,"default":false}"#);
    let json =
        |status: &str, body: &str| answer(&format!("{status}\r\ncontent-type: application/json"), body.as_bytes());
    let before = json("200 OK", &format!(r#"{{"group_memberships":[{old}],"meta":{{"has_more":false}}}}"#));
    for look in [json("403 Forbidden", r#"{"error":"Forbidden"}"#), json("500 Internal Server Error", "{}")] {
        let (before, posted) = (before.clone(), std::sync::atomic::AtomicBool::new(false));
        let created = json("201 Created", &format!(r#"{{"group_membership":{new}}}"#));
        let upstream = Scripted::by(move |head| {
            let is_posted = posted.load(std::sync::atomic::Ordering::SeqCst);
            if head.starts_with("POST") {
                posted.store(true, std::sync::atomic::Ordering::SeqCst);
                return created.clone();
            }
            if is_posted { look.clone() } else { before.clone() }
        })
        .await;
        let request = r#"{"user_id": 7, "group_ids": [5, 6], "default_group_id": 6}"#;
        let reply = ask(&upstream, "SetUserGroups", request).await.expect("something was written").remove(0);
        assert_eq!(reply["failures"][0]["result"], "BULK_RESULT_NOT_SENT", "{reply}");
        assert_eq!(upstream.asked().iter().filter(|head| !head.starts_with("GET")).count(), 1, "{reply}");
    }
}

#[tokio::test]
async fn no_membership_is_removed_before_the_new_ones_are_known_to_be_there() {
    let row = |id: i64, group: &str, default: &str| {
        format!(r#"{{"id":{id},"user_id":7,"group_id":{group},"default":{default}}}"#)
    };
    let list = |rows: &[String]| format!(r#"{{"group_memberships":[{}],"meta":{{"has_more":false}}}}"#, rows.join(","));
    let (old, new) = (row(1, "5", "true"), |default: &str| row(2, "6", default));
    let request = r#"{"user_id": 7, "group_ids": [6], "default_group_id": 6}"#;
    for odd in ["{}", r#""yes""#, "null", "false", "0"] {
        let upstream = telling(&[
            ("PUT /api/v2/users/7/group_memberships/2/make_default", list(&[old.clone(), new(odd)])),
            ("POST /api/v2/group_memberships", format!(r#"{{"group_membership":{}}}"#, new("false"))),
            ("GET /api/v2/users/7/group_memberships", list(&[old.clone(), new("false")])),
        ])
        .await;
        // The agent is in both groups already.
        let seen = refused(ask(&upstream, "SetUserGroups", request).await);
        assert_eq!((seen.reason.as_str(), deletions(&upstream)), ("OUTCOME_UNKNOWN", 0), "{odd}");
    }
    for odd in ["6", "{}"] {
        let added = row(2, odd, "false");
        let added = if odd == "6" { added.replace(r#""user_id":7"#, r#""user_id":{}"#) } else { added };
        let upstream = telling(&[
            ("POST /api/v2/group_memberships", format!(r#"{{"group_membership":{added}}}"#)),
            ("GET /api/v2/users/7/group_memberships", list(std::slice::from_ref(&old))),
        ])
        .await;
        let reply = ask(&upstream, "SetUserGroups", request).await.expect("something was written");
        assert_eq!(reply[0]["failures"][0]["result"], "BULK_RESULT_UNKNOWN", "{odd}: {reply:?}");
        assert_eq!(deletions(&upstream), 0, "{odd}");
    }
}
