//! Memberships in organizations against the stand-in: what is read and written, and what a write voids on the other side.

use serde_json::{Value, json};
use tonic::Code;

use crate::support::{Dynamic, TestGateway, refused};

async fn ask(client: &Dynamic, rpc: &str, request: Value) -> Value {
    let mut replies = client.call(rpc, &request.to_string()).await.unwrap_or_else(|status| panic!("{rpc}: {status:?}"));
    replies.remove(0)
}

fn rows(reply: &Value) -> Vec<Value> {
    reply["organization_memberships"].as_array().cloned().unwrap_or_default()
}

/// The organizations of rows, the default one first.
fn organizations(reply: &Value) -> Vec<i64> {
    let rows = rows(reply);
    let (default, others): (Vec<&Value>, Vec<&Value>) = rows.iter().partition(|row| row["default"] == true);
    assert!(default.len() <= 1, "{reply}");
    default.into_iter().chain(others).map(|row| row["organization_id"].as_i64().expect("an id")).collect()
}

struct Case {
    t: TestGateway,
    client: Dynamic,
    held: Vec<i64>,
    user: i64,
}

impl Case {
    /// A new user in the account's first organization.
    async fn begin() -> Self {
        let t = TestGateway::start().await;
        let client = Dynamic::new(t.channel.clone());
        let held = t.sandbox.store().organization_ids();
        let new = json!({"user": {"name": "A", "email": "a@x.example", "organization_id": held[0]}});
        let user = ask(&client, "CreateUser", new).await["user"]["id"].as_i64().expect("an id");
        Self { t, client, held, user }
    }

    async fn ask(&self, rpc: &str, request: Value) -> Value {
        ask(&self.client, rpc, request).await
    }

    async fn of_user(&self) -> Value {
        self.ask("ListOrganizationMemberships", json!({"filter": {"user_id": self.user}})).await
    }

    async fn join(&self, organization: usize) -> Value {
        let new = json!({"user_id": self.user, "organization_id": self.held[organization]});
        self.ask("CreateOrganizationMembership", json!({"organization_membership": new})).await["organization_membership"]
            .clone()
    }

    /// What the user's record, the user's organizations and their count, and the numbers of users of two organizations say.
    async fn other_side(&self) -> (Option<i64>, usize, Value, [Value; 2]) {
        let user = self.ask("GetUser", json!({"id": self.user})).await;
        let filter = json!({"filter": {"user_id": self.user}});
        let listed = self.ask("ListOrganizations", filter.clone()).await;
        let counted = self.ask("CountOrganizations", filter).await["count"]["value"].clone();
        let users = async |organization: i64| {
            let related = self.ask("GetOrganizationRelated", json!({"id": organization})).await;
            let number = related["organization_related"]["users_count"].clone();
            let counted = self.ask("CountUsers", json!({"filter": {"organization_id": organization}})).await;
            assert_eq!(number, counted["count"]["value"]);
            number
        };
        let length = listed["organizations"].as_array().map_or(0, Vec::len);
        (
            user["user"]["organization_id"].as_i64(),
            length,
            counted,
            [users(self.held[0]).await, users(self.held[1]).await],
        )
    }
}

