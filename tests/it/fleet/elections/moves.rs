//! The lead goes from one replica to another: its holder is lost, leaves, sleeps, or is older than another.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;
use tokio::time::sleep;
use tonic::transport::Channel;
use tonic::{Code, Status};
use zendesk_gateway::fleet::wire::CONTRACT;
use zendesk_gateway::proto::group_service_client::GroupServiceClient;
use zendesk_gateway::proto::user_service_client::UserServiceClient;
use zendesk_gateway::proto::{AgentList, CreateGroupRequest, GetUserRequest, GroupInput, UpdateGroupWithAgentsRequest};
use zendesk_gateway::sandbox;
use zendesk_gateway::sandbox::faults::{Hang, put};

use super::cluster::{Elected, LONG};
use super::served_by;
use crate::fleet::support::Replica;
use crate::fleet::{metadata, name, named};
use crate::support::{account, refused, settings, until, with};

/// What became of the calls of a load.
#[derive(Default)]
struct Load {
    reads: Vec<Result<(), Status>>,
    /// By the group's name.
    writes: Vec<(String, Result<(), Status>)>,
    longest: Duration,
}

/// Reads and writes through these channels, one after another each, until it is told to end.
struct Loading {
    end: Arc<AtomicBool>,
    tasks: Vec<JoinHandle<Load>>,
}

pub const TWENTY: [(&str, &str); 1] = [("grpc-timeout", "20S")];

impl Loading {
    fn begin(channels: Vec<Channel>, ids: &[i64]) -> Self {
        let end = Arc::new(AtomicBool::new(false));
        let tasks = channels
            .into_iter()
            .enumerate()
            .map(|(at, channel)| {
                let (end, ids) = (Arc::clone(&end), ids.to_vec());
                tokio::spawn(async move {
                    let mut load = Load::default();
                    let (mut users, mut groups) =
                        (UserServiceClient::new(channel.clone()), GroupServiceClient::new(channel));
                    for round in 0.. {
                        if end.load(Ordering::SeqCst) {
                            break;
                        }
                        let began = Instant::now();
                        let read = GetUserRequest { id: ids[round % ids.len()], ..Default::default() };
                        load.reads.push(users.get_user(with(read, &TWENTY)).await.map(drop));
                        if round % 10 == 0 {
                            let name = format!("G {at} {round}");
                            let group = GroupInput { name: Some(name.clone()), ..GroupInput::default() };
                            let write = CreateGroupRequest { group: Some(group) };
                            load.writes.push((name, groups.create_group(with(write, &TWENTY)).await.map(drop)));
                        }
                        load.longest = load.longest.max(began.elapsed());
                        sleep(Duration::from_millis(5)).await;
                    }
                    load
                })
            })
            .collect();
        Self { end, tasks }
    }

    async fn end(self) -> Load {
        self.end.store(true, Ordering::SeqCst);
        let mut all = Load::default();
        for task in self.tasks {
            let load = task.await.expect("no panic");
            all.reads.extend(load.reads);
            all.writes.extend(load.writes);
            all.longest = all.longest.max(load.longest);
        }
        all
    }
}

/// How often each group was made.
fn made(sandbox: &sandbox::Sandbox) -> HashMap<String, usize> {
    let mut made = HashMap::new();
    for sent in sandbox.requests().iter().filter(|sent| sent.method == "POST") {
        let body = String::from_utf8_lossy(&sent.body).into_owned();
        let name = body.split('"').find(|part| part.starts_with("G ")).unwrap_or_default().to_owned();
        *made.entry(name).or_default() += 1;
    }
    made
}

