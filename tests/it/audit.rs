//! The record of who changed what.

use std::time::Duration;

mod floods;

use serde_json::Value;
use tempfile::TempDir;
use zendesk_gateway::config::Config;
use zendesk_gateway::config::LogFormat;
use zendesk_gateway::config::identity::{Method, Rule};
use zendesk_gateway::contract::Risk;
use zendesk_gateway::error::{Error, reason_of};
use zendesk_gateway::gateway::Drain;
use zendesk_gateway::proto::membership_service_client::MembershipServiceClient;
use zendesk_gateway::proto::{
    AgentList, BulkDeleteUsersRequest, BulkUpdateUsersRequest, CreateGroupWithAgentsRequest, CreateMembershipRequest,
    CreateUserRequest, DeleteUserRequest, GetUserRequest, GroupInput, GroupMembershipInput, UpdateUserRequest,
    UserInput,
};
use zendesk_gateway::sandbox::faults::{Delay, Eof, Respond, Throttle, post, put};
use zendesk_gateway::telemetry::Telemetry;
use zendesk_gateway::upstream::Answer;

use crate::support::observed::{Lines, Observed};
use crate::support::seam::{Seam, within};
use crate::support::{key_file, oauth_token, settings, with};

/// Settings that filter every line out that can be filtered out.
fn quiet() -> Config {
    let mut config = settings();
    config.telemetry.log_format = LogFormat::Json;
    "off,audit=off".clone_into(&mut config.telemetry.log_filter);
    config
}

struct Audited {
    t: Observed,
    _dispatch: tracing::dispatcher::DefaultGuard,
}

impl Audited {
    async fn start(config: Config) -> Self {
        Self::of(Observed::configured(config).await)
    }

    fn of(t: Observed) -> Self {
        let dispatch = tracing::dispatcher::set_default(t.telemetry.dispatch());
        Self { t, _dispatch: dispatch }
    }

    /// The record so far, which forgets nothing.
    async fn lines(&self) -> Vec<Value> {
        self.t.telemetry.flush().await;
        self.t.lines.of("audit")
    }

    /// The only line after `before`.
    async fn line(&self, before: usize) -> Value {
        let lines = self.lines().await;
        assert_eq!(lines.len(), before + 1, "{lines:#?}");
        lines[before].clone()
    }

    fn user(&self, index: usize) -> i64 {
        self.t.sandbox.store().user_ids()[index]
    }
}

fn note(id: i64) -> UpdateUserRequest {
    let user = UserInput { notes: Some("a secret note".to_owned()), ..UserInput::default() };
    UpdateUserRequest { id, user: Some(user), update_mask: None, ..Default::default() }
}

fn named(name: &str) -> UserInput {
    UserInput { name: Some(name.to_owned()), email: Some("nia@acme.example".to_owned()), ..UserInput::default() }
}

#[tokio::test]
async fn a_change_is_on_record_with_who_what_and_how_it_went() {
    let a = Audited::start(quiet()).await;
    let id = a.user(3);
    a.t.users().get_user(GetUserRequest { id, ..Default::default() }).await.expect("a read leaves no line");
    let reply = a.t.users().update_user(with(note(id), &[("x-request-id", "order-7")])).await.expect("a change");
    drop(reply);
    let (line, target) = (a.line(0).await, format!("user:{id}"));
    for (field, wanted) in [
        ("target", "audit"),
        ("caller", "anonymous"),
        ("rpc.method", "zendesk.gateway.v1.UserService/UpdateUser"),
        ("risk", "write"),
        ("outcome", "done"),
        ("targets", target.as_str()),
        ("http.status", "200"),
        ("request_id", "order-7"),
    ] {
        assert_eq!(line[field], wanted, "{field}: {line}");
    }
    assert_eq!(line["attempts"], 1);
    assert!(line["zendesk.request_ids"].as_str().is_some_and(|ids| ids.ends_with("-SBX")), "{line}");
    assert!(line["trace_id"].as_str().is_some_and(|id| id.len() == 32), "{line}");
    assert!(line.get("error.reason").is_none(), "{line}");

    let user = Some(named("Nia New"));
    let created =
        a.t.users().create_user(CreateUserRequest { user, ..Default::default() }).await.expect("created").into_inner();
    let line = a.line(1).await;
    assert_eq!(line["targets"], format!("user:{}", created.user.expect("a user").id));
    assert_eq!(line["http.status"], "201");
    let all = format!("{:?}", a.lines().await);
    for personal in ["secret", "Nia", "acme"] {
        assert!(!all.contains(personal), "{personal} is on record: {all}");
    }
}

