//! Groups with their agents, and the groups of an agent, said as a whole.

use std::collections::HashSet;
use std::time::Duration;

use tonic::Code;
use zendesk_gateway::proto::{
    AgentList, CreateGroupWithAgentsRequest, GetGroupWithAgentsRequest, GroupInput, SetUserGroupsRequest,
    UpdateGroupWithAgentsRequest,
};
use zendesk_gateway::sandbox;
use zendesk_gateway::sandbox::faults::{Hang, any};

use crate::support::{TestGateway, account, refused, settings};

async fn large() -> TestGateway {
    TestGateway::with(sandbox::Config { users: 2_000, ..account() }).await
}

fn members(t: &TestGateway, group: i64) -> HashSet<i64> {
    t.held_memberships().iter().filter(|row| row.group_id == group).map(|row| row.user_id).collect()
}

fn writes(t: &TestGateway) -> usize {
    t.sandbox.requests().iter().filter(|request| request.method != "GET").count()
}

async fn set(t: &TestGateway, id: i64, user_ids: &[i64]) -> zendesk_gateway::proto::UpdateGroupWithAgentsResponse {
    let agents = Some(AgentList { user_ids: user_ids.to_vec() });
    let request = UpdateGroupWithAgentsRequest { id, agents, ..Default::default() };
    t.groups().update_group_with_agents(request).await.expect("set").into_inner()
}

#[tokio::test]
async fn a_group_is_created_read_and_emptied_with_its_agents() {
    let t = large().await;
    let agents: Vec<i64> = t.sandbox.store().staff_ids().into_iter().take(60).collect();
    let group = Some(GroupInput { name: Some("All hands".to_owned()), ..Default::default() });
    let request = CreateGroupWithAgentsRequest {
        group,
        agents: Some(AgentList { user_ids: agents.clone() }),
        validate_only: false,
    };
    let mut dry = request.clone();
    dry.validate_only = true;
    let plan = t.groups().create_group_with_agents(dry).await.expect("a plan").into_inner();
    assert_eq!((plan.group, plan.plan.expect("set").adds.len(), writes(&t)), (None, 60, 0));

    let created = t.groups().create_group_with_agents(request).await.expect("created").into_inner();
    assert!(created.failures.is_empty(), "{:?}", created.failures);
    let id = created.group.expect("set").id;
    assert_eq!(members(&t, id), agents.iter().copied().collect());
    assert_eq!(writes(&t), 2, "the group, and one job for 60 agents");
    let read = t.groups().get_group_with_agents(GetGroupWithAgentsRequest { id }).await.expect("it").into_inner();
    let mut wanted = agents.clone();
    wanted.sort_unstable();
    assert_eq!(read.agents.iter().map(|user| user.id).collect::<Vec<_>>(), wanted);

    let emptied = set(&t, id, &[]).await;
    assert_eq!(emptied.plan.expect("set").removes.len(), 60);
    assert!(members(&t, id).is_empty(), "an empty list removes every agent");
}

#[tokio::test]
async fn only_the_difference_is_written_and_a_second_call_writes_nothing() {
    let t = large().await;
    let staff = t.sandbox.store().staff_ids();
    let group = t.held_memberships()[0].group_id;
    let mut wanted: Vec<i64> = members(&t, group).into_iter().collect();
    wanted.sort_unstable();
    let removed = wanted.remove(0);
    let added = *staff.iter().find(|id| !wanted.contains(id) && **id != removed).expect("one more agent");
    wanted.push(added);

    let agents = Some(AgentList { user_ids: wanted.clone() });
    let dry = UpdateGroupWithAgentsRequest { id: group, agents, validate_only: true, ..Default::default() };
    let plan = t.groups().update_group_with_agents(dry).await.expect("a plan").into_inner().plan.expect("set");
    assert_eq!((plan.adds.as_slice(), plan.removes.as_slice()), (&[added][..], &[removed][..]));
    assert_eq!((plan.unchanged.len(), writes(&t)), (wanted.len() - 1, 0));

    assert!(set(&t, group, &wanted).await.failures.is_empty());
    assert_eq!(members(&t, group), wanted.iter().copied().collect());
    assert_eq!(writes(&t), 2, "one addition, one removal");
    let again = set(&t, group, &wanted).await.plan.expect("set");
    assert_eq!((again.adds.len(), again.removes.len(), writes(&t)), (0, 0, 2));
}

