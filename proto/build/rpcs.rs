//! The table of RPCs for `contract.rs`: each RPC with what its options say, and the RPC and the reply of each request message.

use prost_reflect::{DescriptorPool, MethodDescriptor};

use crate::descriptor::{PACKAGE, idempotency, methods, reachable, upstream};
use crate::endpoints::{Endpoint, endpoint, endpoints, stated};
use crate::weights::shape_name;

/// Writes the table.
pub fn table(pool: &DescriptorPool) -> String {
    let endpoints = endpoints(pool);
    let mut code =
        "/// Every RPC of the contract, in the order of the proto files.\npub static RPCS: &[Rpc] = &[\n".to_owned();
    let mut links = String::new();
    for (index, method) in methods(pool).iter().enumerate() {
        line!(code, "    {},", rpc(method, &endpoints));
        let (request, reply) = (method.input(), method.output());
        // A request that writes a user can make it an agent, and one that writes a field can take its options away, so the values in
        // a request can raise the risk.
        let raises = |name: &str| ["UserInput", "UserFieldInput"].contains(&name);
        let can_raise = reachable([request.clone()]).iter().any(|message| raises(message.name()));
        let risk = if can_raise { "    fn risk(&self) -> Risk { risk::Values::risk(self) }\n" } else { "" };
        line!(
            links,
            "impl Request for crate::proto::{} {{\n    type Reply = crate::proto::{};\n    \
             fn rpc() -> &'static Rpc {{ &RPCS[{index}] }}\n{risk}}}",
            request.name(),
            reply.name()
        );
    }
    code.push_str("];\n");
    code + &links
}

/// Returns the constant of one RPC.
fn rpc(method: &MethodDescriptor, known: &[Endpoint]) -> String {
    let upstream = upstream(method);
    let endpoints = stated(method);
    let endpoints = endpoints.iter().map(|(verb, path)| endpoint(known, verb, path).constant(path));
    let endpoints = endpoints.collect::<Vec<_>>().join(", ");
    let risk = upstream.get_field_by_name("risk").and_then(|risk| risk.as_enum_number());
    let risk = match risk {
        Some(1) => "Read",
        Some(2) => "Write",
        Some(3) => "Admin",
        Some(4) => "Destructive",
        _ => panic!("{} states no risk", method.full_name()),
    };
    let idempotency = match idempotency(method) {
        Some(1) => "NoSideEffects",
        Some(2) => "Idempotent",
        _ => "Unsafe",
    };
    format!(
        "Rpc {{ service: {service:?}, method: {method:?}, path: \"/{PACKAGE}.{service}/{method}\", \
         idempotency: Idempotency::{idempotency}, risk: Risk::{risk}, streaming: {streaming}, \
         client_streaming: {client_streaming}, request: &{request}, endpoints: &[{endpoints}] }}",
        service = method.parent_service().name(),
        method = method.name(),
        streaming = method.is_server_streaming(),
        client_streaming = method.is_client_streaming(),
        request = shape_name(&method.input()),
    )
}
