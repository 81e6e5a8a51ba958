//! What is measured of declarative writes: the plan of a group's agents, which is read and compared, and not written.

use anyhow::{Context as _, ensure};
use prost::Message as _;
use serde_json::Value;
use zendesk_gateway::proto::{
    AgentList, ListMembershipsRequest, MembershipFilter, UpdateGroupWithAgentsRequest, UpdateGroupWithAgentsResponse,
    membership_filter,
};

use super::load::Shape;
use super::peers::SERVER_CORE;
use super::stage::{Contender, Scene, Stage, name};
use super::stand_in::{StandIn, Wire};

/// Plans, and reads of what they compare.
pub struct Plans {
    /// How many agents the group has.
    pub members: usize,
    /// How many of them the plan replaces.
    pub replaced: usize,
    /// What was measured.
    pub scene: Scene,
}

/// Plans that replace a quarter of a group's agents, beside the list of its memberships that goes upstream.
pub async fn plans(stage: &Stage) -> anyhow::Result<Plans> {
    // So many that the agents of a group nearly fill a page.
    let account = stage.tools.stand_in(stage.size.calls(10_000), Wire::Plain)?;
    let gateway = stage.gateway("gateway-roster", SERVER_CORE, &account, &[])?;
    let group = ids(&account, "groups?page%5Bsize%5D=1", "groups", "id").await?[0];
    let members = format!("groups/{group}/memberships?page%5Bsize%5D=100");
    let memberships = ids(&account, &members, "group_memberships", "id").await?;
    let members = ids(&account, &members, "group_memberships", "user_id").await?;
    let mut others = ids(&account, "group_memberships?page%5Bsize%5D=100", "group_memberships", "user_id").await?;
    others.retain(|agent| !members.contains(agent));
    others.sort_unstable();
    others.dedup();
    let replaced = members.len() / 4;
    ensure!((1..=others.len()).contains(&replaced) && members.len() < 100, "{} agents in the group", members.len());
    let wanted = members[replaced..].iter().chain(&others[..replaced]).copied().collect();
    let plan = UpdateGroupWithAgentsRequest {
        id: group,
        agents: Some(AgentList { user_ids: wanted }),
        validate_only: true,
        ..Default::default()
    };
    let filter = MembershipFilter { scope: Some(membership_filter::Scope::GroupId(group)) };
    let list = ListMembershipsRequest { filter: Some(filter), page_size: 100, ..Default::default() };
    let last = *memberships.last().context("the group has members")?;

    let (plan_target, reply) = stage.target(&gateway, &[], &plan, group).await?;
    let answered = UpdateGroupWithAgentsResponse::decode(reply)?.plan.context("a plan")?;
    let sizes = [&answered.adds, &answered.removes, &answered.unchanged].map(Vec::len);
    ensure!(sizes == [replaced, replaced, members.len() - replaced], "the plan has {sizes:?}");
    let (list_target, _) = stage.target(&gateway, &[("cache-control", "no-cache")], &list, last).await?;
    let shape = Shape { calls: stage.size.calls(3_000), connections: 2, at_once: 4 };
    let contenders = [
        Contender { name: name::PLAN, server: &gateway, target: plan_target, shape },
        Contender { name: name::MEMBERS, server: &gateway, target: list_target, shape },
    ];
    let before = account.seen().await?.total;
    let scene = tokio::task::block_in_place(|| stage.measure("plans of a group's agents", &contenders))?;
    let made = account.seen().await?.total - before;
    // A plan also reads the group, which it answers.
    let wanted = 3 * u64::from(shape.calls) * (stage.size.rounds() as u64 + 1);
    ensure!(made.abs_diff(wanted) < 10, "instead of {wanted} upstream requests came {made}");
    stage.target(&gateway, &[], &plan, group).await?;
    Ok(Plans { members: members.len(), replaced, scene })
}

/// Returns a field of all rows of a page.
async fn ids(account: &StandIn, path: &str, rows: &str, field: &str) -> anyhow::Result<Vec<i64>> {
    let page: Value = serde_json::from_slice(&account.get(&format!("/api/v2/{path}")).await?)?;
    let rows = page[rows].as_array().context("a page has rows")?;
    rows.iter().map(|row| row[field].as_i64().context("an id")).collect()
}
