//! The schema of the values: closed everywhere, and in step with the values, the README and the binary.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;

use config::{File, FileFormat};
use serde_json::{Map, Value, json};
use zendesk_gateway::config::{Config, Mistakes, Overrides, load};

use super::rendered::{FULL_NAME, has_helm, render, root, scenario, try_render};

const README: &str = include_str!("../../../README.md");

fn schema() -> Value {
    let text = std::fs::read_to_string(root().join("helm/values.schema.json")).expect("the schema");
    serde_json::from_str(&text).expect("the schema is JSON")
}

fn values() -> Value {
    let text = std::fs::read_to_string(root().join("helm/values.yaml")).expect("the values");
    serde_yaml_ng::from_str(&text).expect("the values are YAML")
}

/// Follows `$ref`.
fn resolved<'a>(schema: &'a Value, at: &'a Value) -> &'a Value {
    match at["$ref"].as_str() {
        Some(name) => schema.pointer(name.trim_start_matches('#')).unwrap_or_else(|| panic!("no {name}")),
        None => at,
    }
}

/// The leaves below a part of the schema by their full key. With `lists` they go on into lists of tables.
fn leaves<'a>(schema: &'a Value, at: &'a Value, key: &str, lists: bool, into: &mut BTreeMap<String, &'a Value>) {
    let at = resolved(schema, at);
    let row = resolved(schema, &at["items"]);
    let at = if lists && row["properties"].is_object() { row } else { at };
    if let Some(properties) = at["properties"].as_object() {
        for (name, below) in properties {
            leaves(schema, below, &join(key, name), lists, into);
        }
    } else {
        into.insert(key.to_owned(), at);
    }
}

fn join(key: &str, name: &str) -> String {
    if key.is_empty() { name.to_owned() } else { format!("{key}.{name}") }
}

/// The settings of the schema.
fn settings(schema: &Value) -> BTreeMap<String, &Value> {
    let mut found = BTreeMap::new();
    leaves(schema, &schema["properties"]["config"], "", true, &mut found);
    found
}

/// The leaves of the binary's own settings; lists are leaves, and what is not set is null.
fn held(value: &Value, key: &str, into: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => fields.iter().for_each(|(name, below)| held(below, &join(key, name), into)),
        _ => drop(into.insert(key.to_owned())),
    }
}

