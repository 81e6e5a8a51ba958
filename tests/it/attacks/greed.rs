//! One caller who takes all that it can get: the others are answered, all of them.

use std::sync::atomic::AtomicUsize;

use tonic::metadata::MetadataValue;
use tonic::{Request, Status};
use tonic_types::StatusExt as _;
use zendesk_gateway::proto::job_service_client::JobServiceClient;
use zendesk_gateway::proto::{
    BatchGetUsersRequest, BulkCreateUsersRequest, BulkUpdateUsersRequest, ListUsersRequest, SearchUsersRequest,
    UserInput, UserSearchFilter, WatchJobsRequest,
};

use super::*;

/// A call of the caller with this key.
fn of<T>(key: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("x-api-key", MetadataValue::try_from(key).expect("a key"));
    request.set_timeout(LONG);
    request
}

/// Starts a gateway with the callers `greedy` and `modest`, whose names are their keys.
async fn start(settings: &[(&str, &str)]) -> (Binary, tempfile::TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    let keys = folder.path().join("keys");
    let lines = ["greedy", "modest"].map(|name| format!("{name} {}\n", sha256(name)));
    std::fs::write(&keys, lines.concat()).expect("written");
    let config = folder.path().join("config.toml");
    let rule = "[[authorization.rules]]\ncallers = [\"*\"]\nrisks = [\"read\", \"write\", \"admin\"]\n";
    let text = format!(
        "[identity]\nmethods = [\"api_key\"]\n[identity.api_keys]\nfile = {:?}\n{rule}",
        keys.display().to_string()
    );
    std::fs::write(&config, text).expect("written");
    (Binary::read_slowly(u64::MAX, &config, settings).await, folder)
}

fn reason(status: &Status) -> String {
    status.get_details_error_info().map(|info| info.reason).unwrap_or_default()
}

fn sha256(text: &str) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes());
    digest.as_ref().iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}

fn searched(query: String) -> SearchUsersRequest {
    let filter = Some(UserSearchFilter { query: Some(query), ..UserSearchFilter::default() });
    SearchUsersRequest { filter, ..Default::default() }
}

