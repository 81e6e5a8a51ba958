//! What is under way while the lead is handed over: writes, calls of several writes, and calls that wait for their turn.

use std::time::{Duration, Instant};

use tokio::task::JoinHandle;
use tonic::{Code, Status};
use zendesk_gateway::cache::UNKNOWN_SETTLES_AFTER;
use zendesk_gateway::proto::{AgentList, UpdateGroupWithAgentsRequest};
use zendesk_gateway::sandbox::faults::{Delay, any, put};

use super::cluster::Elected;
use super::moves::{TWENTY, hand_over};
use crate::fleet::{metadata, named};
use crate::support::raw::Raw;
use crate::support::{refused, until, with};

/// Begins a change of each of these users, by turns through the leader and its follower, and waits until Zendesk has all of them.
async fn changing(fleet: &Elected, ids: &[i64], timeout: &'static str) -> Vec<JoinHandle<(Status, Duration)>> {
    let mut writes = Vec::new();
    for (at, id) in ids.iter().copied().enumerate() {
        let replica = if at % 2 == 0 { fleet.leader() } else { fleet.followers().next().expect("one follows") };
        // A client without a timer of its own.
        let raw = Raw::connect(&replica.address).await.0;
        writes.push(tokio::spawn(async move {
            let (path, update) = ("/zendesk.gateway.v1.UserService/UpdateUser", named(id, "Changed"));
            let began = Instant::now();
            let answer = raw.call(path, &[("grpc-timeout", timeout)], &update).await.expect("an answer");
            (answer.status(), began.elapsed())
        }));
    }
    until(|| ids.iter().all(|id| fleet.sandbox.hits(&format!("/users/{id}")) > 0)).await;
    writes
}

#[tokio::test]
#[ignore = "slow"]
async fn an_answer_that_is_known_is_given_while_the_lead_is_handed_over() {
    let mut fleet = Elected::start(2).await;
    let ids: Vec<i64> = (4..8).map(|at| fleet.user(at)).collect();
    for (id, millis) in ids.iter().zip([1_100, 1_100, 600, 600]) {
        fleet.sandbox.fault(put(&format!("/users/{id}")), Delay::by(Duration::from_millis(millis)));
    }
    let slow = changing(&fleet, &ids[..2], "20S").await;
    let writes = changing(&fleet, &ids[2..], "20S").await;
    let place = fleet.place();
    fleet.replicas[place].shut_down();
    for write in writes {
        assert_eq!(write.await.expect("no panic").0.code(), Code::Ok);
    }
    assert!(slow.iter().all(|write| !write.is_finished()) && fleet.api.holders() == 1, "nobody else leads yet");
    for write in slow {
        assert_eq!(write.await.expect("no panic").0.code(), Code::Ok);
    }
    fleet.stop().await;
}

#[tokio::test]
#[ignore = "slow"]
async fn an_answer_that_may_not_be_given_before_the_deadline_is_an_unknown_outcome() {
    let mut fleet = Elected::start(2).await;
    let ids: Vec<i64> = (4..6).map(|at| fleet.user(at)).collect();
    // Longer than the leader waits before it goes on without it.
    fleet.sandbox.fault(put("*"), Delay::by(Duration::from_millis(1_900)).forever());
    let writes = changing(&fleet, &ids, "2300m").await;
    let place = fleet.place();
    fleet.replicas[place].shut_down();
    until(|| fleet.replicas[place].course() == "held").await;
    // The successor knows all there is, and the Lease may name it.
    fleet.api.delay(Duration::from_secs(3));
    for write in writes {
        let (status, took) = write.await.expect("no panic");
        // On a machine that is too busy the answer may come before or after the time in which it is kept back.
        if status.code() == Code::Ok {
            continue;
        }
        let told = refused(Err::<(), _>(status));
        assert_eq!((told.code, told.reason.as_str()), (Code::DeadlineExceeded, "OUTCOME_UNKNOWN"), "{}", told.message);
        assert!(took < Duration::from_millis(2_320), "before the server cuts the call: {took:?}");
    }
    fleet.stop().await;
}

/// Each adds an agent and removes one, in the group's turn.
#[tokio::test]
#[ignore = "slow"]
async fn calls_of_several_writes_end_and_those_that_wait_for_their_turn_go_to_the_successor() {
    let mut fleet = Elected::start(2).await;
    let staff = fleet.sandbox.store().staff_ids();
    let group = fleet.sandbox.store().memberships()[0]["group_id"].as_i64().expect("an id");
    let set = |agents: &[i64]| {
        let agents = Some(AgentList { user_ids: agents.to_vec() });
        with(UpdateGroupWithAgentsRequest { id: group, agents, ..Default::default() }, &TWENTY)
    };
    fleet.leader().groups().update_group_with_agents(set(&staff[..1])).await.expect("set");
    fleet.sandbox.fault(any("*"), Delay::by(Duration::from_millis(30)).forever());
    let added = || fleet.sandbox.requests().iter().filter(|sent| sent.method == "POST").count();
    let before = added();
    let lists: Vec<Vec<i64>> = staff[1..].iter().take(8).map(|agent| vec![*agent]).collect();
    let calls = lists.iter().enumerate().map(|(at, agents)| {
        let replica = if at % 2 == 0 { fleet.leader() } else { fleet.followers().next().expect("one follows") };
        let (mut groups, request) = (replica.groups(), set(agents));
        tokio::spawn(async move { groups.update_group_with_agents(request).await })
    });
    let calls: Vec<_> = calls.collect();
    until(|| added() > before).await;
    let (old, began) = (fleet.leader().name.clone(), Instant::now());
    hand_over(&mut fleet).await;
    let mut by_the_old = 0;
    for call in calls {
        let answer = call.await.expect("no panic").expect("set");
        by_the_old += usize::from(metadata(&answer, "x-served-by") == old);
        assert_eq!(answer.into_inner().failures, [], "none was cut");
    }
    assert!(by_the_old <= 2, "{by_the_old} of those that waited were begun by the one that leaves");
    assert!(began.elapsed() < UNKNOWN_SETTLES_AFTER, "no turn outlasts who has it: {:?}", began.elapsed());
    for replica in &fleet.replicas {
        let lines = replica.lines("audit").await;
        let failed: Vec<_> = lines.iter().filter(|line| line["outcome"] == "failed").collect();
        assert!(failed.is_empty(), "what the other one did has not failed: {failed:?}");
    }
    let rows = fleet.sandbox.store().memberships().into_iter().filter(|row| row["group_id"] == group);
    let mut members: Vec<i64> = rows.filter_map(|row| row["user_id"].as_i64()).collect();
    members.sort_unstable();
    assert!(lists.contains(&members), "{members:?}: the list of one caller");
    fleet.stop().await;
}