#[tokio::test]
async fn memberships_are_listed_streamed_and_shown_with_the_records_they_link() {
    let t = TestGateway::start().await;
    let client = Dynamic::new(t.channel.clone());
    let users = t.sandbox.store().user_ids();
    let of_user = |id: &i64| t.sandbox.store().user(*id).and_then(|user| user["organization_id"].as_i64());
    let placed = users.iter().filter(|id| of_user(id).is_some()).count();
    let parts = client
        .call(
            "StreamOrganizationMemberships",
            r#"{"page_size": 7, "include_users": true, "include_organizations": true}"#,
        )
        .await
        .expect("a stream");
    let mut seen = 0;
    for part in &parts {
        for row in rows(part) {
            let (user, organization) = (row["user_id"].as_i64().expect("an id"), row["organization_id"].clone());
            assert_eq!(of_user(&user), organization.as_i64(), "{row}");
            let has = |list: &str, id: &Value| part[list].as_array().expect(list).iter().any(|one| one["id"] == *id);
            assert!(has("users", &row["user_id"]) && has("organizations", &organization), "{row}");
            let name = &t.sandbox.store().organization(organization.as_i64().expect("an id")).expect("it")["name"];
            assert_eq!((&row["organization_name"], &row["default"]), (name, &json!(true)));
            seen += 1;
        }
    }
    assert_eq!(seen, placed, "everybody who has an organization, once");

    let organization = t.sandbox.store().organization_ids()[0];
    let listed =
        ask(&client, "ListOrganizationMemberships", json!({"filter": {"organization_id": organization}})).await;
    let count = ask(&client, "CountUsers", json!({"filter": {"organization_id": organization}})).await;
    assert_eq!(json!(rows(&listed).len()), count["count"]["value"]);
    let row = &rows(&listed)[0];
    t.sandbox.reset_stats();
    let shown = ask(&client, "GetOrganizationMembership", json!({"id": row["id"]})).await;
    assert_eq!(
        (&shown["organization_membership"], t.sandbox.total_hits()),
        (row, 0),
        "the list has left it in the cache"
    );
    let of_user = json!({"id": row["id"], "user_id": row["user_id"]});
    assert_eq!(ask(&client, "GetOrganizationMembership", of_user).await, shown);
    for request in [json!({"id": 7}), json!({"id": row["id"], "user_id": 7})] {
        let seen = refused(client.call("GetOrganizationMembership", &request.to_string()).await);
        assert_eq!((seen.code, seen.reason.as_str()), (Code::NotFound, "NOT_FOUND"), "{request}");
    }
}

#[tokio::test]
async fn a_membership_is_made_preferred_and_ended_and_the_user_and_the_organization_tell() {
    let c = Case::begin().await;
    let (one, two) = (c.held[0], c.held[1]);
    let before = c.other_side().await;
    assert_eq!((before.0, before.1, &before.2), (Some(one), 1, &json!(1)));
    let number = |value: &Value, more: i64| json!(value.as_i64().expect("a number") + more);

    let made = c.join(1).await;
    assert_eq!(organizations(&c.of_user().await), [one, two]);
    let seen = c.other_side().await;
    assert_eq!(seen, (Some(one), 2, json!(2), [before.3[0].clone(), number(&before.3[1], 1)]));
    let again = json!({"organization_membership": {"user_id": c.user, "organization_id": two}, "under_user": true});
    let seen = refused(c.client.call("CreateOrganizationMembership", &again.to_string()).await);
    assert_eq!((seen.code, seen.reason.as_str()), (Code::AlreadyExists, "DUPLICATE_VALUE"));

    let all = c.ask("SetDefaultOrganizationMembership", json!({"id": made["id"], "user_id": c.user})).await;
    assert_eq!(organizations(&all), [two, one]);
    assert_eq!((organizations(&c.of_user().await), c.other_side().await.0), (vec![two, one], Some(two)));
    let back = c.ask("SetDefaultOrganization", json!({"user_id": c.user, "organization_id": one})).await;
    assert_eq!((&back["organization_membership"]["default"], c.other_side().await.0), (&json!(true), Some(one)));

    c.ask("UnassignOrganization", json!({"user_id": c.user, "organization_id": one})).await;
    let seen = c.other_side().await;
    assert_eq!((seen.0, seen.1, &seen.3[0]), (Some(two), 1, &number(&before.3[0], -1)));
    c.ask("DeleteOrganizationMembership", json!({"id": made["id"]})).await;
    assert_eq!((organizations(&c.of_user().await), c.other_side().await.0), (vec![], None));
    for (rpc, request) in [
        ("DeleteOrganizationMembership", json!({"id": made["id"]})),
        ("GetOrganizationMembership", json!({"id": made["id"]})),
        ("UnassignOrganization", json!({"user_id": c.user, "organization_id": one})),
        ("SetDefaultOrganization", json!({"user_id": c.user, "organization_id": one})),
    ] {
        let seen = refused(c.client.call(rpc, &request.to_string()).await);
        assert_eq!((seen.code, seen.reason.as_str()), (Code::NotFound, "NOT_FOUND"), "{rpc}");
    }
}

