//! What is wrong with a value, in words that need no knowledge of Rust.

use config::{ConfigError, Value, ValueKind};

use super::Config;

/// Says why a value does not do. `path` is its key, in which a table of a list has the index 0, whatever its own.
pub(super) fn describe(path: &str, value: &Value, error: &ConfigError) -> String {
    let text = match error {
        ConfigError::At { error, .. } => return describe(path, value, error),
        ConfigError::Type { expected, .. } => return wanted(value, expected),
        other => other.to_string(),
    };
    if text.contains("unknown field") {
        return "no such setting".to_owned();
    }
    // The reader of settings does not name the choices; the one of JSON does.
    if text.contains("value of enum") {
        return format!("is {}, and must be words of those that the settings table lists", shown(value));
    }
    let text = if text.contains("variant constructor") { as_json(path, value).unwrap_or(text) } else { text };
    if text.contains("unknown variant")
        && let Some((_, choices)) = text.split_once("expected ")
    {
        let choices =
            choices.trim_start_matches("one of ").split(" at line ").next().unwrap_or(choices).replace('`', "");
        let choices = choices.rsplit_once(", ").map_or(choices.clone(), |(most, last)| format!("{most} or {last}"));
        return format!("is {}, and must be {choices}", shown(value));
    }
    match text.split_once("expected ") {
        Some((_, expected)) => wanted(value, expected.split(" for key ").next().unwrap_or(expected)),
        None if text.contains("socket address") => {
            format!("is {}, and must be an address with a port, such as 0.0.0.0:50051", shown(value))
        }
        None if text.contains("URL") => format!("is {}, and must be a URL such as https://example.com", shown(value)),
        None => text,
    }
}

fn wanted(value: &Value, expected: &str) -> String {
    let must_be = match expected {
        _ if expected.contains("unsigned") || expected.contains("nonzero") => "a whole number of 0 or more",
        _ if expected.contains("integer") => "a whole number",
        _ if expected.contains("float") => "a number",
        _ if expected.contains("duration") => "a duration such as 30s or 1m 30s",
        _ if expected.starts_with("struct") || expected == "a map" => "a table of settings",
        _ if expected.contains("sequence") => "a list",
        other => other,
    };
    format!("is {}, and must be {must_be}", shown(value))
}

/// The value as it would be written.
fn shown(value: &Value) -> String {
    match &value.kind {
        ValueKind::String(text) => format!("{text:?}"),
        ValueKind::Boolean(flag) => flag.to_string(),
        ValueKind::Float(number) => number.to_string(),
        ValueKind::I64(number) => number.to_string(),
        ValueKind::I128(number) => number.to_string(),
        ValueKind::U64(number) => number.to_string(),
        ValueKind::U128(number) => number.to_string(),
        ValueKind::Array(items) => format!("[{}]", items.iter().map(shown).collect::<Vec<_>>().join(", ")),
        ValueKind::Table(_) => "a table".to_owned(),
        ValueKind::Nil => "nothing".to_owned(),
    }
}

/// What the reader of JSON says against this setting, if all others are the defaults.
fn as_json(path: &str, value: &Value) -> Option<String> {
    let mut tree: serde_json::Value = value.clone().try_deserialize().ok()?;
    for part in path.rsplit('.') {
        let (name, is_in_list) = part.strip_suffix("[0]").map_or((part, false), |name| (name, true));
        if is_in_list {
            tree = serde_json::json!([tree]);
        }
        tree = serde_json::json!({ name: tree });
    }
    serde_json::from_value::<Config>(tree).err().map(|error| error.to_string())
}