/// The keys of the README's table, `<kind>` replaced by each kind of answer.
fn documented() -> BTreeSet<String> {
    let table = README.split("\n## Settings\n").nth(1).and_then(|rest| rest.split("\n## ").next()).expect("a section");
    let keys = table.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` |").map(|(key, _)| key));
    let kinds = serde_json::to_value(Config::default()).expect("settings have a form in JSON");
    let kinds = kinds["cache"].as_object().expect("a table").iter().filter(|(_, below)| below.is_object());
    let kinds: Vec<&String> = kinds.map(|(kind, _)| kind).collect();
    let mut documented = BTreeSet::new();
    for key in keys {
        if key.contains("<kind>") {
            documented.extend(kinds.iter().map(|kind| key.replace("<kind>", kind)));
        } else {
            documented.insert(key.to_owned());
        }
    }
    documented
}

/// Returns what the binary says against a single setting, but for how it fits the others.
fn type_mistakes(schema: &Value, key: &str, value: &Value) -> Vec<String> {
    // With an unknown key there are mistakes to tell in any case.
    let mut tree = json!({"no_such_section": 1});
    set(&mut tree, key, value.clone());
    let tree = in_lists(schema, &schema["properties"]["config"], tree);
    let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
    write!(file, "{}", toml(&tree)).expect("it can be written");
    let overrides = Overrides { environment: Vec::new(), flags: &[], sandboxed: true };
    let Err(Mistakes(mut mistakes)) = load(Some(file.path()), overrides) else { panic!("an unknown key is refused") };
    mistakes.retain(|mistake| !mistake.starts_with("no_such_section: "));
    mistakes.retain(|mistake| mistake.contains(", and must be ") || mistake.contains("no such setting"));
    mistakes
}

fn set(tree: &mut Value, key: &str, value: Value) {
    let place = key.split('.').fold(tree, |at, name| &mut at[name]);
    *place = value;
}

/// Puts each table of which there is a list into one.
fn in_lists(schema: &Value, at: &Value, value: Value) -> Value {
    let at = resolved(schema, at);
    let row = resolved(schema, &at["items"]);
    let tables = row["properties"].is_object();
    let Value::Object(fields) = value else { return value };
    let properties = if tables { &row["properties"] } else { &at["properties"] };
    let fields = fields.into_iter().map(|(name, below)| {
        let below = in_lists(schema, &properties[&name], below);
        (name, below)
    });
    let table = Value::Object(fields.collect());
    if tables { json!([table]) } else { table }
}

/// TOML in its inline form, which is JSON with other punctuation.
fn toml(tree: &Value) -> String {
    fn inline(value: &Value) -> String {
        match value {
            Value::Object(fields) => {
                let fields = fields.iter().map(|(name, value)| format!("{name} = {}", inline(value)));
                format!("{{ {} }}", fields.collect::<Vec<_>>().join(", "))
            }
            Value::Array(items) => format!("[{}]", items.iter().map(inline).collect::<Vec<_>>().join(", ")),
            other => other.to_string(),
        }
    }
    let tree = tree.as_object().expect("a table");
    let lines: Vec<String> = tree.iter().map(|(name, value)| format!("{name} = {}", inline(value))).collect();
    lines.join("\n")
}

/// Values that a setting may have: the schema's examples, or each word of a vocabulary.
fn samples(leaf: &Value) -> Vec<Value> {
    match (&leaf["enum"], &leaf["examples"], leaf["type"].as_str()) {
        (Value::Array(words), _, _) => words.clone(),
        (_, Value::Array(examples), _) => examples.clone(),
        (_, _, Some("boolean")) => vec![json!(true), json!(false)],
        _ => panic!("the schema shows no example of {leaf}"),
    }
}

#[test]
fn the_schema_knows_the_settings_of_the_readme_and_of_the_binary_and_no_others() {
    let schema = schema();
    let mut rows = BTreeMap::new();
    leaves(&schema, &schema["properties"]["config"], "", false, &mut rows);
    let known: BTreeSet<String> = rows.into_keys().collect();
    let documented = documented();
    assert!(documented.len() > 60, "{documented:#?}");
    let (missing, more): (Vec<_>, Vec<_>) =
        (documented.difference(&known).collect(), known.difference(&documented).collect());
    assert!(missing.is_empty() && more.is_empty(), "values.schema.json lacks {missing:?}; the README lacks {more:?}");
    let mut held_by_binary = BTreeSet::new();
    held(&serde_json::to_value(Config::default()).expect("settings have a form in JSON"), "", &mut held_by_binary);
    for key in &held_by_binary {
        let table = format!("{key}.");
        assert!(known.contains(key) || known.iter().any(|known| known.starts_with(&table)), "no {key} in the schema");
    }
}

#[test]
fn every_setting_has_the_type_that_the_binary_wants() {
    let schema = schema();
    for (key, leaf) in settings(&schema) {
        for sample in samples(leaf) {
            assert_eq!(type_mistakes(&schema, &key, &sample), [""; 0], "{key} = {sample}");
        }
        // Text, lists of it and paths take any text.
        let text = |leaf: &Value| leaf["type"] == "string" && leaf["pattern"].as_str().is_none_or(|it| it == "^/.+");
        let free =
            text(leaf) || text(&leaf["items"]) || ["upstream.subdomain", "admin.allowed_hosts"].contains(&key.as_str());
        if !free {
            let mistakes = type_mistakes(&schema, &key, &json!("no such value"));
            // Of a list of tables, the binary names the list or the table in it.
            let named = |mistake: &String| {
                let place = mistake.split(": ").next().unwrap_or_default().replace("[0]", "");
                format!("{key}.").starts_with(&format!("{place}."))
            };
            assert!(mistakes.iter().any(named), "{key}: {mistakes:?}");
        }
        let mistakes = type_mistakes(&schema, &key, &json!({"no": {"such": "table"}}));
        assert!(!mistakes.is_empty(), "{key} is no table");
    }
}

/// All settings at once, each as the schema's first example, but for those that exclude each other.
fn all_settings(schema: &Value) -> Value {
    let mut all = json!({});
    for (key, leaf) in settings(schema) {
        set(&mut all, &key, samples(leaf).swap_remove(0));
    }
    set(&mut all, "admin.listen", json!("0.0.0.0:9090"));
    set(&mut all, "server.drain.timeout", json!("45s"));
    all["upstream"].as_object_mut().expect("a table").remove("base_url");
    in_lists(schema, &schema["properties"]["config"], all)
}

#[test]
fn every_setting_reaches_the_binary_as_it_was_written() {
    if !has_helm() {
        return;
    }
    let schema = schema();
    let mut wanted = all_settings(&schema);
    let read = |toml: &str| -> Value {
        let source = config::Config::builder().add_source(File::from_str(toml, FileFormat::Toml));
        source.build().and_then(config::Config::try_deserialize).unwrap_or_else(|error| panic!("{error}\n{toml}"))
    };
    let plenty = json!({"limits": {"memory": "8Gi"}});
    let rendered =
        render(&[], &json!({"config": wanted, "secret": {"existingSecret": "zendesk"}, "resources": plenty}));
    // By these names Services lead to the admin port, whatever other names the settings allow.
    let hosts = wanted["admin"]["allowed_hosts"].as_array_mut().expect("a list");
    let endings = ["", ".support", ".support.svc", ".support.svc.cluster.local"];
    hosts.extend(endings.map(|ending| json!(format!("{FULL_NAME}-headless{ending}"))));
    assert!(!rendered.toml().contains("e+"), "numbers are written plainly: {}", rendered.toml());
    assert_eq!(read(rendered.toml()), read(&toml(&wanted)));

    let upstream = wanted["upstream"].as_object_mut().expect("a table");
    upstream.remove("subdomain");
    upstream.insert("base_url".to_owned(), json!("https://zendesk.example.com"));
    let rendered = render(&[], &json!({"config": wanted, "resources": plenty}));
    assert_eq!(read(rendered.toml())["upstream"]["base_url"], "https://zendesk.example.com");
}

#[test]
fn the_schema_is_closed_and_knows_the_values_and_no_others() {
    fn closed(schema: &Value, at: &Value, path: &str) {
        let at = resolved(schema, at);
        if let Some(properties) = at["properties"].as_object() {
            // Helm hands what a parent chart sets for all to each of its charts.
            assert!(at["additionalProperties"] == false || path == "global", "{path} is open");
            for (name, below) in properties {
                closed(schema, below, &join(path, name));
            }
        } else if at["type"] == "object" {
            let open = at["additionalProperties"]["type"] == "string" || at["description"].is_string();
            assert!(open, "{path} is an object of unknown content and does not say why");
        }
        if at["items"].is_object() {
            closed(schema, &at["items"], &format!("{path}[]"));
        }
    }
    fn same(schema: &Value, at: &Value, values: &Value, path: &str) {
        let at = resolved(schema, at);
        let Some(properties) = at["properties"].as_object() else { return };
        let names: BTreeSet<&String> = properties.keys().collect();
        let values = values.as_object().unwrap_or_else(|| panic!("{path} is no table"));
        // Probes have more knobs than are turned, and the issuer's parts are the user's.
        if !path.starts_with("probes.") && path != "tls.certificate.issuerRef" {
            assert_eq!(values.keys().collect::<BTreeSet<_>>(), names, "{path}");
        }
        for (name, value) in values {
            let below = join(path, name);
            if below != "config" {
                same(schema, &properties[name], value, &below);
            }
        }
    }
    let schema = schema();
    closed(&schema, &schema, "");
    for (name, definition) in schema["$defs"].as_object().expect("definitions") {
        closed(&schema, definition, name);
    }
    same(&schema, &schema, &values(), "");
}

#[test]
fn every_value_is_described_in_the_charts_readme() {
    let readme = std::fs::read_to_string(root().join("helm/README.md")).expect("the chart's README");
    let rows: Vec<Vec<&str>> = readme.lines().map(|line| line.split(" | ").collect()).collect();
    let described: BTreeMap<&str, &str> = rows
        .iter()
        .filter(|row| row.len() >= 4)
        .map(|row| (row[0].trim_start_matches("| "), row[row.len() - 1].trim_end_matches('|').trim()))
        .collect();
    let schema = schema();
    let mut all = BTreeMap::new();
    leaves(&schema, &schema, "", false, &mut all);
    for key in all.keys().filter(|key| !key.starts_with("config.") && !key.starts_with("tls.certificate.issuerRef.")) {
        // A probe is one value to its reader.
        let shown = key.split('.').take(if key.starts_with("probes.") { 2 } else { 9 }).collect::<Vec<_>>().join(".");
        let text = described.get(shown.as_str()).unwrap_or_else(|| panic!("no row for {shown}"));
        assert!(text.split_whitespace().count() > 1, "{shown} is not described: {text:?}");
    }
}

/// Puts a key that nobody knows beside every key.
fn misspelt(value: &Value, path: &str, names: &mut Vec<String>) -> Value {
    let Some(fields) = value.as_object() else { return value.clone() };
    let mut fields: Map<String, Value> =
        fields.iter().map(|(name, below)| (name.clone(), misspelt(below, &format!("{path}/{name}"), names))).collect();
    if path == "/global" {
        return Value::Object(fields);
    }
    let wrong = format!("wrong{}", names.len());
    names.push(format!("at '{path}': additional properties '{wrong}' not allowed"));
    fields.insert(wrong, json!(1));
    Value::Object(fields)
}

/// Of the values those whose keys are the chart's; the others are Kubernetes'.
fn ours(schema: &Value, at: &Value) -> Value {
    let properties = resolved(schema, at)["properties"].as_object();
    let fields =
        properties.into_iter().flatten().filter(|(_, below)| resolved(schema, below)["properties"].is_object());
    Value::Object(fields.map(|(name, below)| (name.clone(), ours(schema, below))).collect())
}

#[test]
fn a_misspelt_value_is_refused_by_its_name_wherever_it_stands() {
    if !has_helm() {
        return;
    }
    let schema = schema();
    let mut told = Vec::new();
    let values = misspelt(&ours(&schema, &schema), "", &mut told);
    assert!(told.len() > 40, "{told:#?}");
    let Err(said) = try_render(&[scenario("api-token")], &values) else { panic!("accepted") };
    for line in told {
        assert!(said.contains(&line), "{line}\n{said}");
    }
}

#[test]
fn a_value_of_a_wrong_type_is_refused_by_its_name_wherever_it_stands() {
    if !has_helm() {
        return;
    }
    let schema = schema();
    let mut all = BTreeMap::new();
    leaves(&schema, &schema, "", false, &mut all);
    assert!(all.len() > 150, "{}", all.len());
    let mut values = json!({});
    for (key, leaf) in &all {
        let wrong =
            if leaf["type"] == "string" || leaf["enum"].is_array() { json!([17]) } else { json!("no such value") };
        set(&mut values, key, wrong);
    }
    let Err(said) = try_render(&[], &values) else { panic!("accepted") };
    for key in all.keys() {
        assert!(said.contains(&format!("at '/{}'", key.replace('.', "/"))), "{key}\n{said}");
    }
    for (key, value, because) in [
        ("config.server.unary_deadline", json!("30"), "does not match pattern"),
        ("config.server.unary_deadline", json!(30), "got number, want string"),
        ("config.server.max_request_bytes", json!("4 apples"), "does not match pattern"),
        ("config.telemetry.sample_ratio", json!(1.5), "maximum"),
        ("image.digest", json!("0123"), "does not match pattern"),
        ("extraEnv", json!([{"nam": "A"}]), "missing property 'name'"),
    ] {
        let mut values = json!({});
        set(&mut values, key, value);
        let Err(said) = try_render(&[scenario("api-token")], &values) else { panic!("accepted: {values}") };
        assert!(said.contains(&key.replace('.', "/")) && said.contains(because), "{values}: {said}");
    }
}
