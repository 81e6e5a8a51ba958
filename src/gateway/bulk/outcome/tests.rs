//! Outcomes for each kind of job, each shape of results, and too few or too many results.

use serde_json::{Value, json};

use super::*;
use crate::error::Refusal;

mod odd;
mod size;

/// The keys of inputs that are identified by id.
fn of_ids(ids: &[i64]) -> Vec<Key> {
    ids.iter().map(|id| Key { id: Some(*id), ..Key::default() }).collect()
}

fn of_texts(texts: &[(Option<&str>, Option<&str>)]) -> Vec<Key> {
    let key = |(email, external_id): &(Option<&str>, Option<&str>)| Key {
        id: None,
        email: email.map(str::to_owned),
        external_id: external_id.map(str::to_owned),
    };
    texts.iter().map(key).collect()
}

/// Consecutive inputs.
fn items(keys: &[Key], first: i64) -> Items {
    let indices: Vec<i64> = (first..).take(keys.len()).collect();
    Items { first, rows: i32::try_from(keys.len()).expect("few"), indices, keys: keys.to_vec() }
}

fn job(status: &str, results: &Value) -> Job {
    let job = json!({"id": "V3-1", "status": status, "results": results, "message": "Stopped at noon"});
    crate::json::decode(job.to_string().as_bytes()).expect("a job").0
}

fn outcomes(kind: Kind, status: &str, results: &Value, keys: &[Key]) -> Vec<BulkItemOutcome> {
    let job = job(status, results);
    of_job(kind, &job, &job.results, &items(keys, 0))
}

/// The results as letters, with the id where there is one: `C7 U F ?`.
fn letters(outcomes: &[BulkItemOutcome]) -> String {
    let letter = |outcome: &BulkItemOutcome| match outcome.result() {
        BulkResult::Created => "C",
        BulkResult::Updated => "U",
        BulkResult::Deleted => "D",
        BulkResult::Failed => "F",
        BulkResult::Unknown => "?",
        BulkResult::Pending => "P",
        BulkResult::NotSent | BulkResult::Unspecified => "!",
    };
    let told = |outcome: &BulkItemOutcome| {
        format!("{}{}", letter(outcome), outcome.id.map(|id| id.to_string()).unwrap_or_default())
    };
    outcomes.iter().map(told).collect::<Vec<_>>().join(" ")
}

#[track_caller]
fn check(kind: Kind, keys: &[Key], rows: &[(Value, &str)]) {
    for (results, wanted) in rows {
        let told = outcomes(kind, "completed", results, keys);
        assert_eq!(letters(&told), *wanted, "{kind:?}: {results}");
        for outcome in told {
            let is_unknown = outcome.result() == BulkResult::Unknown;
            assert_eq!(outcome.error.as_deref() == Some("JOB_FAILED"), is_unknown, "{outcome:?}");
        }
    }
}

