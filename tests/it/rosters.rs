//! Groups with their agents, and the groups of an agent, said as a whole.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use tonic::Code;
use zendesk_gateway::proto::group_service_client::GroupServiceClient;
use zendesk_gateway::proto::membership_service_client::MembershipServiceClient;
use zendesk_gateway::proto::{
    AgentList, BulkResult, CreateGroupWithAgentsRequest, GetGroupWithAgentsRequest, GroupInput, MembershipFailure,
    SetDefaultMembershipRequest, SetUserGroupsRequest, SetUserGroupsResponse, UpdateGroupWithAgentsRequest,
    UpdateGroupWithAgentsResponse,
};
use zendesk_gateway::sandbox;
use zendesk_gateway::sandbox::faults::{Hang, Html, Matcher, Reset, Respond, Throttle, any, delete, get};

use crate::support::{Scripted, TestGateway, account, answer, basic, refused, serve, settings, until};

async fn large() -> TestGateway {
    TestGateway::with(sandbox::Config { users: 2_000, ..account() }).await
}

fn members(t: &TestGateway, group: i64) -> HashSet<i64> {
    t.held_memberships().iter().filter(|row| row.group_id == group).map(|row| row.user_id).collect()
}

fn writes(t: &TestGateway) -> usize {
    t.sandbox.requests().iter().filter(|request| request.method != "GET").count()
}

async fn set(t: &TestGateway, id: i64, user_ids: &[i64]) -> UpdateGroupWithAgentsResponse {
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
#[ignore = "slow"]
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
    let begun = Instant::now();
    assert!(set(&t, group, &wanted).await.failures.is_empty());
    assert!(begun.elapsed() > Duration::from_secs(5), "{:?}", begun.elapsed());
    assert_eq!(members(&t, group), wanted.iter().copied().collect());
}

#[tokio::test]
#[ignore = "slow"]
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
        (vec![0], None, "group_ids[0]"),
        (vec![groups[0]], Some(groups[1]), "default_group_id"),
    ] {
        let request = SetUserGroupsRequest { user_id, group_ids, default_group_id: default, validate_only: false };
        let refused = refused(t.memberships().set_user_groups(request).await);
        assert_eq!((refused.code, refused.fields.as_slice()), (Code::InvalidArgument, &[field.to_owned()][..]));
    }
}

/// A user who is in one group and is to be in another.
async fn moved(t: &TestGateway) -> Result<SetUserGroupsResponse, tonic::Status> {
    let held = t.held_memberships();
    let user_id = held[0].user_id;
    let of_user = |group: &i64| held.iter().any(|row| row.user_id == user_id && row.group_id == *group);
    let groups = t.sandbox.store().groups();
    let mut groups = groups.iter().filter(|group| group["deleted"] == false).filter_map(|group| group["id"].as_i64());
    let other = groups.find(|group| !of_user(group)).expect("nobody is in all groups");
    let request = SetUserGroupsRequest { user_id, group_ids: vec![other], ..Default::default() };
    Ok(t.memberships().set_user_groups(request).await?.into_inner())
}

#[tokio::test]
#[ignore = "slow"]
async fn what_was_written_is_told_although_the_last_look_fails() {
    type Break = fn(&TestGateway, Matcher);
    let list = || get("/users/{id}/group_memberships");
    let breaks: [(&str, Break); 6] = [
        ("403", |t, when| _ = t.sandbox.fault(when, Respond::with(403).forever().after(1))),
        ("404", |t, when| _ = t.sandbox.fault(when, Respond::with(404).forever().after(1))),
        ("429", |t, when| _ = t.sandbox.fault(when, Throttle::once().retry_after(250).after(1))),
        ("503", |t, when| _ = t.sandbox.fault(when, Respond::with(503).forever().after(1))),
        ("an HTML page", |t, when| _ = t.sandbox.fault(when, Html::ok().forever().after(1))),
        ("a closed connection", |t, when| _ = t.sandbox.fault(when, Reset::before_headers().forever().after(1))),
    ];
    for (what, break_it) in breaks {
        let t = TestGateway::start().await;
        break_it(&t, list());
        let reply = moved(&t).await.unwrap_or_else(|status| panic!("{what}: {status:?}"));
        let plan = reply.plan.expect("it is told");
        assert_eq!((plan.adds.len(), reply.failures.len()), (1, 0), "{what}");
        assert_eq!(reply.group_memberships, [], "{what}: not known");
        t.stop().await;
    }
}