#[tokio::test]
#[ignore = "slow"]
async fn a_leader_that_is_killed_is_replaced_and_no_read_fails_and_no_write_is_done_twice() {
    let mut fleet = Elected::start(3).await;
    let ids: Vec<i64> = (0..8).map(|at| fleet.user(at)).collect();
    let (term, holders) = (fleet.api.term(), fleet.api.holders());
    let leader = fleet.replicas.remove(fleet.place());
    let load = Loading::begin(fleet.replicas.iter().map(|replica| replica.channel.clone()).collect(), &ids);
    sleep(Duration::from_millis(300)).await;
    leader.kill().await;
    fleet.settled().await;
    sleep(Duration::from_millis(300)).await;
    let load = load.end().await;
    let failed: Vec<_> = load.reads.iter().filter_map(|read| read.as_ref().err()).collect();
    assert!(failed.is_empty(), "{} of {} reads failed: {:?}", failed.len(), load.reads.len(), failed[0]);
    let made = made(&fleet.sandbox);
    for (name, outcome) in &load.writes {
        let times = made.get(name).copied().unwrap_or_default();
        match outcome {
            Ok(()) => assert_eq!(times, 1, "{name}"),
            Err(status) => {
                assert!(times <= 1, "{name}: {times}");
                assert!(status.message().contains("outcome"), "{name}: {status:?}");
            }
        }
    }
    assert_eq!((fleet.api.term(), fleet.api.holders()), (term + 1, holders + 1));
    fleet.stop().await;
}

#[tokio::test]
#[ignore = "slow"]
async fn a_leader_that_leaves_hands_over_and_no_call_fails() {
    let mut fleet = Elected::start(3).await;
    let ids: Vec<i64> = (0..8).map(|at| fleet.user(at)).collect();
    let place = fleet.place();
    let old = fleet.leader().name.clone();
    let (term, holders) = (fleet.api.term(), fleet.api.holders());
    let load = Loading::begin(fleet.followers().map(|replica| replica.channel.clone()).collect(), &ids);
    sleep(Duration::from_millis(300)).await;
    fleet.replicas[place].shut_down();
    // The youngest gets the lead.
    until(|| fleet.replicas.iter().any(|replica| replica.name != old && replica.course() == "leads")).await;
    let leader = fleet.replicas.remove(place);
    leader.stop().await;
    fleet.settled().await;
    sleep(Duration::from_millis(300)).await;
    let load = load.end().await;
    let writes = load.writes.iter().map(|(_, outcome)| outcome);
    let failed: Vec<_> = load.reads.iter().chain(writes).filter_map(|outcome| outcome.as_ref().err()).collect();
    assert!(failed.is_empty(), "{} of {} calls failed: {:?}", failed.len(), load.reads.len(), failed[0]);
    assert!(made(&fleet.sandbox).values().all(|times| *times == 1));
    assert!(load.longest < Duration::from_secs(6), "{:?}", load.longest);
    assert_eq!((fleet.api.term(), fleet.api.holders()), (term + 1, holders + 1), "it moves once");
    fleet.stop().await;
}

#[tokio::test]
#[ignore = "slow"]
async fn a_leader_that_slept_sends_none_of_its_queue_and_whoever_leads_then_does() {
    let mut config = settings();
    config.upstream.rate.update_spacing = Duration::from_millis(700);
    let fleet = Elected::of(account(), config, 3).await;
    let (leader, id) = (fleet.leader(), fleet.user(9));
    let writes: Vec<_> = (0..4)
        .map(|round| {
            let mut users = leader.users();
            let update = with(named(id, &format!("Name {round}")), &[("grpc-timeout", "30S")]);
            tokio::spawn(async move { users.update_user(update).await })
        })
        .collect();
    until(|| fleet.sandbox.requests().iter().any(|sent| sent.method == "PUT" && sent.status.is_some())).await;
    leader.sleep(Duration::from_secs(6));
    until(|| fleet.replicas.iter().any(|replica| replica.name != leader.name && replica.course() == "leads")).await;
    let next = fleet.replicas.iter().find(|replica| replica.name != leader.name && replica.course() == "leads");
    let next = next.expect("one leads").name.clone();
    let mut by = HashMap::<String, usize>::new();
    for write in writes {
        let answer = write.await.expect("no panic").expect("a write");
        *by.entry(metadata(&answer, "x-served-by")).or_default() += 1;
    }
    assert!(by.get(&next).is_some_and(|count| *count >= 2), "{by:?}: the queue went to {next}");
    assert_eq!(fleet.sandbox.requests().iter().filter(|sent| sent.method == "PUT").count(), 4, "each once");
    fleet.settled().await;
    assert_eq!(served_by(leader, id).await, next);
    fleet.stop().await;
}

