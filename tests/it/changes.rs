//! Changes of users: what followers are told, and how many requests that takes, whoever they are.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures_util::StreamExt as _;
use prost_types::Timestamp;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};
use tonic::Code;
use zendesk_gateway::config::{Config, Telemetry as Settings};
use zendesk_gateway::error::reason_of;
use zendesk_gateway::gateway::caller::Caller;
use zendesk_gateway::proto::{
    BulkUpdateUsersRequest, StreamChangedUsersRequest as Request, StreamChangedUsersResponse as Reply, UserInput,
};
use zendesk_gateway::rpc::Rpc;
use zendesk_gateway::sandbox::faults::{Delay, Respond, get};
use zendesk_gateway::sandbox::{self, Sandbox};
use zendesk_gateway::upstream::Call;

use crate::support::observed::Observed;
use crate::support::seam::{Seam, by, read, said, stand_in, unavailable, within};
use crate::support::{Dynamic, TestGateway, account, api_token, refused};

const MINUTE: Duration = Duration::from_mins(1);
const DAY: Duration = Duration::from_hours(24);

/// When changes were asked for.
type Asked = Arc<Mutex<Vec<Instant>>>;

fn most_in_a_minute(asked: &Asked) -> usize {
    let asked = asked.lock().expect("no panic");
    let minute = |from: &Instant| asked.iter().filter(|at| (*from..*from + MINUTE).contains(at)).count();
    asked.iter().map(minute).max().unwrap_or_default()
}

fn since(seconds: i64, follow: bool) -> Request {
    let start_time = Some(Timestamp { seconds, nanos: 0 });
    Request { start_time, follow, ..Request::default() }
}

fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs().cast_signed()
}

/// A gateway before an account, which notes when it asks for changes.
fn before(sandbox: &Sandbox, asked: &Asked) -> (Seam, Rpc) {
    let (noted, zendesk) = (Arc::clone(asked), stand_in(sandbox));
    let seam = Seam::new(&Config::default(), move |call| {
        if call.rest.path.contains("incremental") {
            noted.lock().expect("no panic").push(Instant::now());
        }
        zendesk(call)
    });
    let rpc = seam.with(api_token(sandbox));
    (seam, rpc)
}

/// What a follower has been told, up to its last token and after it.
#[derive(Default)]
struct Told {
    notes: HashMap<i64, String>,
    rows: usize,
    token: String,
    messages: usize,
    /// After how many messages it leaves, if it does.
    leaves: Option<usize>,
}

impl Told {
    fn take(&mut self, reply: Reply) {
        assert!(reply.users.iter().map(|user| user.id).collect::<HashSet<_>>().len() == reply.users.len());
        for user in reply.users {
            self.rows += 1;
            self.notes.insert(user.id, user.notes.unwrap_or_default());
        }
        if !reply.next_page_token.is_empty() {
            self.token = reply.next_page_token;
        }
    }

    /// Follows from a request, until this time, with a pause after each message and a long one after some.
    async fn follow(&mut self, rpc: &Rpc, request: Request, until: Instant, pause: Duration) {
        let mut stream =
            rpc.stream_changed_users(by(Caller::local(), DAY, request)).await.expect("it begins").into_inner();
        while let Ok(Some(reply)) = timeout_at(until, stream.next()).await {
            self.take(read(&reply.expect("no error")));
            self.messages += 1;
            if self.leaves.is_some_and(|leaves| self.messages >= leaves) {
                return;
            }
            // Now and then it is later than all others.
            sleep(if self.messages.is_multiple_of(40) { pause * 45 } else { pause }).await;
        }
    }
}

