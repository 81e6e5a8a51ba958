//! Every field of the vendor's example objects survives the way JSON → message → gRPC client; nothing odd fails a call.

use std::collections::BTreeSet;

use prost_reflect::{DescriptorPool, EnumDescriptor, FieldDescriptor, Kind, MessageDescriptor, MethodDescriptor};
use serde_json::{Map, Value, json};
use zendesk_gateway::config::Config;

use crate::support::{Dynamic, Scripted, basic, serve};

mod large;
mod odd;
mod stand_in;

/// Answers every request with `body` and calls `rpc` through the gateway.
async fn through(body: &Value, rpc: &str, request: &str) -> Value {
    let head = "200 OK\r\ncontent-type: application/json; charset=utf-8";
    let upstream = Scripted::start(head, body.to_string()).await;
    let (_, channel, _running, _) = serve(&upstream.url, basic("a@b.example/token:t"), Config::default()).await;
    let mut replies = Dynamic::new(channel).call(rpc, request).await.unwrap_or_else(|status| panic!("{rpc}: {status}"));
    replies.remove(0)
}

/// Compares each leaf of Zendesk's JSON with the reply; enums by their word, numbers by value.
fn assert_survived(source: &Value, reply: &Value, path: &str) {
    match source {
        Value::Object(object) => {
            for (key, value) in object {
                assert_survived(value, &reply[key], &format!("{path}.{key}"));
            }
        }
        Value::Array(items) if items.is_empty() => assert!(reply.is_null() || reply == source, "{path}: {reply}"),
        Value::Array(items) => {
            assert_eq!(reply.as_array().map(Vec::len), Some(items.len()), "{path}: {reply}");
            for (index, item) in items.iter().enumerate() {
                assert_survived(item, &reply[index], &format!("{path}[{index}]"));
            }
        }
        Value::Null => assert!(reply.is_null(), "{path}: {reply}"),
        Value::Number(number) if reply.is_number() => assert_eq!(number.as_f64(), reply.as_f64(), "{path}"),
        Value::Number(number) => assert_eq!(role_type(number.as_i64()), reply.as_str(), "{path}: {reply}"),
        Value::String(word) if reply != source => {
            let name = reply.as_str().unwrap_or_else(|| panic!("{path}: {reply} for {source}"));
            assert!(name.ends_with(&word.to_uppercase().replace('-', "_")), "{path}: {name} for {word}");
        }
        _ => assert_eq!(reply, source, "{path}"),
    }
}

fn role_type(number: Option<i64>) -> Option<&'static str> {
    let names = ["CUSTOM_AGENT", "LIGHT_AGENT", "CHAT_AGENT", "CONTRIBUTOR", "ADMIN", "BILLING_ADMIN"];
    let name = names.get(usize::try_from(number?).ok()?)?;
    Some(format!("ROLE_TYPE_{name}").leak())
}

fn photo() -> Value {
    json!({
        "url": "https://a.example/api/v2/attachments/5.json", "id": 6_100_000_000_005_i64, "name": "me.png",
        "file_name": "me.png", "content_url": "https://a.example/me.png", "mapped_content_url": "https://a.example/m.png",
        "content_type": "image/png", "size": 166_144, "width": 80, "height": 60, "inline": false, "deleted": false,
        "thumbnails": [{"content_type": "image/png", "content_url": "https://a.example/t.png", "id": 928_375,
                        "name": "thumb.png", "size": 58_298}]
    })
}

/// The agent's view of a user: every field that the reference page, its example, or a recording names.
fn agent() -> Value {
    json!({
        "id": 6_100_000_000_001_i64, "url": "https://a.example/api/v2/users/1.json", "name": "Agnes Agent",
        "email": "agnes@a.example", "created_at": "2009-07-20T22:55:29Z", "updated_at": "2011-05-05T10:38:52Z",
        "time_zone": "Copenhagen", "iana_time_zone": "Europe/Copenhagen", "phone": "+15551234567",
        "shared_phone_number": false, "photo": photo(), "locale_id": 1, "locale": "en-US", "organization_id": 57_542,
        "role": "agent", "verified": true, "authenticity_token": "csrf", "external_id": "sai989sur98w9",
        "tags": ["enterprise", "other_tag"], "alias": "Ms. Agnes", "active": true, "shared": false, "shared_agent": false,
        "last_login_at": "2011-05-05T10:38:52Z", "two_factor_auth_enabled": true, "signature": "Have a nice day",
        "details": "", "notes": "a note", "role_type": 0, "custom_role_id": 9_373_643, "moderator": true,
        "ticket_restriction": "assigned", "only_private_comments": false, "restricted_agent": true, "suspended": true,
        "default_group_id": 211, "report_csv": false, "chat_only": false, "agent_brand_ids": [3, 4],
        "separation": {"scope": "brand", "brand_id": 123}, "suspension_details": {"channels": ["all", "messaging"]},
        "user_fields": {"user_date": "2012-07-23T00:00:00+00:00", "user_decimal": 5.1, "user_dropdown": "option_1",
                        "user_integer": 7, "user_checkbox": true, "user_empty": null, "user_multi": ["a", "b"],
                        "system::embeddable_last_seen": "2022-11-30T00:00:00+00:00"}
    })
}

