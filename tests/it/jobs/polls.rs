//! How many requests it takes to follow jobs, whoever follows them, and what each follower learns of them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::StreamExt as _;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tonic::Code;
use zendesk_gateway::config::Config;
use zendesk_gateway::error::{Error, Refusal};
use zendesk_gateway::gateway::caller::Caller;
use zendesk_gateway::proto::{
    BulkDeleteUsersRequest, BulkResult, BulkUpdateUsersRequest, Job, JobState, UserInput, WatchJobsRequest,
};
use zendesk_gateway::rpc::Rpc;
use zendesk_gateway::sandbox::{self, Sandbox};
use zendesk_gateway::upstream::judge::judge;
use zendesk_gateway::upstream::{Answer, Call};

use crate::support::seam::{Seam, by, callers, read, said, stand_in, within};
use crate::support::{account, api_token, refused};

pub const HOUR: Duration = Duration::from_hours(1);

/// What is asked about jobs: when, and with which request.
type Polls = Arc<Mutex<Vec<(Instant, String)>>>;

/// An account, a gateway before it, and what it asks about jobs; all on one clock.
struct World {
    sandbox: Arc<Sandbox>,
    t: Seam,
    rpc: Rpc,
    polls: Polls,
}

impl World {
    async fn new(account: sandbox::Config) -> Self {
        let sandbox = Arc::new(Sandbox::start(account).await.expect("a free port"));
        let (polls, zendesk) = (Polls::default(), stand_in(&sandbox));
        let noted = Arc::clone(&polls);
        let t = Seam::new(&Config::default(), move |call| {
            note(&noted, &call);
            zendesk(call)
        });
        let rpc = t.with(api_token(&sandbox));
        Self { sandbox, t, rpc, polls }
    }

    /// Starts a job that nobody waits for, and returns its id.
    async fn job(&self, caller: Caller) -> String {
        let ids = self.sandbox.store().user_ids().into_iter().take(100).collect();
        let user = Some(UserInput { notes: Some("n".to_owned()), ..UserInput::default() });
        let request = BulkUpdateUsersRequest { ids, user, ..Default::default() };
        let reply = self.rpc.bulk_update_users(by(caller, Duration::from_secs(20), request)).await.expect("accepted");
        read(&reply.into_inner()).jobs[0].job.clone().expect("set").id
    }

    /// The most polls in any minute.
    fn most_in_a_minute(&self) -> usize {
        let polls = self.polls.lock().expect("no panic");
        let minute = |from: &Instant| polls.iter().filter(|(at, _)| (*from..*from + MINUTE).contains(at)).count();
        polls.iter().map(|(at, _)| minute(at)).max().unwrap_or_default()
    }
}

pub const MINUTE: Duration = Duration::from_mins(1);

fn header((name, value): (&'static str, &'static str)) -> (HeaderName, HeaderValue) {
    (HeaderName::from_static(name), HeaderValue::from_static(value))
}

fn note(polls: &Polls, call: &Call) {
    if call.rest.path.contains("job_statuses") {
        polls.lock().expect("no panic").push((Instant::now(), call.rest.target()));
    }
}

fn jobs(queued_for: Duration, per_item: Duration) -> sandbox::Config {
    sandbox::Config { jobs: sandbox::Jobs { queued_for, per_item, ..sandbox::Jobs::default() }, ..account() }
}

/// Watches jobs, and returns each message with the time at which it came.
async fn watched(rpc: Rpc, ids: Vec<String>, time: Duration) -> Vec<(Instant, Job)> {
    let mut seen = Vec::new();
    let request = by(Caller::local(), HOUR, WatchJobsRequest { ids });
    let mut watch = rpc.watch_jobs(request).await.expect("a stream").into_inner();
    let until = Instant::now() + time;
    while let Ok(Some(message)) = tokio::time::timeout_at(until, watch.next()).await {
        let message = message.expect("no error");
        let job = read(&message).job_status.expect("set");
        seen.push((Instant::now(), job));
    }
    seen
}

