//! The lead moves: its holder is killed, stands still, or is replaced with all others.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep};
use tonic::transport::Channel;
use tonic::{Code, Status};
use zendesk_gateway::proto::group_service_client::GroupServiceClient;
use zendesk_gateway::proto::user_service_client::UserServiceClient;
use zendesk_gateway::proto::{CreateGroupRequest, GetUserRequest, GroupInput, StreamUsersRequest};
use zendesk_gateway::sandbox::{self, Latency, Sandbox};

use super::processes::Processes;
use super::{UNPACED, named, say, sized, within};
use crate::support::account;

/// Those that callers may go to, as a load balancer has them.
type Balancer = Arc<Mutex<Vec<Channel>>>;

/// What became of calls.
struct Calls {
    began: Instant,
    reads: usize,
    failed: Vec<(Duration, Code, String)>,
    /// Writes by the names of what they make.
    writes: Vec<(String, Result<(), Status>)>,
    longest: Duration,
}

impl Calls {
    fn new() -> Self {
        let (reads, failed, writes, longest) = Default::default();
        Self { began: Instant::now(), reads, failed, writes, longest }
    }
}

/// Reads and makes groups, so many of each a second, until it is told to end.
struct Loading {
    end: Arc<AtomicBool>,
    running: JoinHandle<Calls>,
}

impl Loading {
    fn begin(balancer: &Balancer, ids: Vec<i64>, reads: u32, writes: u32) -> Self {
        let (end, balancer) = (Arc::<AtomicBool>::default(), Arc::clone(balancer));
        let ended = Arc::clone(&end);
        let running = tokio::spawn(async move {
            let (mut calls, mut all, mut tick) = (JoinSet::new(), Calls::new(), 0_usize);
            let mut ticks = tokio::time::interval(Duration::from_secs(1) / (reads + writes));
            let take = |all: &mut Calls, (write, outcome, took): (Option<String>, Result<(), Status>, Duration)| {
                all.longest = all.longest.max(took);
                if let Some(name) = write {
                    return all.writes.push((name, outcome));
                }
                all.reads += 1;
                let at = all.began.elapsed();
                all.failed.extend(outcome.err().map(|status| (at, status.code(), status.message().to_owned())));
            };
            while !ended.load(Ordering::SeqCst) {
                ticks.tick().await;
                while let Some(call) = calls.try_join_next() {
                    take(&mut all, call.expect("no panic"));
                }
                tick += 1;
                let writes = usize::try_from(reads / writes.max(1) + 1).expect("few");
                let (balancer, id) = (Arc::clone(&balancer), ids[tick % ids.len()]);
                let pick = move |tick: usize| {
                    let balancer = balancer.lock().expect("no panic");
                    balancer[tick % balancer.len()].clone()
                };
                let write = tick.is_multiple_of(writes).then(|| format!("G {tick}"));
                calls.spawn(async move {
                    let began = Instant::now();
                    let outcome = match &write {
                        Some(name) => made(pick(tick), name).await,
                        // As the service config has it: elsewhere, if the connection has ended.
                        None => match got(pick(tick), id).await {
                            Err(status) if is_of_the_way(&status) => {
                                sleep(Duration::from_millis(100)).await;
                                got(pick(tick + 1), id).await
                            }
                            outcome => outcome,
                        },
                    };
                    (write, outcome, began.elapsed())
                });
            }
            while let Some(call) = calls.join_next().await {
                take(&mut all, call.expect("no panic"));
            }
            all
        });
        Self { end, running }
    }

    async fn end(self) -> Calls {
        self.end.store(true, Ordering::SeqCst);
        self.running.await.expect("no panic")
    }
}

/// Whether a call has failed with its connection. Other clients than this say UNAVAILABLE for all of that.
fn is_of_the_way(status: &Status) -> bool {
    let is_lost = std::error::Error::source(status).is_some() && !status.message().contains("Timeout");
    status.code() == Code::Unavailable || is_lost
}

async fn got(channel: Channel, id: i64) -> Result<(), Status> {
    UserServiceClient::new(channel).get_user(within(20, GetUserRequest { id, ..Default::default() })).await.map(drop)
}

async fn made(channel: Channel, name: &str) -> Result<(), Status> {
    let group = GroupInput { name: Some(name.to_owned()), ..GroupInput::default() };
    let request = CreateGroupRequest { group: Some(group) };
    GroupServiceClient::new(channel).create_group(within(20, request)).await.map(drop)
}

