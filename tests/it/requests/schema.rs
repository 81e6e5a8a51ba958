//! The schemas of Zendesk's write requests, and the check of a request that was sent against them.

use std::collections::BTreeMap;

use jsonschema::Validator;
use serde_json::{Map, Value, json};
use zendesk_gateway::sandbox::Recorded;

/// The document: bodies, form fields and queries of every write, in the words of JSON Schema.
const DOCUMENT: &str = include_str!("../schema/requests.json");

/// All operations that write.
pub struct Schema {
    operations: BTreeMap<String, Operation>,
}

struct Operation {
    body: Option<Validator>,
    form: Vec<String>,
    query: BTreeMap<String, Validator>,
}

/// Returns the document.
pub fn document() -> Value {
    serde_json::from_str(DOCUMENT).expect("the document is JSON")
}

/// Names an operation, whatever its path calls its parameters.
pub fn operation(verb: &str, template: &str) -> String {
    let part = |part: &str| if part.starts_with('{') { "{}".to_owned() } else { part.to_owned() };
    format!("{verb} {}", template.split('/').map(part).collect::<Vec<_>>().join("/"))
}

impl Schema {
    pub fn load() -> Self {
        let document = document();
        let validator = |schema: &Value| {
            let mut root = schema.clone();
            root["$schema"] = document["$schema"].clone();
            root["$defs"] = document["$defs"].clone();
            jsonschema::validator_for(&root).unwrap_or_else(|error| panic!("{schema}: {error}"))
        };
        let none = Map::new();
        let operations = document["operations"].as_object().expect("operations").iter().map(|(name, described)| {
            let (verb, path) = name.split_once(' ').expect("a verb and a path");
            let form = described["form"].as_array().into_iter().flatten();
            let query = described["query"].as_object().unwrap_or(&none);
            let operation_of = Operation {
                body: described.get("body").map(validator),
                form: form.map(|name| name.as_str().expect("a name").to_owned()).collect(),
                query: query.iter().map(|(name, schema)| (name.clone(), validator(schema))).collect(),
            };
            (operation(verb, path), operation_of)
        });
        Self { operations: operations.collect() }
    }

    pub fn names(&self) -> Vec<String> {
        self.operations.keys().cloned().collect()
    }

    /// Returns what is wrong with a request to an operation.
    pub fn problems(&self, name: &str, sent: &Recorded) -> Vec<String> {
        let Some(operation) = self.operations.get(name) else { return vec![format!("{name} is not described")] };
        let mut problems = self.problems_of_query(name, &sent.query);
        let content_type = sent.headers.get("content-type").map(|value| value.to_str().expect("ASCII"));
        match (content_type, &operation.body) {
            (None, None) if sent.body.is_empty() => {}
            (Some("application/json"), Some(_)) => match serde_json::from_slice(&sent.body) {
                Ok(body) => problems.extend(self.problems_of_body(name, &body)),
                Err(error) => problems.push(format!("not JSON: {error}")),
            },
            (Some(form), _) if form.starts_with("multipart/form-data") && !operation.form.is_empty() => {
                let text = String::from_utf8_lossy(&sent.body);
                let parts = text.split("form-data; name=\"").skip(1);
                let fields: Vec<&str> = parts.filter_map(|part| part.split('"').next()).collect();
                if fields.iter().any(|field| !operation.form.iter().any(|known| known == field)) || fields.is_empty() {
                    problems.push(format!("the form has the fields {fields:?}"));
                }
            }
            (content_type, _) => problems.push(format!("a body of {} bytes, {content_type:?}", sent.body.len())),
        }
        problems
    }

    /// Returns what is wrong with a JSON body.
    pub fn problems_of_body(&self, name: &str, body: &Value) -> Vec<String> {
        let validator = self.operations[name].body.as_ref().expect("it has a body");
        validator.iter_errors(body).map(|error| format!("{}: {error}", error.instance_path())).collect()
    }

    fn problems_of_query(&self, name: &str, query: &str) -> Vec<String> {
        let known = &self.operations[name].query;
        let mut problems = Vec::new();
        let mut seen = Vec::new();
        for (key, value) in url::form_urlencoded::parse(query.as_bytes()) {
            match known.get(&*key) {
                Some(validator) => {
                    let value = json!(value);
                    problems.extend(validator.iter_errors(&value).map(|error| format!("{key}: {error}")));
                }
                None => problems.push(format!("unknown query parameter {key}")),
            }
            if seen.contains(&key) {
                problems.push(format!("{key} twice"));
            }
            seen.push(key);
        }
        problems
    }
}