#[tokio::test]
#[ignore = "slow"]
async fn every_way_to_fail_is_told_apart() {
    let a = Audited::start(quiet()).await;
    let (id, nobody) = (a.user(3), 999_999_999);
    let mut users = a.t.users();

    users.update_user(note(nobody)).await.expect_err("nobody");
    let line = a.line(0).await;
    assert_eq!((&line["outcome"], &line["error.reason"]), (&"refused".into(), &"NOT_FOUND".into()), "{line}");
    assert_eq!((&line["http.status"], &line["attempts"]), (&"404".into(), &1.into()), "{line}");

    users.update_user(UpdateUserRequest { id: -1, ..note(id) }).await.expect_err("a bad id");
    let line = a.line(1).await;
    assert_eq!((&line["outcome"], &line["error.reason"]), (&"refused".into(), &"INVALID_FIELD".into()), "{line}");
    assert_eq!((&line["attempts"], line.get("http.status")), (&0.into(), None), "{line}");

    a.t.sandbox.fault(post("/users"), Eof::before_headers().after_applying());
    users
        .create_user(CreateUserRequest { user: Some(named("L")), ..Default::default() })
        .await
        .expect_err("the answer is lost");
    let line = a.line(2).await;
    assert_eq!((&line["outcome"], &line["error.reason"]), (&"unknown".into(), &"OUTCOME_UNKNOWN".into()), "{line}");
    assert_eq!(line["attempts"], 1, "{line}");

    a.t.sandbox.fault(put(&format!("/users/{id}")), Throttle::once().retry_after(1));
    users.update_user(note(id)).await.expect("the second attempt");
    let line = a.line(3).await;
    assert_eq!((&line["outcome"], &line["attempts"]), (&"done".into(), &2.into()), "{line}");
    assert_eq!(line["http.status"], "429 200", "{line}");

    a.t.sandbox.fault(post("/users"), Respond::with(422));
    users.create_user(CreateUserRequest { user: Some(named("M")), ..Default::default() }).await.expect_err("refused");
    let line = a.line(4).await;
    assert_eq!((&line["outcome"], &line["http.status"]), (&"refused".into(), &"422".into()), "{line}");
}

#[tokio::test]
async fn callers_who_are_not_let_through_are_on_record_if_they_wanted_to_change_something() {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("keys");
    std::fs::write(&path, key_file(&[("crm", "right")])).expect("written");
    let mut config = quiet();
    config.identity.methods = vec![Method::ApiKey];
    config.identity.api_keys.file = Some(path);
    let risks = vec![Risk::Read, Risk::Write];
    config.authorization.rules = vec![Rule { callers: vec!["*".to_owned()], risks, ..Rule::default() }];
    let a = Audited::start(config).await;
    let (id, key) = (a.user(3), [("x-api-key", "right")]);
    let mut users = a.t.users();
    let reason = |line: &Value| (line["caller"].clone(), line["outcome"].clone(), line["error.reason"].clone());
    let told =
        |caller: &str, reason: &str| -> (Value, Value, Value) { (caller.into(), "refused".into(), reason.into()) };

    users.update_user(note(id)).await.expect_err("no key");
    assert_eq!(reason(&a.line(0).await), told("unknown", "CALLER_UNAUTHENTICATED"));
    users.delete_user(with(DeleteUserRequest { id }, &key)).await.expect_err("not allowed");
    assert_eq!(reason(&a.line(1).await), told("api_key:crm", "CALLER_FORBIDDEN"));
    let agent = UserInput { custom_role_id: Some(7), ..UserInput::default() };
    let raised = UpdateUserRequest { id, user: Some(agent), update_mask: None, ..Default::default() };
    users.update_user(with(raised, &key)).await.expect_err("its values raise it");
    assert_eq!(reason(&a.line(2).await), told("api_key:crm", "CALLER_FORBIDDEN"));
    users.get_user(GetUserRequest { id, ..Default::default() }).await.expect_err("a read without a key leaves no line");
    users.update_user(with(note(id), &key)).await.expect("allowed");
    let line = a.line(3).await;
    assert_eq!((&line["caller"], &line["outcome"]), (&"api_key:crm".into(), &"done".into()));
}