/// How often each group was made.
fn times(sandbox: &Sandbox) -> HashMap<String, usize> {
    let mut times = HashMap::new();
    for sent in sandbox.requests().iter().filter(|sent| sent.method == "POST") {
        let body = String::from_utf8_lossy(&sent.body).into_owned();
        let name = body.split('"').find(|part| part.starts_with("G ")).unwrap_or_default().to_owned();
        *times.entry(name).or_default() += 1;
    }
    times
}

/// None of the writes was done twice, and those that were answered once.
fn check(calls: &Calls, sandbox: &Sandbox) {
    let times = times(sandbox);
    for (name, outcome) in &calls.writes {
        let done = times.get(name).copied().unwrap_or_default();
        assert!(done <= 1 && (outcome.is_err() || done == 1), "{name} was done {done} times: {outcome:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow"]
async fn leaders_that_are_killed_cost_no_read_and_do_no_write_twice() {
    let account = sandbox::Config { latency: Latency::Fixed(Duration::from_millis(30)), ..account() };
    let mut fleet = Processes::start(account, 3, &UNPACED).await;
    let ids = fleet.sandbox.store().user_ids()[..50].to_vec();
    let balancer = Balancer::new(Mutex::new(fleet.channels()));
    let (load, began) = (Loading::begin(&balancer, ids, 20, 2), Instant::now());
    for round in 0..sized(1, 8) {
        sleep(Duration::from_secs(sized(1, 15))).await;
        let mut leader = fleet.replicas.remove(fleet.leader());
        println!("{} is killed after {:?}", leader.name, began.elapsed());
        leader.binary.kill().await;
        // Whoever balances the load sees at once that the connection has ended.
        *balancer.lock().expect("no panic") = fleet.channels();
        if round % 2 == 0 {
            // The container is started again.
            let again = fleet.process(&leader.name).await;
            fleet.replicas.push(again);
        }
        let next = fleet.served_by_another(&fleet.replicas[0], "").await;
        println!("{next} answers after {:?}", began.elapsed());
        if round % 2 == 1 {
            sleep(Duration::from_secs(10)).await;
            fleet.join().await;
        }
        for replica in &fleet.replicas {
            replica.ready().await;
        }
        *balancer.lock().expect("no panic") = fleet.channels();
        sleep(Duration::from_secs(sized(1, 5))).await;
    }
    let calls = load.end().await;
    let lost = calls.writes.iter().filter(|(_, outcome)| outcome.is_err()).count();
    say(
        &format!("leader killed, {} moves", fleet.api.holders() - 1),
        format_args!(
            "{} of {} reads failed, {lost} of {} writes with an unknown outcome, longest {:?}",
            calls.failed.len(),
            calls.reads,
            calls.writes.len(),
            calls.longest
        ),
    );
    assert!(calls.failed.is_empty(), "{:#?}", &calls.failed[..calls.failed.len().min(10)]);
    check(&calls, &fleet.sandbox);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow"]
async fn a_leader_that_stood_still_begins_none_of_its_queue() {
    let limits = sandbox::UpdateLimits::default();
    let fleet = Processes::start(sandbox::Config { update_limits: limits, ..account() }, 3, &[]).await;
    let (ids, place) = (fleet.sandbox.store().user_ids(), fleet.leader());
    let leader = &fleet.replicas[place];
    let channels = fleet.channels();
    let begun = |name: &str| {
        let requests = fleet.sandbox.requests();
        requests.iter().filter(|sent| String::from_utf8_lossy(&sent.body).contains(&format!("\"{name}\""))).count()
    };
    // A second apart, so they are in the queue when it stands still.
    let mut writes = JoinSet::new();
    for number in 0..12 {
        let (mut users, id) = (UserServiceClient::new(channels[(place + number) % 3].clone()), ids[number]);
        writes.spawn(async move { (number, users.update_user(within(50, named(id, &format!("N{number}")))).await) });
    }
    sleep(Duration::from_millis(2_500)).await;
    leader.binary.signal("STOP").await;
    let before: Vec<usize> = (0..12).map(|number| begun(&format!("N{number}"))).collect();
    sleep(Duration::from_secs(20)).await;
    leader.binary.signal("CONT").await;
    let (mut of_others, mut unknown, mut after_waking) = (0, 0, 0);
    while let Some(write) = writes.join_next().await {
        let (number, outcome) = write.expect("no panic");
        let times = begun(&format!("N{number}"));
        assert!(times <= 1, "{number} was sent {times} times");
        if let Ok(answer) = outcome {
            let by = crate::fleet::metadata(&answer, "x-served-by");
            assert_eq!(times, 1);
            of_others += usize::from(by != leader.name);
            after_waking += usize::from(by == leader.name && before[number] == 0);
        } else {
            unknown += 1;
            after_waking += times - before[number];
        }
    }
    say(
        "begun by a leader after it had stood still for 20 s",
        format_args!("{after_waking}; {of_others} were done by the next one, {unknown} have an unknown outcome"),
    );
    assert_eq!(after_waking, 0);
    assert!(of_others >= 2, "{of_others}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow"]
async fn all_replicas_are_replaced_and_no_call_fails() {
    let announce = [("SERVER__DRAIN__ANNOUNCE", "2s")];
    let account = sandbox::Config { users: 5_000, latency: Latency::Realistic, ..account() };
    let mut fleet = Processes::start(account, 3, &[&UNPACED[..], &announce].concat()).await;
    let ids = fleet.sandbox.store().user_ids();
    let all = ids.len();
    let balancer = Balancer::new(Mutex::new(fleet.channels()));
    let load = Loading::begin(&balancer, ids[..200].to_vec(), sized(60, 300), 10);
    let end = Arc::<AtomicBool>::default();
    let streams: Vec<_> =
        (0..3).map(|at| tokio::spawn(stream(Arc::clone(&balancer), at, all, Arc::clone(&end)))).collect();
    for _ in 0..3 {
        sleep(Duration::from_secs(sized(0, 5))).await;
        fleet.join().await.ready().await;
        let old = fleet.replicas.remove(0);
        old.binary.signal("TERM").await;
        // Whoever balances the load has the time of the announcement for it.
        sleep(Duration::from_millis(500)).await;
        *balancer.lock().expect("no panic") = fleet.channels();
        assert!(old.binary.ended(Duration::from_mins(1)).await.0.success());
    }
    sleep(Duration::from_secs(1)).await;
    end.store(true, Ordering::SeqCst);
    let calls = load.end().await;
    let mut broken = 0;
    for stream in streams {
        broken += stream.await.expect("no panic");
    }
    let failed: Vec<_> = calls.writes.iter().filter(|(_, outcome)| outcome.is_err()).collect();
    say(
        "three replicas replaced",
        format_args!(
            "{} of {} reads and {} of {} writes failed, longest {:?}, the lead moved {} times, streams ended {broken} times",
            calls.failed.len(),
            calls.reads,
            failed.len(),
            calls.writes.len(),
            calls.longest,
            fleet.api.holders() - 1
        ),
    );
    assert!(calls.failed.is_empty(), "{:#?}", &calls.failed[..calls.failed.len().min(10)]);
    assert!(failed.is_empty(), "{failed:?}");
    check(&calls, &fleet.sandbox);
    assert!(calls.longest < Duration::from_secs(6), "{:?}", calls.longest);
    assert_eq!(fleet.api.holders(), 2, "the lead moves once");
}

/// Streams all users again and again. Whenever a stream ends early, it goes on with its token, and no user is missed or comes twice.
/// Returns how often one did.
async fn stream(balancer: Balancer, mut at: usize, all: usize, end: Arc<AtomicBool>) -> usize {
    let mut broken = 0;
    let mut seen = Vec::new();
    let mut page_token = String::new();
    while !end.load(Ordering::SeqCst) {
        let channel = {
            let balancer = balancer.lock().expect("no panic");
            balancer[at % balancer.len()].clone()
        };
        at += 1;
        let request = StreamUsersRequest { page_token: page_token.clone(), ..StreamUsersRequest::default() };
        let mut client = UserServiceClient::new(channel).max_decoding_message_size(64 << 20);
        let Ok(stream) = client.stream_users(within(600, request)).await else {
            broken += 1;
            continue;
        };
        let mut stream = stream.into_inner();
        loop {
            match stream.message().await {
                Ok(Some(message)) => {
                    seen.extend(message.users.iter().map(|user| user.id));
                    page_token = message.next_page_token;
                }
                // In order, with a token to go on with.
                Ok(None) if !page_token.is_empty() => {
                    broken += 1;
                    break;
                }
                Ok(None) => {
                    let rows = seen.len();
                    seen.sort_unstable();
                    seen.dedup();
                    assert_eq!((seen.len(), rows), (all, all), "each user once");
                    seen.clear();
                    break;
                }
                Err(status) => {
                    assert!(is_of_the_way(&status), "{status:?}");
                    broken += 1;
                    break;
                }
            }
        }
    }
    broken
}
