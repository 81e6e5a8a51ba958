//! Jobs of which Zendesk does not tell for a while, or never: who learns what of them, and when.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use futures_util::StreamExt as _;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};
use tonic::{Code, Status};
use zendesk_gateway::config::Config;
use zendesk_gateway::error::{Error, Refusal};
use zendesk_gateway::gateway::caller::Caller;
use zendesk_gateway::proto::bulk_event::Event;
use zendesk_gateway::proto::{
    BulkItemOutcome, BulkOutcome, BulkReceipt, BulkResult, BulkStart, JobState, StreamBulkDeleteUsersRequest,
    WatchJobsRequest,
};
use zendesk_gateway::upstream::{Answer, Call};

use super::polls::{HOUR, MINUTE, deletion, no_credential, silent};
use crate::support::refused;
use crate::support::seam::{Seam, by, read, said, streamed, within};

const SECOND: Duration = Duration::from_secs(1);

/// Answers with the job of a deletion, in this state.
fn job(call: &Call, status: &Value) -> Result<Answer, Error> {
    let job = json!({"id": "V3-1", "status": status, "results": {"success": true}});
    let body =
        if call.rest.path.ends_with("show_many") { json!({"job_statuses": [job]}) } else { json!({"job_status": job}) };
    said(call, &body.to_string())
}

/// Deletes a user, and waits.
async fn delete(t: &Seam, within_time: Duration) -> BulkOutcome {
    let reply = t.rpc.bulk_delete_users(within(within_time, deletion(true))).await.expect("accepted");
    read(&reply.into_inner()).outcomes.remove(0)
}

/// Deletes a user with a stream. Returns the receipt, the results, and the end.
async fn stream(
    t: &Seam,
    first: StreamBulkDeleteUsersRequest,
) -> (Option<BulkReceipt>, Vec<BulkResult>, Option<Status>) {
    let replies = t.rpc.stream_bulk_delete_users(streamed(HOUR, &[first])).await.expect("a stream");
    let mut replies = replies.into_inner();
    let (mut receipt, mut results) = (None, Vec::new());
    while let Some(reply) = replies.next().await {
        match reply.map(|reply| read(&reply).event.expect("an event").event) {
            Ok(Some(Event::Receipt(given))) => receipt = Some(given),
            Ok(Some(Event::Outcomes(ended))) => results.extend(ended.outcomes.iter().map(BulkItemOutcome::result)),
            Ok(_) => {}
            Err(status) => return (receipt, results, Some(status)),
        }
    }
    (receipt, results, None)
}

fn one_row() -> StreamBulkDeleteUsersRequest {
    StreamBulkDeleteUsersRequest { ids: vec![11], ..Default::default() }
}

