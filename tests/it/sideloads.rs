//! What comes beside users and groups with `include_…`: what it is, when it is asked for anew, and where it is refused.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};
use tonic::Code;

use crate::support::{Dynamic, Scripted, TestGateway, account, basic, refused, serve, settings};
use zendesk_gateway::config::Config;
use zendesk_gateway::sandbox;
use zendesk_gateway::sandbox::faults::{Respond, any};

/// All that can come beside users: the field of requests without `include_`, and that of replies.
const BESIDE_USERS: [(&str, &str); 6] = [
    ("organizations", "organizations"),
    ("roles", "roles"),
    ("groups", "groups"),
    ("identities", "identities"),
    ("abilities", "abilities"),
    ("open_ticket_count", "open_ticket_counts"),
];

const JSON: &str = "200 OK\r\ncontent-type: application/json";

async fn ask(client: &Dynamic, rpc: &str, request: &Value) -> Value {
    let mut replies = client.call(rpc, &request.to_string()).await.unwrap_or_else(|status| panic!("{rpc}: {status:?}"));
    assert_eq!(replies.len(), 1, "{rpc}");
    replies.remove(0)
}

/// A request with all that can be included.
fn with_all(mut request: Value) -> Value {
    for (name, _) in BESIDE_USERS {
        request[format!("include_{name}")] = true.into();
    }
    request
}

fn ids(rows: &Value, field: &str) -> Vec<i64> {
    let rows = rows.as_array().map(Vec::as_slice).unwrap_or_default();
    rows.iter().map(|row| row[field].as_i64().unwrap_or_else(|| panic!("{field} of {row}"))).collect()
}

/// The account's only groups with members are those of this user, who has an organization and an identity beside the address.
struct Case {
    t: TestGateway,
    client: Dynamic,
    user: i64,
    group: i64,
    organization: i64,
}

impl Case {
    async fn begin() -> Self {
        Self::configured(settings()).await
    }

    async fn configured(config: Config) -> Self {
        let t = TestGateway::configured(account(), config).await;
        let client = Dynamic::new(t.channel.clone());
        let organization = t.sandbox.store().organization_ids()[0];
        let group = ask(&client, "CreateGroup", &json!({"group": {"name": "Beside"}})).await["group"]["id"].as_i64();
        let group = group.expect("an id");
        let new = json!({"name": "A", "email": "a@x.example", "role": "USER_ROLE_AGENT", "group_ids": [group],
            "organization_id": organization});
        let user = ask(&client, "CreateUser", &json!({"user": new})).await["user"]["id"].as_i64().expect("an id");
        Self { t, client, user, group, organization }
    }

    async fn ask(&self, rpc: &str, request: Value) -> Value {
        ask(&self.client, rpc, &request).await
    }

    /// Forgets what was asked so far.
    fn asked(&self) -> Vec<String> {
        let sent = self.t.sandbox.requests();
        let told = sent.iter().map(|sent| format!("{} {}?{}", sent.method, sent.path, sent.query)).collect();
        self.t.sandbox.reset_stats();
        told
    }
}