#[tokio::test]
async fn what_is_written_to_a_user_or_an_organization_voids_the_memberships() {
    let c = Case::begin().await;
    let made = c.join(1).await;
    assert_eq!(organizations(&c.of_user().await), [c.held[0], c.held[1]]);
    c.ask("UpdateOrganization", json!({"id": c.held[1], "organization": {"name": "Renamed"}})).await;
    let shown = c.ask("GetOrganizationMembership", json!({"id": made["id"]})).await;
    assert_eq!(shown["organization_membership"]["organization_name"], "Renamed");

    // Zendesk then removes all others.
    c.ask("UpdateUser", json!({"id": c.user, "user": {"organization_id": c.held[2]}})).await;
    assert_eq!(organizations(&c.of_user().await), [c.held[2]]);
    c.ask("UpdateUser", json!({"id": c.user, "user": {}, "update_mask": "organizationId"})).await;
    assert_eq!(organizations(&c.of_user().await), [] as [i64; 0], "a field that the mask clears counts as well");

    c.join(1).await;
    c.join(0).await;
    assert_eq!(organizations(&c.of_user().await), [c.held[1], c.held[0]]);
    c.ask("DeleteOrganization", json!({"id": c.held[1]})).await;
    assert_eq!(organizations(&c.of_user().await), [c.held[0]]);
    assert_eq!(c.ask("GetUser", json!({"id": c.user})).await["user"]["organization_id"], c.held[0]);
    let of_organization = json!({"filter": {"organization_id": c.held[0]}});
    let before = rows(&c.ask("ListOrganizationMemberships", of_organization.clone()).await).len();
    c.ask("DeleteUser", json!({"id": c.user})).await;
    let left = rows(&c.ask("ListOrganizationMemberships", of_organization).await);
    assert_eq!(left.len(), before - 1);
}

#[tokio::test]
#[ignore = "slow"]
async fn many_memberships_are_made_and_ended_with_an_outcome_for_each() {
    let c = Case::begin().await;
    c.of_user().await;
    let place = |organization: i64| json!({"user_id": c.user, "organization_id": organization});
    let inputs = json!([place(c.held[1]), place(c.held[0]), place(7), place(c.held[2])]);
    let request = json!({"organization_memberships": inputs, "wait": true});
    let reply = c.ask("BulkCreateOrganizationMemberships", request).await;
    let results = |reply: &Value| -> Vec<String> {
        let outcomes = reply["outcomes"].as_array().expect("outcomes").iter();
        outcomes.map(|outcome| outcome["result"].as_str().expect("a word").to_owned()).collect()
    };
    let (created, failed) = ("BULK_RESULT_CREATED", "BULK_RESULT_FAILED");
    assert_eq!(results(&reply), [created, failed, failed, created], "{reply}");
    let of_user = c.of_user().await;
    assert_eq!(organizations(&of_user).len(), 3, "what was cached before the job is void");

    let mut ids: Vec<Value> = rows(&of_user).iter().map(|row| row["id"].clone()).collect();
    ids.insert(1, json!(7));
    let reply = c.ask("BulkDeleteOrganizationMemberships", json!({"ids": ids, "wait": true})).await;
    let deleted = "BULK_RESULT_DELETED";
    assert_eq!(results(&reply), [deleted, failed, deleted, deleted], "{reply}");
    assert_eq!(c.other_side().await.0, None);

    let request = json!({"organization_memberships": [place(c.held[1]), place(7)]}).to_string();
    let events = c.client.call("StreamBulkCreateOrganizationMemberships", &request).await.expect("a stream");
    let told = json!(events).to_string();
    assert!(told.contains(created) && told.contains(failed), "{told}");
    let id = rows(&c.of_user().await)[0]["id"].clone();
    let events =
        c.client.call("StreamBulkDeleteOrganizationMemberships", &json!({"ids": [id]}).to_string()).await.expect("it");
    assert!(json!(events).to_string().contains(deleted), "{events:?}");
    assert_eq!(rows(&c.of_user().await).len(), 0);
}

