//! Our schemas of requests against the vendor's own specification, where a copy of it is at hand.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::schema::{document, operation};

/// Names a copy of the vendor's specification.
const COPY: &str = "ZENDESK_OPENAPI";

/// Where our document differs on purpose, as the end of the place, with the reason.
const EXCEPTIONS: &[(&str, &str)] = &[
    ("/restricted_agent", "the reference page lists it as writable; the specification has it in answers only"),
    ("/role/enum", "the specification says text; the reference page and every recording know three words"),
    ("/ticket_restriction/enum", "the specification says text; the reference page lists four words"),
    ("/users/maxItems", "the specification says in prose that there may be 100"),
    ("/user/properties/identities", "the specification lists it for updates, too; clients report that a PUT adds none"),
    ("/make_default/body", "the specification has no body; the reference page sends an empty object"),
];

/// Parts of the paths that are not compared: the vendor describes these endpoints elsewhere, or without their bodies. To complete names
/// the gateway asks by POST for one form of what can be sent.
const ELSEWHERE: [&str; 6] =
    ["/identities", "/tags", "/organizations", "/organization_memberships", "/user_fields", "/users/autocomplete"];

#[test]
fn the_schema_says_what_the_vendors_specification_says() {
    let Some(path) = std::env::var_os(COPY) else {
        println!("not compared: {COPY} names no copy of Zendesk's specification");
        return;
    };
    let text = std::fs::read_to_string(path).expect("the copy can be read");
    let vendor: Value = serde_json::from_str(&text).expect("the copy is JSON");
    let ours = document();
    let mut differences = BTreeSet::new();
    for (name, described) in ours["operations"].as_object().expect("operations") {
        let (verb, path) = name.split_once(' ').expect("a verb and a path");
        if ELSEWHERE.iter().any(|part| path.contains(part)) {
            continue;
        }
        let theirs = vendors_operation(&vendor, verb, path);
        compare(&our_operation(&ours, described), &theirs, &operation(verb, path), &mut differences);
    }
    let excepted = |place: &&String| EXCEPTIONS.iter().any(|(end, _)| place.ends_with(end));
    let unexpected: Vec<&String> = differences.iter().filter(|place| !excepted(place)).collect();
    assert!(unexpected.is_empty(), "{unexpected:#?}");
    for (end, reason) in EXCEPTIONS {
        assert!(differences.iter().any(|place| place.ends_with(end)), "{end} is no exception any more: {reason}");
    }
}

/// Notes each place where two documents differ.
fn compare(ours: &Value, theirs: &Value, place: &str, differences: &mut BTreeSet<String>) {
    match (ours, theirs) {
        (Value::Object(one), Value::Object(other)) => {
            for key in one.keys().chain(other.keys()).collect::<BTreeSet<_>>() {
                compare(&ours[key], &theirs[key], &format!("{place}/{key}"), differences);
            }
        }
        (Value::Array(one), Value::Array(other)) if one.len() == other.len() => {
            for (index, (one, other)) in one.iter().zip(other).enumerate() {
                compare(one, other, &format!("{place}/{index}"), differences);
            }
        }
        _ if ours == theirs => {}
        _ => {
            differences.insert(place.to_owned());
        }
    }
}

fn our_operation(document: &Value, described: &Value) -> Value {
    let query: BTreeSet<&String> = described["query"].as_object().into_iter().flat_map(Map::keys).collect();
    let body = described.get("body").map(|body| plain(body, document));
    json!({"body": body, "form": described.get("form").is_some(), "query": query})
}

fn vendors_operation(vendor: &Value, verb: &str, path: &str) -> Value {
    let paths = vendor["paths"].as_object().expect("paths");
    let named = paths.iter().find(|(template, _)| operation(verb, template) == operation(verb, path));
    let (_, item) = named.unwrap_or_else(|| panic!("the vendor has no {path}"));
    let described = &item[verb.to_lowercase()];
    assert!(described.is_object(), "the vendor has no {verb} {path}");
    let parameters = [&item["parameters"], &described["parameters"]];
    let parameters =
        parameters.into_iter().filter_map(Value::as_array).flatten().map(|parameter| resolved(parameter, vendor));
    let query: BTreeSet<String> = parameters
        .filter(|parameter| parameter["in"] == "query")
        .map(|parameter| parameter["name"].as_str().expect("a name").to_owned())
        .collect();
    let content = &described["requestBody"]["content"];
    let body = content["application/json"].get("schema").map(|body| plain(body, vendor));
    json!({"body": body, "form": content.get("multipart/form-data").is_some(), "query": query})
}

fn resolved<'a>(value: &'a Value, root: &'a Value) -> &'a Value {
    match value["$ref"].as_str() {
        Some(place) => root.pointer(place.trim_start_matches('#')).unwrap_or_else(|| panic!("{place} leads nowhere")),
        None => value,
    }
}

/// A schema without its references and its prose, and with one way to say that null is allowed.
fn plain(schema: &Value, root: &Value) -> Value {
    let mut said = Map::new();
    if schema.get("$ref").is_some() {
        let Value::Object(referred) = plain(resolved(schema, root), root) else {
            unreachable!("a schema is an object")
        };
        said = referred;
    }
    let mut types: BTreeSet<&str> = match &schema["type"] {
        Value::Array(types) => types.iter().filter_map(Value::as_str).collect(),
        single => single.as_str().into_iter().collect(),
    };
    if schema["nullable"] == true {
        types.insert("null");
    }
    if !types.is_empty() {
        said.insert("type".to_owned(), json!(types));
    }
    for key in ["enum", "required"] {
        if let Some(words) = schema[key].as_array() {
            let words: BTreeSet<&str> = words.iter().filter_map(Value::as_str).collect();
            said.insert(key.to_owned(), json!(words));
        }
    }
    if let Some(own) = schema["properties"].as_object() {
        let properties = said.entry("properties").or_insert_with(|| json!({}));
        for (name, property) in own {
            properties[name] = plain(property, root);
        }
    }
    if let Some(items) = schema.get("items") {
        said.insert("items".to_owned(), plain(items, root));
    }
    for key in ["anyOf", "oneOf"] {
        if let Some(variants) = schema[key].as_array() {
            said.insert(key.to_owned(), variants.iter().map(|variant| plain(variant, root)).collect());
        }
    }
    if let Some(most) = schema.get("maxItems") {
        said.insert("maxItems".to_owned(), most.clone());
    }
    Value::Object(said)
}
