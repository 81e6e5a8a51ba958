//! `handlers.rs`: tonic's traits for `rpc::Rpc`. Each handler calls the function for its RPC's shape in the contract, so that
//! `src/rpc.rs` has one function for each shape and none for each RPC.

use std::collections::BTreeSet;

use prost_reflect::{DescriptorPool, MethodDescriptor};

use crate::descriptor::{idempotency, services, snake};

/// RPCs that are more than one plain read, list, stream, write or bulk call: the gateway has a method for each, named after it.
const COMPOSED: [&str; 10] = [
    "GetUser",
    "BatchGetUsers",
    "LogoutUsers",
    "GetGroupWithAgents",
    "CreateGroupWithAgents",
    "UpdateGroupWithAgents",
    "SetDefaultMembership",
    "SetUserGroups",
    "BatchGetJobs",
    "WatchJobs",
];

/// Writes the handlers of all services.
pub fn handlers(pool: &DescriptorPool) -> String {
    let mut code = String::new();
    let mut composed: BTreeSet<&str> = COMPOSED.into();
    for service in services(pool) {
        let name = service.name();
        let module = format!("crate::proto::{}_server", snake(name));
        line!(code, "#[tonic::async_trait]\nimpl {module}::{name} for Rpc {{");
        for method in service.methods() {
            let is_composed = composed.remove(method.name());
            let body = handler(&method, is_composed);
            let streams = method.is_server_streaming();
            line!(
                code,
                "    async fn {}(&self, r: Request<crate::proto::{}>) -> {}<crate::proto::{}> {{\n        {body}\n    }}",
                snake(method.name()),
                method.input().name(),
                if streams { "Streamed" } else { "Reply" },
                method.output().name(),
            );
        }
        code.push_str("}\n");
    }
    assert!(composed.is_empty(), "the contract has no {composed:?}");
    code
}

/// Returns the body of one handler.
fn handler(method: &MethodDescriptor, is_composed: bool) -> String {
    let name = snake(method.name());
    let (output, streams) = (method.output(), method.is_server_streaming());
    let reads = idempotency(method) == Some(1);
    let lists = output.get_field(1).is_some_and(|field| field.is_list());
    match () {
        () if is_composed && streams => format!(
            "let (context, message) = self.open(r)?;\n        let deadline = context.deadline;\n        \
             Ok(streamed(self.gateway.{name}(context, message)?, deadline))"
        ),
        () if is_composed => format!(
            "let (context, message) = self.open(r)?;\n        \
             close(&context, self.gateway.{name}(&context, message).await)"
        ),
        () if streams => "self.stream(r)".to_owned(),
        () if reads && lists => "self.list(r).await".to_owned(),
        () if reads => "self.read(r).await".to_owned(),
        () if output.get_field_by_name("outcomes").is_some() => "self.bulk(r).await".to_owned(),
        () => "self.write(r).await".to_owned(),
    }
}
