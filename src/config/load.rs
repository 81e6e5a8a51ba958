//! Reads and merges the sources, and finds every mistake in them rather than the first.

use std::ffi::OsString;
use std::path::Path;

use config::builder::DefaultState;
use config::{ConfigBuilder, Environment, File, FileFormat, Source, Value, ValueKind};

use super::callers::Weight;
use super::identity::Rule;
use super::words::{describe, mistaken, unread};
use super::{Config, LogFormat};

/// Everything that is wrong with a configuration, each by its full key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistakes(pub Vec<String>);

impl std::error::Error for Mistakes {}

/// Where settings can stand besides the file.
pub struct Overrides<'a> {
    /// Environment variables; tests pass their own.
    pub environment: Vec<(String, String)>,
    /// Flags, as full key and value.
    pub flags: &'a [(&'static str, String)],
    /// Whether the embedded stand-in is the upstream.
    pub sandboxed: bool,
}

/// Reads the settings from all sources.
///
/// # Errors
/// Every unknown key, every value of a wrong type and every combination that cannot work, in one [`Mistakes`].
pub fn load(file: Option<&Path>, overrides: Overrides<'_>) -> Result<Config, Mistakes> {
    merge(read(file)?.as_deref(), overrides)
}

/// Reads the file, if there is one.
///
/// # Errors
/// It cannot be read.
pub fn read(file: Option<&Path>) -> Result<Option<String>, Mistakes> {
    let text = file.map(|path| {
        std::fs::read_to_string(path)
            .map_err(|error| Mistakes(vec![format!("--config: cannot read {}: {error}", path.display())]))
    });
    text.transpose()
}

/// Reads the settings from the text of a file, and from all other sources.
///
/// # Errors
/// As [`load`].
pub fn merge(text: Option<&str>, overrides: Overrides<'_>) -> Result<Config, Mistakes> {
    let mut builder = config::Config::builder();
    // A table with one setting takes the others from the table's own defaults, which are those of tests.
    #[cfg(feature = "sandbox")]
    for (key, demo) in [("sandbox.users", super::DEMO_USERS), ("sandbox.rate_limit", super::DEMO_RATE_LIMIT)] {
        builder = builder.set_default(key, demo).map_err(|error| Mistakes(vec![error.to_string()]))?;
    }
    if let Some(text) = text {
        builder = builder.add_source(File::from_str(text, FileFormat::Toml));
    }
    let mut mistakes: Vec<String> = overrides.environment.iter().filter_map(|(name, _)| misspelt(name)).collect();
    let is_named =
        |name: &str| name.strip_prefix("ZENDESK_GATEWAY__").is_some_and(|key| !key.split("__").any(str::is_empty));
    let environment = overrides.environment.into_iter().filter(|(name, _)| is_named(name));
    let environment = Environment::with_prefix("ZENDESK_GATEWAY")
        .prefix_separator("__")
        .separator("__")
        .source(Some(environment.collect()));
    builder = builder.add_source(environment);
    for (key, value) in overrides.flags {
        builder = builder.set_override(*key, value.as_str()).map_err(|error| Mistakes(vec![error.to_string()]))?;
    }
    let merged = builder.build().map_err(|error| Mistakes(vec![unread(&error.to_string())]))?;

    let mut leaves = Leaves::default();
    let tree = merged.collect().map_err(|error| Mistakes(vec![error.to_string()]))?;
    for (key, value) in tree {
        leaves.add(key.clone(), key, value);
    }
    let defaults = templates().map_err(|error| Mistakes(vec![error.to_string()]))?;
    let mut wrong: Vec<String> = Vec::new();
    let mut sound: ConfigBuilder<DefaultState> = config::Config::builder();
    for Leaf { shown, path, value } in leaves.0 {
        if let Err(problem) = alone(&path, &value, &defaults) {
            mistakes.push(format!("{shown}: {problem}"));
            wrong.push(shown);
        } else if let Ok(with) = sound.clone().set_override(&shown, value) {
            sound = with;
        }
    }
    if wrong.is_empty() {
        let config: Config = merged.try_deserialize().map_err(|error| Mistakes(vec![error.to_string()]))?;
        mistakes.extend(config.mistakes(overrides.sandboxed));
        return if mistakes.is_empty() { Ok(config) } else { Err(Mistakes(mistakes)) };
    }
    // How the sound settings fit together is judged in the same round; what may follow from the wrong ones is not told.
    if let Ok(config) = sound.build().and_then(config::Config::try_deserialize::<Config>) {
        let is_about = |mistake: &str, key: &str| {
            mistake.starts_with(key) || key.starts_with(mistake.split(": ").next().unwrap_or(mistake))
        };
        let others = config.mistakes(overrides.sandboxed);
        mistakes.extend(others.into_iter().filter(|mistake| !wrong.iter().any(|key| is_about(mistake, key))));
    }
    mistakes.sort();
    Err(Mistakes(mistakes))
}