#[tokio::test(start_paused = true)]
#[ignore = "slow"]
async fn five_hundred_watchers_of_thirty_jobs_learn_each_change_in_time_for_twelve_requests_a_minute() {
    let minutes = std::env::var("WATCH_MINUTES").map_or(1, |minutes| minutes.parse().expect("a number"));
    let (queued, per_item) = (Duration::from_secs(5), Duration::from_secs(30));
    // No caller has more than 28.
    let caller = callers();
    let world = World::new(jobs(queued, per_item)).await;
    let began = Instant::now();
    let mut ids = Vec::new();
    for number in 0..30 {
        ids.push(world.job(caller(&number.to_string())).await);
    }
    let mut watchers = JoinSet::new();
    for _ in 0..500 {
        watchers.spawn(watched(world.rpc.clone(), ids.clone(), MINUTE * (minutes + 1)));
    }
    let seen = watchers.join_all().await;
    let polls = world.polls.lock().expect("no panic").clone();
    let old = polls.iter().filter(|(at, _)| *at >= began + MINUTE).count();
    let young = polls.len() - old;
    println!("{young} polls in the first minute, {old} in the {minutes} after it, for {} watchers", seen.len());
    assert!(young <= 30, "{young} in the first minute");
    assert!(old <= 12 * minutes as usize, "{old} in {minutes} minutes");
    for messages in &seen {
        let mut last = HashMap::new();
        for (at, job) in messages {
            let progress = job.progress.unwrap_or_default();
            let before = last.insert(&job.id, progress);
            assert!(before.is_none_or(|before| before + 1 == progress || before == progress), "{before:?}, {progress}");
            let item = u32::try_from(progress).expect("few");
            let changed = began + if item == 0 { queued } else { queued + per_item * item };
            assert!(
                before.is_none() || *at - changed <= Duration::from_secs(10),
                "{progress} after {:?}",
                *at - changed
            );
        }
        let told = u64::try_from(last.values().sum::<i64>()).expect("few");
        let wanted = 30 * ((MINUTE * (minutes + 1)).saturating_sub(queued + Duration::from_secs(10)).as_secs() / 30);
        assert!(told >= wanted, "{told} of {wanted} changes");
    }
}

#[tokio::test(start_paused = true)]
async fn thirty_jobs_that_nobody_waits_for_share_their_requests() {
    // No caller has more than 28.
    let caller = callers();
    let world = World::new(jobs(HOUR, Duration::ZERO)).await;
    let began = Instant::now();
    for number in 0..30 {
        world.job(caller(&number.to_string())).await;
    }
    sleep(MINUTE * 2).await;
    let polls = world.polls.lock().expect("no panic").clone();
    let within = |from: u64, to: u64| {
        let (from, to) = (began + Duration::from_secs(from), began + Duration::from_secs(to));
        polls.iter().filter(|(at, _)| (from..to).contains(at)).count()
    };
    let (half, first, second) = (within(0, 30), within(0, 60), within(60, 120));
    println!("{half} polls in 30 s, {first} in the first minute, {second} in the second");
    assert!(half <= 21 && first <= 24 && second <= 6);
    assert!(polls.iter().all(|(_, target)| target.matches("V3-").count() == 30), "all with one request");
    assert_eq!((world.t.jobs().active, world.t.jobs().followed), (30, 30));
    let granted = world.t.control.snapshot().governor;
    assert_eq!(granted.interactive, 0, "they give way to what somebody waits for");
}

#[tokio::test(start_paused = true)]
async fn requests_about_jobs_take_a_twentieth_of_a_small_account() {
    for (limit, most) in [(200, 10), (700, 35)] {
        let world = World::new(sandbox::Config { rate_limit: limit, ..jobs(Duration::ZERO, MINUTE) }).await;
        for _ in 0..5 {
            world.job(Caller::local()).await;
        }
        let ids = vec![world.job(Caller::local()).await];
        let mut watchers = JoinSet::new();
        for _ in 0..40 {
            // Each new one wants to know how the job is, now.
            sleep(Duration::from_secs(2)).await;
            watchers.spawn(watched(world.rpc.clone(), ids.clone(), Duration::from_secs(30)));
        }
        let seen = watchers.join_all().await;
        assert!(seen.iter().all(|seen| !seen.is_empty()), "each is told");
        let polls = world.most_in_a_minute();
        println!("{polls} polls in the fullest minute of an account with {limit} requests");
        assert!((most / 2..=most).contains(&polls), "{polls} of {limit}");
    }
}

