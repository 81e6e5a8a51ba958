//! The tags of users and organizations, each change at once.

use std::collections::BTreeSet;

use axum::http::StatusCode;

use crate::bulk::may_edit;
use crate::call::Call;
use crate::errors;
use crate::reply::{Envelope, Outcome, Reply};
use crate::rules::attributes::Attributes;
use crate::rules::users::tags_of;

type Tags = BTreeSet<String>;

/// `GET /users/{user_id}/tags`
pub fn of_user(call: &Call) -> Outcome {
    let id = call.id("user_id")?;
    let tables = call.world.store.read();
    let user = tables.active_user(id).ok_or_else(errors::not_found)?;
    Ok(Reply::ok(body(&tags_of([&*user.tags]))))
}

/// `GET /organizations/{organization_id}/tags`
pub fn of_organization(call: &Call) -> Outcome {
    let id = call.id("organization_id")?;
    let tables = call.world.store.read();
    let organization = tables.organization(id).ok_or_else(errors::not_found)?;
    Ok(Reply::ok(body(&organization.tags.iter().cloned().collect())))
}

/// `PUT …/tags`
pub fn add(call: &Call) -> Outcome {
    change(call, StatusCode::OK, |held, given| held.union(given).cloned().collect())
}

/// `POST …/tags`
pub fn set(call: &Call) -> Outcome {
    change(call, StatusCode::CREATED, |_, given| given.clone())
}

/// `DELETE …/tags`, the tags in the body; see [`change`].
pub fn remove(call: &Call) -> Outcome {
    change(call, StatusCode::OK, |held, given| held.difference(given).cloned().collect())
}

/// Changes the tags of the record that the path names, and answers with all of
/// them. That a deletion has them in its body, and what is refused, are
/// assumptions.
fn change(call: &Call, status: StatusCode, changed: fn(&Tags, &Tags) -> Tags) -> Outcome {
    let mut given = Attributes::new("", call.json()?);
    let tags = given.texts("tags");
    given.check()?;
    let given = tags_of(tags.ok_or_else(|| errors::parameter_missing("tags"))?.iter().map(String::as_str));
    let now = call.world.clock.now();
    let mut tables = call.world.store.write();
    let tags = if call.param("organization_id").is_empty() {
        let id = call.id("user_id")?;
        let mut user = tables.active_user(id).ok_or_else(errors::not_found)?.clone();
        may_edit(&tables, call.caller, id)?;
        let tags = changed(&tags_of([&*user.tags]), &given);
        user.tags = tags.iter().map(String::as_str).collect::<Vec<_>>().join(" ").into();
        (user.updated_at, user.verbatim) = (now, None);
        tables.put_user(user);
        tags
    } else {
        let id = call.id("organization_id")?;
        let mut organization = tables.organization(id).ok_or_else(errors::not_found)?.clone();
        let tags = changed(&organization.tags.iter().cloned().collect(), &given);
        (organization.tags, organization.updated_at) = (tags.iter().cloned().collect(), now);
        tables.put_organization(organization);
        tags
    };
    Ok(Reply::json(status, body(&tags)))
}

fn body(tags: &Tags) -> Vec<u8> {
    Envelope::new().value("tags", tags).finish()
}