#[tokio::test]
async fn for_whom_a_change_was_made_is_on_record_by_id_and_never_by_address() {
    let mut config = quiet();
    let rule = |methods: &str, impersonate| Rule {
        callers: vec!["*".to_owned()],
        risks: vec![Risk::Read, Risk::Write],
        methods: vec![methods.to_owned()],
        impersonate,
    };
    config.authorization.rules = vec![rule("*", false), rule("UserService/UpdateUser", true)];
    let a = Audited::of(Observed::signed(config, oauth_token).await);
    let id = a.user(3);
    let agent = a.t.sandbox.store().memberships()[0]["user_id"].as_i64().expect("an id");
    let address =
        a.t.users().get_user(GetUserRequest { id: agent, ..Default::default() }).await.expect("the agent").into_inner();
    let address = address.user.and_then(|user| user.email).expect("an address");
    let (agent, mut users) = (agent.to_string(), a.t.users());
    let acting = |user: &str| [("x-on-behalf-of", user.to_owned())];
    let told = |line: &Value| (line["on_behalf_of"].clone(), line["outcome"].clone());
    let wanted = |user: &str, outcome: &str| -> (Value, Value) { (user.into(), outcome.into()) };

    users.update_user(with(note(id), &acting(&agent))).await.expect("a change for the agent");
    assert_eq!(told(&a.line(0).await), wanted(&format!("user:{agent}"), "done"));
    users.update_user(with(note(id), &acting(&address))).await.expect("a change for the agent");
    assert_eq!(told(&a.line(1).await), wanted("address", "done"));
    users
        .create_user(with(CreateUserRequest { user: Some(named("N")), ..Default::default() }, &acting(&agent)))
        .await
        .expect_err("no right");
    assert_eq!(told(&a.line(2).await), wanted(&format!("user:{agent}"), "refused"));
    users.delete_user(with(DeleteUserRequest { id }, &acting(&address))).await.expect_err("no rule for it");
    assert_eq!(told(&a.line(3).await), wanted("address", "refused"));
    users.update_user(with(note(id), &acting("nobody in particular"))).await.expect_err("no user");
    users.update_user(note(id)).await.expect("a change for oneself");
    let lines = a.lines().await;
    assert!(lines.len() == 6 && lines[4..].iter().all(|line| line.get("on_behalf_of").is_none()), "{lines:#?}");
    let all = format!("{lines:?}");
    assert!(!all.contains(&address) && !all.contains("nobody") && !all.contains('@'), "{all}");
}

#[tokio::test]
async fn a_bulk_call_is_on_record_job_by_job() {
    let a = Audited::start(quiet()).await;
    let ids: Vec<i64> = a.t.sandbox.store().user_ids()[..3].to_vec();
    let user = UserInput { notes: Some("n".to_owned()), ..UserInput::default() };
    let request = BulkUpdateUsersRequest { ids: ids.clone(), user: Some(user), ..Default::default() };
    let reply = a.t.users().bulk_update_users(request).await.expect("a job").into_inner();
    let line = a.line(0).await;
    let job = reply.jobs[0].job.as_ref().expect("a job").id.clone();
    assert_eq!((&line["outcome"], &line["job_id"]), (&"done".into(), &job.into()), "{line}");
    let targets: Vec<String> = ids.iter().map(|id| format!("user:{id}")).collect();
    assert_eq!(line["targets"], targets.join(" "), "{line}");
    let external_ids = (0..150).map(|number| format!("agent-{number}@acme.example")).collect();
    let request = BulkDeleteUsersRequest { external_ids, ..Default::default() };
    a.t.users().bulk_delete_users(request).await.expect("jobs");
    let lines = a.lines().await;
    let items: Vec<&Value> = lines[1..].iter().map(|line| &line["targets"]).collect();
    assert_eq!(items, ["items:100", "items:50"], "external ids can be addresses");
    assert!(!format!("{lines:?}").contains("acme"));
}

