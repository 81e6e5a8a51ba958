//! Reads bodies that are one record in an envelope, or that say nothing.

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::contract;
use crate::json::{self, Losses, Malformed};
use crate::proto::Count;
use crate::upstream::call::Parsed;

/// Reads an envelope, and checks with `fits` that it holds what was asked for.
///
/// # Errors
/// [`Malformed::Foreign`] for another record and for an object of other keys: they answer another request.
/// [`Malformed::Incomplete`] for whatever else does not fit, such as `{}`, `{"user": {}}` and a record whose id cannot be read.
pub fn envelope<T>(body: &[u8], fits: impl FnOnce(&T) -> bool) -> Result<Parsed, Malformed>
where
    T: DeserializeOwned + Send + 'static,
{
    let (message, losses) = json::decode::<T>(body)?;
    match () {
        () if losses.untold.is_empty() && fits(&message) => Ok(Box::new(message)),
        () if is_of_others(body, &losses, json::keys::<T>()) => Err(Malformed::Foreign),
        () => Err(Malformed::without(missing(body, &losses, json::keys::<T>()))),
    }
}

/// Returns the field for whose lack an answer is of no use.
fn missing(body: &[u8], losses: &Losses, keys: &[&str]) -> String {
    let key = keys.first().copied().unwrap_or_default();
    let is_there = json::value(body).is_some_and(|body| body[key].is_object());
    let without = if key == "count" { "value" } else { "id" };
    losses.untold.first().cloned().unwrap_or_else(|| if is_there { format!("{key}.{without}") } else { key.to_owned() })
}

/// True if an object that does not fit has none of the keys of what was asked for, or holds a record whose id can be read, and is
/// another one.
fn is_of_others(body: &[u8], losses: &Losses, keys: &[&str]) -> bool {
    let Some(Value::Object(object)) = json::value(body) else { return false };
    let Some(record) = keys.iter().find_map(|key| object.get(*key)) else { return !object.is_empty() };
    let is_lost = losses.all.iter().any(|loss| loss.field.rsplit('.').next() == Some("id"));
    let has_id = match &record["id"] {
        Value::Null => false,
        Value::String(id) => !id.is_empty(),
        _ => true,
    };
    has_id && !is_lost
}

/// True if a body says nothing at all.
pub fn is_nothing(body: &[u8]) -> bool {
    match json::value(body) {
        Some(Value::Null) => true,
        Some(Value::Object(object)) => object.is_empty(),
        Some(_) => false,
        None => body.trim_ascii().is_empty(),
    }
}

/// Reads a body that should say nothing: empty, `null`, or whatever Zendesk may add one day. An error, a record or
/// `"success": false` in it is [`Malformed::Foreign`]: it answers another request, or comes from a proxy that replaces every status with success.
pub fn nothing<R: contract::Request>(body: &[u8]) -> Result<Parsed, Malformed> {
    nothing_beside::<R>(body, None)
}

/// The same where the body may hold the record that was deleted, as answers of 2012 do: `is_it` says whether what stands under this
/// key in an envelope `T` is that record, and that it is gone.
pub fn nothing_but<R, T>(body: &[u8], key: &str, is_it: impl FnOnce(&T) -> bool) -> Result<Parsed, Malformed>
where
    R: contract::Request,
    T: DeserializeOwned,
{
    let is_it = json::decode::<T>(body).is_ok_and(|(envelope, _)| is_it(&envelope));
    nothing_beside::<R>(body, Some(key).filter(|_| is_it))
}

fn nothing_beside<R: contract::Request>(body: &[u8], expected: Option<&str>) -> Result<Parsed, Malformed> {
    const OF_OTHERS: [&str; 20] = [
        "error",
        "errors",
        "user",
        "users",
        "deleted_user",
        "group",
        "groups",
        "group_membership",
        "group_memberships",
        "identity",
        "identities",
        "organization",
        "organizations",
        "organization_membership",
        "organization_memberships",
        "user_field",
        "custom_field_option",
        "custom_field_options",
        "job_status",
        "job_statuses",
    ];
    if !body.trim_ascii().is_empty() {
        let value = json::value(body).ok_or_else(|| Malformed::Unreadable { place: "its beginning".to_owned() })?;
        let is_refused = value.get("success") == Some(&Value::Bool(false));
        if is_refused || OF_OTHERS.iter().any(|key| Some(*key) != expected && value.get(key).is_some()) {
            return Err(Malformed::Foreign);
        }
    }
    Ok(Box::new(R::Reply::default()))
}

/// True if a record says that this field of it cannot be read.
pub(super) fn is_unread(unreadable_fields: &[String], field: &str) -> bool {
    unreadable_fields.iter().any(|unread| unread == field)
}

/// True if the reply's record has this id.
pub(super) fn has_id<T>(record: Option<&T>, id: i64, of: impl Fn(&T) -> i64) -> bool {
    record.is_some_and(|record| of(record) == id)
}

/// True if a reply holds a count: the number, or one that is told to be unreadable.
pub(super) fn is_count(count: Option<&Count>) -> bool {
    count.is_some_and(|count| count.value.is_some() || is_unread(&count.unreadable_fields, "value"))
}

/// True if a row names the record with this id in a field, or tells that the field cannot be read: then it names no other one.
pub(super) fn names(id: i64, named: Option<i64>, field: &str, unreadable_fields: &[String]) -> bool {
    named == Some(id) || (named.is_none() && is_unread(unreadable_fields, field))
}