/// Returns the defaults of all settings; each list of tables has one.
fn templates() -> serde_json::Result<serde_json::Value> {
    let mut config = Config::default();
    config.authorization.rules = vec![Rule::default()];
    config.callers.weights = vec![Weight::default()];
    #[cfg_attr(not(feature = "sandbox"), expect(unused_mut, reason = "the stand-in has a list of its own"))]
    let mut templates = serde_json::to_value(&config)?;
    #[cfg(feature = "sandbox")]
    {
        templates["sandbox"]["buckets"] = serde_json::to_value(config.sandbox.buckets)?;
    }
    Ok(templates)
}

/// Returns the variables that are text, and what is wrong with those that seem meant for the gateway and are not. All others are
/// nobody's business: Kubernetes can put any bytes of a Secret there.
pub fn environment(variables: impl Iterator<Item = (OsString, OsString)>) -> (Vec<(String, String)>, Vec<String>) {
    let (mut texts, mut mistakes) = (Vec::new(), Vec::new());
    for (name, value) in variables {
        let shown = name.to_string_lossy().into_owned();
        match (name.into_string(), value.into_string()) {
            (Ok(name), Ok(value)) => texts.push((name, value)),
            _ if shown.starts_with("ZENDESK_GATEWAY_") => mistakes.push(format!("{shown}: is no text in UTF-8")),
            _ => {}
        }
    }
    (texts, mistakes)
}

/// Says what is wrong with a variable that seems meant for the gateway and would not be read. Kubernetes and Docker set some that
/// begin alike for a Service or a container of that name.
fn misspelt(name: &str) -> Option<String> {
    let tail = name.strip_prefix("ZENDESK_GATEWAY_")?;
    if let Some(key) = tail.strip_prefix('_') {
        let is_empty = key.split("__").any(str::is_empty);
        return is_empty.then(|| format!("{name}: names no setting; settings are ZENDESK_GATEWAY__SECTION__KEY"));
    }
    let sections = serde_json::to_value(Config::default()).ok()?;
    let section = tail.split('_').next().unwrap_or(tail).to_lowercase();
    let is_setting = sections.get(&section).is_some() || section == "sandbox";
    is_setting
        .then(|| format!("{name}: no such variable; settings are ZENDESK_GATEWAY__SECTION__KEY, with two underscores"))
}

/// Returns how log lines are to be written, whatever else is wrong with the settings: the text of a file, and the environment.
pub fn log_format(text: Option<&str>, environment: &[(String, String)]) -> LogFormat {
    let variable = environment.iter().find(|(name, _)| name == "ZENDESK_GATEWAY__TELEMETRY__LOG_FORMAT");
    let written = |text: &str| {
        let file = config::Config::builder().add_source(File::from_str(text, FileFormat::Toml)).build().ok()?;
        file.get("telemetry.log_format").ok()
    };
    let from_environment = variable.and_then(|(_, value)| written(&format!("[telemetry]\nlog_format = {value:?}")));
    from_environment.or_else(|| written(text?)).unwrap_or_default()
}

/// Every single setting.
#[derive(Default)]
struct Leaves(Vec<Leaf>);

struct Leaf {
    /// The key for people.
    shown: String,
    /// The key under which it can stand alone: as if its table were the first of a list.
    path: String,
    value: Value,
}

impl Leaves {
    fn add(&mut self, shown: String, path: String, value: Value) {
        match value.kind {
            ValueKind::Table(table) if !table.is_empty() => {
                for (name, value) in table {
                    self.add(format!("{shown}.{name}"), format!("{path}.{name}"), value);
                }
            }
            ValueKind::Array(items) if items.iter().any(|item| matches!(item.kind, ValueKind::Table(_))) => {
                for (index, item) in items.into_iter().enumerate() {
                    self.add(format!("{shown}[{index}]"), format!("{path}[0]"), item);
                }
            }
            _ => self.0.push(Leaf { shown, path, value }),
        }
    }
}

