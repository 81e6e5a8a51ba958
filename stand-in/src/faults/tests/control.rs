//! Faults that are set through the control endpoint.

use super::*;

const FAULTS: &str = "/__sandbox/faults";

/// Posts a rule that is wrong and returns the field and the message of the answer.
async fn refusal(stand: &Stand, rule: &Document) -> (String, String) {
    let seen = stand.send("POST", FAULTS, &rule.to_string()).await;
    assert_eq!(seen.status(), 400, "{rule} was taken");
    let body = seen.json();
    assert_eq!(body["error"], "InvalidRule");
    let text = |field: &str| body[field].as_str().expect("text").to_owned();
    (text("field"), text("message"))
}

#[tokio::test]
async fn a_rule_posted_acts_and_is_counted() {
    let stand = Stand::start().await;
    let rule = json!({
        "when": { "method": "GET", "path": "/api/v2/users/{id}" },
        "fault": { "respond": { "status": 503, "headers": { "retry-after": "2" } } },
    });
    let added = stand.send("POST", FAULTS, &rule.to_string()).await;
    assert_eq!((added.status(), added.json()), (201, json!({ "ids": [1] })));
    assert_eq!(stand.get("/api/v2/users/7").await.status(), 503);
    assert_eq!(stand.get("/api/v2/users/7").await.status(), 200);
    let listed = stand.get(FAULTS).await.json();
    let listed = &listed["faults"][0];
    assert_eq!((&listed["id"], &listed["hits"], &listed["left"]), (&json!(1), &json!(1), &json!(0)));
    assert_eq!(listed["when"], rule["when"]);
    assert_eq!(listed["fault"]["respond"]["headers"], rule["fault"]["respond"]["headers"]);
}

#[tokio::test]
async fn every_kind_can_be_posted_and_comes_back_as_it_was() {
    let stand = Stand::start().await;
    let kinds = json!([
        { "delay": { "by": "250ms" } },
        { "respond": { "status": 500, "body": "x", "content_type": "text/plain", "headers": {} } },
        { "throttle": { "retry_after": { "seconds": 1 }, "shape": "error", "headers": {} } },
        { "throttle": { "retry_after": { "date_in": "2s" }, "shape": "errors", "headers": {} } },
        { "throttle": { "retry_after": { "text": "soon" }, "shape": "text", "headers": {} } },
        { "throttle": { "retry_after": "absent", "shape": "text", "headers": {} } },
        { "html": { "page": "ok" } },
        { "html": { "page": "nginx_502" } },
        { "html": { "page": "cloudflare_520" } },
        { "html": { "page": "cloudflare_524" } },
        { "conflict": {} },
        { "empty": {} },
        { "reset": { "at": "before_headers" } },
        { "eof": { "at": "within_headers" } },
        { "hang": { "at": "within_body" } },
        { "drip": { "bytes": 10, "every": "100ms" } },
        { "refuse": {} },
        { "truncated_json": {} },
        { "wrong_length": { "by": -3 } },
        { "gzip_bomb": { "megabytes": 100 } },
        { "broken_gzip": {} },
        { "missing_has_more": {} },
        { "cursor_loop": {} },
        { "empty_pages": {} },
        { "last_page": {} },
    ]);
    let kinds = kinds.as_array().expect("an array");
    let rules: Vec<_> = kinds
        .iter()
        .map(|kind| json!({ "when": { "path": "/nowhere" }, "fault": kind, "times": 3, "after": 1, "probability": 0.5, "seed": 9, "applied": true }))
        .collect();
    let rules = json!(rules).to_string();
    let added = stand.send("POST", FAULTS, &rules).await;
    assert_eq!(added.status(), 201, "{}", added.text());
    let listed: Vec<_> =
        stand.faults.list().into_iter().map(|status| serde_json::to_value(&status.rule.fault).expect("JSON")).collect();
    assert_eq!(&listed, kinds);
}

#[tokio::test]
async fn a_bad_rule_is_refused_by_the_name_of_its_field() {
    let stand = Stand::start().await;
    let empty = json!({ "empty": {} });
    let rows = [
        (json!({}), ".", "missing field `fault`"),
        (json!({ "fault": { "explode": {} } }), "fault", "unknown variant `explode`"),
        (json!({ "fault": { "reset": { "at": "noon" } } }), "fault.reset.at", "unknown variant"),
        (json!({ "fault": { "empty": { "x": 1 } } }), "fault.empty.x", "unknown field"),
        (json!({ "fault": { "delay": { "by": "soon" } } }), "fault.delay.by", "expected a duration"),
        (json!({ "fault": { "respond": { "status": 99 } } }), "fault.respond.status", "99 is not"),
        (
            json!({ "fault": { "respond": { "status": 500, "headers": { "a b": "c" } } } }),
            "fault.respond.headers",
            "cannot be the name",
        ),
        (json!({ "fault": { "drip": { "bytes": 0, "every": "1s" } } }), "fault.drip.bytes", "nonzero"),
        (json!({ "fault": empty, "times": 0 }), "times", "expected a number from 1"),
        (json!({ "fault": empty, "times": "often" }), "times", "or \"forever\""),
        (json!({ "fault": empty, "probability": 1.5 }), "probability", "from 0 to 1"),
        (json!({ "fault": empty, "when": { "path": "users" } }), "when.path", "is not a path"),
        (json!({ "fault": empty, "when": { "method": "get" } }), "when.method", "in capitals"),
        (json!({ "fault": empty, "tiems": 2 }), "tiems", "unknown field"),
        (json!({ "fault": { "refuse": {} }, "times": "forever" }), "times", "refuse needs a number"),
    ];
    for (rule, field, message) in rows {
        let (seen_field, seen_message) = refusal(&stand, &rule).await;
        assert_eq!(seen_field, field, "{rule}: {seen_message}");
        assert!(seen_message.contains(message), "{rule}: {seen_message}");
    }
    let (field, _) = refusal(&stand, &json!([{ "fault": empty }, { "fault": { "reset": {} } }])).await;
    assert_eq!(field, "[1].fault.reset");
    assert!(stand.faults.list().is_empty(), "all or nothing");
}

#[tokio::test]
async fn rules_are_taken_back_singly_or_all_at_once() {
    let stand = Stand::start().await;
    let first = stand.fault(any("*"), Respond::with(500).forever());
    stand.fault(any("*"), Respond::with(502).forever());
    let removed = stand.ask("DELETE", &format!("{FAULTS}/{}", first.0)).await;
    assert_eq!(removed.status(), 204);
    assert_eq!(stand.get("/api/v2/users/7").await.status(), 502);
    let again = stand.ask("DELETE", &format!("{FAULTS}/{}", first.0)).await;
    assert_eq!(again.status(), 404);
    assert_eq!(stand.ask("DELETE", FAULTS).await.status(), 204);
    assert_eq!(stand.get("/api/v2/users/7").await.status(), 200);
}

#[tokio::test]
async fn no_fault_reaches_the_control_itself() {
    let faults = Faults::default();
    faults.add(Respond::with(500).forever());
    let app = wrap(control_routes(faults.clone()), faults);
    let request = http::Request::get(FAULTS).body(axum::body::Body::empty());
    let answer = tower::ServiceExt::oneshot(app, request.expect("a request")).await;
    assert_eq!(answer.expect("an answer").status(), http::StatusCode::OK);
}