#[tokio::test]
async fn a_change_of_several_steps_is_on_record_step_by_step_under_one_request_id() {
    let a = Audited::start(quiet()).await;
    let mut memberships = MembershipServiceClient::new(a.t.channel.clone());
    let held: Value = a.t.sandbox.store().memberships()[0].clone();
    let agent = held["user_id"].as_i64().expect("an id");
    let group = Some(GroupInput { name: Some("G".to_owned()), ..GroupInput::default() });
    let agents = Some(AgentList { user_ids: vec![agent] });
    let request = CreateGroupWithAgentsRequest { group, agents, validate_only: true };
    a.t.groups().create_group_with_agents(request.clone()).await.expect("a plan");
    let line = a.line(0).await;
    assert_eq!((&line["outcome"], &line["attempts"]), (&"unchanged".into(), &0.into()), "{line}");

    let request = CreateGroupWithAgentsRequest { validate_only: false, ..request };
    let reply = a.t.groups().create_group_with_agents(with(request, &[("x-request-id", "step")])).await;
    let group = reply.expect("a group").into_inner().group.expect("a group").id;
    let lines = a.lines().await;
    assert_eq!(lines.len(), 3, "{lines:#?}");
    assert!(lines[1..].iter().all(|line| line["request_id"] == "step" && line["outcome"] == "done"), "{lines:#?}");
    assert_eq!(lines[1]["targets"], format!("group:{group}"));
    let targets = lines[2]["targets"].as_str().expect("targets");
    assert!(targets.starts_with(&format!("group:{group} user:{agent} membership:")), "{targets}");

    let input = GroupMembershipInput { user_id: agent, group_id: group, default: None };
    let again = CreateMembershipRequest { group_membership: Some(input), under_user: false };
    memberships.create_membership(again).await.expect_err("it is there already");
    assert_eq!(a.line(3).await["targets"], format!("group:{group} user:{agent}"));
}

#[tokio::test]
async fn a_change_whose_caller_has_gone_is_on_record_when_its_outcome_is_known() {
    let a = Audited::start(quiet()).await;
    let id = a.user(3);
    a.t.sandbox.fault(put(&format!("/users/{id}")), Delay::by(Duration::from_millis(700)));
    let mut users = a.t.users();
    let call = tokio::spawn(async move { users.update_user(note(id)).await });
    until(async || a.t.sandbox.total_hits() == 1).await;
    call.abort();
    until(async || !a.lines().await.is_empty()).await;
    let line = a.line(0).await;
    assert_eq!((&line["outcome"], &line["http.status"]), (&"done".into(), &"200".into()), "{line}");
}

async fn until(mut holds: impl AsyncFnMut() -> bool) {
    let waited = tokio::time::timeout(Duration::from_mins(1), async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    waited.await.expect("it holds within a minute");
}

#[tokio::test]
async fn a_change_that_the_end_of_the_process_cuts_is_on_record() {
    let (lines, config) = (Lines::default(), quiet());
    let telemetry = Telemetry::start(&config.telemetry, lines.clone()).expect("telemetry");
    let _dispatch = tracing::dispatcher::set_default(telemetry.dispatch());
    let t = Seam::new(&config, |_| std::future::pending::<Result<Answer, Error>>());
    let drain = Drain::default();
    let rpc = t.rpc.clone().until(&drain, &config.server);
    let request = CreateUserRequest { user: Some(named("L")), ..Default::default() };
    let cut = async {
        while t.hits() == 0 {
            tokio::task::yield_now().await;
        }
        drain.end();
    };
    let (answer, ()) = tokio::join!(rpc.create_user(within(Duration::from_mins(1), request)), cut);
    let status = answer.map(drop).expect_err("it is cut");
    assert_eq!(reason_of(&status), Some("OUTCOME_UNKNOWN"), "{status:?}");
    telemetry.flush().await;
    let lines = lines.of("audit");
    assert_eq!(lines.len(), 1, "{lines:#?}");
    assert_eq!((&lines[0]["outcome"], &lines[0]["attempts"]), (&"unknown".into(), &1.into()), "{}", lines[0]);
}