/// One user's id, asked for by `modest`.
async fn an_id(gateway: &Binary) -> i64 {
    let mut users = gateway.users().await;
    let page = users.list_users(of("modest", ListUsersRequest::default())).await;
    page.expect("a page").into_inner().users[0].id
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow"]
async fn streams_of_one_caller_leave_room_for_everybody_else() {
    let (gateway, _folder) = start(&[("SANDBOX__JOBS__QUEUED_FOR", "5m")]).await;
    let id = an_id(&gateway).await;
    let mut modest = gateway.users().await;
    let change = UserInput { notes: Some("n".to_owned()), ..UserInput::default() };
    let job = BulkUpdateUsersRequest { ids: vec![id], user: Some(change), ..Default::default() };
    let mut begun = gateway.users().await;
    let job = begun.bulk_update_users(of("greedy", job)).await.expect("a job").into_inner().jobs[0].clone();
    let ids = vec![job.job.expect("accepted").id];
    let (mut watches, mut refused, mut connections) = (Vec::new(), 0, Vec::new());
    for _ in 0..7 {
        let endpoint = tonic::transport::Endpoint::from_shared(format!("http://{}", gateway.address)).expect("a URI");
        connections.push(JobServiceClient::new(endpoint.connect().await.expect("it listens")));
    }
    for number in 0..512 {
        let mut jobs = connections[number / 80].clone();
        match jobs.watch_jobs(of("greedy", WatchJobsRequest { ids: ids.clone() })).await {
            Ok(watch) => watches.push(watch),
            Err(status) => {
                assert_eq!((status.code(), &*reason(&status)), (Code::ResourceExhausted, "CALLER_LIMIT"), "{status}");
                assert!(status.get_details_retry_info().is_some(), "{status:?}");
                refused += 1;
            }
        }
    }
    assert_eq!((watches.len(), refused), (128, 384), "as callers.max_streams says");
    for _ in 0..100 {
        let read = of("modest", GetUserRequest { id, ..Default::default() });
        modest.get_user(read).await.expect("all calls of others are answered");
    }
    drop(watches);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow"]
async fn a_short_budget_is_shared_between_callers_and_not_by_who_asks_most() {
    // Twenty requests a second at most, of which the greedy one would take all, again and again.
    let (gateway, _folder) = start(&[("SANDBOX__RATE_LIMIT", "600"), ("UPSTREAM__QUEUE__PERMITS", "4")]).await;
    let over = Arc::new(AtomicBool::new(false));
    let mut greedy = JoinSet::new();
    for number in 0..200 {
        let (mut users, over) = (gateway.users().await, Arc::clone(&over));
        greedy.spawn(async move {
            let mut answered = 0;
            while !over.load(Ordering::Relaxed) {
                // A search each, so no two share an answer.
                let query = format!("name:{number}-{answered}");
                let search = searched(query);
                let mut search = of("greedy", search);
                search.set_timeout(Duration::from_secs(20));
                match users.search_users(search).await {
                    Ok(_) => answered += 1,
                    Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
                }
            }
            answered
        });
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    let (mut modest, mut slowest) = (gateway.users().await, Duration::ZERO);
    for number in 0..10 {
        let query = format!("name:modest-{number}");
        let search = searched(query);
        let began = Instant::now();
        let answer = modest.search_users(of("modest", search)).await;
        answer.unwrap_or_else(|status| panic!("call {number} of the modest one is refused: {status}"));
        slowest = slowest.max(began.elapsed());
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    over.store(true, Ordering::Relaxed);
    let greedy: i32 = greedy.join_all().await.into_iter().sum();
    println!("a modest caller's slowest of 10 reads: {slowest:?}, beside {greedy} of a greedy one's");
    assert!(greedy > 10, "{greedy}");
    // It waits for one of the greedy one's, not for all of them.
    assert!(slowest < Duration::from_secs(5), "{slowest:?}");
}

/// It holds every connection there may be, and has a call on each so often that none is ever idle for long.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow"]
async fn connections_of_one_caller_in_use_again_and_again_leave_room_for_others() {
    const MOST: usize = 96;
    let settings = [("SERVER__MAX_CONNECTIONS", &*MOST.to_string()), ("TELEMETRY__LOG_FILTER", "warn")];
    let (gateway, _folder) = start(&settings).await;
    let id = an_id(&gateway).await;
    let get = move |key: &str| of(key, GetUserRequest { id, ..Default::default() });
    let (over, mut greedy) = (Arc::new(AtomicBool::new(false)), JoinSet::new());
    let answered = Arc::new(AtomicUsize::new(0));
    for _ in 0..MOST {
        let endpoint = tonic::transport::Endpoint::from_shared(format!("http://{}", gateway.address)).expect("a URI");
        let mut users = UserServiceClient::new(endpoint.connect_lazy());
        let (over, answered) = (Arc::clone(&over), Arc::clone(&answered));
        greedy.spawn(async move {
            // Whoever is turned away comes again.
            while !over.load(Ordering::Relaxed) {
                let done = users.get_user(get("greedy")).await.is_ok();
                answered.fetch_add(usize::from(done), Ordering::Relaxed);
                tokio::time::sleep(Duration::from_millis(400)).await;
            }
        });
    }
    crate::support::until(|| answered.load(Ordering::Relaxed) > 3 * MOST).await;
    let mut times = Vec::new();
    for number in 0..12 {
        let began = Instant::now();
        let mut modest = gateway.users().await;
        let answer = modest.get_user(get("modest")).await;
        answer.unwrap_or_else(|status| panic!("newcomer {number} is not let in: {status}"));
        times.push(began.elapsed());
    }
    over.store(true, Ordering::Relaxed);
    greedy.join_all().await;
    let slowest = times.iter().max().expect("some");
    println!("12 newcomers beside a caller on all {MOST} connections: within {slowest:?}");
    assert!(*slowest < Duration::from_secs(3), "{times:?}");
}

/// They are one record to Zendesk, so all but one of them is asked for with it.
#[tokio::test(flavor = "multi_thread")]
async fn thousands_of_spellings_of_one_external_id_hold_up_nobody() {
    let gateway = Binary::start(&[("TELEMETRY__LOG_FILTER", "warn"), ("SERVER__WORKERS", "1")]).await;
    let mut users = gateway.users().await;
    // Fourteen letters have as many spellings.
    let spelling = |number: usize| -> String {
        let letter = |at: u8| char::from(if number >> at & 1 == 0 { b'a' + at } else { b'A' + at });
        "-".repeat(380) + &(0..14).map(letter).collect::<String>()
    };
    let external_ids: Vec<String> = (0..10_000).map(spelling).collect();
    let began = Instant::now();
    let request = BatchGetUsersRequest { external_ids: external_ids.clone(), ..Default::default() };
    let reply = users.batch_get_users(request).await.expect("an answer").into_inner();
    println!("10,000 spellings of one id took {:?}", began.elapsed());
    assert_eq!(reply.missing_external_ids, external_ids, "each in its place");
    // Compared with each other, they took several times as long.
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
}

/// One call of some hundred bytes, packed, has ten thousand rows that are checked and refused.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow"]
async fn thousands_of_wrong_rows_hold_up_nobody() {
    let gateway = Binary::start(&[("TELEMETRY__LOG_FILTER", "warn"), ("SERVER__WORKERS", "1")]).await;
    let id = gateway.ids().await[0];
    let (mut users, mut other) = (gateway.users().await, gateway.users().await);
    let get = || GetUserRequest { id, ..Default::default() };
    users.get_user(get()).await.expect("a read");
    let row = UserInput { name: Some("N".to_owned()), email: Some("no address".to_owned()), ..Default::default() };
    let wrong = BulkCreateUsersRequest { users: vec![row; 10_000], ..Default::default() };
    let began = Instant::now();
    let bulk = tokio::spawn(async move { (other.bulk_create_users(wrong).await, began.elapsed()) });
    let mut longest = Duration::ZERO;
    while !bulk.is_finished() {
        let began = Instant::now();
        users.get_user(get()).await.expect("a read");
        longest = longest.max(began.elapsed());
    }
    let (refused, took) = bulk.await.expect("no panic");
    assert_eq!(refused.expect_err("no row is right").code(), Code::InvalidArgument);
    println!("the check took {took:?}, and another's read {longest:?} at most");
    assert!(longest < took / 2, "{longest:?} of {took:?}");
}
