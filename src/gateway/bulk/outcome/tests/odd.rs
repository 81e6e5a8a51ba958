//! Outcomes of jobs of which something cannot be read.

use super::*;

#[test]
fn what_cannot_be_read_of_a_job_proves_nothing() {
    let keys = of_texts(&[(None, Some("a")), (None, Some("b"))]);
    let whole = json!([{"index": 0, "id": 91, "status": "Created"}, {"index": 1, "id": 92, "status": "Created"}]);
    assert!(!letters(&outcomes(Kind::Create, "completed", &whole, &keys)).contains('?'));
    let mut odd = whole.clone();
    odd[1]["id"] = json!({"is": 92});
    let texts = json!(["Created", "Created"]);
    for (status, results, wanted) in
        [("a word of tomorrow", &whole, "? ?"), ("completed", &odd, "C91 ?"), ("completed", &texts, "? ?")]
    {
        let told = outcomes(Kind::Create, status, results, &keys);
        assert_eq!(letters(&told), wanted, "{status} {results}");
        assert_eq!(told[1].error.as_deref(), Some("UPSTREAM_MALFORMED"));
    }
}

#[test]
fn a_result_that_cannot_be_read_costs_its_own_input_and_no_other() {
    let keys = of_ids(&[11, 12, 13]);
    let good = |id: i64| json!({"id": id, "action": "update", "status": "Updated", "success": true});
    let failed = json!({"index": 1, "error": "E", "details": "d"});
    for (odd, wanted) in [
        (json!(null), "U11 U12 ?13"),
        (json!("Updated"), "U11 U12 ?13"),
        (json!(7), "U11 U12 ?13"),
        (json!({"id": 13, "status": "Updated", "success": 1}), "U11 U12 ?13"),
        (json!({"id": 13, "status": "Updated", "success": true, "error": {"code": "E"}}), "U11 U12 ?13"),
        (json!({"id": 12, "status": "Updated", "error": []}), "U11 ?12 ?13"),
        (json!({"id": [], "status": "Updated", "success": true}), "U11 U12 ?13"),
        (json!({"id": 13, "status": "Updated", "error": false}), "U11 U12 U13"),
        (json!({"id": 13, "status": "Updated", "error": -0.0}), "U11 U12 U13"),
        (json!({"id": 13, "status": "Updated", "error": 0}), "U11 U12 U13"),
        (json!({"index": 2, "error": "E", "details": {"a": 1}}), "U11 U12 F13"),
    ] {
        for at in 0..3 {
            let mut results = vec![good(11), good(12)];
            results.insert(at, odd.clone());
            let told = outcomes(Kind::Update, "completed", &json!(results), &keys);
            assert_eq!(letters(&told), wanted, "{odd} at {at}");
            let unknown = told.iter().filter(|outcome| outcome.result() == BulkResult::Unknown);
            assert!(
                unknown.into_iter().all(|outcome| outcome.error.as_deref() == Some("UPSTREAM_MALFORMED")),
                "{told:?}"
            );
        }
    }
    let told = outcomes(Kind::Update, "completed", &json!([good(11), failed, null]), &keys);
    assert_eq!(letters(&told), "U11 F12 ?13");
    // Where results are counted, or stand in order, one that is missing may be anybody's.
    let created = |id: i64| json!({"id": id, "status": "Created"});
    let texts = of_texts(&[(Some("a@x"), None), (Some("b@x"), None)]);
    for kind in [Kind::Create, Kind::CreateOrUpdate] {
        let told = outcomes(kind, "completed", &json!([created(91), null, created(92)]), &texts);
        assert_eq!(letters(&told), "? ?", "{kind:?}");
    }
    let told = outcomes(Kind::Delete, "completed", &json!([null, {"success": true}]), &keys);
    assert_eq!(letters(&told), "?11 ?12 ?13");
    let told = outcomes(Kind::Update, "completed", &json!([good(11), null]), &of_ids(&[11]));
    assert_eq!(letters(&told), "?11", "the one that is missing was about it, too");
    let told = outcomes(Kind::Update, "completed", &json!("x"), &keys);
    assert_eq!(letters(&told), "?11 ?12 ?13");
    // Too many to tell which.
    let many: Vec<i64> = (1..=200).collect();
    let results: Vec<Value> = many.iter().map(|id| if id % 2 == 0 { json!(null) } else { good(*id) }).collect();
    let told = outcomes(Kind::Update, "completed", &json!(results), &of_ids(&many));
    assert!(told.iter().all(|outcome| outcome.result() == BulkResult::Unknown));
}