#[tokio::test]
#[ignore = "slow"]
async fn a_deadline_that_passes_after_something_was_written_never_says_that_nothing_was() {
    for cap in (150..900).step_by(50).map(Duration::from_millis) {
        let mut config = settings();
        config.server.unary_deadline = cap;
        let account = sandbox::Config { latency: sandbox::Latency::Fixed(Duration::from_millis(100)), ..account() };
        let t = TestGateway::configured(account, config).await;
        let outcome = moved(&t).await;
        let written = writes(&t) > 0;
        if let Err(status) = outcome {
            let seen = refused::<()>(Err(status));
            assert!(!written || seen.reason == "OUTCOME_UNKNOWN", "{cap:?}: {} {}", seen.reason, seen.message);
        }
        t.stop().await;
    }
}

#[tokio::test]
#[ignore = "slow"]
async fn no_step_begins_once_it_is_time_to_answer() {
    let t = large().await;
    let group = t.held_memberships()[0].group_id;
    let staff: Vec<i64> = t.sandbox.store().staff_ids().into_iter().take(6).collect();
    set(&t, group, &staff).await;
    let before = writes(&t);
    t.sandbox.fault(delete("/group_memberships/*"), Hang::before_headers().forever());
    let agents = Some(AgentList { user_ids: staff[2..].to_vec() });
    let description = GroupInput { description: Some("two leave".to_owned()), ..Default::default() };
    let update = UpdateGroupWithAgentsRequest { id: group, group: Some(description), agents, ..Default::default() };
    let mut request = tonic::Request::new(update);
    request.set_timeout(Duration::from_secs(2));
    let began = Instant::now();
    let reply = t.groups().update_group_with_agents(request).await.expect("a reply within the deadline").into_inner();
    assert!(began.elapsed() < Duration::from_millis(1_975), "{:?}", began.elapsed());
    let results: Vec<BulkResult> = reply.failures.iter().map(MembershipFailure::result).collect();
    assert_eq!(results, [BulkResult::Unknown, BulkResult::NotSent]);
    assert_eq!(writes(&t) - before, 2, "the group and one removal");
}

#[tokio::test]
async fn rows_that_come_again_under_ever_new_cursors_end() {
    let pages = std::sync::atomic::AtomicU32::new(0);
    let upstream = Scripted::by(move |_| {
        let page = pages.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let row = r#"{"id":1,"user_id":7,"group_id":5}"#;
        let body = format!(
            r#"{{"users":[{row}],"group_memberships":[{row}],"meta":{{"has_more":true,"after_cursor":"c{page}"}}}}"#
        );
        answer("200 OK\r\ncontent-type: application/json", body.as_bytes())
    })
    .await;
    let (_, channel, _running, _) = serve(&upstream.url, basic("a@b.example/token:t"), settings()).await;
    let request = SetUserGroupsRequest { user_id: 7, group_ids: vec![6], ..SetUserGroupsRequest::default() };
    let refused = refused(MembershipServiceClient::new(channel).set_user_groups(request).await);
    assert_eq!(refused.reason, "PAGINATION_LOOP");
    assert!(upstream.asked().len() <= 4, "{}", upstream.asked().len());
}

/// A group with members, whose answers a test can bend.
struct Bent {
    members: std::sync::Mutex<Vec<i64>>,
    writes: std::sync::Mutex<Vec<String>>,
}