#[test]
fn created_users_are_counted_and_their_failures_are_told_by_index() {
    let created = |id: i64| json!({"id": id, "status": "Created"});
    let failed = |index: i64| json!({"index": index, "error": "UserCreateError", "details": "d"});
    let keys = of_texts(&[(Some("a@x"), None), (None, None), (Some("c@x"), Some("C"))]);
    let rows = [
        (json!([created(93), created(91), created(92)]), "C C C"),
        (json!([created(93), failed(1), created(92)]), "C F C"),
        (json!([failed(2), created(91), failed(0)]), "F C91 F"),
        (json!([failed(2), failed(1), failed(0)]), "F F F"),
        // Missing, repeated, too many.
        (json!([]), "? ? ?"),
        (Value::Null, "? ? ?"),
        (json!([created(91), created(92)]), "? ? ?"),
        (json!([created(91), failed(1)]), "? F ?"),
        (json!([created(91), created(92), created(92)]), "? ? ?"),
        (json!([created(91), created(92), created(93), created(93)]), "C C C"),
        (json!([created(91), created(92), created(93), created(94)]), "? ? ?"),
        (json!([created(91), created(92), failed(1), failed(1)]), "C F C"),
        // Results whose words or ids do not show an end.
        (json!([created(91), created(92), {"id": 93, "status": "Skipped"}]), "? ? ?"),
        (json!([created(91), created(92), {"id": 93, "status": "Updated"}]), "? ? ?"),
        (json!([created(91), created(92), {"id": 93}]), "? ? ?"),
        (json!([{"status": "Created"}, {"status": "Created"}, {"status": "Created"}]), "? ? ?"),
        (json!([{}, {}, {}]), "? ? ?"),
        (json!({"success": true}), "? ? ?"),
        (json!([created(91), created(92), {"id": 93, "status": "Created", "error": "E"}]), "? ? ?"),
        // A failure whose id may be a position: only for upserts it is one.
        (json!([created(91), created(92), {"id": 1, "error": "E", "status": "Failed"}]), "? ? ?"),
        // A position that the job does not have, and positions with two ends.
        (json!([created(91), created(92), failed(3)]), "? ? ?"),
        (json!([created(91), created(92), created(93), failed(3)]), "? ? ?"),
        (json!([created(91), created(92), failed(1), {"index": 1, "id": 95, "status": "Created"}]), "? ? ?"),
        (json!([created(91), failed(1), {"index": 1, "id": 95, "status": "Created"}]), "? ? ?"),
        // Results that name their input, although results of this kind need not.
        (json!([{"id": 91, "status": "Created", "email": " C@X"}, created(92), created(93)]), "C C C91"),
        (json!([{"id": 91, "index": 0, "status": "Created", "email": "c@x"}, created(92), created(93)]), "? ? ?"),
    ];
    check(Kind::Create, &keys, &rows);
}

#[test]
fn memberships_are_told_by_index() {
    let created = |index: i64| json!({"index": index, "id": 90 + index, "status": "Created"});
    let failed = |index: i64| json!({"index": index, "error": "E", "details": "d"});
    let keys = vec![Key::default(); 3];
    let rows = [
        (json!([created(2), created(0), created(1)]), "C90 C91 C92"),
        (json!([created(2), failed(0)]), "F ? C92"),
        (json!([created(0), created(0), failed(2)]), "C90 ? F"),
        (json!([created(0), {"index": 0, "id": 99, "status": "Created"}, created(1), created(2)]), "? C91 C92"),
        (json!([created(0), failed(0), created(1), created(2)]), "? C91 C92"),
        (json!([created(0), created(1), created(3)]), "C90 C91 ?"),
        (json!([created(0), created(1), {"index": -1, "id": 92, "status": "Created"}]), "C90 C91 ?"),
        // As the vendor's specification gives a created resource.
        (json!([{"index": 1, "id": 91}, {"index": 0, "id": 90}, {"index": 2, "error": "E"}]), "C90 C91 F"),
        (json!([created(0), created(1), {"id": 92, "status": "Created"}]), "C90 C91 C92"),
    ];
    check(Kind::Create, &keys, &rows);
}

