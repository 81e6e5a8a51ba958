//! Jobs about which Zendesk does not answer, or with an error: whom that holds up.

use std::future::pending;
use std::time::Duration;

use futures_util::StreamExt as _;
use http::StatusCode;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};
use zendesk_gateway::config::Config;
use zendesk_gateway::error::reason_of;
use zendesk_gateway::gateway::caller::Caller;
use zendesk_gateway::proto::{BulkDeleteUsersRequest, BulkResult, WatchJobsRequest};
use zendesk_gateway::upstream::Call;

use super::polls::MINUTE;
use crate::support::seam::{Seam, answered, by, callers, read, said};

/// What becomes of requests that name a job of an even number.
#[derive(Clone, Copy)]
enum Hangs {
    /// They are never answered.
    All,
    /// Those of them that are lists are not.
    Lists,
    /// Lists are answered with this status and body.
    With(StatusCode, &'static str),
}

/// A gateway before a Zendesk that does so; the other jobs have ended. The job of a deletion has the number of the user.
fn zendesk(hangs: Hangs) -> Seam {
    let job = |id: &str, status: &str| json!({"id": id, "status": status, "results": {"success": true}});
    let is_hanging = |id: &&str| id.ends_with(['0', '2', '4', '6', '8']);
    Seam::new(&Config::default(), move |call: Call| async move {
        let target = call.rest.target().replace("%2C", ",");
        let asked = target.rsplit(['/', '=']).next().unwrap_or_default().to_owned();
        let ids: Vec<&str> = asked.split(',').collect();
        let is_list = call.rest.path.ends_with("job_statuses/show_many");
        let is_about_jobs = call.rest.path.contains("job_statuses");
        if is_about_jobs && ids.iter().any(is_hanging) {
            match hangs {
                Hangs::With(status, body) if is_list => return answered(&call, status, body),
                Hangs::Lists if is_list => pending().await,
                Hangs::All => pending().await,
                Hangs::Lists | Hangs::With(..) => {}
            }
        }
        let jobs: Vec<Value> = ids.iter().map(|id| job(id, "completed")).collect();
        let body = match (is_about_jobs, is_list) {
            (true, true) => json!({ "job_statuses": jobs }),
            (true, false) => json!({ "job_status": jobs[0] }),
            (false, _) => json!({ "job_status": job(&format!("V3-{}", ids[0]), "queued") }),
        };
        said(&call, &body.to_string())
    })
}

fn deletion(id: i64, wait: bool) -> BulkDeleteUsersRequest {
    BulkDeleteUsersRequest { ids: vec![id], wait, ..Default::default() }
}

/// How another caller's deletions end, each within three seconds, while the jobs of a greedy one hang.
async fn assert_others_are_told(t: &Seam, other: impl Fn() -> Caller) {
    for number in 0..40 {
        let begun = Instant::now();
        let request = by(other(), Duration::from_secs(10), deletion(11 + number * 2, true));
        let reply = t.rpc.bulk_delete_users(request).await.expect("a slot is free");
        let outcome = read(&reply.into_inner()).outcomes.remove(0);
        assert_eq!(outcome.result(), BulkResult::Deleted, "{number} after {:?}", begun.elapsed());
        assert!(begun.elapsed() < Duration::from_secs(3), "{number}: {:?}", begun.elapsed());
        sleep(Duration::from_millis(300)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_watched_job_that_hangs_holds_up_nobody_elses() {
    for hangs in [Hangs::All, Hangs::Lists] {
        let (t, caller) = (zendesk(hangs), callers());
        let mut watches = Vec::new();
        for number in 0..5 {
            let request = WatchJobsRequest { ids: vec![format!("V3-{}", 666 + number % 2 * 2)] };
            let request = by(caller("greedy"), 10 * MINUTE, request);
            watches.push(t.rpc.watch_jobs(request).await.expect("a stream"));
        }
        sleep(Duration::from_millis(1_500)).await;
        assert_others_are_told(&t, || caller("modest")).await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_own_job_that_hangs_or_fails_the_list_holds_up_nobody_elses() {
    let cut = r#"{"job_statuses":[{"#;
    let answers = [(StatusCode::INTERNAL_SERVER_ERROR, "{}"), (StatusCode::OK, cut), (StatusCode::BAD_REQUEST, "{}")];
    let failing = answers.map(|(status, body)| Hangs::With(status, body));
    for hangs in [Hangs::All].into_iter().chain(failing) {
        let (t, caller) = (zendesk(hangs), callers());
        for id in [2, 4, 6] {
            t.rpc.bulk_delete_users(by(caller("greedy"), MINUTE, deletion(id, false))).await.expect("accepted");
        }
        assert_others_are_told(&t, || caller("modest")).await;
    }
}

#[tokio::test(start_paused = true)]
async fn where_the_list_hangs_each_job_is_told_of_by_its_own_path() {
    let (t, caller) = (zendesk(Hangs::Lists), callers());
    let request = by(caller("one"), Duration::from_secs(10), deletion(2, true));
    let outcome = read(&t.rpc.bulk_delete_users(request).await.expect("accepted").into_inner()).outcomes.remove(0);
    assert_eq!(outcome.result(), BulkResult::Deleted);
    assert_eq!(t.jobs().active, 0);
}

#[tokio::test(start_paused = true)]
async fn a_watch_learns_that_zendesk_does_not_answer_before_its_own_time_is_up() {
    let t = zendesk(Hangs::All);
    let request = by(callers()("one"), 10 * MINUTE, WatchJobsRequest { ids: vec!["V3-666".to_owned()] });
    let begun = Instant::now();
    let mut watch = t.rpc.watch_jobs(request).await.expect("a stream").into_inner();
    let status = watch.next().await.expect("it ends with an error").err().expect("nobody answers");
    assert_eq!(reason_of(&status), Some("UPSTREAM_TIMEOUT"), "{status}");
    assert!(begun.elapsed() < Duration::from_secs(40), "{:?}", begun.elapsed());
}