/// Reads one setting as if it were the only one: what fails now fails because of this key.
fn alone(key: &str, value: &Value, defaults: &serde_json::Value) -> Result<(), String> {
    let mut builder: ConfigBuilder<DefaultState> = config::Config::builder();
    if let Some((list, own)) = key.split_once("[0].") {
        let own = own.split('.').next().unwrap_or(own);
        // Some fields of a table in a list have no default: beside those of the template each can be judged alone.
        let template = defaults.pointer(&format!("/{}/0", list.replace('.', "/")));
        // Not its own field: which of two values of it counts would be chance.
        let fields = template.and_then(serde_json::Value::as_object).into_iter().flatten();
        for (field, value) in fields.filter(|(field, _)| *field != own) {
            let value = match value {
                serde_json::Value::String(text) => Value::from(text.as_str()),
                serde_json::Value::Number(number) => Value::from(number.as_u64().unwrap_or_default()),
                _ => continue,
            };
            builder = builder.set_override(format!("{list}[0].{field}"), value).map_err(|error| error.to_string())?;
        }
    }
    let builder = builder.set_override(key, value.clone()).map_err(|error| error.to_string())?;
    let only = builder.build().map_err(|error| error.to_string())?;
    only.try_deserialize::<Config>().map_err(|error| describe(key, value, &error))?;
    let template = defaults.pointer(&format!("/{}", key.replace("[0]", "/0").replace('.', "/")));
    template.and_then(|template| mistaken(template, value)).map_or(Ok(()), Err)
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt as _;

    use super::*;

    fn told(text: &str) -> String {
        let overrides = Overrides { environment: Vec::new(), flags: &[], sandboxed: true };
        merge(Some(text), overrides).err().map_or(String::new(), |mistakes| mistakes.0.join("; "))
    }

    #[test]
    fn what_stands_in_a_list_of_tables_is_of_its_type_too() {
        for wrong in ["-1", "2.7", "nan", "1"] {
            let said = told(&format!(
                "authorization.rules = [{{callers = [\"*\"], risks = [\"read\"], impersonate = {wrong}}}]"
            ));
            assert!(
                said.contains("authorization.rules[0].impersonate: is ") && said.contains("true or false"),
                "{said}"
            );
        }
        for wrong in ["1.5", "true", "nan"] {
            let said =
                told(&format!("callers.weights = [{{callers = [\"*\"]}}, {{callers = [\"a\"], weight = {wrong}}}]"));
            assert!(said.contains("callers.weights[1].weight: is ") && said.contains("whole number"), "{said}");
        }
        // Each time, not by chance.
        for _ in 0..20 {
            let said = told("callers.weights = [{weight = {no = \"table\"}}]");
            assert!(said.contains("callers.weights[0].weight.no: is "), "{said}");
        }
    }

    #[cfg(feature = "sandbox")]
    #[test]
    fn a_table_whose_fields_have_no_default_is_read_and_each_field_is_judged() {
        let table = |total: &str| {
            let fields = "name = \"a\", method = \"GET\", path = \"/users\", interval = \"1m\"";
            format!("sandbox.buckets = [{{{fields}, total = 1}}, {{{fields}{total}}}]")
        };
        assert_eq!(told(&table(", total = 7")), "");
        let said = told(&table(", total = -1"));
        assert!(said.contains("sandbox.buckets[1].total: is "), "{said}");
        let said = told(&table(""));
        assert!(said.contains("total"), "a field is missing: {said}");
    }

    #[test]
    fn no_duration_is_longer_than_any_clock_can_count() {
        fn walk(key: &str, value: &serde_json::Value, defaults: &serde_json::Value, walked: &mut usize) {
            match value {
                serde_json::Value::Object(table) => {
                    for (name, value) in table {
                        let key = if key.is_empty() { name.clone() } else { format!("{key}.{name}") };
                        walk(&key, value, defaults, walked);
                    }
                }
                serde_json::Value::String(text) if humantime::parse_duration(text).is_ok() => {
                    *walked += 1;
                    let too_long = alone(key, &"500000000000y".into(), defaults).expect_err(key);
                    assert!(too_long.contains("more than 100 years"), "{key}: {too_long}");
                    alone(key, &text.as_str().into(), defaults).expect(key);
                }
                _ => {}
            }
        }
        let (defaults, mut walked) = (templates().expect("JSON"), 0);
        walk("", &defaults, &defaults, &mut walked);
        assert!(walked > 25, "{walked}");
        assert!(alone("cache.record.fresh", &"101y".into(), &defaults).is_err(), "one without a default");
    }

    #[test]
    fn variables_that_are_no_text_are_told_only_if_they_are_the_gateways() {
        let bytes = |bytes: &[u8]| OsString::from_vec(bytes.to_vec());
        let variables = [("A", &b"\xff"[..]), ("ZENDESK_GATEWAY__SERVER__LISTEN", b"\xff"), ("B", b"b")];
        let variables = variables.map(|(name, value)| (bytes(name.as_bytes()), bytes(value)));
        let foreign = (bytes(b"\xfe"), bytes(b"c"));
        let (texts, mistakes) = environment(variables.into_iter().chain([foreign]));
        assert_eq!(texts, [("B".to_owned(), "b".to_owned())]);
        assert_eq!(mistakes, ["ZENDESK_GATEWAY__SERVER__LISTEN: is no text in UTF-8"]);
    }
}