#[test]
fn upserts_by_external_id_are_read_in_the_order_of_the_request() {
    let (created, updated) =
        (|id: i64| json!({"id": id, "status": "Created"}), |id: i64| json!({"id": id, "status": "Updated"}));
    let failed = |id: i64| json!({"id": id, "error": "UserUpdateError", "details": "d", "status": "Failed"});
    let keys = of_texts(&[(None, Some("a")), (None, Some("b")), (None, Some("c")), (None, Some("d"))]);
    let rows = [
        (json!([updated(91), updated(92), created(93), created(94)]), "U91 U92 C93 C94"),
        (json!([updated(91), failed(1), created(93), created(94)]), "U91 F C93 C94"),
        (json!([failed(0), failed(1), failed(2), failed(3)]), "F F F F"),
        // A small id of a record that was updated is no position.
        (json!([updated(3), updated(2), created(1), created(4)]), "U3 U2 C1 C4"),
        // Nothing about one of them.
        (json!([updated(91), {"id": 92, "status": "Skipped"}, created(93), created(94)]), "U91 ? C93 C94"),
        // Fewer or more results than inputs, or equal ones: only a name, or results that all say the same, prove an end.
        (json!([updated(91), updated(92), created(93)]), "? ? ? ?"),
        (json!([updated(91), failed(1), created(93)]), "? F ? ?"),
        (json!([updated(91), updated(92), created(93), created(93)]), "? ? ? ?"),
        (json!([updated(91), updated(92), created(93), created(94), created(95)]), "? ? ? ?"),
        (json!([created(91), created(92), created(93), created(94), created(94)]), "C C C C"),
        (json!([]), "? ? ? ?"),
        (Value::Null, "? ? ? ?"),
        (json!({"success": true}), "? ? ? ?"),
        // A failure that is not at its position: the results are in another order.
        (json!([updated(91), created(93), failed(1), created(94)]), "? F ? ?"),
        (json!([updated(91), updated(92), updated(93), failed(2)]), "U U F U"),
        (json!([updated(91), updated(92), created(93), {"error": "E", "status": "Failed"}]), "? ? ? ?"),
        (json!([updated(91), updated(92), created(93), failed(4)]), "? ? ? ?"),
        (json!([updated(91), updated(92), created(93), {"status": "Created"}]), "? ? ? ?"),
    ];
    check(Kind::CreateOrUpdate, &keys, &rows);
}

#[test]
fn upserts_by_id_are_told_by_their_id_and_never_by_that_of_another() {
    let keys = [of_ids(&[700, 1]), of_texts(&[(Some("c@x"), None)])].concat();
    let done = |id: i64| json!({"id": id, "status": "Updated"});
    let created = |id: i64| json!({"id": id, "status": "Created", "email": "c@x"});
    let failed = |id: i64| json!({"id": id, "status": "Failed", "error": "E", "details": "d"});
    let rows = [
        (json!([done(700), done(1), created(90)]), "U700 U1 C90"),
        (json!([created(90), done(1), done(700)]), "U700 U1 C90"),
        // A failure tells its position, or the id of its row.
        (json!([failed(0), done(1), created(90)]), "F700 U1 C90"),
        (json!([done(700), failed(1), created(90)]), "U700 F1 C90"),
        (json!([failed(700), done(1), created(90)]), "F700 U1 C90"),
        (json!([done(700), done(1), failed(2)]), "U700 U1 F"),
        // It can be either, of two rows, or neither.
        (json!([done(700), created(90)]), "U700 ?1 C90"),
        (json!([done(700), done(5), created(90)]), "U700 ?1 C90"),
        (json!([done(5), done(1), created(90)]), "?700 U1 C90"),
        (json!([done(1), done(700), created(90)]), "U700 U1 C90"),
        (json!([done(700), done(700), created(90)]), "U700 ?1 C90"),
        // Somebody is told as updated and as created.
        (json!([done(700), done(1), {"id": 700, "status": "Updated", "email": "c@x"}]), "?700 U1 ?"),
    ];
    check(Kind::CreateOrUpdate, &keys, &rows);
    // An id that is the position of another row.
    let swapped = of_ids(&[1, 5]);
    let rows = [(json!([failed(1), done(5)]), "?1 ?5"), (json!([done(1), failed(5)]), "U1 F5")];
    check(Kind::CreateOrUpdate, &swapped, &rows);
    let only = of_ids(&[700, 800]);
    check(
        Kind::CreateOrUpdate,
        &only,
        &[(json!([done(700), done(900)]), "U700 ?800"), (json!([done(800), done(700)]), "U700 U800")],
    );
}