#[tokio::test]
async fn a_user_comes_with_all_that_can_stand_beside_it_in_one_request() {
    let case = Case::begin().await;
    case.t.sandbox.store().set_open_tickets(case.user, 3);
    case.asked();
    let reply = case.ask("GetUser", with_all(json!({"id": case.user}))).await;
    assert_eq!(
        case.asked(),
        [format!(
            "GET /api/v2/users/{}?include=organizations%2Croles%2Cgroups%2Cidentities%2Cabilities%2Copen_ticket_count",
            case.user
        )]
    );
    assert_eq!(reply["user"]["id"], case.user);
    assert_eq!(ids(&reply["organizations"], "id"), [case.organization]);
    assert_eq!(ids(&reply["groups"], "id"), [case.group]);
    assert_eq!(reply["groups"][0]["name"], "Beside");
    assert_eq!(reply["identities"][0]["value"], "a@x.example");
    assert_eq!(reply["identities"][0]["user_id"], case.user);
    assert_eq!(reply["abilities"][0]["user_id"], case.user);
    assert_eq!(
        (&reply["abilities"][0]["can_edit"], &reply["abilities"][0]["can_verify_identities"]),
        (&json!(true), &json!(true))
    );
    assert_eq!(reply["open_ticket_counts"], json!([{"user_id": case.user, "count": 3}]));
    // The role of somebody without a custom role is one of Zendesk's own, which has no id.
    assert_eq!(reply["roles"], json!([{"name": "agent"}]));
    assert_eq!(reply["unreadable_rows"], Value::Null);

    let me = case.ask("GetCurrentUser", json!({"include_abilities": true, "include_roles": true})).await;
    assert_eq!(me["abilities"][0]["user_id"], me["user"]["id"]);
    assert_eq!(me["abilities"][0]["can_verify_identities"], false);
    assert_eq!(me["roles"][0]["id"], me["user"]["custom_role_id"]);
    assert_eq!(me["organizations"], Value::Null);
    let group = case.ask("GetGroup", json!({"id": case.group, "include_users": true})).await;
    assert_eq!((&group["group"]["name"], ids(&group["users"], "id")), (&json!("Beside"), vec![case.user]));
}

#[tokio::test]
async fn a_custom_role_comes_with_its_id() {
    let case = Case::begin().await;
    let roles = case.ask("ListCustomRoles", json!({})).await;
    let id = &roles["custom_roles"][0]["id"];
    let change = json!({"id": case.user, "user": {"role": "USER_ROLE_AGENT", "custom_role_id": id}});
    case.ask("UpdateUser", change).await;
    let reply = case.ask("GetUser", json!({"id": case.user, "include_roles": true})).await;
    assert_eq!((&reply["roles"][0]["id"], &reply["user"]["custom_role_id"]), (id, id));
    assert_eq!(reply["roles"][0]["name"], roles["custom_roles"][0]["name"]);
    assert!(reply["roles"][0]["created_at"].is_string(), "{reply}");
}

#[tokio::test]
async fn each_answer_is_kept_with_what_comes_beside_it_and_none_is_taken_for_another() {
    let case = Case::begin().await;
    let (user, group) = (json!({"id": case.user}), json!({"id": case.group}));
    let with = |request: &Value, name: &str| {
        let mut request = request.clone();
        request[name] = true.into();
        request
    };
    case.asked();
    for _ in 0..2 {
        let plain = case.ask("GetUser", user.clone()).await;
        assert_eq!((&plain["groups"], &plain["roles"]), (&Value::Null, &Value::Null));
        let groups = case.ask("GetUser", with(&user, "include_groups")).await;
        assert_eq!((ids(&groups["groups"], "id"), &groups["roles"]), (vec![case.group], &Value::Null));
        let roles = case.ask("GetUser", with(&user, "include_roles")).await;
        assert_eq!((&roles["groups"], &roles["roles"][0]["name"]), (&Value::Null, &json!("agent")));
        assert_eq!(case.ask("GetGroup", group.clone()).await["users"], Value::Null);
        assert_eq!(ids(&case.ask("GetGroup", with(&group, "include_users")).await["users"], "id"), [case.user]);
    }
    let asked = case.asked();
    assert_eq!(asked.iter().filter(|line| line.contains("include=")).count(), 3, "each was kept: {asked:?}");
    // The plain record may be known from the write that made it.
    assert!((3..=5).contains(&asked.len()), "{asked:?}");
}

