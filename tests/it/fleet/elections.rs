//! Replicas that elect their leader through a Lease.

pub mod cluster;
mod moves;
mod partitions;
mod processes;
mod proof;
mod under_way;

use std::time::Duration;

use zendesk_gateway::proto::GetUserRequest;

use super::support::Replica;
use super::{metadata, name, named};
use cluster::{Elected, LONG};

async fn served_by(replica: &Replica, id: i64) -> String {
    metadata(
        &replica.users().get_user(GetUserRequest { id, ..Default::default() }).await.expect("a read"),
        "x-served-by",
    )
}

#[tokio::test]
#[ignore = "slow"]
async fn replicas_elect_one_leader_and_the_others_forward_to_it() {
    let fleet = Elected::start(3).await;
    let (id, leader) = (fleet.user(3), fleet.leader().name.clone());
    for replica in &fleet.replicas {
        assert_eq!(served_by(replica, id).await, leader);
        assert_eq!(replica.get("/readyz").await.0, 200);
        replica.finds(&[]).await;
    }
    assert_eq!(fleet.sandbox.total_hits(), 1, "one cache for all");
    assert_eq!((fleet.api.term(), fleet.api.holders()), (1, 1));
    for round in 0..30 {
        let wanted = format!("Name {round}");
        fleet.replicas[round % 3].users().update_user(named(id, &wanted)).await.expect("a write");
        assert_eq!(name(&fleet.replicas[(round + 1 + round / 3 % 2) % 3], id).await.0, wanted, "round {round}");
    }
    let status = fleet.followers().next().expect("one follows").get("/status?format=json").await.1;
    let status: serde_json::Value = serde_json::from_str(&status).expect("JSON");
    assert_eq!(status["fleet"]["course"], "follows");
    assert_eq!(
        (status["fleet"]["election"]["term"].as_u64(), &status["fleet"]["election"]["lease"]),
        (Some(1), &"good".into())
    );
    // What lasts, lasts: nobody else takes the lead.
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!((fleet.leader().name.as_str(), fleet.api.holders()), (leader.as_str(), 1));
    fleet.stop().await;
}

#[tokio::test]
#[ignore = "slow"]
async fn answers_that_are_lost_late_or_overtaken_cost_nobody_the_lead() {
    let fleet = Elected::start(2).await;
    let (id, leader) = (fleet.user(3), fleet.leader().name.clone());
    let faults: [fn(&Elected); 3] =
        [|fleet| fleet.api.lose(2), |fleet| fleet.api.overtake(2), |fleet| fleet.api.delay(Duration::from_millis(100))];
    for fault in faults {
        fault(&fleet);
        for _ in 0..20 {
            for replica in &fleet.replicas {
                assert_eq!(served_by(replica, id).await, leader);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    // As an admission webhook that refuses all writes may answer.
    fleet.api.overtake(u32::MAX);
    let end = tokio::time::Instant::now() + LONG;
    while tokio::time::Instant::now() < end {
        for replica in &fleet.replicas {
            assert_eq!(served_by(replica, id).await, leader);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    fleet.leader().finds(&["fleet_lease"]).await;
    fleet.api.overtake(0);
    fleet.leader().finds(&[]).await;
    assert_eq!(fleet.api.holders(), 1);
    fleet.stop().await;
}