#[test]
fn upserts_are_told_by_address_wherever_the_results_stand() {
    let told = |id: i64, status: &str, email: &str| json!({"id": id, "status": status, "email": email});
    let nameless = |id: i64, status: &str| json!({"id": id, "status": status});
    let keys = of_texts(&[(Some("a@x"), None), (Some("B@x"), Some("b")), (None, Some("c"))]);
    let rows = [
        (json!([told(91, "Updated", "A@X"), told(92, "Created", "b@x"), nameless(93, "Created")]), "U91 C92 C93"),
        // An address that no input has: the user's primary one.
        (json!([told(91, "Updated", "a@x"), told(92, "Updated", "primary@x"), nameless(93, "Created")]), "U91 U92 C93"),
        // A created user has the address that was given, so another address belongs to another input.
        (json!([told(91, "Updated", "a@x"), told(92, "Created", "y@x"), nameless(93, "Created")]), "U91 ? ?"),
        // An external id that no input has is another user's.
        (
            json!([told(91, "Updated", "a@x"), {"id": 92, "status": "Updated", "external_id": "z"}, nameless(93, "Created")]),
            "U91 ? ?",
        ),
        // No result names an input, and two have foreign addresses: these may be the results of another job.
        (json!([told(91, "Updated", "x@x"), told(92, "Updated", "y@x"), nameless(93, "Created")]), "? ? ?"),
        // In another order, names still prove ends, and the one result left belongs to the one input left.
        (json!([told(92, "Created", "b@x"), told(91, "Updated", "a@x"), nameless(93, "Created")]), "U91 C92 C93"),
        (json!([told(92, "Created", "b@x"), nameless(93, "Created"), told(91, "Updated", "a@x")]), "U91 C92 C93"),
        // An address that no input has, in results that are not in the order of the request, may belong to any input.
        (json!([told(92, "Created", "b@x"), told(91, "Updated", "primary@x"), nameless(93, "Created")]), "? C92 ?"),
        (json!([nameless(93, "Created"), told(92, "Created", "b@x")]), "? C92 ?"),
        (json!([told(91, "Updated", "a@x"), told(91, "Updated", "a@x"), told(92, "Created", "b@x")]), "U91 C92 ?"),
        // Two ends of one input.
        (json!([told(91, "Updated", "a@x"), told(91, "Created", "a@x"), told(92, "Created", "b@x")]), "? C92 ?"),
        // One result with the names of two inputs.
        (
            json!([told(91, "Updated", "a@x"), {"id": 92, "status": "Created", "email": "b@x", "external_id": "C"}]),
            "U91 ? ?",
        ),
        (json!([{"id": 93, "status": "Updated", "external_id": "C"}]), "? ? U93"),
    ];
    check(Kind::CreateOrUpdate, &keys, &rows);
}

