//! What becomes of calls when the leader, or the way to it, is lost.

use std::time::{Duration, SystemTime};

use tonic::Code;
use zendesk_gateway::config::Config;
use zendesk_gateway::proto::{CreateGroupRequest, GetUserRequest, GroupInput, ListUsersRequest, StreamUsersRequest};
use zendesk_gateway::sandbox::faults::{Delay, get, post, put};
use zendesk_gateway::sandbox::{self, Sandbox};
use zendesk_gateway::server::admin::readiness::Phase;
use zendesk_gateway::upstream::credential::{Credential, Source};

use super::support::{Fleet, Papers, Replica};
use super::{metadata, name, named};
use crate::support::raw::Raw;
use crate::support::{account, api_token, narrow, refused, settings, until};

/// Settings of replicas that wait for their leader for so long, and of which the requests of several tests at once are not too
/// many.
fn alone_after(time: Duration) -> Config {
    let mut config = settings();
    config.fleet.alone_after = time;
    config
}

const SOON: Duration = Duration::from_millis(400);

fn group(name: &str) -> CreateGroupRequest {
    CreateGroupRequest { group: Some(GroupInput { name: Some(name.to_owned()), ..GroupInput::default() }) }
}

async fn served_by(replica: &Replica, id: i64) -> String {
    metadata(
        &replica.users().get_user(GetUserRequest { id, ..Default::default() }).await.expect("a read"),
        "x-served-by",
    )
}

#[tokio::test]
async fn calls_wait_for_a_leader_that_comes_back_and_none_is_lost() {
    let mut fleet = Fleet::start(1).await;
    let (ids, address) =
        ((0..8).map(|at| fleet.user(at)).collect::<Vec<_>>(), fleet.leader().internal.expect("a port"));
    fleet.leader.take().expect("it is there").stop().await;
    fleet.followers[0].is("held").await;
    let mut calls = Vec::new();
    for (at, id) in ids.iter().copied().enumerate() {
        let (mut users, mut groups) = (fleet.followers[0].users(), fleet.followers[0].groups());
        calls.push(tokio::spawn(async move {
            users
                .get_user(GetUserRequest { id, ..Default::default() })
                .await
                .map(|answer| metadata(&answer, "x-served-by"))?;
            groups.create_group(group(&format!("G{at}"))).await.map(|answer| metadata(&answer, "x-served-by"))
        }));
    }
    let config = fleet.papers.leader(&settings(), address);
    fleet.leader = Some(Replica::start(&fleet.sandbox, config, api_token(&fleet.sandbox)).await);
    for call in calls {
        assert_eq!(call.await.expect("no panic").expect("answered"), "leader");
    }
    assert_eq!(fleet.sandbox.requests().iter().filter(|sent| sent.method == "POST").count(), 8, "each write once");
    fleet.stop().await;
}

#[tokio::test]
#[ignore = "slow"]
async fn without_a_leader_a_replica_acts_alone_with_an_empty_cache_and_tells_the_leader_of_its_writes() {
    let mut fleet = Fleet::of(account(), alone_after(SOON), 2).await;
    let id = fleet.user(3);
    for replica in fleet.replicas() {
        name(replica, id).await;
    }
    fleet.road.cut();
    for follower in &fleet.followers {
        follower.is("silent").await;
    }
    let (leader, one, other) = (fleet.leader(), &fleet.followers[0], &fleet.followers[1]);
    until(|| one.readiness.phase() == Phase::Serving).await;
    assert_eq!(served_by(one, id).await, "follower-0");
    assert_eq!(name(other, id).await.1, "miss", "its cache is empty, whatever it knew of the leader's answers");
    one.users().update_user(named(id, "Written alone")).await.expect("a write");
    assert_eq!(name(one, id).await.0, "Written alone");
    assert_eq!(one.findings().await, ["fleet_alone"]);
    assert_eq!(name(leader, id).await.1, "hit", "what it knows is old, and it cannot know");

    fleet.road.heal();
    one.is("follows").await;
    assert_eq!(name(fleet.leader(), id).await, ("Written alone".to_owned(), "miss".to_owned()));
    assert_eq!(served_by(one, id).await, "leader");
    // Who has written nothing has nothing to tell.
    name(fleet.leader(), id).await;
    other.is("follows").await;
    assert_eq!(name(other, id).await, ("Written alone".to_owned(), "hit".to_owned()));
    // Alone once more: nothing of the first time is left.
    fleet.road.cut();
    fleet.followers[0].is("silent").await;
    assert_eq!(name(&fleet.followers[0], id).await.1, "miss");
    fleet.road.heal();
    fleet.followers[0].is("follows").await;
    fleet.leader.take().expect("it is there").stop().await;
    fleet.stop().await;
}