/// A record with every field, as the vendor's examples have it; where none stands here, as [`sample`] makes it.
fn record(name: &str) -> Value {
    match name {
        "User" => agent(),
        "Group" => json!({"created_at": "2009-07-20T22:55:29Z", "default": true, "deleted": false, "description": "d",
            "id": 3432, "is_public": true, "name": "First Level", "updated_at": "2011-05-05T10:38:52Z", "url": "https://u"}),
        "GroupMembership" => json!({"created_at": "2009-05-13T00:07:08Z", "default": true, "group_id": 12, "id": 4,
            "updated_at": "2011-07-22T00:11:12Z", "user_id": 29, "url": "https://u"}),
        "DeletedUser" => {
            json!({"active": false, "created_at": "2019-08-26T02:10:24Z", "email": "d@a.example", "id": 189,
            "locale": "en-US", "locale_id": 1, "name": "David", "organization_id": 360, "phone": null, "photo": photo(),
            "role": "end-user", "shared_phone_number": null, "time_zone": "Eastern Time (US & Canada)",
            "updated_at": "2019-08-26T02:10:27Z", "url": "https://u", "separation": {"scope": "account"}})
        }
        "ComplianceDeletionStatus" => json!({"account_subdomain": "a", "action": "complete", "application": "all",
            "created_at": "2009-07-20T22:55:23Z", "executer_id": null, "user_id": 7}),
        "Job" => json!({"id": "82de0b044094f0c67893ac9fe64f1a99", "job_type": "Bulk Update User", "url": "https://u",
            "total": 2, "progress": 2, "status": "completed", "message": "Completed at 2018-03-08 10:07:04 +0000",
            "results": [{"action": "update", "id": 244, "status": "Updated", "success": true},
                        {"id": 1, "index": 1, "error": "UserUpdateError", "details": "Email: x", "status": "Failed",
                         "email": "x@y", "title": "t", "account_id": 9, "external_id": "e"}]}),
        _ => sample(name),
    }
}

/// The same record with a value for each field by its type.
fn sample(name: &str) -> Value {
    let pool = DescriptorPool::decode(zendesk_gateway::proto::DESCRIPTORS).expect("the contract's descriptors");
    of_type(&pool.get_message_by_name(&format!("zendesk.gateway.v1.{name}")).expect("a message of the contract"))
}

fn of_type(message: &MessageDescriptor) -> Value {
    // A photo has thumbnails, which are photos without any.
    let is_itself = |field: &FieldDescriptor| field.kind().as_message() == Some(message);
    let one = |field: &FieldDescriptor| match field.kind() {
        Kind::Bool => json!(true),
        Kind::String => json!("text"),
        Kind::Double => json!(4.5),
        Kind::Enum(words) => word(&words),
        Kind::Message(inner) => match inner.full_name() {
            "google.protobuf.Timestamp" => json!("2009-07-20T22:55:29Z"),
            "google.protobuf.Struct" => json!({"a": "b"}),
            _ => of_type(&inner),
        },
        _ => json!(7),
    };
    // What the gateway says of a record itself, and of a job's result that is no object or no list of them.
    let is_own =
        |field: &FieldDescriptor| field.name().starts_with("unreadable_") || ["raw", "of_all"].contains(&field.name());
    let fields = message.fields().filter(|field| !is_own(field) && !is_itself(field));
    let value = |field: &FieldDescriptor| if field.is_list() { json!([one(field)]) } else { one(field) };
    fields.map(|field| (field.name().to_owned(), value(&field))).collect::<Map<_, _>>().into()
}

/// What Zendesk writes for a value of an enum.
fn word(words: &EnumDescriptor) -> Value {
    let wire = words.parent_pool().get_extension_by_name("zendesk.gateway.v1.wire").expect("an option of the contract");
    let options = words.values().nth(1).expect("a value beside the unspecified one").options();
    let word = options.get_extension(&wire).as_str().expect("a word").to_owned();
    word.parse::<i64>().map_or_else(|_| json!(word), |number| json!(number))
}

