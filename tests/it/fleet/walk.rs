//! Every RPC, through a follower and without a fleet: the same answers.

use http::HeaderMap;
use prost_reflect::{DynamicMessage, Kind, ReflectMessage as _, Value};
use serde_json::Value as Json;
use tonic::Status;
use zendesk_gateway::contract::RPCS;
use zendesk_gateway::sandbox::Sandbox;

use super::support::Fleet;
use crate::support::{Dynamic, TestGateway, account};

/// What does not depend on who answers, and when.
fn settled(value: &mut Json) {
    match value {
        Json::Object(fields) => {
            let varies = |name: &str| {
                name.ends_with("_at") || name.contains("job") || ["url", "authenticity_token"].contains(&name)
            };
            fields.retain(|name, _| !varies(name));
            fields.values_mut().for_each(settled);
        }
        Json::Array(items) => items.iter_mut().for_each(settled),
        _ => {}
    }
}

/// An answer that can be compared.
type Answer = Result<Vec<Json>, Box<(tonic::Code, String, HeaderMap)>>;

fn comparable(outcome: Result<Vec<Json>, Status>) -> Answer {
    outcome
        .map(|mut replies| {
            replies.iter_mut().for_each(settled);
            replies
        })
        .map_err(|status| {
            let mut metadata = status.metadata().clone().into_headers();
            for name in ["x-request-id", "date", "x-served-by"] {
                metadata.remove(name);
            }
            Box::new((status.code(), status.message().to_owned(), metadata))
        })
}

/// A request about records that are there: by the names of its fields.
fn about(client: &Dynamic, rpc: &str, sandbox: &Sandbox) -> DynamicMessage {
    let mut message = DynamicMessage::new(client.method(rpc).input());
    let memberships = sandbox.store().memberships();
    let membership = |field: &str| memberships[0][field].as_i64().expect("an id");
    let service = client.method(rpc).parent_service().name().to_owned();
    let id = match service.as_str() {
        "GroupService" => membership("group_id"),
        "MembershipService" => membership("id"),
        _ => membership("user_id"),
    };
    for field in message.descriptor().fields() {
        let value = match (field.kind(), field.name(), field.is_list()) {
            (Kind::Int64, "id", false) => Value::I64(id),
            (Kind::Int64, "ids", true) => Value::List(vec![Value::I64(id)]),
            (Kind::Int64, "user_id", false) => Value::I64(membership("user_id")),
            (Kind::Int64, "group_id", false) => Value::I64(membership("group_id")),
            (Kind::String, "name" | "query", false) => Value::String("Support".to_owned()),
            (Kind::String, "external_id", false) => Value::String("e-1".to_owned()),
            (Kind::Message(inner), "user" | "group", false) => {
                let mut inner = DynamicMessage::new(inner);
                inner.set_field_by_name("name", Value::String("Walked".to_owned()));
                Value::Message(inner)
            }
            _ => continue,
        };
        message.set_field(&field, value);
    }
    message
}

#[tokio::test]
#[ignore = "slow"]
async fn every_rpc_is_answered_through_a_follower_as_without_a_fleet() {
    let (fleet, alone) = (Fleet::start(1).await, TestGateway::with(account()).await);
    let (through, without) = (Dynamic::new(fleet.followers[0].channel.clone()), Dynamic::new(alone.channel.clone()));
    let mut answered = 0;
    for rpc in RPCS {
        let empty = DynamicMessage::new(through.method(rpc.method).input());
        for (what, message) in [("{}", empty), ("of records", about(&through, rpc.method, &fleet.sandbox))] {
            let none = &[] as &[(&str, &str)];
            let one = comparable(through.send(rpc.method, &message, none).await);
            let other = comparable(without.send(rpc.method, &message, none).await);
            answered += usize::from(one.is_ok());
            assert_eq!(one, other, "{} {what}", rpc.method);
        }
    }
    assert!(answered > 20, "{answered} were answered with more than an error");
    // How often jobs are asked for depends on the time that they take.
    let asked = |sandbox: &Sandbox| {
        let requests = sandbox.requests().into_iter().filter(|sent| !sent.path.contains("/job_statuses"));
        requests.map(|sent| (sent.method, sent.path, sent.query)).collect::<Vec<_>>()
    };
    assert_eq!(asked(&fleet.sandbox), asked(&alone.sandbox), "the same requests in the same order");
    fleet.stop().await;
    alone.stop().await;
}
