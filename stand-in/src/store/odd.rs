//! Records that a test writes itself, served verbatim: with unknown keys,
//! nulls, or strings where numbers are documented.

use serde_json::{Map, Value};

use crate::clock::Time;

use super::group::{Group, Membership};
use super::user::{Life, Role, User};

/// Reads what the account must know of a user that is served verbatim.
pub fn user(json: &str) -> User {
    let record = object(json);
    let name = text(&record, "name").unwrap_or_default();
    let mut user = User::end_user(number(&record, "id"), name, time(&record, "created_at"));
    if let Some(role) = text(&record, "role").and_then(Role::parse) {
        user.become_role(role, None);
    }
    user.updated_at = time(&record, "updated_at");
    user.email = text(&record, "email").map(Box::from);
    user.external_id = text(&record, "external_id").map(Box::from);
    user.organization_id = record.get("organization_id").and_then(Value::as_i64);
    user.custom_role_id = record.get("custom_role_id").and_then(Value::as_i64);
    if record.get("active") == Some(&Value::Bool(false)) {
        user.life = Life::Deleted;
    }
    user.verbatim = Some(json.into());
    user
}

/// Reads what the account must know of a group that is served verbatim.
pub fn group(json: &str) -> Group {
    let record = object(json);
    Group {
        id: number(&record, "id"),
        name: text(&record, "name").unwrap_or_default().into(),
        description: text(&record, "description").unwrap_or_default().into(),
        is_public: record.get("is_public") != Some(&Value::Bool(false)),
        deleted: record.get("deleted") == Some(&Value::Bool(true)),
        created_at: time(&record, "created_at"),
        updated_at: time(&record, "updated_at"),
        verbatim: Some(json.into()),
    }
}

/// Reads what the account must know of a membership that is served verbatim.
pub fn membership(json: &str) -> Membership {
    let record = object(json);
    Membership {
        id: number(&record, "id"),
        user_id: number(&record, "user_id"),
        group_id: number(&record, "group_id"),
        default: record.get("default") == Some(&Value::Bool(true)),
        created_at: time(&record, "created_at"),
        updated_at: None,
        verbatim: Some(json.into()),
    }
}

fn object(json: &str) -> Map<String, Value> {
    serde_json::from_str(json).expect("an odd record must be a JSON object")
}

fn number(record: &Map<String, Value>, key: &str) -> i64 {
    let value = record.get(key).and_then(Value::as_i64);
    value.expect("an odd record needs integer ids")
}

fn text<'a>(record: &'a Map<String, Value>, key: &str) -> Option<&'a str> {
    record.get(key).and_then(Value::as_str)
}

fn time(record: &Map<String, Value>, key: &str) -> Time {
    text(record, key).and_then(Time::parse).unwrap_or(Time(0))
}
