//! What a fleet of processes of the real binary promises in numbers, by what the stand-in counts.
//!
//! Each runs for seconds. With `FLEET_FULL=1` in the environment it runs for as long, and with as many processes, as
//! docs/fleet.md says: `FLEET_FULL=1 cargo test --test it fleet::figures -- --include-ignored --nocapture --test-threads=1`.

mod accounts;
mod histories;
mod moves;
mod processes;
mod register;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tonic::transport::Channel;
use tonic::{Request, Status};
use zendesk_gateway::proto::user_service_client::UserServiceClient;
use zendesk_gateway::proto::{GetUserRequest, UpdateUserRequest, UserInput};
use zendesk_gateway::sandbox::{self, Latency};

use crate::support::account;
use processes::Processes;

/// Whether the figures are to be taken in full.
fn full() -> bool {
    std::env::var_os("FLEET_FULL").is_some()
}

/// The one or the other.
fn sized<T>(small: T, large: T) -> T {
    if full() { large } else { small }
}

/// Tells a figure.
fn say(what: &str, figure: impl std::fmt::Display) {
    println!("figure: {what}: {figure}");
}

/// A request with so many seconds.
fn within<T>(seconds: u64, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(Duration::from_secs(seconds));
    request
}

fn named(id: i64, name: &str) -> UpdateUserRequest {
    let user = UserInput { name: Some(name.to_owned()), ..UserInput::default() };
    UpdateUserRequest { id, user: Some(user), ..UpdateUserRequest::default() }
}

/// Draws from users of whom few are asked for often: the n-th with a weight of 1/n.
struct Zipf {
    ids: Vec<i64>,
    weights: Vec<f64>,
    random: fastrand::Rng,
}

impl Zipf {
    fn over(ids: Vec<i64>) -> Self {
        let weights = (1..=ids.len()).scan(0.0, |sum, rank| {
            *sum += 1.0 / f64::from(u32::try_from(rank).expect("few"));
            Some(*sum)
        });
        Self { weights: weights.collect(), ids, random: fastrand::Rng::with_seed(1) }
    }

    fn draw(&mut self) -> i64 {
        let at = self.random.f64() * self.weights.last().expect("some");
        self.ids[self.weights.partition_point(|weight| *weight < at).min(self.ids.len() - 1)]
    }
}

/// What became of reads.
#[derive(Default)]
struct Reads {
    sent: usize,
    errors: Vec<Status>,
    took: Vec<Duration>,
}

impl Reads {
    fn longest_of(&mut self, share: f64) -> Duration {
        self.took.sort_unstable();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "few")]
        let place = (self.took.len() as f64 * share) as usize;
        self.took.get(place.min(self.took.len().saturating_sub(1))).copied().unwrap_or_default()
    }
}

/// Reads so many times a second, whether earlier ones were answered or not, through each channel in turn.
async fn read(channels: &[Channel], users: &mut Zipf, a_second: u32, time: Duration) -> Reads {
    let mut ticks = interval(Duration::from_secs(1) / a_second);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let (began, mut reads, mut calls) = (Instant::now(), Reads::default(), JoinSet::new());
    while began.elapsed() < time {
        ticks.tick().await;
        let mut client = UserServiceClient::new(channels[reads.sent % channels.len()].clone());
        let id = users.draw();
        calls.spawn(async move {
            let began = Instant::now();
            (client.get_user(within(20, GetUserRequest { id, ..Default::default() })).await.map(drop), began.elapsed())
        });
        reads.sent += 1;
    }
    while let Some(call) = calls.join_next().await {
        let (outcome, took) = call.expect("no panic");
        reads.took.push(took);
        reads.errors.extend(outcome.err());
    }
    reads
}

/// An account as Zendesk has them: answers take their time, and the limits are those of the smaller plans.
fn real() -> sandbox::Config {
    sandbox::Config { users: 10_000, latency: Latency::Realistic, ..sandbox::Config::default() }
}

/// Settings for replicas that update as often as they like.
const UNPACED: [(&str, &str); 2] =
    [("UPSTREAM__RATE__UPDATES_PER_USER", "0"), ("UPSTREAM__RATE__UPDATE_SPACING", "0s")];

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow"]
async fn reads_cost_what_they_cost_with_one_replica() {
    // By reads a second: the most requests that 1,000 reads may cost.
    for (a_second, most) in sized(&[(100, 90.0)][..], &[(100, 62.0), (300, 21.0)]) {
        for replicas in sized(&[3][..], &[1, 3, 8]) {
            let fleet = Processes::start(real(), *replicas, &[]).await;
            let mut users = Zipf::over(fleet.sandbox.store().user_ids());
            let channels = fleet.channels();
            let before = fleet.sandbox.total_hits();
            let time = Duration::from_secs(sized(8, 60));
            let mut reads = read(&channels, &mut users, *a_second, time).await;
            #[expect(clippy::cast_precision_loss, reason = "few")]
            let cost = (fleet.sandbox.total_hits() - before) as f64 * 1e3 / reads.sent as f64;
            let longest = reads.longest_of(0.99);
            say(
                &format!("calls per 1,000 reads, {replicas} replicas, {a_second}/s"),
                format_args!("{cost:.1}, p99 {longest:?}"),
            );
            assert_eq!(reads.errors.len(), 0, "{:?}", reads.errors[0]);
            assert!(cost <= *most, "{cost}");
            assert_eq!(fleet.throttled(), 0);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow"]
async fn what_was_written_at_one_process_is_read_at_every_other() {
    let pairs = sized(300, 10_000);
    let fleet = Processes::start(sandbox::Config { users: 250, ..account() }, 3, &UNPACED).await;
    let (channels, ids) = (fleet.channels(), fleet.sandbox.store().user_ids());
    let (left, old, unmarked) =
        (Arc::new(AtomicU64::new(pairs)), Arc::<AtomicU64>::default(), Arc::<AtomicU64>::default());
    let mut callers = JoinSet::new();
    for (caller, id) in ids.into_iter().take(4).enumerate() {
        let channels = channels.clone();
        let (left, old, unmarked) = (Arc::clone(&left), Arc::clone(&old), Arc::clone(&unmarked));
        callers.spawn(async move {
            let count = |left: u64| left.checked_sub(1);
            let mut round = caller;
            while left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, count).is_ok() {
                let mut at = UserServiceClient::new(channels[round % channels.len()].clone());
                let mut other =
                    UserServiceClient::new(channels[(round + 1 + round / channels.len() % 2) % channels.len()].clone());
                let wanted = format!("Name {round}");
                at.update_user(within(20, named(id, &wanted))).await.expect("a write");
                let answer =
                    other.get_user(within(20, GetUserRequest { id, ..Default::default() })).await.expect("a read");
                let is_stale = answer.metadata().get("x-cache").is_some_and(|how| how == "stale");
                if answer.into_inner().user.and_then(|user| user.name).as_deref() != Some(&wanted) {
                    old.fetch_add(1, Ordering::SeqCst);
                    unmarked.fetch_add(u64::from(!is_stale), Ordering::SeqCst);
                }
                round += 4;
            }
        });
    }
    callers.join_all().await;
    let (old, unmarked) = (old.load(Ordering::SeqCst), unmarked.load(Ordering::SeqCst));
    say("pairs of a write at A and a read at B", format_args!("{pairs}, old {old}, of them unmarked {unmarked}"));
    assert_eq!(old, 0);
}
