//! Definitions of user fields against the stand-in, and the check of values against them.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::advance;
use tonic::Code;
use zendesk_gateway::config::Config;
use zendesk_gateway::proto::{CreateUserRequest, ListUserFieldsRequest, UserInput};
use zendesk_gateway::sandbox::faults::{Respond, get};
use zendesk_gateway::sandbox::{self, Sandbox};

use crate::support::seam::{Seam, said, stand_in, within};
use crate::support::{Dynamic, Scripted, TestGateway, basic, refused, serve};

async fn ask(client: &Dynamic, rpc: &str, request: Value) -> Value {
    let mut replies = client.call(rpc, &request.to_string()).await.unwrap_or_else(|status| panic!("{rpc}: {status:?}"));
    replies.remove(0)
}

/// Each field's key, in the order of the list.
async fn keys(client: &Dynamic) -> Vec<String> {
    let listed = ask(client, "ListUserFields", json!({})).await;
    let rows = listed["user_fields"].as_array().expect("rows").iter();
    rows.map(|row| row["key"].as_str().expect("a key").to_owned()).collect()
}

#[tokio::test]
#[ignore = "slow"]
async fn a_field_is_defined_changed_and_removed_and_what_was_kept_of_it_and_of_users_is_void() {
    let t = TestGateway::start().await;
    let client = Dynamic::new(t.channel.clone());
    let user = t.sandbox.store().user_ids()[0];
    let values = async || ask(&client, "GetUser", json!({"id": user})).await["user"]["user_fields"].clone();
    let before = keys(&client).await;
    assert!(values().await.get("cost_centre").is_none());

    let options = json!([{"name": "One", "value": "one"}, {"name": "Two", "value": "two"}]);
    let new = json!({"key": "cost_centre", "title": "Cost centre", "type": "USER_FIELD_TYPE_DROPDOWN",
        "custom_field_options": options});
    let made = ask(&client, "CreateUserField", json!({"user_field": new})).await["user_field"].clone();
    assert_eq!((&made["type"], &made["title"]), (&json!("USER_FIELD_TYPE_DROPDOWN"), &json!("Cost centre")));
    assert_eq!(keys(&client).await.len(), before.len() + 1, "the list is void");
    assert_eq!(values().await.get("cost_centre"), Some(&Value::Null), "each user has it, unset");
    let hits = t.sandbox.total_hits();
    let id = made["id"].clone();
    assert_eq!(ask(&client, "GetUserField", json!({"id": id})).await["user_field"], made);
    assert_eq!(t.sandbox.total_hits(), hits, "the answer is kept");
    let taken = json!({"user_field": {"key": "cost_centre", "title": "T"}}).to_string();
    assert_eq!(refused(client.call("CreateUserField", &taken).await).code, Code::AlreadyExists);

    let set = json!({"id": user, "user": {"user_fields": {"cost_centre": "two"}}});
    ask(&client, "UpdateUser", set).await;
    assert_eq!(values().await["cost_centre"], "two");
    let with = |option: Value| json!({"user_field_id": id, "custom_field_option": option});
    let option = ask(&client, "CreateOrUpdateUserFieldOption", with(json!({"name": "Three", "value": "three"}))).await;
    assert_eq!(option["disposition"], "DISPOSITION_CREATED");
    let three = option["custom_field_option"]["id"].clone();
    let option = with(json!({"id": three, "name": "III", "value": "three"}));
    let option = ask(&client, "CreateOrUpdateUserFieldOption", option).await;
    assert_eq!((&option["disposition"], &option["custom_field_option"]["id"]), (&json!("DISPOSITION_UPDATED"), &three));
    let one = ask(&client, "GetUserFieldOption", json!({"user_field_id": id, "id": three})).await;
    assert_eq!(one["custom_field_option"]["name"], "III");
    let listed = async || {
        let request = json!({"user_field_id": id, "page_size": 1}).to_string();
        let parts = client.call("StreamUserFieldOptions", &request).await.expect("a stream");
        let rows = parts.iter().flat_map(|part| part["custom_field_options"].as_array().cloned().unwrap_or_default());
        rows.map(|row| row["value"].as_str().expect("a value").to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(listed().await, ["one", "two", "three"]);

    let held = &made["custom_field_options"];
    let kept =
        json!([{"id": three, "name": "Three", "value": "three"}, {"id": held[0]["id"], "name": "One", "value": "one"}]);
    let change = json!({"id": id, "user_field": {"custom_field_options": kept, "description": "d"}});
    ask(&client, "UpdateUserField", change).await;
    assert_eq!(listed().await, ["three", "one"]);
    assert_eq!(values().await["cost_centre"], Value::Null, "its option is gone");
    ask(&client, "DeleteUserFieldOption", json!({"user_field_id": id, "id": three})).await;
    assert_eq!(listed().await, ["one"]);
    let page = ask(&client, "ListUserFieldOptions", json!({"user_field_id": id})).await;
    assert_eq!(page["custom_field_options"].as_array().map(Vec::len), Some(1));
    let masked = json!({"id": id, "user_field": {}, "update_mask": "description"});
    assert!(ask(&client, "UpdateUserField", masked).await["user_field"]["description"].is_null());

    ask(&client, "DeleteUserField", json!({"id": id})).await;
    assert_eq!(keys(&client).await, before);
    assert!(values().await.get("cost_centre").is_none());
    for rpc in ["GetUserField", "DeleteUserField"] {
        let gone = refused(client.call(rpc, &json!({"id": id}).to_string()).await);
        assert_eq!(gone.reason, "NOT_FOUND", "{rpc}");
    }
}

#[tokio::test]
#[ignore = "slow"]
async fn fields_are_put_in_order_and_found_by_their_keys() {
    let t = TestGateway::start().await;
    let client = Dynamic::new(t.channel.clone());
    let listed = ask(&client, "ListUserFields", json!({"resolve_dc": true})).await;
    assert!(t.sandbox.requests()[0].query.contains("resolve_dc=true"));
    let ids: Vec<Value> = listed["user_fields"].as_array().expect("rows").iter().map(|row| row["id"].clone()).collect();
    let before = keys(&client).await;
    ask(&client, "ReorderUserFields", json!({"ids": [ids[3], ids[0]]})).await;
    let after = keys(&client).await;
    assert_eq!(after[..3], [before[3].clone(), before[0].clone(), before[1].clone()]);
    let parts = client.call("StreamUserFields", r#"{"page_size": 3}"#).await.expect("a stream");
    let streamed: usize = parts.iter().map(|part| part["user_fields"].as_array().map_or(0, Vec::len)).sum();
    assert_eq!(streamed, after.len());

    let request = json!({"keys": ["vip", "gone", "plan", "vip"]});
    let found = ask(&client, "BatchGetUserFields", request.clone()).await;
    let rows = found["user_fields"].as_array().expect("rows").iter();
    assert_eq!(rows.map(|row| row["key"].clone()).collect::<Vec<_>>(), ["vip", "plan"]);
    assert_eq!((&found["missing_keys"], &found["unreadable_keys"]), (&json!(["gone"]), &Value::Null));
    let hits = t.sandbox.total_hits();
    ask(&client, "BatchGetUserFields", request).await;
    assert_eq!(t.sandbox.total_hits(), hits, "it is kept");
}

#[tokio::test]
#[ignore = "slow"]
async fn fields_that_nobody_asked_for_or_that_cannot_be_read_are_no_answer_to_keys() {
    let ask = async |body: &str| {
        let head = "200 OK\r\ncontent-type: application/json; charset=utf-8";
        let upstream = Scripted::start(head, body.to_owned()).await;
        let (_, channel, _running, _) = serve(&upstream.url, basic("a@b.example/token:t"), Config::default()).await;
        Dynamic::new(channel).call("BatchGetUserFields", r#"{"keys": ["a", "b"]}"#).await
    };
    for body in [
        r#"{"user_fields":[{"id":7,"key":"c"}]}"#,
        r#"{"user_fields":[{"id":7,"key":"a"}],"next_page":"https://a.example/api/v2/user_fields.json?page=2"}"#,
        r#"{"users":[]}"#,
    ] {
        assert_eq!(refused(ask(body).await).reason, "UPSTREAM_MALFORMED", "{body}");
    }
    for (body, missing, unreadable) in [
        (r#"{"user_fields":[{"id":7,"key":"a"}]}"#, json!(["b"]), Value::Null),
        (r#"{"user_fields":[{"id":7,"key":"a"},{"id":[8],"key":"b"}]}"#, Value::Null, json!(["b"])),
        (r#"{"user_fields":[{"id":7,"key":"a"},{"id":8,"key":["b"]}]}"#, Value::Null, json!(["b"])),
    ] {
        let reply = ask(body).await.expect("answered").remove(0);
        assert_eq!(reply["user_fields"].as_array().map(Vec::len), Some(1), "{body}");
        assert_eq!((&reply["missing_keys"], &reply["unreadable_keys"]), (&missing, &unreadable), "{body}");
    }
}

/// Defines a field of each further type.
async fn define(client: &Dynamic) {
    for field in [
        json!({"key": "code", "type": "USER_FIELD_TYPE_REGEXP", "regexp_for_validation": "^[A-Z]{2}\\d+$"}),
        json!({"key": "ruby", "type": "USER_FIELD_TYPE_REGEXP", "regexp_for_validation": "(?<!a)\\h+"}),
        json!({"key": "boss", "type": "USER_FIELD_TYPE_LOOKUP", "relationship_target_type": "zen:user"}),
        json!({"key": "flat", "type": "USER_FIELD_TYPE_LOOKUP", "relationship_target_type": "zen:custom_object:flat"}),
        json!({"key": "area", "type": "USER_FIELD_TYPE_TEXTAREA"}),
        json!({"key": "fee", "type": "USER_FIELD_TYPE_CURRENCY"}),
        json!({"key": "old", "type": "USER_FIELD_TYPE_TEXT", "active": false}),
    ] {
        let mut field = field;
        field["title"] = "T".into();
        ask(client, "CreateUserField", json!({"user_field": field})).await;
    }
}

/// Keys with values that are right, and with values that are wrong.
fn values() -> Vec<(&'static str, Vec<Value>, Vec<Value>)> {
    let (text, number, list) = (json!("t"), json!(7), json!(["t"]));
    vec![
        (
            "internal_comment",
            vec![text.clone(), json!(""), json!(null)],
            vec![number.clone(), json!(true), list.clone(), json!({"a": 1})],
        ),
        ("area", vec![json!("a\nb")], vec![number.clone()]),
        ("vip", vec![json!(true), json!(false), json!(null)], vec![json!("true"), json!(1), json!("yes")]),
        (
            "customer_since",
            vec![json!("2026-02-28"), json!("2026-11-30T10:00:00Z"), json!("2022-11-30T00:00:00+00:00")],
            vec![
                json!("2026-02-31"),
                json!("30.11.2026"),
                json!("2026-13-01"),
                json!("2026-1-1"),
                json!(20_261_130),
                json!(""),
            ],
        ),
        (
            "seats",
            vec![json!(-3), json!("9007199254740993"), json!("-1"), json!(4.0)],
            vec![json!(1.5), json!("1.5"), json!("x"), json!("-"), json!(true)],
        ),
        (
            "contract_value",
            vec![json!(1.5), json!(2), json!("-0.75"), json!("3")],
            vec![json!("1,5"), json!("1."), json!(".5"), json!("1e3"), json!(false)],
        ),
        ("fee", vec![json!("19.99")], vec![json!("19.99 EUR")]),
        (
            "plan",
            vec![json!("gold"), json!(null)],
            vec![json!("Gold"), json!("platinum"), number.clone(), json!(["gold"])],
        ),
        (
            "favourite_products",
            vec![json!(["router", "tölva"]), json!([])],
            vec![json!(["router", "gone"]), json!("router"), json!([7])],
        ),
        ("code", vec![json!("AB12"), json!(""), json!("x\nAB1")], vec![json!("AB"), json!("xAB1"), number.clone()]),
        ("ruby", vec![json!("what only Ruby can tell")], vec![number.clone()]),
        (
            "boss",
            vec![number.clone(), json!("6100000000007")],
            vec![json!("x"), json!("-7"), json!(0), json!(-7), json!(1.5), json!(true)],
        ),
        ("flat", vec![json!("01HJKX")], vec![json!(" "), list]),
        ("old", vec![], vec![text, json!(null)]),
        ("gone", vec![], vec![number, json!(null)]),
    ]
}

#[tokio::test]
#[ignore = "slow"]
async fn every_wrong_value_is_refused_by_its_path_and_every_right_one_is_sent() {
    let t = TestGateway::start().await;
    let client = Dynamic::new(t.channel.clone());
    define(&client).await;
    let writes = || t.sandbox.requests().into_iter().filter(|sent| sent.method != "GET").count();
    let before = writes();
    let mut right = serde_json::Map::new();
    for (key, good, bad) in values() {
        right.extend(good.first().map(|value| (key.to_owned(), value.clone())));
        for (value, is_good) in good.iter().map(|value| (value, true)).chain(bad.iter().map(|value| (value, false))) {
            // Nobody has the name that is missing, so that what is right is refused for that alone.
            let request = json!({"users": [{"name": "A"}, {"name": "B", "user_fields": {key: value}}], "check_user_fields": true});
            let told = refused_of(&client, "BulkCreateUsers", &request, is_good).await;
            let wanted: &[String] = if is_good { &[] } else { &[format!("users[1].user_fields.{key}")] };
            assert_eq!(told, wanted, "{key} {value}");
        }
    }
    assert!(writes() > before);
    let held = writes();
    let wrong = json!({"seats": "x", "vip": true, "plan": "none", "gone": 1});
    let fields = |within: &str| ["gone", "plan", "seats"].map(|key| format!("{within}.user_fields.{key}")).to_vec();
    let user = |fields: &Value| json!({"name": "A", "email": "a@x.example", "user_fields": fields});
    for (rpc, request, within) in [
        ("CreateUser", json!({"user": user(&wrong)}), "user"),
        ("CreateOrUpdateUser", json!({"user": user(&wrong)}), "user"),
        ("UpdateUser", json!({"id": 7, "user": {"user_fields": wrong}}), "user"),
        ("BulkCreateOrUpdateUsers", json!({"users": [user(&wrong)]}), "users[0]"),
        ("BulkUpdateUsers", json!({"ids": [7], "user": {"user_fields": wrong}}), "user"),
        ("BulkUpdateUsers", json!({"users": [{"id": 7, "user": {"user_fields": wrong}}]}), "users[0].user"),
    ] {
        let mut request = request;
        request["check_user_fields"] = true.into();
        let mut told = refused_of(&client, rpc, &request, false).await;
        told.sort_unstable();
        assert_eq!(told, fields(within), "{rpc}");
    }
    assert_eq!(writes(), held, "nothing was sent");
    let id =
        ask(&client, "CreateUser", json!({"user": user(&Value::Object(right.clone())), "check_user_fields": true}))
            .await;
    let unchecked = json!({"id": id["user"]["id"], "user": {"user_fields": wrong}});
    ask(&client, "UpdateUser", unchecked).await;
}

/// Returns the fields that a call is refused for.
async fn refused_of(client: &Dynamic, rpc: &str, request: &Value, is_good: bool) -> Vec<String> {
    match client.call(rpc, &request.to_string()).await {
        Ok(_) => Vec::new(),
        Err(status) => {
            assert!(!is_good, "{rpc} {request}: {status}");
            let told = refused::<Vec<Value>>(Err(status));
            assert_eq!((told.code, told.reason.as_str()), (Code::InvalidArgument, "INVALID_FIELD"));
            told.fields
        }
    }
}

#[tokio::test]
#[ignore = "slow"]
async fn a_mask_decides_which_values_are_checked() {
    let t = TestGateway::start().await;
    let client = Dynamic::new(t.channel.clone());
    let user = t.sandbox.store().user_ids()[0];
    let set = json!({"user_fields": {"seats": "x", "vip": true}, "notes": "n"});
    let refused = async |mask: &str| {
        let request = json!({"id": user, "user": set, "update_mask": mask, "check_user_fields": true});
        refused_of(&client, "UpdateUser", &request, false).await
    };
    assert_eq!(refused("userFields").await, ["user.user_fields.seats"]);
    assert_eq!(refused("userFields.seats,userFields.gone").await, ["user.user_fields.seats", "user.user_fields.gone"]);
    assert_eq!(
        refused("userFields,userFields.gone,userFields.seats").await,
        ["user.user_fields.seats", "user.user_fields.gone"]
    );
    t.sandbox.reset_stats();
    assert_eq!(refused("userFields.vip,userFields.plan").await, [] as [&str; 0], "the plan is cleared");
    assert_eq!(refused("notes").await, [] as [&str; 0]);
    assert_eq!(t.sandbox.hits("/user_fields"), 0, "the definitions are kept");
}

#[tokio::test]
#[ignore = "slow"]
async fn a_row_of_a_stream_with_a_wrong_value_costs_itself_only() {
    let t = TestGateway::start().await;
    let client = Dynamic::new(t.channel.clone());
    let users: Vec<Value> = (0..150)
        .map(|at| json!({"name": format!("N{at}"), "external_id": format!("s{at}"), "user_fields": {"seats": if at == 120 { json!("x") } else { json!(at) }}}))
        .collect();
    let told = async |rpc: &str, request: Value| {
        json!(client.call(rpc, &request.to_string()).await.expect("a stream")).to_string()
    };
    for (rpc, right) in
        [("StreamBulkCreateUsers", "BULK_RESULT_CREATED"), ("StreamBulkCreateOrUpdateUsers", "BULK_RESULT_UPDATED")]
    {
        t.sandbox.reset_stats();
        let told = told(rpc, json!({"users": users, "check_user_fields": true})).await;
        assert_eq!(told.matches(right).count(), 149, "{told}");
        assert!(
            told.contains(r#""field":"user_fields.seats""#) && told.matches("BULK_RESULT_FAILED").count() == 1,
            "{told}"
        );
        assert!(t.sandbox.hits("/user_fields") <= 2, "{} reads", t.sandbox.hits("/user_fields"));
    }
    let updates = json!([{"external_id": "s1", "user": {"user_fields": {"plan": "no"}}}, {"external_id": "s2", "user": {"user_fields": {"plan": "gold"}}}]);
    let told = told("StreamBulkUpdateUsers", json!({"users": updates, "check_user_fields": true})).await;
    assert!(told.contains(r#""field":"user.user_fields.plan""#) && told.contains("BULK_RESULT_UPDATED"), "{told}");
    // What is wrong for all rows ends the stream.
    let all = json!({"external_ids": ["s1", "s2"], "user": {"user_fields": {"plan": "no"}}, "check_user_fields": true});
    let refused = refused(client.call("StreamBulkUpdateUsers", &all.to_string()).await);
    assert_eq!(refused.fields, ["user.user_fields.plan"]);
}

#[tokio::test]
async fn a_call_whose_definitions_cannot_be_read_fails_and_writes_nothing() {
    let t = TestGateway::start().await;
    let client = Dynamic::new(t.channel.clone());
    t.sandbox.fault(get("/user_fields"), Respond::with(403).forever());
    let user = json!({"name": "A", "user_fields": {"plan": "gold"}});
    let request = json!({"user": user, "check_user_fields": true}).to_string();
    assert_eq!(refused(client.call("CreateUser", &request).await).reason, "PERMISSION_DENIED");
    assert_eq!(t.sandbox.hits("/users"), 0);
    ask(&client, "CreateUser", json!({"user": user})).await;
    ask(&client, "CreateUser", json!({"user": {"name": "A"}, "check_user_fields": true})).await;
    assert_eq!(t.sandbox.hits("/user_fields"), 1, "without values there is nothing to read");
}

#[tokio::test(start_paused = true)]
async fn no_value_is_refused_by_definitions_that_are_old() {
    let sandbox = Sandbox::start(sandbox::Config { users: 10, ..sandbox::Config::default() }).await.expect("it starts");
    let (seam, other) =
        (Seam::new(&Config::default(), stand_in(&sandbox)), Seam::new(&Config::default(), stand_in(&sandbox)));
    let minute = Duration::from_mins(1);
    let (rpc, other) = (seam_of(&sandbox, &seam), seam_of(&sandbox, &other));
    let create = |key: &str| {
        let value = prost_types::Value { kind: Some(prost_types::value::Kind::BoolValue(true)) };
        let user_fields = Some(prost_types::Struct { fields: [(key.to_owned(), value)].into() });
        let user = UserInput { name: Some("A".to_owned()), user_fields, ..UserInput::default() };
        within(minute, CreateUserRequest { user: Some(user), check_user_fields: true })
    };
    rpc.list_user_fields(within(minute, ListUserFieldsRequest::default())).await.expect("a page");
    assert!(rpc.create_user(create("brand_new")).await.is_err(), "it is unknown");
    let hits = seam.hits();
    assert!(rpc.create_user(create("brand_new")).await.is_err(), "it was unknown just now");
    assert_eq!(seam.hits(), hits, "a caller in a hurry costs no requests");

    let new = zendesk_gateway::proto::UserFieldInput {
        key: Some("brand_new".to_owned()),
        title: Some("T".to_owned()),
        r#type: Some(zendesk_gateway::proto::UserFieldType::Checkbox.into()),
        ..Default::default()
    };
    let new = zendesk_gateway::proto::CreateUserFieldRequest { user_field: Some(new) };
    other.create_user_field(within(minute, new)).await.expect("it is made elsewhere");
    advance(Duration::from_secs(3)).await;
    rpc.create_user(create("vip")).await.expect("it is known");
    assert_eq!(seam.hits(), hits + 1, "what is right by older definitions is right");
    rpc.create_user(create("brand_new")).await.expect("it is known by now");
}

/// The gateway with a credential that the stand-in takes.
fn seam_of(sandbox: &Sandbox, seam: &Seam) -> zendesk_gateway::rpc::Rpc {
    let credential = &sandbox.config().credential;
    seam.signed(&format!("{}/token:{}", credential.email, credential.api_token))
}

#[tokio::test]
async fn what_cannot_be_read_of_definitions_refuses_nothing() {
    let sent = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let definitions = r#"{"user_fields":[{"id":1,"key":"odd_type","type":"hologram"},{"id":2,"key":["lost"],"type":"text"},
        {"id":3,"key":"odd_options","type":"dropdown","custom_field_options":[{"id":1,"value":"a"},{"id":2,"value":{}}]},
        {"id":4,"key":"no_pattern","type":"regexp","regexp_for_validation":null}]}"#;
    let counted = std::sync::Arc::clone(&sent);
    let seam = Seam::new(&Config::default(), move |call| {
        let is_write = call.rest.method == http::Method::POST;
        counted.fetch_add(usize::from(is_write), std::sync::atomic::Ordering::Relaxed);
        let answer = said(&call, if is_write { r#"{"user":{"id":7,"name":"A"}}"# } else { definitions });
        async move { answer }
    });
    for key in ["odd_type", "odd_options", "no_pattern", "unknown"] {
        let value = prost_types::Value { kind: Some(prost_types::value::Kind::StringValue("x".to_owned())) };
        let user_fields = Some(prost_types::Struct { fields: [(key.to_owned(), value)].into() });
        let user = UserInput { name: Some("A".to_owned()), user_fields, ..UserInput::default() };
        let request = CreateUserRequest { user: Some(user), check_user_fields: true };
        seam.rpc
            .create_user(within(Duration::from_mins(1), request))
            .await
            .unwrap_or_else(|status| panic!("{key}: {status}"));
    }
    assert_eq!(sent.load(std::sync::atomic::Ordering::Relaxed), 4);
}