#[tokio::test]
async fn a_read_with_more_is_part_of_no_batch_and_many_at_once_are_one_request() {
    let t = TestGateway::start().await;
    let client = Dynamic::new(t.channel.clone());
    let held = t.sandbox.store().user_ids();
    let user = |id: i64, more: bool| {
        let request = json!({"id": id, "include_groups": more, "include_identities": more});
        let client = &client;
        async move { ask(client, "GetUser", &request).await }
    };
    let (some, other) = (&held[1..40], held[50]);
    let all = join_all(some.iter().map(|id| user(*id, false)).chain((0..20).map(|_| user(other, true)))).await;
    for (reply, id) in all.iter().zip(some) {
        assert_eq!((&reply["user"]["id"], &reply["identities"]), (&json!(id), &Value::Null));
    }
    for reply in &all[some.len()..] {
        assert_eq!(reply["user"]["id"], other);
        assert!(ids(&reply["identities"], "user_id").iter().all(|id| *id == other), "{reply}");
    }
    let sent = t.sandbox.requests();
    let with_more: Vec<_> = sent.iter().filter(|sent| sent.query.contains("include=")).collect();
    assert_eq!(with_more.len(), 1, "twenty at once share a flight");
    assert!(with_more[0].path.ends_with(&format!("/users/{other}")), "{:?}", with_more[0]);
    let batches = sent.iter().filter(|sent| sent.path.ends_with("/users/show_many"));
    assert!(batches.clone().count() > 0 && batches.clone().all(|sent| !sent.query.contains(&other.to_string())));
}