#[test]
fn updates_are_told_by_id() {
    let updated = |id: i64| json!({"id": id, "action": "update", "status": "Updated", "success": true});
    let failed = |index: i64, id: i64| json!({"index": index, "id": id, "error": "E", "details": "d"});
    // Ids that could be mistaken for positions.
    let keys = of_ids(&[2, 0x5_0000_0000, 1]);
    let (a, b, c) = (2, 0x5_0000_0000, 1);
    let all = format!("U{a} U{b} U{c}");
    let rows = [
        (json!([updated(c), updated(a), updated(b)]), all.as_str()),
        (json!([updated(c), updated(a), updated(b), updated(b)]), all.as_str()),
        (json!([updated(c), {"id": 2, "error": "E", "success": false}, updated(b)]), "F2 U21474836480 U1"),
        (json!([failed(1, b), updated(a)]), "U2 F21474836480 ?1"),
        // A result with the position of one input and the id of another.
        (json!([failed(1, a), updated(c)]), "?2 ?21474836480 U1"),
        (json!([updated(a), updated(b), updated(99)]), "U2 U21474836480 ?1"),
        (json!([updated(a), updated(b), {"status": "Updated", "success": true}]), "U2 U21474836480 ?1"),
        (json!([updated(a), failed(1, b), {"id": 1, "status": "Deleted", "success": true}]), "U2 F21474836480 ?1"),
        (json!([updated(a), failed(1, b), {"id": 1, "action": "update", "success": true}]), "U2 F21474836480 U1"),
        (json!([updated(a), failed(1, b), {"id": 1, "action": "merge", "success": true}]), "U2 F21474836480 ?1"),
        (json!([updated(a), failed(1, b), {"id": 1, "success": true}]), "U2 F21474836480 U1"),
        (json!([updated(a), updated(b), {"id": 1, "status": "Updated", "success": false}]), "U2 U21474836480 ?1"),
        (json!([updated(a), failed(0, a), updated(b), updated(c)]), "?2 U21474836480 U1"),
        (json!({"success": true}), "?2 ?21474836480 ?1"),
        (Value::Null, "?2 ?21474836480 ?1"),
    ];
    check(Kind::Update, &keys, &rows);
    let one_by_external_id = [of_ids(&[91]), of_texts(&[(None, Some("b"))])].concat();
    check(
        Kind::Update,
        &one_by_external_id,
        &[(json!([updated(92), updated(91)]), "U91 U92"), (json!([updated(92), updated(93)]), "?91 ?")],
    );
}

#[test]
fn deletions_are_told_by_id_by_count_or_all_at_once() {
    let deleted = |id: i64| json!({"id": id, "action": "delete", "status": "Deleted", "success": true});
    let failed = |index: i64| json!({"index": index, "error": "E"});
    let rows = [
        (json!([deleted(92), deleted(91)]), "D91 D92"),
        (json!([deleted(92), failed(0)]), "F91 D92"),
        (json!([deleted(92)]), "?91 D92"),
        (json!({"success": true}), "D91 D92"),
        (json!({"success": false}), "?91 ?92"),
        (json!([{"success": true}, {"success": true}]), "?91 ?92"),
        (json!([{"success": true}]), "?91 ?92"),
        (json!({"success": true, "status": "Deleted"}), "?91 ?92"),
        (json!([]), "?91 ?92"),
        // What a deletion cannot do.
        (json!([deleted(91), {"id": 92, "status": "Updated", "success": true}]), "D91 ?92"),
    ];
    check(Kind::Delete, &of_ids(&[91, 92]), &rows);
    let rows = [
        (json!([deleted(92), deleted(91)]), "D D"),
        (json!([deleted(92), failed(0)]), "F D92"),
        (json!([deleted(92), deleted(92)]), "? ?"),
        (json!([deleted(91), deleted(92), deleted(93)]), "? ?"),
        (json!([{"external_id": "B", "id": 92, "status": "Deleted"}, deleted(91)]), "D91 D92"),
        (json!([{"external_id": "x", "id": 92, "status": "Deleted"}, deleted(91)]), "? ?"),
    ];
    check(Kind::Delete, &of_texts(&[(None, Some("a")), (None, Some("b"))]), &rows);
}

#[test]
fn the_only_result_of_the_only_input_needs_no_name() {
    let one = of_texts(&[(None, None)]);
    check(Kind::Create, &one, &[(json!([{"id": 9, "status": "Created"}]), "C9"), (json!([{"error": "E"}]), "F")]);
    check(Kind::Create, &one, &[(json!({"success": true}), "C"), (json!({"success": false}), "F")]);
    let one = of_texts(&[(None, Some("a"))]);
    check(
        Kind::CreateOrUpdate,
        &one,
        &[(json!([{"id": 9, "status": "Updated"}]), "U9"), (json!({"success": true}), "?")],
    );
    check(
        Kind::Delete,
        &of_ids(&[9]),
        &[(json!({"success": true}), "D9"), (json!([{"id": 8, "status": "Deleted"}]), "?9")],
    );
}