/// With credentials of its own for each watch, passed through or of users on whose behalf it asks, a caller has as many pollers.
#[tokio::test(start_paused = true)]
async fn callers_take_turns_for_requests_about_jobs_however_many_credentials_one_of_them_uses() {
    // Of these 120 in a minute may be about jobs, and the greedy caller's hundred credentials would have 600.
    let headers = HeaderMap::from_iter([("x-rate-limit", "2400"), ("x-rate-limit-remaining", "2300")].map(header));
    let ends = Arc::<Mutex<Option<Instant>>>::default();
    let (answers, ended) = (Arc::clone(&ends), |ends: &Mutex<Option<Instant>>| *ends.lock().expect("no panic"));
    let t = Seam::new(&Config::default(), move |call: Call| {
        let target = call.rest.target();
        let ids = target.rsplit_once("ids=").map(|(_, ids)| ids.replace("%2C", ",")).unwrap_or_default();
        let has_ended = ids == "modest" && ended(&answers).is_some_and(|at| at <= Instant::now());
        let status = if has_ended { "completed" } else { "working" };
        let job = |id: &str| json!({ "id": id, "status": status, "results": [] });
        let jobs = json!({ "job_statuses": ids.split(',').map(job).collect::<Vec<_>>() }).to_string();
        let answer = judge(&call, StatusCode::OK, &headers, jobs.as_bytes());
        async move { answer }
    });
    let caller = callers();
    let watch = |credential: &str, caller: Caller, id: String| {
        let rpc = t.signed(&format!("{credential}:x"));
        async move {
            let request = by(caller, HOUR, WatchJobsRequest { ids: vec![id] });
            let mut watch = rpc.watch_jobs(request).await.expect("a stream").into_inner();
            while watch.next().await.is_some() {}
        }
    };
    let mut watchers = JoinSet::new();
    for number in 0..100 {
        watchers.spawn(watch(&format!("greedy{number}"), caller("greedy"), format!("greedy{number}")));
    }
    sleep(MINUTE).await;
    let end = Instant::now() + Duration::from_secs(2);
    *ends.lock().expect("no panic") = Some(end);
    watch("modest", caller("modest"), "modest".to_owned()).await;
    println!("the modest caller learnt of the end of its job after {:?}", end.elapsed());
    assert!(end.elapsed() < Duration::from_secs(4), "{:?}", end.elapsed());
}

#[tokio::test(start_paused = true)]
async fn nobody_asks_about_a_job_that_nobody_follows_any_more() {
    let world = World::new(jobs(HOUR, Duration::ZERO)).await;
    let id = world.job(Caller::local()).await;
    let other = Seam::new(&Config::default(), {
        let (zendesk, polls) = (stand_in(&world.sandbox), Arc::clone(&world.polls));
        move |call| {
            note(&polls, &call);
            zendesk(call)
        }
    });
    drop(world.t);
    let rpc = other.with(api_token(&world.sandbox));
    watched(rpc.clone(), vec![id.clone()], MINUTE).await;
    assert_eq!(other.jobs().followed, 0);
    let before = other.jobs().polls;
    assert!(before > 10, "it was asked about");
    sleep(MINUTE).await;
    assert_eq!(other.jobs().polls, before);
    watched(rpc, vec![id], MINUTE).await;
    assert!(other.jobs().polls > before, "and is again");
}

