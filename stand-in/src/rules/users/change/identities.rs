//! The identities that come with a user.

use serde_json::Value;

use crate::rules::attributes::{Attributes, as_boolean};
use crate::store::identity::{Identity, KINDS, METHODS};

/// Reads `identities`. They only count in a creation: an update answers 200 and
/// adds none, as clients report. That it also warns of them is an assumption.
pub fn read(given: &mut Attributes, is_new: bool) -> Vec<Identity> {
    let Some(value) = given.take("identities") else {
        return Vec::new();
    };
    let Value::Array(items) = value else {
        given.wrong("identities", "is invalid");
        return Vec::new();
    };
    let mut identities = Vec::with_capacity(items.len());
    for item in &items {
        match identity(item) {
            Ok(identity) => identities.push(identity),
            Err(key) => given.wrong("identities", &format!("{key} is invalid")),
        }
    }
    if is_new {
        identities
    } else {
        given.ignore("identities");
        Vec::new()
    }
}

/// Reads one identity, or names the key that is wrong. Keys that are unknown
/// are passed over.
fn identity(item: &Value) -> Result<Identity, &'static str> {
    let word = |key: &'static str, words: &[&str]| match item.get(key) {
        None => Ok(None),
        Some(Value::String(word)) if words.contains(&word.as_str()) => Ok(Some(word.as_str())),
        Some(_) => Err(key),
    };
    let flag = |key: &'static str| match item.get(key) {
        None => Ok(None),
        Some(value) => as_boolean(value).map(Some).ok_or(key),
    };
    let kind = word("type", &KINDS)?.ok_or("type")?;
    let value = item.get("value").and_then(Value::as_str).filter(|value| !value.trim().is_empty()).ok_or("value")?;
    let method = word("verification_method", &METHODS)?;
    // The method overrides the flag.
    let flagged = flag("verified")?.unwrap_or(false);
    let verified = method.map_or(flagged, |method| method != "none");
    Ok(Identity { primary: flag("primary")?.unwrap_or(false), ..Identity::new(kind, value, verified) })
}
