//! What each caller may do: by the contract's risk classes, method by method, and nothing else.

use tempfile::TempDir;
use tonic::{Code, Status};
use zendesk_gateway::config::Config;
use zendesk_gateway::config::identity::{Method, Rule};
use zendesk_gateway::contract::{RPCS, Risk};
use zendesk_gateway::proto::user_service_client::UserServiceClient;
use zendesk_gateway::proto::{
    BulkUpdateUsersRequest, CreateUserRequest, DeleteUserRequest, GetUserRequest, LogoutUsersRequest,
    StreamBulkCreateOrUpdateUsersRequest, UpdateUserRequest, UserInput, UserRole,
};

use crate::support::{Dynamic, TestGateway, account, key_file, refused, settings, with};

fn rule(caller: &str, risks: &[Risk], methods: &[&str]) -> Rule {
    Rule {
        callers: vec![format!("api_key:{caller}")],
        risks: risks.to_vec(),
        methods: methods.iter().map(|method| (*method).to_owned()).collect(),
        impersonate: false,
    }
}

/// Callers whose keys are their names.
fn callers(folder: &TempDir, names: &[&str]) -> Config {
    let mut config = settings();
    let keys: Vec<(&str, &str)> = names.iter().map(|name| (*name, *name)).collect();
    let path = folder.path().join("keys");
    std::fs::write(&path, key_file(&keys)).expect("a temporary file");
    config.identity.methods = vec![Method::ApiKey];
    config.identity.api_keys.file = Some(path);
    config
}

#[track_caller]
fn forbidden<T: std::fmt::Debug>(outcome: Result<T, Status>, what: &str, row: &str) {
    let refused = refused(outcome);
    assert_eq!((refused.code, refused.reason.as_str()), (Code::PermissionDenied, "CALLER_FORBIDDEN"), "{row}");
    assert!(refused.message.contains(what), "{row}: {}", refused.message);
}

fn passed<T>(outcome: Result<T, Status>) -> bool {
    !outcome.err().is_some_and(|status| matches!(status.code(), Code::PermissionDenied | Code::Unauthenticated))
}

#[tokio::test]
#[ignore = "slow"]
async fn the_right_caller_with_the_wrong_class_is_refused_before_anything_is_sent() {
    let folder = TempDir::new().expect("a folder");
    let classes = [("read", Risk::Read), ("write", Risk::Write), ("admin", Risk::Admin), ("final", Risk::Destructive)];
    let mut config = callers(&folder, &["read", "write", "admin", "final", "nothing"]);
    config.authorization.rules = classes.iter().map(|(name, risk)| rule(name, &[*risk], &["*"])).collect();
    let t = TestGateway::configured(account(), config).await;
    let client = Dynamic::new(t.channel.clone());
    for rpc in RPCS {
        for (name, risk) in classes.iter().chain([&("nothing", Risk::Read)]) {
            t.sandbox.reset_stats();
            let outcome = client.call_with(rpc.method, "{}", &[("x-api-key", *name)]).await;
            if *risk == rpc.risk && *name != "nothing" {
                assert!(passed(outcome), "{name} may call {}", rpc.method);
            } else {
                forbidden(outcome, &format!("no rule allows api_key:{name}"), rpc.method);
                assert_eq!(t.sandbox.total_hits(), 0, "{name} {}", rpc.method);
            }
        }
    }
}

fn update(id: i64, user: UserInput) -> UpdateUserRequest {
    UpdateUserRequest { id, user: Some(user), update_mask: None, ..Default::default() }
}

#[tokio::test]
async fn whoever_may_write_users_cannot_thereby_make_agents() {
    let folder = TempDir::new().expect("a folder");
    let mut config = callers(&folder, &["crm", "hr"]);
    config.authorization.rules =
        vec![rule("crm", &[Risk::Read, Risk::Write], &["*"]), rule("hr", &[Risk::Write, Risk::Admin], &["*"])];
    let t = TestGateway::configured(account(), config).await;
    let id = t.sandbox.store().user_ids()[5];
    let named = || UserInput { name: Some("A".to_owned()), ..UserInput::default() };
    let agent = || UserInput { role: Some(UserRole::Agent.into()), ..named() };
    let (crm, hr) = ([("x-api-key", "crm")], [("x-api-key", "hr")]);
    t.sandbox.reset_stats();
    let raised = "UserService/UpdateUser with risk admin";
    forbidden(t.users().update_user(with(update(id, agent()), &crm)).await, raised, "role");
    let custom = UserInput { custom_role_id: Some(7), ..UserInput::default() };
    forbidden(t.users().update_user(with(update(id, custom), &crm)).await, raised, "custom_role_id");
    let create = CreateUserRequest { user: Some(agent()), ..Default::default() };
    forbidden(t.users().create_user(with(create, &crm)).await, "with risk admin", "create");
    let many = BulkUpdateUsersRequest { ids: vec![id], user: Some(agent()), ..Default::default() };
    forbidden(t.users().bulk_update_users(with(many, &crm)).await, "with risk admin", "bulk");
    assert_eq!(t.sandbox.total_hits(), 0, "nothing may reach the upstream");

    t.users().update_user(with(update(id, named()), &crm)).await.expect("a plain change");
    t.users().update_user(with(update(id, agent()), &hr)).await.expect("an administrator may");
}

