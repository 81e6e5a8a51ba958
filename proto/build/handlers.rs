//! `handlers.rs`: a method of `rpc::Rpc` for each RPC, and the choice between them. Each calls the function for its RPC's shape in
//! the contract, or a method of the gateway, so that `src/rpc.rs` has one function for each shape and none for a single RPC.

use prost_reflect::{DescriptorPool, MethodDescriptor};

use crate::descriptor::{lists, methods, reads, snake};

/// RPCs that are more than one plain read, list, stream, write or bulk call: the gateway has a method for each, named after it.
const COMPOSED: [&str; 16] = [
    "GetUser",
    "BatchGetUsers",
    "GetOrganization",
    "BatchGetOrganizations",
    "LogoutUsers",
    "GetGroupWithAgents",
    "CreateGroupWithAgents",
    "UpdateGroupWithAgents",
    "SetDefaultMembership",
    "SetDefaultOrganizationMembership",
    "SetUserGroups",
    "MakeUserIdentityPrimary",
    "ChangeUserEmail",
    "StreamChangedUsers",
    "BatchGetJobs",
    "WatchJobs",
];

/// The function that an RPC's handler calls.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Handler {
    /// The gateway's method that is named after the RPC.
    Composed,
    /// One request that reads something.
    Read,
    /// A page of rows.
    List,
    /// All pages of a list.
    Stream,
    /// One request that changes something.
    Write,
    /// The items of one request, in jobs.
    Bulk,
    /// The items of a stream of requests, in jobs.
    BulkStream,
}

/// Returns the function for an RPC: by its name if it is composed, else by its shape in the contract.
pub fn handler(method: &MethodDescriptor) -> Handler {
    match () {
        () if COMPOSED.contains(&method.name()) => Handler::Composed,
        () if method.is_client_streaming() => Handler::BulkStream,
        () if method.is_server_streaming() => Handler::Stream,
        () if reads(method) && lists(method) => Handler::List,
        () if reads(method) => Handler::Read,
        () if method.output().get_field_by_name("outcomes").is_some() => Handler::Bulk,
        () => Handler::Write,
    }
}

/// Writes the handlers of all services.
pub fn handlers(pool: &DescriptorPool) -> String {
    let methods = methods(pool);
    let unknown = COMPOSED.iter().find(|name| methods.iter().all(|method| method.name() != **name));
    assert_eq!(unknown, None, "the contract has no such RPC");
    let mut code =
        "#[expect(clippy::unused_async, clippy::too_many_lines, reason = \"one line for each RPC, all called alike\")]\nimpl Rpc {\n".to_owned();
    for method in &methods {
        let message = format!("crate::proto::{}", method.input().name());
        let message = if method.is_client_streaming() { "Streaming<Bytes>".to_owned() } else { message };
        line!(
            code,
            "    /// Handles a call of `{}`.\n    pub async fn {}(&self, r: Request<{message}>) -> {}<crate::proto::{}> {{\n        {}\n    }}",
            method.name(),
            snake(method.name()),
            if method.is_server_streaming() { "Streamed" } else { "Reply" },
            method.output().name(),
            body(method)
        );
    }
    for (name, client, server, takes, gives) in [
        ("unary", false, false, "Bytes", "Bytes"),
        ("streaming", false, true, "Bytes", "BoxStream"),
        ("both_streaming", true, true, "Streaming<Bytes>", "BoxStream"),
    ] {
        let into_bytes = if server { "Replies::into_bytes" } else { "Encoded::into_bytes" };
        line!(
            code,
            "    /// Calls the handler of the RPC that has this place in the contract.\n    \
             fn {name}(self: Arc<Self>, place: usize, r: Request<{takes}>) -> Handling<{gives}> {{\n        match place {{"
        );
        for (place, method) in methods.iter().enumerate() {
            if (method.is_client_streaming(), method.is_server_streaming()) == (client, server) {
                let (handler, r) = (snake(method.name()), if client { "r" } else { "decoded(r)?" });
                line!(
                    code,
                    "            {place} => Box::pin(async move {{ Ok(self.{handler}({r}).await?.map({into_bytes})) }}),"
                );
            }
        }
        code.push_str(
            "            _ => Box::pin(async { Err(Status::unimplemented(\"no RPC of this kind\")) }),\n        }\n    }\n",
        );
    }
    let client_only = |method: &MethodDescriptor| method.is_client_streaming() && !method.is_server_streaming();
    assert!(!methods.iter().any(client_only), "a stream of requests is answered by a stream");
    code + "}\n"
}

/// Returns the body of one handler.
fn body(method: &MethodDescriptor) -> String {
    let name = snake(method.name());
    match handler(method) {
        Handler::Composed if method.is_server_streaming() => format!(
            "let (context, message) = self.open(r)?;\n        let (ledger, deadline) = (context.ledger.clone(), context.deadline);\n        \
             Ok(self.streamed(self.gateway.{name}(context, message)?, ledger, deadline))"
        ),
        Handler::Composed => format!(
            "let (context, message) = self.open(r)?;\n        \
             self.close(&context, self.gateway.{name}(&context, message).await)"
        ),
        Handler::Read => "self.read(r).await".to_owned(),
        Handler::List => "self.list(r).await".to_owned(),
        Handler::Stream => "self.stream(r)".to_owned(),
        Handler::Write => "self.write(r).await".to_owned(),
        Handler::Bulk => "self.bulk(r).await".to_owned(),
        Handler::BulkStream => format!("self.bulk_stream::<crate::proto::{}>(r).await", method.input().name()),
    }
}
