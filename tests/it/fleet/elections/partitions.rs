//! Parts of the fleet, or the fleet and the API server, cannot reach each other.

use std::time::Duration;

use tokio::time::sleep;
use zendesk_gateway::config::Config;

use super::cluster::{Elected, LONG};
use super::served_by;
use crate::fleet::{name, named};
use crate::support::{account, settings, until};

fn alone_after(time: Duration) -> Config {
    let mut config = settings();
    config.fleet.alone_after = time;
    config
}

#[tokio::test]
#[ignore = "slow"]
async fn while_the_api_server_is_away_nothing_changes_but_a_finding() {
    let fleet = Elected::start(3).await;
    let (id, leader) = (fleet.user(3), fleet.leader().name.clone());
    fleet.api.cut("*");
    let end = tokio::time::Instant::now() + LONG;
    let mut round = 0;
    while tokio::time::Instant::now() < end {
        let replica = &fleet.replicas[round % 3];
        assert_eq!(served_by(replica, id).await, leader);
        fleet.leader().users().update_user(named(id, &format!("Name {round}"))).await.expect("a write");
        round += 1;
        sleep(Duration::from_millis(50)).await;
    }
    for replica in &fleet.replicas {
        replica.finds(&["fleet_lease"]).await;
    }
    fleet.api.heal();
    until(|| {
        fleet.replicas.iter().all(|replica| {
            let fleet = replica.telemetry.state().sources.fleet.read().expect("a fleet");
            fleet.election.expect("an election").lease == "good"
        })
    })
    .await;
    assert_eq!((fleet.leader().name.as_str(), fleet.api.holders()), (leader.as_str(), 1));
    fleet.stop().await;
}

#[tokio::test]
#[ignore = "slow"]
async fn a_lease_that_is_deleted_or_forbidden_changes_nothing_but_a_finding() {
    let fleet = Elected::start(2).await;
    let (id, leader) = (fleet.user(3), fleet.leader().name.clone());
    let deleted = |fleet: &Elected| fleet.api.delete();
    let forbidden = |fleet: &Elected| {
        fleet.api.restore();
        fleet.api.deny(true);
    };
    let faults: [fn(&Elected); 2] = [deleted, forbidden];
    for fault in faults {
        fault(&fleet);
        sleep(LONG).await;
        for replica in &fleet.replicas {
            assert_eq!(served_by(replica, id).await, leader);
            replica.finds(&["fleet_lease"]).await;
        }
    }
    fleet.api.deny(false);
    until(|| fleet.api.term() > 1).await;
    fleet.settled().await;
    assert_eq!(fleet.leader().name, leader, "whoever leads takes it anew, in a higher term");
    assert_eq!(served_by(fleet.followers().next().expect("one follows"), id).await, leader);
    fleet.stop().await;
}

#[tokio::test]
#[ignore = "slow"]
async fn a_follower_that_is_cut_off_from_the_leader_acts_alone_and_comes_back() {
    let fleet = Elected::of(account(), alone_after(Duration::from_millis(500)), 2).await;
    let (id, leader) = (fleet.user(3), fleet.leader());
    let follower = fleet.followers().next().expect("one follows");
    assert_eq!(name(leader, id).await.1, "miss");
    fleet.road(leader).cut();
    follower.is("silent").await;
    sleep(LONG).await;
    leader.is("leads").await;
    assert_eq!(fleet.api.holders(), 1, "the leader renews, so nobody takes the lead");
    assert_eq!(served_by(follower, id).await, follower.name);
    follower.finds(&["fleet_alone"]).await;
    // Nobody whom it reaches leads; whom the Lease names is known all the same.
    let status = follower.get("/status").await.1;
    let whom = format!("the leader that the Lease names, {} at {}, does not", leader.name, fleet.road(leader).address);
    assert!(status.contains(&whom), "{whom}: {status}");
    follower.users().update_user(named(id, "Written alone")).await.expect("a write");
    assert_eq!(name(leader, id).await.1, "hit", "it cannot know");
    fleet.road(leader).heal();
    follower.is("follows").await;
    assert_eq!(name(leader, id).await, ("Written alone".to_owned(), "miss".to_owned()));
    assert_eq!(served_by(follower, id).await, leader.name);
    fleet.stop().await;
}

#[tokio::test]
#[ignore = "slow"]
async fn a_follower_that_is_cut_off_from_the_api_server_follows_on() {
    let fleet = Elected::start(2).await;
    let (id, leader) = (fleet.user(3), fleet.leader());
    let follower = fleet.followers().next().expect("one follows");
    fleet.api.cut(&follower.name);
    sleep(LONG).await;
    assert_eq!(served_by(follower, id).await, leader.name);
    follower.finds(&["fleet_lease"]).await;
    // From both.
    fleet.road(leader).cut();
    follower.is("held").await;
    assert!(follower.findings().await.contains(&"fleet_leaderless".to_owned()));
    fleet.road(leader).heal();
    fleet.api.heal();
    fleet.settled().await;
    assert_eq!((served_by(follower, id).await, fleet.api.holders()), (leader.name.clone(), 1));
    fleet.stop().await;
}

#[tokio::test]
#[ignore = "slow"]
async fn a_leader_that_was_replaced_gives_way_to_whoever_leads_before_it_can_read_the_lease() {
    let fleet = Elected::start(3).await;
    let (id, old) = (fleet.user(3), fleet.leader());
    fleet.api.cut(&old.name);
    fleet.road(old).cut();
    until(|| fleet.api.holders() == 2).await;
    old.is("follows").await;
    let next = fleet.api.holder();
    for replica in &fleet.replicas {
        assert_eq!(served_by(replica, id).await, next, "at {}", replica.name);
    }
    assert_eq!((fleet.api.holders(), old.course()), (2, "follows"), "and the API server is still away for it");
    fleet.road(old).heal();
    fleet.api.heal();
    fleet.settled().await;
    assert_eq!(fleet.leader().name, next);
    fleet.stop().await;
}

#[tokio::test]
#[ignore = "slow"]
async fn a_term_that_somebody_has_written_into_the_lease_is_written_over() {
    let fleet = Elected::start(2).await;
    let (id, leader, term) = (fleet.user(3), fleet.leader().name.clone(), fleet.api.term());
    for made_up in [2_000_000_000, 1_999_999_999, i64::from(i32::MAX)] {
        fleet.api.make_up(made_up);
        until(|| fleet.api.term() < 1_000).await;
        fleet.settled().await;
        for replica in &fleet.replicas {
            assert_eq!(served_by(replica, id).await, leader);
        }
    }
    assert!(fleet.api.term() > term);
    fleet.stop().await;
}
