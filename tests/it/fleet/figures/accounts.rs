//! The account's own limits, which all replicas share: updates, jobs, lists of one group, and small budgets.

use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, interval, sleep};
use tonic::transport::Channel;
use zendesk_gateway::proto::group_service_client::GroupServiceClient;
use zendesk_gateway::proto::user_service_client::UserServiceClient;
use zendesk_gateway::proto::{
    AgentList, BulkCreateUsersRequest, BulkResult, GetUserRequest, StreamUsersRequest, UpdateGroupWithAgentsRequest,
    UserInput,
};
use zendesk_gateway::sandbox::{self, Latency, Recorded};

use super::processes::Processes;
use super::{UNPACED, Zipf, full, named, read, real, say, sized, within};
use crate::support::account;

/// Eight who update a user a second each, where the account may one.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow"]
async fn updates_of_all_are_as_many_as_the_account_may() {
    let fleet = Processes::start(real(), sized(3, 8), &[]).await;
    let ids = fleet.sandbox.store().user_ids();
    let time = Duration::from_secs(sized(10, 60));
    let (began, mut callers) = (Instant::now(), JoinSet::new());
    for (caller, channel) in fleet.channels().into_iter().enumerate() {
        let ids: Vec<i64> = ids[caller * 100..][..100].to_vec();
        callers.spawn(async move {
            let (mut calls, mut done) = (JoinSet::new(), 0);
            for round in 0..time.as_secs() {
                let (mut users, id) =
                    (UserServiceClient::new(channel.clone()), ids[usize::try_from(round).expect("few")]);
                calls.spawn(async move { users.update_user(within(10, named(id, &format!("N {round}")))).await });
                sleep(Duration::from_secs(1)).await;
            }
            while let Some(call) = calls.join_next().await {
                done += u64::from(call.expect("no panic").is_ok());
            }
            done
        });
    }
    let done: u64 = callers.join_all().await.into_iter().sum();
    let a_minute = done * 60 / began.elapsed().as_secs();
    say(
        "updates a minute that were done, of one a second that may be",
        format_args!("{a_minute}, {} x 429", fleet.throttled()),
    );
    assert_eq!(fleet.throttled(), 0);
    // Seconds are too few to judge by, here and below.
    assert!(!full() || a_minute >= 52, "{a_minute}");
}

/// Eight bulk calls of thousands of rows each, where the account may have 30 jobs.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow"]
async fn jobs_of_all_are_as_many_as_the_account_may_have() {
    let jobs = sandbox::Jobs { per_item: Duration::from_millis(sized(5, 20)), ..sandbox::Jobs::default() };
    let account = sandbox::Config { jobs, latency: Latency::Fixed(Duration::from_millis(50)), ..account() };
    let (callers, rows) = sized((3, 1_500), (8, 3_000));
    let fleet = Processes::start(account, callers, &[]).await;
    let mut calls = JoinSet::new();
    for (caller, channel) in fleet.channels().into_iter().enumerate() {
        let user = |row: usize| UserInput { name: Some(format!("Row {caller} {row}")), ..UserInput::default() };
        let request = BulkCreateUsersRequest {
            users: (0..rows).map(user).collect(),
            wait: true,
            ..BulkCreateUsersRequest::default()
        };
        let mut users = UserServiceClient::new(channel).max_decoding_message_size(64 << 20);
        calls.spawn(async move { users.bulk_create_users(within(600, request)).await });
    }
    let began = Instant::now();
    for reply in calls.join_all().await {
        let outcomes = reply.expect("jobs").into_inner().outcomes;
        let other = outcomes.iter().find(|outcome| outcome.result() != BulkResult::Created);
        assert!(other.is_none(), "{other:?}");
        assert_eq!(outcomes.len(), rows);
    }
    say(
        &format!("{callers} bulk calls of {rows} rows: TooManyJobs"),
        format_args!("{}, in {:?}", fleet.throttled(), began.elapsed()),
    );
    assert_eq!(fleet.throttled(), 0);
}