/// For an hour of the account's time 1 % of its 25,000 users change each minute.
#[tokio::test(start_paused = true)]
#[ignore = "slow"]
async fn each_follower_sees_each_changed_user_in_its_last_state_for_ten_requests_a_minute() {
    let minutes: u32 = std::env::var("CHANGES_MINUTES").map_or(60, |minutes| minutes.parse().expect("a number"));
    let account = sandbox::Config { users: 25_000, rate_limit: 100_000, ..account() };
    let sandbox = Arc::new(Sandbox::start(account).await.expect("a free port"));
    let asked = Asked::default();
    let (_seam, rpc) = before(&sandbox, &asked);
    let began = Instant::now();
    let until = began + MINUTE * minutes + Duration::from_mins(4);

    let mut watchers = JoinSet::new();
    let start = now();
    for pause in [Duration::ZERO, Duration::from_millis(1), Duration::from_secs(1)] {
        let rpc = rpc.clone();
        watchers.spawn(async move {
            let mut told = Told::default();
            told.follow(&rpc, since(start, true), until, pause).await;
            told
        });
    }
    // One begins with everybody, and reaches the present while the others are there.
    let everybody = rpc.clone();
    watchers.spawn(async move {
        let mut told = Told::default();
        told.follow(&everybody, since(1, true), until, Duration::ZERO).await;
        told
    });
    // Of one the gateway is killed again and again, wherever it is.
    let (killed, its) = (Arc::clone(&sandbox), Asked::default());
    watchers.spawn(async move {
        let mut told = Told::default();
        let mut request = since(start, true);
        for time in 1_u64.. {
            if Instant::now() >= until {
                break;
            }
            let (seam, rpc) = before(&killed, &its);
            // Each other time amid a page.
            told.leaves = time.is_multiple_of(2).then(|| told.messages + 1 + usize::from(time.is_multiple_of(4)));
            let cut = until.min(Instant::now() + Duration::from_secs(150 + time * 37 % 201));
            told.follow(&rpc, request.clone(), cut, Duration::from_millis(3)).await;
            drop((seam, rpc));
            request = Request { page_token: told.token.clone(), follow: true, ..Request::default() };
        }
        told
    });
    let messages = Arc::<AtomicUsize>::default();
    let mut others = JoinSet::new();
    for _ in 0..100 {
        let (rpc, messages) = (rpc.clone(), Arc::clone(&messages));
        others.spawn(async move {
            let request = by(Caller::local(), DAY, since(start, true));
            let mut stream = rpc.stream_changed_users(request).await.expect("it begins").into_inner();
            while let Ok(Some(reply)) = timeout_at(until, stream.next()).await {
                reply.expect("no error");
                messages.fetch_add(1, Ordering::Relaxed);
            }
        });
    }

    let ids = sandbox.store().user_ids();
    let mut last: HashMap<i64, String> = HashMap::new();
    for minute in 0..minutes {
        for part in 0..3_usize {
            let first = (minute as usize * 977 + part * 83) % (ids.len() - 84);
            let ids = ids[first..first + 83].to_vec();
            let note = format!("{minute}.{part}");
            last.extend(ids.iter().map(|id| (*id, note.clone())));
            let user = Some(UserInput { notes: Some(note), ..UserInput::default() });
            let request = BulkUpdateUsersRequest { ids, user, wait: true, ..Default::default() };
            let reply = rpc.bulk_update_users(within(Duration::from_secs(30), request)).await.expect("accepted");
            assert_eq!(read(&reply.into_inner()).outcomes.len(), 83);
        }
        sleep_until(began + MINUTE * (minute + 1)).await;
    }
    let told = watchers.join_all().await;
    for told in &told {
        let wrong = last.iter().filter(|(id, note)| told.notes.get(id) != Some(note)).count();
        assert_eq!(wrong, 0, "of {} changed users", last.len());
    }
    others.join_all().await;
    let most = most_in_a_minute(&asked);
    let requests = asked.lock().expect("no panic").len();
    let rows: Vec<usize> = told.iter().map(|told| told.rows).collect();
    println!(
        "{} changed users, {rows:?} rows; {} messages for 100 others; {requests} requests, at most {most} a minute",
        last.len(),
        messages.load(Ordering::Relaxed)
    );
    assert!(messages.load(Ordering::Relaxed) >= 100 * minutes as usize);
    assert!(most <= 10, "{most} requests in a minute");
    assert!(requests <= 9 * minutes as usize + 60, "{requests} requests");
}