#[tokio::test(start_paused = true)]
async fn a_job_that_ends_fast_frees_its_slot_and_is_told_at_once() {
    let world = World::new(jobs(Duration::from_millis(20), Duration::ZERO)).await;
    world.job(Caller::local()).await;
    let counts = world.t.jobs();
    assert_eq!((counts.active, counts.started, counts.completed), (1, 1, 0));
    sleep(Duration::from_millis(260)).await;
    let counts = world.t.jobs();
    assert_eq!((counts.active, counts.completed, counts.polls, counts.followed), (0, 1, 1, 0));
    let request = BulkDeleteUsersRequest { ids: vec![11], wait: true, ..Default::default() };
    let began = Instant::now();
    world.rpc.bulk_delete_users(within(Duration::from_secs(20), request)).await.expect("done");
    assert!(began.elapsed() < Duration::from_millis(300), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_job_that_ends_between_two_polls_is_not_pending_at_the_deadline() {
    // It ends 1.1 s before the deadline, and by its age it would be asked about some seconds later.
    let world = World::new(jobs(Duration::from_millis(25_900), Duration::ZERO)).await;
    let request = BulkDeleteUsersRequest { ids: vec![11], wait: true, ..Default::default() };
    let reply = world.rpc.bulk_delete_users(within(Duration::from_secs(27), request)).await.expect("done");
    let outcomes = read(&reply.into_inner()).outcomes;
    assert_ne!(outcomes[0].result(), BulkResult::Pending, "{outcomes:?}");
}

/// Answers a poll with a job in this state, and a submission with a job.
fn answered(call: &Call, status: &serde_json::Value, results: &serde_json::Value) -> Result<Answer, Error> {
    let job = json!({"id": "V3-1", "status": status, "results": results});
    let body = match call.rest.path.as_str() {
        path if path.ends_with("show_many") => json!({ "job_statuses": [job] }),
        path if path.contains("job_statuses") => json!({ "job_status": job }),
        _ => json!({"job_status": {"id": "V3-1", "status": "queued"}}),
    };
    said(call, &body.to_string())
}

pub fn deletion(wait: bool) -> BulkDeleteUsersRequest {
    BulkDeleteUsersRequest { ids: vec![11], wait, ..Default::default() }
}

#[tokio::test(start_paused = true)]
async fn a_job_with_odd_results_has_ended_all_the_same() {
    for results in [json!("done"), json!(null), json!(["done"]), json!([null]), json!(7), json!({"success": "odd"})] {
        let shown = results.clone();
        let t = Seam::new(&Config::default(), move |call| {
            let outcome = answered(&call, &json!("completed"), &shown);
            async move { outcome }
        });
        let began = Instant::now();
        let reply = t.rpc.bulk_delete_users(within(Duration::from_secs(20), deletion(true))).await.expect("done");
        let outcomes = read(&reply.into_inner()).outcomes;
        assert!(began.elapsed() < Duration::from_secs(1), "{results}: {:?}", began.elapsed());
        assert_eq!(outcomes[0].result(), BulkResult::Unknown, "{results}");
        assert_eq!((t.jobs().active, t.jobs().completed), (0, 1), "{results}");
    }
}

/// A gateway before a Zendesk that accepts jobs and answers every question about them in one way.
pub fn silent(answer: impl Fn(&Call) -> Result<Answer, Error> + Clone + Send + Sync + 'static) -> Seam {
    let mut config = Config::default();
    // What is asked about jobs is to arrive there.
    (config.upstream.breaker.consecutive_failures, config.upstream.breaker.samples) = (u32::MAX, u32::MAX);
    Seam::new(&config, move |call| {
        let outcome = match call.rest.path.as_str() {
            path if path.contains("job_statuses") => answer(&call),
            _ => said(&call, &json!({"job_status": {"id": "V3-1", "status": "queued"}}).to_string()),
        };
        async move { outcome }
    })
}

fn refusal(status: u16) -> Box<Refusal> {
    Box::new(Refusal { status, resource: "job_statuses/V3-1".to_owned(), ..Refusal::default() })
}

pub fn no_credential() -> Error {
    Error::Credential { own: true, refusal: refusal(401) }
}

/// How long a job keeps its slot.
async fn held(t: &Seam) -> Duration {
    t.rpc.bulk_delete_users(within(Duration::from_secs(20), deletion(false))).await.expect("accepted");
    let began = Instant::now();
    timeout(HOUR / 2, async {
        while t.jobs().active > 0 {
            sleep(Duration::from_millis(50)).await;
        }
    })
    .await
    .expect("its slot is free again");
    began.elapsed()
}

#[tokio::test(start_paused = true)]
async fn a_job_that_has_vanished_frees_its_slot_after_a_minute() {
    let gone = silent(|call| {
        if call.rest.path.ends_with("show_many") {
            return said(call, r#"{"job_statuses":[]}"#);
        }
        Err(Error::NotFound(refusal(404)))
    });
    let time = held(&gone).await;
    assert!((MINUTE..MINUTE + Duration::from_secs(15)).contains(&time), "{time:?}");
    assert_eq!((gone.jobs().completed, gone.jobs().failed), (0, 0), "nobody saw it end");
}

#[tokio::test(start_paused = true)]
async fn a_job_whose_credential_is_refused_frees_its_slot_at_once() {
    let refuses = silent(|_| Err(no_credential()));
    let time = held(&refuses).await;
    assert!(time < Duration::from_secs(5), "{time:?}");
    // The credential may be accepted again, so who waits can ask for the job later.
    let other = silent(|_| Err(no_credential()));
    let reply = other.rpc.bulk_delete_users(within(Duration::from_secs(25), deletion(true))).await.expect("accepted");
    let outcomes = read(&reply.into_inner()).outcomes;
    assert_eq!(outcomes[0].result(), BulkResult::Pending, "{outcomes:?}");
}

#[tokio::test(start_paused = true)]
async fn a_job_is_asked_for_by_itself_where_the_list_fails() {
    let t = silent(|call| {
        if call.rest.path.ends_with("show_many") {
            return Err(Error::Server(refusal(500)));
        }
        answered(call, &json!("completed"), &json!([]))
    });
    let time = held(&t).await;
    assert!((MINUTE..MINUTE + Duration::from_secs(20)).contains(&time), "{time:?}");
    assert_eq!(t.jobs().completed, 1);
}

#[tokio::test(start_paused = true)]
async fn ids_that_zendesk_does_not_know_keep_nobody_elses_slots_taken() {
    let account = sandbox::Config { rate_limit: 700, ..jobs(Duration::from_secs(1), Duration::ZERO) };
    let world = World::new(account).await;
    let caller = callers();
    world.job(Caller::local()).await;
    let ids = (0..1_000).map(|number| format!("unknown-{number}")).collect();
    let request = by(caller("noisy"), HOUR, WatchJobsRequest { ids });
    let watch = world.rpc.watch_jobs(request).await.expect("a stream");
    sleep(Duration::from_secs(30)).await;
    for _ in 0..5 {
        let begun = Instant::now();
        let ids = world.sandbox.store().user_ids().into_iter().take(10).collect();
        let user = Some(UserInput { notes: Some("n".to_owned()), ..UserInput::default() });
        let request = BulkUpdateUsersRequest { ids, user, wait: true, ..Default::default() };
        let reply = world.rpc.bulk_update_users(by(caller("quiet"), MINUTE, request)).await.expect("accepted");
        let reply = read(&reply.into_inner());
        assert!(reply.outcomes.iter().all(|outcome| outcome.result() == BulkResult::Updated), "{:?}", reply.outcomes);
        // Two requests about it, each with one of the other's before it, at 35 a minute.
        assert!(begun.elapsed() < Duration::from_secs(9), "{:?}", begun.elapsed());
    }
    drop(watch);
}

#[tokio::test(start_paused = true)]
async fn an_id_that_spoils_a_request_concerns_nobody_elses_jobs() {
    let world = World::new(jobs(Duration::from_secs(40), Duration::ZERO)).await;
    let id = world.job(Caller::local()).await;
    let zendesk = stand_in(&world.sandbox);
    let t = Seam::new(&Config::default(), move |call| {
        let zendesk = zendesk.clone();
        async move {
            let spoilt = call.rest.target().contains("spoils");
            if spoilt { Err(Error::RecordInvalid(refusal(400))) } else { zendesk(call).await }
        }
    });
    let (rpc, caller) = (t.with(api_token(&world.sandbox)), callers());
    let good = tokio::spawn(watched(rpc.clone(), vec![id], MINUTE));
    sleep(Duration::from_secs(1)).await;
    let request = WatchJobsRequest { ids: vec!["spoils".to_owned()] };
    let mut bad = rpc.watch_jobs(by(caller("other"), MINUTE, request)).await.expect("a stream").into_inner();
    let refused = refused(bad.next().await.expect("an error").map(drop));
    assert_eq!((refused.code, refused.reason.as_str()), (Code::InvalidArgument, "RECORD_INVALID"));
    let seen = good.await.expect("no error");
    assert_eq!(seen.last().expect("some").1.status(), JobState::Completed);
}

#[tokio::test(start_paused = true)]
async fn a_watch_of_many_jobs_costs_no_more_requests_than_any_read_while_zendesk_fails() {
    let t = Seam::new(&Config::default(), |_| std::future::ready(Err(Error::Unavailable(refusal(503)))));
    let ids = (0..350).map(|number| format!("V3-{number}")).collect();
    let mut watch = t.rpc.watch_jobs(within(MINUTE, WatchJobsRequest { ids })).await.expect("a stream").into_inner();
    let refused = refused(watch.next().await.expect("an error").map(drop));
    assert_eq!((refused.code, refused.reason.as_str()), (Code::Unavailable, "UPSTREAM_UNAVAILABLE"));
    drop(watch);
    sleep(MINUTE).await;
    assert_eq!(t.hits(), 3, "one request and its repetitions");
}