/// One caller at each replica, who each say as a whole which agents one group has. Each fourth time they differ by so many that it takes
/// jobs, of which the gateway asks after a quarter of a second at the earliest: with two for each caller, eight take five seconds.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow"]
async fn the_list_of_one_group_is_always_that_of_one_caller() {
    let (callers, rounds) = sized((3, 10), (8, 200));
    let fleet = Processes::start(sandbox::Config { users: 2_000, ..account() }, callers, &UNPACED).await;
    let (store, channels) = (fleet.sandbox.store(), fleet.channels());
    let group = store.memberships()[0]["group_id"].as_i64().expect("an id");
    let staff = store.staff_ids();
    let (mut whole, began) = (0, Instant::now());
    for round in 0..rounds {
        let size = if round % 4 == 3 { 4 } else { 2 };
        let list = |caller: usize| -> Vec<i64> {
            let mut list: Vec<_> =
                (0..size).map(|place| staff[(round * 7 + caller * 5 + place) % staff.len()]).collect();
            list.sort_unstable();
            list
        };
        let calls = channels.iter().enumerate().map(|(caller, channel)| {
            let agents = Some(AgentList { user_ids: list(caller) });
            let request = UpdateGroupWithAgentsRequest { id: group, agents, ..Default::default() };
            let mut groups = GroupServiceClient::new(channel.clone());
            async move { groups.update_group_with_agents(within(30, request)).await }
        });
        for outcome in futures_util::future::join_all(calls).await {
            outcome.expect("set");
        }
        let rows = store.memberships().into_iter().filter(|row| row["group_id"] == group);
        let mut members: Vec<i64> = rows.filter_map(|row| row["user_id"].as_i64()).collect();
        members.sort_unstable();
        whole += usize::from((0..channels.len()).any(|caller| list(caller) == members));
    }
    let took = began.elapsed() / u32::try_from(rounds).expect("few");
    say("rounds after which the list is that of one caller", format_args!("{whole} of {rounds}, {took:?} each"));
    assert_eq!(whole, rounds);
}

/// All start at once while little of the window is left.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow"]
async fn a_cold_start_of_all_costs_no_refusal() {
    for left in sized(&[10][..], &[10, 50, 200]) {
        let fleet = Processes::start(real(), sized(3, 8), &[]).await;
        let mut users = Zipf::over(fleet.sandbox.store().user_ids());
        let channels = fleet.channels();
        let sent = u32::try_from(fleet.sandbox.requests().len()).expect("few");
        fleet.sandbox.spend_budget(700 - sent - left);
        let reads = read(&channels, &mut users, 100, Duration::from_secs(sized(3, 20))).await;
        let (throttled, failed) = (fleet.throttled(), reads.errors.len());
        say(
            &format!("cold start with {left} requests left: 429s"),
            format_args!("{throttled}, {failed} of {} reads refused", reads.sent),
        );
        assert!(throttled <= 1, "{throttled}");
    }
}

/// Others spend from a small plan, too.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow"]
async fn a_small_plan_is_used_up_and_not_overdrawn() {
    let account = sandbox::Config { rate_limit: 200, foreign_rate: 60, ..real() };
    // The stand-in counts minutes from its start.
    let (began, minute) = (Instant::now(), Duration::from_mins(1));
    let fleet = Processes::start(account, sized(3, 8), &[]).await;
    let mut users = Zipf::over(fleet.sandbox.store().user_ids());
    let channels = fleet.channels();
    let mut streams = JoinSet::new();
    for channel in &channels {
        streams.spawn(stream(channel.clone()));
    }
    let windows = sized(0, 3);
    let first = if windows == 0 { Duration::from_secs(5) } else { minute.saturating_sub(began.elapsed()) };
    read(&channels, &mut users, 20, first).await;
    let before = fleet.sandbox.total_hits();
    read(&channels, &mut users, 20, (minute * (windows + 1)).saturating_sub(began.elapsed()) * windows.min(1)).await;
    let used = fleet.sandbox.total_hits() - before;
    streams.abort_all();
    let throttled = fleet.throttled();
    if windows > 0 {
        let share = used * 100 / u64::from(140 * windows);
        say("share of what others leave of a small plan, in percent", format_args!("{share}, {throttled} x 429"));
        assert!(share >= 96, "{share}");
    }
    assert_eq!(throttled, 0);
}