#[tokio::test]
async fn an_absent_list_leaves_the_agents_alone() {
    let t = TestGateway::start().await;
    let group = t.held_memberships()[0].group_id;
    let before = members(&t, group);
    let input = Some(GroupInput { name: Some("Renamed".to_owned()), ..Default::default() });
    let request = UpdateGroupWithAgentsRequest { id: group, group: input, ..Default::default() };
    let reply = t.groups().update_group_with_agents(request).await.expect("renamed").into_inner();
    assert_eq!((reply.group.expect("set").name.as_deref(), reply.plan), (Some("Renamed"), None));
    assert_eq!(members(&t, group), before);
    let nothing = UpdateGroupWithAgentsRequest { id: group, ..Default::default() };
    assert_eq!(refused(t.groups().update_group_with_agents(nothing).await).fields, ["agents"]);
}

#[tokio::test]
async fn what_was_cut_off_half_way_is_repeated_and_ends_right() {
    let mut config = settings();
    config.upstream.attempt.write_timeout = Duration::from_secs(1);
    let t = TestGateway::configured(sandbox::Config { users: 2_000, ..account() }, config).await;
    let staff = t.sandbox.store().staff_ids();
    let group = t.held_memberships()[0].group_id;
    let wanted: Vec<i64> = staff.iter().rev().take(40).copied().collect();
    // The additions go through and the removals never get an answer.
    t.sandbox.fault(any("/group_memberships/destroy_many"), Hang::before_headers());
    let agents = Some(AgentList { user_ids: wanted.clone() });
    let mut request = tonic::Request::new(UpdateGroupWithAgentsRequest { id: group, agents, ..Default::default() });
    request.set_timeout(Duration::from_secs(3));
    t.groups().update_group_with_agents(request).await.ok();
    let half = members(&t, group);
    assert!(wanted.iter().all(|id| half.contains(id)) && half.len() > wanted.len(), "half-way: added, not removed");
    t.sandbox.faults().clear();
    // Its turn comes when the write that was never answered can be taken not to come any more.
    let begun = std::time::Instant::now();
    assert!(set(&t, group, &wanted).await.failures.is_empty());
    assert!(begun.elapsed() > Duration::from_secs(5), "{:?}", begun.elapsed());
    assert_eq!(members(&t, group), wanted.iter().copied().collect());
}

#[tokio::test]
async fn an_agents_groups_are_set_with_a_default_that_stays_valid() {
    let t = TestGateway::start().await;
    let user_id = t.held_memberships()[0].user_id;
    let groups: Vec<i64> = t
        .sandbox
        .store()
        .groups()
        .iter()
        .filter(|group| group["deleted"] == false)
        .filter_map(|group| group["id"].as_i64())
        .collect();
    let of_user = |t: &TestGateway| -> HashSet<i64> {
        t.held_memberships().iter().filter(|row| row.user_id == user_id).map(|row| row.group_id).collect()
    };
    let wanted = &groups[..5];
    let request = SetUserGroupsRequest {
        user_id,
        group_ids: wanted.to_vec(),
        default_group_id: Some(wanted[3]),
        validate_only: false,
    };
    let reply = t.memberships().set_user_groups(request.clone()).await.expect("set").into_inner();
    assert!(reply.failures.is_empty(), "{:?}", reply.failures);
    assert_eq!(of_user(&t), wanted.iter().copied().collect());
    let default: Vec<_> = reply.group_memberships.iter().filter(|row| row.default == Some(true)).collect();
    assert_eq!(default.iter().map(|row| row.group_id).collect::<Vec<_>>(), [Some(wanted[3])]);
    let before = writes(&t);
    let again = t.memberships().set_user_groups(request).await.expect("set").into_inner();
    assert_eq!((writes(&t), again.changes_default), (before, false), "the second time there is nothing to write");

    for (group_ids, default, field) in [
        (vec![], None, "group_ids"),
        (vec![0], None, "group_ids"),
        (vec![groups[0]], Some(groups[1]), "default_group_id"),
    ] {
        let request = SetUserGroupsRequest { user_id, group_ids, default_group_id: default, validate_only: false };
        let refused = refused(t.memberships().set_user_groups(request).await);
        assert_eq!((refused.code, refused.fields.as_slice()), (Code::InvalidArgument, &[field.to_owned()][..]));
    }
}
