//! What is sent to Zendesk: enums by their words, and every body and query as Zendesk's specification wants them.

mod bodies;
mod schema;
mod values;
mod vendor;

use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, ReflectMessage as _, Value};
use serde_json::json;
use tonic::Code;
use zendesk_gateway::contract::RPCS;

use crate::support::{Dynamic, TestGateway, refused};
use values::is_ours;

/// Calls an RPC and returns the body that was sent.
async fn body(t: &TestGateway, rpc: &str, request: &str) -> serde_json::Value {
    t.sandbox.reset_stats();
    // Whether Zendesk likes the values is not asked here.
    Dynamic::new(t.channel.clone()).call(rpc, request).await.ok();
    let requests = t.sandbox.requests();
    let sent = requests.iter().find(|sent| sent.method != "GET").unwrap_or_else(|| panic!("{rpc} {request}: not sent"));
    serde_json::from_slice(&sent.body).expect("JSON")
}

#[tokio::test]
async fn identities_are_sent_by_their_words() {
    let t = TestGateway::start().await;
    let user = r#"{"name": "R", "external_id": "r", "identities": [
        {"type": "IDENTITY_TYPE_EMAIL", "value": "r2@example.com", "verification_method": "VERIFICATION_METHOD_FULL", "primary": false},
        {"type": "IDENTITY_TYPE_PHONE_NUMBER", "value": "+15551234567"}]}"#;
    let wanted = json!({"name": "R", "external_id": "r", "identities": [
        {"type": "email", "value": "r2@example.com", "verification_method": "full", "primary": false},
        {"type": "phone_number", "value": "+15551234567"}]});
    for rpc in ["CreateUser", "CreateOrUpdateUser"] {
        assert_eq!(body(&t, rpc, &format!(r#"{{"user": {user}}}"#)).await, json!({"user": wanted}), "{rpc}");
    }
    for rpc in ["BulkCreateUsers", "BulkCreateOrUpdateUsers"] {
        assert_eq!(body(&t, rpc, &format!(r#"{{"users": [{user}]}}"#)).await, json!({"users": [wanted]}), "{rpc}");
    }
}

/// The ways from a message to each enum field in it, through messages and lists.
fn ways_to_enums(message: &MessageDescriptor) -> Vec<Vec<FieldDescriptor>> {
    let mut ways = Vec::new();
    for field in message.fields() {
        match field.kind() {
            Kind::Enum(_) => ways.push(vec![field]),
            Kind::Message(inner) if is_ours(&inner) => {
                let further = ways_to_enums(&inner);
                ways.extend(further.into_iter().map(|way| [vec![field.clone()], way].concat()));
            }
            _ => {}
        }
    }
    ways
}

/// A message with a number in the enum at the end of the way, and what must be beside it.
fn with_number(message: &MessageDescriptor, way: &[FieldDescriptor], number: i32) -> DynamicMessage {
    let mut filled = DynamicMessage::new(message.clone());
    if message.name() == "UserIdentityInput" {
        filled.set_field_by_name("type", Value::EnumNumber(1));
        filled.set_field_by_name("value", Value::String("v".to_owned()));
    }
    let (field, further) = way.split_first().expect("a way has an end");
    let value = match field.kind() {
        Kind::Message(inner) => Value::Message(with_number(&inner, further, number)),
        _ => Value::EnumNumber(number),
    };
    filled.set_field(field, if field.is_list() { Value::List(vec![value]) } else { value });
    filled
}

/// What else a request needs for its enums to be looked at.
fn needed(request: &mut DynamicMessage) {
    let descriptor = request.descriptor();
    let text = |text: &str| Value::String(text.to_owned());
    for (name, value) in
        [("id", Value::I64(7)), ("user_id", Value::I64(7)), ("name", text("n")), ("email", text("a@b.example"))]
    {
        if let Some(field) = descriptor.get_field_by_name(name) {
            request.set_field(&field, value);
        }
    }
    // One change for many users, or a change for each of them.
    if let (Some(ids), false) = (descriptor.get_field_by_name("ids"), request.has_field_by_name("users")) {
        request.set_field(&ids, Value::List(vec![Value::I64(7)]));
    }
    if let Some(mut updates) = request.get_field_by_name("users").map(std::borrow::Cow::into_owned)
        && let Some(update) = updates.as_list_mut().and_then(|list| list.first_mut()).and_then(Value::as_message_mut)
        && update.descriptor().name() == "UserUpdate"
    {
        update.set_field_by_name("id", Value::I64(7));
        request.set_field_by_name("users", updates);
    }
}

#[tokio::test]
#[ignore = "slow"]
async fn no_enum_number_without_a_word_is_sent() {
    let t = TestGateway::start().await;
    let client = Dynamic::new(t.channel.clone());
    let mut seen = 0;
    for rpc in RPCS {
        let request = client.method(rpc.method).input();
        for way in ways_to_enums(&request) {
            let field = way.last().expect("a way has an end");
            // A number that no value has, and the one that says nothing, where it does not stand for absence.
            let absent_is_zero = !field.supports_presence() && !field.is_list();
            let is_input = field.parent_message().name() != request.name();
            for number in if absent_is_zero && !is_input { vec![99, -1] } else { vec![99, -1, 0] } {
                let mut message = with_number(&request, &way, number);
                needed(&mut message);
                let told = client.send(rpc.method, &message, &[] as &[(&str, &str)]).await;
                let names: Vec<&str> = way.iter().map(FieldDescriptor::name).collect();
                let (field, why) = match &told {
                    // In a stream it costs its row.
                    Ok(replies) if rpc.client_streaming => {
                        let outcome = &replies[0]["event"]["outcomes"]["outcomes"][0];
                        let text = |key: &str| outcome[key].as_str().unwrap_or_default().to_owned();
                        (format!("users.{}", text("field")), text("details"))
                    }
                    _ => {
                        let refused = refused(told);
                        assert_eq!(refused.code, Code::InvalidArgument, "{message}");
                        (refused.fields.first().cloned().unwrap_or_default(), refused.message)
                    }
                };
                assert_eq!(field.replace("[0]", ""), names.join("."), "{message}");
                assert!(why.contains(&format!("is {number}, and must be one of ")), "{why}");
                seen += 1;
            }
        }
    }
    assert_eq!(t.sandbox.total_hits(), 0, "nothing may reach the upstream");
    assert!(seen >= 100, "{seen}");
}