#[tokio::test]
async fn each_message_of_a_bulk_stream_is_held_against_what_its_caller_may_do() {
    let folder = TempDir::new().expect("a folder");
    let mut config = callers(&folder, &["crm"]);
    config.authorization.rules = vec![rule("crm", &[Risk::Write], &["*"])];
    let t = TestGateway::configured(account(), config).await;
    let user = |number: usize| UserInput { external_id: Some(format!("a-{number}")), ..UserInput::default() };
    let named = |number: usize| UserInput { name: Some("A".to_owned()), ..user(number) };
    let agent = UserInput { role: Some(UserRole::Agent.into()), ..named(200) };
    let message = |users| StreamBulkCreateOrUpdateUsersRequest { users, ..Default::default() };
    let messages = vec![message((0..100).map(named).collect()), message(vec![agent])];
    let request = with(tokio_stream::iter(messages), &[("x-api-key", "crm")]);
    let stream = t.users().stream_bulk_create_or_update_users(request).await;
    let mut replies = stream.expect("the first message is allowed").into_inner();
    let refused = loop {
        match replies.message().await {
            Ok(Some(_)) => {}
            end => break end,
        }
    };
    forbidden(refused, "UserService/StreamBulkCreateOrUpdateUsers with risk admin", "the second message");
    assert_eq!(t.sandbox.hits("/users/create_or_update_many"), 1, "what was allowed is done");
}

#[tokio::test]
async fn rules_can_be_confined_to_methods() {
    let folder = TempDir::new().expect("a folder");
    let mut config = callers(&folder, &["sync"]);
    config.authorization.rules = vec![
        rule("sync", &[Risk::Read], &["UserService/Get*", "GroupService/*"]),
        rule("sync", &[Risk::Admin], &["UserService/LogoutUsers"]),
    ];
    let t = TestGateway::configured(account(), config).await;
    let client = Dynamic::new(t.channel.clone());
    let key = [("x-api-key", "sync")];
    for (method, may) in [
        ("GetUser", true),
        ("GetUserRelated", true),
        ("ListUsers", false),
        ("ListGroups", true),
        ("CreateGroup", false),
        ("LogoutUsers", true),
        ("ListJobs", false),
    ] {
        assert_eq!(passed(client.call_with(method, "{}", &key).await), may, "{method}");
    }
}

async fn anonymous(change: impl FnOnce(&mut Config)) -> (TestGateway, UserServiceClient<tonic::transport::Channel>) {
    let mut config = settings();
    config.authorization.destructive = false;
    change(&mut config);
    let t = TestGateway::configured(account(), config).await;
    let users = t.users();
    (t, users)
}

#[tokio::test]
async fn without_any_settings_everything_works_but_what_cannot_be_undone() {
    let (t, mut users) = anonymous(|_| {}).await;
    let id = t.sandbox.store().user_ids()[5];
    users.get_user(GetUserRequest { id, ..Default::default() }).await.expect("a read");
    let note = UserInput { notes: Some("n".to_owned()), ..UserInput::default() };
    users.update_user(update(id, note)).await.expect("a write");
    users.logout_users(LogoutUsersRequest { ids: vec![id] }).await.expect("an administrator's call");
    let hits = t.sandbox.total_hits();
    forbidden(users.delete_user(DeleteUserRequest { id }).await, "authorization.destructive", "delete");
    assert_eq!(t.sandbox.total_hits(), hits);
    let (t, mut users) = anonymous(|config| config.authorization.destructive = true).await;
    let id = t.sandbox.store().user_ids()[5];
    users.delete_user(DeleteUserRequest { id }).await.expect("switched on");
}

#[tokio::test]
async fn a_read_only_gateway_changes_nothing_whoever_asks() {
    let (t, _) = anonymous(|config| {
        config.authorization.read_only = true;
        config.authorization.destructive = true;
    })
    .await;
    let client = Dynamic::new(t.channel.clone());
    for rpc in RPCS {
        let outcome = client.call(rpc.method, "{}").await;
        if rpc.risk == Risk::Read {
            assert!(passed(outcome), "{}", rpc.method);
        } else {
            forbidden(outcome, "authorization.read_only", rpc.method);
        }
    }
    assert!(t.sandbox.requests().iter().all(|sent| sent.method == "GET"), "no write reached the upstream");
}

#[tokio::test]
async fn one_rule_for_anonymous_callers_ends_the_freedom_of_having_none() {
    let only_reads = Rule { callers: vec!["anonymous".to_owned()], risks: vec![Risk::Read], ..Rule::default() };
    let (t, mut users) = anonymous(|config| config.authorization.rules = vec![only_reads]).await;
    let id = t.sandbox.store().user_ids()[5];
    users.get_user(GetUserRequest { id, ..Default::default() }).await.expect("a read");
    let note = UserInput { notes: Some("n".to_owned()), ..UserInput::default() };
    forbidden(users.update_user(update(id, note)).await, "no rule allows anonymous", "write");
}