#[tokio::test(start_paused = true)]
#[ignore = "slow"]
async fn callers_who_begin_at_one_place_share_the_walk_and_nobody_asks_once_they_have_left() {
    let account = sandbox::Config { users: 2_500, ..account() };
    let sandbox = Arc::new(Sandbox::start(account).await.expect("a free port"));
    let asked = Asked::default();
    let (_seam, rpc) = before(&sandbox, &asked);
    let until = Instant::now() + Duration::from_mins(3);
    let mut watchers = JoinSet::new();
    for _ in 0..30 {
        let rpc = rpc.clone();
        watchers.spawn(async move {
            let mut told = Told::default();
            told.follow(&rpc, since(1, true), until, Duration::ZERO).await;
            told.notes.len()
        });
    }
    let all = sandbox.store().user_ids().len() + sandbox.store().deleted_user_ids().len();
    assert_eq!(watchers.join_all().await, vec![all; 30]);
    let requests = asked.lock().expect("no panic").len();
    assert!((8..=13).contains(&requests), "three pages, and three a minute after them: {requests}");
    sleep(Duration::from_mins(5)).await;
    assert_eq!(asked.lock().expect("no panic").len(), requests, "nobody wants to know any more");
}

/// Answers each request with a page of one user and the cursor after it.
fn endless(call: &Call) -> String {
    let at: u32 = call.rest.query.split(['=', '&']).nth(1).and_then(|at| at.parse().ok()).unwrap_or_default();
    json!({"users": [{"id": at + 1}], "after_cursor": (at + 1).to_string(), "end_of_stream": false}).to_string()
}

#[tokio::test(start_paused = true)]
async fn the_documented_limit_holds_where_no_answer_states_one() {
    let asked = Asked::default();
    let noted = Arc::clone(&asked);
    let seam = Seam::new(&Config::default(), move |call: Call| {
        noted.lock().expect("no panic").push(Instant::now());
        async move { said(&call, &endless(&call)) }
    });
    let mut told = Told::default();
    let until = Instant::now() + Duration::from_mins(5);
    told.follow(&seam.rpc, since(0, true), until, Duration::ZERO).await;
    assert!(most_in_a_minute(&asked) <= 10, "{}", most_in_a_minute(&asked));
    assert!((40..=51).contains(&told.notes.len()), "{} pages in five minutes", told.notes.len());
}

#[tokio::test(start_paused = true)]
async fn a_failure_ends_the_stream_and_the_token_goes_on_and_pages_without_end_are_found_out() {
    let broken = Arc::new(AtomicUsize::new(0));
    let times = Arc::clone(&broken);
    let seam = Seam::new(&Config::default(), move |call: Call| {
        let fails = call.rest.query.contains("cursor=2") && times.fetch_add(1, Ordering::Relaxed) < 4;
        async move { if fails { Err(unavailable()) } else { said(&call, &endless(&call)) } }
    });
    let stream = async |request: Request| {
        seam.rpc.stream_changed_users(within(DAY, request)).await.expect("it begins").into_inner()
    };
    let mut first = stream(since(0, false)).await;
    let mut told = Told::default();
    let error = loop {
        match first.next().await.expect("an error comes") {
            Ok(reply) => told.take(read(&reply)),
            Err(status) => break status,
        }
    };
    assert_eq!((error.code(), told.rows), (Code::Unavailable, 2));
    let mut again = stream(Request { page_token: told.token, ..Request::default() }).await;
    let reply: Reply = read(&again.next().await.expect("a message").expect("it goes on"));
    assert_eq!(reply.users[0].id, 3);

    for body in [
        r#"{"users":[{"id":1}],"after_cursor":"a","end_of_stream":false}"#,
        r#"{"users":[],"after_cursor":"a","end_of_stream":false}"#,
    ] {
        let seam = Seam::new(&Config::default(), move |call: Call| async move { said(&call, body) });
        let request = within(DAY, since(0, false));
        let stream = seam.rpc.stream_changed_users(request).await.expect("it begins").into_inner();
        let end = stream.collect::<Vec<_>>().await.pop().expect("an end");
        assert_eq!(refused(end.map(drop)).reason, "PAGINATION_LOOP", "{body}");
    }
}