/// Writes, and which of what comes beside the user or the group they change.
/// An RPC, and what it is asked.
type Read = (&'static str, Value);

#[tokio::test]
#[ignore = "slow"]
async fn a_write_to_what_comes_beside_a_record_voids_the_answer() {
    let case = Case::begin().await;
    let user = case.user;
    let user_with = |name: &str| ("GetUser", json!({"id": user, format!("include_{name}"): true}));
    let users_with = |name: &str| ("ListUsers", json!({format!("include_{name}"): true}));
    let search_with =
        |name: &str| ("SearchUsers", json!({"filter": {"query": "a@x.example"}, format!("include_{name}"): true}));
    let group_with = ("GetGroup", json!({"id": case.group, "include_users": true}));
    let groups_with = ("ListGroups", json!({"include_users": true}));
    let other = ask(&case.client, "CreateUser", &json!({"user": {"name": "B", "role": "USER_ROLE_AGENT"}})).await;
    let other = other["user"]["id"].clone();
    let organization = json!({"id": case.organization, "organization": {"notes": "n"}});
    let place = json!({"group_membership": {"user_id": other, "group_id": case.group}});
    let rename = json!({"id": case.group, "group": {"name": "Renamed"}});
    let identity = json!({"user_id": user, "identity": {"type": "IDENTITY_TYPE_EMAIL", "value": "b@x.example"}});
    let notes = json!({"id": other, "user": {"notes": "n"}});
    let writes: [(&str, Value, Vec<Read>); 5] = [
        (
            "UpdateOrganization",
            organization,
            vec![user_with("organizations"), users_with("organizations"), search_with("organizations")],
        ),
        ("UpdateGroup", rename, vec![user_with("groups"), users_with("groups"), search_with("groups")]),
        (
            "CreateMembership",
            place,
            vec![users_with("groups"), search_with("groups"), group_with.clone(), groups_with.clone()],
        ),
        ("CreateUserIdentity", identity, vec![user_with("identities"), users_with("identities")]),
        // A member of the group, and somebody else than the user of whom it is said what may be done.
        ("UpdateUser", notes, vec![group_with, groups_with, user_with("abilities"), users_with("roles")]),
    ];
    for (write, change, reads) in writes {
        for (rpc, request) in &reads {
            case.ask(rpc, request.clone()).await;
            case.asked();
            case.ask(rpc, request.clone()).await;
            assert_eq!(case.asked(), Vec::<String>::new(), "{rpc} {request} was kept");
        }
        case.ask(write, change).await;
        for (rpc, request) in reads {
            case.asked();
            case.ask(rpc, request.clone()).await;
            assert_eq!(case.asked().len(), 1, "{rpc} {request} after {write}");
        }
    }
    let user = case.ask("GetUser", json!({"id": user, "include_groups": true, "include_identities": true})).await;
    assert_eq!(user["groups"][0]["name"], "Renamed");
    assert_eq!(user["identities"].as_array().map(Vec::len), Some(2));
}

#[tokio::test]
async fn a_user_who_joins_or_leaves_a_group_has_it_beside_it_at_once() {
    let case = Case::begin().await;
    let (user, others) = (json!({"id": case.user, "include_groups": true}), json!({"group": {"name": "More"}}));
    let more = case.ask("CreateGroup", others).await["group"]["id"].as_i64().expect("an id");
    assert_eq!(ids(&case.ask("GetUser", user.clone()).await["groups"], "id"), [case.group]);
    let place = json!({"group_membership": {"user_id": case.user, "group_id": more}});
    let id = case.ask("CreateMembership", place).await["group_membership"]["id"].clone();
    let mut both = [case.group, more];
    both.sort_unstable();
    assert_eq!(ids(&case.ask("GetUser", user.clone()).await["groups"], "id"), both);
    case.ask("DeleteMembership", json!({"id": id, "user_id": case.user})).await;
    assert_eq!(ids(&case.ask("GetUser", user).await["groups"], "id"), [case.group]);
}

#[tokio::test]
async fn a_page_has_each_record_once_and_a_stream_has_those_of_a_page_in_its_last_message() {
    let t = TestGateway::with(sandbox::Config { users: 120, ..account() }).await;
    let client = Dynamic::new(t.channel.clone());
    let request = with_all(json!({"page_size": 50}));
    let mut seen = BTreeSet::new();
    let (mut token, mut pages) = (json!(""), Vec::new());
    while pages.is_empty() || token != json!("") {
        let mut request = request.clone();
        request["page_token"] = token;
        let page = ask(&client, "ListUsers", &request).await;
        token = page.get("next_page_token").cloned().unwrap_or(json!(""));
        pages.push(page);
    }
    assert_eq!(pages.len(), 3);
    for page in &pages {
        let users = ids(&page["users"], "id");
        for (field, id) in [
            ("organizations", "id"),
            ("groups", "id"),
            ("identities", "id"),
            ("abilities", "user_id"),
            ("open_ticket_counts", "user_id"),
        ] {
            let records = ids(&page[field], id);
            assert_eq!(records.iter().collect::<BTreeSet<_>>().len(), records.len(), "{field}: {records:?}");
            seen.extend(records);
        }
        assert_eq!(ids(&page["abilities"], "user_id"), users);
        let named: BTreeSet<i64> = page["users"]
            .as_array()
            .expect("rows")
            .iter()
            .filter_map(|user| user["organization_id"].as_i64())
            .collect();
        assert_eq!(ids(&page["organizations"], "id").into_iter().collect::<BTreeSet<_>>(), named);
    }
    assert!(seen.len() > 120, "{}", seen.len());

    let messages = client.call("StreamUsers", &request.to_string()).await.expect("a stream");
    let (mut page, mut streamed) = (Vec::new(), Vec::new());
    for message in messages {
        let is_last = message.get("next_page_token").is_some() || message.get("abilities").is_some();
        page.push(message);
        if is_last {
            streamed.push(std::mem::take(&mut page));
        }
    }
    assert!(page.is_empty(), "the last message has what comes beside the rows");
    assert!(streamed.iter().any(|page| page.len() > 1), "a page is more than one message");
    assert_eq!(streamed.len(), pages.len());
    for (messages, page) in streamed.iter().zip(&pages) {
        let (last, others) = messages.split_last().expect("a page has messages");
        let users: Vec<i64> = messages.iter().flat_map(|message| ids(&message["users"], "id")).collect();
        assert_eq!(users, ids(&page["users"], "id"));
        for (_, field) in BESIDE_USERS {
            assert_eq!(last[field], page[field], "{field}");
            assert!(others.iter().all(|message| message.get(field).is_none()), "{field}");
        }
    }
    let found = json!({"filter": {"query": "role:agent"}, "page_size": 5});
    let search = ask(&client, "SearchUsers", &with_all(found.clone())).await;
    assert_eq!(ids(&search["abilities"], "user_id"), ids(&search["users"], "id"));
    let streamed = client.call("StreamSearchUsers", &with_all(found).to_string()).await.expect("a stream");
    let all = |field, id| streamed.iter().flat_map(|message| ids(&message[field], id)).collect::<BTreeSet<_>>();
    assert_eq!(all("abilities", "user_id"), all("users", "id"));
    let groups = client.call("StreamGroups", r#"{"include_users": true}"#).await.expect("a stream");
    let listed = ask(&client, "ListGroups", &json!({"include_users": true})).await;
    assert_eq!(groups.last().expect("a message")["users"], listed["users"]);
    let members = ids(&listed["users"], "id");
    assert!(!members.is_empty() && members.iter().collect::<BTreeSet<_>>().len() == members.len());
}

#[tokio::test]
async fn many_users_come_with_what_is_beside_them_from_all_their_requests() {
    let t = TestGateway::with(sandbox::Config { users: 250, ..account() }).await;
    let client = Dynamic::new(t.channel.clone());
    let mut held: Vec<i64> = t.sandbox.store().user_ids();
    held.reverse();
    // What is cached of these users has nothing beside it.
    ask(&client, "BatchGetUsers", &json!({"ids": held})).await;
    t.sandbox.reset_stats();
    let mut asked = held.clone();
    asked.push(42);
    let reply = ask(&client, "BatchGetUsers", &with_all(json!({"ids": asked}))).await;
    assert_eq!(t.sandbox.hits("/users/show_many"), 3);
    assert_eq!(ids(&reply["users"], "id"), held);
    assert_eq!(reply["missing_ids"], json!([42]));
    assert_eq!(
        ids(&reply["abilities"], "user_id").into_iter().collect::<BTreeSet<_>>(),
        held.iter().copied().collect()
    );
    let organizations = ids(&reply["organizations"], "id");
    let named: BTreeSet<i64> =
        reply["users"].as_array().expect("rows").iter().filter_map(|user| user["organization_id"].as_i64()).collect();
    assert_eq!(organizations.iter().copied().collect::<BTreeSet<_>>(), named);
    assert_eq!(organizations.len(), named.len(), "several requests have brought the same");
    let roles = reply["roles"].as_array().expect("roles");
    let different: BTreeSet<String> = roles.iter().map(Value::to_string).collect();
    assert_eq!(different.len(), roles.len(), "{roles:?}");

    // Each user alone is now known as it was before.
    t.sandbox.reset_stats();
    let one = ask(&client, "GetUser", &json!({"id": held[0]})).await;
    assert_eq!((t.sandbox.requests().len(), &one["abilities"]), (0, &Value::Null));
    let only_cached = [("cache-control", "only-if-cached")];
    let request = with_all(json!({"ids": [held[0]]})).to_string();
    let missed = refused(client.call_with("BatchGetUsers", &request, &only_cached).await);
    assert_eq!(missed.reason, "CACHE_MISS", "it is not kept");

    let external = reply["users"].as_array().expect("rows").iter().find_map(|user| user["external_id"].as_str());
    let request = json!({"external_ids": [external.expect("one has it")], "include_identities": true});
    let reply = ask(&client, "BatchGetUsers", &request).await;
    let id = reply["users"][0]["id"].as_i64().expect("an id");
    assert!(!ids(&reply["identities"], "id").is_empty());
    assert!(ids(&reply["identities"], "user_id").iter().all(|owner| *owner == id));
    assert_eq!(reply["abilities"], Value::Null);
}

#[tokio::test]
#[ignore = "slow"]
async fn completions_have_more_beside_them_by_either_verb() {
    let t = TestGateway::start().await;
    let client = Dynamic::new(t.channel.clone());
    let first = ask(&client, "ListUsers", &json!({"page_size": 1})).await;
    let name = first["users"][0]["name"].as_str().expect("a name").to_owned();
    for dynamic in [false, true] {
        let mut request = json!({"name": name, "include_identities": true});
        if dynamic {
            request["field_id"] = "7".into();
            request["source"] = "zen:user".into();
            request["dynamic_values"] = json!({"a": "b"});
        }
        t.sandbox.reset_stats();
        let reply = ask(&client, "AutocompleteUsers", &request).await;
        let sent = t.sandbox.requests();
        assert_eq!((sent.len(), sent[0].method.as_str()), (1, if dynamic { "POST" } else { "GET" }));
        assert!(sent[0].query.contains("include=identities"), "{}", sent[0].query);
        let users: BTreeSet<i64> = ids(&reply["users"], "id").into_iter().collect();
        let owners: BTreeSet<i64> = ids(&reply["identities"], "user_id").into_iter().collect();
        assert!(!owners.is_empty() && owners.is_subset(&users), "{owners:?} of {users:?}");
    }
}

#[tokio::test]
async fn what_zendesk_does_not_offer_beside_a_list_is_refused_by_its_field() {
    let t = TestGateway::start().await;
    let client = Dynamic::new(t.channel.clone());
    let of_users = |filter: Value| with_all(json!({"filter": filter}));
    let cases = [
        ("ListUsers", of_users(json!({"group_id": 7})), 6),
        ("StreamUsers", of_users(json!({"organization_id": 7})), 6),
        ("ListGroups", json!({"filter": {"user_id": 7}, "include_users": true}), 1),
        ("StreamGroups", json!({"filter": {"user_id": 7}, "include_users": true}), 1),
    ];
    for (rpc, request, count) in cases {
        let refusal = refused(client.call(rpc, &request.to_string()).await);
        assert_eq!((refusal.code, refusal.fields.len()), (Code::InvalidArgument, count), "{rpc}: {}", refusal.message);
        assert!(refusal.fields.iter().all(|field| field.starts_with("include_")), "{rpc}: {:?}", refusal.fields);
    }
    assert_eq!(t.sandbox.requests().len(), 0);
}

/// What stands beside a record may be missing or odd: it costs itself and is counted.
#[tokio::test]
#[ignore = "slow"]
async fn odd_values_beside_a_record_cost_themselves_and_are_counted() {
    let user = r#""user": {"id": 7, "name": "A"}"#;
    let cases = [
        ("", json!([]), 0),
        (r#", "groups": null"#, json!([]), 0),
        (r#", "groups": []"#, json!([]), 0),
        (r#", "groups": {}"#, json!([]), 1),
        (r#", "groups": "x""#, json!([]), 1),
        (r#", "groups": [{"id": 8}, {"id": "x"}, null, {"id": 8}]"#, json!([8]), 2),
        (r#", "groups": [{"id": 8, "name": []}]"#, json!([8]), 0),
        // Nobody has asked for it.
        (r#", "groups": [{"id": 8}], "roles": [{"id": 9}], "count": {}"#, json!([8]), 0),
    ];
    for (beside, groups, unreadable) in cases {
        let body = format!("{{{user}{beside}}}");
        let zendesk = Scripted::start(JSON, body.clone()).await;
        let (_, channel, _running, _) = serve(&zendesk.url, basic("a@b.example/token:t"), settings()).await;
        let reply = ask(&Dynamic::new(channel), "GetUser", &json!({"id": 7, "include_groups": true})).await;
        assert_eq!(reply["user"]["name"], "A", "{body}");
        assert_eq!(json!(ids(&reply["groups"], "id")), groups, "{body}");
        assert_eq!(reply["unreadable_rows"].as_i64().unwrap_or_default(), unreadable, "{body}");
        assert_eq!(reply["roles"], Value::Null, "{body}");
        if body.contains("name\": []") {
            assert_eq!(reply["groups"][0]["unreadable_fields"], json!(["name"]));
        }
    }
}

#[tokio::test]
#[ignore = "slow"]
async fn odd_values_beside_a_page_cost_themselves_and_no_row() {
    let cases = [
        (
            r#""open_ticket_count": {"7": 3, "8": "4"}"#,
            json!([{"user_id": 7, "count": 3}, {"user_id": 8, "count": 4}]),
            0,
        ),
        (r#""open_ticket_count": {"7": 0}"#, json!([{"user_id": 7}]), 0),
        (
            r#""open_ticket_count": {"7": null, "8": -1, "9": 1.5, "x": 4, "0": 4, "10": {}, "11": [1], "12": true, "13": 2}"#,
            json!([{"user_id": 13, "count": 2}]),
            8,
        ),
        (r#""open_ticket_count": []"#, Value::Null, 0),
        (r#""open_ticket_count": [1]"#, Value::Null, 1),
        (r#""open_ticket_count": 7"#, Value::Null, 1),
        (r#""open_ticket_count": null"#, Value::Null, 0),
        (r#""abilities": [{"user_id": 7, "can_edit": true}, {"can_edit": true}, {"user_id": 7}]"#, Value::Null, 1),
        (
            r#""roles": [{"id": null, "name": "agent"}, {"id": null, "name": "agent"}, {"id": 9, "name": "R"}, 7]"#,
            Value::Null,
            1,
        ),
    ];
    for (beside, counts, unreadable) in cases {
        let body = format!(r#"{{"users": [{{"id": 7}}], {beside}, "meta": {{"has_more": false}}}}"#);
        let zendesk = Scripted::start(JSON, body.clone()).await;
        let (_, channel, _running, _) = serve(&zendesk.url, basic("a@b.example/token:t"), settings()).await;
        let client = Dynamic::new(channel);
        let request = json!({"include_open_ticket_count": true, "include_abilities": true, "include_roles": true});
        for rpc in ["ListUsers", "StreamUsers"] {
            let reply = ask(&client, rpc, &request).await;
            assert_eq!(ids(&reply["users"], "id"), [7], "{rpc}: {body}");
            assert_eq!(reply["open_ticket_counts"], counts, "{rpc}: {body}");
            assert_eq!(reply["unreadable_rows"].as_i64().unwrap_or_default(), unreadable, "{rpc}: {body}");
            if body.contains("roles") {
                assert_eq!(reply["roles"], json!([{"name": "agent"}, {"id": 9, "name": "R"}]));
            }
            if body.contains("abilities") {
                assert_eq!(reply["abilities"], json!([{"user_id": 7, "can_edit": true}]));
            }
        }
        let plain = ask(&client, "ListUsers", &json!({})).await;
        for (_, field) in BESIDE_USERS {
            assert_eq!(plain[field], Value::Null, "nobody has asked for {field}");
        }
    }
}

/// What stands beside a list is no list: an answer that has only that is one to another question.
#[tokio::test]
#[ignore = "slow"]
async fn an_answer_without_its_list_is_none_whatever_stands_beside_it() {
    for body in
        [r#"{"organizations": [{"id": 1}]}"#, r#"{"roles": [], "count": 0}"#, r#"{"open_ticket_count": {"7": 1}}"#]
    {
        let zendesk = Scripted::start(JSON, body).await;
        let (_, channel, _running, _) = serve(&zendesk.url, basic("a@b.example/token:t"), settings()).await;
        let client = Dynamic::new(channel);
        let refusal = refused(client.call("ListUsers", &with_all(json!({})).to_string()).await);
        assert_eq!((refusal.code, refusal.reason.as_str()), (Code::Internal, "UPSTREAM_MALFORMED"), "{body}");
    }
}

#[tokio::test]
async fn a_user_with_more_beside_it_is_served_stale_with_it_while_zendesk_fails() {
    let mut config = settings();
    config.cache.record.fresh = Some(Duration::ZERO);
    config.cache.record.stale_while_revalidate = Some(Duration::ZERO);
    let case = Case::configured(config).await;
    let request = json!({"id": case.user, "include_groups": true, "include_organizations": true});
    let before = case.ask("GetUser", request.clone()).await;
    assert_eq!(ids(&before["groups"], "id"), [case.group]);
    case.t.sandbox.fault(any("*"), Respond::with(503).forever());
    assert_eq!(case.ask("GetUser", request.clone()).await, before);
    // Nothing was kept of what stands beside the user in another answer.
    let other = json!({"id": case.user, "include_roles": true}).to_string();
    assert_eq!(refused(case.client.call("GetUser", &other).await).code, Code::Unavailable);
    // What a write has changed is not served either.
    case.t.sandbox.faults().clear();
    case.ask("UpdateGroup", json!({"id": case.group, "group": {"name": "Renamed"}})).await;
    case.t.sandbox.fault(any("*"), Respond::with(503).forever());
    assert_eq!(refused(case.client.call("GetUser", &request.to_string()).await).code, Code::Unavailable);
}