#[tokio::test]
async fn every_field_of_a_user_survives() {
    let mut me = agent();
    for (rpc, request) in [("GetUser", r#"{"id": 6100000000001}"#), ("GetCurrentUser", "{}")] {
        let body = json!({"user": me});
        assert_survived(&body, &through(&body, rpc, request).await, rpc);
    }
    for (role, restriction, number) in
        [("admin", "organization", 4), ("end-user", "requested", 1), ("agent", "groups", 5)]
    {
        me["role"] = role.into();
        me["ticket_restriction"] = restriction.into();
        me["role_type"] = number.into();
        let body = json!({"users": [me, me], "meta": {"has_more": false}});
        assert_survived(&body["users"], &through(&body, "ListUsers", "{}").await["users"], role);
    }
}

#[tokio::test]
#[ignore = "slow"]
async fn every_field_of_every_row_survives() {
    let pool = DescriptorPool::decode(zendesk_gateway::proto::DESCRIPTORS).expect("the contract's descriptors");
    let methods = pool.services().flat_map(|service| service.methods().collect::<Vec<_>>());
    let lists = methods.filter(|method| !method.is_server_streaming() && is_paged(&method.input()));
    for method in lists {
        let (rpc, reply) = (method.name(), method.output());
        let (request, beside) = with_sideloads(&method, crate::contract::requests_of(rpc)[0]);
        let rows = reply.get_field(1).expect("rows");
        let row = rows.kind().as_message().expect("a record").name().to_owned();
        for record in [record(&row), sample(&row)] {
            let mut body = json!({rows.name(): [record, record], "meta": {"has_more": false}});
            body.as_object_mut().expect("an object").extend(beside.clone());
            let answered = through(&body, rpc, &request).await;
            body.as_object_mut().expect("an object").remove("meta");
            assert_all_survived(body, &answered, rpc);
        }
    }
}

/// Asks for all that can come beside what a call is about. Also returns that, as Zendesk writes it.
fn with_sideloads(method: &MethodDescriptor, request: &str) -> (String, Map<String, Value>) {
    let mut request: Value = serde_json::from_str(request).expect("a request");
    let mut beside = Map::new();
    for field in method.output().fields().filter(|field| field.number() != 1 && field.is_list()) {
        let Some(kind) = field.kind().as_message().map(|kind| kind.name().to_owned()) else { continue };
        let (name, value) = match field.name() {
            "open_ticket_counts" => ("open_ticket_count", json!({"7": 5, "8": 0})),
            name => (name, json!([record(&kind)])),
        };
        let asks = format!("include_{name}");
        assert!(method.input().get_field_by_name(&asks).is_some(), "{} has no {asks}", method.name());
        request[asks] = true.into();
        beside.insert(name.to_owned(), value);
    }
    (request.to_string(), beside)
}

/// The same as [`assert_survived`] for an answer that may have numbers of open tickets.
fn assert_all_survived(mut source: Value, reply: &Value, rpc: &str) {
    if source.as_object_mut().expect("an object").remove("open_ticket_count").is_some() {
        let counts = json!([{"user_id": 7, "count": 5}, {"user_id": 8}]); // JSON leaves out a zero
        assert_eq!(reply["open_ticket_counts"], counts, "{rpc}");
    }
    assert_survived(&source, reply, rpc);
}

#[tokio::test]
#[ignore = "slow"]
async fn every_field_of_what_comes_beside_one_record_survives() {
    let pool = DescriptorPool::decode(zendesk_gateway::proto::DESCRIPTORS).expect("the contract's descriptors");
    let of = |rpc: &str| {
        let mut methods = pool.services().flat_map(|service| service.methods().collect::<Vec<_>>());
        methods.find(|method| method.name() == rpc).expect("an RPC")
    };
    for (rpc, request, mut body) in [
        ("GetUser", r#"{"id": 6100000000001}"#, json!({"user": agent()})),
        ("GetCurrentUser", "{}", json!({"user": agent()})),
        ("GetGroup", r#"{"id": 3432}"#, json!({"group": record("Group")})),
        ("BatchGetUsers", r#"{"ids": [6100000000001]}"#, json!({"users": [agent()]})),
    ] {
        let (request, beside) = with_sideloads(&of(rpc), request);
        assert!(!beside.is_empty(), "{rpc}");
        body.as_object_mut().expect("an object").extend(beside);
        assert_all_survived(body.clone(), &through(&body, rpc, &request).await, rpc);
    }
}

fn is_paged(request: &MessageDescriptor) -> bool {
    request.get_field_by_name("page_size").is_some()
}

#[tokio::test]
#[ignore = "slow"]
async fn every_field_of_the_other_records_survives() {
    let related =
        json!({"assigned_tickets": 5, "ccd_tickets": 3, "organization_subscriptions": 1, "requested_tickets": 10});
    let count = json!({"refreshed_at": "2020-04-06T02:18:17Z", "value": 102});
    for (rpc, request, body) in [
        ("GetGroup", r#"{"id": 3432}"#, json!({"group": record("Group")})),
        ("GetMembership", r#"{"id": 4}"#, json!({"group_membership": record("GroupMembership")})),
        ("GetDeletedUser", r#"{"id": 189}"#, json!({"deleted_user": record("DeletedUser")})),
        ("GetUserRelated", r#"{"id": 1}"#, json!({"user_related": related})),
        ("GetJob", r#"{"id": "82de0b044094f0c67893ac9fe64f1a99"}"#, json!({"job_status": record("Job")})),
        ("CountUsers", "{}", json!({"count": count})),
        ("CountGroups", "{}", json!({"count": count})),
        ("CountDeletedUsers", "{}", json!({"count": count})),
    ] {
        assert_survived(&body, &through(&body, rpc, request).await, rpc);
    }
}

#[tokio::test]
#[ignore = "slow"]
async fn a_null_in_any_field_fails_no_call() {
    let source = agent();
    for key in source.as_object().expect("an object").keys().filter(|key| *key != "id") {
        let mut user = source.clone();
        user[key] = Value::Null;
        let body = json!({"user": user});
        assert_survived(&body, &through(&body, "GetUser", r#"{"id": 6100000000001}"#).await, key);
    }
    let mut nothing = json!({"user": {"id": 1}});
    for key in source.as_object().expect("an object").keys().filter(|key| *key != "id") {
        nothing["user"][key] = Value::Null;
    }
    assert_survived(&nothing, &through(&nothing, "GetUser", r#"{"id": 1}"#).await, "all");
}

#[tokio::test]
async fn unknown_fields_words_and_types_fail_no_call() {
    let odd = json!({"user": {"id": 1, "name": "Jo", "role": "wizard", "ticket_restriction": "moonlight", "role_type": 99,
        "brand_new": {"deep": [1, {"x": null}]}, "created_at": "yesterday", "locale_id": "en", "verified": "true",
        "user_fields": {"number": "a string where a number is documented", "huge": 9_007_199_254_740_993_i64,
                        "nested": {"a": [1, "b", null]}},
        "suspension_details": {"channels": ["all", "pigeon"]}, "tags": null}, "more": true});
    let user = through(&odd, "GetUser", r#"{"id": 1}"#).await["user"].clone();
    assert_eq!((&user["name"], &user["role"]), (&json!("Jo"), &json!("USER_ROLE_UNSPECIFIED")));
    assert_eq!(user["ticket_restriction"], "TICKET_RESTRICTION_UNSPECIFIED");
    assert_eq!(user["role_type"], "ROLE_TYPE_UNSPECIFIED");
    assert_eq!(user["verified"], true, "a boolean in quotes is read");
    assert!(user["created_at"].is_null() && user["locale_id"].is_null());
    assert_eq!(user["user_fields"]["number"], "a string where a number is documented");
    assert_eq!(user["user_fields"]["huge"], "9007199254740993", "digits that no double holds are kept as text");
    assert_eq!(user["user_fields"]["nested"]["a"][1], "b");
    assert_eq!(user["suspension_details"]["channels"][0], "SUSPENSION_CHANNEL_ALL");
    let lost: BTreeSet<&str> =
        user["unreadable_fields"].as_array().expect("paths").iter().filter_map(Value::as_str).collect();
    let wanted =
        ["created_at", "locale_id", "role", "role_type", "suspension_details.channels[1]", "ticket_restriction"];
    assert_eq!(lost, wanted.into(), "what could not be read is named");
}

#[tokio::test]
#[ignore = "slow"]
async fn results_of_a_job_may_be_a_list_an_object_or_nothing() {
    for (results, entries) in [
        (json!(null), 0),
        (json!([]), 0),
        (json!({"success": true}), 1),
        (json!([{"id": 1}, {"id": 2, "details": {"base": ["x"]}, "account_id": null}]), 2),
    ] {
        let body = json!({"job_status": {"id": "a", "status": "killed", "total": null, "results": results}});
        let job = through(&body, "GetJob", r#"{"id": "a"}"#).await["job_status"].clone();
        assert_eq!(job["status"], "JOB_STATE_KILLED");
        assert_eq!(job["results"].as_array().map_or(0, Vec::len), entries, "{job}");
    }
}

#[tokio::test]
async fn a_membership_without_updated_at_is_read() {
    let body = json!({"group_memberships": [{"id": 4, "user_id": 29, "group_id": 12, "default": true}]});
    let reply = through(&body, "ListMemberships", "{}").await;
    assert_survived(&body, &reply, "membership");
    assert!(reply["group_memberships"][0]["updated_at"].is_null());
}