#[tokio::test]
async fn deleted_users_are_told_as_such_and_a_stream_ends_at_the_present() {
    let bucket = sandbox::Bucket {
        name: "incremental-exports".to_owned(),
        method: "GET".to_owned(),
        path: "/incremental/users/cursor".to_owned(),
        total: 100_000,
        interval: MINUTE,
    };
    let t = TestGateway::with(sandbox::Config { buckets: vec![bucket], ..account() }).await;
    let client = Dynamic::new(t.channel.clone());
    let request = json!({"start_time": "1970-01-01T00:00:01Z"}).to_string();
    let replies = client.call("StreamChangedUsers", &request).await.expect("a stream");
    let users: Vec<Value> =
        replies.iter().flat_map(|reply| reply["users"].as_array().cloned().unwrap_or_default()).collect();
    let store = t.sandbox.store();
    let times: Vec<&str> = users.iter().map(|user| user["updated_at"].as_str().expect("a time")).collect();
    assert!(times.is_sorted(), "in the order in which they changed");
    let (live, deleted) = (store.user_ids(), store.deleted_user_ids());
    assert_eq!(users.len(), live.len() + deleted.len());
    let mut erased = 0;
    for user in &users {
        let id = user["id"].as_i64().expect("an id");
        let is_live = user["active"] == true;
        assert_eq!(is_live, live.contains(&id), "{user}");
        let held = store.user(id).expect("it is there");
        let is_erased = held["name"] == "Permanently Deleted User";
        let told = if is_live { json!(null) } else { json!(is_erased) };
        assert_eq!(user["permanently_deleted"], told, "{user}");
        erased += usize::from(is_erased);
    }
    assert!(erased > 0 && erased < deleted.len(), "{erased} of {}", deleted.len());
    let last = replies.last().expect("a message");
    assert_eq!(last["caught_up"], true);

    let again = json!({"page_token": last["next_page_token"]}).to_string();
    let replies = client.call("StreamChangedUsers", &again).await.expect("a stream");
    assert_eq!((replies.len(), &replies[0]["users"], &replies[0]["caught_up"]), (1, &json!(null), &json!(true)));
    client.call("UpdateUser", &json!({"id": live[0], "user": {"notes": "n"}}).to_string()).await.expect("done");
    let replies = client.call("StreamChangedUsers", &again).await.expect("a stream");
    assert_eq!(replies[0]["users"], json!(null), "Zendesk leaves the last minute out");
}

#[tokio::test(start_paused = true)]
async fn followers_learn_that_zendesk_does_not_answer_before_their_own_time_is_up() {
    let t = Seam::new(&Config::default(), |_: Call| async move { std::future::pending().await });
    let begun = Instant::now();
    let request = by(Caller::local(), DAY, since(now() - 3_600, true));
    let mut stream = t.rpc.stream_changed_users(request).await.expect("it begins").into_inner();
    let status = stream.next().await.expect("it ends with an error").err().expect("nobody answers");
    assert_eq!(reason_of(&status), Some("UPSTREAM_TIMEOUT"), "{status}");
    assert!(begun.elapsed() < MINUTE, "{:?}", begun.elapsed());
}

#[tokio::test]
#[ignore = "slow"]
async fn the_end_of_a_follower_who_has_come_to_the_present_is_no_failure() {
    for (delay, reason) in [(Duration::ZERO, "STILL_RUNNING"), (Duration::from_secs(4), "DEADLINE_EXCEEDED")] {
        let t = Observed::start(Settings::default()).await;
        t.readiness.serving();
        t.sandbox.fault(get("/incremental/users/*"), Delay::by(delay).forever());
        let mut request = tonic::Request::new(since(now() - 3_600, true));
        request.set_timeout(Duration::from_secs(2));
        let mut stream = t.users().stream_changed_users(request).await.expect("it begins").into_inner();
        while let Some(Ok(_)) = stream.next().await {}
        let reasons: Vec<_> = t.telemetry.state().errors.read().into_iter().map(|one| one.kind.reason).collect();
        assert_eq!(reasons, [reason]);
    }
}

#[tokio::test]
#[ignore = "slow"]
async fn a_cursor_that_zendesk_does_not_know_any_more_is_told_as_that() {
    for status in [400, 422] {
        let t = TestGateway::start().await;
        let mut stream =
            t.users().stream_changed_users(since(now() - 3_600, false)).await.expect("it begins").into_inner();
        let mut token = String::new();
        while let Some(reply) = stream.message().await.expect("no error") {
            token = reply.next_page_token;
        }
        let said = json!({"error": {"title": "InvalidPaginationParameter", "message": "cursor is not valid"}});
        t.sandbox.fault(get("/incremental/users/*"), Respond::with(status).json(said).forever());
        let request = Request { page_token: token, ..Request::default() };
        let mut stream = t.users().stream_changed_users(request).await.expect("it begins").into_inner();
        let error = stream.message().await.expect_err("the cursor is refused");
        assert_eq!(reason_of(&error), Some("CURSOR_EXPIRED"), "{status}: {error}");
        t.stop().await;
    }
}