#[tokio::test]
#[ignore = "slow"]
async fn a_leader_begins_its_term_with_an_empty_cache() {
    let mut fleet = Elected::start(2).await;
    let (id, first) = (fleet.user(3), fleet.leader().name.clone());
    assert_eq!((name(fleet.leader(), id).await.1, name(fleet.leader(), id).await.1), ("miss".into(), "hit".into()));
    fleet.leader().sleep(Duration::from_secs(3));
    until(|| fleet.replicas.iter().any(|replica| replica.name != first && replica.course() == "leads")).await;
    fleet.leader().users().update_user(named(id, "Later")).await.expect("a write");
    fleet.settled().await;
    fleet.replicas.remove(fleet.place()).kill().await;
    fleet.settled().await;
    assert_eq!(fleet.leader().name, first);
    assert_eq!(name(fleet.leader(), id).await, ("Later".to_owned(), "miss".to_owned()));
    fleet.stop().await;
}

#[tokio::test]
#[ignore = "slow"]
async fn a_replica_with_a_newer_contract_gets_the_lead_before_it_is_ready() {
    let mut fleet = Elected::start(2).await;
    let id = fleet.user(3);
    let place = fleet.join_with(CONTRACT + 1).await;
    let newer = &fleet.replicas[place];
    assert_eq!(newer.get("/readyz").await.0, 503);
    newer.is("leads").await;
    fleet.settled().await;
    for replica in &fleet.replicas {
        assert_eq!(served_by(replica, id).await, newer.name, "what an older one forwards, the newer one knows");
    }
    assert_eq!(fleet.api.holders(), 2, "it moves once");
    // When it leaves, those that are left cannot read what one of its contract would forward, and none is there.
    fleet.replicas.remove(place).kill().await;
    fleet.settled().await;
    assert_eq!(served_by(&fleet.replicas[0], id).await, fleet.leader().name);
    fleet.stop().await;
}

#[tokio::test]
#[ignore = "slow"]
async fn a_replica_that_is_not_ready_takes_no_lead() {
    let mut fleet = Elected::start(1).await;
    let id = fleet.user(3);
    let refused = fleet.join_refused().await;
    fleet.replicas[refused].is("follows").await;
    assert_eq!(fleet.replicas[refused].get("/readyz").await.0, 503);
    // Neither is the lead handed to it, the youngest, nor does it take the Lease that nobody renews.
    fleet.replicas[0].shut_down();
    fleet.replicas.remove(0).stop().await;
    sleep(LONG).await;
    assert_eq!((fleet.replicas[0].course(), fleet.api.holders()), ("held", 1));
    fleet.join().await;
    fleet.settled().await;
    assert_eq!(served_by(fleet.leader(), id).await, "gateway-2");
    fleet.stop().await;
}

#[tokio::test]
#[ignore = "slow"]
async fn the_last_replica_leads_until_its_end() {
    let mut fleet = Elected::start(1).await;
    let id = fleet.user(3);
    assert_eq!(served_by(fleet.leader(), id).await, "gateway-0");
    fleet.replicas[0].shut_down();
    fleet.replicas.remove(0).stop().await;
    // The next one takes the Lease from it.
    fleet.join().await;
    fleet.settled().await;
    assert_eq!(served_by(fleet.leader(), id).await, "gateway-1");
    let code = fleet
        .leader()
        .users()
        .get_user(GetUserRequest { id: -1, ..Default::default() })
        .await
        .expect_err("no id")
        .code();
    assert_eq!(code, Code::InvalidArgument);
    fleet.stop().await;
}

/// Has the leader hand over to the only other one, and returns the other's place once it leads.
pub async fn hand_over(fleet: &mut Elected) -> usize {
    let place = fleet.place();
    fleet.replicas[place].shut_down();
    let next = 1 - place;
    until(|| fleet.replicas[next].course() == "leads").await;
    next
}