#[tokio::test]
#[ignore = "slow"]
async fn a_leader_that_is_not_ready_itself_is_not_followed() {
    let mut fleet = Fleet::of(account(), alone_after(SOON), 1).await;
    let (id, address) = (fleet.user(3), fleet.leader().internal.expect("a port"));
    fleet.leader.take().expect("it is there").stop().await;
    let revoked = Credential::new("Basic cmV2b2tlZA==", true).expect("a header").into();
    let config = fleet.papers.leader(&settings(), address);
    let leader = Replica::once_accepted(&fleet.sandbox, config.clone(), revoked).await;
    let follower = &fleet.followers[0];
    follower.is("not_ready").await;
    assert_eq!(served_by(follower, id).await, "follower-0");
    assert_eq!(follower.findings().await, ["fleet_alone"]);
    assert!(follower.get("/status?format=json").await.1.contains("is not ready itself"));
    assert_eq!(leader.findings().await, ["credential_refused"]);
    leader.stop().await;
    fleet.leader = Some(Replica::once_accepted(&fleet.sandbox, config, api_token(&fleet.sandbox).into()).await);
    fleet.followers[0].is("follows").await;
    assert_eq!(served_by(&fleet.followers[0], id).await, "leader");
    fleet.stop().await;
}

#[tokio::test]
async fn a_certificate_of_the_fleet_that_ends_soon_is_a_finding_on_both_sides() {
    let sandbox = Sandbox::start(account()).await.expect("the stand-in starts on a free port");
    let papers = Papers::new();
    papers.replace(&papers.authority.sign_until(SystemTime::now() + Duration::from_hours(24 * 5)));
    let config = papers.leader(&settings(), ([127, 0, 0, 1], 0).into());
    let leader = Replica::start(&sandbox, config, api_token(&sandbox)).await;
    let config = papers.follower(&settings(), 0, leader.internal.expect("it leads"));
    let follower = Replica::start(&sandbox, config, api_token(&sandbox)).await;
    follower.is("follows").await;
    for replica in [follower, leader] {
        assert_eq!(replica.findings().await, ["certificate_ends"]);
        let metrics = replica.get("/metrics").await.1;
        assert!(metrics.contains("zendesk_gateway_certificate=\"certificate of the fleet\""), "{metrics}");
        replica.stop().await;
    }
}

#[tokio::test]
async fn a_leader_of_another_authority_is_told_by_its_certificate() {
    let sandbox = Sandbox::start(account()).await.expect("the stand-in starts on a free port");
    let (papers, others) = (Papers::new(), Papers::new());
    let config = papers.leader(&settings(), ([127, 0, 0, 1], 0).into());
    let leader = Replica::start(&sandbox, config, api_token(&sandbox)).await;
    let config = others.follower(&alone_after(SOON), 0, leader.internal.expect("it leads"));
    let follower = Replica::start(&sandbox, config, api_token(&sandbox)).await;
    follower.is("bad_certificate").await;
    assert_eq!(follower.findings().await, ["fleet_alone"]);
    let status = follower.get("/status?format=json").await.1;
    assert!(status.contains("shows a certificate that this replica does not take"), "{status}");
    for replica in [follower, leader] {
        replica.stop().await;
    }
}

#[tokio::test]
async fn calls_that_cannot_be_sent_any_more_though_the_leader_answers_pings_are_answered_alone() {
    let fleet = Fleet::of(account(), alone_after(SOON), 1).await;
    let follower = &fleet.followers[0];
    // No call has opened a connection yet, and from now on none can be opened, as with a token that has ended.
    fleet.road.take_no_more();
    assert_eq!(follower.course(), "follows");
    assert_eq!(served_by(follower, fleet.user(3)).await, "follower-0");
    assert_eq!(follower.course(), "silent");
    assert_eq!(follower.findings().await, ["fleet_alone"]);
    fleet.road.heal();
    follower.is("follows").await;
    assert_eq!(served_by(follower, fleet.user(3)).await, "leader");
    fleet.stop().await;
}