#[tokio::test]
async fn two_callers_who_join_a_user_at_once_make_one_membership() {
    let c = Case::begin().await;
    let request = json!({"organization_membership": {"user_id": c.user, "organization_id": c.held[1]}}).to_string();
    let (one, other) = tokio::join!(
        c.client.call("CreateOrganizationMembership", &request),
        c.client.call("CreateOrganizationMembership", &request)
    );
    let failures: Vec<String> =
        [one, other].into_iter().filter(Result::is_err).map(|end| refused(end).reason).collect();
    assert_eq!(failures, ["DUPLICATE_VALUE"]);
    assert_eq!(organizations(&c.of_user().await), [c.held[0], c.held[1]]);
}

/// Zendesk makes users members of the organization that has the domain of a verified address of theirs.
#[tokio::test]
async fn what_makes_users_join_an_organization_voids_what_is_known_of_its_members() {
    let case = Case::begin().await;
    let other = case.ask("CreateUser", json!({"user": {"name": "B"}})).await["user"]["id"].clone();
    let of_other = json!({"filter": {"user_id": other}});
    let identity = json!({"type": "IDENTITY_TYPE_EMAIL", "value": "b@x.example"});
    let made = case.ask("CreateUserIdentity", json!({"user_id": other, "identity": identity})).await;
    let id = &made["identity"]["id"];
    let domain = |name: &str| json!({"name": name, "domain_names": [format!("{name}.example")]});
    let writes = [
        (
            "CreateUserIdentity",
            json!({"user_id": other, "identity": {"type": "IDENTITY_TYPE_EMAIL", "value": "c@x.example"}}),
        ),
        ("VerifyUserIdentity", json!({"user_id": other, "id": id})),
        ("UpdateUserIdentity", json!({"user_id": other, "id": id, "identity": {"verified": true}})),
        ("UpdateUser", json!({"id": other, "user": {"email": "d@x.example"}})),
        ("UpdateUser", json!({"id": other, "user": {"verified": true}})),
        ("CreateOrganization", json!({"organization": domain("one")})),
        ("UpdateOrganization", json!({"id": case.held[0], "organization": {"domain_names": ["x.example"]}})),
        ("CreateOrUpdateOrganization", json!({"id": case.held[0], "organization": {"domain_names": ["y.example"]}})),
    ];
    let in_organization = json!({"filter": {"organization_id": case.held[0]}});
    let reads = [
        ("ListOrganizationMemberships", of_other.clone()),
        ("ListOrganizationMemberships", in_organization.clone()),
        ("ListOrganizationMemberships", json!({})),
        ("ListOrganizations", of_other),
        ("ListUsers", in_organization.clone()),
        ("CountUsers", in_organization),
    ];
    for (write, change) in writes {
        for (rpc, request) in &reads {
            case.ask(rpc, request.clone()).await;
        }
        case.ask(write, change).await;
        for (rpc, request) in &reads {
            case.t.sandbox.reset_stats();
            case.ask(rpc, request.clone()).await;
            assert_eq!(case.t.sandbox.requests().len(), 1, "{rpc} {request} after {write}");
        }
    }
}

#[tokio::test]
async fn a_user_who_gets_a_role_voids_how_many_have_it() {
    let case = Case::begin().await;
    let roles = case.ask("ListCustomRoles", json!({})).await;
    let id = &roles["custom_roles"][0]["id"];
    case.ask("GetCustomRole", json!({"id": id})).await;
    let change = json!({"role": "USER_ROLE_AGENT", "custom_role_id": id});
    case.ask("UpdateUser", json!({"id": case.user, "user": change})).await;
    // A list fills in its rows, so it is asked for last.
    for (rpc, request) in [("GetCustomRole", json!({"id": id})), ("ListCustomRoles", json!({}))] {
        case.t.sandbox.reset_stats();
        case.ask(rpc, request).await;
        assert_eq!(case.t.sandbox.requests().len(), 1, "{rpc}");
    }
}
