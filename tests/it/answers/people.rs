//! What is taken for an answer about identities, tags and custom roles.

use serde_json::json;

use super::ask;
use crate::support::{Scripted, refused};

#[tokio::test]
async fn the_identities_of_somebody_else_do_not_say_that_one_was_made_primary() {
    for body in [
        r#"{"identities":[]}"#,
        r#"{"identities":[{"id":7,"user_id":1003}]}"#,
        r#"{"identities":[{"id":1003,"user_id":8}]}"#,
        r#"{"identities":[{"id":7,"user_id":8,"primary":false}]}"#,
        r#"{"identity":{"id":7,"user_id":8}}"#,
    ] {
        let upstream = Scripted::in_turn(&[body]).await;
        let outcome = ask(&upstream, "MakeUserIdentityPrimary", r#"{"user_id": 8, "id": 7}"#).await;
        assert_eq!(refused(outcome).reason, "OUTCOME_UNKNOWN", "{body}");
    }
}

#[tokio::test]
async fn a_part_of_the_identities_is_read_to_the_end_after_one_was_made_primary() {
    let part = r#"{"identities":[{"id":7,"user_id":8,"primary":true}],"meta":{"has_more":true,"after_cursor":"x"}}"#;
    let whole =
        r#"{"identities":[{"id":7,"user_id":8,"primary":true},{"id":6,"user_id":8}],"meta":{"has_more":false}}"#;
    let upstream = Scripted::in_turn(&[part, whole]).await;
    let reply = ask(&upstream, "MakeUserIdentityPrimary", r#"{"user_id": 8, "id": 7}"#).await.expect("answered");
    assert_eq!(reply[0]["identities"].as_array().map(Vec::len), Some(2));
    // What cannot be read again is left out, and it is the primary one all the same.
    let upstream = Scripted::in_turn(&[part, r#"{"identities":[]}"#]).await;
    let reply = ask(&upstream, "MakeUserIdentityPrimary", r#"{"user_id": 8, "id": 7}"#).await.expect("answered");
    assert_eq!(reply[0], json!({}));
}

#[tokio::test]
async fn an_identity_that_is_not_verified_was_not_verified() {
    let upstream = Scripted::in_turn(&[r#"{"identity":{"id":7,"user_id":8,"verified":false}}"#]).await;
    let outcome = ask(&upstream, "VerifyUserIdentity", r#"{"user_id": 8, "id": 7}"#).await;
    assert_eq!(refused(outcome).reason, "OUTCOME_UNKNOWN");
}

#[tokio::test]
async fn an_identity_of_another_kind_is_not_the_one_that_was_added() {
    let upstream = Scripted::in_turn(&[r#"{"identity":{"id":7,"user_id":8,"type":"twitter"}}"#]).await;
    let request = r#"{"user_id": 8, "identity": {"type": "IDENTITY_TYPE_EMAIL", "value": "a@x.example"}}"#;
    assert_eq!(refused(ask(&upstream, "CreateUserIdentity", request).await).reason, "OUTCOME_UNKNOWN");
}

#[tokio::test]
#[ignore = "slow"]
async fn an_update_of_an_identity_that_is_answered_with_other_values_is_in_doubt() {
    let row = |more: &str| format!(r#"{{"identity":{{"id":7,"user_id":8,"type":"email"{more}}}}}"#);
    for (sent, said, is_done) in [
        (r#"{"value": "a@x.example"}"#, r#","value":"b@x.example""#, false),
        (r#"{"value": "a@x.example"}"#, r#","value":"A@x.example","verified":false"#, true),
        (r#"{"verified": true}"#, r#","value":"b@x.example","verified":false"#, false),
        (r#"{"verified": true}"#, r#","value":"b@x.example","verified":true"#, true),
        (r#"{"verified": true}"#, "", true),
    ] {
        let upstream = Scripted::in_turn(&[&row(said)]).await;
        let request = format!(r#"{{"user_id": 8, "id": 7, "identity": {sent}}}"#);
        let outcome = ask(&upstream, "UpdateUserIdentity", &request).await;
        if is_done {
            assert_eq!(outcome.expect(said)[0]["identity"]["id"], 7);
        } else {
            assert_eq!(refused(outcome).reason, "OUTCOME_UNKNOWN", "{sent} {said}");
        }
    }
    // Zendesk may write a number in its own way.
    let phone = r#"{"identity":{"id":7,"user_id":8,"type":"phone_number","value":"+1 555 0100"}}"#;
    let request = r#"{"user_id": 8, "id": 7, "identity": {"value": "15550100"}}"#;
    let reply = ask(&Scripted::in_turn(&[phone]).await, "UpdateUserIdentity", request).await;
    assert_eq!(reply.expect("done")[0]["identity"]["value"], "+1 555 0100");
}

#[tokio::test]
async fn of_two_primary_addresses_none_is_removed() {
    let row =
        |id: u8, value: &str| format!(r#"{{"id":{id},"user_id":8,"type":"email","value":"{value}","primary":true}}"#);
    let body = format!(r#"{{"identities":[{},{}],"meta":{{"has_more":false}}}}"#, row(5, "a@x"), row(6, "b@x"));
    let upstream = Scripted::in_turn(&[&body]).await;
    let request = r#"{"user_id": 8, "email": "c@x", "old": "OLD_EMAIL_REMOVE"}"#;
    assert_eq!(refused(ask(&upstream, "ChangeUserEmail", request).await).reason, "UPSTREAM_MALFORMED");
    assert!(upstream.asked().iter().all(|head| head.starts_with("GET ")), "{:?}", upstream.asked());
}

#[tokio::test]
async fn two_rows_of_one_record_do_not_say_which_one_is_the_default() {
    let row = |default: bool| format!(r#"{{"id":7,"user_id":8,"group_id":9,"default":{default}}}"#);
    let both = format!(r#"{{"group_memberships":[{},{}]}}"#, row(true), row(false));
    let whole = format!(r#"{{"group_memberships":[{}],"meta":{{"has_more":false}}}}"#, row(true));
    let upstream = Scripted::in_turn(&[&both, &whole]).await;
    let reply = ask(&upstream, "SetDefaultMembership", r#"{"user_id": 8, "id": 7}"#).await.expect("it was set");
    assert_eq!(reply[0]["group_memberships"].as_array().map(Vec::len), Some(1), "read again");
}

#[tokio::test]
#[ignore = "slow"]
async fn an_answer_without_tags_is_none_and_an_odd_tag_costs_that_tag() {
    let write = r#"{"user_id": 8, "tags": ["a", "B"]}"#;
    for body in ["{}", r#"{"tags":null}"#, r#"{"tags":"a b"}"#, r#"{"user":{"id":8}}"#, "[]", "null"] {
        for (rpc, request, reason) in [
            ("ListUserTags", r#"{"user_id": 8}"#, "UPSTREAM_MALFORMED"),
            ("AddUserTags", write, "OUTCOME_UNKNOWN"),
            ("SetUserTags", write, "OUTCOME_UNKNOWN"),
        ] {
            let upstream = Scripted::in_turn(&[body]).await;
            assert_eq!(refused(ask(&upstream, rpc, request).await).reason, reason, "{rpc} {body}");
        }
    }
    let upstream = Scripted::in_turn(&[r#"{"tags":["a",{}]}"#]).await;
    let reply = ask(&upstream, "AddUserTags", write).await.expect("answered");
    assert_eq!(
        reply[0],
        json!({"tag_list": {"tags": ["a"], "unreadable_fields": ["tags[1]"]}}),
        "nothing is known of B"
    );
    let upstream = Scripted::in_turn(&[r#"{"tags":["a"]}"#]).await;
    let reply = ask(&upstream, "AddUserTags", write).await.expect("answered");
    assert_eq!(reply[0], json!({"tag_list": {"tags": ["a"]}, "ignored": ["B"]}));
    let upstream = Scripted::in_turn(&[r#"{"tags":["a","b"]}"#]).await;
    let reply = ask(&upstream, "RemoveUserTags", write).await.expect("answered");
    assert_eq!(reply[0], json!({"tag_list": {"tags": ["a", "b"]}, "ignored": ["a", "B"]}));
    let upstream = Scripted::in_turn(&[""]).await;
    assert_eq!(ask(&upstream, "RemoveUserTags", write).await.expect("answered")[0], json!({}));
}

#[tokio::test]
#[ignore = "slow"]
async fn a_list_of_roles_that_says_that_there_are_more_is_not_taken_for_all() {
    for body in [
        r#"{"custom_roles":[{"id":7}],"count":2}"#,
        r#"{"custom_roles":[{"id":7}],"meta":{"has_more":true,"after_cursor":"x"}}"#,
        r#"{"custom_roles":[{"id":7}],"next_page":"https://a.example/api/v2/custom_roles.json?page=2"}"#,
    ] {
        for rpc in ["ListCustomRoles", "StreamCustomRoles"] {
            let upstream = Scripted::in_turn(&[body]).await;
            assert_eq!(refused(ask(&upstream, rpc, "{}").await).reason, "PAGINATION_LOOP", "{rpc} {body}");
        }
    }
    let whole = r#"{"custom_roles":[{"id":7,"name":"R","configuration":{"new_word":{"deep":[1]}}}],"next_page":null,"count":1}"#;
    let upstream = Scripted::in_turn(&[whole]).await;
    let reply = ask(&upstream, "ListCustomRoles", "{}").await.expect("answered");
    assert_eq!(reply[0]["custom_roles"][0]["configuration"], json!({"new_word": {"deep": [1.0]}}));
    assert!(!upstream.asked()[0].contains('?'), "{}", upstream.asked()[0]);
}