#[tokio::test]
#[ignore = "slow"]
async fn a_read_whose_reply_breaks_off_is_asked_for_again() {
    let fleet = Fleet::start(1).await;
    let mut users = fleet.followers[0].users();
    let list = ListUsersRequest { page_size: 100, ..Default::default() };
    let whole = users.list_users(list.clone()).await.expect("a list").into_inner().users;
    assert_eq!(whole.len(), 100);
    for _ in 0..2 {
        fleet.road.slow_down(Duration::from_millis(50));
        let mut users = users.clone();
        let again = list.clone();
        let reply = tokio::spawn(async move { users.list_users(again).await });
        // The reply takes eight pauses or more.
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert!(!reply.is_finished());
        fleet.road.slow_down(Duration::ZERO);
        fleet.road.break_off();
        let reply = reply.await.expect("no panic").expect("a list").into_inner();
        assert_eq!(reply.users, whole);
    }
    fleet.stop().await;
}

#[tokio::test]
#[ignore = "slow"]
async fn a_write_that_was_begun_alone_is_answered_once_the_leader_knows_of_it() {
    let fleet = Fleet::of(account(), alone_after(SOON), 1).await;
    let (id, follower) = (fleet.user(3), &fleet.followers[0]);
    fleet.road.cut();
    follower.is("silent").await;
    fleet.sandbox.fault(put("*"), Delay::by(Duration::from_millis(1_500)).forever());
    let mut users = follower.users();
    let write = tokio::spawn(async move { users.update_user(named(id, "Late")).await });
    until(|| fleet.sandbox.total_hits() > 0).await;
    fleet.road.heal();
    follower.is("follows").await;
    assert!(!write.is_finished());
    // The leader reads what is there before the write is done, and keeps it, until the very moment at which it is.
    while !write.is_finished() {
        name(fleet.leader(), id).await;
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let answer = write.await.expect("no panic").expect("a write");
    assert_eq!(metadata(&answer, "x-served-by"), "follower-0");
    assert_eq!(name(fleet.leader(), id).await.0, "Late", "at once after the answer");
    fleet.stop().await;
}

#[tokio::test]
async fn a_write_that_was_lost_with_the_leader_is_not_repeated_and_a_read_is() {
    let fleet = Fleet::start(1).await;
    let follower = &fleet.followers[0];
    let slow = Delay::by(Duration::from_millis(1_500));
    fleet.sandbox.fault(get("*"), slow.clone());
    fleet.sandbox.fault(post("*"), slow);
    let (mut users, mut groups, id) = (follower.users(), follower.groups(), fleet.user(2));
    let read = tokio::spawn(async move { users.get_user(GetUserRequest { id, ..Default::default() }).await });
    let write = tokio::spawn(async move { groups.create_group(group("Once")).await });
    until(|| fleet.sandbox.total_hits() == 2).await;
    fleet.road.break_off();
    let lost = refused(write.await.expect("no panic"));
    assert_eq!((lost.code, lost.reason.as_str()), (Code::Unavailable, "OUTCOME_UNKNOWN"), "{}", lost.message);
    read.await.expect("no panic").expect("a read is asked again");
    let line = follower.told("audit", |_| true).await;
    assert_eq!(
        (&line["outcome"], &line["rpc.method"]),
        (&"unknown".into(), &"zendesk.gateway.v1.GroupService/CreateGroup".into())
    );
    assert_eq!(fleet.sandbox.requests().iter().filter(|sent| sent.method == "POST").count(), 1);
    fleet.stop().await;
}

#[tokio::test]
#[ignore = "slow"]
async fn no_more_than_64_calls_wait_for_a_leader_and_each_within_its_deadline() {
    let mut config = alone_after(Duration::from_mins(5));
    config.callers.max_calls = 0;
    let fleet = Fleet::of(account(), config, 1).await;
    let (id, follower) = (fleet.user(1), &fleet.followers[0]);
    fleet.road.cut();
    follower.is("held").await;
    assert_eq!(follower.findings().await, ["fleet_leaderless"]);
    // A client without a timer of its own.
    let raw = Raw::connect(&follower.address).await.0;
    let calls = (0..80).map(|_| async {
        let timeout = [("grpc-timeout", "1500m")];
        let answer = raw
            .call("/zendesk.gateway.v1.UserService/GetUser", &timeout, &GetUserRequest { id, ..Default::default() })
            .await;
        refused(Err::<(), _>(answer.expect("an answer").status())).reason
    });
    let reasons = futures_util::future::join_all(calls).await;
    let count = |wanted: &str| reasons.iter().filter(|reason| *reason == wanted).count();
    assert_eq!((count("OVERLOADED"), count("DEADLINE_EXCEEDED")), (16, 64), "{reasons:?}");
    fleet.stop().await;
}

#[tokio::test]
async fn before_another_account_a_replica_forwards_nothing_and_is_not_ready() {
    let mut fleet = Fleet::start(0).await;
    let known = &fleet.sandbox.config().credential;
    let other = Credential::new(&format!("Bearer {}", known.oauth_token), true).expect("a header");
    let other = Source::fixed("oauth_token", other);
    let config = fleet.papers.follower(&settings(), 0, fleet.road.address);
    fleet.followers.push(Replica::start(&fleet.sandbox, config, other).await);
    let follower = &fleet.followers[0];
    follower.is("other_account").await;
    assert_eq!(follower.get("/readyz").await, (503, "starting\n".to_owned()));
    assert_eq!(follower.findings().await, ["fleet_account"]);
    assert_eq!(served_by(follower, fleet.user(1)).await, "follower-0", "what comes all the same, it answers itself");
    fleet.stop().await;
}

#[tokio::test]
#[ignore = "slow"]
async fn a_replica_is_ready_once_it_has_found_its_leader_or_acts_alone() {
    let nowhere = std::net::SocketAddr::from(([127, 0, 0, 1], 1));
    let mut fleet = Fleet::of(account(), alone_after(SOON), 1).await;
    let is_ready = |replica: &Replica| replica.readiness.phase() == Phase::Serving;
    until(|| is_ready(&fleet.followers[0])).await;
    assert_eq!(fleet.followers[0].get("/readyz").await.0, 200);
    fleet.road.lead_to(nowhere);
    fleet.road.break_off();
    // A busy machine may take a second to start it and to ask.
    fleet.join(&alone_after(Duration::from_secs(5))).await;
    let lonely = &fleet.followers[1];
    assert_eq!(lonely.get("/readyz").await.0, 503);
    lonely.is("silent").await;
    until(|| is_ready(lonely)).await;
    fleet.stop().await;
}

#[tokio::test]
async fn a_stream_that_was_lost_with_the_leader_says_so_and_goes_on_from_its_token() {
    let fleet = Fleet::of(sandbox::Config { users: 1_000, ..account() }, settings(), 1).await;
    let request = StreamUsersRequest { page_size: 100, ..StreamUsersRequest::default() };
    let mut stream =
        narrow(&fleet.followers[0].address).stream_users(request.clone()).await.expect("a stream").into_inner();
    // What came after the last token comes again.
    let (mut seen, mut token, mut open) = (Vec::new(), String::new(), Vec::new());
    let mut message = stream.message().await;
    fleet.road.break_off();
    let lost = loop {
        let page = match message {
            Ok(Some(page)) => page,
            end => break refused(end),
        };
        open.extend(page.users.iter().map(|user| user.id));
        if !page.next_page_token.is_empty() {
            seen.append(&mut open);
            token = page.next_page_token;
        }
        message = stream.message().await;
    };
    assert_eq!((lost.code, lost.reason.as_str()), (Code::Unavailable, "SHUTTING_DOWN"), "{}", lost.message);
    let rest = StreamUsersRequest { page_token: token, ..request };
    let mut rest = fleet.followers[0].users().stream_users(rest).await.expect("a stream").into_inner();
    while let Some(page) = rest.message().await.expect("the rest") {
        seen.extend(page.users.iter().map(|user| user.id));
    }
    assert_eq!(seen, fleet.sandbox.store().user_ids());
    fleet.stop().await;
}
