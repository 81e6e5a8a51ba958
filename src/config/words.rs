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

/// Says why a value does not do although it can be made into one that would: `1.5` is no number of calls, and `-1` is neither true
/// nor false. `template` is the setting's default.
pub(super) fn mistaken(template: &serde_json::Value, value: &Value) -> Option<String> {
    use serde_json::Value as Json;
    let is_text = matches!(value.kind, ValueKind::String(_));
    let is_whole =
        matches!(value.kind, ValueKind::I64(_) | ValueKind::I128(_) | ValueKind::U64(_) | ValueKind::U128(_));
    let is_finite = matches!(value.kind, ValueKind::Float(number) if number.is_finite());
    let is_list_of_texts = matches!(&value.kind, ValueKind::Array(items) if items.iter().all(|item| matches!(item.kind, ValueKind::String(_))));
    // Text is what the environment has; whoever reads it says what it must be.
    let (fits, must_be) = match template {
        Json::Bool(_) => (matches!(value.kind, ValueKind::Boolean(_)), "true or false"),
        Json::Number(number) if number.is_f64() => (is_whole || is_finite, "a number"),
        Json::Number(_) => (is_whole, "a whole number"),
        Json::String(_) => (false, "text in quotes"),
        Json::Array(_) => (is_list_of_texts, "a list of texts"),
        Json::Null => {
            (is_whole || is_list_of_texts || matches!(value.kind, ValueKind::Table(_)), "text or a whole number")
        }
        Json::Object(_) => (true, "a table of settings"),
    };
    (!fits && !is_text).then(|| format!("is {}, and must be {must_be}", shown(value)))
}

fn wanted(value: &Value, expected: &str) -> String {
    let must_be = match expected {
        _ if expected.contains("nonzero") => "a whole number of 1 or more",
        _ if expected.contains("unsigned") => "a whole number of 0 or more",
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

/// What is wrong with a file that is no TOML: where, and why, in one line.
pub(super) fn unread(error: &str) -> String {
    let place =
        error.lines().next().and_then(|line| line.split_once("TOML parse error at ")).map(|(_, place)| place.trim());
    if place.is_none() && (error.contains("too large") || error.contains("overflowed")) {
        return "the file is no TOML: a number in it is too large".to_owned();
    }
    let Some(place) = place else { return error.to_owned() };
    let why = error.lines().map(str::trim).rfind(|line| !line.is_empty()).unwrap_or_default();
    let key =
        error.lines().find_map(|line| line.split_once(" | ")?.1.split_once('=')).map_or("", |(key, _)| key.trim());
    let why = match why {
        _ if why.contains("too large") || why.contains("overflowed") => "the number is too large",
        _ if why.contains("too small") || why.contains("underflowed") => "the number is too small",
        other => other.split(" in file").next().unwrap_or(other).split(" in ").next().unwrap_or(other),
    };
    let about = if key.is_empty() { String::new() } else { format!(" ({key})") };
    format!("the file is no TOML at {place}{about}: {why}")
}
