//! Turns `proto/` into Rust: messages with prost, services with tonic-build, and, from the contract's own options, the table of
//! RPCs and the JSON mapping. So no system `protoc` is needed, and no fact of the contract is written twice.

use std::collections::BTreeSet;
use std::env;
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use prost_reflect::{
    Cardinality, DescriptorPool, DynamicMessage, EnumDescriptor, FieldDescriptor, Kind, MessageDescriptor,
    MethodDescriptor, Value,
};
use tonic_build::CodeGenBuilder;

const PACKAGE: &str = "zendesk.gateway.v1";
/// Fields by which a record or a list says what the gateway could not read of it.
const UNREADABLE_FIELDS: &str = "unreadable_fields";
const UNREADABLE_ROWS: &str = "unreadable_rows";
/// Field of a job's result that has what is no object.
const RAW: &str = "raw";

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=proto");
    let mut files: Vec<PathBuf> = fs::read_dir("proto/zendesk/gateway/v1")?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()?;
    files.retain(|path| path.extension().is_some_and(|extension| extension == "proto"));
    files.sort();

    let mut compiler = protox::Compiler::new(["proto"])?;
    compiler.include_imports(true).include_source_info(true).open_files(&files)?;
    // The encoded form keeps our custom options; the decoded one would drop them.
    let encoded = compiler.encode_file_descriptor_set();
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("descriptors.bin"), &encoded)?;
    let pool = DescriptorPool::decode(encoded.as_slice())?;

    let mut config = prost_build::Config::new();
    config.service_generator(Box::new(Services));
    config.bytes([".zendesk.gateway.v1.UploadUserPhotoRequest"]);
    derive_json(&pool, &mut config);
    config.compile_fds(compiler.file_descriptor_set())?;

    fs::write(out.join("contract.rs"), contract(&pool))?;
    fs::write(out.join("endpoint_of.rs"), endpoint_of(&pool))?;
    fs::write(out.join("handlers.rs"), handlers(&pool))?;
    Ok(())
}

// ---- services -------------------------------------------------------------------------------------------------------

/// Generates tonic services whose replies are already encoded messages, so that a cached answer is sent as it is stored.
struct Services;

impl prost_build::ServiceGenerator for Services {
    fn generate(&mut self, service: prost_build::Service, buf: &mut String) {
        let mut builder = CodeGenBuilder::new();
        builder.emit_package(true).generate_default_stubs(true);
        let server = builder.generate_server(&Side::of(&service, "crate::codec::EncodedCodec", true), "super");
        let client = builder.generate_client(&Side::of(&service, "tonic_prost::ProstCodec", false), "super");
        write!(buf, "{server}\n{client}").expect("writing to a string does not fail");
    }
}

/// One side (server or client) of a service, in the form that tonic-build takes.
struct Side {
    service: prost_build::Service,
    methods: Vec<Method>,
}

struct Method {
    inner: prost_build::Method,
    codec: &'static str,
    encoded_reply: bool,
}

impl Side {
    fn of(service: &prost_build::Service, codec: &'static str, encoded_reply: bool) -> Self {
        let methods = service.methods.iter().cloned();
        Self {
            service: service.clone(),
            methods: methods.map(|method| Method { inner: method, codec, encoded_reply }).collect(),
        }
    }
}

impl tonic_build::Service for Side {
    type Comment = String;
    type Method = Method;

    fn name(&self) -> &str {
        &self.service.name
    }
    fn package(&self) -> &str {
        &self.service.package
    }
    fn identifier(&self) -> &str {
        &self.service.proto_name
    }
    fn methods(&self) -> &[Method] {
        &self.methods
    }
    fn comment(&self) -> &[String] {
        &self.service.comments.leading
    }
}

impl tonic_build::Method for Method {
    type Comment = String;

