//! Creating, changing, merging and deleting single users.

use axum::http::StatusCode;
use serde_json::{Map, Value, json};

use crate::bulk::may_edit;
use crate::call::Call;
use crate::errors;
use crate::reply::{Envelope, Outcome, Reply};
use crate::rules::attributes::as_integer;
use crate::rules::users::{self, Saved};
use crate::store::tables::Tables;
use crate::store::user::Photo;

/// `POST /users`
pub fn create(call: &Call) -> Outcome {
    let given = call.object("user")?;
    let mut tables = call.world.store.write();
    let saved = users::create(&mut tables, given, call.world.clock.now())?;
    Ok(saved_reply(call, &tables, &saved, "create"))
}

/// `POST /users/create_or_update`: 200 or 201, both with the location.
pub fn create_or_update(call: &Call) -> Outcome {
    let given = call.object("user")?;
    let mut tables = call.world.store.write();
    let found = users::find(&tables, &given);
    // Whether the 429 of this limit comes before the 403 below, or after it as
    // in `update`, is an assumption.
    let with_limit = call.limit_update(found)?;
    if let Some(id) = found {
        may_edit(&tables, call.caller, id)?;
    }
    let saved = users::create_or_update(&mut tables, given, call.world.clock.now())?;
    Ok(with_limit(saved_reply(call, &tables, &saved, "create_or_update")))
}

/// `POST /users/request_create`: reminds the owner to buy more seats; there is
/// nothing to answer. That it refuses what creation refuses is an assumption.
pub fn request_create(call: &Call) -> Outcome {
    let given = call.object("user")?;
    let warnings = users::check(&call.world.store.read(), given, call.world.clock.now())?;
    Ok(Reply::ok(b"null".to_vec()).warning(warnings.header("users", "request_create")))
}

/// `PUT /users/{user_id}`, as JSON or as a form with a picture.
pub fn update(call: &Call) -> Outcome {
    let id = call.id("user_id")?;
    let given = if call.form.is_empty() { call.object("user")? } else { from_form(call) };
    let mut tables = call.world.store.write();
    if tables.active_user(id).is_none() {
        // The warning says what would have been ignored, as beside an answer.
        return Err(errors::not_found().warning(users::left_out(&tables, given).header("users", "update")));
    }
    may_edit(&tables, call.caller, id)?;
    let with_limit = call.limit_update(Some(id))?;
    let saved = users::update(&mut tables, id, given, call.world.clock.now())?;
    if let Some(photo) = uploaded(call, id)
        && let Some(user) = tables.user(id)
    {
        let mut user = user.clone();
        user.photo = Some(Box::new(photo));
        tables.put_user(user);
    }
    Ok(with_limit(saved_reply(call, &tables, &saved, "update")))
}

/// `PUT /users/{user_id}/merge`: answers with the user merged into.
pub fn merge(call: &Call) -> Outcome {
    let from = call.id("user_id")?;
    let given = call.object("user")?;
    let into = given.get("id").ok_or_else(|| errors::parameter_missing("id"))?;
    let into = as_integer(into).ok_or_else(|| errors::invalid_attribute("id", "must be an integer"))?;
    let mut tables = call.world.store.write();
    users::merge(&mut tables, from, into, call.world.clock.now())?;
    Ok(Reply::ok(enveloped(call, &tables, into)))
}

/// `DELETE /users/{user_id}`: answers 200 with the user, inactive and without
/// e-mail address. That the account's owner cannot be deleted (403) is an
/// assumption.
pub fn delete(call: &Call) -> Outcome {
    let id = call.id("user_id")?;
    let mut tables = call.world.store.write();
    tables.active_user(id).ok_or_else(|| call.with_body_warning(errors::not_found(), "users", "destroy"))?;
    may_edit(&tables, call.caller, id)?;
    if tables.email_owner(&call.world.config.credential.email) == Some(id) {
        return Err(errors::forbidden());
    }
    users::delete(&mut tables, id, call.world.clock.now())?;
    Ok(call.with_body_warning(Reply::ok(enveloped(call, &tables, id)), "users", "destroy"))
}

/// `DELETE /deleted_users/{deleted_user_id}`: erases the user's data for good,
/// and answers with the empty record that stays.
pub fn erase(call: &Call) -> Outcome {
    let id = call.id("deleted_user_id")?;
    let mut tables = call.world.store.write();
    users::erase(&mut tables, id, call.world.clock.now())?;
    let user = tables.user(id).ok_or_else(errors::not_found)?;
    let shown = call.links.deleted_user(user);
    Ok(Reply::ok(Envelope::new().raw("deleted_user", &shown).finish()))
}

/// `POST /users/logout_many`: 202 with `null` as its body.
pub fn logout_many(call: &Call) -> Outcome {
    call.admins_only()?;
    // Only checked: the stand-in has no sessions to end.
    call.ids("ids")?.ok_or_else(|| errors::parameter_missing("ids"))?;
    Ok(Reply::json(StatusCode::ACCEPTED, b"null".to_vec()))
}

/// Returns the reply to a write: 201 with a created user, else 200, with the
/// location of a created or upserted user and the warnings of the write. As
/// recorded, the URLs in a created user are on the host that was asked, those
/// in an updated one on the account's alias if it has one.
fn saved_reply(call: &Call, tables: &Tables, saved: &Saved, action: &str) -> Reply {
    let Some(user) = tables.user(saved.id) else {
        return errors::not_found();
    };
    let location = call.asked.url("users", user.id).to_string();
    let reply = if saved.created {
        Reply::json(StatusCode::CREATED, Envelope::new().raw("user", &call.asked.user(user)).finish())
    } else {
        Reply::ok(Envelope::new().raw("user", &call.links.user(user)).finish())
    };
    let reply = if saved.created || action == "create_or_update" { reply.header("location", location) } else { reply };
    reply.warning(saved.warnings.header("users", action))
}

/// The user as the body of an answer.
fn enveloped(call: &Call, tables: &Tables, id: i64) -> Vec<u8> {
    Envelope::new().raw("user", &super::list::render(call, tables, id)).finish()
}

/// Attributes from form fields such as `user[name]`.
fn from_form(call: &Call) -> Map<String, Value> {
    let fields = call.form.iter().filter(|part| part.file_name.is_none());
    let fields = fields.filter_map(|part| {
        let key = part.name.strip_prefix("user[")?.strip_suffix(']')?;
        Some((key.to_owned(), json!(String::from_utf8_lossy(&part.content))))
    });
    fields.collect()
}

/// The picture in the field `user[photo][uploaded_data]`.
fn uploaded(call: &Call, user: i64) -> Option<Photo> {
    let part = call.form.iter().find(|part| part.name == "user[photo][uploaded_data]")?;
    let content_type = match part.content_type.as_deref() {
        Some("image/jpeg" | "image/jpg") => "image/jpeg",
        Some("image/webp") => "image/webp",
        Some("image/gif") => "image/gif",
        _ => "image/png",
    };
    // The picture is not decoded, so its id and its dimensions are made up.
    Some(Photo {
        id: user + 31,
        file_name: part.file_name.as_deref().unwrap_or("photo").into(),
        content_type,
        size: u32::try_from(part.content.len()).unwrap_or(u32::MAX),
        dimensions: Some((80, 80)),
    })
}