impl Bent {
    /// Answers as `bend` says, and truly where it says nothing.
    async fn start(
        members: &[i64],
        bend: impl Fn(&Self, &str) -> Option<(&'static str, &'static str)> + Send + Sync + 'static,
    ) -> (Scripted, std::sync::Arc<Self>) {
        let group = std::sync::Arc::new(Self { members: members.to_vec().into(), writes: std::sync::Mutex::default() });
        let this = group.clone();
        let upstream = Scripted::by(move |head| {
            let line = head.lines().next().unwrap_or_default();
            if !line.starts_with("GET") {
                this.writes.lock().expect("no panic").push(line.trim_end_matches(" HTTP/1.1").to_owned());
            }
            let json = |status: &str, body: &str| {
                answer(&format!("{status}\r\ncontent-type: application/json"), body.as_bytes())
            };
            if let Some((status, body)) = bend(&this, line) {
                return json(status, body);
            }
            if line.contains("/memberships") {
                let rows = this.members.lock().expect("no panic");
                let rows = rows.iter().map(|user| format!(r#"{{"id":{},"user_id":{user},"group_id":5}}"#, user * 10));
                let rows = rows.collect::<Vec<_>>().join(",");
                return json("200 OK", &format!(r#"{{"group_memberships":[{rows}],"meta":{{"has_more":false}}}}"#));
            }
            json("200 OK", r#"{"group":{"id":5,"name":"G"}}"#)
        })
        .await;
        (upstream, group)
    }

    async fn set(upstream: &Scripted, user_ids: &[i64]) -> Result<UpdateGroupWithAgentsResponse, tonic::Status> {
        let (_, channel, _running, _) = serve(&upstream.url, basic("a@b.example/token:t"), settings()).await;
        let agents = Some(AgentList { user_ids: user_ids.to_vec() });
        let group = Some(GroupInput { description: Some("d".to_owned()), ..Default::default() });
        let request = UpdateGroupWithAgentsRequest { id: 5, agents, group, ..Default::default() };
        Ok(GroupServiceClient::new(channel).update_group_with_agents(request).await?.into_inner())
    }
}

#[tokio::test]
async fn who_is_added_already_or_gone_already_is_no_failure() {
    let taken = r#"{"error":"RecordInvalid","details":{"user_id":[{"description":"User has already been taken","error":"DuplicateValue"}]}}"#;
    let (upstream, group) = Bent::start(&[1, 2], move |this, line| {
        let mut members = this.members.lock().expect("no panic");
        if line.starts_with("POST") {
            // Somebody else was a moment faster.
            members.push(3);
            return Some(("422 Unprocessable Entity", taken));
        }
        line.starts_with("DELETE").then(|| {
            members.retain(|user| *user != 2);
            ("404 Not Found", r#"{"error":"RecordNotFound"}"#)
        })
    })
    .await;
    let reply = Bent::set(&upstream, &[1, 3]).await.expect("all is as wanted");
    assert_eq!(reply.failures, []);
    assert_eq!(*group.members.lock().expect("no panic"), [1, 3]);
}

#[tokio::test]
#[ignore = "slow"]
async fn nobody_is_removed_after_a_failed_addition() {
    for (status, body) in [
        ("422 Unprocessable Entity", r#"{"error":"RecordInvalid","details":{"user_id":[{"error":"InvalidValue"}]}}"#),
        ("403 Forbidden", r#"{"error":"Forbidden"}"#),
        ("500 Internal Server Error", "{}"),
    ] {
        let (upstream, group) =
            Bent::start(&[1, 2], move |_, line| line.starts_with("POST").then_some((status, body))).await;
        let reply = Bent::set(&upstream, &[3]).await.expect("the group itself was written");
        let failed: Vec<i64> = reply.failures.iter().map(|failure| failure.id).collect();
        assert_eq!(failed, [3, 1, 2], "{status}: who was not added, and who was left alone therefore");
        let writes = group.writes.lock().expect("no panic");
        assert!(writes.iter().all(|line| !line.starts_with("DELETE")), "{status}: {writes:?}");
    }
}

#[tokio::test]
#[ignore = "slow"]
async fn a_turn_that_does_not_come_in_time_is_aborted_with_nothing_sent() {
    let t = large().await;
    let group = t.held_memberships()[0].group_id;
    t.sandbox.fault(any("/groups/{id}/memberships"), Hang::before_headers());
    let change = |seconds| {
        let agents = Some(AgentList { user_ids: vec![1] });
        let mut request = tonic::Request::new(UpdateGroupWithAgentsRequest { id: group, agents, ..Default::default() });
        request.set_timeout(Duration::from_secs(seconds));
        let mut groups = t.groups();
        async move { groups.update_group_with_agents(request).await }
    };
    let first = tokio::spawn(change(20));
    until(|| t.sandbox.total_hits() > 0).await;
    let status = change(1).await.expect_err("the first one is at it");
    assert_eq!(status.metadata().get("x-upstream-calls").expect("said"), "0");
    let refused = refused(Err::<(), _>(status));
    assert_eq!((refused.code, refused.reason.as_str()), (Code::Aborted, "CONFLICT"));
    first.abort();
}

#[tokio::test]
async fn a_turn_waits_for_an_attempt_that_was_lost_although_its_repetition_was_answered() {
    let t = TestGateway::start().await;
    let held = t.held_memberships()[0].clone();
    t.sandbox.fault(any("/users/{id}/group_memberships/{id}/make_default"), Reset::before_headers());
    let change = |seconds| {
        let request = SetDefaultMembershipRequest { id: held.id, user_id: held.user_id };
        let mut request = tonic::Request::new(request);
        request.set_timeout(Duration::from_secs(seconds));
        let mut memberships = t.memberships();
        async move { memberships.set_default_membership(request).await }
    };
    change(20).await.expect("the repetition is answered");
    let refused = refused(change(1).await);
    assert_eq!((refused.code, refused.reason.as_str()), (Code::Aborted, "CONFLICT"));
}

/// Asks to set the one agent 7 of the group 8, and the one group 8 of the agent 7, where Zendesk lists these memberships. Returns how each
/// was refused, and what was written.
async fn set_from(memberships: &'static str) -> (Vec<String>, Vec<String>) {
    let upstream = Scripted::by(move |head| {
        let body = match head {
            _ if head.contains("memberships") => memberships,
            _ => r#"{"group":{"id":8,"name":"G"}}"#,
        };
        answer("200 OK\r\ncontent-type: application/json", body.as_bytes())
    })
    .await;
    let (_, channel, _running, _) = serve(&upstream.url, basic("a@b.example/token:t"), settings()).await;
    let client = crate::support::Dynamic::new(channel);
    let mut reasons = Vec::new();
    for (rpc, request) in [
        ("UpdateGroupWithAgents", r#"{"id": 8, "agents": {"user_ids": [7]}}"#),
        ("SetUserGroups", r#"{"user_id": 7, "group_ids": [8]}"#),
    ] {
        reasons.push(refused(client.call(rpc, request).await).reason);
    }
    let written = upstream.asked().into_iter().filter(|line| !line.starts_with("GET ")).collect();
    (reasons, written)
}

#[tokio::test]
#[ignore = "slow"]
async fn nothing_is_written_from_a_list_of_which_something_cannot_be_read() {
    let rows = r#"{"id":1,"user_id":7,"group_id":8},{"id":2,"user_id":7,"group_id":8}"#;
    let mut lists = Vec::new();
    for count in ["3", r#""x""#, "[]", "-1", "1e400", "true"] {
        lists.push(format!(r#"{{"group_memberships":[{rows}],"next_page":null,"count":{count}}}"#));
    }
    for around in [r#""links":5"#, r#""after_cursor":[]"#, r#""next_page":"\ud800""#] {
        lists.push(format!(r#"{{"group_memberships":[{rows}],"meta":{{"has_more":false}},{around}}}"#));
    }
    for id in ["0", "-9", r#""x""#, "9007199254740993.0", "1e18"] {
        let row = format!(r#"{{"id":2,"user_id":{id},"group_id":{id}}}"#);
        lists.push(format!(
            r#"{{"group_memberships":[{{"id":1,"user_id":7,"group_id":8}},{row}],"meta":{{"has_more":false}}}}"#
        ));
    }
    for list in lists {
        let (reasons, written) = set_from(list.clone().leak()).await;
        assert_eq!(
            (reasons.as_slice(), written.len()),
            (["UPSTREAM_MALFORMED"; 2].map(str::to_owned).as_slice(), 0),
            "{list}: {written:?}"
        );
    }
}