/// What a leader has begun goes on with the next one, which cannot learn it from Zendesk in time.
#[tokio::test]
#[ignore = "slow"]
async fn whoever_takes_over_goes_on_with_jobs_turns_and_updates() {
    let jobs = sandbox::Jobs { queued_for: Duration::ZERO, per_item: Duration::from_millis(100), ..Default::default() };
    let update_limits = sandbox::UpdateLimits { per_user: 2, per_account: 0, ..Default::default() };
    let mut config = settings();
    config.upstream.rate.updates_per_user = 2;
    let account = sandbox::Config { users: 2_000, jobs, update_limits, ..account() };
    let mut fleet = Elected::of(account, config, 2).await;
    let staff = fleet.sandbox.store().staff_ids();
    let group = fleet.sandbox.store().memberships()[0]["group_id"].as_i64().expect("an id");
    let updated = fleet.user(3);
    for round in 0..2 {
        fleet.leader().users().update_user(named(updated, &format!("Name {round}"))).await.expect("a write");
    }
    let roster = |agents: &[i64]| {
        let agents = Some(AgentList { user_ids: agents.to_vec() });
        UpdateGroupWithAgentsRequest { id: group, agents, ..Default::default() }
    };
    // Its caller leaves, and its job of four seconds goes on.
    let (mut groups, many) = (fleet.leader().groups(), roster(&staff[..40]));
    let left = tokio::spawn(async move { groups.update_group_with_agents(many).await });
    let active = |replica: &Replica| replica.telemetry.state().sources.jobs.read().map(|jobs| jobs.active);
    until(|| fleet.sandbox.hits("/group_memberships/create_many") > 0 && active(fleet.leader()) == Some(1)).await;
    left.abort();

    let next = hand_over(&mut fleet).await;
    let next = &fleet.replicas[next];
    until(|| fleet.replicas.iter().all(|replica| replica.name == next.name || active(replica) == Some(0))).await;
    assert_eq!(active(next), Some(1), "one of them follows it");
    let third = refused(next.users().update_user(with(named(updated, "Third"), &[("grpc-timeout", "5S")])).await);
    assert_eq!(third.reason, "RATE_LIMITED", "it has had its two updates of this minute");
    // In its turn: after the job that the old one has started.
    next.groups().update_group_with_agents(roster(&staff[40..43])).await.expect("set");
    let rows = fleet.sandbox.store().memberships().into_iter().filter(|row| row["group_id"] == group);
    let mut members: Vec<i64> = rows.filter_map(|row| row["user_id"].as_i64()).collect();
    members.sort_unstable();
    assert_eq!(members, staff[40..43], "the list of one caller");
    assert!(fleet.sandbox.requests().iter().all(|sent| sent.status != Some(429)));
    fleet.stop().await;
}

#[tokio::test]
#[ignore = "slow"]
async fn whoever_takes_over_keeps_nothing_that_a_write_of_the_old_one_may_still_change() {
    let mut fleet = Elected::start(2).await;
    let (hanging, other) = (fleet.user(4), fleet.user(5));
    // Nobody ever learns what becomes of it.
    let hang = Hang::before_headers().after_applying();
    fleet.sandbox.fault(put(&format!("/users/{hanging}")), hang);
    let (mut users, hangs) = (fleet.leader().users(), named(hanging, "Hangs"));
    let lost = tokio::spawn(async move { users.update_user(hangs).await });
    until(|| fleet.sandbox.hits(&format!("/users/{hanging}")) > 0).await;
    let next = hand_over(&mut fleet).await;
    lost.abort();
    // From here on the old one can tell nobody anything.
    fleet.replicas.remove(1 - next).kill().await;
    let next = &fleet.replicas[0];
    for (id, again) in [(other, "hit"), (hanging, "miss")] {
        assert_eq!((name(next, id).await.1.as_str(), name(next, id).await.1.as_str()), ("miss", again));
    }
    fleet.stop().await;
}
