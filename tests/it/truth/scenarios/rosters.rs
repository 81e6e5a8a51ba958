//! Two callers who each say who all the agents of one group are, or which are all the groups of one agent.

use super::{Arc, Duration, Mutex, Reply, Request, Response, Stage, last_id, sleep, whole};
use zendesk_gateway::proto::{AgentList, SetUserGroupsRequest, UpdateGroupWithAgentsRequest};

#[derive(Clone, Copy)]
struct Row {
    id: i64,
    user: i64,
    group: i64,
    default: bool,
}

/// An account's memberships, and what may be asked of them.
#[derive(Clone)]
struct Account(Arc<Mutex<Vec<Row>>>);

impl Account {
    /// The memberships of these users in these groups; the last one is the default.
    fn of(pairs: &[(i64, i64)]) -> Self {
        let row = |(at, (user, group)): (usize, &(i64, i64))| {
            let id = 100 * user + group;
            Row { id, user: *user, group: *group, default: at + 1 == pairs.len() }
        };
        Self(Arc::new(Mutex::new(pairs.iter().enumerate().map(row).collect())))
    }

    fn pairs(&self) -> Vec<(i64, i64)> {
        let mut pairs: Vec<_> = self.0.lock().expect("no panic").iter().map(|row| (row.user, row.group)).collect();
        pairs.sort_unstable();
        pairs
    }

    fn act(&self, request: &Request) -> Response {
        let mut rows = self.0.lock().expect("no panic");
        let path = request.path.trim_start_matches("/api/v2");
        let id = last_id(path);
        let at = rows.iter().position(|row| row.id == id);
        match (request.method.as_str(), path) {
            ("GET", path) if path.ends_with("memberships") => {
                let of_group = path.starts_with("/groups/");
                let wanted = |row: &&Row| if of_group { row.group == id } else { row.user == id };
                listed(rows.iter().filter(wanted))
            }
            ("GET", _) => Response::new(200, format!(r#"{{"group":{{"id":{id},"name":"G"}}}}"#)),
            ("POST", _) => {
                let body: serde_json::Value = serde_json::from_slice(&request.body).expect("JSON");
                let number = |name: &str| body["group_membership"][name].as_i64().expect("an id");
                let (user, group) = (number("user_id"), number("group_id"));
                let row = Row { id: 100 * user + group, user, group, default: false };
                rows.push(row);
                Response::new(201, format!(r#"{{"group_membership":{}}}"#, json(&row)))
            }
            (_, path) if at.is_none() => Response::new(404, format!(r#"{{"error":"RecordNotFound {path}"}}"#)),
            ("PUT", _) => {
                rows.iter_mut().for_each(|row| row.default = row.id == id);
                listed(rows.iter())
            }
            _ => {
                rows.remove(at.expect("it is there"));
                Response::new(204, "")
            }
        }
    }
}

fn json(row: &Row) -> String {
    let Row { id, user, group, default } = row;
    format!(r#"{{"id":{id},"user_id":{user},"group_id":{group},"default":{default}}}"#)
}

fn listed<'a>(rows: impl Iterator<Item = &'a Row>) -> Response {
    let rows: Vec<String> = rows.map(json).collect();
    Response::new(200, format!(r#"{{"group_memberships":[{}],"meta":{{"has_more":false}}}}"#, rows.join(",")))
}

/// Does at once whatever it is asked, and answers 50 ms later. Only the change of user 1's default to group 2 is done 300 ms late.
async fn stage(account: &Account) -> Stage {
    let account = account.clone();
    Stage::set(move |request| {
        let account = account.clone();
        async move {
            if request.line() == "PUT /users/1/group_memberships/102/make_default" {
                sleep(Duration::from_millis(300)).await;
            }
            let answer = account.act(&request);
            sleep(Duration::from_millis(50)).await;
            if answer.status == 200 { whole(answer.body) } else { Reply::Whole(answer) }
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow"]
async fn of_two_who_set_the_agents_of_one_group_at_once_one_gets_what_was_asked_for() {
    let account = Account::of(&[(3, 1), (4, 1)]);
    let t = stage(&account).await;
    let set = |agent: i64| {
        let mut groups = t.groups();
        let agents = Some(AgentList { user_ids: vec![agent] });
        async move {
            groups.update_group_with_agents(UpdateGroupWithAgentsRequest { id: 1, agents, ..Default::default() }).await
        }
    };
    let (one, other) = tokio::join!(set(3), set(4));
    for reply in [one, other] {
        let reply = reply.expect("the group and its agents are there").into_inner();
        assert_eq!(reply.failures, [], "nothing stood in the way");
    }
    let left = account.pairs();
    assert!([vec![(3, 1)], vec![(4, 1)]].contains(&left), "one asked for agent 3, one for agent 4; there are {left:?}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow"]
async fn of_two_who_set_the_groups_of_one_agent_at_once_one_gets_what_was_asked_for() {
    let account = Account::of(&[(1, 1), (1, 2), (1, 3)]);
    let t = stage(&account).await;
    let set = |group: i64| {
        let mut memberships = t.memberships();
        let (group_ids, default_group_id) = (vec![group], Some(group));
        async move {
            let request = SetUserGroupsRequest { user_id: 1, group_ids, default_group_id, validate_only: false };
            memberships.set_user_groups(request).await
        }
    };
    let (one, other) = tokio::join!(set(1), set(2));
    for reply in [one, other] {
        let reply = reply.expect("the agent and the groups are there").into_inner();
        assert_eq!(reply.failures, [], "nothing stood in the way");
    }
    let left = account.pairs();
    assert!([vec![(1, 1)], vec![(1, 2)]].contains(&left), "one asked for group 1, one for group 2; there are {left:?}");
}
