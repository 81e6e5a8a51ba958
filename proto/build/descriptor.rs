//! Questions to the contract's descriptor that more than one module asks. Writes nothing.

use std::collections::BTreeSet;

use prost_reflect::{
    DescriptorPool, DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, MethodDescriptor, ServiceDescriptor,
    Value,
};

pub const PACKAGE: &str = "zendesk.gateway.v1";
/// Fields by which a record or a list says what the gateway could not read of it.
pub const UNREADABLE_FIELDS: &str = "unreadable_fields";
pub const UNREADABLE_ROWS: &str = "unreadable_rows";
/// Field of a job's result that has what is no object.
pub const RAW: &str = "raw";
/// The field of a result that is true if it stands in place of all results.
pub const OF_ALL: &str = "of_all";

/// The contract's services.
pub fn services(pool: &DescriptorPool) -> impl Iterator<Item = ServiceDescriptor> {
    pool.services().filter(|service| service.package_name() == PACKAGE)
}

/// Every RPC, in the order of the proto files.
pub fn methods(pool: &DescriptorPool) -> Vec<MethodDescriptor> {
    services(pool).flat_map(|service| service.methods().collect::<Vec<_>>()).collect()
}

/// Returns a method's `idempotency_level`.
pub fn idempotency(method: &MethodDescriptor) -> Option<i32> {
    method.options().get_field_by_name("idempotency_level").and_then(|level| level.as_enum_number())
}

/// True if an RPC changes nothing.
pub fn reads(method: &MethodDescriptor) -> bool {
    idempotency(method) == Some(1)
}

/// Returns what a method's option says of its upstream. A stream that states nothing is the twin of a list, and asks what that asks:
/// `StreamUsers` what `ListUsers` does, `StreamSearchUsers` what `SearchUsers` does.
pub fn upstream(method: &MethodDescriptor) -> DynamicMessage {
    let stated = |method: &MethodDescriptor| {
        let upstream = extension(method.parent_pool(), &method.options(), "upstream");
        upstream.as_ref().and_then(Value::as_message).cloned()
    };
    let of_twin = || {
        let rows = method.name().strip_prefix("Stream")?;
        let is_twin = |other: &MethodDescriptor| other.name() == rows || other.name() == format!("List{rows}");
        stated(&method.parent_service().methods().find(is_twin)?)
    };
    let upstream = stated(method).or_else(of_twin);
    upstream.unwrap_or_else(|| panic!("{} has no (upstream) option", method.full_name()))
}

/// Returns the RPC that streams what an RPC lists: `StreamUsers` for `ListUsers`.
pub fn twin(list: &MethodDescriptor) -> Option<MethodDescriptor> {
    let name = format!("Stream{}", list.name().strip_prefix("List")?);
    list.parent_service().methods().find(|method| method.name() == name)
}

/// True if an RPC answers a page of rows, or a stream of them.
pub fn lists(method: &MethodDescriptor) -> bool {
    method.input().get_field_by_name("page_size").is_some() && rows(method).is_some()
}

/// Returns the field of an RPC's reply that holds its rows.
pub fn rows(method: &MethodDescriptor) -> Option<FieldDescriptor> {
    method.output().get_field(1).filter(|field| field.is_list() && field.kind().as_message().is_some())
}

/// Returns the type of the rows of an RPC that lists.
pub fn row(method: &MethodDescriptor) -> MessageDescriptor {
    let row = rows(method).and_then(|rows| rows.kind().as_message().cloned());
    row.expect("a list has rows")
}

/// True if a field of a reply to a read holds records that come beside those in field 1.
pub fn is_sideload(field: &FieldDescriptor) -> bool {
    field.number() != 1 && field.is_list() && field.kind().as_message().is_some()
}

/// Returns the value of one of the options that `options.proto` adds.
pub fn extension(pool: &DescriptorPool, options: &DynamicMessage, name: &str) -> Option<Value> {
    let extension = pool.get_extension_by_name(&format!("{PACKAGE}.{name}"))?;
    options.has_extension(&extension).then(|| options.get_extension(&extension).into_owned())
}

/// The messages whose fields are sent to Zendesk: `…Input`.
pub fn inputs(pool: &DescriptorPool) -> Vec<MessageDescriptor> {
    let ours = pool.all_messages().filter(|message| message.package_name() == PACKAGE);
    ours.filter(|message| message.name().ends_with("Input")).collect()
}

/// The replies of all RPCs that answer one message.
pub fn replies(pool: &DescriptorPool) -> Vec<MessageDescriptor> {
    methods(pool).iter().filter(|method| !method.is_server_streaming()).map(MethodDescriptor::output).collect()
}

/// The messages of this package that are reachable from `roots`, including the roots.
pub fn reachable(roots: impl IntoIterator<Item = MessageDescriptor>) -> Vec<MessageDescriptor> {
    let mut queue: Vec<MessageDescriptor> = roots.into_iter().collect();
    let mut seen = BTreeSet::new();
    let mut found = Vec::new();
    while let Some(message) = queue.pop() {
        if message.package_name() == PACKAGE && seen.insert(message.full_name().to_owned()) {
            queue.extend(message.fields().filter_map(|field| field.kind().as_message().cloned()));
            found.push(message);
        }
    }
    found
}

/// True if a field holds ids of records. A job's result may give its item's position as "id".
pub fn names_records(field: &FieldDescriptor) -> bool {
    let name = field.name();
    let is_id = name == "id" || name.ends_with("_id") || name.ends_with("_ids");
    is_id && !(name == "id" && field.parent_message().name() == "JobResult")
}

/// True if messages of this type always have an id, and no field to tell that they lack it: the record around them does.
pub fn is_identified(message: &MessageDescriptor) -> bool {
    let has_id = message.get_field_by_name("id").is_some_and(|id| id.kind() == Kind::Int64 && !id.supports_presence());
    has_id && message.get_field_by_name(UNREADABLE_FIELDS).is_none()
}

/// `GetUser` as `get_user`.
pub fn snake(name: &str) -> String {
    let mut text = String::new();
    for char in name.chars() {
        if char.is_ascii_uppercase() && !text.is_empty() {
            text.push('_');
        }
        text.push(char.to_ascii_lowercase());
    }
    text
}