/// Streams all users, again and again.
async fn stream(channel: Channel) {
    let mut users = UserServiceClient::new(channel).max_decoding_message_size(64 << 20);
    loop {
        match users.stream_users(within(600, StreamUsersRequest::default())).await {
            Ok(stream) => {
                let mut stream = stream.into_inner();
                while let Ok(Some(_)) = stream.message().await {}
            }
            Err(_) => sleep(Duration::from_millis(100)).await,
        }
    }
}

/// A window of the account, and what it allows: as much as five requests a second.
const WINDOW: Duration = Duration::from_secs(20);

/// A fleet before an account of its own, whose replicas but the last stream.
struct Streaming {
    fleet: Processes,
    /// Users of whom nobody has asked yet.
    ids: std::vec::IntoIter<i64>,
    _streams: JoinSet<()>,
}

impl Streaming {
    async fn start(replicas: usize) -> Self {
        let latency = Latency::Fixed(Duration::from_millis(150));
        let limits = sandbox::Config { rate_limit: 100, rate_window: WINDOW, latency, ..real() };
        let fleet = Processes::start(limits, replicas, &[]).await;
        let mut streams = JoinSet::new();
        let streaming = &fleet.replicas[..replicas.div_ceil(2)];
        for at in 0..4 {
            streams.spawn(stream(streaming[at % streaming.len()].channel()));
        }
        let ids = fleet.sandbox.store().user_ids().into_iter();
        Self { fleet, ids, _streams: streams }
    }

    /// Reads users of whom nobody has asked, through the last replica, and returns how long each waited until Zendesk was asked.
    async fn waits(&mut self, time: Duration) -> Vec<Duration> {
        let channel = self.fleet.replicas.last().expect("one").channel();
        let (began, mut calls, mut ticks) = (Instant::now(), JoinSet::new(), interval(Duration::from_millis(100)));
        while began.elapsed() < time {
            ticks.tick().await;
            let (mut users, id) = (UserServiceClient::new(channel.clone()), self.ids.next().expect("there are enough"));
            calls.spawn(async move {
                let called = Instant::now();
                let outcome = users.get_user(within(60, GetUserRequest { id, ..Default::default() })).await;
                outcome.expect("a read");
                (id.to_string(), called)
            });
        }
        let calls = calls.join_all().await;
        let requests = self.fleet.sandbox.requests();
        let names = |sent: &Recorded, id: &str| {
            sent.path.ends_with(&format!("/users/{id}"))
                || sent.query.split(['=', ',', '&', '%']).any(|part| part.trim_start_matches("2C") == id)
        };
        let came = |id: &str, called| {
            requests.iter().find(|sent| sent.came >= called && names(sent, id)).map(|sent| sent.came)
        };
        let wait = |(id, called): (String, Instant)| came(&id, called).expect("Zendesk was asked") - called;
        let mut waits: Vec<Duration> = calls.into_iter().map(wait).collect();
        waits.sort_unstable();
        waits
    }
}

/// Streams that come by some replicas leave to reads by another what they would on one. Both are measured at the same time, window
/// by window, so that whatever else the machine does befalls both; and by when Zendesk was asked.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow"]
async fn reads_wait_for_streams_no_longer_than_on_one_replica() {
    let (mut one, mut three) = tokio::join!(Streaming::start(1), Streaming::start(3));
    let mut ratios = [Vec::new(), Vec::new()];
    // In the first the streams begin.
    one.waits(sized(Duration::from_secs(3), WINDOW)).await;
    for round in 0..sized(1, 15) {
        let time = sized(Duration::from_secs(5), WINDOW);
        let (by_one, by_three) = tokio::join!(one.waits(time), three.waits(time));
        for (ratios, share) in ratios.iter_mut().zip([50, 90]) {
            let of = |waits: &[Duration]| waits[waits.len() * share / 100].as_secs_f64();
            println!("round {round}: {share} % waited {:.3} s on one, {:.3} s on three", of(&by_one), of(&by_three));
            ratios.push(of(&by_three) / of(&by_one));
        }
    }
    let [half, most] = ratios.map(|mut ratios| {
        ratios.sort_unstable_by(f64::total_cmp);
        ratios[ratios.len() / 2]
    });
    say(
        "reads beside streams, on three replicas by one",
        format_args!("p50 {half:.2}, p90 {most:.2}, medians of the rounds"),
    );
    assert!(!full() || half <= 1.2 && most <= 1.2, "{half} {most}");
}
