//! Reads bodies that are one record in an envelope, or that say nothing.

use serde::de::DeserializeOwned;

use crate::contract;
use crate::json::{self, Malformed};
use crate::upstream::call::Parsed;

/// Reads an envelope, and checks with `fits` that it holds what was asked for: `{}`, `{"user": {}}` and another user are
/// [`Malformed::Foreign`].
pub fn envelope<T>(body: &[u8], fits: impl FnOnce(&T) -> bool) -> Result<Parsed, Malformed>
where
    T: DeserializeOwned + Send + 'static,
{
    let (message, losses) = json::decode::<T>(body)?;
    if !losses.untold.is_empty() {
        return Err(Malformed::Incomplete);
    }
    if fits(&message) { Ok(Box::new(message)) } else { Err(Malformed::Foreign) }
}

/// Reads a body that should say nothing: empty, `null`, or whatever Zendesk may add one day. An error or a record in it is
/// [`Malformed::Foreign`]: it answers another request, or comes from a proxy that replaces every status with success.
pub fn nothing<R: contract::Request>(body: &[u8]) -> Result<Parsed, Malformed> {
    const OF_OTHERS: [&str; 11] = [
        "error",
        "errors",
        "user",
        "users",
        "deleted_user",
        "group",
        "groups",
        "group_membership",
        "group_memberships",
        "job_status",
        "job_statuses",
    ];
    if !body.trim_ascii().is_empty() {
        let value = serde_json::from_slice::<serde_json::Value>(body);
        let value = value.map_err(|error| Malformed::Unreadable { line: error.line(), column: error.column() })?;
        if OF_OTHERS.iter().any(|key| value.get(key).is_some()) {
            return Err(Malformed::Foreign);
        }
    }
    Ok(Box::new(R::Reply::default()))
}

/// True if the reply's record has this id.
pub(super) fn has_id<T>(record: Option<&T>, id: i64, of: impl Fn(&T) -> i64) -> bool {
    record.is_some_and(|record| of(record) == id)
}