#[tokio::test(start_paused = true)]
async fn a_credential_that_is_refused_for_a_while_costs_slots_and_no_outcome() {
    for refused_for in [4, 20] {
        let began = Instant::now();
        let t = Arc::new(silent(move |call| {
            let is_refused = began.elapsed() < SECOND * refused_for;
            if is_refused { Err(no_credential()) } else { job(call, &json!("completed")) }
        }));
        let waiting = tokio::spawn({
            let t = Arc::clone(&t);
            async move { delete(&t, MINUTE).await }
        });
        sleep(SECOND * refused_for + SECOND / 2).await;
        if refused_for > 4 {
            assert_eq!(t.jobs().active, 0, "its slot is of use to others");
        }
        assert_eq!(waiting.await.expect("no panic").result(), BulkResult::Deleted);
        assert!(began.elapsed() < SECOND * (refused_for + 7), "{:?}", began.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn a_refused_credential_ends_a_stream_and_its_receipt_is_good_for_another() {
    let accepted = Arc::<AtomicU64>::default();
    let is_accepted = Arc::clone(&accepted);
    let t = silent(
        move |call| {
            if is_accepted.load(Relaxed) == 0 { Err(no_credential()) } else { job(call, &json!("completed")) }
        },
    );
    let began = Instant::now();
    let (receipt, results, end) = stream(&t, one_row()).await;
    let refused = refused(Err::<(), _>(end.expect("it does not end well")));
    assert_eq!((refused.code, refused.reason.as_str()), (Code::Internal, "CREDENTIAL_REFUSED"));
    assert!(results.is_empty(), "nobody knows yet");
    assert!((MINUTE..MINUTE + SECOND * 10).contains(&began.elapsed()), "{:?}", began.elapsed());
    // Each request with a wrong credential counts at Zendesk.
    assert!(t.hits() < 20, "{} requests", t.hits());
    accepted.store(1, Relaxed);
    let open_receipts = vec![receipt.expect("it was accepted")];
    let start = Some(BulkStart { resume_from: 1, open_receipts, dry_run: false });
    let (_, results, end) = stream(&t, StreamBulkDeleteUsersRequest { start, ..Default::default() }).await;
    assert!(end.is_none(), "{end:?}");
    assert_eq!(results, [BulkResult::Deleted]);
}

#[tokio::test(start_paused = true)]
async fn an_open_circuit_of_the_list_does_not_keep_a_job_from_being_asked_for_by_itself() {
    let t = Seam::new(&Config::default(), |call| {
        let answer = match call.rest.path.as_str() {
            path if path.ends_with("show_many") => {
                Err(Error::Server(Box::new(Refusal { status: 500, ..Refusal::default() })))
            }
            path if path.contains("job_statuses") => job(&call, &json!("completed")),
            _ => job(&call, &json!("queued")),
        };
        async move { answer }
    });
    let began = Instant::now();
    assert_eq!(delete(&t, MINUTE * 2).await.result(), BulkResult::Deleted);
    assert!((MINUTE..MINUTE + SECOND * 20).contains(&began.elapsed()), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_job_whose_results_are_too_large_is_unknown_at_once_and_costs_no_other_job() {
    let t = silent(|_| Err(Error::TooLarge { limit: 7 }));
    let began = Instant::now();
    let outcome = delete(&t, MINUTE).await;
    assert_eq!((outcome.result(), outcome.error.as_deref()), (BulkResult::Unknown, Some("BODY_TOO_LARGE")));
    assert!(outcome.details.is_some_and(|details| details.contains("upstream.max_body_bytes")));
    assert!(began.elapsed() < SECOND * 2, "{:?}", began.elapsed());
    assert_eq!(t.jobs().active, 0);

    let numbers = Arc::<AtomicU64>::default();
    let t = Seam::new(&Config::default(), move |call| {
        let target = call.rest.target();
        let known = |n: &u64| target.contains(&format!("V3-{n}-"));
        let answer = if !target.contains("job_statuses") {
            let id = format!("V3-{}-", numbers.fetch_add(1, Relaxed));
            said(&call, &json!({"job_status": {"id": id, "status": "queued"}}).to_string())
        } else if known(&5) {
            Err(Error::TooLarge { limit: 7 })
        } else {
            let ended = |n: u64| json!({"id": format!("V3-{n}-"), "status": "completed"});
            let jobs: Vec<Value> = (0..9).filter(known).map(ended).collect();
            said(&call, &json!({"job_statuses": jobs}).to_string())
        };
        async move { answer }
    });
    for _ in 0..9 {
        t.rpc.bulk_delete_users(within(MINUTE, deletion(false))).await.expect("accepted");
    }
    sleep(SECOND * 5).await;
    let counts = t.jobs();
    assert_eq!((counts.active, counts.completed, counts.followed), (0, 8, 0), "{} polls", counts.polls);
}

#[tokio::test(start_paused = true)]
async fn a_state_that_cannot_be_read_is_asked_for_again() {
    for odd in [json!([]), json!("resting"), json!({"word": "completed"}), json!(null)] {
        let began = Instant::now();
        let (first, then) = (odd.clone(), json!("completed"));
        let t = silent(move |call| job(call, if began.elapsed() < SECOND * 20 { &first } else { &then }));
        assert_eq!(delete(&t, MINUTE).await.result(), BulkResult::Deleted, "{odd}");
        // Not for ever.
        let t = silent(move |call| job(call, &odd));
        let began = Instant::now();
        let outcome = delete(&t, MINUTE * 3).await;
        assert_eq!((outcome.result(), outcome.error.as_deref()), (BulkResult::Unknown, Some("UPSTREAM_MALFORMED")));
        assert!((MINUTE..MINUTE + SECOND * 15).contains(&began.elapsed()), "{:?}", began.elapsed());
        assert_eq!(t.jobs().active, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_job_that_cannot_be_read_does_not_end_the_watch_of_others() {
    for stays in [true, false] {
        let began = Instant::now();
        let t = silent(move |call| {
            let is_odd = stays || began.elapsed() < SECOND * 5;
            let a = json!({"id": "V3-a", "status": if is_odd { json!([]) } else { json!("completed") }});
            let b = json!({"id": "V3-b", "status": if began.elapsed() < SECOND * 3 { "working" } else { "completed" }});
            let is_asked_for = |job: &Value| job["id"].as_str().is_some_and(|id| call.rest.target().contains(id));
            let jobs: Vec<Value> = [a, b].into_iter().filter(is_asked_for).collect();
            said(call, &json!({"job_statuses": jobs}).to_string())
        });
        let request = WatchJobsRequest { ids: vec!["V3-a".to_owned(), "V3-b".to_owned()] };
        let watch = t.rpc.watch_jobs(by(Caller::local(), HOUR, request)).await;
        let replies: Vec<_> = watch.expect("a stream").into_inner().collect().await;
        let (seen, ends): (Vec<_>, Vec<_>) = replies.into_iter().partition(Result::is_ok);
        let states: Vec<JobState> =
            seen.into_iter().map(|reply| read(&reply.expect("ok")).job_status.expect("set").status()).collect();
        if stays {
            assert_eq!(states, [JobState::Working, JobState::Completed]);
            let end = ends.into_iter().next().expect("the other one is never known to end");
            assert_eq!(refused(end.map(drop)).reason, "UPSTREAM_MALFORMED");
        } else {
            assert_eq!(states, [JobState::Working, JobState::Completed, JobState::Completed]);
            assert!(ends.is_empty(), "it was odd for a while only");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_list_that_contradicts_itself_about_a_job_or_tells_of_others_ends_no_watch() {
    let row = |id: &str, status: &str| json!({"id": id, "status": status});
    for (in_the_list, by_itself) in [
        (vec![row("V3-a", "working"), row("V3-a", "completed")], Some("completed")),
        (vec![row("V3-z", "completed")], Some("completed")),
        (vec![row("V3-a", "working"), row("V3-a", "completed")], None),
    ] {
        let began = Instant::now();
        let t = silent(move |call| {
            if !call.rest.path.ends_with("show_many") {
                let odd = json!({"id": "V3-z", "status": "completed"});
                return said(call, &json!({"job_status": by_itself.map_or(odd, |word| row("V3-a", word))}).to_string());
            }
            let b = row("V3-b", if began.elapsed() < SECOND * 3 { "working" } else { "completed" });
            let others = call.rest.target().contains("V3-b").then_some(b);
            let odd = in_the_list.iter().filter(|_| call.rest.target().contains("V3-a"));
            let jobs: Vec<&Value> = odd.chain(&others).collect();
            said(call, &json!({"job_statuses": jobs}).to_string())
        });
        let request = WatchJobsRequest { ids: vec!["V3-a".to_owned(), "V3-b".to_owned()] };
        let watch = t.rpc.watch_jobs(by(Caller::local(), HOUR, request)).await;
        let replies: Vec<_> = watch.expect("a stream").into_inner().collect().await;
        let (seen, ends): (Vec<_>, Vec<_>) = replies.into_iter().partition(Result::is_ok);
        let jobs = seen.into_iter().map(|reply| read(&reply.expect("ok")).job_status.expect("set"));
        let ended: Vec<String> = jobs.filter(|job| job.status() == JobState::Completed).map(|job| job.id).collect();
        if by_itself.is_some() {
            assert_eq!((ended, ends.len()), (vec!["V3-b".to_owned(), "V3-a".to_owned()], 0));
            assert!(began.elapsed() < SECOND * 20, "{:?}", began.elapsed());
        } else {
            assert_eq!(ended, ["V3-b"]);
            let end = ends.into_iter().next().expect("the other one is never told of");
            assert_eq!(refused(end.map(drop)).reason, "UPSTREAM_MALFORMED");
        }
    }
}

type Odd = fn(&Call) -> Result<Answer, Error>;

/// What Zendesk may answer for a job's own path that tells nothing of the job.
fn oddities() -> Vec<Odd> {
    fn refusal(status: u16) -> Box<Refusal> {
        Box::new(Refusal { status, ..Refusal::default() })
    }
    vec![
        |call| said(call, r#"{"job_status":{"id":"V3-z","status":"completed"}}"#),
        |_| Err(Error::Malformed(refusal(200))),
        |_| Err(Error::Redirected(refusal(302))),
        |_| Err(Error::AccountNotFound(refusal(404))),
        |_| Err(Error::Server(refusal(500))),
    ]
}

#[tokio::test(start_paused = true)]
async fn one_job_that_is_odd_in_the_list_and_by_itself_costs_no_news_of_others_and_no_slot_for_ever() {
    for odd in oddities() {
        let began = Instant::now();
        let t = silent(move |call| {
            if !call.rest.path.ends_with("show_many") {
                return odd(call);
            }
            let is_over = began.elapsed() > SECOND * 100;
            let b = json!({"id": "V3-b", "status": if is_over { "completed" } else { "working" }});
            let told = call.rest.target().contains("V3-b").then_some(b);
            said(call, &json!({"job_statuses": [null, told]}).to_string())
        });
        let request = WatchJobsRequest { ids: vec!["V3-a".to_owned(), "V3-b".to_owned()] };
        let watch = t.rpc.watch_jobs(by(Caller::local(), HOUR, request)).await;
        let replies: Vec<_> = watch.expect("a stream").into_inner().collect().await;
        let (seen, ends): (Vec<_>, Vec<_>) = replies.into_iter().partition(Result::is_ok);
        let last = seen.into_iter().next_back().expect("the other one ends").expect("ok");
        assert_eq!(read(&last).job_status.expect("set").status(), JobState::Completed);
        assert_eq!(ends.len(), 1, "the odd one is never known to end");
        // Its slot is free after a minute, too.
        let t = silent(move |call| {
            if call.rest.path.ends_with("show_many") { said(call, r#"{"job_statuses":[null]}"#) } else { odd(call) }
        });
        let began = Instant::now();
        assert_eq!(delete(&t, MINUTE * 5).await.result(), BulkResult::Unknown);
        assert!((MINUTE..MINUTE * 2).contains(&began.elapsed()), "{:?}", began.elapsed());
        assert_eq!(t.jobs().active, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_whose_job_the_list_cannot_tell_of_asks_for_it_by_itself_before_its_deadline() {
    for seconds in [5, 20] {
        let t = silent(move |call| {
            if call.rest.path.ends_with("show_many") {
                return Err(Error::Server(Box::new(Refusal { status: 500, ..Refusal::default() })));
            }
            job(call, &json!("completed"))
        });
        assert_eq!(delete(&t, SECOND * seconds).await.result(), BulkResult::Deleted, "{seconds} s");
    }
}
