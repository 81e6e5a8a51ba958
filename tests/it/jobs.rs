//! Watching jobs.

use std::time::Duration;

use tonic::Code;
use tonic_types::StatusExt as _;
use zendesk_gateway::proto::{
    BatchGetJobsRequest, BulkUpdateUsersRequest, GetJobRequest, JobState, UserInput, WatchJobsRequest,
};
use zendesk_gateway::sandbox;

use crate::support::{TestGateway, account, refused};

mod hanging;
mod patience;
mod polls;
mod slots;

/// Starts a job and returns its id.
async fn start_job(t: &TestGateway) -> String {
    let ids = t.sandbox.store().user_ids().into_iter().take(100).collect();
    let user = Some(UserInput { notes: Some("w".to_owned()), ..Default::default() });
    let request = BulkUpdateUsersRequest { ids, user, ..Default::default() };
    let reply = t.users().bulk_update_users(request).await.expect("accepted").into_inner();
    reply.jobs[0].job.clone().expect("set").id
}

#[tokio::test]
#[ignore = "slow"]
async fn a_watch_tells_each_change_until_all_jobs_have_ended() {
    let jobs = sandbox::Jobs { per_item: Duration::from_millis(20), ..sandbox::Jobs::default() };
    let t = TestGateway::with(sandbox::Config { jobs, ..account() }).await;
    let (one, two) = (start_job(&t).await, start_job(&t).await);
    let request = WatchJobsRequest { ids: vec![one.clone(), two.clone(), one.clone()] };
    let mut watch = t.jobs().watch_jobs(request).await.expect("a stream").into_inner();
    let mut seen = Vec::new();
    while let Some(message) = watch.message().await.expect("a message") {
        seen.push(message.job_status.expect("set"));
    }
    for id in [&one, &two] {
        let of_job: Vec<_> = seen.iter().filter(|job| job.id == *id).collect();
        assert!(of_job.len() >= 2, "seen before its end and at its end: {of_job:?}");
        assert!(of_job.windows(2).all(|pair| pair[0] != pair[1]), "only changes are told");
        assert_eq!(of_job.last().expect("some").status(), JobState::Completed);
    }
    let job = t.jobs().get_job(GetJobRequest { id: one.clone() }).await.expect("it").into_inner().job_status;
    assert_eq!(job.expect("set").progress, Some(100));
    let request = BatchGetJobsRequest { ids: vec![two.clone(), "nobody".to_owned(), one.clone()] };
    let batch = t.jobs().batch_get_jobs(request).await.expect("jobs").into_inner();
    assert_eq!(batch.job_statuses.iter().map(|job| &job.id).collect::<Vec<_>>(), [&two, &one]);
    assert_eq!(batch.missing_ids, ["nobody"]);
}

#[tokio::test]
#[ignore = "slow"]
async fn a_watch_survives_a_job_that_is_not_found_yet() {
    let jobs = sandbox::Jobs { unseen_for: Duration::from_secs(2), ..sandbox::Jobs::default() };
    let t = TestGateway::with(sandbox::Config { jobs, ..account() }).await;
    let id = start_job(&t).await;
    let mut watch = t.jobs().watch_jobs(WatchJobsRequest { ids: vec![id] }).await.expect("a stream").into_inner();
    let first = watch.message().await.expect("no error while it is unknown").expect("a job").job_status;
    assert_eq!(first.expect("set").status(), JobState::Completed);
    assert!(watch.message().await.expect("a good end").is_none());
}

#[tokio::test]
#[ignore = "slow"]
async fn a_job_that_is_never_found_is_named() {
    let t = TestGateway::start().await;
    let ids = vec!["V3-00000000000000000000000000000000".to_owned()];
    let mut watch = t.jobs().watch_jobs(WatchJobsRequest { ids: ids.clone() }).await.expect("a stream").into_inner();
    let status = watch.message().await.expect_err("it is asked for by itself in the end");
    let resource = status.get_error_details().resource_info().expect("it is named").clone();
    assert_eq!((status.code(), resource.resource_name), (Code::NotFound, format!("job_statuses/{}", ids[0])));
    assert_eq!(t.sandbox.hits(&format!("/job_statuses/{}", ids[0])), 1);
    let bad = refused(t.jobs().watch_jobs(WatchJobsRequest { ids: vec!["../x".to_owned()] }).await);
    assert_eq!(bad.fields, ["ids[0]"]);
}