    fn name(&self) -> &str {
        &self.inner.name
    }
    fn identifier(&self) -> &str {
        &self.inner.proto_name
    }
    fn codec_path(&self) -> &str {
        self.codec
    }
    fn client_streaming(&self) -> bool {
        self.inner.client_streaming
    }
    fn server_streaming(&self) -> bool {
        self.inner.server_streaming
    }
    fn comment(&self) -> &[String] {
        &self.inner.comments.leading
    }
    fn request_response_name(
        &self,
        proto_path: &str,
        _compile_well_known_types: bool,
    ) -> (proc_macro2::TokenStream, proc_macro2::TokenStream) {
        let path = |name: &str| format!("{proto_path}::{name}").parse().expect("prost names are Rust paths");
        let request: proc_macro2::TokenStream = path(&self.inner.input_type);
        let reply: proc_macro2::TokenStream = path(&self.inner.output_type);
        if self.encoded_reply { (request, quote::quote!(crate::codec::Encoded<#reply>)) } else { (request, reply) }
    }
}

// ---- handlers -------------------------------------------------------------------------------------------------------

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

/// `handlers.rs`: tonic's traits for `rpc::Rpc`. Each handler calls the function for its RPC's shape in the contract.
fn handlers(pool: &DescriptorPool) -> String {
    let mut code = String::new();
    let mut composed: BTreeSet<&str> = COMPOSED.into();
    for service in pool.services().filter(|service| service.package_name() == PACKAGE) {
        let name = service.name();
        let module = format!("crate::proto::{}_server", snake(name));
        writeln!(code, "#[tonic::async_trait]\nimpl {module}::{name} for Rpc {{")
            .expect("writing to a string does not fail");
        for method in service.methods() {
            let is_composed = composed.remove(method.name());
            let body = handler(&method, is_composed);
            let streams = method.is_server_streaming();
            let message = format!("crate::proto::{}", method.input().name());
            let messages = if method.is_client_streaming() { format!("Streaming<{message}>") } else { message };
            writeln!(
                code,
                "    async fn {}(&self, r: Request<{messages}>) -> {}<crate::proto::{}> {{\n        {body}\n    }}",
                snake(method.name()),
                if streams { "Streamed" } else { "Reply" },
                method.output().name(),
            )
            .expect("writing to a string does not fail");
        }
        code.push_str("}\n");
    }
    assert!(composed.is_empty(), "the contract has no {composed:?}");
    code
}

fn handler(method: &MethodDescriptor, is_composed: bool) -> String {
    let name = snake(method.name());
    let (output, streams) = (method.output(), method.is_server_streaming());
    let reads =
        method.options().get_field_by_name("idempotency_level").is_some_and(|level| level.as_enum_number() == Some(1));
    let lists = output.get_field(1).is_some_and(|field| field.is_list());
    match () {
        () if is_composed && streams => format!(
            "let (context, message) = self.open(r)?;\n        let deadline = context.deadline;\n        Ok(streamed(self.gateway.{name}(context, message)?, deadline))"
        ),
        () if is_composed => format!(
            "let (context, message) = self.open(r)?;\n        close(&context, self.gateway.{name}(&context, message).await)"
        ),
        () if method.is_client_streaming() => "self.bulk_stream(r).await".to_owned(),
        () if streams => "self.stream(r)".to_owned(),
        () if reads && lists => "self.list(r).await".to_owned(),
        () if reads => "self.read(r).await".to_owned(),
        () if output.get_field_by_name("outcomes").is_some() => "self.bulk(r).await".to_owned(),
        () => "self.write(r).await".to_owned(),
    }
}

/// `GetUser` as `get_user`.
fn snake(name: &str) -> String {
    let mut text = String::new();
    for char in name.chars() {
        if char.is_ascii_uppercase() && !text.is_empty() {
            text.push('_');
        }
        text.push(char.to_ascii_lowercase());
    }
    text
}

// ---- the contract table ---------------------------------------------------------------------------------------------

/// `contract.rs`: every RPC with its options, the RPC of each request message, the wire words of the enums, and the fields of
/// the inputs.
fn contract(pool: &DescriptorPool) -> String {
    let endpoints = endpoints(pool);
    let mut code = classes(pool);
    writeln!(
        code,
        "/// Every endpoint of the contract once.\npub static ENDPOINTS: [Endpoint; {}] = [",
        endpoints.len()
    )
    .expect("writing to a string does not fail");
    for endpoint in &endpoints {
        writeln!(code, "    {},", endpoint.constant(&endpoint.path)).expect("writing to a string does not fail");
    }
    code.push_str(
        "];\n/// Every RPC of the contract, in the order of the proto files.\npub static RPCS: &[Rpc] = &[\n",
    );
    let mut links = String::new();
    let methods = pool.services().filter(|service| service.package_name() == PACKAGE);
    for (index, method) in methods.flat_map(|service| service.methods().collect::<Vec<_>>()).enumerate() {
        rpc(&method, &endpoints, &mut code);
        let (request, reply) = (method.input(), method.output());
        // A request that writes a user can make it an agent, so its values can raise its risk.
        let writes_users = reachable([request.clone()]).iter().any(|message| message.name() == "UserInput");
        let risk = if writes_users { "    fn risk(&self) -> Risk { risk::Values::risk(self) }\n" } else { "" };
        writeln!(
            links,
            "impl Request for crate::proto::{} {{\n    type Reply = crate::proto::{};\n    fn rpc() -> &'static Rpc {{ &RPCS[{index}] }}\n{risk}}}",
            request.name(),
            reply.name()
        )
        .expect("writing to a string does not fail");
    }
    code.push_str("];\n");
    code.push_str(&links);
    shapes(pool, &mut code);
    for enumeration in pool.all_enums().filter(|enumeration| enumeration.package_name() == PACKAGE) {
        words(pool, &enumeration, &mut code);
    }
    for message in reachable(replies(pool)).iter().filter(|message| is_identified(message)) {
        writeln!(
            code,
            "impl crate::json::Identified for crate::proto::{} {{\n    fn id(&self) -> i64 {{ self.id }}\n}}",
            message.name()
        )
        .expect("writing to a string does not fail");
    }
    for message in inputs(pool) {
        fields(&message, &mut code);
    }
    for message in reachable(inputs(pool)) {
        enum_fields(&message, &mut code);
    }
    code
}

/// An endpoint of the contract.
struct Endpoint {
    verb: &'static str,
    path: String,
    /// Its place among all endpoints, and that of its class among all classes.
    number: usize,
    class: i32,
}

impl Endpoint {
    /// Whether a path as another RPC states it is this one's: it may name the parameters after fields of its own.
    fn is(&self, verb: &str, path: &str) -> bool {
        let segments = |path: &str| -> Vec<String> {
            path.split('/').map(|segment| if segment.starts_with('{') { "{}" } else { segment }.to_owned()).collect()
        };
        self.verb == verb && segments(&self.path) == segments(path)
    }

    fn constant(&self, path: &str) -> String {
        let Self { verb, number, class, .. } = self;
        let verb = verb.to_uppercase();
        format!("Endpoint {{ verb: {verb:?}, path: {path:?}, class: Class::ALL[{}], number: {number} }}", class - 1)
    }
}

/// Returns what a method's option says of its upstream.
fn upstream(method: &MethodDescriptor) -> DynamicMessage {
    let upstream = extension(&method.parent_pool().clone(), &method.options(), "upstream");
    let upstream = upstream.as_ref().and_then(Value::as_message).cloned();
    upstream.unwrap_or_else(|| panic!("{} has no (upstream) option", method.full_name()))
}

/// Returns the verbs and paths of a method's endpoints.
fn stated(method: &MethodDescriptor) -> Vec<(&'static str, String)> {
    let upstream = upstream(method);
    let mut stated = Vec::new();
    for verb in ["get", "post", "put", "delete"] {
        let paths = upstream.get_field_by_name(verb).expect("Upstream has a field per verb");
        let paths = paths.as_list().expect("paths are repeated").iter().filter_map(Value::as_str);
        stated.extend(paths.map(|path| (verb, path.to_owned())));
    }
    stated
}

/// Returns every endpoint once, with the class that the RPC states whose own endpoint it is.
fn endpoints(pool: &DescriptorPool) -> Vec<Endpoint> {
    let services = pool.services().filter(|service| service.package_name() == PACKAGE);
    let methods: Vec<MethodDescriptor> = services.flat_map(|service| service.methods().collect::<Vec<_>>()).collect();
    let mut endpoints: Vec<Endpoint> = Vec::new();
    for method in &methods {
        let class = upstream(method).get_field_by_name("class").and_then(|class| class.as_enum_number()).unwrap_or(0);
        let stated = stated(method);
        let reads = stated.iter().all(|(verb, _)| *verb == "get");
        for (verb, path) in stated.into_iter().filter(|(verb, _)| class > 0 && (reads || *verb != "get")) {
            let number = endpoints.len();
            match endpoints.iter().find(|endpoint| endpoint.is(verb, &path)) {
                Some(known) => assert_eq!(known.class, class, "two classes of {verb} {path}"),
                None => endpoints.push(Endpoint { verb, path, number, class }),
            }
        }
    }
    endpoints
}

/// Returns the endpoint with this verb and path.
fn endpoint<'a>(endpoints: &'a [Endpoint], verb: &str, path: &str) -> &'a Endpoint {
    let found = endpoints.iter().find(|endpoint| endpoint.is(verb, path));
    found.unwrap_or_else(|| panic!("no RPC states the class of {verb} {path}"))
}

/// Writes the endpoint classes.
fn classes(pool: &DescriptorPool) -> String {
    let classes = pool.get_enum_by_name(&format!("{PACKAGE}.EndpointClass")).expect("the contract has it");
    let names = classes.values().filter(|class| class.number() > 0);
    let names = names.map(|class| format!("Self({:?})", class.name().replace("ENDPOINT_CLASS_", "").to_lowercase()));
    let names: Vec<String> = names.collect();
    format!(
        "impl Class {{\n    /// Every class.\n    pub const ALL: [Self; {}] = [{}];\n}}\n",
        names.len(),
        names.join(", ")
    )
}

/// `endpoint_of.rs`: from the segments of a path to the endpoint. Words win over parameters: `users/me` is not a user's id.
fn endpoint_of(pool: &DescriptorPool) -> String {
    let mut code = String::from("match (verb, segments) {\n");
    let mut endpoints = endpoints(pool);
    endpoints.sort_by_key(|endpoint| endpoint.path.matches('{').count());
    for Endpoint { verb, path, number, .. } in &endpoints {
        let segments = path.strip_prefix("/api/v2/").expect("a path of the REST API v2").split('/');
        let segments = segments.map(|segment| {
            if segment.starts_with('{') { "Id(_) | TextId(_)".to_owned() } else { format!("Word({segment:?})") }
        });
        let (verb, segments) = (verb.to_uppercase(), segments.collect::<Vec<_>>().join(", "));
        writeln!(code, "    ({verb:?}, [{segments}]) => Some(&ENDPOINTS[{number}]),")
            .expect("writing to a string does not fail");
    }
    code.push_str("    _ => None,\n}\n");
    code
}

fn rpc(method: &MethodDescriptor, known: &[Endpoint], code: &mut String) {
    let options = method.options();
    let upstream = upstream(method);
    let mut endpoints = String::new();
    for (verb, path) in stated(method) {
        write!(endpoints, "{}, ", endpoint(known, verb, &path).constant(&path))
            .expect("writing to a string does not fail");
    }
    let risk = upstream.get_field_by_name("risk").and_then(|risk| risk.as_enum_number());
    let risk = match risk {
        Some(1) => "Read",
        Some(2) => "Write",
        Some(3) => "Admin",
        Some(4) => "Destructive",
        _ => panic!("{} states no risk", method.full_name()),
    };
    let idempotency = options.get_field_by_name("idempotency_level").and_then(|level| level.as_enum_number());
    let idempotency = match idempotency {
        Some(1) => "NoSideEffects",
        Some(2) => "Idempotent",
        _ => "Unsafe",
    };
    writeln!(
        code,
        "    Rpc {{ service: {service:?}, method: {method:?}, path: \"/{PACKAGE}.{service}/{method}\", idempotency: Idempotency::{idempotency}, risk: Risk::{risk}, streaming: {streaming}, client_streaming: {client_streaming}, request: &{request}, endpoints: &[{endpoints}] }},",
        service = method.parent_service().name(),
        method = method.name(),
        streaming = method.is_server_streaming(),
        client_streaming = method.is_client_streaming(),
        request = shape_name(&method.input()),
    )
    .expect("writing to a string does not fail");
}

/// Returns the name of the constant that describes a message's shape.
fn shape_name(message: &MessageDescriptor) -> String {
    format!("SHAPE_{}", message.full_name().replace('.', "_").to_uppercase())
}

/// Writes the shape of every message that a request can hold: by it the size of a message in memory is known before it is decoded.
fn shapes(pool: &DescriptorPool, code: &mut String) {
    let services = pool.services().filter(|service| service.package_name() == PACKAGE);
    let methods = services.flat_map(|service| service.methods().collect::<Vec<_>>());
    let mut queue: Vec<MessageDescriptor> = methods.map(|method| method.input()).collect();
    let mut seen = BTreeSet::new();
    while let Some(message) = queue.pop() {
        if !seen.insert(message.full_name().to_owned()) {
            continue;
        }
        let size = match message.full_name() {
            // An entry of a map with its share of the map's nodes.
            _ if message.is_map_entry() => "96".to_owned(),
            name if name.starts_with("google.protobuf.") => {
                format!("size_of::<prost_types::{}>()", message.name())
            }
            _ => format!("size_of::<crate::proto::{}>()", message.name()),
        };
        let mut fields = String::new();
        for field in message.fields() {
            let repeated = field.cardinality() == Cardinality::Repeated;
            let part = match field.kind() {
                Kind::Message(inner) => {
                    let part = format!("Part::Message(&{})", shape_name(&inner));
                    queue.push(inner);
                    part
                }
                Kind::String | Kind::Bytes if repeated => "Part::Text".to_owned(),
                Kind::String | Kind::Bytes => "Part::Bytes".to_owned(),
                _ if repeated => "Part::Numbers".to_owned(),
                _ => continue,
            };
            write!(fields, "({}, {repeated}, {part}), ", field.number()).expect("writing to a string does not fail");
        }
        writeln!(code, "static {}: Shape = Shape {{ size: {size}, fields: &[{fields}] }};", shape_name(&message))
            .expect("writing to a string does not fail");
    }
}

fn extension(pool: &DescriptorPool, options: &DynamicMessage, name: &str) -> Option<Value> {
    let extension = pool.get_extension_by_name(&format!("{PACKAGE}.{name}"))?;
    options.has_extension(&extension).then(|| options.get_extension(&extension).into_owned())
}

fn words(pool: &DescriptorPool, enumeration: &EnumDescriptor, code: &mut String) {
    let words: Vec<(String, i32)> = enumeration
        .values()
        .filter_map(|value| {
            let word = extension(pool, &value.options(), "wire")?;
            Some((word.as_str()?.to_owned(), value.number()))
        })
        .collect();
    writeln!(
        code,
        "impl crate::json::Words for crate::proto::{} {{\n    const WORDS: &'static [(&'static str, i32)] = &{words:?};\n}}",
        enumeration.name()
    )
    .expect("writing to a string does not fail");
}

fn fields(message: &MessageDescriptor, code: &mut String) {
    let fields: Vec<(String, bool)> =
        message.fields().map(|field| (field.name().to_owned(), field.cardinality() == Cardinality::Repeated)).collect();
    let custom_fields = if message.get_field_by_name("user_fields").is_some() {
        "    fn custom_fields(&self) -> Option<&prost_types::Struct> { self.user_fields.as_ref() }\n"
    } else {
        ""
    };
    writeln!(
        code,
        "impl crate::json::Input for crate::proto::{} {{\n    const FIELDS: &'static [(&'static str, bool)] = &{fields:?};\n{custom_fields}}}",
        message.name()
    )
    .expect("writing to a string does not fail");
}

/// Writes the check of a message's enum fields, including those of the messages in it.
fn enum_fields(message: &MessageDescriptor, code: &mut String) {
    let mut checks = String::new();
    for field in message.fields() {
        let (name, list) = (field.name(), field.cardinality() == Cardinality::Repeated);
        // `type` is a keyword of Rust.
        let place = if name == "type" { "self.r#type".to_owned() } else { format!("self.{name}") };
        let each = if list || field.supports_presence() {
            format!("{place}.iter()")
        } else {
            format!("[&{place}].into_iter()")
        };
        let check = match field.kind() {
            Kind::Enum(enumeration) => format!(
                "if {each}.any(|number| crate::json::word_of::<crate::proto::{}>(*number).is_none()) {{ return Some(format!(\"{{within}}.{name}\")); }}",
                enumeration.name()
            ),
            Kind::Message(inner) if inner.package_name() == PACKAGE => format!(
                "if let Some(field) = {each}.find_map(|inner| crate::json::EnumFields::without_word(inner, &format!(\"{{within}}.{name}\"))) {{ return Some(field); }}"
            ),
            _ => continue,
        };
        writeln!(checks, "        {check}").expect("writing to a string does not fail");
    }
    let check = if checks.is_empty() {
        String::new()
    } else {
        format!("    fn without_word(&self, within: &str) -> Option<String> {{\n{checks}        None\n    }}\n")
    };
    writeln!(code, "impl crate::json::EnumFields for crate::proto::{} {{\n{check}}}", message.name())
        .expect("writing to a string does not fail");
}

// ---- JSON -----------------------------------------------------------------------------------------------------------

/// The messages whose fields are sent to Zendesk: `…Input`.
fn inputs(pool: &DescriptorPool) -> Vec<MessageDescriptor> {
    let ours = pool.all_messages().filter(|message| message.package_name() == PACKAGE);
    ours.filter(|message| message.name().ends_with("Input")).collect()
}

/// The replies of all RPCs that answer one message.
fn replies(pool: &DescriptorPool) -> Vec<MessageDescriptor> {
    let services = pool.services().filter(|service| service.package_name() == PACKAGE);
    let methods = services.flat_map(|service| service.methods().collect::<Vec<_>>());
    methods.filter(|method| !method.is_server_streaming()).map(|method| method.output()).collect()
}

/// Derives the JSON mapping: `Deserialize` for Zendesk's answers, `Serialize` for what is sent to Zendesk.
fn derive_json(pool: &DescriptorPool, config: &mut prost_build::Config) {
    for message in reachable(replies(pool)) {
        let name = message.full_name().to_owned();
        config.message_attribute(&name, "#[derive(serde::Deserialize)]\n#[serde(default)]");
        for field in message.fields() {
            let attribute = match field.name() {
                // What the record is told at its end; not a field of Zendesk's.
                UNREADABLE_FIELDS => {
                    "#[serde(rename = \"\\0unreadable_fields\", deserialize_with = \"crate::json::unreadable\")]"
                        .to_owned()
                }
                UNREADABLE_ROWS | RAW => "#[serde(skip)]".to_owned(),
                _ => format!("#[serde(deserialize_with = \"crate::json::{}\")]", reader(&field)),
            };
            config.field_attribute(format!("{name}.{}", field.name()), attribute);
        }
    }
    for message in reachable(inputs(pool)) {
        let name = message.full_name().to_owned();
        config.message_attribute(&name, "#[derive(serde::Serialize)]");
        for field in message.fields() {
            config.field_attribute(format!("{name}.{}", field.name()), writer(&field));
        }
    }
}

/// The messages of this package that are reachable from `roots`, including the roots.
fn reachable(roots: impl IntoIterator<Item = MessageDescriptor>) -> Vec<MessageDescriptor> {
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
fn names_records(field: &FieldDescriptor) -> bool {
    let name = field.name();
    let is_id = name == "id" || name.ends_with("_id") || name.ends_with("_ids");
    is_id && !(name == "id" && field.parent_message().name() == "JobResult")
}

/// True if messages of this type always have an id, and no field to tell that they lack it: the record around them does.
fn is_identified(message: &MessageDescriptor) -> bool {
    let has_id = message.get_field_by_name("id").is_some_and(|id| id.kind() == Kind::Int64 && !id.supports_presence());
    has_id && message.get_field_by_name(UNREADABLE_FIELDS).is_none()
}

/// The function of `src/json.rs` that reads this field. Each kind has one, because serde's own refuses a null.
fn reader(field: &FieldDescriptor) -> String {
    let kind = field.kind();
    if field.cardinality() == Cardinality::Repeated {
        return match kind {
            Kind::Enum(enumeration) => format!("words::<crate::proto::{}, _>", enumeration.name()),
            Kind::Message(_) if field.name() == "results" => "results".to_owned(),
            Kind::Message(message) if is_identified(&message) => "identified".to_owned(),
            Kind::Message(_) => "objects".to_owned(),
            Kind::Int64 if names_records(field) => "ids".to_owned(),
            _ => "scalars".to_owned(),
        };
    }
    let optional = field.supports_presence();
    match kind {
        Kind::Enum(enumeration) if optional => format!("optional_word::<crate::proto::{}, _>", enumeration.name()),
        Kind::Enum(enumeration) => format!("word::<crate::proto::{}, _>", enumeration.name()),
        Kind::Message(message) => match message.full_name() {
            "google.protobuf.Timestamp" => "timestamp".to_owned(),
            "google.protobuf.Struct" => {
                assert_eq!(field.name(), "user_fields", "src/json/losses.rs takes no other field's keys for content");
                "structure".to_owned()
            }
            _ if is_identified(&message) => "optional_identified".to_owned(),
            _ => "optional_object".to_owned(),
        },
        Kind::Int64 if names_records(field) && optional => "optional_id".to_owned(),
        Kind::Int64 if names_records(field) => "id".to_owned(),
        Kind::String if field.full_name().ends_with(".JobResult.details") => "optional_texts".to_owned(),
        _ if optional => "optional_scalar".to_owned(),
        _ => "scalar".to_owned(),
    }
}

/// The serde attribute that writes this field: only what is set is sent.
fn writer(field: &FieldDescriptor) -> String {
    if field.cardinality() == Cardinality::Repeated {
        return match field.kind() {
            Kind::Enum(enumeration) => format!(
                "#[serde(skip_serializing_if = \"Vec::is_empty\", serialize_with = \"crate::json::write_words::<crate::proto::{}, _>\")]",
                enumeration.name()
            ),
            _ => "#[serde(skip_serializing_if = \"Vec::is_empty\")]".to_owned(),
        };
    }
    let optional = field.supports_presence();
    let mut how = Vec::new();
    if optional {
        how.push("skip_serializing_if = \"Option::is_none\"".to_owned());
    }
    match field.kind() {
        Kind::Enum(enumeration) => {
            let writer = if optional { "write_optional_word" } else { "write_word" };
            how.push(format!("serialize_with = \"crate::json::{writer}::<crate::proto::{}, _>\"", enumeration.name()));
        }
        Kind::Message(message) if message.full_name() == "google.protobuf.Struct" => {
            how.push("serialize_with = \"crate::json::write_structure\"".to_owned());
        }
        _ => {}
    }
    if how.is_empty() { String::new() } else { format!("#[serde({})]", how.join(", ")) }
}
