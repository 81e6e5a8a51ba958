//! The endpoints of Zendesk that the contract names: their classes and the table of them for `contract.rs`, and `endpoint_of.rs`,
//! which finds an endpoint by a request's path.

use prost_reflect::{DescriptorPool, MethodDescriptor, Value};

use crate::descriptor::{PACKAGE, methods, reads, upstream};

/// An endpoint of the contract.
pub struct Endpoint {
    verb: &'static str,
    path: String,
    /// Its place among all endpoints, and that of its class among all classes.
    number: usize,
    class: i32,
    /// Requests a minute, where Zendesk documents a limit of its own.
    per_minute: i32,
}

impl Endpoint {
    /// Whether a path as another RPC states it is this one's: it may name the parameters after fields of its own.
    fn is(&self, verb: &str, path: &str) -> bool {
        let segments = |path: &str| -> Vec<String> {
            path.split('/').map(|segment| if segment.starts_with('{') { "{}" } else { segment }.to_owned()).collect()
        };
        self.verb == verb && segments(&self.path) == segments(path)
    }

    /// Returns it as a constant, with the path as an RPC states it.
    pub fn constant(&self, path: &str) -> String {
        let Self { verb, number, class, per_minute, .. } = self;
        let verb = verb.to_uppercase();
        format!(
            "Endpoint {{ verb: {verb:?}, path: {path:?}, class: Class::ALL[{}], number: {number}, per_minute: {per_minute} }}",
            class - 1
        )
    }
}

/// Returns the verbs and paths of a method's endpoints.
pub fn stated(method: &MethodDescriptor) -> Vec<(&'static str, String)> {
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
pub fn endpoints(pool: &DescriptorPool) -> Vec<Endpoint> {
    let mut endpoints: Vec<Endpoint> = Vec::new();
    for method in &methods(pool) {
        let class = upstream(method).get_field_by_name("class").and_then(|class| class.as_enum_number()).unwrap_or(0);
        let per_minute = upstream(method).get_field_by_name("per_minute").and_then(|limit| limit.as_i32()).unwrap_or(0);
        let stated = stated(method);
        // A search by POST changes nothing.
        let reads = reads(method);
        for (verb, path) in stated.into_iter().filter(|(verb, _)| class > 0 && (reads || *verb != "get")) {
            let number = endpoints.len();
            match endpoints.iter().find(|endpoint| endpoint.is(verb, &path)) {
                Some(known) => assert_eq!(known.class, class, "two classes of {verb} {path}"),
                None => endpoints.push(Endpoint { verb, path, number, class, per_minute }),
            }
        }
    }
    endpoints
}

/// Returns the endpoint with this verb and path.
pub fn endpoint<'a>(endpoints: &'a [Endpoint], verb: &str, path: &str) -> &'a Endpoint {
    let found = endpoints.iter().find(|endpoint| endpoint.is(verb, path));
    found.unwrap_or_else(|| panic!("no RPC states the class of {verb} {path}"))
}

/// Writes the classes and all endpoints.
pub fn table(pool: &DescriptorPool) -> String {
    let endpoints = endpoints(pool);
    let mut code = classes(pool);
    line!(code, "/// Every endpoint of the contract once.\npub static ENDPOINTS: [Endpoint; {}] = [", endpoints.len());
    for endpoint in &endpoints {
        line!(code, "    {},", endpoint.constant(&endpoint.path));
    }
    code.push_str("];\n");
    code
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
pub fn endpoint_of(pool: &DescriptorPool) -> String {
    let mut code = String::from("match (verb, segments) {\n");
    let mut endpoints = endpoints(pool);
    endpoints.sort_by_key(|endpoint| endpoint.path.matches('{').count());
    for Endpoint { verb, path, number, .. } in &endpoints {
        let segments = path.strip_prefix("/api/v2/").expect("a path of the REST API v2").split('/');
        let segments = segments.map(|segment| {
            if segment.starts_with('{') { "Id(_) | TextId(_)".to_owned() } else { format!("Word({segment:?})") }
        });
        let (verb, segments) = (verb.to_uppercase(), segments.collect::<Vec<_>>().join(", "));
        line!(code, "    ({verb:?}, [{segments}]) => Some(&ENDPOINTS[{number}]),");
    }
    code.push_str("    _ => None,\n}\n");
    code
}
