//! The tags of a user, each change at once.

use std::collections::BTreeSet;

use axum::http::StatusCode;

use crate::bulk::may_edit;
use crate::call::Call;
use crate::errors;
use crate::reply::{Envelope, Outcome, Reply};
use crate::rules::attributes::Attributes;
use crate::rules::users::tags_of;

/// `GET /users/{user_id}/tags`
pub fn list(call: &Call) -> Outcome {
    let id = call.id("user_id")?;
    let tables = call.world.store.read();
    let user = tables.active_user(id).ok_or_else(errors::not_found)?;
    Ok(Reply::ok(body(&tags_of([&*user.tags]))))
}

/// `PUT /users/{user_id}/tags`
pub fn add(call: &Call) -> Outcome {
    change(call, StatusCode::OK, |held, given| held.union(given).cloned().collect())
}

/// `POST /users/{user_id}/tags`
pub fn set(call: &Call) -> Outcome {
    change(call, StatusCode::CREATED, |_, given| given.clone())
}

/// `DELETE /users/{user_id}/tags`, the tags in the body; see [`change`].
pub fn remove(call: &Call) -> Outcome {
    change(call, StatusCode::OK, |held, given| held.difference(given).cloned().collect())
}

/// Changes the tags, and answers with all of them. That a deletion has them in
/// its body, and what is refused, are assumptions.
fn change(
    call: &Call,
    status: StatusCode,
    changed: fn(&BTreeSet<String>, &BTreeSet<String>) -> BTreeSet<String>,
) -> Outcome {
    let id = call.id("user_id")?;
    let mut given = Attributes::new("", call.json()?);
    let tags = given.texts("tags");
    given.check()?;
    let tags = tags.ok_or_else(|| errors::parameter_missing("tags"))?;
    let mut tables = call.world.store.write();
    let mut user = tables.active_user(id).ok_or_else(errors::not_found)?.clone();
    may_edit(&tables, call.caller, id)?;
    let tags = changed(&tags_of([&*user.tags]), &tags_of(tags.iter().map(String::as_str)));
    user.tags = tags.iter().map(String::as_str).collect::<Vec<_>>().join(" ").into();
    user.updated_at = call.world.clock.now();
    user.verbatim = None;
    tables.put_user(user);
    Ok(Reply::json(status, body(&tags)))
}

fn body(tags: &BTreeSet<String>) -> Vec<u8> {
    Envelope::new().value("tags", tags).finish()
}
