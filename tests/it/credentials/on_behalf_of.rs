//! Calls that are made for another user than the gateway's own.

use tonic::Status;
use zendesk_gateway::config::Config;
use zendesk_gateway::config::identity::{Method, Rule};
use zendesk_gateway::contract::Risk;
use zendesk_gateway::proto::{UpdateUserRequest, UserInput};

use super::*;
use crate::support::{api_token, key_file, oauth_token, with};

/// Settings under which both callers may read and write, and `desk` may act for others where users are concerned.
fn desk_and_crm(folder: &TempDir) -> Config {
    let mut config = settings();
    let file = folder.path().join("keys");
    std::fs::write(&file, key_file(&[("desk", "desk"), ("crm", "crm")])).expect("a temporary file");
    config.identity.methods = vec![Method::ApiKey];
    config.identity.api_keys.file = Some(file);
    let rule = |callers: &str, methods: &str, impersonate| Rule {
        callers: vec![callers.to_owned()],
        risks: vec![Risk::Read, Risk::Write],
        methods: vec![methods.to_owned()],
        impersonate,
    };
    config.authorization.rules = vec![rule("*", "*", false), rule("api_key:desk", "UserService/*", true)];
    config
}

/// For whom the last request to Zendesk was made.
fn for_whom(sandbox: &Sandbox) -> Option<String> {
    let headers = sandbox.requests().pop().expect("a request").headers;
    headers.get("x-on-behalf-of").map(|user| user.to_str().expect("ASCII").to_owned())
}

fn change(id: i64) -> UpdateUserRequest {
    let user = UserInput { notes: Some("n".to_owned()), ..UserInput::default() };
    UpdateUserRequest { id, user: Some(user), update_mask: None, ..Default::default() }
}

async fn me(t: &TestGateway, metadata: &[(&'static str, &str)]) -> Result<(i64, String), Status> {
    let reply = t.users().get_current_user(with(GetCurrentUserRequest::default(), metadata)).await?.into_inner();
    let user = reply.user.expect("a user");
    Ok((user.id, user.email.expect("an address")))
}

#[tokio::test]
async fn whoever_may_act_for_others_does_and_zendesk_is_told_for_whom() {
    let folder = TempDir::new().expect("a temporary folder");
    let t = TestGateway::signed(account(), desk_and_crm(&folder), oauth_token).await;
    let own = me(&t, &[("x-api-key", "desk")]).await.expect("the owner of the token");
    assert_eq!(for_whom(&t.sandbox), None);
    let agent = t.held_memberships().iter().map(|held| held.user_id).find(|id| *id != own.0).expect("an agent");
    let agent_id = agent.to_string();
    let as_agent = [("x-api-key", "desk"), ("x-on-behalf-of", agent_id.as_str())];

    let (id, address) = me(&t, &as_agent).await.expect("the agent");
    assert_eq!((id, for_whom(&t.sandbox)), (agent, Some(agent_id.clone())));
    let by_address = [("x-api-key", "desk"), ("x-on-behalf-of", address.as_str())];
    assert_eq!(me(&t, &by_address).await.expect("the same agent").0, agent);
    assert_eq!(for_whom(&t.sandbox).as_ref(), Some(&address));
    let as_owner = &as_agent[..1];
    for (metadata, calls) in [(as_owner, "1"), (&as_agent, "1"), (&by_address, "1"), (as_owner, "0"), (&as_agent, "0")]
    {
        let reply = t
            .users()
            .get_user(with(GetUserRequest { id: own.0, ..Default::default() }, metadata))
            .await
            .expect("a user");
        let made = reply.metadata().get("x-upstream-calls").expect("a count");
        assert_eq!(made, calls, "they share no answers: {metadata:?}");
    }

    t.users().update_user(with(change(agent), &as_agent)).await.expect("a change");
    assert_eq!(for_whom(&t.sandbox), Some(agent_id));
    t.users().update_user(with(change(agent), &[("x-api-key", "desk")])).await.expect("a change of the owner's");
    assert_eq!(for_whom(&t.sandbox), None);
}

#[tokio::test]
async fn whoever_may_not_is_refused_and_nothing_is_sent() {
    let folder = TempDir::new().expect("a temporary folder");
    let t = TestGateway::signed(account(), desk_and_crm(&folder), oauth_token).await;
    let (id, group) = (t.sandbox.store().user_ids()[0], t.held_memberships()[0].group_id);
    for user in ["7", "someone@example.com", "no user at all"] {
        let crm = [("x-api-key", "crm"), ("x-on-behalf-of", user)];
        let desk = [("x-api-key", "desk"), ("x-on-behalf-of", user)];
        let outcomes = [
            refused(t.users().get_user(with(GetUserRequest { id, ..Default::default() }, &crm)).await),
            refused(t.users().update_user(with(change(id), &crm)).await),
            // The rule that lets it is about users.
            refused(
                t.groups()
                    .get_group(with(zendesk_gateway::proto::GetGroupRequest { id: group, ..Default::default() }, &desk))
                    .await,
            ),
        ];
        for outcome in outcomes {
            assert_eq!((outcome.code, outcome.reason.as_str()), (Code::PermissionDenied, "CALLER_FORBIDDEN"), "{user}");
        }
    }
    let desk = |user: &'static str| [("x-api-key", "desk"), ("x-on-behalf-of", user)];
    for user in ["no user at all", "", "0", "7\t8"] {
        let outcome = refused(t.users().get_user(with(GetUserRequest { id, ..Default::default() }, &desk(user))).await);
        assert_eq!(
            (outcome.code, outcome.fields),
            (Code::InvalidArgument, vec!["x-on-behalf-of".to_owned()]),
            "{user}"
        );
    }
    let twice = [("x-api-key", "desk"), ("x-on-behalf-of", "7"), ("x-on-behalf-of", "8")];
    let outcome = refused(t.users().get_user(with(GetUserRequest { id, ..Default::default() }, &twice)).await);
    assert_eq!(outcome.code, Code::InvalidArgument);
    assert_eq!(t.sandbox.total_hits(), 0);

    let t = TestGateway::signed(account(), desk_and_crm(&folder), api_token).await;
    let outcome = refused(t.users().get_user(with(GetUserRequest { id, ..Default::default() }, &desk("7"))).await);
    assert_eq!(outcome.code, Code::InvalidArgument, "Zendesk would ignore the user and answer as somebody else");
    assert_eq!(t.sandbox.total_hits(), 0);
}