#[test]
fn a_job_that_was_broken_off_proves_only_what_has_a_name() {
    let created = |id: i64| json!({"id": id, "status": "Created"});
    let keys = of_texts(&[(None, Some("a")), (None, Some("b"))]);
    let results = json!([created(91), created(92)]);
    for status in ["failed", "killed"] {
        for kind in [Kind::Create, Kind::CreateOrUpdate] {
            let told = outcomes(kind, status, &results, &keys);
            assert_eq!(letters(&told), "? ?", "{status} {kind:?}");
            assert_eq!(told[0].details.as_deref(), Some("Stopped at noon"));
        }
        let named = json!([{"index": 1, "error": "E", "details": "d"}]);
        let told = outcomes(Kind::Create, status, &named, &keys);
        assert_eq!((letters(&told).as_str(), told[1].details.as_deref()), ("? F", Some("d")));
        let told = outcomes(Kind::Delete, status, &json!({"success": true}), &of_ids(&[1, 2]));
        assert_eq!(letters(&told), "?1 ?2");
    }
    let told = outcomes(Kind::Create, "working", &results, &keys);
    assert_eq!(letters(&told), "P P");
}

#[test]
fn outcomes_carry_the_index_in_the_whole_request_and_what_the_result_says() {
    let keys = of_texts(&[(Some("A@x"), None), (None, Some("b"))]);
    let results = json!([
        {"id": 9, "status": "Updated", "email": "a@x"},
        {"id": 1, "error": "UserUpdateError", "details": "Email: b is not properly formatted", "status": "Failed"},
    ]);
    let job = job("completed", &results);
    let told = of_job(Kind::CreateOrUpdate, &job, &job.results, &items(&keys, 200));
    let wanted = [
        BulkItemOutcome {
            index: 200,
            result: BulkResult::Updated.into(),
            id: Some(9),
            email: Some("a@x".to_owned()),
            job_id: Some("V3-1".to_owned()),
            ..BulkItemOutcome::default()
        },
        BulkItemOutcome {
            index: 201,
            result: BulkResult::Failed.into(),
            external_id: Some("b".to_owned()),
            error: Some("UserUpdateError".to_owned()),
            details: Some("Email: b is not properly formatted".to_owned()),
            job_id: Some("V3-1".to_owned()),
            ..BulkItemOutcome::default()
        },
    ];
    assert_eq!(told, wanted);
}

#[test]
fn an_input_that_was_not_sent_says_what_stopped_it() {
    let told = |stopped_by: Option<&Error>| not_sent(stopped_by, &items(&[Key::default()], 7)).remove(0);
    let word = |stopped_by: Option<&Error>| told(stopped_by).error.expect("a word");
    assert_eq!(word(None), "DEADLINE_EXCEEDED");
    assert_eq!(word(Some(&Error::AttemptTimeout)), "UPSTREAM_TIMEOUT");
    let stopped = told(Some(&Error::AttemptTimeout));
    assert_eq!((stopped.result(), stopped.index), (BulkResult::NotSent, 7));
    let refusal = |status: u16| Box::new(Refusal { status, code: Some("Word".to_owned()), ..Refusal::default() });
    let told = |error: &Error| {
        let (result, word, _) = result_of(error);
        (result, word)
    };
    assert_eq!(told(&Error::JobLimit(refusal(429))), (BulkResult::NotSent, "JOB_LIMIT".to_owned()));
    assert_eq!(told(&Error::Forbidden(refusal(403))), (BulkResult::Failed, "Word".to_owned()));
    assert_eq!(told(&Error::Conflict(refusal(409))), (BulkResult::NotSent, "CONFLICT".to_owned()));
    let lost = Error::Server(refusal(500)).as_write_error();
    assert_eq!(word(Some(&lost)), "UPSTREAM_ERROR", "the answer of another request was lost");
    assert_eq!(told(&lost), (BulkResult::Unknown, "OUTCOME_UNKNOWN".to_owned()));
}
